//! Where only a person can make and revoke keys, as at ollama.com: the person pastes the new key, the rest is done as elsewhere.

use secrecy::ExposeSecret as _;

use super::report::{Outcome, Report, Row, problem_of, row_of};
use super::select::{Chosen, ProfileKeys};
use super::{Run, begin};
use crate::address::BaseUrl;
use crate::api::looks_like_ollama_com_key;
use crate::commands::api_key::read_api_key;
use crate::commands::keys::{SETTINGS, check_form};
use crate::exit::{Exit, Problem};
use crate::rotation::{Driven, Due, is_due};

/// After how many seconds a person is reminded where nothing else is said: 90 days.
const USUAL: u64 = 90 * 86_400;

/// Replaces the key that the profile keeps by one that a person gives, or reminds one to.
pub(super) async fn run(
    run: &Run<'_>,
    keys: &ProfileKeys<'_>,
    chosen: Chosen,
    row: &Row,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (app, host) = (run.app, keys.context.url());
    let row = Row { name: Some(chosen.label.clone()), ..row.clone() };
    let max_age = run.args.max_age.map_or(USUAL, |age| age.0);
    let age = (app.now)().saturating_sub(chosen.created_at.unwrap_or_default()).max(0);
    let due = !matches!(is_due(chosen.created_at, None, (app.now)(), max_age), Due::NotYet(_));
    let somebody_gives_it = run.args.key_stdin || (app.printer.is_interactive() && !run.args.all);
    if !due && (run.args.max_age.is_some() || !somebody_gives_it) {
        app.printer.note(&format!(
            "The key {:?} was put here {} days ago: nothing to do before {} days.",
            chosen.label,
            age / 86_400,
            max_age / 86_400
        ));
        report.add(app, Row { outcome: Outcome::NotDue, ..row });
        return Ok(());
    }
    if run.args.dry_run || !somebody_gives_it {
        let place = place(host);
        app.printer.warn(&format!(
            "the key {:?} was put here {} days ago, and only a person can replace it: make a new one at {place}, then run: ollama-auth keys rotate {} --profile {}",
            chosen.label,
            age / 86_400,
            chosen.label,
            row.profile
        ));
        report.add(app, Row { outcome: Outcome::Due, ..row });
        return Ok(());
    }
    // Before there is a key to lose.
    let store = run.store(keys, &chosen).await?;
    run.deployer.probe()?;
    let new = ask(run, host).await?;
    check_form(&new)?;
    if keys.key.as_ref().is_some_and(|old| old.expose_secret() == new.expose_secret()) {
        let problem = Problem::new(Exit::Usage, "that is the key that is kept here already, not a new one");
        return Err(problem.hint(format!("make a new one at {}", place(host))).into());
    }
    if host.is_ollama_com() && !looks_like_ollama_com_key(&new) {
        app.printer.warn("this does not look like an API key of ollama.com; trying it all the same");
    }
    let old = keys.key.clone().filter(|_| chosen.is_self);
    let backend = run.backend(keys, None, old, Some(new));
    let rotation = run.new_rotation(keys, &chosen, store)?;
    match begin(&backend, rotation.clone()).await {
        Ok(driven) => {
            report.add(app, row_of(driven, row, false));
            if driven == Driven::ByHand {
                remind(run, keys);
            }
        }
        Err(stopped) => report.fail(app, row, problem_of(stopped, &rotation, &host.to_string())),
    }
    Ok(())
}

/// Says what is left for the person to do, after the new key has taken its place.
pub(super) fn remind(run: &Run<'_>, keys: &ProfileKeys<'_>) {
    let record = keys.context.profile.as_ref().and_then(|profile| profile.api_key.as_ref());
    // As it was before this run: where an earlier one was cut short behind that, the old key's end is known no more.
    let which = record.map(|record| record.hint.as_str()).filter(|hint| !hint.is_empty());
    let which = which.map_or_else(String::new, |hint| format!(" (ending in {hint})"));
    let place = place(keys.context.url());
    run.app.printer.warn(&format!("the old key{which} is valid until you revoke it at {place}"));
}

fn place(host: &BaseUrl) -> String {
    if host.is_ollama_com() { SETTINGS.to_owned() } else { format!("{host}, where its keys are made") }
}

async fn ask(run: &Run<'_>, host: &BaseUrl) -> anyhow::Result<secrecy::SecretString> {
    let app = run.app;
    if app.printer.is_interactive() && app.printer.stdin_is_terminal() {
        app.printer.note(&format!("{host} lets only a person make API keys: make a new one at {}", place(host)));
        let opens = host.is_ollama_com()
            && app.env.can_show_pages
            && app.ask(|printer| printer.confirm("Open that page in the browser?", true)).await??;
        if opens && let Err(error) = (app.open_page)(SETTINGS) {
            app.printer.warn(&format!("the browser cannot be opened: {error}"));
        }
    }
    read_api_key(app, "ollama-auth keys rotate NAME --key-stdin").await
}
