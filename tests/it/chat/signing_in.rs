//! A model that asks for a sign-in: it is offered on the spot, and the same message goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::{EMPTY, done, enter, leave, say, tidy};
use crate::given::with_store;
use crate::harness::browser::Behaviour;
use crate::harness::cloud::Cloud;
use crate::harness::cmd::Sandbox;
use crate::harness::http::{Gate, Reply};
use crate::harness::pty::Terminal;
use crate::harness::stock::{Account, Stock};

/// A stock server that refuses the cloud model until it is signed in.
fn stock() -> (Sandbox, Arc<Stock>) {
    let (mut sandbox, stock) = (Sandbox::new(), Arc::new(Stock::start(Account::SignedOut)));
    sandbox.set_env("OLLAMA_HOST", stock.url()).set_env("DISPLAY", ":0");
    stock.route("POST", "/api/show", |_| Reply::json(200, json!({ "capabilities": ["completion"] })));
    (sandbox, stock)
}

fn refuses_until(stock: &Stock, signed_in: &Arc<AtomicBool>) {
    let signed_in = signed_in.clone();
    stock.route("POST", "/api/chat", move |_| {
        if signed_in.load(Ordering::SeqCst) {
            Reply::ndjson([say("from the cloud"), done()])
        } else {
            Reply::json(401, r#"{"error":"unauthorized","signin_url":"https://ollama.com/connect?name=x&key=y"}"#)
        }
    });
}

#[test]
fn the_server_is_signed_in_and_the_same_message_goes_on() {
    let (sandbox, stock) = stock();
    let signed_in = Arc::new(AtomicBool::new(false));
    refuses_until(&stock, &signed_in);
    let browser = sandbox.browser(Behaviour::Ignores);
    let mut terminal = Terminal::start_sized(&sandbox, &["run", "big:cloud"], 200, 40);
    terminal.wait_text(EMPTY);
    terminal.send("hello\r");
    terminal.wait_text("Sign in the Ollama server at");
    terminal.send("\r");
    let opened = browser.wait_opened();
    assert!(opened.starts_with("https://ollama.com/connect?"), "{opened}");
    signed_in.store(true, Ordering::SeqCst);
    stock.set_account(Account::SignedIn);
    let screen = terminal.wait_for(|screen| screen.contains("from the cloud") && screen.trim_end().ends_with(EMPTY));
    assert_eq!(screen.matches(">>> hello").count(), 1, "{screen}");
    leave(terminal);
}

#[test]
fn what_was_typed_before_the_question_is_no_answer_to_it() {
    let ((sandbox, stock), gate) = (stock(), Gate::new());
    let (browser, closed) = (sandbox.browser(Behaviour::Ignores), gate.clone());
    stock.route("POST", "/api/chat", move |_| Reply::json(401, r#"{"error":"unauthorized"}"#).after(&closed));
    let mut terminal = Terminal::start_sized(&sandbox, &["run", "big:cloud"], 200, 40);
    terminal.wait_text(EMPTY);
    terminal.send("hello\r");
    gate.wait_reached();
    terminal.send("yes\r");
    gate.open();
    terminal.wait_text("now? [Y/n]");
    terminal.send("n");
    let screen = terminal.wait_for(|screen| screen.contains("/retry sends") && screen.trim_end().ends_with(EMPTY));
    assert!(screen.contains("now? [Y/n] no"), "{screen}");
    assert!(browser.opened().is_empty());
    leave(terminal);
}

#[test]
fn no_is_an_answer_and_ctrl_c_ends_the_wait() {
    let (sandbox, stock) = stock();
    refuses_until(&stock, &Arc::new(AtomicBool::new(false)));
    let browser = sandbox.browser(Behaviour::Ignores);
    let mut terminal = Terminal::start_sized(&sandbox, &["run", "big:cloud"], 200, 40);
    terminal.wait_text(EMPTY);
    terminal.send("hello\r");
    terminal.wait_text("now? [Y/n]");
    terminal.send("n");
    let screen = terminal.wait_for(|screen| screen.contains("/retry sends") && screen.trim_end().ends_with(EMPTY));
    assert!(screen.contains("is not signed in"), "{screen}");
    assert!(browser.opened().is_empty());
    terminal.send("/retry\r");
    terminal.wait_for(|screen| screen.matches("now? [Y/n]").count() == 2);
    terminal.send("y");
    browser.wait_opened();
    terminal.send("\x03");
    terminal.wait_for(|screen| screen.matches("/retry sends").count() == 2 && screen.trim_end().ends_with(EMPTY));
    leave(terminal);
}

#[test]
fn this_device_signs_in_where_the_host_keeps_accounts() {
    let cloud = Cloud::start();
    let mut sandbox = with_store("plaintext");
    sandbox.set_env("OLLAMA_HOST", cloud.url());
    let browser = sandbox.browser(Behaviour::Follows);
    let mut terminal = Terminal::start_sized(&sandbox, &["run", "tiny"], 200, 40);
    terminal.wait_text("Sign in to http://127.0.0.1:");
    terminal.send("y");
    browser.wait_opened();
    terminal.wait_for(|screen| screen.contains("Signed in to") && screen.trim_end().ends_with(EMPTY));
    let screen = enter(&mut terminal, "/status");
    assert!(screen.contains("this device's key, in the plaintext store") && screen.contains("standin"), "{screen}");
    leave(terminal);
}

#[test]
fn a_refused_api_key_is_not_hidden_by_a_sign_in() {
    let cloud = Cloud::start();
    let mut sandbox = with_store("plaintext");
    sandbox.set_env("OLLAMA_HOST", cloud.url()).set_env("OLLAMA_API_KEY", "wrong");
    let finished = tidy(Terminal::start_sized(&sandbox, &["run", "tiny"], 200, 40).finish(), 4);
    assert!(!finished.screen.contains("[Y/n]"), "{}", finished.screen);
}
