//! What a library raises when a key is not good, or not good for what is asked: its own type of error, with the gateway's words in it,
//! after as many attempts as make sense.

use std::time::Duration;

use serde_json::{Value, json};

use super::given::{Api, Call, Given, raised, result};
use crate::harness::http::Reply;
use crate::harness::{poll, with_other_end};

/// All of it.
pub fn check(given: &mut Given) {
    keys_that_are_not_good(given);
    a_key_that_ends_between_two_requests(given);
    scopes(given);
    models(given);
    a_server_that_is_down(given);
    a_server_that_is_busy(given);
}

/// Makes a call that must be refused: with that status and those words, once, and unknown to the upstream server.
fn refused(given: &mut Given, call: &Call, key: Option<&str>, status: u16, words: &str) {
    let (behind, answered) = (given.upstream.requests().len(), given.answered());
    let reports = given.with_key(call, key);
    let raised = raised(&reports);
    let sdk = given.sdk;
    assert_eq!(reports.len(), 1, "{call:?}: {reports:?}");
    assert_eq!((&raised["type"], &raised["status"]), (&json!(sdk.error(status)), &json!(status)), "{call:?}: {raised}");
    let message = raised["message"].as_str().unwrap();
    assert!(message.contains(words), "{words:?} is not in {message:?}");
    if let Some(key) = key {
        assert!(!message.contains(key), "{message}");
    }
    let requests = given.upstream.requests();
    assert_eq!(requests.len(), behind, "{call:?} got to the upstream server: {:?}", &requests[behind..]);
    // Nobody tries a key again that was refused.
    assert_eq!(given.answered(), answered + 1, "{call:?}");
}

/// A question, a question whose answer streams, and a list.
fn every_call(given: &Given) -> [Call; 3] {
    [given.sdk.question("tiny", false), given.sdk.question("tiny", true), given.sdk.list()]
}

fn keys_that_are_not_good(given: &mut Given) {
    let device = given.gateway.device_of("ada");
    let revoked = given.gateway.key(&device, &["gone"]);
    device.command(["keys", "revoke", "gone", "--yes"]).run().expect_code(0);
    let over = given.gateway.key(&device, &["over", "--scope", "inference,models:read", "--expires", "1s"]);
    let header = format!("Authorization: Bearer {over}");
    poll("the end of the key", || (given.gateway.ask("GET", "/api/tags", &[&header], "").status == 401).then_some(()));
    let wrong = with_other_end(&given.key);
    for call in every_call(given) {
        refused(given, &call, Some(&wrong), 401, "unknown API key");
        refused(given, &call, Some(&revoked), 401, "this API key was revoked");
        refused(given, &call, Some(&over), 401, "this API key has expired");
    }
    let question = given.sdk.question("tiny", false);
    for malformed in ["nonsense", "sk-0123456789abcdef", "olauth_"] {
        refused(given, &question, Some(malformed), 401, "unknown API key");
    }
    refused(given, &question, Some("two words"), 400, "must hold a device signature, or Bearer and an API key");
    no_key(given);
}

/// The libraries of OpenAI and Anthropic do not even ask.
fn no_key(given: &mut Given) {
    let question = given.sdk.question("tiny", false);
    if given.sdk.api == Api::Ollama {
        return refused(given, &question, None, 401, "not signed in to http://");
    }
    let answered = given.answered();
    let reports = given.with_key(&question, None);
    let message = raised(&reports)["message"].as_str().unwrap();
    assert!(message.to_lowercase().contains("api"), "{message}");
    assert_eq!(given.answered(), answered);
}

fn a_key_that_ends_between_two_requests(given: &mut Given) {
    let key = given.gateway.key(&given.device, &["brief", "--scope", "inference,models:read"]);
    let question = given.sdk.question("tiny", false);
    assert!(result(&given.with_key(&question, Some(&key))).is_object());
    assert!(result(&given.with_key(&question.clone().again(), Some(&key))).is_object());
    given.device.command(["keys", "revoke", "brief", "--yes"]).run().expect_code(0);
    for call in every_call(given) {
        refused(given, &call.again(), Some(&key), 401, "this API key was revoked");
    }
}

