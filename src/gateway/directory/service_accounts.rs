//! The service accounts of workload rules: made when a rule is new, and the same at all gateways.

use std::sync::Arc;

use super::{Directory, DirectoryError};
use crate::gateway::policy_name::PolicyName;
use crate::gateway::store::{Actor, Change, Event, User};
use crate::gateway::workload::{WorkloadToken, Workloads, account_id, new_account};

impl Directory {
    /// The workload rules in effect.
    pub fn workloads(&self) -> Workloads {
        self.read().tables.workloads.clone()
    }

    /// Whether the rule that accepted a token is still there and accepts it, whatever its time is.
    pub fn accepts(&self, token: &WorkloadToken) -> bool {
        self.read().tables.workloads.get(token.rule.name).is_some_and(|rule| token.is_accepted_by(rule))
    }

    /// The service account of a rule, which is made if it is not there yet.
    ///
    /// # Errors
    /// [`DirectoryError`]; then it is not there.
    pub async fn service_account(&self, rule: PolicyName, now: i64) -> Result<Arc<User>, DirectoryError> {
        let id = account_id(rule);
        if let Some(user) = self.user(id) {
            return Ok(user);
        }
        let user = new_account(rule, now);
        let event = Event::new(now, Actor::Gateway, "workload.account_created", &user.name).of_account(&user);
        // Another gateway may have been faster.
        let is_missing = move |directory: &Self| directory.user(id).is_none();
        self.commit_if(Change::AddUser(user, None), event.with("rule", rule.as_str()), is_missing).await?;
        self.user(id).ok_or(DirectoryError::Ending)
    }

    /// Makes the service accounts that are not there yet.
    ///
    /// # Errors
    /// [`DirectoryError`] of the first that cannot be made.
    pub async fn make_service_accounts(&self, now: i64) -> Result<(), DirectoryError> {
        for rule in self.workloads().all() {
            self.service_account(rule.name, now).await?;
        }
        Ok(())
    }
}
