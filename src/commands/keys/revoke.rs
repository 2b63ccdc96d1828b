//! `keys revoke`: by id, by name, or by the key itself. Only the host's plain answer counts as revoked.

use std::collections::HashMap;

use anyhow::Context as _;
use secrecy::SecretString;
use serde::Serialize;

use super::forget::{Revoked, remove_local_copies};
use super::list::state;
use super::{SETTINGS, check_key_format, explain, managing_session, not_offered, prove_account_host, revoke_command};
use crate::address::BaseUrl;
use crate::api::{ApiError, Credential, CredentialCheck, KeyEntry, Revocation, Session};
use crate::app::App;
use crate::cli::KeysRevoke;
use crate::commands::api_key::read_api_key;
use crate::commands::confirm::confirm;
use crate::commands::context::{Context, no_accounts_problem, require_accounts};
use crate::exit::{Exit, Problem};
use crate::keyspec::KeyId;
use crate::profile::Audience;
use crate::ui::sanitize::clean;

/// The key that is selected.
struct SelectedKey {
    id: KeyId,
    /// The host's description, where it gave one.
    entry: Option<KeyEntry>,
    /// The key itself, where that was given.
    key: Option<SecretString>,
    /// What the host listed besides, revoked keys too.
    listed: Vec<KeyEntry>,
}

impl SelectedKey {
    fn listed(entry: KeyEntry, host: &str, listed: Vec<KeyEntry>) -> anyhow::Result<Self> {
        let id = entry.id.parse().map_err(|_| ApiError::Protocol {
            host: host.to_owned(),
            reason: format!("{:?} is not a key id", entry.id),
        })?;
        Ok(Self { id, entry: Some(entry), key: None, listed })
    }

    fn describe(&self) -> String {
        match &self.entry {
            Some(entry) => format!("the API key {:?} ({})", entry.name, self.id),
            None => format!("the API key {}", self.id),
        }
    }
}

/// What `keys revoke --json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    host: String,
    id: &'a str,
    name: Option<&'a str>,
    /// The host says that it is revoked.
    revoked: bool,
    /// The profiles whose copy of the key was removed.
    forgotten: Vec<String>,
    /// The ids of the valid keys that were made to replace it.
    replacements: Vec<&'a str>,
}

/// Runs it.
pub async fn run(app: &App, args: KeysRevoke) -> anyhow::Result<Exit> {
    let context = Context::resolve(app, Audience::Account)?;
    let host = context.url();
    let (session, selected) = match &args.key {
        Some(text) => {
            let session = managing_session(app, &context).await?;
            require_accounts(&session).await?;
            let selected = find_key(&session, text).await?;
            (session, selected)
        }
        None => identify_given_key(app, &context, &args).await?,
    };
    let already_revoked = selected.entry.as_ref().is_some_and(|entry| entry.revoked_at.is_some());
    if !already_revoked {
        let what = format!("{} at {host}", selected.describe());
        confirm(app, args.yes, &format!("this would revoke {what}"), &format!("Revoke {what}?")).await?;
        revoke(&session, &selected).await?;
    }
    let known = Revoked {
        id: &selected.id,
        hint: selected.entry.as_ref().map(|entry| entry.hint.clone()),
        key: selected.key.as_ref(),
    };
    let forgotten = remove_local_copies(app, host, &known)
        .await
        .with_context(|| format!("the key {} is revoked, but removing its local copies failed", selected.id))?;
    if already_revoked {
        app.printer.note(&format!("{} was already revoked at {host}.", capital(&selected.describe())));
    } else {
        app.printer.success(&format!("Revoked {} at {host}", selected.describe()));
    }
    for profile in &forgotten {
        app.printer.note(&format!("The copy stored in the profile {profile:?} was removed."));
    }
    let replacements = valid_successors(&selected.listed, &selected.id, (app.now)());
    warn_of_successors(app, &replacements, host);
    if app.printer.is_json() {
        let replacements = replacements.iter().map(|entry| entry.id.as_str()).collect();
        let name = selected.entry.as_ref().map(|entry| entry.name.as_str());
        let (host, id) = (host.to_string(), selected.id.as_str());
        app.printer.json(&Report { host, id, name, revoked: true, forgotten, replacements })?;
    }
    Ok(Exit::Done)
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + chars.as_str())
}

