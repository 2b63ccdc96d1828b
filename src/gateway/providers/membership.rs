//! What a person is here, by what the provider says: an account that is made, changed, refused, or suspended until the provider lets the
//! person in again.

use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

use super::claims::{Claims, Granted, NotAllowed};
use super::id_token::Person;
use super::service::ProviderService;
use super::settings::ProviderSettings;
use crate::gateway::directory::{Directory, DirectoryError};
use crate::gateway::origin::Origin;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::store::{
    Actor, Change, Event, Identity, IdentityId, SealedToken, StoreError, Suspendable, Suspension, User,
};
use crate::keyspec::RequestLimits;

/// Names that are tried for a new account.
const MOST_NAMES: u32 = 1000;

/// Why a person does not get in.
#[derive(Debug, Error)]
pub enum NotAdmitted {
    /// There is no account, and none is made.
    #[error("no account is made for this person: {0:?}")]
    NoAccount(NotAllowed),
    /// There is an account, and no rule gives it a role any more.
    #[error("no rule admits this person any more")]
    NoRole,
    /// The first account has to be an administrator's.
    #[error("the first account of a gateway has to be an administrator's")]
    NoAdministrator,
    /// An administrator has closed the account.
    #[error("the account is disabled")]
    Disabled(Arc<User>),
    /// An administrator has suspended the account.
    #[error("the account is suspended")]
    Suspended(Arc<User>),
    /// The change could not be made.
    #[error(transparent)]
    Failed(#[from] DirectoryError),
}

/// Whether the gateway itself has suspended the account, because of what the provider said.
pub fn is_withdrawn(user: &User) -> bool {
    user.suspended.as_ref().is_some_and(|suspension| suspension.is_withdrawal())
}

impl ProviderService {
    /// The account of a person who has just signed in at the provider: made if that is allowed, and changed as the rules say.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub async fn admit(
        &self,
        provider: &ProviderSettings,
        person: &Person,
        origin: Origin,
    ) -> Result<Arc<User>, NotAdmitted> {
        let id = IdentityId::of(provider.issuer.as_str(), &person.subject);
        if self.directory.identity(&id).is_none() {
            // Another gateway may have made it a moment ago.
            self.directory.catch_up().await.map_err(DirectoryError::from)?;
        }
        let Some(identity) = self.directory.identity(&id) else { return self.create(provider, person, origin).await };
        let user = self.user(identity.user)?;
        if user.disabled {
            return Err(NotAdmitted::Disabled(user));
        }
        if user.suspended.is_some() && !is_withdrawn(&user) {
            return Err(NotAdmitted::Suspended(user));
        }
        let granted = person.claims.granted(provider);
        if granted.role.is_none() {
            self.withdraw(provider, &user, identity, "no rule admits the person", Some(origin)).await?;
            return Err(NotAdmitted::NoRole);
        }
        self.apply(provider, &user, &person.claims, Some(origin)).await?;
        if is_withdrawn(&user) {
            self.resume(provider, &user, origin).await?;
        }
        self.user(user.id).map_err(Into::into)
    }

