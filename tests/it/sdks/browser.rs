//! The libraries in a real browser, on a page of another origin, as docs/guides/web-pages.md shows them.

use std::fs;

use super::program::prepared;
use super::upstream::{Upstream, WHOLE};
use crate::harness::chromium::Chromium;
use crate::harness::gateway::Gateway;
use crate::harness::http::{Reply, Server};
use crate::harness::ollama::recorded;
use crate::harness::poll;

const PAGE: &str = include_str!("../../../docs/guides/web-pages.md");
const URL: &str = "https://gpu.example.com";

/// Where a page finds the modules, as a bundler would resolve them.
const IMPORTS: &str = r#"{ "imports": {
    "ollama/browser": "/node_modules/ollama/dist/browser.mjs",
    "whatwg-fetch": "/node_modules/whatwg-fetch/fetch.js",
    "openai": "/node_modules/openai/index.mjs",
    "@anthropic-ai/sdk": "/node_modules/@anthropic-ai/sdk/index.mjs",
    "@opentelemetry/api": "/node_modules/@opentelemetry/api/dist/index.mjs",
    "standardwebhooks": "data:text/javascript,export class Webhook {}"
} }"#;

/// A server with a page that runs `code`, and with the modules.
fn application(code: String) -> Server {
    prepared("node/stamp");
    Server::start(move |request| {
        let path = request.path();
        if path == "/" {
            let html = format!(
                "<!doctype html><title>running</title><script type=importmap>{IMPORTS}</script><body>
                 <script>addEventListener('error', event => {{ document.body.append(event.message); document.title = 'failed' }})</script>
                 <script type=module>{code}\ndocument.title = 'done'</script>"
            );
            return Reply::new(200, html).header("Content-Type", "text/html");
        }
        let module = path.strip_prefix("/node_modules/").filter(|name| !name.contains(".."));
        match module.and_then(|name| fs::read(prepared("node/node_modules").join(name)).ok()) {
            Some(text) => Reply::new(200, text).header("Content-Type", "text/javascript"),
            None => Reply::new(404, ""),
        }
    })
}

/// Opens the page and gives what it shows in the end, and its title.
fn run(page: &Chromium, code: &str, url: &str, key: &str) -> (String, String) {
    let application = application(format!("const key = '{key}'\n{}", code.replace(URL, url)));
    page.open(&application.url());
    let title = poll("the example to end", || Some(page.title()).filter(|title| title != "running"));
    (title, page.text("body"))
}

fn said_to_openai() -> String {
    let chunks = recorded("openai").chunks.concat();
    let lines =
        chunks.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line.strip_prefix("data: ")?).ok());
    lines.map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_examples_for_web_pages_work() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let line = PAGE.lines().find_map(|line| line.strip_prefix("ollama-auth keys create ")).unwrap();
    let args: Vec<String> = line.split(' ').map(|arg| arg.replace(URL, &gateway.url())).collect();
    let good = device.command(["keys", "create"]).args(args).run().expect_code(0).stdout().trim().to_owned();
    let reader = gateway.key(&device, &["reader", "--scope", "models:read"]);
    let page = Chromium::start();
    let blocks: Vec<&str> = PAGE.split("```js\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let said = [recorded("chat").said(), said_to_openai(), WHOLE.to_owned()];
    assert_eq!(blocks.len(), said.len());
    for (code, said) in blocks.into_iter().zip(said) {
        // A base URL may end in a slash: the browser asks before the redirect and after it.
        for url in [gateway.url(), format!("{}/", gateway.url())] {
            let (title, text) = run(&page, code, &url, &good);
            assert_eq!((&*title, text.trim()), ("done", said.trim()), "{code}");
        }
        for (key, reason) in [(&*reader, "does not have the scope inference"), ("olauth_wrong", "API key")] {
            let (title, text) = run(&page, code, &gateway.url(), key);
            assert!(title == "failed" && text.contains(reason), "{title} {text}\n{code}");
        }
    }
}
