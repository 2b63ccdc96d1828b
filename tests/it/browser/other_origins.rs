//! A page of another origin that uses the API with a key of its own: a web application beside the gateway.

use serde_json::{Value, json};

use crate::harness::chromium::Chromium;
use crate::harness::gateway::Gateway;
use crate::harness::http::{Gate, Reply, Server, Step};
use crate::harness::ollama::{Ollama, recorded};

/// Makes a request as the libraries do in a browser, and gives what the page could read of the response.
const ASK: &str = "
    const headers = { 'Content-Type': 'application/json', ...given[2] };
    const answer = await fetch(given[0], { method: given[1], headers, body: given[3] });
    return { status: answer.status, retry: answer.headers.get('retry-after'), text: await answer.text() };";

/// Begins a request and keeps the reader of its response.
const BEGIN: &str = "
    const answer = await fetch(given[0], { method: 'POST', headers: given[1], body: given[2] });
    window.reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    return answer.status;";

const READ: &str = "const { done, value } = await window.reader.read(); return done ? 'end' : value;";

/// A server with a page of its own.
fn application() -> Server {
    Server::start(|_| Reply::new(200, "<!doctype html><title>application</title>").header("Content-Type", "text/html"))
}

struct Setup {
    upstream: Ollama,
    gateway: Gateway,
    application: Server,
    key: String,
}

fn set_up(more: &[&str]) -> Setup {
    let (upstream, application) = (Ollama::start(), application());
    let gateway = Gateway::start_with(&upstream.url(), more);
    gateway.add_user("ada", "member");
    let key = gateway.key(&gateway.device_of("ada"), &["app", "--scope", "inference,models:read"]);
    Setup { upstream, gateway, application, key }
}

fn bearer(key: &str) -> Value {
    json!({ "Authorization": format!("Bearer {key}"), "X-Stainless-Lang": "js", "OpenAI-Beta": "x" })
}

#[test]
fn a_page_of_another_origin_lists_models_and_streams_a_chat_with_its_key() {
    let Setup { upstream, gateway, application, key } = set_up(&[]);
    let page = Chromium::start();
    let chat = recorded("chat");
    for base in [application.url(), application.url().replace("127.0.0.1", "localhost")] {
        page.open(&base);
        let url = |path: &str| format!("{}{path}", gateway.url());
        let listed = page.run_async(ASK, &json!([url("/api/tags"), "GET", bearer(&key)]));
        assert_eq!(listed["status"], 200, "{base}: {listed}");
        assert!(listed["text"].as_str().unwrap().contains("tiny"), "{listed}");
        let anthropic = json!({ "x-api-key": key, "anthropic-version": "2023-06-01" });
        let listed = page.run_async(ASK, &json!([url("/v1/models"), "GET", anthropic]));
        assert_eq!(listed["status"], 200, "{base}: {listed}");

        // Each part arrives before the next is sent.
        let gates: Vec<Gate> = chat.chunks.iter().map(|_| Gate::new()).collect();
        let steps: Vec<Step> = chat
            .chunks
            .iter()
            .zip(&gates)
            .flat_map(|(chunk, gate)| [Step::send(chunk.as_str()), Step::WaitFor(gate.clone())])
            .collect();
        upstream.route("POST", "/api/chat", move |_| Reply::ndjson(steps.clone()));
        let begun = page.run_async(BEGIN, &json!([url("/api/chat"), bearer(&key), chat.body]));
        assert_eq!(begun, 200, "{base}");
        for (chunk, gate) in chat.chunks.iter().zip(&gates) {
            assert_eq!(page.run_async(READ, &json!([])), chunk.as_str(), "{base}");
            gate.open();
        }
        assert_eq!(page.run_async(READ, &json!([])), "end", "{base}");
    }
}

#[test]
fn a_page_of_another_origin_reads_why_it_is_refused() {
    let Setup { upstream, gateway, application, key } = set_up(&[]);
    upstream.route("POST", "/api/generate", |_| Reply::retry_after(429, "7"));
    let page = Chromium::start();
    page.open(&application.url());
    let url = |path: &str| format!("{}{path}", gateway.url());
    let ask = |path: &str, method: &str, headers: Value| {
        let answer = page.run_async(ASK, &json!([url(path), method, headers, (method == "POST").then_some("{}")]));
        (answer["status"].as_u64().unwrap_or_default(), answer)
    };
    for (path, method, headers, status, said) in [
        ("/api/tags", "GET", bearer("olauth_wrong"), 401, "key"),
        ("/v1/chat/completions", "POST", bearer("olauth_wrong"), 401, "authentication_error"),
        ("/api/chat", "POST", json!({}), 401, "error"),
        ("/api/delete", "DELETE", bearer(&key), 403, "models:write"),
        ("/api/chat", "GET", bearer(&key), 405, "POST"),
    ] {
        let (seen, answer) = ask(path, method, headers);
        assert_eq!(seen, status, "{path}: {answer}");
        assert!(answer["text"].as_str().unwrap().contains(said), "{path}: {answer}");
    }
    let (seen, answer) = ask("/api/generate", "POST", bearer(&key));
    assert_eq!((seen, &answer["retry"]), (429, &json!("7")), "{answer}");
}

