//! `keys list`: the API keys that the credential may see and what is wrong with each, as a table or as JSON. Where machines
//! create keys, there can be tens of thousands. Also how the `keys` commands show times and states.

use std::cmp::Ordering;
use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;

use crate::api::KeyEntry;
use crate::app::App;
use crate::cli::{KeyField, KeyFilter, KeySort, KeysList};
use crate::commands::context::{Context, require_accounts};
use crate::commands::keys::explain;
use crate::commands::keys::findings::{FindingKind, KeyAssessor, KeyProblem, Severity};
use crate::commands::keys::managing_session;
use crate::commands::names;
use crate::commands::names::Names;
use crate::exit::Exit;
use crate::keyspec::{KeyFacts, KeyState, Lifetime};
use crate::profile::Audience;
use crate::relative_time;
pub(super) use crate::relative_time::span;
use crate::ui::{Column, Table, Tint};

/// The most characters of a cell whose length others decide.
const WIDEST: usize = 40;

/// What `keys list --json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    host: String,
    profile: &'a str,
    keys: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    entry: &'a KeyEntry,
    /// `valid`, `suspended`, `expired` or `revoked`.
    state: &'static str,
    /// The same for people.
    #[serde(skip)]
    shown: KeyState,
    /// It is the key that this profile keeps.
    kept_here: bool,
    /// What is wrong with it, the most urgent first.
    problems: Vec<FindingKind>,
}

/// Runs it.
pub async fn run(app: &App, args: KeysList) -> anyhow::Result<Exit> {
    let context = Context::resolve(app, Audience::Account)?;
    let session = managing_session(app, &context).await?;
    require_accounts(&session).await?;
    let entries = session.api_keys(args.revoked).await.map_err(|error| explain(error, context.url()))?;
    let names = entries.iter().filter(|entry| entry.revoked_at.is_none()).map(|entry| entry.name.as_str());
    Names::new(&app.paths).store(names::Kind::Keys, context.url(), names);
    let now = (app.now)();
    let own = context.profile.as_ref().and_then(|profile| profile.api_key.as_ref()?.id.clone());
    let assessor = KeyAssessor::new(now, seconds(args.max_age), &entries, own.as_deref());
    let assessed =
        entries.iter().map(|entry| AssessedKey { entry, state: state(entry, now), problems: assessor.problems(entry) });
    let mut keys: Vec<AssessedKey<'_>> = assessed.filter(|key| key.fits(&args.filters)).collect();
    // A script that says nothing gets the host's order.
    let unsorted = args.sort.is_none() && app.printer.is_json();
    if !unsorted {
        sort(&mut keys, args.sort.unwrap_or(KeySort::Attention));
    }
    let accepted = entries.iter().filter(|entry| state(entry, now) == "valid");
    let replaced: HashSet<&str> = accepted.filter_map(|entry| entry.replaces.as_deref()).collect();
    let rows = keys.into_iter().map(|AssessedKey { entry, state, problems }| Row {
        entry,
        state,
        shown: KeyState::of(facts(entry, replaced.contains(entry.id.as_str())), now),
        kept_here: own.as_ref() == Some(&entry.id),
        problems: problems.into_iter().map(|problem| problem.kind).collect(),
    });
    let report = Report { host: context.url().to_string(), profile: &context.target.profile, keys: rows.collect() };
    if app.printer.is_json() {
        app.printer.json(&report)?;
    } else {
        print(app, &report, entries.len(), now)?;
    }
    Ok(Exit::Done)
}

/// A limit in seconds.
pub(super) fn seconds(limit: Lifetime) -> Option<u64> {
    match limit {
        Lifetime::Seconds(seconds) => Some(seconds),
        Lifetime::Never => None,
    }
}

