//! The tables of limits: `[limits]` of the gateway as a whole, and the member of that name of each role and each group.

use serde::de::{Deserialize, Deserializer, Error as _};

use super::value::{limit_number, limit_size};
use crate::keyspec::{Limit, RequestLimits};

/// A table as it is written.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table")]
struct Table {
    #[serde(deserialize_with = "limit_number")]
    requests_per_minute: Option<u64>,
    #[serde(deserialize_with = "limit_number")]
    burst: Option<u64>,
    #[serde(deserialize_with = "limit_number")]
    streams: Option<u64>,
    #[serde(deserialize_with = "limit_size")]
    request_size: Option<u64>,
}

/// A table of limits.
pub fn limits<'de, D: Deserializer<'de>>(value: D) -> Result<RequestLimits, D::Error> {
    let Table { requests_per_minute, burst, streams, request_size } = Table::deserialize(value)?;
    let mut limits = RequestLimits::default();
    let values = [requests_per_minute, burst, streams, request_size];
    for (limit, value) in Limit::ALL.into_iter().zip(values) {
        value.map_or(Ok(()), |value| limits.set(limit, value)).map_err(D::Error::custom)?;
    }
    limits.check().map_err(D::Error::custom)?;
    Ok(limits)
}

/// What a member of such a table must be, with an example.
pub fn expected(member: &str) -> Option<&'static str> {
    match member {
        "requests-per-minute" | "burst" => Some("a number from 1 to 1000000, such as 60"),
        "streams" => Some("a number from 1 to 1000000, such as 4"),
        "request-size" => Some("a size such as 1MiB"),
        "limits" => Some("a table with any of requests-per-minute, burst, streams and request-size"),
        _ => None,
    }
}
