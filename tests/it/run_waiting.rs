//! `run --wait` and what is told of a wait, at any host: never longer than it may be, and nothing is lost meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::cmd::{Cmd, Sandbox};
use crate::harness::http::{Reply, Step};
use crate::harness::ollama::Ollama;
use crate::harness::poll;
use crate::harness::pty::Terminal;
use crate::harness::set_clock::SetClock;

/// When the clocks of these tests stand still, and when the day ends in UTC.
const NOW: &str = "2026-11-30T20:48:00Z";
const MIDNIGHT: &str = "2026-12-01T00:00:00Z";
const UNTIL_MIDNIGHT: &str = "11520";

fn answer() -> Reply {
    let done = json!({ "response": "", "done": true, "done_reason": "stop" });
    Reply::ndjson([Step::send("{\"response\":\"once\",\"done\":false}\n"), Step::send(format!("{done}\n"))])
}

/// A host that refuses so many times, and answers then.
fn refusing(times: usize, refusal: impl Fn() -> Reply + Send + Sync + 'static) -> (Sandbox, Ollama) {
    let (mut sandbox, ollama) = (Sandbox::new(), Ollama::start());
    sandbox.set_env("OLLAMA_HOST", ollama.url());
    let asked = AtomicUsize::new(0);
    ollama.route("POST", "/api/generate", move |_| {
        if asked.fetch_add(1, Ordering::SeqCst) < times { refusal() } else { answer() }
    });
    (sandbox, ollama)
}

fn used_up() -> Reply {
    let message = format!("the budget of your account, 1M tokens per day, is used up; it renews at {MIDNIGHT}");
    let body = json!({ "error": message, "code": "budget", "renews_at": MIDNIGHT });
    Reply::json(429, body).header("Retry-After", UNTIL_MIDNIGHT)
}

fn clock(sandbox: &mut Sandbox) -> SetClock {
    let now = NOW.parse::<Timestamp>().unwrap().as_second();
    let clock = SetClock::at(now);
    clock.set(now);
    clock.give_to(sandbox);
    clock
}

fn run(sandbox: &Sandbox, more: &[&str]) -> Cmd {
    sandbox.command(["run", "tiny", "hi"]).args(more)
}

fn asked(ollama: &Ollama) -> usize {
    ollama.server().count("POST", "/api/generate")
}

#[test]
fn a_wait_that_would_be_too_long_is_not_begun() {
    let (sandbox, ollama) = refusing(usize::MAX, || Reply::retry_after(429, "17"));
    let output = run(&sandbox, &["--wait=16s"]).run().expect_code(7);
    assert_eq!((asked(&ollama), output.stdout()), (1, ""));
    let says =
        "the wait of 17 seconds is longer than what is left of --wait; to wait for it: ollama-auth run --wait tiny";
    assert!(output.stderr().contains(says) && !output.stderr().contains("waiting until"), "{}", output.snapshot());
    assert!(output.stderr().contains("(429): try again later"), "{}", output.snapshot());
}

#[test]
fn a_host_that_refuses_three_times_answers_once() {
    let (sandbox, ollama) = refusing(3, || Reply::retry_after(429, "0"));
    let output = run(&sandbox, &["--wait"]).stdin("what was piped in").run().expect_code(0);
    assert_eq!(output.stdout(), "once\n\n");
    let prompts: Vec<Value> = ollama
        .server()
        .requests()
        .iter()
        .filter_map(|request| {
            let body: Value = serde_json::from_slice(&request.body).ok()?;
            body.get("prompt").cloned()
        })
        .collect();
    assert_eq!(prompts, vec![json!("what was piped in hi"); 4]);
    // No terminal: one line, and not one for each of these short waits.
    assert_eq!(output.stderr().matches("waiting until").count(), 1, "{}", output.snapshot());
}

#[test]
fn nonsense_in_retry_after_is_not_believed() {
    for (value, wait, requests) in [
        ("-1", "1s", 2),
        ("soon", "1s", 2),
        ("NaN", "1s", 2),
        ("", "1s", 2),
        ("Fri, 31 Dec 9999 23:59:59 GMT", "1s", 2),
        ("Fri, 20 Nov 2020 21:53:52 GMT", "1s", 2),
        ("18446744073709551616", "1h", 1),
        ("1e300", "1h", 1),
        ("Tue, 31 Dec 2999 23:59:59 GMT", "1h", 1),
    ] {
        let (sandbox, ollama) = refusing(usize::MAX, move || Reply::retry_after(429, value));
        let output = run(&sandbox, &[&format!("--wait={wait}")]).run().expect_code(7);
        assert!(!output.stderr().contains("panicked"), "{value}: {}", output.snapshot());
        assert_eq!(asked(&ollama), requests, "{value}: {}", output.snapshot());
    }
}

