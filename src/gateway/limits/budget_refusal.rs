//! How a caller is told that a budget is used up: 429, and when it renews.

use std::borrow::Cow;

use jiff::Timestamp;

use super::applicable_budgets::BudgetOwner;
use super::budgets::BudgetState;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::keyspec::{Limit, phrase};

impl BudgetOwner {
    /// In words, from the caller's side.
    pub fn words(&self) -> Cow<'static, str> {
        match self {
            Self::Subject(subject) => subject.words(),
            Self::Models(pattern) => format!("the models {pattern}").into(),
        }
    }

    /// The name of its policy.
    fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Subject(subject) => subject.name(),
            Self::Models(pattern) => format!("model:{pattern}").into(),
        }
    }
}

impl BudgetState {
    /// When it renews, as RFC 3339.
    pub fn renewal(&self) -> String {
        Timestamp::from_second(self.renews_at).unwrap_or_default().to_string()
    }
}

/// The refusal of a request whose budget is used up.
pub fn budget_refusal(state: &BudgetState, now: i64) -> Rejection {
    let (renewal, seconds) = (state.renewal(), state.renews_at.saturating_sub(now).max(1));
    let limit = phrase(state.budget, state.limit);
    let message = format!("the budget of {}, {limit}, is used up; it renews at {renewal}", state.owner.words());
    let (name, window) = match state.budget {
        Limit::TokensPerHour => ("hour", ";w=3600"),
        Limit::TokensPerDay => ("day", ";w=86400"),
        // Months are not equally long.
        _ => ("month", ""),
    };
    let name = format!("\"{}:{name}\"", state.owner.name());
    Rejection::new(429, message)
        .because(RefusalCode::Budget)
        .member("renews_at", renewal)
        .header("retry-after", &seconds.to_string())
        .header("ratelimit-policy", &format!("{name};q={};qu=\"tokens\"{window}", state.limit))
        .header("ratelimit", &format!("{name};r=0;t={seconds}"))
}
