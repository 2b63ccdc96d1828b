//! Waits until a gateway offers a link. While too many new keys come from one network it offers none for some of them, and a link that it did
//! not offer cannot be approved.

use std::time::Duration;

use tokio::time::Instant;

use super::browser::MAX_POLL_INTERVAL;
use crate::api::{Me, Session};
use crate::app::App;
use crate::exit::{Exit, Problem, clock_hint};

/// Asks until the host knows the key of the session or can have it approved. Only a gateway must offer a link.
///
/// # Errors
/// Exit 7 if that takes longer than `timeout`, exit 4 if a gateway refuses the key for another reason, and any other error of the host.
pub async fn wait_for_link_offer(app: &App, session: &Session<'_>, timeout: Duration) -> anyhow::Result<Me> {
    let (host, end) = (session.base().to_string(), Instant::now() + timeout);
    let mut spinner = None;
    loop {
        let answer = session.me().await?;
        let Me::SignedOut { signin_url: None, retry_after, message, skew, .. } = &answer else { return Ok(answer) };
        if !session.is_gateway() {
            return Ok(answer);
        }
        let Some(wait) = *retry_after else {
            let hint = match skew {
                Some(ahead) => clock_hint(&host, *ahead),
                None => "run the command again; if that does not help, ask the administrator of the gateway".to_owned(),
            };
            return Err(Problem::new(Exit::SignIn, format!("{host} offers no sign-in link: {message}"))
                .hint(hint)
                .into());
        };
        let wait = wait.clamp(MIN_WAIT, MAX_POLL_INTERVAL);
        if Instant::now() + wait > end {
            let message = format!("{host} offered no sign-in link within {} s: {message}", timeout.as_secs());
            return Err(Problem::new(Exit::TryLater, message).hint("run the command again in a minute").into());
        }
        if spinner.is_none() {
            app.printer.note(&format!("Too many new devices of your network ask {host} for approval just now."));
            app.printer.note("Waiting until it offers a sign-in link.");
            spinner = Some(app.printer.spinner(&format!("Waiting for a sign-in link of {host}")));
        }
        tokio::time::sleep(wait).await;
    }
}

/// The shortest time between two requests, whatever the host asks for.
const MIN_WAIT: Duration = Duration::from_secs(1);
