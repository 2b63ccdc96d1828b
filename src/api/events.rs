//! The objects inside a stream, parsed without copying the text where JSON allows it.
//!
//! The fast form knows the members as `ollama serve` writes them. What does not fit it is read again leniently: member names
//! without regard to case, of equal names the last one, as Go's decoder would.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::body::error_text;

/// Text that borrows from the line unless it holds escapes.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// One line of `/api/generate`, or of `/api/chat`, where the text is in `message`.
#[derive(Debug, Default, Deserialize)]
pub struct Chunk<'a> {
    #[serde(borrow, default)]
    response: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    /// Whether it is the last one.
    #[serde(default)]
    pub done: bool,
    /// Why the answer ended: `stop`, `length`, …; in the last object.
    #[serde(default)]
    pub done_reason: Option<String>,
    /// An error in the middle of a stream whose status was 200.
    #[serde(default)]
    pub error: Option<String>,
    /// Calls of tools that the model made up.
    #[serde(default)]
    tool_calls: Option<Vec<ToolCall>>,
    #[serde(borrow, default)]
    message: Option<Said<'a>>,
}

/// `message` of `/api/chat`.
#[derive(Debug, Default, Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(default)]
    tool_calls: Option<Vec<ToolCall>>,
}

/// A call of a tool.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
pub struct ToolCall {
    /// What is called.
    #[serde(default)]
    pub function: ToolFunction,
}

/// The function of a call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
pub struct ToolFunction {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Value,
}

impl<'a> Chunk<'a> {
    /// Reads a line.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub fn parse(line: &'a [u8]) -> Result<Self, serde_json::Error> {
        match serde_json::from_slice::<Self>(line) {
            // A line that says nothing at all may say it in other letters.
            Ok(chunk) if chunk.says_something() => Ok(chunk),
            _ => serde_json::from_slice(line).map(|object: Map<String, Value>| Self::leniently(&object)),
        }
    }

    fn says_something(&self) -> bool {
        self.response.is_some() || self.thinking.is_some() || self.error.is_some() || self.message.is_some()
    }

    fn leniently(object: &Map<String, Value>) -> Self {
        let member = |name: &str| {
            let found = object.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value).filter(|value| !value.is_null())
        };
        let text = |name: &str| member(name).and_then(Value::as_str).map(str::to_owned);
        let calls = member("tool_calls").and_then(|calls| serde_json::from_value(calls.clone()).ok());
        let said = member("message").and_then(Value::as_object).map(|message| {
            let inner = Self::leniently(message);
            let content = message.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case("content"));
            let content = content.and_then(|(_, value)| value.as_str()).map(|text| Text(Cow::Owned(text.to_owned())));
            Said { content, thinking: inner.thinking, tool_calls: inner.tool_calls }
        });
        Self {
            message: said,
            response: text("response").map(|text| Text(Cow::Owned(text))),
            thinking: text("thinking").map(|text| Text(Cow::Owned(text))),
            done: member("done").and_then(Value::as_bool).unwrap_or(false),
            done_reason: text("done_reason"),
            error: member("error").map(error_text),
            tool_calls: calls,
        }
    }

    /// The text of the answer, empty where there is none.
    pub fn response(&self) -> &str {
        let said = || self.message.as_ref().and_then(|said| said.content.as_ref());
        self.response.as_ref().or_else(said).map_or("", |text| &text.0)
    }

    /// The text of the thinking, empty where there is none.
    pub fn thinking(&self) -> &str {
        let said = || self.message.as_ref().and_then(|said| said.thinking.as_ref());
        self.thinking.as_ref().or_else(said).map_or("", |text| &text.0)
    }

    /// The tool calls, in whichever member they are.
    pub fn calls(&self) -> &[ToolCall] {
        let said = || self.message.as_ref().and_then(|said| said.tool_calls.as_deref());
        self.tool_calls.as_deref().or_else(said).unwrap_or_default()
    }
}

/// One line of `/api/pull`, `/api/push` and `/api/create`.
#[derive(Debug, Default, Deserialize)]
pub struct ProgressChunk {
    /// What is going on, such as `pulling manifest`.
    #[serde(default)]
    pub status: String,
    /// The layer, `sha256:…`.
    #[serde(default)]
    pub digest: Option<String>,
    /// Bytes of the layer.
    #[serde(default, deserialize_with = "size")]
    pub total: Option<u64>,
    /// Bytes of it that are here.
    #[serde(default, deserialize_with = "size")]
    pub completed: Option<u64>,
    /// An error in the middle of a stream whose status was 200.
    #[serde(default)]
    error: Option<Value>,
}

/// An invalid size does not fail a pull.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_u64())
}

impl ProgressChunk {
    /// The words of an error, if this is one.
    pub fn error(&self) -> Option<String> {
        self.error.as_ref().filter(|error| !error.is_null()).map(error_text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> (String, bool, Option<String>) {
        let chunk = Chunk::parse(line.as_bytes()).unwrap();
        (chunk.response().to_owned(), chunk.done, chunk.error)
    }

    #[test]
    fn plain_text_is_borrowed() {
        let chunk = Chunk::parse(br#"{"response":" long","done":false}"#).unwrap();
        assert!(matches!(chunk.response, Some(Text(Cow::Borrowed(" long")))));
    }

    #[test]
    fn what_go_would_read_is_read() {
        assert_eq!(parse(r#"{"Response":"hi","DONE":true}"#), ("hi".into(), true, None));
        assert_eq!(parse(r#"{"response":"a","response":"b","done":false}"#), ("b".into(), false, None));
        assert_eq!(parse(r#"{"response":"a","tool_calls":null}"#), ("a".into(), false, None));
        assert_eq!(parse(r#"{"error":{"message":"m"}}"#), (String::new(), false, Some("m".into())));
        assert_eq!(parse(r#"{"error":"m"}"#), (String::new(), false, Some("m".into())));
        assert!(Chunk::parse(b"<html>").is_err());
        assert!(Chunk::parse(b"[]").is_err());
    }

    #[test]
    fn a_message_of_a_conversation_is_read_however_it_is_written() {
        let line = br#"{"message":{"role":"assistant","content":"hi","thinking":"t","tool_calls":[{"function":{"name":"f"}}]},"done":false}"#;
        let chunk = Chunk::parse(line).unwrap();
        assert_eq!((chunk.response(), chunk.thinking(), chunk.calls()[0].function.name.as_str()), ("hi", "t", "f"));
        let chunk = Chunk::parse(br#"{"Message":{"Content":"hi","THINKING":"t"},"done":true}"#).unwrap();
        assert_eq!((chunk.response(), chunk.thinking(), chunk.done), ("hi", "t", true));
        let chunk = Chunk::parse(br#"{"message":{"content":7},"error":"e"}"#).unwrap();
        assert_eq!((chunk.response(), chunk.error.as_deref()), ("", Some("e")));
        assert_eq!(Chunk::parse(br#"{"message":null,"done":true}"#).unwrap().response(), "");
    }

    #[test]
    fn tool_calls_are_read_in_both_forms() {
        let chunk =
            Chunk::parse(br#"{"response":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}"#).unwrap();
        let calls = chunk.calls();
        assert_eq!(
            (calls[0].function.name.as_str(), calls[0].function.arguments.to_string().as_str()),
            ("f", r#"{"a":1}"#)
        );
    }
}
