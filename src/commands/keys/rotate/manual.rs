//! Rotation at a host without an API for keys, such as ollama.com: a person creates the key and pastes it; the rest is the same.

use secrecy::ExposeSecret as _;

use super::profile_keys::{ProfileKeys, SelectedKey};
use super::report::{Outcome, Report, ReportRow, finished_row, rotation_problem};
use super::{RotationRun, begin};
use crate::address::BaseUrl;
use crate::api::looks_like_ollama_com_key;
use crate::commands::api_key::read_api_key;
use crate::commands::keys::{SETTINGS, check_key_format};
use crate::exit::{Exit, Problem};
use crate::rotation::{Due, RotationOutcome, is_due};
use crate::shell::{name_argument, quoted};

/// The default interval of reminders, in seconds: 90 days.
const DEFAULT_MAX_AGE: u64 = 90 * 86_400;

/// Replaces the key that the profile keeps by one that a person gives, or reminds one to.
pub(super) async fn run(
    run: &RotationRun<'_>,
    keys: &ProfileKeys<'_>,
    selected: SelectedKey,
    row: &ReportRow,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (app, host) = (run.app, keys.context.url());
    let row = ReportRow { name: Some(selected.label.clone()), ..row.clone() };
    let max_age = run.args.max_age.map_or(DEFAULT_MAX_AGE, |age| age.0);
    let age = (app.now)().saturating_sub(selected.created_at.unwrap_or_default()).max(0);
    let due = !matches!(is_due(selected.created_at, None, (app.now)(), max_age), Due::NotYet(_));
    let key_available = run.args.key_stdin || (app.printer.is_interactive() && !run.args.all);
    if !due && (run.args.max_age.is_some() || !key_available) {
        let message = format!(
            "The key {:?} was stored {} days ago; it is due at {} days.",
            selected.label,
            age / 86_400,
            max_age / 86_400
        );
        return run.leave(keys, &selected, &message, row, report).await;
    }
    if run.args.dry_run || !key_available {
        let place = key_page(host);
        app.printer.warn(&format!(
            "the key {:?} was stored {} days ago: create a new one at {place}, then run: ollama-auth keys rotate {} --profile {}",
            selected.label,
            age / 86_400,
            name_argument(&selected.label),
            quoted(&row.profile)
        ));
        report.add(app, ReportRow { outcome: Outcome::Due, ..row });
        return Ok(());
    }
    // Before there is a key to lose.
    let store = run.store(keys, &selected).await?;
    run.deployer.probe()?;
    let new = ask(run, host).await?;
    check_key_format(&new)?;
    if keys.key.as_ref().is_some_and(|old| old.expose_secret() == new.expose_secret()) {
        let problem = Problem::new(Exit::Usage, "this key is already stored here");
        return Err(problem.hint(format!("create a new one at {}", key_page(host))).into());
    }
    if host.is_ollama_com() && !looks_like_ollama_com_key(&new) {
        app.printer.warn("this does not look like an API key of ollama.com; trying it anyway");
    }
    let old = keys.key.clone().filter(|_| selected.is_self);
    let backend = run.backend(keys, None, old, Some(new));
    let rotation = run.new_rotation(keys, &selected, store)?;
    match begin(&backend, rotation.clone()).await {
        Ok(outcome) => {
            report.add(app, finished_row(outcome, row, false));
            if outcome == RotationOutcome::RevokeManually {
                remind(run, keys);
            }
        }
        Err(stopped) => report.fail(app, row, rotation_problem(stopped, &rotation, &host.to_string())),
    }
    Ok(())
}

/// Says what is left for the person to do, after the new key has taken its place.
pub(super) fn remind(run: &RotationRun<'_>, keys: &ProfileKeys<'_>) {
    let record = keys.context.profile.as_ref().and_then(|profile| profile.api_key.as_ref());
    // The state before this run: if an earlier run was interrupted after that, the old key's expiry is unknown.
    let which = record.map(|record| record.hint.as_str()).filter(|hint| !hint.is_empty());
    let which = which.map_or_else(String::new, |hint| format!(" (ending in {hint})"));
    let place = key_page(keys.context.url());
    run.app.printer.warn(&format!("the old key{which} stays valid until you revoke it at {place}"));
}

fn key_page(host: &BaseUrl) -> String {
    if host.is_ollama_com() { SETTINGS.to_owned() } else { format!("the key page of {host}") }
}

async fn ask(run: &RotationRun<'_>, host: &BaseUrl) -> anyhow::Result<secrecy::SecretString> {
    let app = run.app;
    if app.printer.is_interactive() && app.printer.stdin_is_terminal() {
        app.printer.note(&format!("{host} has no API for keys: create a new key at {}", key_page(host)));
        let opens = host.is_ollama_com()
            && app.env.can_show_pages
            && app.ask(|printer| printer.confirm("Open that page in the browser?", true)).await??;
        if opens && let Err(error) = app.open_page(SETTINGS) {
            app.printer.warn(&format!("could not open a browser: {error}"));
        }
    }
    read_api_key(app, "ollama-auth keys rotate NAME --key-stdin").await
}
