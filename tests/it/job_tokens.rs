//! Commands in a job that has no stored secret: the token comes from GitHub, GitLab or a file, goes to the host that was named and to no
//! other, and what is missing is said in the words of the system that runs the job.

mod endpoint;
mod exchange;
mod files;
mod renewal;

use serde_json::json;

use crate::given::{says, sign_in, with_store};
use crate::harness::actions::{Actions, REQUEST_TOKEN, token_with};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::contains;
use crate::harness::http::{Reply, Server};

/// A job of GitHub Actions, its host, and the endpoint for its tokens, of which the host accepts the first.
fn job() -> (Sandbox, Cloud, Actions) {
    let (mut sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let actions = Actions::start(&cloud.url(), 300);
    actions.give_to(&mut sandbox);
    sandbox.set_env("OLLAMA_HOST", cloud.url());
    cloud.accept_api_key(&actions.token(1));
    (sandbox, cloud, actions)
}

/// Fails if the token or the secret for the endpoint stands anywhere that it should not.
#[track_caller]
fn assert_nothing_leaked(sandbox: &Sandbox, cloud: &Cloud, actions: &Actions, outputs: &[&Output]) {
    for number in 1..=actions.given().max(1) {
        sandbox.assert_no_secret(&actions.token(number), outputs, &[]);
    }
    sandbox.assert_no_secret(REQUEST_TOKEN, outputs, &[]);
    for request in cloud.server().requests() {
        assert!(!format!("{:?}{:?}", request.headers, request.target).contains(REQUEST_TOKEN), "{request}");
        assert!(!contains(&request.body, REQUEST_TOKEN.as_bytes()));
    }
}

#[test]
fn every_command_gets_a_token_and_stores_none() {
    let (sandbox, cloud, actions) = job();
    let mut outputs = Vec::new();
    for (number, (args, code)) in [
        (&["api", "/api/tags", "-vv"][..], 0),
        (&["list"], 0),
        (&["run", "tiny", "Say hello", "-vv"], 0),
        (&["show", "tiny"], 0),
        (&["status"], 4),
    ]
    .into_iter()
    .enumerate()
    {
        cloud.accept_api_key(&actions.token(number + 1));
        let output = sandbox.command(args).env("RUST_LOG", "trace").run();
        assert_eq!(output.code(), code, "{args:?}\n{}", output.snapshot());
        outputs.push(output);
    }
    assert_eq!(actions.given(), 4, "once for each command that needs one");
    assert_nothing_leaked(&sandbox, &cloud, &actions, &outputs.iter().collect::<Vec<_>>());
    let report = sandbox.command(["status", "--json", "--offline"]).run().json();
    assert_eq!(report["run"]["credential"]["kind"], "token");
    assert_eq!(report["run"]["credential"]["source"], "github");
    assert_eq!(report["run"]["host"], cloud.url());
}

#[test]
fn a_token_is_printed_by_the_command_for_that_alone() {
    let (sandbox, cloud, actions) = job();
    let output = sandbox.command(["token"]).run().expect_code(0);
    assert_eq!(output.stdout(), format!("{}\n", actions.token(1)));
    says(&output, &["Keep this secret", "it is a token for", "valid for "]);
    assert!(!output.stderr().contains(&actions.token(1)));
    let output = sandbox.command(["token", "GET", "/api/tags", "--json"]).run().expect_code(0).json();
    assert_eq!(output["type"], "token");
    assert_eq!(output["value"], format!("Bearer {}", actions.token(2)));
    let output = sandbox.command(["exec", "--print"]).run().expect_code(2);
    says(&output, &["is a token that ends soon", "keys create NAME --from-oidc"]);
    assert_eq!((output.stdout(), actions.given()), ("", 2));
    assert!(cloud.server().requests().is_empty(), "the host is not asked");
}

#[test]
fn every_other_credential_comes_first() {
    let (sandbox, cloud, actions) = job();
    let (key, host) = ("a-key-that-comes-first-0123456789", cloud.url());
    cloud.accept_api_key(key);
    sandbox.command(["api", "/api/tags"]).env("OLLAMA_API_KEY", key).run().expect_code(0);
    let file = sandbox.write("f.json", json!({ "host": host, "key": key }).to_string());
    sandbox.command(["api", "/api/tags", "--credentials"]).args([file]).run().expect_code(0);
    sign_in(&sandbox, &cloud, &[]);
    sandbox.command(["api", "/api/tags"]).run().expect_code(0);
    assert!(actions.server().requests().is_empty());
    // A key that is withheld was meant for another host, and so is this job.
    let (sandbox, cloud, actions) = job();
    let of_ollama_com = "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOpQrStUv-_";
    let output = sandbox.command(["token"]).env("OLLAMA_API_KEY", of_ollama_com).run().expect_code(4);
    says(&output, &["OLLAMA_API_KEY looks like a key of ollama.com"]);
    assert!(actions.server().requests().is_empty() && cloud.server().requests().is_empty());
}

#[test]
fn a_host_that_was_not_named_gets_no_token_and_neither_does_ollama_com() {
    let (mut sandbox, _cloud, actions) = job();
    let plain = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
    sandbox.remove_env("OLLAMA_HOST");
    let commands: [&[&str]; 4] = [
        &["token"],
        &["token", "--host", "ollama.com"],
        &["token", "--host", "https://api.ollama.com"],
        &["token", "--host", "http://lan.invalid"],
    ];
    for args in commands {
        let output = sandbox.command(args).run().expect_code(4);
        assert_eq!(output.stdout(), "");
        says(&output, &["not signed in to"]);
    }
    // Signed in elsewhere: the current profile is no name for this job.
    let cloud = Cloud::start();
    sign_in(&sandbox, &cloud, &[]);
    sandbox.command(["signout"]).run().expect_code(0);
    sandbox.command(["token"]).run().expect_code(4);
    assert!(actions.server().requests().is_empty(), "none was asked for");
    drop(plain);
}

#[test]
fn a_job_is_told_what_its_workflow_has_to_say() {
    let cloud = Cloud::start();
    let host = cloud.url();
    let systems: [(&str, &str, &[&str]); 3] = [
        ("GITHUB_ACTIONS", "true", &["permissions:", "id-token: write"]),
        ("GITLAB_CI", "true", &["id_tokens:", "OLLAMA_AUTH_ID_TOKEN:", &format!("aud: {host}")]),
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1", &["/var/run/secrets/ollama-auth/token", &host]),
    ];
    for (name, value, wanted) in systems {
        let mut sandbox = with_store("plaintext");
        sandbox.set_env(name, value).set_env("OLLAMA_HOST", &host);
        let commands: [&[&str]; 5] = [
            &["token"],
            &["api", "/api/tags"],
            &["run", "tiny", "hi"],
            &["exec", "--", "true"],
            &["keys", "create", "ci", "--from-oidc"],
        ];
        for args in commands {
            says(&sandbox.command(args).run().expect_code(4), wanted);
        }
        // It is no advice for ollama.com.
        let output = sandbox.command(["token", "--host", "ollama.com"]).run().expect_code(4);
        assert!(!output.stderr().contains(wanted[0]), "{}", output.stderr());
    }
    let sandbox = with_store("plaintext");
    let output = sandbox.command(["keys", "create", "ci", "--from-oidc", "--host", &host]).run().expect_code(4);
    says(&output, &["no OIDC token", "--oidc-token-file FILE"]);
}

#[test]
fn a_host_that_refuses_the_token_says_which_rule_is_missing() {
    let (sandbox, cloud, actions) = job();
    cloud.revoke_api_key(&actions.token(1));
    for args in [&["api", "/api/tags"][..], &["run", "tiny", "hi"], &["list"]] {
        let output = sandbox.command(args).run().expect_code(4);
        says(&output, &["the token of GitHub Actions was refused", "workload rule"]);
        says(&output, &["subject: repo:octo/app:ref:refs/heads/main", &format!("audience: {}", cloud.url())]);
        says(&output, &["issuer: https://token.actions.githubusercontent.com"]);
        assert!(!output.stderr().contains("signin"), "{}", output.stderr());
        assert_nothing_leaked(&sandbox, &cloud, &actions, &[&output]);
    }
    let forbidding = Server::start(|_| Reply::json(403, r#"{"error":"this rule has no scope models:read"}"#));
    let actions = Actions::start(&forbidding.url(), 300);
    let mut sandbox = with_store("plaintext");
    actions.give_to(&mut sandbox);
    let output = sandbox.command(["list", "--host", &forbidding.url()]).run().expect_code(5);
    says(&output, &["this rule has no scope models:read"]);
}

#[test]
fn gitlab_gives_its_token_in_a_variable() {
    let cloud = Cloud::start();
    let claims = |audience: &str, end: i64| json!({ "iss": "https://gitlab.com", "sub": "project_path:a/b:ref_type:branch:ref:main", "aud": audience, "exp": end });
    let now = cloud.server().clock().now();
    let mut sandbox = with_store("plaintext");
    sandbox.set_env("GITLAB_CI", "true").set_env("OLLAMA_HOST", cloud.url());
    for audience in [cloud.url(), "an-opaque-name".to_owned()] {
        let token = token_with(&claims(&audience, now + 300));
        cloud.accept_api_key(&token);
        let output = sandbox.command(["list", "-vv"]).env("OLLAMA_AUTH_ID_TOKEN", &token).run().expect_code(0);
        sandbox.assert_no_secret(&token, &[&output], &[]);
    }
    let before = cloud.server().requests().len();
    // One for another host stays here.
    let other = token_with(&claims("https://other.example", now + 300));
    for args in [&["token"][..], &["keys", "create", "ci", "--from-oidc"]] {
        let output = sandbox.command(args).env("OLLAMA_AUTH_ID_TOKEN", &other).run().expect_code(4);
        says(&output, &["https://other.example", "id_tokens:", &format!("aud: {}", cloud.url())]);
    }
    assert_eq!(cloud.server().requests().len(), before);
    sandbox.command(["list"]).env("OLLAMA_AUTH_ID_TOKEN", &other).run().expect_code(4);
    let asked = cloud.server().requests();
    assert!(asked[before..].iter().all(|request| request.authorization().is_none()), "{asked:?}");
    // One that has ended.
    let ended = token_with(&claims(&cloud.url(), now - 120));
    let output = sandbox.command(["list"]).env("OLLAMA_AUTH_ID_TOKEN", &ended).run().expect_code(4);
    says(&output, &["expired 2 minutes ago", "start of the job"]);
    let output = sandbox.command(["list"]).env("OLLAMA_AUTH_ID_TOKEN", "hunter2").run().expect_code(2);
    says(&output, &["OLLAMA_AUTH_ID_TOKEN is not a JSON Web Token"]);
    assert!(!output.stderr().contains("hunter2"));
}
