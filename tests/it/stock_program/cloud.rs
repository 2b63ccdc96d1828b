//! The stock server with the gateway as its cloud (`OLLAMA_CLOUD_BASE_URL`): its own key is the device, whoever asks it.

use serde_json::{Value, json};

use super::program::{Client, Server, said};
use crate::given::says;
use crate::harness::gateway::Gateway;
use crate::harness::http::{Gate, Reply, Step};
use crate::harness::ollama::{Ollama, recorded};

/// The recorded server, the gateway in front of it, and a stock server whose cloud that is.
fn given() -> (Ollama, Gateway, Server) {
    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let server = Server::start_with(&[("OLLAMA_CLOUD_BASE_URL", &gateway.url())]);
    (upstream, gateway, server)
}

const GENERATE: &str = r#"{"model":"tiny:cloud","prompt":"Why is the sky blue?","options":{"num_predict":16}}"#;

/// A person approves the server's key by the link in its answer.
fn approve(gateway: &Gateway, server: &Server) {
    let (status, body) = server.ask("POST", "/api/generate", GENERATE);
    assert_eq!(status, 401, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    let link = body["signin_url"].as_str().unwrap();
    assert!(link.starts_with(&format!("{}/connect?name=", gateway.url())), "{link}");
    assert!(link.ends_with(&format!("key={}", server.encoded_key())), "{link}");
    gateway.approve(link, "ada");
}

#[test]
fn its_key_is_approved_and_all_its_apis_work() {
    let (upstream, gateway, server) = given();
    let openai = r#"{"model":"tiny:cloud","stream":true,"max_tokens":4,"messages":[{"role":"user","content":"hi"}]}"#;
    let anthropic = r#"{"model":"tiny:cloud","max_tokens":4,"messages":[{"role":"user","content":"hi"}]}"#;
    for (path, body, error) in [
        ("/v1/chat/completions", openai, "/error/message"),
        ("/v1/messages", anthropic, "/error/message"),
        ("/api/chat", anthropic, "/error"),
    ] {
        let (status, body) = server.ask("POST", path, body);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, body.pointer(error)), (401, Some(&json!("unauthorized"))), "{path}: {body}");
    }
    approve(&gateway, &server);

    let chat = r#"{"model":"tiny:cloud","messages":[{"role":"user","content":"hi"}],"options":{"num_predict":8}}"#;
    for (target, body, name) in [
        ("/api/generate", GENERATE, "generate"),
        ("/api/chat", chat, "chat"),
        ("/v1/chat/completions", openai, "openai"),
        ("/v1/chat/completions?b=2&a=1&c=x%20y%2Fz", openai, "openai"),
        ("/v1/messages", anthropic, "anthropic"),
    ] {
        let (status, said) = server.ask("POST", target, body);
        assert_eq!((status, said), (200, recorded(name).chunks.concat()), "{target}");
        let asked = upstream.server().requests().pop().unwrap();
        assert!(asked.authorization().is_none(), "{target}");
        assert_eq!(asked.header("x-ollama-auth-user"), Some("ada"), "{target}");
        // The marker of a cloud model is not for the cloud.
        assert_eq!(asked.json()["model"], "tiny", "{target}");
    }
}

#[test]
fn a_proxy_leads_both_to_a_gateway_on_another_machine() {
    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let proxy = device.command(["proxy", "--json", "--listen", "127.0.0.1:0"]).spawn();
    let listening = |text: &str| text.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
    let text = proxy.wait_stderr(|text| listening(text).is_some());
    let url = listening(&text).unwrap()["url"].as_str().unwrap().to_owned();

    let server = Server::start_with(&[("OLLAMA_CLOUD_BASE_URL", &url)]);
    let (status, said) = server.ask("POST", "/api/generate", GENERATE);
    assert_eq!((status, said), (200, recorded("generate").chunks.concat()));
    let asked = upstream.server().requests().pop().unwrap();
    assert_eq!(asked.header("x-ollama-auth-user"), Some("ada"));
    // The proxy's own credential is used, also for a client that signs with its key.
    for client in [Client::without_key(&url), Client::new(&url)] {
        let output = client.stock(&["run", "tiny", "Why is the sky blue?"]).expect_code(0);
        assert_eq!(output.stdout().trim_end(), recorded("generate").said().trim_end());
        assert!(client.stock(&["list"]).expect_code(0).stdout().contains("tiny:latest"));
    }
    let devices = gateway.admin(&["device", "list", "--json"]).expect_code(0).json();
    assert_eq!(devices["devices"].as_array().unwrap().len(), 1);
}

