//! Requests and responses that get lost, and hosts that disappear.

use super::*;

/// Fails once at each request of a rotation, with and without a command, until a rotation has no more of them.
fn fail_everywhere(failure: Failure, codes: &[i32], grace: &str) {
    let mut given = Given::new();
    let relay = Relay::start(given.gateway.address());
    given.machine = crate::given::with_store("plaintext");
    let keep = ["signin", "--with-api-key", "--host", &relay.url()];
    given.machine.command(keep).stdin(text(&given.first, "key")).run().expect_code(0);
    let mut troubled = 0;
    for number in 0.. {
        let more: &[&str] =
            if number % 2 == 0 { &[] } else { &["--deploy", "read -r key; echo \"$key\" > $HOME/deployed"] };
        let before = given.current();
        relay.fail(number..number + 1, failure);
        let args = [&["nightly", "--max-age", "0s", "--grace", grace], more].concat();
        let output = given.rotate(&args);
        let (_, failed) = relay.stop_failing();
        let what = format!("{failure:?} at request {number}: {}", output.snapshot());
        if !failed {
            assert_eq!(output.code(), 0, "{what}");
            break;
        }
        if output.code() != 0 {
            troubled += 1;
            assert!(codes.contains(&output.code()), "{what}");
            assert!(given.accepts(&given.current()), "{what}");
            let with_old = given.current() == before;
            let stays = output.stderr().contains("is unchanged") || output.stderr().contains("next run tries again");
            assert!(stays || given.journal_entries().iter().all(|one| one["step"] == "ending"), "{what}");
            assert!(with_old || output.stderr().contains("next run tries again"), "{what}");
        }
        if output.code() != 0 {
            let again = given.rotate(&args);
            assert_eq!(again.code(), 0, "{what}\nagain: {}", again.snapshot());
        }
        let (current, lasting) = (given.current(), replaceable_keys(&given));
        assert!(given.accepts(&current), "{what}");
        assert_ne!(current, before, "{what}");
        assert_eq!(lasting.len(), 1, "{what}\n{lasting:#?}");
        assert!(current.ends_with(text(&lasting[0], "hint")), "{what}");
        assert!(given.journal_entries().iter().all(|one| one["step"] == "ending"), "{what}");
    }
    // A request whose connection ends is sent again where that is harmless; else its answer is looked for.
    let most = matches!(failure, Failure::Before | Failure::After);
    assert!(most || troubled > 5, "{troubled} rotations were hindered by {failure:?}");
    // When the old keys have ended, nothing is left.
    if grace != "1h" {
        poll("an empty journal", || {
            given.rotate(&["--all", "--max-age", "90d"]).expect_code(0);
            given.journal_entries().is_empty().then_some(())
        });
        assert_eq!(given.live().len(), 1);
        assert!(!plaintext(&given.machine).contains("next-api-key"));
    }
}

#[test]
fn a_connection_closed_before_the_request_is_recovered() {
    fail_everywhere(Failure::Before, &[6], "1s");
}

#[test]
fn a_lost_response_is_recovered() {
    fail_everywhere(Failure::After, &[6], "0s");
}

#[test]
fn a_truncated_response_is_recovered() {
    fail_everywhere(Failure::Cut, &[1, 4, 6], "1h");
}

#[test]
fn a_500_response_is_recovered() {
    fail_everywhere(Failure::Status(500), &[1], "1h");
}

#[test]
fn a_429_response_is_recovered() {
    fail_everywhere(Failure::Status(429), &[7], "1h");
}

/// A run that created no key fails, even if it has rolled everything back.
#[test]
fn new_keys_that_always_get_lost_fail_the_rotation() {
    let mut given = Given::new();
    let relay = Relay::start(given.gateway.address());
    given.machine = crate::given::with_store("plaintext");
    let keep = ["signin", "--with-api-key", "--host", &relay.url()];
    given.machine.command(keep).stdin(text(&given.first, "key")).run().expect_code(0);
    relay.fail(0..usize::MAX, Failure::AfterMaking);
    let output = given.rotate(&["nightly", "--json"]).expect_code(1);
    assert_eq!(output.json()["rotations"][0]["outcome"], "failed");
    assert_eq!(given.current(), text(&given.first, "key"));
    assert!(given.journal_entries().is_empty());
    assert_eq!(replaceable_keys(&given).len(), 1);
    relay.stop_failing();
    given.rotate(&["nightly"]).expect_code(0);
    assert_ne!(given.current(), text(&given.first, "key"));
}

/// The host goes away in the middle and stays away for the rest of that run.
#[test]
fn a_host_that_disappears_during_the_rotation() {
    let mut given = Given::new();
    let relay = Relay::start(given.gateway.address());
    given.machine = crate::given::with_store("plaintext");
    let keep = ["signin", "--with-api-key", "--host", &relay.url()];
    given.machine.command(keep).stdin(text(&given.first, "key")).run().expect_code(0);
    for number in 0.. {
        let before = given.current();
        let failure = if number % 2 == 0 { Failure::Before } else { Failure::After };
        relay.fail(number..usize::MAX, failure);
        let output = given.rotate(&["nightly", "--max-age", "0s", "--grace", "1h", "--deploy", "true"]);
        let (_, failed) = relay.stop_failing();
        if !failed {
            output.expect_code(0);
            break;
        }
        let output = output.expect_code(6);
        assert!(given.accepts(&before), "request {number}: {}", output.snapshot());
        let again = given.rotate(&["nightly", "--max-age", "0s", "--grace", "1h", "--deploy", "true"]).expect_code(0);
        assert_eq!(replaceable_keys(&given).len(), 1, "request {number}: {}\n{}", output.snapshot(), again.snapshot());
        assert!(given.accepts(&given.current()) && given.current() != before);
    }
}

/// Each kind of request that changes something, answered by silence.
#[test]
fn a_host_that_never_responds_times_out() {
    std::thread::scope(|scope| {
        // The list, the making, the end: requests 0, 4 and 12 of a rotation without a command.
        for number in [0, 4, 12] {
            scope.spawn(move || {
                let mut given = Given::new();
                let relay = Relay::start(given.gateway.address());
                given.machine = crate::given::with_store("plaintext");
                let keep = ["signin", "--with-api-key", "--host", &relay.url()];
                given.machine.command(keep).stdin(text(&given.first, "key")).run().expect_code(0);
                relay.fail(number..number + 1, Failure::Hang);
                let command = given.machine.command(["keys", "rotate", "nightly", "--grace", "1h"]);
                let output = command.deadline(Duration::from_secs(120)).run();
                assert!(relay.stop_failing().1);
                assert!(output.duration < Duration::from_secs(60), "{:?}", output.duration);
                if output.code() != 0 {
                    says(&output.expect_code(6), &["within 30 seconds"]);
                }
                assert!(given.accepts(text(&given.first, "key")));
                given.rotate(&["nightly", "--grace", "1h"]).expect_code(0);
                assert_eq!(replaceable_keys(&given).len(), 1);
                given.assert_rotated();
            });
        }
    });
}
