//! How much a key, a person, a group, an environment, a model or a gateway may use: requests per minute, requests at a time, bytes of a
//! request, and tokens per hour, day and month.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::size::size_text;
use super::token_number::tokens_text;

/// The largest value of a limit of requests.
const MOST: u64 = 1_000_000;
/// The largest number of tokens.
pub const MOST_TOKENS: u64 = 1_000_000_000_000_000;

/// One limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Requests per minute.
    RequestsPerMinute,
    /// Requests at once, after a pause.
    Burst,
    /// Requests at the upstream server at a time.
    Streams,
    /// Bytes of a request's body.
    RequestSize,
    /// Tokens per hour, of prompts and answers.
    TokensPerHour,
    /// Tokens per day.
    TokensPerDay,
    /// Tokens per month.
    TokensPerMonth,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::RequestsPerMinute,
        Self::Burst,
        Self::Streams,
        Self::RequestSize,
        Self::TokensPerHour,
        Self::TokensPerDay,
        Self::TokensPerMonth,
    ];

    /// The budgets: limits of what is used in an hour, a day or a month of the calendar.
    pub const BUDGETS: [Self; 3] = [Self::TokensPerHour, Self::TokensPerDay, Self::TokensPerMonth];

    /// Its name on the command line and in forms: `rpm`, `burst`, `streams`, `size`, `tokens-per-hour`, `tokens-per-day`, `tokens-per-month`.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "rpm",
            Self::Burst => "burst",
            Self::Streams => "streams",
            Self::RequestSize => "size",
            Self::TokensPerHour => "tokens-per-hour",
            Self::TokensPerDay => "tokens-per-day",
            Self::TokensPerMonth => "tokens-per-month",
        }
    }

    /// Whether it is one of [`BUDGETS`](Self::BUDGETS).
    pub fn is_budget(self) -> bool {
        Self::BUDGETS.contains(&self)
    }
}

/// Why a limit cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LimitError {
    /// 0.
    #[error("0 would refuse every request; for no limit, leave it out")]
    Zero,
    /// More than a limit can be.
    #[error("the largest value is {0}")]
    TooLarge(u64),
    /// A burst without a rate.
    #[error("a burst needs a number of requests per minute")]
    BurstAlone,
}

/// The limits of one key, of a person, of each person with a role, of a group, of an environment, or of a gateway. What is `None` has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestLimits {
    /// Requests per minute, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<NonZeroU32>,
    /// Requests at once, after a pause; without it, those of one minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<NonZeroU32>,
    /// Requests at the upstream server at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<NonZeroU32>,
    /// Bytes of a request's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_size: Option<NonZeroU64>,
    /// Tokens per hour, of prompts and answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_hour: Option<NonZeroU64>,
    /// Tokens per day, which begins at midnight in the gateway's time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<NonZeroU64>,
    /// Tokens per calendar month in that time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_month: Option<NonZeroU64>,
    /// Whether a stream ends that uses more tokens than are left. Otherwise it may finish, and the next request is refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cuts_streams: bool,
}

impl RequestLimits {
    /// Whether there is no limit.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The value of one.
    pub fn get(&self, limit: Limit) -> Option<u64> {
        match limit {
            Limit::RequestsPerMinute => self.requests_per_minute.map(|number| number.get().into()),
            Limit::Burst => self.burst.map(|number| number.get().into()),
            Limit::Streams => self.streams.map(|number| number.get().into()),
            Limit::RequestSize => self.request_size.map(NonZeroU64::get),
            Limit::TokensPerHour => self.tokens_per_hour.map(NonZeroU64::get),
            Limit::TokensPerDay => self.tokens_per_day.map(NonZeroU64::get),
            Limit::TokensPerMonth => self.tokens_per_month.map(NonZeroU64::get),
        }
    }

