//! Caps on what one request may take: whatever a caller sends, the upstream server is asked for no more.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Reply, Server};

/// For members: llama3 is lowered, qwen is refused. Viewers and administrators have none.
const RULES: &str = "[[caps]]\nroles = [\"member\"]\nkeep-alive = \"10m\"\nnum-ctx = 8192\nnum-predict = 2048\n\
                     [[caps]]\nroles = [\"member\"]\nmodels = [\"llama3*\"]\nnum-ctx = 4096\n\
                     [[caps]]\nmodels = [\"qwen*\"]\nroles = [\"member\", \"maintainer\"]\nkeep-alive = \"5m\"\nnum-ctx = 1024\n\
                     num-predict = 256\nwhen-exceeded = \"refuse\"\n";

/// A gateway with a configuration file, and an upstream server that records what it gets.
struct Given {
    gateway: Gateway,
    upstream: Server,
    file: PathBuf,
    _folder: Sandbox,
}

impl Given {
    fn start(tables: &str) -> Self {
        let (folder, upstream) = (Sandbox::new(), Server::start(|_| Reply::json(200, "{}")));
        let file = folder.write("gateway.toml", tables);
        let gateway = Gateway::start_with(&upstream.url(), &["--config", file.to_str().unwrap()]);
        gateway.add_user("root", "admin").add_user("ada", "member").add_user("max", "maintainer");
        Self { gateway, upstream, file, _folder: folder }
    }

    /// The header of a key of that person.
    fn key(&self, name: &str, args: &[&str]) -> String {
        let key = self.gateway.key(&self.gateway.device_added_to(name), &[&["k"], args].concat());
        format!("Authorization: Bearer {key}")
    }

    fn ask(&self, key: &str, path: &str, body: &str) -> Answer {
        self.gateway.ask("POST", path, &[key, "Content-Type: application/json"], body)
    }

    /// What the upstream server gets of it, as bytes. It is asked once.
    #[track_caller]
    fn forwarded_text(&self, key: &str, path: &str, body: &str) -> String {
        let before = self.upstream.count("POST", path);
        let answer = self.ask(key, path, body);
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        assert_eq!(self.upstream.count("POST", path), before + 1, "{body}");
        let last = self.upstream.requests().into_iter().rfind(|request| request.path() == path).unwrap();
        String::from_utf8(last.body).unwrap()
    }

    #[track_caller]
    fn forwarded(&self, key: &str, path: &str, body: &Value) -> Value {
        serde_json::from_str(&self.forwarded_text(key, path, &body.to_string())).unwrap()
    }

    /// A refusal, of which the upstream server gets nothing.
    #[track_caller]
    fn refused(&self, key: &str, path: &str, body: &str) -> Answer {
        let before = self.upstream.count("POST", path);
        let answer = self.ask(key, path, body);
        assert_eq!(self.upstream.count("POST", path), before, "{body}");
        answer
    }

    fn reload(&self, tables: &str) -> String {
        self.gateway.reload(&self.file, tables)
    }
}

