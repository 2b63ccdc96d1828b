//! Which models a key for some models reaches.

use serde_json::{Value, json};

use super::{asked, bearer, concrete};
use crate::harness::gateway::Gateway;
use crate::harness::http::{Reply, Server};
use crate::harness::ollama::Ollama;

#[test]
fn model_patterns_apply_to_the_model_that_upstream_runs() {
    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "maintainer");
    let device = gateway.device_of("ada");
    let scopes = "--scope=inference,models:read,models:write";
    let key = |pattern: &str| bearer(&gateway.key(&device, &["limited", scopes, "--model", pattern]));
    let (tiny, nope) = (key("tiny"), key("nope"));
    let file: Value = serde_json::from_str(include_str!("../fixtures/vectors/model-in-body.json")).unwrap();
    for case in file["cases"].as_array().unwrap() {
        let (body, used) = (case["body"].as_str().unwrap(), case["model_used"].as_str().unwrap());
        let (right, wrong) = if used == "tiny" { (&tiny, &nope) } else { (&nope, &tiny) };
        let before = upstream.server().requests().len();
        assert_eq!(gateway.ask("POST", "/api/generate", &[wrong], body).status, 403, "{body}");
        assert_eq!(upstream.server().requests().len(), before, "{body}");
        let status = gateway.ask("POST", "/api/generate", &[right], body).status;
        // The recording knows no model called nope.
        assert_eq!(status, if used == "tiny" { 200 } else { 404 }, "{body}");
        let forwarded = upstream.server().requests().pop().unwrap();
        let forwarded: Value = serde_json::from_slice(&forwarded.body).unwrap();
        assert_eq!(forwarded.as_object().unwrap().len(), 1, "{body} became {forwarded}");
    }

    // Lists show what may be used, and nothing of the rest.
    let shown = gateway.ask("GET", "/api/tags", &[&tiny], "").json();
    assert_eq!(shown["models"][0]["name"], "tiny:latest");
    for (path, list) in [("/api/tags", "models"), ("/api/ps", "models"), ("/v1/models", "data")] {
        let answer = gateway.ask("GET", path, &[&nope], "").json();
        assert_eq!(answer[list], json!([]), "{path}");
    }
    assert_eq!(gateway.ask("HEAD", "/api/tags", &[&nope], "").header("x-content-length"), None);
    assert_eq!(gateway.ask("GET", "/v1/models/tiny", &[&nope], "").status, 403);
    // A body that is not understood is not forwarded.
    for body in ["", "[]", "{", r#"{"model":7}"#, "{}"] {
        assert_eq!(gateway.ask("POST", "/api/generate", &[&tiny], body).status, 400, "{body}");
    }
    let packed = gateway.ask("POST", "/v1/chat/completions", &[&tiny, "Content-Encoding: gzip"], "x");
    assert_eq!((packed.status, packed.json()["error"]["type"].as_str().unwrap()), (415, "invalid_request_error"));
}

