//! `keys`: API keys at a host that keeps accounts. Whatever changes something there needs a fresh proof that the host is one.

mod audit;
mod create;
mod findings;
mod forget;
mod import;
mod list;
mod revoke;
mod rotate;

use secrecy::SecretString;

use crate::address::BaseUrl;
use crate::api::{AccountHost, ApiError, CredentialCheck, Me, Session, looks_like_key};
use crate::app::App;
use crate::cli::KeysCommand;
use crate::commands::context::{Context, no_accounts_problem, sign_in_hint};
use crate::exit::{Exit, Problem, refused_hint};
use crate::keyspec::{ApiKey, KeyId};
use crate::profile::{ApiKeyRecord, CredentialSource};
use crate::shell::quoted;
#[cfg(feature = "gateway")]
pub use list::short;

/// Where a person makes keys of ollama.com.
const SETTINGS: &str = "https://ollama.com/settings/keys";

/// Runs it.
pub async fn run(app: &App, command: KeysCommand) -> anyhow::Result<Exit> {
    refuse_keys(&command)?;
    match command {
        KeysCommand::Create(args) => create::run(app, args).await,
        KeysCommand::List(args) => list::run(app, args).await,
        KeysCommand::Audit(args) => audit::run(app, args).await,
        KeysCommand::Import(args) => import::run(app, args).await,
        KeysCommand::Forget(args) => forget::run(app, args).await,
        KeysCommand::Revoke(args) => revoke::run(app, args).await,
        KeysCommand::Rotate(args) => rotate::run(app, args).await,
    }
}

/// An API key typed in place of a name would be sent to the host as a name, and appear in messages and logs.
///
/// # Errors
/// Exit 2, without repeating it.
fn refuse_keys(command: &KeysCommand) -> anyhow::Result<()> {
    let texts = match command {
        KeysCommand::Create(args) => vec![Some(args.name.as_str()), args.environment.as_deref()],
        KeysCommand::List(args) => args.filters.iter().map(|filter| Some(filter.pattern.as_str())).collect(),
        KeysCommand::Import(args) => vec![args.name.as_deref(), args.environment.as_deref()],
        KeysCommand::Revoke(args) => vec![args.key.as_deref()],
        KeysCommand::Rotate(args) => vec![args.key.as_deref()],
        KeysCommand::Audit(_) | KeysCommand::Forget(_) => Vec::new(),
    };
    if texts.into_iter().flatten().any(|text| looks_like_key(text.trim())) {
        let hint =
            "the key is now in the shell's history, so revoke it:\n… | ollama-auth keys revoke --key-stdin --yes";
        return Err(Problem::new(Exit::Usage, "expected the name or id of a key, found an API key").hint(hint).into());
    }
    Ok(())
}

/// A session with the credential of the context, which must have one.
///
/// # Errors
/// Exit 4 when it has none.
async fn signed_in<'a>(app: &'a App, context: &Context) -> anyhow::Result<Session<'a>> {
    if context.source == CredentialSource::None {
        let message = format!("not signed in to {}", context.url());
        return Err(Problem::new(Exit::SignIn, message).hint(context.sign_in_advice(app)).into());
    }
    context.session(app).await
}

/// A session for managing the account's keys. Where the profile has both, the device is used rather than the API key: it may do all that
/// the account may.
///
/// # Errors
/// As for [`signed_in`].
async fn managing_session<'a>(app: &'a App, context: &Context) -> anyhow::Result<Session<'a>> {
    if let Some(context) = context.with_device_key()
        && let Ok(session) = context.session(app).await
        && let Ok(Me::SignedIn(_)) = session.me().await
    {
        return Ok(session);
    }
    signed_in(app, context).await
}

/// Proves that the host keeps accounts and accepts the session.
///
/// # Errors
/// Exit 4 when it does not accept it, exit 1 when it keeps no accounts, and every answer that leaves a doubt.
pub(super) async fn prove_account_host(session: &Session<'_>) -> anyhow::Result<AccountHost> {
    let host = session.base();
    match session.check_credential().await? {
        CredentialCheck::Accepted(proof) => Ok(proof),
        CredentialCheck::Unknown => {
            let advice = session.advice().map(str::to_owned);
            let mut hint =
                advice.unwrap_or_else(|| session.credential_origin().map_or_else(|| sign_in_hint(host), refused_hint));
            if host.is_ollama_com() {
                hint = format!("{hint}\ncreate API keys of ollama.com at {SETTINGS}");
            }
            Err(Problem::new(Exit::SignIn, format!("{host} does not accept the credential")).hint(hint).into())
        }
        CredentialCheck::Inconclusive(error) => Err(error.into()),
        CredentialCheck::NoAccounts(kind) => Err(no_accounts_problem(session, kind).into()),
    }
}

