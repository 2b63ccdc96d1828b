//! The tables of the configuration that define who may do what: roles, groups and environments. Commands that do not serve need these, and nothing else of it.

use super::environments::Environments;
use super::groups::Groups;
use super::roles::Roles;

/// All of them. Clones share what is in them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyTables {
    /// The roles.
    pub roles: Roles,
    /// The groups.
    pub groups: Groups,
    /// The environments.
    pub environments: Environments,
}

/// Without groups and environments.
impl From<Roles> for PolicyTables {
    fn from(roles: Roles) -> Self {
        Self { roles, ..Self::default() }
    }
}
