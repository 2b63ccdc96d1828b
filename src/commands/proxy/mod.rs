//! `proxy`: a loopback port that adds this profile's credential, for programs that can neither sign nor hold a key.

mod token;

use std::net::SocketAddr;

use super::context::{Context, sign_in_hint, withheld_note};
use crate::api::Forwarder;
use crate::app::App;
use crate::cli::ProxyArgs;
use crate::exit::{Exit, Problem, unauthorized_hint};
use crate::profile::{Audience, CredentialSource};
use crate::proxy::{AllowedOrigin, Proxy, ProxyOptions, Refused};
use crate::signals;

/// Runs it. SIGTERM and Ctrl-C end it in good order, a second one at once.
pub async fn run(app: &App, args: ProxyArgs) -> anyhow::Result<Exit> {
    // Before anything is asked or announced: a signal that comes right after it would end us otherwise.
    let requests = signals::requests_to_stop();
    let (proxy, context, forwarder) = tokio::select! {
        prepared = prepare(app, &args) => prepared?,
        () = signals::asked(requests.clone(), 1) => return Ok(Exit::Interrupted),
    };
    announce(app, &args, proxy.local(), &context);
    let (printer, host) = (app.printer.clone(), context.url().to_string());
    let on_refused = move |Refused { skew }| {
        let advice = unauthorized_hint(&host, true, skew);
        printer.warn(&format!("{host} refuses this credential (401); {advice}, then start the proxy again"));
    };
    let serving = proxy.run(forwarder, on_refused, signals::asked(requests.clone(), 1));
    tokio::select! {
        served = serving => served.map(|()| Exit::Done).map_err(Into::into),
        () = signals::asked(requests, 2) => Ok(Exit::Interrupted),
    }
}

/// Everything that can fail: what was typed, the credential, the port. The credential is fetched this once.
async fn prepare(app: &App, args: &ProxyArgs) -> anyhow::Result<(Proxy, Context, Forwarder)> {
    let listen = address(&args.listen)?;
    let origins = args.allow_origins.iter().map(|text| origin(text)).collect::<anyhow::Result<_>>()?;
    let token = token::read(app, args).await?;
    let context = Context::resolve(app, Audience::Model { cloud: true })?;
    // Before a keyring asks its questions.
    let proxy = Proxy::bind(ProxyOptions { listen, origins, token })?;
    let host = context.url();
    if host.is_loopback() && host.port() == proxy.local().port() {
        let message = format!("{host} is this proxy itself: it would ask itself");
        return Err(Problem::new(Exit::Usage, message).hint("name the host with --host, or unset OLLAMA_HOST").into());
    }
    if context.source == CredentialSource::None {
        return Err(no_credential(&context).into());
    }
    let forwarder = context.session(app).await?.forwarder()?;
    Ok((proxy, context, forwarder))
}

/// An address of this machine that no other can reach. `localhost` is 127.0.0.1.
fn address(text: &str) -> anyhow::Result<SocketAddr> {
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let problem = |message: String| Problem::new(Exit::Usage, message).hint("such as --listen 127.0.0.1:11436");
    let address: SocketAddr = numeric
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| problem(format!("--listen {text:?} is no address with a port")))?;
    if !address.ip().is_loopback() {
        let message = format!(
            "--listen {address}: other machines could reach this, and whoever reaches it uses your credential; it listens on loopback only"
        );
        return Err(problem(message).into());
    }
    Ok(address)
}

fn origin(text: &str) -> anyhow::Result<AllowedOrigin> {
    let hint = "give the origin of one page, such as --allow-origin http://localhost:3000";
    let origin = text.parse::<AllowedOrigin>();
    origin.map_err(|error| Problem::new(Exit::Usage, format!("--allow-origin {error}")).hint(hint).into())
}

fn no_credential(context: &Context) -> Problem {
    let url = context.url();
    let message = match context.withheld {
        Some(withheld) => withheld_note(withheld, url),
        None => format!("not signed in to {url}: there is no credential that the proxy could add"),
    };
    Problem::new(Exit::SignIn, message).hint(format!("{}, or name another host with --host", sign_in_hint(url)))
}

/// Says where it listens and for whom.
fn announce(app: &App, args: &ProxyArgs, local: SocketAddr, context: &Context) {
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
            CredentialSource::None => "no credential",
        };
        app.printer.report(&format!("Proxy at {url}, for {} with {credential}", context.url()));
    }
    if !wants_token && !cfg!(target_os = "linux") {
        app.printer.warn(
            "every program on this machine can use it, those of other accounts too: set a token with --token-file",
        );
    }
}
