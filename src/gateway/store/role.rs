//! Roles, by their names. What each of them allows is in `crate::gateway::roles`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::keyspec::{Scope, Scopes};

/// What an account may do at most, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Role {
    /// Sees models, has keys.
    Viewer,
    /// Runs models, too.
    Member,
    /// And changes which models there are.
    Maintainer,
    /// And manages the accounts.
    Admin,
    /// One that the configuration defines.
    Custom(CustomRole),
}

/// The name of a role that is not built in. Only [`Role::from_name`] makes one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CustomRole(Arc<str>);

impl Role {
    /// Those that are there without a configuration.
    pub const BUILT_IN: [Self; 4] = [Self::Viewer, Self::Member, Self::Maintainer, Self::Admin];

    /// Its name, such as `member`.
    pub fn name(&self) -> &str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Maintainer => "maintainer",
            Self::Admin => "admin",
            Self::Custom(CustomRole(name)) => name,
        }
    }

    /// The role of that name: 1 to 32 of lower-case ASCII letters, digits and `-`. It need not be defined.
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
            Self::Viewer => all.without([Scope::Inference, Scope::ModelsWrite, Scope::Admin].into_iter().collect()),
            Self::Member => all.without([Scope::ModelsWrite, Scope::Admin].into_iter().collect()),
            Self::Maintainer => all.without([Scope::Admin].into_iter().collect()),
            Self::Admin => all,
            Self::Custom(_) => Scopes::default(),
        }
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

impl TryFrom<String> for Role {
    type Error = RoleError;

    fn try_from(name: String) -> Result<Self, RoleError> {
        name.parse()
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.name().to_owned()
    }
}
