//! `token`: the credential for another program. An API key and an OIDC token are printed as they are; a device key never leaves us,
//! so what is printed is one header for one request.

use secrecy::ExposeSecret as _;
use serde::Serialize;
use zeroize::Zeroizing;

use super::context::Context;
use super::request_path::RequestPath;
use crate::api::{ApiError, Credential, Session};
use crate::app::App;
use crate::cli::TokenArgs;
use crate::exit::{Exit, Problem};
use crate::profile::{Audience, CredentialSource};
use crate::relative_time;

/// What `token --json` prints. It holds a secret, so nothing else prints it.
#[derive(Serialize)]
struct Report<'a> {
    host: String,
    /// `api-key`, `token` or `signature`.
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
    let key = match &credential {
        Credential::ApiKey(key) => Some((key.clone(), Bearer::ApiKey)),
        Credential::Workload(token) => Some((token.secret(), Bearer::Token(token.claims().expires_at()))),
        Credential::Device(_) | Credential::None => None,
    };
    let is_key = key.is_some();
    let session = context.session_with(app, credential)?;
    let Some((method, path)) = wanted else {
        let (key, bearer) = key.ok_or_else(|| needs_a_request(&context))?;
        let report = Report {
            host: host.to_string(),
            r#type: bearer.kind(),
            value: key.expose_secret(),
            method: None,
            url: None,
            ts: None,
        };
        print(app, &args, &report)?;
        let note = match bearer {
            Bearer::ApiKey => format!("it is the API key for {host}, valid until it expires or is revoked"),
            Bearer::Token(end) => format!("it is a token for {host}, valid {}", until(end, (app.now)())),
        };
        app.printer.note(&format!("Keep this secret: {note}."));
        return Ok(Exit::Done);
    };
    if !is_key {
        path.require_no_time()?;
    }
    let (url, value) = header(&session, &method, &path.path, &path.pairs())?;
    let report = Report {
        host: host.to_string(),
        r#type: key.as_ref().map_or("signature", |(_, bearer)| bearer.kind()),
        value: &value,
        ts: if is_key { None } else { ts_of(&url) },
        method: Some(method.clone()),
        url: Some(url.clone()),
    };
    print(app, &args, &report)?;
    if let Some((_, bearer)) = key {
        let what = if matches!(bearer, Bearer::ApiKey) { "the API key" } else { "a token" };
        app.printer.note(&format!("Keep this secret: it contains {what} for {host}."));
    } else {
        app.printer.note(&format!("Keep this secret: for about a minute it authorizes one request, {method} {url}."));
    }
    Ok(Exit::Done)
}

/// What is sent as a bearer token.
#[derive(Clone, Copy)]
enum Bearer {
    ApiKey,
    /// Of an issuer, and when it ends.
    Token(Option<i64>),
}

impl Bearer {
    fn kind(self) -> &'static str {
        match self {
            Self::ApiKey => "api-key",
            Self::Token(_) => "token",
        }
    }
}

/// How long a token is valid, in words.
fn until(end: Option<i64>, now: i64) -> String {
    end.map_or_else(
        || "as long as its issuer says".to_owned(),
        |end| match end - now {
            ..=0 => "no longer".to_owned(),
            left => format!("for {}", relative_time::span(left)),
        },
    )
}

/// The credential of the context, which must have one.
///
/// # Errors
/// Exit 4 when it has none.
pub(super) async fn required(app: &App, context: &Context) -> anyhow::Result<Credential> {
    if context.source == CredentialSource::None {
        let message = format!("not signed in to {}", context.url());
        return Err(Problem::new(Exit::SignIn, message).hint(context.sign_in_advice(app)).into());
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
