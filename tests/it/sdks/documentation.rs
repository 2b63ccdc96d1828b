//! Runs each example of docs/guides/sdks.md as its own program with the variables that the page sets, with a key that is allowed and
//! with one that is not.

use super::program::{Language, script};
use super::upstream::{Upstream, WHOLE};
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::ollama::recorded;

const PAGE: &str = include_str!("../../../docs/guides/sdks.md");
/// The gateway in the examples, and the key.
const URL: &str = "https://gpu.example.com";
const KEY: &str = "olauth_…";

/// The code blocks of one language in a section.
fn blocks<'a>(section: &'a str, kind: &str) -> Vec<&'a str> {
    let begin = format!("```{kind}\n");
    section.split(&*begin).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The variables that a section sets.
fn variables(section: &str, url: &str, key: &str) -> Vec<(String, String)> {
    let lines = blocks(section, "sh").into_iter().flat_map(str::lines);
    lines
        .map(|line| {
            let (name, value) = line.strip_prefix("export ").and_then(|line| line.split_once('=')).unwrap();
            (name.to_owned(), value.replace(URL, url).replace(KEY, key))
        })
        .collect()
}

fn run(language: Language, code: &str, variables: &[(String, String)]) -> Output {
    let mut sandbox = Sandbox::new();
    for (name, value) in variables {
        sandbox.set_env(name, value);
    }
    let name = if language == Language::Python { "example.py" } else { "example.mjs" };
    let path = sandbox.write(name, code);
    script(&sandbox, language, &path, &[]).run().expect_code(0)
}

/// Makes the key in the way that the page shows.
fn key_as_documented(device: &Sandbox, gateway: &Gateway) -> String {
    let line = PAGE.lines().find_map(|line| line.strip_prefix("ollama-auth keys create ")).unwrap();
    let args: Vec<String> = line.split(' ').map(|arg| arg.replace(URL, &gateway.url())).collect();
    device.command(["keys", "create"]).args(args).run().expect_code(0).stdout().trim().to_owned()
}

fn examples_work(language: Language, kind: &str) {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let good = key_as_documented(&device, &gateway);
    let bad = gateway.key(&device, &["reader", "--scope", "models:read"]);
    let mut ran = 0;
    for section in PAGE.split("\n## ") {
        let said = match section.lines().next().unwrap() {
            "Ollama" => recorded("chat").said(),
            "OpenAI" => said_to_openai(),
            _ => WHOLE.to_owned(),
        };
        for code in blocks(section, kind) {
            let output = run(language, code, &variables(section, &gateway.url(), &good));
            assert_eq!(output.stdout(), format!("{said}\n"), "{code}");
            let output = run(language, code, &variables(section, &gateway.url(), &bad));
            let refused = "403 this credential does not have the scope inference\n";
            assert_eq!(output.stdout(), refused, "{code}");
            ran += 1;
        }
    }
    assert_eq!(ran, 3);
}

fn said_to_openai() -> String {
    let chunks = recorded("openai").chunks.concat();
    let lines =
        chunks.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line.strip_prefix("data: ")?).ok());
    lines.map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_examples_in_python_work() {
    examples_work(Language::Python, "python");
}

#[test]
fn the_examples_in_javascript_work() {
    examples_work(Language::Node, "js");
}
