//! What goes wrong, for all of these commands alike: refusals, an unreachable host, malformed input, answers without end, and text that would act
//! on a terminal.

use serde_json::json;

use super::{COMMANDS, at};
use crate::given::says;
use crate::harness::cmd::Sandbox;
use crate::harness::http::{Reply, Server, Step};
use crate::harness::ollama::Ollama;
use crate::harness::{contains, pty::Terminal};

/// A server that answers everything but the one request.
fn with(method: &str, path: &str, reply: impl Fn() -> Reply + Send + Sync + 'static) -> Ollama {
    let ollama = Ollama::start();
    ollama.replay_always("me200");
    ollama.route(method, path, move |_| reply());
    ollama
}

#[test]
fn each_refusal_has_its_exit_code() {
    for (args, method, path) in COMMANDS {
        // Where no model is named, it is the address that is wrong.
        let missing = if ["list", "ps"].contains(&args[0]) { 1 } else { 3 };
        for (status, code) in [(401, 4), (403, 5), (404, missing), (429, 7), (503, 7), (502, 6), (504, 6)] {
            let sandbox = Sandbox::new();
            let ollama = with(method, path, move || Reply::json(status, json!({ "error": "the host's words" })));
            let output = at(&sandbox, &ollama, args).run().expect_code(code);
            says(&output, &["the host's words", &ollama.url()]);
            assert_eq!(output.stdout(), "", "{args:?}");
            let output = at(&sandbox, &ollama, args).args(["--json"]).run().expect_code(code);
            let error = output.stderr().lines().last().unwrap();
            let error: serde_json::Value = serde_json::from_str(error).unwrap();
            assert_eq!(error["error"]["exit_code"], code, "{args:?}");
            assert!(error["error"]["hint"].is_string(), "{args:?} {status}: {error}");
        }
    }
}

#[test]
fn an_unreachable_host_and_wrong_usage_have_their_exit_codes() {
    let free = Server::strict().url();
    let sandbox = Sandbox::new();
    for (args, ..) in COMMANDS {
        let output = sandbox.command(args).env("OLLAMA_HOST", &free).run().expect_code(6);
        says(&output, &["cannot reach", &free]);
        assert_eq!(output.stdout(), "");
    }
    for args in [
        &["show"][..],
        &["rm"],
        &["cp", "a"],
        &["pull", ""],
        &["push", "m:cloud:local"],
        &["stop", " "],
        &["list", "a", "b"],
    ] {
        sandbox.command(args).env("OLLAMA_HOST", &free).run().expect_code(2);
    }
    // Nothing is asked of ollama.com that it does not do.
    for args in [&["pull", "m"][..], &["push", "a/m"], &["rm", "m"], &["cp", "a", "b"], &["ps"], &["stop", "m"]] {
        let output = sandbox.command(args).args(["--host", "ollama.com"]).run().expect_code(2);
        says(&output, &["ollama.com", "--host"]);
    }
}

#[test]
fn a_malformed_list_is_an_error() {
    for body in ["", "<html>", "[]", "7", "{}", r#"{"models":{}}"#, r#"{"models":[7]}"#, r#"{"models":[{}"#] {
        for (command, path) in [("list", "/api/tags"), ("ps", "/api/ps")] {
            let sandbox = Sandbox::new();
            let ollama = with("GET", path, move || Reply::json(200, body));
            let output = at(&sandbox, &ollama, &[command]).run().expect_code(1);
            says(&output, &["cannot be understood", &ollama.url()]);
            assert_eq!(output.stdout(), "");
        }
    }
    let sandbox = Sandbox::new();
    let ollama = with("POST", "/api/show", || Reply::json(200, "[1]"));
    at(&sandbox, &ollama, &["show", "tiny"]).run().expect_code(1);
}

#[test]
fn an_endless_answer_is_abandoned_in_time() {
    for (args, method, path, megabytes) in [
        (&["list"][..], "GET", "/api/tags", 20),
        (&["ps"], "GET", "/api/ps", 20),
        (&["stop", "tiny"], "POST", "/api/generate", 4),
    ] {
        let sandbox = Sandbox::new();
        let ollama = with(method, path, move || {
            let part = vec![b'['; 1 << 20];
            let begin = Step::send("{\"models\":");
            let parts = (0..megabytes).map(move |_| Step::Send(part.clone()));
            Reply::script(200, std::iter::once(begin).chain(parts).chain([Step::Hang]))
        });
        let output = at(&sandbox, &ollama, args).run().expect_code(1);
        says(&output, &["an answer of more than"]);
        ollama.server().wait_disconnects(1);
    }
}

#[test]
fn a_list_that_is_too_long_is_rejected() {
    let sandbox = Sandbox::new();
    let many = |count: usize| format!("{{\"models\":[{}]}}", vec!["{}"; count].join(","));
    let ollama = with("GET", "/api/tags", move || Reply::json(200, many(100_001)));
    says(&at(&sandbox, &ollama, &["list"]).run().expect_code(1), &["more than 100000 models"]);
    ollama.route("GET", "/api/tags", move |_| Reply::json(200, many(100_000)));
    let output = at(&sandbox, &ollama, &["list"]).run().expect_code(0);
    assert_eq!(output.stdout().lines().count(), 100_001);
}

#[test]
fn names_do_not_act_on_the_terminal() {
    let evil = "e\u{1b}]0;pwned\u{7}\u{1b}[2J\n\u{202e}vil";
    let mut sandbox = Sandbox::new();
    let ollama = Ollama::start();
    let model = json!({ "name": evil, "digest": "\u{1b}[2J\u{1b}[2J\u{1b}[2J", "license": evil, "system": evil, "parameters": evil,
        "template": evil, "modelfile": evil, "capabilities": [evil], "details": { "quantization_level": evil } });
    let list = json!({ "models": [model] });
    for (method, path, answer) in
        [("GET", "/api/tags", list.clone()), ("GET", "/api/ps", list), ("POST", "/api/show", model)]
    {
        ollama.route(method, path, move |_| Reply::json(200, &answer));
    }
    sandbox.set_env("OLLAMA_HOST", ollama.url());
    for args in [
        &["list"][..],
        &["ps"],
        &["show", "m"],
        &["show", "m", "-v"],
        &["show", "m", "--license"],
        &["show", "m", "--template"],
        &["show", "m", "--json"],
        &["list", "--json"],
    ] {
        let finished = Terminal::start(&sandbox, args).finish();
        assert_eq!((finished.code, finished.column), (0, 0), "{args:?}:\n{}", finished.screen);
        assert!(finished.screen.contains("vil"), "{args:?}:\n{}", finished.screen);
        for sequence in ["\x1b]", "\x1b[2J", "\u{202e}", "\x07"] {
            assert!(!contains(&finished.raw, sequence.as_bytes()), "{args:?}: {sequence:?}");
        }
    }
}
