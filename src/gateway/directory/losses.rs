//! Which people and keys lose what, when other roles come into effect.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Directory;
use super::idle::not_used_for;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::policy_tables::PolicyTables;
use crate::gateway::roles::{RoleRules, Roles, SCOPES_WITH_MODELS, lifetime_text};
use crate::gateway::store::{KeyRecord, Role, User};
use crate::keyspec::KeyId;

/// What a person, or one of a person's keys, loses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The account's name.
    pub user: String,
    /// Its role.
    pub role: Role,
    /// The API key; `None`: the person, with all devices.
    pub key: Option<KeyId>,
    /// What the key is called.
    pub name: Option<String>,
    /// The rights, in words.
    pub lost: Vec<String>,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lost.join("; "))
    }
}

impl Directory {
    /// What people and valid keys lose if `new` comes into effect at `now`: people by name, each before their keys.
    pub fn losses(&self, new: &PolicyTables, now: i64) -> Vec<Loss> {
        let old = self.policy_tables();
        let has_same_environments = old.environments == new.environments;
        let mut losses = Vec::new();
        for user in self.users() {
            let (before, after) = (old.roles.of(&user.role), new.roles.of(&user.role));
            let asks_no_more = after.two_proofs.is_subset(before.two_proofs);
            let suspends_no_more = after.max_key_idle == before.max_key_idle;
            if after.covers(&before) && asks_no_more && suspends_no_more && has_same_environments {
                continue;
            }
            let mut add = |key: Option<&KeyRecord>| {
                let mut lost = lost(&user.role, key, &before, &after, now);
                lost.extend(key.and_then(|key| lost_by_environment(key, (&old, &before), (new, &after), now)));
                let longest = |key| (old.max_key_idle(&before, key), new.max_key_idle(&after, key));
                lost.extend(key.and_then(|key| lost_by_idle_time(key, longest(key), now)));
                if !lost.is_empty() {
                    let (id, name) = (key.map(|key| key.id.clone()), key.map(|key| key.name.clone()));
                    losses.push(Loss { user: user.name.clone(), role: user.role.clone(), key: id, name, lost });
                }
            };
            add(None);
            let keys = self.keys_of(user.id);
            keys.iter().filter(|key| key.is_live(now) && before.allows_age(key, now)).for_each(|key| add(Some(key)));
        }
        losses
    }

    /// The people whose role is not defined, by name.
    pub fn people_without_role(&self, roles: &Roles) -> Vec<Arc<User>> {
        self.users().into_iter().filter(|user| !user.is_service_account() && !roles.is_defined(&user.role)).collect()
    }

    /// Says in the log who is in a group that is not defined. Nothing is refused: the membership has no effect.
    pub fn warn_of_undefined_groups(&self) {
        let (groups, mut people) = (self.groups(), BTreeMap::<PolicyName, Vec<String>>::new());
        for user in self.users() {
            for group in user.groups.iter().filter(|group| !groups.is_defined(group)) {
                people.entry(*group).or_default().push(user.name.clone());
            }
        }
        for (group, people) in people {
            let (group, users) = (group.as_str(), people.join(", "));
            tracing::warn!(group, users, "the group of these accounts is not defined: its limits do not apply to them");
        }
    }

    /// Says in the log which environments accept unlabelled keys and devices no longer.
    pub fn warn_of_closed_environments(&self, new: &PolicyTables) {
        for old in self.environments().all().filter(|rules| rules.allow_unlabelled) {
            if !new.environments.get(old.name.as_str()).is_some_and(|rules| rules.allow_unlabelled) {
                let environment = old.name.as_str();
                tracing::warn!(
                    environment,
                    "the names and listeners of this environment accept no unlabelled keys and no devices any more"
                );
            }
        }
    }

    /// Whether nobody could administrate with these roles who could otherwise: someone's role is not defined, and no enabled account is
    /// of an administrator.
    pub fn would_lock_out(&self, roles: &Roles) -> bool {
        let (users, now) = (self.users(), self.roles());
        let mut enabled = users.iter().filter(|user| user.is_active() && !user.is_service_account());
        enabled.clone().any(|user| !roles.is_defined(&user.role) || now.administrates(&user.role))
            && !enabled.any(|user| roles.administrates(&user.role))
    }
}