#[test]
fn credentials_of_its_callers_do_not_disturb_its_own() {
    let (_upstream, gateway, server) = given();
    approve(&gateway, &server);
    let body = r#"{"model":"tiny:cloud","max_tokens":4,"messages":[{"role":"user","content":"hi"}]}"#;
    // The server replaces `Authorization` and passes other headers on.
    for header in ["X-API-Key: ollama", "X-API-Key: sk-ant-0123456789", "Authorization: Bearer sk-0123456789"] {
        let output = server.curl("POST", "/v1/messages", &[header], body).run().expect_code(0);
        assert!(output.stdout().ends_with("\n200"), "{header}: {}", output.stdout());
    }
}

#[test]
fn stock_and_our_client_run_its_cloud_models() {
    let (_upstream, gateway, server) = given();
    let client = Client::without_key(&server.url());
    let run = ["run", "tiny:cloud", "Why is the sky blue?"];
    let output = client.stock(&run).expect_code(0);
    assert!(said(&output).contains(&format!("navigate to:\n    {}/connect?", gateway.url())), "{}", said(&output));
    // Stock's exit code does not tell that nothing ran; ours does.
    let output = client.ours(&run).expect_code(4);
    says(&output, &["is not signed in, and tiny:cloud runs at", &format!("{}/connect?name=", gateway.url())]);
    says(&output, &[&crate::given::grouped(&server.fingerprint())]);
    approve(&gateway, &server);
    let wanted = recorded("generate").said();
    assert_eq!(client.stock(&run).expect_code(0).stdout().trim_end(), wanted.trim_end());
    assert_eq!(client.ours(&run).expect_code(0).stdout().trim_end(), wanted.trim_end());
}

#[test]
fn a_key_that_is_disconnected_during_an_answer_ends_it() {
    let (upstream, gateway, server) = given();
    approve(&gateway, &server);
    let gate = Gate::new();
    let line = |text: &str| Step::send(format!("{}\n", json!({ "model": "tiny", "response": text, "done": false })));
    let steps = [line("first"), Step::WaitFor(gate.clone()), line("second")];
    upstream.route("POST", "/api/generate", move |_| Reply::ndjson(steps.clone()));
    let raw = server.curl("POST", "/api/generate", &[], GENERATE).spawn();
    let client = Client::without_key(&server.url());
    let ours = client.0.command(["run", "tiny:cloud", "Why is the sky blue?"]).spawn();
    raw.wait_stdout(|text| text.contains("first"));
    ours.wait_stdout(|text| text.contains("first"));
    let list = gateway.admin(&["device", "list", "--json"]).expect_code(0).json();
    let fingerprint = list["devices"][0]["fingerprint"].as_str().unwrap().to_owned();
    gateway.admin(&["device", "disconnect", &fingerprint, "--yes"]).expect_code(0);
    // The stock server ends its own answer as if it were complete; only what is missing in it tells.
    let raw = raw.finish();
    assert!(!raw.stdout().contains("second") && !raw.stdout().contains("\"done\":true"), "{}", raw.stdout());
    let ours = ours.finish();
    assert!(!ours.stdout().contains("second"));
    says(&ours.expect_code(1), &["the output above is incomplete"]);
    gate.open();
    let (status, body) = server.ask("POST", "/api/generate", GENERATE);
    assert!(status == 401 && body.contains("/connect?"), "{status} {body}");
}
