//! `proxy`: a loopback port that adds this profile's credential, for programs that can neither sign nor hold a key.

mod stored_credential;

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;

use secrecy::SecretString;
use tokio::sync::mpsc::Receiver;
use zeroize::Zeroizing;

use super::context::{Context, withheld_note};
use crate::app::App;
use crate::cli::ProxyArgs;
use crate::disk::{self, Exposure};
use crate::exit::{Exit, Problem, refused_hint, unauthorized_hint};
use crate::profile::{Audience, CredentialSource};
use crate::proxy::{
    AllowedOrigin, CredentialRefused, CurrentCredential, KNOWS_CALLERS, Proxy, ProxyOptions, StoredQuestion, Token,
};
use crate::signals;

/// The most bytes that are read for a token.
const MAX_TOKEN_INPUT: u64 = 16 * 1024;

/// Runs the proxy. The first SIGTERM or Ctrl-C shuts it down gracefully, a second one at once.
pub async fn run(app: &App, args: ProxyArgs) -> anyhow::Result<Exit> {
    // First of all: otherwise a signal right after a prompt or the announcement would be lost.
    let requests = signals::stop_requests();
    let prepared = tokio::select! {
        prepared = prepare(app, &args) => prepared?,
        () = signals::stop_requested(requests.clone(), 1) => return Ok(Exit::Interrupted),
    };
    announce(app, &args, &prepared);
    tokio::select! {
        served = prepared.serve(app, signals::stop_requested(requests.clone(), 1)) => served.map(|()| Exit::Done),
        () = signals::stop_requested(requests, 2) => Ok(Exit::Interrupted),
    }
}

/// A proxy that listens, with its credential.
pub(super) struct PreparedProxy {
    proxy: Proxy,
    context: Context,
    credential: CurrentCredential,
    /// Questions for a newer credential.
    questions: Receiver<StoredQuestion>,
}

impl PreparedProxy {
    /// Listens, then gets the credential from its store.
    ///
    /// # Errors
    /// When there is no credential, the port cannot be bound, or the store cannot be read.
    pub(super) async fn new(app: &App, options: ProxyOptions) -> anyhow::Result<Self> {
        let context = Context::resolve(app, Audience::Model { cloud: true })?;
        // Before a keyring prompts.
        let proxy = Proxy::bind(options)?;
        let host = context.url();
        if host.is_loopback() && host.port() == proxy.local().port() {
            let message = format!("{host} is this proxy itself");
            let hint = "name the host with --host, or unset OLLAMA_HOST";
            return Err(Problem::new(Exit::Usage, message).hint(hint).into());
        }
        if context.source == CredentialSource::None {
            return Err(no_credential(app, &context).into());
        }
        let files = stored_credential::files(app, &context);
        let session = context.session(app).await?;
        session.add_demanded_proof().await;
        let forwarder = session.forwarder()?;
        let (credential, questions) = CurrentCredential::new(files, forwarder);
        Ok(Self { proxy, context, credential, questions })
    }

    /// Where its credential comes from.
    pub(super) fn source(&self) -> CredentialSource {
        self.context.source
    }

    /// Where it listens.
    pub(super) fn local(&self) -> SocketAddr {
        self.proxy.local()
    }

    /// Forwards requests until `stop` ends.
    ///
    /// # Errors
    /// When the port cannot be used.
    pub(super) async fn serve(self, app: &App, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let on_refused = report_refusal(app, &self.context);
        tokio::select! {
            served = self.proxy.run(self.credential, on_refused, stop) => served.map_err(Into::into),
            () = stored_credential::answer(app, &self.context, self.questions) => Ok(()),
        }
    }
}

/// What to print when the host refuses the credential.
fn report_refusal(app: &App, context: &Context) -> impl Fn(CredentialRefused) + Send + Sync + 'static {
    let (printer, host, source) = (app.printer.clone(), context.url().to_string(), context.source);
    move |CredentialRefused { skew }| {
        let advice = match source {
            CredentialSource::Environment => format!("{}, then start the proxy again", refused_hint("OLLAMA_API_KEY")),
            CredentialSource::File => "put a valid key into the credentials file".to_owned(),
            CredentialSource::Token(_) => format!("ask the administrator of {host} for a workload rule"),
            _ => unauthorized_hint(&host, true, skew),
        };
        printer.warn(&format!("{host} refused the credential (401); {advice}"));
    }
}

/// Reads the arguments, then prepares the proxy.
async fn prepare(app: &App, args: &ProxyArgs) -> anyhow::Result<PreparedProxy> {
    let listen = address(&args.listen)?;
    let origins = args.allow_origins.iter().map(|text| origin(text)).collect::<anyhow::Result<_>>()?;
    let token = read_token(app, args).await?;
    PreparedProxy::new(app, ProxyOptions { listen, origins, token }).await
}

