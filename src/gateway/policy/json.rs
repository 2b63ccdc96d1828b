//! The model that a JSON body really names, and what it asks for.
//!
//! Go matches member names without regard to case, lets the last of several equal names win, and reads one value and no more
//! (measured: `model-in-body.json`). A check that reads a body otherwise can be walked around; so what is forwarded is put
//! together from what was read: each model once, under its exact name, in front; then what is capped, once; everything else as it came.

use axum::body::Bytes;
use bytes::{BufMut as _, BytesMut};

use super::capped::{Replacement, RouteCaps, Value};
use super::json_members::{folded, members, not_json};
use super::models::{require_model, sendable};
use super::request_use::{INCLUDE_USAGE, RequestUse, STREAM_OPTIONS};
use super::scan_budget::Reservation;
use crate::gateway::model_access::ModelAccess;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::keyspec::CanonicalModel;

/// What a request that makes a model may hold besides names. Other members reach for models in other ways: by the digests of their
/// files, which are no secret (`files`, `adapters`, `draft_files`), on the server's disk, at another host.
const HARMLESS_TO_CREATE: [&str; 13] = [
    "stream",
    "quantize",
    "quantization",
    "draft_quantize",
    "template",
    "license",
    "system",
    "parameters",
    "messages",
    "renderer",
    "parser",
    "requires",
    "info",
];

/// The most levels of nesting. Go refuses 10,000.
const MAX_DEPTH: usize = 1000;
/// In bytes, as it is written.
const MAX_MODEL_LENGTH: usize = 4096;
/// What is longer stays where it is; the rest is copied into one piece.
const MAX_COPIED_LENGTH: usize = 4096;

/// The body to forward, in pieces, and what it says for counting. `names` are the members that name models; `creates` says that the request
/// makes a model; `counted` is the path of a route whose use is counted. The capacity of `body` is reserved; in the end that of the pieces is.
///
/// # Errors
/// 400 for what is not a JSON object or has too many members or levels, 403 for a model that may not be used or a cap that is exceeded, 503
/// without room in the budget.
pub fn canonical(
    body: &Bytes,
    names: &[&str],
    models: &ModelAccess,
    creates: bool,
    caps: Option<&RouteCaps>,
    counted: Option<&str>,
    reservation: &mut Reservation,
) -> Result<(Vec<Bytes>, Option<RequestUse>), Rejection> {
    let creates = creates && !models.is_all();
    // The parser has no limit for what it skips.
    if is_too_deep(body) {
        return Err(Rejection::new(400, format!("the request body is nested more than {MAX_DEPTH} levels deep")));
    }
    let members = members(body)?;
    let mut named: Vec<(&str, String)> = Vec::new();
    let mut others = Vec::new();
    for (name, value) in members {
        let folded = folded(&name);
        let Some(field) = names.iter().find(|field| **field == folded) else {
            if creates && !HARMLESS_TO_CREATE.contains(&folded.as_str()) {
                let shown: String = folded.chars().take(100).collect();
                let message = format!("a credential for certain models may not create a model with {shown:?}");
                return Err(Rejection::new(403, message).because(RefusalCode::Model));
            }
            others.push((name, value.get()));
            continue;
        };
        if value.get().len() > MAX_MODEL_LENGTH {
            return Err(Rejection::new(400, format!("{field} is longer than {MAX_MODEL_LENGTH} bytes")));
        }
        let text: Option<String> = serde_json::from_str(value.get())
            .map_err(|_| Rejection::new(400, format!("{field} must be a model name (a JSON string)")))?;
        // In Go, null changes nothing.
        let Some(text) = text else { continue };
        named.retain(|(known, _)| known != field);
        if !text.trim().is_empty() {
            named.push((field, text));
        }
    }
    if named.is_empty() {
        return Err(Rejection::new(400, "the request does not name a model"));
    }
    if !models.is_all() {
        named.iter().try_for_each(|(_, name)| require_model(models, name))?;
    }
    let used = counted.map(|path| {
        let model = named.iter().find(|(field, _)| *field == "model").map(|(_, name)| &**name);
        RequestUse::of(path, model, others.iter().map(|(name, value)| (&**name, *value)))
    });
    let mut replacements = match caps {
        Some(caps) => {
            let models: Vec<_> = named.iter().map(|(_, name)| CanonicalModel::parse(name).ok()).collect();
            caps.apply(&models, &mut others)?
        }
        None => Vec::new(),
    };
    if used.as_ref().is_some_and(|used| used.adds_usage) {
        // The last of several members is read into the others.
        replacements.push(Replacement { name: STREAM_OPTIONS, value: Value::Sent(INCLUDE_USAGE) });
    }
    let before = reservation.bytes();
    let copied =
        |(name, value): &(String, &str)| name.len() + if value.len() > MAX_COPIED_LENGTH { 8 } else { value.len() + 8 };
    let options = replacements.iter().flat_map(|replacement| match &replacement.value {
        Value::Object(sent, _) => &sent[..],
        Value::Sent(_) | Value::Number(_) => &[],
    });
    let length =
        others.iter().chain(options).map(copied).sum::<usize>() + named.len() * 1024 + replacements.len() * 256;
    reservation.grow(length)?;
    let mut pieces = Pieces { body, done: Vec::new(), open: BytesMut::with_capacity(length), begins: false };
    pieces.begin();
    for (field, name) in &named {
        pieces.name(field)?;
        pieces.text(&sendable(name))?;
    }
    for (name, value) in &others {
        pieces.name(name)?;
        pieces.sent(value);
    }
    for Replacement { name, value } in &replacements {
        pieces.name(name)?;
        pieces.replacement(value)?;
    }
    pieces.open.extend_from_slice(b"}");
    // Nothing refers to what came.
    if pieces.done.is_empty() {
        reservation.shrink_to(reservation.bytes() - before);
    }
    pieces.done.push(pieces.open.freeze());
    Ok((pieces.done, used))
}