/// Each route of an Ollama server with a key for one model: that model and nothing else. A route that names no model is refused,
/// since the gateway could not tell what it reaches; lists show the one model.
#[test]
fn a_key_for_one_model_reaches_nothing_else_on_any_route() {
    let upstream = Server::start(|request| match request.path() {
        "/v1/models" => Reply::json(200, r#"{"data":[{"id":"tiny:latest"},{"id":"big:latest"}]}"#),
        _ => Reply::json(200, r#"{"models":[{"name":"tiny:latest"},{"model":"big:latest"},{"name":"big:latest"}]}"#),
    });
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "maintainer");
    let scopes = "--scope=inference,models:read,models:write";
    let key = bearer(&gateway.key(&gateway.device_of("ada"), &["k", scopes, "--model", "tiny"]));
    let file: Value = serde_json::from_str(include_str!("../fixtures/vectors/endpoints.json")).unwrap();
    let mut refused = Vec::new();
    for endpoint in file["endpoints"].as_array().unwrap() {
        if ["none", "account"].contains(&endpoint["scope"].as_str().unwrap()) {
            continue;
        }
        let path = endpoint["path"].as_str().unwrap();
        let fields: Vec<&str> =
            endpoint["model_fields"].as_array().into_iter().flatten().map(|field| field.as_str().unwrap()).collect();
        for method in endpoint["methods"].as_array().unwrap() {
            let method = method.as_str().unwrap();
            // Names the model `other` in the field `at`, and `tiny` in the others.
            let ask = |at: usize, other: &str| {
                let model = |field: usize| if field == at { other } else { "tiny" };
                let before = asked(&upstream);
                let answer = if fields == ["{model}"] {
                    gateway.ask(method, &path.replace("{model}", other), &[&key], "")
                } else if path.ends_with("transcriptions") {
                    let body = format!(
                        "--X\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{}\r\n--X--\r\n",
                        model(0)
                    );
                    let kind = "Content-Type: multipart/form-data; boundary=X";
                    gateway.ask(method, path, &[&key, kind], &body)
                } else {
                    let named =
                        fields.iter().enumerate().map(|(field, name)| ((*name).to_owned(), json!(model(field))));
                    let body = Value::Object(named.collect()).to_string();
                    // Parameters could name one too.
                    let target = format!("{}?model=big&name=big", concrete(path));
                    gateway.ask(method, &target, &[&key], if fields.is_empty() { "" } else { &body })
                };
                (answer.status, asked(&upstream) - before, answer)
            };
            let (status, reached, answer) = ask(0, "tiny");
            if fields.is_empty() && status == 403 {
                assert_eq!(reached, 0, "{method} {path}");
                assert!(method == "HEAD" || answer.text().contains("certain models"), "{}", answer.text());
                refused.push(format!("{method} {path}"));
                continue;
            }
            assert_eq!((status, reached), (200, 1), "{method} {path}: {}", answer.text());
            let forwarded = upstream.requests().pop().unwrap();
            let sent = String::from_utf8_lossy(&forwarded.body).into_owned() + &forwarded.target;
            assert!(!sent.contains("big"), "{method} {path}: {sent}");
            assert!(!fields.is_empty() || !answer.text().contains("big"), "{method} {path}: {}", answer.text());
            for (at, field) in fields.iter().enumerate() {
                let (status, reached, answer) = ask(at, "big");
                assert_eq!((status, reached), (403, 0), "{method} {path} {field}: {}", answer.text());
            }
        }
    }
    assert_eq!(
        refused,
        [
            "GET /api/experimental/model-recommendations",
            "POST /api/experimental/web_search",
            "POST /api/experimental/web_fetch",
            "HEAD /api/blobs/{digest}",
            "POST /api/blobs/{digest}"
        ]
    );
}

/// Servers read `:local` differently by their age: as a marker, or as a tag.
#[test]
fn the_marker_local_is_removed_from_the_path_too() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let key = bearer(&gateway.key(&gateway.device_of("ada"), &["k", "--model", "tiny,small:8b"]));
    for (asked, forwarded) in
        [("tiny:local", "tiny"), ("TINY:LOCAL", "TINY"), ("small:8b:local", "small:8b"), ("tiny", "tiny")]
    {
        assert_eq!(gateway.ask("GET", &format!("/v1/models/{asked}"), &[&key], "").status, 200, "{asked}");
        assert_eq!(upstream.requests().pop().unwrap().target, format!("/v1/models/{forwarded}"));
    }
    for other in ["small:local", "tiny:local:local", "tiny:local-cloud"] {
        assert_eq!(gateway.ask("GET", &format!("/v1/models/{other}"), &[&key], "").status, 403, "{other}");
    }
}

/// `acme/**` means the models of acme at ollama.com. A registry that is called so is another place, with models of other people.
#[test]
fn a_pattern_reaches_another_registry_only_by_its_name() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    for (pattern, allowed, refused) in [
        ("acme/**", vec!["acme/tiny", "acme/tiny:8b"], vec!["acme/other/tiny", "acme:5000/other/tiny"]),
        ("acme/*/*", vec!["acme/other/tiny:8b"], vec!["acme/tiny", "acme.example/other/tiny"]),
        ("hf.co/**", vec!["hf.co/me/tiny:q4"], vec!["hf.co.example/me/tiny"]),
        ("tiny**", vec!["tiny", "tiny:8b", "tiny-2/x"], vec!["tiny.example/me/x", "tiny/me/x"]),
    ] {
        let key = bearer(&gateway.key(&device, &["k", "--model", pattern]));
        let ask =
            |model: &str| gateway.ask("POST", "/api/generate", &[&key], &json!({ "model": model }).to_string()).status;
        for model in allowed {
            assert_eq!(ask(model), 200, "{pattern} {model}");
        }
        for model in refused {
            assert_eq!(ask(model), 403, "{pattern} {model}");
        }
    }
    // Nor does such a key pass on the other registry.
    let limited = gateway.key(&device, &["k", "--scope", "inference,keys", "--model", "acme/**"]);
    for (pattern, status) in [("acme/*/*", 403), ("acme/x/**", 403), ("acme/x*", 201)] {
        let body = json!({ "name": "child", "scopes": ["inference"], "models": [pattern] }).to_string();
        assert_eq!(gateway.ask("POST", "/api/user/keys", &[&bearer(&limited)], &body).status, status, "{pattern}");
    }
}
