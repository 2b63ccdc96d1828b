//! Roles as they are typed.

use crate::exit::{Exit, Problem};
use crate::gateway::{Role, RoleError};

/// The role of that name.
///
/// # Errors
/// Exit 2 for a text that is not a role's name.
pub fn role_named(name: &str) -> Result<Role, Problem> {
    name.parse().map_err(|error: RoleError| {
        Problem::new(Exit::Usage, error.to_string())
            .hint("use viewer, auditor, member, maintainer, admin, or a role of gateway.toml")
    })
}