/// A body that is being put together.
struct Pieces<'a> {
    /// As it came.
    body: &'a Bytes,
    done: Vec<Bytes>,
    open: BytesMut,
    /// The object has no member yet.
    begins: bool,
}

impl Pieces<'_> {
    fn begin(&mut self) {
        self.open.extend_from_slice(b"{");
        self.begins = true;
    }

    fn name(&mut self, name: &str) -> Result<(), Rejection> {
        if !std::mem::take(&mut self.begins) {
            self.open.extend_from_slice(b",");
        }
        self.text(name)?;
        self.open.extend_from_slice(b":");
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Rejection> {
        serde_json::to_writer((&mut self.open).writer(), text).map_err(|_| not_json())
    }

    /// A value of the body.
    fn sent(&mut self, value: &str) {
        if value.len() > MAX_COPIED_LENGTH {
            self.done.push(self.open.split().freeze());
            self.done.push(self.body.slice_ref(value.as_bytes()));
        } else {
            self.open.extend_from_slice(value.as_bytes());
        }
    }

    fn replacement(&mut self, value: &Value<'_>) -> Result<(), Rejection> {
        match value {
            Value::Sent(value) => self.sent(value),
            Value::Number(number) => self.open.extend_from_slice(number.as_bytes()),
            Value::Object(sent, written) => {
                self.begin();
                for (name, value) in sent {
                    self.name(name)?;
                    self.sent(value);
                }
                for (name, number) in written {
                    self.name(name)?;
                    self.open.extend_from_slice(number.as_bytes());
                }
                self.open.extend_from_slice(b"}");
                // Another member may follow.
                self.begins = false;
            }
        }
        Ok(())
    }
}

