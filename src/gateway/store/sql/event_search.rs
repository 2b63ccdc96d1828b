//! The statements that look up one filter of events, with the columns that have an index.

use std::ops::Range;

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::Connection;
use super::events::select_events;
use crate::gateway::store::EventFilter;

/// The engine of the statements.
pub type Engine = <Connection as sqlx::Connection>::Database;

/// Actions that are looked through for those of a group: more than there are.
const MOST_ACTIONS: i64 = 1000;

/// In which order events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By their numbers, the highest first.
    NewestFirst,
    /// By their numbers.
    OldestFirst,
}

impl Order {
    /// As statements have it.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::NewestFirst => "DESC",
            Self::OldestFirst => "ASC",
        }
    }

    /// What a page ends with so that the next one looks into that range and behind it: the number that it continues before, or after.
    pub fn cursor(self, range: &Range<i64>) -> i64 {
        match self {
            Self::NewestFirst => range.end,
            Self::OldestFirst => range.start.saturating_sub(1),
        }
    }
}

/// A column with an index, and a value.
struct Term {
    column: &'static str,
    value: String,
}

/// One filter: it fits the events for which one of its terms is true.
pub struct Criterion(Vec<Term>);

impl Criterion {
    fn one(column: &'static str, value: &str) -> Self {
        Self(vec![Term { column, value: value.to_owned() }])
    }

    /// ` AND (…)`, in a form for which no index is used: the events are those of another filter's index already, and an engine that knows
    /// little of the values would take a worse one.
    pub fn push_comparison(&self, query: &mut QueryBuilder<Engine>) {
        for (number, term) in self.0.iter().enumerate() {
            query.push(if number == 0 { " AND (" } else { " OR " });
            query.push(format_args!("coalesce({}, '') = ", term.column)).push_bind(term.value.clone());
        }
        query.push(")");
    }
}

/// What a filter asks for besides times; `None` if no event can fit.
pub async fn criteria(
    connection: &mut Connection,
    filter: &EventFilter,
) -> Result<Option<Vec<Criterion>>, sqlx::Error> {
    let mut all = Vec::new();
    if let Some(account) = &filter.account {
        let mut terms = vec![Term { column: "account", value: account.clone() }];
        terms.extend(account.parse().ok().map(|id: Uuid| Term { column: "account_id", value: id.to_string() }));
        all.push(Criterion(terms));
    }
    if let Some(own) = &filter.own {
        let account = Term { column: "account_id", value: own.account.to_string() };
        let actors = own.actors.iter().map(|actor| Term { column: "actor", value: actor.clone() });
        all.push(Criterion([account].into_iter().chain(actors).collect()));
    }
    if let Some(action) = &filter.action {
        let actions = actions(connection, action).await?;
        if actions.is_empty() {
            return Ok(None);
        }
        all.push(Criterion(actions.into_iter().map(|value| Term { column: "action", value }).collect()));
    }
    if let Some(subject) = &filter.subject {
        let actors = ["", "key:", "device:", "user:", "workload:"];
        let actors = actors.iter().map(|kind| Term { column: "actor", value: [kind, subject.as_str()].concat() });
        let subject = Term { column: "subject", value: subject.clone() };
        all.push(Criterion([subject].into_iter().chain(actors).collect()));
    }
    if let Some(key) = &filter.key {
        let named = ["key:", key.as_str()].concat();
        let terms = [("subject", key.clone()), ("subject", named.clone()), ("actor", named)];
        all.push(Criterion(terms.map(|(column, value)| Term { column, value }).into()));
    }
    let single =
        [("actor", &filter.actor), ("address", &filter.address), ("code", &filter.code), ("request", &filter.request)];
    for (column, value) in single {
        all.extend(value.as_ref().map(|value| Criterion::one(column, value)));
    }
    Ok(Some(all))
}

