//! What ollama.com says is used and left. The shape of its answers has changed several times, so they are read by what their
//! members are called and not by where they stand: whatever looks like an amount, a limit or a remainder is shown under the
//! name that stands beside it, and what cannot be understood is named. Nothing that is sent can make this fail.

mod balance;
mod models;
mod words;

use reqwest::Method;
use serde_json::Value;

use super::body::{Bounds, json};
use super::error::ApiError;
use super::session::Session;

pub use balance::Meter;
pub use models::ModelUse;

/// Deeper than this nothing is looked for.
const DEEPEST: usize = 8;
/// More than so many rows are not shown.
const MOST: usize = 200;

/// What was understood.
#[derive(Debug, Default)]
pub struct UsageReport {
    /// The plan, where one is named.
    pub plan: Option<String>,
    /// Amounts with a limit, or a remainder.
    pub meters: Vec<Meter>,
    /// Use by model, the most used first.
    pub models: Vec<ModelUse>,
    /// The names of members that hold something that was not understood, such as `balance.odd`.
    pub not_understood: Vec<String>,
}

/// Reads both answers; either may be missing.
pub fn read_usage(balance: Option<&Value>, usage: Option<&Value>) -> UsageReport {
    let mut report = UsageReport::default();
    for (name, value) in [("balance", balance), ("usage", usage)] {
        let Some(value) = value else { continue };
        let mut meters = balance::read(name, value);
        let models = if name == "usage" { models::read(value) } else { Vec::new() };
        // Numbers of a model are its row, not limits of the account.
        if !models.is_empty() {
            meters.retain(|meter| meter.percent.is_some());
        }
        report.plan = report.plan.take().or_else(|| words::text(value, &["plan", "tier", "subscription"]));
        report.not_understood.extend(words::unknown(name, value, !meters.is_empty() || !models.is_empty()));
        report.meters.extend(meters);
        report.models.extend(models);
    }
    report.meters.truncate(MOST);
    report.models.truncate(MOST);
    report
}

impl Session<'_> {
    /// `GET /api/balance`, as it is.
    ///
    /// # Errors
    /// No answer, a rejection, or one that is no JSON or longer than 8 MiB.
    pub async fn balance(&self) -> Result<Value, ApiError> {
        let response = self.request(Method::GET, "/api/balance").harmless().send().await?;
        json(response, &self.base().to_string(), Bounds::KEYS).await
    }

    /// `GET /api/usage` by model, for `24h`, `7d` or `30d`, of oneself or of the `team`, as it is.
    ///
    /// # Errors
    /// As for [`Session::balance`].
    pub async fn usage(&self, range: &str, team: bool) -> Result<Value, ApiError> {
        let request = self.request(Method::GET, "/api/usage").harmless();
        let request = request.query("range", range).query("scope", if team { "team" } else { "self" });
        let response = request.query("group_by", "model").send().await?;
        json(response, &self.base().to_string(), Bounds::KEYS).await
    }
}
