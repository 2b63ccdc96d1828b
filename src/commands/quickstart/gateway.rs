//! The gateway of the quickstart: the real one, with a database in the temporary folder, on a free port of this machine.

use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::address::BaseUrl;
use crate::app::App;
use crate::commands::gateway::serve::{PreparedGateway, prepare};
use crate::commands::signin::device::machine_name;
use crate::exit::{Exit, Problem};
use crate::gateway::admin::perform;
use crate::gateway::{
    AdminContext, AdminReply, AdminRequest, DeviceRef, Flag, Gateway, Inputs, PasswordHash, PendingDevice, Role,
    ServeError, load,
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
        let PreparedGateway { server, gateway, .. } = prepare(app.now, config.clone(), &database).await?;
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

    /// Waits for a pending device that is ours: `signin` also signs with a throw-away key, to see what the host is.
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
        let context = AdminContext::of(&self.gateway, (self.now)());
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
}
