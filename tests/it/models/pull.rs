//! `pull`: success is what the stream says, not its status; what is missing, refused, cut or endless is told apart.

use rustix::process::Signal;
use serde_json::json;

use super::{at, bodies, layer, line, status, streams};
use crate::given::says;
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::http::{Reply, Step};
use crate::harness::ollama::Ollama;
use crate::harness::set_clock::SetClock;
use crate::harness::stock::{Account, Stock};

const DIGEST: &str = "0123456789abcdef";

fn pull(sandbox: &Sandbox, ollama: &Ollama, args: &[&str]) -> Output {
    at(sandbox, ollama, &[&["pull"], args].concat()).run()
}

#[test]
fn a_pull_says_what_is_going_on_and_ends_well() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let steps = [status("pulling manifest"), layer(DIGEST, 9, 1), layer(DIGEST, 9, 9), status("success")];
    streams(&ollama, "/api/pull", steps);
    let output = pull(&sandbox, &ollama, &["new"]).expect_code(0);
    assert_eq!(output.stdout(), "");
    let url = ollama.url();
    assert_eq!(output.stderr(), format!("pulling manifest\npulling 0123456789ab\nsuccess\n{url} has new\n"));
    let output = pull(&sandbox, &ollama, &["new", "--insecure", "--json"]).expect_code(0);
    assert_eq!(output.json(), json!({ "host": url, "model": "new", "status": "success" }));
    assert_eq!(output.stderr(), "");
    assert_eq!(
        bodies(&ollama, "/api/pull"),
        [json!({ "model": "new", "insecure": false }), json!({ "model": "new", "insecure": true })]
    );
    assert_eq!(pull(&sandbox, &ollama, &["new", "--quiet"]).expect_code(0).stderr(), "");
    ollama.replay_always("pull");
    pull(&sandbox, &ollama, &["http://127.0.0.1:18150/library/tiny", "--insecure"]).expect_code(0);
}

#[test]
fn the_error_message_decides_the_exit_code() {
    for (words, code, hint) in [
        ("pull model manifest: file does not exist", 3, "ollama.com/search"),
        ("insecure protocol http", 2, "--insecure"),
        ("invalid model name", 2, "[NAMESPACE/]MODEL[:TAG]"),
        ("dial tcp: no such host", 1, "check the network of that server"),
    ] {
        for early in [true, false] {
            let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
            let error = json!({ "error": words });
            ollama.route("POST", "/api/pull", move |_| {
                if early {
                    Reply::json(500, &error)
                } else {
                    Reply::ndjson([status("pulling manifest"), line(error.clone())])
                }
            });
            let output = pull(&sandbox, &ollama, &["x:1"]).expect_code(code);
            says(&output, &[words, hint, &ollama.url()]);
        }
    }
}

#[test]
fn a_refusal_is_about_the_servers_sign_in_or_its_account() {
    for (account, code, hint) in [
        (Account::SignedOut, 4, "signin --server --host"),
        (Account::SignedIn, 5, "the model is private"),
        (Account::Unavailable, 5, "belongs to another account"),
    ] {
        let (sandbox, stock) = (Sandbox::new(), Stock::start(account));
        streams(
            &stock,
            "/api/pull",
            [status("pulling manifest"), line(json!({ "error": "unauthorized: access denied" }))],
        );
        says(&pull(&sandbox, &stock, &["bob/secret"]).expect_code(code), &["access denied", hint]);
    }
    // What another registry refuses is not ollama.com's business.
    let (sandbox, stock) = (Sandbox::new(), Stock::start(Account::SignedOut));
    streams(&stock, "/api/pull", [line(json!({ "error": "401: no" }))]);
    says(&pull(&sandbox, &stock, &["hf.co/a/b"]).expect_code(5), &["that registry refuses"]);
    assert_eq!(stock.server().count("POST", "/api/me"), 0);
}

