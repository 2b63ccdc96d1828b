//! Who asks: a device by its signature, a program by its API key, a person by a browser session.
//!
//! The outcome is a [`Caller`], which nothing else can make. What it may do is for `policy` to say.

mod authenticator;
mod caller;
pub(super) mod credential;
mod replay_guard;
mod revalidating_body;
mod session;
pub(super) mod signature;

pub use authenticator::Authenticator;
pub use caller::{Caller, Credential, credential_revoked};
pub use revalidating_body::{CredentialRevoked, RevalidatingBody};
pub use session::{Checkpoint, Sessions, random_token};
