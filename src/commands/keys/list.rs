//! `keys list`: the API keys that the credential may see, as a table or as JSON.

use serde::Serialize;

use super::time::{ago, state, until};
use super::{explain, signed_in};
use crate::api::KeyEntry;
use crate::app::App;
use crate::commands::context::{Context, require_accounts};
use crate::exit::Exit;
use crate::profile::Audience;
use crate::ui::Table;

/// The most characters of a cell whose length others decide.
const WIDEST: usize = 40;

#[derive(Debug, Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    entry: &'a KeyEntry,
    /// `valid`, `expired` or `revoked`.
    state: &'static str,
    /// It is the key that this profile keeps.
    kept_here: bool,
}

/// Runs it.
pub async fn run(app: &App) -> anyhow::Result<Exit> {
    let context = Context::resolve(app, Audience::Account)?;
    let session = signed_in(app, &context).await?;
    require_accounts(&session).await?;
    let entries = session.api_keys(false).await.map_err(|error| explain(error, context.url()))?;
    let now = (app.now)();
    let own = context.profile.as_ref().and_then(|profile| profile.api_key.as_ref()?.id.clone());
    let rows: Vec<Row<'_>> = entries
        .iter()
        .map(|entry| Row { entry, state: state(entry, now), kept_here: own.as_ref() == Some(&entry.id) })
        .collect();
    if app.printer.is_json() {
        let host = context.url().to_string();
        app.printer.json(&serde_json::json!({ "host": host, "profile": context.target.profile, "keys": rows }))?;
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        app.printer.note(&format!("There are no API keys at {}.", context.url()));
        app.printer.hint("make one: ollama-auth keys create NAME");
        return Ok(Exit::Done);
    }
    let mut table =
        Table::new(&["name", "id", "environment", "scopes", "models", "made", "last used", "expires", "state"]);
    for Row { entry, state, kept_here } in &rows {
        let models = if entry.models.is_empty() { "all".to_owned() } else { entry.models.join(",") };
        let state = if *kept_here { format!("{state}, kept here") } else { (*state).to_owned() };
        table.push([
            short(&entry.name),
            short(&entry.id),
            short(entry.environment.as_deref().unwrap_or("-")),
            short(&entry.scopes.join(",")),
            short(&models),
            ago(entry.created_at, now, "?"),
            ago(entry.last_used_at, now, "never"),
            until(entry.expires_at, now),
            state,
        ]);
    }
    app.printer.table(&table)?;
    Ok(Exit::Done)
}

/// A long text would push everything else off the screen. An id of ours is never cut: it has at most 64 characters.
fn short(text: &str) -> String {
    let widest = if text.parse::<crate::keyspec::KeyId>().is_ok() { usize::MAX } else { WIDEST };
    match text.char_indices().nth(widest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