#[test]
fn the_server_is_never_asked_for_more_than_the_cap() {
    let given = Given::start(RULES);
    let key = given.key("ada", &[]);
    let most = json!({ "num_ctx": 8192, "num_predict": 2048 });
    for (path, body, wanted) in [
        ("/api/chat", r#""options":{"num_ctx":8193,"num_predict":2049}"#, json!({ "options": most })),
        ("/api/generate", r#""options":{"num_ctx":1e9,"num_predict":-1}"#, json!({ "options": most })),
        ("/api/chat", r#""OPTIONS":{"num_ctx":8193}"#, json!({ "options": most })),
        ("/api/chat", r#""options":{"num_ctx":1},"Options":{"num_ctx":99999}"#, json!({ "options": most })),
        ("/api/chat", r#""options":{"num_ctx":1,"num_ctx":99999}"#, json!({ "options": most })),
        (
            "/api/chat",
            r#""option\u017f":{"num_ctx":99999},"keep_alive":60"#,
            json!({ "options": most, "keep_alive": 60 }),
        ),
        ("/api/chat", r#""options":{"num_ctx":99999,"num_ctx":null}"#, json!({ "options": most })),
        ("/api/chat", r#""keep_alive":"24h""#, json!({ "keep_alive": 600, "options": { "num_predict": 2048 } })),
        (
            "/api/chat",
            r#""keep_alive":1,"Keep_Alive":-1"#,
            json!({ "keep_alive": 600, "options": { "num_predict": 2048 } }),
        ),
        (
            "/api/embed",
            r#""keep_alive":"-1s","options":{"num_ctx":9e4}"#,
            json!({ "keep_alive": 600, "options": { "num_ctx": 8192 } }),
        ),
        ("/api/embeddings", r#""keep_alive":1e30"#, json!({ "keep_alive": 600 })),
        ("/v1/chat/completions", r#""max_tokens":100000"#, json!({ "max_tokens": 2048 })),
        (
            "/v1/chat/completions",
            r#""max_completion_tokens":100000"#,
            json!({ "max_tokens": 2048, "max_completion_tokens": 2048 }),
        ),
        ("/v1/completions", r#""MAX_TOKENS":100000,"max_tokens":null"#, json!({ "max_tokens": 2048 })),
        ("/v1/responses", r#""max_output_tokens":-7"#, json!({ "max_output_tokens": 2048 })),
        ("/v1/messages", r#""max_tokens":100000"#, json!({ "max_tokens": 2048 })),
        // Left out, it is unlimited.
        ("/api/generate", r#""prompt":"x""#, json!({ "prompt": "x", "options": { "num_predict": 2048 } })),
        ("/v1/responses", r#""input":"x""#, json!({ "input": "x", "max_output_tokens": 2048 })),
        // Less than the cap, and members that are none of the route's.
        (
            "/api/chat",
            r#""keep_alive":"0s","options":{"num_ctx":4,"num_predict":1}"#,
            json!({ "keep_alive": "0s", "options": { "num_ctx": 4, "num_predict": 1 } }),
        ),
        (
            "/v1/messages",
            r#""max_tokens":5,"options":{"num_ctx":99999},"num_ctx":9"#,
            json!({ "max_tokens": 5, "options": { "num_ctx": 99999 }, "num_ctx": 9 }),
        ),
    ] {
        let sent = given.forwarded_text(&key, path, &format!(r#"{{"model":"tiny",{body}}}"#));
        let mut sent: Value = serde_json::from_str(&sent).unwrap();
        assert_eq!(sent.as_object_mut().unwrap().remove("model"), Some(json!("tiny")));
        assert_eq!(sent, wanted, "{path} {body}");
    }
    for body in [r#""options":{"num_ctx":"4096"}"#, r#""options":[{"num_ctx":4}]"#, r#""keep_alive":"5 minutes""#] {
        let refused = given.refused(&key, "/api/chat", &format!(r#"{{"model":"tiny",{body}}}"#));
        assert_eq!(refused.status, 400, "{body}: {}", refused.text());
    }
    // A body that is no JSON object cannot be looked at.
    for body in ["model=tiny&keep_alive=-1", "[]", ""] {
        assert_eq!(given.refused(&key, "/api/chat", body).status, 400, "{body}");
    }
}

#[test]
fn the_response_says_what_was_lowered() {
    let given = Given::start(RULES);
    let key = given.key("ada", &[]);
    let lowered = |body: &str| given.ask(&key, "/api/chat", body).header("x-ollama-auth-lowered").map(str::to_owned);
    let both = lowered(r#"{"model":"llama3","keep_alive":-1,"options":{"num_ctx":9000,"num_predict":5}}"#);
    assert_eq!(both.as_deref(), Some("keep_alive=600, options.num_ctx=4096"));
    assert_eq!(lowered(r#"{"model":"llama3","options":{"num_ctx":10}}"#), None);
    let tokens = given.ask(&key, "/v1/messages", r#"{"model":"tiny","max_tokens":99999}"#);
    assert_eq!(tokens.header("x-ollama-auth-lowered"), Some("max_tokens=2048"));
}

#[test]
fn a_packed_body_is_unpacked_and_lowered() {
    let given = Given::start(RULES);
    let key = given.key("ada", &[]);
    // One frame with one block, stored as it is.
    let body = br#"{"model":"tiny","max_tokens":100000}"#;
    let length = u32::try_from(body.len()).unwrap();
    let block = ((length << 3) | 1).to_le_bytes();
    let frame = [b"\x28\xb5\x2f\xfd\x00\x58", &block[..3], body].concat();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{key}\r\nContent-Encoding: zstd\r\n\
         Content-Length: {}\r\n\r\n",
        given.gateway.address(),
        frame.len()
    );
    let answer = Answer::parse(&given.gateway.raw([head.as_bytes(), &frame].concat())).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let got = given.upstream.requests().pop().unwrap();
    assert_eq!(got.header("content-encoding"), None);
    assert_eq!(serde_json::from_slice::<Value>(&got.body).unwrap(), json!({ "model": "tiny", "max_tokens": 2048 }));
}

#[test]
fn the_rules_depend_on_role_and_model() {
    let given = Given::start(RULES);
    let asks =
        |model: &str, num_ctx: u32| json!({ "model": model, "options": { "num_ctx": num_ctx, "num_predict": 9 } });
    let ada = given.key("ada", &[]);
    for (model, num_ctx) in [("tiny", 8192), ("Llama3.2:3b", 4096), ("registry.ollama.ai/library/LLAMA3", 4096)] {
        let sent = given.forwarded(&ada, "/api/chat", &asks(model, 99999));
        assert_eq!(sent["options"]["num_ctx"], num_ctx, "{model}");
    }
    assert_eq!(given.refused(&ada, "/api/chat", &asks("qwen3", 1025).to_string()).status, 403);
    assert_eq!(given.forwarded(&ada, "/api/chat", &asks("qwen3", 1024)), asks("qwen3", 1024));

    // A role without rules: the body passes as it came, byte for byte.
    let odd = r#" {"options" : {"num_ctx":1e9},"model":"qwen3", "keep_alive":-1 } "#;
    assert_eq!(given.forwarded_text(&given.key("root", &[]), "/api/chat", odd), odd);
    // A rule for some models: others are read, and keep what they ask for.
    let max = given.key("max", &["--scope=inference,models:write"]);
    assert_eq!(given.forwarded(&max, "/api/chat", &asks("tiny", 99999)), asks("tiny", 99999));
    assert_eq!(given.refused(&max, "/api/chat", &asks("qwen3", 99999).to_string()).status, 403);
    // And where the route has no place for what is capped, nothing is read.
    assert_eq!(given.forwarded_text(&max, "/api/pull", odd), odd);
    // What a model is created with counts for all who use it.
    let create = json!({ "model": "qwen-mine", "from": "tiny", "parameters": { "num_ctx": 2048 } });
    assert_eq!(given.refused(&max, "/api/create", &create.to_string()).status, 403);
    let create = json!({ "model": "mine", "from": "tiny", "parameters": { "num_ctx": 2048 }, "files": { "a": "b" } });
    assert_eq!(given.forwarded(&max, "/api/create", &create), create);

    // A device is capped as a key is, and a key for some models in the same pass.
    let limited = given.key("ada", &["--model", "llama3"]);
    assert_eq!(given.refused(&limited, "/api/chat", &asks("tiny", 1).to_string()).status, 403);
    assert_eq!(given.forwarded(&limited, "/api/chat", &asks("llama3", 99999)), asks("llama3", 4096));
    let device = given.gateway.device_added_to("ada");
    device.command(["api", "/api/generate", "--data", &asks("llama3", 99999).to_string()]).run().expect_code(0);
    let got = given.upstream.requests().into_iter().rfind(|request| request.path() == "/api/generate").unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&got.body).unwrap(), asks("llama3", 4096));
}

#[test]
fn a_refusal_says_what_was_asked_and_what_is_allowed() {
    let given = Given::start(RULES);
    let key = given.key("ada", &[]);
    let body = r#"{"model":"qwen3","keep_alive":"24h"}"#;
    let refused = given.refused(&key, "/api/chat", body);
    let message = "keep_alive is \"24h\", and your role allows at most 300 s for this model";
    let wanted = json!({ "error": message, "code": "cap", "member": "keep_alive", "asked": "\"24h\"", "limit": "300" });
    assert_eq!((refused.status, refused.json()), (403, wanted));
    let secret = key.rsplit(' ').next().unwrap();
    let args = ["api", "/api/chat", "--data", body, "--host", &given.gateway.url()];
    let output = Sandbox::new().command(args).env("OLLAMA_API_KEY", secret).run().expect_code(5);
    assert!(output.stderr().contains(message) && output.stderr().contains("ask for less"), "{}", output.stderr());
    let body = r#"{"model":"qwen3","max_tokens":257}"#;
    let refused = given.refused(&key, "/v1/chat/completions", body).json();
    assert_eq!((&refused["error"]["code"], &refused["limit"]), (&json!("cap"), &json!("256")));
    let refused = given.refused(&key, "/v1/messages", body).json();
    assert_eq!((&refused["error"]["type"], &refused["code"]), (&json!("permission_error"), &json!("cap")));
    // What is left out is not asked for: it is written.
    let sent = given.forwarded(&key, "/v1/messages", &json!({ "model": "qwen3" }));
    assert_eq!(sent, json!({ "model": "qwen3", "max_tokens": 256 }));
    // The events of several refusals are stored one after the other.
    crate::harness::poll("the event of the refusal", || {
        let events = given.gateway.admin(&["audit", "--code", "cap", "--json"]).expect_code(0).json();
        events["events"].as_array().unwrap().iter().any(|event| event["subject"] == "/api/chat").then_some(())
    });
}

#[test]
fn a_reload_changes_the_rules_and_an_invalid_one_changes_nothing() {
    let given = Given::start("");
    let key = given.key("ada", &[]);
    let body = r#"{"model":"tiny","options":{"num_ctx":99999}}"#;
    assert_eq!(given.forwarded_text(&key, "/api/chat", body), body);
    given.reload("[[caps]]\nnum-ctx = 8192\n");
    let lowered = r#"{"model":"tiny","options":{"num_ctx":8192}}"#;
    assert_eq!(given.forwarded_text(&key, "/api/chat", body), lowered);
    let many = "[[caps]]\nnum-ctx = 1\n".repeat(1001);
    for (tables, says) in [
        ("[[caps]]\nroles = [\"membr\"]\nnum-ctx = 1\n", "names the role \"membr\", which is not defined"),
        ("[[caps]]\nroles = [\"member\"]\n", "at least one of keep-alive, num-ctx and num-predict"),
        ("[[caps]]\nnum-ctx = 0\n", "0 would refuse every request"),
        (&many, "there are more than 1000 rules"),
    ] {
        let log = given.reload(tables);
        assert!(log.contains("cannot reload the configuration") && log.contains(says), "{log}");
        assert_eq!(given.forwarded_text(&key, "/api/chat", body), lowered);
    }
    given.reload("");
    assert_eq!(given.forwarded_text(&key, "/api/chat", body), body);
}

#[test]
fn a_long_body_needs_no_more_memory_than_any_that_is_read() {
    let given = Given::start(&format!("max-scanned-body = \"1MiB\"\n{RULES}"));
    let key = given.key("ada", &[]);
    let body = |length: usize| format!(r#"{{"model":"tiny","prompt":"{}","keep_alive":9999}}"#, "x".repeat(length));
    let sent = given.forwarded_text(&key, "/api/generate", &body(1_000_000));
    assert!(sent.contains(r#""keep_alive":600"#) && sent.len() > 1_000_000);
    let refused = given.refused(&key, "/api/generate", &body(1 << 20));
    assert_eq!(refused.status, 413, "{}", refused.text());
}