fn print(app: &App, report: &Report<'_>, all: usize, now: i64) -> anyhow::Result<()> {
    let host = &report.host;
    if all == 0 {
        app.printer.note(&format!("There are no API keys at {host}."));
        app.printer.hint("create one: ollama-auth keys create NAME");
        return Ok(());
    }
    if report.keys.is_empty() {
        app.printer.note(&format!("None of the {all} API keys at {host} matches the filter."));
        return Ok(());
    }
    // These columns are left out if no key has such.
    let has_limits = report.keys.iter().any(|row| row.entry.limits.is_some_and(|limits| !limits.is_none()));
    let limits = has_limits.then(|| Column::new("limits").shrinks_to(10).optional(4));
    let has_from = report.keys.iter().any(|row| !row.entry.from.is_empty());
    let from = has_from.then(|| Column::new("from").shrinks_to(10).optional(4));
    let columns = [
        Column::new("name").shrinks_to(12),
        Column::new("id"),
        Column::new("environment").shrinks_to(8).optional(5),
        Column::new("scopes").shrinks_to(12).optional(3),
        Column::new("models").shrinks_to(10).optional(4),
    ];
    let more = [
        Column::new("age").optional(6),
        Column::new("last used").optional(2),
        Column::new("expires").optional(1),
        Column::new("state").shrinks_to(12).state(),
    ];
    let mut table = Table::new(columns.into_iter().chain(limits).chain(from).chain(more));
    for row in &report.keys {
        let entry = row.entry;
        let models = if entry.models.is_empty() { "all".to_owned() } else { entry.models.join(",") };
        let limits = entry.limits.filter(|limits| !limits.is_none());
        let limits = limits.map_or("-".to_owned(), |limits| entry.used.unwrap_or_default().beside(limits));
        let cells = [
            short(&entry.name),
            short(&entry.id),
            short(entry.environment.as_deref().unwrap_or("-")),
            short(&entry.scopes.join(",")),
            short(&models),
        ];
        let more = [
            age(entry.created_at, now),
            ago(entry.last_used_at, now, "never"),
            until(entry.expires_at, now),
            state_text(row),
        ];
        let from = if entry.from.is_empty() { "every address".to_owned() } else { short(&entry.from.join(",")) };
        let cells = cells.into_iter().chain(has_limits.then_some(limits)).chain(has_from.then_some(from)).chain(more);
        match row.problems.first().map(|kind| kind.level()) {
            Some(Severity::Error) => table.push_tinted(Tint::Bad, cells),
            Some(Severity::Warning) => table.push_tinted(Tint::Doubtful, cells),
            Some(Severity::Note) => table.push(cells),
            None if row.state == "valid" => table.push_tinted(Tint::Good, cells),
            None if row.state == "suspended" => table.push_tinted(Tint::Doubtful, cells),
            None => table.push_tinted(Tint::Faint, cells),
        }
    }
    app.printer.table(&table)?;
    if report.keys.iter().any(|row| !row.problems.is_empty()) {
        app.printer.hint("to see how to fix this: ollama-auth keys audit");
    }
    Ok(())
}

/// The state of a key, as the gateway's page shows it, and what else is wrong with it.
fn state_text(row: &Row<'_>) -> String {
    let mut words = vec![row.shown.word()];
    let others = row.problems.iter().filter(|kind| !matches!(kind, FindingKind::Expired | FindingKind::Expiring));
    words.extend(others.map(|kind| kind.name()));
    if row.kept_here {
        words.push("stored here");
    }
    words.join(", ")
}

/// A long text would push everything else off the screen. An id of ours is never cut: it has at most 64 characters.
pub fn short(text: &str) -> String {
    let widest = if text.parse::<crate::keyspec::KeyId>().is_ok() { usize::MAX } else { WIDEST };
    match text.char_indices().nth(widest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A key with what was found out about it.
#[derive(Debug)]
struct AssessedKey<'a> {
    entry: &'a KeyEntry,
    /// `valid`, `suspended`, `expired` or `revoked`.
    state: &'static str,
    /// The most urgent first.
    problems: Vec<KeyProblem>,
}

impl AssessedKey<'_> {
    /// Whether every filter holds.
    fn fits(&self, filters: &[KeyFilter]) -> bool {
        filters.iter().all(|filter| self.fits_one(filter))
    }

    fn fits_one(&self, filter: &KeyFilter) -> bool {
        let (entry, pattern) = (self.entry, filter.pattern.as_str());
        let any = |texts: &[String]| match texts {
            [] => pattern.is_empty(),
            some => some.iter().any(|text| fits(pattern, text)),
        };
        match filter.field {
            KeyField::Name => fits(pattern, &entry.name),
            KeyField::Id => fits(pattern, &entry.id),
            KeyField::Environment => fits(pattern, entry.environment.as_deref().unwrap_or_default()),
            KeyField::Scope => any(&entry.scopes),
            KeyField::Model => any(&entry.models),
            KeyField::State => fits(pattern, self.state),
            KeyField::Problem if self.problems.is_empty() => pattern.is_empty(),
            KeyField::Problem => self.problems.iter().any(|problem| fits(pattern, problem.kind.name())),
        }
    }

    fn urgency(&self) -> (bool, Option<FindingKind>) {
        let worst = self.problems.first().map(|problem| problem.kind);
        (worst.is_none(), worst)
    }
}

