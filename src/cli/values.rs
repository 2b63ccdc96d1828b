//! Values with a form of their own.

use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::Value;

use crate::keyspec::Lifetime;

/// A positive span of time: `30s`, `10m`, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanArg(pub Duration);

impl FromStr for SpanArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || "it is a time such as 30s, 10m or 1h30m".to_owned();
        let span: SignedDuration = text.parse().map_err(|_| problem())?;
        let span = Duration::try_from(span).map_err(|_| problem())?;
        if span.is_zero() { Err(problem()) } else { Ok(Self(span)) }
    }
}

/// A span of time in seconds, in which days and weeks count too: `90d`, `1w`, `12h`, `0s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgeArg(pub u64);

impl FromStr for AgeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || "it is a time such as 90d, 12h, 30m or 0s".to_owned();
        let is_nothing = text.strip_suffix(['s', 'm', 'h', 'd', 'w']).unwrap_or(text);
        if !is_nothing.is_empty() && is_nothing.bytes().all(|byte| byte == b'0') {
            return Ok(Self(0));
        }
        match text.parse() {
            Ok(Lifetime::Seconds(seconds)) => Ok(Self(seconds)),
            Ok(Lifetime::Never) | Err(_) => Err(problem()),
        }
    }
}

/// How long a model stays loaded, in the form that the server reads: seconds with the unit `s`; negative means for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepAlive(pub String);

impl FromStr for KeepAlive {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(seconds) = text.parse::<i64>() {
            return Ok(Self(format!("{seconds}s")));
        }
        let span: SignedDuration =
            text.parse().map_err(|_| "it is a time such as 30s, 5m or 1h30m, or -1 for ever".to_owned())?;
        Ok(Self(format!("{}s", span.as_secs_f64())))
    }
}

/// A model parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOption {
    /// Its name, such as `temperature`.
    pub name: String,
    /// Its value: JSON where it is valid JSON, else the text.
    pub value: Value,
}

impl FromStr for ModelOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("it is NAME=VALUE, such as temperature=0.5")?;
        let name = name.trim();
        if name.is_empty() {
            return Err("the name is missing".to_owned());
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        Ok(Self { name: name.to_owned(), value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time() {
        let span = |text: &str| text.parse::<SpanArg>().map(|span| span.0.as_secs());
        assert_eq!(span("10m"), Ok(600));
        assert_eq!(span("1h30m"), Ok(5400));
        for bad in ["", "10", "-5s", "0s", "soon"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ages_have_days_and_may_be_nothing() {
        let age = |text: &str| text.parse::<AgeArg>().map(|age| age.0);
        assert_eq!((age("90d"), age("1w"), age("12h"), age("30m")), (Ok(7_776_000), Ok(604_800), Ok(43_200), Ok(1800)));
        assert_eq!((age("0"), age("0s"), age("0d")), (Ok(0), Ok(0), Ok(0)));
        for bad in ["", "s", "never", "-1d", "90", "1y", "d0"] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keepalive_is_sent_in_a_form_the_server_reads() {
        let sent = |text: &str| text.parse::<KeepAlive>().map(|value| value.0);
        assert_eq!(sent("5m"), Ok("300s".into()));
        assert_eq!(sent("-1"), Ok("-1s".into()));
        assert_eq!(sent("0"), Ok("0s".into()));
        assert_eq!(sent("1.5s"), Ok("1.5s".into()));
        assert!(sent("soon").is_err());
    }
}
