//! The rotation of an API key as a state machine over a journal: killed at any point, the next run finishes it or takes it back.
//!
//! A rotation is on record, under the id that its new key will have, before that key is asked for; no step begins before the
//! journal holds the one before it. What the steps do to the host, the vault and the places where the key is used is behind
//! [`RotationBackend`], so that every point of death can be tried without a host.

mod due;
mod env_file;
mod journal;
mod machine;
mod redact;

pub use due::{Due, is_due};
pub use env_file::{EnvFile, EnvFileError};
pub use journal::{Journal, Rotation, Step, Targets};
pub use machine::{
    KeyRequest, KeyVerification, OldKeyState, RotationBackend, RotationError, RotationOutcome, abandon_if_unusable,
    begin, resume,
};
pub use redact::Redactor;
