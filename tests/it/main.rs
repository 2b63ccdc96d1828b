//! The one integration binary: `harness` holds the servers, sandboxes and terminals, then comes one file per capability.

mod harness;
mod harness_selftest;
