//! Use by model: `{"data":[{"model":"m","requests":3,…}]}`, in time slices or not, or `{"models":{"m":{…}}}`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::fields::{MAX_DEPTH, model_name, read_number, shorten, split_words};

/// What a model was used for.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ModelUse {
    /// The model.
    pub model: String,
    /// Requests.
    pub requests: Option<f64>,
    /// Tokens that were read.
    pub input_tokens: Option<f64>,
    /// Tokens that were written.
    pub output_tokens: Option<f64>,
    /// Both: as the host says, else their sum.
    pub tokens: Option<f64>,
    /// What it cost, in whatever the host counts in.
    pub cost: Option<f64>,
}

/// More models than this are not listed separately.
const DISTINCT: usize = 1000;

/// Rows that were found in places of the same form, such as `.data[].results[]`.
type Group = (usize, String, Vec<ModelUse>);

/// The rows of an answer, the most used first. Where rows are in places of different form (totals and what makes them up),
/// only those nearest to the top are counted; those of one form are added up (slices of time).
pub(super) fn read(value: &Value) -> Vec<ModelUse> {
    let mut groups = Vec::new();
    search(value, 0, String::new(), &mut groups);
    let Some((.., rows)) = groups.into_iter().min_by_key(|(depth, ..)| *depth) else {
        return Vec::new();
    };
    let mut sums: Vec<ModelUse> = Vec::new();
    for row in rows {
        match sums.iter().position(|sum| sum.model == row.model) {
            Some(at) => sums[at].add(&row),
            None if sums.len() < DISTINCT => sums.push(row),
            None => {}
        }
    }
    for row in &mut sums {
        let parts = row.input_tokens.zip(row.output_tokens).map(|(read, written)| read + written);
        row.tokens = row.tokens.or(parts).or(row.input_tokens).or(row.output_tokens);
    }
    sums.sort_by(|left, right| right.weight().total_cmp(&left.weight()));
    sums
}

impl ModelUse {
    fn weight(&self) -> f64 {
        self.tokens.or(self.requests).or(self.cost).unwrap_or_default()
    }

    fn numbers(&mut self) -> [&mut Option<f64>; 5] {
        [&mut self.requests, &mut self.input_tokens, &mut self.output_tokens, &mut self.tokens, &mut self.cost]
    }

    fn add(&mut self, other: &Self) {
        let mut other = other.clone();
        for (mine, more) in self.numbers().into_iter().zip(other.numbers()) {
            *mine = match (*mine, *more) {
                (Some(mine), Some(more)) => Some(mine + more),
                (mine, more) => mine.or(more),
            };
        }
    }

    fn is_empty(&self) -> bool {
        self.clone().numbers().iter().all(|number| number.is_none())
    }
}

fn search(value: &Value, depth: usize, place: String, groups: &mut Vec<Group>) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Object(object) => {
            if let Some(row) = named_row(object) {
                return put(groups, depth, place, row);
            }
            // By the name of the model: every member is an object that holds numbers.
            let looks_like_models = last_word(&place).is_some_and(|word| word == "models" || word == "model");
            for (key, value) in object {
                match value.as_object().map(|object| numbers(shorten(key), object)) {
                    Some(row) if looks_like_models && !row.is_empty() => {
                        put(groups, depth, format!("{place}{{}}"), row)
                    }
                    _ => search(value, depth + 1, format!("{place}.{key}"), groups),
                }
            }
        }
        Value::Array(list) => {
            for value in list {
                search(value, depth + 1, format!("{place}[]"), groups);
            }
        }
        _ => {}
    }
}

fn last_word(place: &str) -> Option<String> {
    split_words(place.rsplit('.').next()?).into_iter().next_back()
}

fn put(groups: &mut Vec<Group>, depth: usize, place: String, row: ModelUse) {
    match groups.iter_mut().find(|(_, known, _)| *known == place) {
        Some((.., rows)) => rows.push(row),
        None => groups.push((depth, place, vec![row])),
    }
}

fn named_row(object: &Map<String, Value>) -> Option<ModelUse> {
    let model = model_name(object)?;
    let nested = object.values().filter_map(Value::as_object).map(|inner| numbers(model.clone(), inner));
    let row = numbers(model.clone(), object);
    // The numbers may be in a nested object.
    let row = if row.is_empty() { nested.into_iter().find(|row| !row.is_empty())? } else { row };
    Some(row)
}

fn numbers(model: String, object: &Map<String, Value>) -> ModelUse {
    let mut row = ModelUse { model, ..ModelUse::default() };
    for (key, value) in object {
        let Some(number) = read_number(value) else { continue };
        let words = split_words(key);
        let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
        let place = if has(&["cost", "price", "spend", "spent", "usd", "amount", "credits"]) {
            &mut row.cost
        } else if has(&["duration", "time", "ms", "seconds", "at", "limit", "percent", "cached", "estimated"]) {
            continue;
        } else if has(&["input", "prompt"]) {
            &mut row.input_tokens
        } else if has(&["output", "completion", "eval", "generated"]) {
            &mut row.output_tokens
        } else if has(&["requests", "request", "calls", "count", "messages"]) {
            &mut row.requests
        } else if has(&["tokens", "token", "usage", "used", "total"]) {
            &mut row.tokens
        } else {
            continue;
        };
        place.get_or_insert(number);
    }
    row
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(value: &Value) -> Vec<(String, Option<f64>, Option<f64>)> {
        read(value).into_iter().map(|row| (row.model, row.requests, row.tokens)).collect()
    }

    #[test]
    fn rows_in_many_shapes() {
        let wanted = vec![("b".to_owned(), Some(1.0), Some(90.0)), ("a".to_owned(), Some(3.0), Some(30.0))];
        for value in [
            json!([{"model": "a", "requests": 3, "tokens": 30}, {"model": "b", "requests": 1, "tokens": 90}]),
            json!({"data": [{"model": "a", "request_count": 3, "input_tokens": 10, "output_tokens": 20},
                            {"model": "b", "request_count": 1, "prompt_tokens": 40, "completion_tokens": 50}]}),
            json!({"data": [{"model": "a", "requests": 3, "estimated_tokens": 7, "total_tokens": 30},
                            {"model": "b", "estimated_tokens": 90, "requests": 1, "total_tokens": 90}]}),
            json!({"models": {"a": {"requests": "3", "totalTokens": 30}, "b": {"requests": 1, "totalTokens": 90}}}),
            json!({"buckets": [
                {"start": 1, "results": [{"model": "a", "requests": 1, "tokens": 10}]},
                {"start": 2, "results": [{"model": "a", "requests": 2, "tokens": 20}, {"model": "b", "requests": 1, "tokens": 90}]}
            ]}),
            json!({"usage": [{"model": {"name": "a"}, "usage": {"requests": 3, "tokens": 30}},
                             {"model": "b", "metrics": {"requests": 1, "tokens": 90}}],
                   "days": {"x": {"rows": [{"model": "a", "requests": 3, "tokens": 30}]}}}),
        ] {
            assert_eq!(seen(&value), wanted, "{value}");
        }
    }

    #[test]
    fn malformed_answers_give_no_rows() {
        for value in [json!(null), json!({"model": "a"}), json!({"model": 7, "requests": 1}), json!([[[[]]]])] {
            assert_eq!(seen(&value), [], "{value}");
        }
    }
}
