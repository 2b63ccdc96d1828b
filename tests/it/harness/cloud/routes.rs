//! The routes of the stand-in for ollama.com.

use std::sync::Mutex;

use serde_json::{Map, Value, json};

use super::{Caller, Decision, Device, Fault, State, keys, lock};
use crate::harness::{
    http::{Reply, Request},
    ollama::replay,
    signature::Key,
};

pub(super) fn answer(request: &Request, base: &str, now: i64, state: &Mutex<State>) -> Reply {
    let mut state = lock(state);
    let Some(path) = request.path().strip_prefix(base) else {
        return Reply::new(404, "outside the base path");
    };
    let fault = take_fault(&mut state, path);
    if let Some(reply) = fault.as_ref().and_then(Fault::reply) {
        return reply;
    }
    let caller = Caller::of(request, base, now);
    if let Caller::BadSignature(why) = &caller {
        state.refused.push(why.clone());
    }
    let reply = match (request.method.as_str(), path) {
        ("HEAD" | "GET", "/") => replay(request, path),
        ("POST", "/api/me") => me(request, base, &caller, &state, fault.as_ref()),
        ("GET", "/connect") => connect(request, &mut state),
        ("DELETE", _) if path.starts_with("/api/user/keys/") => {
            let encoded = &path["/api/user/keys/".len()..];
            let key = keys::revoke(encoded, &caller, &mut state, now);
            key.unwrap_or_else(|| disconnect(encoded, &caller, &mut state))
        }
        ("GET", "/api/user/keys") if state.keys.is_some() => keys::list(request, &caller, &mut state),
        ("POST", "/api/user/keys") if state.keys.is_some() => keys::create(request, &caller, &mut state, now),
        (_, "/api/user/keys") => Reply::json(404, r#"{"error":"not found"}"#),
        _ if is_known(&caller, &state) => models(request, path),
        _ => unauthorized(),
    };
    let reply = match state.keys {
        Some(_) => reply.header("X-Ollama-Auth-Gateway", "0.0.0-standin"),
        None => reply,
    };
    match fault {
        Some(Fault::DateSkew(seconds)) => reply.date_offset(seconds),
        _ => reply,
    }
}

fn take_fault(state: &mut State, path: &str) -> Option<Fault> {
    let index = state.faults.iter().position(|(at, ..)| at == path)?;
    let (_, left, fault) = &mut state.faults[index];
    let fault = fault.clone();
    if let Some(left) = left {
        *left -= 1;
        if *left == 0 {
            state.faults.remove(index);
        }
    }
    Some(fault)
}

pub(super) fn unauthorized() -> Reply {
    Reply::json(401, r#"{"error":"unauthorized"}"#)
}

pub(super) fn is_known(caller: &Caller, state: &State) -> bool {
    match caller {
        Caller::Signed(key) => decision(state, key) == Some(Decision::Approved),
        Caller::ApiKey(key) => state.api_keys.contains(key) || keys::accepts(state, key),
        Caller::Nobody | Caller::BadSignature(_) => false,
    }
}

fn decision(state: &State, key: &Key) -> Option<Decision> {
    let device = state.devices.iter().find(|device| device.key == *key);
    device.map(|device| device.decision)
}

fn me(request: &Request, base: &str, caller: &Caller, state: &State, fault: Option<&Fault>) -> Reply {
    let body = if is_known(caller, state) {
        match fault {
            Some(Fault::CapitalisedNames) => capitalised(&state.user),
            _ => state.user.clone(),
        }
    } else {
        let key = match caller {
            Caller::Signed(key) if decision(state, key) == Some(Decision::Denied) => {
                return Reply::json(403, r#"{"error":"device refused"}"#);
            }
            Caller::Signed(key) => Some(key.encoded.clone()),
            Caller::Nobody if state.unsigned_url => Some("c3Vic3RpdHV0ZQ".to_owned()),
            _ => None,
        };
        let mut body = json!({ "error": "unauthorized" });
        if let (Some(key), false) = (key, matches!(fault, Some(Fault::NoSigninUrl))) {
            let host = request.header("host").unwrap_or_default();
            let origin = match fault {
                Some(Fault::SigninOrigin(origin)) => origin.clone(),
                _ => format!("http://{host}"),
            };
            let key = match fault {
                Some(Fault::SigninKey(other)) => other,
                _ => &key,
            };
            if state.keys.is_some() {
                body["user_code"] = json!(match fault {
                    Some(Fault::UserCode(code)) => code,
                    _ => "WDJB-MJHT",
                });
            }
            body["signin_url"] = json!(format!("{origin}{base}/connect?name=standin&key={key}"));
        }
        body
    };
    let status = if is_known(caller, state) { 200 } else { 401 };
    let text = body.to_string();
    match fault {
        Some(Fault::MalformedJson) => Reply::json(status, &text[..text.len() / 2]),
        _ => Reply::json(status, text),
    }
}

fn capitalised(user: &Value) -> Value {
    let fields = user.as_object().into_iter().flatten().map(|(name, value)| {
        let name = match name.as_str() {
            "id" => "ID".to_owned(),
            "avatarurl" => "AvatarURL".to_owned(),
            other => other[..1].to_uppercase() + &other[1..],
        };
        (name, value.clone())
    });
    Value::Object(fields.collect::<Map<_, _>>())
}

/// A page as a browser sees it. The person in front of it approves at once, unless the test decides itself.
fn connect(request: &Request, state: &mut State) -> Reply {
    let key = request.query("key").ok_or("no key".to_owned());
    let key = match key.and_then(|key| Key::from_encoded(&key)) {
        Ok(key) => key,
        Err(why) => return Reply::new(400, why).header("Content-Type", "text/plain"),
    };
    let approved = state.auto_approve;
    let decision = if approved { Decision::Approved } else { Decision::Pending };
    match state.devices.iter_mut().find(|device| device.key == key) {
        Some(device) if approved => device.decision = decision,
        Some(_) => {}
        None => state.devices.push(Device { name: request.query("name").unwrap_or_default(), key, decision }),
    }
    Reply::new(200, "<!doctype html><title>Connect</title><p>This device is being connected.")
        .header("Content-Type", "text/html; charset=utf-8")
}

fn disconnect(encoded: &str, caller: &Caller, state: &mut State) -> Reply {
    if !matches!(caller, Caller::Signed(_)) || !is_known(caller, state) {
        return unauthorized();
    }
    let before = state.devices.len();
    state.devices.retain(|device| device.key.encoded != encoded);
    if state.devices.len() == before {
        return Reply::json(404, r#"{"error":"key not found"}"#);
    }
    Reply::json(200, "null")
}

/// Models answer as the recorded `tiny` does, under whatever name they are asked for.
fn models(request: &Request, path: &str) -> Reply {
    let mut request = request.clone();
    if let Ok(Value::Object(mut body)) = serde_json::from_slice(&request.body)
        && body.contains_key("model")
    {
        body["model"] = json!("tiny");
        request.body = Value::Object(body).to_string().into_bytes();
    }
    replay(&request, path)
}
