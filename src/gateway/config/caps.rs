//! The rules of caps: each `[[caps]]` is one.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};

use super::value::{cap_number, patterns, time};
use crate::gateway::caps::{Cap, CapRule, CapSet, Caps, WhenExceeded};
use crate::gateway::store::Role;
use crate::keyspec::Models;

/// Rules that a configuration may have.
const MOST_RULES: usize = 1000;

/// A rule as it is written.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table")]
struct Table {
    roles: Option<Vec<Role>>,
    #[serde(deserialize_with = "patterns")]
    models: Option<Models>,
    #[serde(deserialize_with = "keep_alive")]
    keep_alive: Option<Duration>,
    #[serde(deserialize_with = "cap_number")]
    num_ctx: Option<u64>,
    #[serde(deserialize_with = "cap_number")]
    num_predict: Option<u64>,
    #[serde(deserialize_with = "when_exceeded")]
    when_exceeded: WhenExceeded,
}

fn keep_alive<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    time::<_, 1, 31_536_000>(value).map(Some)
}

fn when_exceeded<'de, D: Deserializer<'de>>(value: D) -> Result<WhenExceeded, D::Error> {
    match String::deserialize(value).as_deref() {
        Ok("lower") => Ok(WhenExceeded::Lower),
        Ok("refuse") => Ok(WhenExceeded::Refuse),
        _ => Err(D::Error::custom("")),
    }
}

/// The rules of `[[caps]]`.
pub fn caps<'de, D: Deserializer<'de>>(value: D) -> Result<Caps, D::Error> {
    struct Rules;

    impl<'de> Visitor<'de> for Rules {
        type Value = Caps;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of tables")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Caps, A::Error> {
            let mut rules = Vec::new();
            while let Some(rule) = list.next_element::<CapRule>()? {
                rules.push(rule);
                if rules.len() > MOST_RULES {
                    return Err(A::Error::custom(format!("there are more than {MOST_RULES} rules")));
                }
            }
            Ok(Caps::new(rules))
        }
    }
    value.deserialize_seq(Rules)
}

impl<'de> Deserialize<'de> for CapRule {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        let Table { roles, models, keep_alive, num_ctx, num_predict, when_exceeded } = Table::deserialize(value)?;
        if roles.as_ref().is_some_and(Vec::is_empty) {
            return Err(D::Error::custom("it would apply to no role; for every role, leave roles out"));
        }
        let cap = |most: Option<u64>| most.map(|most| Cap { most, when_exceeded });
        let caps = CapSet {
            keep_alive: cap(keep_alive.map(|time| time.as_secs())),
            num_ctx: cap(num_ctx),
            num_predict: cap(num_predict),
        };
        if caps == CapSet::default() {
            return Err(D::Error::custom("a rule needs at least one of keep-alive, num-ctx and num-predict"));
        }
        Ok(Self { roles: roles.unwrap_or_default(), models: models.unwrap_or_default(), caps })
    }
}

/// What a member of a rule must be, with an example.
pub fn expected(name: &str) -> Option<&'static str> {
    match name.strip_prefix("caps.")? {
        "roles" => Some("a list of roles such as [\"member\"]"),
        "models" => Some("a list of model patterns such as [\"llama3*\", \"qwen3:*\"]"),
        "keep-alive" => Some("a time from 1s to 8760h, such as 10m"),
        "num-ctx" => Some("a number of tokens from 1 to 1000000000, such as 8192"),
        "num-predict" => Some("a number of tokens from 1 to 1000000000, such as 2048"),
        "when-exceeded" => Some("lower or refuse"),
        _ => None,
    }
}

/// An example of a rule, as TOML.
pub const EXAMPLE: &str = "[[caps]]\nroles = [\"member\"]\nmodels = [\"llama3*\", \"qwen3:*\"]\nkeep-alive = \"10m\"\nnum-ctx = 8192\n\
                           num-predict = 2048\nwhen-exceeded = \"lower\"\n";
