//! How refusals and failures are worded.

use serde_json::json;

use super::bearer;
use crate::harness::gateway::Gateway;
use crate::harness::http::{Reply, Server};

/// `ollama list`, `show`, `ps`, `cp` and `rm` of the stock client print the member `status` of a 401, and nothing else of it.
#[test]
fn a_401_says_why_in_the_member_that_the_stock_client_prints() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    let refused = gateway.ask("GET", "/api/tags", &[], "").json();
    assert!(refused["status"].as_str().unwrap().contains("not signed in to"), "{refused}");
    assert_eq!(refused["status"], refused["error"]);
    let device = crate::harness::signature::TestDevice::new(7);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let tags = format!("/api/tags?ts={now}");
    let header = format!("Authorization: {}", device.sign(&format!("GET,{tags}")));
    let pending = gateway.ask("GET", &tags, &[&header], "").json();
    let link = pending["signin_url"].as_str().unwrap();
    assert_eq!(pending["status"], format!("unauthorized: approve this device at {link}"));
}

#[test]
fn errors_use_the_format_of_the_called_api() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let gateway = Gateway::start(&upstream.url());
    let ollama = gateway.ask("POST", "/api/chat", &[], "{}");
    assert!(ollama.json()["error"].as_str().unwrap().starts_with("unauthorized"));
    let openai = gateway.ask("POST", "/v1/chat/completions", &[], "{}").json();
    assert_eq!(openai["error"]["type"], "authentication_error");
    assert_eq!(openai["error"]["code"], "invalid_api_key");
    let anthropic = gateway.ask("POST", "/v1/messages", &[], "{}").json();
    assert_eq!((&anthropic["type"], &anthropic["error"]["type"]), (&json!("error"), &json!("authentication_error")));
    assert_eq!(ollama.header("www-authenticate"), Some("Bearer"));
    assert!(ollama.header("x-ollama-auth-gateway").is_some());
}

#[test]
fn an_unreachable_upstream_is_a_clear_502() {
    let port = Server::strict().port();
    let gateway = Gateway::start(&format!("http://127.0.0.1:{port}"));
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let key = gateway.key(&device, &["k"]);
    let answer = gateway.ask("GET", "/api/tags", &[&bearer(&key)], "");
    assert_eq!(answer.status, 502);
    assert!(answer.json()["error"].as_str().unwrap().contains("is Ollama running there?"), "{}", answer.text());
    // What the gateway answers itself goes on.
    assert_eq!(gateway.ask("HEAD", "/", &[], "").status, 200);
    assert_eq!(gateway.ask("POST", "/api/me", &[&bearer(&key)], "").status, 200);
}

/// Each has an id of its own, where the SDKs of both APIs look for it, which no one else gives.
#[test]
fn each_response_says_the_id_of_its_request() {
    let upstream =
        Server::start(|_| Reply::json(200, "{}").header("X-Request-Id", "theirs").header("Request-Id", "theirs"));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let key = bearer(&gateway.key(&gateway.device_of("ada"), &["k", "--scope", "inference"]));
    let headers = [&*key, "X-Request-Id: mine", "Request-Id: mine"];
    let mut ids = Vec::new();
    for (method, path, status) in [
        ("POST", "/v1/messages", 200),
        ("POST", "/v1/chat/completions", 200),
        ("POST", "/api/chat", 200),
        ("GET", "/api/tags", 403),
        ("GET", "/nowhere", 404),
        ("GET", "/healthz", 200),
        ("GET", "/login", 200),
    ] {
        let answer = gateway.ask(method, path, &headers, "");
        assert_eq!(answer.status, status, "{path}");
        let id = answer.header("x-request-id").unwrap_or_else(|| panic!("{path}")).to_owned();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{path}: {id}");
        let anthropic = (path == "/v1/messages").then_some(&*id);
        let theirs = (status == 200 && path.starts_with("/v1/c")).then_some("theirs");
        assert_eq!(
            answer.header("request-id"),
            anthropic.or(theirs.or((path == "/api/chat").then_some("theirs"))),
            "{path}"
        );
        assert!(!ids.contains(&id), "{path}: {id}");
        ids.push(id);
    }
    assert!(upstream.requests().iter().all(|request| request.header("x-request-id") == Some("mine")));
    // The event log finds it by it.
    crate::harness::poll("the refusal", || {
        let events = gateway.admin(&["audit", "--request", &ids[3], "--json"]).expect_code(0).json();
        (events["events"].as_array().unwrap().len() == 1).then_some(())
    });
}

#[test]
fn a_failure_of_the_server_names_the_request_for_its_log() {
    let upstream = Server::start(|_| Reply::json(500, r#"{"error":"out of memory"}"#));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let failed = device.command(["list"]).run().expect_code(1);
    let hint = failed.stderr();
    let (_, rest) = hint.split_once("(request ").unwrap_or_else(|| panic!("{hint}"));
    assert!(rest.len() > 32 && rest[..32].bytes().all(|byte| byte.is_ascii_hexdigit()), "{hint}");
    let failed = device.command(["list", "--json"]).run().expect_code(1);
    let failed: serde_json::Value = serde_json::from_str(failed.stderr()).unwrap();
    assert_eq!(failed["error"]["request_id"].as_str().map(str::len), Some(32), "{failed}");
    // Also where nothing failed.
    let shown = device.command(["-vv", "keys", "list"]).run().expect_code(0);
    assert!(shown.stderr().contains("request="), "{}", shown.stderr());
}
