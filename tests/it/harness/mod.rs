//! What the tests share.

pub mod keyring;
