//! `stop`, `rm` and `cp`: what is asked, in which order, and what is lost when a part of it fails.

use serde_json::{Value, json};

use super::{at, bodies};
use crate::given::says;
use crate::harness::cmd::Sandbox;
use crate::harness::http::Reply;
use crate::harness::ollama::Ollama;

/// Removes whatever it has; has everything but `nope`.
fn given() -> (Sandbox, Ollama) {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let has = |request: &crate::harness::http::Request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        ["model", "source"].iter().all(|name| body[*name] != "nope")
    };
    for (method, path) in
        [("POST", "/api/show"), ("POST", "/api/generate"), ("DELETE", "/api/delete"), ("POST", "/api/copy")]
    {
        ollama.route(method, path, move |request| {
            if has(request) {
                Reply::json(200, "{\"done\":true,\"done_reason\":\"unload\"}")
            } else {
                Reply::json(404, "{\"error\":\"model 'nope' not found\"}")
            }
        });
    }
    (sandbox, ollama)
}

#[test]
fn stop_unloads() {
    let (sandbox, ollama) = given();
    let output = at(&sandbox, &ollama, &["stop", "tiny"]).run().expect_code(0);
    says(&output, &["Stopped tiny at", &ollama.url()]);
    assert_eq!(output.stdout(), "");
    assert_eq!(bodies(&ollama, "/api/generate"), [json!({ "model": "tiny", "keep_alive": 0, "stream": false })]);
    let output = at(&sandbox, &ollama, &["stop", "tiny", "--json"]).run().expect_code(0);
    assert_eq!(output.json(), json!({ "host": ollama.url(), "model": "tiny", "stopped": true }));
    says(&at(&sandbox, &ollama, &["stop", "nope"]).run().expect_code(3), &["has no model \"nope\""]);
    assert_eq!(ollama.server().count("POST", "/api/generate"), 2);
    ollama.route("POST", "/api/generate", |_| Reply::json(200, "{\"error\":\"busy\"}"));
    says(&at(&sandbox, &ollama, &["stop", "tiny"]).run().expect_code(1), &["busy"]);
}

#[test]
fn stopping_a_remote_model_does_not_load_it() {
    let (sandbox, ollama) = given();
    at(&sandbox, &ollama, &["stop", "big:cloud"]).run().expect_code(0);
    ollama.route("POST", "/api/show", |_| Reply::json(200, "{\"remote_host\":\"https://ollama.com:443\"}"));
    let output = at(&sandbox, &ollama, &["stop", "big"]).run().expect_code(0);
    says(&output, &["runs at another host"]);
    at(&sandbox, &ollama, &["rm", "big"]).run().expect_code(0);
    assert_eq!(ollama.server().count("POST", "/api/generate"), 0);
    assert_eq!(ollama.server().count("DELETE", "/api/delete"), 1);
}

#[test]
fn a_missing_model_does_not_stop_the_others() {
    let (sandbox, ollama) = given();
    let output = at(&sandbox, &ollama, &["rm", "a", "nope", "b", "a"]).run().expect_code(3);
    says(&output, &["Removed a at", "Removed b at", "2 of 3 models were removed", "not removed: nope"]);
    let removed: Vec<_> = bodies(&ollama, "/api/delete").iter().map(|body| body["model"].clone()).collect();
    assert_eq!(removed, ["a", "nope", "b"]);
    let seen = ollama.server().seen();
    assert_eq!(seen[..3], ["POST /api/show", "POST /api/generate", "DELETE /api/delete"], "stopped first");
    let output = at(&sandbox, &ollama, &["rm", "nope", "c", "--json"]).run().expect_code(3);
    let report = output.json();
    assert_eq!((&report["removed"], &report["host"]), (&json!(["c"]), &json!(ollama.url())));
    assert_eq!((&report["failed"][0]["model"], &report["failed"][0]["exit_code"]), (&json!("nope"), &json!(3)));
    let output = at(&sandbox, &ollama, &["rm", "nope"]).run().expect_code(3);
    says(&output, &["has no model \"nope\"", "ollama-auth list"]);
}

#[test]
fn a_model_that_cannot_be_stopped_is_still_removed() {
    let (sandbox, ollama) = given();
    ollama.route("POST", "/api/generate", |_| Reply::json(500, "{\"error\":\"stuck\"}"));
    says(
        &at(&sandbox, &ollama, &["rm", "a"]).run().expect_code(0),
        &["could not be stopped first", "stuck", "Removed a"],
    );
    ollama.route("DELETE", "/api/delete", |request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        match body["model"].as_str() {
            Some("nope") => Reply::json(404, "{\"error\":\"not found\"}"),
            _ => Reply::json(500, "{\"error\":\"read-only file system\"}"),
        }
    });
    // That it could not be done outweighs that there was nothing to do.
    let output = at(&sandbox, &ollama, &["rm", "nope", "a"]).run().expect_code(1);
    says(&output, &["0 of 2", "read-only file system"]);
}

#[test]
fn an_unreachable_host_is_asked_only_once() {
    let (sandbox, ollama) = given();
    ollama.route("DELETE", "/api/delete", |_| Reply::drop_connection());
    let output = at(&sandbox, &ollama, &["rm", "a", "b", "c", "--json"]).run().expect_code(6);
    assert_eq!(output.json()["failed"].as_array().unwrap().len(), 3);
    assert_eq!(ollama.server().count("DELETE", "/api/delete"), 1);
}

#[test]
fn a_cloud_model_is_removed_from_the_server_that_lists_it() {
    let (mut sandbox, ollama) = given();
    // The key of ollama.com would make `run` go there.
    sandbox.set_env("OLLAMA_API_KEY", "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOpQrStUv-_");
    at(&sandbox, &ollama, &["rm", "big:cloud"]).run().expect_code(0);
    assert_eq!(bodies(&ollama, "/api/delete"), [json!({ "model": "big:cloud" })]);
    assert!(ollama.server().requests().iter().all(|request| request.authorization().is_none()));
}

#[test]
fn a_copy_names_both() {
    let (sandbox, ollama) = given();
    let output = at(&sandbox, &ollama, &["cp", "tiny", "ada/tiny"]).run().expect_code(0);
    says(&output, &["Copied tiny to ada/tiny"]);
    assert_eq!(bodies(&ollama, "/api/copy"), [json!({ "source": "tiny", "destination": "ada/tiny" })]);
    let json = at(&sandbox, &ollama, &["cp", "a", "b", "--json"]).run().expect_code(0).json();
    assert_eq!(json, json!({ "host": ollama.url(), "source": "a", "destination": "b" }));
    says(&at(&sandbox, &ollama, &["cp", "nope", "b"]).run().expect_code(3), &["has no model \"nope\""]);
    ollama.route("POST", "/api/copy", |_| Reply::json(400, "{\"error\":\"destination \\\"?\\\" is invalid\"}"));
    says(&at(&sandbox, &ollama, &["cp", "a", "?"]).run().expect_code(2), &["is invalid", "[NAMESPACE/]MODEL[:TAG]"]);
}
