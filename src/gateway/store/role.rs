//! Roles, by their names. What each of them allows is in `crate::gateway::roles`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::gateway::policy_name::PolicyName;
use crate::keyspec::{Scope, Scopes};

/// What an account may do at most, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Role {
    /// Sees models, has keys.
    Viewer,
    /// And reads the event log.
    Auditor,
    /// Sees models, has keys, and runs models.
    Member,
    /// And changes which models there are.
    Maintainer,
    /// And manages the accounts.
    Admin,
    /// One that the configuration defines.
    Custom(CustomRole),
    /// That of the service account of a workload rule. No person has it.
    Workload(WorkloadRole),
}

/// The name of a role that is not built in. Only [`Role::from_name`] makes one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CustomRole(Arc<str>);

/// The name of the role of a workload rule: `workload:` and the name of the rule. Only [`Role::of_workload`] makes one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkloadRole(Arc<str>);

/// How the names of service accounts and of their roles begin. No name of a person holds a colon.
const WORKLOAD: &str = "workload:";
/// What the database has as the role of a service account. The name of the account says which it is. An earlier version takes it for a role
/// that is not defined, and refuses the account.
const STORED_WORKLOAD: &str = "workload";

impl Role {
    /// Those that are there without a configuration.
    pub const BUILT_IN: [Self; 5] = [Self::Viewer, Self::Auditor, Self::Member, Self::Maintainer, Self::Admin];

    /// Its name, such as `member`.
    pub fn name(&self) -> &str {
        match self {
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
            Self::Member => "member",
            Self::Maintainer => "maintainer",
            Self::Admin => "admin",
            Self::Custom(CustomRole(name)) | Self::Workload(WorkloadRole(name)) => name,
        }
    }

    /// The role of the service account of that workload rule. The account has the same name.
    pub fn of_workload(rule: PolicyName) -> Self {
        Self::Workload(WorkloadRole([WORKLOAD, rule.as_str()].concat().into()))
    }

    /// The workload rule whose service account has the role.
    pub fn workload(&self) -> Option<PolicyName> {
        match self {
            Self::Workload(WorkloadRole(name)) => name.strip_prefix(WORKLOAD)?.parse().ok(),
            _ => None,
        }
    }

    /// As the database has it.
    pub fn stored(&self) -> &str {
        match self {
            Self::Workload(_) => STORED_WORKLOAD,
            role => role.name(),
        }
    }

    /// The role that the database has for the account of that name.
    pub fn from_stored(role: &str, account: &str) -> Option<Self> {
        match account.strip_prefix(WORKLOAD) {
            Some(rule) => rule.parse().ok().map(Self::of_workload),
            None => Self::from_name(role),
        }
    }

    /// The role of that name that a person can have: 1 to 32 of lower-case ASCII letters, digits and `-`. It need not be defined.
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some(role) = Self::BUILT_IN.into_iter().find(|role| role.name() == name) {
            return Some(role);
        }
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = (1..=32).contains(&name.len()) && name.bytes().all(fits);
        is_name.then(|| Self::Custom(CustomRole(name.into())))
    }

    /// Everything that a built-in role may do. The configuration gives another role the scopes of one of these.
    pub fn scopes(&self) -> Scopes {
        let all = Scopes::all();
        match self {
            Self::Viewer | Self::Auditor => {
                all.without([Scope::Inference, Scope::ModelsWrite, Scope::Admin].into_iter().collect())
            }
            Self::Member => all.without([Scope::ModelsWrite, Scope::Admin].into_iter().collect()),
            Self::Maintainer => all.without([Scope::Admin].into_iter().collect()),
            Self::Admin => all,
            Self::Custom(_) | Self::Workload(_) => Scopes::default(),
        }
    }

    /// Whether people with the built-in role always read the event log.
    pub fn audits(&self) -> bool {
        matches!(self, Self::Auditor | Self::Admin)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that cannot be the name of a role; holds it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid role {0:?}: use 1 to 32 of a-z, 0-9 and `-`")]
pub struct RoleError(pub String);

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(name: &str) -> Result<Self, RoleError> {
        Self::from_name(name).ok_or_else(|| RoleError(name.to_owned()))
    }
}

/// Also that of a service account: replies and the configuration name it.
impl TryFrom<String> for Role {
    type Error = RoleError;

    fn try_from(name: String) -> Result<Self, RoleError> {
        let rule = name.strip_prefix(WORKLOAD).and_then(|rule| rule.parse().ok());
        rule.map_or_else(|| name.parse(), |rule| Ok(Self::of_workload(rule)))
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_of_a_service_account_is_given_to_no_person() {
        let role = Role::of_workload("ci".parse().unwrap());
        assert_eq!((role.name(), role.stored(), role.workload()), ("workload:ci", "workload", "ci".parse().ok()));
        assert_eq!(Role::from_name("workload:ci"), None);
        assert!("workload:ci".parse::<Role>().is_err());
        assert_eq!(Role::try_from("workload:ci".to_owned()), Ok(role.clone()));
        for bad in ["workload:", "workload:CI", "workload:a:b", "workload:a b"] {
            assert!(Role::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert_eq!(Role::from_stored("workload", "workload:ci"), Some(role.clone()));
        // Whatever the column says: no statement turns a service account into a person's.
        assert_eq!(Role::from_stored("admin", "workload:ci"), Some(role));
        assert_eq!(Role::from_stored("workload", "ada"), Role::from_name("workload"));
        assert_eq!(Role::from_stored("admin", "workload:"), None);
    }
}