/// The actions that there are with that name, or of that group: each is found by one step in the index.
async fn actions(connection: &mut Connection, wanted: &str) -> Result<Vec<String>, sqlx::Error> {
    let mut all: Vec<String> = sqlx::query_scalar(
        "WITH RECURSIVE names (name) AS (SELECT min(action) FROM events UNION ALL \
         SELECT (SELECT min(action) FROM events WHERE action > names.name) FROM names WHERE names.name IS NOT NULL) \
         SELECT name FROM names WHERE name IS NOT NULL LIMIT $1",
    )
    .bind(MOST_ACTIONS)
    .fetch_all(connection)
    .await?;
    all.retain(|name| name.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
    Ok(all)
}

/// The condition of one term within a range of numbers.
fn push_term(query: &mut QueryBuilder<Engine>, term: Option<&Term>, range: &Range<i64>) {
    query.push(" WHERE ");
    if let Some(Term { column, value }) = term {
        query.push(format_args!("{column} = ")).push_bind(value.clone());
        // The index has no others, which is to be said here.
        query.push(if *column == "address" { " AND address <> '' AND " } else { " AND " });
    }
    query.push(format_args!("id >= {} AND id < {}", range.start, range.end));
}

/// A selection of the numbers of the events in a range that fit a filter; of each term only the first so many, if that is given. Nothing may
/// follow but an order.
pub fn push_numbers(
    query: &mut QueryBuilder<Engine>,
    criterion: &Criterion,
    range: &Range<i64>,
    first: Option<(Order, i64)>,
) {
    if let [term] = criterion.0.as_slice() {
        query.push("SELECT id FROM events");
        push_term(query, Some(term), range);
        return;
    }
    query.push("SELECT id FROM (");
    for (number, term) in criterion.0.iter().enumerate() {
        query.push(if number == 0 { "" } else { " UNION ALL " });
        query.push("SELECT id FROM (SELECT id FROM events");
        push_term(query, Some(term), range);
        if let Some((order, most)) = first {
            query.push(format_args!(" ORDER BY id {} LIMIT {most}", order.keyword()));
        }
        query.push(format_args!(") AS of_term_{number}"));
    }
    query.push(") AS found");
}

/// A selection of the first events in a range that fit a filter, and what `compare` adds to the conditions.
pub fn push_events(
    query: &mut QueryBuilder<Engine>,
    criterion: Option<&Criterion>,
    range: &Range<i64>,
    order: Order,
    most: i64,
    compare: impl Fn(&mut QueryBuilder<Engine>),
) {
    let end = format!(" ORDER BY id {} LIMIT {most}", order.keyword());
    let terms = criterion.map(|criterion| criterion.0.as_slice()).unwrap_or_default();
    if let [] | [_] = terms {
        query.push(select_events!(""));
        push_term(query, terms.first(), range);
        compare(query);
        query.push(end);
        return;
    }
    query.push("SELECT * FROM (");
    for (number, term) in terms.iter().enumerate() {
        query.push(if number == 0 { "SELECT * FROM (" } else { " UNION ALL SELECT * FROM (" });
        query.push(select_events!(""));
        push_term(query, Some(term), range);
        compare(query);
        query.push(format_args!("{end}) AS of_term_{number}"));
    }
    query.push(format_args!(") AS found{end}"));
}

/// A selection of the first events in a range that fit a filter and others, and what `times` adds to the conditions. Which these are is decided
/// by the indexes alone: no other event is read. `most` are the numbers that are looked up so, and the events.
pub fn push_common_events(
    query: &mut QueryBuilder<Engine>,
    (first, others): (&Criterion, &[Criterion]),
    range: &Range<i64>,
    order: Order,
    most: (i64, i64),
    times: impl Fn(&mut QueryBuilder<Engine>),
) {
    let order = order.keyword();
    query.push(select_events!("WHERE id IN (SELECT DISTINCT id FROM ("));
    push_numbers(query, first, range, None);
    query.push(") AS of_first");
    for (number, other) in others.iter().enumerate() {
        query.push(if number == 0 { " WHERE id IN (" } else { " AND id IN (" });
        push_numbers(query, other, range, None);
        query.push(")");
    }
    query.push(format_args!(" ORDER BY id {order} LIMIT {})", most.0));
    times(query);
    query.push(format_args!(" ORDER BY id {order} LIMIT {}", most.1));
}
