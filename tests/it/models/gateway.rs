//! The same through the real gateway: nobody needs a second tool there, and a credential that may not do a thing is told the scope
//! that it lacks.

use serde_json::json;

use super::{COMMANDS, line, status, streams};
use crate::given::{says, with_store};
use crate::harness::cmd::Output;
use crate::harness::gateway::Gateway;
use crate::harness::http::Reply;
use crate::harness::ollama::Ollama;

fn given() -> (Gateway, Ollama) {
    let ollama = Ollama::start();
    let done = || [status("pulling manifest"), status("success")];
    streams(&ollama, "/api/pull", done());
    streams(&ollama, "/api/push", done());
    for (method, path) in [("DELETE", "/api/delete"), ("POST", "/api/copy")] {
        ollama.route(method, path, |_| Reply::new(200, ""));
    }
    ollama.route("POST", "/api/generate", |_| Reply::json(200, "{\"done\":true,\"done_reason\":\"unload\"}"));
    let gateway = Gateway::start(&ollama.url());
    gateway.add_user("ada", "admin");
    (gateway, ollama)
}

fn with_key(gateway: &Gateway, key: &str, args: &[&str]) -> Output {
    let sandbox = with_store("plaintext");
    let output = sandbox.command(args).args(["--host", &gateway.url()]).env("OLLAMA_API_KEY", key).run();
    sandbox.assert_no_secret(key, &[&output], &[]);
    output
}

#[test]
fn a_device_signs_in_runs_and_signs_out() {
    let (gateway, _ollama) = given();
    let device = gateway.device_of("ada");
    // The gateway is its current profile: no host need be named.
    for (args, ..) in COMMANDS {
        device.command(args).run().expect_code(0);
    }
    assert!(device.command(["list"]).run().stdout().contains("tiny:latest"));
}

#[test]
fn a_scope_that_is_missing_is_named() {
    let (gateway, ollama) = given();
    let device = gateway.device_of("ada");
    let make = |scope: &str| gateway.key(&device, &["key", "--scope", scope]);
    let (infers, reads, writes) = (make("inference"), make("models:read"), make("models:write"));
    let scope_of = |path: &str| match path {
        "/api/tags" | "/api/ps" | "/api/show" => "models:read",
        "/api/generate" => "inference",
        _ => "models:write",
    };
    let before = ollama.server().requests().len();
    for (args, _, path) in COMMANDS {
        let (key, scope) = match scope_of(path) {
            "models:write" => (&infers, "models:write"),
            // `stop` looks at the model before it stops it.
            "inference" => (&reads, "inference"),
            scope => (&writes, scope),
        };
        let output = with_key(&gateway, key, args).expect_code(5);
        says(&output, &[&format!("does not have the scope {scope}")]);
        assert_eq!(output.stdout(), "");
    }
    let changed = ["/api/delete", "/api/copy", "/api/pull", "/api/push"];
    let requests = ollama.server().requests();
    assert!(requests[before..].iter().all(|request| !changed.contains(&request.path())));
    with_key(&gateway, &writes, &["rm", "tiny"]).expect_code(0);
    with_key(&gateway, &reads, &["list"]).expect_code(0);
    with_key(&gateway, "olauth_nonsense", &["list"]).expect_code(4);
    let output = with_store("plaintext").command(["list", "--host", &gateway.url()]).run().expect_code(4);
    says(&output, &["ollama-auth signin --host"]);
}

#[test]
fn the_account_of_the_upstream_server_is_not_the_callers() {
    let (gateway, ollama) = given();
    let device = gateway.device_of("ada");
    let refused = line(json!({ "error": "unauthorized: unknown ollama key \"ssh-ed25519 AAAA\"" }));
    for command in ["push", "pull"] {
        streams(&ollama, &format!("/api/{command}"), [status("retrieving manifest"), refused.clone()]);
        let output = device.command([command, "ada/tiny"]).run().expect_code(5);
        says(&output, &["the gateway's Ollama server", "ask its operator"]);
        assert!(!output.stderr().contains("signin --server --host"), "{}", output.snapshot());
    }
}
