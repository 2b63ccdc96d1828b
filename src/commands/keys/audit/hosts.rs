//! What the hosts say: every profile's credential is fetched in turn, since a store may ask a person something, and then all
//! hosts are asked at once, each within the time that one may take.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::{Checked, Finding, profile_option};
use crate::api::{HostKind, KeyEntry, Session};
use crate::app::App;
use crate::commands::context::{Context, no_accounts_problem, sign_in_hint, withheld_note};
use crate::commands::keys::findings::{FindingKind, KeyAssessor, KeyProblem};
use crate::commands::keys::is_not_offered;
use crate::commands::keys::list::span;
use crate::exit::{Exit, Problem};
use crate::keyspec::KeyId;
use crate::profile::{ApiKeyRecord, CredentialSource};
use crate::shell::name_argument;

/// The answer of a host.
enum Answer {
    Keys(Vec<KeyEntry>),
    /// It lists none to programs.
    Unlisted,
}

/// Asks all of them.
pub(super) async fn audit_hosts(
    app: &App,
    contexts: &[Context],
    max_age: Option<u64>,
    limit: Duration,
) -> (Vec<Checked>, Vec<Finding>) {
    let none_is_signed_in = contexts.iter().all(|context| context.source == CredentialSource::None);
    let mut sessions = Vec::new();
    for context in contexts {
        sessions.push(match context.source {
            CredentialSource::None => Err(signed_out(context, none_is_signed_in)),
            _ => context.session(app).await.map_err(|error| Problem::from_error(&error)),
        });
    }
    let asked = sessions.iter().zip(contexts).map(|(session, context)| async move {
        match session {
            Ok(session) => with_timeout(limit, context, fetch_keys(session, context)).await,
            Err(problem) => Err(problem.clone()),
        }
    });
    let answers = all(asked).await;
    let (mut checked, mut findings) = (Vec::new(), Vec::new());
    for (context, answer) in contexts.iter().zip(answers) {
        let keys = match &answer {
            Ok(Answer::Keys(entries)) => Some(entries.len()),
            _ => None,
        };
        findings.extend(assessor(app, context, answer, max_age));
        let profile = context.target.exists.then(|| context.target.profile.clone());
        checked.push(Checked { profile, host: context.url().to_string(), keys });
    }
    (checked, findings)
}

/// A profile without a credential is not a failure if others have one, unless `OLLAMA_API_KEY` is set and not sent.
fn signed_out(context: &Context, alone: bool) -> Problem {
    let exit = if alone || context.withheld.is_some() { Exit::SignIn } else { Exit::Done };
    let url = context.url();
    let hint = context.withheld.map_or_else(|| sign_in_hint(url), |withheld| withheld_note(withheld, url));
    Problem::new(exit, format!("not signed in to {url}")).hint(hint)
}

/// Runs them side by side; the results in their order.
async fn all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    let waiting = poll_fn(|context| {
        for (future, result) in running.iter_mut().filter(|(_, result)| result.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *result = Some(value);
            }
        }
        if running.iter().all(|(_, result)| result.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    });
    pin!(waiting).await;
    running.into_iter().filter_map(|(_, result)| result).collect()
}

async fn with_timeout(
    limit: Duration,
    context: &Context,
    work: impl Future<Output = anyhow::Result<Answer>>,
) -> Result<Answer, Problem> {
    match tokio::time::timeout(limit, work).await {
        Ok(answer) => answer.map_err(|error| Problem::from_error(&error)),
        Err(_) => {
            let message = format!("{} did not list its keys within {} s", context.url(), limit.as_secs_f64());
            Err(Problem::new(Exit::Unreachable, message).hint("to wait longer, pass --timeout"))
        }
    }
}

async fn fetch_keys(session: &Session<'_>, context: &Context) -> anyhow::Result<Answer> {
    match session.host_kind().await? {
        HostKind::AccountHost => {}
        // An API key may be for a host of another kind. A device key is not.
        _ if context.source != CredentialSource::ProfileDevice => return Ok(Answer::Unlisted),
        other => return Err(no_accounts_problem(session, other).into()),
    }
    match session.api_keys(false).await {
        Ok(entries) => Ok(Answer::Keys(entries)),
        Err(error) if is_not_offered(&error) => Ok(Answer::Unlisted),
        Err(error) => Err(error.into()),
    }
}

