//! Ollama's own endpoints, as far as a chat needs them; the members of each answer are those that a real server sends.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::exchange::{Json, Message, Rejection, answer, check_model, option, prompt_of, read};
use super::exchange::{PAUSE, Paced};
use super::generator::{self, CHAIN};
use super::{FULL_NAME, started};

/// `POST /api/generate`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Generate {
    model: String,
    prompt: String,
    system: String,
    stream: Option<bool>,
    think: Value,
    options: Value,
}

/// `POST /api/chat`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chat {
    model: String,
    messages: Vec<Message>,
    stream: Option<bool>,
    think: Value,
    options: Value,
}

/// The member that holds the text of an answer.
#[derive(Clone, Copy)]
enum Form {
    /// In `response`.
    Generate,
    /// In `message.content`.
    Chat,
}

/// A request that was understood.
struct Turn {
    form: Form,
    model: String,
    prompt: String,
    stream: bool,
    seed: Option<i64>,
    limit: Option<i64>,
    began: Instant,
}

/// `GET /`.
pub async fn root() -> &'static str {
    "Ollama is running"
}

/// `GET /api/version`.
pub async fn version() -> Response {
    Json(json!({ "version": concat!(env!("CARGO_PKG_VERSION"), "-demo") })).into_response()
}

/// `GET /api/tags`.
pub async fn tags() -> Response {
    let mut details = details();
    details["context_length"] = json!(4096);
    details["embedding_length"] = json!(0);
    let model = json!({
        "name": FULL_NAME, "model": FULL_NAME, "modified_at": started().to_string(), "size": generator::size(),
        "digest": generator::digest(), "details": details, "capabilities": ["completion"],
    });
    Json(json!({ "models": [model] })).into_response()
}

/// `GET /api/ps`.
pub async fn ps() -> Response {
    let expires = Timestamp::now() + Duration::from_secs(300);
    let model = json!({
        "name": FULL_NAME, "model": FULL_NAME, "size": generator::size(), "digest": generator::digest(), "details": details(),
        "expires_at": expires.to_string(), "size_vram": 0, "context_length": 4096,
    });
    Json(json!({ "models": [model] })).into_response()
}

/// `POST /api/show`.
pub async fn show(body: Bytes) -> Result<Response, Rejection> {
    let asked: Value = read(&body)?;
    let named = |member: &str| asked.get(member).and_then(Value::as_str);
    let model = named("model").or_else(|| named("name")).unwrap_or_default();
    check_model(model).map_err(|rejection| match rejection.status {
        StatusCode::NOT_FOUND if !model.contains(':') => {
            Rejection::new(rejection.status, format!("model '{model}:latest' not found"))
        }
        _ => rejection,
    })?;
    Ok(Json(json!({
        "modelfile": "# The built-in demonstration model: a statistical text generator, no language model\nFROM demo\n",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": details(),
        "model_info": {
            "general.architecture": "trigram",
            "general.parameter_count": CHAIN.parameters(),
            "trigram.context_length": 4096,
            "trigram.vocab_size": CHAIN.vocabulary(),
        },
        "capabilities": ["completion"],
        "modified_at": started().to_string(),
    }))
    .into_response())
}

/// `POST /api/pull`: there is no registry behind, so the one model is there already and no other can be had.
pub async fn pull(body: Bytes) -> Result<Response, Rejection> {
    let asked: Value = read(&body)?;
    let named = |member: &str| asked.get(member).and_then(Value::as_str);
    let line = match check_model(named("model").or_else(|| named("name")).unwrap_or_default()) {
        Ok(()) => json!({ "status": "success" }),
        Err(rejection) if rejection.status == StatusCode::NOT_FOUND => {
            json!({ "error": format!("{}; this is the demonstration server, which has {FULL_NAME} only", rejection.message) })
        }
        Err(rejection) => return Err(rejection),
    };
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], format!("{line}\n")).into_response())
}

