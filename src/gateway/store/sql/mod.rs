//! The statements, for both engines: a change within a transaction that the caller began, and rows read back.
//!
//! Each engine compiles these files with its own `Connection` and `error`: the statements are the same, the types that sqlx runs them on
//! are not. What only one of them understands does not belong here.

pub(super) mod audit_log;
pub(super) mod budgets;
pub(super) mod event_pages;
#[cfg(test)]
pub(super) mod event_pages_check;
mod event_search;
pub mod event_times;
pub(super) mod events;
pub(super) mod identities;
pub(super) mod invitations;
pub(super) mod keys;
pub(super) mod maintenance;
mod multi_row_insert;
pub(super) mod rows;
pub(super) mod sweep;
pub(super) mod usage;
pub(super) mod usage_records;
mod usage_series;
mod usage_sweep;
pub(super) mod usage_totals;
mod usage_values;

use std::sync::Arc;

use secrecy::SecretString;
use sqlx::Database;
use uuid::Uuid;

use super::error::{explain, taken};
use super::{COLLATION, Connection};
use crate::gateway::PasswordHash;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::store::place::{Doing, Place, Taken};
use crate::gateway::store::{
    Change, Device, Event, Identity, InvitationId, Role, Snapshot, StoreError, Suspendable, Suspension, Use, User,
};
use crate::keyspec::{AddressRules, RequestLimits};

const REVOKE: &str = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $1), \
                      ended_uptime = coalesce(ended_uptime, (SELECT seconds FROM uptime)) WHERE id = $2";

/// Makes the change and records the event, whose number it returns. After an error the caller must roll the transaction back.
pub(super) async fn apply(
    connection: &mut Connection,
    change: &Change,
    event: &Event,
    replica: &str,
    place: &Place,
) -> Result<i64, StoreError> {
    let made = match change {
        Change::AddUser(user, password) => add_user(connection, user, password.as_ref()).await,
        Change::SetPassword(id, password) => set_password(connection, *id, password).await,
        Change::SetRole(id, role) => {
            let query = sqlx::query("UPDATE users SET role = $1 WHERE id = $2").bind(role.stored());
            changed(query.bind(id.to_string()).execute(&mut *connection).await)
        }
        Change::SetEmail(id, email) => {
            let query = sqlx::query("UPDATE users SET email = $1 WHERE id = $2").bind(email);
            changed(query.bind(id.to_string()).execute(&mut *connection).await)
        }
        Change::SetGroups(id, groups) => set_groups(connection, *id, groups).await,
        Change::SetLimits(id, limits) => set_limits(connection, *id, limits).await,
        Change::SetAddresses(id, rules) => {
            let query = sqlx::query("UPDATE users SET addresses = $1 WHERE id = $2").bind(stored_rules(rules));
            changed(query.bind(id.to_string()).execute(&mut *connection).await)
        }
        Change::SetDisabled(id, disabled) => {
            let query = sqlx::query("UPDATE users SET disabled = $1 WHERE id = $2").bind(*disabled);
            changed(query.bind(id.to_string()).execute(&mut *connection).await)
        }
        Change::SetSuspended(what, suspension) => set_suspended(connection, what, suspension.as_deref()).await,
        Change::RemoveUser(id) => remove_user(connection, *id, event.at).await,
        Change::AddDevice(device) => add_device(connection, device).await,
        Change::RemoveDevice(key) => {
            let query = sqlx::query("DELETE FROM devices WHERE key = $1");
            changed(query.bind(key.line()).execute(&mut *connection).await)
        }
        Change::AddKey(key) => keys::add(connection, key).await,
        Change::RevokeKey(id, at) => {
            // A second revocation does not move the first.
            let query = sqlx::query(REVOKE).bind(*at);
            changed(query.bind(id.to_string()).execute(&mut *connection).await)
        }
        Change::ExpireKey(id, at) => {
            let statement = "UPDATE api_keys SET replaceable = FALSE, \
                             expires_at = CASE WHEN expires_at < $1 THEN expires_at ELSE $1 END WHERE id = $2";
            changed(sqlx::query(statement).bind(*at).bind(id.to_string()).execute(&mut *connection).await)
        }
        Change::SetMaintenance(maintenance) => maintenance::set(connection, maintenance.as_deref()).await,
        Change::AddInvitation(invitation) => invitations::add(connection, invitation).await,
        Change::UseInvitation(id, user, password) => use_invitation(connection, id, user, password).await,
        Change::RevokeInvitation(id, at) => invitations::revoke(connection, id, *at).await,
        Change::AddIdentity(user, identity) => add_identity(connection, user, identity).await,
        Change::NoteSignIn(id, at, token) => identities::note_sign_in(connection, *id, *at, token.as_ref()).await,
        Change::Note => Ok(()),
    };
    made.map_err(|error| explain_change(&error, change, place))?;
    events::record(connection, event, replica).await.map_err(|error| explain(place, &error, Doing::Write))
}

