//! `GET /api/usage` and `GET /api/balance`: what was used and what is left, in the form that `ollama-auth usage` reads.
//!
//! Whose use it is: that of the account, or with `scope=team` of all. An API key sees its own, with that of its whole line of replacements,
//! unless it has the scopes `usage:read` and `keys`. A workload sees that of its rule.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::json;

use super::service::{AccountService, own_key};
use crate::gateway::authn::{Caller, Credential};
use crate::gateway::limits::{Applicable, BudgetOwner, Subject, Used, budgets_of, budgets_of_models};
use crate::gateway::local_day::day_of;
use crate::gateway::rejection::{Rejection, json_response};
use crate::gateway::store::{StoreError, UsagePeriod, UsageQuery};
use crate::gateway::target::Target;
use crate::gateway::usage::{UsageBy, credential_names, groups, report};
use crate::keyspec::Scope;

/// In seconds.
const HOUR: i64 = 3600;

impl AccountService {
    /// What was used.
    ///
    /// # Errors
    /// 400 for parameters that make no sense, 403 for the use of all without the right to see it, 401 or 403 for a credential that ended
    /// meanwhile, 429 for too many questions, 503 when it cannot be read.
    pub(super) async fn usage(&self, caller: &Caller, target: &Target<'_>) -> Result<Response<Body>, Rejection> {
        let range = target.parameter("range").unwrap_or("7d");
        let by = target.parameter("group_by").unwrap_or("model");
        let group = match by {
            "model" => UsageBy::Model,
            "key" => UsageBy::Key,
            "person" => UsageBy::Person,
            "hour" => UsageBy::Hour,
            "day" => UsageBy::Day,
            _ => return Err(Rejection::new(400, "group_by must be model, key, person, hour or day")),
        };
        let is_team = match target.parameter("scope").unwrap_or("self") {
            "self" => false,
            "team" => true,
            _ => return Err(Rejection::new(400, "scope must be self or team")),
        };
        if is_team {
            require_team(caller)?;
        }
        self.count_usage_question(caller.user().id)?;
        let now = self.clock.now();
        let zone = self.config.get().time_zone.clone();
        let (hour, today) = (now.div_euclid(HOUR), day_of(now, &zone));
        let (period, periods) = match (range, group) {
            ("7d" | "30d", UsageBy::Hour) => return Err(Rejection::new(400, "group_by=hour needs range=24h")),
            ("24h", UsageBy::Day) => (UsagePeriod::Day, today - 1..today + 1),
            ("24h", _) => (UsagePeriod::Hour, hour - 23..hour + 1),
            ("7d", _) => (UsagePeriod::Day, today - 6..today + 1),
            ("30d", _) => (UsagePeriod::Day, today - 29..today + 1),
            _ => return Err(Rejection::new(400, "range must be 24h, 7d or 30d")),
        };
        let query = UsageQuery {
            period,
            periods,
            account: (!is_team).then(|| caller.user().id),
            credential: (!is_team && sees_itself_only(caller)).then(|| credential_names(caller).1),
            model: None,
            group: groups(&[group]),
        };
        let mut data = report(&self.directory, query).await.map_err(|error| unreadable(&error))?;
        // It may have waited for others.
        if !caller.holds(&self.directory, self.clock.now()) {
            return Err(caller.refusal(&self.directory));
        }
        for row in &mut data {
            // Clients take an empty name for none.
            row.model = row.model.take().map(|model| if model.is_empty() { "(none)".to_owned() } else { model });
        }
        let scope = if is_team { "team" } else { "self" };
        let answer = json!({ "range": range, "scope": scope, "group_by": by, "data": data });
        Ok(json_response(StatusCode::OK, &answer))
    }

    /// What is left of the limits that apply to a caller. A caller that sees itself only is not told what others use of limits that it shares with
    /// them.
    ///
    /// # Errors
    /// 429 for too many questions.
    pub(super) fn balance(&self, caller: &Caller) -> Result<Response<Body>, Rejection> {
        self.count_usage_question(caller.user().id)?;
        let is_shown = |subject| !sees_itself_only(caller) || subject == Subject::Key;
        let current = self.config.get();
        let applicable = Applicable::new(caller.user(), caller.role(), own_key(caller), caller.environment(), &current);
        let mut limits = Vec::new();
        for Used { subject, limits: most, requests, streams, .. } in
            self.limiter.used(&applicable, || self.clock.elapsed())
        {
            let name = subject.words();
            let mut push = |what: &str, used: Option<u64>, limit: Option<u64>| {
                let (Some(used), Some(limit)) = (used, limit) else { return };
                let mut entry = json!({ "name": format!("{name}: {what}"), "limit": limit });
                if is_shown(subject) {
                    entry["used"] = used.into();
                    entry["remaining"] = limit.saturating_sub(used).into();
                }
                limits.push(entry);
            };
            push("requests", requests, most.rate().map(|(_, burst)| u64::from(burst.get())));
            push("streams", streams.map(u64::from), most.streams.map(|most| u64::from(most.get())));
        }
        let mut budgets = budgets_of(&applicable);
        budgets.extend(budgets_of_models(&current.model_limits, |pattern| {
            caller.models(Scope::Inference).covers(pattern)
        }));
        for state in self.budgets.states(&budgets) {
            let is_shown = match state.owner {
                BudgetOwner::Subject(subject) => is_shown(subject),
                BudgetOwner::Models(_) => !sees_itself_only(caller),
            };
            let mut entry = json!({
                "name": format!("{}: {}", state.owner.words(), state.budget.name().replace('-', " ")),
                "limit": state.limit,
                "unit": "tokens",
                "resets_at": state.renewal(),
            });
            if is_shown {
                entry["used"] = state.used.into();
                entry["remaining"] = state.left().into();
            }
            limits.push(entry);
        }
        Ok(json_response(StatusCode::OK, &json!({ "limits": limits })))
    }
}

/// 403 without the right to see what all use.
fn require_team(caller: &Caller) -> Result<(), Rejection> {
    let (sees_all, message) = match caller.credential() {
        Credential::Key(_) => (
            has_proven(caller, Scope::UsageRead) && has_proven(caller, Scope::Admin),
            "scope=team needs a key with the scopes usage:read and admin, of an administrator",
        ),
        Credential::Device(_) | Credential::Session(_) => (
            caller.role().audit && has_proven(caller, Scope::UsageRead),
            "scope=team needs a role with audit = true, such as admin or auditor",
        ),
        Credential::Workload(_) => (false, "a workload cannot read what others use"),
    };
    if sees_all { Ok(()) } else { Err(Rejection::new(403, message)) }
}

/// Whether it has a scope, and every proof that is demanded for it.
fn has_proven(caller: &Caller, scope: Scope) -> bool {
    caller.rights().scopes.contains(scope) && caller.missing_proof(scope).is_none()
}

/// Whether it is told of its own use alone, instead of that of its account.
fn sees_itself_only(caller: &Caller) -> bool {
    match caller.credential() {
        Credential::Key(_) => !has_proven(caller, Scope::Keys) || !has_proven(caller, Scope::UsageRead),
        Credential::Workload(_) => true,
        Credential::Device(_) | Credential::Session(_) => false,
    }
}

fn unreadable(error: &StoreError) -> Rejection {
    tracing::error!(%error, "usage could not be read");
    Rejection::new(503, "usage cannot be read now").header("retry-after", "10")
}
