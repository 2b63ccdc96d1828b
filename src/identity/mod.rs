//! Who this device is: its Ed25519 key, how that key is written down, and how it signs a request.
//!
//! Everything here is pure: no files, no network, no clock. A key comes in and goes out as OpenSSH text, and the
//! caller passes the time that a signature names.

mod account;
mod body_digest;
mod challenge;
mod connect;
mod key;
mod openssh;
mod public;
mod second_proof;

pub use account::Account;
pub use body_digest::{BodyDigest, BodyDigestError};
pub use challenge::{Authorization, Challenge, VerifyError, verify};
pub use connect::{ConnectUrl, ConnectUrlError};
pub use key::DeviceKey;
pub use openssh::IdentityError;
pub use public::{FingerprintError, PublicKey, PublicKeyError, group_fingerprint, parse_fingerprint};
pub use second_proof::SecondProof;

#[cfg(test)]
mod tests;
