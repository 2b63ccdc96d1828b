//! What another configuration would change for the people and keys on record.

use super::error::AdminError;
use super::perform::AdminContext;
use super::rows::PolicyCheck;
use crate::gateway::config::{Config, ConfigFile, Inputs, load_tables};

/// The most losses in one reply.
const MOST_LOSSES: usize = 10_000;

impl AdminContext<'_> {
    /// Compares the configuration file with that text with what is in effect: the running gateway's or, where none runs, that of `before`.
    ///
    /// # Errors
    /// A text that is not valid: this gateway may be of another version than the command that sent it.
    pub(super) fn check_policy(&self, text: String, before: Option<String>) -> Result<PolicyCheck, AdminError> {
        if let Some(before) = before.filter(|_| self.running.is_none()) {
            self.directory.set_policy_tables(tables(before)?.policy_tables());
        }
        let tables = tables(text)?.policy_tables();
        let roles = &tables.roles;
        let mut losses = self.directory.losses(&tables, self.now);
        let more = losses.len().saturating_sub(MOST_LOSSES);
        losses.truncate(MOST_LOSSES);
        let without_role = self.directory.people_without_role(roles);
        Ok(PolicyCheck {
            losses,
            more,
            without_role: without_role.into_iter().map(|user| user.name.clone()).collect(),
            locks_out: self.directory.would_lock_out(roles),
        })
    }
}

/// A configuration of which only the tables count.
///
/// # Errors
/// A text that is not valid.
pub(super) fn tables(text: String) -> Result<Config, AdminError> {
    let file = Some(ConfigFile { path: "the configuration file".into(), bytes: text.into_bytes() });
    load_tables(&Inputs { file, ..Inputs::default() })
        .map_err(|error| AdminError::Failed { message: error.to_string(), hint: error.hint() })
}
