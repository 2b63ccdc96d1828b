//! it

mod ssh_keygen;
//! The integration tests.
mod harness;
mod vault;
