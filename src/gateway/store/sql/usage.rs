//! The statements that write a batch of usage. Rows are written in the order of their keys, so that gateways beside each other do not wait for
//! each other in a circle.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use ipnet::IpNet;
use sqlx::Error;

use super::Connection;
use super::multi_row_insert::{MultiRowInsert, RowValues};
use super::usage_series::{Numbers, numbers};
use super::usage_values::{MOST, stored, text};
use crate::gateway::store::series_cache::SeriesCache;
use crate::gateway::store::usage_measures::{MEASURES, measures};
use crate::gateway::store::usage_spans::{place, spans_of, stored_day, stored_hour};
use crate::gateway::store::{BudgetTotal, LastUse, UsageBatch, UsageRecord, UsageSeries, UsageTotals};

static INSERT_RECORDS: LazyLock<MultiRowInsert> =
    LazyLock::new(|| MultiRowInsert::new("usage_records", &RECORD_COLUMNS, ""));
static ADD_TO_HOURS: LazyLock<MultiRowInsert> = LazyLock::new(|| addition("usage_hours"));
static ADD_TO_DAYS: LazyLock<MultiRowInsert> = LazyLock::new(|| addition("usage_days"));
static ADD_TO_SPANS: LazyLock<MultiRowInsert> = LazyLock::new(|| addition("usage_spans"));
static NOTE_LAST_USES: LazyLock<MultiRowInsert> = LazyLock::new(|| {
    let columns = ["account", "credential", "scope", "model", "at", "uptime"];
    let tail = " ON CONFLICT (account, credential, scope, model) DO UPDATE SET at = excluded.at, uptime = excluded.uptime \
                WHERE last_uses.at < excluded.at";
    MultiRowInsert::new("last_uses", &columns, tail)
});

const RECORD_COLUMNS: [&str; 16] = [
    "ended_at",
    "series",
    "credential",
    "environment",
    "network",
    "request",
    "route",
    "http_status",
    "status",
    "input",
    "output",
    "is_estimate",
    "first_token_ms",
    "total_ms",
    "bytes",
    "uptime",
];

/// Writes a batch, in a transaction of the caller's. Returns the totals of its budgets; none if it was written before. The numbers of series
/// that are in `cache` are not asked for.
pub async fn write(
    connection: &mut Connection,
    batch: &UsageBatch,
    cache: Option<&SeriesCache>,
) -> Result<Vec<BudgetTotal>, Error> {
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
        return Ok(Vec::new());
    }
    let numbers = numbers(connection, batch, cache).await?;
    add_records(connection, &batch.records, &numbers, uptime).await?;
    let hours = batch.hours.iter().map(|(hour, series, totals)| (stored_hour(*hour), series, totals));
    add_totals(connection, &ADD_TO_HOURS, sums(hours, &numbers), uptime).await?;
    let days = || batch.days.iter().map(|(day, series, totals)| (stored_day(*day), series, totals));
    add_totals(connection, &ADD_TO_DAYS, sums(days(), &numbers), uptime).await?;
    let mut spans = BTreeMap::new();
    for (day, series, totals) in days() {
        for span in spans_of(day) {
            add(&mut spans, span, numbers.of(series), totals);
        }
    }
    add_totals(connection, &ADD_TO_SPANS, spans, uptime).await?;
    add_last_uses(connection, &batch.last_uses, uptime).await?;
    super::budgets::add(connection, batch, uptime).await
}

/// Texts that many records of a batch have: each is one value for all of them.
#[derive(Default)]
struct Texts<'a>(HashMap<&'a str, Arc<str>>);

impl<'a> Texts<'a> {
    /// As it is stored.
    fn shared(&mut self, shared: &'a str) -> Arc<str> {
        self.0.entry(shared).or_insert_with(|| text(shared).into()).clone()
    }
}

