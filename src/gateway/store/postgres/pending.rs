//! Devices that ask for approval, shared by the gateways: the connect link of one works at every other.

use std::net::IpAddr;

use sqlx::Error;

use super::Connection;
use super::error::explain;
use crate::gateway::store::place::{Doing, Place};
use crate::gateway::store::{Record, SharedDevice, StoreError};
use crate::identity::PublicKey;

/// How long a request for approval, or a denial, counts.
const COUNTS_SECONDS: f64 = 600.0;

type Row = (String, String, i64, bool);

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT key, address, extract(epoch FROM clock_timestamp() - asked_at)::bigint, denied FROM pending_devices ",
            $rest
        )
    };
}

/// Notes that it asks.
pub(super) async fn add(connection: &mut Connection, key: &PublicKey, address: IpAddr) -> Result<(), Error> {
    // A denial outlasts further requests until its time is over.
    let statement = "INSERT INTO pending_devices (key, address) VALUES ($1, $2) \
                 ON CONFLICT (key) DO UPDATE SET address = excluded.address, \
                 denied = pending_devices.denied AND pending_devices.asked_at > clock_timestamp() - make_interval(secs => $3), \
                 asked_at = CASE WHEN pending_devices.denied \
                 AND pending_devices.asked_at > clock_timestamp() - make_interval(secs => $3) \
                 THEN pending_devices.asked_at ELSE excluded.asked_at END";
    let query = sqlx::query(statement).bind(key.line()).bind(address.to_string()).bind(COUNTS_SECONDS);
    query.execute(connection).await.map(drop)
}

/// Notes that a person said no to it.
pub(super) async fn deny(connection: &mut Connection, key: &PublicKey) -> Result<(), Error> {
    let query = sqlx::query("UPDATE pending_devices SET denied = TRUE WHERE key = $1");
    query.bind(key.line()).execute(connection).await.map(drop)
}

/// All that count.
pub(super) async fn all(connection: &mut Connection, place: &Place) -> Result<Vec<Record>, StoreError> {
    let query =
        sqlx::query_as(select!("WHERE asked_at > clock_timestamp() - make_interval(secs => $1) ORDER BY asked_at"));
    let rows: Result<Vec<Row>, Error> = query.bind(COUNTS_SECONDS).fetch_all(connection).await;
    let rows = rows.map_err(|error| explain(place, &error, Doing::Read))?;
    rows.into_iter().map(|row| device(row, place).map(Record::PendingDevice)).collect()
}

/// The one with that key.
pub(super) async fn find(
    connection: &mut Connection,
    key: &str,
    place: &Place,
) -> Result<Option<SharedDevice>, StoreError> {
    let row = sqlx::query_as(select!("WHERE key = $1")).bind(key).fetch_optional(connection).await;
    let row: Option<Row> = row.map_err(|error| explain(place, &error, Doing::Read))?;
    row.map(|row| device(row, place)).transpose()
}

/// Deletes one that was approved.
pub(super) async fn settle(connection: &mut Connection, key: &PublicKey) -> Result<(), Error> {
    sqlx::query("DELETE FROM pending_devices WHERE key = $1").bind(key.line()).execute(connection).await.map(drop)
}

/// Deletes those that do not count any more.
pub(super) async fn sweep(connection: &mut Connection) -> Result<(), Error> {
    let statement = "DELETE FROM pending_devices WHERE asked_at <= clock_timestamp() - make_interval(secs => $1)";
    sqlx::query(statement).bind(COUNTS_SECONDS).execute(connection).await.map(drop)
}

fn device((key, address, age, denied): Row, place: &Place) -> Result<SharedDevice, StoreError> {
    let address: IpAddr = place.parse(&address, "address")?;
    Ok(SharedDevice { key: place.parse(&key, "device")?, address, age: age.max(0), denied })
}
