//! The form in which events are stored: one JSON object on one line, which is written once and never changed.
//!
//! What is shown is read from it; the columns beside it are for filters alone. A later version may add members, so a reader skips what it
//! does not know.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Actor, Details, Event, EventAccount, RecordedEvent, Repeats};

/// Of the form below.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    format: u32,
    at: i64,
    replica: Cow<'a, str>,
    actor: Cow<'a, Actor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    action: Cow<'a, str>,
    subject: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<Cow<'a, EventAccount>>,
    outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<Cow<'a, str>>,
    details: Cow<'a, Details>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repeats: Option<Repeats>,
}

/// Of an event that version 0.1.0 recorded in columns: the line that it gets with the tree.
const OLD_FORMAT: u32 = 0;

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct StoredOld {
    format: u32,
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_at: Option<i64>,
    count: u32,
    actor: String,
    address: String,
    action: String,
    subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account_id: Option<Uuid>,
    detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Done,
    Refused,
    /// One that only newer versions know.
    #[serde(other)]
    Other,
}

/// The line that is stored of an event at that replica.
///
/// # Errors
/// Never; the libraries allow for it.
pub fn write(event: &Event, replica: &str) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Stored {
        format: FORMAT,
        at: event.at,
        replica: replica.into(),
        actor: Cow::Borrowed(&event.actor),
        address: event.address(),
        action: event.action.into(),
        subject: Cow::Borrowed(&event.subject),
        account: event.account.as_ref().map(Cow::Borrowed),
        outcome: if event.code.is_some() { Outcome::Refused } else { Outcome::Done },
        code: event.code.map(|code| code.name().into()),
        details: Cow::Borrowed(&event.details),
        request: event.request(),
        repeats: event.repeats,
    })
}

/// The line of an event of a version that stored none.
///
/// # Errors
/// Never; the libraries allow for it.
pub fn write_old(event: &RecordedEvent) -> Result<String, serde_json::Error> {
    serde_json::to_string(&StoredOld {
        format: OLD_FORMAT,
        at: event.at,
        last_at: event.last_at,
        count: event.count,
        actor: event.actor.clone(),
        address: event.address.clone(),
        action: event.action.clone(),
        subject: event.subject.clone(),
        account: event.account.clone(),
        account_id: event.account_id,
        detail: event.detail.clone(),
        details: event.details.clone(),
    })
}

/// The event with that number, from its line.
///
/// # Errors
/// When the line is not a stored event.
pub fn read(id: i64, line: &str) -> Result<RecordedEvent, serde_json::Error> {
    let Format { format } = serde_json::from_str(line)?;
    if format == OLD_FORMAT {
        return read_old(id, line);
    }
    let stored: Stored<'_> = serde_json::from_str(line)?;
    let account = stored.account.map(Cow::into_owned);
    let details = stored.details.into_owned();
    Ok(RecordedEvent {
        id,
        log: None,
        index: None,
        at: stored.at,
        last_at: stored.repeats.map(|repeats| repeats.until),
        count: stored.repeats.map_or(1, |repeats| repeats.count),
        first: stored.repeats.map(|repeats| repeats.first),
        actor_account: stored.actor.account(),
        actor: stored.actor.to_string(),
        action: stored.action.into_owned(),
        subject: stored.subject.into_owned(),
        account_id: account.as_ref().map(|account| account.id),
        account: account.map(|account| account.name),
        code: stored.code.map(Cow::into_owned),
        detail: details.to_string(),
        details: Some(details),
        address: stored.address.unwrap_or_default(),
        request: stored.request,
        replica: Some(stored.replica.into_owned()),
    })
}

fn read_old(id: i64, line: &str) -> Result<RecordedEvent, serde_json::Error> {
    let stored: StoredOld = serde_json::from_str(line)?;
    Ok(RecordedEvent {
        id,
        log: None,
        index: None,
        at: stored.at,
        last_at: stored.last_at,
        count: stored.count,
        first: None,
        actor: stored.actor,
        actor_account: None,
        action: stored.action,
        subject: stored.subject,
        account: stored.account,
        account_id: stored.account_id,
        code: None,
        detail: stored.detail,
        details: stored.details,
        address: stored.address,
        request: None,
        replica: None,
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::gateway::origin::Origin;
    use crate::gateway::refusal_code::RefusalCode;

    #[test]
    fn an_event_is_one_line_that_tells_all_of_it() {
        let (account, origin) = (Uuid::from_u128(7), Origin::new(IpAddr::from([192, 0, 2, 1])));
        let by = Actor::Key { account, id: "key_a".into() };
        let mut event = Event::new(5, by, "request.denied", "/api/chat").from(origin).with("name", "a\n\"b\"");
        event.account = Some(EventAccount { id: account, name: "ada".into() });
        event.code = Some(RefusalCode::Scope);
        event.repeats = Some(Repeats { first: 3, count: 9, until: 65 });
        let line = write(&event, "one").unwrap();
        assert!(!line.contains('\n'));
        let shown: Value = serde_json::from_str(&line).unwrap();
        let request = origin.request.to_string();
        assert_eq!(
            shown,
            json!({
                "format": 1, "at": 5, "replica": "one", "action": "request.denied", "subject": "/api/chat",
                "actor": { "kind": "key", "account": account, "id": "key_a" }, "address": "192.0.2.1",
                "account": { "id": account, "name": "ada" }, "outcome": "refused", "code": "scope",
                "details": { "name": "a\n\"b\"" }, "request": request,
                "repeats": { "first": 3, "count": 9, "until": 65 },
            })
        );
        let read = read(12, &line).unwrap();
        assert_eq!((read.id, read.at, read.last_at, read.count, read.first), (12, 5, Some(65), 9, Some(3)));
        assert_eq!((&*read.actor, read.actor_account), ("key:key_a", Some(account)));
        assert_eq!((read.code.as_deref(), read.request), (Some("scope"), Some(request)));
        assert_eq!((read.details, read.replica.as_deref()), (Some(event.details), Some("one")));
    }

    #[test]
    fn a_workload_is_named_with_its_run() {
        let (account, run) = (Uuid::from_u128(7), Some("42".to_owned()));
        let by = Actor::Workload { account, rule: "ci".into(), subject: "repo:a/b".into(), run };
        let line = write(&Event::new(5, by, "key.created", "key_a"), "one").unwrap();
        let read = read(1, &line).unwrap();
        assert_eq!((&*read.actor, read.actor_account), ("workload:ci", Some(account)));
        assert_eq!(read.detail, r#"workload_subject="repo:a/b" run="42""#);
    }

    #[test]
    fn what_a_newer_version_writes_besides_is_skipped() {
        let line = json!({
            "format": 2, "at": 5, "replica": "one", "actor": { "kind": "robot", "model": "r2" }, "action": "x.y",
            "subject": "s", "outcome": "failed", "details": {}, "more": [1],
        });
        let read = read(1, &line.to_string()).unwrap();
        assert_eq!((&*read.actor, read.count, read.last_at), ("(unknown)", 1, None));
        assert!(super::read(1, "{}").is_err());
    }
}
