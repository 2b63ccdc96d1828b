//! Invitations: added, used once, revoked, and deleted after their retention time.

use sqlx::Error;

use super::{Connection, changed, explain};
use crate::gateway::store::place::{Doing, Place};
use crate::gateway::store::{Invitation, InvitationId, Role, StoreError, User};

/// Records that are deleted at a time, so that no change waits long.
const MOST: i64 = 1000;

const COLUMNS: &str =
    "id, hash, name, email, role, maker, created_at, expires_at, used_at, used_by, revoked_at FROM invitations";

type Row = (
    String,
    Vec<u8>,
    Option<String>,
    String,
    String,
    Option<String>,
    i64,
    i64,
    Option<i64>,
    Option<String>,
    Option<i64>,
);

/// Adds one.
pub async fn add(connection: &mut Connection, invitation: &Invitation) -> Result<(), Error> {
    let query = sqlx::query(
        "INSERT INTO invitations (id, hash, name, email, role, maker, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    query
        .bind(invitation.id.as_str())
        .bind(invitation.hash.as_slice())
        .bind(&invitation.name)
        .bind(&invitation.email)
        .bind(invitation.role.name())
        .bind(invitation.maker.map(|maker| maker.to_string()))
        .bind(invitation.created_at)
        .bind(invitation.expires_at)
        .execute(connection)
        .await
        .map(drop)
}

/// Notes that that account was made with it. Fails if it was used or revoked.
pub async fn note_use(connection: &mut Connection, id: &InvitationId, user: &User) -> Result<(), Error> {
    let statement = "UPDATE invitations SET used_at = $1, used_by = $2 \
                     WHERE id = $3 AND used_at IS NULL AND revoked_at IS NULL";
    let query = sqlx::query(statement).bind(user.created_at).bind(&user.name).bind(id.as_str());
    changed(query.execute(connection).await)
}

/// Revokes it at that Unix second.
pub async fn revoke(connection: &mut Connection, id: &InvitationId, at: i64) -> Result<(), Error> {
    let query = sqlx::query("UPDATE invitations SET revoked_at = coalesce(revoked_at, $1) WHERE id = $2");
    changed(query.bind(at).bind(id.as_str()).execute(connection).await)
}

/// All.
pub async fn all(connection: &mut Connection, place: &Place) -> Result<Vec<Invitation>, StoreError> {
    let query = format!("SELECT {COLUMNS}");
    let rows: Result<Vec<Row>, Error> = sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(connection).await;
    let rows = rows.map_err(|error| explain(place, &error, Doing::Read))?;
    rows.into_iter().map(|row| invitation(row, place)).collect()
}

/// The one with that id. Only gateways that share a database ask for it.
#[allow(dead_code, reason = "the statements are compiled for each engine")]
pub async fn find(connection: &mut Connection, id: &str, place: &Place) -> Result<Option<Invitation>, StoreError> {
    let query = format!("SELECT {COLUMNS} WHERE id = $1");
    let row: Result<Option<Row>, Error> =
        sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(id).fetch_optional(connection).await;
    let row = row.map_err(|error| explain(place, &error, Doing::Read))?;
    row.map(|row| invitation(row, place)).transpose()
}

fn invitation(row: Row, place: &Place) -> Result<Invitation, StoreError> {
    let (id, hash, name, email, role, maker, created_at, expires_at, used_at, used_by, revoked_at) = row;
    let hash = <[u8; 32]>::try_from(hash).map_err(|_| place.damaged("an invitation has no hash".to_owned()))?;
    let role = Role::from_name(&role).ok_or_else(|| place.damaged(format!("invalid role {role:?}")))?;
    let maker = maker.map(|maker| place.parse(&maker, "user")).transpose()?;
    let id = place.parse(&id, "invitation")?;
    Ok(Invitation { id, hash, name, email, role, maker, created_at, expires_at, used_at, used_by, revoked_at })
}

/// Notes which have ended by `now`, and deletes those that ended `kept` seconds ago: by the clock, and by the time `uptime` that gateways
/// have run since. Returns the deleted ones.
pub async fn sweep(
    connection: &mut Connection,
    now: i64,
    uptime: i64,
    kept: Option<i64>,
) -> Result<Vec<InvitationId>, Error> {
    // One that expired by a wrong clock is open again.
    let open = "UPDATE invitations SET ended_uptime = NULL WHERE ended_uptime IS NOT NULL \
                AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $1";
    sqlx::query(open).bind(now).execute(&mut *connection).await?;
    let ended = "UPDATE invitations SET ended_uptime = $1 WHERE ended_uptime IS NULL \
                 AND (used_at IS NOT NULL OR revoked_at IS NOT NULL OR expires_at <= $2)";
    sqlx::query(ended).bind(uptime).bind(now).execute(&mut *connection).await?;
    let Some(kept) = kept else { return Ok(Vec::new()) };
    let old: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM (SELECT id, coalesce(used_at, revoked_at, expires_at) AS ended FROM invitations \
         WHERE ended_uptime <= $1 LIMIT $2) AS old WHERE ended <= $3 OR ended > $4",
    )
    .bind(uptime - kept)
    .bind(MOST)
    .bind(now - kept)
    .bind(now)
    .fetch_all(&mut *connection)
    .await?;
    for id in &old {
        sqlx::query("DELETE FROM invitations WHERE id = $1").bind(id).execute(&mut *connection).await?;
    }
    Ok(old.iter().filter_map(|id| id.parse().ok()).collect())
}
