//! The tables of groups: `[groups.NAME]` defines a group of people who share limits.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::limits::limits;
use crate::gateway::groups::{GroupRules, Groups};
use crate::gateway::policy_name::PolicyName;
use crate::keyspec::RequestLimits;

/// Groups that a configuration may define.
const MOST_GROUPS: usize = 1000;

/// A table as it is written.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct Table {
    #[serde(deserialize_with = "limits")]
    limits: RequestLimits,
    within: Option<PolicyName>,
}

/// The tables below `[groups]`.
pub fn groups<'de, D: Deserializer<'de>>(value: D) -> Result<Groups, D::Error> {
    struct Tables;

    impl<'de> Visitor<'de> for Tables {
        type Value = BTreeMap<PolicyName, GroupRules>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut all = BTreeMap::new();
            while let Some((name, Table { limits, within })) = map.next_entry()? {
                all.insert(name, GroupRules { limits, within });
                if all.len() > MOST_GROUPS {
                    return Err(A::Error::custom(format!("there are more than {MOST_GROUPS} groups")));
                }
            }
            Ok(all)
        }
    }
    Groups::new(value.deserialize_map(Tables)?).map_err(D::Error::custom)
}

/// What a member of such a table must be, with an example.
pub fn expected(name: &str) -> Option<&'static str> {
    match name.strip_prefix("groups.")?.split_once('.') {
        None => Some("the table of a group, such as [groups.research]"),
        Some((_, "within")) => Some("the name of another group, such as \"lab\""),
        Some(_) => None,
    }
}
