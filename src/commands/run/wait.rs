//! `run --wait`: where the host asks to try again later, the request is sent again then.

use std::time::Duration;

use crate::api::ApiError;
use crate::app::App;
use crate::cli::SpanArg;
use crate::relative_time;

/// Between two requests to a host that does not say how long to wait.
const PAUSE: Duration = Duration::from_secs(5);
/// However little a host asks for.
const SHORTEST: Duration = Duration::from_secs(1);

/// What `ask` answers. With `--wait` it is asked again, as long as the host asks to try again later (429, 503) and that is within the time.
///
/// # Errors
/// Those of `ask`.
pub async fn patiently<T>(
    app: &App,
    wait: Option<SpanArg>,
    ask: impl AsyncFn() -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let limit = wait.map_or(Duration::ZERO, |wait| wait.0);
    let (mut left, mut is_told) = (limit, false);
    loop {
        let answer = ask().await;
        let Err(ApiError::TryLater { host, message, retry_after, .. }) = &answer else { return answer };
        let pause = retry_after.unwrap_or(PAUSE).max(SHORTEST);
        let Some(rest) = left.checked_sub(pause) else { return answer };
        left = rest;
        if !std::mem::replace(&mut is_told, true) {
            tell(app, host, message, limit);
        }
        tokio::time::sleep(pause).await;
    }
}

/// Says what is waited for, once: how long the next wait takes may change each time.
fn tell(app: &App, host: &str, message: &str, limit: Duration) {
    if app.printer.is_json() {
        let members = serde_json::json!({ "host": host, "message": message, "seconds": limit.as_secs() });
        return app.printer.event("waiting", &members);
    }
    let span = relative_time::span(i64::try_from(limit.as_secs()).unwrap_or(i64::MAX));
    app.printer.note(&format!("{host}: {message} (waiting up to {span}; Ctrl-C ends)"));
}
