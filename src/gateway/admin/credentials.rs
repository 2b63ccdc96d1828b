//! The devices and API keys of any account: listed, added, disconnected and revoked by an administrator on the machine.

use std::sync::Arc;

use super::error::AdminError;
use super::message::{AdminReply, DeviceRef};
use super::perform::{AdminContext, require_active};
use super::rows::{DeviceRow, KeyRow, SuspensionRow};
use crate::gateway::account;
use crate::gateway::store::{KeyQuery, KeyRecord};
use crate::gateway::{Change, Device, User};
use crate::identity::PublicKey;
use crate::keyspec::KeyId;

/// The most keys in one reply: some 400 bytes each, of 64 MiB.
const MOST_KEYS: usize = 50_000;

impl AdminContext<'_> {
    /// The account of that name, or all.
    fn users(&self, name: Option<&str>) -> Result<Vec<Arc<User>>, AdminError> {
        match name {
            Some(name) => Ok(vec![self.user(name)?]),
            None => Ok(self.directory.users()),
        }
    }

    pub(super) fn devices(&self, user: Option<&str>) -> Result<Vec<DeviceRow>, AdminError> {
        let rows = |user: &Arc<User>| {
            let devices = self.directory.devices_of(user.id).into_iter();
            devices.map(|device| device_row(user, &device)).collect::<Vec<_>>()
        };
        Ok(self.users(user)?.iter().flat_map(rows).collect())
    }

    pub(super) async fn add_device(&self, key: PublicKey, user: &str, name: &str) -> Result<AdminReply, AdminError> {
        let name = device_name(name)?;
        // No approval at the same time: it could give the device to another account.
        let _decision = match self.running {
            Some(gateway) => Some(gateway.pending_devices.decide().await),
            None => None,
        };
        let user = self.user(user)?;
        require_active(&user)?;
        if let Some(known) = self.directory.device(&key) {
            if known.user.id != user.id {
                return Err(AdminError::DeviceTaken(known.user.name.clone()));
            }
            return Ok(AdminReply::Device { device: device_row(&user, &known.credential), changed: false });
        }
        let device = Device { key, user: user.id, name, created_at: self.now, last_used_at: None, suspended: None };
        let event = self.event_about("device.added", device.key.fingerprint(), &user).with("name", &device.name);
        self.commit(Change::AddDevice(device.clone()), event).await?;
        if let Some(gateway) = self.running {
            gateway.pending_devices.settle(&device.key);
        }
        Ok(AdminReply::Device { device: device_row(&user, &device), changed: true })
    }

    pub(super) async fn disconnect(&self, key: &PublicKey) -> Result<AdminReply, AdminError> {
        let known = self.directory.device(key).ok_or_else(|| AdminError::NoDevice(key.fingerprint()))?;
        let event = self.event_about("device.disconnected", key.fingerprint(), &known.user);
        let event = event.with("name", &known.credential.name);
        self.commit(Change::RemoveDevice(key.clone()), event).await?;
        Ok(AdminReply::Device { device: device_row(&known.user, &known.credential), changed: true })
    }

    pub(super) async fn keys(
        &self,
        user: Option<&str>,
        revoked: bool,
        matching: Option<&str>,
    ) -> Result<AdminReply, AdminError> {
        let (mut keys, mut more) = (Vec::new(), false);
        for user in self.users(user)? {
            let matching = matching.map(str::to_owned);
            let wanted = KeyQuery { user: user.id, after: None, revoked, matching, limit: MOST_KEYS - keys.len() };
            let (found, rest) = self.directory.keys_page(wanted).await.map_err(|error| self.failed(&error))?;
            keys.extend(found.iter().map(|key| self.key_row(&user.name, key)));
            more |= rest;
        }
        Ok(AdminReply::Keys { keys, more })
    }

    pub(super) async fn revoke(&self, id: &KeyId) -> Result<AdminReply, AdminError> {
        let find = async || {
            let key = self.directory.key_by_id(id).await.map_err(|error| self.failed(&error))?;
            key.ok_or_else(|| AdminError::NoKey(id.to_string()))
        };
        let key = find().await?;
        // Every key has an account: the database refuses one without.
        let owner = self.directory.user(key.user).ok_or_else(|| AdminError::NoKey(id.to_string()))?;
        let changed = key.revoked_at.is_none();
        if changed {
            let event = self.event_about("key.revoked", id.as_str(), &owner).with("name", &key.name);
            self.commit(Change::RevokeKey(id.clone(), self.now), event).await?;
        }
        Ok(AdminReply::Key { key: self.key_row(&owner.name, &*find().await?), changed })
    }

    pub(super) fn key_row(&self, user: &str, key: &KeyRecord) -> KeyRow {
        let successors = self.directory.replacements_of(&key.id);
        KeyRow {
            user: user.to_owned(),
            id: key.id.clone(),
            name: key.name.clone(),
            environment: key.environment.clone(),
            scopes: key.rights.scopes,
            models: key.rights.models.clone(),
            limits: Some(key.rights.limits).filter(|limits| !limits.is_none()),
            from: key.rights.addresses.clone(),
            hint: key.hint.clone(),
            created_by: key.created_by.as_deref().map(str::to_owned),
            created_at: key.created_at,
            expires_at: key.rights.expires_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
            suspended: SuspensionRow::of(key.suspended.as_deref()),
            replaced_by: successors.iter().find(|other| other.is_live(self.now)).map(|other| other.id.clone()),
        }
    }
}

pub(super) fn device_row(user: &User, device: &Device) -> DeviceRow {
    DeviceRow {
        user: user.name.clone(),
        name: device.name.clone(),
        fingerprint: device.key.fingerprint(),
        public_key: device.key.clone(),
        created_at: device.created_at,
        last_used_at: device.last_used_at,
        suspended: SuspensionRow::of(device.suspended.as_deref()),
    }
}

impl DeviceRef {
    /// The same device with a name that a person gives it.
    ///
    /// # Errors
    /// [`AdminError::BadDeviceName`].
    pub fn with_name(self, name: &str) -> Result<Self, AdminError> {
        let name = device_name(name)?;
        Ok(match self {
            Self::Key { key, .. } => Self::Key { key, name },
            Self::Fingerprint(fingerprint) | Self::NamedFingerprint { fingerprint, .. } => {
                Self::NamedFingerprint { fingerprint, name }
            }
        })
    }
}

fn device_name(name: &str) -> Result<String, AdminError> {
    account::name("name", name).map_err(|_| AdminError::BadDeviceName(name.to_owned()))
}
