//! The log of changes: who changes something appends to it, and the other gateways read what came after the place that they know.

use std::collections::BTreeSet;

use sqlx::Connection as _;
use uuid::Uuid;

use super::error::explain;
use super::{Connection, pending, sessions, sql};
use crate::gateway::store::news::{News, Position, Record, Records};
use crate::gateway::store::place::{Doing, Place};
use crate::gateway::store::{Change, EndedKey, StoreError, Suspendable};
use crate::keyspec::KeyHash;

/// More changes than that are not read one by one.
const MOST_NEWS: i64 = 5000;
/// How many changes are kept for gateways that were away.
pub(super) const KEPT: i64 = 100_000;

/// What a line of the log is about.
pub(super) enum Subject {
    User(String),
    Device(String),
    Key(String),
    ForgottenKey(KeyHash),
    Invitation(String),
    Identity(String),
    Maintenance,
    PendingDevice(String),
    Session([u8; 32]),
    /// All of an account.
    Sessions(Uuid),
    /// All that began with a sign-in at a provider.
    ProviderSession([u8; 32]),
    /// Everything, which has to be loaded again.
    Everything,
}

impl Subject {
    /// What a change is about; `None` if nothing in memory depends on it.
    pub(super) fn of(change: &Change) -> Option<Self> {
        Some(match change {
            Change::AddUser(user, _) => Self::User(user.id.to_string()),
            Change::SetRole(id, _)
            | Change::SetEmail(id, _)
            | Change::SetGroups(id, _)
            | Change::SetLimits(id, _)
            | Change::SetDisabled(id, _)
            | Change::SetAddresses(id, _)
            | Change::RemoveUser(id)
            | Change::SetSuspended(Suspendable::User(id), _) => Self::User(id.to_string()),
            Change::AddDevice(device) => Self::Device(device.key.line()),
            Change::RemoveDevice(key) | Change::SetSuspended(Suspendable::Device(key), _) => Self::Device(key.line()),
            Change::AddKey(key) => Self::Key(key.id.to_string()),
            Change::RevokeKey(id, _) | Change::ExpireKey(id, _) | Change::SetSuspended(Suspendable::Key(id), _) => {
                Self::Key(id.to_string())
            }
            Change::UseInvitation(_, user, _) => Self::User(user.id.to_string()),
            Change::AddIdentity(user, _) => Self::User(user.id.to_string()),
            Change::NoteSignIn(id, ..) => Self::Identity(id.to_string()),
            Change::AddInvitation(invitation) => Self::Invitation(invitation.id.to_string()),
            Change::RevokeInvitation(id, _) => Self::Invitation(id.to_string()),
            Change::SetMaintenance(_) => Self::Maintenance,
            Change::SetPassword(..) | Change::Note => return None,
        })
    }

    /// What else it is about.
    pub(super) fn also_of(change: &Change) -> Option<Self> {
        match change {
            Change::UseInvitation(id, ..) => Some(Self::Invitation(id.to_string())),
            Change::AddIdentity(_, identity) => Some(Self::Identity(identity.id.to_string())),
            _ => None,
        }
    }

