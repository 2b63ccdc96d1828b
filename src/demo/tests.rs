//! The demonstration server, asked over a real connection; its answers have the members that a real server recorded.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::*;

/// A server and a client; both end with it.
struct Demo {
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
    _server: JoinSet<io::Result<()>>,
}

/// An answer that was read to its end.
struct Got {
    status: u16,
    kind: String,
    pieces: Vec<String>,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.pieces.concat()).unwrap()
    }

    /// Each line of a stream came in a piece of its own.
    fn lines(&self) -> Vec<Value> {
        self.pieces.iter().map(|piece| serde_json::from_str(piece.strip_suffix('\n').unwrap()).unwrap()).collect()
    }
}

impl Demo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(serve(listener));
        Self { url, client: Client::builder(TokioExecutor::new()).build_http(), _server: server }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Got {
        let request = axum::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        let response = self.client.request(request.body(Full::from(body.to_owned())).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let (mut body, mut pieces) = (response.into_body(), Vec::new());
        while let Some(frame) = body.frame().await {
            pieces.push(String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap());
        }
        Got { status, kind, pieces }
    }

    async fn post(&self, path: &str, body: Value) -> Got {
        self.ask("POST", path, &body.to_string()).await
    }
}

/// The pieces of a recorded exchange.
fn recorded(name: &str) -> Vec<String> {
    let all: Value = serde_json::from_str(include_str!("../../tests/it/fixtures/ollama-serve.json")).unwrap();
    let exchanges = all["exchanges"].as_array().unwrap();
    let chunks = &exchanges.iter().find(|one| one["name"] == name).unwrap()["response"]["chunks"];
    chunks.as_array().unwrap().iter().map(|chunk| chunk.as_str().unwrap().to_owned()).collect()
}

fn recorded_json(name: &str, piece: usize) -> Value {
    serde_json::from_str(&recorded(name)[piece]).unwrap()
}

/// The names of all members, with their types, to any depth; of a list only the first item counts.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::Array(items) => items.first().map(shape).into_iter().collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        Value::Bool(_) => json!("flag"),
        Value::Null => json!("null"),
    }
}

fn said(lines: &[Value], pointer: &str) -> String {
    lines.iter().map(|line| line.pointer(pointer).unwrap().as_str().unwrap()).collect()
}

#[tokio::test]
async fn generate_streams_the_members_that_were_recorded() {
    let demo = Demo::start().await;
    let began = Instant::now();
    let got = demo.post("/api/generate", json!({ "model": "demo", "prompt": "Why is the sky blue?" })).await;
    let took = began.elapsed();
    assert_eq!((got.status, got.kind.as_str()), (200, "application/x-ndjson"));
    let lines = got.lines();
    let (last, words) = lines.split_last().unwrap();
    assert!(words.iter().all(|line| shape(line) == shape(&recorded_json("generate", 0))), "{words:?}");
    assert_eq!(shape(last), shape(&recorded_json("generate", recorded("generate").len() - 1)));
    assert_eq!((&last["done_reason"], &last["eval_count"]), (&json!("stop"), &json!(words.len())));
    assert!(last["total_duration"].as_u64().unwrap() <= u64::try_from(took.as_nanos()).unwrap());
    assert!(said(&lines, "/response").ends_with('.'));
    assert!(took >= exchange::PAUSE * u32::try_from(words.len()).unwrap(), "{took:?}");
}

#[tokio::test]
async fn chat_streams_the_members_that_were_recorded() {
    let demo = Demo::start().await;
    let messages = json!([{ "role": "user", "content": "hi" }]);
    let asked = json!({ "model": "DEMO:latest", "messages": messages, "options": { "num_predict": 5, "seed": 7 } });
    let lines = demo.post("/api/chat", asked.clone()).await.lines();
    assert_eq!(lines.len(), 6);
    assert_eq!(shape(&lines[0]), shape(&recorded_json("chat", 0)));
    assert_eq!(shape(&lines[5]), shape(&recorded_json("chat", recorded("chat").len() - 1)));
    assert_eq!(lines[5]["done_reason"], "length");
    // The same question has the same answer, in one piece too; another seed has another.
    let mut whole = asked.clone();
    whole["stream"] = json!(false);
    let got = demo.post("/api/chat", whole.clone()).await;
    assert_eq!(got.kind, "application/json; charset=utf-8");
    assert_eq!(got.json()["message"]["content"], said(&lines, "/message/content"));
    whole["options"] = json!({ "seed": 8 });
    let other = demo.post("/api/chat", whole).await.json();
    assert_ne!(other["message"]["content"], got.json()["message"]["content"]);
}

