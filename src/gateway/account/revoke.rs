//! Disconnecting devices, revoking keys and making them expire earlier. Repeating one succeeds; an id that never existed is an error.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::Value;

use super::list::{Key, time_text};
use super::service::{AccountService, manages, own_key, require_management, unreadable};
use crate::gateway::authn::{Caller, Credential};
use crate::gateway::origin::Origin;
use crate::gateway::rejection::{Rejection, json_response};
use crate::gateway::store::{Change, Device, KeyRecord};
use crate::gateway::target::Target;
use crate::identity::PublicKey;
use crate::keyspec::{KeyId, Lifetime, Scope};

impl AccountService {
    /// `POST /api/signout`: disconnects the device that asks.
    ///
    /// # Errors
    /// 400 for an API key, so that one cannot sign out by accident.
    pub async fn sign_out(&self, caller: &Caller, origin: Origin) -> Result<Response<Body>, Rejection> {
        let Credential::Device(device) = caller.credential() else {
            return Err(Rejection::new(
                400,
                "an API key cannot be signed out; revoke it with DELETE /api/user/keys/<encoded id>",
            ));
        };
        self.disconnect(caller, &device.key, origin).await?;
        Ok(done())
    }

    /// `DELETE /api/user/keys/<encoded key>`: a device by its encoded key, an API key by its encoded id.
    ///
    /// # Errors
    /// 404 for what is not on record, or not the caller's; 403 for a key that may only manage itself, or has given its place up.
    pub async fn remove(&self, caller: &Caller, encoded: &str, origin: Origin) -> Result<Response<Body>, Rejection> {
        if let Ok(key) = PublicKey::from_encoded(encoded) {
            self.find_device(caller, &key)?;
            self.disconnect(caller, &key, origin).await?;
            return Ok(done());
        }
        let id = KeyId::from_encoded(encoded).map_err(|_| {
            Rejection::new(400, "the path must end in a device's encoded key or an API key's encoded id")
        })?;
        self.revoke(caller, &id, origin).await?;
        Ok(done())
    }

    /// The device, if the caller may disconnect it: administrators, too, can disconnect only devices of their own account.
    ///
    /// # Errors
    /// 403, 404 as in [`remove`].
    pub fn find_device(&self, caller: &Caller, key: &PublicKey) -> Result<Arc<Device>, Rejection> {
        require_management(caller)?;
        let known = self.directory.device(key).filter(|known| known.user.id == caller.user().id);
        let known = known.ok_or_else(|| Rejection::new(404, format!("there is no device {}", key.fingerprint())))?;
        Ok(known.credential)
    }

    /// The key, if the caller may revoke it, whatever has become of it: with the scope `admin` that of any account.
    ///
    /// # Errors
    /// 403, 404 as in [`remove`].
    pub async fn find_key(&self, caller: &Caller, id: &KeyId) -> Result<Arc<KeyRecord>, Rejection> {
        let key = self.directory.key_by_id(id).await.map_err(|error| unreadable(&error))?;
        let replaced = key.as_ref().and_then(|key| key.replaces.clone());
        match own_key(caller) {
            Some(own) if own.id == *id => {}
            // A key may also revoke its own replacement, so that one from an interrupted rotation can be removed. But not once that has
            // taken its place: otherwise the old key, if stolen, could revoke the new one.
            Some(own) if replaced.as_ref() == Some(&own.id) => {
                if !own.replaceable {
                    let message = "this key is not replaceable, so it cannot revoke its replacement";
                    return Err(Rejection::new(403, message));
                }
            }
            _ => require_management(caller)?,
        }
        let all = caller.rights().scopes.contains(Scope::Admin);
        key.filter(|key| all || key.user == caller.user().id)
            .ok_or_else(|| Rejection::new(404, format!("there is no key {id}")))
    }

    /// Revokes a key. One that is revoked already stays so.
    ///
    /// # Errors
    /// 403, 404 as in [`remove`].
    pub async fn revoke(&self, caller: &Caller, id: &KeyId, origin: Origin) -> Result<(), Rejection> {
        let key = self.find_key(caller, id).await?;
        if key.revoked_at.is_none() {
            let event = self.event(caller, origin, "key.revoked", id.as_str()).with("name", &key.name);
            let event = match self.directory.user(key.user) {
                Some(owner) => event.of_account(&owner),
                None => event,
            };
            self.commit(Change::RevokeKey(id.clone(), self.clock.now()), caller, event).await?;
        }
        Ok(())
    }

