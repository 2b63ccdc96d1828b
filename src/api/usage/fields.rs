//! Member names under which amounts have been seen or may come, and how their values are read.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Levels of nesting that are read; deeper ones are ignored.
pub(super) const MAX_DEPTH: usize = 8;
/// Rows that are shown at most.
pub(super) const MAX_ROWS: usize = 200;

/// What a member is, going by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Used,
    Limit,
    Left,
    /// Of 100.
    Percent,
    /// Of 1.
    Share,
    Resets,
    Unit,
    /// What the object is called.
    Label,
}

const KINDS: [(Kind, &[&str]); 8] = [
    (Kind::Used, &["used", "usage", "consumed", "spent", "current", "count", "spend"]),
    (Kind::Limit, &["limit", "max", "maximum", "quota", "total", "allowance", "included", "cap", "allotment"]),
    (Kind::Left, &["remaining", "left", "available", "balance", "remainder", "credit", "credits"]),
    (Kind::Percent, &["percent", "percentage", "pct", "utilization", "utilisation"]),
    (Kind::Share, &["ratio", "fraction", "share"]),
    (Kind::Resets, &["resets", "reset", "renews", "renewal", "refreshes"]),
    (Kind::Unit, &["unit", "units", "currency"]),
    (Kind::Label, &["name", "label", "window", "period", "type", "kind", "title"]),
];

/// Words that say nothing more about an amount.
const FILLERS: [&str; 8] = ["at", "amount", "value", "on", "in", "time", "current", "usage"];

/// The words of a name: `weeklyUsage_left` is `weekly`, `usage`, `left`.
pub(super) fn split_words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars().take(64) {
        let separates = !c.is_alphanumeric();
        if separates || (c.is_uppercase() && lower) {
            words.push(String::new());
        }
        if !separates && let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
        lower = c.is_lowercase() || c.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

fn kind_of_word(word: &str) -> Option<Kind> {
    KINDS.iter().find(|(_, names)| names.contains(&word)).map(|(kind, _)| *kind)
}

/// What a member is, and of what: `weekly_used` is what is used of `weekly`. The last word that says something decides, else
/// the first (`max_tokens`).
pub(super) fn classify(name: &str) -> Option<(Kind, String)> {
    let all = split_words(name);
    let telling: Vec<&String> =
        all.iter().filter(|word| !["at", "amount", "value", "on", "in"].contains(&word.as_str())).collect();
    let (kind, rest): (Kind, Vec<&String>) = if let Some(kind) = telling.last().and_then(|word| kind_of_word(word)) {
        (kind, telling[..telling.len() - 1].to_vec())
    } else {
        let (first, rest) = telling.split_first()?;
        (kind_of_word(first)?, rest.to_vec())
    };
    let rest: Vec<&str> = rest.into_iter().map(String::as_str).filter(|word| is_telling(word)).collect();
    Some((kind, rest.join(" ")))
}

/// In `used_percent` the first word adds nothing.
fn is_telling(word: &str) -> bool {
    !FILLERS.contains(&word) && !matches!(kind_of_word(word), Some(Kind::Used | Kind::Limit | Kind::Resets))
}

/// A number, or a text that is one.
pub(super) fn read_number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) if text.len() <= 40 => {
            text.trim().trim_start_matches('$').trim_end_matches('%').replace(',', "").parse().ok()
        }
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// A point in time: RFC 3339, or Unix time in seconds or milliseconds.
pub(super) fn read_time(value: &Value) -> Option<Timestamp> {
    if let Some(text) = value.as_str() {
        return text.parse().ok();
    }
    let number = value.as_i64().filter(|number| *number > 1_000_000_000)?;
    if number > 100_000_000_000 {
        Timestamp::from_millisecond(number).ok()
    } else {
        Timestamp::from_second(number).ok()
    }
}

/// A short text behind one of these names, at the top or one level below.
pub(super) fn text_member(value: &Value, names: &[&str]) -> Option<String> {
    let object = value.as_object()?;
    let here = |object: &Map<String, Value>| {
        names.iter().find_map(|name| {
            let (_, found) = object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
            let found = found.as_str().or_else(|| found.get("name").and_then(Value::as_str))?;
            Some(shorten(found)).filter(|text| !text.is_empty())
        })
    };
    here(object).or_else(|| object.values().filter_map(Value::as_object).find_map(here))
}

/// The beginning of a text that others made.
pub(super) fn shorten(text: &str) -> String {
    text.trim().chars().take(60).collect()
}

/// The model that an object is about, where it names one.
pub(super) fn model_name(object: &Map<String, Value>) -> Option<String> {
    let name = ["model", "model_name", "modelname", "model_id", "modelid", "group", "key"];
    let (_, model) = object.iter().find(|(key, _)| name.contains(&key.to_ascii_lowercase().as_str()))?;
    model.as_str().or_else(|| model.get("name").and_then(Value::as_str)).map(shorten)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_told_apart_by_their_words() {
        let of = |name: &str| classify(name);
        let is = |kind, rest: &str| Some((kind, rest.to_owned()));
        assert_eq!(of("used"), is(Kind::Used, ""));
        assert_eq!(of("weeklyUsed"), is(Kind::Used, "weekly"));
        assert_eq!(of("session_usage_percent"), is(Kind::Percent, "session"));
        assert_eq!(of("resets_at"), is(Kind::Resets, ""));
        assert_eq!(of("weekly_reset_at"), is(Kind::Resets, "weekly"));
        assert_eq!(of("max_tokens"), is(Kind::Limit, "tokens"));
        assert_eq!(of("tokens_remaining"), is(Kind::Left, "tokens"));
        assert_eq!(of("odd"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn numbers_and_times_come_in_several_forms() {
        assert_eq!(read_number(&json!("1,234.5")), Some(1234.5));
        assert_eq!(read_number(&json!("42%")), Some(42.0));
        assert_eq!(read_number(&json!("NaN")), None);
        assert_eq!(read_number(&json!("many")), None);
        let second = read_time(&json!(1_795_211_572)).unwrap();
        assert_eq!(read_time(&json!(1_795_211_572_000_i64)), Some(second));
        assert_eq!(read_time(&json!("2026-11-20T21:52:52Z")), Some(second));
        assert_eq!(read_time(&json!(i64::MAX)), None);
    }
}
