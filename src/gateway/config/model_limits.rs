//! The tables of models: `[model-limits."PATTERN"]` gives the models that fit it a budget.

use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::limits::Limits;
use crate::gateway::model_limits::ModelLimits;
use crate::keyspec::{Limit, ModelPattern, PatternError};

/// Patterns that a configuration may give a budget.
const MOST_PATTERNS: usize = 100;

/// The tables below `[model-limits]`.
pub fn model_limits<'de, D: Deserializer<'de>>(value: D) -> Result<ModelLimits, D::Error> {
    struct Tables;

    impl<'de> Visitor<'de> for Tables {
        type Value = ModelLimits;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ModelLimits, A::Error> {
            let mut all: Vec<(ModelPattern, _)> = Vec::new();
            while let Some(text) = map.next_key::<String>()? {
                let pattern: ModelPattern =
                    text.parse().map_err(|error: PatternError| A::Error::custom(error.to_string()))?;
                let Limits(limits) = map.next_value()?;
                if all.iter().any(|(known, _)| *known == pattern) {
                    return Err(A::Error::custom(format!("{text:?} and another pattern mean the same models")));
                }
                let is_other = |limit: &Limit| limits.get(*limit).is_some() && !limit.is_budget();
                if Limit::ALL.iter().any(is_other) || !limits.has_budget() {
                    let message =
                        format!("{text}: a model has a budget: tokens-per-hour, tokens-per-day or tokens-per-month");
                    return Err(A::Error::custom(message));
                }
                all.push((pattern, limits));
                if all.len() > MOST_PATTERNS {
                    return Err(A::Error::custom(format!("there are more than {MOST_PATTERNS} patterns")));
                }
            }
            Ok(ModelLimits::new(all))
        }
    }
    value.deserialize_map(Tables)
}

/// What the table of a model must be, with an example.
pub fn expected(name: &str) -> Option<&'static str> {
    let rest = name.strip_prefix("model-limits.")?;
    // A pattern can have dots of its own.
    let is_member = rest.rsplit_once('.').is_some_and(|(_, member)| super::limits::expected(member).is_some());
    (!is_member).then_some("the table of a model, such as [model-limits.\"llama3*\"] with tokens-per-day = \"20M\"")
}
