//! The tables of limits: `[limits]` of the gateway as a whole, and the member of that name of each role, group, environment and workload
//! rule.

use serde::de::{Deserialize, Deserializer, Error as _};

use super::value::{limit_number, limit_size, limit_tokens};
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
    #[serde(deserialize_with = "limit_tokens")]
    tokens_per_hour: Option<u64>,
    #[serde(deserialize_with = "limit_tokens")]
    tokens_per_day: Option<u64>,
    #[serde(deserialize_with = "limit_tokens")]
    tokens_per_month: Option<u64>,
    on_exceed: OnExceed,
}

/// What becomes of a stream that uses more tokens than its budget has left.
#[derive(Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OnExceed {
    /// It goes on, and the next request is refused.
    #[default]
    Finish,
    /// It ends there.
    Cut,
}

/// A table of limits.
pub fn limits<'de, D: Deserializer<'de>>(value: D) -> Result<RequestLimits, D::Error> {
    let table = Table::deserialize(value)?;
    let Table { requests_per_minute, burst, streams, request_size, .. } = table;
    let Table { tokens_per_hour, tokens_per_day, tokens_per_month, on_exceed, .. } = table;
    let mut limits = RequestLimits::default();
    let values = [requests_per_minute, burst, streams, request_size, tokens_per_hour, tokens_per_day, tokens_per_month];
    for (limit, value) in Limit::ALL.into_iter().zip(values) {
        value.map_or(Ok(()), |value| limits.set(limit, value)).map_err(D::Error::custom)?;
    }
    limits.check().map_err(D::Error::custom)?;
    limits.cuts_streams = on_exceed == OnExceed::Cut;
    if limits.cuts_streams && !limits.has_budget() {
        return Err(D::Error::custom(
            "on-exceed says what becomes of streams that use up a budget: add tokens-per-hour, tokens-per-day or tokens-per-month",
        ));
    }
    Ok(limits)
}

/// A table of limits within another one.
pub struct Limits(pub RequestLimits);

impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        limits(value).map(Self)
    }
}

/// What a member of such a table must be, with an example.
pub fn expected(member: &str) -> Option<&'static str> {
    match member {
        "requests-per-minute" | "burst" => Some("a number from 1 to 1000000, such as 60"),
        "streams" => Some("a number from 1 to 1000000, such as 4"),
        "request-size" => Some("a size such as 1MiB"),
        "tokens-per-hour" | "tokens-per-day" | "tokens-per-month" => Some("a number of tokens such as \"1M\""),
        "on-exceed" => Some("finish or cut"),
        "limits" => Some(
            "a table with any of requests-per-minute, burst, streams, request-size, tokens-per-hour, tokens-per-day, tokens-per-month and on-exceed",
        ),
        _ => None,
    }
}
