//! `GET /api/user/keys`: the account's devices and keys, in pages. A key without the scope `keys` sees itself, its replacements and
//! the key that it replaces.
//!
//! Times are RFC 3339, as Ollama writes them. Items borrow what they show and are written straight into the answer: a page holds a
//! thousand of them. Keys that have ended are in the database only, so it is asked; it has an index for that.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

use super::service::{AccountService, manages, own_key, require_management, unreadable};
use crate::gateway::authn::Caller;
use crate::gateway::directory::Place;
use crate::gateway::rejection::{Rejection, json_response};
use crate::gateway::store::{Device, KeyQuery, KeyRecord};
use crate::gateway::target::Target;
use crate::keyspec::{AddressList, KeyId, LimitUse, Models, RequestLimits, Scopes};

const USUAL: usize = 500;
const MOST: usize = 1000;

impl AccountService {
    /// Lists them: devices first, the newest first. Revoked keys only with `revoked=true`.
    ///
    /// # Errors
    /// 400 for parameters that make no sense.
    pub async fn list(&self, caller: &Caller, target: &Target<'_>) -> Result<Response<Body>, Rejection> {
        let limit = match target.parameter("limit").map(str::parse::<usize>) {
            None => USUAL,
            Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
            Some(_) => return Err(Rejection::new(400, format!("limit must be a number from 1 to {MOST}"))),
        };
        let revoked = match target.parameter("revoked") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Rejection::new(400, "revoked must be true or false")),
        };
        let after = match target.parameter("after") {
            None | Some("") => After::Nothing,
            Some(cursor) => {
                After::read(cursor).ok_or_else(|| Rejection::new(400, "after must be the `next` of an earlier page"))?
            }
        };
        let wanted = |key: &KeyRecord| revoked || key.revoked_at.is_none();
        if let (false, Some(own)) = (manages(caller), own_key(caller)) {
            let directory = &self.directory;
            let mut others = directory.replacements_of(&own.id);
            if let Some(old) = &own.replaces {
                others.extend(directory.key_by_id(old).await.map_err(|error| unreadable(&error))?);
            }
            let others = others
                .iter()
                .filter(|key| wanted(key))
                .map(|key| Item::Key(Box::new(Key::of(key).using(self.use_of(key)))));
            let own = Item::Key(Box::new(Key::for_caller(own, Some(own)).using(self.use_of(own))));
            return Ok(page(std::iter::once(own).chain(others).collect(), None));
        }

        let user = caller.user().id;
        // The order is the same each time, and the cursor names the last item shown. That may be deleted before the next page, so the
        // cursor also holds its position.
        let (first_device, place) = match after {
            After::Nothing => (Some(""), None),
            After::Device(cursor) => (Some(cursor), None),
            // All devices come before the keys.
            After::Key(place) => (None, Some(place)),
        };
        let mut devices = first_device.map_or_else(Vec::new, |after| self.devices_after(user, after));
        let room = limit.saturating_sub(devices.len());
        let wanted = KeyQuery { user, after: place.map(Place::into_parts), revoked, matching: None, limit: room };
        let (keys, more) = self.keys_page(caller, wanted).await?;
        let more = more || devices.len() > limit;
        devices.truncate(limit);
        let last = match (keys.last(), devices.last()) {
            (Some(key), _) => Some(cursor('k', key.created_at, key.id.as_str())),
            (None, last) => last.map(|(cursor, _)| cursor.clone()),
        };
        let own = own_key(caller);
        let keys = keys.iter().map(|key| Item::Key(Box::new(Key::for_caller(key, own).using(self.use_of(key)))));
        let items = devices.iter().map(|(_, device)| Item::Device(ConnectedDevice::of(device))).chain(keys).collect();
        Ok(page(items, last.filter(|_| more)))
    }

    /// Up to `limit` of the account's keys behind a cursor, the newest first, and the cursor of the next page if there is one: for people,
    /// who see the devices apart.
    ///
    /// # Errors
    /// 400 for an invalid cursor, 403 for a caller that may not manage keys.
    pub async fn keys_behind(
        &self,
        caller: &Caller,
        after: &str,
        limit: usize,
        revoked: bool,
    ) -> Result<(Vec<KeyRecord>, Option<String>), Rejection> {
        require_management(caller)?;
        let place = match after {
            "" => None,
            cursor => match After::read(cursor) {
                Some(After::Key(place)) => Some(place),
                _ => return Err(Rejection::new(400, "after must be the `next` of an earlier page")),
            },
        };
        let (user, after) = (caller.user().id, place.map(Place::into_parts));
        let wanted = KeyQuery { user, after, revoked, matching: None, limit };
        let (keys, more) = self.keys_page(caller, wanted).await?;
        let next = keys.last().filter(|_| more).map(|key| cursor('k', key.created_at, key.id.as_str()));
        Ok((keys, next))
    }

    /// Some of a caller's keys, each with the end that it has by the caller's role and its environment; and whether there are more.
    async fn keys_page(&self, caller: &Caller, wanted: KeyQuery) -> Result<(Vec<KeyRecord>, bool), Rejection> {
        let (mut keys, more) = self.directory.keys_page(wanted).await.map_err(|error| unreadable(&error))?;
        let tables = self.directory.policy_tables();
        for key in &mut keys {
            key.rights.expires_at = tables.end_of(caller.role(), key);
        }
        Ok((keys, more))
    }

    /// The devices behind a cursor, each with its own.
    fn devices_after(&self, user: uuid::Uuid, after: &str) -> Vec<(String, Arc<Device>)> {
        let devices = self.directory.devices_of(user).into_iter();
        let rows = devices.map(|device| (cursor('d', device.created_at, &device.key.encoded()), device));
        let mut rows: Vec<_> = rows.filter(|(cursor, _)| cursor.as_str() > after).collect();
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        rows
    }
}

