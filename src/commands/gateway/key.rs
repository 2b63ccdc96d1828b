//! `gateway key`: list, suspend, resume and revoke, for any account.

use serde::Serialize;

use super::admin;
use super::suspended::suspended_text;
use crate::app::App;
use crate::cli::{DatabaseArgs, GatewayKeyCommand};
use crate::commands::confirm::confirm;
use crate::commands::keys::short;
use crate::exit::{Exit, Problem};
use crate::gateway::{AdminReply, AdminRequest, AdminSubject, KeyRow};
use crate::keyspec::{KeyFacts, KeyState};
use crate::relative_time;
use crate::ui::{Column, Table, Tint};

/// The most keys that an error lists.
const SHOWN: usize = 20;

/// A key as JSON shows it.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    key: &'a KeyRow,
    /// `valid`, `suspended`, `expired` or `revoked`.
    state: &'static str,
}

impl<'a> Row<'a> {
    fn of(key: &'a KeyRow, now: i64) -> Self {
        let state = match state(key, now) {
            state @ (KeyState::Revoked | KeyState::Expired | KeyState::Suspended) => state.word(),
            KeyState::Valid | KeyState::ExpiresSoon | KeyState::Replaced => "valid",
        };
        Self { key, state }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    keys: Vec<Row<'a>>,
    /// Whether there are more keys than one answer holds.
    more: bool,
}

fn state(key: &KeyRow, now: i64) -> KeyState {
    let facts = KeyFacts {
        created_at: Some(key.created_at),
        expires_at: key.expires_at,
        revoked: key.revoked_at.is_some(),
        replaced: key.replaced_by.is_some(),
        suspended: key.suspended.suspended_at.is_some(),
    };
    KeyState::of(facts, now)
}

/// Runs a subcommand.
///
/// # Errors
/// Everything of [`admin::request`], and a key that is unknown or not the only one of its name.
pub async fn run(app: &App, command: GatewayKeyCommand) -> anyhow::Result<Exit> {
    match command {
        GatewayKeyCommand::List { user, revoked, database } => list(app, user, revoked, &database).await,
        GatewayKeyCommand::Suspend { key, user, reason, database } => {
            let key = find(app, key, user, &database).await?;
            let request = AdminRequest::Suspend { what: AdminSubject::Key(key.id), reason };
            let (key, changed) = change(app, request, &database).await?;
            match changed {
                true => app.printer.success(&format!("Suspended the API key {}", describe(&key))),
                false => app.printer.note(&format!("The API key {} was already suspended.", describe(&key))),
            }
            finish(app, &key)
        }
        GatewayKeyCommand::Resume { key, user, database } => {
            let key = find(app, key, user, &database).await?;
            let request = AdminRequest::Resume { what: AdminSubject::Key(key.id) };
            let (key, changed) = change(app, request, &database).await?;
            match changed {
                true => app.printer.success(&format!("Lifted the suspension of the API key {}", describe(&key))),
                false => app.printer.note(&format!("The API key {} was not suspended.", describe(&key))),
            }
            finish(app, &key)
        }
        GatewayKeyCommand::Revoke { key, user, yes, database } => {
            let key = find(app, key, user, &database).await?;
            let what = format!("the API key {}", describe(&key));
            confirm(app, yes, &format!("this would revoke {what}"), &format!("Revoke {what}?")).await?;
            revoke(app, key, &database).await
        }
    }
}

fn describe(key: &KeyRow) -> String {
    format!("{:?} ({}) of {}", key.name, key.id, key.user)
}

async fn revoke(app: &App, key: KeyRow, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let (key, changed) = change(app, AdminRequest::RevokeKey { id: key.id }, database).await?;
    if changed {
        app.printer.success(&format!("Revoked the API key {}", describe(&key)));
    } else {
        app.printer.note(&format!("The API key {} was already revoked.", describe(&key)));
    }
    if let Some(successor) = &key.replaced_by {
        app.printer.warn(&format!("the API key {successor} was created to replace it and stays valid"));
        app.printer.hint(&format!("to revoke it too: ollama-auth gateway key revoke {successor}"));
    }
    finish(app, &key)
}

async fn change(app: &App, request: AdminRequest, database: &DatabaseArgs) -> anyhow::Result<(KeyRow, bool)> {
    match admin::request(app, database, request).await? {
        AdminReply::Key { key, changed } => Ok((key, changed)),
        _ => Err(admin::unexpected_reply().into()),
    }
}

fn finish(app: &App, key: &KeyRow) -> anyhow::Result<Exit> {
    if app.printer.is_json() {
        app.printer.json(&Row::of(key, (app.now)()))?;
    }
    Ok(Exit::Done)
}

/// The key with that id or name.
///
/// # Errors
/// Exit 3 when there is none, 2 when there are several.
async fn find(app: &App, text: String, user: Option<String>, database: &DatabaseArgs) -> anyhow::Result<KeyRow> {
    let request = AdminRequest::ListKeys { user, revoked: true, matching: Some(text.clone()) };
    let (AdminReply::Keys { keys: found, .. }, searched) = admin::look_up(app, database, request).await? else {
        return Err(admin::unexpected_reply().into());
    };
    let (mut revoked, mut open): (Vec<KeyRow>, Vec<KeyRow>) =
        found.into_iter().partition(|key| key.revoked_at.is_some());
    if open.len() > 1 {
        let mut lines: Vec<String> = open.iter().take(SHOWN).map(describe).collect();
        if open.len() > SHOWN {
            lines.push("…".to_owned());
        }
        let problem = Problem::new(Exit::Usage, format!("{} API keys are named {text:?}", open.len()));
        return Err(problem.hint(format!("use the id of one of them:\n{}", lines.join("\n"))).into());
    }
    open.pop().or_else(|| revoked.pop()).ok_or_else(|| {
        let problem = Problem::new(Exit::NotFound, format!("there is no API key {text:?}"));
        problem.hint(searched.hint("list the keys: ollama-auth gateway key list")).into()
    })
}

async fn list(app: &App, user: Option<String>, revoked: bool, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let request = AdminRequest::ListKeys { user, revoked, matching: None };
    let AdminReply::Keys { keys, more } = admin::request(app, database, request).await? else {
        return Err(admin::unexpected_reply().into());
    };
    let now = (app.now)();
    if app.printer.is_json() {
        app.printer.json(&Report { keys: keys.iter().map(|key| Row::of(key, now)).collect(), more })?;
        return Ok(Exit::Done);
    }
    if keys.is_empty() {
        app.printer.note("There are no API keys.");
        if !revoked {
            app.printer.hint("to see revoked keys too, add --revoked");
        }
        return Ok(Exit::Done);
    }
    let mut table = Table::new([
        Column::new("user").shrinks_to(8),
        Column::new("name").shrinks_to(12),
        Column::new("id"),
        Column::new("environment").shrinks_to(8).optional(5),
        Column::new("scopes").shrinks_to(12).optional(3),
        Column::new("models").shrinks_to(10).optional(4),
        Column::new("last used").optional(2),
        Column::new("expires").optional(1),
        Column::new("state").state(),
    ]);
    for key in &keys {
        let patterns: Vec<&str> = key.models.patterns().iter().map(|pattern| pattern.as_str()).collect();
        let state = state(key, now);
        let cells = [
            key.user.clone(),
            short(&key.name),
            key.id.to_string(),
            short(key.environment.as_deref().unwrap_or("-")),
            key.scopes.to_string(),
            if patterns.is_empty() { "all".to_owned() } else { short(&patterns.join(",")) },
            key.last_used_at.map_or_else(|| "never".to_owned(), |at| relative_time::ago(at, now)),
            key.expires_at.map_or_else(|| "never".to_owned(), |at| relative_time::until(at, now)),
            match suspended_text(&key.suspended, now) {
                Some(text) if state == KeyState::Suspended => format!("suspended {text}"),
                _ => state.word().to_owned(),
            },
        ];
        let tint = match state {
            KeyState::Valid => Tint::Good,
            KeyState::ExpiresSoon | KeyState::Replaced | KeyState::Suspended => Tint::Doubtful,
            KeyState::Expired | KeyState::Revoked => Tint::Faint,
        };
        table.push_tinted(tint, cells);
    }
    app.printer.table(&table)?;
    if more {
        app.printer.warn(&format!("only {} keys are shown, and there are more: add --user NAME", keys.len()));
    }
    Ok(Exit::Done)
}
