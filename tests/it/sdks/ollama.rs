//! Ollama's own libraries: of Python, in both its clients, and of Node.

use serde_json::{Value, json};

use super::given::{Api, Call, Given, Sdk, parts, raised, result};
use super::program::Language;
use super::refusals::names;
use super::upstream::{WHOLE, stream};
use super::{refusals, streams};
use crate::harness::http::Step;
use crate::harness::ollama::recorded;

const VARIABLES: (&str, &str) = ("OLLAMA_HOST", "OLLAMA_API_KEY");

static PYTHON: Sdk =
    Sdk { language: Language::Python, api: Api::Ollama, client: "ollama.Client", variables: VARIABLES };
static PYTHON_ASYNC: Sdk =
    Sdk { language: Language::Python, api: Api::Ollama, client: "ollama.AsyncClient", variables: VARIABLES };
static NODE: Sdk = Sdk { language: Language::Node, api: Api::Ollama, client: "ollama", variables: VARIABLES };

/// One white pixel.
const IMAGE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII=";

fn tools() -> Value {
    let city = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
    json!([{ "type": "function", "function": { "name": "weather", "description": "The weather", "parameters": city } }])
}

fn said(parts: &[&Value], of: impl Fn(&Value) -> &Value) -> String {
    parts.iter().map(|part| of(part).as_str().unwrap_or_default()).collect()
}

fn answers(given: &mut Given) {
    let chat = given.same_through_the_gateway(&given.sdk.question("tiny", false));
    assert_eq!(result(&chat)["message"]["content"], WHOLE);
    let chat = given.same_through_the_gateway(&given.sdk.question("tiny", true));
    assert_eq!(said(&parts(&chat), |part| &part["message"]["content"]), recorded("chat").said());
    for stream in [false, true] {
        let with = json!({ "model": "tiny", "prompt": "Why is the sky blue?", "stream": stream });
        let generated = given.same_through_the_gateway(&Call::new("generate", with));
        let told = if stream {
            said(&parts(&generated), |part| &part["response"])
        } else {
            result(&generated)["response"].as_str().unwrap().to_owned()
        };
        assert_eq!(told, recorded(if stream { "generate" } else { "generate_nostream" }).said());
    }
    let embed = given.same_through_the_gateway(&Call::new("embed", json!({ "model": "tiny", "input": ["hi"] })));
    assert_eq!(result(&embed)["embeddings"], json!([[0.5, -0.25]]));
    let list = given.same_through_the_gateway(&given.sdk.list());
    assert_eq!(names(result(&list)), ["tiny:latest", "other:latest"]);
    let shown = given.same_through_the_gateway(&Call::new("show", json!({ "model": "tiny" })));
    assert!(result(&shown)["modelfile"].as_str().unwrap().contains("FROM"), "{shown:?}");
    let running = given.same_through_the_gateway(&Call::new("ps", json!({})));
    assert_eq!(names(result(&running)), ["tiny:latest"]);
    let missing = given.same_through_the_gateway(&Call::new("show", json!({ "model": "nope" })));
    assert_eq!(raised(&missing)["status"], 404, "{missing:?}");
}

/// Tools and an image, with a key for everything and with one for a model, whose requests are read and rebuilt.
fn tools_and_images(given: &mut Given) {
    let messages = json!([{ "role": "user", "content": "What is this?", "images": [IMAGE] }]);
    let with = json!({ "model": "tiny", "messages": messages, "tools": tools(), "options": { "temperature": 0.5 }, "format": "json" });
    let call = Call::new("chat", with);
    let unlimited = given.same_through_the_gateway(&call);
    let function = &result(&unlimited)["message"]["tool_calls"][0]["function"];
    assert_eq!((&function["name"], &function["arguments"]["city"]), (&json!("weather"), &json!("Paris")));
    let as_sent = given.upstream.requests().last().unwrap().json();
    assert_eq!(as_sent["messages"][0]["images"], json!([IMAGE]));
    assert_eq!(as_sent["tools"][0]["function"]["parameters"]["properties"]["city"]["type"], "string");
    let scopes = ["pixel", "--scope", "inference", "--model", "tiny"];
    let key = given.gateway.key(&given.device, &scopes);
    assert_eq!(given.with_key(&call, Some(&key)), unlimited);
    assert_eq!(given.upstream.requests().last().unwrap().json(), as_sent);
}

/// The upstream server says in the midst of an answer that it cannot go on.
fn an_error_in_a_stream_raises(given: &mut Given) {
    let steps = [Step::send(recorded("chat").chunks[0].as_str()), Step::send("{\"error\":\"the model ran away\"}\n")];
    given.upstream.answer_next(stream("/api/chat", steps));
    let reports = given.with_key(&given.sdk.question("tiny", true), Some(&given.key.clone()));
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(raised(&reports)["message"].as_str().unwrap().contains("the model ran away"), "{reports:?}");
}

fn everything(given: &mut Given) {
    answers(given);
    tools_and_images(given);
    streams::check(given);
    an_error_in_a_stream_raises(given);
}

#[test]
fn of_python() {
    let mut given = Given::new(&PYTHON);
    everything(&mut given);
    given.switch(&PYTHON_ASYNC);
    everything(&mut given);
}

#[test]
fn of_python_when_refused() {
    let mut given = Given::new(&PYTHON);
    refusals::check(&mut given);
}

#[test]
fn of_python_when_refused_async() {
    let mut given = Given::new(&PYTHON_ASYNC);
    refusals::check(&mut given);
}

#[test]
fn of_node() {
    let mut given = Given::new(&NODE);
    everything(&mut given);
    refusals::check(&mut given);
}
