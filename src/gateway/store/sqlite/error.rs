//! What an error of SQLite means.

use sqlx::Error;
use sqlx::error::ErrorKind;
use sqlx::migrate::MigrateError;

use crate::gateway::store::StoreError;
use crate::gateway::store::place::{Doing, Place, Taken};

/// SQLite's primary result codes, and two of its finer ones.
const READONLY: i32 = 8;
const IO: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const NOT_A_DATABASE: i32 = 26;
const IO_READ: i32 = IO | (1 << 8);
const IO_SHORT_READ: i32 = IO | (2 << 8);

pub(super) fn explain(place: &Place, error: &Error, doing: Doing) -> StoreError {
    let code = code(error);
    let reason = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    let place = place.0.clone();
    match (code & 0xff, doing) {
        (CORRUPT | NOT_A_DATABASE, _) => StoreError::Damaged { place, reason },
        _ if code == IO_SHORT_READ => StoreError::Damaged { place, reason },
        (_, Doing::Read) => StoreError::Read { place, reason },
        _ if code == IO_READ => StoreError::Read { place, reason },
        (READONLY | IO | FULL, _) | (_, Doing::Write) => StoreError::Write { place, reason },
        (_, Doing::Open) => StoreError::Open { place, reason },
    }
}

pub(super) fn explain_migration(place: &Place, error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => explain(place, &error, Doing::Open),
        // Its tables are not those that its version says.
        other => place.damaged(other.to_string()),
    }
}

/// What is there already, if that is the error: its message ends with `: TABLE.COLUMN`.
pub(super) fn taken(error: &Error) -> Option<Taken> {
    let error = error.as_database_error().filter(|error| error.kind() == ErrorKind::UniqueViolation)?;
    let place = error.message().rsplit(": ").next().unwrap_or_default();
    Some(place.split_once('.').map_or(Taken::Other, |(table, column)| Taken::of(table, column)))
}

fn code(error: &Error) -> i32 {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse().ok()).unwrap_or_default()
}
