//! `PATCH /api/user/keys/<encoded id>?expires_in=<seconds>`: brings the end of a key forward. The old key of a rotation gets its
//! grace period by it. It never gives a key more time, and the key cannot ask for a replacement from then on.

use std::net::IpAddr;

use axum::body::Body;
use axum::http::{Response, StatusCode};

use super::super::authn::Caller;
use super::super::rejection::Rejection;
use super::super::state::Gateway;
use super::super::store::Change;
use super::super::target::Target;
use super::{commit, item, json_response, manages, own_key};
use crate::keyspec::{KeyId, Lifetime};

/// Brings it forward, and shows the key as it is then. One that is revoked, has expired or ends sooner anyway is shown as it is.
///
/// # Errors
/// 400 for what makes no sense, 403 for a key that may not manage others or has given its place to this one, 404 for one that is not on
/// record or not the caller's, 429 for a key that asks too often.
pub async fn end(
    gateway: &Gateway,
    caller: &Caller,
    encoded: &str,
    target: &Target<'_>,
    address: IpAddr,
) -> Result<Response<Body>, Rejection> {
    let id = KeyId::from_encoded(encoded)
        .map_err(|_| Rejection::new(400, "what is to end is an API key, named by its encoded id"))?;
    let seconds = target
        .parameter("expires_in")
        .ok_or_else(|| Rejection::new(400, "expires_in is missing: in how many seconds the key is to end"))?;
    let life = seconds.parse().ok().and_then(|seconds| Lifetime::from_seconds(seconds).ok());
    let life =
        life.ok_or_else(|| Rejection::new(400, "expires_in is a number of seconds, from 1 to those of ten years"))?;
    let mine = |own: &super::super::store::KeyRecord| own.id == id || own.replaces.as_ref() == Some(&id);
    if !manages(caller) && !own_key(caller).is_some_and(mine) {
        let message = "this key does not have the scope keys: it may end itself and the key that it replaces";
        return Err(Rejection::new(403, message));
    }
    let user = caller.user().id;
    let find = || gateway.directory.key_by_id(&id).filter(|key| key.user == user);
    let unknown = || Rejection::new(404, format!("there is no key {id}"));
    let key = find().ok_or_else(unknown)?;
    // To end it in a second would be to revoke it; see `remove`.
    if own_key(caller).is_some_and(|own| !own.replaceable && key.replaces.as_ref() == Some(&own.id)) {
        let message = "this key may not be replaced (any more), so it may not end its replacement";
        return Err(Rejection::new(403, message));
    }
    let now = gateway.clock.now();
    if let Some(at) = life.end(now)
        && key.is_live(now)
        && (key.replaceable || key.rights.expires_at.is_none_or(|end| at < end))
    {
        // The first time is never too self_change_limiter: a key must be able to come to its end.
        if !key.replaceable {
            super::count(gateway, caller)?;
        }
        // The earlier of the two ends, should another request be faster.
        let detail = format!("{} ends by {}", key.name, item::text(at));
        let told = ("key.ending", id.to_string(), detail);
        commit(gateway, Change::ExpireKey(id.clone(), at), caller, address, told).await?;
    }
    let key = find().ok_or_else(unknown)?;
    Ok(json_response(StatusCode::OK, &item::Key::for_caller(&key, own_key(caller))))
}
