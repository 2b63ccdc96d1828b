//! Bodies: whatever is forwarded for a credential that is limited to certain models names only those, as the upstream server reads it.
//!
//! The first byte says what kind of body follows: `0` to `3` JSON for four kinds of route, `4` a form whose type stands in the first
//! line, `5` something packed as zstd, `6` and `7` JSON of a caller with caps, for two routes.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt as _;

use super::go::{self, Value};
use crate::gateway::caps::{Cap, CapRule, CapSet, Caps, WhenExceeded};
use crate::gateway::model_access::ModelAccess;
use crate::gateway::policy::body::{BodyLimit, LimitedBy};
use crate::gateway::policy::capped::RouteCaps;
use crate::gateway::policy::scan_budget::Reservation;
use crate::gateway::policy::{form, json, unpack};
use crate::gateway::store::Role;
use crate::keyspec::{ModelPattern, Models};

/// The longest that is unpacked, or held, in bytes.
const LIMIT: BodyLimit = BodyLimit { bytes: 64 * 1024, by: LimitedBy::Program };

/// Reads a body as a key would have it read that may use `tiny` and `me/*`.
///
/// # Panics
/// When what passes names another model, or is not what was sent.
pub fn body(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind {
        b'0' => json_body(rest, &["model"], false),
        b'1' => json_body(rest, &["model", "name"], false),
        b'2' => json_body(rest, &["source", "destination"], false),
        b'3' => json_body(rest, &["model", "name", "from"], true),
        b'4' => form_body(rest),
        b'5' => zstd_body(rest),
        b'6' => capped_chat(rest),
        b'7' => capped_completion(rest),
        _ => {}
    }
}

fn models() -> ModelAccess {
    ["tiny", "me/*"].into_iter().filter_map(|pattern| pattern.parse::<ModelPattern>().ok()).collect::<Models>().into()
}

/// Whether the server would use one of the models that [`models`] allows.
fn is_allowed(name: &str) -> bool {
    let [host, namespace, model, tag] = go::model(name);
    let here = host == "registry.ollama.ai";
    let plain = |part: &str| !part.is_empty() && !part.contains(['/', ':', '@']);
    let tiny = namespace == "library" && model == "tiny" && tag == "latest";
    here && plain(&model) && plain(&tag) && (tiny || namespace == "me")
}

/// What the fields hold in the end, in the order of `names`: the last text that is there, and null changes nothing.
fn fields(members: &[(String, Value)], names: &[&str]) -> Vec<String> {
    let held = names.iter().map(|field| {
        let values = members.iter().filter(|(name, _)| go::is_field(name, field)).map(|(_, value)| value);
        let mut texts = values.filter_map(|value| match value {
            Value::Text(text) => Some(text.as_str()),
            Value::Null => None,
            Value::Other(other) => panic!("{field} holds {other}, and passed"),
        });
        texts.next_back().unwrap_or_default().trim().to_owned()
    });
    held.collect()
}

fn canonical(bytes: &[u8], names: &[&str], creates: bool) -> Option<Vec<u8>> {
    let (body, mut reservation) = (Bytes::copy_from_slice(bytes), Reservation::uncounted());
    let (pieces, _) = json::canonical(&body, names, &models(), creates, None, None, &mut reservation).ok()?;
    Some(pieces.concat())
}

fn json_body(bytes: &[u8], names: &[&str], creates: bool) {
    let Some(sent) = canonical(bytes, names, creates) else { return };
    let text = String::from_utf8_lossy(&sent);
    let (Some(came), Some(goes)) = (go::members(bytes), go::members(&sent)) else {
        panic!("it passed, but is not an object: {text}")
    };
    let is_named = |(name, _): &&(String, Value)| names.iter().any(|field| go::is_field(name, field));
    let (named, others): (Vec<_>, Vec<_>) = goes.iter().partition(is_named);

    // Each model once, under the exact name, allowed, in front.
    assert!(!named.is_empty(), "{text}");
    for (at, (name, value)) in named.iter().enumerate() {
        assert!(names.contains(&name.as_str()) && goes[at].0 == *name, "{text}");
        assert!(!named[..at].iter().any(|(earlier, _)| earlier == name), "{text}");
        let Value::Text(model) = value else { panic!("{text}") };
        assert!(is_allowed(model), "{model:?} passed: {text}");
    }
    // It is what was sent, but for the spaces and the marker that are cut off.
    for (before, after) in fields(&came, names).iter().zip(fields(&goes, names)) {
        let local = before.to_lowercase().ends_with("local");
        assert!(*before == after || (local && before.starts_with(&after)), "{before:?} became {after:?}");
    }
    let left: Vec<_> = came.iter().filter(|member| !is_named(member)).collect();
    assert_eq!(others, left, "the rest was changed");
    if creates {
        let reaching = ["files", "adapters", "draft_files", "modelfile", "path", "remote_host", "from_"];
        assert!(!others.iter().any(|(name, _)| reaching.iter().any(|field| go::is_field(name, field))), "{text}");
    }
    // What passed passes again, unchanged.
    assert_eq!(canonical(&sent, names, creates).as_ref(), Some(&sent), "{text}");
}

/// The body that is forwarded for a caller who may keep a model for 600 seconds, with a context of 8192 and an answer of 2048 tokens.
fn capped(bytes: &[u8], path: &str) -> Option<Vec<(String, Value)>> {
    let cap = |most| Some(Cap { most, when_exceeded: WhenExceeded::Lower });
    let caps = CapSet { keep_alive: cap(600), num_ctx: cap(8192), num_predict: cap(2048) };
    let rule = CapRule { roles: Vec::new(), models: Models::all(), caps };
    let caps = RouteCaps::of(path, Caps::new(vec![rule]).of(&Role::Member))?;
    let (body, mut reservation) = (Bytes::copy_from_slice(bytes), Reservation::uncounted());
    let any = ModelAccess::default();
    let sent = json::canonical(&body, &["model"], &any, false, Some(&caps), None, &mut reservation).ok()?.0.concat();
    Some(go::members(&sent).unwrap_or_else(|| panic!("it passed, but is not an object")))
}

