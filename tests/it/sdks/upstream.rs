//! The upstream Ollama: the recorded answers, and answers that were not recorded in the form of Ollama's source (`openai`, `anthropic`).
//! A test can put another answer before them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::harness::http::{Reply, Request, Step};
use crate::harness::ollama::{Ollama, recorded, replay};

/// What the model says where nothing was recorded, in pieces.
pub const SAID: [&str; 3] = [" long", " way", " home"];
/// The same at once.
pub const WHOLE: &str = " long way home";

/// The server.
pub struct Upstream {
    ollama: Ollama,
    next: Arc<Mutex<VecDeque<Reply>>>,
}

impl Upstream {
    /// With two models, `tiny` and `other`.
    pub fn start() -> Self {
        let ollama = Ollama::start();
        let next = Arc::<Mutex<VecDeque<Reply>>>::default();
        for method in ["GET", "POST"] {
            let next = next.clone();
            ollama.route(method, "/*", move |request| {
                let own = next.lock().unwrap().pop_front();
                own.or_else(|| unrecorded(request)).unwrap_or_else(|| replay(request, request.path()))
            });
        }
        Self { ollama, next }
    }

    /// Answers the next request so, whatever it is.
    pub fn answer_next(&self, reply: Reply) {
        self.next.lock().unwrap().push_back(reply);
    }

    /// Answers as ever from now on.
    pub fn forget_answers(&self) {
        self.next.lock().unwrap().clear();
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.ollama.url()
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.ollama.server().requests()
    }

    /// Waits until so many callers have left before the end of their answer.
    pub fn wait_disconnects(&self, count: usize) {
        self.ollama.server().wait_disconnects(count);
    }
}

/// The pieces of a streamed answer to a question at that path.
pub fn pieces(path: &str) -> Vec<String> {
    match path {
        "/api/chat" => recorded("chat").chunks.clone(),
        "/v1/chat/completions" => recorded("openai").chunks.clone(),
        "/v1/messages" => message_events(),
        _ => panic!("no stream at {path}"),
    }
}

/// A streamed answer of these steps, of the type that belongs to the path.
pub fn stream(path: &str, steps: impl IntoIterator<Item = Step>) -> Reply {
    let kind = if path.starts_with("/v1/") { "text/event-stream" } else { "application/x-ndjson" };
    Reply::script(200, steps).header("Content-Type", kind)
}

fn streamed(path: &str, chunks: Vec<String>) -> Reply {
    stream(path, chunks.into_iter().map(Step::send))
}

fn unrecorded(request: &Request) -> Option<Reply> {
    let path = request.path();
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let (streams, tools) = (body["stream"] == true, body["tools"].as_array().is_some_and(|tools| !tools.is_empty()));
    let answer = match (path, streams) {
        ("/api/tags", _) => return Some(models("tags", "models", &["name", "model"])),
        ("/v1/models", _) => return Some(models("openai_models", "data", &["id"])),
        ("/v1/models/tiny", _) => {
            json!({ "id": "tiny", "object": "model", "created": 1_795_211_448, "owned_by": "library" })
        }
        ("/api/embed", _) => json!({
            "model": "tiny", "embeddings": [[0.5, -0.25]], "total_duration": 1000, "load_duration": 10, "prompt_eval_count": 1,
        }),
        ("/v1/embeddings", _) => embedding(body["encoding_format"] == "base64"),
        ("/api/chat", false) => {
            let message = if tools {
                let call = json!({ "id": "call_1", "function": { "index": 0, "name": "weather", "arguments": { "city": "Paris" } } });
                json!({ "role": "assistant", "content": "", "tool_calls": [call] })
            } else {
                json!({ "role": "assistant", "content": WHOLE })
            };
            json!({
                "model": "tiny", "created_at": "2026-11-20T21:52:52.7439588Z", "message": message, "done": true, "done_reason": "stop",
                "total_duration": 1000, "load_duration": 10, "prompt_eval_count": 21, "prompt_eval_duration": 20, "eval_count": 3,
                "eval_duration": 30,
            })
        }
        ("/v1/chat/completions", false) => {
            completion("chat.completion", "message", &chat_message(tools), finish(tools))
        }
        ("/v1/chat/completions", true) if tools => {
            let first = completion("chat.completion.chunk", "delta", &chat_message(true), Value::Null);
            let last = completion("chat.completion.chunk", "delta", &json!({}), finish(true));
            return Some(streamed(path, vec![data(&first), data(&last), done()]));
        }
        ("/v1/chat/completions", true) => return Some(streamed(path, pieces(path))),
        ("/v1/completions", false) => completion("text_completion", "text", &json!(WHOLE), json!("stop")),
        ("/v1/completions", true) => {
            let text = |piece: &&str| data(&completion("text_completion", "text", &json!(piece), Value::Null));
            let end = data(&completion("text_completion", "text", &json!(""), json!("stop")));
            return Some(streamed(path, SAID.iter().map(text).chain([end, done()]).collect()));
        }
        ("/v1/responses", false) => response("completed", tools),
        ("/v1/responses", true) => return Some(streamed(path, response_events())),
        ("/v1/messages", false) if !tools => return Some(recorded("anthropic").reply()),
        ("/v1/messages", false) => message(&json!([tool_use(json!({ "city": "Paris" }))]), json!("tool_use")),
        ("/v1/messages", true) => return Some(streamed(path, if tools { tool_events() } else { message_events() })),
        _ => return None,
    };
    Some(Reply::json(200, answer))
}

