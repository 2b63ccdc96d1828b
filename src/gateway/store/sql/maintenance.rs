//! The maintenance message.

use super::{Connection, explain};
use crate::gateway::store::place::{Doing, Place};
use crate::gateway::store::{Maintenance, StoreError};

/// Replaces it.
pub async fn set(connection: &mut Connection, maintenance: Option<&Maintenance>) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM maintenance").execute(&mut *connection).await?;
    let Some(Maintenance { message, refuses, since, until }) = maintenance else { return Ok(()) };
    sqlx::query("INSERT INTO maintenance (only_row, message, refuses, since, until) VALUES (1, $1, $2, $3, $4)")
        .bind(message)
        .bind(*refuses)
        .bind(*since)
        .bind(*until)
        .execute(connection)
        .await
        .map(drop)
}

/// The one that is set. It may be over.
pub async fn find(connection: &mut Connection, place: &Place) -> Result<Option<Maintenance>, StoreError> {
    let query = sqlx::query_as("SELECT message, refuses, since, until FROM maintenance");
    let row: Option<(String, bool, i64, Option<i64>)> =
        query.fetch_optional(connection).await.map_err(|error| explain(place, &error, Doing::Read))?;
    Ok(row.map(|(message, refuses, since, until)| Maintenance { message, refuses, since, until }))
}