/// The one member that Go reads into that field.
fn only<'a>(members: &'a [(String, Value)], field: &str) -> Option<&'a Value> {
    let mut found = members.iter().filter(|(name, _)| go::is_field(name, field));
    let first = found.next();
    assert!(found.next().is_none(), "{field} is there twice");
    first.map(|(_, value)| value)
}

fn capped_chat(bytes: &[u8]) {
    let Some(sent) = capped(bytes, "/api/chat") else { return };
    if let Some(value) = only(&sent, "keep_alive") {
        let seconds = go::keep_alive(value).unwrap_or_else(|| panic!("{value:?} passed"));
        assert!(seconds <= 600.000_001, "{value:?} passed");
    }
    let Some(Value::Other(options)) = only(&sent, "options") else { panic!("there are no options") };
    let options = go::members(options.as_bytes()).unwrap_or_else(|| panic!("{options} passed"));
    for (field, most, is_needed) in [("num_ctx", 8192, false), ("num_predict", 2048, true)] {
        let value = only(&options, field);
        assert!(value.is_some() || !is_needed, "{field} is missing");
        let is_allowed = |value| go::tokens(value).is_some_and(|tokens| (1..=most).contains(&tokens));
        assert!(value.is_none_or(is_allowed), "{field}: {value:?} passed");
    }
}

fn capped_completion(bytes: &[u8]) {
    let Some(sent) = capped(bytes, "/v1/chat/completions") else { return };
    for (field, is_needed) in [("max_tokens", true), ("max_completion_tokens", false)] {
        let value = only(&sent, field);
        assert!(value.is_some() || !is_needed, "{field} is missing");
        let is_allowed = |value| go::tokens(value).is_some_and(|tokens| (1..=2048).contains(&tokens));
        assert!(value.is_none_or(is_allowed), "{field}: {value:?} passed");
    }
}

/// Nothing here waits for anything.
fn now<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100_000 {
        if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
            return done;
        }
    }
    panic!("it waits for something")
}

fn form_body(bytes: &[u8]) {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(kind) = HeaderValue::from_bytes(&bytes[..end]) else { return };
    let headers: HeaderMap = [(header::CONTENT_TYPE, kind)].into_iter().collect();
    let body = Body::from(Bytes::copy_from_slice(&bytes[end + 1..]));
    let form = async {
        let (kind, _, body) =
            form::canonical(body, &headers, "model", models(), LIMIT, Reservation::uncounted()).await.ok()?;
        // What ends early is not acted on.
        Some((kind, body.collect().await.ok()?.to_bytes()))
    };
    let Some((kind, sent)) = now(form) else { return };
    let shown = String::from_utf8_lossy(&sent);
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap_or_else(|| panic!("{kind}"));
    let mut named = 0;
    for part in parts(&sent, boundary).unwrap_or_else(|| panic!("it passed, but is not a form: {shown}")) {
        let Some((name, file, content)) = read_part(part) else { panic!("not a part of a form: {shown}") };
        if name.eq_ignore_ascii_case("model") {
            let model = std::str::from_utf8(content).unwrap_or_else(|_| panic!("{shown}"));
            assert!(name == "model" && !file && is_allowed(model), "{model:?} passed: {shown}");
            named += 1;
        }
    }
    assert_eq!(named, 1, "{shown}");
}

/// What stands between the boundaries, as Go's `mime/multipart` finds it.
fn parts<'a>(form: &'a [u8], boundary: &str) -> Option<Vec<&'a [u8]>> {
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = form.strip_prefix(&delimiter.as_bytes()[2..])?;
    let mut parts = Vec::new();
    while rest != b"--\r\n" {
        let part = rest.strip_prefix(b"\r\n")?;
        let end = part.windows(delimiter.len()).position(|window| window == delimiter.as_bytes())?;
        parts.push(&part[..end]);
        rest = &part[end + delimiter.len()..];
    }
    Some(parts)
}

/// A part's name, whether it is a file, and its content.
fn read_part(part: &[u8]) -> Option<(String, bool, &[u8])> {
    let end = part.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&part[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let disposition = lines.next()?.strip_prefix("Content-Disposition: form-data; name=\"")?;
    let (name, more) = disposition.split_once('"')?;
    let file = match more {
        "" => false,
        more => {
            let file = more.strip_prefix("; filename=\"")?.strip_suffix('"')?;
            if file.contains('"') {
                return None;
            }
            true
        }
    };
    if lines.next().is_some_and(|line| !line.starts_with("Content-Type: ")) || lines.next().is_some() {
        return None;
    }
    let odd = |c: char| c.is_control() || c == '\\';
    (!head.replace("\r\n", "").contains(odd)).then_some((name.to_owned(), file, &part[end + 4..]))
}

fn zstd_body(bytes: &[u8]) {
    let read = |bytes: &[u8]| unpack::unpack(bytes, LIMIT, &mut Reservation::uncounted());
    if let Ok(unpacked) = read(bytes) {
        assert!(unpacked.len() as u64 <= LIMIT.bytes, "more than the limit");
    }
    // And what is packed comes out again.
    if bytes.len() as u64 <= LIMIT.bytes && !bytes.is_empty() {
        let again = ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
        assert_eq!(read(&again).ok().as_deref(), Some(bytes), "it does not come out as it was");
    }
}
