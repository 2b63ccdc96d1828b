//! `keys create --from-oidc`: a token of the job becomes a key that is valid for minutes.

use super::{assert_nothing_leaked, job};
use crate::given::says;
use crate::harness::cloud::Fault;
use crate::harness::http::Reply;

#[test]
fn a_token_becomes_a_key_for_as_long_as_the_host_says() {
    let (sandbox, cloud, actions) = job();
    cloud.offer_keys();
    let output = sandbox.command(["keys", "create", "build-7", "--from-oidc", "-vv"]).run().expect_code(0);
    let [issued] = &cloud.issued()[..] else { panic!("{:?}", cloud.issued()) };
    assert_eq!(output.stdout(), format!("{}\n", issued.key));
    says(&output, &["Created the API key \"build-7\"", "(in 15 minutes)"]);
    assert!(!output.stderr().contains(&issued.key));
    assert_nothing_leaked(&sandbox, &cloud, &actions, &[&output]);
    let requests = cloud.server().requests();
    let made = requests.iter().find(|request| request.method == "POST" && request.path() == "/api/user/keys").unwrap();
    assert_eq!(made.api_key(), Some(&*actions.token(1)));
    let (body, object) = (made.json(), made.json());
    assert!(!object.as_object().unwrap().contains_key("expires_in"), "{body}");
    assert_eq!((&body["replaceable"], &body["name"]), (&false.into(), &"build-7".into()));
    // It is a key as every other.
    sandbox.command(["list"]).env("OLLAMA_API_KEY", &issued.key).run().expect_code(0);
    assert_eq!(actions.given(), 1);
    // The lifetime can be asked for.
    cloud.accept_api_key(&actions.token(2));
    sandbox.command(["keys", "create", "build-8", "--from-oidc", "--expires", "5m"]).run().expect_code(0);
    let body = cloud.server().requests().last().unwrap().json();
    assert_eq!(body["expires_in"], 300);
}

#[test]
fn a_token_that_was_exchanged_before_is_said_to_be_used_up() {
    for status in [401, 409] {
        let (sandbox, cloud, _actions) = job();
        cloud.offer_keys();
        cloud.inject("/api/user/keys", Fault::Status(status));
        let output = sandbox.command(["keys", "create", "ci", "--from-oidc"]).run();
        assert_eq!(output.code(), if status == 401 { 4 } else { 1 }, "{}", output.snapshot());
        says(&output, &[&format!("status {status}"), "a token makes one key"]);
        assert!(output.stdout().is_empty() && !output.stderr().contains("already has a key"));
    }
}

#[test]
fn the_token_is_used_whatever_key_is_stored() {
    let (sandbox, cloud, actions) = job();
    cloud.offer_keys();
    let command =
        sandbox.command(["keys", "create", "ci", "--from-oidc"]).env("OLLAMA_API_KEY", "another-key-0123456789");
    command.run().expect_code(0);
    let requests = cloud.server().requests();
    assert!(requests.iter().filter_map(|request| request.api_key()).all(|key| key == actions.token(1)));
}

#[test]
fn a_refused_exchange_leaves_no_key_and_says_what_to_do() {
    let (sandbox, cloud, actions) = job();
    cloud.offer_keys();
    cloud.revoke_api_key(&actions.token(1));
    let output = sandbox.command(["keys", "create", "ci", "--from-oidc"]).run().expect_code(4);
    says(&output, &["the token of GitHub Actions was refused", "workload rule"]);
    assert!(output.stdout().is_empty() && cloud.issued().is_empty());
    actions.reply(Reply::json(403, "{}"));
    let output = sandbox.command(["keys", "create", "ci", "--from-oidc"]).run().expect_code(4);
    says(&output, &["id-token: write"]);
    let output = sandbox.command(["keys", "create", "ci", "--from-oidc", "--host", "ollama.com"]).run().expect_code(2);
    says(&output, &["name the gateway with --host or OLLAMA_HOST"]);
    let mut sandbox = sandbox;
    sandbox.remove_env("OLLAMA_HOST");
    sandbox.command(["keys", "create", "ci", "--from-oidc"]).run().expect_code(2);
    assert_eq!(actions.given(), 1);
}