/// `POST /api/generate`.
pub async fn generate(body: Bytes) -> Result<Response, Rejection> {
    let asked: Generate = read(&body)?;
    let prompt =
        if asked.system.is_empty() { asked.prompt.clone() } else { format!("{}\n{}", asked.system, asked.prompt) };
    let turn = turn(Form::Generate, asked.model, prompt, asked.stream, &asked.think, &asked.options)?;
    if asked.prompt.is_empty() { Ok(turn.loaded()) } else { Ok(turn.respond().await) }
}

/// `POST /api/chat`.
pub async fn chat(body: Bytes) -> Result<Response, Rejection> {
    let asked: Chat = read(&body)?;
    let prompt = prompt_of(&asked.messages);
    let turn = turn(Form::Chat, asked.model, prompt, asked.stream, &asked.think, &asked.options)?;
    if asked.messages.is_empty() { Ok(turn.loaded()) } else { Ok(turn.respond().await) }
}

fn turn(
    form: Form,
    model: String,
    prompt: String,
    stream: Option<bool>,
    think: &Value,
    options: &Value,
) -> Result<Turn, Rejection> {
    let began = Instant::now();
    check_model(&model)?;
    if !matches!(think, Value::Null | Value::Bool(false)) {
        return Err(Rejection::new(StatusCode::BAD_REQUEST, format!("{model:?} does not support thinking")));
    }
    let (seed, limit) = (option(options, "seed")?, option(options, "num_predict")?);
    Ok(Turn { form, model, prompt, stream: stream.unwrap_or(true), seed, limit, began })
}

impl Turn {
    /// Nothing was asked: the model is ready.
    fn loaded(&self) -> Response {
        let mut line = self.line("", true);
        line["done_reason"] = json!("load");
        Json(line).into_response()
    }

    async fn respond(self) -> Response {
        let asked = self.began.elapsed();
        let answer = answer(&self.prompt, self.seed, self.limit);
        let (count, cut) = (answer.words.len(), answer.cut);
        let text = answer.words.concat();
        if !self.stream {
            tokio::time::sleep(PAUSE.saturating_mul(u32::try_from(count).unwrap_or(1))).await;
            return Json(self.last(&text, &text, count, cut, asked)).into_response();
        }
        let (mut words, mut ended) = (answer.words.into_iter(), false);
        let pieces = std::iter::from_fn(move || {
            let line = match words.next() {
                Some(word) => self.line(&word, false),
                None if !ended => {
                    ended = true;
                    self.last("", &text, count, cut, asked)
                }
                None => return None,
            };
            Some(format!("{line}\n"))
        });
        ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::new(Paced::new(pieces))).into_response()
    }

    fn line(&self, text: &str, done: bool) -> Value {
        let now = Timestamp::now().to_string();
        match self.form {
            Form::Generate => json!({ "model": self.model, "created_at": now, "response": text, "done": done }),
            Form::Chat => json!({
                "model": self.model, "created_at": now, "message": { "role": "assistant", "content": text }, "done": done,
            }),
        }
    }

    /// The last line, or the only one: what it took, in nanoseconds.
    fn last(&self, said: &str, answer: &str, count: usize, cut: bool, asked: Duration) -> Value {
        let mut line = self.line(said, true);
        line["done_reason"] = json!(if cut { "length" } else { "stop" });
        let words = self.prompt.split_whitespace();
        if let Form::Generate = self.form {
            let seen: Vec<_> = words.clone().chain(answer.split_whitespace()).map(|word| CHAIN.id(word)).collect();
            line["context"] = json!(seen);
        }
        let total = self.began.elapsed();
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        line["total_duration"] = json!(nanoseconds(total));
        line["load_duration"] = json!(nanoseconds(asked));
        line["prompt_eval_count"] = json!(words.count().max(1));
        line["prompt_eval_duration"] = json!(nanoseconds(PAUSE));
        line["eval_count"] = json!(count);
        line["eval_duration"] = json!(nanoseconds(total.saturating_sub(asked)));
        line
    }
}

fn details() -> Value {
    json!({
        "parent_model": "", "format": "text", "family": "trigram", "families": ["trigram"],
        "parameter_size": format!("{:.1}K", CHAIN.parameters() as f64 / 1000.0), "quantization_level": "none",
    })
}
