//! Model parameters as people type them at `/set parameter` and behind `--option`, in the type that the server wants.

use serde_json::Value;

/// What a parameter's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int,
    Float,
    Bool,
    Words,
}

/// The parameters that a server knows, each with a word on it where it is a common one.
const KNOWN: &[(&str, Kind, &str)] = &[
    ("seed", Kind::Int, "the random seed: the same one gives the same answer"),
    ("num_predict", Kind::Int, "the longest answer, in tokens"),
    ("top_k", Kind::Int, "choose among this many tokens"),
    ("top_p", Kind::Float, "choose among the likeliest tokens up to this sum of probabilities"),
    ("min_p", Kind::Float, "choose among tokens at least this likely, against the likeliest"),
    ("num_ctx", Kind::Int, "the size of the context window, in tokens"),
    ("temperature", Kind::Float, "how freely the model chooses"),
    ("repeat_penalty", Kind::Float, "how much repetition counts against a token"),
    ("repeat_last_n", Kind::Int, "how far back repetition is looked for, in tokens"),
    ("num_gpu", Kind::Int, "layers that the GPU computes"),
    ("stop", Kind::Words, "texts that end the answer"),
    ("typical_p", Kind::Float, ""),
    ("presence_penalty", Kind::Float, ""),
    ("frequency_penalty", Kind::Float, ""),
    ("num_keep", Kind::Int, ""),
    ("num_batch", Kind::Int, ""),
    ("num_thread", Kind::Int, ""),
    ("main_gpu", Kind::Int, ""),
    ("use_mmap", Kind::Bool, ""),
    ("draft_num_predict", Kind::Int, ""),
];

/// Why a parameter cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// No such parameter.
    #[error("there is no parameter {0:?}")]
    Unknown(String),
    /// A value of another type.
    #[error("{name} takes {wanted}, not {value:?}")]
    Value {
        /// The parameter.
        name: String,
        /// What it takes.
        wanted: &'static str,
        /// What was given.
        value: String,
    },
}

/// The value to send for a parameter, from the words that were typed behind its name.
///
/// # Errors
/// [`ParameterError`].
pub fn parse(name: &str, words: &[&str]) -> Result<Value, ParameterError> {
    let kind = kind(name).ok_or_else(|| ParameterError::Unknown(name.to_owned()))?;
    let wrong = |wanted| ParameterError::Value { name: name.to_owned(), wanted, value: words.join(" ") };
    let first = words.first().copied().unwrap_or_default();
    match kind {
        Kind::Int => first.parse::<i64>().map(Value::from).map_err(|_| wrong("a whole number")),
        Kind::Float => {
            let number = first.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            number.map(Value::Number).ok_or_else(|| wrong("a number"))
        }
        Kind::Bool => match first {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => Err(wrong("true or false")),
        },
        Kind::Words => Ok(words.iter().map(|word| Value::from(*word)).collect()),
    }
}

/// The same for a value that may be JSON, as in `--option stop=["a","b"]`. `null` leaves a parameter at its default.
///
/// # Errors
/// [`ParameterError`].
pub fn check(name: &str, value: &Value) -> Result<Value, ParameterError> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let words: Vec<String> = match value {
        Value::Array(items) if kind(name) == Some(Kind::Words) => items.iter().map(word).collect(),
        Value::Null if kind(name).is_some() => return Ok(Value::Null),
        value => vec![word(value)],
    };
    parse(name, &words.iter().map(String::as_str).collect::<Vec<_>>())
}

fn kind(name: &str) -> Option<Kind> {
    KNOWN.iter().find(|(known, ..)| *known == name).map(|(_, kind, _)| *kind)
}

/// Their names, for completion.
pub fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(name, ..)| *name)
}

/// Name, kind of value and meaning of the common ones.
pub fn common() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    KNOWN.iter().filter(|(.., about)| !about.is_empty()).map(|(name, kind, about)| {
        let kind = match kind {
            Kind::Int => "<int>",
            Kind::Float => "<float>",
            Kind::Bool => "<bool>",
            Kind::Words => "<text> <text> ...",
        };
        (*name, kind, *about)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_json_are_checked_in_the_same_way() {
        use serde_json::json;
        for (name, given, sent) in [
            ("temperature", json!(0.5), json!(0.5)),
            ("num_ctx", json!(4096), json!(4096)),
            ("use_mmap", json!(true), json!(true)),
            ("stop", json!("a b"), json!(["a b"])),
            ("stop", json!(["a", "b"]), json!(["a", "b"])),
            ("seed", json!(null), json!(null)),
        ] {
            assert_eq!(check(name, &given).unwrap(), sent, "{name}");
        }
        for (name, given) in [
            ("temperature", json!("hot")),
            ("temperature", json!([0.5])),
            ("num_ctx", json!(0.5)),
            ("num_ctx", json!({})),
            ("use_mmap", json!("maybe")),
        ] {
            assert!(matches!(check(name, &given), Err(ParameterError::Value { .. })), "{name} {given}");
        }
        assert!(matches!(check("nosuch", &json!(1)), Err(ParameterError::Unknown(_))));
    }

    #[test]
    fn values_have_the_type_of_their_parameter() {
        assert_eq!(parse("temperature", &["0.5"]).unwrap(), 0.5);
        assert_eq!(parse("temperature", &["1"]).unwrap().to_string(), "1.0");
        assert_eq!(parse("num_ctx", &["4096"]).unwrap(), 4096);
        assert_eq!(parse("use_mmap", &["false"]).unwrap(), false);
        assert_eq!(parse("stop", &["a", "b"]).unwrap().to_string(), r#"["a","b"]"#);
        assert!(matches!(parse("temprature", &["1"]), Err(ParameterError::Unknown(_))));
        for (name, value) in [("num_ctx", "4k"), ("num_ctx", "0.5"), ("temperature", "NaN"), ("use_mmap", "maybe")] {
            assert!(matches!(parse(name, &[value]), Err(ParameterError::Value { .. })), "{name} {value}");
        }
    }
}
