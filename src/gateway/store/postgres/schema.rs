//! The tables: made and updated once, by one gateway at a time, and checked against what the statements need.
//!
//! A newer version may have updated them: if it has marked them as compatible with this one, they are used as they are, so that gateways
//! can be updated one by one.

use std::cmp::Ordering;
use std::sync::LazyLock;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::Connection;
use super::error::{explain, explain_migration};
use crate::gateway::store::StoreError;
use crate::gateway::store::place::{Doing, Place};

/// Listed by hand, as those of SQLite. Their checksums are stored in every database, so a file that was released never changes.
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    macro_rules! file {
        ($name:literal) => {
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres/", $name, ".sql"))
        };
    }
    let files = [(1, "gateway", file!("0001_gateway"))];
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(files.map(migration).into())
});

/// The version of the tables that this program uses.
fn newest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Checks, without a change, that the tables are those of this program and no others.
///
/// # Errors
/// [`StoreError::ReadOnly`] at a standby, [`StoreError::Newer`], [`StoreError::Older`]; [`StoreError::Open`] without tables.
pub(super) async fn require_current(connection: &mut Connection, place: &Place) -> Result<(), StoreError> {
    let open = |error: sqlx::Error| explain(place, &error, Doing::Open);
    let (is_standby, is_ours): (bool, bool) =
        sqlx::query_as("SELECT pg_is_in_recovery(), to_regclass('_sqlx_migrations') IS NOT NULL")
            .fetch_one(&mut *connection)
            .await
            .map_err(open)?;
    if is_standby {
        return Err(StoreError::ReadOnly { place: place.0.clone() });
    }
    if !is_ours {
        let reason = "no gateway has used it".to_owned();
        return Err(StoreError::Open { place: place.0.clone(), reason });
    }
    let found: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(connection).await.map_err(open)?;
    match found.unwrap_or_default().cmp(&newest()) {
        Ordering::Less => Err(StoreError::Older { place: place.0.clone() }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(StoreError::Newer { place: place.0.clone() }),
    }
}

/// Fails at a standby. It answers questions, but what it says may be old: who believed it would accept keys that were revoked.
pub(super) async fn refuse_standby(connection: &mut Connection) -> Result<(), sqlx::Error> {
    match sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(connection).await? {
        true => Err(sqlx::Error::Io(std::io::Error::other("the server is a standby"))),
        false => Ok(()),
    }
}

pub(super) async fn bring_up_to_date(connection: &mut Connection, place: &Place) -> Result<(), StoreError> {
    let open = |error: sqlx::Error| explain(place, &error, Doing::Open);
    let encoding: String =
        sqlx::query_scalar("SHOW server_encoding").fetch_one(&mut *connection).await.map_err(open)?;
    if encoding != "UTF8" {
        let reason = format!("its encoding is {encoding}; create it with ENCODING 'UTF8' TEMPLATE template0");
        return Err(StoreError::Open { place: place.0.clone(), reason });
    }
    let is_standby: bool =
        sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut *connection).await.map_err(open)?;
    if is_standby {
        return Err(StoreError::ReadOnly { place: place.0.clone() });
    }
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(open)?;
    let ours = newest();
    if tables.iter().any(|name| name == "_sqlx_migrations") {
        let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut *connection)
            .await
            .map_err(open)?;
        if found.is_some_and(|found| found > ours) {
            let oldest: i64 = sqlx::query_scalar("SELECT oldest FROM schema_compatibility")
                .fetch_one(&mut *connection)
                .await
                .map_err(open)?;
            return if oldest <= ours { Ok(()) } else { Err(StoreError::Newer { place: place.0.clone() }) };
        }
    } else if tables.iter().any(|name| name == "users" || name == "api_keys") {
        let reason = "another program created its tables; use a database or a schema of its own".to_owned();
        return Err(StoreError::Open { place: place.0.clone(), reason });
    }
    // Under an advisory lock of the database: gateways that start together wait for each other.
    MIGRATIONS.run_direct(None, connection, false).await.map_err(|error| explain_migration(place, error))
}