fn scopes(given: &mut Given) {
    let reads = given.gateway.key(&given.device, &["reads", "--scope", "models:read"]);
    let asks = given.gateway.key(&given.device, &["asks", "--scope", "inference"]);
    let [question, stream, list] = every_call(given);
    assert!(result(&given.with_key(&list, Some(&reads))).is_object());
    refused(given, &question, Some(&reads), 403, "this credential does not have the scope inference");
    refused(given, &stream, Some(&reads), 403, "this credential does not have the scope inference");
    assert!(result(&given.with_key(&question, Some(&asks))).is_object());
    refused(given, &list, Some(&asks), 403, "this credential does not have the scope models:read");
}

/// The names in a list of models.
pub fn names(list: &Value) -> Vec<&str> {
    let items = list["models"].as_array().or(list["data"].as_array()).unwrap_or_else(|| panic!("{list}"));
    items.iter().map(|item| item["model"].as_str().or(item["id"].as_str()).unwrap()).collect()
}

fn models(given: &mut Given) {
    let scopes = "inference,models:read";
    let key = given.gateway.key(&given.device, &["tiny alone", "--scope", scopes, "--model", "tiny"]);
    let list = given.sdk.list();
    assert_eq!(names(result(&given.with_key(&list, Some(&given.key.clone())))), ["tiny:latest", "other:latest"]);
    assert_eq!(names(result(&given.with_key(&list, Some(&key)))), ["tiny:latest"]);
    for stream in [false, true] {
        let allowed = given.with_key(&given.sdk.question("tiny", stream), Some(&key));
        assert!(allowed.last().unwrap().get("result").is_some(), "{allowed:?}");
        refused(given, &given.sdk.question("other", stream), Some(&key), 403, "may not use the model");
    }
}

/// 502 is tried again by those that do so, and then told.
fn a_server_that_is_down(given: &mut Given) {
    for stream in [false, true] {
        for _ in 0..8 {
            given.upstream.answer_next(Reply::drop_connection());
        }
        let answered = given.answered();
        let mut call = given.sdk.question("tiny", stream);
        call.options = given.sdk.retries(1);
        let reports = given.with_key(&call, Some(&given.key.clone()));
        let raised = raised(&reports);
        assert_eq!((&raised["type"], &raised["status"]), (&json!(given.sdk.error(502)), &json!(502)), "{raised}");
        assert!(raised["message"].as_str().unwrap().contains("bad gateway"), "{raised}");
        let times = if given.sdk.api == Api::Ollama { 1 } else { 2 };
        assert_eq!(given.answered(), answered + times);
        given.upstream.forget_answers();
    }
}

/// 429 with `Retry-After` from the upstream server: it gets through, and those that wait do so for as long as it says.
fn a_server_that_is_busy(given: &mut Given) {
    let mut call = given.sdk.question("tiny", false);
    given.upstream.answer_next(Reply::retry_after(429, "1"));
    call.options = given.sdk.retries(0);
    let reports = given.with_key(&call, Some(&given.key.clone()));
    let told = raised(&reports);
    assert_eq!((&told["type"], &told["status"]), (&json!(given.sdk.error(429)), &json!(429)), "{told}");
    if given.sdk.api == Api::Ollama {
        return;
    }
    assert_eq!(told["retry_after"], "1", "{told}");
    let before = given.upstream.requests().len();
    given.upstream.answer_next(Reply::retry_after(429, "1"));
    call.options = given.sdk.retries(1);
    assert!(result(&given.with_key(&call, Some(&given.key.clone()))).is_object());
    let requests = given.upstream.requests();
    let [first, second] = &requests[before..] else { panic!("{:?}", &requests[before..]) };
    // Without the header the first wait is half a second at most.
    let waited = second.at - first.at;
    assert!(waited > Duration::from_millis(900), "{waited:?}");
}
