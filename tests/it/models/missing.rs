//! A model that the host does not have, and a host that has no models because it is none: each says what to do next.

use serde_json::json;

use super::at;
use crate::given::says;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::http::{Reply, Server};
use crate::harness::ollama::Ollama;

#[test]
fn the_nearest_name_is_suggested_by_every_command() {
    let ollama = Ollama::start();
    ollama.replay_always("me200");
    for (method, path) in [("DELETE", "/api/delete"), ("POST", "/api/copy")] {
        ollama.route(method, path, |_| Reply::json(404, json!({ "error": "model 'tinny' not found" })));
    }
    let file = json!({ "error": "open /models/tinny: no such file or directory" });
    ollama.route("POST", "/api/push", move |_| Reply::json(500, &file));
    let sandbox = Sandbox::new();
    for args in
        [&["show", "tinny"][..], &["rm", "tinny"], &["stop", "tinny"], &["cp", "tinny", "x"], &["push", "tinny"]]
    {
        let output = at(&sandbox, &ollama, args).run().expect_code(3);
        says(&output, &["has no model \"tinny\"", "did you mean tiny:latest?", "ollama-auth list"]);
    }
    let output = at(&sandbox, &ollama, &["show", "entirely-different"]).run().expect_code(3);
    assert!(!output.stderr().contains("did you mean"), "{}", output.snapshot());
    says(&output, &["ollama-auth list"]);
}

#[test]
fn a_key_that_may_not_pull_is_told_that_the_name_is_wrong() {
    let ollama = Ollama::start();
    let gateway = Gateway::start(&ollama.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let key = gateway.key(&device, &["ci", "--scope", "inference,models:read"]);
    let run = |model: &str| {
        Sandbox::new().command(["run", model, "hi", "--host", &gateway.url()]).env("OLLAMA_API_KEY", &key).run()
    };
    let output = run("tinny").expect_code(3);
    says(&output, &["has no model \"tinny\" (and this key may not pull it)", "did you mean tiny:latest?"]);
    says(&output, &["ollama-auth list"]);
    assert!(!output.stderr().contains("scope"), "{}", output.snapshot());
    assert_eq!(ollama.server().count("POST", "/api/pull"), 0);
    run("tiny").expect_code(0);
}

#[test]
fn a_wrong_path_is_not_a_missing_model() {
    let ollama = Ollama::start_at("/ollama");
    let words = "not found: the API of this gateway is below /ollama/";
    let gateway = Server::start(move |_| Reply::json(404, json!({ "error": words })));
    let wrong = format!("{}/wrong", ollama.url().trim_end_matches("/ollama"));
    for (host, words) in [(wrong, "404 page not found"), (gateway.url(), words)] {
        for args in
            [&["run", "tiny", "hi"][..], &["show", "tiny"], &["list"], &["ps"], &["rm", "tiny"], &["pull", "tiny"]]
        {
            let output = Sandbox::new().command(args).env("OLLAMA_HOST", &host).run().expect_code(1);
            says(&output, &["there is no Ollama API at", words, &host]);
            assert!(!output.stderr().contains("has no model"), "{}", output.snapshot());
        }
    }
}

#[test]
fn an_upstream_that_is_down_is_unreachable_and_one_that_is_signed_out_needs_a_sign_in() {
    let ollama = Ollama::start();
    let gateway = Gateway::start(&ollama.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let link = json!({ "error": "unauthorized", "signin_url": "https://ollama.com/connect?name=x&key=y" });
    ollama.route("POST", "/api/show", move |_| Reply::json(401, &link));
    let output = device.command(["run", "gpt-oss:120b-cloud", "hi"]).run().expect_code(4);
    says(&output, &["not signed in to ollama.com", "administrator of the gateway", "signin --server"]);
    drop(ollama);
    for args in [&["run", "tiny", "hi"][..], &["list"], &["show", "tiny"]] {
        let output = device.command(args).run().expect_code(6);
        says(&output, &["answered 502", "its upstream server does not"]);
    }
}
