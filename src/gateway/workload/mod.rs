//! Workloads: programs that are authenticated by a token of an issuer, such as a CI system, and need no stored secret.
//!
//! A rule of the configuration says which tokens are accepted and what they may do. What it grants is a role, and who has it is the
//! rule's service account: so everything that holds for accounts holds for workloads, too.

mod account;
mod claim_rules;
mod matching;
mod provider;
mod rule;
mod verification;

pub use account::{account_id, new_account};
pub use claim_rules::{ClaimPattern, ClaimRule, ClaimRules};
pub use matching::{Mismatch, WorkloadToken};
pub use provider::Provider;
pub use rule::{WorkloadRule, Workloads};
pub use verification::Refused;
