//! How much of an API key's limits is used at the moment.

use serde::{Deserialize, Serialize};

use super::{Limit, RequestLimits, phrase, tokens_text};

/// What a key and those that replace it use at one gateway. `None` where there is no such limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitUse {
    /// The requests of the burst that are not free again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// The requests at the upstream server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<u64>,
    /// The tokens of this hour, of all gateways together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_hour: Option<u64>,
    /// The tokens of this day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// The tokens of this month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_month: Option<u64>,
}

impl LimitUse {
    /// What is used of a budget.
    pub fn tokens(self, budget: Limit) -> Option<u64> {
        match budget {
            Limit::TokensPerHour => self.tokens_per_hour,
            Limit::TokensPerDay => self.tokens_per_day,
            Limit::TokensPerMonth => self.tokens_per_month,
            _ => None,
        }
    }

    /// The limits as a table shows them, each with what is used of it: `rpm=60 (12 used),streams=2 (1 used)`.
    pub fn beside(self, limits: RequestLimits) -> String {
        let of_rate = if limits.burst.is_some() { Limit::Burst } else { Limit::RequestsPerMinute };
        let texts = limits.texts().map(|(limit, text)| {
            let used = match limit {
                Limit::Streams => self.streams,
                _ if limit == of_rate => self.requests,
                _ => self.tokens(limit),
            };
            match used {
                None | Some(0) => text,
                Some(used) => format!("{text} ({used} used)"),
            }
        });
        texts.collect::<Vec<_>>().join(",")
    }

    /// The same for a page: `12 of 60 requests, 1 of 2 at a time`; nothing if no such limit is there.
    pub fn in_words(self, limits: RequestLimits) -> Option<String> {
        let requests = self.requests.zip(limits.rate()).map(|(used, (_, burst))| format!("{used} of {burst} requests"));
        let streams = self.streams.zip(limits.streams).map(|(used, most)| format!("{used} of {most} at a time"));
        let tokens = Limit::BUDGETS.into_iter().filter_map(|budget| {
            let (used, most) = (self.tokens(budget)?, limits.get(budget)?);
            Some(format!("{} of {}", tokens_text(used), phrase(budget, most)))
        });
        let words: Vec<String> = requests.into_iter().chain(streams).chain(tokens).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_is_shown_beside_the_limit_that_it_is_of() {
        let limits = |json: &str| serde_json::from_str::<RequestLimits>(json).unwrap();
        let used = LimitUse { requests: Some(12), streams: Some(1), ..LimitUse::default() };
        let both = limits(r#"{"requests_per_minute":60,"streams":2,"request_size":1000}"#);
        assert_eq!(used.beside(both), "rpm=60 (12 used),streams=2 (1 used),size=1000");
        assert_eq!(used.in_words(both).unwrap(), "12 of 60 requests, 1 of 2 at a time");
        let burst = limits(r#"{"requests_per_minute":60,"burst":20}"#);
        assert_eq!(LimitUse { streams: None, ..used }.beside(burst), "rpm=60,burst=20 (12 used)");
        assert_eq!(used.in_words(burst).unwrap(), "12 of 20 requests");
        let day = limits(r#"{"tokens_per_day":1000000}"#);
        let used = LimitUse { tokens_per_day: Some(1234), ..LimitUse::default() };
        assert_eq!(used.beside(day), "tokens-per-day=1M (1234 used)");
        assert_eq!(used.in_words(day).unwrap(), "1234 of 1M tokens per day");
        let none = LimitUse::default();
        assert_eq!((none.beside(both), none.in_words(both)), (both.to_string(), None));
    }
}
