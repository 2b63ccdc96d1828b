//! Inserts of many rows. The statement of a whole chunk is written and prepared once; that of the rows that remain each time.

use std::sync::Arc;

use sqlx::error::BoxDynError;
use sqlx::{Arguments as _, AssertSqlSafe, Error, QueryBuilder};

use super::Connection;

type Engine = <Connection as sqlx::Connection>::Database;
type EngineArguments = <Engine as sqlx::Database>::Arguments;

/// Rows of a chunk.
const CHUNK: usize = 100;

/// See the module.
pub(super) struct MultiRowInsert {
    /// `INSERT INTO table (columns)`.
    head: String,
    columns: usize,
    /// What comes after the values.
    tail: String,
    /// The statement of a chunk.
    whole: Arc<String>,
}

impl MultiRowInsert {
    /// Into these columns of a table. `tail` comes after the values.
    pub fn new(table: &str, columns: &[&str], tail: impl Into<String>) -> Self {
        let head = format!("INSERT INTO {table} ({}) ", columns.join(", "));
        let (columns, tail) = (columns.len(), tail.into());
        let whole = Arc::new(statement(&head, columns, &tail, CHUNK));
        Self { head, columns, tail, whole }
    }

    /// Inserts rows, of which `values` gives the values in the order of the columns.
    pub async fn execute<'r, T>(
        &self,
        connection: &mut Connection,
        rows: &'r [T],
        mut values: impl FnMut(&mut RowValues, &'r T) -> Result<(), BoxDynError>,
    ) -> Result<(), Error> {
        for rows in rows.chunks(CHUNK) {
            let mut all = RowValues(EngineArguments::default());
            all.0.reserve(rows.len() * self.columns, 0);
            rows.iter().try_for_each(|row| values(&mut all, row)).map_err(Error::Encode)?;
            let is_whole = rows.len() == CHUNK;
            let statement = match is_whole {
                true => self.whole.clone(),
                false => Arc::new(statement(&self.head, self.columns, &self.tail, rows.len())),
            };
            let query = sqlx::query_with(AssertSqlSafe(statement), all.0);
            query.persistent(is_whole).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// Values of rows, one after the other.
pub(super) struct RowValues(EngineArguments);

impl RowValues {
    /// The next one.
    pub fn add<'t, T: sqlx::Encode<'t, Engine> + sqlx::Type<Engine>>(&mut self, value: T) -> Result<(), BoxDynError> {
        sqlx::Arguments::add(&mut self.0, value)
    }
}

/// With the placeholders of the engine.
fn statement(head: &str, columns: usize, tail: &str, rows: usize) -> String {
    let mut query = QueryBuilder::<Engine>::new(head);
    query.push_values(0..rows, |mut row, _| {
        for _ in 0..columns {
            row.push_bind(0_i64);
        }
    });
    query.push(tail);
    query.into_string()
}
