//! `keys forget`: removes this profile's copy of its API key. The key stays valid at the host, and the command says how to
//! change that.

use serde::Serialize;

use super::copies::remove;
use super::{SETTINGS, revoke_command};
use crate::address::BaseUrl;
use crate::app::App;
use crate::cli::KeysForget;
use crate::commands::consent;
use crate::commands::context::Context;
use crate::commands::under_way::UnfinishedRotations;
use crate::exit::Exit;
use crate::profile::{ApiKeyRecord, Audience};

/// What `keys forget --json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    host: String,
    profile: &'a str,
    /// There was a copy, and it is gone.
    forgotten: bool,
    id: Option<&'a str>,
    name: Option<&'a str>,
    /// Always true of a key that was forgotten: only its copy here is gone.
    still_valid_at_host: bool,
}

/// Runs it.
pub async fn run(app: &App, args: KeysForget) -> anyhow::Result<Exit> {
    let context = Context::resolve(app, Audience::Account)?;
    let (name, url) = (&context.target.profile, context.url());
    let profile = context.profile.as_ref();
    let kept = profile.and_then(|profile| Some((profile, profile.api_key.as_ref()?)));
    match kept {
        Some((profile, record)) => {
            let unfinished = UnfinishedRotations::load(app, name, profile, args.force)?;
            let which = record.describe();
            let statement = format!("this would remove the only copy here of the API key {which}, valid at {url}");
            let question = format!("Remove this copy of the API key {which}? It stays valid at {url}.");
            consent::ask(app, args.yes, &statement, &question).await?;
            remove(app, name, profile, record.store).await?;
            app.printer.success(&format!("Forgot the API key {which}"));
            app.printer.warn(&format!("it stays valid at {url} until it is revoked there or expires"));
            app.printer.hint(&how_to_end(record, url));
            unfinished.abandon(app, profile).await?;
        }
        None => app.printer.note(&format!("No API key is kept for {url}.")),
    }
    if app.printer.is_json() {
        let record = kept.map(|(_, record)| record);
        app.printer.json(&Report {
            host: url.to_string(),
            profile: name,
            forgotten: record.is_some(),
            id: record.and_then(|record| record.id.as_deref()),
            name: record.and_then(|record| record.name.as_deref()),
            still_valid_at_host: record.is_some(),
        })?;
    }
    Ok(Exit::Done)
}

/// How to revoke a key whose copy is gone.
fn how_to_end(record: &ApiKeyRecord, url: &BaseUrl) -> String {
    match record.id.as_deref().map(str::parse) {
        Some(Ok(id)) => format!("revoke it: {}", revoke_command(&id, url)),
        _ if url.is_ollama_com() => format!("revoke it at {SETTINGS}"),
        _ => format!("find its id and revoke it: ollama-auth keys list --host {url}"),
    }
}
