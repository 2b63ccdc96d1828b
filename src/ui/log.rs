//! The program's own trace, for `-vv`: which requests went where. Only our own events come here, and none holds a secret.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// Writes trace events to stderr from now on, one a line.
pub fn log_to_stderr() {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .finish();
    // Only fails when there is a subscriber already.
    let _ = subscriber.try_init();
}
