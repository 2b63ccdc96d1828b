//! Attacks by authenticated callers and by clients: expired keys, restricted models, exhausted file descriptors, and an upstream server
//! with invalid responses. Each kind of attack has a file below.

mod body;
mod bombs;
mod credentials;
mod failures;
mod many_connections;
mod patterns;
mod recorder;
mod regressions;
mod slow_callers;
mod smuggling;
mod targets;

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::harness::DEADLINE;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Reply, Server, Step};
use recorder::{RecordedRequest, Recorder};

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}

/// A gateway in front of a server that always answers so, and a device of ada's.
fn with_upstream(reply: impl Fn() -> Reply + Send + Sync + 'static) -> (Server, Gateway, Sandbox) {
    let upstream = Server::start(move |_| reply());
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "maintainer");
    let device = gateway.device_of("ada");
    (upstream, gateway, device)
}

/// A request whose credential was looked at, and whose body is still to come.
pub struct StartedRequest(TcpStream);

impl StartedRequest {
    pub fn new(gateway: &Gateway, target: &str, key: &str, body: &str) -> Self {
        let mut stream = TcpStream::connect(gateway.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let (host, length, header) = (gateway.address(), body.len(), bearer(key));
        write!(
            stream,
            "POST {target} HTTP/1.1\r\nHost: {host}\r\n{header}\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
        .unwrap();
        let mut go = [0; 25];
        stream.read_exact(&mut go).unwrap();
        assert_eq!(&go, b"HTTP/1.1 100 Continue\r\n\r\n");
        Self(stream)
    }

    pub fn finish(mut self, body: &str) -> Answer {
        self.0.write_all(body.as_bytes()).unwrap();
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer).unwrap();
        Answer::parse(&answer).unwrap()
    }
}

fn count_of_keys(gateway: &Gateway, key: &str) -> usize {
    gateway.ask("GET", "/api/user/keys", &[&bearer(key)], "").json()["keys"].as_array().unwrap().len()
}

#[test]
fn a_key_revoked_during_its_request_creates_no_key() {
    let (_upstream, gateway, device) = with_upstream(|| Reply::json(200, "{}"));
    gateway.add_user("root", "admin").add_user("bob", "member");
    let watch = gateway.key(&device, &["watch", "--scope", "keys"]);

    let made = gateway.ask("POST", "/api/user/keys", &[&bearer(&watch)], r#"{"name":"weak","scopes":["keys"]}"#).json();
    let (weak, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    let replace = format!(r#"{{"replaces":"{id}"}}"#);
    let bodies = [&*replace, r#"{"name":"more","scopes":["keys"]}"#];
    let begun = bodies.map(|body| StartedRequest::new(&gateway, "/api/user/keys", weak, body));
    let before = count_of_keys(&gateway, &watch);
    device.command(["keys", "revoke", id, "--yes"]).run().expect_code(0);
    for (begun, body) in begun.into_iter().zip(bodies) {
        let answer = begun.finish(body);
        assert_eq!(answer.status, 401, "{body}: {}", answer.text());
    }
    assert_eq!(count_of_keys(&gateway, &watch), before - 1);

    // An account that is disabled meanwhile.
    let bobs = gateway.key(&gateway.device_of("bob"), &["b", "--scope", "keys"]);
    let body = r#"{"name":"more","scopes":["keys"]}"#;
    let begun = StartedRequest::new(&gateway, "/api/user/keys", &bobs, body);
    gateway.admin(&["user", "disable", "bob"]).expect_code(0);
    assert_eq!(begun.finish(body).status, 401);
    gateway.admin(&["user", "enable", "bob"]).expect_code(0);
    assert_eq!(count_of_keys(&gateway, &bobs), 2);
}

#[test]
fn a_limited_key_revoked_during_its_request_runs_no_model() {
    let (upstream, gateway, device) = with_upstream(|| Reply::json(200, "{}"));
    let key = gateway.key(&device, &["limited", "--model", "tiny"]);
    let body = r#"{"model":"tiny"}"#;
    let [one, other] = [(); 2].map(|()| StartedRequest::new(&gateway, "/api/generate", &key, body));
    assert_eq!(one.finish(body).status, 200);
    device.command(["keys", "revoke", "limited", "--yes"]).run().expect_code(0);
    assert_eq!(other.finish(body).status, 401);
    assert_eq!(upstream.seen(), ["POST /api/generate"]);
}

/// A key for all models, whose requests are passed on as they come: nothing that comes after its end is.
#[test]
fn a_key_revoked_before_its_body_ends_is_refused() {
    let (upstream, gateway, device) = with_upstream(|| Reply::json(200, "{}"));
    let key = gateway.key(&device, &["stolen", "--scope", "inference,models:write"]);
    let body = r#"{"model":"tiny"}"#;
    let blob = format!("/api/blobs/sha256:{}", "0a".repeat(32));
    let [one, other] = [(); 2].map(|()| StartedRequest::new(&gateway, "/api/generate", &key, body));
    let upload = StartedRequest::new(&gateway, &blob, &key, body);
    assert_eq!(one.finish(body).status, 200);
    device.command(["keys", "revoke", "stolen", "--yes"]).run().expect_code(0);
    assert_eq!((other.finish(body).status, upload.finish(body).status), (401, 401));
    assert_eq!(upstream.seen(), ["POST /api/generate"]);
}

#[test]
fn a_key_that_is_not_replaceable_creates_no_replaceable_key() {
    let (_upstream, gateway, device) = with_upstream(|| Reply::json(200, "{}"));
    let parent = gateway.key(&device, &["parent", "--scope", "keys"]);
    let create = |key: &str, body: Value| gateway.ask("POST", "/api/user/keys", &[&bearer(key)], &body.to_string());
    let fixed = create(&parent, json!({ "name": "fixed", "scopes": ["keys"], "replaceable": false })).json();
    let fixed = fixed["key"].as_str().unwrap();
    let child = json!({ "name": "child", "scopes": ["keys"], "replaceable": true });
    assert_eq!(create(fixed, child).status, 403);
    let child = create(fixed, json!({ "name": "child", "scopes": ["keys"] })).json();
    assert_eq!(child["replaceable"], false);
    let replaces = json!({ "replaces": child["id"] });
    assert_eq!(create(child["key"].as_str().unwrap(), replaces).status, 403);
}

#[test]
fn a_limited_key_creates_no_model_from_other_models_files() {
    let (upstream, gateway, device) = with_upstream(|| Reply::json(200, "{}"));
    let key = gateway.key(&device, &["limited", "--scope", "models:write", "--model", "me/*"]);
    let create = |body: Value| gateway.ask("POST", "/api/create", &[&bearer(&key)], &body.to_string()).status;
    let digest = format!("sha256:{}", "0a".repeat(32));
    for (member, value) in [
        ("files", json!({ "model.gguf": digest })),
        ("adapters", json!({ "adapter.gguf": digest })),
        ("draft_files", json!({ "draft.gguf": digest })),
        ("Draft_Fi\u{17f}", json!({})),
        ("DRAFT_FILES", json!({ "draft.gguf": digest })),
        ("modelfile", json!("FROM other")),
        ("path", json!("/etc/passwd")),
        ("remote_host", json!("ollama.com")),
        ("what_a_later_version_may_add", json!("other")),
    ] {
        assert_eq!(create(json!({ "model": "me/new", "from": "me/old", member: value })), 403, "{member}");
    }
    assert_eq!(upstream.seen(), Vec::<String>::new());
    let rest = json!({ "model": "me/new", "from": "me/old", "system": "You are terse.", "stream": false,
        "parameters": { "seed": 1 }, "template": "{{ .Prompt }}", "license": "MIT", "messages": [], "quantize": "q4_K_M" });
    assert_eq!(create(rest), 200);
}

#[test]
fn a_model_list_is_filtered_for_every_2xx_status() {
    for status in [200, 203, 206] {
        let list = r#"{"models":[{"name":"tiny:latest"},{"name":"secret:latest"}]}"#;
        let (_upstream, gateway, device) = with_upstream(move || Reply::json(status, list));
        let key = gateway.key(&device, &["limited", "--scope", "models:read", "--model", "tiny"]);
        let answer = gateway.ask("GET", "/api/tags", &[&bearer(&key), "Range: bytes=0-"], "");
        assert!(answer.text().contains("tiny") && !answer.text().contains("secret"), "{status}: {}", answer.text());
    }
}

#[test]
fn protocol_upgrades_are_refused() {
    let (upstream, gateway, device) = with_upstream(|| Reply::new(101, "").header("Upgrade", "websocket"));
    let key = gateway.key(&device, &["k"]);
    let headers = [&*bearer(&key), "Connection: upgrade", "Upgrade: websocket"];
    let answer = gateway.ask("GET", "/api/tags", &headers, "");
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(upstream.wait_requests(1)[0].header("upgrade"), None);
}

#[test]
fn chunked_encoding_overrides_content_length_in_responses() {
    let reply = || Reply::script(200, [Step::send("{\"models\":[]}")]).header("Content-Length", "4");
    let (_upstream, gateway, device) = with_upstream(reply);
    let key = gateway.key(&device, &["k"]);
    assert_eq!(gateway.ask("GET", "/api/ps", &[&bearer(&key)], "").text(), r#"{"models":[]}"#);
}

/// Callers without a credential open connections and send nothing; callers with one are still served.
#[test]
fn silent_connections_leave_file_descriptors_for_requests() {
    for limit in ["-n 64", "-Sn 64"] {
        let upstream = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
        let gateway = Gateway::start_within(&upstream.url(), &format!("ulimit {limit}"));
        gateway.add_user("ada", "member");
        let key = gateway.key(&gateway.device_of("ada"), &["k"]);
        let mut mine = TcpStream::connect(gateway.address()).unwrap();
        mine.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut ask = |target: &str, header: &str| {
            write!(mine, "GET {target} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n").unwrap();
            let mut answer = String::new();
            while !answer.ends_with('}') && !answer.ends_with("running") {
                let mut some = [0; 4096];
                let count = mine.read(&mut some).unwrap();
                assert_ne!(count, 0, "{limit}: {answer}");
                answer += std::str::from_utf8(&some[..count]).unwrap();
            }
            answer
        };
        assert!(ask("/", "X-A: 1").starts_with("HTTP/1.1 200"));
        let _silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(gateway.address()).unwrap()).collect();
        let answer = ask("/api/ps", &bearer(&key));
        assert!(answer.starts_with("HTTP/1.1 200"), "{limit}: {answer}");
        if limit.starts_with("-S") {
            // What the system would allow is made use of.
            assert_eq!(gateway.ask("GET", "/", &[], "").status, 200);
        }
    }
}
