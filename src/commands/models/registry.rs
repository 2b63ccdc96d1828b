//! What a server and its registry say about a pull or a push: which registry a name belongs to, what a refusal means, and whose
//! account the server uses there. The server signs in to ollama.com with its own key for every caller
//! (`docs/explanation/identities.md`),
//! and what the registry refuses, it refuses to that account.

use crate::api::{ApiError, Me, Session};
use crate::app::App;
use crate::commands::signin::server;
use crate::exit::{Exit, Problem};
use crate::identity::Account;
use crate::shell::quoted;

const REGISTRY: &str = "registry.ollama.ai";
const NAMESPACE: &str = "library";
const TAG: &str = "latest";

/// The parts of `[[http[s]://]HOST/][NAMESPACE/]MODEL[:TAG]`, as stock Ollama reads it. The server decides whether they are valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryName<'a> {
    registry: &'a str,
    /// Whose it is; `library` where none is named.
    pub namespace: &'a str,
    /// The model without its tag.
    pub model: &'a str,
    tag: &'a str,
    /// Whether the name itself holds a tag.
    pub has_tag: bool,
}

impl<'a> RegistryName<'a> {
    /// Reads a name.
    pub fn read(name: &'a str) -> Self {
        let (path, tag) = match name.rsplit_once(':') {
            // A slash cannot be part of a tag: that colon belongs to a port or a scheme.
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (name, None),
        };
        let (rest, model) = path.rsplit_once('/').unwrap_or(("", path));
        let (registry, namespace) = rest.rsplit_once('/').unwrap_or(("", rest));
        let registry = registry.split_once("://").map_or(registry, |(_, registry)| registry);
        let or = |text: &'a str, default: &'static str| if text.is_empty() { default } else { text };
        Self {
            registry: or(registry, REGISTRY),
            namespace: or(namespace, NAMESPACE),
            model,
            tag: or(tag.unwrap_or_default(), TAG),
            has_tag: tag.is_some(),
        }
    }

    /// Whether it goes to ollama.com, under the account of the server.
    pub fn is_at_ollama_com(&self) -> bool {
        let registry = self.registry.to_ascii_lowercase();
        let domains = ["ollama.ai", "ollama.com"];
        domains
            .iter()
            .any(|domain| registry.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
    }

    /// Whether it is in the default registry.
    pub fn is_in_default_registry(&self) -> bool {
        self.registry.eq_ignore_ascii_case(REGISTRY)
    }

    /// Whether its namespace is the default one, so that the name does not tell whose model it is.
    pub fn has_no_namespace(&self) -> bool {
        self.namespace.eq_ignore_ascii_case(NAMESPACE)
    }

    /// Where people find it: a page of ollama.com, else the full name.
    pub fn address(&self) -> String {
        let Self { registry, namespace, model, tag, .. } = self;
        if !self.is_at_ollama_com() {
            return format!("{registry}/{namespace}/{model}:{tag}");
        }
        let namespace = if self.has_no_namespace() { String::new() } else { format!("{namespace}/") };
        let tag = if *tag == TAG { String::new() } else { format!(":{tag}") };
        format!("https://ollama.com/{namespace}{model}{tag}")
    }
}

/// Why a server could not pull or push. The server says so only in a message, with status 500 or within its stream, and passes on
/// those of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryRefusal {
    /// There is no such model.
    Missing,
    /// The registry does not know the server's key.
    UnknownKey,
    /// The registry knows whose key it is, or does not say, and refuses.
    NotAllowed,
    /// The registry has no TLS, and `--insecure` was not given.
    Insecure,
    /// The text is not a name of a model.
    BadName,
    /// Something else.
    Other,
}

impl RegistryRefusal {
    /// Reads the message.
    pub fn read(message: &str) -> Self {
        let text = message.to_lowercase();
        let any = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
        if any(&["insecure protocol"]) {
            Self::Insecure
        } else if any(&["unknown ollama key", "signed in", "sign in"]) {
            Self::UnknownKey
        } else if any(&["access denied", "unauthorized", "denied", "forbidden", "not authorized", "401:", "403:"]) {
            Self::NotAllowed
        } else if any(&["file does not exist", "manifest unknown", "no such file or directory", "model not found"]) {
            Self::Missing
        } else if any(&["invalid model name", "invalid name", "model is required"]) {
            Self::BadName
        } else {
            Self::Other
        }
    }
}

/// The server's own message, for an error that only its message tells apart.
pub fn server_message(error: &ApiError) -> Option<&str> {
    match error {
        ApiError::InStream { message, .. } | ApiError::Status { message, status: 400 | 500, .. } => Some(message),
        _ => None,
    }
}

