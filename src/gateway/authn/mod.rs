//! Who asks: a device by its signature, a program by its API key or a token of an issuer, a person by a browser session.
//!
//! The outcome is a [`Caller`], which nothing else can make. What it may do is for `policy` to say.

mod address_check;
mod addresses;
mod authenticator;
mod caller;
pub(super) mod credential;
mod device;
mod environment;
mod idle_keys;
mod progress;
mod replay_guard;
mod session;
pub(super) mod signature;
mod stream_guard;
mod token_cache;
mod workload;

pub use addresses::NotAccepting;
pub use authenticator::{Authenticator, AuthenticatorParts, CredentialRevoked, RevalidatingBody};
pub use caller::{Caller, Credential, credential_revoked, credential_suspended};
pub use credential::refuse_basic;
pub use progress::model as model_in;
pub use session::{Checkpoint, NewSession, Sessions, digest as digest_of_cookie, random_token};
pub use stream_guard::{GuardedBody, OpenStreams, Stream, StreamGuard, StreamRequest};
