//! The part of a sign-in that happens in a browser: show the link, open it, wait for the approval.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::api::{ApiError, Me};
use crate::app::App;
use crate::exit::{Exit, Problem, clock_hint};
use crate::identity::Account;

/// Between two questions to the host during the first minute.
const EVERY: Duration = Duration::from_secs(2);
/// And after it.
const EVERY_LATER: Duration = Duration::from_secs(5);
/// When "later" begins.
const FIRST: Duration = Duration::from_secs(60);
/// A host cannot make us wait longer than this between two questions.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What is shown to the person.
pub struct Link<'a> {
    /// The page to approve on.
    pub url: &'a str,
    /// Lines of label and value, such as the device's name.
    pub facts: &'a [(&'a str, String)],
    /// Show it as a QR code too.
    pub qr: bool,
    /// Open it in a browser.
    pub open: bool,
}

impl Link<'_> {
    /// Shows the link and opens it.
    pub fn present(&self, app: &App) {
        let printer = &app.printer;
        let facts: String = self.facts.iter().map(|(label, value)| format!("\n  {label:<12} {value}")).collect();
        // Shown even when quiet: without the link there is nothing that a person could do.
        if printer.is_json() {
            let facts: Map<String, Value> =
                self.facts.iter().map(|(label, value)| (label.to_lowercase(), value.clone().into())).collect();
            printer.event("approve", &serde_json::json!({ "connect_url": self.url, "facts": facts }));
        } else {
            printer.report(&format!("Approve this device in the browser:\n\n  {}\n{facts}\n", self.url));
        }
        if self.qr
            && let Err(error) = printer.qr(self.url)
        {
            printer.warn(&error.to_string());
        }
        printer.note("");
        if !self.open {
            return;
        }
        if !app.env.can_show_pages {
            printer.note("No browser here: open the link on another machine, or on a phone (--qr).");
        } else if let Err(error) = (app.open_page)(self.url) {
            printer.warn(&format!("no browser could be opened ({error}): open the link yourself"));
        }
    }
}

/// How the wait ended well.
pub struct Approval {
    /// Whom the host takes us for.
    pub account: Account,
}

/// Asks a host again and again whether it knows us now.
pub struct Poll<'a> {
    /// The host, for messages.
    pub host: &'a str,
    /// When to give up.
    pub timeout: Duration,
    /// What to say on giving up.
    pub resume: &'a str,
}

impl Poll<'_> {
    /// Waits until `ask` says that we are signed in. Passing trouble (no answer, 429, 5xx) is waited out.
    ///
    /// # Errors
    /// Exit 4 when the time is up, 5 when the host says no, and whatever else it answers.
    pub async fn until_approved(
        &self,
        app: &App,
        ask: impl AsyncFn() -> Result<Me, ApiError>,
    ) -> anyhow::Result<Approval> {
        let start = Instant::now();
        let spinner = app.printer.spinner(&format!("Waiting for the approval at {}", self.host));
        let mut trouble: Option<ApiError>;
        let mut skew_told = false;
        loop {
            let mut pause = if start.elapsed() < FIRST { EVERY } else { EVERY_LATER };
            let answer = tokio::time::timeout_at(start + self.timeout, ask()).await;
            let Ok(answer) = answer else {
                spinner.clear();
                return Err(self.timed_out(None));
            };
            match answer {
                Ok(Me::SignedIn(account)) => {
                    spinner.clear();
                    return Ok(Approval { account });
                }
                Ok(Me::SignedOut { skew, .. }) => {
                    trouble = None;
                    if let Some(ahead) = skew.filter(|_| !skew_told) {
                        skew_told = true;
                        app.printer.warn(&clock_hint(self.host, ahead));
                    }
                }
                Err(ApiError::Forbidden { message, .. }) => {
                    spinner.clear();
                    let message = format!("{} refused this device: {message}", self.host);
                    return Err(Problem::new(Exit::Forbidden, message).hint("ask whoever runs the host").into());
                }
                Err(error) if error.is_transient() => {
                    if let ApiError::TryLater { retry_after: Some(wait), .. } = &error {
                        pause = pause.max((*wait).min(LONGEST_WAIT));
                    }
                    trouble = Some(error);
                }
                Err(error) => {
                    spinner.clear();
                    return Err(error.into());
                }
            }
            if start.elapsed() + pause > self.timeout {
                tokio::time::sleep_until(start + self.timeout).await;
                spinner.clear();
                return Err(self.timed_out(trouble));
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn timed_out(&self, trouble: Option<ApiError>) -> anyhow::Error {
        match trouble {
            // The host was away at the end, so nobody can tell whether it was approved.
            Some(error) => anyhow::Error::from(error).context("the approval could not be seen"),
            None => {
                let seconds = self.timeout.as_secs();
                let message = format!("the device was not approved at {} within {seconds} s", self.host);
                Problem::new(Exit::SignIn, message).hint(self.resume).into()
            }
        }
    }
}
