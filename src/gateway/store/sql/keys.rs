//! The statements for API keys, and rows read back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sqlx::{Database, FromRow, Row as _};
use uuid::Uuid;

use super::{Connection, explain, suspension};
use crate::gateway::store::place::{Doing, Place};
use crate::gateway::store::{EndedKey, KeyQuery, KeyRecord, StoreError};
use crate::keyspec::{AddressList, KeyHash, KeyId, Models, RequestLimits, Rights};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, user_id, name, environment, scopes, models, expires_at, hash, hint, replaceable, replaces, \
             first, created_at, last_used_at, revoked_at, created_by, limits, suspended_at, suspended_reason, addresses, exchanged_for \
             FROM api_keys ",
            $rest
        )
    };
}

type Row = <<Connection as sqlx::Connection>::Database as Database>::Row;

/// A row as [`select!`] gives it.
struct KeyRow {
    id: String,
    user: String,
    name: String,
    environment: Option<String>,
    scopes: String,
    models: String,
    expires_at: Option<i64>,
    hash: Vec<u8>,
    hint: String,
    replaceable: bool,
    replaces: Option<String>,
    first: Option<String>,
    created_at: i64,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
    created_by: Option<String>,
    limits: Option<String>,
    suspended_at: Option<i64>,
    suspended_reason: Option<String>,
    addresses: Option<String>,
    exchanged_for: Option<Vec<u8>>,
}

impl FromRow<'_, Row> for KeyRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            user: row.try_get(1)?,
            name: row.try_get(2)?,
            environment: row.try_get(3)?,
            scopes: row.try_get(4)?,
            models: row.try_get(5)?,
            expires_at: row.try_get(6)?,
            hash: row.try_get(7)?,
            hint: row.try_get(8)?,
            replaceable: row.try_get(9)?,
            replaces: row.try_get(10)?,
            first: row.try_get(11)?,
            created_at: row.try_get(12)?,
            last_used_at: row.try_get(13)?,
            revoked_at: row.try_get(14)?,
            created_by: row.try_get(15)?,
            limits: row.try_get(16)?,
            suspended_at: row.try_get(17)?,
            suspended_reason: row.try_get(18)?,
            addresses: row.try_get(19)?,
            exchanged_for: row.try_get(20)?,
        })
    }
}

type EndedRow = (String, String, Vec<u8>, bool, Option<i64>);

/// Adds a key. Fails with [`sqlx::Error::RowNotFound`] if its id is that of a deleted key.
pub async fn add(connection: &mut Connection, key: &KeyRecord) -> Result<(), sqlx::Error> {
    let json = |error: serde_json::Error| sqlx::Error::Encode(error.into());
    let limits = Some(key.rights.limits).filter(|limits| !limits.is_none());
    let limits = limits.map(|limits| serde_json::to_string(&limits)).transpose().map_err(json)?;
    let addresses = Some(&key.rights.addresses).filter(|addresses| !addresses.is_empty());
    let addresses = addresses.map(serde_json::to_string).transpose().map_err(json)?;
    let query = sqlx::query(
        "INSERT INTO api_keys (id, user_id, name, environment, scopes, models, expires_at, hash, hint, replaceable, \
         replaces, first, created_at, last_used_at, revoked_at, created_by, limits, addresses, exchanged_for) \
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19 \
         WHERE NOT EXISTS (SELECT 1 FROM deleted_keys WHERE id = $1)",
    );
    let added = query
        .bind(key.id.to_string())
        .bind(key.user.to_string())
        .bind(&key.name)
        .bind(&key.environment)
        .bind(serde_json::to_string(&key.rights.scopes).map_err(json)?)
        .bind(serde_json::to_string(&key.rights.models).map_err(json)?)
        .bind(key.rights.expires_at)
        .bind(key.hash.as_bytes().as_slice())
        .bind(&key.hint)
        .bind(key.replaceable)
        .bind(key.replaces.as_ref().map(|id| id.as_str()))
        .bind(key.first.as_ref().map(|id| id.as_str()))
        .bind(key.created_at)
        .bind(key.last_used_at)
        .bind(key.revoked_at)
        .bind(key.created_by.as_deref())
        .bind(limits)
        .bind(addresses)
        .bind(key.exchanged_for.map(|digest| digest.to_vec()))
        .execute(connection)
        .await?;
    if added.rows_affected() == 0 { Err(sqlx::Error::RowNotFound) } else { Ok(()) }
}

/// Those that have not ended, and what remains in memory of those that have, with those of removed accounts.
pub async fn load(connection: &mut Connection, place: &Place) -> Result<(Vec<KeyRecord>, Vec<EndedKey>), StoreError> {
    let failed = |error: sqlx::Error| explain(place, &error, Doing::Read);
    let mut valid = Vec::new();
    let mut shared = SharedTexts::default();
    let mut rows = sqlx::query_as::<_, KeyRow>(select!("WHERE ended_uptime IS NULL")).fetch(&mut *connection);
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        valid.push(record(row, &mut shared, place)?);
    }
    drop(rows);
    let ended: Vec<EndedRow> = sqlx::query_as(
        "SELECT id, user_id, hash, revoked_at IS NOT NULL, expires_at FROM api_keys WHERE ended_uptime IS NOT NULL \
         UNION ALL SELECT id, user_id, hash, TRUE, NULL FROM deleted_keys WHERE hash IS NOT NULL",
    )
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    let ended = ended.into_iter().map(|(id, user, bytes, is_revoked, expires_at)| {
        let hash = hash(&id, bytes, place)?;
        Ok(EndedKey { id: place.parse(&id, "key")?, user: place.parse(&user, "user")?, hash, is_revoked, expires_at })
    });
    Ok((valid, ended.collect::<Result<_, _>>()?))
}

