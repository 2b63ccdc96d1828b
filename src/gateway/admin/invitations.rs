//! Invitations: made, listed and revoked by an administrator. They are used on the page `/invite`.

use std::sync::Arc;

use super::error::AdminError;
use super::message::AdminReply;
use super::perform::AdminContext;
use super::rows::InvitationRow;
use super::suspend::checked_reason;
use crate::gateway::store::{Invitation, InvitationId, InvitationState, InvitationToken};
use crate::gateway::{Change, Event, Role, User};

/// The longest that an invitation can be used, in seconds: 30 days.
pub const LONGEST_INVITATION: u64 = 30 * 24 * 60 * 60;
/// Invitations that can be used at a time.
const MOST_OPEN: usize = 1000;

impl AdminContext<'_> {
    pub(super) async fn invite(
        &self,
        name: Option<String>,
        email: String,
        role: Role,
        expires_in: u64,
        reason: Option<String>,
    ) -> Result<AdminReply, AdminError> {
        if let Some(name) = &name {
            if !User::is_name(name) {
                return Err(AdminError::BadName(name.clone()));
            }
            if self.directory.user_by_name(name).is_some() {
                return Err(AdminError::NameTaken(name.clone()));
            }
        }
        if !User::is_email(&email) {
            return Err(AdminError::BadEmail);
        }
        if !(1..=LONGEST_INVITATION).contains(&expires_in) {
            return Err(AdminError::BadExpiry);
        }
        self.require_defined(&role)?;
        let reason = checked_reason(reason)?;
        let is_open = |invitation: &&Arc<Invitation>| invitation.state(self.now) == InvitationState::Open;
        if self.directory.invitations().iter().filter(is_open).count() >= MOST_OPEN {
            return Err(AdminError::TooManyInvitations);
        }
        let failed =
            |_| AdminError::Failed { message: "no random numbers from the operating system".to_owned(), hint: None };
        let token = InvitationToken::generate().map_err(failed)?;
        let invitation = Arc::new(Invitation {
            id: InvitationId::generate().map_err(failed)?,
            hash: InvitationToken::hash_of(token.expose()),
            name,
            email,
            role,
            maker: self.maker(),
            created_at: self.now,
            expires_at: self.now.saturating_add_unsigned(expires_in),
            used_at: None,
            used_by: None,
            revoked_at: None,
        });
        let event = self.invitation_event("invitation.created", &invitation);
        let event = event.with("expires_at", invitation.expires_at).with("reason", reason);
        self.commit(Change::AddInvitation(invitation.clone()), event).await?;
        let link =
            self.running.map(|running| running.config.get().url.join(&format!("/invite?token={}", token.expose())));
        Ok(AdminReply::Invited { invitation: self.invitation_row(&invitation), token, link })
    }

    pub(super) fn list_invitations(&self) -> AdminReply {
        let rows = self.directory.invitations().iter().map(|invitation| self.invitation_row(invitation)).collect();
        AdminReply::Invitations(rows)
    }

    pub(super) async fn revoke_invitation(&self, id: &InvitationId) -> Result<AdminReply, AdminError> {
        let missing = || AdminError::NoInvitation(id.to_string());
        let before = self.directory.invitation(id).ok_or_else(missing)?;
        if before.used_at.is_some() {
            return Err(AdminError::UsedInvitation(id.to_string()));
        }
        let event = self.invitation_event("invitation.revoked", &before);
        self.commit(Change::RevokeInvitation(id.clone(), self.now), event).await?;
        let after = self.directory.invitation(id).ok_or_else(missing)?;
        let changed = before.revoked_at.is_none();
        Ok(AdminReply::Invitation { invitation: self.invitation_row(&after), changed })
    }

    fn invitation_event(&self, action: &'static str, invitation: &Invitation) -> Event {
        let event = self.bare_event(action, invitation.id.as_str());
        event.with("role", &invitation.role).with("name", &invitation.name)
    }

    fn invitation_row(&self, invitation: &Invitation) -> InvitationRow {
        let maker = |id| {
            self.directory.user(id).map_or_else(|| "user:(removed)".to_owned(), |user| format!("user:{}", user.name))
        };
        InvitationRow {
            id: invitation.id.clone(),
            name: invitation.name.clone(),
            email: invitation.email.clone(),
            role: invitation.role.clone(),
            created_by: invitation.maker.map_or_else(|| "admin".to_owned(), maker),
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
            used_at: invitation.used_at,
            used_by: invitation.used_by.clone(),
            revoked_at: invitation.revoked_at,
            state: invitation.state(self.now),
        }
    }
}
