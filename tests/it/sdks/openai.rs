//! OpenAI's libraries: of Python, in both its clients, and of Node.

use serde_json::{Value, json};

use super::given::{Api, Call, Given, Sdk, parts, raised, result};
use super::program::Language;
use super::refusals::names;
use super::upstream::WHOLE;
use super::{refusals, streams};
use crate::harness::http::Reply;

const VARIABLES: (&str, &str) = ("OPENAI_BASE_URL", "OPENAI_API_KEY");

static PYTHON: Sdk =
    Sdk { language: Language::Python, api: Api::OpenAi, client: "openai.OpenAI", variables: VARIABLES };
static PYTHON_ASYNC: Sdk =
    Sdk { language: Language::Python, api: Api::OpenAi, client: "openai.AsyncOpenAI", variables: VARIABLES };
static NODE: Sdk = Sdk { language: Language::Node, api: Api::OpenAi, client: "openai", variables: VARIABLES };

const IMAGE: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII=";

fn parameters() -> Value {
    json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] })
}

fn chat(given: &mut Given) {
    let whole = given.same_through_the_gateway(&given.sdk.question("tiny", false));
    assert_eq!(result(&whole)["choices"][0]["message"]["content"], WHOLE);
    let stream = given.same_through_the_gateway(&given.sdk.question("tiny", true));
    let said: String =
        parts(&stream).iter().filter_map(|part| part["choices"][0]["delta"]["content"].as_str()).collect();
    assert!(said.starts_with(" long"), "{said}");
}

fn other_endpoints(given: &mut Given) {
    for stream in [false, true] {
        let with = json!({ "model": "tiny", "prompt": "hi", "stream": stream });
        let completed = given.same_through_the_gateway(&Call::new("completions.create", with));
        let answers = if stream { parts(&completed) } else { vec![result(&completed)] };
        let said: String = answers.iter().map(|part| part["choices"][0]["text"].as_str().unwrap()).collect();
        assert_eq!(said, WHOLE);
        let with = json!({ "model": "tiny", "input": "hi", "stream": stream });
        let responded = given.same_through_the_gateway(&Call::new("responses.create", with));
        let answer = if stream { &parts(&responded).last().unwrap()["response"] } else { result(&responded) };
        assert_eq!(answer["output"][0]["content"][0]["text"], WHOLE);
    }
    for format in [json!("float"), json!("base64"), Value::Null] {
        let mut with = json!({ "model": "tiny", "input": "hi" });
        if !format.is_null() {
            with["encoding_format"] = format.clone();
        }
        let embedded = given.same_through_the_gateway(&Call::new("embeddings.create", with));
        let vector = &result(&embedded)["data"][0]["embedding"];
        assert!(*vector == json!([0.5, -0.25]) || format == "base64", "{format}: {vector}");
    }
    let list = given.same_through_the_gateway(&given.sdk.list());
    assert_eq!(names(result(&list)), ["tiny:latest", "other:latest"]);
    let one = given.same_through_the_gateway(&Call::plain("models.retrieve", json!(["tiny"])));
    assert_eq!(result(&one)["id"], "tiny");
}

fn tools_and_images(given: &mut Given) {
    let content =
        json!([{ "type": "text", "text": "What is this?" }, { "type": "image_url", "image_url": { "url": IMAGE } }]);
    let function = json!({ "name": "weather", "description": "The weather", "parameters": parameters() });
    let tools = json!([{ "type": "function", "function": function }]);
    let scopes = ["pixel", "--scope", "inference,models:read", "--model", "tiny"];
    let key = given.gateway.key(&given.device, &scopes);
    for stream in [false, true] {
        let messages = json!([{ "role": "user", "content": content }]);
        let with = json!({ "model": "tiny", "messages": messages, "tools": tools, "stream": stream });
        let call = Call::new("chat.completions.create", with);
        let unlimited = given.same_through_the_gateway(&call);
        let message = if stream {
            &parts(&unlimited)[0]["choices"][0]["delta"]
        } else {
            &result(&unlimited)["choices"][0]["message"]
        };
        assert_eq!(message["tool_calls"][0]["function"]["arguments"], "{\"city\":\"Paris\"}");
        check_body(given, &call, &unlimited, &key);
    }
    let content = json!([{ "type": "input_text", "text": "What is this?" }, { "type": "input_image", "image_url": IMAGE, "detail": "auto" }]);
    let tools = json!([{ "type": "function", "name": "weather", "parameters": parameters(), "strict": false, "description": "" }]);
    let with = json!({ "model": "tiny", "input": [{ "role": "user", "content": content }], "tools": tools });
    let call = Call::new("responses.create", with);
    let unlimited = given.same_through_the_gateway(&call);
    assert_eq!(result(&unlimited)["output"][0]["arguments"], "{\"city\":\"Paris\"}");
    check_body(given, &call, &unlimited, &key);
}

