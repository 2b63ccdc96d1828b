//! How devices and keys are shown. Times are RFC 3339, as Ollama writes them.

use serde_json::{Value, json};

use super::super::store::{Device, KeyRecord};

/// A Unix second as RFC 3339 in UTC.
pub fn time(at: i64) -> Value {
    jiff::Timestamp::from_second(at).map_or(Value::Null, |time| time.to_string().into())
}

/// The same for a sentence.
pub fn text(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| format!("second {at}"), |time| time.to_string())
}

fn optional(at: Option<i64>) -> Value {
    at.map_or(Value::Null, time)
}

/// An API key, without the key.
pub fn key(key: &KeyRecord) -> Value {
    json!({
        "kind": "api-key",
        "id": key.id.as_str(),
        "name": key.name,
        "environment": key.environment,
        "scopes": key.rights.scopes,
        "models": key.rights.models,
        "hint": key.hint,
        "replaceable": key.replaceable,
        "replaces": key.replaces.as_ref().map(ToString::to_string),
        "created_at": time(key.created_at),
        "expires_at": optional(key.rights.expires_at),
        "last_used_at": optional(key.last_used_at),
        "revoked_at": optional(key.revoked_at),
    })
}

/// The key that asks, which by this finds itself in a list.
pub fn own_key(own: &KeyRecord) -> Value {
    let mut shown = key(own);
    shown["self"] = true.into();
    shown
}

/// A device.
pub fn device(device: &Device) -> Value {
    json!({
        "kind": "device",
        "id": device.key.encoded(),
        "name": device.name,
        "fingerprint": device.key.fingerprint(),
        "created_at": time(device.created_at),
        "last_used_at": optional(device.last_used_at),
    })
}
