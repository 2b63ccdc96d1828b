//! What a host's error means for the person and the script.

use serde_json::Value;

use super::code::Exit;
use crate::api::{
    ApiError, Conflict, ForbiddenReason, MissingProof, Remedy, Renewal, TokenError, Unreachable, offset_in_words,
};
use crate::local_time::local_time;
use crate::relative_time;
use crate::shell::quoted;

/// What to do about an error of a host that is reported among other things.
pub fn api_hint(error: &ApiError) -> Option<String> {
    classify_api_error(error).1
}

/// How a gateway says that a signature was used before.
const REPLAY_MESSAGES: [&str; 2] = ["signature was used already", "signed before this gateway started"];

/// How a gateway says that its upstream server needs a sign-in of its own.
const UPSTREAM_SIGNED_OUT: &str = "is not signed in to ollama.com";

/// The code and the hint of a host's error.
pub fn classify_api_error(error: &ApiError) -> (Exit, Option<String>) {
    match error {
        ApiError::Unreachable { host, kind, .. } => (Exit::Unreachable, Some(unreachable_hint(host, *kind))),
        ApiError::NoAuthorities { .. } => (
            Exit::Unreachable,
            Some("install the system's CA certificates (Debian: ca-certificates), or name a file with --ca-cert or SSL_CERT_FILE".into()),
        ),
        ApiError::CaFile { .. } => (Exit::Usage, Some("give a PEM file of certificates with --ca-cert".into())),
        // The credential is valid, but this signature was used already.
        ApiError::Unauthorized { message, from_gateway: true, .. }
            if error.skew().is_none() && REPLAY_MESSAGES.iter().any(|words| message.contains(words)) =>
        {
            (Exit::SignIn, Some("this signature cannot be used any more: run the command again".to_owned()))
        }
        ApiError::Unauthorized { remedy: Some(remedy), .. } => match &**remedy {
            Remedy::Replace(origin) => (Exit::SignIn, Some(refused_hint(origin))),
            Remedy::Advice(advice) => (Exit::SignIn, Some(advice.clone())),
        },
        ApiError::Unauthorized { host, had_credential, .. } => {
            (Exit::SignIn, Some(unauthorized_hint(host, *had_credential, error.skew())))
        }
        ApiError::Forbidden { reason: ForbiddenReason::Address, .. } => (
            Exit::Forbidden,
            Some("the host accepts this only from other addresses: use the network that it is meant for, or ask the administrator of the host".into()),
        ),
        ApiError::Forbidden { reason: ForbiddenReason::Suspended, .. } => {
            (Exit::Forbidden, Some("ask the administrator of the host to lift the suspension; then it works again as before".into()))
        }
        ApiError::Forbidden { reason: ForbiddenReason::Environment, .. } => (
            Exit::Forbidden,
            Some("use an API key with the label of that environment (ollama-auth keys create NAME --env ENVIRONMENT), or this credential at the address that it is for; if your role does not allow the environment, ask the administrator of the host".into()),
        ),
        ApiError::Forbidden { reason: ForbiddenReason::Cap, .. } => (
            Exit::Forbidden,
            Some("ask for less, as the message says: a smaller context, fewer tokens, a shorter time in memory; or ask the administrator of the host to raise the cap".into()),
        ),
        ApiError::Forbidden { missing: Some(missing), host, .. } => (Exit::Forbidden, Some(missing_proof_hint(missing, host))),
        ApiError::Forbidden { had_credential: true, .. } => {
            (Exit::Forbidden, Some("the credential is valid but does not have this right; ask the administrator of the host".into()))
        }
        ApiError::Forbidden { host, .. } => (
            Exit::Forbidden,
            Some(format!("no credential was sent; a plain Ollama server rejects a host name that it does not know: check {host}")),
        ),
        ApiError::NotFound { host, recognised: true, .. } => (Exit::NotFound, Some(format!("check the address {host}"))),
        // Ollama's own errors are JSON: something else answered.
        ApiError::NotFound { host, .. } => {
            (Exit::Failed, Some(format!("there is no Ollama API at this address: check the host and the path in {host}")))
        }
        ApiError::TryLater { renewal: Some(renewal), .. } => (Exit::TryLater, Some(renewal_hint(renewal))),
        ApiError::TryLater { host, status, message, retry_after, request, .. } => {
            let hint = match retry_after {
                // A gateway says so itself.
                _ if message.contains("try again in ") || message.contains("try again when ") => None,
                Some(wait) => Some(format!("try again in {} s", wait.as_secs())),
                None => Some("try again in a moment".to_owned()),
            };
            // Too many requests are no failure of the server.
            let hint = match (request, hint) {
                (Some(id), Some(hint)) if *status >= 500 => Some(hint + &named(Some(id))),
                (Some(id), None) if *status >= 500 => Some(format!("the log of {host} has more about request {id}")),
                (_, hint) => hint,
            };
            (Exit::TryLater, hint)
        }
        ApiError::Redirect { .. } => (
            Exit::Failed,
            Some("a credential is sent to one host only; if that address is right, pass it with --host".into()),
        ),
        ApiError::InsecureHttp { .. } => (
            Exit::Usage,
            Some("use https, or pass --allow-insecure-http if you trust the network in between".into()),
        ),
        ApiError::ForeignListener { host, .. } => (
            Exit::Usage,
            Some(format!("if you trust that account, sign in there once: ollama-auth signin --with-api-key --host {}", quoted(host))),
        ),
        ApiError::GatewayKey { .. } => (
            Exit::Usage,
            Some("name the gateway that the key is for: set OLLAMA_HOST, or pass --host".into()),
        ),
        ApiError::GatewayToken { .. } => (
            Exit::Usage,
            Some("name the gateway that the token is for: set OLLAMA_HOST, or pass --host".into()),
        ),
        ApiError::Token(error) => classify_token_error(error),
        ApiError::Unproven { .. } => (Exit::Failed, Some("this request would sign out a plain Ollama server: use another host".into())),
        ApiError::Body { .. } => (Exit::Failed, Some("check the file or program that provides the body".into())),
        ApiError::Unsendable { .. } => (Exit::Usage, Some("check that the complete key was pasted, and nothing else".into())),
        ApiError::Cut { .. } => (Exit::Failed, Some("the output above is incomplete; run the command again".into())),
        ApiError::InStream { message, host } if message.to_ascii_lowercase().contains("unauthorized") => {
            (Exit::SignIn, Some(unauthorized_hint(host, false, None)))
        }
        ApiError::Conflict { conflict: Conflict::Replaced(id), host, .. } => (
            Exit::Failed,
            Some(format!("use {id}, or revoke it first: ollama-auth keys revoke {id} --yes --host {host}")),
        ),
        ApiError::Conflict { .. } => (Exit::Failed, Some("list the keys: ollama-auth keys list".into())),
        ApiError::Status { status: 413, .. } => (
            Exit::Failed,
            Some("send less, or raise the limit: an ollama-auth gateway names its setting, such as max-scanned-body (16 MiB by default)".into()),
        ),
        // The administrator of the gateway has to sign that server in, which a host that is down does not need.
        ApiError::Status { status: 502, message, .. } if message.contains(UPSTREAM_SIGNED_OUT) => (
            Exit::SignIn,
            Some("ask the administrator of the gateway to sign in its Ollama server: ollama-auth signin --server --host UPSTREAM".into()),
        ),
        ApiError::Status { status: 502 | 504, host, request, .. } => (
            Exit::Unreachable,
            Some(format!("{host} answers, but its upstream server does not: try again later, or tell its administrator{}", named(request.as_deref()))),
        ),
        ApiError::Status { status: ..500, host, .. } => {
            (Exit::Failed, Some(format!("check the command and the address; the log of {host} may say more")))
        }
        ApiError::Status { host, request, .. } => {
            (Exit::Failed, Some(format!("the server failed: check the log of {host}{}", named(request.as_deref()))))
        }
        ApiError::InStream { host, .. } => (Exit::Failed, Some(format!("the server failed: check the log of {host}"))),
        ApiError::Protocol { host, .. } => {
            (Exit::Failed, Some(format!("check that {host} is an Ollama server, and that no proxy answers in its place")))
        }
    }
}

