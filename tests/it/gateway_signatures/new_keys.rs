//! Our own client at a gateway whose network has just sent as many new keys as it may at once.

use std::ops::Range;

use super::{Given, START};
use crate::given::with_store;
use crate::harness::cmd::Sandbox;
use crate::harness::set_clock::SetClock;
use crate::harness::signature::TestDevice;

/// As many as a network may send at once.
const TOO_MANY: Range<u8> = 100..148;

/// Asks with new keys of these seeds from the address of this machine, and gives how many were offered a link.
fn ask_with_new_keys(given: &Given, seeds: Range<u8>) -> usize {
    let me = format!("/api/me?ts={}", given.clock.now());
    let is_offered = |seed: &u8| {
        let header = format!("Authorization: {}", TestDevice::new(*seed).sign(&format!("POST,{me}")));
        given.gateway.ask("POST", &me, &[&header], "").json()["signin_url"].is_string()
    };
    seeds.filter(is_offered).count()
}

/// A machine with the gateway's clock, which stands still.
fn laptop(given: &Given) -> Sandbox {
    let mut laptop = with_store("plaintext");
    given.clock.give_to(&mut laptop);
    laptop
}

fn link_in(text: &str) -> &str {
    text.split_whitespace().find(|word| word.contains("/connect?")).expect("a link")
}

/// As in a class that signs in together.
#[test]
fn a_sign_in_among_too_many_new_keys_waits_for_its_link() {
    for (args, code) in [(&[][..], 0), (&["--no-wait"], 4)] {
        let given = Given::at(START);
        let laptop = laptop(&given);
        ask_with_new_keys(&given, TOO_MANY);
        let child = laptop.command(["signin", "--host", &given.gateway.url()]).args(args).spawn();
        let said = child.wait_stderr(|text| text.contains("Waiting until it offers a sign-in link"));
        assert!(!said.contains("/connect?"), "{said}");
        given.clock.run();
        let shown = match code {
            0 => child.wait_stderr(|text| text.contains("/connect?") && text.contains("Fingerprint")),
            _ => child.wait_stdout(|text| text.contains("/connect?") && text.ends_with('\n')),
        };
        given.gateway.admin(&["approve", link_in(&shown), "--user", "ada"]).expect_code(0);
        child.finish().expect_code(code);
    }
}

#[test]
fn a_link_that_is_not_offered_in_time_is_not_shown() {
    let given = Given::at(START);
    ask_with_new_keys(&given, TOO_MANY);
    let mut laptop = with_store("plaintext");
    // The gateway's stands still.
    let clock = SetClock::at(START);
    clock.give_to(&mut laptop);
    let output = laptop.command(["signin", "--host", &given.gateway.url(), "--timeout", "1s"]).run().expect_code(7);
    for words in ["offered no sign-in link within 1 s", "too many new devices", "run the command again"] {
        assert!(output.stderr().contains(words), "{}", output.snapshot());
    }
    assert!(!output.stderr().contains("/connect?"), "{}", output.snapshot());
    let profiles = laptop.command(["profile", "list", "--json"]).run().expect_code(0).json();
    assert_eq!(profiles["profiles"], serde_json::json!([]), "nothing is left");
}

#[test]
fn a_rotation_among_too_many_new_keys_waits_for_its_link() {
    let given = Given::at(START);
    let laptop = laptop(&given);
    let signin = ["signin", "--host", &given.gateway.url(), "--no-wait"];
    let first = laptop.command(signin).run().expect_code(4);
    given.gateway.admin(&["approve", link_in(first.stdout()), "--user", "ada"]).expect_code(0);
    laptop.command(signin).run().expect_code(0);
    ask_with_new_keys(&given, TOO_MANY);
    let child = laptop.command(["device", "rotate", "--no-browser", "--yes"]).spawn();
    let said = child.wait_stderr(|text| text.contains("Waiting until it offers a sign-in link"));
    assert!(!said.contains("/connect?"), "{said}");
    given.clock.run();
    let shown = child.wait_stderr(|text| text.contains("/connect?") && text.contains("New key"));
    given.gateway.admin(&["approve", link_in(&shown), "--user", "ada"]).expect_code(0);
    child.finish().expect_code(0);
}

/// Each would be one more of the keys that the network may send.
#[test]
fn a_gateway_gets_no_throwaway_keys_from_sign_ins_and_lookups() {
    let given = Given::at(START);
    let laptop = laptop(&given);
    assert_eq!(ask_with_new_keys(&given, 100..146), 46);
    let signin = ["signin", "--host", &given.gateway.url(), "--no-wait"];
    let first = laptop.command(signin).run().expect_code(4);
    given.gateway.admin(&["approve", link_in(first.stdout()), "--user", "ada"]).expect_code(0);
    laptop.command(signin).run().expect_code(0);
    for (args, code) in [(&["status"][..], 0), (&["keys", "list"], 0), (&["keys", "audit"], 0), (&["doctor"], 8)] {
        let output = laptop.command(args).run();
        assert!([0, code].contains(&output.code()), "{}", output.snapshot());
    }
    assert_eq!(ask_with_new_keys(&given, 150..152), 1);
}