/// Records when credentials were last used. Deleted ones are skipped.
pub(super) async fn touch(connection: &mut Connection, uses: &[(Use, i64)]) -> Result<(), sqlx::Error> {
    for (credential, at) in uses {
        let (statement, id) = match credential {
            Use::Device(key) => (
                "UPDATE devices SET last_used_at = $1 WHERE key = $2 AND (last_used_at IS NULL OR last_used_at < $1)",
                key.line(),
            ),
            Use::Key(id) => (
                "UPDATE api_keys SET last_used_at = $1 WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $1)",
                id.to_string(),
            ),
        };
        sqlx::query(statement).bind(*at).bind(id).execute(&mut *connection).await?;
    }
    Ok(())
}

type Outcome = Result<<<Connection as sqlx::Connection>::Database as Database>::QueryResult, sqlx::Error>;

/// Fails if the statement changed no row.
fn changed(outcome: Outcome) -> Result<(), sqlx::Error> {
    if outcome?.rows_affected() == 0 { Err(sqlx::Error::RowNotFound) } else { Ok(()) }
}

async fn add_user(
    connection: &mut Connection,
    user: &User,
    password: Option<&PasswordHash>,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "INSERT INTO users (id, name, email, role, password, disabled, created_at, member_of, limits, addresses) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    );
    query
        .bind(user.id.to_string())
        .bind(&user.name)
        .bind(&user.email)
        .bind(user.role.stored())
        .bind(password.map(PasswordHash::expose))
        .bind(user.disabled)
        .bind(user.created_at)
        .bind(json(&user.groups, user.groups.is_empty())?)
        .bind(json(&user.limits, user.limits.is_none())?)
        .bind(stored_rules(&user.addresses))
        .execute(connection)
        .await
        .map(drop)
}

/// A value in JSON; NULL for one that `is_none`.
fn json(value: &impl serde::Serialize, is_none: bool) -> Result<Option<String>, sqlx::Error> {
    let text = (!is_none).then(|| serde_json::to_string(value)).transpose();
    text.map_err(|error| sqlx::Error::Encode(error.into()))
}

async fn set_groups(connection: &mut Connection, user: Uuid, groups: &[PolicyName]) -> Result<(), sqlx::Error> {
    let query = sqlx::query("UPDATE users SET member_of = $1 WHERE id = $2").bind(json(&groups, groups.is_empty())?);
    changed(query.bind(user.to_string()).execute(connection).await)
}

async fn set_limits(connection: &mut Connection, user: Uuid, limits: &RequestLimits) -> Result<(), sqlx::Error> {
    let query = sqlx::query("UPDATE users SET limits = $1 WHERE id = $2").bind(json(limits, limits.is_none())?);
    changed(query.bind(user.to_string()).execute(connection).await)
}

async fn use_invitation(
    connection: &mut Connection,
    id: &InvitationId,
    user: &User,
    password: &PasswordHash,
) -> Result<(), sqlx::Error> {
    invitations::note_use(connection, id, user).await?;
    add_user(connection, user, Some(password)).await
}

