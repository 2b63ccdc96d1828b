//! How devices and keys are shown. Times are RFC 3339, as Ollama writes them.
//!
//! They borrow what they show and are written straight into the answer: a page holds a thousand of them.

use jiff::Timestamp;
use serde::Serialize;

use super::super::store::{Device, KeyRecord};
use crate::keyspec::{Models, Scopes};

/// A Unix second as RFC 3339 in UTC; `None` for one beyond what that can write.
fn time(at: i64) -> Option<Timestamp> {
    Timestamp::from_second(at).ok()
}

/// The same in a sentence.
pub fn text(at: i64) -> String {
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
    hint: &'a str,
    replaceable: bool,
    replaces: Option<&'a str>,
    created_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
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
            hint: &key.hint,
            replaceable: key.replaceable,
            replaces: key.replaces.as_ref().map(|id| id.as_str()),
            created_at: time(key.created_at),
            expires_at: key.rights.expires_at.and_then(time),
            last_used_at: key.last_used_at.and_then(time),
            revoked_at: key.revoked_at.and_then(time),
            own: false,
        }
    }

    /// Marked if it is the key that asks, which by this finds itself in a list.
    pub fn for_caller(key: &'a KeyRecord, own: Option<&KeyRecord>) -> Self {
        Self { own: own.is_some_and(|own| own.id == key.id), ..Self::of(key) }
    }
}

/// A device.
#[derive(Debug, Serialize)]
pub struct Connected<'a> {
    kind: &'static str,
    id: String,
    name: &'a str,
    fingerprint: String,
    created_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

impl<'a> Connected<'a> {
    /// As a list shows it.
    pub fn of(device: &'a Device) -> Self {
        Self {
            kind: "device",
            id: device.key.encoded(),
            name: &device.name,
            fingerprint: device.key.fingerprint(),
            created_at: time(device.created_at),
            last_used_at: device.last_used_at.and_then(time),
        }
    }
}
