//! `token`: the credential for another program. An API key is printed as it is; a device key never leaves us, so what is printed
//! is one header for one request.

use secrecy::ExposeSecret as _;
use serde::Serialize;
use zeroize::Zeroizing;

use super::context::{Context, sign_in_hint, withheld_note};
use super::request_path::RequestPath;
use crate::api::{ApiError, Credential, Session};
use crate::app::App;
use crate::cli::TokenArgs;
use crate::exit::{Exit, Problem};
use crate::profile::{Audience, CredentialSource};

/// What `token --json` prints. It holds a secret, so nothing else prints it.
#[derive(Serialize)]
struct Report<'a> {
    host: String,
    /// `api-key`, or `signature`.
    r#type: &'static str,
    /// The key alone, or with METHOD PATH the value of the `Authorization` header.
    value: &'a str,
    /// The method that it is for; `null` for a key alone.
    method: Option<String>,
    /// The URL to send the request to: a signature is good for this one alone. `null` for a key alone.
    url: Option<String>,
    /// The Unix time in a signature, in seconds, which is also in the URL's query.
    ts: Option<i64>,
}

/// Runs it.
pub async fn run(app: &App, args: TokenArgs) -> anyhow::Result<Exit> {
    let context = Context::resolve(app, Audience::Model { cloud: true })?;
    let host = context.url().clone();
    let wanted = match (&args.method, &args.path) {
        (Some(method), Some(path)) => Some((method.0.clone(), RequestPath::read(path, &host)?)),
        _ => None,
    };
    let credential = required(app, &context).await?;
    let key = if let Credential::ApiKey(key) = &credential { Some(key.clone()) } else { None };
    let is_key = key.is_some();
    let session = context.session_with(app, credential)?;
    let Some((method, path)) = wanted else {
        let key = key.ok_or_else(|| needs_a_request(&context))?;
        let report = Report {
            host: host.to_string(),
            r#type: "api-key",
            value: key.expose_secret(),
            method: None,
            url: None,
            ts: None,
        };
        print(app, &args, &report)?;
        app.printer
            .note(&format!("Keep this secret: it is the API key for {host}, valid until it expires or is revoked."));
        return Ok(Exit::Done);
    };
    if !is_key {
        path.require_no_time()?;
    }
    let (url, value) = header(&session, &method, &path.path, &path.pairs())?;
    let report = Report {
        host: host.to_string(),
        r#type: if is_key { "api-key" } else { "signature" },
        value: &value,
        ts: if is_key { None } else { ts_of(&url) },
        method: Some(method.clone()),
        url: Some(url.clone()),
    };
    print(app, &args, &report)?;
    if is_key {
        app.printer.note(&format!("Keep this secret: it contains the API key for {host}."));
    } else {
        app.printer.note(&format!("Keep this secret: for about a minute it authorizes one request, {method} {url}."));
    }
    Ok(Exit::Done)
}

/// The credential of the context, which must have one.
///
/// # Errors
/// Exit 4 when it has none.
pub(super) async fn required(app: &App, context: &Context) -> anyhow::Result<Credential> {
    if context.source == CredentialSource::None {
        let url = context.url();
        let hint = context.withheld.map_or_else(|| sign_in_hint(url), |withheld| withheld_note(withheld, url));
        return Err(Problem::new(Exit::SignIn, format!("not signed in to {url}")).hint(hint).into());
    }
    context.credential(app).await
}

/// URL and header of a request.
fn header(
    session: &Session<'_>,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
) -> anyhow::Result<(String, Zeroizing<String>)> {
    let (url, value) = session.authorize(method, path, query)?;
    let value = value.as_ref().and_then(|value| value.to_str().ok());
    let value = value.ok_or_else(|| ApiError::Unsendable { host: session.base().to_string() })?;
    Ok((url, Zeroizing::new(value.to_owned())))
}

fn ts_of(url: &str) -> Option<i64> {
    let url = url::Url::parse(url).ok()?;
    url.query_pairs().find(|(name, _)| name == "ts")?.1.parse().ok()
}

fn needs_a_request(context: &Context) -> Problem {
    let message =
        format!("the credential for {} is a device key: it signs single requests and is never printed", context.url());
    let hint = "to sign a request: ollama-auth token GET /api/tags\nto send it: ollama-auth api /api/tags\nto start a program: ollama-auth exec -- PROGRAM\nto create an API key: ollama-auth keys create NAME --save";
    Problem::new(Exit::Usage, message).hint(hint)
}

fn print(app: &App, args: &TokenArgs, report: &Report<'_>) -> anyhow::Result<()> {
    if app.printer.is_json() {
        app.printer.print_secret_json(report)?;
    } else if args.header {
        app.printer.print_secret(&Zeroizing::new(format!("Authorization: {}", report.value)))?;
    } else {
        app.printer.print_secret(report.value)?;
    }
    Ok(())
}
