//! `signin --server`: connects the key of an Ollama server, which it uses for cloud models on behalf of all its callers.

use std::time::Duration;

use super::{ApprovalLink, ApprovalPoll, Report};
use crate::address::BaseUrl;
use crate::api::{ApiError, Credential, Me, Session};
use crate::app::App;
use crate::cli::{SigninArgs, SpanArg};
use crate::exit::{Exit, Problem};
use crate::identity::ConnectUrl;

/// How long to wait for the approval: the default of `signin`.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A session with the server that `--server` means: `--host`, else `OLLAMA_HOST`, else the local one. It carries no
/// credential, and profiles play no part: this is about a server's key.
///
/// # Errors
/// Exit 2 for ollama.com.
pub fn session_with_server(app: &App) -> anyhow::Result<Session<'_>> {
    let named = app.host.clone().or_else(|| app.ollama_host.clone());
    let url = named.unwrap_or_else(BaseUrl::local);
    if url.is_ollama_com() {
        let message = "--server is for your own Ollama server, not for ollama.com";
        let hint = "to sign this device in or out at ollama.com, leave out --server";
        return Err(Problem::new(Exit::Usage, message).hint(hint).into());
    }
    Ok(Session::new(&app.transport, url, Credential::None, false, app.now)?)
}

/// Runs it.
pub async fn run(app: &App, args: SigninArgs) -> anyhow::Result<Exit> {
    sign_in(app, &session_with_server(app)?, args).await
}

/// The arguments of a plain `signin --server`, for a command that needs the sign-in first.
pub fn default_args() -> SigninArgs {
    SigninArgs {
        device_name: None,
        no_browser: false,
        no_wait: false,
        timeout: SpanArg(TIMEOUT),
        qr: false,
        with_api_key: false,
        server: true,
        stray: Vec::new(),
    }
}

/// Signs in the server of a session that carries no credential.
///
/// # Errors
/// Exit 4 when it is not approved in time; otherwise the error of the server.
pub async fn sign_in(app: &App, session: &Session<'_>, args: SigninArgs) -> anyhow::Result<Exit> {
    let url = session.base().clone();
    let host = url.to_string();
    let ask = async || session.me().await;
    let offered = match ask().await.map_err(|error| explain(error, &host))? {
        Me::SignedIn(account) => {
            app.printer.success(&format!("The server at {host} is already signed in as {}", account.label()));
            report(&host, true, true, Some(&account), None).print(app)?;
            return Ok(Exit::Done);
        }
        Me::SignedOut { signin_url, .. } => signin_url,
    };
    let Some(offered) = offered else {
        let message = format!("{host} offers no sign-in link: it is not a plain Ollama server, or an old version");
        let hint = format!("to sign in this device: ollama-auth signin --host {host}");
        return Err(Problem::new(Exit::Failed, message).hint(hint).into());
    };
    let link = trusted_link(&offered, &url)?;
    // Rebuilt, so that anything else the server put into the link is left out.
    let offered = link.to_string();
    let facts = [("Server", link.device_name().to_owned()), ("Fingerprint", link.key().grouped_fingerprint())];
    if args.no_wait {
        if app.printer.is_json() {
            report(&host, false, false, None, Some(offered)).print(app)?;
        } else {
            app.printer.data(&offered)?;
        }
        return Ok(Exit::SignIn);
    }
    let (url, open) = (offered.as_str(), !args.no_browser);
    ApprovalLink { url, facts: &facts, code: None, fingerprint: None, qr: args.qr, open }.show(app);
    let poll = ApprovalPoll { host: &host, timeout: args.timeout.0, resume: "run `ollama-auth signin --server` again" };
    let approval = poll.until_approved(app, ask).await?;
    app.printer.success(&format!("The server at {host} is signed in as {}", approval.account.label()));
    report(&host, true, false, Some(&approval.account), None).print(app)?;
    Ok(Exit::Done)
}

/// Accepts sign-in pages of ollama.com and of the server itself only.
fn trusted_link(offered: &str, server: &BaseUrl) -> anyhow::Result<ConnectUrl> {
    let link = ConnectUrl::parse(offered);
    match link {
        Ok(link) if link.origin() == BaseUrl::ollama_com().origin() && link.path() == "/connect" => Ok(link),
        Ok(link) if link.origin() == server.origin() => Ok(link),
        _ => {
            let message = format!("{server} offers an untrusted sign-in link: {offered}");
            let hint =
                "the link was not opened; the link of a plain Ollama server begins with https://ollama.com/connect";
            Err(Problem::new(Exit::Failed, message).hint(hint).into())
        }
    }
}

fn explain(error: ApiError, host: &str) -> anyhow::Error {
    match error {
        ApiError::TryLater { status: 503, message, .. } => {
            let message = format!("the server at {host} cannot reach ollama.com ({message})");
            Problem::new(Exit::TryLater, message).hint("check the network of that machine, then try again").into()
        }
        other => other.into(),
    }
}

fn report<'a>(
    host: &str,
    signed_in: bool,
    already: bool,
    account: Option<&'a crate::identity::Account>,
    connect_url: Option<String>,
) -> Report<'a> {
    Report {
        signed_in,
        already,
        host: host.to_owned(),
        profile: None,
        account,
        credential: "server-key",
        fingerprint: None,
        connect_url,
        user_code: None,
        verification_uri: None,
    }
}
