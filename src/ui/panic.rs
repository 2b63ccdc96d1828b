//! What a person sees of a panic: where it happened, without the message, which could contain anything.

use std::panic;

use super::stream::Stream;

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
