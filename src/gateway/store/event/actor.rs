//! Who did something.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::gateway::store::User;

/// Who did something, as it was then. Part of stored events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Actor {
    /// The gateway itself; also for a caller that it does not know.
    #[default]
    Gateway,
    /// A command on the gateway's machine.
    Admin,
    /// A person in a browser.
    User {
        /// The account.
        account: Uuid,
        /// Its name.
        name: String,
    },
    /// A device.
    Device {
        /// Its account.
        account: Uuid,
        /// The fingerprint of its key.
        id: String,
    },
    /// An API key.
    Key {
        /// Its account.
        account: Uuid,
        /// Its public id.
        id: String,
    },
    /// A program with a token of an issuer.
    Workload {
        /// The service account.
        account: Uuid,
        /// The workload rule that accepted the token.
        rule: String,
        /// Whom the token names: untrusted text.
        subject: String,
        /// The run, job or pod that it names: untrusted text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<String>,
    },
    /// A kind that only newer versions know.
    #[serde(other)]
    Other,
}

impl Actor {
    /// A person in a browser.
    pub fn user(user: &User) -> Self {
        Self::User { account: user.id, name: user.name.clone() }
    }

    /// Its account.
    pub fn account(&self) -> Option<Uuid> {
        match self {
            Self::User { account, .. }
            | Self::Device { account, .. }
            | Self::Key { account, .. }
            | Self::Workload { account, .. } => Some(*account),
            Self::Gateway | Self::Admin | Self::Other => None,
        }
    }

    /// What it created an API key with: `device:SHA256:…`, `key:key_…`, `workload:RULE`, `session` or `admin`.
    pub fn credential(&self) -> String {
        match self {
            Self::User { .. } => "session".to_owned(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Actor {
    /// `user:NAME`, `device:FINGERPRINT`, `key:ID`, `workload:RULE`, `admin`, `gateway`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway => f.write_str("gateway"),
            Self::Admin => f.write_str("admin"),
            Self::User { name, .. } => write!(f, "user:{name}"),
            Self::Device { id, .. } => write!(f, "device:{id}"),
            Self::Key { id, .. } => write!(f, "key:{id}"),
            Self::Workload { rule, .. } => write!(f, "workload:{rule}"),
            Self::Other => f.write_str("(unknown)"),
        }
    }
}
