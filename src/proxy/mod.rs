//! A loopback port that adds a profile's credential to requests, for programs that can neither sign nor hold a key.
//!
//! A request goes through `stack`, top to bottom, and is forwarded to one host. The caller must be a program of this account or know the
//! token: web pages, other accounts and foreign names that resolve to this machine are rejected.

mod access_check;
mod credential;
mod owner;
mod request_policy;
mod server;
mod stack;

pub use access_check::AllowedOrigin;
pub use access_check::Token;
pub use credential::{CurrentCredential, Stored, StoredQuestion, WatchedFiles};
pub use owner::KNOWS_CALLERS;
pub use server::{Proxy, ProxyOptions};
pub use stack::CredentialRefused;