#[test]
fn a_page_of_a_foreign_origin_uses_nothing_with_a_key_either() {
    // The same page by two names, of which one is allowed.
    let application_of = |setup: &Setup| setup.application.url().replace("127.0.0.1", "localhost");
    let setup = set_up(&["--set", "allowed-origins=http://127.0.0.1:*"]);
    let Setup { upstream, gateway, application, key } = &setup;
    let page = Chromium::start();
    let url = |path: &str| format!("{}{path}", gateway.url());
    page.open(&application.url());
    assert_eq!(page.run_async(ASK, &json!([url("/api/tags"), "GET", bearer(key)]))["status"], 200);

    page.open(&application_of(&setup));
    let before = upstream.server().requests().len();
    for (path, method, headers) in [
        ("/api/tags", "GET", bearer(key)),
        ("/v1/models", "GET", json!({ "x-api-key": key })),
        ("/api/chat", "POST", bearer(key)),
        ("/api/chat", "POST", json!({})),
        ("/api/version", "GET", json!({})),
        ("/api/me", "POST", bearer(key)),
    ] {
        let body = (method == "POST").then_some("{\"model\":\"tiny\"}");
        let said = page.run_async(ASK, &json!([url(path), method, headers, body]));
        assert!(said.as_str().is_some_and(|said| said.starts_with("failed: TypeError")), "{path}: {said}");
    }
    // As the guide says.
    let console = page.console().join("\n");
    assert!(console.contains("No 'Access-Control-Allow-Origin' header"), "{console}");
    // Without a preflight request: sent, but refused for want of a key, and not shown.
    let blind =
        "const answer = await fetch(given[0], { method: 'POST', mode: given[1], credentials: 'include', body: '{}' });
                 return `${answer.type} ${answer.status} ${await answer.text()}`";
    let said = page.run_async(blind, &json!([url("/api/chat"), "no-cors"]));
    assert_eq!(said, "opaque 0 ");
    let said = page.run_async(blind, &json!([url("/api/chat"), "cors"]));
    assert!(said.as_str().unwrap().starts_with("failed: TypeError"), "{said}");
    assert_eq!(upstream.server().requests().len(), before, "{:?}", upstream.server().seen());
}

#[test]
fn a_sandboxed_page_and_the_browser_s_cookies_are_never_allowed() {
    let Setup { upstream: _upstream, gateway, application, key } = set_up(&[]);
    let page = Chromium::start();
    super::sign_in_as_ada(&page, &gateway);
    page.open(&application.url());
    let url = |path: &str| format!("{}{path}", gateway.url());
    // An allowed page that wants the browser's cookies sent along cannot read the response; without them it can.
    let with =
        "const answer = await fetch(given[0], { credentials: given[1], headers: given[2] }); return answer.status";
    assert_eq!(page.run_async(with, &json!([url("/api/tags"), "omit", bearer(&key)])), 200);
    for path in ["/api/tags", "/account", "/settings/keys", "/api/user/keys"] {
        let said = page.run_async(with, &json!([url(path), "include", {}]));
        assert!(said.as_str().is_some_and(|said| said.starts_with("failed: TypeError")), "{path}: {said}");
    }
    assert!(page.console().join("\n").contains("'Access-Control-Allow-Credentials' header"));
    let odd = json!({ "X-Other": "1" });
    let said = page.run_async(with, &json!([url("/api/tags"), "omit", odd]));
    assert!(said.as_str().is_some_and(|said| said.starts_with("failed: TypeError")), "{said}");
    assert!(page.console().join("\n").contains("Request header field x-other is not allowed"));
    // In a sandbox every page has the origin null.
    let framed = "
        const frame = document.createElement('iframe');
        frame.sandbox = 'allow-scripts';
        frame.srcdoc = `<script>
            fetch(${JSON.stringify(given[0])}, { headers: ${JSON.stringify(given[1])} })
                .then(answer => answer.status, error => String(error))
                .then(said => parent.postMessage({ said, origin: self.origin }, '*'))</` + `script>`;
        const said = new Promise(go => addEventListener('message', event => go(event.data), { once: true }));
        document.body.append(frame);
        return said;";
    let said = page.run_async(framed, &json!([url("/api/tags"), bearer(&key)]));
    assert_eq!(said["origin"], "null");
    assert!(said["said"].as_str().is_some_and(|said| said.starts_with("TypeError")), "{said}");
}
