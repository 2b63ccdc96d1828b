//! The model that a JSON body really names.
//!
//! Go matches member names without regard to case, lets the last of several equal names win, and reads one value and no more
//! (measured: `model-in-body.json`). A check that reads a body otherwise can be walked around; so what is forwarded is put
//! together from what was read: each model once, under its exact name, in front; everything else as it came.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::models::{require_model, sendable};
use crate::gateway::rejection::Rejection;
use crate::keyspec::Models;

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

/// The body to forward. `names` are the members that name models; `creates` says that the request makes a model.
///
/// # Errors
/// 400 for what is not a JSON object, 403 for a model that may not be used.
pub fn canonical(bytes: &[u8], names: &[&str], models: &Models, creates: bool) -> Result<Vec<u8>, Rejection> {
    let members = members(bytes)?;
    let mut named: Vec<(&str, String)> = Vec::new();
    let mut others = Vec::new();
    for (name, value) in members {
        let folded = folded(&name);
        let Some(field) = names.iter().find(|field| **field == folded) else {
            if creates && !HARMLESS_TO_CREATE.contains(&folded.as_str()) {
                let shown: String = folded.chars().take(100).collect();
                let message = format!("a credential for certain models may not create a model with {shown:?}");
                return Err(Rejection::new(403, message));
            }
            others.push((name, value));
            continue;
        };
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
    let mut body = String::from("{");
    let mut member = |name: &str, value: &str| -> Result<(), Rejection> {
        if body.len() > 1 {
            body.push(',');
        }
        body.push_str(&serde_json::to_string(name).map_err(|_| not_json())?);
        body.push(':');
        body.push_str(value);
        Ok(())
    };
    for (field, name) in &named {
        require_model(models, name)?;
        member(field, &serde_json::to_string(&sendable(name)).map_err(|_| not_json())?)?;
    }
    for (name, value) in &others {
        member(name, value.get())?;
    }
    body.push('}');
    Ok(body.into_bytes())
}

/// A name as Go compares it: without regard to case, where two non-ASCII letters equal ASCII ones.
fn folded(name: &str) -> String {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    name.chars().map(fold).collect()
}

fn not_json() -> Rejection {
    Rejection::new(400, "the request body is not a JSON object")
}

/// All members of the first value, in their order, with those that are there twice.
fn members(bytes: &[u8]) -> Result<Vec<(String, Box<RawValue>)>, Rejection> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, Box<RawValue>)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    // Anything after the first value is dropped, since the server ignores it.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    reader.deserialize_map(Members).map_err(|_| not_json())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn models(patterns: &[&str]) -> Models {
        patterns.iter().map(|pattern| pattern.parse().unwrap()).collect()
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
