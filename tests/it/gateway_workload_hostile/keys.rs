//! The keys of an issuer over time: rotated, endless, unknown, and not to be had.

use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Given, honest, with};
use crate::harness::set_clock::SetClock;

/// How long the gateway waits before it asks again because of an unknown key id, and a little more.
const INTERVAL: i64 = 31;
const HOUR: i64 = 3600;

impl Given {
    /// The honest token of the time that the clock shows, signed by that key.
    fn token_at(&self, clock: &SetClock, key: &str) -> String {
        let times = json!({ "iat": clock.now(), "exp": clock.now() + 300 });
        self.issuer.mint(&json!({ "key": key, "claims": with(honest(), &times) }))
    }

    fn status_at(&self, clock: &SetClock, key: &str) -> u16 {
        self.ask(&self.token_at(clock, key)).status
    }

    /// Sends tokens on one connection, and gives the statuses of the answers.
    fn statuses(&self, tokens: &[String]) -> Vec<u16> {
        let mut requests = String::new();
        for (index, token) in tokens.iter().enumerate() {
            let last = if index + 1 == tokens.len() { "Connection: close\r\n" } else { "" };
            requests += &format!(
                "GET /api/tags HTTP/1.1\r\nHost: {}\r\n{last}Authorization: Bearer {token}\r\n\r\n",
                self.gateway.address()
            );
        }
        let answers = self.gateway.raw(requests);
        let answers = String::from_utf8_lossy(&answers).into_owned();
        answers.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
    }
}

/// A clock that shows this time.
fn clock() -> SetClock {
    SetClock::at(Timestamp::now().as_second())
}

#[test]
fn ten_thousand_unknown_key_ids_cause_one_request() {
    let clock = clock();
    let given = Given::with_clock(&clock);
    assert_eq!(given.status_at(&clock, "first"), 200);
    assert_eq!((given.issuer.count("discovery"), given.issuer.count("jwks")), (1, 1));
    let token = given.token_at(&clock, "first");
    let (_, rest) = token.split_once('.').unwrap();
    let began = Instant::now();
    let flood = |round: usize| {
        for part in 0..25 {
            let kid = |index: usize| format!(r#"{{"alg":"RS256","kid":"{round}-{part}-{index}"}}"#);
            let tokens = (0..200).map(|index| format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(kid(index))));
            let statuses = given.statuses(&tokens.collect::<Vec<_>>());
            assert_eq!(statuses.len(), 200);
            // The others cannot be told from those of a key that is new at the issuer.
            assert!(statuses.iter().all(|status| matches!(status, 401 | 503)), "{statuses:?}");
        }
    };
    flood(0);
    clock.pass(INTERVAL);
    flood(1);
    // One for the interval that passed, and one for each that passed really.
    let intervals = 1 + began.elapsed().as_secs() / 30;
    let asked = given.issuer.count("jwks");
    assert!((2..=1 + intervals).contains(&asked), "{asked} requests in {intervals} intervals");
    assert_eq!(given.status_at(&clock, "first"), 200);
}

#[test]
fn a_new_key_is_found_and_an_old_one_ends() {
    let clock = clock();
    let given = Given::with_clock(&clock);
    let old = given.token_at(&clock, "first");
    assert_eq!(given.ask(&old).status, 200);
    given.issuer.add_key("second", "ES256");
    assert_eq!(given.status_at(&clock, "second"), 503, "asked a moment ago: it may be new");
    clock.pass(INTERVAL);
    assert_eq!((given.status_at(&clock, "second"), given.ask(&old).status), (200, 200));
    // The old one is withdrawn: its tokens end with the next request for the keys, those too that were verified before.
    given.issuer.publish("first", false);
    clock.pass(INTERVAL);
    let times = json!({ "iat": clock.now(), "exp": clock.now() + 300 });
    let unknown = json!({ "sign": "raw", "header": { "kid": "unknown" }, "claims": with(honest(), &times) });
    given.refuses("an unknown key", &given.issuer.mint(&unknown));
    given.refuses_with_one(&[401, 503], "a withdrawn key", &old);
    assert_eq!(given.status_at(&clock, "second"), 200);
    clock.pass(INTERVAL);
    given.refuses("a withdrawn key", &old);
}

