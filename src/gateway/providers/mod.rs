//! Providers: issuers at which people sign in with OpenID Connect, instead of with a password of this gateway.

mod claims;
mod client;
mod id_token;
mod membership;
mod recheck;
mod refresh_cipher;
mod service;
mod settings;
mod transaction;
mod used_once;

pub use claims::NotAllowed;
pub use client::{ProviderError, check_files};
pub use id_token::{LEEWAY, Person};
pub use membership::NotAdmitted;
pub use recheck::NotSealed;
pub use service::{ProviderService, digest_of_session};
pub use settings::{ClaimRule, ProviderSettings, Providers};
pub use transaction::{MAX_AGE, Purpose, Transaction};
pub use used_once::Once;
