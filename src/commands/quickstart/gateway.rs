//! The gateway of the quickstart and the model behind it (a running Ollama's, else the built-in demonstration model). The gateway is
//! the real one, with a database in the temporary folder, on a free port of this machine.

use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use zeroize::Zeroizing;

use crate::address::{BaseUrl, ModelName};
use crate::api::{Credential, ListedModel, Session};
use crate::app::App;
use crate::commands::gateway::serve::{PreparedGateway, prepare};
use crate::commands::signin::device::machine_name;
use crate::demo;
use crate::exit::{Exit, Problem};
use crate::gateway::admin::perform;
use crate::gateway::load;
use crate::gateway::{
    AdminContext, AdminReply, AdminRequest, DatabaseLocation, DeviceRef, Flag, Gateway, Inputs, PasswordHash,
    PendingDevice, Role, Secret, ServeError, Server,
};
use crate::identity::PublicKey;

/// A gateway that serves until it is dropped.
pub struct QuickstartGateway {
    gateway: Arc<Gateway>,
    serving: JoinHandle<Result<(), ServeError>>,
    now: fn() -> i64,
}

impl Drop for QuickstartGateway {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl QuickstartGateway {
    /// Starts to serve.
    ///
    /// # Errors
    /// No free port, no database.
    pub async fn start(app: &App, upstream: &BaseUrl, folder: &Path) -> anyhow::Result<Self> {
        let flags =
            [("listen", "127.0.0.1:0".to_owned()), ("upstream", upstream.to_string()), ("threads", "1".to_owned())];
        let flags = flags.map(|(name, value)| Flag::Own(name, value)).into();
        let config = load(&Inputs { flags, ..Inputs::default() })?;
        let database = folder.join("gateway").join("gateway.db");
        let secret = Secret::random()?;
        let (server, store) = (Server::bind(&config)?, DatabaseLocation::File(database).open().await?);
        let PreparedGateway { server, gateway, .. } = prepare(app.now, config.clone(), server, store, &secret).await?;
        let (_, never) = mpsc::channel(1);
        let serving = server.run(gateway.clone(), std::future::pending(), never, move || Ok(config.clone()));
        Ok(Self { gateway, serving: tokio::spawn(serving), now: app.now })
    }

    /// The URL that callers use.
    pub fn url(&self) -> String {
        self.gateway.config.get().url.to_string()
    }

    /// Makes the first account, as `gateway user add NAME --role admin` does.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn add_admin(&self, app: &App, name: &str, password: SecretString) -> anyhow::Result<()> {
        let password: PasswordHash = app.ask(move |_| PasswordHash::of(&password)).await??;
        let request =
            AdminRequest::AddUser { name: name.to_owned(), email: String::new(), role: Role::Admin, password };
        self.perform(request).await.map(drop)
    }

