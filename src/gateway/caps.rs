//! Caps: how much one request may ask of the upstream server, by the role of the caller and by the model.
//!
//! All rules that match a request apply, and of each member the tightest one decides. The rules are sorted by role when the configuration is
//! read, so a caller to whom none applies costs one look-up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use super::store::Role;
use crate::keyspec::{CanonicalModel, ModelFilter, Models};

/// So few rules are looked at each time.
const FEW_RULES: usize = 8;
/// The models whose caps are remembered, for each role. Beyond that all are forgotten, and worked out again.
const MOST_REMEMBERED: usize = 1024;

/// What becomes of a request that asks for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum WhenExceeded {
    /// It is forwarded with the most that is allowed.
    #[default]
    Lower,
    /// It is refused.
    Refuse,
}

/// What a rule says of one member, or several rules together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// The most that is allowed: seconds or tokens.
    pub most: u64,
    /// And with more.
    pub when_exceeded: WhenExceeded,
}

/// The caps of one rule, or of several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapSet {
    /// How long the model stays loaded after the request, in seconds.
    pub keep_alive: Option<Cap>,
    /// The tokens of the context.
    pub num_ctx: Option<Cap>,
    /// The tokens of the answer.
    pub num_predict: Option<Cap>,
}

impl CapSet {
    /// Of each the tighter one; of two that are equal the one that refuses.
    fn and(self, other: Self) -> Self {
        let tighter = |one: Option<Cap>, other: Option<Cap>| match (one, other) {
            (Some(one), Some(other)) if one.most == other.most => {
                Some(Cap { most: one.most, when_exceeded: one.when_exceeded.max(other.when_exceeded) })
            }
            (Some(one), Some(other)) => Some(if one.most < other.most { one } else { other }),
            (one, other) => one.or(other),
        };
        Self {
            keep_alive: tighter(self.keep_alive, other.keep_alive),
            num_ctx: tighter(self.num_ctx, other.num_ctx),
            num_predict: tighter(self.num_predict, other.num_predict),
        }
    }
}

/// One rule: `[[caps]]` in the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct CapRule {
    /// The roles that it applies to; none means every role.
    pub roles: Vec<Role>,
    /// The models that it applies to.
    pub models: Models,
    /// What it allows.
    pub caps: CapSet,
}

/// The rules that apply to the people with one role.
#[derive(Debug, Default)]
pub struct RoleCaps {
    rules: Vec<(ModelFilter, CapSet)>,
    /// Of all of them together, as if every model was meant.
    all: CapSet,
    /// What was worked out. A configuration is replaced as a whole, so it never changes.
    remembered: RwLock<HashMap<CanonicalModel, CapSet>>,
}

impl RoleCaps {
    fn new<'a>(rules: impl Iterator<Item = &'a CapRule>) -> Self {
        let rules: Vec<_> = rules.map(|rule| (rule.models.filter(), rule.caps)).collect();
        let all = rules.iter().fold(CapSet::default(), |all, (_, caps)| all.and(*caps));
        Self { rules, all, remembered: RwLock::default() }
    }

    /// What any of the rules allows, whatever the model is.
    pub fn all(&self) -> CapSet {
        self.all
    }

    /// What applies to a request that names these models. A name that is not surely that of one model (`None`) may be of any.
    pub fn of(&self, models: &[Option<CanonicalModel>]) -> CapSet {
        let [Some(model)] = models else { return self.work_out(models) };
        if self.rules.len() <= FEW_RULES {
            return self.work_out(models);
        }
        if let Some(caps) = self.remembered.read().unwrap_or_else(PoisonError::into_inner).get(model) {
            return *caps;
        }
        let caps = self.work_out(models);
        let mut remembered = self.remembered.write().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MOST_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(model.clone(), caps);
        caps
    }

    fn work_out(&self, models: &[Option<CanonicalModel>]) -> CapSet {
        let matches =
            |filter: &ModelFilter| models.iter().any(|model| model.as_ref().is_none_or(|one| filter.allow(one)));
        let matching = self.rules.iter().filter(|(filter, _)| matches(filter));
        matching.fold(CapSet::default(), |all, (_, caps)| all.and(*caps))
    }
}

/// All rules. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Caps(Arc<Sorted>);

#[derive(Debug, Default)]
struct Sorted {
    rules: Vec<CapRule>,
    /// Of the roles that a rule names.
    named: BTreeMap<Role, Arc<RoleCaps>>,
    others: Arc<RoleCaps>,
}

/// The same rules in the same order.
impl PartialEq for Caps {
    fn eq(&self, other: &Self) -> bool {
        self.0.rules == other.0.rules
    }
}

impl Caps {
    /// The rules, in the order of the configuration.
    pub fn rules(&self) -> &[CapRule] {
        &self.0.rules
    }