#[test]
fn withdrawn_keys_end_within_about_an_hour_without_unknown_ones() {
    let clock = clock();
    let given = Given::with_clock(&clock);
    let claims = json!({ "iat": clock.now() + 2 * HOUR - 600, "exp": clock.now() + 4 * HOUR });
    assert_eq!(given.status_at(&clock, "first"), 200);
    given.issuer.add_key("second", "RS256");
    given.issuer.publish("first", false);
    clock.pass(2 * HOUR);
    let token = given.issuer.token(with(honest(), &claims));
    // The first request after an hour asks for the keys, and is answered by them.
    assert_eq!(given.ask(&token).status, 401);
    assert_eq!(given.issuer.count("jwks"), 2);
    assert_eq!(given.status_at(&clock, "second"), 200);
}

#[test]
fn another_key_under_an_old_id_replaces_it() {
    let clock = clock();
    let given = Given::with_clock(&clock);
    let old = given.token_at(&clock, "first");
    assert_eq!(given.ask(&old).status, 200);
    given.issuer.make_key(&json!({ "name": "stolen", "kid": "first", "published": false }));
    given.refuses("another key", &given.token_at(&clock, "stolen"));
    given.issuer.add_key("first", "RS256");
    clock.pass(2 * HOUR);
    crate::harness::poll("the new key", || (given.status_at(&clock, "first") == 200).then_some(()));
}

#[test]
fn cached_keys_last_while_the_issuer_is_down_and_then_end() {
    let clock = clock();
    let given = Given::with_clock(&clock);
    assert_eq!(given.status_at(&clock, "first"), 200);
    for endpoint in ["discovery", "jwks"] {
        given.issuer.behave(endpoint, json!({ "close": true }));
    }
    for _ in 0..11 {
        clock.pass(2 * HOUR);
        assert_eq!(given.status_at(&clock, "first"), 200);
    }
    // Unknown keys are not found.
    let times = json!({ "iat": clock.now(), "exp": clock.now() + 300 });
    given.refuses_unknown_key(&json!({ "sign": "raw", "header": { "kid": "unknown" }, "claims": times }));
    clock.pass(3 * HOUR);
    crate::harness::poll("the end of the keys", || (given.status_at(&clock, "first") == 503).then_some(()));
    let answer = given.ask(&given.token_at(&clock, "first"));
    assert!(answer.status == 503 && answer.header("retry-after").is_some(), "{answer:?}");
    // It is there again.
    for endpoint in ["discovery", "jwks"] {
        given.issuer.behave(endpoint, Value::Null);
    }
    clock.pass(INTERVAL);
    crate::harness::poll("the issuer", || (given.status_at(&clock, "first") == 200).then_some(()));
}

#[test]
fn a_key_set_that_grows_or_does_not_end_is_not_used_and_the_old_one_is() {
    for how in [
        json!({ "endless": true }),
        json!({ "more_keys": 100 }),
        json!({ "more_keys": 5000 }),
        json!({ "padding": 256 << 10 }),
        json!({ "status": 500 }),
        json!({ "body": "" }),
        json!({ "patch": { "keys": [] } }),
    ] {
        let clock = clock();
        let given = Given::with_clock(&clock);
        assert_eq!(given.status_at(&clock, "first"), 200);
        given.issuer.add_key("second", "ES256");
        given.issuer.behave("jwks", how.clone());
        clock.pass(INTERVAL);
        let status = given.status_at(&clock, "second");
        assert!(status == 401 || status == 503, "{how}: {status}");
        assert_eq!(given.status_at(&clock, "first"), 200, "{how}");
        assert_eq!(given.issuer.count("jwks"), 2, "{how}");
        // As many as are allowed.
        given.issuer.behave("jwks", json!({ "more_keys": 98 }));
        clock.pass(INTERVAL);
        assert_eq!(given.status_at(&clock, "second"), 200, "{how}");
    }
}
