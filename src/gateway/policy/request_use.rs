//! What counting needs of a request's body: its model, how long its text is, and whether the upstream server is to say how many tokens a
//! stream had.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::{memchr, memchr2, memmem};
use serde_json::value::RawValue;

use super::json_members::{folded, members};
use crate::gateway::token_estimate::{text_units, tokens};
use crate::keyspec::CanonicalModel;

/// The route whose streams say how many tokens they had only if they are asked to.
const ASKED: &str = "/v1/chat/completions";
/// The member by which they are asked, and what it holds then. The last of several members counts, and they are merged.
pub const STREAM_OPTIONS: &str = "stream_options";
/// See [`STREAM_OPTIONS`].
pub const INCLUDE_USAGE: &str = r#"{"include_usage":true}"#;
/// The members that hold text for the model.
const TEXTS: [&str; 8] = ["messages", "prompt", "system", "input", "instructions", "suffix", "tools", "template"];
/// Bytes for each token of a body that was not read, as it is estimated.
const UNREAD_BYTES_PER_TOKEN: u64 = 4;
/// A longer text, in bytes, whose beginning is base64 is an image or a sound.
const LONGEST_WORD: usize = 1024;

/// How many bytes of a body have passed.
#[derive(Clone, Debug, Default)]
pub struct PassedBytes(Arc<AtomicU64>);

impl PassedBytes {
    /// So many more.
    pub fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct RequestUse {
    /// The model that it names, as the gateway compares it; empty if it could not be read.
    pub model: String,
    /// An estimate of the tokens of its text, apart from what is not read.
    input: u64,
    /// What is not read of a body of unknown length, and passes.
    passed: Option<PassedBytes>,
    /// The upstream server is to be asked how many tokens the stream had, although the caller did not ask.
    pub adds_usage: bool,
}

impl RequestUse {
    /// Of a body that was not read, of that many bytes.
    pub fn unread(bytes: u64) -> Self {
        Self { input: bytes / UNREAD_BYTES_PER_TOKEN, ..Self::default() }
    }

    /// Of a body that is not read, of unknown length.
    pub fn passing(passed: PassedBytes) -> Self {
        Self { passed: Some(passed), ..Self::default() }
    }

    /// An estimate of the tokens of its text, as far as it is known by now.
    pub fn input(&self) -> u64 {
        let passed = self.passed.as_ref().map_or(0, PassedBytes::get);
        self.input + passed / UNREAD_BYTES_PER_TOKEN
    }

    /// Of a form that names that model. Its recording is not counted as text.
    pub fn of_model(model: &str) -> Self {
        let model = CanonicalModel::parse(model).map(|model| model.to_string()).unwrap_or_default();
        Self { model, ..Self::default() }
    }

    /// Of the members of a body, in their order, on the route of that path. `model` is the one that it names.
    pub fn of<'a>(path: &str, model: Option<&str>, others: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let (mut units, mut is_stream, mut has_usage) = (0, false, false);
        for (name, value) in others {
            // Most names are written as they are documented.
            let is_plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'));
            let name = if is_plain { Cow::Borrowed(name) } else { Cow::Owned(folded(name)) };
            match &*name {
                // In Go, null changes nothing.
                "stream" if value != "null" => is_stream = value == "true",
                STREAM_OPTIONS => has_usage = asks_for_usage(value, has_usage),
                name if TEXTS.contains(&name) => units += json_text_units(value.as_bytes()),
                _ => {}
            }
        }
        let model = model.and_then(|model| CanonicalModel::parse(model).ok());
        Self {
            model: model.map(|model| model.to_string()).unwrap_or_default(),
            input: tokens(units),
            passed: None,
            adds_usage: path == ASKED && is_stream && !has_usage,
        }
    }

    /// Reads the body of a request on the route of that path; also returns where the object ends. `None` unless it is a JSON object.
    pub fn read(path: &str, body: &[u8]) -> Option<(Self, usize)> {
        let members = members(body).ok()?;
        let mut model: Option<String> = None;
        for (name, value) in &members {
            if folded(name) == "model" {
                // In Go, null changes nothing.
                model = serde_json::from_str(value.get()).ok().flatten().or(model);
            }
        }
        let read = Self::of(path, model.as_deref(), members.iter().map(|(name, value)| (&**name, value.get())));
        // The last member ends before the brace that ends the object.
        let last = members.last().map(|(_, value): &(String, &RawValue)| value.get().as_bytes().as_ptr_range().end)?;
        let from = last as usize - body.as_ptr() as usize;
        let end = from + memchr(b'}', &body[from..])?;
        Some((read, end))
    }
}

/// Whether a stream is asked to say how many tokens it had, by this member after one that asked or did not.
fn asks_for_usage(options: &str, before: bool) -> bool {
    match members(options.as_bytes()) {
        Ok(members) => {
            members.iter().filter(|(name, _)| folded(name) == "include_usage").fold(before, |before, (_, value)| {
                match value.get() {
                    "true" => true,
                    "false" => false,
                    _ => before,
                }
            })
        }
        // null removes it.
        Err(_) => before && options != "null",
    }
}

