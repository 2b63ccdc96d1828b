//! API keys at the stand-in, as a gateway offers them. It validates each member of a request, creates keys of the documented format
//! without the product's code, and lists them in pages.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Caller, State, routes};
use crate::harness::http::{Reply, Request};

/// A key that was made.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The public id.
    pub id: String,
    /// The key.
    pub key: String,
    /// As it is listed.
    pub item: Value,
}

impl Issued {
    /// Whether it still opens anything.
    pub fn is_live(&self) -> bool {
        self.item["revoked_at"].is_null()
    }

    fn manages(&self) -> bool {
        self.item["scopes"].as_array().is_some_and(|scopes| scopes.contains(&json!("keys")))
    }
}

/// What a change of the answer is made by.
pub(super) type Mangle = Box<dyn Fn(Value) -> Reply + Send>;

pub(super) struct Keys {
    pub(super) issued: Vec<Issued>,
    pub(super) page: usize,
    pub(super) mangle: Option<Mangle>,
}

impl Default for Keys {
    fn default() -> Self {
        Self { issued: Vec::new(), page: 1000, mangle: None }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("issued", &self.issued).finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn add(&mut self, members: Value, now: i64) -> Issued {
        let key = api_key_like(self.issued.len());
        let mut item = json!({
            "kind": "api-key", "id": format!("key_standin{:08}", self.issued.len()), "name": "standin",
            "environment": null, "scopes": ["inference", "models:read"], "models": [],
            "hint": &key[key.len() - 4..], "created_at": time(now), "expires_at": null, "last_used_at": null,
            "revoked_at": null, "replaceable": true, "replaces": null, "a_member_of_tomorrow": { "deep": [1] },
        });
        for (name, value) in members.as_object().expect("members") {
            item[name] = value.clone();
        }
        let id = item["id"].as_str().expect("an id").to_owned();
        self.issued.push(Issued { id, key, item });
        self.issued.last().expect("the one just made").clone()
    }
}

/// A key of the documented form: the number in base62 digits, then the CRC-32.
pub fn api_key_like(number: usize) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let base62 = |mut rest: usize, width: usize| {
        let mut digits = vec![b'0'; width];
        for digit in digits.iter_mut().rev() {
            *digit = DIGITS[rest % 62];
            rest /= 62;
        }
        String::from_utf8(digits).expect("digits")
    };
    let text = format!("olauth_Secret{}", base62(number, 26));
    let check = base62(crc32fast::hash(text.as_bytes()) as usize, 6);
    text + &check
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).expect("a time").to_string()
}

fn refuse(status: u16, why: &str) -> Reply {
    Reply::json(status, json!({ "error": why }))
}

fn of_key<'a>(caller: &Caller, keys: &'a Keys) -> Option<&'a Issued> {
    let Caller::ApiKey(key) = caller else { return None };
    keys.issued.iter().find(|issued| issued.key == *key)
}

pub(super) fn accepts(state: &State, key: &str) -> bool {
    let keys = state.keys.as_ref();
    keys.is_some_and(|keys| keys.issued.iter().any(|issued| issued.key == key && issued.is_live()))
}

pub(super) fn list(request: &Request, caller: &Caller, state: &mut State) -> Reply {
    if !routes::is_known(caller, state) {
        return routes::unauthorized();
    }
    let mut wrong = Vec::new();
    for (name, value) in url::form_urlencoded::parse(request.raw_query().as_bytes()) {
        let fine = match &*name {
            "limit" => value.parse::<usize>().is_ok_and(|limit| (1..=1000).contains(&limit)),
            "after" => value.starts_with("at &"),
            "revoked" => value == "true",
            "ts" => matches!(caller, Caller::Signed(_)),
            _ => false,
        };
        if !fine {
            wrong.push(format!("{request}: {name}={value}"));
        }
    }
    state.refused.extend(wrong);
    let keys = state.keys.as_ref().expect("keys");
    let revoked = request.query("revoked").is_some();
    let only = of_key(caller, keys).filter(|own| !own.manages()).map(|own| own.id.clone());
    let visible = |issued: &&Issued| (revoked || issued.is_live()) && only.as_ref().is_none_or(|id| *id == issued.id);
    let mut items: Vec<Value> = vec![
        json!({ "kind": "device", "id": "c3No", "name": "a laptop", "fingerprint": "SHA256:x" }),
        json!({ "kind": "of tomorrow", "id": 7 }),
    ];
    let asks = of_key(caller, keys).map(|own| own.id.clone());
    items.extend(keys.issued.iter().filter(visible).map(|issued| {
        let mut item = issued.item.clone();
        if asks.as_ref() == Some(&issued.id) {
            item["self"] = json!(true);
        }
        item
    }));
    // A cursor that needs escaping, for the signature covers it.
    let from = request.query("after").map_or(0, |after| after["at &".len()..].parse::<usize>().expect("our cursor"));
    let limit = request.query("limit").map_or(500, |limit| limit.parse::<usize>().unwrap_or(500)).min(keys.page);
    let next = (from + limit < items.len()).then(|| format!("at &{}", from + limit));
    let page: Vec<Value> = items.into_iter().skip(from).take(limit).collect();
    Reply::json(200, json!({ "keys": page, "next": next, "more": 1 }))
}

