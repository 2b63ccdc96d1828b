//! What the people with a role may do: the five that are built in, and those of the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use super::policy_name::PolicyName;
use super::store::{KeyRecord, Role};
use crate::keyspec::{AddressRules, Models, RequestLimits, Rights, Scope, Scopes};

/// The scopes whose requests name models.
pub const SCOPES_WITH_MODELS: [Scope; 3] = [Scope::Inference, Scope::ModelsRead, Scope::ModelsWrite];

/// What a role allows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoleRules {
    /// The built-in role whose scopes it has; of a service account its own. `None`: the role is not defined, and allows nothing.
    pub base: Option<Role>,
    /// Everything that may be done.
    pub scopes: Scopes,
    /// With which models, for each of [`SCOPES_WITH_MODELS`].
    pub models: [Models; 3],
    /// How long an API key may live, in seconds. A key that is older is refused.
    pub max_key_lifetime: Option<i64>,
    /// How long an API key may stay unused, in seconds. One that was not used for longer is suspended.
    pub max_key_idle: Option<i64>,
    /// The environments that may be used; `None` for all.
    pub environments: Option<BTreeSet<PolicyName>>,
    /// What the tokens of a workload are labelled with, as API keys are.
    pub label: Option<PolicyName>,
    /// How much each person with the role may use.
    pub limits: RequestLimits,
    /// What takes the signature of a device and an API key together.
    pub two_proofs: Scopes,
    /// From where.
    pub addresses: AddressRules,
    /// Whether people read the event log on the pages, where no device and no API key does; and what all used, there and with their devices.
    pub audit: bool,
}

impl RoleRules {
    /// Those of a built-in role that the configuration does not change.
    pub fn built_in(base: Role) -> Self {
        let (scopes, audit) = (base.scopes(), base.audits());
        Self { base: Some(base), scopes, audit, ..Self::default() }
    }

    /// Which models may be used by requests that need that scope.
    pub fn models(&self, scope: Scope) -> &Models {
        static ALL: LazyLock<Models> = LazyLock::new(Models::all);
        let at = SCOPES_WITH_MODELS.iter().position(|other| *other == scope);
        at.map_or(&ALL, |at| &self.models[at])
    }

    /// When a key ends: by itself, or because it is as old as the role allows.
    pub fn end_of(&self, key: &KeyRecord) -> Option<i64> {
        let oldest = self.max_key_lifetime.map(|lifetime| key.created_at.saturating_add(lifetime));
        key.rights.expires_at.into_iter().chain(oldest).min()
    }

    /// Whether that key may be used at `now`, as far as its age goes.
    pub fn allows_age(&self, key: &KeyRecord, now: i64) -> bool {
        self.max_key_lifetime.is_none_or(|lifetime| now < key.created_at.saturating_add(lifetime))
    }

    /// Whether that environment may be used.
    pub fn allows_environment(&self, name: PolicyName) -> bool {
        self.environments.as_ref().is_none_or(|allowed| allowed.contains(&name))
    }

    /// Whether everything that `other` allows is allowed, from wherever it is.
    pub fn covers(&self, other: &Self) -> bool {
        let lives_longer = match (self.max_key_lifetime, other.max_key_lifetime) {
            (Some(own), Some(others)) => own >= others,
            (own, _) => own.is_none(),
        };
        let has_environments = match (&self.environments, &other.environments) {
            (Some(own), Some(others)) => others.is_subset(own),
            (own, _) => own.is_none(),
        };
        let mut kept = SCOPES_WITH_MODELS.into_iter().filter(|scope| other.scopes.contains(*scope));
        other.scopes.is_subset(self.scopes)
            && (self.audit || !other.audit)
            && lives_longer
            && has_environments
            && self.label == other.label
            && kept.all(|scope| other.models(scope).within(self.models(scope)).is_ok())
    }

