//! What an error of PostgreSQL means.

use sqlx::Error;
use sqlx::error::ErrorKind;
use sqlx::migrate::MigrateError;

use crate::gateway::store::StoreError;
use crate::gateway::store::place::{Doing, Place, Taken};
use crate::http::certificate_problem;

/// SQLSTATE of errors that a person has to do something about.
const READ_ONLY: &str = "25006";
const NO_PRIVILEGE: &str = "42501";
const BAD_PASSWORD: &str = "28P01";
const NO_ACCESS: &str = "28000";
const NO_DATABASE: &str = "3D000";
const LOCKED: &str = "55P03";
/// A table, a column or a function that is not there, or of another type: the schema was changed by hand.
const CHANGED_BY_HAND: [&str; 4] = ["42P01", "42703", "42883", "42804"];

pub(super) fn explain(place: &Place, error: &Error, doing: Doing) -> StoreError {
    let reason = reason(error);
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
    let place = place.0.clone();
    match &*code {
        READ_ONLY => StoreError::ReadOnly { place },
        NO_PRIVILEGE | NO_DATABASE | NO_ACCESS => StoreError::Open { place, reason },
        BAD_PASSWORD => StoreError::Password { place, reason },
        code if CHANGED_BY_HAND.contains(&code) => StoreError::Damaged { place, reason },
        _ if let Some(reason) = distrust(error) => StoreError::Untrusted { place, reason },
        _ if is_unreachable(error) => StoreError::Unreachable { place, reason },
        _ => match doing {
            Doing::Open => StoreError::Open { place, reason },
            Doing::Read => StoreError::Read { place, reason },
            Doing::Write => StoreError::Write { place, reason },
        },
    }
}

pub(super) fn explain_migration(place: &Place, error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => explain(place, &error, Doing::Open),
        // Its tables are not those that its version says.
        other => place.damaged(other.to_string()),
    }
}

/// Whether the server was not reached, or is starting or ending, so that the same may succeed later.
pub(super) fn is_unreachable(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed | Error::Protocol(_) => true,
        // 08: connection; 53: no connections or memory left, but not a full disk; 57P0x: shutting down, starting.
        Error::Database(error) => error.code().is_some_and(|code| {
            code.starts_with("08") || code.starts_with("57P0") || (code.starts_with("53") && code != "53100")
        }),
        _ => false,
    }
}

/// Why the connection could not be made secure, if that is the error.
fn distrust(error: &Error) -> Option<String> {
    let text = match error {
        Error::Tls(error) => error.to_string(),
        // The handshake fails in reading or writing.
        Error::Io(error) if error.to_string().contains("peer certificate") => error.to_string(),
        _ => return None,
    };
    Some(certificate_problem(&text).map_or(text, str::to_owned))
}

fn reason(error: &Error) -> String {
    match error {
        Error::Database(error) if error.code().as_deref() == Some(LOCKED) => {
            "another program holds one of its tables locked".to_owned()
        }
        Error::Database(error) => error.message().to_owned(),
        // Its own text begins with words about communicating.
        Error::Io(error) => error.to_string(),
        Error::PoolTimedOut => "no connection in time".to_owned(),
        other => other.to_string(),
    }
}

/// What is there already, if that is the error.
pub(super) fn taken(error: &Error) -> Option<Taken> {
    let error = error.as_database_error().filter(|error| error.kind() == ErrorKind::UniqueViolation)?;
    Some(match error.constraint() {
        Some("users_name_key") => Taken::UserName,
        Some("api_keys_pkey") => Taken::KeyId,
        Some("api_keys_hash_key") => Taken::KeyHash,
        Some("keys_of_tokens") => Taken::ExchangedToken,
        _ => Taken::Other,
    })
}
