//! `push`: the server publishes under its own account, which comes first; whose name may be used; where it can be seen.

use serde_json::json;

use super::{at, bodies, line, status, streams};
use crate::given::says;
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::http::Step;
use crate::harness::ollama::Ollama;
use crate::harness::pty::Terminal;
use crate::harness::stock::{Account, Stock};

fn push(sandbox: &Sandbox, ollama: &Ollama, args: &[&str]) -> Output {
    at(sandbox, ollama, &[&["push"], args].concat()).run()
}

fn publishes(stock: &Stock) {
    streams(stock, "/api/push", [status("retrieving manifest"), status("pushing manifest"), status("success")]);
}

#[test]
fn push_prints_the_address_of_the_model() {
    let (sandbox, stock) = (Sandbox::new(), Stock::start(Account::SignedIn));
    publishes(&stock);
    let output = push(&sandbox, &stock, &["ada/tiny"]).expect_code(0);
    assert_eq!(output.stdout(), "https://ollama.com/ada/tiny\n");
    says(&output, &["retrieving manifest", "has published ada/tiny"]);
    let output = push(&sandbox, &stock, &["localhost:5000/ada/tiny:8b", "--insecure", "--json"]).expect_code(0);
    let place = "localhost:5000/ada/tiny:8b";
    assert_eq!(output.json(), json!({ "host": stock.url(), "model": place, "status": "success", "place": place }));
    assert_eq!(
        bodies(&stock, "/api/push"),
        [json!({ "model": "ada/tiny", "insecure": false }), json!({ "model": place, "insecure": true })]
    );
    // Another registry has nothing to do with the account at ollama.com.
    assert_eq!(stock.server().count("POST", "/api/me"), 1);
}

#[test]
fn a_server_that_is_signed_out_publishes_nothing_unattended() {
    let (sandbox, stock) = (Sandbox::new(), Stock::start(Account::SignedOut));
    publishes(&stock);
    for more in [&[][..], &["--json"], &["--no-input"]] {
        let output = push(&sandbox, &stock, &[&["ada/tiny"], more].concat()).expect_code(4);
        says(&output, &["is not signed in to ollama.com", "ollama-auth signin --server --host", &stock.url()]);
        assert_eq!(output.stdout(), "");
    }
    assert_eq!(stock.server().count("POST", "/api/push"), 0);
    // One that cannot tell is asked to try.
    stock.set_account(Account::Unavailable);
    push(&sandbox, &stock, &["ada/tiny"]).expect_code(0);
}

#[test]
fn on_a_terminal_the_sign_in_comes_first_and_then_it_goes_on() {
    let (mut sandbox, stock) = (Sandbox::new(), Stock::start(Account::SignedOut));
    sandbox.set_env("OLLAMA_HOST", stock.url());
    publishes(&stock);
    let mut terminal = Terminal::start_sized(&sandbox, &["push", "ada/tiny"], 120, 30);
    terminal.wait_text("Sign it in now?");
    assert_eq!(stock.server().count("POST", "/api/push"), 0);
    terminal.send("y\r");
    terminal.wait_text("https://ollama.com/connect?");
    stock.set_account(Account::SignedIn);
    let finished = terminal.finish();
    assert_eq!((finished.code, finished.restored, finished.column), (0, true, 0), "{}", finished.screen);
    assert!(finished.screen.contains("is signed in as"), "{}", finished.screen);
    assert!(finished.screen.trim_end().ends_with("https://ollama.com/ada/tiny"), "{}", finished.screen);

    stock.set_account(Account::SignedOut);
    let mut terminal = Terminal::start(&sandbox, &["push", "ada/tiny"]);
    terminal.wait_text("Sign it in now?");
    terminal.send("n\r");
    let finished = terminal.finish();
    assert_eq!((finished.code, finished.restored), (4, true), "{}", finished.screen);
    assert_eq!(stock.server().count("POST", "/api/push"), 1);
}

#[test]
fn a_name_of_another_account_is_explained() {
    let refused = || [status("retrieving manifest"), line(json!({ "error": "unauthorized: access denied" }))];
    for (model, hint) in [("tiny", "has no namespace"), ("bob/tiny:8b", "bob belongs to another account")] {
        let (sandbox, stock) = (Sandbox::new(), Stock::start(Account::SignedIn));
        streams(&stock, "/api/push", refused());
        let output = push(&sandbox, &stock, &[model]).expect_code(5);
        says(&output, &["access denied", hint, "ollama-auth cp", "/tiny"]);
        assert_eq!(output.stdout(), "");
    }
    let (sandbox, stock) = (Sandbox::new(), Stock::start(Account::Unavailable));
    streams(&stock, "/api/push", [line(json!({ "error": "unauthorized: unknown ollama key \"ssh-ed25519 AAAA\"" }))]);
    says(&push(&sandbox, &stock, &["ada/tiny"]).expect_code(4), &["unknown ollama key", "signin --server"]);
}

#[test]
fn missing_or_incomplete_models_are_not_published() {
    let (sandbox, stock) = (Sandbox::new(), Stock::start(Account::SignedIn));
    let path = "open /root/.ollama/models/manifests/registry.ollama.ai/ada/tiny/latest: no such file or directory";
    streams(&stock, "/api/push", [status("couldn't retrieve manifest"), line(json!({ "error": path }))]);
    says(&push(&sandbox, &stock, &["ada/tiny"]).expect_code(3), &["has no model \"ada/tiny\"", "ollama-auth list"]);
    for steps in [vec![status("pushing manifest")], vec![status("pushing manifest"), Step::Cut]] {
        streams(&stock, "/api/push", steps);
        let output = push(&sandbox, &stock, &["ada/tiny"]).expect_code(1);
        says(&output, &["was cut off"]);
        assert_eq!(output.stdout(), "");
    }
    streams(&stock, "/api/push", [line(json!({ "error": "insecure protocol http" }))]);
    says(&push(&sandbox, &stock, &["http://h/a/b"]).expect_code(2), &["--insecure"]);
}
