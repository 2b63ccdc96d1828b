//! Three gateways on one PostgreSQL behind a real nginx, while all of them are killed again and again: nothing that was confirmed is lost,
//! nothing that was taken away is accepted beyond `offline-grace`, and what may be used once is used once.
//!
//! `CHAOS_SECONDS` and `CHAOS_STREAMS` say how long and how much; `.ci/weekly` sets them.

mod chaos;
mod cluster;
mod http;
mod ledger;
mod work;

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::postgres::Postgres;

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text:?}")))
}

fn streams() -> usize {
    // Each stream is four connections, of two of which the test has one end.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(maximum.unwrap_or(1 << 20)), maximum }).unwrap();
    usize::try_from(setting("CHAOS_STREAMS", 500)).unwrap()
}

#[test]
fn what_was_confirmed_holds_while_gateways_and_database_are_killed() {
    let seconds = Duration::from_secs(setting("CHAOS_SECONDS", 20));
    let server = Postgres::start();
    chaos::run(&server.database(), streams(), &server, |cluster, _| chaos::kill(cluster, &server, seconds));
}

/// The primary dies for good. Each commit waited for the standby, so it has everything.
#[test]
#[allow(clippy::print_stderr, reason = "a figure for whoever runs it by hand")]
fn what_was_confirmed_holds_when_a_synchronous_standby_is_promoted() {
    let primary = Postgres::start();
    let address = primary.database();
    let standby = primary.standby();
    primary.wait_for_standby();
    let shared = chaos::run(&standby.address_behind(&primary, &address), streams(), &standby, |_, _| {
        std::thread::sleep(Duration::from_secs(5));
        primary.end("KILL");
        standby.promote();
        std::thread::sleep(Duration::from_secs(8));
    });
    let after = shared.ledger.longest_pause();
    eprintln!("without a confirmed change for {after:?}");
}