    /// Notes a sign-in, with the refresh token that it gave.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub async fn note_sign_in(
        &self,
        provider: &ProviderSettings,
        person: &Person,
        user: &User,
        token: Option<SealedToken>,
        origin: Origin,
    ) -> Result<(), DirectoryError> {
        let id = IdentityId::of(provider.issuer.as_str(), &person.subject);
        let now = self.clock.now();
        let event = Event::new(now, Actor::user(user), "user.signed_in", &user.name).of_account(user);
        let event = event.from(origin).with("provider", provider.name);
        self.directory.commit(Change::NoteSignIn(id, now, token), event).await
    }

    fn user(&self, id: Uuid) -> Result<Arc<User>, DirectoryError> {
        self.directory.user(id).ok_or_else(|| DirectoryError::Unknown("such user".to_owned()))
    }

    async fn create(
        &self,
        provider: &ProviderSettings,
        person: &Person,
        origin: Origin,
    ) -> Result<Arc<User>, NotAdmitted> {
        let now = self.clock.now();
        person.claims.check_new(provider).map_err(NotAdmitted::NoAccount)?;
        let Granted { role, groups } = person.claims.granted(provider);
        let role = role.ok_or(NotAdmitted::NoAccount(NotAllowed::NoRole))?;
        let wanted = person.claims.account_name(provider);
        for number in 1..=MOST_NAMES {
            let name = if number == 1 { wanted.clone() } else { format!("{wanted}-{number}") };
            if self.directory.user_by_name(&name).is_some() {
                continue;
            }
            let user = User {
                id: Uuid::new_v4(),
                name,
                email: person.claims.email(provider),
                role: role.clone(),
                disabled: false,
                created_at: now,
                suspended: None,
                groups: groups.clone(),
                limits: RequestLimits::default(),
                addresses: Default::default(),
            };
            let identity = Identity::new(provider.issuer.as_str(), &person.subject, user.id, now);
            let event = Event::new(now, Actor::user(&user), "user.created", &user.name)
                .of_account(&user)
                .from(origin)
                .with("role", &user.role)
                .with("by", "a sign-in at a provider")
                .with("provider", provider.name)
                .with("issuer", &identity.issuer)
                .with("subject", &identity.subject);
            let change = Change::AddIdentity(user.clone(), identity.into());
            // Otherwise the setup link would be worth nothing, and nobody could administrate the gateway.
            let role = user.role.clone();
            let still = move |directory: &Directory| !directory.is_empty() || directory.roles().administrates(&role);
            match self.directory.commit_if(change, event, still).await {
                Ok(true) => return Ok(user.into()),
                Ok(false) => return Err(NotAdmitted::NoAdministrator),
                Err(DirectoryError::Store(StoreError::Taken(_))) => {
                    let id = IdentityId::of(provider.issuer.as_str(), &person.subject);
                    // The same person at the same time in another browser.
                    if let Some(identity) = self.directory.identity(&id) {
                        return self.user(identity.user).map_err(Into::into);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(DirectoryError::Store(StoreError::Taken(format!("the name {wanted}"))).into())
    }

    /// Gives an account what the rules say, and the e-mail address that it has at the provider. Groups that no rule names, and without rules for roles the role, are left to administrators.
    pub(super) async fn apply(
        &self,
        provider: &ProviderSettings,
        user: &User,
        claims: &Claims,
        origin: Option<Origin>,
    ) -> Result<(), DirectoryError> {
        let granted = claims.granted(provider);
        let event = |action| self.event(action, provider, user, origin);
        if let Some(role) = granted.role.as_ref().filter(|role| provider.gives_roles() && **role != user.role) {
            let change = Change::SetRole(user.id, role.clone());
            let changed = event("user.role").with("from", &user.role).with("to", role);
            match self.directory.commit(change, changed).await {
                // Whoever administrates the provider cannot lock everybody out of the gateway.
                Err(DirectoryError::LastAdmin(_)) => {
                    tracing::warn!(user = user.name, role = role.name(), "the last administrator keeps the role");
                    if origin.is_some() {
                        let kept = event("user.role_kept").with("role", &user.role).with("instead_of", role);
                        self.directory.commit(Change::Note, kept).await?;
                    }
                }
                made => made?,
            }
        }
        let email = claims.known_email(provider);
        if !email.is_empty() && email != user.email {
            let changed = event("user.email").with("from", &user.email).with("to", &email);
            self.directory.commit(Change::SetEmail(user.id, email), changed).await?;
        }
        let groups = self.groups(provider, user, &granted);
        if groups != user.groups {
            let changed = event("user.groups").with("from", list(&user.groups)).with("to", list(&groups));
            self.directory.commit(Change::SetGroups(user.id, groups), changed).await?;
        }
        Ok(())
    }

    fn groups(&self, provider: &ProviderSettings, user: &User, granted: &Granted) -> Vec<PolicyName> {
        let own = user.groups.iter().filter(|group| !provider.groups().any(|other| other == *group)).copied();
        let mut groups: Vec<PolicyName> = own.chain(granted.groups.iter().copied()).collect();
        groups.sort();
        let mut before = user.groups.clone();
        before.sort();
        // In the order that they have, if they are the same.
        if groups == before { user.groups.clone() } else { groups }
    }

    /// Suspends an account that the provider does not admit any more, and ends its sessions; unless the person has signed in since `identity`
    /// was looked up.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub(super) async fn withdraw(
        &self,
        provider: &ProviderSettings,
        user: &User,
        identity: Arc<Identity>,
        cause: &str,
        origin: Option<Origin>,
    ) -> Result<(), DirectoryError> {
        if user.suspended.is_some() {
            return Ok(());
        }
        let suspension = Suspension { since: self.clock.now(), reason: Some(Suspension::WITHDRAWN.to_owned()) };
        let change = Change::SetSuspended(Suspendable::User(user.id), Some(suspension.into()));
        let event = self.event("user.suspended", provider, user, origin);
        let event = event.with("reason", Suspension::WITHDRAWN).with("cause", cause);
        let (id, at) = (identity.id, identity.signed_in_at);
        let still = move |directory: &Directory| directory.identity(&id).is_some_and(|known| known.signed_in_at == at);
        match self.directory.commit_if(change, event, still).await {
            Ok(false) => return Ok(()),
            Err(DirectoryError::LastAdmin(_)) => {
                tracing::warn!(
                    user = user.name,
                    "the provider does not admit the last administrator, who is not suspended"
                );
                return Ok(());
            }
            // It is in effect at this gateway, and stored later.
            Ok(true) | Err(DirectoryError::NotStored) => {}
            Err(error) => return Err(error),
        }
        self.end_sessions_of(user.id).await;
        Ok(())
    }

    async fn resume(&self, provider: &ProviderSettings, user: &User, origin: Origin) -> Result<(), DirectoryError> {
        let event = self.event("user.resumed", provider, user, Some(origin));
        let id = user.id;
        // Not if an administrator has suspended it meanwhile.
        let still = move |directory: &Directory| directory.user(id).is_some_and(|user| is_withdrawn(&user));
        self.directory.commit_if(Change::SetSuspended(Suspendable::User(id), None), event, still).await.map(drop)
    }

    fn event(&self, action: &'static str, provider: &ProviderSettings, user: &User, origin: Option<Origin>) -> Event {
        let event = Event::new(self.clock.now(), Actor::Gateway, action, &user.name).of_account(user);
        let event = event.with("provider", provider.name);
        match origin {
            Some(origin) => event.from(origin),
            None => event,
        }
    }
}

fn list(groups: &[PolicyName]) -> String {
    groups.iter().map(PolicyName::as_str).collect::<Vec<_>>().join(" ")
}
