//! What ollama.com reports as used and left. The shape of its answers has changed several times, so members are recognised by name
//! and not by position: what looks like an amount, a limit or a remainder is shown under the name beside it, and members that are not
//! recognised are named. No answer makes this fail.

mod fields;
mod meters;
mod models;

use reqwest::Method;
use serde_json::Value;

use super::body::{Bounds, json};
use super::error::ApiError;
use super::session::Session;
use fields::{MAX_ROWS, classify, read_number, read_time, shorten, text_member};

pub use meters::Meter;
pub use models::ModelUse;

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
        let mut meters = meters::read(name, value);
        let models = if name == "usage" { models::read(value) } else { Vec::new() };
        // Numbers of a model are its row, not limits of the account.
        if !models.is_empty() {
            meters.retain(|meter| meter.percent.is_some());
        }
        report.plan = report.plan.take().or_else(|| text_member(value, &["plan", "tier", "subscription"]));
        report.not_understood.extend(unrecognised_members(name, value, !meters.is_empty() || !models.is_empty()));
        report.meters.extend(meters);
        report.models.extend(models);
    }
    report.meters.truncate(MAX_ROWS);
    report.models.truncate(MAX_ROWS);
    report
}

impl Session<'_> {
    /// `GET /api/balance`, as it is.
    ///
    /// # Errors
    /// No answer, a rejection, or one that is not JSON or longer than 8 MiB.
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

/// The top-level members that hold something and were not recognised. `any` says whether something else was.
fn unrecognised_members(from: &str, value: &Value, any: bool) -> Vec<String> {
    let Value::Object(object) = value else {
        let nothing = any || value.as_array().is_some_and(Vec::is_empty);
        return if nothing { Vec::new() } else { vec![from.to_owned()] };
    };
    let holds_nothing = |value: &Value| match value {
        Value::Null | Value::Bool(_) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    };
    let known = |name: &str, value: &Value| match value {
        // Text describes the numbers beside it, and is not a number itself.
        Value::String(_) => read_number(value).is_none() || classify(name).is_some(),
        Value::Number(_) => classify(name).is_some() || read_time(value).is_some(),
        other => !meters::read(name, other).is_empty() || !models::read(other).is_empty(),
    };
    let unknown = object.iter().filter(|(name, value)| !holds_nothing(value) && !known(name, value));
    unknown.take(20).map(|(name, _)| format!("{from}.{}", shorten(name))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_of_a_model_are_not_limits_of_the_account() {
        let value = json!({"data": [{"model": "a", "used_tokens": 5, "total_tokens": 30, "limit": 7}]});
        let report = read_usage(None, Some(&value));
        assert!(report.meters.is_empty() && report.models.len() == 1 && report.not_understood.is_empty(), "{report:?}");
    }
}
