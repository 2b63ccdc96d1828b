//! The question of `gateway usage` and its answer, as the admin socket carries them.

use serde::{Deserialize, Serialize};

use crate::gateway::usage::{UsageBy, UsageReportRow, UsageTime};

/// What is asked about usage.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct UsageQuestion {
    /// What a row is for.
    pub by: Vec<UsageBy>,
    /// From when on.
    pub since: UsageTime,
    /// Until before when; `None`: through this hour or day.
    pub until: Option<UsageTime>,
    /// Only of the account of that name.
    pub user: Option<String>,
    /// The time zone of the configuration that the command has read, for when no gateway runs.
    pub time_zone: String,
}

/// What was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct UsageReply {
    /// The first hour or day.
    pub from: String,
    /// The first that is not in it any more.
    pub until: String,
    /// The time zone of both.
    pub time_zone: String,
    /// The sums.
    pub rows: Vec<UsageReportRow>,
}
