//! The program's own trace, for `-vv`: which requests went where. Only our own events come here, and none holds a secret:
//! what the libraries below would write is not ours to vouch for.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Writes what a long-running service has to say to stderr from now on, one event a line, with the time: what happened, and with `verbose`
/// (1, 2) each request and each step.
pub fn log_service(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false);
    let _ = tracing_subscriber::registry().with(lines).with(ours).try_init();
}

/// Writes trace events to stderr from now on, one a line.
pub fn log_to_stderr() {
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), LevelFilter::TRACE);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).without_time();
    // Only fails when there is a subscriber already.
    let _ = tracing_subscriber::registry().with(lines).with(ours).try_init();
}
