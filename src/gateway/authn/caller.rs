//! The caller that a credential proves, with what it may do now and while a request goes on.

use std::net::IpAddr;
use std::sync::Arc;

use crate::gateway::authn::addresses::NotAccepting;
use crate::gateway::authn::session::SessionHandle;
use crate::gateway::directory::Directory;
use crate::gateway::environments::EnvironmentRules;
use crate::gateway::model_access::ModelAccess;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::gateway::roles::RoleRules;
use crate::gateway::store::{Actor, Device, KeyRecord, User};
use crate::gateway::workload::WorkloadToken;
use crate::keyspec::{AddressList, Models, RequestLimits, Rights, Scope, Scopes};

/// Proof of who asks: an account that is neither disabled nor suspended, by a credential of its that was checked just now.
#[derive(Clone, Debug)]
pub struct Caller {
    user: Arc<User>,
    role: Arc<RoleRules>,
    credential: Credential,
    /// The device of the same account that signed the request beside an API key.
    second: Option<Arc<Device>>,
    /// Where the request comes from.
    address: IpAddr,
    /// Where the request is. A session is nowhere.
    place: Option<Place>,
}

/// Where a request is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The environment of the name or listener that it came to.
    pub(super) entry: Option<PolicyName>,
    /// The environment that it is in, by the key too.
    pub(super) environment: Option<Arc<EnvironmentRules>>,
}

/// The credential that proved who the caller is, as it is on record.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A device's signature.
    Device(Arc<Device>),
    /// An API key.
    Key(Arc<KeyRecord>),
    /// A token of an issuer, which a workload rule accepted.
    Workload(Arc<WorkloadToken>),
    /// A session of the pages. No request of a program is answered to it.
    Session(SessionHandle),
}

impl Credential {
    /// The API key, if it is one.
    fn key(&self) -> Option<&KeyRecord> {
        match self {
            Self::Key(key) => Some(key),
            Self::Device(_) | Self::Workload(_) | Self::Session(_) => None,
        }
    }
}

impl Caller {
    /// For the authenticator alone, once the credential was checked.
    pub(super) fn new(user: Arc<User>, role: Arc<RoleRules>, credential: Credential, address: IpAddr) -> Self {
        Self { user, role, credential, second: None, place: None, address }
    }

    /// The same with a second proof, once that was checked: a device of the same account.
    pub(super) fn with_second_proof(self, device: Arc<Device>) -> Self {
        Self { second: Some(device), ..self }
    }

    /// The token of an issuer that proves it, if it is one.
    pub fn workload(&self) -> Option<&WorkloadToken> {
        match &self.credential {
            Credential::Workload(token) => Some(token),
            _ => None,
        }
    }

    /// Whether a device signed beside the API key.
    pub fn has_second_proof(&self) -> bool {
        self.second.is_some()
    }

    /// The scopes for which two proofs are demanded.
    pub fn two_proofs(&self) -> Scopes {
        demanded(&self.role, self.environment())
    }

