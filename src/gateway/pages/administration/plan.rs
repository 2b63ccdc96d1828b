//! What an administrator can change with one click and a confirmation: what it is called, what it does, and the request for it.

use std::sync::Arc;

use http::StatusCode;
use maud::{Markup, html};

use super::{CHANGE, INVITATIONS, MAINTENANCE, path, person_path};
use crate::gateway::admin::{AdminRequest, AdminSubject};
use crate::gateway::pages::display;
use crate::gateway::pages::error_page::ErrorPage;
use crate::gateway::pages::page_context::PageContext;
use crate::gateway::store::{InvitationId, Role, User};
use crate::identity::PublicKey;
use crate::keyspec::KeyId;

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Role,
    SuspendUser,
    ResumeUser,
    DisableUser,
    EnableUser,
    SuspendDevice,
    ResumeDevice,
    DisconnectDevice,
    SuspendKey,
    ResumeKey,
    RevokeKey,
    RevokeInvitation,
    EndMaintenance,
}

/// What is said after a change.
pub const DONE: [(&str, &str); 13] = [
    ("role", "The role is changed."),
    ("suspend-user", "The account is suspended."),
    ("resume-user", "The suspension of the account is lifted."),
    ("disable-user", "The account is disabled."),
    ("enable-user", "The account is enabled."),
    ("suspend-device", "The device is suspended."),
    ("resume-device", "The suspension of the device is lifted."),
    ("disconnect-device", "The device is disconnected."),
    ("suspend-key", "The API key is suspended."),
    ("resume-key", "The suspension of the API key is lifted."),
    ("revoke-key", "The API key is revoked."),
    ("revoke-invitation", "The invitation is revoked."),
    ("end-maintenance", "The maintenance message is removed."),
];

impl Action {
    const ALL: [Self; 13] = [
        Self::Role,
        Self::SuspendUser,
        Self::ResumeUser,
        Self::DisableUser,
        Self::EnableUser,
        Self::SuspendDevice,
        Self::ResumeDevice,
        Self::DisconnectDevice,
        Self::SuspendKey,
        Self::ResumeKey,
        Self::RevokeKey,
        Self::RevokeInvitation,
        Self::EndMaintenance,
    ];

    /// Its name in addresses and forms.
    pub fn word(self) -> &'static str {
        DONE[self as usize].0
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }

    /// Its button.
    pub fn label(self) -> &'static str {
        match self {
            Self::Role => "Change role",
            Self::SuspendUser | Self::SuspendDevice | Self::SuspendKey => "Suspend",
            Self::ResumeUser => "Lift suspension",
            Self::ResumeDevice | Self::ResumeKey => "Resume",
            Self::DisableUser => "Disable",
            Self::EnableUser => "Enable",
            Self::DisconnectDevice => "Disconnect",
            Self::RevokeKey | Self::RevokeInvitation => "Revoke",
            Self::EndMaintenance => "Remove",
        }
    }

    /// Whether it takes something away.
    pub fn is_taking(self) -> bool {
        matches!(
            self,
            Self::SuspendUser
                | Self::DisableUser
                | Self::SuspendDevice
                | Self::DisconnectDevice
                | Self::SuspendKey
                | Self::RevokeKey
                | Self::RevokeInvitation
        )
    }

    /// The path of its confirmation.
    pub fn path(self, of: &str) -> String {
        path(CHANGE, &[("action", self.word()), ("of", of)])
    }

    /// What it does, for the one who confirms it.
    fn effect(self) -> &'static str {
        match self {
            Self::Role => {
                "The role limits the account's devices and API keys, too. Responses whose right is gone are cut off."
            }
            Self::SuspendUser => {
                "Sign-ins, devices and API keys are refused until you lift it, and running responses are cut off. The person sees the reason."
            }
            Self::ResumeUser => {
                "Devices and API keys work again, unless they are suspended themselves, have expired or were revoked."
            }
            Self::DisableUser => {
                "Sign-ins, devices and API keys are refused, and running responses are cut off. Nothing is deleted."
            }
            Self::EnableUser => "Devices and API keys work again, unless they have expired or were revoked.",
            Self::SuspendDevice => {
                "Its requests are refused until you lift it. It stays connected, and API keys that it created continue. The owner sees the reason."
            }
            Self::ResumeDevice => "Its requests are accepted again.",
            Self::DisconnectDevice => {
                "Its requests are refused at once. To use the gateway again, it must be approved again."
            }
            Self::SuspendKey => {
                "Its requests are refused until you lift it. Keys that it created continue. The owner sees the reason."
            }
            Self::ResumeKey => "Its requests are accepted again, unless it has expired.",
            Self::RevokeKey => "Programs that use this key are refused at once. You cannot undo this.",
            Self::RevokeInvitation => "Its link no longer works.",
            Self::EndMaintenance => "Nobody is told of maintenance any more, and requests are accepted again.",
        }
    }
}

