//! Who people are at providers, and the refresh tokens by which providers are asked again.

use sqlx::Error;

use super::{Connection, changed, explain};
use crate::gateway::store::place::{Doing, Place};
use crate::gateway::store::{DueTokens, Identity, IdentityId, LeasedToken, SealedToken, StoreError};

/// A lease that ends later than so many seconds from now was taken before the clock was set back.
const LONGEST_LEASE: i64 = 3600;

const COLUMNS: &str = "id, issuer, subject, user_id, created_at, signed_in_at FROM identities";

type TokenRow = (String, Option<Vec<u8>>);
type Row = (String, String, String, String, i64, i64);

/// Adds one.
pub async fn add(connection: &mut Connection, identity: &Identity) -> Result<(), Error> {
    let query = sqlx::query(
        "INSERT INTO identities (id, issuer, subject, user_id, created_at, signed_in_at) VALUES ($1, $2, $3, $4, $5, $6)",
    );
    query
        .bind(identity.id.to_string())
        .bind(&identity.issuer)
        .bind(&identity.subject)
        .bind(identity.user.to_string())
        .bind(identity.created_at)
        .bind(identity.signed_in_at)
        .execute(connection)
        .await
        .map(drop)
}

/// Notes that the person signed in at that Unix second, and the token that this gave.
pub async fn note_sign_in(
    connection: &mut Connection,
    id: IdentityId,
    at: i64,
    token: Option<&SealedToken>,
) -> Result<(), Error> {
    let query = sqlx::query(
        "UPDATE identities SET signed_in_at = $1, refresh_token = $2, checked_at = $1, lease_until = NULL WHERE id = $3",
    );
    let query = query.bind(at).bind(token.map(|token| token.0.clone())).bind(id.to_string());
    changed(query.execute(connection).await)
}

/// All.
pub async fn all(connection: &mut Connection, place: &Place) -> Result<Vec<Identity>, StoreError> {
    let query = format!("SELECT {COLUMNS}");
    let rows: Result<Vec<Row>, Error> = sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(connection).await;
    let rows = rows.map_err(|error| explain(place, &error, Doing::Read))?;
    rows.into_iter().map(|row| identity(row, place)).collect()
}

/// The one with that id. Only gateways that share a database ask for it.
#[allow(dead_code, reason = "the statements are compiled for each engine")]
pub async fn find(connection: &mut Connection, id: &str, place: &Place) -> Result<Option<Identity>, StoreError> {
    let query = format!("SELECT {COLUMNS} WHERE id = $1");
    let row: Result<Option<Row>, Error> =
        sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(id).fetch_optional(connection).await;
    let row = row.map_err(|error| explain(place, &error, Doing::Read))?;
    row.map(|row| identity(row, place)).transpose()
}

fn identity((id, issuer, subject, user, created_at, signed_in_at): Row, place: &Place) -> Result<Identity, StoreError> {
    let (id, user) = (place.parse(&id, "identity")?, place.parse(&user, "user")?);
    if IdentityId::of(&issuer, &subject) != id {
        return Err(place.damaged(format!("the identity {id} is not that of its issuer and subject")));
    }
    Ok(Identity { id, issuer, subject, user, created_at, signed_in_at })
}

/// Leases those that are due, those that were checked longest ago first. What is leased by another gateway meanwhile is left out.
pub async fn lease(
    connection: &mut Connection,
    due: &DueTokens,
    place: &Place,
) -> Result<Vec<LeasedToken>, StoreError> {
    let statement = "UPDATE identities SET lease_until = $1 \
         WHERE (lease_until IS NULL OR lease_until <= $2 OR lease_until > $3) AND id IN (\
             SELECT id FROM identities WHERE issuer = $4 \
             AND (checked_at IS NULL OR checked_at <= $5 OR checked_at > $2) \
             AND (lease_until IS NULL OR lease_until <= $2 OR lease_until > $3) ORDER BY checked_at, id LIMIT $6\
         ) RETURNING id, refresh_token";
    let rows: Result<Vec<TokenRow>, Error> = sqlx::query_as(statement)
        .bind(due.lease_until)
        .bind(due.now)
        .bind(due.now + LONGEST_LEASE)
        .bind(&due.issuer)
        .bind(due.checked_by)
        .bind(i64::from(due.limit))
        .fetch_all(connection)
        .await;
    let rows = rows.map_err(|error| explain(place, &error, Doing::Write))?;
    rows.into_iter()
        .map(|(id, token)| Ok(LeasedToken { identity: place.parse(&id, "identity")?, token: token.map(SealedToken) }))
        .collect()
}

/// Replaces a token, if it is still there. With the second at which it was checked the lease ends.
pub async fn replace(
    connection: &mut Connection,
    old: &LeasedToken,
    new: Option<&SealedToken>,
    checked_at: Option<i64>,
) -> Result<bool, Error> {
    let statement = "UPDATE identities SET refresh_token = $1, checked_at = coalesce($2, checked_at), \
                     lease_until = CASE WHEN $2 IS NULL THEN lease_until END \
                     WHERE id = $3 AND (refresh_token = $4 OR (refresh_token IS NULL AND $4 IS NULL))";
    let bytes = |token: Option<&SealedToken>| token.map(|token| token.0.clone());
    let query = sqlx::query(statement).bind(bytes(new)).bind(checked_at).bind(old.identity.to_string());
    Ok(query.bind(bytes(old.token.as_ref())).execute(connection).await?.rows_affected() > 0)
}
