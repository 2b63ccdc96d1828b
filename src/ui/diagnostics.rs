//! What goes to stderr beside messages: trace events for `-vv` and services, and one line for a panic. Only this program's own events
//! are written, since libraries might log secrets; a panic shows its place without its text, which could contain anything.

use std::panic;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::ui::stream::Stream;

/// Writes what a long-running service has to say to stderr from now on, one event a line, with the time: what happened, and with `verbose`
/// each request and each step.
pub fn log_service(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false);
    let _ = tracing_subscriber::registry().with(lines).with(ours).try_init();
}

/// Writes trace events to stderr from now on, one a line.
pub fn log_to_stderr() {
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), LevelFilter::DEBUG);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).without_time();
    // Only fails when there is a subscriber already.
    let _ = tracing_subscriber::registry().with(lines).with(ours).try_init();
}

/// Replaces the report of a panic by one line with the source location.
pub fn report_panics_briefly() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, |place| format!(" ({place})"));
        let line =
            format!("error: ollama-auth crashed{place}: this is a bug. Please report it with the command you ran.\n");
        if let Ok(stderr) = Stream::stderr() {
            // If even this fails, nothing is left to report to.
            let _ = stderr.write_all(line.as_bytes());
        }
    }));
}