/// What is known of the server's account at ollama.com.
#[derive(Debug)]
pub enum ServerAccount {
    /// A gateway's accounts are not those of its upstream server.
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
/// Exit 4 where prompting is impossible or the answer is no; and the error of the sign-in.
pub async fn sign_in_first(app: &App, session: &Session<'_>) -> anyhow::Result<()> {
    let host = session.base();
    let needed = || {
        let message = format!("the Ollama server at {host} is not signed in to ollama.com, so it cannot publish there");
        Problem::new(Exit::SignIn, message).hint(sign_in_hint(session))
    };
    if !app.printer.is_interactive() || app.printer.is_json() {
        return Err(needed().into());
    }
    let question = format!("The Ollama server at {host} is not signed in to ollama.com. Sign it in now?");
    if !app.ask(move |printer| printer.confirm(&question, true)).await?? {
        return Err(needed().into());
    }
    server::sign_in(app, &session.unsigned(), server::default_args()).await?;
    Ok(())
}

fn sign_in_hint(session: &Session<'_>) -> String {
    format!("sign in that server: ollama-auth signin --server --host {}", session.base())
}

/// What to say when the registry refused the server. `does` is `pull` or `push`.
pub async fn registry_problem(
    session: &Session<'_>,
    does: &str,
    model: &str,
    refusal: RegistryRefusal,
    reason: &str,
) -> Problem {
    let registry_name = RegistryName::read(model);
    let message = format!("{} cannot {does} {model}: {reason}", session.base());
    let forbidden = |hint: String| Problem::new(Exit::Forbidden, message.clone()).hint(hint);
    if !registry_name.is_at_ollama_com() {
        return forbidden("that registry refuses the server: ask its operator for access".to_owned());
    }
    match ServerAccount::ask(session).await {
        ServerAccount::BehindGateway => forbidden(
            "the gateway's Ollama server uses its own ollama.com account: ask its operator to sign it in, and which names it may publish".to_owned(),
        ),
        ServerAccount::SignedOut => Problem::new(Exit::SignIn, message).hint(sign_in_hint(session)),
        ServerAccount::Unknown if refusal == RegistryRefusal::UnknownKey => {
            Problem::new(Exit::SignIn, message).hint(sign_in_hint(session))
        }
        ServerAccount::SignedIn(account) if does == "push" => forbidden(namespace_hint(&registry_name, model, account.name.as_str())),
        ServerAccount::SignedIn(account) => {
            forbidden(format!("that server is signed in as {}: the model is private or does not exist", account.label()))
        }
        ServerAccount::Unknown => forbidden(namespace_hint(&registry_name, model, "YOUR-NAME")),
    }
}

/// A model is published below the name of the account.
fn namespace_hint(registry_name: &RegistryName<'_>, model: &str, account: &str) -> String {
    if registry_name.namespace.eq_ignore_ascii_case(account) {
        return format!(
            "that server is signed in as {account}: see at https://ollama.com/{account} what may be published there"
        );
    }
    let whose = if registry_name.has_no_namespace() {
        format!("{} has no namespace", registry_name.model)
    } else {
        format!("{} belongs to another account", registry_name.namespace)
    };
    let own = quoted(format_args!("{account}/{}", registry_name.model));
    format!(
        "{whose}, and that server publishes as {account}: copy it to a name below that account, then push it\nollama-auth cp {} {own}\nollama-auth push {own}",
        quoted(model)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_stock_reads_them() {
        for (name, place) in [
            ("tiny", "https://ollama.com/tiny"),
            ("ada/tiny", "https://ollama.com/ada/tiny"),
            ("ada/tiny:latest", "https://ollama.com/ada/tiny"),
            ("ada/tiny:8b", "https://ollama.com/ada/tiny:8b"),
            ("registry.ollama.ai/library/tiny", "https://ollama.com/tiny"),
            ("Registry.Ollama.AI/ada/tiny", "https://ollama.com/ada/tiny"),
            ("localhost:5000/ada/tiny", "localhost:5000/ada/tiny:latest"),
            ("http://localhost:5000/ada/tiny:8b", "localhost:5000/ada/tiny:8b"),
            ("hf.co/ada/tiny", "hf.co/ada/tiny:latest"),
        ] {
            assert_eq!(RegistryName::read(name).address(), place, "{name}");
        }
        let plain = RegistryName::read("tiny");
        assert!(plain.has_no_namespace() && plain.is_in_default_registry() && !plain.has_tag);
        assert!(RegistryName::read("ollama.com/ada/tiny").is_at_ollama_com());
        assert!(!RegistryName::read("evil-ollama.com/a/b").is_at_ollama_com());
        assert!(RegistryName::read("ada/tiny:8b").has_tag && !RegistryName::read("h:1/a/b").has_tag);
    }

    #[test]
    fn messages_of_stock_servers_are_recognised() {
        for (words, refused) in [
            ("pull model manifest: file does not exist", RegistryRefusal::Missing),
            (
                "open /root/.ollama/models/manifests/registry.ollama.ai/library/x/latest: no such file or directory",
                RegistryRefusal::Missing,
            ),
            ("unauthorized: unknown ollama key \"ssh-ed25519 AAAA\"", RegistryRefusal::UnknownKey),
            ("unauthorized: access denied", RegistryRefusal::NotAllowed),
            ("403: {\"errors\":[{\"code\":\"DENIED\"}]}", RegistryRefusal::NotAllowed),
            ("insecure protocol http", RegistryRefusal::Insecure),
            ("invalid model name", RegistryRefusal::BadName),
            ("dial tcp: lookup registry.ollama.ai: no such host", RegistryRefusal::Other),
            ("", RegistryRefusal::Other),
        ] {
            assert_eq!(RegistryRefusal::read(words), refused, "{words}");
        }
    }

    #[test]
    fn a_name_that_is_not_the_accounts_is_told_apart() {
        let hint = |model: &str| namespace_hint(&RegistryName::read(model), model, "ada");
        assert!(hint("tiny").starts_with("tiny has no namespace"));
        assert!(hint("tiny").contains("ollama-auth cp tiny ada/tiny\nollama-auth push ada/tiny"));
        assert!(hint("bob/tiny").starts_with("bob belongs to another account"));
        assert!(hint("Ada/tiny").contains("https://ollama.com/ada"));
    }
}
