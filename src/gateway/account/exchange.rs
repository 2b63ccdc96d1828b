//! `POST /api/user/keys` by a workload: its token becomes an API key that is valid for minutes, for programs that need one. A token is
//! exchanged once, at all gateways and after a restart: the key's record holds a digest of the token, which no other record has.

use sha2::{Digest as _, Sha256};

use crate::gateway::store::Event;
use crate::gateway::workload::WorkloadToken;

/// The action of the event that tells of an exchange. Its subject is the beginning of the token's digest.
const EXCHANGED: &str = "workload.token_exchanged";

/// The event of an exchange, stored with that of the key.
pub fn event(token: &[u8; 32], of_key: &Event) -> Event {
    let subject = token[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let event = Event { action: EXCHANGED, subject, also: None, charged_to: None, ..of_key.clone() };
    event.with("key", &of_key.subject)
}

/// What tells a token from all others: of its own id, or else of the claims that make it another one, since its issuer may sign each time
/// anew.
pub fn digest(token: &WorkloadToken) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in ["exchange", token.issuer(), &token.identity()] {
        // Each with its length, so that no two tokens are written the same.
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}
