//! GitHub's endpoint when it refuses, fails, lies or is not there.

use serde_json::json;

use super::{assert_nothing_leaked, job};
use crate::given::says;
use crate::harness::actions::token_with;
use crate::harness::http::{Reply, Server, Step};
use crate::harness::set_clock::SetClock;

#[test]
fn what_the_endpoint_answers_instead_of_a_token_is_told() {
    let elsewhere = Server::start(|_| Reply::json(200, "{}"));
    let cases: Vec<(Reply, i32, &[&str])> = vec![
        (Reply::json(403, "{}"), 4, &["gives this job no token", "answered 403", "id-token: write"]),
        (Reply::json(404, "{}"), 4, &["answered 404"]),
        (
            Reply::redirect(307, &elsewhere.url()),
            1,
            &["redirects to", "leave ACTIONS_ID_TOKEN_REQUEST_URL as GitHub sets it"],
        ),
        (Reply::new(200, "hunter2"), 1, &["cannot get a token from GitHub Actions", "it contains no token"]),
        (Reply::json(200, r#"{"value":"hunter2"}"#), 1, &["its token is not a JSON Web Token"]),
        (Reply::json(200, json!({ "value": "hunter2".repeat(5000) })), 1, &["its token is longer than 16 KiB"]),
        (Reply::json(200, json!({ "value": "hunter2".repeat(50_000) })), 1, &["an answer of more than"]),
        (Reply::until_close(200, [Step::send("{"), Step::Cut]), 1, &["it contains no token"]),
    ];
    for (reply, code, wanted) in cases {
        let (sandbox, cloud, actions) = job();
        actions.reply(reply.clone());
        let output = sandbox.command(["list"]).run();
        assert_eq!(output.code(), code, "{reply:?}\n{}", output.snapshot());
        says(&output, wanted);
        assert!(!output.stderr().contains("hunter2"), "{}", output.stderr());
        assert!(cloud.server().requests().is_empty(), "nothing is sent without a credential");
        assert_nothing_leaked(&sandbox, &cloud, &actions, &[&output]);
    }
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn a_token_for_another_audience_is_not_sent() {
    let (sandbox, cloud, actions) = job();
    let token = token_with(&json!({ "aud": "https://other.example", "exp": 4_000_000_000_i64 }));
    actions.reply(Reply::json(200, json!({ "value": token })));
    let output = sandbox.command(["list"]).run().expect_code(4);
    says(&output, &["is for https://other.example, not for"]);
    assert!(cloud.server().requests().is_empty());
}

#[test]
fn an_endpoint_that_fails_for_a_moment_is_asked_again() {
    let (sandbox, cloud, actions) = job();
    actions.reply(Reply::json(502, "{}"));
    sandbox.command(["list"]).run().expect_code(0);
    actions.reply(Reply::drop_connection());
    cloud.accept_api_key(&actions.token(2));
    sandbox.command(["list"]).run().expect_code(0);
    assert_eq!(actions.server().requests().len(), 4);
    for _ in 0..3 {
        actions.reply(Reply::retry_after(503, "1"));
    }
    let output = sandbox.command(["list"]).run().expect_code(7);
    says(&output, &["cannot get a token from GitHub Actions", "start the job again"]);
    assert_eq!(actions.server().requests().len(), 7, "not for ever");
}

#[test]
fn an_endpoint_that_is_slow_or_gone_is_not_waited_for() {
    let (mut sandbox, cloud, actions) = job();
    let clock = SetClock::at(cloud.server().clock().now());
    clock.give_to(&mut sandbox);
    actions.reply(Reply::script(200, [Step::send("{"), Step::Hang]));
    let child = sandbox.command(["list"]).spawn();
    actions.server().wait_requests(1);
    clock.pass(20);
    let output = child.finish().expect_code(6);
    says(&output, &["cannot get a token from GitHub Actions", "within 10 seconds"]);
    let port = Server::start(|_| Reply::json(200, "{}")).port();
    let gone = format!("http://127.0.0.1:{port}/x");
    let output = sandbox.command(["list"]).env("ACTIONS_ID_TOKEN_REQUEST_URL", gone).run().expect_code(6);
    says(&output, &["cannot get a token from GitHub Actions", "cannot reach"]);
    assert!(cloud.server().requests().is_empty());
}

#[test]
fn the_secret_of_the_job_goes_to_no_address_that_github_would_not_give() {
    let (sandbox, cloud, actions) = job();
    for url in ["http://token.invalid/x", "token", "ftp://token.invalid/", "https://user@token.invalid/x"] {
        let output = sandbox.command(["list"]).env("ACTIONS_ID_TOKEN_REQUEST_URL", url).run().expect_code(2);
        says(&output, &["ACTIONS_ID_TOKEN_REQUEST_URL", "leave this variable as GitHub sets it"]);
    }
    let output = sandbox.command(["list"]).env_remove("ACTIONS_ID_TOKEN_REQUEST_TOKEN").run().expect_code(4);
    says(&output, &["ACTIONS_ID_TOKEN_REQUEST_TOKEN is missing", "id-token: write"]);
    assert!(cloud.server().requests().is_empty() && actions.server().requests().is_empty());
}
