//! What a person sees of a bug: where it is, without the message, which could hold anything.

use std::panic;

use super::stream::Stream;

/// Replaces the report of a panic by one line that names the place.
pub fn report_panics_briefly() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, |place| format!(" ({place})"));
        let line = format!("error: this is a bug in ollama-auth{place}; please report it with the command you ran\n");
        if let Ok(stderr) = Stream::stderr() {
            // There is nobody to tell if even this fails.
            let _ = stderr.write_all(line.as_bytes());
        }
    }));
}
