//! The statements that write a batch of usage. Rows are written in the order of their keys, so that gateways beside each other do not wait for
//! each other in a circle.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Error, QueryBuilder};

use super::Connection;
use crate::gateway::store::usage_measures::{MEASURES, measures};
use crate::gateway::store::usage_spans::{place, spans_of, stored_day, stored_hour};
use crate::gateway::store::{LastUse, UsageBatch, UsageRecord, UsageSeries, UsageTotals};

type Engine = <Connection as sqlx::Connection>::Database;

/// Rows of a statement. SQLite takes 32,766 values.
const ROWS: usize = 500;
/// The same of records. A statement of that many is prepared once.
const RECORDS: usize = 100;
/// Bytes of a text: PostgreSQL has an index of some.
const LONGEST: usize = 512;
/// What a total is at most: a sum of many is a 64-bit number, too.
const MOST: u64 = (1 << 53) - 1;

/// Account, credential and model of a series; the first two are empty for that of everybody.
type Key = (String, String, String);

/// The numbers of series.
type Numbers = BTreeMap<Key, u32>;

/// Writes a batch, in a transaction of the caller's. Returns whether it was not written before.
pub async fn write(connection: &mut Connection, batch: &UsageBatch) -> Result<bool, Error> {
    let uptime: i64 = sqlx::query_scalar("SELECT seconds FROM uptime").fetch_one(&mut *connection).await?;
    // The same batch at the same time waits for this one.
    let noted = sqlx::query(
        "INSERT INTO usage_batches (run, sequence, at, uptime) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (run) DO UPDATE SET sequence = excluded.sequence, at = excluded.at, uptime = excluded.uptime \
         WHERE usage_batches.sequence < excluded.sequence",
    )
    .bind(batch.run.to_string())
    .bind(stored(batch.sequence))
    .bind(batch.at)
    .bind(uptime)
    .execute(&mut *connection)
    .await?;
    if noted.rows_affected() == 0 {
        return Ok(false);
    }
    let numbers = numbers(connection, wanted(batch)).await?;
    add_records(connection, &batch.records, &numbers, uptime).await?;
    let hours = batch.hours.iter().map(|(hour, series, totals)| (stored_hour(*hour), series, totals));
    add_totals(connection, "usage_hours", sums(hours, &numbers), uptime).await?;
    let days = || batch.days.iter().map(|(day, series, totals)| (stored_day(*day), series, totals));
    add_totals(connection, "usage_days", sums(days(), &numbers), uptime).await?;
    let mut spans = BTreeMap::new();
    for (day, series, totals) in days() {
        for span in spans_of(day) {
            add(&mut spans, span, &key(series), totals, &numbers);
        }
    }
    add_totals(connection, "usage_spans", spans, uptime).await?;
    add_last_uses(connection, &batch.last_uses, uptime).await?;
    Ok(true)
}

/// As it is stored.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A text of requests, such as the name of a model, so that every database can store it: one that one batch cannot store would keep back all
/// that come after it.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    let text = &text[..text.floor_char_boundary(LONGEST)];
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

fn key(series: &UsageSeries) -> Key {
    (series.account.to_string(), text(&series.credential).into_owned(), text(&series.model).into_owned())
}

/// That of everybody with the same model.
fn everybody(series: &UsageSeries) -> Key {
    (String::new(), String::new(), text(&series.model).into_owned())
}

/// All series of a batch.
fn wanted(batch: &UsageBatch) -> BTreeSet<Key> {
    let totals = batch.hours.iter().chain(&batch.days).flat_map(|(_, series, _)| [key(series), everybody(series)]);
    totals.chain(batch.records.iter().map(|record| key(&record.series))).collect()
}

/// The numbers of series. Those that are missing are added. No number is used up for one that is there: they have to be enough for ever.
async fn numbers(connection: &mut Connection, mut wanted: BTreeSet<Key>) -> Result<Numbers, Error> {
    let mut numbers = Numbers::new();
    find(connection, &wanted, &mut numbers).await?;
    wanted.retain(|key| !numbers.contains_key(key));
    for keys in wanted.iter().collect::<Vec<_>>().chunks(ROWS) {
        let mut query = QueryBuilder::<Engine>::new("INSERT INTO usage_series (account, credential, model) ");
        query.push_values(keys, |mut row, (account, credential, model)| {
            row.push_bind(account).push_bind(credential).push_bind(model);
        });
        // Another gateway may have added it meanwhile.
        query.push(" ON CONFLICT (account, credential, model) DO NOTHING");
        query.build().persistent(false).execute(&mut *connection).await?;
    }
    find(connection, &wanted, &mut numbers).await?;
    Ok(numbers)
}

