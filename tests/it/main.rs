//! The one integration binary: `harness` holds the servers, sandboxes, keyrings and terminals, then comes one file per
//! capability.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets the unexpected should fail right there"
)]

mod harness;

mod generated;
mod harness_selftest;
mod layering;
mod run;
mod run_errors;
mod signin;
mod ssh_keygen;
mod vault;
