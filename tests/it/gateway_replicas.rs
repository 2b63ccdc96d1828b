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

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text:?}")))
}

#[test]
fn what_was_confirmed_holds_while_gateways_and_database_are_killed() {
    let seconds = Duration::from_secs(setting("CHAOS_SECONDS", 20));
    let streams = usize::try_from(setting("CHAOS_STREAMS", 500)).unwrap();
    chaos::run(seconds, streams);
}
