//! The CI workflows: parsed as YAML, and checked for steps that could leak a secret.

use serde_json::Value;

use super::{assert_shell, text, yaml};
use crate::harness::actions::{Actions, token_with};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::Sandbox;

const GITHUB: &str = "contrib/github/ask.yml";
const GITLAB: &str = "contrib/gitlab/ollama.gitlab-ci.yml";

#[track_caller]
fn only(value: &Value, known: &[&str], what: &str) {
    for name in value.as_object().unwrap_or_else(|| panic!("{what} is no mapping")).keys() {
        assert!(known.contains(&name.as_str()), "{what} knows no {name:?}");
    }
}

/// What no script may do with a key, or with what a job gets tokens by.
#[track_caller]
fn assert_leaks_no_key(script: &str) {
    assert!(!script.contains("${{"), "an expression would be pasted into the script: {script}");
    for word in ["set -x", "xtrace", "printenv", "$OLLAMA_API_KEY", "ID_TOKEN", "--verbose", "|| true"] {
        assert!(!script.contains(word), "{word}: {script}");
    }
}

/// Nothing that would have to be stored there.
#[track_caller]
fn assert_no_secret_is_stored(name: &str) {
    for word in ["secrets.", "OLLAMA_API_KEY", "PASSPHRASE", "PRIVATE-TOKEN", "GH_TOKEN"] {
        assert!(!text(name).contains(word), "{name}: {word}");
    }
}

#[test]
fn the_github_workflow_is_valid_and_needs_no_secret() {
    let sandbox = Sandbox::new();
    let flow = yaml(&sandbox, GITHUB);
    only(&flow, &["name", "true", "permissions", "concurrency", "jobs"], GITHUB);
    only(&flow["true"], &["push", "workflow_dispatch"], "on");
    assert_eq!(flow["permissions"], serde_json::json!({ "contents": "read", "id-token": "write" }), "the least");
    only(&flow["concurrency"], &["group", "cancel-in-progress"], "concurrency");
    for (job, what) in flow["jobs"].as_object().unwrap() {
        only(what, &["runs-on", "environment", "timeout-minutes", "env", "steps"], job);
        assert!(what["timeout-minutes"].is_u64() && what["runs-on"] != Value::Null, "{job}");
        what["steps"].as_array().unwrap().iter().for_each(|step| check_step(&sandbox, step));
    }
    assert_no_secret_is_stored(GITHUB);
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
fn the_gitlab_example_is_valid_and_needs_no_secret() {
    let sandbox = Sandbox::new();
    let pipeline = yaml(&sandbox, GITLAB);
    only(&pipeline, &["ask"], GITLAB);
    let keys = ["image", "environment", "id_tokens", "rules", "timeout", "retry", "script", "artifacts"];
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
    let token = serde_json::json!({ "OLLAMA_AUTH_ID_TOKEN": { "aud": "$OLLAMA_HOST" } });
    assert_eq!(pipeline["ask"]["id_tokens"], token, "the token is for the host that gets it");
    assert_no_secret_is_stored(GITLAB);
}

/// The step tries again after exit codes that may pass, and ends with every other.
#[test]
fn the_github_job_retries_by_exit_code() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    let flow = yaml(&sandbox, GITHUB);
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
    assert!(ask("4\n0\n").expect_code(4).stdout().contains("::error::The gateway does not accept this job"));
    ask("5\n0\n").expect_code(5);
    ask("1\n0\n").expect_code(1);
    ask("7\n7\n7\n7\n0\n").expect_code(7);
}

#[test]
fn every_example_explains_why_it_uses_the_encrypted_file() {
    for name in ["contrib/cron/crontab", "contrib/systemd/ollama-auth-rotate.service"] {
        let text = text(name).replace("\n#", "").to_lowercase();
        assert!(text.contains("session bus") && text.contains("encrypted file"), "{name}");
    }
}

/// The script of a job, with the program on its PATH.
fn run_job(sandbox: &Sandbox, script: &str) -> crate::harness::cmd::Cmd {
    std::os::unix::fs::symlink(crate::harness::cmd::PROGRAM, sandbox.path("bin/ollama-auth")).unwrap();
    let path = format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").unwrap());
    let bash = sandbox.program(crate::harness::tool("bash"), ["-eo", "pipefail", "-c", script]);
    bash.env("PATH", path).env("MODEL", "tiny")
}

/// The jobs as their systems run them: with a token and no secret.
#[test]
fn the_jobs_work_with_the_token_of_their_system() {
    let cloud = Cloud::start();
    let mut job = Sandbox::new();
    let actions = Actions::start(&cloud.url(), 300);
    actions.give_to(&mut job);
    cloud.accept_api_key(&actions.token(1));
    job.write("home/README.md", "It says hello.");
    let flow = yaml(&job, GITHUB);
    let steps = flow["jobs"]["ask"]["steps"].as_array().unwrap();
    let script = steps.iter().find(|step| step["name"] == "Ask").unwrap()["run"].as_str().unwrap();
    let summary = job.path("home/summary");
    let asked = run_job(&job, script).env("OLLAMA_HOST", cloud.url()).env("GITHUB_STEP_SUMMARY", &summary);
    let output = asked.run().expect_code(0);
    assert!(!std::fs::read(summary).unwrap().is_empty() && actions.given() == 1);
    job.assert_no_secret(&actions.token(1), &[&output], &[]);

    let job = Sandbox::new();
    let end = cloud.server().clock().now() + 300;
    let token = token_with(&serde_json::json!({ "iss": "https://gitlab.com", "aud": cloud.url(), "exp": end }));
    cloud.accept_api_key(&token);
    let pipeline = yaml(&job, GITLAB);
    let script = pipeline["ask"]["script"].as_array().unwrap().last().unwrap().as_str().unwrap();
    let asked = run_job(&job, script).env("OLLAMA_HOST", cloud.url()).env("GITLAB_CI", "true");
    let output = asked.env("OLLAMA_AUTH_ID_TOKEN", &token).run().expect_code(0);
    assert!(!std::fs::read(job.path("home/answer.txt")).unwrap().is_empty());
    job.assert_no_secret(&token, &[&output], &[]);
}
