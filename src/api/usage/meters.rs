//! Amounts with a limit or a remainder, at any place in the answer: `{"weekly":{"used":3,"limit":10}}`, `[{"name":"weekly",…}]`,
//! `{"weekly_used":3,"weekly_limit":10}`, `{"balance":12.5,"currency":"USD"}`.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::fields::{Kind, MAX_DEPTH, MAX_ROWS, classify, model_name, read_number, read_time, shorten};

/// One amount.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Meter {
    /// What it is an amount of, in the host's words.
    pub name: String,
    /// How much is used.
    pub used: Option<f64>,
    /// How much there is.
    pub limit: Option<f64>,
    /// How much is left.
    pub left: Option<f64>,
    /// How much of it is used, of 100: as the host says, else worked out.
    pub percent: Option<f64>,
    /// What is counted.
    pub unit: Option<String>,
    /// When it resets.
    pub resets_at: Option<Timestamp>,
}

impl Meter {
    fn is_empty(&self) -> bool {
        self.used.is_none() && self.limit.is_none() && self.left.is_none() && self.percent.is_none()
    }

    fn complete(mut self) -> Self {
        let limit = self.limit.filter(|limit| *limit > 0.0);
        if self.used.is_none()
            && let (Some(limit), Some(left)) = (limit, self.left)
        {
            self.used = Some(limit - left).filter(|used| *used >= 0.0);
        }
        if self.left.is_none()
            && let (Some(limit), Some(used)) = (limit, self.used)
        {
            self.left = Some((limit - used).max(0.0));
        }
        if self.percent.is_none()
            && let (Some(limit), Some(used)) = (limit, self.used)
        {
            self.percent = Some(used / limit * 100.0);
        }
        self.percent =
            self.percent.map(|percent| (percent * 10.0).round() / 10.0).filter(|p| p.is_finite() && *p >= 0.0);
        self
    }
}

/// Every amount in an answer, in its order.
pub(super) fn read(name: &str, value: &Value) -> Vec<Meter> {
    let mut found = Vec::new();
    search(name, value, 0, &mut found);
    found
}

fn search(name: &str, value: &Value, depth: usize, found: &mut Vec<Meter>) {
    if depth > MAX_DEPTH || found.len() >= MAX_ROWS {
        return;
    }
    match value {
        // Numbers of a model are its usage.
        Value::Object(object) if model_name(object).is_some() => {}
        Value::Object(object) => {
            found.extend(object_meters(name, object));
            for (key, value) in object {
                search(&member_label(name, key, depth), value, depth + 1, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| search(name, value, depth + 1, found)),
        _ => {}
    }
}

/// The name for the nested values: the outermost object adds nothing.
fn member_label(name: &str, key: &str, depth: usize) -> String {
    let frame = ["data", "limits", "usage", "balance", "windows", "quotas", "items", "result"];
    let plain = key.replace(['_', '-'], " ");
    if frame.contains(&plain.to_ascii_lowercase().as_str()) {
        return name.to_owned();
    }
    if depth == 0 || frame.contains(&name) { shorten(&plain) } else { shorten(&format!("{name} {plain}")) }
}

/// The amounts of one object: one for each prefix of its members' names.
fn object_meters(name: &str, object: &Map<String, Value>) -> Vec<Meter> {
    let mut meters: Vec<(String, Meter)> = Vec::new();
    let mut label = None;
    let (mut unit, mut resets_at) = (None, None);
    for (key, value) in object {
        let Some((kind, prefix)) = classify(key) else { continue };
        if matches!(kind, Kind::Label | Kind::Unit) {
            let text = value.as_str().map(shorten).filter(|text| !text.is_empty());
            if kind == Kind::Label {
                label = label.or(text)
            } else {
                unit = unit.or(text)
            }
            continue;
        }
        if kind == Kind::Resets {
            let at = read_time(value);
            match meters.iter_mut().find(|(known, _)| *known == prefix) {
                Some((_, meter)) => meter.resets_at = at,
                None if prefix.is_empty() => resets_at = at,
                None => meters.push((prefix, Meter { resets_at: at, ..Meter::default() })),
            }
            continue;
        }
        let Some(number) = read_number(value) else { continue };
        let at = meters.iter().position(|(known, _)| *known == prefix).unwrap_or_else(|| {
            meters.push((prefix, Meter::default()));
            meters.len() - 1
        });
        let meter = &mut meters[at].1;
        let place = match kind {
            Kind::Used => &mut meter.used,
            Kind::Limit => &mut meter.limit,
            Kind::Left => &mut meter.left,
            _ => &mut meter.percent,
        };
        let number = if kind == Kind::Share { number * 100.0 } else { number };
        place.get_or_insert(number);
    }
    let label = label.unwrap_or_else(|| name.to_owned());
    let named = |prefix: String, meter: Meter| Meter {
        name: match prefix.is_empty() {
            true => label.clone(),
            false if ["balance", "usage"].contains(&label.as_str()) => prefix,
            false => format!("{label} {prefix}"),
        },
        unit: unit.clone(),
        resets_at: meter.resets_at.or(resets_at),
        ..meter
    };
    let meters = meters.into_iter().filter(|(_, meter)| !meter.is_empty());
    meters.map(|(prefix, meter)| named(prefix, meter).complete()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Row = (String, Option<f64>, Option<f64>, Option<f64>, Option<f64>);

    fn seen(value: &Value) -> Vec<Row> {
        let meters = read("balance", value).into_iter();
        meters.map(|meter| (meter.name, meter.used, meter.limit, meter.left, meter.percent)).collect()
    }

    #[test]
    fn one_amount_in_many_shapes() {
        let weekly = vec![("weekly".to_owned(), Some(3.0), Some(10.0), Some(7.0), Some(30.0))];
        for value in [
            json!({"weekly": {"used": 3, "limit": 10}}),
            json!({"data": {"weekly": {"used": "3", "quota": 10}}}),
            json!({"limits": [{"name": "weekly", "usage": 3, "max": 10, "resets_at": "2026-11-20T21:52:52Z"}]}),
            json!({"weekly_used": 3, "weekly_limit": 10}),
            json!({"weeklyUsed": 3, "weeklyLimit": 10, "weeklyRemaining": 7}),
            json!({"weekly": {"remaining": 7, "total": 10}}),
        ] {
            assert_eq!(seen(&value), weekly, "{value}");
        }
    }

    #[test]
    fn amounts_without_a_limit_and_shares() {
        assert_eq!(
            seen(&json!({"balance": 12.5, "currency": "USD"})),
            [("balance".into(), None, None, Some(12.5), None)]
        );
        assert_eq!(
            seen(&json!({"session": {"used_percent": 41.27}, "week": {"ratio": 0.5}})),
            [("session".into(), None, None, None, Some(41.3)), ("week".into(), None, None, None, Some(50.0))]
        );
    }

    #[test]
    fn malformed_answers_give_no_meters() {
        let mut deep = json!({"used": 1});
        for _ in 0..100 {
            deep = json!({ "x": deep });
        }
        for value in [json!(null), json!([]), json!("x"), json!({"used": null, "limit": []}), deep] {
            assert_eq!(seen(&value), [], "{value}");
        }
        let wide: Vec<Value> = (0..10_000).map(|n| json!({ "used": n })).collect();
        assert!(seen(&json!(wide)).len() <= MAX_ROWS);
        assert_eq!(seen(&json!({"used": 5, "limit": 0}))[0].4, None);
        assert_eq!(seen(&json!({"used": 1e308, "limit": 1e-308}))[0].4, None);
    }
}