    /// Sets one.
    ///
    /// # Errors
    /// [`LimitError::Zero`], [`LimitError::TooLarge`].
    pub fn set(&mut self, limit: Limit, value: u64) -> Result<(), LimitError> {
        let size = NonZeroU64::new(value).ok_or(LimitError::Zero)?;
        let number = u32::try_from(value).ok().filter(|_| value <= MOST).and_then(NonZeroU32::new);
        let number = number.ok_or(LimitError::TooLarge(MOST));
        if limit.is_budget() && value > MOST_TOKENS {
            return Err(LimitError::TooLarge(MOST_TOKENS));
        }
        match limit {
            Limit::RequestsPerMinute => self.requests_per_minute = Some(number?),
            Limit::Burst => self.burst = Some(number?),
            Limit::Streams => self.streams = Some(number?),
            Limit::RequestSize => self.request_size = Some(size),
            Limit::TokensPerHour => self.tokens_per_hour = Some(size),
            Limit::TokensPerDay => self.tokens_per_day = Some(size),
            Limit::TokensPerMonth => self.tokens_per_month = Some(size),
        }
        Ok(())
    }

    /// Checks what limits have to do with each other.
    ///
    /// # Errors
    /// [`LimitError::BurstAlone`].
    pub fn check(&self) -> Result<(), LimitError> {
        match self.burst.is_some() && self.requests_per_minute.is_none() {
            true => Err(LimitError::BurstAlone),
            false => Ok(()),
        }
    }

    /// All of them in words: `60 requests per minute, 2 requests at a time`.
    pub fn in_words(&self) -> String {
        let all = Limit::ALL.into_iter().filter_map(|limit| Some(phrase(limit, self.get(limit)?)));
        all.collect::<Vec<_>>().join(", ")
    }

    /// Whether there is a budget.
    pub fn has_budget(&self) -> bool {
        Limit::BUDGETS.into_iter().any(|limit| self.get(limit).is_some())
    }

    /// The others.
    #[must_use]
    pub fn without_budgets(self) -> Self {
        Self { tokens_per_hour: None, tokens_per_day: None, tokens_per_month: None, cuts_streams: false, ..self }
    }

    /// Requests per minute and requests at once.
    pub fn rate(&self) -> Option<(NonZeroU32, NonZeroU32)> {
        self.requests_per_minute.map(|rate| (rate, self.burst.unwrap_or(rate)))
    }

    /// With those of `parent` where it has none itself.
    #[must_use]
    pub fn or(self, parent: Self) -> Self {
        // The burst belongs to the rate, and is never more than the parent's.
        let burst = match (self.requests_per_minute, self.burst) {
            (_, Some(burst)) => Some(burst),
            (None, None) => parent.burst,
            (Some(rate), None) => parent.rate().map(|(_, most)| most).filter(|most| *most < rate),
        };
        Self {
            requests_per_minute: self.requests_per_minute.or(parent.requests_per_minute),
            burst,
            streams: self.streams.or(parent.streams),
            request_size: self.request_size.or(parent.request_size),
            tokens_per_hour: self.tokens_per_hour.or(parent.tokens_per_hour),
            tokens_per_day: self.tokens_per_day.or(parent.tokens_per_day),
            tokens_per_month: self.tokens_per_month.or(parent.tokens_per_month),
            cuts_streams: self.cuts_streams || parent.cuts_streams,
        }
    }

