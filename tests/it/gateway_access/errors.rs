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