/// What a program may want to know of a host's error beside its code and its message.
pub fn api_error_members(error: &ApiError) -> Vec<(&'static str, Value)> {
    let (retry_after, renewal, request) = match error {
        ApiError::TryLater { retry_after, renewal, request, .. } => (*retry_after, *renewal, request),
        ApiError::Status { request, .. } => (None, None, request),
        _ => return Vec::new(),
    };
    let request = request.as_deref().map(|id| ("request_id", id.into()));
    let wait = retry_after.map(|wait| ("retry_after_s", wait.as_secs().into()));
    let renewal = renewal.map(|renewal| ("renews_at", renewal.at.to_string().into()));
    wait.into_iter().chain(renewal).chain(request).collect()
}

/// The request, as a host's log names it.
fn named(request: Option<&str>) -> String {
    request.map(|id| format!(" (request {id})")).unwrap_or_default()
}

/// When a budget renews: by the clock of this machine, and how far off that is.
fn renewal_hint(renewal: &Renewal) -> String {
    let Renewal { at, told_at } = *renewal;
    let far = relative_time::until(at.as_second(), told_at.as_second());
    format!("the budget renews at {} ({far})", local_time(at, told_at))
}

/// The code and the hint where no OIDC token could be had.
fn classify_token_error(error: &TokenError) -> (Exit, Option<String>) {
    match error {
        TokenError::Unusable { hint, .. } => (Exit::Usage, hint.clone()),
        TokenError::Refused { hint, .. } => (Exit::SignIn, hint.clone()),
        TokenError::Endpoint(error) => {
            let (exit, hint) = classify_api_error(error);
            let hint = match exit {
                Exit::Unreachable | Exit::TryLater => "GitHub runs this endpoint: start the job again in a moment".to_owned(),
                _ if matches!(**error, ApiError::Redirect { .. } | ApiError::Protocol { .. }) => {
                    "leave ACTIONS_ID_TOKEN_REQUEST_URL as GitHub sets it, and check that no proxy answers in GitHub's place".to_owned()
                }
                _ => return (exit, hint),
            };
            (exit, Some(hint))
        }
    }
}

