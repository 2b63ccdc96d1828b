//! The statements that read single records of usage, and the last uses of credentials.

use sqlx::{QueryBuilder, Row as _};
use uuid::Uuid;

use super::usage_values::text;
use super::{Connection, explain};
use crate::gateway::store::place::{Doing, Place};
use crate::gateway::store::{
    LastUse, RecordPage, RecordPosition, RecordQuery, StoreError, TokenCount, UsageRecord, UsageSeries, UsageStatus,
};

type Engine = <Connection as sqlx::Connection>::Database;
type EngineRow = <Engine as sqlx::Database>::Row;

const COLUMNS: &str = "r.id, r.ended_at, s.account, s.credential, s.model, r.credential, r.environment, r.network, \
                       r.request, r.route, r.http_status, r.status, r.input, r.output, r.is_estimate, \
                       r.first_token_ms, r.total_ms, r.bytes";

/// A page of the records that are wanted. Of an account or a credential, each series has its own index: the latest of each are merged.
pub async fn page(connection: &mut Connection, wanted: &RecordQuery, place: &Place) -> Result<RecordPage, StoreError> {
    let failed = |error: sqlx::Error| explain(place, &error, Doing::Read);
    let mut found = Vec::new();
    if wanted.account.is_none() && wanted.credential.is_none() {
        found = latest(connection, wanted, None, place).await?;
    } else {
        for series in series(connection, wanted).await.map_err(failed)? {
            found.extend(latest(connection, wanted, Some(series), place).await?);
        }
        found.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
    }
    let has_more = found.len() > wanted.limit as usize;
    found.truncate(wanted.limit as usize);
    let next = found.last().filter(|_| has_more).map(|(position, _)| *position);
    Ok(RecordPage { records: found.into_iter().map(|(_, record)| record).collect(), next })
}

/// The series of an account or a credential.
async fn series(connection: &mut Connection, wanted: &RecordQuery) -> Result<Vec<i64>, sqlx::Error> {
    let mut query = QueryBuilder::<Engine>::new("SELECT number FROM usage_series WHERE account ");
    match wanted.account {
        Some(account) => query.push("= ").push_bind(account.to_string()),
        None => query.push("<> ''"),
    };
    if let Some(credential) = &wanted.credential {
        query.push(" AND credential = ").push_bind(text(credential).into_owned());
    }
    query.build_query_scalar().persistent(false).fetch_all(connection).await
}

/// The first records of a series, or of all, and one more than are wanted.
async fn latest(
    connection: &mut Connection,
    wanted: &RecordQuery,
    series: Option<i64>,
    place: &Place,
) -> Result<Vec<(RecordPosition, UsageRecord)>, StoreError> {
    let mut query = QueryBuilder::<Engine>::new("SELECT ");
    // The order of the tables is that in which SQLite reads them.
    query.push(COLUMNS).push(" FROM usage_records AS r CROSS JOIN usage_series AS s WHERE s.number = r.series");
    if let Some(series) = series {
        query.push(format_args!(" AND r.series = {series}"));
    }
    if let Some(since) = wanted.since {
        query.push(format_args!(" AND r.ended_at >= {since}"));
    }
    if let Some(until) = wanted.until {
        query.push(format_args!(" AND r.ended_at < {until}"));
    }
    if let Some(RecordPosition { ended_at, id }) = wanted.after {
        query.push(format_args!(" AND r.ended_at <= {ended_at} AND (r.ended_at < {ended_at} OR r.id < {id})"));
    }
    if let Some(status) = wanted.status {
        query.push(format_args!(" AND r.status = '{}'", status.name()));
    }
    query.push(format_args!(" ORDER BY r.ended_at DESC, r.id DESC LIMIT {}", i64::from(wanted.limit) + 1));
    let rows = query.build().persistent(false).fetch_all(connection).await;
    let rows = rows.map_err(|error| explain(place, &error, Doing::Read))?;
    rows.iter().map(|row| read(row, place)).collect()
}

fn read(row: &EngineRow, place: &Place) -> Result<(RecordPosition, UsageRecord), StoreError> {
    let failed = |error: sqlx::Error| explain(place, &error, Doing::Read);
    let column = |at: usize| row.try_get::<String, _>(at).map_err(failed);
    let number = |at: usize| row.try_get::<i64, _>(at).map_err(failed);
    let count = |at: usize| number(at).map(|number| u64::try_from(number).unwrap_or_default());
    let status = column(11)?;
    let environment: Option<String> = row.try_get(6).map_err(failed)?;
    let first_token_ms: Option<i64> = row.try_get(15).map_err(failed)?;
    let position = RecordPosition { ended_at: number(1)?, id: number(0)? };
    let record = UsageRecord {
        ended_at: position.ended_at,
        series: UsageSeries {
            account: place.parse(&column(2)?, "account")?,
            credential: column(3)?,
            model: column(4)?,
        },
        credential: column(5)?,
        environment: environment.map(|name: String| place.parse(&name, "environment")).transpose()?,
        network: place.parse(&column(7)?, "network")?,
        request: place.parse(&column(8)?, "request")?,
        route: column(9)?.into(),
        http_status: number(10)?.try_into().unwrap_or_default(),
        status: UsageStatus::of(&status).ok_or_else(|| place.damaged(format!("{status:?} is not a status")))?,
        tokens: TokenCount { input: count(12)?, output: count(13)?, is_estimate: row.try_get(14).map_err(failed)? },
        first_token_ms: first_token_ms.map(|time| time.try_into().unwrap_or_default()),
        total_ms: count(16)?,
        bytes: count(17)?,
    };
    Ok((position, record))
}

/// The last uses of an account's credentials, or of all, by account, credential, scope and model.
pub async fn last_uses(
    connection: &mut Connection,
    account: Option<Uuid>,
    place: &Place,
) -> Result<Vec<LastUse>, StoreError> {
    let mut query = QueryBuilder::<Engine>::new("SELECT account, credential, scope, model, at FROM last_uses");
    if let Some(account) = account {
        query.push(" WHERE account = ").push_bind(account.to_string());
    }
    let query = query.build_query_as::<(String, String, String, String, i64)>().persistent(false);
    let mut rows = query.fetch_all(connection).await.map_err(|error| explain(place, &error, Doing::Read))?;
    rows.sort_unstable();
    let read = |(account, credential, scope, model, at): (String, String, String, String, i64)| {
        let (account, scope) = (place.parse(&account, "account")?, place.parse(&scope, "scope")?);
        Ok(LastUse { account, credential, scope, model, at })
    };
    rows.into_iter().map(read).collect()
}
