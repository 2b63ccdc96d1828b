//! Invitations in memory: which can be used, and why others cannot.

use std::sync::Arc;

use uuid::Uuid;

use super::Directory;
use super::memory::{DirectoryError, Memory};
use crate::gateway::store::{Invitation, InvitationId, InvitationProblem, InvitationState, StoreError, User};

impl Directory {
    /// All invitations, the newest first.
    pub fn invitations(&self) -> Vec<Arc<Invitation>> {
        let mut all: Vec<_> = self.read().invitations.values().cloned().collect();
        all.sort_by(|a, b| (b.created_at, &a.id).cmp(&(a.created_at, &b.id)));
        all
    }

    /// The invitation with that id.
    pub fn invitation(&self, id: &InvitationId) -> Option<Arc<Invitation>> {
        self.read().invitations.get(id).cloned()
    }

    /// The invitation whose token has that hash, if it can be used at `now`.
    ///
    /// # Errors
    /// [`InvitationProblem`].
    pub fn open_invitation(&self, hash: &[u8; 32], now: i64) -> Result<Arc<Invitation>, InvitationProblem> {
        let memory = self.read();
        let found = memory.invitations.values().find(|invitation| invitation.hash == *hash);
        let found = found.ok_or(InvitationProblem::Unknown)?;
        memory.check_invitation(found, now).map(|()| found.clone())
    }
}

impl Memory {
    fn check_invitation(&self, invitation: &Invitation, now: i64) -> Result<(), InvitationProblem> {
        match invitation.state(now) {
            InvitationState::Used => return Err(InvitationProblem::Used),
            InvitationState::Revoked => return Err(InvitationProblem::Revoked),
            InvitationState::Expired => return Err(InvitationProblem::Expired),
            InvitationState::Open => {}
        }
        if !self.tables.roles.is_defined(&invitation.role) {
            return Err(InvitationProblem::NoRole(invitation.role.clone()));
        }
        let rules = |id: Uuid| {
            self.users.get(&id).is_some_and(|user| user.is_active() && self.tables.roles.administrates(&user.role))
        };
        match invitation.maker {
            Some(maker) if !rules(maker) => Err(InvitationProblem::NoMaker),
            _ => Ok(()),
        }
    }

    /// Whether that account may be made with that invitation, at the second that the account has.
    pub(super) fn check_use(&self, id: &InvitationId, user: &User) -> Result<(), DirectoryError> {
        let invitation = self.invitations.get(id).ok_or(InvitationProblem::Unknown)?;
        self.check_invitation(invitation, user.created_at)?;
        let is_as_invited =
            user.role == invitation.role && invitation.name.as_ref().is_none_or(|name| *name == user.name);
        if is_as_invited { self.check_new_user(user) } else { Err(InvitationProblem::Unknown.into()) }
    }

    /// Whether that account may be made.
    pub(super) fn check_new_user(&self, new: &User) -> Result<(), DirectoryError> {
        let taken = |what: String| Err(DirectoryError::Store(StoreError::Taken(what)));
        if self.users.contains_key(&new.id) {
            return taken(format!("the id {}", new.id));
        }
        match self.users.values().any(|user| user.name == new.name) {
            true => taken(format!("the name {}", new.name)),
            false => Ok(()),
        }
    }

    /// Whether that invitation may be made.
    pub(super) fn check_new_invitation(&self, new: &Invitation) -> Result<(), DirectoryError> {
        let is_same = |other: &Arc<Invitation>| other.id == new.id || other.hash == new.hash;
        match self.invitations.values().any(is_same) {
            true => Err(DirectoryError::Store(StoreError::Taken("that invitation".to_owned()))),
            false => Ok(()),
        }
    }

    /// Whether that invitation may be revoked: one that was used cannot.
    pub(super) fn check_revocation(&self, id: &InvitationId) -> Result<(), DirectoryError> {
        match self.invitations.get(id) {
            None => Err(DirectoryError::Unknown(format!("invitation {id}"))),
            Some(invitation) if invitation.used_at.is_some() => Err(InvitationProblem::Used.into()),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn put_invitation(&mut self, invitation: Invitation) {
        self.invitations.insert(invitation.id.clone(), invitation.into());
    }

    pub(super) fn change_invitation(&mut self, id: &InvitationId, change: impl FnOnce(&mut Invitation)) {
        if let Some(invitation) = self.invitations.get_mut(id) {
            change(Arc::make_mut(invitation));
        }
    }
}
