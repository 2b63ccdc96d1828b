//! Compares the columns beside a stored line with what the line says. A log of millions of records is read for it, so nothing is copied of
//! a line, and its details are passed over.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::gateway::store::AuditColumns;

/// How the lines of events begin that were recorded without one: see [`write_old`](super::write_old).
const OLD: &str = "{\"format\":0,";

/// A text, borrowed if it contains nothing that is escaped.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Line<'a> {
    at: i64,
    #[serde(borrow)]
    actor: Actor<'a>,
    #[serde(borrow, default)]
    address: Option<Text<'a>>,
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow)]
    subject: Text<'a>,
    #[serde(borrow, default)]
    account: Option<Account<'a>>,
    #[serde(borrow, default)]
    code: Option<Text<'a>>,
    #[serde(borrow)]
    details: &'a RawValue,
    #[serde(borrow, default)]
    request: Option<Text<'a>>,
    #[serde(default)]
    repeats: Option<Repeats>,
}

/// The members of all kinds of actors.
#[derive(Deserialize)]
struct Actor<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    rule: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Account<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Repeats {
    count: u32,
    until: i64,
}

#[derive(Deserialize)]
struct OldLine<'a> {
    at: i64,
    #[serde(default)]
    last_at: Option<i64>,
    count: u32,
    #[serde(borrow)]
    actor: Text<'a>,
    #[serde(borrow)]
    address: Text<'a>,
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow)]
    subject: Text<'a>,
    #[serde(borrow, default)]
    account: Option<Text<'a>>,
    #[serde(borrow, default)]
    account_id: Option<Text<'a>>,
}

/// The columns that do not say what the line says; `record` if the line is not a stored event.
pub fn differing_columns(line: &str, columns: &AuditColumns) -> Vec<&'static str> {
    let compared = if line.starts_with(OLD) { compare_old(line, columns) } else { compare(line, columns) };
    match compared {
        Ok(compared) => compared.into_iter().filter_map(|(name, is_same)| (!is_same).then_some(name)).collect(),
        Err(_) => vec!["record"],
    }
}

type Compared = [(&'static str, bool); 11];

fn compare(line: &str, columns: &AuditColumns) -> Result<Compared, serde_json::Error> {
    let line: Line<'_> = serde_json::from_str(line)?;
    if !line.details.get().starts_with('{') {
        return Err(<serde_json::Error as serde::de::Error>::custom("the details are no object"));
    }
    let (last_at, count) = line.repeats.map_or((None, 1), |repeats| (Some(repeats.until), repeats.count));
    Ok([
        ("at", columns.at == line.at),
        ("last_at", columns.last_at == last_at),
        ("count", columns.count == i64::from(count)),
        ("actor", line.actor.is(&columns.actor)),
        ("action", line.action.is(&columns.action)),
        ("subject", line.subject.is(&columns.subject)),
        ("address", columns.address == line.address.as_ref().map_or("", |address| &address.0)),
        ("account", is_same(line.account.as_ref().map(|account| &account.name), columns.account.as_deref())),
        ("account_id", is_same(line.account.as_ref().map(|account| &account.id), columns.account_id.as_deref())),
        ("code", is_same(line.code.as_ref(), columns.code.as_deref())),
        ("request", is_same(line.request.as_ref(), columns.request.as_deref())),
    ])
}

fn compare_old(line: &str, columns: &AuditColumns) -> Result<Compared, serde_json::Error> {
    let line: OldLine<'_> = serde_json::from_str(line)?;
    Ok([
        ("at", columns.at == line.at),
        ("last_at", columns.last_at == line.last_at),
        ("count", columns.count == i64::from(line.count)),
        ("actor", line.actor.is(&columns.actor)),
        ("action", line.action.is(&columns.action)),
        ("subject", line.subject.is(&columns.subject)),
        ("address", line.address.is(&columns.address)),
        ("account", is_same(line.account.as_ref(), columns.account.as_deref())),
        ("account_id", is_same(line.account_id.as_ref(), columns.account_id.as_deref())),
        ("code", columns.code.is_none()),
        ("request", columns.request.is_none()),
    ])
}

impl Text<'_> {
    fn is(&self, column: &str) -> bool {
        self.0 == column
    }
}

impl Actor<'_> {
    /// Whether the column shows it, as an actor is shown.
    fn is(&self, column: &str) -> bool {
        let shown = |prefix: &str, name: &Option<Text<'_>>| {
            name.as_ref().is_some_and(|name| column.strip_prefix(prefix).is_some_and(|rest| name.is(rest)))
        };
        match &*self.kind.0 {
            kind @ ("gateway" | "admin") => column == kind,
            "user" => shown("user:", &self.name),
            "device" => shown("device:", &self.id),
            "key" => shown("key:", &self.id),
            "workload" => shown("workload:", &self.rule),
            _ => column == "(unknown)",
        }
    }
}