async fn add_identity(connection: &mut Connection, user: &User, identity: &Identity) -> Result<(), sqlx::Error> {
    add_user(connection, user, None).await?;
    identities::add(connection, identity).await
}

async fn set_password(connection: &mut Connection, user: Uuid, password: &PasswordHash) -> Result<(), sqlx::Error> {
    let query = sqlx::query("UPDATE users SET password = $1 WHERE id = $2").bind(password.expose());
    changed(query.bind(user.to_string()).execute(connection).await)
}

async fn set_suspended(
    connection: &mut Connection,
    what: &Suspendable,
    suspension: Option<&Suspension>,
) -> Result<(), sqlx::Error> {
    let (statement, id) = match what {
        Suspendable::User(id) => {
            ("UPDATE users SET suspended_at = $1, suspended_reason = $2 WHERE id = $3", id.to_string())
        }
        Suspendable::Device(key) => {
            ("UPDATE devices SET suspended_at = $1, suspended_reason = $2 WHERE key = $3", key.line())
        }
        Suspendable::Key(id) => {
            ("UPDATE api_keys SET suspended_at = $1, suspended_reason = $2 WHERE id = $3", id.to_string())
        }
    };
    let query = sqlx::query(statement).bind(suspension.map(|suspension| suspension.since));
    let query = query.bind(suspension.and_then(|suspension| suspension.reason.clone()));
    changed(query.bind(id).execute(connection).await)
}

/// At that Unix second. What remains of its keys is in `deleted_keys`.
async fn remove_user(connection: &mut Connection, user: Uuid, at: i64) -> Result<(), sqlx::Error> {
    let user = user.to_string();
    let keep = "INSERT INTO deleted_keys (id, hash, user_id, removed_at, removed_uptime) \
                SELECT id, hash, user_id, $1, (SELECT seconds FROM uptime) FROM api_keys WHERE user_id = $2";
    sqlx::query(keep).bind(at).bind(&user).execute(&mut *connection).await?;
    for statement in [
        "DELETE FROM api_keys WHERE user_id = $1",
        "DELETE FROM devices WHERE user_id = $1",
        "DELETE FROM last_uses WHERE account = $1",
    ] {
        sqlx::query(statement).bind(&user).execute(&mut *connection).await?;
    }
    changed(sqlx::query("DELETE FROM users WHERE id = $1").bind(&user).execute(&mut *connection).await)
}

async fn add_device(connection: &mut Connection, device: &Device) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "INSERT INTO devices (key, user_id, name, created_at, last_used_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (key) DO UPDATE SET user_id = excluded.user_id, name = excluded.name, \
         created_at = excluded.created_at, last_used_at = excluded.last_used_at",
    );
    query
        .bind(device.key.line())
        .bind(device.user.to_string())
        .bind(&device.name)
        .bind(device.created_at)
        .bind(device.last_used_at)
        .execute(connection)
        .await
        .map(drop)
}

fn explain_change(error: &sqlx::Error, change: &Change, place: &Place) -> StoreError {
    let what = match (taken(error), change) {
        (
            Some(Taken::UserName),
            Change::AddUser(user, _) | Change::UseInvitation(_, user, _) | Change::AddIdentity(user, _),
        ) => {
            format!("the name {}", user.name)
        }
        (Some(Taken::KeyId), Change::AddKey(key)) => format!("the id {}", key.id),
        (Some(Taken::KeyHash), _) => "that key".to_owned(),
        (Some(Taken::ExchangedToken), _) => return StoreError::Exchanged,
        (Some(_), _) => "the id".to_owned(),
        // Of a key that was deleted.
        (None, Change::AddKey(key)) if matches!(error, sqlx::Error::RowNotFound) => format!("the id {}", key.id),
        (None, _) if matches!(error, sqlx::Error::RowNotFound) => {
            return StoreError::Missing { place: place.0.clone() };
        }
        (None, _) => return explain(place, error, Doing::Write),
    };
    StoreError::Taken(what)
}

