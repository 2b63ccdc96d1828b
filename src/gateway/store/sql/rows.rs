//! The statements that read and add rows whose columns are found in the catalogue.

use sqlx::{QueryBuilder, Row as _};

use super::{COLLATION, Connection};
use crate::gateway::store::transfer::{Kind, PAGE, Selection, Value};

type Engine = <Connection as sqlx::Connection>::Database;

/// The first rows with a primary key above that. Texts are ordered by their bytes.
pub async fn page(
    connection: &mut Connection,
    selection: &Selection,
    after: Option<&Value>,
) -> Result<Vec<Vec<Value>>, sqlx::Error> {
    let columns: Vec<String> = selection.columns.iter().map(|(name, kind)| read_as(name, *kind)).collect();
    let (name, kind) = &selection.columns[selection.key];
    let collation = if *kind == Kind::Text { COLLATION } else { "" };
    let key = format!("{}{collation}", quoted(name));
    let mut query = QueryBuilder::<Engine>::new("SELECT ");
    query.push(format_args!("{} FROM {}", columns.join(", "), quoted(selection.table.name)));
    if let Some(after) = after {
        query.push(format_args!(" WHERE {key} > "));
        match after {
            Value::Text(text) => query.push_bind(text.clone()),
            Value::Integer(number) => query.push_bind(*number),
            Value::Bytes(bytes) => query.push_bind(bytes.clone()),
            Value::Null => query.push("NULL"),
        };
    }
    query.push(format_args!(" ORDER BY {key} LIMIT {PAGE}"));
    let rows = query.build().fetch_all(connection).await?;
    let kinds = || selection.columns.iter().enumerate();
    rows.iter()
        .map(|row| {
            let value = |(at, (_, kind)): (usize, &(String, Kind))| {
                Ok(match kind {
                    Kind::Text => row.try_get::<Option<String>, _>(at)?.map(Value::Text),
                    Kind::Integer | Kind::Boolean => row.try_get::<Option<i64>, _>(at)?.map(Value::Integer),
                    Kind::Bytes => row.try_get::<Option<Vec<u8>>, _>(at)?.map(Value::Bytes),
                }
                .unwrap_or(Value::Null))
            };
            kinds().map(value).collect()
        })
        .collect()
}

/// Numbers of all sizes and truth values as one type.
fn read_as(name: &str, kind: Kind) -> String {
    let name = quoted(name);
    match kind {
        Kind::Text | Kind::Bytes => name,
        Kind::Integer => format!("CAST({name} AS BIGINT)"),
        Kind::Boolean => format!("CAST(CAST({name} AS INTEGER) AS BIGINT)"),
    }
}

/// Adds rows.
pub async fn insert(
    connection: &mut Connection,
    selection: &Selection,
    rows: Vec<Vec<Value>>,
) -> Result<(), sqlx::Error> {
    let names: Vec<String> = selection.columns.iter().map(|(name, _)| quoted(name)).collect();
    let mut query = QueryBuilder::<Engine>::new("INSERT INTO ");
    query.push(format_args!("{} ({}) ", quoted(selection.table.name), names.join(", ")));
    query.push_values(rows, |mut values, row| {
        for ((_, kind), value) in selection.columns.iter().zip(row) {
            let number = if let Value::Integer(number) = value { Some(number) } else { None };
            match (kind, value) {
                (Kind::Boolean, _) => values.push_bind(number.map(|number| number != 0)),
                (Kind::Integer, _) => values.push_bind(number),
                (Kind::Text, Value::Text(text)) => values.push_bind(Some(text)),
                (Kind::Text, _) => values.push_bind(None::<String>),
                (Kind::Bytes, Value::Bytes(bytes)) => values.push_bind(Some(bytes)),
                (Kind::Bytes, _) => values.push_bind(None::<Vec<u8>>),
            };
        }
    });
    query.build().persistent(false).execute(connection).await.map(drop)
}

/// Deletes all rows.
pub async fn clear(connection: &mut Connection, table: &str) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::<Engine>::new("DELETE FROM ");
    query.push(quoted(table)).build().execute(connection).await.map(drop)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
