//! `signin --with-api-key`: the key comes from standard input or a hidden prompt, is checked against the host, and only
//! then stored.

use super::Report;
use crate::api::Credential;
use crate::app::App;
use crate::commands::api_key::{KeyMetadata, read_api_key, store_api_key, verify_api_key, warn_about_key_format};
use crate::commands::context::Context;
use crate::commands::store::choose_store;
use crate::exit::Exit;
use crate::profile::Audience;

/// Runs it.
pub async fn run(app: &App) -> anyhow::Result<Exit> {
    let context = Context::resolve(app, Audience::Account)?;
    let store = choose_store(app, context.profile.as_ref()).await?;
    let key = read_api_key(app, "ollama-auth signin --with-api-key").await?;
    warn_about_key_format(app, &context, &key);
    let session = context.session_with(app, Credential::ApiKey(key.clone()))?;
    let account = verify_api_key(&session).await?;
    let kept = store_api_key(app, &context, store, &key, KeyMetadata::default(), |profiles, name| {
        if let Some(profile) = profiles.profiles.get_mut(name) {
            profile.account.clone_from(&account);
        }
        profiles.current = Some(name.to_owned());
    });
    if let Some(error) = kept.await?.left_behind {
        return Err(error.into());
    }
    let name = account.as_ref().map_or(String::new(), |account| format!(" as {}", account.label()));
    app.printer.success(&format!("Signed in to {}{name} with an API key", context.url()));
    app.printer.note(&format!("The key rests in the {store} store."));
    Report {
        signed_in: true,
        already: false,
        host: context.url().to_string(),
        profile: Some(&context.target.profile),
        account: account.as_ref(),
        credential: "api-key",
        fingerprint: None,
        connect_url: None,
    }
    .print(app)?;
    Ok(Exit::Done)
}