#[test]
fn a_pull_without_the_success_line_fails() {
    let endings: [fn() -> Vec<Step>; 6] = [
        || vec![status("pulling manifest")],
        || vec![],
        || vec![layer(DIGEST, 9, 9), Step::Cut],
        || vec![layer(DIGEST, 9, 9), Step::Reset],
        || vec![Step::send("{\"status\":\"succ")],
        || vec![Step::send("<html>\n")],
    ];
    for (at, steps) in endings.into_iter().enumerate() {
        let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
        streams(&ollama, "/api/pull", steps());
        let output = pull(&sandbox, &ollama, &["new"]).expect_code(1);
        let word = if at == 5 { "a line is not JSON" } else { "was cut off" };
        says(&output, &[word]);
        assert!(!output.stderr().contains(" has new"));
    }
}

#[test]
fn odd_progress_numbers_do_not_end_a_pull() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let odd = |total, completed| {
        line(json!({ "status": "pulling x", "digest": "x", "total": total, "completed": completed }))
    };
    let odd = [
        odd(json!(-1), json!(-1)),
        odd(json!(1e300), json!("x")),
        odd(json!(0), json!(u64::MAX)),
        odd(json!(null), json!({})),
    ];
    streams(&ollama, "/api/pull", odd.into_iter().chain([status("success")]));
    pull(&sandbox, &ollama, &["new"]).expect_code(0);
}

#[test]
fn a_host_that_never_ends_is_bounded() {
    // As many layers and words as it likes, and no end after success.
    let (mut sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let many = (0..20_000).map(|number| layer(&format!("{number:012}"), 9, 1));
    streams(&ollama, "/api/pull", many.chain([status("success"), Step::Hang]));
    let output = pull(&sandbox, &ollama, &["new"]).expect_code(0);
    assert!(output.stderr().lines().count() < 300, "{}", output.stderr().lines().count());
    // Silence lasts as long as it is allowed to.
    streams(&ollama, "/api/pull", [status("pulling manifest"), Step::Hang]);
    let clock = SetClock::stopped(&mut sandbox);
    let child = at(&sandbox, &ollama, &["pull", "new", "--timeout", "300ms"]).spawn();
    child.wait_stderr(|text| text.contains("pulling manifest"));
    clock.run();
    says(&child.finish().expect_code(6), &["nothing more came for 0.3 seconds"]);
}

#[test]
fn an_interrupted_pull_continues_next_time() {
    for signal in [Signal::INT, Signal::TERM] {
        let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
        streams(&ollama, "/api/pull", [status("pulling manifest"), Step::Hang]);
        let child = at(&sandbox, &ollama, &["pull", "new"]).spawn();
        child.wait_stderr(|text| text.contains("pulling manifest"));
        child.signal(signal);
        let output = child.finish().expect_code(130);
        says(&output, &["keeps what it has of new", "run the same command to continue"]);
        ollama.server().wait_disconnects(1);
    }
}

#[test]
fn a_plain_name_that_is_a_cloud_model_is_pointed_out() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    streams(&ollama, "/api/pull", [line(json!({ "error": "pull model manifest: file does not exist" }))]);
    ollama.route("POST", "/api/show", |_| Reply::json(200, "{}"));
    let output = pull(&sandbox, &ollama, &["big"]).expect_code(3);
    says(&output, &["file does not exist", "ollama-auth pull big:cloud"]);
    assert_eq!(bodies(&ollama, "/api/show"), [json!({ "model": "big:cloud" })]);
    // Not for a tag, another registry, or a registry that is not to be trusted with more than it has.
    for args in [&["big:8b"][..], &["hf.co/a/big"], &["big", "--insecure"], &["big:cloud"]] {
        let output = pull(&sandbox, &ollama, args).expect_code(3);
        assert!(!output.stderr().contains("runs at ollama.com"), "{}", output.snapshot());
    }
    assert_eq!(ollama.server().count("POST", "/api/show"), 1);
    ollama.replay_always("show404");
    says(&pull(&sandbox, &ollama, &["big"]).expect_code(3), &["ollama.com/search"]);
}
