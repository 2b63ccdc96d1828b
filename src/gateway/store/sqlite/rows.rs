//! From rows to what the gateway decides by. A row that makes no sense means a damaged database: nothing is guessed.

use std::str::FromStr;

use sqlx::SqliteConnection;
use uuid::Uuid;

use super::problem::{Doing, Place};
use crate::gateway::store::{Device, KeyRecord, RecordedEvent, Role, Snapshot, StoreError, User};
use crate::keyspec::{KeyHash, Rights};

type UserRow = (String, String, String, String, bool, i64);
type DeviceRow = (String, String, String, i64, Option<i64>);
type KeyRow = (
    String,
    String,
    String,
    Option<String>,
    String,
    String,
    Option<i64>,
    Vec<u8>,
    String,
    bool,
    Option<String>,
    i64,
    Option<i64>,
    Option<i64>,
);
type EventRow = (i64, String, String, String, String, String);

/// Everything but passwords and events.
pub(super) async fn snapshot(connection: &mut SqliteConnection, place: &Place) -> Result<Snapshot, StoreError> {
    let failed = |error: sqlx::Error| place.explain(&error, Doing::Read);
    let users: Vec<UserRow> = sqlx::query_as("SELECT id, name, email, role, disabled, created_at FROM users")
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let devices: Vec<DeviceRow> = sqlx::query_as("SELECT key, user_id, name, created_at, last_used_at FROM devices")
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let keys: Vec<KeyRow> = sqlx::query_as(
        "SELECT id, user_id, name, environment, scopes, models, expires_at, hash, hint, replaceable, replaces, \
         created_at, last_used_at, revoked_at FROM api_keys ORDER BY rowid",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    Ok(Snapshot {
        users: users.into_iter().map(|row| user(row, place)).collect::<Result<_, _>>()?,
        devices: devices.into_iter().map(|row| device(row, place)).collect::<Result<_, _>>()?,
        keys: keys.into_iter().map(|row| key(row, place)).collect::<Result<_, _>>()?,
    })
}

/// The latest events, the newest first.
pub(super) async fn events(
    connection: &mut SqliteConnection,
    limit: u32,
    place: &Place,
) -> Result<Vec<RecordedEvent>, StoreError> {
    let rows: Vec<EventRow> =
        sqlx::query_as("SELECT at, actor, action, subject, detail, address FROM events ORDER BY id DESC LIMIT ?")
            .bind(i64::from(limit))
            .fetch_all(connection)
            .await
            .map_err(|error| place.explain(&error, Doing::Read))?;
    let event =
        |(at, actor, action, subject, detail, address)| RecordedEvent { at, actor, action, subject, detail, address };
    Ok(rows.into_iter().map(event).collect())
}

fn user((id, name, email, role, disabled, created_at): UserRow, place: &Place) -> Result<User, StoreError> {
    let role = Role::from_name(&role).ok_or_else(|| place.damaged(format!("{role:?} is no role")))?;
    Ok(User { id: parsed(&id, "user", place)?, name, email, role, disabled, created_at })
}

fn device((key, user, name, created_at, last_used_at): DeviceRow, place: &Place) -> Result<Device, StoreError> {
    let (key, user) = (parsed(&key, "device", place)?, parsed::<Uuid>(&user, "user", place)?);
    Ok(Device { key, user, name, created_at, last_used_at })
}

fn key(row: KeyRow, place: &Place) -> Result<KeyRecord, StoreError> {
    let (id, user, name, environment, scopes, models, expires_at, hash, hint, replaceable, replaces, ..) = row;
    let (created_at, last_used_at, revoked_at) = (row.11, row.12, row.13);
    let broken = |what: &str| place.damaged(format!("the {what} of the key {id} cannot be read"));
    let rights = Rights {
        scopes: serde_json::from_str(&scopes).map_err(|_| broken("scopes"))?,
        models: serde_json::from_str(&models).map_err(|_| broken("models"))?,
        expires_at,
    };
    let hash = <[u8; 32]>::try_from(hash).map_err(|_| broken("hash"))?;
    Ok(KeyRecord {
        id: parsed(&id, "key", place)?,
        user: parsed(&user, "user", place)?,
        name,
        environment,
        rights,
        hash: KeyHash::from_bytes(hash),
        hint,
        replaceable,
        replaces: replaces.map(|id| parsed(&id, "key", place)).transpose()?,
        created_at,
        last_used_at,
        revoked_at,
    })
}

fn parsed<T: FromStr>(text: &str, what: &str, place: &Place) -> Result<T, StoreError> {
    text.parse().map_err(|_| place.damaged(format!("{text:?} is no {what}")))
}