    fn columns(&self) -> (&'static str, String) {
        match self {
            Self::User(id) => ("user", id.clone()),
            Self::Device(key) => ("device", key.clone()),
            Self::Key(id) => ("key", id.clone()),
            Self::ForgottenKey(hash) => ("forgotten-key", hex(hash.as_bytes())),
            Self::Invitation(id) => ("invitation", id.clone()),
            Self::Identity(id) => ("identity", id.clone()),
            Self::Maintenance => ("maintenance", String::new()),
            Self::Session(digest) => ("session", hex(digest)),
            Self::Sessions(user) => ("sessions", user.to_string()),
            Self::ProviderSession(digest) => ("provider-session", hex(digest)),
            Self::PendingDevice(key) => ("pending-device", key.clone()),
            Self::Everything => ("everything", String::new()),
        }
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str, place: &Place) -> Result<[u8; 32], StoreError> {
    let bytes: Option<Vec<u8>> =
        (0..64).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect();
    let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes.ok_or_else(|| place.damaged(format!("{hex:?} is no hash")))
}

/// Where the log is, which nobody else changes until the transaction ends.
pub(super) async fn lock(connection: &mut Connection) -> Result<Position, sqlx::Error> {
    let (number, token) =
        sqlx::query_as("SELECT number, token FROM change_head FOR UPDATE").fetch_one(connection).await?;
    Ok(Position { number, token })
}

/// Where the log is.
///
/// # Errors
/// [`StoreError::ReadOnly`] at a standby, which may be behind.
pub(super) async fn head(connection: &mut Connection, place: &Place) -> Result<Position, StoreError> {
    let row = sqlx::query_as("SELECT number, token, pg_is_in_recovery() FROM change_head").fetch_one(connection).await;
    match row.map_err(|error| explain(place, &error, Doing::Read))? {
        (_, _, true) => Err(StoreError::ReadOnly { place: place.0.clone() }),
        (number, token, false) => Ok(Position { number, token }),
    }
}

/// Whether the log has that change.
pub(super) async fn contains(connection: &mut Connection, position: Position) -> Result<bool, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM change_log WHERE number = $1 AND token = $2)");
    query.bind(position.number).bind(position.token).fetch_one(connection).await
}

/// Appends to the log, which the transaction has locked, and tells the other gateways when it commits. Returns the new position.
pub(super) async fn append(
    connection: &mut Connection,
    mut position: Position,
    subjects: Vec<Subject>,
) -> Result<Position, sqlx::Error> {
    let before = position;
    for subject in subjects {
        let (kind, reference) = subject.columns();
        let mut token = [0; 8];
        getrandom::fill(&mut token).map_err(|error| sqlx::Error::Encode(error.into()))?;
        position = Position { number: position.number + 1, token: i64::from_ne_bytes(token) };
        sqlx::query("INSERT INTO change_log (number, token, kind, reference) VALUES ($1, $2, $3, $4)")
            .bind(position.number)
            .bind(position.token)
            .bind(kind)
            .bind(reference)
            .execute(&mut *connection)
            .await?;
    }
    if position != before {
        sqlx::query("UPDATE change_head SET number = $1, token = $2")
            .bind(position.number)
            .bind(position.token)
            .execute(&mut *connection)
            .await?;
        sqlx::query("SELECT pg_notify($1, '')").bind(super::CHANNEL).execute(connection).await?;
    }
    Ok(position)
}

/// What was changed since a position, in a transaction of its own.
pub(super) async fn news_since(
    connection: &mut Connection,
    since: Position,
    place: &Place,
) -> Result<News, StoreError> {
    let failed = |error: sqlx::Error| explain(place, &error, Doing::Read);
    let position = head(connection, place).await?;
    if position == since {
        return Ok(News { position, ..News::default() });
    }
    // The records must be as they were at the end of what is read of the log.
    let mut snapshot =
        connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(failed)?;
    let position = head(&mut snapshot, place).await?;
    let news = news_between(&mut snapshot, since, position, place).await?;
    snapshot.commit().await.map_err(failed)?;
    Ok(news)
}

/// What was changed between two positions, within a transaction that sees the second.
pub(super) async fn news_between(
    connection: &mut Connection,
    since: Position,
    position: Position,
    place: &Place,
) -> Result<News, StoreError> {
    let failed = |error: sqlx::Error| explain(place, &error, Doing::Read);
    let all = |records| Ok(News { position, records });
    if position == since {
        return all(Records::default());
    }
    if position.number <= since.number {
        return all(Records::Backwards);
    }
    if since.number > 0 {
        let token: Option<i64> = sqlx::query_scalar("SELECT token FROM change_log WHERE number = $1")
            .bind(since.number)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed)?;
        match token {
            Some(token) if token == since.token => {}
            Some(_) => return all(Records::Backwards),
            None => return all(Records::Many),
        }
    }
    if position.number - since.number > MOST_NEWS {
        return all(Records::Many);
    }
    let lines: Vec<(String, String)> =
        sqlx::query_as("SELECT kind, reference FROM change_log WHERE number > $1 ORDER BY number DESC")
            .bind(since.number)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
    let (mut seen, mut records) = (BTreeSet::new(), Vec::new());
    // The latest first, so that each is read once; what came earlier goes into memory earlier.
    for (kind, reference) in &lines {
        if seen.insert((kind, reference)) {
            match record(connection, kind, reference, place).await? {
                Ok(record) => records.extend(record),
                Err(Unknown) => return all(Records::Many),
            }
        }
    }
    records.reverse();
    all(Records::Some(records))
}

