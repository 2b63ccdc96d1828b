//! Groups of people, who share limits. The configuration defines them; who is in them is in the database.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::policy_name::PolicyName;
use crate::keyspec::RequestLimits;

/// How many groups one can be within another.
const MOST_LEVELS: usize = 16;

/// What the configuration says of a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupRules {
    /// How much its people may use together.
    pub limits: RequestLimits,
    /// The group that it is in: its people count there, too.
    pub within: Option<PolicyName>,
}

/// All groups that are defined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groups(Arc<BTreeMap<PolicyName, GroupRules>>);

/// The groups of one person.
pub type GroupsOfPerson<'a> = SmallVec<[(&'a PolicyName, &'a GroupRules); 4]>;

impl Groups {
    /// Those that the configuration defines.
    ///
    /// # Errors
    /// In words: a group that is within one that is not defined, or within itself, or too deep in others.
    pub fn new(groups: BTreeMap<PolicyName, GroupRules>) -> Result<Self, String> {
        for (name, rules) in &groups {
            let (mut path, mut next) = (vec![name], rules.within.as_ref());
            while let Some(outer) = next {
                let Some(rules) = groups.get(outer) else {
                    let inner = path.last().unwrap_or(&name);
                    return Err(format!("the group {inner} is within {outer}, which is not defined"));
                };
                if let Some(at) = path.iter().position(|known| *known == outer) {
                    let circle: Vec<&str> = path[at..].iter().copied().chain([outer]).map(PolicyName::as_str).collect();
                    return Err(format!("the group {outer} is within itself: {}", circle.join(", within ")));
                }
                path.push(outer);
                if path.len() > MOST_LEVELS {
                    return Err(format!("the group {name} is within {MOST_LEVELS} others or more"));
                }
                next = rules.within.as_ref();
            }
        }
        Ok(Self(groups.into()))
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = (&PolicyName, &GroupRules)> {
        self.0.iter()
    }

    /// Whether a group is defined.
    pub fn is_defined(&self, name: &PolicyName) -> bool {
        self.0.contains_key(name)
    }

    /// The groups of a person who is in the named ones, with those that these are within; each once. One that is not defined counts for nothing.
    pub fn of<'a>(&'a self, names: &[PolicyName]) -> GroupsOfPerson<'a> {
        let mut all = GroupsOfPerson::new();
        for name in names {
            let mut next = self.0.get_key_value(name);
            while let Some((name, rules)) = next {
                if all.iter().any(|(known, _)| *known == name) {
                    // What it is within is there, too.
                    break;
                }
                all.push((name, rules));
                next = rules.within.as_ref().and_then(|outer| self.0.get_key_value(outer));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> PolicyName {
        text.parse().unwrap()
    }

    fn groups(pairs: &[(&str, &str)]) -> Result<Groups, String> {
        let rules = |within: &str| GroupRules {
            within: (!within.is_empty()).then(|| name(within)),
            limits: RequestLimits::default(),
        };
        Groups::new(pairs.iter().map(|(group, within)| (name(group), rules(within))).collect())
    }

    #[test]
    fn a_person_counts_for_each_group_once() {
        let groups = groups(&[("ml", "lab"), ("vision", "ml"), ("lab", ""), ("guests", "")]).unwrap();
        let of = |names: &[&str]| {
            let names: Vec<PolicyName> = names.iter().map(|text| name(text)).collect();
            groups.of(&names).iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(" ")
        };
        for (names, wanted) in [
            (&[][..], ""),
            (&["lab"], "lab"),
            (&["vision"], "vision ml lab"),
            (&["vision", "lab", "ml", "vision"], "vision ml lab"),
            (&["ml", "vision"], "ml lab vision"),
            (&["gone", "guests"], "guests"),
        ] {
            assert_eq!(of(names), wanted, "{names:?}");
        }
    }

    #[test]
    fn a_group_within_itself_or_nothing_is_refused() {
        let says = |pairs: &[(&str, &str)]| groups(pairs).unwrap_err();
        assert_eq!(says(&[("a", "a")]), "the group a is within itself: a, within a");
        assert_eq!(
            says(&[("a", "b"), ("b", "c"), ("c", "a")]),
            "the group a is within itself: a, within b, within c, within a"
        );
        assert_eq!(says(&[("a", "b"), ("b", "x")]), "the group b is within x, which is not defined");
        // A circle that the first one only leads to.
        assert_eq!(says(&[("a", "b"), ("b", "c"), ("c", "b")]), "the group b is within itself: b, within c, within b");
        let chain: Vec<(String, String)> = (0..20)
            .map(|at| (format!("g{at}"), if at == 19 { String::new() } else { format!("g{}", at + 1) }))
            .collect();
        let chain: Vec<(&str, &str)> = chain.iter().map(|(one, other)| (one.as_str(), other.as_str())).collect();
        assert!(says(&chain).contains("within 16 others or more"));
        assert!(groups(&chain[10..]).is_ok());
    }

    #[test]
    fn a_name_is_like_that_of_a_role() {
        for text in ["", "Lab", "a b", "a_b", "\u{e4}", &"a".repeat(33)] {
            assert!(text.parse::<PolicyName>().is_err(), "{text}");
        }
        assert_eq!(name("ml-2").as_str(), "ml-2");
    }
}