    /// Whether a key with these rights, made at that Unix second, is within the role named `name`.
    ///
    /// # Errors
    /// What goes beyond it, in words for the person who makes the key.
    pub fn check_key(&self, name: &Role, rights: &Rights, created_at: i64) -> Result<(), String> {
        for scope in SCOPES_WITH_MODELS.into_iter().filter(|scope| rights.scopes.contains(*scope)) {
            rights.models.within(self.models(scope)).map_err(|pattern| {
                format!("your role {name} does not allow the scope {scope} for all models that match {pattern}")
            })?;
        }
        let Some(lifetime) = self.max_key_lifetime else { return Ok(()) };
        match rights.expires_at {
            Some(end) if end <= created_at.saturating_add(lifetime) => Ok(()),
            _ => Err(format!("your role {name} allows keys of at most {}", lifetime_text(lifetime))),
        }
    }

    /// The models of a key for which none were asked: those that the role allows for all of its scopes.
    pub fn usual_models(&self, scopes: Scopes) -> Models {
        let limited: Vec<&Models> = SCOPES_WITH_MODELS
            .into_iter()
            .filter(|scope| scopes.contains(*scope))
            .map(|scope| self.models(scope))
            .filter(|models| !models.is_all())
            .collect();
        let narrowest = limited.iter().find(|models| limited.iter().all(|others| models.within(others).is_ok()));
        narrowest.or(limited.first()).copied().cloned().unwrap_or_default()
    }
}

