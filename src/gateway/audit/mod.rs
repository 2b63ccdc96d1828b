//! Verifies the event log: that its records are the leaves of the tree that is stored, and of the trees that checkpoints name.

mod finding;
mod known_tree;
mod log_check;
#[cfg(test)]
mod tests;
mod verification;

pub use finding::Finding;
pub use verification::{Verification, verify};
