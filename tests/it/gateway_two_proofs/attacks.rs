//! What is not accepted as a second proof, and what becomes of requests under way.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Given, KEYS, RULE, header, now, second};
use crate::gateway_limits::upstream::Mode;
use crate::harness::DEADLINE;
use crate::harness::signature::TestDevice;

const CHAT: &str = "/api/chat";
const BODY: &str = r#"{"model":"tiny"}"#;

#[test]
fn one_proof_alone_is_refused_and_told_which_is_missing() {
    let given = Given::with_rule();
    let alone = given.ask("POST", CHAT, &[], BODY);
    let told = alone.json();
    assert_eq!(alone.status, 403, "{}", alone.text());
    assert_eq!((&told["code"], &told["missing"]), (&json!("second_proof"), &json!("device_signature")));
    assert_eq!(told["key"], given.key["id"]);
    let openai = given.ask("POST", "/v1/chat/completions", &[], BODY).json();
    assert_eq!((&openai["error"]["code"], &openai["missing"]), (&json!("second_proof"), &json!("device_signature")));
    let anthropic = given.ask("POST", "/v1/messages", &[], BODY).json();
    assert_eq!((&anthropic["code"], &anthropic["missing"]), (&json!("second_proof"), &json!("device_signature")));
    assert_eq!(given.ask("GET", KEYS, &[], "").json()["missing"], "device_signature");

    let target = format!("{CHAT}?ts={}", now());
    let signed = format!("Authorization: {}", given.device.sign(&format!("POST,{target}")));
    let alone = given.gateway.ask("POST", &target, &[&signed], BODY);
    assert_eq!((alone.status, &alone.json()["missing"]), (403, &json!("api_key")), "{}", alone.text());
    assert_eq!(given.upstream.arrived(), 0);
    given.has_event("second_proof");
    // What is not demanded needs one; who one is, too.
    assert_eq!(given.ask("GET", "/api/tags", &[], "").status, 200);
    assert_eq!(given.ask("POST", "/api/me", &[], "").status, 200);
    // Both.
    assert_eq!(given.ask("POST", CHAT, &[&given.second("POST", CHAT)], BODY).status, 200);
    let page = format!("{KEYS}?limit=5");
    assert_eq!(given.ask("GET", &page, &[&given.second("GET", &page)], "").status, 200);
}

#[test]
fn a_signature_of_anything_else_is_no_second_proof() {
    let given = Given::with_rule();
    let (device, id, at) = (&given.device, given.id(), now());
    let other = given.other["id"].as_str().unwrap();
    let authorization = device.sign(&format!("POST,{CHAT}?ts={at}"));
    let right = second(device, id, at, "POST", CHAT);
    let value = right.split_once(": ").unwrap().1.to_owned();
    for (attack, says) in [
        (second(device, other, at, "POST", CHAT), "does not belong to this request"),
        (second(device, id, at, "POST", "/api/generate"), "does not belong to this request"),
        (second(device, id, at, "POST", "/api/chat?a=1"), "does not belong to this request"),
        (second(device, id, at, "GET", CHAT), "does not belong to this request"),
        (format!("X-Ollama-Auth-Signature: {at}:{authorization}"), "does not belong to this request"),
        (format!("X-Ollama-Auth-Signature: {}{}", at + 1, &value[at.to_string().len()..]), "does not belong"),
        (format!("X-Ollama-Auth-Signature: {authorization}"), "holds no signature"),
        (second(&given.bobs, id, at, "POST", CHAT), "is not one of this account"),
        (second(&TestDevice::new(9), id, at, "POST", CHAT), "is not one of this account"),
        (second(device, id, at - 3600, "POST", CHAT), "behind this gateway's clock"),
        (second(device, id, at + 3600, "POST", CHAT), "ahead of this gateway's clock"),
    ] {
        // The route that demands two, and one that does not: a second proof is never passed over.
        let refused = given.ask("POST", CHAT, &[&attack], BODY);
        assert!(refused.status == 401 && refused.text().contains(says), "{attack}: {}", refused.text());
        assert_eq!(refused.json().get("signin_url"), None, "{attack}");
        let unneeded = given.ask("GET", "/api/tags", &[&attack], "");
        assert_eq!(unneeded.status, 401, "{attack}: {}", unneeded.text());
    }
    let long = format!("X-Ollama-Auth-Signature: {}", "1".repeat(2000));
    let odd = "X-Ollama-Auth-Signature: 1:\u{e9}:\u{e9}";
    for headers in [&[&*right, &*right][..], &[&*long], &[odd], &["X-Ollama-Auth-Signature:"]] {
        assert_eq!(given.ask("POST", CHAT, headers, BODY).status, 400, "{headers:?}");
    }
    // Without the API key, and as the first proof.
    let send = |headers: &[&str]| given.gateway.ask("POST", CHAT, headers, BODY).status;
    assert_eq!(send(&[&right]), 401);
    assert_eq!(send(&[&format!("Authorization: {value}")]), 400);
    let (_, signature) = value.split_once(':').unwrap();
    let target = format!("{CHAT}?ts={at}");
    let as_first = given.gateway.ask("POST", &target, &[&format!("Authorization: {signature}")], BODY);
    assert_eq!(as_first.status, 401, "{}", as_first.text());
    let both = [&*format!("Authorization: {authorization}"), &*right];
    assert_eq!(given.gateway.ask("POST", &target, &both, BODY).status, 400);
    // The other key with what was signed for this one.
    assert_eq!(send(&[&header(&given.other), &right]), 401);
    assert_eq!(given.upstream.arrived(), 0);
    assert_eq!(given.ask("POST", CHAT, &[&right], BODY).status, 200);
    let unneeded = given.ask("GET", "/api/tags", &[&given.second("GET", "/api/tags")], "");
    assert_eq!(unneeded.status, 200, "{}", unneeded.text());
    for code in ["invalid_signature", "signature_time"] {
        given.has_event(code);
    }
}

