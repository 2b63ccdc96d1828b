//! The Ollama server on this machine: whether it answers, what it says about its own account, which key it uses. It is asked
//! without a credential. Which account it runs as is read from the socket it listens on (Linux shows that to everyone).

use std::path::PathBuf;
use std::time::Duration;

use super::Snapshot;
use super::files::current_user_id;
use super::report::{Finding, Group, Level};
use crate::address::BaseUrl;
use crate::api::{ApiError, Credential, Me, Session, Unreachable};
use crate::app::App;
use crate::http::listener;
use crate::identity::{Account, ConnectUrl, PublicKey};

/// How long it may take.
const TIME_LIMIT: Duration = Duration::from_secs(8);

/// The server that `run` uses when nothing else is named.
#[derive(Debug)]
pub struct LocalServer {
    /// Where it is.
    pub url: BaseUrl,
    /// `OLLAMA_HOST` names it.
    pub named: bool,
    /// What it says.
    pub answer: Result<ServerState, ApiError>,
    /// The account that it runs as, where it answers; or why that is unknown.
    pub owner: Result<ServerAccount, &'static str>,
}

/// What the server says about its own account.
#[derive(Debug)]
pub enum ServerState {
    /// It is signed in to ollama.com.
    SignedIn(Account),
    /// It is not, and this is its key.
    SignedOut(PublicKey),
    /// It cannot reach ollama.com.
    CloudUnreachable,
    /// It requires a credential, so it is a gateway and not a stock Ollama server.
    WantsCredential,
    /// It does not support accounts: an old Ollama, or another server.
    NoAccounts,
}

/// Asks it.
pub async fn gather_server(app: &App) -> LocalServer {
    let named = app.ollama_host.clone().filter(BaseUrl::is_loopback);
    let (named, url) = (named.is_some(), named.unwrap_or_else(BaseUrl::local));
    let answer = match tokio::time::timeout(TIME_LIMIT, ask(app, &url)).await {
        Ok(answer) => answer,
        Err(_) => Err(timeout_error(&url, TIME_LIMIT)),
    };
    let owner = if answer.is_ok() { account_listening_on(url.port()) } else { Err("it does not answer") };
    LocalServer { url, named, answer, owner }
}

/// The error of a host that did not answer in time.
pub fn timeout_error(url: &BaseUrl, limit: Duration) -> ApiError {
    let reason = format!("no answer within {} seconds", limit.as_secs());
    ApiError::Unreachable { host: url.to_string(), reason, kind: Unreachable::Timeout }
}

async fn ask(app: &App, url: &BaseUrl) -> Result<ServerState, ApiError> {
    let session = Session::new(&app.transport, url.clone(), Credential::None, false, app.now)?;
    match session.me().await {
        Ok(Me::SignedIn(account)) => Ok(ServerState::SignedIn(account)),
        Ok(Me::SignedOut { signin_url, .. }) => {
            let key = signin_url.and_then(|link| ConnectUrl::parse(&link).ok()).map(|link| link.key().clone());
            Ok(key.map_or(ServerState::WantsCredential, ServerState::SignedOut))
        }
        Err(ApiError::TryLater { status: 503, .. }) => Ok(ServerState::CloudUnreachable),
        Err(ApiError::NotFound { .. } | ApiError::Status { status: 405, .. }) => Ok(ServerState::NoAccounts),
        Err(error) => Err(error),
    }
}

/// The account of a process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAccount {
    /// Its numeric id.
    pub id: u32,
    /// Its name and its home, where the system's list of accounts has it.
    pub entry: Option<(String, PathBuf)>,
}

impl ServerAccount {
    /// It is the account that runs us.
    pub fn is_own(&self) -> bool {
        self.id == current_user_id()
    }
}

/// The account of the process that listens on a port of this machine.
///
/// # Errors
/// Why that is unknown.
pub fn account_listening_on(port: u16) -> Result<ServerAccount, &'static str> {
    if !cfg!(target_os = "linux") {
        return Err("this operating system does not show which account listens on a port");
    }
    let ids = listener::listening_accounts(port);
    match ids[..] {
        [id] => Ok(ServerAccount { id, entry: listener::passwd_entry(id) }),
        [] => Err("no process on this machine listens on that port (it may run in a container)"),
        _ => Err("several accounts listen on that port"),
    }
}

