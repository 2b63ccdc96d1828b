//! The commands of the guide, run in order against a real gateway.

use super::{Given, SCRAPE_CONFIG, TOKEN};
use crate::contrib::{file, text};
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::tool;

const GUIDE: &str = "docs/guides/monitoring.md";

/// The blocks of the guide in a language.
fn blocks(language: &str) -> Vec<String> {
    let page = text(GUIDE);
    let begin = format!("```{language}\n");
    page.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn every_command_of_the_guide_works() {
    let open = Gateway::start_with("http://127.0.0.1:9", &["--set", "metrics-listen=127.0.0.1:0"]);
    let guarded = Given::start();
    let address = |url: &str| url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap().to_owned();
    let open = address(open.listening()["metrics_url"].as_str().unwrap());
    let sandbox = Sandbox::new();
    let repository = file("");
    let root = repository.to_str().unwrap().trim_end_matches('/');
    let path = std::env::var("PATH").unwrap();
    let mut ran = 0;
    for block in blocks("sh") {
        ran += 1;
        let script = block.replace("127.0.0.1:9464", &open).replace("10.0.0.5:9464", &address(guarded.metrics_url()));
        let script = script.replace(" contrib/", &format!(" {root}/contrib/"));
        let bash = ["-c".to_owned(), format!("set -euo pipefail\n{script}")];
        let output = sandbox.program(tool("bash"), bash).env("PATH", &path).run();
        let output = output.expect_code(0);
        if block.contains("curl") {
            assert!(output.stdout().contains("ollama_auth_build_info{version="), "{}", output.snapshot());
        }
        if block.contains(">metrics.token") {
            let made = std::fs::read_to_string(sandbox.path("home/metrics.token")).unwrap();
            assert!(made.trim().len() >= 32, "{made:?}");
            sandbox.write("home/metrics.token", TOKEN);
        }
    }
    assert_eq!(ran, 5, "blocks of commands");
}

#[test]
fn the_settings_of_the_guide_are_valid_and_its_job_is_that_of_the_example() {
    let sandbox = Sandbox::new();
    sandbox.write("metrics.token", TOKEN);
    for block in blocks("toml") {
        let config = sandbox.write("gateway.toml", format!("upstream = \"http://127.0.0.1:9\"\n{block}"));
        sandbox.command(["gateway", "policy", "check", config.to_str().unwrap()]).run().expect_code(0);
    }
    let example = text(SCRAPE_CONFIG);
    let without_comments: String =
        example.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")).collect();
    let [job] = blocks("yaml").try_into().unwrap();
    assert!(without_comments.ends_with(&job), "{without_comments}\n{job}");
}
