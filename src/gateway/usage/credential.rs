//! What credentials are called in usage.

use crate::gateway::authn::{Caller, Credential};

/// The credential of a caller, and what it is added up under: of an API key the first of its line of replacements, and of a workload its rule,
/// also for a key that it got for its token.
pub fn credential_names(caller: &Caller) -> (String, String) {
    if caller.user().is_service_account() {
        return (caller.name(), caller.user().name.clone());
    }
    match caller.credential() {
        Credential::Key(key) => (caller.name(), ["key:", key.first.as_ref().unwrap_or(&key.id).as_str()].concat()),
        Credential::Device(_) | Credential::Workload(_) => (caller.name(), caller.name()),
        // Its name would be that of the account.
        Credential::Session(_) => ("session".to_owned(), "session".to_owned()),
    }
}