#[test]
fn a_host_that_does_not_say_how_long_is_asked_less_and_less_often() {
    let (mut sandbox, ollama) = refusing(usize::MAX, || Reply::json(429, "{\"error\":\"busy\"}"));
    let clock = clock(&mut sandbox);
    let child = run(&sandbox, &["--wait=100s"]).spawn();
    // After 1, 2, 4, 8, 16, 30 and 30 seconds, and after the 9 that are left then.
    poll("nine requests", || {
        clock.pass(1);
        (asked(&ollama) == 9).then_some(())
    });
    child.finish().expect_code(7);
    assert_eq!(asked(&ollama), 9);
}

#[test]
fn all_requests_of_a_command_wait_no_longer_together() {
    let (sandbox, ollama) = refusing(usize::MAX, || Reply::retry_after(429, "1"));
    let shown = AtomicUsize::new(0);
    ollama.route("POST", "/api/show", move |_| {
        if shown.fetch_add(1, Ordering::SeqCst) == 0 {
            Reply::retry_after(429, "1")
        } else {
            Reply::json(200, r#"{"capabilities":["completion"]}"#)
        }
    });
    run(&sandbox, &["--wait=1s"]).run().expect_code(7);
    assert_eq!((ollama.server().count("POST", "/api/show"), asked(&ollama)), (2, 1));
}

#[test]
fn ctrl_c_ends_a_wait() {
    let (sandbox, ollama) = refusing(usize::MAX, || Reply::retry_after(429, "3600"));
    let waiting = run(&sandbox, &["--wait=2h"]).spawn();
    waiting.wait_stderr(|text| text.contains("waiting until"));
    waiting.signal(Signal::INT);
    let output = waiting.finish().expect_code(130);
    assert_eq!((asked(&ollama), output.stdout()), (1, ""));
    let mut terminal = Terminal::start(&sandbox, &["run", "tiny", "hi", "--wait=2h"]);
    terminal.wait_text("waiting until");
    terminal.send("\x03");
    let finished = terminal.finish();
    assert!(finished.code == 130 && finished.restored && !finished.hidden_cursor, "{}", finished.screen);
    assert_eq!(finished.screen.trim(), "");
}

#[test]
fn a_budget_that_is_used_up_is_told_by_the_clock_of_this_machine() {
    let (mut sandbox, ollama) = refusing(usize::MAX, used_up);
    let _clock = clock(&mut sandbox);
    sandbox.set_env("TZ", "Europe/Berlin");
    let output = run(&sandbox, &[]).run().expect_code(7);
    for says in [
        "the budget of your account, 1M tokens per day, is used up",
        "the budget renews at 01:00 CET (in 3 hours)",
        "to wait for it: ollama-auth run --wait=4h tiny",
    ] {
        assert!(output.stderr().replace('\n', " ").contains(says), "{says}\n{}", output.snapshot());
    }
    let error: Value = serde_json::from_str(run(&sandbox, &["--json"]).run().expect_code(7).stderr()).unwrap();
    assert_eq!((&error["error"]["retry_after_s"], &error["error"]["renews_at"]), (&json!(11_520), &json!(MIDNIGHT)));
    assert_eq!(error["error"]["code"], "try-later");
    // Other commands say so, too.
    ollama.route("GET", "/api/tags", |_| used_up());
    let output = sandbox.command(["list"]).run().expect_code(7);
    assert!(output.stderr().contains("the budget renews at 01:00 CET (in 3 hours)"), "{}", output.snapshot());
    assert!(!output.stderr().contains("--wait"), "{}", output.snapshot());
}

#[test]
fn a_budget_is_waited_for_until_it_renews() {
    let (mut sandbox, ollama) = refusing(1, used_up);
    let clock = clock(&mut sandbox);
    let waiting = run(&sandbox, &["--wait=4h"]).spawn();
    waiting.wait_stderr(|text| text.contains("waiting until 00:00 UTC (Ctrl-C ends): http://"));
    assert_eq!(asked(&ollama), 1);
    clock.pass(11_521);
    assert_eq!(waiting.finish().expect_code(0).stdout(), "once\n\n");
}

#[test]
fn a_terminal_shows_the_wait_as_long_as_it_lasts() {
    let (mut sandbox, _ollama) = refusing(1, used_up);
    let clock = clock(&mut sandbox);
    let terminal = Terminal::start_sized(&sandbox, &["run", "tiny", "hi", "--wait=4h"], 120, 24);
    terminal.wait_text("waiting until 00:00 UTC (Ctrl-C ends): http://");
    clock.pass(11_521);
    let finished = terminal.finish();
    assert_eq!((finished.code, finished.screen.trim()), (0, "once"));
}
