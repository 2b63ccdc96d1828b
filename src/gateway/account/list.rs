//! `GET /api/user/keys`: the account's devices and keys, in pages. A key without the scope `keys` sees itself, its replacements and
//! the key that it replaces.
//!
//! A page costs what it shows, not what the account has: a client that reads ten thousand keys asks for many.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::Serialize;

use super::super::authn::Caller;
use super::super::directory::Place;
use super::super::rejection::Rejection;
use super::super::state::Gateway;
use super::super::store::{Device, KeyRecord};
use super::super::target::Target;
use super::{item, json_response, manages, own_key};
use crate::keyspec::KeyId;

const USUAL: usize = 500;
const MOST: usize = 1000;

/// Lists them: devices first, the newest first. Revoked keys only with `revoked=true`.
///
/// # Errors
/// 400 for parameters that make no sense.
pub fn list(gateway: &Gateway, caller: &Caller, target: &Target<'_>) -> Result<Response<Body>, Rejection> {
    let limit = match target.parameter("limit").map(str::parse::<usize>) {
        None => USUAL,
        Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
        Some(_) => return Err(Rejection::new(400, format!("limit is a number from 1 to {MOST}"))),
    };
    let revoked = match target.parameter("revoked") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Rejection::new(400, "revoked is true or false")),
    };
    let after = match target.parameter("after") {
        None | Some("") => After::Nothing,
        Some(cursor) => After::read(cursor).ok_or_else(|| Rejection::new(400, "after is the `next` of a page"))?,
    };
    let wanted = |key: &KeyRecord| revoked || key.revoked_at.is_none();
    if let (false, Some(own)) = (manages(caller), own_key(caller)) {
        let directory = &gateway.directory;
        let mut others = directory.replacements_of(&own.id);
        others.extend(own.replaces.as_ref().and_then(|id| directory.key_by_id(id)));
        let others = others.iter().filter(|key| wanted(key)).map(|key| Item::Key(item::Key::of(key)));
        let own = Item::Key(item::Key::for_caller(own, Some(own)));
        return Ok(page(std::iter::once(own).chain(others).collect(), None));
    }

    let user = caller.user().id;
    // The order is the same each time, and the cursor names the last item shown; it may be gone by the next page, so it says where it stood.
    let (first_device, place) = match after {
        After::Nothing => (Some(""), None),
        After::Device(cursor) => (Some(cursor), None),
        // All devices stand before the keys.
        After::Key(place) => (None, Some(place)),
    };
    let mut devices = first_device.map_or_else(Vec::new, |after| devices_after(gateway, user, after));
    let room = limit.saturating_sub(devices.len());
    let (keys, more) = gateway.directory.keys_page(user, place.as_ref(), room, |key| wanted(key));
    let more = more || devices.len() > limit;
    devices.truncate(limit);
    let last = match (keys.last(), devices.last()) {
        (Some(key), _) => Some(cursor('k', key.created_at, key.id.as_str())),
        (None, last) => last.map(|(cursor, _)| cursor.clone()),
    };
    let own = own_key(caller);
    let keys = keys.iter().map(|key| Item::Key(item::Key::for_caller(key, own)));
    let items = devices.iter().map(|(_, device)| Item::Device(item::Connected::of(device))).chain(keys).collect();
    Ok(page(items, last.filter(|_| more)))
}

/// Up to `limit` of the account's keys behind a cursor, the newest first, and the cursor of the next page if there is one: for people,
/// who see the devices apart.
///
/// # Errors
/// 400 for a cursor that is none, 403 for a caller that may not manage keys.
pub fn keys_behind(
    gateway: &Gateway,
    caller: &Caller,
    after: &str,
    limit: usize,
    revoked: bool,
) -> Result<(Vec<Arc<KeyRecord>>, Option<String>), Rejection> {
    super::require_management(caller)?;
    let place = match after {
        "" => None,
        cursor => match After::read(cursor) {
            Some(After::Key(place)) => Some(place),
            _ => return Err(Rejection::new(400, "after is the place where a page ended")),
        },
    };
    let wanted = |key: &&Arc<KeyRecord>| revoked || key.revoked_at.is_none();
    let (keys, more) = gateway.directory.keys_page(caller.user().id, place.as_ref(), limit, wanted);
    let next = keys.last().filter(|_| more).map(|key| cursor('k', key.created_at, key.id.as_str()));
    Ok((keys, next))
}

/// The devices behind a cursor, each with its own.
fn devices_after(gateway: &Gateway, user: uuid::Uuid, after: &str) -> Vec<(String, Arc<Device>)> {
    let devices = gateway.directory.devices_of(user).into_iter();
    let rows = devices.map(|device| (cursor('d', device.created_at, &device.key.encoded()), device));
    let mut rows: Vec<_> = rows.filter(|(cursor, _)| cursor.as_str() > after).collect();
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    rows
}

/// What a list holds.
#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    Device(item::Connected<'a>),
    Key(item::Key<'a>),
}

/// A page as it is answered.
#[derive(Serialize)]
struct Page<'a> {
    keys: Vec<Item<'a>>,
    next: Option<String>,
}

fn page(keys: Vec<Item<'_>>, next: Option<String>) -> Response<Body> {
    json_response(StatusCode::OK, &Page { keys, next })
}

/// Behind what a page begins.
#[derive(Debug, PartialEq, Eq)]
enum After<'a> {
    Nothing,
    Device(&'a str),
    Key(Place),
}

impl<'a> After<'a> {
    fn read(cursor: &'a str) -> Option<Self> {
        if cursor.starts_with('d') {
            return Some(Self::Device(cursor));
        }
        let (time, id) = cursor.strip_prefix('k')?.split_at_checked(16)?;
        let before_the_end = u64::from_str_radix(time, 16).ok()?;
        let id: KeyId = id.parse().ok()?;
        Some(Self::Key(Place::new(i64::MAX.checked_sub_unsigned(before_the_end)?, id)))
    }
}

/// Sorts by kind, then the newest first, then the id.
fn cursor(kind: char, created_at: i64, id: &str) -> String {
    format!("{kind}{:016x}{id}", i64::MAX.abs_diff(created_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_names_the_place_that_it_was_made_of() {
        let id: KeyId = "key_12345678".parse().unwrap();
        for at in [i64::MIN, -1, 0, 1_795_211_572, i64::MAX] {
            let text = cursor('k', at, id.as_str());
            assert_eq!(After::read(&text), Some(After::Key(Place::new(at, id.clone()))));
        }
        assert!(cursor('k', 2, "a") < cursor('k', 1, "a") && cursor('d', 1, "z") < cursor('k', 2, "a"));
        for text in
            ["k", "x", "k0000000000000000", "k000000000000000\u{e9}key_12345678", "kkey_12345678", "key_12345678"]
        {
            assert_eq!(After::read(text), None, "{text}");
        }
    }
}
