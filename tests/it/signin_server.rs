//! `signin --server` and `signout --server`: the key of an Ollama server, which the client neither stores nor uses.

use serde_json::json;

use crate::given::{CONFIG, grouped, says};
use crate::harness::browser::Behaviour;
use crate::harness::cmd::{Cmd, Sandbox};
use crate::harness::http::Reply;
use crate::harness::stock::{Account, Stock};

fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set_env("DISPLAY", ":0");
    sandbox
}

/// The server is found by `OLLAMA_HOST`, as stock's own client finds it.
fn at(sandbox: &Sandbox, stock: &Stock, args: &[&str]) -> Cmd {
    sandbox.command(args).env("OLLAMA_HOST", stock.url())
}

/// No request carried a credential or deleted a key, and no profile was stored.
#[track_caller]
fn assert_unchanged(sandbox: &Sandbox, stock: &Stock) {
    let requests = stock.server().requests();
    assert!(requests.iter().all(|request| request.authorization().is_none()));
    assert!(stock.wrong_deletes().is_empty());
    assert!(!sandbox.path(CONFIG).join("profiles.json").exists());
}

#[test]
fn a_signed_in_server_is_reported() {
    let (sandbox, stock) = (sandbox(), Stock::start(Account::SignedIn));
    let browser = sandbox.browser(Behaviour::Ignores);
    let output = at(&sandbox, &stock, &["signin", "--server"]).run().expect_code(0);
    says(&output, &["already signed in as", &stock.url()]);
    let json = at(&sandbox, &stock, &["signin", "--server", "--json"]).run().expect_code(0).json();
    assert_eq!((&json["signed_in"], &json["already"]), (&json!(true), &json!(true)));
    assert_eq!(json["credential"], "server-key");
    assert!(browser.opened().is_empty());
    assert_unchanged(&sandbox, &stock);
}

#[test]
fn the_servers_link_opens_and_its_approval_is_detected() {
    let (sandbox, stock) = (sandbox(), Stock::start(Account::SignedOut));
    let browser = sandbox.browser(Behaviour::Ignores);
    let child = at(&sandbox, &stock, &["signin", "--server"]).spawn();
    let opened = browser.wait_opened();
    assert!(opened.starts_with("https://ollama.com/connect?"), "{opened}");
    assert!(opened.contains(&stock.key().encoded));
    child.wait_stderr(|text| text.contains(&opened) && text.contains(&grouped(&stock.key().fingerprint)));
    stock.set_account(Account::SignedIn);
    says(&child.finish().expect_code(0), &["is signed in as"]);
    assert_unchanged(&sandbox, &stock);
}

#[test]
fn a_server_sign_in_without_approval_is_exit_4() {
    let (sandbox, stock) = (sandbox(), Stock::start(Account::SignedOut));
    let browser = sandbox.browser(Behaviour::Ignores);
    let args = ["signin", "--server", "--no-browser", "--timeout", "100ms"];
    let output = at(&sandbox, &stock, &args).run().expect_code(4);
    says(&output, &["was not approved", "signin --server"]);
    let output = at(&sandbox, &stock, &["signin", "--server", "--no-wait"]).run().expect_code(4);
    assert!(output.stdout().starts_with("https://ollama.com/connect?"));
    assert!(browser.opened().is_empty());
    assert_unchanged(&sandbox, &stock);
}

#[test]
fn a_server_link_to_another_origin_is_not_opened() {
    let key =
        "c3NoLWVkMjU1MTkgQUFBQUMzTnphQzFsWkRJMU5URTVBQUFBSUNxQXVLQkZTUVZpRjZLc2dxTThtMGZlNkVia3hUTzlqSGFacWFiVzVSUzA";
    for link in [
        format!("https://evil.example/connect?name=x&key={key}"),
        format!("http://ollama.com/connect?name=x&key={key}"),
        format!("https://ollama.com.evil.example/connect?name=x&key={key}"),
        format!("https://ollama.com@evil.example/connect?name=x&key={key}"),
        format!("https://ollama.com:8443/connect?name=x&key={key}"),
        format!("https://ollama.com/elsewhere/connect?name=x&key={key}"),
        "javascript:alert(1)".to_owned(),
        "file:///etc/passwd".to_owned(),
        "https://ollama.com/connect?name=x&key=nonsense".to_owned(),
    ] {
        let (sandbox, stock) = (sandbox(), Stock::start(Account::SignedOut));
        let browser = sandbox.browser(Behaviour::Ignores);
        let body = json!({ "error": "unauthorized", "signin_url": link });
        stock.route("POST", "/api/me", move |_| Reply::json(401, &body));
        let output = at(&sandbox, &stock, &["signin", "--server"]).run().expect_code(1);
        says(&output, &["untrusted sign-in link", "the link was not opened"]);
        assert!(browser.opened().is_empty(), "{link}");
        assert_unchanged(&sandbox, &stock);
    }
}

#[test]
fn a_server_that_cannot_reach_ollama_com_is_exit_7() {
    let (sandbox, stock) = (sandbox(), Stock::start(Account::Unavailable));
    let browser = sandbox.browser(Behaviour::Ignores);
    let output = at(&sandbox, &stock, &["signin", "--server"]).run().expect_code(7);
    says(&output, &["cannot reach ollama.com", "network"]);
    assert!(browser.opened().is_empty());
    assert_unchanged(&sandbox, &stock);
}

#[test]
fn an_unreachable_server_is_exit_6_and_ollama_com_exit_2() {
    let sandbox = sandbox();
    let output = sandbox.command(["signin", "--server", "--host", "http://127.0.0.1:9"]).run();
    says(&output.expect_code(6), &["http://127.0.0.1:9"]);
    for verb in ["signin", "signout"] {
        let output = sandbox.command([verb, "--server", "--host", "ollama.com"]).run();
        says(&output.expect_code(2), &["not for ollama.com"]);
    }
}

#[test]
fn signout_ends_the_servers_session_by_its_own_call() {
    let (sandbox, stock) = (sandbox(), Stock::start(Account::SignedIn));
    let output = at(&sandbox, &stock, &["signout", "--server"]).run().expect_code(0);
    says(&output, &["Signed out the server at", &stock.url()]);
    assert_eq!(stock.account(), Account::SignedOut);
    let output = at(&sandbox, &stock, &["signout", "--server"]).run().expect_code(0);
    says(&output, &["was not signed in"]);
    assert_eq!(stock.server().count("POST", "/api/signout"), 2);
    assert_unchanged(&sandbox, &stock);
    // The flag wins over the variable.
    let other = Stock::start(Account::SignedIn);
    at(&sandbox, &stock, &["signout", "--server", "--host", &other.url()]).run().expect_code(0);
    assert_eq!(other.account(), Account::SignedOut);
    assert_eq!(stock.server().count("POST", "/api/signout"), 2);
}