fn assessor(app: &App, context: &Context, answer: Result<Answer, Problem>, max_age: Option<u64>) -> Vec<Finding> {
    let record = context.profile.as_ref().and_then(|profile| profile.api_key.as_ref());
    match answer {
        Err(problem) => {
            let what = if context.target.exists { "the profile" } else { "the host" };
            let name =
                if context.target.exists { format!("{:?}", context.target.profile) } else { context.url().to_string() };
            let finding =
                Finding::new(FindingKind::Unchecked, format!("{what} {name} was not checked: {}", problem.message));
            vec![Finding { remedy: problem.hint, exit: problem.exit, ..finding.at(context) }]
        }
        // Only from a list, or from making it, is the id of a key known.
        Ok(Answer::Unlisted) if record.is_some_and(|record| record.id.is_some()) => {
            let message = "it no longer lists its keys, although it did when the stored key was created";
            let problem = Problem::new(Exit::Failed, format!("{}: {message}", context.url()));
            let hint = format!("see its answer: ollama-auth keys list {}", profile_option(context));
            assessor(app, context, Err(problem.hint(hint)), max_age)
        }
        Ok(Answer::Unlisted) => {
            let host = context.url();
            let looked = if record.is_some() { "; only the age of the stored key was checked" } else { "" };
            let message = format!("{host} has no API that lists its keys{looked}");
            let unlisted = Finding::new(FindingKind::Unlisted, message).at(context);
            let kept = record.and_then(|record| stale_copy(app, context, record, max_age));
            std::iter::once(unlisted).chain(kept).collect()
        }
        Ok(Answer::Keys(entries)) => {
            let stored = record.and_then(|record| stored_entry(context, record, &entries));
            let stored = stored.map(|entry| entry.id.as_str());
            let assessor = KeyAssessor::new((app.now)(), max_age, &entries, stored);
            let found = |entry| {
                assessor.problems(entry).into_iter().map(move |problem| key_finding(context, record, entry, problem))
            };
            let mut findings: Vec<Finding> = entries.iter().flat_map(found).collect();
            findings.extend(record.and_then(|record| not_listed(context, record, &entries)));
            findings
        }
    }
}

fn key_finding(context: &Context, record: Option<&ApiKeyRecord>, entry: &KeyEntry, problem: KeyProblem) -> Finding {
    let kept = record.filter(|record| record.id.as_ref() == Some(&entry.id));
    let here = if kept.is_some() { ", which is stored here," } else { "" };
    let message = format!("the key {:?} ({}) of {}{here} {}", entry.name, entry.id, context.url(), problem.text);
    let finding = Finding::new(problem.kind, message).at(context);
    let remedy = remedy(context, entry, problem.kind, kept);
    Finding {
        id: Some(entry.id.clone()),
        name: Some(entry.name.clone()),
        environment: entry.environment.clone(),
        remedy,
        ..finding
    }
}

/// The key that is stored here, as the host describes it.
fn stored_entry<'a>(context: &Context, record: &ApiKeyRecord, entries: &'a [KeyEntry]) -> Option<&'a KeyEntry> {
    // Of a key that was given, the id may not be on record: then it is the one that asks.
    let asks = context.source == CredentialSource::ProfileKey;
    entries.iter().find(|entry| match &record.id {
        Some(id) => entry.id == *id,
        None => asks && entry.is_self,
    })
}

/// A command to paste. The id from the host is used in it only if it is valid.
fn remedy(context: &Context, entry: &KeyEntry, kind: FindingKind, kept: Option<&ApiKeyRecord>) -> Option<String> {
    let place = profile_option(context);
    let id: KeyId = entry.id.parse().ok()?;
    let name = name_argument(&entry.name);
    let revoke = format!("ollama-auth keys revoke {id} {place}");
    let save = if kept.is_some() { " --save" } else { "" };
    let again = |more: &str| format!("ollama-auth keys create {name}{more}{save} {place}\n{revoke}");
    Some(match kind {
        FindingKind::Replaced => {
            format!("get the new key from where it was created, then: ollama-auth keys import --replace {place}")
        }
        FindingKind::Expired if kept.is_some() => format!("ollama-auth keys create {name} --save {place}"),
        FindingKind::Stale | FindingKind::Expiring => kept.map_or_else(|| again(""), |record| rotate(record, &place)),
        FindingKind::NoExpiry => again(" --expires 90d"),
        FindingKind::OverBroad => again(" --scope inference"),
        _ => revoke,
    })
}

/// A key that is stored here can be replaced without a gap.
fn rotate(record: &ApiKeyRecord, place: &str) -> String {
    let which = record.name.as_deref().map(name_argument).or_else(|| record.id.clone());
    format!("ollama-auth keys rotate {} {place}", which.as_deref().unwrap_or("--all"))
}

/// All that is known of a key that its host does not describe: since when it has been stored here.
fn stale_copy(app: &App, context: &Context, record: &ApiKeyRecord, max_age: Option<u64>) -> Option<Finding> {
    let age = (app.now)().saturating_sub(record.added_at);
    let limit = i64::try_from(max_age?).unwrap_or(i64::MAX);
    if age <= limit {
        return None;
    }
    let message = format!(
        "the key {} of {} has been stored here for {}; the limit is {}",
        record.describe(),
        context.url(),
        span(age),
        span(limit)
    );
    let finding = Finding::new(FindingKind::Stale, message).at(context);
    Some(with_record(finding.remedy(rotate(record, &profile_option(context))), record))
}

/// A device sees every key of its account: one that it does not see does not exist any more.
fn not_listed(context: &Context, record: &ApiKeyRecord, entries: &[KeyEntry]) -> Option<Finding> {
    let id = record.id.as_ref()?;
    if context.source != CredentialSource::ProfileDevice || entries.iter().any(|entry| entry.id == *id) {
        return None;
    }
    let message = format!(
        "{} does not list the stored key {}: it was revoked, or belongs to another account",
        context.url(),
        record.describe()
    );
    let finding = Finding::new(FindingKind::Expired, message).at(context);
    Some(with_record(finding.remedy(format!("ollama-auth keys forget {}", profile_option(context))), record))
}

/// Adds what a record tells of its key.
pub(super) fn with_record(finding: Finding, record: &ApiKeyRecord) -> Finding {
    let (id, name, environment) = (record.id.clone(), record.name.clone(), record.environment.clone());
    Finding { id, name, environment, ..finding }
}