/// Whether more brackets are open than may be, at any point of the first value.
pub fn is_too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return false;
                }
            }
            b'"' => {
                // To the end of the text; a backslash takes the next byte with it.
                while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
                    at += found + 1;
                    if bytes[at - 1] == b'"' {
                        break;
                    }
                    at += 1;
                }
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn models(patterns: &[&str]) -> ModelAccess {
        patterns.iter().map(|pattern| pattern.parse().unwrap()).collect::<crate::keyspec::Models>().into()
    }

    fn canonical(body: &[u8], names: &[&str], models: &ModelAccess, creates: bool) -> Result<Vec<u8>, Rejection> {
        let (body, mut reservation) = (Bytes::copy_from_slice(body), Reservation::uncounted());
        super::canonical(&body, names, models, creates, None, None, &mut reservation).map(|(pieces, _)| pieces.concat())
    }

    fn forwarded(body: &str, names: &[&str], patterns: &[&str]) -> Result<Value, u16> {
        match canonical(body.as_bytes(), names, &models(patterns), false) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap()),
            Err(rejection) => Err(rejection.status()),
        }
    }

    /// Each recorded body, with patterns that allow the model that the real server used, and with patterns that allow all but it.
    #[test]
    fn the_recorded_bodies_are_read_as_the_server_reads_them() {
        let file: Value =
            serde_json::from_str(include_str!("../../../tests/it/fixtures/vectors/model-in-body.json")).unwrap();
        let cases = file["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 9);
        for case in cases {
            let (body, used) = (case["body"].as_str().unwrap(), case["model_used"].as_str().unwrap());
            let other = if used == "tiny" { "nope" } else { "tiny" };
            let sent = forwarded(body, &["model"], &[used]).unwrap_or_else(|status| panic!("{body}: {status}"));
            let models: Vec<&String> = sent.as_object().unwrap().keys().collect();
            assert_eq!(models, ["model"], "{body}");
            assert_eq!(forwarded(body, &["model"], &[other]), Err(403), "{body}");
        }
    }

    #[test]
    fn case_folding_cannot_hide_a_model() {
        let names = &["source", "destination"];
        for body in [
            r#"{"source":"tiny","destination":"tiny","\u017fource":"nope"}"#,
            r#"{"ſource":"nope","destination":"tiny"}"#,
            r#"{"source":"tiny","DESTINATION":"nope"}"#,
        ] {
            assert_eq!(forwarded(body, names, &["tiny"]), Err(403), "{body}");
        }
        let sent = forwarded(r#"{"Source":"tiny","de\u017ftination":"tiny:latest"}"#, names, &["tiny"]).unwrap();
        assert_eq!(sent, json!({ "source": "tiny", "destination": "tiny:latest" }));
    }

    #[test]
    fn both_model_members_are_checked() {
        let names = &["model", "name"];
        assert_eq!(forwarded(r#"{"model":"tiny","name":"nope"}"#, names, &["tiny"]), Err(403));
        assert_eq!(forwarded(r#"{"model":"","name":"nope"}"#, names, &["tiny"]), Err(403));
        assert_eq!(forwarded(r#"{"model":"","name":"tiny"}"#, names, &["tiny"]), Ok(json!({ "name": "tiny" })));
        assert_eq!(forwarded(r#"{"model":"nope","model":null}"#, names, &["tiny"]), Err(403));
        assert_eq!(forwarded(r#"{"model":null}"#, names, &["tiny"]), Err(400));
    }

    #[test]
    fn other_members_are_forwarded_unchanged() {
        let body = r#" { "prompt" : "a\u0000b" , "options":{"seed":12345678901234567890123,"t":1.0}, "model":" tiny:local "}{"model":"nope"}"#;
        let sent = canonical(body.as_bytes(), &["model"], &models(&["tiny"]), false).unwrap();
        let expected = r#"{"model":"tiny","prompt":"a\u0000b","options":{"seed":12345678901234567890123,"t":1.0}}"#;
        assert_eq!(String::from_utf8(sent).unwrap(), expected);
    }

    #[test]
    fn long_values_are_forwarded_where_they_are() {
        let (long, short) = ("x".repeat(MAX_COPIED_LENGTH), "y".repeat(MAX_COPIED_LENGTH - 2));
        let body = format!(r#"{{"a":"{long}", "model":"tiny","b":"{short}" ,"c":["{long}"],"d":1}}"#);
        let body = Bytes::from(body);
        let mut reservation = Reservation::uncounted();
        let (pieces, _) =
            super::canonical(&body, &["model"], &models(&["tiny"]), false, None, None, &mut reservation).unwrap();
        let expected = format!(r#"{{"model":"tiny","a":"{long}","b":"{short}","c":["{long}"],"d":1}}"#);
        assert_eq!(String::from_utf8(pieces.concat()).unwrap(), expected);
        let inside = body.as_ptr_range();
        assert_eq!(pieces.iter().filter(|piece| inside.contains(&piece.as_ptr())).count(), 2);
    }

    #[test]
    fn members_and_levels_are_limited() {
        let refused = |body: String| {
            canonical(body.as_bytes(), &["model"], &models(&["tiny"]), false)
                .map_err(|rejection| rejection.message().to_owned())
        };
        let many = |count: usize| refused(format!(r#"{{{}"model":"tiny"}}"#, r#""":0,"#.repeat(count - 1)));
        assert!(many(1000).is_ok());
        assert!(many(1001).unwrap_err().contains("more than 1000 members"));
        let deep = |count: usize| {
            refused(format!(r#"{{"model":"tiny","a":{}{}}}"#, "[".repeat(count - 1), "]".repeat(count - 1)))
        };
        assert!(deep(1000).is_ok());
        assert!(deep(1001).unwrap_err().contains("1000 levels"));
        assert!(refused("[".repeat(100_000)).unwrap_err().contains("1000 levels"));
        // Brackets in texts are none, and what follows the first value does not count.
        let texts = format!(
            r#"{{"model":"tiny","a":"\\\"{}","b\"{}":1}}{}"#,
            "[".repeat(2000),
            "{".repeat(100),
            "[".repeat(2000)
        );
        assert!(refused(texts).is_ok());
        let named = |length: usize| refused(format!(r#"{{"model":"tiny","{}":0}}"#, "a".repeat(length)));
        assert!(named(1022).is_ok() && named(1023).unwrap_err().contains("longer than 1024 bytes"));
        let model = refused(format!(r#"{{"model":"{}"}}"#, "a".repeat(5000)));
        assert!(model.unwrap_err().contains("longer than 4096 bytes"));
    }

    #[test]
    fn non_objects_are_refused() {
        for body in [
            "",
            "{",
            "[]",
            "null",
            "\"tiny\"",
            "{\"model\":1}",
            "{\"model\":[\"tiny\"]}",
            "{model:\"tiny\"}",
            "{}",
            "{\"model\":\"tiny\",\"a\":[}",
            "\u{feff}{\"model\":\"tiny\"}",
            "{\"model\":\"tiny\",}",
        ] {
            assert_eq!(forwarded(body, &["model"], &["*"]), Err(400), "{body}");
        }
        assert_eq!(
            canonical(b"{\"model\":\"ti\xffny\"}", &["model"], &models(&["*"]), false).unwrap_err().status(),
            400
        );
    }

    #[test]
    fn a_limited_credential_creates_only_from_allowed_models() {
        let create = |body: &str| {
            let models = models(&["me/*"]);
            canonical(body.as_bytes(), &["model", "name", "from"], &models, true)
                .map_err(|rejection| rejection.status())
        };
        assert!(create(r#"{"model":"me/new","from":"me/old"}"#).is_ok());
        for body in [
            r#"{"model":"me/new","from":"tiny"}"#,
            r#"{"model":"me/new","FROM":"tiny"}"#,
            r#"{"model":"me/new","modelfile":"FROM tiny"}"#,
            r#"{"model":"me/new","from":"me/old","Remote_Host":"http://h"}"#,
        ] {
            assert_eq!(create(body), Err(403), "{body}");
        }
    }

    proptest! {
        /// Whatever is forwarded names one allowed model, under the exact name, and nothing that folds to it.
        #[test]
        fn only_checked_models_are_forwarded(
            members in proptest::collection::vec(("[mM]odel|MODEL|mode[lL]|a", "tiny|nope|TINY|library/tiny|nope:latest"), 0..5)
        ) {
            let body: Vec<String> = members.iter().map(|(name, value)| format!("{name:?}:{value:?}")).collect();
            let body = format!("{{{}}}", body.join(","));
            if let Ok(sent) = forwarded(&body, &["model"], &["tiny"]) {
                let sent = sent.as_object().unwrap();
                let models: Vec<_> = sent.iter().filter(|(name, _)| name.eq_ignore_ascii_case("model")).collect();
                prop_assert_eq!(models.len(), 1);
                prop_assert!(models[0].1.as_str().unwrap().to_lowercase().ends_with("tiny"));
            }
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = canonical(&bytes, &["model"], &models(&["*"]), true);
        }
    }
}
