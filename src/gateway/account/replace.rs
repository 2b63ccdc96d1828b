//! A new API key in place of another one, which stays valid beside it. It has the rights of the other and a life of the same length.
//!
//! A key may ask for its own replacement as long as it is replaceable; for another one of the account it takes the scope `keys`
//! and rights that cover those of the new key.

use super::super::authn::{Caller, credential_revoked};
use super::super::directory::Directory;
use super::super::rejection::Rejection;
use super::super::store::KeyRecord;
use super::create::{Draft, Wanted, name};
use super::{manages, not_live, own_key};
use crate::keyspec::{KeyId, Rights};

/// What the replacement of the key with the id `replaced` is to be.
///
/// # Errors
/// 400 for an id that is none and for rights that are asked for, 403 for what the caller may not do, 404 for a key that is not
/// on record or not the caller's, 409 for one that is accepted no longer.
pub fn replacement(
    directory: &Directory,
    caller: &Caller,
    replaced: &str,
    wanted: &Wanted,
    draft: Draft,
) -> Result<KeyRecord, Rejection> {
    let replaced: KeyId = replaced.parse().map_err(|error| Rejection::new(400, format!("replaces: {error}")))?;
    let own = own_key(caller);
    let itself = own.is_some_and(|own| own.id == replaced);
    if !itself && !manages(caller) {
        return Err(Rejection::new(
            403,
            "this key does not have the scope keys: it may ask for a replacement of itself alone",
        ));
    }
    let old = directory.key_by_id(&replaced).filter(|key| key.user == caller.user().id);
    let old = old.ok_or_else(|| Rejection::new(404, format!("there is no key {replaced}")))?;
    if !old.is_live(draft.now) {
        // Whoever asks for itself was accepted a moment ago.
        return Err(if itself { credential_revoked() } else { not_live(&replaced) });
    }
    if wanted.asks_for_rights() {
        return Err(Rejection::new(400, "a replacement has the rights of the key that it replaces; leave them out"));
    }
    let life = old.rights.expires_at.map(|end| end.saturating_sub(old.created_at));
    let rights = Rights { expires_at: life.map(|span| draft.now.saturating_add(span)), ..old.rights.clone() };
    if itself {
        if !old.replaceable {
            let message =
                "this key may not be replaced by itself: its owner has switched that off, or it was brought to its end";
            return Err(Rejection::new(403, message));
        }
    } else {
        rights.within(&caller.rights()).map_err(|error| Rejection::new(403, error.to_string()))?;
        // As where it makes a new one: a key that may not renew itself would do so by one that may.
        if old.replaceable && own.is_some_and(|own| !own.replaceable) {
            return Err(Rejection::new(403, "this key may not be replaced by itself, so it cannot make one that may"));
        }
    }
    let name = match &wanted.name {
        Some(text) => name("name", text)?,
        None => old.name.clone(),
    };
    Ok(KeyRecord {
        id: draft.id,
        name,
        rights,
        hash: draft.hash,
        hint: draft.hint,
        replaces: Some(replaced),
        created_at: draft.now,
        last_used_at: None,
        revoked_at: None,
        ..(*old).clone()
    })
}