/// What a list holds.
#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    Device(ConnectedDevice<'a>),
    Key(Box<Key<'a>>),
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

/// A Unix second as RFC 3339 in UTC; `None` for one beyond what that can write.
fn time(at: i64) -> Option<Timestamp> {
    Timestamp::from_second(at).ok()
}

/// The same in a sentence.
pub fn time_text(at: i64) -> String {
    time(at).map_or_else(|| format!("second {at}"), |time| time.to_string())
}

/// An API key, without the key.
#[derive(Debug, Serialize)]
pub struct Key<'a> {
    kind: &'static str,
    id: &'a str,
    name: &'a str,
    environment: Option<&'a str>,
    scopes: &'a Scopes,
    models: &'a Models,
    limits: Option<RequestLimits>,
    /// Of these, in a list.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    used: Option<LimitUse>,
    from: &'a AddressList,
    hint: &'a str,
    replaceable: bool,
    replaces: Option<&'a str>,
    created_by: Option<&'a str>,
    created_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    suspended_at: Option<Timestamp>,
    suspended_reason: Option<&'a str>,
    /// It is the key that asks.
    #[serde(rename = "self", skip_serializing_if = "std::ops::Not::not")]
    own: bool,
}

impl<'a> Key<'a> {
    /// As a list shows it.
    pub fn of(key: &'a KeyRecord) -> Self {
        Self {
            kind: "api-key",
            id: key.id.as_str(),
            name: &key.name,
            environment: key.environment.as_deref(),
            scopes: &key.rights.scopes,
            models: &key.rights.models,
            limits: Some(key.rights.limits).filter(|limits| !limits.is_none()),
            used: None,
            from: &key.rights.addresses,
            hint: &key.hint,
            replaceable: key.replaceable,
            replaces: key.replaces.as_ref().map(|id| id.as_str()),
            created_by: key.created_by.as_deref(),
            created_at: time(key.created_at),
            expires_at: key.rights.expires_at.and_then(time),
            last_used_at: key.last_used_at.and_then(time),
            revoked_at: key.revoked_at.and_then(time),
            suspended_at: key.suspended.as_ref().and_then(|suspended| time(suspended.since)),
            suspended_reason: key.suspended.as_ref().and_then(|suspended| suspended.reason.as_deref()),
            own: false,
        }
    }

    /// The same with what it uses of its limits.
    fn using(self, used: Option<LimitUse>) -> Self {
        Self { used, ..self }
    }

    /// Marked if it is the key that asks, which by this finds itself in a list.
    pub fn for_caller(key: &'a KeyRecord, own: Option<&KeyRecord>) -> Self {
        Self { own: own.is_some_and(|own| own.id == key.id), ..Self::of(key) }
    }
}

/// A device.
#[derive(Debug, Serialize)]
struct ConnectedDevice<'a> {
    kind: &'static str,
    id: String,
    name: &'a str,
    fingerprint: String,
    created_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    suspended_at: Option<Timestamp>,
    suspended_reason: Option<&'a str>,
}

impl<'a> ConnectedDevice<'a> {
    /// As a list shows it.
    pub fn of(device: &'a Device) -> Self {
        Self {
            kind: "device",
            id: device.key.encoded(),
            name: &device.name,
            fingerprint: device.key.fingerprint(),
            created_at: time(device.created_at),
            last_used_at: device.last_used_at.and_then(time),
            suspended_at: device.suspended.as_ref().and_then(|suspended| time(suspended.since)),
            suspended_reason: device.suspended.as_ref().and_then(|suspended| suspended.reason.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_round_trips() {
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
