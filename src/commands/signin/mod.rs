//! `signin`: through the browser, with an API key, or for a local server's own key.

mod browser;
pub mod device;
mod link_offer;
pub mod server;
mod undo;

use serde::Serialize;

pub use browser::{ApprovalLink, ApprovalPoll, TypedCode};
pub use link_offer::wait_for_link_offer;
pub use undo::undo_unfinished_signin;

use crate::address::BaseUrl;
use crate::api::Credential;
use crate::app::App;
use crate::cli::SigninArgs;
use crate::commands::api_key::{KeyDescription, read_api_key, store_api_key, verify_api_key, warn_about_key_format};
use crate::commands::context::Context;
use crate::commands::store::choose_store;
use crate::exit::{Exit, Problem};
use crate::identity::Account;
use crate::profile::Audience;

/// Runs it.
pub async fn run(app: &App, args: SigninArgs) -> anyhow::Result<Exit> {
    if !args.stray.is_empty() {
        let message = "signin takes no arguments";
        let hint = "pass an API key on standard input: … | ollama-auth signin --with-api-key\na key typed as an argument stays in the shell's history: revoke it";
        return Err(Problem::new(Exit::Usage, message).hint(hint).into());
    }
    if args.server {
        server::run(app, args).await
    } else if args.with_api_key {
        sign_in_with_api_key(app).await
    } else {
        device::run(app, args).await
    }
}

/// `signin --with-api-key`: the key comes from standard input or a hidden prompt, is verified at the host, and only then stored.
async fn sign_in_with_api_key(app: &App) -> anyhow::Result<Exit> {
    let context = Context::resolve(app, Audience::Account)?;
    let store = choose_store(app, context.profile.as_ref()).await?;
    let key = read_api_key(app, "ollama-auth signin --with-api-key").await?;
    warn_about_key_format(app, &context, &key);
    let session = context.session_with(app, Credential::ApiKey(key.clone()))?.signing_in();
    let account = verify_api_key(&session).await?;
    let described = KeyDescription::fetch(&session).await;
    let listener = session.foreign_listener();
    let kept = store_api_key(app, &context, store, &key, described.metadata(), |profiles, name| {
        if let Some(profile) = profiles.profiles.get_mut(name) {
            profile.account.clone_from(&account);
            profile.listener = listener;
        }
        profiles.current = Some(name.to_owned());
    });
    if let Some(error) = kept.await?.left_behind {
        return Err(error.into());
    }
    let name = account.as_ref().map_or(String::new(), |account| format!(" as {}", account.label()));
    app.printer.success(&format!("Signed in to {}{name} with an API key", context.url()));
    app.printer.note(&format!("The key is stored in the {store} store."));
    suggest_next_command(app, context.url());
    Report {
        signed_in: true,
        already: false,
        host: context.url().to_string(),
        profile: Some(&context.target.profile),
        account: account.as_ref(),
        credential: "api-key",
        fingerprint: None,
        connect_url: None,
        user_code: None,
        verification_uri: None,
    }
    .print(app)?;
    Ok(Exit::Done)
}

/// Says what works now, as a command to try.
fn suggest_next_command(app: &App, url: &BaseUrl) {
    // The tour that runs this shows the next command itself.
    if app.printer.is_nested() {
        return;
    }
    // `run` and `list` go to the current profile by themselves, unless it is ollama.com or OLLAMA_HOST names another host.
    let host = if url.is_ollama_com() || app.ollama_host.is_some() { format!(" --host {url}") } else { String::new() };
    app.printer.hint(&format!("Try: ollama-auth run MODEL \"Hello\"{host} (to list models: ollama-auth list{host})"));
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
    /// What can be typed in place of opening the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_code: Option<String>,
    /// The page on which it is typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_uri: Option<String>,
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