/// What to do where a gateway demands two proofs and one is not stored here.
fn missing_proof_hint(missing: &MissingProof, host: &str) -> String {
    let host = quoted(host);
    match missing {
        MissingProof::DeviceSignature(_) => {
            format!("sign in this device too; then both are sent: ollama-auth signin --host {host}")
        }
        MissingProof::ApiKey => format!(
            "create an API key on the page /settings/keys of the host, and store it beside the device; then both are sent: ollama-auth keys import --host {host}"
        ),
    }
}

fn unreachable_hint(host: &str, kind: Unreachable) -> String {
    let local = host.starts_with("http://127.0.0.1:11434") || host.starts_with("http://localhost:11434");
    match kind {
        _ if local => {
            "is Ollama running? start it with `ollama serve`, or name another host with --host or OLLAMA_HOST".into()
        }
        Unreachable::Dns => "check the spelling of the host and the network connection".into(),
        Unreachable::Tls => "check the address; for a private authority give its certificate with --ca-cert".into(),
        _ => "check the address, the network and the proxy settings, then try again".into(),
    }
}

/// What to do about a refused or missing credential. A wrong clock comes first: it invalidates every signature.
pub fn unauthorized_hint(host: &str, had_credential: bool, skew: Option<i64>) -> String {
    if let Some(ahead) = skew.filter(|_| had_credential) {
        return clock_hint(host, ahead);
    }
    if had_credential {
        format!("sign in again: ollama-auth signin --host {}", quoted(host))
    } else {
        format!("sign in: ollama-auth signin --host {}, or set OLLAMA_API_KEY", quoted(host))
    }
}

/// What to do about a refused credential that no sign-in replaces, since it takes precedence over the profile's.
pub fn refused_hint(origin: &str) -> String {
    format!("{origin} was refused: replace it or unset it")
}

/// Says by how much the clock is off.
pub fn clock_hint(host: &str, ahead: i64) -> String {
    let offset = offset_in_words(ahead);
    format!(
        "this machine's clock is {offset} that of {host}, and signatures contain the time: set the clock, then try again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Problem;

    #[test]
    fn a_wrong_clock_is_named_before_a_new_sign_in() {
        assert!(unauthorized_hint("h", true, Some(600)).contains("10 minutes ahead of that of h"));
        assert!(unauthorized_hint("h", true, Some(-90)).contains("90 seconds behind"));
        assert!(unauthorized_hint("h", false, Some(600)).starts_with("sign in: "));
    }

    #[test]
    fn a_refused_variable_is_named_instead_of_a_sign_in() {
        let error = ApiError::Unauthorized {
            host: "https://h".into(),
            message: "unauthorized".into(),
            signin_url: None,
            user_code: None,
            retry_after: None,
            had_credential: true,
            remedy: Some(Box::new(Remedy::Replace("OLLAMA_API_KEY".into()))),
            from_gateway: false,
            recognised: true,
            clock_offset: None,
        };
        let hint = Problem::from_error(&error.into()).hint.unwrap();
        assert_eq!(hint, "OLLAMA_API_KEY was refused: replace it or unset it");
    }

    #[test]
    fn a_signature_that_was_used_is_made_anew_without_a_new_sign_in() {
        for words in
            ["unauthorized: this signature was used already", "the request was signed before this gateway started"]
        {
            let error = ApiError::Unauthorized {
                host: "https://h".into(),
                message: words.into(),
                signin_url: None,
                user_code: None,
                retry_after: None,
                had_credential: true,
                remedy: None,
                from_gateway: true,
                recognised: true,
                clock_offset: None,
            };
            let problem = Problem::from_error(&error.into());
            assert_eq!(problem.exit, Exit::SignIn, "{words}");
            let hint = problem.hint.unwrap();
            assert!(hint.contains("run the command again") && !hint.contains("sign in"), "{hint}");
        }
    }
}