async fn add_records<'a>(
    connection: &mut Connection,
    records: &'a [UsageRecord],
    numbers: &Numbers<'_>,
    uptime: i64,
) -> Result<(), Error> {
    let (mut texts, mut networks) = (Texts::default(), HashMap::<IpNet, Arc<str>>::new());
    let values = |row: &mut RowValues, record: &'a UsageRecord| {
        row.add(record.ended_at)?;
        row.add(numbers.of(&record.series).map(i64::from))?;
        row.add(texts.shared(&record.credential))?;
        row.add(record.environment.as_ref().map(|name| name.as_str()))?;
        row.add(networks.entry(record.network).or_insert_with(|| record.network.to_string().into()).clone())?;
        row.add(record.request.as_str())?;
        row.add(texts.shared(&record.route))?;
        row.add(i64::from(record.http_status))?;
        row.add(texts.shared(record.status.name()))?;
        row.add(stored(record.tokens.input))?;
        row.add(stored(record.tokens.output))?;
        row.add(record.tokens.is_estimate)?;
        row.add(record.first_token_ms.map(stored))?;
        row.add(stored(record.total_ms))?;
        row.add(stored(record.bytes))?;
        row.add(uptime)
    };
    INSERT_RECORDS.execute(connection, records, values).await
}

/// Of each series, and of everybody, by place.
fn sums<'a>(
    list: impl Iterator<Item = (i64, &'a UsageSeries, &'a UsageTotals)>,
    numbers: &Numbers<'_>,
) -> BTreeMap<i64, UsageTotals> {
    let mut sums = BTreeMap::new();
    for (period, series, totals) in list {
        for number in [numbers.of(series), numbers.of_everybody(series)] {
            add(&mut sums, period, number, totals);
        }
    }
    sums
}

fn add(sums: &mut BTreeMap<i64, UsageTotals>, period: i64, number: Option<u32>, totals: &UsageTotals) {
    if let Some(number) = number {
        *sums.entry(place(period, number)).or_default() += *totals;
    }
}

/// The statement that adds to the totals in a table.
fn addition(table: &str) -> MultiRowInsert {
    let columns: Vec<&str> = ["place", "series", "uptime"].into_iter().chain(MEASURES).collect();
    let mut tail = " ON CONFLICT (place) DO UPDATE SET uptime = excluded.uptime".to_owned();
    for name in MEASURES {
        let sum = format!("{table}.{name} + excluded.{name}");
        tail.push_str(&format!(", {name} = CASE WHEN {sum} > {MOST} THEN {MOST} ELSE {sum} END"));
    }
    MultiRowInsert::new(table, &columns, tail)
}

async fn add_totals(
    connection: &mut Connection,
    addition: &MultiRowInsert,
    sums: BTreeMap<i64, UsageTotals>,
    uptime: i64,
) -> Result<(), Error> {
    let sums: Vec<(i64, UsageTotals)> = sums.into_iter().collect();
    let values = |row: &mut RowValues, (place, totals): &(i64, UsageTotals)| {
        row.add(*place)?;
        row.add(place & i64::from(u32::MAX))?;
        row.add(uptime)?;
        measures(totals).into_iter().try_for_each(|measure| row.add(stored(measure.min(MOST))))
    };
    addition.execute(connection, &sums, values).await
}

/// Account, credential, scope and model.
type UseKey<'a> = (String, Cow<'a, str>, &'static str, Cow<'a, str>);

async fn add_last_uses(connection: &mut Connection, uses: &[LastUse], uptime: i64) -> Result<(), Error> {
    let mut latest: BTreeMap<UseKey<'_>, i64> = BTreeMap::new();
    for LastUse { account, credential, scope, model, at } in uses {
        let last = latest.entry((account.to_string(), text(credential), scope.name(), text(model))).or_insert(*at);
        *last = (*at).max(*last);
    }
    let latest: Vec<_> = latest.into_iter().collect();
    let values = |row: &mut RowValues, ((account, credential, scope, model), at): &(UseKey<'_>, i64)| {
        row.add(account)?;
        row.add(&**credential)?;
        row.add(*scope)?;
        row.add(&**model)?;
        row.add(*at)?;
        row.add(uptime)
    };
    NOTE_LAST_USES.execute(connection, &latest, values).await
}