    /// Which proof is missing for requests that need `scope`, where two are demanded: `device_signature` or `api_key`. A token is neither. A session needs none:
    /// its person typed the password.
    pub fn missing_proof(&self, scope: Scope) -> Option<&'static str> {
        self.missing_of(self.two_proofs(), scope)
    }

    /// The same where both are demanded for those scopes.
    fn missing_of(&self, demanded: Scopes, scope: Scope) -> Option<&'static str> {
        match (&self.credential, &self.second) {
            _ if !demanded.contains(scope) => None,
            (Credential::Device(_) | Credential::Workload(_), _) => Some("api_key"),
            (Credential::Key(_), None) => Some("device_signature"),
            (Credential::Key(_), Some(_)) | (Credential::Session(_), _) => None,
        }
    }

    /// The scopes for which they are demanded by what a role and the environments say now: a reload can put the request in one.
    fn demanded_now(&self, directory: &Directory, role: &RoleRules) -> Scopes {
        let environments = directory.environments();
        let place = self.place.as_ref();
        let here = place.and_then(|place| environments.admit(place.entry, self.label(role), role, self.address).ok());
        demanded(role, here.flatten().map(|rules| &**rules))
    }

    /// Whether the device of the second proof, if there is one, is still the account's, and not suspended.
    fn holds_second(&self, directory: &Directory) -> bool {
        self.second.as_ref().is_none_or(|device| {
            let known = directory.device(&device.key);
            known.is_some_and(|known| known.user.id == self.user.id && known.credential.suspended.is_none())
        })
    }

    /// One of a person's session, without any rights at a gateway.
    #[cfg(test)]
    pub fn for_tests(name: &str) -> Self {
        let id = uuid::Uuid::from_u128(name.bytes().fold(0, |sum, byte| sum << 8 | u128::from(byte)));
        let role = crate::gateway::store::Role::Member;
        let rules = RoleRules::built_in(role.clone());
        let (name, email, addresses) = (name.to_owned(), String::new(), Default::default());
        let (groups, limits) = (Vec::new(), RequestLimits::default());
        let (disabled, created_at, suspended) = (false, 0, None);
        let user = User { id, name, email, role, disabled, created_at, suspended, groups, limits, addresses };
        let address = IpAddr::from([127, 0, 0, 1]);
        Self::new(Arc::new(user), Arc::new(rules), Credential::Session(SessionHandle::default()), address)
    }

    /// The account that the credential belongs to.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// What its role allowed when the credential was checked.
    pub fn role(&self) -> &RoleRules {
        &self.role
    }

    /// The credential that was checked.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The same for a request at that place.
    pub(super) fn at(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
    }

    /// The environment that the request is in.
    pub fn environment(&self) -> Option<&EnvironmentRules> {
        self.place.as_ref()?.environment.as_deref()
    }

    /// The label of the API key, or of the workload by its role, if there is one. It may name an environment.
    pub fn label<'a>(&'a self, role: &'a RoleRules) -> Option<&'a str> {
        match &self.credential {
            Credential::Key(key) => key.environment.as_deref(),
            Credential::Workload(_) => role.label.as_ref().map(PolicyName::as_str),
            Credential::Device(_) | Credential::Session(_) => None,
        }
    }

    /// Why it may not be in its environment at `now` with that role.
    fn misplaced(&self, directory: &Directory, role: &RoleRules, now: i64) -> Option<Rejection> {
        let Place { entry, .. } = *self.place.as_ref()?;
        let environments = directory.environments();
        match environments.admit(entry, self.label(role), role, self.address) {
            Err(misplaced) => Some(misplaced.rejection()),
            Ok(Some(rules)) if matches!(&self.credential, Credential::Key(key) if !rules.allows_age(key, now)) => {
                Some(credential_revoked())
            }
            Ok(_) => None,
        }
    }

    /// Where the request comes from.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// What did not accept the request's address when the credential was checked.
    pub fn not_accepting(&self) -> Option<NotAccepting> {
        NotAccepting::of(&self.user, &self.role, self.credential.key(), self.address)
    }

    /// What it may do: a key what it was given, as far as its owner still may; a device what its owner may, but never `admin`; with both
    /// proofs what both may; a person who typed the password everything that the role allows. Which models the role allows comes on top: see [`models`](Self::models).
    pub fn rights(&self) -> Rights {
        let admin: Scopes = [Scope::Admin].into_iter().collect();
        let role = if self.second.is_some() { self.role.scopes.without(admin) } else { self.role.scopes };
        let (limits, addresses) = (RequestLimits::default(), AddressList::default());
        let all = |scopes| Rights { scopes, models: Models::all(), expires_at: None, limits, addresses };
        match &self.credential {
            Credential::Device(_) | Credential::Workload(_) => all(role.without(admin)),
            Credential::Session(_) => all(role),
            Credential::Key(key) => Rights { scopes: key.rights.scopes.intersection(role), ..key.rights.clone() },
        }
    }

    /// The models that it may use in requests that need `scope`.
    pub fn models(&self, scope: Scope) -> ModelAccess {
        let own = match &self.credential {
            Credential::Key(key) => key.rights.models.clone(),
            Credential::Device(_) | Credential::Workload(_) | Credential::Session(_) => Models::all(),
        };
        ModelAccess::new(own, self.role.models(scope).clone())
    }

    /// Whether the role lets the person manage the accounts of others.
    pub fn administrates(&self) -> bool {
        self.rights().scopes.contains(Scope::Admin)
    }

    /// Whether the person reads the event log, and the page with what all used. Only in a browser: a device or an API key of theirs does not. A
    /// device gets what all used from `/api/usage`.
    pub fn audits(&self) -> bool {
        matches!(self.credential, Credential::Session(_)) && self.role.audit
    }

    /// Whether that is still so, for what takes its time. The role may have changed otherwise.
    pub fn audits_still(&self, directory: &Directory) -> bool {
        let Credential::Session(ticket) = &self.credential else { return false };
        let user = directory.user(self.user.id).filter(|user| ticket.counts() && user.is_active());
        user.is_some_and(|user| {
            let role = directory.role(&user.role);
            role.audit && NotAccepting::of(&user, &role, None, self.address).is_none()
        })
    }

    /// Whether all of this is still so at `now`, and the role allows no less: a request can take its time.
    pub fn holds(&self, directory: &Directory, now: i64) -> bool {
        let user = match &self.credential {
            Credential::Device(device) => directory
                .device(&device.key)
                .filter(|known| known.credential.suspended.is_none())
                .map(|known| known.user),
            Credential::Key(key) => {
                let is_accepted = |key: &KeyRecord| key.is_accepted(now) && self.role.allows_age(key, now);
                directory.key(&key.hash).filter(|known| is_accepted(&known.credential)).map(|known| known.user)
            }
            Credential::Workload(token) => {
                directory.user(self.user.id).filter(|_| now < token.expires_at && directory.accepts(token))
            }
            Credential::Session(ticket) => directory.user(self.user.id).filter(|_| ticket.counts()),
        };
        // It may be accepted from more or fewer addresses than before.
        user.is_some_and(|user| {
            let role = directory.role(&user.role);
            let is_enough = self.second.is_some() || matches!(self.credential, Credential::Session(_));
            let asks_no_more = || is_enough || self.demanded_now(directory, &role).is_subset(self.two_proofs());
            user.may_as_much_as(&self.user)
                && self.holds_second(directory)
                && (Arc::ptr_eq(&role, &self.role) || (role.covers(&self.role) && asks_no_more()))
                && self.misplaced(directory, &role, now).is_none()
                && NotAccepting::of(&user, &role, self.credential.key(), self.address).is_none()
        })
    }

    /// Whether a response to a request that required `scope` and named these models may go on at `now`. In contrast to [`holds`](Self::holds) the account may
    /// have changed otherwise, a key may have expired if it was replaced, and a token may have ended: a rotation does not break what runs.
    pub fn may_continue(&self, scope: Scope, models: &ModelAccess, directory: &Directory, now: i64) -> bool {
        let user = match &self.credential {
            Credential::Device(device) => directory
                .device(&device.key)
                .filter(|known| known.credential.suspended.is_none())
                .map(|known| known.user),
            Credential::Key(key) => directory
                .may_continue(key, self.place.as_ref().map(|place| (place.entry, self.address)), now)
                .then(|| directory.user(key.user))
                .flatten(),
            Credential::Workload(token) => directory.user(self.user.id).filter(|_| directory.accepts(token)),
            // No request of a session gets this far.
            Credential::Session(_) => None,
        };
        user.is_some_and(|user| {
            let role = directory.role(&user.role);
            user.id == self.user.id
                && user.is_active()
                && role.scopes.contains(scope)
                && self.holds_second(directory)
                && self.missing_of(self.demanded_now(directory, &role), scope).is_none()
                && models.is_within(role.models(scope))
                // Of a key this was looked at: it may have been replaced by a younger one.
                && (matches!(self.credential, Credential::Key(_)) || self.misplaced(directory, &role, now).is_none())
                && NotAccepting::of(&user, &role, self.credential.key(), self.address).is_none()
        })
    }

    /// What of it is suspended: the account, or the device or API key; and its name.
    pub(super) fn suspended(&self) -> Option<(&'static str, String)> {
        let second = self.second.as_ref().filter(|device| device.suspended.is_some());
        let second = second.map(|device| ("device", device.key.fingerprint()));
        suspended(&self.user, &self.credential).or(second)
    }

    /// Why it is refused if it does not [hold](Self::holds) any more: 403 if it was suspended or is not accepted from its address since,
    /// otherwise 401.
    pub fn refusal(&self, directory: &Directory) -> Rejection {
        let known = match &self.credential {
            Credential::Device(device) => {
                directory.device(&device.key).map(|known| (known.user, Credential::Device(known.credential)))
            }
            Credential::Key(key) => {
                directory.key(&key.hash).map(|known| (known.user, Credential::Key(known.credential)))
            }
            Credential::Workload(_) => directory.user(self.user.id).map(|user| (user, self.credential.clone())),
            Credential::Session(_) => None,
        };
        let role = known.as_ref().map(|(user, _)| directory.role(&user.role));
        let second = self.second.as_ref().and_then(|device| directory.device(&device.key));
        let second = second.map(|known| (known.user, Credential::Device(known.credential)));
        let mut both = known.iter().chain(&second);
        if let Some((what, _)) = both.find_map(|(user, credential)| suspended(user, credential)) {
            return credential_suspended(what);
        }
        let (Some((user, credential)), Some(role)) = (known, role) else { return credential_revoked() };
        if let Some(refusing) = NotAccepting::of(&user, &role, credential.key(), self.address) {
            return refusing.rejection(self.address);
        }
        self.misplaced(directory, &role, i64::MIN).unwrap_or_else(credential_revoked)
    }

    /// Whether what it could pass on is still the same: a key's end and whether it is replaceable can change while it asks.
    pub fn is_unchanged(&self, directory: &Directory) -> bool {
        let Credential::Key(key) = &self.credential else { return true };
        let now = directory.key(&key.hash);
        now.is_some_and(|now| now.credential.rights == key.rights && now.credential.replaceable == key.replaceable)
    }

    /// The credential, for logs: `device:SHA256:…`, `key:key_…` or `workload:RULE`; of a session, the person: `user:NAME`.
    pub fn name(&self) -> String {
        match &self.credential {
            Credential::Device(device) => ["device:", &device.key.fingerprint()].concat(),
            Credential::Key(key) => ["key:", key.id.as_str()].concat(),
            Credential::Workload(token) => ["workload:", token.rule.name.as_str()].concat(),
            Credential::Session(_) => ["user:", &self.user.name].concat(),
        }
    }

    /// The same, for events.
    pub fn actor(&self) -> Actor {
        let account = self.user.id;
        match &self.credential {
            Credential::Device(device) => Actor::Device { account, id: device.key.fingerprint() },
            Credential::Key(key) => Actor::Key { account, id: key.id.to_string() },
            Credential::Workload(token) => Actor::Workload {
                account,
                rule: token.rule.name.to_string(),
                subject: token.subject.clone(),
                run: token.run.clone(),
            },
            Credential::Session(_) => Actor::user(&self.user),
        }
    }
}

