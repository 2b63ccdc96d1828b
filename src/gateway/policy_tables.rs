//! The tables of the configuration that define who may do what: roles, groups, environments and workload rules. Commands that do not serve need these, and nothing else of it.

use super::environments::Environments;
use super::groups::Groups;
use super::roles::{RoleRules, Roles};
use super::store::KeyRecord;
use super::workload::Workloads;

/// All of them. Clones share what is in them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyTables {
    /// The roles.
    pub roles: Roles,
    /// The groups.
    pub groups: Groups,
    /// The environments.
    pub environments: Environments,
    /// The workload rules. What they grant is among the roles.
    pub workloads: Workloads,
}

impl PolicyTables {
    /// How long an API key may stay unused, in seconds: by the rules of its owner's role, and by its environment.
    pub fn max_key_idle(&self, role: &RoleRules, key: &KeyRecord) -> Option<i64> {
        let environment = key.environment.as_deref().and_then(|label| self.environments.get(label));
        role.max_key_idle.into_iter().chain(environment.and_then(|rules| rules.max_key_idle)).min()
    }

    /// Whether any API key may stay unused for so long only.
    pub fn limits_idle_keys(&self) -> bool {
        self.roles.all().any(|(_, rules)| rules.max_key_idle.is_some())
            || self.environments.all().any(|rules| rules.max_key_idle.is_some())
    }

    /// When an API key ends: by itself, or because it is as old as its owner's role or its environment allows.
    pub fn end_of(&self, role: &RoleRules, key: &KeyRecord) -> Option<i64> {
        role.end_of(key).into_iter().chain(self.environments.end_of(key)).min()
    }
}

/// Without groups and environments.
impl From<Roles> for PolicyTables {
    fn from(roles: Roles) -> Self {
        Self { roles, ..Self::default() }
    }
}
