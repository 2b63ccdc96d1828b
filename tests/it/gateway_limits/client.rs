//! What our own client does when a limit is reached: it says when it may continue, or waits.

use jiff::Timestamp;
use rustix::process::Signal;

use super::Limited;
use crate::given::with_store;
use crate::harness::cmd::{Cmd, Sandbox};
use crate::harness::ollama::Ollama;
use crate::harness::set_clock::SetClock;

/// A gateway whose clock stands still, in front of recorded answers; and a machine that has a key with that limit and nothing else. Every
/// run makes two requests: what the model can do, and the prompt.
fn given(limit: &str) -> (Ollama, Limited, SetClock, Sandbox) {
    let ollama = Ollama::start();
    let clock = SetClock::at(Timestamp::now().as_second());
    let limited = Limited::start_within(&ollama.url(), "", &[], Some(&clock));
    let key = limited.gateway.key(&limited.device, &["k", "--limit", limit]);
    clock.set(clock.now());
    let mut machine = with_store("plaintext");
    machine.set_env("OLLAMA_API_KEY", key).set_env("OLLAMA_HOST", limited.gateway.url());
    (ollama, limited, clock, machine)
}

fn run(machine: &Sandbox, more: &[&str]) -> Cmd {
    machine.command(["run", "tiny", "hi"]).args(more)
}

#[test]
fn run_says_when_it_may_continue() {
    let (_ollama, _limited, _clock, machine) = given("rpm=5,burst=2");
    run(&machine, &[]).run().expect_code(0);
    let refused = run(&machine, &[]).run().expect_code(7);
    let says = "the limit of this key, 5 requests per minute, is used up; try again in 12 s";
    assert!(refused.stderr().contains(says), "{}", refused.stderr());
    assert!(refused.stderr().contains("to wait for it: ollama-auth run --wait tiny"), "{}", refused.stderr());
    assert_eq!(refused.stderr().matches("try again in").count(), 1, "{}", refused.stderr());
    // Other commands say so, too.
    let refused = machine.command(["list"]).run().expect_code(7);
    assert!(
        refused.stderr().contains(says) && refused.stderr().matches("try again").count() == 1,
        "{}",
        refused.stderr()
    );
    // A wait that would be too long is not begun.
    let refused = run(&machine, &["--wait=11s"]).run().expect_code(7);
    assert!(refused.stderr().contains(says), "{}", refused.stderr());
}

#[test]
fn run_waits_until_the_limit_allows_it() {
    let (_ollama, limited, clock, machine) = given("rpm=60,burst=2");
    run(&machine, &[]).run().expect_code(0);
    let waiting = run(&machine, &["--wait"]).spawn();
    let line = "(Ctrl-C ends): the host: the limit of this key, 60 requests per minute, is used up; try again in 1 s";
    let line = line.replace("the host", &limited.gateway.url());
    waiting.wait_stderr(|text| text.contains("waiting until ") && text.replace('\n', " ").contains(&line));
    // Both of its requests.
    clock.pass(2);
    let done = waiting.finish().expect_code(0);
    assert_eq!(done.stderr().matches("waiting until").count(), 1, "{}", done.stderr());
    assert!(!done.stdout().is_empty());
    // As JSON it is an event.
    let waiting = run(&machine, &["--wait=1h", "--json"]).spawn();
    waiting.wait_stderr(|text| {
        text.contains("\"event\":\"waiting\"") && text.contains("\"seconds\":3600") && text.contains("\"until\":\"20")
    });
    clock.pass(2);
    waiting.finish().expect_code(0);
}

#[test]
fn ctrl_c_ends_the_wait() {
    let (_ollama, _limited, _clock, machine) = given("rpm=1,burst=2");
    run(&machine, &[]).run().expect_code(0);
    let waiting = run(&machine, &["--wait"]).spawn();
    waiting.wait_stderr(|text| text.contains("waiting until"));
    waiting.signal(Signal::INT);
    waiting.finish().expect_code(130);
}
