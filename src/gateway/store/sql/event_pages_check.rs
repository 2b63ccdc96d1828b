//! What each engine must find: as many random filters as there is patience for, compared with the same filters applied to a list.

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::event_pages::{lines, page};
use super::event_search::Engine;
use super::{Connection, event_times};
use crate::gateway::store::EventFilter;
use crate::gateway::store::place::Place;

/// More than are read for one page of several filters.
const EVENTS: u64 = 14_000;
const FILTERS: u64 = 120;

/// A stored event.
struct Row {
    id: i64,
    at: i64,
    last_at: Option<i64>,
    actor: String,
    action: String,
    subject: String,
    address: String,
    account: Option<(String, String)>,
    code: Option<String>,
    request: String,
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    /// Below `most`. Low numbers are much more frequent than high ones.
    fn throw(&mut self, most: u64) -> u64 {
        let even = self.even(most);
        even * self.even(most + 1) / most
    }

    fn even(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

fn account(number: u64) -> (String, String) {
    (format!("p{number}"), Uuid::from_u128(number.into()).to_string())
}

/// With gaps between their numbers, and a clock that is set back and forth.
fn rows() -> Vec<Row> {
    let (mut dice, mut id, mut clock) = (Dice(1), 5, 1_000_000_i64);
    let actions =
        ["request.denied", "credential.refused", "key.created", "key.revoked", "keys", "user.role", "audit.imported"];
    let row = |number| {
        id += if number == 7000 { 9000 } else { 1 + i64::try_from(dice.throw(3)).unwrap() };
        clock += match dice.even(2000) {
            0 => -20_000,
            1 => 30_000,
            _ => 2,
        };
        let (person, key) = (dice.throw(9), dice.throw(30));
        let action = actions[usize::try_from(dice.throw(7)).unwrap()];
        let actor = match dice.even(4) {
            0 => "gateway".to_owned(),
            1 => format!("user:p{person}"),
            _ => format!("key:key_{key}"),
        };
        let subject = match dice.even(3) {
            0 => format!("p{person}"),
            1 => format!("key_{key}"),
            _ => format!("key:key_{key}"),
        };
        Row {
            id,
            at: clock,
            last_at: (dice.even(5) == 0).then_some(clock + 60),
            actor,
            action: action.to_owned(),
            subject,
            address: if dice.even(9) == 0 { String::new() } else { format!("192.0.2.{}", dice.throw(40)) },
            account: (dice.even(6) > 0).then(|| account(person)),
            code: action.contains("ed").then(|| format!("c{}", dice.throw(4))),
            request: format!("r{}", number / 2),
        }
    };
    (0..EVENTS).map(row).collect()
}

fn filter(dice: &mut Dice) -> EventFilter {
    let mut filter = EventFilter::default();
    for _ in 0..=dice.throw(3) {
        let person = dice.throw(10);
        match dice.even(9) {
            0 => filter.account = Some(account(person).0),
            1 => filter.account = Some(account(person).1),
            2 => {
                filter.action = Some(
                    ["key", "request.denied", "user", "key.revoked", "nothing"][usize::try_from(dice.even(5)).unwrap()]
                        .to_owned(),
                )
            }
            3 => {
                filter.subject =
                    Some(if dice.even(2) == 0 { format!("p{person}") } else { format!("key_{}", dice.throw(30)) })
            }
            4 => filter.actor = Some(if dice.even(2) == 0 { "gateway".to_owned() } else { format!("user:p{person}") }),
            5 => filter.address = Some(format!("192.0.2.{}", dice.throw(41))),
            6 => filter.code = Some(format!("c{}", dice.throw(5))),
            7 => filter.key = Some(format!("key_{}", dice.throw(31))),
            _ => filter.request = Some(format!("r{}", dice.even(EVENTS))),
        }
    }
    let time = |dice: &mut Dice| (dice.even(3) == 0).then(|| 950_000 + i64::try_from(dice.even(120_000)).unwrap());
    (filter.since, filter.until) = (time(dice), time(dice));
    filter
}

fn fits(row: &Row, filter: &EventFilter) -> bool {
    let is = |wanted: &Option<String>, value: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(value);
    let group = |wanted: &str| row.action == wanted || row.action.starts_with(&format!("{wanted}."));
    let subject = |wanted: &str| {
        let actors = ["", "key:", "device:", "user:", "workload:"].map(|kind| format!("{kind}{wanted}"));
        row.subject == wanted || actors.contains(&row.actor)
    };
    let named = |wanted: &str| row.account.as_ref().is_some_and(|(name, id)| name == wanted || id == wanted);
    is(&filter.account, &named)
        && is(&filter.action, &group)
        && is(&filter.subject, &subject)
        && is(&filter.key, &|key| {
            let by = format!("key:{key}");
            row.subject == key || row.subject == by || row.actor == by
        })
        && is(&filter.actor, &|wanted| row.actor == wanted)
        && is(&filter.address, &|wanted| row.address == wanted)
        && is(&filter.code, &|wanted| row.code.as_deref() == Some(wanted))
        && is(&filter.request, &|wanted| row.request == wanted)
        && filter.since.is_none_or(|since| row.last_at.unwrap_or(row.at) >= since)
        && filter.until.is_none_or(|until| row.at <= until)
}

async fn fill(connection: &mut Connection, rows: &[Row]) {
    for statement in ["DELETE FROM events", "DELETE FROM event_times"] {
        sqlx::query(statement).execute(&mut *connection).await.unwrap();
    }
    for some in rows.chunks(500) {
        let mut query = QueryBuilder::<Engine>::new(
            "INSERT INTO events (id, at, last_at, actor, action, subject, address, account, account_id, code, request, detail) ",
        );
        query.push_values(some, |mut values, row| {
            let (name, account) = row.account.clone().unzip();
            values.push_bind(row.id).push_bind(row.at).push_bind(row.last_at).push_bind(row.actor.clone());
            values.push_bind(row.action.clone()).push_bind(row.subject.clone()).push_bind(row.address.clone());
            values.push_bind(name).push_bind(account).push_bind(row.code.clone()).push_bind(row.request.clone());
            values.push_bind("");
        });
        query.build().persistent(false).execute(&mut *connection).await.unwrap();
    }
    let noted = async |connection: &mut Connection| -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM event_times").fetch_one(connection).await.unwrap()
    };
    let last = rows.last().unwrap().id;
    let mut before = -1;
    while before != noted(connection).await {
        before = noted(connection).await;
        event_times::note(connection, last).await.unwrap();
    }
    assert!(before > 10, "{before} blocks");
}

/// Fails unless pages of random filters have what they should, in both directions.
pub async fn check(connection: &mut Connection) {
    let rows = rows();
    fill(connection, &rows).await;
    let (mut dice, place, mut continued) = (Dice(2), Place("a test".to_owned()), 0);
    for number in 0..FILTERS {
        let filter = filter(&mut dice);
        let limit = if number % 10 == 0 { 1 + number % 3 } else { 20 + dice.throw(400) };
        let limit = u32::try_from(limit).unwrap();
        let mut expected: Vec<i64> = rows.iter().filter(|row| fits(row, &filter)).map(|row| row.id).collect();
        let mut wanted = filter.clone();
        if number % 2 == 0 {
            expected.reverse();
        } else {
            wanted.after = Some(0);
        }
        let mut found: Vec<i64> = Vec::new();
        for pages in 0.. {
            assert!(pages < 20_000, "{wanted:?}");
            let part = page(connection, limit, &wanted, &place).await.unwrap();
            assert!(part.events.len() <= limit as usize, "{wanted:?}");
            let mut ids: Vec<i64> = part.events.iter().map(|event| event.id).collect();
            assert!(ids.is_sorted_by(|one, next| one > next), "the newest come first");
            if wanted.after.is_some() {
                ids.reverse();
            }
            continued += usize::from(part.next.is_some() && ids.len() < limit as usize);
            found.extend(ids);
            let Some(next) = part.next else { break };
            let goes_on = match wanted.after {
                Some(after) => next > after,
                None => wanted.before.is_none_or(|before| next < before),
            };
            assert!(goes_on, "{wanted:?} continues at {next}");
            let place = if wanted.after.is_some() { &mut wanted.after } else { &mut wanted.before };
            *place = Some(next);
        }
        assert_eq!(found, expected, "{filter:?} by {limit}");
    }
    assert!(continued > 0, "no page stopped before all was looked at");

    // Lines are those that are stored, in the order of the log.
    sqlx::query("UPDATE events SET record = 'line ' || id, log = 1, log_index = id WHERE id % 7 <> 0")
        .execute(&mut *connection)
        .await
        .unwrap();
    let mut wanted = EventFilter { action: Some("key".to_owned()), until: Some(1_010_000), ..EventFilter::default() };
    let expected =
        rows.iter().filter(|row| fits(row, &wanted) && row.id % 7 != 0).map(|row| format!("line {}", row.id));
    let (expected, mut found): (Vec<String>, Vec<String>) = (expected.collect(), Vec::new());
    loop {
        let part = lines(connection, 100, &wanted, &place).await.unwrap();
        found.extend(part.lines);
        wanted.after = part.next;
        if part.next.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);
}