/// A recorded list of the one model, with another one beside it.
fn models(name: &str, list: &str, members: &[&str]) -> Reply {
    let mut answer: Value = serde_json::from_str(&recorded(name).chunks.concat()).unwrap();
    let mut other = answer[list][0].clone();
    for member in members {
        other[*member] = json!("other:latest");
    }
    answer[list].as_array_mut().unwrap().push(other);
    Reply::json(200, answer)
}

fn embedding(packed: bool) -> Value {
    let vector = [0.5_f32, -0.25];
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    let vector = if packed { json!(BASE64_STANDARD.encode(bytes)) } else { json!(vector) };
    let data = json!([{ "object": "embedding", "embedding": vector, "index": 0 }]);
    json!({ "object": "list", "data": data, "model": "tiny", "usage": { "prompt_tokens": 1, "total_tokens": 1 } })
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn done() -> String {
    "data: [DONE]\n\n".to_owned()
}

fn finish(tools: bool) -> Value {
    json!(if tools { "tool_calls" } else { "stop" })
}

fn chat_message(tools: bool) -> Value {
    if !tools {
        return json!({ "role": "assistant", "content": WHOLE });
    }
    let function = json!({ "name": "weather", "arguments": "{\"city\":\"Paris\"}" });
    let call = json!({ "id": "call_1", "index": 0, "type": "function", "function": function });
    json!({ "role": "assistant", "content": "", "tool_calls": [call] })
}

fn completion(object: &str, member: &str, said: &Value, finish: Value) -> Value {
    let mut answer = json!({
        "id": "chatcmpl-7", "object": object, "created": 1_795_211_572, "model": "tiny", "system_fingerprint": "fp_ollama",
        "choices": [{ "index": 0, member: said, "finish_reason": finish }],
    });
    if !object.ends_with("chunk") {
        answer["usage"] = json!({ "prompt_tokens": 21, "completion_tokens": 3, "total_tokens": 24 });
    }
    answer
}

fn response(status: &str, tools: bool) -> Value {
    let text = json!({ "type": "output_text", "text": WHOLE, "annotations": [], "logprobs": [] });
    let output = match (status, tools) {
        ("in_progress", _) => json!([]),
        (_, true) => json!([{
            "id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "weather",
            "arguments": "{\"city\":\"Paris\"}",
        }]),
        (_, false) => {
            json!([{ "id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [text] }])
        }
    };
    json!({
        "id": "resp_7", "object": "response", "created_at": 1_795_211_572, "completed_at": null, "status": status,
        "incomplete_details": null, "model": "tiny", "previous_response_id": null, "instructions": null, "output": output,
        "error": null, "tools": [], "tool_choice": "auto", "truncation": "disabled", "parallel_tool_calls": true,
        "text": { "format": { "type": "text" } }, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
        "top_logprobs": 0, "temperature": 1.0, "reasoning": null,
        "usage": {
            "input_tokens": 21, "output_tokens": 3, "total_tokens": 24,
            "input_tokens_details": { "cached_tokens": 0 }, "output_tokens_details": { "reasoning_tokens": 0 },
        },
        "max_output_tokens": null, "max_tool_calls": null, "store": false, "background": false, "service_tier": "default",
        "metadata": {}, "safety_identifier": null, "prompt_cache_key": null,
    })
}

fn response_events() -> Vec<String> {
    let item = |status: &str, content: Value| json!({ "id": "msg_1", "type": "message", "status": status, "role": "assistant", "content": content });
    let text = |text: &str| json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] });
    let at = json!({ "item_id": "msg_1", "output_index": 0, "content_index": 0 });
    let placed = |name: &str, value: Value| {
        let mut event = at.clone();
        event[name] = value;
        event["logprobs"] = json!([]);
        event
    };
    let mut events = vec![
        ("response.created", json!({ "response": response("in_progress", false) })),
        ("response.in_progress", json!({ "response": response("in_progress", false) })),
        ("response.output_item.added", json!({ "output_index": 0, "item": item("in_progress", json!([])) })),
        ("response.content_part.added", placed("part", text(""))),
    ];
    events.extend(SAID.iter().map(|piece| ("response.output_text.delta", placed("delta", json!(piece)))));
    events.extend([
        ("response.output_text.done", placed("text", json!(WHOLE))),
        ("response.content_part.done", placed("part", text(WHOLE))),
        ("response.output_item.done", json!({ "output_index": 0, "item": item("completed", json!([text(WHOLE)])) })),
        ("response.completed", json!({ "response": response("completed", false) })),
    ]);
    let numbered = events.into_iter().enumerate().map(|(number, (name, mut event))| {
        event["sequence_number"] = json!(number);
        named(name, event)
    });
    numbered.collect()
}

fn named(name: &str, mut event: Value) -> String {
    event["type"] = json!(name);
    format!("event: {name}\ndata: {event}\n\n")
}

fn message(content: &Value, stop: Value) -> Value {
    json!({
        "id": "msg_7", "type": "message", "role": "assistant", "model": "tiny", "content": content, "stop_reason": stop,
        "usage": { "input_tokens": 21, "output_tokens": 3 },
    })
}

fn tool_use(input: Value) -> Value {
    json!({ "type": "tool_use", "id": "call_1", "name": "weather", "input": input })
}

fn of_block(block: Value, deltas: Vec<Value>, stop: &str) -> Vec<String> {
    let mut start = message(&json!([]), Value::Null);
    start.as_object_mut().unwrap().remove("stop_reason");
    let mut events = vec![
        named("message_start", json!({ "message": start })),
        named("content_block_start", json!({ "index": 0, "content_block": block })),
    ];
    events.extend(deltas.into_iter().map(|delta| named("content_block_delta", json!({ "index": 0, "delta": delta }))));
    let usage = json!({ "input_tokens": 21, "output_tokens": 3 });
    events.extend([
        named("content_block_stop", json!({ "index": 0 })),
        named("message_delta", json!({ "delta": { "stop_reason": stop }, "usage": usage })),
        named("message_stop", json!({})),
    ]);
    events
}

fn message_events() -> Vec<String> {
    let deltas = SAID.iter().map(|piece| json!({ "type": "text_delta", "text": piece })).collect();
    of_block(json!({ "type": "text", "text": "" }), deltas, "end_turn")
}

fn tool_events() -> Vec<String> {
    let delta = json!({ "type": "input_json_delta", "partial_json": "{\"city\":\"Paris\"}" });
    of_block(tool_use(json!({})), vec![delta], "tool_use")
}
