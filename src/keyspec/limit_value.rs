//! A limit as it is typed: `rpm=60`, `tokens-per-day=1M`.

use std::str::FromStr;

use super::limits::{Limit, RequestLimits};
use super::size::parse_size;
use super::token_number::parse_tokens;

/// `NAME=VALUE`: one limit and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitValue {
    /// Which.
    pub limit: Limit,
    /// How much.
    pub value: u64,
}

impl RequestLimits {
    /// Those that were written one by one.
    ///
    /// # Errors
    /// In words, for one that is given twice or is no limit.
    pub fn of(values: &[LimitValue]) -> Result<Self, String> {
        let mut limits = Self::default();
        for LimitValue { limit, value } in values {
            let name = limit.name();
            if limits.get(*limit).is_some() {
                return Err(format!("{name}: it is given twice"));
            }
            limits.set(*limit, *value).map_err(|error| format!("{name}: {error}"))?;
        }
        limits.check().map_err(|error| format!("{}: {error}", Limit::Burst.name()))?;
        Ok(limits)
    }
}

impl FromStr for LimitValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Limit::ALL.map(Limit::name).join(", ");
        let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, such as rpm=60")?;
        let limit = Limit::ALL.into_iter().find(|limit| limit.name() == name.trim());
        let limit = limit.ok_or_else(|| format!("unknown limit {:?}: use {}", name.trim(), names()))?;
        let value = value.trim();
        let number = match limit {
            Limit::RequestSize => parse_size(value),
            _ if limit.is_budget() => parse_tokens(value),
            _ if value.bytes().all(|byte| byte.is_ascii_digit()) => value.parse().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| match limit {
            Limit::RequestSize => "size must be a size such as 1MiB".to_owned(),
            _ if limit.is_budget() => format!("{} must be a number of tokens such as 1M", limit.name()),
            _ => format!("{} must be a number such as 60", limit.name()),
        })?;
        RequestLimits::default().set(limit, number).map_err(|error| format!("{}: {error}", limit.name()))?;
        Ok(Self { limit, value: number })
    }
}