/// The columns that [`user`] reads.
macro_rules! select_users {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, email, role, disabled, created_at, suspended_at, suspended_reason, member_of, limits, \
             addresses \
             FROM users ",
            $rest
        )
    };
}
#[allow(unused_imports, reason = "one engine reads single accounts")]
pub(super) use select_users;

type UserRow = (
    String,
    String,
    String,
    String,
    bool,
    i64,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);
type DeviceRow = (String, String, String, i64, Option<i64>, Option<i64>, Option<String>);

/// The hash of an account's password.
pub(super) async fn password(connection: &mut Connection, user: Uuid) -> Result<Option<SecretString>, sqlx::Error> {
    let kept: Option<Option<String>> = sqlx::query_scalar("SELECT password FROM users WHERE id = $1")
        .bind(user.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(kept.flatten().map(SecretString::from))
}

/// Everything but passwords and events.
pub(super) async fn snapshot(connection: &mut Connection, place: &Place) -> Result<Snapshot, StoreError> {
    let failed = |error: sqlx::Error| explain(place, &error, Doing::Read);
    let users: Vec<UserRow> = sqlx::query_as(select_users!("")).fetch_all(&mut *connection).await.map_err(failed)?;
    let devices = "SELECT key, user_id, name, created_at, last_used_at, suspended_at, suspended_reason FROM devices";
    let devices: Vec<DeviceRow> = sqlx::query_as(devices).fetch_all(&mut *connection).await.map_err(failed)?;
    let (keys, ended) = keys::load(connection, place).await?;
    let invitations = invitations::all(connection, place).await?;
    let identities = identities::all(connection, place).await?;
    let maintenance = maintenance::find(connection, place).await?;
    Ok(Snapshot {
        users: users.into_iter().map(|row| user(row, place)).collect::<Result<_, _>>()?,
        devices: devices.into_iter().map(|row| device(row, place)).collect::<Result<_, _>>()?,
        keys,
        ended,
        invitations,
        identities,
        maintenance,
        ..Snapshot::default()
    })
}

pub(super) fn user(
    (id, name, email, role, disabled, created_at, suspended_at, reason, groups, limits, addresses): UserRow,
    place: &Place,
) -> Result<User, StoreError> {
    let suspended = suspension(suspended_at, reason);
    let broken = |what: &str| place.damaged(format!("the {what} of the user {id} cannot be read"));
    let groups = groups.map_or(Ok(Vec::new()), |text| serde_json::from_str(&text)).map_err(|_| broken("groups"))?;
    let limits = limits.map_or(Ok(RequestLimits::default()), |text| serde_json::from_str(&text));
    let limits = limits.map_err(|_| broken("limits"))?;
    let role = Role::from_stored(&role, &name).ok_or_else(|| place.damaged(format!("invalid role {role:?}")))?;
    let addresses = addresses.map_or(Ok(AddressRules::default()), |text| serde_json::from_str(&text));
    let addresses = addresses.map_err(|_| broken("addresses"))?;
    let id = place.parse(&id, "user")?;
    Ok(User { id, name, email, role, disabled, created_at, suspended, groups, limits, addresses })
}

pub(super) fn device(
    (key, user, name, created_at, last_used_at, suspended_at, reason): DeviceRow,
    place: &Place,
) -> Result<Device, StoreError> {
    let (key, user) = (place.parse(&key, "device")?, place.parse::<Uuid>(&user, "user")?);
    Ok(Device { key, user, name, created_at, last_used_at, suspended: suspension(suspended_at, reason) })
}

/// As a JSON object; nothing where every address is accepted.
fn stored_rules(rules: &AddressRules) -> Option<String> {
    (!rules.is_empty()).then(|| serde_json::json!(rules).to_string())
}

fn suspension(since: Option<i64>, reason: Option<String>) -> Option<Arc<Suspension>> {
    since.map(|since| Suspension { since, reason }.into())
}