    /// Disconnects a device that [`find_device`] has found. Does nothing if it was disconnected since.
    ///
    /// # Errors
    /// 401 for a caller that is not accepted any more, 503 when the change cannot be kept.
    pub async fn disconnect(&self, caller: &Caller, key: &PublicKey, origin: Origin) -> Result<(), Rejection> {
        let name = self.directory.device(key).map(|known| known.credential.name.clone());
        let event = self.event(caller, origin, "device.disconnected", key.fingerprint()).with("name", name);
        match self.commit(Change::RemoveDevice(key.clone()), caller, event).await {
            // Another request was faster.
            Err(rejection) if rejection.status() == 404 => Ok(()),
            other => other,
        }
    }

    /// `PATCH /api/user/keys/<encoded id>?expires_in=<seconds>`: brings the end of a key forward. The old key of a rotation gets its
    /// grace period by it. It never gives a key more time, and the key cannot ask for a replacement from then on. The answer shows the key as it is then. One that is revoked, has expired or ends sooner anyway is shown as it is.
    ///
    /// # Errors
    /// 400 for what makes no sense, 403 for a key that may not manage others or has given its place to this one, 404 for one that is not on
    /// record or not the caller's, 429 for a key that asks too often.
    pub async fn bring_forward(
        &self,
        caller: &Caller,
        encoded: &str,
        target: &Target<'_>,
        origin: Origin,
    ) -> Result<Response<Body>, Rejection> {
        let id = KeyId::from_encoded(encoded)
            .map_err(|_| Rejection::new(400, "the path must end in the encoded id of an API key"))?;
        let seconds = target
            .parameter("expires_in")
            .ok_or_else(|| Rejection::new(400, "expires_in is missing: the number of seconds until the key expires"))?;
        let life = seconds.parse().ok().and_then(|seconds| Lifetime::from_seconds(seconds).ok());
        let life = life.ok_or_else(|| {
            Rejection::new(400, "expires_in must be a number of seconds, from 1 to 315360000 (ten years)")
        })?;
        let mine = |own: &KeyRecord| own.id == id || own.replaces.as_ref() == Some(&id);
        if !manages(caller) && !own_key(caller).is_some_and(mine) {
            let message =
                "this key does not have the scope keys: it can only expire itself and the key that it replaces";
            return Err(Rejection::new(403, message));
        }
        let user = caller.user().id;
        let find = async || {
            let key = self.directory.key_by_id(&id).await.map_err(|error| unreadable(&error))?;
            Ok::<_, Rejection>(key.filter(|key| key.user == user))
        };
        let unknown = || Rejection::new(404, format!("there is no key {id}"));
        let key = find().await?.ok_or_else(unknown)?;
        // To end it in a second would be to revoke it; see `remove`.
        if own_key(caller).is_some_and(|own| !own.replaceable && key.replaces.as_ref() == Some(&own.id)) {
            let message = "this key is not replaceable, so it cannot expire its replacement";
            return Err(Rejection::new(403, message));
        }
        let now = self.clock.now();
        if let Some(at) = life.end(now)
            && key.is_live(now)
            && (key.replaceable || key.rights.expires_at.is_none_or(|end| at < end))
        {
            // The first time is not limited: a key must be able to expire.
            if !key.replaceable {
                self.count_self_change(caller)?;
            }
            // The earlier of the two ends, should another request be faster.
            let event = self
                .event(caller, origin, "key.ending", id.as_str())
                .charged_to(user)
                .with("name", &key.name)
                .with("expires_at", time_text(at));
            self.commit(Change::ExpireKey(id.clone(), at), caller, event).await?;
        }
        let key = find().await?.ok_or_else(unknown)?;
        Ok(json_response(StatusCode::OK, &Key::for_caller(&key, own_key(caller))))
    }
}

/// What ollama.com and a stock server answer.
fn done() -> Response<Body> {
    json_response(StatusCode::OK, &Value::Null)
}
