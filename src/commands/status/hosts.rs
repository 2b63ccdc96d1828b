//! Asks the hosts whether they accept their credentials: the current one as long as it takes, all others at the same time and
//! for a few seconds. For the others no keyring and no encrypted file is opened that could ask the person for anything.

use std::time::Duration;

use futures_util::future::join_all;

use crate::api::{ApiError, ApiKeyCheck, HostKind, Me, Session};
use crate::app::App;
use crate::commands::context::Context;
use crate::exit::{Problem, clock_hint};
use crate::identity::Account;
use crate::profile::{CredentialSource, Profiles};
use crate::vault::StoreKind;

/// How long the other hosts are waited for, all together.
const OTHERS_LIMIT: Duration = Duration::from_secs(3);

/// What a host says about a credential.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// `None` when it is not known.
    pub signed_in: Option<bool>,
    /// The account, where the host names it.
    pub account: Option<Account>,
    /// Why it is not signed in, or why that is not known.
    pub reason: Option<String>,
}

impl Verdict {
    /// Not asked.
    pub fn unknown() -> Self {
        Self { signed_in: None, account: None, reason: None }
    }

    fn unknown_because(reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::unknown() }
    }

    fn signed_in(account: Option<Account>) -> Self {
        Self { signed_in: Some(true), account, reason: None }
    }

    fn signed_out(reason: impl Into<Option<String>>) -> Self {
        Self { signed_in: Some(false), account: None, reason: reason.into() }
    }
}

/// The verdicts of all hosts.
pub struct Checks {
    /// Of the current one.
    pub current: anyhow::Result<Verdict>,
    /// Of the others, by the names of their profiles.
    pub others: Vec<(Context, Verdict)>,
}

/// Asks the current host, and the hosts of all other profiles that have a credential. With `offline` none is asked.
pub async fn check(app: &App, profiles: &Profiles, current: &Context, offline: bool) -> Checks {
    let others = profiles.profiles.iter().filter(|(name, _)| **name != current.target.profile);
    let others: Vec<Context> = others
        .map(|(name, profile)| Context::for_profile(name, profile))
        .filter(|other| other.source != CredentialSource::None)
        .collect();
    if offline {
        let others = others.into_iter().map(|other| (other, Verdict::unknown()));
        return Checks { current: Ok(Verdict::unknown()), others: others.collect() };
    }
    // First, since it may take an answer of the person, who then is not asked again.
    let session = match current.source {
        CredentialSource::None => None,
        _ => Some(current.session(app).await),
    };
    let opened = session.as_ref().filter(|session| session.is_ok()).and_then(|_| current.store_in_use());
    let _spinner = (!others.is_empty()).then(|| app.printer.spinner("Asking the hosts"));
    let (current, others) = tokio::join!(
        async {
            match session {
                None => Ok(Verdict::signed_out(None)),
                Some(session) => Ok(ask(&session?, &current.source).await?),
            }
        },
        check_others(app, others, opened)
    );
    Checks { current, others }
}

async fn check_others(app: &App, others: Vec<Context>, opened: Option<StoreKind>) -> Vec<(Context, Verdict)> {
    let mut sessions = Vec::new();
    for other in others {
        let session = match other.store_in_use() {
            Some(store) if may_ask_person(app, store, opened) => {
                Err(format!("not checked: opening the {store} store might prompt you"))
            }
            // One after the other: the encrypted file is opened once, and a keyring serves one call at a time.
            _ => other.session(app).await.map_err(|error| Problem::from_error(&error).message),
        };
        sessions.push((other, session));
    }
    let end = tokio::time::Instant::now() + OTHERS_LIMIT;
    join_all(sessions.into_iter().map(async |(other, session)| {
        let verdict = match session {
            Err(reason) => Verdict::unknown_because(reason),
            Ok(session) => match tokio::time::timeout_at(end, ask(&session, &other.source)).await {
                Ok(Ok(verdict)) => verdict,
                Ok(Err(error)) => Verdict::unknown_because(error.to_string()),
                Err(_) => Verdict::unknown_because(format!("no answer within {} seconds", OTHERS_LIMIT.as_secs())),
            },
        };
        (other, verdict)
    }))
    .await
}

/// Whether reading from a store may show a prompt: for a passphrase, or to unlock the keyring. One that was opened a moment ago
/// does not ask again.
fn may_ask_person(app: &App, store: StoreKind, opened: Option<StoreKind>) -> bool {
    match store {
        _ if opened == Some(store) => false,
        StoreKind::Plaintext => false,
        StoreKind::File => app.prompts_for_passphrase,
        StoreKind::Keyring => app.env.can_show_pages,
    }
}

async fn ask(session: &Session<'_>, source: &CredentialSource) -> Result<Verdict, ApiError> {
    let host = session.base();
    if *source != CredentialSource::ProfileDevice {
        return match session.check_api_key().await {
            Ok(ApiKeyCheck::Accepted(account)) => Ok(Verdict::signed_in(account)),
            Ok(ApiKeyCheck::NotRequired) => {
                Ok(Verdict::signed_out(format!("{host} requires no credential, so the API key has no effect there")))
            }
            Err(ApiError::Unauthorized { message, .. }) => {
                Ok(Verdict::signed_out(format!("{host} refuses the API key: {message}")))
            }
            Err(error) => Err(error),
        };
    }
    if !matches!(session.host_kind().await?, HostKind::AccountHost) {
        return Ok(Verdict::signed_out(format!(
            "{host} does not support accounts (any more): it ignores the device key"
        )));
    }
    Ok(match session.me().await? {
        Me::SignedIn(account) => Verdict::signed_in(Some(account)),
        Me::SignedOut { skew: Some(ahead), .. } => Verdict::signed_out(clock_hint(&host.to_string(), ahead)),
        Me::SignedOut { .. } => Verdict::signed_out(format!("{host} does not accept this device's key any more")),
    })
}