/// Sends the request, and makes sure that the answer says what it should.
async fn revoke(session: &Session<'_>, selected: &SelectedKey) -> anyhow::Result<()> {
    let (host, id) = (session.base(), &selected.id);
    let still = || format!("the key {id} may still be valid");
    let proof = prove_account_host(session).await.with_context(still)?;
    match session.revoke_key(proof, id).await {
        Ok(Revocation::Done) => {}
        Ok(Revocation::Unknown) => {
            let problem = Problem::new(Exit::NotFound, format!("{host} has no API key {id}"));
            return Err(problem.hint("list the keys: ollama-auth keys list").into());
        }
        Err(ApiError::NotFound { message, .. }) => {
            let message =
                format!("{host} answered 404 ({message}), without confirming that the key is revoked: {}", still());
            let hint = match host.is_ollama_com() {
                true => format!("revoke it at {SETTINGS}"),
                false => "check the address, and any proxy in between".to_owned(),
            };
            return Err(Problem::new(Exit::Failed, message).hint(hint).into());
        }
        Err(ApiError::Status { status: status @ (405 | 501), .. }) => {
            return Err(anyhow::Error::from(not_offered(host, status)).context(still()));
        }
        Err(error) => return Err(anyhow::Error::from(error).context(still())),
    }
    // That it is this one is the host's word alone. That the host cannot be asked now takes nothing from its answer.
    if selected.key.is_some()
        && let Ok(CredentialCheck::Accepted(_)) = session.check_credential().await
    {
        let message = format!("{host} revoked {id}, but still accepts the given key, so that is another key");
        return Err(Problem::new(Exit::Failed, message).hint("find it: ollama-auth keys list").into());
    }
    Ok(())
}