    /// Waits for a pending device that is ours: every program of this machine can ask for approval.
    ///
    /// Poll it before the sign-in, in the same task: the gateway's answer to the sign-in wakes it.
    pub async fn pending_device(&self, ours: impl Fn(&PublicKey) -> bool) -> PendingDevice {
        std::future::poll_fn(|_| {
            match self.gateway.pending_devices.all((self.now)()).into_iter().find(|device| ours(&device.key)) {
                Some(device) => Poll::Ready(device),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Approves a pending device, as `gateway approve` does, and gives its fingerprint.
    ///
    /// # Errors
    /// When the approval cannot be stored.
    pub async fn approve(&self, PendingDevice { key, .. }: PendingDevice, name: &str) -> anyhow::Result<String> {
        let device = DeviceRef::Key { key, name: machine_name() };
        let AdminReply::Approved { fingerprint, .. } =
            self.perform(AdminRequest::Approve { device, user: name.to_owned() }).await?
        else {
            return Err(Problem::new(Exit::Failed, "the gateway did not approve the device").into());
        };
        Ok(fingerprint)
    }

    async fn perform(&self, request: AdminRequest) -> anyhow::Result<AdminReply> {
        let context = AdminContext::of(&self.gateway.administration, (self.now)());
        Ok(perform(&context, request).await?)
    }
}

const CONSONANTS: &[u8; 16] = b"bcdfghjklmnprstv";
const VOWELS: &[u8; 4] = b"aiou";
/// Six bits each.
const SYLLABLES: usize = 10;

/// A password for the account of the quickstart: 60 random bits as `mavo-tiku-resa-lino-deku`, easy to type.
///
/// # Errors
/// When the system gives no random bytes.
pub fn readable_password() -> Result<SecretString, getrandom::Error> {
    let mut bytes = Zeroizing::new([0_u8; SYLLABLES]);
    getrandom::fill(&mut *bytes)?;
    let mut text = Zeroizing::new(String::with_capacity(3 * SYLLABLES));
    for (number, byte) in bytes.iter().enumerate() {
        if number > 0 && number % 2 == 0 {
            text.push('-');
        }
        text.push(char::from(CONSONANTS[usize::from(byte & 15)]));
        text.push(char::from(VOWELS[usize::from(byte >> 4 & 3)]));
    }
    Ok(SecretString::from(text.as_str()))
}

/// How long an Ollama server may take to list its models.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// What the gateway is put in front of.
pub struct Upstream {
    /// Where it is.
    pub url: BaseUrl,
    /// The model that is run.
    pub model: String,
    /// It is the built-in demonstration model.
    pub is_demo: bool,
    /// One sentence: which it is, and why.
    pub description: String,
    serving: Option<AbortHandle>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

/// Asks the Ollama server that `--host` or `OLLAMA_HOST` names, else the local one.
///
/// # Errors
/// When not even the demonstration model can be served.
pub async fn choose_upstream(app: &App) -> anyhow::Result<Upstream> {
    let named = app.host.as_ref().or(app.ollama_host.as_ref()).filter(|url| !url.is_ollama_com());
    let url = named.cloned().unwrap_or_else(BaseUrl::local);
    let why = match first_model(app, &url).await {
        Ok(Some(model)) => {
            let description = format!("Using the model {model} of the Ollama server at {url}.");
            return Ok(Upstream { url, model, is_demo: false, description, serving: None });
        }
        Ok(None) => format!("The Ollama server at {url} has no local model"),
        Err(NoAnswer) => format!("No Ollama server answers at {url}"),
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let serving = Some(tokio::spawn(demo::serve(listener)).abort_handle());
    let url = BaseUrl::parse(&format!("http://{address}"))?.url;
    let description = format!(
        "{why}, so the built-in demonstration model answers. It is a simple text generator, not a language model."
    );
    Ok(Upstream { url, model: demo::NAME.to_owned(), is_demo: true, description, serving })
}

/// Nothing answers there, or nothing that can be used.
struct NoAnswer;

async fn first_model(app: &App, url: &BaseUrl) -> Result<Option<String>, NoAnswer> {
    let session = Session::new(&app.transport, url.clone(), Credential::None, false, app.now).map_err(|_| NoAnswer)?;
    let listed = tokio::time::timeout(LIST_TIMEOUT, session.models()).await.map_err(|_| NoAnswer)?;
    let listed = listed.map_err(|_| NoAnswer)?;
    Ok(listed.into_iter().find(is_suitable).map(|model| model.name))
}

/// A local model that generates text: a cloud model would need the server's own sign-in.
fn is_suitable(model: &ListedModel) -> bool {
    let generates = model.capabilities.as_ref().is_none_or(|all| all.iter().any(|each| each == "completion"));
    let local = model.remote_host.as_deref().unwrap_or_default().is_empty();
    generates && local && ModelName::parse(&model.name).is_ok_and(|name| !name.is_cloud())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_password_is_readable_and_new_each_time() {
        let (one, other) = (readable_password().unwrap(), readable_password().unwrap());
        assert_ne!(one.expose_secret(), other.expose_secret());
        let parts: Vec<&str> = one.expose_secret().split('-').collect();
        assert!(parts.len() == 5 && parts.iter().all(|part| part.len() == 4), "{parts:?}");
    }

    #[test]
    fn remote_models_and_embedding_models_are_skipped() {
        let model = |name: &str, capabilities: Option<&[&str]>, remote: Option<&str>| ListedModel {
            name: name.to_owned(),
            capabilities: capabilities.map(|all| all.iter().map(|each| (*each).to_owned()).collect()),
            remote_host: remote.map(str::to_owned),
            ..ListedModel::default()
        };
        assert!(is_suitable(&model("tiny:latest", None, None)));
        assert!(is_suitable(&model("tiny:latest", Some(&["tools", "completion"]), Some(""))));
        assert!(!is_suitable(&model("bert:latest", Some(&["embedding"]), None)));
        assert!(!is_suitable(&model("gpt-oss:120b-cloud", None, None)));
        assert!(!is_suitable(&model("big:latest", None, Some("https://ollama.com:443"))));
        assert!(!is_suitable(&model("", None, None)));
    }
}