/// The units of the texts in some JSON, without names of members, images and sounds.
fn json_text_units(json: &[u8]) -> u64 {
    let (mut all, mut at) = (0, 0);
    while let Some(begin) = json.get(at..).and_then(|rest| memchr(b'"', rest)).map(|found| at + found + 1) {
        let (mut end, mut excess) = (begin, 0);
        loop {
            let Some(found) = json.get(end..).and_then(|rest| memchr2(b'"', b'\\', rest)) else { return all };
            end += found;
            if json[end] == b'"' {
                break;
            }
            if let Some(escape @ [b'u', ..]) = json.get(end + 1..end + 6) {
                excess += text_units(escape).saturating_sub(character_units(&escape[1..]));
            }
            end += 2;
        }
        let text = &json[begin..end];
        at = end + 1;
        let is_name = json[at..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
        let is_data = text.len() > LONGEST_WORD && is_base64(text);
        if !is_name && !is_data {
            all += text_units(text).saturating_sub(excess);
        }
    }
    all
}

/// The units of the character that four hexadecimal digits after `\u` stand for.
fn character_units(digits: &[u8]) -> u64 {
    let code = str::from_utf8(digits).ok().and_then(|digits| u16::from_str_radix(digits, 16).ok());
    match code {
        Some(code @ ..0x80) => text_units(&[code as u8]),
        Some(..0x800) => 2,
        // There are two of these for a character of four bytes.
        Some(0xd800..0xe000) => 2,
        _ => 3,
    }
}

/// Whether a text begins as an image or a sound does: in base64, perhaps behind `data:image/png;base64,`.
fn is_base64(text: &[u8]) -> bool {
    const MARK: &[u8] = b";base64,";
    let begin = &text[..LONGEST_WORD];
    let begin = match begin.starts_with(b"data:") {
        true => memmem::find(begin, MARK).map_or(begin, |at| &begin[at + MARK.len()..]),
        false => begin,
    };
    begin.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'='))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(path: &str, body: &str) -> RequestUse {
        RequestUse::read(path, body.as_bytes()).unwrap().0
    }

    #[test]
    fn the_text_is_counted_without_names_and_images() {
        let image = "iVBORw0KGgo".repeat(200);
        let body = json!({
            "model": "Tiny",
            "messages": [{ "role": "user", "content": "a \"quoted\" line\n中文", "images": [image] }],
            "options": { "stop": ["not a prompt"] },
        });
        // Also where all that is not ASCII is escaped.
        for body in [body.to_string(), body.to_string().replace('中', "\\u4e2d").replace('文', "\\u6587")] {
            let texts = "user".len() + "a\"quoted\"line\n中文".len() + "\"\"".len();
            let read = read("/api/chat", &body);
            assert_eq!((read.input, read.adds_usage), ((texts as u64 * 2).div_ceil(7), false), "{body}");
            assert_eq!(read.model, CanonicalModel::parse("Tiny").unwrap().to_string());
        }
    }

    #[test]
    fn text_without_spaces_is_text_and_base64_is_not() {
        let long = |piece: &str| piece.repeat(2400 / piece.len());
        for (text, units) in [
            (long("\\u4e2d\\u6587"), 2400 / 12 * 6),
            (long("\\u00fc\\u003c"), 2400 / 12 * 4),
            (long("\\ud83c\\udf89"), 2400 / 12 * 4),
            (long("a,b,c;d=1\\n"), 2400 / 11 * 15),
            (long("iVBORw0KGgo"), 0),
            (format!("data:image/png;base64,{}", long("iVBORw0KGgo")), 0),
        ] {
            let json = format!("[\"{text}\"]");
            assert_eq!(json_text_units(json.as_bytes()), units, "{text:.30}");
        }
        let body = r#"{"model":"big","model":null,"messages":[]}"#;
        assert_eq!(read("/api/chat", body).model, "big:latest");
    }

    #[test]
    fn only_streams_that_do_not_ask_are_asked_for_their_usage() {
        let adds = |path: &str, body: &str| read(path, body).adds_usage;
        for (body, expected) in [
            (r#"{"stream":true}"#, true),
            (r#"{"STREAM":true,"stream_options":null}"#, true),
            (r#"{"stream":true,"stream_options":{"include_usage":false}}"#, true),
            (r#"{"stream":true,"stream_options":{"include_usage":true},"Stream_Options":null}"#, true),
            (r#"{"stream":true,"stream_options":{"Include_Usage":true}}"#, false),
            (r#"{"stream":true,"stream_options":{"include_usage":true},"stream_options":{}}"#, false),
            (r#"{"stream":false}"#, false),
            (r#"{"stream":true,"stream":null}"#, true),
            (r#"{"stream":true,"stream":false}"#, false),
            (r#"{"messages":[{"stream":true}]}"#, false),
        ] {
            assert_eq!(adds(ASKED, body), expected, "{body}");
            assert!(!adds("/v1/completions", body));
        }
    }

    #[test]
    fn what_is_no_object_is_not_read() {
        for body in ["", "[]", "{", "{}", "null", "{\"a\":1"] {
            assert!(RequestUse::read(ASKED, body.as_bytes()).is_none(), "{body}");
        }
        let body = br#"{"stream":true ,"x":"}" } trailing"#;
        let (_, end) = RequestUse::read(ASKED, body).unwrap();
        assert_eq!(&body[end..], b"} trailing");
    }
}
