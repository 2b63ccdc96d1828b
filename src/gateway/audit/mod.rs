//! The event log as one that an outsider can verify: checkpoints are signed, and records are compared with their tree and with the trees
//! that checkpoints name.

mod checkpoint_file;
mod comparison;
mod export;
mod finding;
mod key_file;
mod known_tree;
mod log_check;
mod log_link;
mod proof;
mod report;
mod signer;
mod sink;
mod stored_checkpoints;
#[cfg(test)]
mod tests;
mod times;
mod verification;

pub use checkpoint_file::{CheckpointFile, read_checkpoints};
pub use export::verify_export;
pub use key_file::{KeyFileError, create_key, read_keys};
pub use known_tree::KnownTree;
pub use proof::{ProveError, prove_extension, prove_record};
pub use report::Verification;
pub use signer::Signer;
pub use sink::{SinkSettings, SinkState, SinkStates, SinkTarget, Sinks};
pub use verification::verify;
