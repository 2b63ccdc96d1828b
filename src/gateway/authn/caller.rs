//! A caller whose credential was checked, and what the credential allows.

use std::sync::Arc;

use super::session::SessionHandle;
use crate::gateway::directory::Directory;
use crate::gateway::rejection::Rejection;
use crate::gateway::store::{Device, KeyRecord, User};
use crate::keyspec::{Models, Rights, Scope, Scopes};

/// Proof of who asks: an account that is not disabled, by a credential of its that was checked just now.
#[derive(Clone, Debug)]
pub struct Caller {
    user: Arc<User>,
    credential: Credential,
}

/// By what credential.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A device's signature.
    Device(Arc<Device>),
    /// An API key.
    Key(Arc<KeyRecord>),
    /// A session of the pages. No request of a program is answered to it.
    Session(SessionHandle),
}

impl Caller {
    /// For the authenticator alone, once the credential was checked.
    pub(super) fn new(user: Arc<User>, credential: Credential) -> Self {
        Self { user, credential }
    }

    /// The account.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The credential.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// What it may do: a key what it was given, as far as its owner still may; a device what its owner may, but never `admin`; a person who typed
    /// the password everything that the role allows.
    pub fn rights(&self) -> Rights {
        let role = self.user.role.scopes();
        match &self.credential {
            Credential::Device(_) => {
                let admin: Scopes = [Scope::Admin].into_iter().collect();
                Rights { scopes: role.without(admin), models: Models::all(), expires_at: None }
            }
            Credential::Session(_) => Rights { scopes: role, models: Models::all(), expires_at: None },
            Credential::Key(key) => Rights { scopes: key.rights.scopes.intersection(role), ..key.rights.clone() },
        }
    }

    /// Whether all of this is still so at `now`: a request can take its time.
    pub fn holds(&self, directory: &Directory, now: i64) -> bool {
        let user = match &self.credential {
            Credential::Device(device) => directory.device(&device.key).map(|known| known.user),
            Credential::Key(key) => {
                directory.key(&key.hash).filter(|known| known.credential.is_live(now)).map(|known| known.user)
            }
            Credential::Session(ticket) => directory.user(self.user.id).filter(|_| ticket.counts()),
        };
        // Its role and whether it is disabled among it.
        user.is_some_and(|user| user == self.user)
    }

    /// Whether what it could pass on is still the same: a key's end and whether it is replaceable can change while it asks.
    pub fn is_unchanged(&self, directory: &Directory) -> bool {
        let Credential::Key(key) = &self.credential else { return true };
        let now = directory.key(&key.hash);
        now.is_some_and(|now| now.credential.rights == key.rights && now.credential.replaceable == key.replaceable)
    }

    /// The credential, for logs and the audit trail: `device:SHA256:…` or `key:key_…`; of a session, the person: `user:NAME`.
    pub fn actor(&self) -> String {
        match &self.credential {
            Credential::Device(device) => format!("device:{}", device.key.fingerprint()),
            Credential::Key(key) => format!("key:{}", key.id),
            Credential::Session(_) => format!("user:{}", self.user.name),
        }
    }
}

/// 401 for a caller whose credential does not [hold](Caller::holds) any more.
pub fn credential_revoked() -> Rejection {
    Rejection::unauthorized("unauthorized: this credential is no longer valid")
}