/// By id or by name, each exactly as the host has it.
async fn find_key(session: &Session<'_>, text: &str) -> anyhow::Result<SelectedKey> {
    let host = session.base();
    if let Ok(id) = text.parse::<KeyId>() {
        // The list only adds the name: who may not see it can revoke by id all the same.
        let listed = match session.api_keys(true).await {
            Ok(entries) => entries,
            Err(ApiError::Forbidden { .. } | ApiError::NotFound { .. } | ApiError::Status { status: 405, .. }) => {
                Vec::new()
            }
            // A host that cannot list its keys may still revoke one by its id.
            Err(ApiError::TryLater { status: 503, .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let entry = listed.iter().find(|entry| entry.id == text).cloned();
        return Ok(SelectedKey { id, entry, key: None, listed });
    }
    let listed = session.api_keys(true).await.map_err(|error| explain(error, host))?;
    let (mut already_revoked, mut named): (Vec<KeyEntry>, Vec<KeyEntry>) =
        listed.iter().filter(|entry| entry.name == text).cloned().partition(|entry| entry.revoked_at.is_some());
    if named.len() > 1 {
        return Err(ambiguous(&format!("are named {text:?}"), &named).into());
    }
    let Some(entry) = named.pop().or_else(|| already_revoked.pop()) else {
        let problem = Problem::new(Exit::NotFound, format!("{host} has no API key named {text:?}"));
        return Err(problem.hint("list the keys: ollama-auth keys list").into());
    };
    SelectedKey::listed(entry, &host.to_string(), listed)
}

pub(super) fn ambiguous(what: &str, entries: &[KeyEntry]) -> Problem {
    const SHOWN: usize = 20;
    let line = |entry: &KeyEntry| {
        let made = entry.created_at.map_or_else(String::new, |made| format!(", created {}", super::list::date(made)));
        let environment = entry.environment.as_ref().map_or_else(String::new, |name| format!(", {name}"));
        clean(&format!("{} (ends in {}{environment}{made})", entry.id, entry.hint)).into_owned()
    };
    let mut lines: Vec<String> = entries.iter().take(SHOWN).map(line).collect();
    if entries.len() > SHOWN {
        lines.push("…".to_owned());
    }
    let message = format!("{} API keys {what}", entries.len());
    Problem::new(Exit::Usage, message).hint(format!("use the id of one of them:\n{}", lines.join("\n")))
}

/// The key revokes itself: it signs in, and finds itself in the list, where the host marks it.
async fn identify_given_key<'a>(
    app: &'a App,
    context: &Context,
    args: &KeysRevoke,
) -> anyhow::Result<(Session<'a>, SelectedKey)> {
    let host = context.url();
    if !args.yes && !app.printer.is_interactive() {
        let problem = Problem::new(Exit::Usage, format!("this would revoke the given API key at {host}"));
        return Err(problem.hint("to confirm, pass --yes").into());
    }
    let key = read_api_key(app, "ollama-auth keys revoke --key-stdin --yes").await?;
    check_key_format(&key)?;
    let session = context.session_with(app, Credential::ApiKey(key.clone()))?;
    match session.check_credential().await? {
        CredentialCheck::Accepted(_) => {}
        CredentialCheck::Unknown => {
            let message = format!("{host} does not accept this key: it is revoked, expired, or for another host");
            let hint = "nothing was revoked; for a key of another host, add --host URL";
            return Err(Problem::new(Exit::NotFound, message).hint(hint).into());
        }
        CredentialCheck::Inconclusive(error) => return Err(error.into()),
        CredentialCheck::NoAccounts(kind) => return Err(no_accounts_problem(&session, kind).into()),
    }
    let listed = session.api_keys(true).await.map_err(|error| explain(error, host))?;
    let mut entries: Vec<KeyEntry> = listed.iter().filter(|entry| entry.is_self).cloned().collect();
    if entries.len() > 1 {
        return Err(ambiguous("are all marked as this key by the host", &entries).into());
    }
    let Some(entry) = entries.pop() else {
        let message = format!("{host} accepts this key but does not say which one it is; it was not revoked");
        return Err(Problem::new(Exit::Failed, message).hint("revoke it by its id: ollama-auth keys revoke ID").into());
    };
    let mut selected = SelectedKey::listed(entry, &host.to_string(), listed)?;
    selected.key = Some(key);
    Ok((session, selected))
}

/// The valid ones of a list: those that replace the key of that id, those that replace these, and so on. The list should hold revoked ones
/// too: one of them may have been replaced before.
fn valid_successors(entries: &[KeyEntry], id: &KeyId, now: i64) -> Vec<KeyEntry> {
    let mut after: HashMap<&str, Vec<&KeyEntry>> = HashMap::new();
    for entry in entries {
        if let Some(old) = &entry.replaces {
            after.entry(old).or_default().push(entry);
        }
    }
    let (mut waiting, mut found) = (vec![id.as_str()], Vec::new());
    // Taken out, so that a list that goes round in circles ends.
    while let Some(old) = waiting.pop() {
        let next = after.remove(old).unwrap_or_default();
        waiting.extend(next.iter().map(|entry| entry.id.as_str()));
        found.extend(next.into_iter().filter(|entry| state(entry, now) == "valid" && entry.id != id.as_str()).cloned());
    }
    found
}

/// Says that they stay valid, and how to end them.
fn warn_of_successors(app: &App, successors: &[KeyEntry], host: &BaseUrl) {
    for entry in successors {
        let which = format!("the API key {:?} ({})", entry.name, entry.id);
        app.printer.warn(&format!("{which} was created to replace it and stays valid at {host}"));
        if let Ok(id) = entry.id.parse() {
            app.printer.hint(&format!("to revoke it too: {}", revoke_command(&id, host)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_branch_end_and_go_round_in_circles() {
        let entry = |(id, replaces, revoked): &(&str, &str, bool)| -> KeyEntry {
            let at = revoked.then_some("2026-01-01T00:00:00Z");
            serde_json::from_value(json!({ "id": id, "replaces": replaces, "revoked_at": at })).unwrap()
        };
        let list = [
            ("key_aaaaaaaa", "key_dddddddd", false),
            ("key_bbbbbbbb", "key_aaaaaaaa", true),
            ("key_cccccccc", "key_aaaaaaaa", false),
            ("key_dddddddd", "key_bbbbbbbb", false),
            ("key_eeeeeeee", "key_ffffffff", false),
        ];
        let found = valid_successors(&list.each_ref().map(entry), &"key_aaaaaaaa".parse().unwrap(), 0);
        let found: Vec<&str> = found.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(found, ["key_cccccccc", "key_dddddddd"]);
    }
}
