//! OpenID Connect as far as it is the same for programs and people: who issues tokens, with which keys, and whether a token is one of
//! theirs.
//!
//! Signatures are checked by `jsonwebtoken`. What the claims must say is checked here, since the time is that of the gateway's clock.

mod http;
mod issuer;
mod issuer_url;
mod issuers;
mod key_set;
mod metadata;
mod settings;
#[cfg(test)]
mod tests;
mod token;

pub use http::{Http, HttpError};
pub use issuer_url::IssuerUrl;
pub use issuers::Issuers;
pub use metadata::Metadata;
pub use settings::{IssuerError, IssuerSettings, KeySource, RefreshRules};
pub use token::{Expected, LONGEST_TOKEN, TokenError, TokenKind, Verified, unverified_issuer};