    /// The tighter one of each: both hold.
    #[must_use]
    pub fn tightest(self, other: Self) -> Self {
        fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
            one.into_iter().chain(other).min()
        }
        let rate = least(self.requests_per_minute, other.requests_per_minute);
        // A rate without a burst of its own has that of a minute.
        let burst = least(self.rate().map(|(_, burst)| burst), other.rate().map(|(_, burst)| burst));
        Self {
            requests_per_minute: rate,
            burst: burst.filter(|burst| Some(*burst) != rate),
            streams: least(self.streams, other.streams),
            request_size: least(self.request_size, other.request_size),
            tokens_per_hour: least(self.tokens_per_hour, other.tokens_per_hour),
            tokens_per_day: least(self.tokens_per_day, other.tokens_per_day),
            tokens_per_month: least(self.tokens_per_month, other.tokens_per_month),
            cuts_streams: self.cuts_streams || other.cuts_streams,
        }
    }

    /// Whether none is higher than `parent`'s.
    ///
    /// # Errors
    /// What the parent has, of the first that is.
    pub fn within(&self, parent: &Self) -> Result<(), String> {
        let is_within = |own: Option<u64>, parents: Option<u64>| match (own, parents) {
            (_, None) => true,
            (own, Some(parents)) => own.is_some_and(|own| own <= parents),
        };
        let burst = |limits: &Self| limits.rate().map(|(_, burst)| burst.get().into());
        for limit in Limit::ALL {
            let (own, parents) = match limit {
                Limit::Burst => (burst(self), burst(parent)),
                _ => (self.get(limit), parent.get(limit)),
            };
            if !is_within(own, parents) {
                return Err(parents.map(|parents| phrase(limit, parents)).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// What one of so many gateways allows of it: its part, but at least 1. Each request is at one gateway, so its size is not divided;
    /// budgets are not either, since gateways tell each other what was used.
    #[must_use]
    pub fn share(self, gateways: NonZeroU32) -> Self {
        let part = |number: NonZeroU32| NonZeroU32::new(number.get() / gateways).unwrap_or(NonZeroU32::MIN);
        Self {
            requests_per_minute: self.requests_per_minute.map(part),
            burst: self.burst.map(part),
            streams: self.streams.map(part),
            ..self
        }
    }
}

/// A limit in words: `60 requests per minute`, `2 requests at a time`.
pub fn phrase(limit: Limit, value: u64) -> String {
    let plural = if value == 1 { "" } else { "s" };
    match limit {
        Limit::RequestsPerMinute => format!("{value} request{plural} per minute"),
        Limit::Burst => format!("{value} request{plural} at once"),
        Limit::Streams => format!("{value} request{plural} at a time"),
        Limit::RequestSize => format!("requests of {}", size_text(value)),
        Limit::TokensPerHour => format!("{} token{plural} per hour", tokens_text(value)),
        Limit::TokensPerDay => format!("{} token{plural} per day", tokens_text(value)),
        Limit::TokensPerMonth => format!("{} token{plural} per month", tokens_text(value)),
    }
}

/// As on the command line: `rpm=60,streams=2`; nothing without limits.
impl RequestLimits {
    /// Each limit as it is written: `rpm=60`.
    pub(super) fn texts(&self) -> impl Iterator<Item = (Limit, String)> {
        Limit::ALL.into_iter().filter_map(|limit| {
            let value = self.get(limit)?;
            let text = match limit {
                Limit::RequestSize => format!("size={}", size_text(value).replace([' '], "").replace("bytes", "")),
                _ if limit.is_budget() => format!("{}={}", limit.name(), tokens_text(value)),
                _ => format!("{}={value}", limit.name()),
            };
            Some((limit, text))
        })
    }
}

impl fmt::Display for RequestLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().map(|(_, text)| text).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspec::LimitValue;

    fn limits(pairs: &[&str]) -> RequestLimits {
        let values: Vec<LimitValue> = pairs.iter().map(|pair| pair.parse().unwrap()).collect();
        RequestLimits::of(&values).unwrap()
    }

    #[test]
    fn a_limit_is_read_as_it_is_written() {
        for text in [
            "rpm=60",
            "rpm=60,burst=5,streams=2,size=1MiB",
            "size=1000",
            "streams=1",
            "tokens-per-hour=1",
            "size=9,tokens-per-hour=50k,tokens-per-day=1M,tokens-per-month=20G",
        ] {
            assert_eq!(limits(&text.split(',').collect::<Vec<_>>()).to_string(), text);
        }
        for (text, wanted) in [
            ("rpm", "NAME=VALUE"),
            ("rmp=1", "unknown limit \"rmp\": use rpm, burst, streams, size, tokens-per-hour, tokens-per-day"),
            ("tokens-per-day=0", "tokens-per-day: 0 would refuse every request"),
            ("tokens-per-day=1.5M", "tokens-per-day must be a number of tokens such as 1M"),
            ("tokens-per-day=1000001G", "largest value is 1000000000000000"),
            ("rpm=0", "rpm: 0 would refuse every request"),
            ("size=0MiB", "size: 0 would refuse"),
            ("rpm=1000001", "largest value is 1000000"),
            ("streams=-1", "must be a number"),
            ("streams=", "must be a number"),
            ("size=big", "a size such as 1MiB"),
        ] {
            let error = text.parse::<LimitValue>().unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        let all = limits(&["rpm=60", "burst=5", "streams=1", "size=1MiB"]);
        assert_eq!(
            all.in_words(),
            "60 requests per minute, 5 requests at once, 1 request at a time, requests of 1 MiB"
        );
        let budgets = limits(&["tokens-per-hour=1", "tokens-per-day=1500k", "tokens-per-month=1234567"]);
        assert_eq!(budgets.in_words(), "1 token per hour, 1500k tokens per day, 1234567 tokens per month");
        let read =
            |pairs: &[&str]| RequestLimits::of(&pairs.iter().map(|pair| pair.parse().unwrap()).collect::<Vec<_>>());
        assert_eq!(read(&["burst=5"]), Err(format!("burst: {}", LimitError::BurstAlone)));
        assert_eq!(read(&["rpm=5", "rpm=6"]), Err("rpm: it is given twice".to_owned()));
        assert!(read(&["burst=5", "rpm=1"]).is_ok());
    }

    #[test]
    fn a_part_is_a_part_in_every_respect() {
        let parent = limits(&["rpm=60", "burst=10", "streams=2", "size=1MiB"]);
        assert_eq!(parent.within(&parent), Ok(()));
        assert_eq!(limits(&["rpm=1", "burst=1", "streams=1", "size=1"]).within(&parent), Ok(()));
        assert_eq!(parent.within(&RequestLimits::default()), Ok(()));
        for (own, wanted) in [
            (limits(&[]), "60 requests per minute"),
            (limits(&["rpm=61", "burst=1", "streams=1", "size=1"]), "60 requests per minute"),
            (limits(&["rpm=60", "streams=1", "size=1"]), "10 requests at once"),
            (limits(&["rpm=10", "streams=3", "size=1"]), "2 requests at a time"),
            (limits(&["rpm=10", "streams=2", "size=2MiB"]), "requests of 1 MiB"),
        ] {
            assert_eq!(own.within(&parent), Err(wanted.to_owned()), "{own}");
        }
        // What is left out is the parent's, so it is within.
        for own in
            ["rpm=60", "rpm=5", "streams=1", "size=9"].map(|pair| limits(&[pair])).into_iter().chain([limits(&[])])
        {
            let child = own.or(parent);
            assert_eq!(child.within(&parent), Ok(()), "{own}");
            assert_eq!(own.or(child), child);
        }
        assert_eq!(limits(&["rpm=5"]).or(parent).to_string(), "rpm=5,streams=2,size=1MiB");
    }

    #[test]
    fn of_two_limits_the_tighter_one_holds() {
        for (one, other, both) in [
            (&[][..], &[][..], ""),
            (&["rpm=60"], &[], "rpm=60"),
            (&["rpm=60", "streams=2"], &["rpm=10", "size=9"], "rpm=10,streams=2,size=9"),
            (&["rpm=60", "burst=5"], &["rpm=10"], "rpm=10,burst=5"),
            (&["rpm=60", "burst=90"], &["rpm=70", "burst=80"], "rpm=60,burst=80"),
            (&["rpm=60", "burst=90"], &["rpm=70"], "rpm=60,burst=70"),
            (&["streams=1"], &["streams=2"], "streams=1"),
            (
                &["tokens-per-day=2M"],
                &["tokens-per-day=1M", "tokens-per-hour=9k"],
                "tokens-per-hour=9k,tokens-per-day=1M",
            ),
        ] {
            let (one, other) = (limits(one), limits(other));
            assert_eq!((one.tightest(other).to_string(), other.tightest(one).to_string()), (both.into(), both.into()));
        }
    }

    #[test]
    fn each_gateway_has_its_part_but_at_least_one() {
        let of =
            |gateways| limits(&["rpm=60", "streams=2", "size=9"]).share(NonZeroU32::new(gateways).unwrap()).to_string();
        assert_eq!(
            [1, 2, 3, 100].map(of),
            ["rpm=60,streams=2,size=9", "rpm=30,streams=1,size=9", "rpm=20,streams=1,size=9", "rpm=1,streams=1,size=9"]
        );
    }
}
