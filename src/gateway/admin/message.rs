//! What is asked and answered, in serde: one line of JSON each. A password is hashed before it is sent.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::gateway::{PasswordHash, RecordedEvent, Role};
use crate::identity::PublicKey;

/// A wish of an administrator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminRequest {
    /// A new account.
    AddUser {
        /// See [`User::is_name`](crate::gateway::User::is_name).
        name: String,
        /// May be empty.
        email: String,
        /// What it may do.
        role: Role,
        /// What it signs in with.
        #[serde(with = "hash")]
        password: PasswordHash,
    },
    /// All accounts.
    ListUsers,
    /// Disable or enable an account.
    SetDisabled {
        /// Its name.
        name: String,
        /// Whether it is to be disabled.
        disabled: bool,
    },
    /// Another password.
    SetPassword {
        /// The account's name.
        name: String,
        /// What it signs in with from now on.
        #[serde(with = "hash")]
        password: PasswordHash,
    },
    /// Another role.
    SetRole {
        /// The account's name.
        name: String,
        /// What it may do from now on.
        role: Role,
    },
    /// A pending device was approved for an account.
    Approve {
        /// Which one.
        device: DeviceRef,
        /// The account's name.
        user: String,
    },
    /// The latest events.
    Events {
        /// How many at most; the gateway has a limit of its own.
        limit: u32,
    },
}

/// How a pending device is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceRef {
    /// By what a connect link says.
    Key {
        /// Its key.
        key: PublicKey,
        /// What it calls itself: untrusted text.
        name: String,
    },
    /// By `SHA256:…`.
    Fingerprint(String),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminReply {
    /// The account as it is now.
    User(UserRow),
    /// All accounts, by name.
    Users(Vec<UserRow>),
    /// The device belongs to the account.
    Approved {
        /// The account's name.
        user: String,
        /// What the device is called: untrusted text.
        device: String,
        /// Of its key.
        fingerprint: String,
    },
    /// The latest events, the newest first.
    Events(Vec<RecordedEvent>),
}

/// An account, with what it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// Its id.
    pub id: Uuid,
    /// What it signs in with.
    pub name: String,
    /// May be empty: untrusted text.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// Whether it is refused.
    pub disabled: bool,
    /// Unix seconds.
    pub created_at: i64,
    /// How many devices it has.
    pub devices: usize,
    /// How many API keys it has that are accepted now.
    pub keys: usize,
    /// When one of its devices or keys was used last, in Unix seconds.
    pub last_used_at: Option<i64>,
}

/// Why nothing came of it; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "kebab-case")]
pub enum AdminError {
    /// No account of that name.
    #[error("there is no user {0:?}")]
    NoUser(String),
    /// The name is somebody else's.
    #[error("there is a user {0:?} already")]
    NameTaken(String),
    /// The text cannot be a name.
    #[error("{0:?} is no name for a user: it has 1 to 64 of a-z, 0-9, `.`, `_`, `-`")]
    BadName(String),
    /// The text cannot be an e-mail address.
    #[error("the e-mail address has more than 254 bytes, or control characters")]
    BadEmail,
    /// Nobody could manage the accounts any more.
    #[error("{0:?} is the last administrator who is not disabled")]
    LastAdmin(String),
    /// A disabled account gets no devices.
    #[error("the user {0:?} is disabled")]
    Disabled(String),
    /// No such key made a signed request lately; holds its fingerprint.
    #[error("no device with the key {0} asked to be connected within the last ten minutes")]
    NotPending(String),
    /// No device can be pending, because no gateway runs.
    #[error("no gateway runs, so no device can have asked to be connected")]
    NotRunning,
    /// Everything else.
    #[error("{message}")]
    Failed {
        /// What.
        message: String,
        /// What to do next.
        hint: Option<String>,
    },
}

impl AdminError {
    /// The next step for the person reading the message, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoUser(_) => "see who is there: ollama-auth gateway user list",
            Self::NameTaken(_) => "choose another name, or set that user's password: ollama-auth gateway user passwd",
            Self::LastAdmin(_) => "make somebody else an administrator first: ollama-auth gateway user role NAME admin",
            Self::Disabled(name) => return Some(format!("let them in first: ollama-auth gateway user enable {name}")),
            Self::NotPending(_) => {
                "run a model or `signin` on the device again, compare the fingerprint, then approve it"
            }
            Self::NotRunning => {
                "start it with `ollama-auth gateway serve`, or name its database with --database, then try on the device again"
            }
            Self::Failed { hint, .. } => return hint.clone(),
            Self::BadName(_) | Self::BadEmail => return None,
        };
        Some(hint.to_owned())
    }
}

/// A password's hash is no password, but shows itself nowhere else than here.
mod hash {
    use secrecy::SecretString;
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::gateway::PasswordHash;

    /// Longer than any that we make.
    const LONGEST: usize = 512;

    pub fn serialize<S: Serializer>(hash: &PasswordHash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(hash.expose())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PasswordHash, D::Error> {
        let text = SecretString::from(String::deserialize(deserializer)?);
        let shown = secrecy::ExposeSecret::expose_secret(&text);
        if !shown.starts_with("$argon2id$") || shown.len() > LONGEST {
            return Err(de::Error::custom("it is no hash of a password"));
        }
        Ok(PasswordHash::kept(text))
    }
}