pub(super) fn create(request: &Request, caller: &Caller, state: &mut State, now: i64) -> Reply {
    if !routes::is_known(caller, state) {
        return routes::unauthorized();
    }
    let wanted = request.json();
    if let Err(why) = check(&wanted) {
        state.refused.push(format!("{request}: {why}: {wanted}"));
        return refuse(400, &why);
    }
    let keys = state.keys.as_mut().expect("keys");
    let broad = wanted["scopes"].as_array().is_some_and(|scopes| scopes.contains(&json!("admin")));
    if broad || of_key(caller, keys).is_some_and(|own| !own.manages()) {
        return refuse(403, "your own credential does not have the scope admin");
    }
    if keys.issued.iter().any(|issued| issued.id == wanted["id"]) {
        return refuse(409, "there is a key of this id");
    }
    // Without the member the host decides: for a token of a job, which makes keys that cannot be replaced, minutes.
    let default = if wanted["replaceable"] == false { 900 } else { 90 * 86_400 };
    let end = wanted.get("expires_in").map_or(Some(default), Value::as_i64).map(|seconds| time(now + seconds));
    let issued = keys.add(
        json!({
            "id": wanted["id"], "name": wanted["name"], "environment": wanted["environment"],
            "scopes": wanted["scopes"], "models": wanted["models"], "expires_at": end,
            "replaceable": wanted["replaceable"],
        }),
        now,
    );
    let mut body = issued.item;
    body["key"] = json!(issued.key);
    match &keys.mangle {
        Some(mangle) => mangle(body),
        None => Reply::json(201, body),
    }
}

fn check(wanted: &Value) -> Result<(), String> {
    let members = wanted.as_object().ok_or("no object")?;
    let all = ["id", "name", "environment", "scopes", "models", "expires_in", "replaceable"];
    if let Some(other) = members.keys().find(|name| !all.contains(&name.as_str())) {
        return Err(format!("a member {other}"));
    }
    let texts = |name: &str| members[name].as_array().is_some_and(|list| list.iter().all(Value::is_string));
    let id = members.get("id").and_then(Value::as_str).and_then(|id| id.strip_prefix("key_"));
    let fine = id.is_some_and(|id| id.len() >= 20 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        && members.get("name").and_then(Value::as_str).is_some_and(|name| !name.is_empty())
        && members.get("environment").is_none_or(Value::is_string)
        && ["scopes", "models", "replaceable"].iter().all(|name| members.contains_key(*name))
        && texts("scopes")
        && texts("models")
        && members.get("expires_in").is_none_or(|end| end.is_null() || end.as_u64().is_some_and(|seconds| seconds > 0))
        && members["replaceable"].is_boolean();
    if fine { Ok(()) } else { Err("not what the contract says".to_owned()) }
}

/// `None` for what is not an API key: a device then.
pub(super) fn revoke(encoded: &str, caller: &Caller, state: &mut State, now: i64) -> Option<Reply> {
    state.keys.as_ref()?;
    let id = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
    if !id.starts_with("key_") {
        return None;
    }
    if !routes::is_known(caller, state) {
        return Some(routes::unauthorized());
    }
    let keys = state.keys.as_mut()?;
    if of_key(caller, keys).is_some_and(|own| !own.manages() && own.id != id) {
        return Some(refuse(403, "this key may revoke itself alone"));
    }
    let Some(issued) = keys.issued.iter_mut().find(|issued| issued.id == id) else {
        return Some(refuse(404, "there is no such key"));
    };
    if issued.is_live() {
        issued.item["revoked_at"] = json!(time(now));
    }
    Some(Reply::json(200, &issued.item))
}