/// The key with that id.
pub async fn find(connection: &mut Connection, id: &KeyId, place: &Place) -> Result<Option<KeyRecord>, StoreError> {
    let row: Option<KeyRow> = sqlx::query_as(select!("WHERE id = $1"))
        .bind(id.as_str())
        .fetch_optional(connection)
        .await
        .map_err(|error| explain(place, &error, Doing::Read))?;
    row.map(|row| record(row, &mut SharedTexts::default(), place)).transpose()
}

/// The wanted keys of an account.
pub async fn page(connection: &mut Connection, wanted: &KeyQuery, place: &Place) -> Result<Vec<KeyRecord>, StoreError> {
    // Two statements, so that each has an index.
    let statement = match wanted.revoked {
        true => select!(
            "WHERE user_id = $1 AND created_at <= $2 AND (created_at < $2 OR id > $3) \
             AND (CAST($4 AS TEXT) IS NULL OR id = $4 OR name = $4) ORDER BY created_at DESC, id LIMIT $5"
        ),
        false => select!(
            "WHERE revoked_at IS NULL AND user_id = $1 AND created_at <= $2 AND (created_at < $2 OR id > $3) \
             AND (CAST($4 AS TEXT) IS NULL OR id = $4 OR name = $4) ORDER BY created_at DESC, id LIMIT $5"
        ),
    };
    let (created_at, id) = wanted.after.as_ref().map_or((i64::MAX, ""), |(at, id)| (*at, id.as_str()));
    let rows: Vec<KeyRow> = sqlx::query_as(statement)
        .bind(wanted.user.to_string())
        .bind(created_at)
        .bind(id)
        .bind(&wanted.matching)
        .bind(i64::try_from(wanted.limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await
        .map_err(|error| explain(place, &error, Doing::Read))?;
    let mut shared = SharedTexts::default();
    rows.into_iter().map(|row| record(row, &mut shared, place)).collect()
}

/// What was read so far and thousands of keys may have in common: it is read and kept once.
#[derive(Default)]
struct SharedTexts {
    /// Long lists of model patterns.
    models: HashMap<String, Models>,
    creators: HashSet<Arc<str>>,
}

impl SharedTexts {
    fn creator(&mut self, text: String) -> Arc<str> {
        if let Some(known) = self.creators.get(&*text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.creators.insert(new.clone());
        new
    }
}

fn record(row: KeyRow, shared: &mut SharedTexts, place: &Place) -> Result<KeyRecord, StoreError> {
    let KeyRow { id, user, name, environment, scopes, models, expires_at, hash: bytes, hint, .. } = row;
    let KeyRow { replaceable, replaces, first, created_at, last_used_at, revoked_at, created_by, limits, .. } = row;
    let suspended = suspension(row.suspended_at, row.suspended_reason);
    let broken = |what: &str| place.damaged(format!("the {what} of the key {id} cannot be read"));
    let limits = limits.map_or(Ok(RequestLimits::default()), |text| serde_json::from_str(&text));
    let limits = limits.map_err(|_| broken("limits"))?;
    let addresses = row.addresses.map_or(Ok(AddressList::default()), |text| serde_json::from_str(&text));
    let addresses = addresses.map_err(|_| broken("addresses"))?;
    let models = match shared.models.get(&models) {
        Some(list) => list.clone(),
        None => {
            let list: Models = serde_json::from_str(&models).map_err(|_| broken("models"))?;
            shared.models.insert(models, list.clone());
            list
        }
    };
    let scopes = serde_json::from_str(&scopes).map_err(|_| broken("scopes"))?;
    let rights = Rights { scopes, models, expires_at, limits, addresses };
    let exchanged_for = row.exchanged_for.map(<[u8; 32]>::try_from).transpose();
    let exchanged_for = exchanged_for.map_err(|_| broken("exchanged token"))?;
    Ok(KeyRecord {
        hash: hash(&id, bytes, place)?,
        id: place.parse(&id, "key")?,
        user: place.parse::<Uuid>(&user, "user")?,
        name,
        environment,
        rights,
        hint,
        replaceable,
        replaces: replaces.map(|id| place.parse(&id, "key")).transpose()?,
        first: first.map(|id| place.parse(&id, "key")).transpose()?,
        created_by: created_by.map(|text| shared.creator(text)),
        exchanged_for,
        created_at,
        last_used_at,
        revoked_at,
        suspended,
    })
}

fn hash(id: &str, bytes: Vec<u8>, place: &Place) -> Result<KeyHash, StoreError> {
    let bytes = <[u8; 32]>::try_from(bytes);
    bytes.map(KeyHash::from_bytes).map_err(|_| place.damaged(format!("the hash of the key {id} cannot be read")))
}