/// Puts keys in order. Those of which nothing is known come last; ties are sorted by name and id.
fn sort(keys: &mut [AssessedKey<'_>], by: KeySort) {
    let last = |time: Option<jiff::Timestamp>| (time.is_none(), time);
    keys.sort_by(|a, b| {
        let (left, right) = (a.entry, b.entry);
        let first = match by {
            KeySort::Attention => a.urgency().cmp(&b.urgency()),
            KeySort::Name => Ordering::Equal,
            KeySort::Age => last(left.created_at).cmp(&last(right.created_at)),
            // Never is longest ago.
            KeySort::LastUsed => left.last_used_at.cmp(&right.last_used_at),
            KeySort::Expires => last(left.expires_at).cmp(&last(right.expires_at)),
        };
        first.then_with(|| left.name.cmp(&right.name)).then_with(|| left.id.cmp(&right.id))
    });
}

/// Whether a text matches a pattern; `*` matches any characters.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(end) = parts.next_back() else {
        return rest.is_empty();
    };
    // The first place where a part fits leaves the most for the others.
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(end)
}

/// Whether a key can be used, as far as its description tells: the member `state` of JSON.
pub(super) fn state(entry: &KeyEntry, now: i64) -> &'static str {
    match KeyState::of(facts(entry, false), now) {
        state @ (KeyState::Revoked | KeyState::Expired | KeyState::Suspended) => state.word(),
        KeyState::Valid | KeyState::ExpiresSoon | KeyState::Replaced => "valid",
    }
}

/// What the state of a key follows from. `replaced`: another key that is accepted was made to replace it.
pub(super) fn facts(entry: &KeyEntry, replaced: bool) -> KeyFacts {
    let seconds = |time: Option<Timestamp>| time.map(Timestamp::as_second);
    let (created_at, expires_at) = (seconds(entry.created_at), seconds(entry.expires_at));
    let (revoked, suspended) = (entry.revoked_at.is_some(), entry.suspended_at.is_some());
    KeyFacts { created_at, expires_at, revoked, replaced, suspended }
}

/// "3 days ago", "just now"; `nothing` where there is no time.
pub(super) fn ago(time: Option<Timestamp>, now: i64, nothing: &str) -> String {
    time.map_or_else(|| nothing.to_owned(), |time| relative_time::ago(time.as_second(), now))
}

/// "3 days", "0 seconds" for what is made in the future; "?" where there is no time.
pub(super) fn age(time: Option<Timestamp>, now: i64) -> String {
    time.map_or_else(|| "?".to_owned(), |time| span(now.saturating_sub(time.as_second()).max(0)))
}

/// "in 87 days", "3 days ago", "never".
pub(super) fn until(time: Option<Timestamp>, now: i64) -> String {
    time.map_or_else(|| "never".to_owned(), |time| relative_time::until(time.as_second(), now))
}

/// A point in time for people: `2027-02-19 05:00 UTC`.
pub(super) fn date(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, text) in [
            ("ci", "ci"),
            ("", ""),
            ("*", ""),
            ("nightly*", "nightly report"),
            ("*a*b", "xaxbxb"),
            ("a**", "a"),
            ("*é*", "café!"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("ci", "cid"), ("ci", "aci"), ("", "x"), ("a*a", "a"), ("*a*b", "ba"), ("C*", "ci")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        // No pattern takes more than a pass over the text for each of its parts.
        assert!(!fits(&"*a".repeat(50), &"a".repeat(49)));
    }

    #[test]
    fn missing_times_have_words_of_their_own() {
        let at = |seconds: i64| Some(Timestamp::from_second(seconds).unwrap());
        let now = 1_795_211_572;
        assert_eq!((until(None, now).as_str(), ago(None, now, "never").as_str()), ("never", "never"));
        assert_eq!(until(at(now + 90 * 86_400), now), "in 90 days");
        assert_eq!(until(at(now - 7200), now), "2 hours ago");
        assert_eq!(ago(at(now + 999_999), now, "never"), "just now");
        assert_eq!((age(at(now - 3 * 86_400), now), age(at(now + 9), now)), ("3 days".into(), "0 seconds".into()));
        assert_eq!(age(None, now), "?");
        assert_eq!(date(at(now).unwrap()), "2026-11-20 21:52 UTC");
    }
}
