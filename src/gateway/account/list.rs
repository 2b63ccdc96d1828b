//! `GET /api/user/keys`: the account's devices and keys, in pages. A key without the scope `keys` sees itself and its
//! replacement.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

use super::super::authn::Caller;
use super::super::refusal::Refusal;
use super::super::state::Gateway;
use super::super::target::Target;
use super::{item, json_response, manages, own_key};

const USUAL: usize = 500;
const MOST: usize = 1000;

/// Lists them: devices first, the newest first. Revoked keys only with `revoked=true`.
///
/// # Errors
/// 400 for parameters that make no sense.
pub fn list(gateway: &Gateway, caller: &Caller, target: &Target<'_>) -> Result<Response<Body>, Refusal> {
    let limit = match target.parameter("limit").map(str::parse::<usize>) {
        None => USUAL,
        Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
        Some(_) => return Err(Refusal::new(400, format!("limit is a number from 1 to {MOST}"))),
    };
    let revoked = match target.parameter("revoked") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Refusal::new(400, "revoked is true or false")),
    };
    if let (false, Some(own)) = (manages(caller), own_key(caller)) {
        let keys = gateway.directory.keys_of(own.user);
        let replacements = keys.iter().filter(|key| key.replaces.as_ref() == Some(&own.id));
        let replacements = replacements.filter(|key| revoked || key.revoked_at.is_none());
        let items: Vec<Value> =
            std::iter::once(item::own_key(own)).chain(replacements.map(|key| item::key(key))).collect();
        return Ok(json_response(StatusCode::OK, &json!({ "keys": items, "next": null })));
    }
    let user = caller.user().id;
    let (devices, keys) = (gateway.directory.devices_of(user), gateway.directory.keys_of(user));
    let keys = keys.iter().filter(|key| revoked || key.revoked_at.is_none());
    // The order is the same each time, and the cursor names the last item shown; it may be gone by the next page, so it says where it stood.
    let mut rows = devices
        .iter()
        .map(|device| (cursor('d', device.created_at, &device.key.encoded()), Row::Device(device)))
        .chain(keys.map(|key| (cursor('k', key.created_at, key.id.as_str()), Row::Key(key))))
        .collect::<Vec<_>>();
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    let after = target.parameter("after").unwrap_or_default();
    let begin = rows.partition_point(|(cursor, _)| cursor.as_str() <= after);
    let page = &rows[begin..rows.len().min(begin + limit)];
    let next = if begin + page.len() < rows.len() { page.last().map(|(cursor, _)| cursor.clone()) } else { None };
    let items: Vec<Value> = page
        .iter()
        .map(|(_, row)| match row {
            Row::Device(device) => item::device(device),
            Row::Key(key) if own_key(caller).is_some_and(|own| own.id == key.id) => item::own_key(key),
            Row::Key(key) => item::key(key),
        })
        .collect();
    Ok(json_response(StatusCode::OK, &json!({ "keys": items, "next": next })))
}

enum Row<'a> {
    Device(&'a super::super::store::Device),
    Key(&'a super::super::store::KeyRecord),
}

/// Sorts by kind, then the newest first, then the id.
fn cursor(kind: char, created_at: i64, id: &str) -> String {
    format!("{kind}{:016x}{id}", i64::MAX - created_at)
}
