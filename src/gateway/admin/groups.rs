//! The groups of an account, and limits of its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::AdminError;
use super::message::{AdminReply, GroupChange};
use super::perform::AdminContext;
use super::suspend::checked_reason;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::{Change, Directory, Event, User};
use crate::keyspec::RequestLimits;

/// Groups of one account: each request counts in all of them.
const MOST_GROUPS: usize = 32;

impl GroupChange {
    /// The groups of an account that is in `groups` now.
    fn apply(&self, groups: &[PolicyName]) -> Vec<PolicyName> {
        let mut all: BTreeSet<PolicyName> = groups.iter().copied().collect();
        match self {
            Self::Set(new) => all = new.iter().copied().collect(),
            Self::Add(new) => all.extend(new),
            Self::Remove(old) => all.retain(|group| !old.contains(group)),
        }
        all.into_iter().collect()
    }

    /// Those that it names for the account to be in.
    fn joined(&self) -> &[PolicyName] {
        match self {
            Self::Set(groups) | Self::Add(groups) => groups,
            Self::Remove(_) => &[],
        }
    }
}

impl AdminContext<'_> {
    pub(super) async fn set_groups(
        &self,
        name: &str,
        change: &GroupChange,
        reason: Option<String>,
    ) -> Result<AdminReply, AdminError> {
        let (reason, defined) = (checked_reason(reason)?, self.directory.groups());
        if let Some(group) = change.joined().iter().find(|group| !defined.is_defined(group)) {
            return Err(AdminError::NoGroup(group.to_string()));
        }
        loop {
            let user = self.user(name)?;
            let groups = change.apply(&user.groups);
            if groups.len() > MOST_GROUPS {
                return Err(AdminError::TooManyGroups(MOST_GROUPS));
            }
            let event = self.event("user.groups", &user).with("from", listed(&user.groups));
            let event = event.with("to", listed(&groups)).with("reason", &reason);
            // What another command adds or removes at the same time must not get lost.
            if self.commit_if_unchanged(Change::SetGroups(user.id, groups), event, &user).await? {
                return self.user_reply(user.id, name);
            }
        }
    }

    pub(super) async fn set_limits(
        &self,
        name: &str,
        limits: RequestLimits,
        reason: Option<String>,
    ) -> Result<AdminReply, AdminError> {
        let reason = checked_reason(reason)?;
        limits.check().map_err(|error| AdminError::Failed { message: format!("limits: {error}"), hint: None })?;
        let user = self.user(name)?;
        let shown = |limits: RequestLimits| (!limits.is_none()).then_some(limits);
        let event = self.event("user.limits", &user).with("from", shown(user.limits));
        let event = event.with("to", shown(limits)).with("reason", &reason);
        self.commit(Change::SetLimits(user.id, limits), event).await?;
        self.user_reply(user.id, name)
    }

    /// Those of an account's groups that are not defined.
    pub(super) fn undefined_groups(&self, user: &User) -> Vec<PolicyName> {
        let defined = self.directory.groups();
        user.groups.iter().filter(|group| !defined.is_defined(group)).copied().collect()
    }

    async fn commit_if_unchanged(&self, change: Change, event: Event, user: &Arc<User>) -> Result<bool, AdminError> {
        let (id, groups) = (user.id, user.groups.clone());
        let is_unchanged = move |directory: &Directory| directory.user(id).is_some_and(|user| user.groups == groups);
        let made = self.directory.commit_if(change, event, is_unchanged).await;
        // An account that was removed is not found in the next round.
        made.map_err(|error| self.failure(error).into())
    }
}

/// As an event shows them.
fn listed(groups: &[PolicyName]) -> Option<String> {
    (!groups.is_empty()).then(|| groups.iter().map(PolicyName::as_str).collect::<Vec<_>>().join(", "))
}