#[tokio::test]
async fn what_is_not_streamed_has_the_recorded_members_too() {
    let demo = Demo::start().await;
    let prompt = json!({ "model": "demo", "prompt": "x", "stream": false, "options": { "num_predict": 1.0 } });
    for (name, method, path, body) in [
        ("generate_nostream", "POST", "/api/generate", prompt.to_string()),
        ("generate_load", "POST", "/api/generate", r#"{"model":"demo"}"#.to_owned()),
        ("version", "GET", "/api/version", String::new()),
        ("tags", "GET", "/api/tags", String::new()),
        ("ps", "GET", "/api/ps", String::new()),
        ("openai_models", "GET", "/v1/models", String::new()),
    ] {
        let got = demo.ask(method, path, &body).await;
        assert_eq!(got.status, 200, "{name}");
        assert_eq!(shape(&got.json()), shape(&recorded_json(name, 0)), "{name}");
    }
    let shown = demo.post("/api/show", json!({ "model": "demo" })).await.json();
    let theirs = recorded_json("show", 0);
    for member in shown.as_object().unwrap().keys() {
        assert!(theirs.get(member).is_some(), "{member}");
    }
    assert_eq!(shown["capabilities"], json!(["completion"]));
    let root = demo.ask("GET", "/", "").await;
    assert_eq!(root.pieces, recorded("root"));
    let head = demo.ask("HEAD", "/", "").await;
    assert_eq!((head.status, head.pieces.len()), (200, 0));
}

#[tokio::test]
async fn openai_clients_are_understood() {
    let demo = Demo::start().await;
    let messages = json!([{ "role": "user", "content": [{ "type": "text", "text": "hi" }] }]);
    let asked = json!({ "model": "demo", "messages": messages, "max_tokens": 4, "stream": true });
    let got = demo.post("/v1/chat/completions", asked.clone()).await;
    assert_eq!(got.kind, "text/event-stream");
    let events = |pieces: &[String]| -> Vec<Value> {
        let text = pieces.concat();
        let (text, rest) = text.split_once("data: [DONE]\n\n").unwrap();
        assert_eq!(rest, "");
        text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).map(|e| e.parse().unwrap()).collect()
    };
    let (ours, theirs) = (events(&got.pieces), events(&recorded("openai")));
    assert_eq!(ours.iter().map(shape).collect::<Vec<_>>(), theirs.iter().map(shape).collect::<Vec<_>>());
    let mut whole = asked;
    whole["stream"] = json!(false);
    let whole = demo.post("/v1/chat/completions", whole).await.json();
    assert_eq!(whole["choices"][0]["message"]["content"], said(&ours[..4], "/choices/0/delta/content"));
    assert_eq!(whole["usage"]["completion_tokens"], 4);
    let missing = demo.post("/v1/chat/completions", json!({ "model": "x", "messages": [] })).await;
    assert_eq!((missing.status, &missing.json()["error"]["type"]), (404, &json!("not_found_error")));
}

#[tokio::test]
async fn a_pull_finds_the_one_model_and_no_other() {
    let demo = Demo::start().await;
    let got = demo.post("/api/pull", json!({ "model": "demo" })).await;
    assert_eq!(got.lines(), [json!({ "status": "success" })]);
    let got = demo.post("/api/pull", json!({ "model": "nope" })).await;
    assert_eq!((got.status, got.kind.as_str()), (200, "application/x-ndjson"));
    let lines = got.lines();
    assert!(lines.len() == 1 && shape(&lines[0]) == shape(&recorded_json("pull404", 1)), "{lines:?}");
    assert!(said(&lines, "/error").starts_with("model 'nope' not found"), "{lines:?}");
}

#[tokio::test]
async fn errors_are_those_of_a_real_server() {
    let demo = Demo::start().await;
    for (path, body, status, message) in [
        ("/api/generate", "", 400, "missing request body"),
        ("/api/generate", "{", 400, "unexpected EOF"),
        ("/api/chat", "{}", 400, "model is required"),
        ("/api/generate", r#"{"model":"x","prompt":"hi"}"#, 404, "model 'x' not found"),
        ("/api/chat", r#"{"model":"library/demon"}"#, 404, "model 'library/demon' not found"),
        ("/api/show", r#"{"model":"nope"}"#, 404, "model 'nope:latest' not found"),
        ("/api/generate", r#"{"model":"demo","prompt":"x","think":true}"#, 400, "\"demo\" does not support thinking"),
        (
            "/api/generate",
            r#"{"model":"demo","prompt":"x","options":{"num_predict":"a"}}"#,
            500,
            "option \"num_predict\" must be of type integer",
        ),
    ] {
        let got = demo.ask("POST", path, body).await;
        assert_eq!((got.status, got.json()), (status, json!({ "error": message })), "{path} {body}");
    }
    let got = demo.ask("POST", "/api/generate", "[1,}").await;
    assert_eq!(got.status, 400);
    let got = demo.ask("GET", "/api/nowhere", "").await;
    assert_eq!((got.status, got.pieces.concat().as_str()), (404, "404 page not found"));
}

#[tokio::test]
async fn it_serves_this_machine_only_and_ends_when_it_is_dropped() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    assert_eq!(serve(listener).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let demo = Demo::start().await;
    let address = demo.url.replace("http://", "");
    demo.ask("GET", "/", "").await;
    drop(demo);
    let closed = async {
        while tokio::net::TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed).await.unwrap();
}