#[test]
fn a_change_is_bound_to_its_body_and_made_once() {
    let given = Given::with_rule();
    let digest = |body: &str| Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let body = r#"{"name":"child","scopes":["inference"]}"#;
    let unbound = given.ask("POST", KEYS, &[&given.second("POST", KEYS)], body);
    assert!(unbound.status == 401 && unbound.text().contains("must cover the body"), "{}", unbound.text());
    let target = format!("{KEYS}?body-sha256={}.1", digest(body));
    let proof = given.second("POST", &target);
    let other = given.ask("POST", &target, &[&proof], r#"{"name":"child","scopes":["keys"]}"#);
    assert_eq!(other.status, 401, "{}", other.text());
    let target = format!("{KEYS}?body-sha256={}.2", digest(body));
    let proof = given.second("POST", &target);
    // A parameter more, which is not signed.
    assert_eq!(given.ask("POST", &format!("{target}&a=1"), &[&proof], body).status, 401);
    let made = given.ask("POST", &target, &[&proof], body);
    assert_eq!(made.status, 201, "{}", made.text());
    let again = given.ask("POST", &target, &[&proof], body);
    assert!(again.status == 401 && again.text().contains("was used already"), "{}", again.text());
    let elsewhere = given.ask("POST", &target, &[&proof, "X-Forwarded-For: 192.0.2.7"], body);
    assert!(elsewhere.text().contains("used from another address"), "{}", elsewhere.text());
    given.has_event("replayed_signature");
}

/// Begins a response that does not end, and reads its beginning.
fn begin(given: &Given, headers: &str) -> TcpStream {
    begin_with(given, &header(&given.key), headers)
}

/// The same with another key.
pub(super) fn begin_with(given: &Given, key: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(given.gateway.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let (host, length) = (given.gateway.address(), BODY.len());
    let head = format!("POST {CHAT} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{key}\r\n{headers}");
    stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{BODY}").as_bytes()).unwrap();
    let mut first = [0; 4096];
    let read = stream.read(&mut first).unwrap();
    assert!(first[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&first[..read]));
    stream
}

pub(super) fn is_whole(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    assert!(!read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "the response does not end");
    rest.ends_with(b"0\r\n\r\n")
}

#[test]
fn a_response_lasts_as_long_as_both_proofs_are_accepted() {
    let given = Given::with_rule();
    let second_line = || format!("{}\r\n", given.second("POST", CHAT));
    given.upstream.set(Mode::Held);
    let kept = begin(&given, &second_line());
    // What changes nothing for two proofs cuts nothing.
    given.reload("");
    given.reload(RULE);
    given.upstream.release();
    assert!(is_whole(kept));

    given.upstream.set(Mode::Held);
    let fingerprint = given.device.key().fingerprint;
    let stream = begin(&given, &second_line());
    given.gateway.admin(&["device", "suspend", &fingerprint]).expect_code(0);
    assert!(!is_whole(stream), "the device is suspended");
    let refused = given.ask("POST", CHAT, &[&given.second("POST", CHAT)], BODY);
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("suspended")), "{}", refused.text());
    given.gateway.admin(&["device", "resume", &fingerprint]).expect_code(0);

    let stream = begin(&given, &second_line());
    given.gateway.admin(&["key", "suspend", given.id()]).expect_code(0);
    assert!(!is_whole(stream), "the key is suspended");
    given.gateway.admin(&["key", "resume", given.id()]).expect_code(0);

    // A rule that comes takes a right from one proof alone.
    given.reload("");
    let (one, both) = (begin(&given, ""), begin(&given, &second_line()));
    let log = given.reload(RULE);
    assert!(log.contains("rights lost") && log.contains("inference needs two proofs"), "{log}");
    assert!(!is_whole(one), "one proof is not enough any more");
    given.upstream.release();
    assert!(is_whole(both));
}

#[test]
fn both_together_may_do_no_more_than_each() {
    let given = Given::start();
    let program = given.gateway.device_added_to("ada");
    let args = ["keys", "create", "narrow", "--scope=inference", "--model", "llama3", "--json"];
    let narrow = program.command(args).run().expect_code(0).json();
    given.reload(RULE);
    let chat = |model: &str| {
        let proof = second(&given.device, narrow["id"].as_str().unwrap(), now(), "POST", CHAT);
        let body = json!({ "model": model }).to_string();
        given.gateway.ask("POST", CHAT, &[&header(&narrow), &proof], &body).status
    };
    assert_eq!((chat("llama3"), chat("qwen3")), (200, 403));
    let proof = second(&given.device, narrow["id"].as_str().unwrap(), now(), "GET", "/api/tags");
    let scope = given.gateway.ask("GET", "/api/tags", &[&header(&narrow), &proof], "");
    assert!(scope.status == 403 && scope.text().contains("models:read"), "{}", scope.text());
}
