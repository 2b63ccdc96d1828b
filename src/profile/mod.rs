//! Profiles: which hosts this person uses, what is stored for each and where, and the decision which host and which
//! credential a command uses. The file holds no secret.

mod credentials;
mod document;
mod host;
mod source;

pub use credentials::{CredentialsError, CredentialsFile};
pub use document::{ApiKeyRecord, DeviceRecord, Profile, Profiles, ProfilesFile, entry_id};
pub use host::{Audience, HostInputs, HostReason, NoSuchProfile, Target, choose_host};
pub use source::{CredentialInputs, CredentialSource, WithheldReason, choose_credential};
