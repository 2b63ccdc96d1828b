//! Anthropic's libraries: of Python, in both its clients, and of Node; with the key as API key and as token.

use serde_json::json;

use super::given::{Api, Call, Given, Sdk, parts, raised, result};
use super::program::Language;
use super::refusals::names;
use super::upstream::WHOLE;
use super::{refusals, streams};
use crate::harness::ollama::recorded;

const API_KEY: (&str, &str) = ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY");
const TOKEN: (&str, &str) = ("ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN");

static PYTHON: Sdk =
    Sdk { language: Language::Python, api: Api::Anthropic, client: "anthropic.Anthropic", variables: API_KEY };
static PYTHON_ASYNC: Sdk =
    Sdk { language: Language::Python, api: Api::Anthropic, client: "anthropic.AsyncAnthropic", variables: API_KEY };
static PYTHON_TOKEN: Sdk =
    Sdk { language: Language::Python, api: Api::Anthropic, client: "anthropic.Anthropic", variables: TOKEN };
static NODE: Sdk =
    Sdk { language: Language::Node, api: Api::Anthropic, client: "@anthropic-ai/sdk", variables: API_KEY };
static NODE_TOKEN: Sdk =
    Sdk { language: Language::Node, api: Api::Anthropic, client: "@anthropic-ai/sdk", variables: TOKEN };

const IMAGE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII=";

fn answers(given: &mut Given) {
    let whole = given.same_through_the_gateway(&given.sdk.question("tiny", false));
    assert!(recorded("anthropic").chunks.concat().contains(result(&whole)["content"][0]["text"].as_str().unwrap()));
    let stream = given.same_through_the_gateway(&given.sdk.question("tiny", true));
    let said: String = parts(&stream).iter().filter_map(|part| part["delta"]["text"].as_str()).collect();
    assert_eq!(said, WHOLE);
    assert_eq!(parts(&stream).last().unwrap()["type"], "message_stop");
    let list = given.same_through_the_gateway(&given.sdk.list());
    assert_eq!(names(result(&list)), ["tiny:latest", "other:latest"]);
    let one = given.same_through_the_gateway(&Call::plain("models.retrieve", json!(["tiny"])));
    assert_eq!(result(&one)["id"], "tiny");
    let mut beta = given.sdk.question("tiny", false);
    beta.method = "beta.messages.create";
    let beta = given.same_through_the_gateway(&beta);
    assert_eq!(result(&beta)["content"], result(&whole)["content"]);
    // Ollama does not count.
    let mut count = given.sdk.question("tiny", false);
    let python = given.sdk.language == Language::Python;
    count.method = if python { "messages.count_tokens" } else { "messages.countTokens" };
    count.with.as_object_mut().unwrap().retain(|name, _| name == "model" || name == "messages");
    let refused = given.with_key(&count, Some(&given.key.clone()));
    assert_eq!(raised(&refused)["type"], json!(given.sdk.error(404)), "{refused:?}");
}

fn tools_and_images(given: &mut Given) {
    let source = json!({ "type": "base64", "media_type": "image/png", "data": IMAGE });
    let content = json!([{ "type": "text", "text": "What is this?" }, { "type": "image", "source": source }]);
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let tools = json!([{ "name": "weather", "description": "The weather", "input_schema": schema }]);
    let scopes = ["pixel", "--scope", "inference", "--model", "tiny"];
    let key = given.gateway.key(&given.device, &scopes);
    for stream in [false, true] {
        let mut call = given.sdk.question("tiny", stream);
        call.with["messages"][0]["content"] = content.clone();
        call.with["tools"] = tools.clone();
        let unlimited = given.same_through_the_gateway(&call);
        if stream {
            let said: String =
                parts(&unlimited).iter().filter_map(|part| part["delta"]["partial_json"].as_str()).collect();
            assert_eq!(said, "{\"city\":\"Paris\"}");
        } else {
            assert_eq!(result(&unlimited)["content"][0]["input"]["city"], "Paris");
        }
        let as_sent = given.upstream.requests().last().unwrap().json();
        assert_eq!((&as_sent["tools"], &as_sent["messages"][0]["content"]), (&tools, &content));
        // A key for one model gets the same answer to the same request, although that is read and rebuilt.
        assert_eq!(given.with_key(&call, Some(&key)), unlimited);
        assert_eq!(given.upstream.requests().last().unwrap().json(), as_sent);
    }
}

fn everything(given: &mut Given) {
    answers(given);
    tools_and_images(given);
    streams::check(given);
}

/// The key as token, by another variable.
fn as_token(given: &mut Given, sdk: &'static Sdk) {
    given.switch(sdk);
    for stream in [false, true] {
        given.same_through_the_gateway(&given.sdk.question("tiny", stream));
    }
    let refused = given.with_key(&given.sdk.question("tiny", false), Some("nonsense"));
    assert_eq!(raised(&refused)["type"], json!(given.sdk.error(401)), "{refused:?}");
}

/// The key in `X-API-Key`, where earlier releases sent it: alone, and beside one in `Authorization`, which has to be the same.
fn in_the_other_header(given: &mut Given) {
    let (good, bad) = (given.key.clone(), "nonsense");
    for (in_header, in_environment, status) in [
        (&*good, None, 200),
        (&*good, Some(&*good), 200),
        (bad, None, 401),
        (bad, Some(&*good), 400),
        (&*good, Some(bad), 400),
    ] {
        let name = if given.sdk.language == Language::Python { "default_headers" } else { "defaultHeaders" };
        let mut call = given.sdk.question("tiny", false);
        call.options = json!({ name: { "X-API-Key": in_header } });
        let reports = given.with_key(&call, in_environment);
        if status == 200 {
            assert_eq!(result(&reports)["type"], "message");
            let behind = given.upstream.requests().pop().unwrap();
            assert!(behind.header("x-api-key").is_none() && behind.authorization().is_none());
        } else {
            assert_eq!(raised(&reports)["type"], json!(given.sdk.error(status)), "{reports:?}");
        }
    }
}

#[test]
fn of_python() {
    let mut given = Given::new(&PYTHON);
    everything(&mut given);
    given.switch(&PYTHON_ASYNC);
    everything(&mut given);
    as_token(&mut given, &PYTHON_TOKEN);
    in_the_other_header(&mut given);
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
    as_token(&mut given, &NODE_TOKEN);
    in_the_other_header(&mut given);
}
