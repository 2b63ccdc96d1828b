//! Which variables a program gets, and the same printed for a shell.

use serde_json::Value;

use super::{KEY, with_key};
use crate::given::{says, sign_in, with_store};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::Output;
use crate::harness::tool;

const HOST: &str = "http://127.0.0.1:9";

/// The variables of the APIs in an output of `env`.
fn of_apis(output: &Output) -> Vec<&str> {
    let is_ours = |line: &&str| ["OLLAMA_", "OPENAI_", "ANTHROPIC_", "CODEX_"].iter().any(|api| line.starts_with(api));
    let mut lines: Vec<&str> =
        output.stdout().lines().filter(is_ours).filter(|line| !line.contains("_STORE=")).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn programs_for_every_api_find_host_and_key() {
    let sandbox = with_key();
    let output = sandbox.command(["exec", "--"]).args([tool("env")]).run().expect_code(0);
    let expected = [
        format!("ANTHROPIC_AUTH_TOKEN={KEY}"),
        format!("ANTHROPIC_BASE_URL={HOST}"),
        format!("CODEX_OSS_BASE_URL={HOST}/v1"),
        format!("OLLAMA_API_BASE={HOST}"),
        format!("OLLAMA_API_KEY={KEY}"),
        format!("OLLAMA_HOST={HOST}"),
        format!("OPENAI_API_KEY={KEY}"),
        format!("OPENAI_BASE_URL={HOST}/v1"),
    ];
    assert_eq!(of_apis(&output), expected);
    assert_eq!(output.stderr(), "");
    let command = sandbox.command(["exec", "--host", "https://h.example/ollama/", "--"]).args([tool("env")]);
    let output = command.run().expect_code(0);
    assert!(output.stdout().contains("OPENAI_BASE_URL=https://h.example/ollama/v1\n"), "{}", output.stdout());
}

#[test]
fn a_key_for_another_host_is_not_sent_here_nor_ours_there() {
    let mut sandbox = with_key();
    sandbox.set_env("OPENAI_API_KEY", "theirs").set_env("ANTHROPIC_API_KEY", "theirs too");
    let output = sandbox.command(["exec", "--"]).args([tool("env")]).run().expect_code(0);
    let is_ollamas = |line: &&str| line.starts_with("OLLAMA_") || line.starts_with("CODEX_");
    let others: Vec<&str> = of_apis(&output).into_iter().filter(|line| !is_ollamas(line)).collect();
    assert_eq!(others, ["ANTHROPIC_API_KEY=theirs too", "OPENAI_API_KEY=theirs"]);
    says(&output, &["OPENAI_API_KEY is set", "--for openai", "ANTHROPIC_API_KEY is set", "--for anthropic"]);
    // An empty variable is none.
    let command = sandbox.command(["exec", "--"]).args([tool("env")]).env("OPENAI_API_KEY", "");
    let output = command.run().expect_code(0);
    assert!(output.stdout().contains(&format!("OPENAI_API_KEY={KEY}\n")), "{}", output.stdout());
}

#[test]
fn named_apis_replace_what_is_set_and_others_stay_as_they_are() {
    let mut sandbox = with_key();
    sandbox.set_env("OPENAI_API_KEY", "theirs").set_env("ANTHROPIC_API_KEY", "theirs too");
    let output = sandbox.command(["exec", "--for", "anthropic", "--"]).args([tool("env")]).run().expect_code(0);
    // The key in OLLAMA_API_KEY is ours, and was not asked for.
    let expected = [
        format!("ANTHROPIC_AUTH_TOKEN={KEY}"),
        format!("ANTHROPIC_BASE_URL={HOST}"),
        format!("OLLAMA_HOST={HOST}"),
        "OPENAI_API_KEY=theirs".to_owned(),
    ];
    assert_eq!(of_apis(&output), expected, "Claude Code sends both keys where both are set");
    assert_eq!(output.stderr(), "");
    let output = sandbox.command(["exec", "--for", "openai,ollama", "--"]).args([tool("env")]).run().expect_code(0);
    assert!(output.stdout().contains(&format!("OPENAI_API_KEY={KEY}\n")));
    assert!(output.stdout().contains(&format!("OLLAMA_API_KEY={KEY}\n")));
    assert!(output.stdout().contains("ANTHROPIC_API_KEY=theirs too\n"));
    says(&sandbox.command(["exec", "--for", "gemini", "true"]).run().expect_code(2), &["ollama, openai, anthropic"]);
}

#[test]
fn printed_variables_are_those_that_a_program_gets() {
    let mut sandbox = with_key();
    sandbox.set_env("PATH", "/usr/bin:/bin").set_env("ANTHROPIC_API_KEY", "theirs");
    for apis in [&[][..], &["--for", "openai,anthropic,ollama"]] {
        let given = sandbox.command(["exec"]).args(apis).args(["--", "env"]).run().expect_code(0);
        let printed = sandbox.command(["exec", "--print"]).args(apis).run().expect_code(0);
        says(&printed, &["Keep this secret"]);
        let evaluated = format!("{}env\n", printed.stdout());
        let evaluated = sandbox.program(tool("sh"), ["-c", &evaluated]).run().expect_code(0);
        assert_eq!(of_apis(&evaluated), of_apis(&given));

        for format in [&["--print", "json"][..], &["--print", "--json"]] {
            let lines = sandbox.command(["exec"]).args(format).args(apis).run().expect_code(0);
            let lines: Vec<Value> = lines.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let value = |name: &str| lines.iter().find(|line| line["name"] == name).map(|line| line["value"].clone());
            assert_eq!(value("OPENAI_BASE_URL"), Some(format!("{HOST}/v1").into()));
            assert_eq!(value("OLLAMA_API_KEY"), Some(KEY.into()));
            assert_eq!(value("ANTHROPIC_API_KEY"), (!apis.is_empty()).then_some(Value::Null));
        }
    }
    let output = sandbox.command(["exec", "--print", "powershell", "--for", "anthropic"]).run().expect_code(0);
    let expected = format!(
        "$env:ANTHROPIC_BASE_URL = '{HOST}'\n$env:ANTHROPIC_AUTH_TOKEN = '{KEY}'\nRemove-Item -ErrorAction SilentlyContinue Env:ANTHROPIC_API_KEY\n"
    );
    assert_eq!(output.stdout(), expected);
    sandbox.command(["exec", "--print", "--", "true"]).run().expect_code(2);
    sandbox.command(["exec", "--print", "fish"]).run().expect_code(2);
}

#[test]
fn a_device_key_is_not_printed_and_the_proxy_is_named() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    says(&sandbox.command(["exec", "--print", "--host", &cloud.url()]).run().expect_code(4), &["not signed in"]);
    sign_in(&sandbox, &cloud, &[]);
    let output = sandbox.command(["exec", "--print"]).run().expect_code(2);
    says(&output, &["is a device key", "ollama-auth keys create NAME --save"]);
    if cfg!(feature = "gateway") {
        says(&output, &["ollama-auth proxy --host http", "ollama-auth exec -- PROGRAM"]);
    }
    assert_eq!(output.stdout(), "");
}
