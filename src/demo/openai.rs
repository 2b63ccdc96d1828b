//! The OpenAI-style endpoints: the list of models and chat completions, with and without a stream.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::exchange::{Json, Message, Rejection, answer, check_model, prompt_of, read};
use super::exchange::{PAUSE, Paced};
use super::{FULL_NAME, started};

/// `POST /v1/chat/completions`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Completion {
    model: String,
    messages: Vec<Message>,
    stream: bool,
    stream_options: StreamOptions,
    seed: Option<i64>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamOptions {
    include_usage: bool,
}

/// OpenAI's shape of an error.
pub struct OpenAiRejection(Rejection);

impl From<Rejection> for OpenAiRejection {
    fn from(rejection: Rejection) -> Self {
        Self(rejection)
    }
}

impl IntoResponse for OpenAiRejection {
    fn into_response(self) -> Response {
        let kind = match self.0.status {
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::BAD_REQUEST => "invalid_request_error",
            _ => "api_error",
        };
        let error = json!({ "message": self.0.message, "type": kind, "param": null, "code": null });
        (self.0.status, Json(json!({ "error": error }))).into_response()
    }
}

/// `GET /v1/models`.
pub async fn models() -> Response {
    let model = json!({ "id": FULL_NAME, "object": "model", "created": started().as_second(), "owned_by": "library" });
    Json(json!({ "object": "list", "data": [model] })).into_response()
}

/// `POST /v1/chat/completions`.
pub async fn completions(body: Bytes) -> Result<Response, OpenAiRejection> {
    let asked: Completion = read(&body)?;
    check_model(&asked.model)?;
    if asked.messages.is_empty() {
        return Err(Rejection::new(StatusCode::BAD_REQUEST, "[] is too short - 'messages'").into());
    }
    let prompt = prompt_of(&asked.messages);
    let answer = answer(&prompt, asked.seed, asked.max_completion_tokens.or(asked.max_tokens));
    let finish = if answer.cut { "length" } else { "stop" };
    let (count, prompt_count) = (answer.words.len(), prompt.split_whitespace().count());
    let usage =
        json!({ "prompt_tokens": prompt_count, "completion_tokens": count, "total_tokens": prompt_count + count });
    let head = Head::new(asked.model);
    if !asked.stream {
        tokio::time::sleep(PAUSE.saturating_mul(u32::try_from(count).unwrap_or(1))).await;
        let message = json!({ "role": "assistant", "content": answer.words.concat() });
        let choice = json!({ "index": 0, "message": message, "finish_reason": finish });
        let mut whole = head.object("chat.completion", json!([choice]));
        whole["usage"] = usage;
        return Ok(Json(whole).into_response());
    }
    let mut first = true;
    let chunk = move |head: &Head, choices: Value| head.object("chat.completion.chunk", choices);
    let mut tail = {
        let mut end = event(&chunk(&head, json!([{ "index": 0, "delta": {}, "finish_reason": finish }])));
        if asked.stream_options.include_usage {
            let mut last = chunk(&head, json!([]));
            last["usage"] = usage;
            end += &event(&last);
        }
        Some(end + "data: [DONE]\n\n")
    };
    let mut words = answer.words.into_iter();
    let pieces = std::iter::from_fn(move || {
        let Some(word) = words.next() else { return tail.take() };
        let delta = match std::mem::replace(&mut first, false) {
            true => json!({ "role": "assistant", "content": word }),
            false => json!({ "content": word }),
        };
        Some(event(&chunk(&head, json!([{ "index": 0, "delta": delta, "finish_reason": null }]))))
    });
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], Body::new(Paced::new(pieces))).into_response())
}

/// What every piece of one answer has in common.
struct Head {
    id: String,
    created: i64,
    model: String,
}

impl Head {
    fn new(model: String) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = format!("chatcmpl-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { id, created: Timestamp::now().as_second(), model }
    }

    fn object(&self, kind: &str, choices: Value) -> Value {
        json!({
            "id": self.id, "object": kind, "created": self.created, "model": self.model,
            "system_fingerprint": "fp_demo", "choices": choices,
        })
    }
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}