/// Checks the Ollama server on this machine.
pub fn check_local_server(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    let Some(server) = &snapshot.server else {
        return Vec::new();
    };
    let url = &server.url;
    match &server.answer {
        Err(error) => vec![unreachable_finding(server, &error.to_string())],
        Ok(ServerState::WantsCredential) => {
            let what = format!("{url} requires a credential: it is a gateway, not a plain Ollama server");
            vec![Finding::new(Level::Ok, Group::LocalServer, "server", what)]
        }
        Ok(ServerState::NoAccounts) => {
            let what = format!("{url} answers, but does not support accounts");
            let finding = Finding::new(Level::Note, Group::LocalServer, "server", what)
                .why("old Ollama versions support neither accounts nor cloud models")
                .remedy("update Ollama if you want cloud models");
            vec![finding, server_key_finding(snapshot, server, None)]
        }
        Ok(ServerState::SignedIn(account)) => {
            let what = format!("{url} is signed in to ollama.com as {}", account.label());
            vec![
                Finding::new(Level::Ok, Group::LocalServer, "server", what),
                server_key_finding(snapshot, server, None),
            ]
        }
        Ok(ServerState::CloudUnreachable) => {
            let what = format!("{url} answers, but cannot reach ollama.com");
            let finding = Finding::new(Level::Warning, Group::LocalServer, "server-cut-off", what)
                .why("its cloud models do not work; local models do")
                .remedy("check the network and the proxy variables of the Ollama service");
            vec![finding, server_key_finding(snapshot, server, None)]
        }
        Ok(ServerState::SignedOut(key)) => {
            let what = format!("{url} is not signed in to ollama.com");
            let finding = Finding::new(Level::Note, Group::LocalServer, "server-signed-out", what)
                .why("only cloud models need a sign-in")
                .remedy(format!("ollama-auth signin --server --host {url}"));
            vec![finding, server_key_finding(snapshot, server, Some(key))]
        }
    }
}

fn unreachable_finding(server: &LocalServer, message: &str) -> Finding {
    if server.named {
        let finding = Finding::new(Level::Error, Group::LocalServer, "server-unreachable", message)
            .why("OLLAMA_HOST is set to this server, so `ollama-auth run` uses it");
        return finding.remedy("start it with `ollama serve`, or unset OLLAMA_HOST");
    }
    // Normal on a machine without Ollama.
    Finding::new(Level::Note, Group::LocalServer, "server-not-running", message)
        .why("only local models need it")
        .remedy("ollama serve")
}

fn server_key_finding(snapshot: &Snapshot<'_>, server: &LocalServer, key: Option<&PublicKey>) -> Finding {
    let finding = |level, what: String| Finding::new(level, Group::LocalServer, "server-key", what);
    if let Some(key) = key {
        let print = key.fingerprint();
        let file = snapshot.key_files.iter().find(|file| file.key() == Some(key));
        return match file {
            Some(file) => finding(Level::Ok, format!("it uses the key {} ({print})", file.path.display())),
            None => finding(Level::Note, format!("it uses a key that is in none of the key files above ({print})"))
                .why("it runs in a container, or as an account whose key this account cannot read"),
        };
    }
    let owner = match &server.owner {
        Ok(owner) => owner,
        Err(reason) => {
            let what = format!("which key it uses is unknown: {reason}");
            return finding(Level::Note, what).why("a server shows its key only while it is signed out");
        }
    };
    let account = owner.entry.as_ref().map_or_else(|| format!("user id {}", owner.id), |(name, _)| name.clone());
    let path: Option<PathBuf> = if owner.is_own() {
        Some(snapshot.app.paths.stock_key.clone())
    } else {
        owner.entry.as_ref().map(|(_, home)| home.join(".ollama").join("id_ed25519"))
    };
    let Some(path) = path else {
        let what = format!("which key it uses is unknown: the home folder of its account {account} is unknown");
        return finding(Level::Note, what);
    };
    let known = snapshot.key_files.iter().find(|file| file.path == path).and_then(|file| file.key());
    let print = known.map_or(String::new(), |key| format!(" ({})", key.fingerprint()));
    let why = "derived from the account that listens on the port; for a container, the key is inside the container";
    finding(Level::Ok, format!("it runs as {account}, so it uses the key {}{print}", path.display())).why(why)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn our_own_socket_is_ours() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(account_listening_on(socket.local_addr().unwrap().port()).unwrap().is_own());
    }
}
