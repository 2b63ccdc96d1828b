//! What a gateway that shares its database does for commands that cannot reach it: it takes rights away, in its memory at once, and finds
//! from what; and it knows its responses under way. Everything else needs the database.

use std::sync::Arc;
use std::time::Duration;

use super::credentials::device_row;
use super::error::AdminError;
use super::message::{AdminReply, AdminRequest, ReplicaReply};
use super::perform::AdminContext;
use super::running::RunningGateway;
use crate::gateway::directory::{Known, Withdrawn};
use crate::gateway::store::KeyRecord;
use crate::gateway::{Change, Device, Event, User};
use crate::identity::PublicKey;
use crate::keyspec::KeyId;

/// How long the command waits to hear whether it could be stored: the gateway may reach the database although the command does not.
const PATIENCE: Duration = Duration::from_secs(3);

/// Answers a request that came through the socket.
pub async fn withdraw(
    gateway: &RunningGateway,
    context: &AdminContext<'_>,
    request: Result<AdminRequest, AdminError>,
) -> ReplicaReply {
    let done = match request {
        Ok(request) => context.withdraw(request).await,
        Err(error) => Err(error),
    };
    let (reply, stored) = match done {
        Ok((reply, stored)) => (Ok(reply), stored),
        Err(error) => (Err(error), false),
    };
    let gateway = format!("{} (process {})", gateway.config.get().local, std::process::id());
    ReplicaReply { gateway, stored, reply }
}

