//! Suspending accounts, devices and API keys, and lifting that.

use std::sync::Arc;

use super::credentials::device_row;
use super::error::AdminError;
use super::message::{AdminReply, AdminSubject};
use super::perform::AdminContext;
use crate::gateway::account;
use crate::gateway::directory::Known;
use crate::gateway::store::{KeyRecord, Suspendable, Suspension, Use};
use crate::gateway::{Change, Device, Event, User};

/// What was named, as it is.
pub(super) enum Subject {
    User(Arc<User>),
    Device(Known<Device>),
    Key(Known<KeyRecord>),
}

impl AdminContext<'_> {
    pub(super) async fn suspend(&self, what: &AdminSubject, reason: Option<String>) -> Result<AdminReply, AdminError> {
        let subject = self.find(what).await?;
        let (change, event) = self.suspension(&subject, reason)?;
        self.commit(change, event).await?;
        self.suspended_reply(what, !subject.is_suspended())
    }

    pub(super) async fn resume(&self, what: &AdminSubject) -> Result<AdminReply, AdminError> {
        let subject = self.find(what).await?;
        let event = self.event_about(subject.action(false), subject.name(), subject.owner());
        if let Subject::Key(known) = &subject
            && subject.is_suspended()
        {
            // Before it is accepted again: a key that nobody used for long would be suspended again at once.
            let used = Use::Key(known.credential.id.clone());
            self.directory.record_use(used, self.now).await.map_err(|error| self.failed(&error))?;
        }
        self.commit(Change::SetSuspended(subject.id(), None), event.with("name", subject.label())).await?;
        self.suspended_reply(what, subject.is_suspended())
    }

    /// What suspends it, and the event for that.
    ///
    /// # Errors
    /// [`AdminError::BadReason`].
    pub(super) fn suspension(&self, subject: &Subject, reason: Option<String>) -> Result<(Change, Event), AdminError> {
        let reason = checked_reason(reason)?;
        let event = self.event_about(subject.action(true), subject.name(), subject.owner());
        let event = event.with("name", subject.label()).with("reason", &reason);
        let suspension = Suspension { since: self.now, reason };
        Ok((Change::SetSuspended(subject.id(), Some(suspension.into())), event))
    }

    /// What is named, among what is accepted or suspended.
    ///
    /// # Errors
    /// There is no such thing.
    pub(super) fn find_unended(&self, what: &AdminSubject) -> Result<Subject, AdminError> {
        match what {
            AdminSubject::User(name) => self.user(name).map(Subject::User),
            AdminSubject::Device(key) => {
                self.directory.device(key).map(Subject::Device).ok_or_else(|| AdminError::NoDevice(key.fingerprint()))
            }
            AdminSubject::Key(id) => {
                let known = self.directory.unended_key(id).filter(|known| known.credential.is_live(self.now));
                known.map(Subject::Key).ok_or_else(|| AdminError::NoKey(id.to_string()))
            }
        }
    }

    async fn find(&self, what: &AdminSubject) -> Result<Subject, AdminError> {
        match (self.find_unended(what), what) {
            (Err(error @ AdminError::NoKey(_)), AdminSubject::Key(id)) => {
                let ended = self.directory.key_by_id(id).await.map_err(|error| self.failed(&error))?;
                Err(if ended.is_some() { AdminError::Ended(id.clone()) } else { error })
            }
            (found, _) => found,
        }
    }

    /// It as it is now.
    pub(super) fn suspended_reply(&self, what: &AdminSubject, changed: bool) -> Result<AdminReply, AdminError> {
        Ok(match self.find_unended(what)? {
            Subject::User(user) => AdminReply::User(self.row(&user)),
            Subject::Device(known) => {
                AdminReply::Device { device: device_row(&known.user, &known.credential), changed }
            }
            Subject::Key(known) => AdminReply::Key { key: self.key_row(&known.user.name, &known.credential), changed },
        })
    }
}

/// A reason for the event log: one line.
///
/// # Errors
/// [`AdminError::BadReason`].
pub(super) fn checked_reason(reason: Option<String>) -> Result<Option<String>, AdminError> {
    let checked = |text: String| account::name("reason", &text).map_err(|_| AdminError::BadReason(text));
    reason.map(checked).transpose()
}

impl Subject {
    fn id(&self) -> Suspendable {
        match self {
            Self::User(user) => Suspendable::User(user.id),
            Self::Device(known) => Suspendable::Device(known.credential.key.clone()),
            Self::Key(known) => Suspendable::Key(known.credential.id.clone()),
        }
    }

    fn owner(&self) -> &User {
        match self {
            Self::User(user) => user,
            Self::Device(known) => &known.user,
            Self::Key(known) => &known.user,
        }
    }

    fn is_suspended(&self) -> bool {
        match self {
            Self::User(user) => user.suspended.is_some(),
            Self::Device(known) => known.credential.suspended.is_some(),
            Self::Key(known) => known.credential.suspended.is_some(),
        }
    }

    /// The subject of its events.
    fn name(&self) -> String {
        match self {
            Self::User(user) => user.name.clone(),
            Self::Device(known) => known.credential.key.fingerprint(),
            Self::Key(known) => known.credential.id.to_string(),
        }
    }

    /// What people call it, if that is something else.
    fn label(&self) -> Option<&str> {
        match self {
            Self::User(_) => None,
            Self::Device(known) => Some(&known.credential.name),
            Self::Key(known) => Some(&known.credential.name),
        }
    }

    fn action(&self, suspends: bool) -> &'static str {
        match (self, suspends) {
            (Self::User(_), true) => "user.suspended",
            (Self::User(_), false) => "user.resumed",
            (Self::Device(_), true) => "device.suspended",
            (Self::Device(_), false) => "device.resumed",
            (Self::Key(_), true) => "key.suspended",
            (Self::Key(_), false) => "key.resumed",
        }
    }
}