/// What a key loses with its environment.
fn lost_by_environment(
    key: &KeyRecord,
    (old, before): (&PolicyTables, &RoleRules),
    (new, after): (&PolicyTables, &RoleRules),
    now: i64,
) -> Option<String> {
    let label = key.environment.as_deref()?;
    let (was, is) = (old.environments.get(label), new.environments.get(label));
    let Some(is) = is else {
        return was.map(|rules| format!("its environment {} is not defined any more", rules.name));
    };
    if after.base.is_some() && before.allows_environment(is.name) && !after.allows_environment(is.name) {
        return Some(format!("everything: the role does not allow the environment {}", is.name));
    }
    let demanded =
        is.two_proofs.without(was.map(|rules| rules.two_proofs).unwrap_or_default()).without(before.two_proofs);
    let had = key.rights.scopes.intersection(before.scopes);
    let demanded: Vec<String> = had.intersection(demanded).iter().map(|scope| scope.to_string()).collect();
    if !demanded.is_empty() {
        let scopes = demanded.join(", ");
        return Some(format!("{scopes} needs two proofs in the environment {}", is.name));
    }
    let end = new.environments.end_of(key)?;
    let earliest = key.rights.expires_at.into_iter().chain(old.environments.end_of(key)).min();
    match earliest.is_none_or(|before| end < before) {
        true if end <= now => Some(format!("everything: it is older than the environment {} allows", is.name)),
        true => Some(format!("it expires earlier, in {} days", (end - now) / 86_400)),
        false => None,
    }
}

/// What a key loses that was used last before the new rules allow, but not before the old ones do.
fn lost_by_idle_time(key: &KeyRecord, (before, after): (Option<i64>, Option<i64>), now: i64) -> Option<String> {
    let idle = now.saturating_sub(key.last_use());
    let is_lost = after.is_some_and(|longest| idle >= longest) && before.is_none_or(|longest| idle < longest);
    (is_lost && key.suspended.is_none()).then(|| format!("it is suspended: {}", not_used_for(idle)))
}

/// What a key loses; without one, a device.
fn lost(role: &Role, key: Option<&KeyRecord>, before: &RoleRules, after: &RoleRules, now: i64) -> Vec<String> {
    if after.base.is_none() {
        return vec![format!("everything: the role {role} is not defined")];
    }
    if key.is_some_and(|key| !after.allows_age(key, now)) {
        return vec!["everything: it is older than the role allows".to_owned()];
    }
    let had = key.map_or(before.scopes, |key| key.rights.scopes.intersection(before.scopes));
    let loses_log = key.is_none() && before.audit && !after.audit;
    let mut lost: Vec<String> = had.without(after.scopes).iter().map(|scope| format!("the scope {scope}")).collect();
    for scope in SCOPES_WITH_MODELS.into_iter().filter(|scope| had.intersection(after.scopes).contains(*scope)) {
        let allowed = after.models(scope);
        let is_kept = before.models(scope).within(allowed).is_ok()
            || key.is_some_and(|key| key.rights.models.within(allowed).is_ok());
        if !is_kept {
            let patterns: Vec<&str> = allowed.patterns().iter().map(|pattern| pattern.as_str()).collect();
            lost.push(format!("models: {scope} is limited to {}", patterns.join(", ")));
        }
    }
    let demanded = had.intersection(after.two_proofs).without(before.two_proofs);
    lost.extend(demanded.iter().map(|scope| format!("{scope} needs two proofs, a device's signature and an API key")));
    if loses_log {
        lost.push("the event log".to_owned());
    }
    if let Some(key) = key
        && let Some(end) = after.end_of(key)
        && before.end_of(key).is_none_or(|before| end < before)
    {
        let left = (end - now).max(0);
        // Of a short life the days would say nothing.
        let left = if left < 86_400 { lifetime_text(left) } else { format!("{} days", left / 86_400) };
        lost.push(format!("it expires earlier, in {left}"));
    }
    lost
}
