//! What becomes of responses under way when the configuration changes.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;

use super::{BOTH, Given, Mode, PROD_HOST, STAGING_HOST};

/// Responses that are open at a time.
const MANY: usize = 1000;

/// Whether a response that was begun ends as a whole one.
fn is_whole(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    // A time limit is no end.
    assert!(!read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "the response does not end");
    rest.ends_with(b"0\r\n\r\n")
}

#[test]
fn a_reload_during_a_thousand_responses_cuts_off_those_whose_right_is_gone() {
    let given = Given::start(&format!("max-connections = 5000\nmax-connections-per-address = 5000\n{BOTH}"));
    let (prod, staging, plain) = (given.key("prod"), given.key("staging"), given.key(""));
    let public = given.gateway.address();
    given.upstream.set(Mode::Held);
    let places = [(PROD_HOST, &prod), (STAGING_HOST, &staging), (&*public, &plain), (&*public, &staging)];
    let mut open: Vec<(usize, TcpStream)> = Vec::new();
    for number in 0..MANY {
        let place = number % places.len();
        open.push((place, given.begin_at(places[place].0, places[place].1)));
    }
    // More environments, other limits and rules that allow as much cut nothing.
    let head = "max-connections = 5000\nmax-connections-per-address = 5000\n";
    let more = "[environments.more]\nhosts = [\"more.example\"]\n[environments.prod.limits]\nstreams = 1\n[groups.x.limits]\nstreams = 1\n";
    given.reload(&format!("{head}{BOTH}{more}"));
    given.reload(&format!("{head}{BOTH}"));
    assert_eq!(given.upstream.left(), 0);
    // The role may not use staging any more.
    given.reload(&format!("{head}[roles.member]\nenvironments = [\"prod\"]\n{BOTH}"));
    given.upstream.wait_left(MANY / 2);
    given.upstream.release();
    for (place, stream) in open {
        assert_eq!(is_whole(stream), matches!(place, 0 | 2), "{place}");
    }
    assert_eq!(given.upstream.left(), MANY / 2);
}

#[test]
fn a_response_is_cut_when_its_environment_is_gone_or_does_not_accept_its_key() {
    let open = BOTH.replace("[environments.prod]\n", "[environments.prod]\nallow-unlabelled = true\n");
    let given = Given::start(&open);
    let (prod, plain) = (given.key("prod"), given.key(""));
    given.upstream.set(Mode::Held);
    let [of_prod, of_plain] = [&prod, &plain].map(|key| given.begin_at(PROD_HOST, key));
    let log = given.reload(BOTH);
    assert!(log.contains("unlabelled"), "{log}");
    assert!(!is_whole(of_plain), "unlabelled keys are not accepted any more");
    given.reload(&BOTH.replace("prod", "other"));
    assert!(!is_whole(of_prod), "the environment is gone");
    // What came by a name of no environment continues.
    let elsewhere = given.begin_at(&given.gateway.address(), &prod);
    given.reload(&open);
    given.reload(BOTH);
    given.upstream.release();
    assert!(is_whole(elsewhere));
}
