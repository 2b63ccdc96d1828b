//! The objects inside a stream, parsed without copying the text where JSON allows it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Text that borrows from the line unless it holds escapes.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// One line of `/api/generate`.
#[derive(Debug, Deserialize)]
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
    pub tool_calls: Vec<ToolCall>,
}

/// A call of a tool.
#[derive(Debug, Deserialize)]
pub struct ToolCall {
    /// What is called.
    pub function: ToolFunction,
}

/// The function of a call.
#[derive(Debug, Deserialize)]
pub struct ToolFunction {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its arguments, as JSON.
    pub arguments: Box<RawValue>,
}

impl Chunk<'_> {
    /// The text of the answer, empty where there is none.
    pub fn response(&self) -> &str {
        self.response.as_ref().map_or("", |text| &text.0)
    }

    /// The text of the thinking, empty where there is none.
    pub fn thinking(&self) -> &str {
        self.thinking.as_ref().map_or("", |text| &text.0)
    }
}

/// One line of `/api/pull`.
#[derive(Debug, Default, Deserialize)]
pub struct ProgressChunk {
    /// What is going on, such as `pulling manifest`.
    #[serde(default)]
    pub status: String,
    /// The layer, `sha256:…`.
    #[serde(default)]
    pub digest: Option<String>,
    /// Bytes of the layer.
    #[serde(default)]
    pub total: Option<u64>,
    /// Bytes of it that are here.
    #[serde(default)]
    pub completed: Option<u64>,
    /// An error in the middle of a stream whose status was 200.
    #[serde(default)]
    pub error: Option<String>,
}
