//! Browser sessions, shared by the gateways.

use sqlx::Error;
use uuid::Uuid;

use super::Connection;
use super::error::explain;
use crate::gateway::store::place::{Doing, Place};
use crate::gateway::store::{Change, Record, SharedSession, StoreError};

/// Longer than any session counts, in seconds.
const KEPT_SECONDS: f64 = 13.0 * 3600.0;
/// So long after it was seen last another secret may take the place of one, in seconds: no gateway with it runs any more.
const SECRET_HELD_SECONDS: f64 = 60.0;

type Row = (Vec<u8>, String, i64, i64, i64, Option<Vec<u8>>);

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT digest, user_id, extract(epoch FROM clock_timestamp() - since)::bigint, ",
            "extract(epoch FROM clock_timestamp() - seen_at)::bigint, ",
            "extract(epoch FROM clock_timestamp() - confirmed_at)::bigint, provider_session FROM sessions ",
            $rest
        )
    };
}

/// Begins one.
pub(super) async fn start(connection: &mut Connection, session: &SharedSession) -> Result<(), Error> {
    let query = sqlx::query(
        "INSERT INTO sessions (digest, user_id, confirmed_at, provider_session) \
         VALUES ($1, $2, clock_timestamp() - make_interval(secs => $3), $4)",
    );
    let query = query.bind(session.digest.as_slice()).bind(session.user.to_string());
    // No double holds as many seconds as an integer, and no interval either.
    let confirmed = f64::from(i32::try_from(session.confirmed).unwrap_or(i32::MAX));
    let query = query.bind(confirmed).bind(session.provider_session.map(|digest| digest.to_vec()));
    query.execute(connection).await.map(drop)
}

/// Notes that it is used, and whether the password was typed.
pub(super) async fn touch(connection: &mut Connection, digest: &[u8; 32], confirmed: bool) -> Result<(), Error> {
    let statement = "UPDATE sessions SET seen_at = clock_timestamp(), \
                     confirmed_at = CASE WHEN $2 THEN clock_timestamp() ELSE confirmed_at END WHERE digest = $1";
    sqlx::query(statement).bind(digest.as_slice()).bind(confirmed).execute(connection).await.map(drop)
}

/// Ends one.
pub(super) async fn end(connection: &mut Connection, digest: &[u8; 32]) -> Result<(), Error> {
    sqlx::query("DELETE FROM sessions WHERE digest = $1").bind(digest.as_slice()).execute(connection).await.map(drop)
}

/// Ends all of the account whose password was changed, or that was disabled or removed. Returns it.
pub(super) async fn end_after(connection: &mut Connection, change: &Change) -> Result<Option<Uuid>, Error> {
    let (Change::SetPassword(user, _) | Change::SetDisabled(user, true) | Change::RemoveUser(user)) = change else {
        return Ok(None);
    };
    end_all_of(connection, *user).await?;
    Ok(Some(*user))
}

/// Ends all of an account.
pub(super) async fn end_all_of(connection: &mut Connection, user: Uuid) -> Result<(), Error> {
    let query = sqlx::query("DELETE FROM sessions WHERE user_id = $1").bind(user.to_string());
    query.execute(connection).await.map(drop)
}

/// Ends all that began with a sign-in at a provider.
pub(super) async fn end_at_provider(connection: &mut Connection, digest: &[u8; 32]) -> Result<(), Error> {
    let query = sqlx::query("DELETE FROM sessions WHERE provider_session = $1").bind(digest.as_slice());
    query.execute(connection).await.map(drop)
}

/// All.
pub(super) async fn all(connection: &mut Connection, place: &Place) -> Result<Vec<Record>, StoreError> {
    let rows: Result<Vec<Row>, Error> = sqlx::query_as(select!("ORDER BY seen_at")).fetch_all(connection).await;
    let rows = rows.map_err(|error| explain(place, &error, Doing::Read))?;
    rows.into_iter().map(|row| session(row, place).map(Record::Session)).collect()
}

/// The one with that digest.
pub(super) async fn find(connection: &mut Connection, digest: [u8; 32], place: &Place) -> Result<Record, StoreError> {
    let query = sqlx::query_as(select!("WHERE digest = $1")).bind(digest.as_slice());
    let row: Option<Row> =
        query.fetch_optional(connection).await.map_err(|error| explain(place, &error, Doing::Read))?;
    Ok(match row {
        Some(row) => Record::Session(session(row, place)?),
        None => Record::EndedSession(digest),
    })
}

/// Deletes those that cannot count any more.
pub(super) async fn sweep(connection: &mut Connection) -> Result<(), Error> {
    let statement = "DELETE FROM sessions WHERE since <= clock_timestamp() - make_interval(secs => $1)";
    sqlx::query(statement).bind(KEPT_SECONDS).execute(connection).await.map(drop)
}

/// Whether that is the secret of all gateways that run.
pub(super) async fn has_secret(connection: &mut Connection, fingerprint: &[u8; 32]) -> Result<bool, Error> {
    let statement = "UPDATE gateway_secret SET fingerprint = $1, seen_at = clock_timestamp() \
                     WHERE fingerprint IS NULL OR fingerprint = $1 \
                     OR seen_at < clock_timestamp() - make_interval(secs => $2)";
    let query = sqlx::query(statement).bind(fingerprint.as_slice()).bind(SECRET_HELD_SECONDS);
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

fn session((digest, user, since, seen, confirmed, provider): Row, place: &Place) -> Result<SharedSession, StoreError> {
    let digest = <[u8; 32]>::try_from(digest).map_err(|_| place.damaged("the digest of a session cannot be read"))?;
    let provider_session = provider.and_then(|digest| <[u8; 32]>::try_from(digest).ok());
    Ok(SharedSession { digest, user: place.parse(&user, "user")?, since, seen, confirmed, provider_session })
}