/// A line about everything, or one that a newer version has written.
struct Unknown;

async fn record(
    connection: &mut Connection,
    kind: &str,
    reference: &str,
    place: &Place,
) -> Result<Result<Option<Record>, Unknown>, StoreError> {
    let failed = |error: sqlx::Error| explain(place, &error, Doing::Read);
    Ok(Ok(match kind {
        "user" => {
            let id = place.parse(reference, "user")?;
            let row = sqlx::query_as(sql::select_users!("WHERE id = $1"))
                .bind(reference)
                .fetch_optional(connection)
                .await
                .map_err(failed)?;
            let user = row.map(|row| sql::user(row, place)).transpose()?;
            Some(user.map_or(Record::RemovedUser(id), Record::User))
        }
        "device" => {
            let key = place.parse(reference, "device")?;
            let statement = "SELECT key, user_id, name, created_at, last_used_at, suspended_at, suspended_reason \
                             FROM devices WHERE key = $1";
            let row = sqlx::query_as(statement).bind(reference).fetch_optional(connection).await.map_err(failed)?;
            let device = row.map(|row| sql::device(row, place)).transpose()?;
            Some(device.map_or(Record::RemovedDevice(key), Record::Device))
        }
        "key" => {
            let id = place.parse(reference, "key")?;
            let ended = "SELECT ended_uptime IS NOT NULL FROM api_keys WHERE id = $1";
            let ended: Option<bool> =
                sqlx::query_scalar(ended).bind(reference).fetch_optional(&mut *connection).await.map_err(failed)?;
            match (sql::keys::find(connection, &id, place).await?, ended) {
                (Some(key), Some(true)) => Some(Record::EndedKey(EndedKey::of(&key))),
                (Some(key), _) => Some(Record::Key(Box::new(key))),
                // Its account was removed, which the log says too.
                (None, _) => None,
            }
        }
        "forgotten-key" => Some(Record::ForgottenKey(KeyHash::from_bytes(bytes(reference, place)?))),
        "invitation" => {
            let id = place.parse(reference, "invitation")?;
            let found = sql::invitations::find(connection, reference, place).await?;
            Some(found.map_or(Record::RemovedInvitation(id), Record::Invitation))
        }
        // Without a record its account was removed, which the log says too.
        "identity" => sql::identities::find(connection, reference, place).await?.map(Record::Identity),
        "maintenance" => Some(Record::Maintenance(sql::maintenance::find(connection, place).await?)),
        "session" => Some(sessions::find(connection, bytes(reference, place)?, place).await?),
        "sessions" => Some(Record::EndedSessions(place.parse(reference, "user")?)),
        "provider-session" => Some(Record::EndedAtProvider(bytes(reference, place)?)),
        // One that was approved is not there any more.
        "pending-device" => pending::find(connection, reference, place).await?.map(Record::PendingDevice),
        _ => return Ok(Err(Unknown)),
    }))
}

/// Removes what is older than the last [`KEPT`] changes.
pub(super) async fn trim(connection: &mut Connection) -> Result<(), sqlx::Error> {
    let statement = "DELETE FROM change_log WHERE number <= (SELECT number FROM change_head) - $1";
    sqlx::query(statement).bind(KEPT).execute(connection).await.map(drop)
}
