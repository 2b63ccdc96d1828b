//! Keeps API keys out of what is stored: one may be pasted where a name, a reason or a message belongs. In its place is the id of the
//! key, so that the log says which one to revoke.

use std::borrow::Cow;
use std::sync::Arc;

use super::Inner;
use crate::gateway::store::{Change, Event, Suspension};
use crate::keyspec::{KeyHash, without_keys};

/// In place of a key that is not one of this gateway, or was deleted.
const UNKNOWN: &str = "(an unknown API key)";

impl Inner {
    /// A change and its event with the ids of API keys in place of the keys.
    pub(super) fn redacted(&self, change: Change, event: Event) -> (Change, Event) {
        (self.redacted_change(change), self.redacted_event(event))
    }

    /// The same for an event alone.
    pub(super) fn redacted_event(&self, mut event: Event) -> Event {
        event.replace_texts(&mut |text| self.redact(text));
        event
    }

    fn redacted_change(&self, mut change: Change) -> Change {
        match &mut change {
            // The name of an account cannot hold a key; issuer and subject of an identity are what the provider says.
            Change::AddUser(user, _) | Change::UseInvitation(_, user, _) | Change::AddIdentity(user, _) => {
                self.redact(&mut user.email);
            }
            Change::SetEmail(_, email) => self.redact(email),
            Change::SetSuspended(_, Some(suspension)) => {
                if let Some(reason) = &suspension.reason
                    && let Cow::Owned(reason) = self.without_keys(reason)
                {
                    *suspension = Arc::new(Suspension { reason: Some(reason), ..(**suspension).clone() });
                }
            }
            Change::AddDevice(device) => self.redact(&mut device.name),
            Change::AddKey(key) => {
                self.redact(&mut key.name);
                if let Some(environment) = &mut key.environment {
                    self.redact(environment);
                }
            }
            Change::SetMaintenance(Some(maintenance)) => self.redact(&mut Arc::make_mut(maintenance).message),
            Change::AddInvitation(invitation) => self.redact(&mut Arc::make_mut(invitation).email),
            Change::SetPassword(..)
            | Change::SetRole(..)
            | Change::SetGroups(..)
            | Change::SetLimits(..)
            | Change::SetAddresses(..)
            | Change::SetDisabled(..)
            | Change::SetSuspended(_, None)
            | Change::RemoveUser(_)
            | Change::RemoveDevice(_)
            | Change::RevokeKey(..)
            | Change::ExpireKey(..)
            | Change::SetMaintenance(None)
            | Change::RevokeInvitation(..)
            | Change::NoteSignIn(..)
            | Change::Note => {}
        }
        change
    }

    fn redact(&self, text: &mut String) {
        if let Cow::Owned(redacted) = self.without_keys(text) {
            *text = redacted;
        }
    }

    fn without_keys<'a>(&self, text: &'a str) -> Cow<'a, str> {
        without_keys(text, |hash| hash.and_then(|hash| self.id_of(hash)).unwrap_or_else(|| UNKNOWN.to_owned()))
    }

    fn id_of(&self, hash: &KeyHash) -> Option<String> {
        let memory = self.read();
        let id = memory.by_hash.get(hash).or_else(|| memory.ended.get(hash).map(|ended| &ended.id))?;
        Some(id.to_string())
    }
}