async fn find(connection: &mut Connection, wanted: &BTreeSet<Key>, numbers: &mut Numbers) -> Result<(), Error> {
    for keys in wanted.iter().collect::<Vec<_>>().chunks(ROWS) {
        let mut query = QueryBuilder::<Engine>::new("WITH wanted (account, credential, model) AS (");
        query.push_values(keys, |mut row, (account, credential, model)| {
            row.push_bind(account).push_bind(credential).push_bind(model);
        });
        query.push(
            ") SELECT s.number, s.account, s.credential, s.model FROM wanted CROSS JOIN usage_series AS s \
             WHERE s.account = wanted.account AND s.credential = wanted.credential AND s.model = wanted.model",
        );
        let query = query.build_query_as::<(i64, String, String, String)>().persistent(false);
        for (number, account, credential, model) in query.fetch_all(&mut *connection).await? {
            let number = u32::try_from(number).map_err(|error| Error::Decode(error.into()))?;
            numbers.insert((account, credential, model), number);
        }
    }
    Ok(())
}

async fn add_records(
    connection: &mut Connection,
    records: &[UsageRecord],
    numbers: &Numbers,
    uptime: i64,
) -> Result<(), Error> {
    for records in records.chunks(RECORDS) {
        let mut query = QueryBuilder::<Engine>::new(
            "INSERT INTO usage_records (ended_at, series, credential, environment, network, request, route, http_status, \
             status, input, output, is_estimate, first_token_ms, total_ms, bytes, uptime) ",
        );
        query.push_values(records, |mut row, record| {
            row.push_bind(record.ended_at)
                .push_bind(numbers.get(&key(&record.series)).copied().map(i64::from))
                .push_bind(text(&record.credential))
                .push_bind(record.environment.as_ref().map(|name| name.as_str()))
                .push_bind(text(&record.network))
                .push_bind(text(&record.request))
                .push_bind(text(&record.route))
                .push_bind(i64::from(record.http_status))
                .push_bind(record.status.name())
                .push_bind(stored(record.tokens.input))
                .push_bind(stored(record.tokens.output))
                .push_bind(record.tokens.is_estimate)
                .push_bind(record.first_token_ms.map(stored))
                .push_bind(stored(record.total_ms))
                .push_bind(stored(record.bytes))
                .push_bind(uptime);
        });
        query.build().persistent(records.len() == RECORDS).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Of each series, and of everybody, by place.
fn sums<'a>(
    list: impl Iterator<Item = (i64, &'a UsageSeries, &'a UsageTotals)>,
    numbers: &Numbers,
) -> BTreeMap<i64, UsageTotals> {
    let mut sums = BTreeMap::new();
    for (period, series, totals) in list {
        for key in [key(series), everybody(series)] {
            add(&mut sums, period, &key, totals, numbers);
        }
    }
    sums
}

fn add(sums: &mut BTreeMap<i64, UsageTotals>, period: i64, key: &Key, totals: &UsageTotals, numbers: &Numbers) {
    if let Some(number) = numbers.get(key) {
        *sums.entry(place(period, *number)).or_default() += *totals;
    }
}

async fn add_totals(
    connection: &mut Connection,
    table: &str,
    sums: BTreeMap<i64, UsageTotals>,
    uptime: i64,
) -> Result<(), Error> {
    let sums: Vec<(i64, UsageTotals)> = sums.into_iter().collect();
    for sums in sums.chunks(ROWS) {
        let mut query = QueryBuilder::<Engine>::new("INSERT INTO ");
        query.push(format_args!("{table} (place, series, uptime, {}) ", MEASURES.join(", ")));
        query.push_values(sums, |mut row, (place, totals)| {
            row.push_bind(*place).push_bind(place & i64::from(u32::MAX)).push_bind(uptime);
            for measure in measures(totals) {
                row.push_bind(stored(measure.min(MOST)));
            }
        });
        query.push(" ON CONFLICT (place) DO UPDATE SET uptime = excluded.uptime");
        for name in MEASURES {
            let sum = format!("{table}.{name} + excluded.{name}");
            query.push(format_args!(", {name} = CASE WHEN {sum} > {MOST} THEN {MOST} ELSE {sum} END"));
        }
        query.build().persistent(false).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn add_last_uses(connection: &mut Connection, uses: &[LastUse], uptime: i64) -> Result<(), Error> {
    let mut latest = BTreeMap::new();
    for LastUse { account, credential, scope, model, at } in uses {
        let last = latest.entry((account.to_string(), text(credential), scope.name(), text(model))).or_insert(*at);
        *last = (*at).max(*last);
    }
    for uses in latest.into_iter().collect::<Vec<_>>().chunks(ROWS) {
        let mut query =
            QueryBuilder::<Engine>::new("INSERT INTO last_uses (account, credential, scope, model, at, uptime) ");
        query.push_values(uses, |mut row, ((account, credential, scope, model), at)| {
            row.push_bind(account).push_bind(&**credential).push_bind(*scope).push_bind(&**model);
            row.push_bind(*at).push_bind(uptime);
        });
        query.push(
            " ON CONFLICT (account, credential, scope, model) DO UPDATE SET at = excluded.at, uptime = excluded.uptime \
             WHERE last_uses.at < excluded.at",
        );
        query.build().persistent(false).execute(&mut *connection).await?;
    }
    Ok(())
}
