//! `run --wait`: where the host asks to try again later, the request is sent again then.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::api::ApiError;
use crate::app::App;
use crate::cli::SpanArg;
use crate::local_time::local_time;
use crate::ui::Spinner;

/// The first wait where a host does not say how long; each one after it is twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// The longest of these.
const LONGEST: Duration = Duration::from_secs(30);
/// However little a host asks for.
const SHORTEST: Duration = Duration::from_secs(1);
/// Shorter waits for the same reason are told once: a host that is busy asks for a second, again and again.
const WORTH_A_LINE: Duration = Duration::from_secs(10);
/// How often the clock is looked at meanwhile. A machine that slept goes on as soon as it is awake.
const LOOK: Duration = Duration::from_millis(250);

/// How long all requests of a command may wait together.
pub struct Patience<'a> {
    app: &'a App,
    limit: Duration,
    left: Cell<Duration>,
    /// The last reason that was told.
    told: RefCell<Option<String>>,
}

impl<'a> Patience<'a> {
    /// With the value of `--wait`; without it there is none.
    pub fn new(app: &'a App, wait: Option<SpanArg>) -> Self {
        let limit = wait.map_or(Duration::ZERO, |wait| wait.0);
        Self { app, limit, left: Cell::new(limit), told: RefCell::default() }
    }

    /// What `ask` answers. It is asked again as long as the host asks to try again later (429, 503) and there is time for that wait.
    ///
    /// # Errors
    /// Those of `ask`.
    pub async fn ask<T>(&self, ask: impl AsyncFn() -> Result<T, ApiError>) -> Result<T, ApiError> {
        let mut unasked = FIRST;
        loop {
            let answer = ask().await;
            let Err(ApiError::TryLater { host, message, retry_after, .. }) = &answer else { return answer };
            let left = self.left.get();
            let pause = match retry_after {
                Some(wanted) => (*wanted).max(SHORTEST),
                None => {
                    let pause = unasked.min(left).max(SHORTEST);
                    unasked = (unasked * 2).min(LONGEST);
                    pause
                }
            };
            let Some(rest) = left.checked_sub(pause) else { return answer };
            self.left.set(rest);
            self.wait(pause, host, message).await;
        }
    }

    async fn wait(&self, pause: Duration, host: &str, message: &str) {
        let now = self.now();
        let end = SignedDuration::try_from(pause).ok().and_then(|pause| now.checked_add(pause).ok());
        let end = end.unwrap_or(Timestamp::MAX);
        let spinner = self.tell((end, now), pause, host, message);
        let begin = Instant::now();
        // Seconds are rounded down: the clock must be past it.
        while let Some(rest) = pause.checked_sub(begin.elapsed()).filter(|rest| !rest.is_zero() && self.now() <= end) {
            tokio::time::sleep(rest.min(LOOK)).await;
        }
        drop(spinner);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second((self.app.now)()).unwrap_or_default()
    }

    /// Says what is waited for, and until when: on a terminal as long as it waits.
    fn tell(&self, (end, now): (Timestamp, Timestamp), pause: Duration, host: &str, message: &str) -> Option<Spinner> {
        let printer = &self.app.printer;
        let line = format!("waiting until {} (Ctrl-C ends): {host}: {message}", local_time(end, now));
        if printer.shows_spinners() {
            return Some(printer.spinner(&line));
        }
        // Times in the message differ each time.
        let reason: String = message.chars().filter(|c| !c.is_ascii_digit()).collect();
        let is_known = self.told.replace(Some(reason.clone())).is_some_and(|told| told == reason);
        if is_known && pause < WORTH_A_LINE {
            return None;
        }
        if printer.is_json() {
            let (seconds, until) = (self.limit.as_secs(), end.to_string());
            let members = serde_json::json!({ "host": host, "message": message, "seconds": seconds, "until": until });
            printer.event("waiting", &members);
        } else {
            printer.note(&line);
        }
        None
    }

    /// What to do about a wait that was not begun. `model` is what to run.
    pub fn hint(&self, retry_after: Option<Duration>, model: &str) -> Option<String> {
        let how = |wait: String| format!("ollama-auth run {wait} {model}");
        match retry_after {
            None if self.limit.is_zero() => Some(format!("to wait for it: {}", how(argument(FIRST)))),
            None => None,
            Some(wait) if self.limit.is_zero() => Some(format!("to wait for it: {}", how(argument(wait)))),
            Some(wait) => Some(format!(
                "the wait of {} is longer than what is left of --wait; to wait for it: {}",
                crate::relative_time::span(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX)),
                how(argument(self.limit.saturating_sub(self.left.get()).saturating_add(wait))),
            )),
        }
    }
}

/// The option that waits at least so long.
fn argument(wait: Duration) -> String {
    match wait.as_secs().div_ceil(60) {
        ..=10 => "--wait".to_owned(),
        minutes @ ..=120 => format!("--wait={minutes}m"),
        minutes => format!("--wait={}h", minutes.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_that_is_named_waits_long_enough() {
        let all = [0, 600, 601, 7200, 7201, 11_520, 31 * 86_400].map(|wait| argument(Duration::from_secs(wait)));
        assert_eq!(all, ["--wait", "--wait", "--wait=11m", "--wait=120m", "--wait=3h", "--wait=4h", "--wait=744h"]);
        for text in all.iter().filter_map(|text| text.strip_prefix("--wait=")) {
            text.parse::<SpanArg>().unwrap();
        }
    }
}
