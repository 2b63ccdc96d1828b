//! What can arrive while a model answers.

use std::borrow::Cow;

/// One piece of an answer. All text in it is the model's and untrusted.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A piece of the answer: `response` of `/api/generate`, `message.content` of `/api/chat`. May be empty.
    Content(Cow<'a, str>),
    /// A piece of what precedes the answer: `thinking` or `message.thinking`. May be empty.
    Thinking(Cow<'a, str>),
    /// The model calls a function, which this program does not offer: its name, and its arguments as JSON text.
    ToolCall {
        /// The function's name.
        name: Cow<'a, str>,
        /// Its arguments, as JSON.
        arguments: Cow<'a, str>,
    },
}
