//! What both APIs of the demonstration model share: reading requests, the errors of a real server, and the pace of an answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::Frame;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Sleep, sleep};

use super::generator::{Answer, CHAIN};

/// The longest answer, in words.
const MAX_WORDS: i64 = 400;

/// One message of a conversation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Message {
    /// `user`, `assistant`, `system`.
    pub role: String,
    /// A text, or a list of parts.
    pub content: Value,
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The HTTP status.
    pub status: StatusCode,
    /// For the person.
    pub message: String,
}

impl Rejection {
    /// A rejection.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

/// Ollama's shape of an error.
impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.message }))).into_response()
    }
}

/// A JSON body, with the content type that Ollama has.
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let text = serde_json::to_string(&self.0).unwrap_or_default();
        ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], Body::from(text)).into_response()
    }
}

/// Reads a JSON body, whatever its content type says.
///
/// # Errors
/// 400 for what is not JSON of this form.
pub fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Rejection> {
    if body.is_empty() {
        return Err(Rejection::new(StatusCode::BAD_REQUEST, "missing request body"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let message = if error.is_eof() { "unexpected EOF".to_owned() } else { format!("invalid request: {error}") };
        Rejection::new(StatusCode::BAD_REQUEST, message)
    })
}

/// Whether a name means the demonstration model, in any of the forms that a server takes.
///
/// # Errors
/// 400 without a name, 404 for another model.
pub fn check_model(model: &str) -> Result<(), Rejection> {
    let name = model.trim().to_ascii_lowercase();
    let name = name.strip_prefix("registry.ollama.ai/").unwrap_or(&name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    match name.strip_suffix(":latest").unwrap_or(name) {
        "" => Err(Rejection::new(StatusCode::BAD_REQUEST, "model is required")),
        super::NAME => Ok(()),
        _ => Err(Rejection::new(StatusCode::NOT_FOUND, format!("model '{model}' not found"))),
    }
}

/// A whole number among the options of a request.
///
/// # Errors
/// 500 for another type, as Ollama has it.
pub fn option(options: &Value, name: &str) -> Result<Option<i64>, Rejection> {
    match options.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) if number.is_f64() => Ok(number.as_f64().map(|number| number as i64)),
        Some(value) => value.as_i64().map(Some).ok_or_else(|| {
            Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, format!("option {name:?} must be of type integer"))
        }),
    }
}

/// The answer to a prompt. A limit below 1 means unlimited.
pub fn answer(prompt: &str, seed: Option<i64>, limit: Option<i64>) -> Answer {
    let limit = limit.filter(|limit| *limit > 0).and_then(|limit| usize::try_from(limit.min(MAX_WORDS)).ok());
    CHAIN.answer(prompt, seed.unwrap_or_default(), limit)
}

/// A conversation as one text.
pub fn prompt_of(messages: &[Message]) -> String {
    let text = |message: &Message| match &message.content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        _ => String::new(),
    };
    messages.iter().map(|message| format!("{}: {}\n", message.role, text(message))).collect()
}

/// The pause between two words.
pub const PAUSE: Duration = Duration::from_millis(12);

/// A response body whose pieces come one after the other with a pause between, as a model makes them. When the caller leaves, it
/// is dropped and nothing more is made.
pub struct Paced<I> {
    pieces: I,
    pause: Pin<Box<Sleep>>,
}

impl<I: Iterator<Item = String>> Paced<I> {
    /// The first piece comes after one pause.
    pub fn new(pieces: I) -> Self {
        Self { pieces, pause: Box::pin(sleep(PAUSE)) }
    }
}

impl<I: Iterator<Item = String> + Unpin> http_body::Body for Paced<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.pause.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.pause = Box::pin(sleep(PAUSE));
        Poll::Ready(self.pieces.next().map(|piece| Ok(Frame::data(Bytes::from(piece)))))
    }
}
