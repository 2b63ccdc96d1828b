//! API keys: recognised by their hash, in memory.

use secrecy::{ExposeSecret as _, SecretString};

use super::super::rejection::Rejection;
use super::super::state::Gateway;
use super::super::store::Use;
use super::{Caller, Credential};
use crate::keyspec::ApiKey;

/// Whose key it is.
///
/// # Errors
/// 401, saying whether it is none, unknown, revoked or expired: whoever holds the whole key may know.
pub fn identify(gateway: &Gateway, text: &SecretString) -> Result<Caller, Rejection> {
    let unknown = || Rejection::unauthorized("unauthorized: this gateway does not know that API key");
    let key = ApiKey::parse(text.expose_secret()).map_err(|_| unknown())?;
    let hash = key.hash();
    let known = gateway.directory.key(&hash).ok_or_else(unknown)?;
    // The look-up compares hashes of what the caller sent; this comparison is in constant time besides.
    if known.credential.hash != hash {
        return Err(unknown());
    }
    let now = gateway.clock.now();
    if known.credential.revoked_at.is_some() {
        return Err(Rejection::unauthorized("unauthorized: this API key was revoked"));
    }
    if !known.credential.is_live(now) {
        return Err(Rejection::unauthorized("unauthorized: this API key has expired"));
    }
    gateway.directory.used(Use::Key(known.credential.id.clone()), now);
    Ok(Caller { user: known.user, credential: Credential::Key(known.credential) })
}