    /// These rules.
    pub fn new(rules: Vec<CapRule>) -> Self {
        let roles: BTreeSet<&Role> = rules.iter().flat_map(|rule| &rule.roles).collect();
        let of = |role: Option<&Role>| {
            let applies = |rule: &&CapRule| rule.roles.is_empty() || role.is_some_and(|role| rule.roles.contains(role));
            Arc::new(RoleCaps::new(rules.iter().filter(applies)))
        };
        let named = roles.into_iter().map(|role| (role.clone(), of(Some(role)))).collect();
        let others = of(None);
        Self(Arc::new(Sorted { rules, named, others }))
    }

    /// The roles that rules name.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.0.named.keys()
    }

    /// What applies to the people with a role.
    pub fn of(&self, role: &Role) -> &Arc<RoleCaps> {
        self.0.named.get(role).unwrap_or(&self.0.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(roles: &[Role], models: &[&str], num_ctx: u64, when_exceeded: WhenExceeded) -> CapRule {
        let caps = CapSet { num_ctx: Some(Cap { most: num_ctx, when_exceeded }), ..CapSet::default() };
        let models = models.iter().map(|pattern| pattern.parse().unwrap()).collect();
        CapRule { roles: roles.to_vec(), models, caps }
    }

    fn num_ctx(caps: &Caps, role: &Role, models: &[&str]) -> Option<(u64, WhenExceeded)> {
        let models: Vec<_> = models.iter().map(|name| CanonicalModel::parse(name).ok()).collect();
        caps.of(role).of(&models).num_ctx.map(|cap| (cap.most, cap.when_exceeded))
    }

    #[test]
    fn the_tightest_rule_that_matches_decides() {
        use WhenExceeded::{Lower, Refuse};
        let caps = Caps::new(vec![
            rule(&[], &[], 100, Lower),
            rule(&[Role::Member], &[], 50, Refuse),
            rule(&[Role::Member, Role::Viewer], &["qwen*"], 10, Lower),
            rule(&[Role::Viewer], &["qwen3"], 10, Refuse),
        ]);
        for (role, models, wanted) in [
            (Role::Admin, &["tiny"][..], Some((100, Lower))),
            (Role::Member, &["tiny"], Some((50, Refuse))),
            (Role::Member, &["library/QWEN3:latest"], Some((10, Lower))),
            (Role::Viewer, &["qwen3"], Some((10, Refuse))),
            (Role::Viewer, &["qwen2"], Some((10, Lower))),
            (Role::Viewer, &["tiny"], Some((100, Lower))),
            // Several models, and one that cannot be read.
            (Role::Viewer, &["tiny", "qwen2"], Some((10, Lower))),
            (Role::Viewer, &["http://h/x"], Some((10, Refuse))),
        ] {
            assert_eq!(num_ctx(&caps, &role, models), wanted, "{role} {models:?}");
        }
        assert_eq!(num_ctx(&Caps::default(), &Role::Admin, &["tiny"]), None);
        assert_eq!(caps.roles().collect::<Vec<_>>(), [&Role::Viewer, &Role::Member]);
    }

    #[test]
    fn what_is_remembered_of_many_rules_is_what_they_say() {
        let rules = (0..200).map(|number| {
            rule(&[Role::Member], &[&format!("m{number}"), &format!("m{number}-*")], 1000 - number, WhenExceeded::Lower)
        });
        let caps = Caps::new(rules.collect());
        for _ in 0..2 {
            for number in [0, 7, 199, 1999] {
                let wanted = (number < 200).then(|| (1000 - number, WhenExceeded::Lower));
                assert_eq!(num_ctx(&caps, &Role::Member, &[&format!("M{number}")]), wanted);
                assert_eq!(num_ctx(&caps, &Role::Member, &[&format!("m{number}-x")]), wanted);
            }
        }
        for number in 0..3 * MOST_REMEMBERED {
            num_ctx(&caps, &Role::Member, &[&format!("x{number}")]);
        }
        let remembered = caps.of(&Role::Member).remembered.read().unwrap().len();
        assert!((1..=MOST_REMEMBERED).contains(&remembered));
        assert_eq!(num_ctx(&caps, &Role::Member, &["m7", "m9"]), Some((991, WhenExceeded::Lower)));
    }

    #[test]
    fn what_any_rule_caps_is_known_without_the_model() {
        let caps = Caps::new(vec![rule(&[Role::Member], &["qwen*"], 10, WhenExceeded::Lower)]);
        assert!(caps.of(&Role::Member).all().num_ctx.is_some() && caps.of(&Role::Member).all().keep_alive.is_none());
        assert_eq!(caps.of(&Role::Admin).all(), CapSet::default());
    }

    #[test]
    fn equal_rules_are_equal() {
        let one = || Caps::new(vec![rule(&[Role::Member], &["a"], 1, WhenExceeded::Lower)]);
        assert_eq!(one(), one());
        assert_ne!(one(), Caps::default());
        assert_ne!(one(), Caps::new(vec![rule(&[Role::Member], &["a"], 2, WhenExceeded::Lower)]));
    }
}
