//! The statements for what budgets of tokens have used.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sqlx::{Error, QueryBuilder};

use super::usage_values::{MOST, ROWS, stored, text};
use super::{Connection, explain};
use crate::gateway::store::place::{Doing, Place};
use crate::gateway::store::{BudgetNews, BudgetTotal, StoreError, UsageBatch};

type Engine = <Connection as sqlx::Connection>::Database;

/// No window is longer, in seconds: a month, with the hour that the end of summer time adds.
pub const LONGEST_WINDOW: i64 = 32 * 86_400;

/// What changed after a version, of windows that end after some time. It is one statement, so that it sees one moment.
/// The `+` has SQLite use the index of versions.
pub const NEWS: &str = "SELECT v.version, t.id, t.tokens FROM budget_version AS v LEFT JOIN budget_totals AS t \
                        ON t.version > CASE WHEN v.version < $1 THEN 0 ELSE $1 END AND +t.ends_at > $2";

/// Adds to the totals, and returns what they are then. To be called last in a transaction of the caller's: from here to its commit, other
/// gateways wait, so that versions are in the order of the commits.
pub async fn add(connection: &mut Connection, batch: &UsageBatch, uptime: i64) -> Result<Vec<BudgetTotal>, Error> {
    let mut sums: BTreeMap<Cow<'_, str>, (i64, i64)> = BTreeMap::new();
    for used in &batch.budgets {
        let (ends_at, tokens) = sums.entry(text(&used.id)).or_default();
        (*ends_at, *tokens) = (used.ends_at, tokens.saturating_add(used.tokens));
    }
    if sums.is_empty() {
        return Ok(Vec::new());
    }
    let version: i64 = sqlx::query_scalar("UPDATE budget_version SET version = version + 1 RETURNING version")
        .fetch_one(&mut *connection)
        .await?;
    let mut totals = Vec::with_capacity(sums.len());
    for sums in sums.into_iter().collect::<Vec<_>>().chunks(ROWS) {
        let mut query =
            QueryBuilder::<Engine>::new("INSERT INTO budget_totals (id, tokens, ends_at, version, uptime) ");
        query.push_values(sums, |mut row, (id, (ends_at, tokens))| {
            let remaining = ends_at.saturating_sub(batch.at).clamp(0, LONGEST_WINDOW);
            row.push_bind(&**id)
                .push_bind((*tokens).clamp(-stored(MOST), stored(MOST)))
                .push_bind(*ends_at)
                .push_bind(version);
            row.push_bind(uptime.saturating_add(remaining));
        });
        query.push(format_args!(
            " ON CONFLICT (id) DO UPDATE SET tokens = CASE WHEN budget_totals.tokens + excluded.tokens > {MOST} \
             THEN {MOST} WHEN budget_totals.tokens + excluded.tokens < 0 THEN 0 \
             ELSE budget_totals.tokens + excluded.tokens END, ends_at = excluded.ends_at, \
             version = excluded.version, uptime = excluded.uptime RETURNING id, tokens"
        ));
        let rows = query.build_query_as().persistent(false).fetch_all(&mut *connection).await?;
        totals.extend(rows.into_iter().map(total));
    }
    Ok(totals)
}

/// What changed after that version, of windows that end after `now`.
pub async fn news(connection: &mut Connection, after: i64, now: i64, place: &Place) -> Result<BudgetNews, StoreError> {
    let rows: Vec<(i64, Option<String>, Option<i64>)> = sqlx::query_as(NEWS)
        .bind(after)
        .bind(now)
        .fetch_all(connection)
        .await
        .map_err(|error| explain(place, &error, Doing::Read))?;
    let Some((version, _, _)) = rows.first() else {
        return Err(place.damaged("there is no version of the totals of budgets".to_owned()));
    };
    let version = *version;
    let totals = rows.into_iter().filter_map(|(_, id, tokens)| Some(total((id?, tokens?)))).collect();
    Ok(BudgetNews { version, totals })
}

fn total((id, tokens): (String, i64)) -> BudgetTotal {
    BudgetTotal { id, tokens: u64::try_from(tokens).unwrap_or_default() }
}
