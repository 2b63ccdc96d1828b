//! The Ollama server on this machine, and what it says about its own account. It is asked without a credential.

use std::time::Duration;

use super::listener::{Owner, owner};
use crate::address::BaseUrl;
use crate::api::{ApiError, Credential, Me, Session, Unreachable};
use crate::app::App;
use crate::identity::{Account, ConnectUrl, PublicKey};

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(8);

/// The server that `run` uses when nothing else is named.
#[derive(Debug)]
pub struct Server {
    /// Where it is.
    pub url: BaseUrl,
    /// `OLLAMA_HOST` names it.
    pub named: bool,
    /// What it says.
    pub answer: Result<Answer, ApiError>,
    /// The account that it runs as, where it answers; or why that cannot be told.
    pub owner: Result<Owner, &'static str>,
}

/// What the server says about its own account.
#[derive(Debug)]
pub enum Answer {
    /// It is signed in to ollama.com.
    SignedIn(Account),
    /// It is not, and this is its key.
    SignedOut(PublicKey),
    /// It cannot reach ollama.com.
    Cut,
    /// It is no stock Ollama server: it wants a credential from us.
    WantsCredential,
    /// An old server, or something else: it knows nothing of accounts.
    NoAccounts,
}

/// Asks it.
pub async fn gather(app: &App) -> Server {
    let named = app.ollama_host.clone().filter(BaseUrl::is_loopback);
    let (named, url) = (named.is_some(), named.unwrap_or_else(BaseUrl::local));
    let answer = match tokio::time::timeout(LIMIT, ask(app, &url)).await {
        Ok(answer) => answer,
        Err(_) => Err(late(&url, LIMIT)),
    };
    let owner = if answer.is_ok() { owner(url.port()) } else { Err("it does not answer") };
    Server { url, named, answer, owner }
}

/// The error of a host that did not answer in time.
pub fn late(url: &BaseUrl, limit: Duration) -> ApiError {
    let reason = format!("no answer within {} seconds", limit.as_secs());
    ApiError::Unreachable { host: url.to_string(), reason, kind: Unreachable::Timeout }
}

async fn ask(app: &App, url: &BaseUrl) -> Result<Answer, ApiError> {
    let session = Session::new(&app.transport, url.clone(), Credential::None, false, app.now)?;
    match session.me().await {
        Ok(Me::SignedIn(account)) => Ok(Answer::SignedIn(account)),
        Ok(Me::SignedOut { signin_url, .. }) => {
            let key = signin_url.and_then(|link| ConnectUrl::parse(&link).ok()).map(|link| link.key().clone());
            Ok(key.map_or(Answer::WantsCredential, Answer::SignedOut))
        }
        Err(ApiError::TryLater { status: 503, .. }) => Ok(Answer::Cut),
        Err(ApiError::NotFound { .. } | ApiError::Status { status: 405, .. }) => Ok(Answer::NoAccounts),
        Err(error) => Err(error),
    }
}
