//! `POST /api/user/keys` by a workload: its token becomes an API key that is valid for minutes, for programs that need one. A token is
//! exchanged once, also at several gateways and after a restart.

use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

use super::exchanged_tokens::{ExchangedTokens, KEPT};
use super::service::AccountService;
use crate::gateway::authn::Caller;
use crate::gateway::origin::Origin;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::gateway::store::{Event, EventFilter};
use crate::gateway::workload::WorkloadToken;

/// The action of the event that tells of an exchange. Its subject is the token's digest, by which a later gateway finds it.
const EXCHANGED: &str = "workload.token_exchanged";

/// A token that is being exchanged. It counts as exchanged at once: a key is also made for a caller who leaves meanwhile.
pub(super) struct Exchange<'a> {
    tokens: &'a ExchangedTokens,
    digest: [u8; 32],
}

impl Exchange<'_> {
    /// The event that tells of it, stored with the key.
    pub(super) fn event(&self, of: &Event) -> Event {
        let event =
            Event { action: EXCHANGED, subject: subject(&self.digest), also: None, charged_to: None, ..of.clone() };
        event.with("key", &of.subject)
    }

    /// No key was made for certain: at this gateway it can be tried again.
    pub(super) fn release(self) {
        self.tokens.remove(&self.digest);
    }
}

impl AccountService {
    /// Takes note that a caller's token is exchanged; `None` if the caller has none.
    ///
    /// # Errors
    /// 409 for one that was exchanged before, 503 when that cannot be found out.
    pub(super) async fn begin_exchange(
        &self,
        caller: &Caller,
        origin: Origin,
    ) -> Result<Option<Exchange<'_>>, Rejection> {
        let Some(token) = caller.workload() else { return Ok(None) };
        let digest = digest(token);
        let again = || {
            Rejection::new(409, "this token was exchanged for an API key before; get a new token for another key")
                .because(RefusalCode::ExchangedToken)
        };
        if !self.exchanged.insert(digest, self.clock.elapsed())? {
            return Err(again());
        }
        let exchange = Exchange { tokens: &self.exchanged, digest };
        match self.was_exchanged(token, digest, origin.address).await {
            Ok(false) => Ok(Some(exchange)),
            Ok(true) => Err(again()),
            Err(rejection) => {
                exchange.release();
                Err(rejection)
            }
        }
    }

    /// Whether another gateway, or this one before it was restarted, has exchanged the token.
    async fn was_exchanged(&self, token: &WorkloadToken, digest: [u8; 32], address: IpAddr) -> Result<bool, Rejection> {
        let unknown = |error| {
            tracing::error!(%error, "it cannot be found out whether a token was exchanged before");
            Rejection::new(503, "it is not known whether this token was exchanged before").header("retry-after", "10")
        };
        if self.directory.is_shared() {
            let used = self.directory.use_signature(digest, address, KEPT).await.map_err(unknown)?;
            return Ok(used.is_some());
        }
        // What is younger, only this gateway can have exchanged.
        if token.issued_at > self.started {
            return Ok(false);
        }
        let wanted = EventFilter {
            action: Some(EXCHANGED.to_owned()),
            subject: Some(subject(&digest)),
            since: Some(token.issued_at.saturating_sub(60)),
            ..EventFilter::default()
        };
        let found = self.directory.events(1, wanted).await.map_err(unknown)?;
        Ok(!found.is_empty())
    }
}

/// Of its own id, or else of the claims that make it another one: its issuer signs each time anew.
fn digest(token: &WorkloadToken) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in ["exchange", token.issuer(), &token.identity()] {
        // Each with its length, so that no two tokens are written the same.
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

fn subject(digest: &[u8; 32]) -> String {
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
