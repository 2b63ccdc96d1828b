//! The account of the server that pulls and pushes: it signs in to ollama.com with a key of its own, whoever asks it (PROTOCOL:
//! three identities). What the registry refuses, it refuses to that account.

use super::published::Published;
use super::refused::Refused;
use crate::api::{Me, Session};
use crate::app::App;
use crate::commands::signin::server;
use crate::exit::{Exit, Problem};
use crate::identity::Account;

/// What is known of it.
#[derive(Debug)]
pub enum ServerAccount {
    /// It stands behind a gateway, whose accounts are not the server's.
    BehindGateway,
    /// It is signed in.
    SignedIn(Account),
    /// It is not.
    SignedOut,
    /// It does not say.
    Unknown,
}

impl ServerAccount {
    /// Asks for it.
    pub async fn ask(session: &Session<'_>) -> Self {
        if session.look().await.is_ok_and(|look| look.gateway.is_some()) {
            return Self::BehindGateway;
        }
        match session.me().await {
            Ok(Me::SignedIn(account)) => Self::SignedIn(account),
            // An old server, or something in between, refuses without a link.
            Ok(Me::SignedOut { signin_url: Some(_), .. }) => Self::SignedOut,
            _ => Self::Unknown,
        }
    }
}

/// Signs the server in where a person can be asked.
///
/// # Errors
/// Exit 4 where nobody can be asked, or the answer is no; and what the sign-in ends in.
pub async fn sign_in_first(app: &App, session: &Session<'_>) -> anyhow::Result<()> {
    let host = session.base();
    let needed = || {
        let message = format!("the Ollama server at {host} is not signed in to ollama.com, so it cannot publish there");
        Problem::new(Exit::SignIn, message).hint(unauthorized_hint(session))
    };
    if !app.printer.is_interactive() || app.printer.is_json() {
        return Err(needed().into());
    }
    let question = format!("The Ollama server at {host} is not signed in to ollama.com. Sign it in now?");
    if !app.ask(move |printer| printer.confirm(&question, true)).await?? {
        return Err(needed().into());
    }
    server::sign_in(app, &session.unsigned(), server::by_default()).await?;
    Ok(())
}

fn unauthorized_hint(session: &Session<'_>) -> String {
    format!("sign in that server: ollama-auth signin --server --host {}", session.base())
}

/// What to say when the registry refused the server. `does` is `pull` or `push`.
pub async fn rejection(session: &Session<'_>, does: &str, model: &str, refused: Refused, words: &str) -> Problem {
    let published = Published::read(model);
    let message = format!("{} cannot {does} {model}: {words}", session.base());
    let forbidden = |hint: String| Problem::new(Exit::Forbidden, message.clone()).hint(hint);
    if !published.is_at_ollama_com() {
        return forbidden("that registry refuses the server: ask whoever runs the registry".to_owned());
    }
    match ServerAccount::ask(session).await {
        ServerAccount::BehindGateway => forbidden(
            "the upstream server that gateway has an account of its own at ollama.com: ask whoever runs it to sign it in, and which names are its own".to_owned(),
        ),
        ServerAccount::SignedOut => Problem::new(Exit::SignIn, message).hint(unauthorized_hint(session)),
        ServerAccount::Unknown if refused == Refused::UnknownKey => {
            Problem::new(Exit::SignIn, message).hint(unauthorized_hint(session))
        }
        ServerAccount::SignedIn(account) if does == "push" => forbidden(namespace_hint(&published, model, account.name.as_str())),
        ServerAccount::SignedIn(account) => {
            forbidden(format!("that server is signed in as {}: the model is private, or not there", account.label()))
        }
        ServerAccount::Unknown => forbidden(namespace_hint(&published, model, "YOUR-NAME")),
    }
}

/// A model is published below the name of the account.
fn namespace_hint(published: &Published<'_>, model: &str, account: &str) -> String {
    if published.namespace.eq_ignore_ascii_case(account) {
        return format!(
            "that server is signed in as {account}: see at https://ollama.com/{account} what may be published there"
        );
    }
    let whose = if published.is_nobodys() {
        format!("{} has nobody's name in front", published.model)
    } else {
        format!("{} is somebody else's name", published.namespace)
    };
    let own = format!("{account}/{}", published.model);
    format!(
        "{whose}, and that server publishes as {account}: copy it to a name of its own, then push that\nollama-auth cp {model} {own}\nollama-auth push {own}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_the_accounts_is_told_apart() {
        let hint = |model: &str| namespace_hint(&Published::read(model), model, "ada");
        assert!(hint("tiny").starts_with("tiny has nobody's name in front"));
        assert!(hint("tiny").contains("ollama-auth cp tiny ada/tiny\nollama-auth push ada/tiny"));
        assert!(hint("bob/tiny").starts_with("bob is somebody else's name"));
        assert!(hint("Ada/tiny").contains("https://ollama.com/ada"));
    }
}
