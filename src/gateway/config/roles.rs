//! The tables of roles: `[roles.NAME]` changes a built-in role or defines another one.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::addresses::rules;
use super::error::nearest;
use super::limits::limits;
use super::value::{patterns, retention};
use crate::gateway::policy_name::PolicyName;
use crate::gateway::roles::{RoleRules, Roles, SCOPES_WITH_MODELS};
use crate::gateway::store::Role;
use crate::keyspec::{AddressRules, Models, RequestLimits, Scope, ScopeError};

/// Roles that a configuration may define.
const MOST_ROLES: usize = 1000;

/// A table as it is written.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table")]
struct Table {
    #[serde(deserialize_with = "built_in")]
    base: Option<Role>,
    #[serde(deserialize_with = "patterns")]
    models: Option<Models>,
    models_by_scope: ModelsByScope,
    #[serde(deserialize_with = "retention")]
    max_key_lifetime: Option<Duration>,
    #[serde(deserialize_with = "retention")]
    max_key_idle: Option<Duration>,
    environments: Option<BTreeSet<PolicyName>>,
    #[serde(deserialize_with = "limits")]
    limits: RequestLimits,
    #[serde(deserialize_with = "rules")]
    addresses: AddressRules,
    two_proofs: Vec<ProofScope>,
    audit: Option<bool>,
}

/// A scope for which two proofs can be demanded.
#[derive(serde::Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ProofScope(pub(super) Scope);

impl TryFrom<String> for ProofScope {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.parse().map_err(|error: ScopeError| error.to_string())? {
            // Both together never have it, since no device does.
            Scope::Admin => {
                Err("admin is never given to a device, so both proofs together would not have it".to_owned())
            }
            scope => Ok(Self(scope)),
        }
    }
}

/// In the order of [`SCOPES_WITH_MODELS`].
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct ModelsByScope {
    #[serde(deserialize_with = "patterns")]
    inference: Option<Models>,
    #[serde(rename = "models:read", deserialize_with = "patterns")]
    models_read: Option<Models>,
    #[serde(rename = "models:write", deserialize_with = "patterns")]
    models_write: Option<Models>,
}

/// A table, and the name that it has.
struct Named<'a>(&'a Role);

impl<'de> serde::de::DeserializeSeed<'de> for Named<'_> {
    type Value = RoleRules;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<RoleRules, D::Error> {
        let Table {
            base,
            models,
            models_by_scope,
            max_key_lifetime,
            max_key_idle,
            environments,
            limits,
            two_proofs,
            addresses,
            audit,
        } = Table::deserialize(value)?;
        let role = self.0;
        let is_built_in = !matches!(role, Role::Custom(_));
        let base = match base {
            Some(_) if is_built_in => {
                let message = format!("the scopes of the built-in role {role} cannot be changed, so it has no base");
                return Err(D::Error::custom(message));
            }
            None if !is_built_in => {
                let names = Role::BUILT_IN.iter().map(Role::name);
                let meant = nearest(role.name(), names.clone());
                let meant = meant.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default();
                let message = format!("a new role needs base, which is one of {}{meant}", list(names));
                return Err(D::Error::custom(message));
            }
            base => base.unwrap_or_else(|| role.clone()),
        };
        let mut rules = RoleRules::built_in(base.clone());
        let ModelsByScope { inference, models_read, models_write } = models_by_scope;
        for (at, (scope, own)) in SCOPES_WITH_MODELS.into_iter().zip([inference, models_read, models_write]).enumerate()
        {
            if own.is_some() && !rules.scopes.contains(scope) {
                return Err(D::Error::custom(format!("models-by-scope: {base} does not have the scope {scope}")));
            }
            rules.models[at] = own.or_else(|| models.clone()).unwrap_or_default();
        }
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        rules.max_key_lifetime = max_key_lifetime.map(seconds);
        rules.max_key_idle = max_key_idle.map(seconds);
        rules.environments = environments;
        rules.limits = limits;
        rules.two_proofs = two_proofs.into_iter().map(|ProofScope(scope)| scope).collect();
        if let Some(scope) = rules.two_proofs.without(rules.scopes).iter().next() {
            return Err(D::Error::custom(format!("two-proofs: {base} does not have the scope {scope}")));
        }
        rules.addresses = addresses;
        if audit == Some(false) && rules.audit {
            let message = format!("audit: people with the role {base} always read the event log; leave it out");
            return Err(D::Error::custom(message));
        }
        rules.audit |= audit == Some(true);
        Ok(rules)
    }
}

/// The tables below `[roles]`.
pub fn roles<'de, D: Deserializer<'de>>(value: D) -> Result<Roles, D::Error> {
    struct Tables;

    impl<'de> Visitor<'de> for Tables {
        type Value = Roles;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Roles, A::Error> {
            let mut all = Vec::new();
            while let Some(role) = map.next_key::<Role>()? {
                if role.workload().is_some() {
                    let message = format!("{role} is the role of a workload rule: set it in [[workload]]");
                    return Err(A::Error::custom(message));
                }
                let rules = map.next_value_seed(Named(&role))?;
                all.push((role, rules));
                if all.len() > MOST_ROLES {
                    return Err(A::Error::custom(format!("there are more than {MOST_ROLES} roles")));
                }
            }
            Ok(Roles::new(all))
        }
    }
    value.deserialize_map(Tables)
}

/// The name of a built-in role.
fn built_in<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Role>, D::Error> {
    let name = String::deserialize(value).map_err(|_| D::Error::custom(""))?;
    Role::BUILT_IN.into_iter().find(|role| role.name() == name).map(Some).ok_or_else(|| D::Error::custom(""))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// What `two-proofs` must be, with an example.
pub(super) const EXPECTED_PROOFS: &str = "a list of scopes such as [\"inference\", \"keys\"]";

/// What a member of such a table must be, with an example.
pub fn expected(name: &str) -> Option<&'static str> {
    match name.strip_prefix("roles.")?.split_once('.') {
        None => Some("the table of a role, such as [roles.research] with base = \"member\""),
        Some((_, "base")) => Some("one of viewer, auditor, member, maintainer and admin"),
        Some((_, "max-key-lifetime" | "max-key-idle")) => {
            Some("a number of days from 1d to 3650d, such as 90d, or none")
        }
        Some((_, "models")) => Some("a list of model patterns such as [\"llama3*\", \"qwen3:*\"]"),
        Some((_, "two-proofs")) => Some(EXPECTED_PROOFS),
        Some((_, "audit")) => Some("true or false"),
        Some((_, "environments")) => Some("a list of environments such as [\"staging\"]"),
        Some((_, "models-by-scope")) => Some("a table with any of inference, models:read and models:write"),
        Some((_, rest)) if rest.starts_with("models-by-scope.") => {
            Some("a list of model patterns such as [\"llama3*\", \"qwen3:*\"]")
        }
        Some(_) => None,
    }
}