/// The error of a request for keys to a host that may not know of such requests.
fn explain(error: ApiError, host: &BaseUrl) -> anyhow::Error {
    match error {
        ApiError::NotFound { .. } => not_offered(host, 404).into(),
        ApiError::Status { status: status @ (405 | 501), .. } => not_offered(host, status).into(),
        other => other.into(),
    }
}

/// Whether that is what an error says: the host knows of no such requests.
fn is_not_offered(error: &ApiError) -> bool {
    matches!(error, ApiError::NotFound { .. } | ApiError::Status { status: 405 | 501, .. })
}

fn not_offered(host: &BaseUrl, status: u16) -> Problem {
    if host.is_ollama_com() {
        let message =
            format!("{host} has no API for keys (status {status}); create, list and revoke them at {SETTINGS}");
        return Problem::new(Exit::Failed, message).hint("create a key there, then run: ollama-auth keys import");
    }
    let message = format!("{host} has no API for keys (status {status})");
    let hint = format!("to store a key that you already have: ollama-auth keys import --host {host}");
    Problem::new(Exit::Failed, message).hint(hint)
}

/// Checks the form of a gateway's key, so that a typing error is found without asking the host.
///
/// # Errors
/// Exit 2 for a text that begins like a gateway's key but is not valid.
fn check_key_format(key: &SecretString) -> anyhow::Result<()> {
    use secrecy::ExposeSecret as _;
    if key.expose_secret().starts_with(ApiKey::PREFIX)
        && let Err(error) = ApiKey::parse(key.expose_secret())
    {
        let message = format!("not an API key: {error}");
        return Err(Problem::new(Exit::Usage, message).hint("pipe in the complete key and nothing else").into());
    }
    Ok(())
}

/// How to revoke an API key of which no copy is left here, in lines.
pub(super) fn how_to_revoke(record: &ApiKeyRecord, host: &BaseUrl) -> String {
    match record.id.as_deref().map(str::parse) {
        Some(Ok(id)) => format!(
            "to revoke it, from a device that is signed in: {}\nor in a browser: {}",
            revoke_command(&id, host),
            host.join("/settings/keys")
        ),
        _ if host.is_ollama_com() => format!("revoke it at {SETTINGS}"),
        _ => {
            format!("to revoke it, find its id: ollama-auth keys list --host {host}\nor revoke it where it was created")
        }
    }
}

/// The command that revokes a key.
fn revoke_command(id: &KeyId, host: &BaseUrl) -> String {
    format!("ollama-auth keys revoke {id} --yes --host {}", quoted(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_ollama_com_a_person_is_sent_to_the_settings_page() {
        let not_found = ApiError::NotFound {
            host: "https://ollama.com".into(),
            message: "not found".into(),
            recognised: true,
            from_gateway: false,
        };
        let problem = Problem::from_error(&explain(not_found, &BaseUrl::ollama_com()));
        assert_eq!(problem.exit, Exit::Failed);
        assert!(problem.message.contains("https://ollama.com/settings/keys"), "{problem}");
        assert!(problem.hint.unwrap().contains("ollama-auth keys import"));
        let not_allowed = ApiError::Status { host: "h".into(), status: 405, message: String::new(), request: None };
        assert!(Problem::from_error(&explain(not_allowed, &BaseUrl::ollama_com())).message.contains("405"));
    }

    #[test]
    fn only_a_damaged_key_of_a_gateway_is_refused_unasked() {
        let check = |text: &str| check_key_format(&SecretString::from(text));
        assert!(check("olauth_short").is_err());
        assert!(check(ApiKey::generate().unwrap().expose()).is_ok());
        assert!(check("0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOpQrStUv-_").is_ok());
    }
}
