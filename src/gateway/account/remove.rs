//! Disconnecting devices and revoking keys. What is gone already is fine; what never was is not.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::Value;

use super::super::authn::{Caller, Credential};
use super::super::rejection::Rejection;
use super::super::state::Gateway;
use super::super::store::{Change, Device, KeyRecord};
use super::{commit, json_response, own_key, require_management};
use crate::identity::PublicKey;
use crate::keyspec::{KeyId, Scope};

/// `POST /api/signout`: disconnects the device that asks.
///
/// # Errors
/// 400 for an API key: nobody signs out with one by accident.
pub async fn sign_out(gateway: &Gateway, caller: &Caller, address: IpAddr) -> Result<Response<Body>, Rejection> {
    let Credential::Device(device) = caller.credential() else {
        return Err(Rejection::new(
            400,
            "an API key is not signed out but revoked: DELETE /api/user/keys/<its encoded id>",
        ));
    };
    disconnect(gateway, caller, &device.key, address).await?;
    Ok(done())
}

/// `DELETE /api/user/keys/<encoded key>`: a device by its encoded key, an API key by its encoded id.
///
/// # Errors
/// 404 for what is not on record, or not the caller's; 403 for a key that may only manage itself, or has given its place up.
pub async fn remove(
    gateway: &Gateway,
    caller: &Caller,
    encoded: &str,
    address: IpAddr,
) -> Result<Response<Body>, Rejection> {
    if let Ok(key) = PublicKey::from_encoded(encoded) {
        find_device(gateway, caller, &key)?;
        disconnect(gateway, caller, &key, address).await?;
        return Ok(done());
    }
    let id = KeyId::from_encoded(encoded)
        .map_err(|_| Rejection::new(400, "what is to be removed is a device's encoded key or a key's encoded id"))?;
    revoke(gateway, caller, &id, address).await?;
    Ok(done())
}

/// The device, if the caller may disconnect it: only its own account's, whoever asks.
///
/// # Errors
/// 403, 404 as in [`remove`].
pub fn find_device(gateway: &Gateway, caller: &Caller, key: &PublicKey) -> Result<Arc<Device>, Rejection> {
    require_management(caller)?;
    let known = gateway.directory.device(key).filter(|known| known.user.id == caller.user().id);
    let known = known.ok_or_else(|| Rejection::new(404, format!("there is no device {}", key.fingerprint())))?;
    Ok(known.credential)
}

/// The key, if the caller may revoke it, whatever has become of it: with the scope `admin` that of any account.
///
/// # Errors
/// 403, 404 as in [`remove`].
pub fn find_key(gateway: &Gateway, caller: &Caller, id: &KeyId) -> Result<Arc<KeyRecord>, Rejection> {
    let replaced = gateway.directory.key_by_id(id).and_then(|key| key.replaces.clone());
    match own_key(caller) {
        Some(own) if own.id == *id => {}
        // Its own replacement, too: one whose making was cut short must not be left to nobody. But not once that has taken its place: else
        // whoever got hold of the old key could end the new one.
        Some(own) if replaced.as_ref() == Some(&own.id) => {
            if !own.replaceable {
                let message = "this key may not be replaced (any more), so it may not revoke its replacement";
                return Err(Rejection::new(403, message));
            }
        }
        _ => require_management(caller)?,
    }
    let all = caller.rights().scopes.contains(Scope::Admin);
    let key = gateway.directory.key_by_id(id).filter(|key| all || key.user == caller.user().id);
    key.ok_or_else(|| Rejection::new(404, format!("there is no key {id}")))
}

/// Revokes a key. One that is revoked already stays so.
///
/// # Errors
/// 403, 404 as in [`remove`].
pub async fn revoke(gateway: &Gateway, caller: &Caller, id: &KeyId, address: IpAddr) -> Result<(), Rejection> {
    let key = find_key(gateway, caller, id)?;
    if key.revoked_at.is_none() {
        let told = ("key.revoked", id.to_string(), key.name.clone());
        commit(gateway, Change::RevokeKey(id.clone(), gateway.clock.now()), caller, address, told).await?;
    }
    Ok(())
}

/// Disconnects a device that [`find_device`] has found. One that is gone already stays so.
///
/// # Errors
/// 401 for a caller that is not accepted any more, 503 when the change cannot be kept.
pub async fn disconnect(gateway: &Gateway, caller: &Caller, key: &PublicKey, address: IpAddr) -> Result<(), Rejection> {
    let told = ("device.disconnected", key.fingerprint(), String::new());
    match commit(gateway, Change::RemoveDevice(key.clone()), caller, address, told).await {
        // Another request was faster.
        Err(rejection) if rejection.status() == 404 => Ok(()),
        other => other,
    }
}

/// What ollama.com and a stock server answer.
fn done() -> Response<Body> {
    json_response(StatusCode::OK, &Value::Null)
}