/// A change that can be confirmed.
pub struct Plan {
    pub action: Action,
    /// What it is done to, as in the address.
    pub of: String,
    /// The role, with [`Action::Role`].
    pub role: String,
    pub question: String,
    pub effect: &'static str,
    pub facts: Markup,
    pub request: AdminRequest,
    /// The page that it leads back to.
    pub back: String,
    /// The one among [`super::PEOPLE`] and its like that it belongs to.
    pub section: &'static str,
}

impl Plan {
    /// From the parameters of an address or a form.
    ///
    /// # Errors
    /// When they name no change, or nothing that is there.
    pub async fn of(context: &PageContext, action: &str, of: &str, role: &str) -> Result<Self, ErrorPage> {
        let incomplete = || {
            let text = html! { p { "It does not name a change. Choose one on " a href=(context.link(super::PEOPLE)) { "the people's pages" } "." } };
            context.error_page(StatusCode::BAD_REQUEST, "This link is incomplete", text)
        };
        let action = Action::named(action).ok_or_else(incomplete)?;
        let (subject, back, section, facts, request) = match action {
            Action::Role | Action::SuspendUser | Action::ResumeUser | Action::DisableUser | Action::EnableUser => {
                let user = context.pages.directory.user_by_name(of).ok_or_else(|| missing(context))?;
                let request = match action {
                    Action::Role => {
                        let role = Role::from_name(role).ok_or_else(incomplete)?;
                        AdminRequest::SetRole { name: user.name.clone(), role }
                    }
                    Action::SuspendUser => suspend(AdminSubject::User(user.name.clone())),
                    Action::ResumeUser => AdminRequest::Resume { what: AdminSubject::User(user.name.clone()) },
                    _ => AdminRequest::SetDisabled { name: user.name.clone(), disabled: action == Action::DisableUser },
                };
                let facts = html! {
                    dt { "Person" } dd { bdi dir="ltr" { (user.name) } }
                    dt { "Role" } dd { (user.role) @if action == Action::Role { " → " strong { (role) } } }
                };
                (String::new(), person_path(&user.name), super::PEOPLE, facts, request)
            }
            Action::SuspendDevice | Action::ResumeDevice | Action::DisconnectDevice => {
                let key = PublicKey::from_encoded(of).map_err(|_| incomplete())?;
                let known = context.pages.directory.device(&key).ok_or_else(|| missing(context))?;
                let facts = html! {
                    (owner(&known.user))
                    dt { "Device" } dd { (display::device_name(&known.credential.name)) }
                    dt { "Fingerprint" } dd.print { (key.grouped_fingerprint()) }
                };
                let request = match action {
                    Action::SuspendDevice => suspend(AdminSubject::Device(key)),
                    Action::ResumeDevice => AdminRequest::Resume { what: AdminSubject::Device(key) },
                    _ => AdminRequest::DisconnectDevice { key },
                };
                (" this device".to_owned(), person_path(&known.user.name), super::PEOPLE, facts, request)
            }
            Action::SuspendKey | Action::ResumeKey | Action::RevokeKey => {
                let id: KeyId = of.parse().map_err(|_| incomplete())?;
                let found = context.pages.directory.key_by_id(&id).await;
                let key = found.map_err(|error| context.internal_error(&error.to_string()))?;
                let key = key.ok_or_else(|| missing(context))?;
                let user = context.pages.directory.user(key.user).ok_or_else(|| missing(context))?;
                let facts = html! {
                    (owner(&user))
                    dt { "API key" } dd { bdi.device dir="ltr" { (display::visible_text(&key.name)) } }
                    dt { "Id" } dd.print { (id) }
                };
                let request = match action {
                    Action::SuspendKey => suspend(AdminSubject::Key(id)),
                    Action::ResumeKey => AdminRequest::Resume { what: AdminSubject::Key(id) },
                    _ => AdminRequest::RevokeKey { id },
                };
                (" this API key".to_owned(), person_path(&user.name), super::PEOPLE, facts, request)
            }
            Action::RevokeInvitation => {
                let id: InvitationId = of.parse().map_err(|_| incomplete())?;
                let invitation = context.pages.directory.invitation(&id).ok_or_else(|| missing(context))?;
                let facts = html! {
                    dt { "Id" } dd.print { (id) }
                    @if let Some(name) = &invitation.name { dt { "For" } dd { bdi dir="ltr" { (name) } } }
                    dt { "Role" } dd { (invitation.role) }
                };
                let request = AdminRequest::RevokeInvitation { id };
                (" this invitation".to_owned(), INVITATIONS.to_owned(), INVITATIONS, facts, request)
            }
            Action::EndMaintenance => {
                let message = context.pages.directory.maintenance(context.now);
                let facts = html! {
                    @if let Some(message) = &message { dt { "Message" } dd { bdi dir="ltr" { (display::visible_text(&message.message)) } } }
                };
                (
                    " the maintenance message".to_owned(),
                    MAINTENANCE.to_owned(),
                    MAINTENANCE,
                    facts,
                    AdminRequest::EndMaintenance,
                )
            }
        };
        let question = match action {
            Action::Role => "Change the role?".to_owned(),
            Action::ResumeUser => "Lift the suspension?".to_owned(),
            Action::ResumeDevice => "Lift the suspension of this device?".to_owned(),
            Action::ResumeKey => "Lift the suspension of this API key?".to_owned(),
            Action::SuspendUser | Action::DisableUser | Action::EnableUser => {
                format!("{} this account?", action.label())
            }
            _ => format!("{}{subject}?", action.label()),
        };
        let (of, role) = (of.to_owned(), role.to_owned());
        Ok(Self { action, of, role, question, effect: action.effect(), facts, request, back, section })
    }

    /// The page that it leads to when it is done.
    pub fn after(&self) -> String {
        let joint = if self.back.contains('?') { '&' } else { '?' };
        format!("{}{joint}done={}", self.back, self.action.word())
    }
}

/// The reason is added when it is confirmed.
fn suspend(what: AdminSubject) -> AdminRequest {
    AdminRequest::Suspend { what, reason: None }
}

fn owner(user: &Arc<User>) -> Markup {
    html! { dt { "Person" } dd { bdi dir="ltr" { (user.name) } } }
}

fn missing(context: &PageContext) -> ErrorPage {
    let text =
        html! { p { "It may have been removed. See " a href=(context.link(super::PEOPLE)) { "all people" } "." } };
    context.error_page(StatusCode::NOT_FOUND, "Not found", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_a_word_of_its_own() {
        for (number, action) in Action::ALL.into_iter().enumerate() {
            assert_eq!((action as usize, Action::named(DONE[number].0)), (number, Some(action)));
        }
        assert_eq!(Action::named(""), None);
    }
}
