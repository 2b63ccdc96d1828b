//! A loopback port that adds a profile's credential to what passes, for programs that can neither sign nor hold a key.
//!
//! A request goes through `stack`, top to bottom. What is forwarded goes to one host, and whoever asks must be a program of this account
//! or know the token: a page in a browser, another account, a name that was pointed here are all refused.

mod access_check;
mod origin;
mod owner;
mod query;
mod route_policy;
mod server;
mod stack;
mod token;

pub use origin::AllowedOrigin;
pub use server::{Proxy, ProxyOptions};
pub use stack::Refused;
pub use token::Token;
