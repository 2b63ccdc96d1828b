//! What was used, as people and programs are shown it: totals with names, the most used first.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::{Deserialize, Serialize};

use super::period_text;
use crate::gateway::directory::Directory;
use crate::gateway::store::{StoreError, UsageGroup, UsagePeriod, UsageQuery, UsageRow, UsageTotals};
use crate::keyspec::KeyId;

/// What a row is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UsageBy {
    /// A person, or a workload.
    Person,
    /// An API key with its replacements, or a device.
    Key,
    /// A model.
    Model,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

/// A row: what it is for, and its sums. Members that it is not for are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageReportRow {
    /// The beginning of the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hour: Option<String>,
    /// The day, in the time zone of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// The account's name, if it has not been removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// The account's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person_id: Option<String>,
    /// The credential: `key:ID` (the first of its line of replacements), `device:FINGERPRINT` or `workload:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// What its owner calls it: untrusted text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_name: Option<String>,
    /// The model; empty for requests that the upstream server did not accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Requests that were forwarded.
    pub requests: u64,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Tokens that were generated.
    pub output_tokens: u64,
    /// Both.
    pub total_tokens: u64,
    /// How many of them are estimated.
    pub estimated_tokens: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that were cut off.
    pub cut_off: u64,
    /// Requests that their callers ended.
    pub cancelled: u64,
    /// Requests that a limit refused.
    pub refused: u64,
    /// The summed time of the requests, in milliseconds.
    pub busy_ms: u64,
    /// The bytes of the responses.
    pub bytes: u64,
}

/// The groups of a query.
pub fn groups(by: &[UsageBy]) -> UsageGroup {
    let has = |what| by.contains(&what);
    UsageGroup {
        period: has(UsageBy::Hour) || has(UsageBy::Day),
        account: has(UsageBy::Person),
        credential: has(UsageBy::Key),
        model: has(UsageBy::Model),
    }
}

/// Reads totals and puts names to them. Rows by time are in the order of time, others begin with the most tokens.
///
/// # Errors
/// [`StoreError`].
pub async fn report(directory: &Directory, query: UsageQuery) -> Result<Vec<UsageReportRow>, StoreError> {
    let (period, has_credentials) = (query.period, query.group.credential);
    let rows = directory.usage_totals(query).await?;
    let names = if has_credentials { CredentialNames::of(directory) } else { CredentialNames::default() };
    let mut named: Vec<_> = rows.into_iter().map(|row| named(directory, &names, row, period)).collect();
    // Stable: what is equal stays in the order of the store.
    named.sort_by(|a, b| {
        (&a.hour, &a.date)
            .cmp(&(&b.hour, &b.date))
            .then((b.total_tokens, b.requests).cmp(&(a.total_tokens, a.requests)))
    });
    Ok(named)
}

/// Adds rows up by one thing, the most used first.
pub fn sums(rows: &[UsageReportRow], by: UsageBy) -> Vec<UsageReportRow> {
    let mut sums: HashMap<Option<&str>, UsageReportRow> = HashMap::new();
    for row in rows {
        let what = match by {
            UsageBy::Person => row.person_id.as_deref(),
            UsageBy::Key => row.credential.as_deref(),
            UsageBy::Model => row.model.as_deref(),
            UsageBy::Hour => row.hour.as_deref(),
            UsageBy::Day => row.date.as_deref(),
        };
        match sums.entry(what) {
            Entry::Occupied(sum) => sum.into_mut().add(row),
            Entry::Vacant(place) => drop(place.insert(row.clone())),
        }
    }
    let mut sums: Vec<UsageReportRow> = sums.into_values().collect();
    sums.sort_by(|a, b| {
        let name = |row: &UsageReportRow| (row.person_id.clone(), row.credential.clone(), row.model.clone());
        (b.total_tokens, b.requests).cmp(&(a.total_tokens, a.requests)).then_with(|| name(a).cmp(&name(b)))
    });
    sums
}

impl UsageReportRow {
    /// Adds the numbers of another row.
    fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.requests, other.requests),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.total_tokens, other.total_tokens),
            (&mut self.estimated_tokens, other.estimated_tokens),
            (&mut self.failed, other.failed),
            (&mut self.cut_off, other.cut_off),
            (&mut self.cancelled, other.cancelled),
            (&mut self.refused, other.refused),
            (&mut self.busy_ms, other.busy_ms),
            (&mut self.bytes, other.bytes),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// What credentials are called.
#[derive(Default)]
struct CredentialNames {
    /// The newest key of a line of replacements, by the first.
    keys: HashMap<KeyId, String>,
    /// Devices by fingerprint.
    devices: HashMap<String, String>,
}

impl CredentialNames {
    fn of(directory: &Directory) -> Self {
        let devices = directory.devices();
        let devices = devices.iter().map(|device| (device.key.fingerprint(), device.name.clone())).collect();
        Self { keys: directory.key_line_names(), devices }
    }

    fn get(&self, credential: &str) -> Option<&String> {
        match credential.split_once(':')? {
            ("key", id) => self.keys.get(&id.parse().ok()?),
            ("device", fingerprint) => self.devices.get(fingerprint),
            _ => None,
        }
    }
}

fn named(directory: &Directory, names: &CredentialNames, row: UsageRow, period: UsagePeriod) -> UsageReportRow {
    let UsageTotals { requests, failed, cut, cancelled, refused, input, output, estimated, busy_ms, bytes } =
        row.totals;
    let text = |wanted| row.period.filter(|_| period == wanted).map(|number| period_text(period, number));
    let credential_name = row.credential.as_deref().and_then(|credential| names.get(credential).cloned());
    UsageReportRow {
        hour: text(UsagePeriod::Hour),
        date: text(UsagePeriod::Day),
        person: row.account.and_then(|id| directory.user(id)).map(|user| user.name.clone()),
        person_id: row.account.map(|id| id.to_string()),
        credential: row.credential,
        credential_name,
        model: row.model,
        requests,
        input_tokens: input,
        output_tokens: output,
        total_tokens: input.saturating_add(output),
        estimated_tokens: estimated,
        failed,
        cut_off: cut,
        cancelled,
        refused,
        busy_ms,
        bytes,
    }
}