/// A loopback address with a port. `localhost` is 127.0.0.1.
fn address(text: &str) -> anyhow::Result<SocketAddr> {
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let problem = |message: String| Problem::new(Exit::Usage, message).hint("such as --listen 127.0.0.1:11436");
    let address: SocketAddr = numeric
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| problem(format!("--listen {text:?} is not an IP address with a port")))?;
    if !address.ip().is_loopback() {
        let message = format!("--listen {address} is not a loopback address: other machines could use your credential");
        return Err(problem(message).into());
    }
    Ok(address)
}

fn origin(text: &str) -> anyhow::Result<AllowedOrigin> {
    let hint = "give the origin of one page, such as --allow-origin http://localhost:3000";
    let origin = text.parse::<AllowedOrigin>();
    origin.map_err(|error| Problem::new(Exit::Usage, format!("--allow-origin {error}")).hint(hint).into())
}

fn no_credential(app: &App, context: &Context) -> Problem {
    let url = context.url();
    let message = match context.withheld {
        Some(withheld) => withheld_note(withheld, url),
        None => format!("not signed in to {url}, so the proxy has no credential to add"),
    };
    let advice = Context { withheld: None, ..context.clone() }.sign_in_advice(app);
    Problem::new(Exit::SignIn, message).hint(format!("{advice}, or name another host with --host"))
}

/// Prints where the proxy listens, for which host, and with which credential.
fn announce(app: &App, args: &ProxyArgs, prepared: &PreparedProxy) {
    let (local, context) = (prepared.local(), &prepared.context);
    let url = format!("http://{local}");
    let wants_token = args.token_stdin || args.token_file.is_some();
    if app.printer.is_json() {
        let event = serde_json::json!({
            "url": url, "listen": local.to_string(), "upstream": context.url().to_string(),
            "profile": context.target.profile, "token": wants_token,
        });
        app.printer.event("listening", &event);
    } else {
        let credential = match context.source {
            CredentialSource::File => "the key in the credentials file",
            CredentialSource::Environment => "the key in OLLAMA_API_KEY",
            CredentialSource::ProfileKey => "the profile's API key",
            CredentialSource::ProfileDevice => "this device's key",
            CredentialSource::Token(origin) => origin.describe(),
            CredentialSource::None => "no credential",
        };
        app.printer.report(&format!("Proxy at {url}, for {} with {credential}", context.url()));
    }
    if !wants_token && !KNOWS_CALLERS {
        app.printer
            .warn("programs of every account on this machine can use the proxy; set a token with --token-file FILE");
    }
}

/// Reads the token from standard input or a file, if one is asked for.
///
/// # Errors
/// Exit 2 for an invalid token; a file that cannot be read, or that others can read.
async fn read_token(app: &App, args: &ProxyArgs) -> anyhow::Result<Option<Token>> {
    let text = match &args.token_file {
        Some(path) => token_in_file(app, path)?,
        None if args.token_stdin => token_on_stdin(app).await?,
        None => return Ok(None),
    };
    let token = Token::new(&text).map_err(|error| {
        Problem::new(Exit::Usage, error.to_string()).hint("make one: openssl rand -hex 24 >FILE; chmod 600 FILE")
    })?;
    Ok(Some(token))
}

fn token_in_file(app: &App, path: &Path) -> anyhow::Result<SecretString> {
    // A service manager gives access by an ACL, which looks like a group's permission.
    let is_systemd_credential = app.env.credentials_directory.as_ref().is_some_and(|folder| path.starts_with(folder));
    let exposure = if is_systemd_credential { Exposure::Group } else { Exposure::Owner };
    let bytes = disk::read_input(path, exposure)?
        .ok_or_else(|| Problem::new(Exit::Usage, format!("there is no file {}", path.display())))?;
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Problem::new(Exit::Usage, format!("{} is not valid UTF-8", path.display())))?;
    Ok(SecretString::from(text))
}

async fn token_on_stdin(app: &App) -> anyhow::Result<SecretString> {
    if app.printer.stdin_is_terminal() {
        if !app.printer.is_interactive() {
            return Err(Problem::new(Exit::Usage, "no token was given")
                .hint("pipe it in, or pass --token-file")
                .into());
        }
        return Ok(app.ask(|printer| printer.hidden("Token")).await??);
    }
    let text = app
        .ask(|_| read_stdin())
        .await?
        .map_err(|error| Problem::new(Exit::Usage, format!("cannot read the token from standard input: {error}")))?;
    Ok(SecretString::from(text.as_str()))
}

fn read_stdin() -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(MAX_TOKEN_INPUT + 1).read_to_string(&mut text)?;
    Ok(text)
}
