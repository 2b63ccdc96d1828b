//! The progress of a pull or a push: bars on a terminal, lines elsewhere, and an end that is judged. That the status was 200
//! says nothing: only `success` does.

use std::time::Duration;

use crate::api::{ApiError, LineStream, ProgressChunk};
use crate::app::App;
use crate::ui::Printer;

/// How long the server may take to end its answer after `success`: it brings its own lists up to date then.
const SETTLE: Duration = Duration::from_secs(2);

/// Shows the progress to its end. `kept` is what to say when a person breaks it off.
///
/// # Errors
/// What the stream ends in, and one that ends without `success`.
pub async fn follow(app: &App, mut stream: LineStream, kept: &str) -> Result<(), ApiError> {
    let mut brake = BrokenOff { printer: &app.printer, kept, armed: true };
    let ended = watch(app, &mut stream).await;
    brake.armed = false;
    if ended.is_ok() {
        let rest = async { while let Ok(Some(_)) = stream.next().await {} };
        let _ = tokio::time::timeout(SETTLE, rest).await;
    }
    ended
}

async fn watch(app: &App, stream: &mut LineStream) -> Result<(), ApiError> {
    let host = stream.host().to_owned();
    let mut bars = app.printer.layer_bars();
    while let Some(batch) = stream.next().await? {
        for line in batch.lines() {
            let chunk: ProgressChunk = serde_json::from_slice(line).map_err(|error| not_json(&host, &error))?;
            if let Some(message) = chunk.error() {
                return Err(ApiError::InStream { host, message });
            }
            bars.update(&chunk.status, chunk.digest.as_deref(), chunk.total, chunk.completed);
            if chunk.status == "success" {
                bars.clear();
                return Ok(());
            }
        }
    }
    Err(ApiError::Cut { host, reason: "it ended before the model was complete".to_owned() })
}

fn not_json(host: &str, error: &serde_json::Error) -> ApiError {
    // Half a line is the end of a stream that was cut.
    if error.is_eof() {
        return ApiError::Cut { host: host.to_owned(), reason: "it ended in the middle of a line".to_owned() };
    }
    ApiError::Protocol { host: host.to_owned(), reason: format!("a line that is no JSON: {error}") }
}

/// Says, when Ctrl-C drops the work, that it was not in vain.
struct BrokenOff<'a> {
    printer: &'a Printer,
    kept: &'a str,
    armed: bool,
}

impl Drop for BrokenOff<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.printer.note(self.kept);
        }
    }
}
