//! Performs the requests of administrators, on the accounts of a running gateway or of a database that a command has opened.

use uuid::Uuid;

use super::error::AdminError;
use super::message::{AdminReply, AdminRequest, DeviceRef};
use super::rows::{IdentityRow, SuspensionRow, UserRow};
use super::running::RunningGateway;
use crate::gateway::authn::Caller;
use crate::gateway::origin::Origin;
use crate::gateway::pending_devices::PendingDevices;
use crate::gateway::store::Actor;
use crate::gateway::{Change, Device, Directory, DirectoryError, Event, PasswordHash, Role, StoreError, User};
use crate::keyspec::RequestLimits;

/// The most events in one reply.
const MOST_EVENTS: u32 = 10_000;
/// The longest stored name of a device, in characters.
const LONGEST_NAME: usize = 128;

/// What a request is performed on.
pub struct AdminContext<'a> {
    /// The accounts.
    pub(super) directory: &'a Directory,
    /// The gateway; `None` when none runs.
    pub(super) running: Option<&'a RunningGateway>,
    /// The devices that ask for approval; `None` when that is not known.
    pub(super) pending: Option<&'a PendingDevices>,
    /// Who asks, if it is not a command.
    person: Option<Administrator>,
    /// Unix seconds.
    pub(super) now: i64,
}

/// An administrator in a browser.
pub struct Administrator {
    /// The person.
    pub caller: Caller,
    /// Where the request comes from.
    pub origin: Origin,
    /// Why, for the event log.
    pub reason: Option<String>,
}

/// Performs a request. Its changes are in the store when this returns.
///
/// # Errors
/// [`AdminError`]; nothing has changed then.
pub async fn perform(context: &AdminContext<'_>, request: AdminRequest) -> Result<AdminReply, AdminError> {
    match request {
        AdminRequest::AddUser { name, email, role, password } => {
            context.add_user(name, email, role, password).await.map(AdminReply::User)
        }
        AdminRequest::ListUsers => {
            Ok(AdminReply::Users(context.directory.users().iter().map(|user| context.row(user)).collect()))
        }
        AdminRequest::SetDisabled { name, disabled } => {
            let user = context.user(&name)?;
            let action = if disabled { "user.disabled" } else { "user.enabled" };
            context.commit(Change::SetDisabled(user.id, disabled), context.event(action, &user)).await?;
            if disabled {
                context.end_sessions(user.id);
            }
            context.user_reply(user.id, &name)
        }
        AdminRequest::SetPassword { name, password } => {
            let user = context.person(&name)?;
            // Otherwise a password would let the person in past what the provider says.
            if let Some(identity) = context.directory.identity_of(user.id) {
                return Err(AdminError::AtProvider(name, identity.issuer.clone()));
            }
            context.commit(Change::SetPassword(user.id, password), context.event("user.password", &user)).await?;
            context.end_sessions(user.id);
            context.user_reply(user.id, &name)
        }
        AdminRequest::SetRole { name, role } => {
            let user = context.person(&name)?;
            context.require_defined(&role)?;
            let event = context.event("user.role", &user).with("from", &user.role).with("to", &role);
            context.commit(Change::SetRole(user.id, role), event).await?;
            context.user_reply(user.id, &name)
        }
        AdminRequest::SetGroups { name, groups, reason } => context.set_groups(&name, &groups, reason).await,
        AdminRequest::SetLimits { name, limits, reason } => context.set_limits(&name, limits, reason).await,
        AdminRequest::SetAddresses { name, addresses, reason } => context.set_addresses(&name, addresses, reason).await,
        AdminRequest::Suspend { what, reason } => context.suspend(&what, reason).await,
        AdminRequest::Resume { what } => context.resume(&what).await,
        AdminRequest::RemoveUser { name } => context.remove_user(&name).await,
        AdminRequest::ListDevices { user } => context.devices(user.as_deref()).map(AdminReply::Devices),
        AdminRequest::AddDevice { key, user, name } => context.add_device(key, &user, &name).await,
        AdminRequest::DisconnectDevice { key } => context.disconnect(&key).await,
        AdminRequest::ListKeys { user, revoked, matching } => {
            context.keys(user.as_deref(), revoked, matching.as_deref()).await
        }
        AdminRequest::RevokeKey { id } => context.revoke(&id).await,
        AdminRequest::Approve { device, user } => context.approve(device, &user).await,
        AdminRequest::CheckPolicy { text, before } => context.check_policy(text, before).map(AdminReply::PolicyChecked),
        AdminRequest::ExplainPolicy(question) => context.explain(*question).await.map(AdminReply::PolicyExplained),
        AdminRequest::Status => context.status().await,
        AdminRequest::ListStreams => context.list_streams(),
        AdminRequest::EndStream { id, reason } => {
            context.end_stream(&id, reason.as_deref()).await.map(|(reply, _)| reply)
        }
        AdminRequest::Invite { name, email, role, expires_in, reason } => {
            context.invite(name, email, role, expires_in, reason).await
        }
        AdminRequest::ListInvitations => Ok(context.list_invitations()),
        AdminRequest::RevokeInvitation { id } => context.revoke_invitation(&id).await,
        AdminRequest::ShowMaintenance => Ok(context.maintenance(false)),
        AdminRequest::StartMaintenance { message, refuses, until } => {
            context.start_maintenance(message, refuses, until).await
        }
        AdminRequest::EndMaintenance => context.end_maintenance().await,
        AdminRequest::BeginLog { reason } => {
            let begun = context.directory.begin_log(Event::log_begun(context.now, &reason)).await;
            begun.map(|origin| AdminReply::LogBegun { origin }).map_err(|error| context.failed(&error))
        }
        AdminRequest::NoteAuditKey { verifier, removed } => {
            let action = if removed { "audit.key_removed" } else { "audit.key_added" };
            let event = Event::new(context.now, Actor::Admin, action, verifier);
            context.directory.record(event).await.map_err(|error| context.failed(&error))?;
            Ok(AdminReply::Noted)
        }
        AdminRequest::MakeCheckpoint => context.make_checkpoint().await,
        AdminRequest::Usage(question) => context.usage(&question).await,
        AdminRequest::Events { limit, filter } => {
            let events = context.directory.events(limit.min(MOST_EVENTS), filter).await;
            events.map(AdminReply::Events).map_err(|error| context.failed(&error))
        }
        AdminRequest::EventPage { limit, filter } => {
            let page = context.directory.event_page(limit.min(MOST_EVENTS), filter).await;
            page.map(AdminReply::EventPage).map_err(|error| context.failed(&error))
        }
    }
}