/// The scopes for which a role, or an environment, demands two proofs. Whatever else demands them belongs here.
fn demanded(role: &RoleRules, environment: Option<&EnvironmentRules>) -> Scopes {
    let here = environment.map(|rules| rules.two_proofs).unwrap_or_default();
    role.two_proofs.iter().chain(here.iter()).collect()
}

/// 403 for what is suspended: an account, a device or an API key.
pub fn credential_suspended(what: &str) -> Rejection {
    let message = format!("this {what} is suspended; an administrator of this gateway can lift that");
    Rejection::new(403, message).because(RefusalCode::Suspended)
}

/// What is suspended: the account, or its device or API key; and its name.
fn suspended(user: &User, credential: &Credential) -> Option<(&'static str, String)> {
    if user.suspended.is_some() {
        return Some(("account", user.name.clone()));
    }
    match credential {
        Credential::Device(device) if device.suspended.is_some() => Some(("device", device.key.fingerprint())),
        Credential::Key(key) if key.suspended.is_some() => Some(("API key", key.id.to_string())),
        _ => None,
    }
}

/// 401 for a caller whose credential does not [hold](Caller::holds) any more.
pub fn credential_revoked() -> Rejection {
    Rejection::unauthorized("unauthorized: this credential is no longer valid")
}
