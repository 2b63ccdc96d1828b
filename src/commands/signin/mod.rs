//! `signin`: through the browser, with an API key, or for a local server's own key.

mod api_key;
mod browser;
pub mod device;
pub mod server;

use serde::Serialize;

pub use browser::{Link, Poll};

use crate::app::App;
use crate::cli::SigninArgs;
use crate::exit::{Exit, Problem};
use crate::identity::Account;

/// Runs it.
pub async fn run(app: &App, args: SigninArgs) -> anyhow::Result<Exit> {
    if !args.stray.is_empty() {
        let message = "signin takes no argument";
        let hint = "an API key is read from standard input: … | ollama-auth signin --with-api-key\na key that was typed as an argument is in the shell's history now: revoke it";
        return Err(Problem::new(Exit::Usage, message).hint(hint).into());
    }
    if args.server {
        server::run(app, args).await
    } else if args.with_api_key {
        api_key::run(app).await
    } else {
        device::run(app, args).await
    }
}

/// What `signin --json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// Whether the host now accepts the credential.
    signed_in: bool,
    /// Whether it did before.
    already: bool,
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
    account: Option<&'a Account>,
    /// `device-key`, `api-key` or `server-key`.
    credential: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_url: Option<String>,
}

impl Report<'_> {
    /// Prints it as JSON where that is wanted.
    fn print(&self, app: &App) -> anyhow::Result<()> {
        if app.printer.is_json() {
            app.printer.json(self)?;
        }
        Ok(())
    }
}