impl<'a> AdminContext<'a> {
    /// For a database that no gateway has open, at that Unix second.
    pub fn offline(directory: &'a Directory, now: i64) -> Self {
        Self { directory, running: None, pending: None, person: None, now }
    }

    /// For a database that gateways share, and the devices that ask at any of them for approval.
    pub fn shared(directory: &'a Directory, pending: &'a PendingDevices, now: i64) -> Self {
        Self { directory, running: None, pending: Some(pending), person: None, now }
    }

    /// For a running gateway, at that Unix second.
    pub fn of(running: &'a RunningGateway, now: i64) -> Self {
        let RunningGateway { directory, pending_devices, .. } = running;
        Self { directory, running: Some(running), pending: Some(pending_devices), person: None, now }
    }
    /// The same for a person in a browser, who must be an administrator as long as it takes.
    pub fn by(running: &'a RunningGateway, person: Administrator, now: i64) -> Self {
        Self { person: Some(person), ..Self::of(running, now) }
    }
}

impl AdminContext<'_> {
    async fn add_user(
        &self,
        name: String,
        email: String,
        role: Role,
        password: PasswordHash,
    ) -> Result<UserRow, AdminError> {
        if !User::is_name(&name) {
            return Err(AdminError::BadName(name));
        }
        if !User::is_email(&email) {
            return Err(AdminError::BadEmail);
        }
        self.require_defined(&role)?;
        let user = User {
            id: Uuid::new_v4(),
            name,
            email,
            role,
            disabled: false,
            created_at: self.now,
            suspended: None,
            groups: Vec::new(),
            limits: RequestLimits::default(),
            addresses: Default::default(),
        };
        let event = self.event("user.created", &user).with("role", &user.role);
        match self.commit(Change::AddUser(user.clone(), Some(password)), event).await {
            Ok(()) => Ok(self.row(&user)),
            // The id is new, so the name is taken.
            Err(Failure::Taken) => Err(AdminError::NameTaken(user.name)),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes an account. What it asks for at the same time is refused or comes before.
    async fn remove_user(&self, name: &str) -> Result<AdminReply, AdminError> {
        let user = self.user(name)?;
        if user.is_service_account() && self.directory.roles().is_defined(&user.role) {
            return Err(AdminError::RuleInEffect(user.name.clone()));
        }
        // What the command knows of the rules may not be what gateways know.
        if user.is_service_account() && !user.is_active() {
            return Err(AdminError::BlockedServiceAccount(user.name.clone()));
        }
        let row = self.row(&user);
        let event = self.event("user.removed", &user).with("devices", row.devices).with("keys", row.keys);
        self.commit(Change::RemoveUser(user.id), event).await?;
        self.end_sessions(user.id);
        Ok(AdminReply::User(row))
    }

    /// Ends browser sessions that were started with the old password, or that belong to a disabled or removed account.
    pub(super) fn end_sessions(&self, user: Uuid) {
        if let Some(gateway) = self.running {
            gateway.sessions.end_all_of(user);
        }
    }

    async fn approve(&self, device: DeviceRef, name: &str) -> Result<AdminReply, AdminError> {
        let pending = self.pending.ok_or(AdminError::NotRunning)?;
        let _decision = pending.decide().await;
        let user = self.user(name)?;
        require_active(&user)?;
        let (found, called, fingerprint) = match &device {
            DeviceRef::Key { key, name } => (pending.find(key, self.now), name.as_str(), key.fingerprint()),
            DeviceRef::Fingerprint(text) => (pending.find_by_fingerprint(text, self.now), "", text.clone()),
            DeviceRef::NamedFingerprint { fingerprint, name } => {
                (pending.find_by_fingerprint(fingerprint, self.now), name.as_str(), fingerprint.clone())
            }
        };
        let asked = found.ok_or_else(|| AdminError::NotPending(fingerprint.clone()))?;
        let called: String = match called.trim() {
            // As in the connect link that the gateway shows to a device without a name.
            "" => format!("device at {}", asked.address),
            called => called.chars().take(LONGEST_NAME).collect(),
        };
        let device = Device {
            key: asked.key.clone(),
            user: user.id,
            name: called.clone(),
            created_at: self.now,
            last_used_at: None,
            suspended: None,
        };
        let event = self
            .event_about("device.approved", &fingerprint, &user)
            .with("name", &called)
            .with("asked_from", asked.address);
        self.commit(Change::AddDevice(device), event).await?;
        pending.settle(&asked.key);
        Ok(AdminReply::Approved { user: name.to_owned(), device: called, fingerprint })
    }

    /// An event about an account.
    pub(super) fn event(&self, action: &'static str, user: &User) -> Event {
        self.event_about(action, &user.name, user)
    }

    /// An event about something of an account.
    pub(super) fn event_about(&self, action: &'static str, subject: impl Into<String>, owner: &User) -> Event {
        self.bare_event(action, subject).of_account(owner)
    }

    /// An event about something that belongs to no account.
    pub(super) fn bare_event(&self, action: &'static str, subject: impl Into<String>) -> Event {
        match &self.person {
            None => Event::new(self.now, Actor::Admin, action, subject),
            Some(Administrator { caller, origin, reason }) => {
                let event = Event::new(self.now, Actor::user(caller.user()), action, subject);
                event.from(*origin).with("reason", reason)
            }
        }
    }

    /// The account of the person who asks, if it is not a command.
    pub(super) fn maker(&self) -> Option<Uuid> {
        self.person.as_ref().map(|person| person.caller.user().id)
    }

    pub(super) async fn commit(&self, change: Change, event: Event) -> Result<(), Failure> {
        let made = match (self.running, &self.person) {
            (Some(running), Some(person)) => {
                let (by, clock) = (person.caller.clone(), running.clock.clone());
                let still = move |directory: &Directory| by.administrates() && by.holds(directory, clock.now());
                match self.directory.commit_if(change, event, still).await {
                    Ok(false) => return Err(Failure::Other(AdminError::NotAdministrator)),
                    made => made.map(drop),
                }
            }
            (Some(_), None) => self.directory.commit(change, event).await,
            (None, _) => self.directory.commit_stored(change, event).await,
        };
        made.map_err(|error| self.failure(error))
    }

    pub(super) fn failure(&self, error: DirectoryError) -> Failure {
        match error {
            DirectoryError::LastAdmin(name) => Failure::Other(AdminError::LastAdmin(name)),
            DirectoryError::Store(StoreError::Taken(_)) => Failure::Taken,
            DirectoryError::Store(error) => Failure::Other(self.failed(&error)),
            other => Failure::Other(AdminError::Failed { message: other.to_string(), hint: other.hint() }),
        }
    }

    pub(super) fn failed(&self, error: &StoreError) -> AdminError {
        let (message, hint) = (error.to_string(), error.hint());
        match self.running {
            None if error.is_outage() => AdminError::Unavailable { message, hint },
            _ => AdminError::Failed { message, hint },
        }
    }

    pub(super) fn require_defined(&self, role: &Role) -> Result<(), AdminError> {
        match self.directory.roles().is_defined(role) && role.workload().is_none() {
            true => Ok(()),
            false => Err(AdminError::NoRole(role.to_string())),
        }
    }

    pub(super) fn user(&self, name: &str) -> Result<std::sync::Arc<User>, AdminError> {
        self.directory.user_by_name(name).ok_or_else(|| AdminError::NoUser(name.to_owned()))
    }

    /// The account of that name, if it is not one of a workload rule.
    fn person(&self, name: &str) -> Result<std::sync::Arc<User>, AdminError> {
        let user = self.user(name)?;
        if user.is_service_account() { Err(AdminError::ServiceAccount(user.name.clone())) } else { Ok(user) }
    }

    pub(super) fn user_reply(&self, id: Uuid, name: &str) -> Result<AdminReply, AdminError> {
        let user = self.directory.user(id).ok_or_else(|| AdminError::NoUser(name.to_owned()))?;
        Ok(AdminReply::User(self.row(&user)))
    }

    /// An account, with what it has.
    pub fn row(&self, user: &User) -> UserRow {
        let (devices, keys) = (self.directory.devices_of(user.id), self.directory.keys_of(user.id));
        let used = devices.iter().map(|device| device.last_used_at).chain(keys.iter().map(|key| key.last_used_at));
        UserRow {
            id: user.id,
            name: user.name.clone(),
            email: user.email.clone(),
            role: user.role.clone(),
            disabled: user.disabled,
            suspended: SuspensionRow::of(user.suspended.as_deref()),
            groups: user.groups.clone(),
            undefined_groups: self.undefined_groups(user),
            limits: Some(user.limits).filter(|limits| !limits.is_none()),
            addresses: user.addresses.clone(),
            identity: self.directory.identity_of(user.id).map(|identity| IdentityRow {
                issuer: identity.issuer.clone(),
                subject: identity.subject.clone(),
                signed_in_at: identity.signed_in_at,
            }),
            created_at: user.created_at,
            devices: devices.len(),
            keys: keys.iter().filter(|key| key.is_accepted(self.now)).count(),
            last_used_at: used.flatten().chain(self.directory.ended_use(user.id)).max(),
        }
    }
}

/// Only people who may use the gateway get devices.
///
/// # Errors
/// [`AdminError::Disabled`], [`AdminError::Suspended`], [`AdminError::ServiceAccount`].
pub(super) fn require_active(user: &User) -> Result<(), AdminError> {
    match user {
        user if user.is_service_account() => Err(AdminError::ServiceAccount(user.name.clone())),
        User { disabled: true, name, .. } => Err(AdminError::Disabled(name.clone())),
        User { suspended: Some(_), name, .. } => Err(AdminError::Suspended(name.clone())),
        _ => Ok(()),
    }
}

/// Why a change was not made.
pub(super) enum Failure {
    Taken,
    Other(AdminError),
}

impl From<Failure> for AdminError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Other(error) => error,
            Failure::Taken => Self::Failed { message: "it already exists".to_owned(), hint: None },
        }
    }
}