impl AdminContext<'_> {
    /// Returns also whether the change is stored.
    async fn withdraw(&self, request: AdminRequest) -> Result<(AdminReply, bool), AdminError> {
        match request {
            AdminRequest::ListUsers => {
                let users = self.known_users();
                Ok((AdminReply::Users(users.iter().map(|user| self.row(user)).collect()), true))
            }
            AdminRequest::ListDevices { user: None } => {
                let known = self.known_devices();
                let rows = known.iter().map(|known| device_row(&known.user, &known.credential));
                Ok((AdminReply::Devices(rows.collect()), true))
            }
            AdminRequest::ListKeys { user, matching: Some(text), .. } => {
                let keys = self.known_keys(user.as_deref(), &text)?;
                let rows = keys.iter().map(|known| self.key_row(&known.user.name, &known.credential));
                Ok((AdminReply::Keys { keys: rows.collect(), more: false }, true))
            }
            AdminRequest::SetDisabled { name, disabled: true } => {
                let user = self.user(&name)?;
                let change = Change::SetDisabled(user.id, true);
                let is_new = self.take_away(&change, self.event("user.disabled", &user))?;
                self.end_sessions(user.id);
                let stored = self.is_stored(is_new, &change).await;
                Ok((self.user_reply(user.id, &name)?, stored))
            }
            AdminRequest::RemoveUser { name } => {
                let user = self.known_users().into_iter().find(|user| user.name == name);
                let user = user.ok_or(AdminError::NoUser(name))?;
                let (row, change) = (self.row(&user), Change::RemoveUser(user.id));
                let event = self.event("user.removed", &user).with("devices", row.devices).with("keys", row.keys);
                let is_new = self.take_away(&change, event)?;
                self.end_sessions(user.id);
                Ok((AdminReply::User(row), self.is_stored(is_new, &change).await))
            }
            AdminRequest::Suspend { what, reason } => {
                let (change, event) = self.suspension(&self.find_unended(&what)?, reason)?;
                let is_new = self.take_away(&change, event)?;
                let stored = self.is_stored(is_new, &change).await;
                Ok((self.suspended_reply(&what, true)?, stored))
            }
            AdminRequest::Status => Ok((self.status().await?, true)),
            AdminRequest::ListStreams => self.list_streams().map(|reply| (reply, true)),
            AdminRequest::EndStream { id, reason } => self.end_stream(&id, reason.as_deref()).await,
            AdminRequest::DisconnectDevice { key } => self.withdraw_device(&key).await,
            AdminRequest::RevokeKey { id } => self.withdraw_key(&id).await,
            _ => Err(AdminError::Failed {
                message: "without its database a gateway only takes rights away and ends responses".to_owned(),
                hint: None,
            }),
        }
    }

    async fn withdraw_device(&self, key: &PublicKey) -> Result<(AdminReply, bool), AdminError> {
        let known = self.known_devices().into_iter().find(|known| known.credential.key == *key);
        let known = known.ok_or_else(|| AdminError::NoDevice(key.fingerprint()))?;
        let event = self.event_about("device.disconnected", key.fingerprint(), &known.user);
        let change = Change::RemoveDevice(key.clone());
        let is_new = self.take_away(&change, event.with("name", &known.credential.name))?;
        let stored = self.is_stored(is_new, &change).await;
        Ok((AdminReply::Device { device: device_row(&known.user, &known.credential), changed: true }, stored))
    }

    async fn withdraw_key(&self, id: &KeyId) -> Result<(AdminReply, bool), AdminError> {
        let known = self.known_keys(None, id.as_str())?.into_iter().find(|known| known.credential.id == *id);
        let Known { user: owner, credential: mut key } = known.ok_or_else(|| AdminError::NoKey(id.to_string()))?;
        let event = self.event_about("key.revoked", id.as_str(), &owner).with("name", &key.name);
        let change = Change::RevokeKey(id.clone(), self.now);
        let is_new = self.take_away(&change, event)?;
        let stored = self.is_stored(is_new, &change).await;
        Arc::make_mut(&mut key).revoked_at.get_or_insert(self.now);
        Ok((AdminReply::Key { key: self.key_row(&owner.name, &key), changed: true }, stored))
    }

    fn take_away(&self, change: &Change, event: Event) -> Result<bool, AdminError> {
        self.directory.take_away(change, event).map_err(|error| self.failure(error).into())
    }

    async fn is_stored(&self, is_new: bool, change: &Change) -> bool {
        !is_new || self.directory.is_stored_within(PATIENCE, change).await
    }

    /// The accounts in memory, and those whose removal is not stored: who asks again is to hear the same.
    fn known_users(&self) -> Vec<Arc<User>> {
        let mut users = self.directory.users();
        users.extend(self.directory.withdrawn().into_iter().filter_map(|withdrawn| match withdrawn {
            Withdrawn::User(user) => Some(user),
            _ => None,
        }));
        users
    }

    /// The same of devices.
    fn known_devices(&self) -> Vec<Known<Device>> {
        let keys: Vec<_> = self.directory.devices().iter().map(|device| device.key.clone()).collect();
        let mut devices: Vec<_> = keys.iter().filter_map(|key| self.directory.device(key)).collect();
        devices.extend(self.directory.withdrawn().into_iter().filter_map(|withdrawn| match withdrawn {
            Withdrawn::Device(known) => Some(known),
            _ => None,
        }));
        devices
    }

    /// The same of keys with that id or name, of one account or of all.
    fn known_keys(&self, owner: Option<&str>, text: &str) -> Result<Vec<Known<KeyRecord>>, AdminError> {
        let owners = match owner {
            Some(name) => vec![self.user(name)?],
            None => self.directory.users(),
        };
        let withdrawn = self.directory.withdrawn();
        let keys = owners.into_iter().flat_map(|owner| {
            let gone = withdrawn.iter().filter_map(|withdrawn| match withdrawn {
                Withdrawn::Key(key) if key.user == owner.id => Some(key.clone()),
                _ => None,
            });
            let keys: Vec<_> = self.directory.keys_of(owner.id).into_iter().chain(gone).collect();
            keys.into_iter().map(move |key| Known { credential: key, user: owner.clone() })
        });
        let is_meant = |key: &KeyRecord| key.id.as_str() == text || key.name == text;
        Ok(keys.filter(|known| is_meant(&known.credential)).collect())
    }
}