/// A lifetime in words: `90 days`, `15 minutes`.
pub fn lifetime_text(seconds: i64) -> String {
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let whole = units.into_iter().find(|(length, _)| seconds >= *length && seconds % length == 0);
    let (length, unit) = whole.unwrap_or((1, "second"));
    let number = seconds / length;
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// All roles that are defined.
#[derive(Clone, Debug, PartialEq)]
pub struct Roles(Arc<BTreeMap<Role, Arc<RoleRules>>>);

/// The built-in ones alone.
impl Default for Roles {
    fn default() -> Self {
        Self::new([])
    }
}

impl Roles {
    /// The built-in ones and these, which may be built-in ones too.
    pub fn new(defined: impl IntoIterator<Item = (Role, RoleRules)>) -> Self {
        let built_in = Role::BUILT_IN.map(|role| (role.clone(), RoleRules::built_in(role)));
        let all = built_in.into_iter().chain(defined);
        Self(Arc::new(all.map(|(role, rules)| (role, rules.into())).collect()))
    }

    /// The same and those of service accounts.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = (Role, RoleRules)>) -> Self {
        let own = self.0.iter().map(|(role, rules)| (role.clone(), rules.clone()));
        Self(Arc::new(own.chain(more.into_iter().map(|(role, rules)| (role, rules.into()))).collect()))
    }

    /// What a role allows: nothing, if it is not defined.
    pub fn of(&self, role: &Role) -> Arc<RoleRules> {
        static UNDEFINED: LazyLock<Arc<RoleRules>> = LazyLock::new(Arc::default);
        self.0.get(role).unwrap_or(&UNDEFINED).clone()
    }

    /// All of them, the built-in ones first.
    pub fn all(&self) -> impl Iterator<Item = (&Role, &RoleRules)> {
        self.0.iter().map(|(role, rules)| (role, &**rules))
    }

    /// Whether a role is defined.
    pub fn is_defined(&self, role: &Role) -> bool {
        self.0.contains_key(role)
    }

    /// Whether the people with a role are administrators.
    pub fn administrates(&self, role: &Role) -> bool {
        self.0.get(role).is_some_and(|rules| rules.scopes.contains(Scope::Admin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(patterns: &[&str]) -> Models {
        patterns.iter().map(|pattern| pattern.parse().unwrap()).collect()
    }

    fn limited(models_of: [&[&str]; 3], days: Option<i64>) -> RoleRules {
        let max_key_lifetime = days.map(|days| days * 86_400);
        RoleRules { models: models_of.map(models), max_key_lifetime, ..RoleRules::built_in(Role::Maintainer) }
    }

    #[test]
    fn a_role_that_is_not_defined_allows_nothing() {
        let roles = Roles::default();
        let gone = Role::from_name("research").unwrap();
        assert!(roles.of(&gone).scopes.is_empty() && !roles.is_defined(&gone) && !roles.administrates(&gone));
        assert_eq!(roles.of(&Role::Viewer).scopes.to_string(), "models:read,usage:read,keys");
        assert!(roles.administrates(&Role::Admin) && !roles.administrates(&Role::Maintainer));
        assert!(!roles.of(&gone).audit);
    }

    #[test]
    fn an_auditor_is_a_viewer_who_reads_the_event_log() {
        let roles = Roles::default();
        let [viewer, auditor, admin] = [Role::Viewer, Role::Auditor, Role::Admin].map(|role| roles.of(&role));
        assert_eq!(auditor.scopes, viewer.scopes);
        assert!(auditor.audit && admin.audit && !viewer.audit && !roles.of(&Role::Maintainer).audit);
        assert!(auditor.covers(&viewer) && !viewer.covers(&auditor) && admin.covers(&auditor));
        assert!(!roles.of(&Role::Maintainer).covers(&auditor));
    }

    #[test]
    fn a_role_covers_another_only_in_every_respect() {
        let whole = RoleRules::built_in(Role::Maintainer);
        let some = limited([&["llama*"], &[], &[]], Some(30));
        assert!(whole.covers(&whole) && some.covers(&some) && whole.covers(&some) && !some.covers(&whole));
        assert!(!limited([&["qwen*"], &[], &[]], None).covers(&some));
        assert!(!RoleRules::built_in(Role::Member).covers(&whole));
        assert!(!limited([&[], &[], &[]], Some(29)).covers(&some));
        // Models of a scope that the other does not have do not matter.
        let member = RoleRules::built_in(Role::Member);
        assert!(limited([&[], &[], &["me/*"]], None).covers(&member));
        let of = |names: &[&str]| RoleRules {
            environments: Some(names.iter().map(|name| name.parse().unwrap()).collect()),
            ..whole.clone()
        };
        assert!(whole.covers(&of(&[])) && !of(&["a"]).covers(&whole) && of(&["a", "b"]).covers(&of(&["b"])));
        assert!(!of(&["a"]).covers(&of(&["a", "b"])));
        // Limits take no right.
        let limits = RequestLimits { streams: std::num::NonZeroU32::new(1), ..RequestLimits::default() };
        assert!(RoleRules { limits, ..whole.clone() }.covers(&whole));
    }

    #[test]
    fn a_key_is_within_its_role_for_each_of_its_scopes() {
        let rules = limited([&["llama*"], &[], &[]], Some(30));
        let key = |scopes: &str, patterns: &[&str], expires_at| Rights {
            scopes: scopes.parse().unwrap(),
            models: models(patterns),
            expires_at,
            limits: RequestLimits::default(),
            addresses: Default::default(),
        };
        let check = |rights: &Rights| rules.check_key(&Role::Maintainer, rights, 100);
        let end = Some(100 + 30 * 86_400);
        assert_eq!(check(&key("inference,models:read", &["Llama3"], end)), Ok(()));
        assert_eq!(check(&key("models:read", &[], end)), check(&key("models:write,keys", &[], Some(101))));
        let says = |rights: &Rights| check(rights).unwrap_err();
        assert!(
            says(&key("inference", &["qwen*"], end)).contains("the scope inference for all models that match qwen*")
        );
        assert!(says(&key("inference", &[], end)).contains("match *"));
        for expires_at in [None, Some(101 + 30 * 86_400)] {
            assert_eq!(says(&key("keys", &[], expires_at)), "your role maintainer allows keys of at most 30 days");
        }
    }

    #[test]
    fn a_key_gets_the_narrowest_models_of_its_scopes() {
        let usual = |rules: &RoleRules, scopes: &str| rules.usual_models(scopes.parse().unwrap());
        let rules = limited([&["llama3*"], &["llama*", "qwen*"], &[]], None);
        assert_eq!(usual(&rules, "inference,models:read"), models(&["llama3*"]));
        assert_eq!(usual(&rules, "models:read,keys"), models(&["llama*", "qwen*"]));
        assert_eq!(usual(&rules, "models:write"), Models::all());
    }
}
