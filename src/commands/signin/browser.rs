//! The part of a sign-in that happens in a browser: show the link, open it, wait for the approval.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;
use url::{Host, Url};

use crate::api::{ApiError, Me, UserCode};
use crate::app::App;
use crate::exit::{Exit, Problem, clock_hint};
use crate::identity::{Account, ConnectUrl};

/// Time between two requests during the first minute.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Time between two requests after it.
const LATER_POLL_INTERVAL: Duration = Duration::from_secs(5);
/// How long the first interval applies.
const FIRST_PHASE: Duration = Duration::from_secs(60);
/// The longest interval that a host can ask for.
pub(super) const MAX_POLL_INTERVAL: Duration = Duration::from_secs(60);

/// The code of a gateway, for a terminal from which the link can be neither opened nor copied.
pub struct TypedCode {
    /// The code.
    pub user_code: String,
    /// The page on which it is typed.
    pub page: String,
}

/// The link to the page on which a person approves.
pub struct ApprovalLink<'a> {
    /// The page to approve on.
    pub url: &'a str,
    /// Lines of label and value, such as the device's name.
    pub facts: &'a [(&'a str, String)],
    /// What can be typed in place of opening the link.
    pub code: Option<&'a TypedCode>,
    /// The fingerprint of the device key, unbroken, where a gateway can approve it.
    pub fingerprint: Option<&'a str>,
    /// Show it as a QR code too.
    pub qr: bool,
    /// Open it in a browser.
    pub open: bool,
}

impl TypedCode {
    /// The code that came with that link.
    pub fn new(code: &UserCode, link: &ConnectUrl) -> Self {
        Self { user_code: code.as_str().to_owned(), page: link.base().join("/connect") }
    }

    /// Lines that say what to do with it.
    pub fn describe(&self) -> String {
        format!("\nOr type the code {} at:\n\n  {}\n", self.user_code, self.page)
    }
}

impl ApprovalLink<'_> {
    /// Shows the link and opens it.
    pub fn show(&self, app: &App) {
        let printer = &app.printer;
        let facts: String = self.facts.iter().map(|(label, value)| format!("\n  {label:<12} {value}")).collect();
        // Shown even when quiet: without the link the person cannot continue.
        if printer.is_json() {
            let facts: Map<String, Value> =
                self.facts.iter().map(|(label, value)| (label.to_lowercase(), value.clone().into())).collect();
            let (code, page) = self.code.map(|code| (&code.user_code, &code.page)).unzip();
            let event = serde_json::json!({
                "connect_url": self.url, "user_code": code, "verification_uri": page, "facts": facts,
            });
            printer.event("approve", &event);
        } else {
            let code = self.code.map(TypedCode::describe).unwrap_or_default();
            printer.report(&format!("Approve this device in the browser:\n\n  {}\n{code}{facts}\n", self.url));
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
            self.advice_without_browser().iter().for_each(|line| printer.note(line));
        } else if let Err(error) = app.open_page(self.url) {
            printer.warn(&format!("Could not open a browser ({error}). Open this link: {}", self.url));
        }
    }

    /// How to open the link from a machine without a browser, in lines. A loopback link works on this machine only.
    fn advice_without_browser(&self) -> Vec<String> {
        let Some(port) = loopback_port(self.url) else {
            return vec!["No browser here: open the link on another device, such as a phone (--qr).".to_owned()];
        };
        let open = format!("Open the link in a browser on this machine (ssh -L {port}:127.0.0.1:{port} HOST)");
        match self.fingerprint {
            None => vec![open + "."],
            Some(fingerprint) => vec![
                open + ",",
                "or approve with:".to_owned(),
                format!("  ollama-auth gateway approve {fingerprint} --user NAME"),
            ],
        }
    }
}

/// The port of a link to this machine.
fn loopback_port(link: &str) -> Option<u16> {
    let link = Url::parse(link).ok()?;
    let is_loopback = match link.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    link.port_or_known_default().filter(|_| is_loopback)
}

/// An approved sign-in.
pub struct Approval {
    /// The account that the host reports.
    pub account: Account,
}

/// Asks a host repeatedly whether the device was approved.
pub struct ApprovalPoll<'a> {
    /// The host, for messages.
    pub host: &'a str,
    /// When to give up.
    pub timeout: Duration,
    /// The advice on timeout.
    pub resume: &'a str,
}

impl ApprovalPoll<'_> {
    /// Waits until `ask` says that we are signed in. Temporary errors (no answer, 429, 5xx) are retried.
    ///
    /// # Errors
    /// Exit 4 on timeout, 5 when the host refuses, and any other error of the host.
    pub async fn until_approved(
        &self,
        app: &App,
        ask: impl AsyncFn() -> Result<Me, ApiError>,
    ) -> anyhow::Result<Approval> {
        let start = Instant::now();
        let spinner = app.printer.spinner(&format!("Waiting for approval at {}", self.host));
        let mut last_error: Option<ApiError>;
        let mut skew_told = false;
        loop {
            let mut pause = if start.elapsed() < FIRST_PHASE { POLL_INTERVAL } else { LATER_POLL_INTERVAL };
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
                Ok(Me::SignedOut { skew, retry_after, .. }) => {
                    last_error = None;
                    pause = pause.max(retry_after.unwrap_or_default().min(MAX_POLL_INTERVAL));
                    if let Some(ahead) = skew.filter(|_| !skew_told) {
                        skew_told = true;
                        app.printer.warn(&clock_hint(self.host, ahead));
                    }
                }
                Err(ApiError::Forbidden { message, .. }) => {
                    spinner.clear();
                    let message = format!("{} refused this device: {message}", self.host);
                    return Err(Problem::new(Exit::Forbidden, message)
                        .hint("ask the administrator of the host")
                        .into());
                }
                Err(error) if error.is_transient() => {
                    if let ApiError::TryLater { retry_after: Some(wait), .. } = &error {
                        pause = pause.max((*wait).min(MAX_POLL_INTERVAL));
                    }
                    last_error = Some(error);
                }
                Err(error) => {
                    spinner.clear();
                    return Err(error.into());
                }
            }
            if start.elapsed() + pause > self.timeout {
                tokio::time::sleep_until(start + self.timeout).await;
                spinner.clear();
                return Err(self.timed_out(last_error));
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn timed_out(&self, last_error: Option<ApiError>) -> anyhow::Error {
        match last_error {
            // Unreachable at the end: it may have been approved all the same.
            Some(error) => anyhow::Error::from(error).context("cannot check the approval"),
            None => {
                let seconds = self.timeout.as_secs();
                let message = format!("the device was not approved at {} within {seconds} s", self.host);
                Problem::new(Exit::SignIn, message).hint(self.resume).into()
            }
        }
    }
}