/// A key for one model gets the same answer to the same request, although that is read and rebuilt.
fn check_body(given: &mut Given, call: &Call, unlimited: &[Value], key: &str) {
    let as_sent = given.upstream.requests().last().unwrap().json();
    assert!(as_sent.to_string().contains(IMAGE) && as_sent["tools"] == call.with["tools"], "{as_sent}");
    assert_eq!(given.with_key(call, Some(key)), unlimited);
    assert_eq!(given.upstream.requests().last().unwrap().json(), as_sent);
}

/// A form with a file in it, which names a model too.
fn a_recording(given: &mut Given) {
    let key = given.gateway.key(&given.device, &["hears", "--scope", "inference", "--model", "tiny"]);
    let call = |model: &str| {
        let with = json!({ "model": model, "file": ["a.wav", "RIFF and so on"], "language": "en" });
        Call::new("audio.transcriptions.create", with)
    };
    for key in [given.key.clone(), key.clone()] {
        given.upstream.answer_next(Reply::json(200, r#"{"text":"hello"}"#));
        assert_eq!(result(&given.with_key(&call("tiny"), Some(&key)))["text"], "hello");
        let body = String::from_utf8(given.upstream.requests().pop().unwrap().body).unwrap();
        for part in ["filename=\"a.wav\"", "RIFF and so on\r\n", "name=\"model\"\r\n\r\ntiny\r\n", "\r\n\r\nen\r\n"] {
            assert!(body.contains(part), "{part:?} is not in {body:?}");
        }
    }
    let refused = given.with_key(&call("other"), Some(&key));
    assert_eq!(raised(&refused)["type"], json!(given.sdk.error(403)), "{refused:?}");
}

/// What a key may not do is told of single models too.
fn single_models(given: &mut Given) {
    let key = given.gateway.key(&given.device, &["one", "--scope", "models:read", "--model", "tiny"]);
    let retrieve = |model: &str| Call::plain("models.retrieve", json!([model]));
    assert_eq!(result(&given.with_key(&retrieve("tiny"), Some(&key)))["id"], "tiny");
    let refused = given.with_key(&retrieve("other"), Some(&key));
    assert_eq!(raised(&refused)["type"], json!(given.sdk.error(403)));
    // The library encodes the slashes.
    let name = "hf.co/acme/tiny:Q4";
    let list = json!({ "object": "list", "data": [{ "id": "other:latest" }, { "id": name, "object": "model" }] });
    let one = given.gateway.key(&given.device, &["far", "--scope", "models:read", "--model", name]);
    for key in [given.key.clone(), one] {
        given.upstream.answer_next(Reply::json(200, list.to_string()));
        assert_eq!(result(&given.with_key(&retrieve(name), Some(&key)))["id"], name);
    }
    let refused = given.with_key(&retrieve(name), Some(&key));
    assert_eq!(raised(&refused)["type"], json!(given.sdk.error(403)));
}

fn everything(given: &mut Given) {
    chat(given);
    other_endpoints(given);
    tools_and_images(given);
    single_models(given);
    streams::check(given);
}

#[test]
fn of_python() {
    let mut given = Given::new(&PYTHON);
    everything(&mut given);
    a_recording(&mut given);
    given.switch(&PYTHON_ASYNC);
    everything(&mut given);
}

#[test]
fn of_python_when_refused() {
    let mut given = Given::new(&PYTHON);
    refusals::check(&mut given);
}

#[test]
fn of_node() {
    let mut given = Given::new(&NODE);
    everything(&mut given);
    refusals::check(&mut given);
}
