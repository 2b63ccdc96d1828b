//! The statements that add up totals.

use std::ops::Range;

use sqlx::{QueryBuilder, Row as _};

use super::usage_values::text;
use super::{Connection, explain};
use crate::gateway::store::place::{Doing, Place};
use crate::gateway::store::usage_measures::{MEASURES, totals_of};
use crate::gateway::store::usage_spans::{Piece, pieces, places};
use crate::gateway::store::{StoreError, UsageGroup, UsagePeriod, UsageQuery, UsageRow};

type Engine = <Connection as sqlx::Connection>::Database;
type EngineRow = <Engine as sqlx::Database>::Row;

/// The totals that are wanted.
pub async fn totals(
    connection: &mut Connection,
    wanted: &UsageQuery,
    place: &Place,
) -> Result<Vec<UsageRow>, StoreError> {
    let failed = |error: sqlx::Error| explain(place, &error, Doing::Read);
    let wanted = UsageQuery { periods: stored_periods(connection, wanted).await.map_err(failed)?, ..wanted.clone() };
    let rows = query(&wanted).build().persistent(false).fetch_all(connection).await.map_err(failed)?;
    let mut rows: Vec<UsageRow> = rows.iter().map(|row| read(row, place)).collect::<Result<_, _>>()?;
    rows.sort_unstable();
    Ok(rows)
}

fn table(period: UsagePeriod) -> &'static str {
    match period {
        UsagePeriod::Hour => "usage_hours",
        UsagePeriod::Day => "usage_days",
    }
}

/// The wanted ones of those that are stored: a span that is kept longer than its first days must not count for them.
async fn stored_periods(connection: &mut Connection, wanted: &UsageQuery) -> Result<Range<i64>, sqlx::Error> {
    let mut query = QueryBuilder::<Engine>::new("SELECT min(place) >> 32 FROM ");
    let first: Option<i64> =
        query.push(table(wanted.period)).build_query_scalar().persistent(false).fetch_one(connection).await?;
    Ok(wanted.periods.start.max(first.unwrap_or_default())..wanted.periods.end)
}

/// How to read the least rows.
enum Plan {
    /// Those of some series, or of everybody.
    BySeries,
    /// All.
    All,
    /// All, with what each series has in these pieces of the time added up first.
    Pieces(Vec<Piece>),
}

impl Plan {
    fn of(wanted: &UsageQuery) -> Self {
        let group = wanted.group;
        let is_of_some = wanted.account.is_some() || wanted.credential.is_some();
        match wanted.period {
            _ if is_of_some || !(group.account || group.credential) => Self::BySeries,
            _ if group.period => Self::All,
            UsagePeriod::Day => Self::Pieces(pieces(&wanted.periods)),
            UsagePeriod::Hour => Self::Pieces(vec![Piece { in_spans: false, places: places(&wanted.periods) }]),
        }
    }
}

fn query(wanted: &UsageQuery) -> QueryBuilder<Engine> {
    let columns = columns(wanted.group);
    let shown = columns.each_ref().map(|(is_wanted, column, kind)| match is_wanted {
        true => column.clone(),
        false => format!("CAST(NULL AS {kind})"),
    });
    let mut query = QueryBuilder::new("SELECT ");
    query.push(format_args!("{}, {} FROM ", shown.join(", "), sums("t.")));
    let bounds = places(&wanted.periods);
    // The order of the tables is that in which SQLite reads them.
    match Plan::of(wanted) {
        Plan::BySeries => {
            query.push(format_args!("usage_series AS s CROSS JOIN {} AS t ", table(wanted.period)));
            query.push(format_args!("WHERE t.series = s.number AND t.place >= {} ", bounds.start));
            query.push(format_args!("AND t.place < {}", bounds.end));
        }
        Plan::All => {
            query.push(format_args!("{} AS t CROSS JOIN usage_series AS s ", table(wanted.period)));
            query.push(format_args!("WHERE s.number = t.series AND t.place >= {} ", bounds.start));
            query.push(format_args!("AND t.place < {}", bounds.end));
        }
        Plan::Pieces(pieces) => {
            let none = Piece { in_spans: false, places: 0..0 };
            let pieces = if pieces.is_empty() { vec![none] } else { pieces };
            let select = |piece: &Piece| {
                let table = if piece.in_spans { "usage_spans" } else { table(wanted.period) };
                let Range { start, end } = piece.places;
                let measures = MEASURES.join(", ");
                format!("SELECT series, {measures} FROM {table} WHERE place >= {start} AND place < {end}")
            };
            let all = pieces.iter().map(select).collect::<Vec<_>>().join(" UNION ALL ");
            query.push(format_args!("(SELECT series, {} FROM ({all}) AS p GROUP BY series) AS t ", sums("p.")));
            query.push("CROSS JOIN usage_series AS s WHERE s.number = t.series");
        }
    }
    match (wanted.account, &wanted.credential) {
        (None, None) if matches!(Plan::of(wanted), Plan::BySeries) => {
            query.push(" AND s.account = '' AND s.credential = ''");
        }
        (account, credential) => {
            match account {
                Some(account) => query.push(" AND s.account = ").push_bind(account.to_string()),
                None => query.push(" AND s.account <> ''"),
            };
            if let Some(credential) = credential {
                query.push(" AND s.credential = ").push_bind(text(credential).into_owned());
            }
        }
    }
    if let Some(model) = &wanted.model {
        query.push(" AND s.model = ").push_bind(text(model).into_owned());
    }
    let by: Vec<&str> = columns.iter().filter(|(is_wanted, ..)| *is_wanted).map(|(_, column, _)| &**column).collect();
    if !by.is_empty() {
        query.push(format_args!(" GROUP BY {}", by.join(", ")));
    }
    query
}

/// What rows are for: whether it is wanted, the column, its type.
fn columns(UsageGroup { period, account, credential, model }: UsageGroup) -> [(bool, String, &'static str); 4] {
    let of_series = |name: &str| format!("s.{name}");
    [
        (period, "t.place >> 32".to_owned(), "BIGINT"),
        (account, of_series("account"), "TEXT"),
        (credential, of_series("credential"), "TEXT"),
        (model, of_series("model"), "TEXT"),
    ]
}

/// The sums of all measures, with their names.
fn sums(of: &str) -> String {
    MEASURES.map(|name| format!("CAST(coalesce(sum({of}{name}), 0) AS BIGINT) AS {name}")).join(", ")
}

fn read(row: &EngineRow, place: &Place) -> Result<UsageRow, StoreError> {
    let failed = |error: sqlx::Error| explain(place, &error, Doing::Read);
    let account: Option<String> = row.try_get(1).map_err(failed)?;
    let account = account.map(|id: String| place.parse(&id, "account")).transpose()?;
    let mut values = [0; MEASURES.len()];
    for (at, measure) in values.iter_mut().enumerate() {
        *measure = row.try_get::<i64, _>(4 + at).map_err(failed)?.try_into().unwrap_or_default();
    }
    Ok(UsageRow {
        period: row.try_get(0).map_err(failed)?,
        account,
        credential: row.try_get(2).map_err(failed)?,
        model: row.try_get(3).map_err(failed)?,
        totals: totals_of(values),
    })
}