fn is_same(text: Option<&Text<'_>>, column: Option<&str>) -> bool {
    text.map(|text| &*text.0) == column
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::gateway::origin::Origin;
    use crate::gateway::refusal_code::RefusalCode;
    use crate::gateway::store::{Actor, Event, EventAccount, RecordedEvent, Repeats, event};

    /// A column, and another value for it.
    type Edit = (&'static str, fn(&mut AuditColumns));

    /// As they are written.
    fn columns(event: &RecordedEvent) -> AuditColumns {
        AuditColumns {
            at: event.at,
            last_at: event.last_at,
            count: event.count.into(),
            actor: event.actor.clone(),
            action: event.action.clone(),
            subject: event.subject.clone(),
            address: event.address.clone(),
            account: event.account.clone(),
            account_id: event.account_id.map(|id| id.to_string()),
            code: event.code.clone(),
            request: event.request.clone(),
        }
    }

    /// Each column is compared: with another value it alone differs.
    fn assert_compared(line: &str) {
        let good = columns(&event::read(1, line).unwrap());
        assert_eq!(differing_columns(line, &good), Vec::<&str>::new(), "{line}");
        let changes: [Edit; 11] = [
            ("at", |columns| columns.at += 1),
            ("last_at", |columns| columns.last_at = Some(77)),
            ("count", |columns| columns.count += 1),
            ("actor", |columns| columns.actor.push('x')),
            ("action", |columns| columns.action.push('x')),
            ("subject", |columns| columns.subject.push('x')),
            ("address", |columns| columns.address.push('x')),
            ("account", |columns| columns.account = Some("x".to_owned())),
            ("account_id", |columns| columns.account_id = Some("x".to_owned())),
            ("code", |columns| columns.code = Some("x".to_owned())),
            ("request", |columns| columns.request = Some("x".to_owned())),
        ];
        for (name, change) in changes {
            let mut changed = good.clone();
            change(&mut changed);
            assert_eq!(differing_columns(line, &changed), [name], "{line}");
        }
    }

    #[test]
    fn the_columns_of_each_kind_of_event_are_compared() {
        let account = Uuid::from_u128(7);
        let named = |name: &str| name.to_owned();
        for actor in [
            Actor::Gateway,
            Actor::Admin,
            Actor::User { account, name: named("ada \"\\\n\u{1f600}") },
            Actor::Device { account, id: named("SHA256:x") },
            Actor::Key { account, id: named("key_a") },
            Actor::Workload { account, rule: named("ci"), subject: named("repo"), run: Some(named("42")) },
        ] {
            let event = Event::new(5, actor, "key.created", "a \"subject\"\u{7f}\n").with("more", ["x"]);
            assert_compared(&event::write(&event, "one").unwrap());
            let event = Event {
                account: Some(EventAccount { id: account, name: named("eve\t\u{e9}") }),
                repeats: Some(Repeats { first: 1, count: 9, until: 65 }),
                ..event.from(Origin::new([192, 0, 2, 1].into())).refused(RefusalCode::Scope)
            };
            let line = event::write(&event, "one").unwrap();
            assert_compared(&line);
            let old = event::read(1, &line).unwrap();
            let old = RecordedEvent { code: None, request: None, ..old };
            assert_compared(&event::write_old(&old).unwrap());
            let without = RecordedEvent { account: None, account_id: None, last_at: None, details: None, ..old };
            assert_compared(&event::write_old(&without).unwrap());
        }
        let newer = r#"{"format":2,"at":5,"replica":"one","actor":{"kind":"robot","model":"r2"},"action":"x.y","subject":"s","outcome":"failed","details":{},"more":[1]}"#;
        assert_compared(newer);
    }

    #[test]
    fn a_line_that_is_no_event_is_the_record_itself() {
        let good = event::write(&Event::new(5, Actor::Admin, "a.b", "c"), "one").unwrap();
        let columns = columns(&event::read(1, &good).unwrap());
        for line in ["", "{}", "[]", &good[1..], &good.replace("\"details\":{}", "\"details\":[]"), "{\"format\":0,}"] {
            assert_eq!(differing_columns(line, &columns), ["record"], "{line}");
        }
    }
}
