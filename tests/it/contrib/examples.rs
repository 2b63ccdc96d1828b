//! The CI workflows: parsed as YAML, and checked for steps that could leak a secret.

use serde_json::Value;

use super::{assert_shell, text, yaml};
use crate::harness::cmd::Sandbox;

const GITHUB: [&str; 2] = ["contrib/github/ask.yml", "contrib/github/rotate.yml"];
const GITLAB: &str = "contrib/gitlab/ollama.gitlab-ci.yml";

#[track_caller]
fn only(value: &Value, known: &[&str], what: &str) {
    for name in value.as_object().unwrap_or_else(|| panic!("{what} is no mapping")).keys() {
        assert!(known.contains(&name.as_str()), "{what} knows no {name:?}");
    }
}

/// What no script may do with a key.
#[track_caller]
fn assert_leaks_no_key(script: &str) {
    assert!(!script.contains("${{"), "an expression would be pasted into the script: {script}");
    for word in ["set -x", "xtrace", "printenv", "$OLLAMA_API_KEY", "${OLLAMA_API_KEY", "--verbose", "|| true"] {
        assert!(!script.contains(word), "{word}: {script}");
    }
}

#[test]
fn the_github_workflows_are_valid_and_leak_no_key() {
    let sandbox = Sandbox::new();
    for name in GITHUB {
        let flow = yaml(&sandbox, name);
        only(&flow, &["name", "true", "permissions", "concurrency", "jobs"], name);
        only(&flow["true"], &["push", "schedule", "workflow_dispatch"], "on");
        assert_eq!(flow["permissions"], serde_json::json!({ "contents": "read" }), "{name}: the least");
        only(&flow["concurrency"], &["group", "cancel-in-progress"], "concurrency");
        for (job, what) in flow["jobs"].as_object().unwrap() {
            only(what, &["runs-on", "environment", "timeout-minutes", "env", "steps"], job);
            assert!(what["timeout-minutes"].is_u64() && what["runs-on"] != Value::Null, "{job}");
            assert!(!what["env"].to_string().contains("secrets."), "{job}: a secret is for one step");
            let steps = what["steps"].as_array().unwrap();
            let with_secrets = steps.iter().filter(|step| step["env"].to_string().contains("secrets.")).count();
            assert_eq!(with_secrets, 1, "{job}");
            steps.iter().for_each(|step| check_step(&sandbox, step));
        }
    }
    let rotation = yaml(&sandbox, GITHUB[1]);
    assert_eq!(rotation["concurrency"]["cancel-in-progress"], false, "a rotation is not cut short");
    assert!(rotation["jobs"]["rotate"]["runs-on"].to_string().contains("self-hosted"), "the journal stays");
}

fn check_step(sandbox: &Sandbox, step: &Value) {
    only(step, &["name", "uses", "with", "run", "env"], "a step");
    match (step["uses"].as_str(), step["run"].as_str()) {
        (Some(uses), None) => {
            let (action, version) = uses.split_once('@').expect("an action has a version");
            assert!(action.contains('/') && version != "main" && version != "master", "{uses}");
            if action == "actions/checkout" {
                assert_eq!(step["with"]["persist-credentials"], false, "{uses}");
            }
        }
        (None, Some(script)) => {
            assert_leaks_no_key(script);
            assert_shell(sandbox, "bash", script);
        }
        both => panic!("a step uses or runs: {both:?}"),
    }
}

#[test]
fn the_gitlab_example_is_valid_and_leaks_no_key() {
    let sandbox = Sandbox::new();
    let pipeline = yaml(&sandbox, GITLAB);
    only(&pipeline, &["ask", "rotate"], GITLAB);
    let keys = [
        "image",
        "tags",
        "environment",
        "rules",
        "timeout",
        "retry",
        "resource_group",
        "interruptible",
        "variables",
        "script",
        "artifacts",
    ];
    for (name, job) in pipeline.as_object().unwrap() {
        only(job, &keys, name);
        only(&job["environment"], &["name", "action"], name);
        assert!(job["timeout"].is_string(), "{name}");
        for rule in job["rules"].as_array().unwrap() {
            only(rule, &["if"], "a rule");
            assert!(rule["if"].as_str().unwrap().contains("$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"), "{name}");
        }
        for line in job["script"].as_array().unwrap() {
            assert_leaks_no_key(line.as_str().unwrap());
            assert_shell(&sandbox, "bash", line.as_str().unwrap());
        }
    }
    assert_eq!(pipeline["ask"]["retry"]["exit_codes"], serde_json::json!([6, 7]), "what may pass");
    assert!(pipeline["rotate"]["resource_group"].is_string() && pipeline["rotate"]["interruptible"] == false);
}

/// The step tries again after exit codes that may pass, and ends with every other.
#[test]
fn the_github_job_retries_by_exit_code() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    let flow = yaml(&sandbox, GITHUB[0]);
    let steps = flow["jobs"]["ask"]["steps"].as_array().unwrap();
    let script = steps.iter().find(|step| step["name"] == "Ask").unwrap()["run"].as_str().unwrap();
    sandbox.write("home/README.md", "It says hello.");
    let path = format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").unwrap());
    let ask = |codes: &str| {
        // Gives these codes, one a call, and never waits.
        let stub = "#!/bin/sh\nread -r code <\"$HOME/codes\"\nsed -i 1d \"$HOME/codes\"\necho answer\nexit \"$code\"\n";
        for (name, stub) in [("ollama-auth", stub), ("sleep", "#!/bin/sh\n")] {
            let stub = sandbox.write(format!("bin/{name}"), stub);
            std::fs::set_permissions(stub, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        sandbox.write("home/codes", codes);
        let bash = sandbox.program(crate::harness::tool("bash"), ["-eo", "pipefail", "-c", script]);
        let summary = sandbox.path("home/summary");
        bash.env("PATH", &path).env("MODEL", "tiny").env("GITHUB_STEP_SUMMARY", summary).run()
    };
    ask("6\n7\n0\n").expect_code(0);
    assert_eq!(std::fs::read_to_string(sandbox.path("home/summary")).unwrap(), "answer\n");
    assert!(ask("4\n0\n").expect_code(4).stdout().contains("::error::The key was refused"));
    ask("5\n0\n").expect_code(5);
    ask("1\n0\n").expect_code(1);
    ask("7\n7\n7\n7\n0\n").expect_code(7);
}

#[test]
fn every_example_explains_why_it_uses_the_encrypted_file() {
    for name in [GITHUB[1], GITLAB, "contrib/cron/crontab", "contrib/systemd/ollama-auth-rotate.service"] {
        let text = text(name).replace("\n#", "").to_lowercase();
        assert!(text.contains("session bus") && text.contains("encrypted file"), "{name}");
    }
}
