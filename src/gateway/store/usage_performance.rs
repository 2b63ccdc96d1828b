//! How fast totals are read where many people use a gateway for a long time: tests that are ignored, since they take minutes and print figures.
//!
//! ```text
//! cargo test --lib --config profile.dev.package.libsqlite3-sys.opt-level=3 -- --ignored --nocapture --test-threads 1 usage_is_read_fast
//! ```

use std::ops::Range;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::usage_conformance::totals;
use super::usage_measures::MEASURES;
use super::*;

const KEYS: u32 = 1000;
const KEYS_OF_ACCOUNT: u32 = 10;
const MODELS: [&str; 3] = ["llama3.2:latest", "qwen3:8b", "gemma3:27b"];
/// The last day, and how many there are. Requests are made in ten hours of each; hours are kept for 60 days.
const TODAY: i64 = 20_600;
const DAYS: i64 = 400;
const DAYS_WITH_HOURS: i64 = 60;
/// How often each is asked.
const TIMES: usize = 9;

fn series() -> impl Iterator<Item = UsageSeries> {
    (0..KEYS).flat_map(|key| {
        MODELS.map(|model| UsageSeries {
            account: Uuid::from_u128((key / KEYS_OF_ACCOUNT).into()),
            credential: format!("key:{key:016}"),
            model: model.to_owned(),
        })
    })
}

/// Adds all series, as a gateway does; returns how long that took.
pub async fn add_series(store: &dyn Store) -> Duration {
    let days: Vec<_> = series().map(|series| (TODAY, series, totals(1))).collect();
    let hours = days.iter().map(|(_, series, totals)| (TODAY * 24, series.clone(), *totals)).collect();
    let (records, last_uses, budgets) = Default::default();
    let begun = Instant::now();
    let batch = UsageBatch { run: Uuid::new_v4(), sequence: 1, at: 0, records, hours, days, last_uses, budgets };
    store.write_usage(&batch).await.unwrap();
    begun.elapsed()
}

/// The statements that fill the tables, once there are the series.
pub fn filling() -> Vec<String> {
    let columns = format!("place, series, uptime, {}", MEASURES.join(", "));
    let names = MEASURES.map(|name| format!("CAST(sum(t.{name}) AS BIGINT)")).join(", ");
    // No two rows are the same, and they are as large as real ones.
    let values = (1..=MEASURES.len()).map(|at| format!("(s.number * 7919 + p.n * 104729) * {at} % {}", 10_i64.pow(6)));
    let values = values.collect::<Vec<_>>().join(", ");
    let mut all: Vec<String> = ["hours", "days", "spans"].map(|table| format!("DELETE FROM usage_{table}")).into();
    for (table, from, count, every) in [
        ("usage_days", TODAY - DAYS, DAYS, ""),
        ("usage_hours", (TODAY - DAYS_WITH_HOURS) * 24, DAYS_WITH_HOURS * 24, "AND p.n % 24 >= 8 AND p.n % 24 < 18"),
    ] {
        all.push(format!(
            "INSERT INTO {table} ({columns}) WITH RECURSIVE p (n) AS \
             (SELECT 1 UNION ALL SELECT n + 1 FROM p WHERE n < {count}) \
             SELECT (p.n + {from}) * 4294967296 + s.number, s.number, 0, {values} \
             FROM p CROSS JOIN usage_series AS s WHERE s.account <> '' {every} ORDER BY 1"
        ));
        all.push(format!(
            "INSERT INTO {table} ({columns}) SELECT t.place / 4294967296 * 4294967296 + e.number, e.number, 0, {names} \
             FROM {table} AS t JOIN usage_series AS s ON s.number = t.series \
             JOIN usage_series AS e ON e.account = '' AND e.model = s.model GROUP BY t.place / 4294967296, e.number ORDER BY 1"
        ));
    }
    for (level, size) in [(1_i64, 4), (2, 16)] {
        let span = format!("({level} * 16777216 + t.place / 4294967296 / {size})");
        all.push(format!(
            "INSERT INTO usage_spans ({columns}) SELECT {span} * 4294967296 + t.series, t.series, 0, {names} \
             FROM usage_days AS t JOIN usage_series AS s ON s.number = t.series WHERE s.account <> '' \
             GROUP BY {span}, t.series ORDER BY 1"
        ));
    }
    all
}

/// Prints the median time of some queries, and fails if one takes longer than it may.
pub async fn measure(store: &dyn Store, name: &str) {
    let none = UsageGroup::default();
    let groups = [
        ("account", UsageGroup { account: true, ..none }),
        ("key", UsageGroup { credential: true, ..none }),
        ("model", UsageGroup { model: true, ..none }),
        ("period", UsageGroup { period: true, ..none }),
        ("period, model", UsageGroup { period: true, model: true, ..none }),
        ("account, model", UsageGroup { account: true, model: true, ..none }),
    ];
    let mut slow = Vec::new();
    for (period, days, most) in [
        (UsagePeriod::Day, 31, 30),
        (UsagePeriod::Day, DAYS, 400),
        (UsagePeriod::Hour, 2, 400),
        (UsagePeriod::Hour, 31, 400),
    ] {
        let end = TODAY + 1;
        let days_wanted: Range<i64> = end - days..end;
        let periods = match period {
            UsagePeriod::Day => days_wanted,
            UsagePeriod::Hour => days_wanted.start * 24..days_wanted.end * 24,
        };
        for account in [None, Some(Uuid::from_u128(7))] {
            for (by, group) in groups {
                let wanted = UsageQuery { period, periods: periods.clone(), account, group, ..UsageQuery::default() };
                let mut times = Vec::new();
                let mut rows = 0;
                for _ in 0..TIMES {
                    let begun = Instant::now();
                    rows = store.usage_totals(&wanted).await.unwrap().len();
                    times.push(begun.elapsed());
                }
                times.sort_unstable();
                let median = times[TIMES / 2];
                let of = if account.is_some() { "one account" } else { "everybody" };
                println!("{name}: {days} days by {period:?} of {of}, by {by}: {median:.1?}, {rows} rows");
                // By hour, long times of everybody's keys are not shown.
                let must = period == UsagePeriod::Day || by.starts_with("period") || account.is_some();
                // A page has what is by key or by two of them once.
                let most = if ["account", "model", "period"].contains(&by) { most } else { most.max(50) };
                if must && median > Duration::from_millis(most) {
                    slow.push(format!("{days} days by {period:?}, by {by}: {median:?}"));
                }
            }
        }
    }
    assert_eq!(slow, [""; 0], "{name}");
}

/// Prints how long it takes to write what a second of 1,000 requests is, of 300 series.
pub async fn measure_writing(store: &dyn Store, name: &str) {
    let series: Vec<UsageSeries> = series().step_by(10).collect();
    let mut times = Vec::new();
    for sequence in 1..=TIMES as u64 {
        let of = |number: usize| series[number % series.len()].clone();
        let records = (0..1000).map(|number| super::usage_conformance::record(of(number), TODAY * 86_400)).collect();
        let days: Vec<_> = series.iter().map(|series| (TODAY, series.clone(), totals(1))).collect();
        let hours = days.iter().map(|(_, series, totals)| (TODAY * 24, series.clone(), *totals)).collect();
        let (run, last_uses, budgets) = (Uuid::from_u128(9), Vec::new(), Vec::new());
        let batch = UsageBatch { run, sequence, at: TODAY * 86_400, records, hours, days, last_uses, budgets };
        let begun = Instant::now();
        store.write_usage(&batch).await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    println!("{name}: 1,000 records of 300 series written in {:.1?}", times[TIMES / 2]);
}
