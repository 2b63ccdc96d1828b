//! Reading the one credential from the headers, and the caller that it proves, with what it may do.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

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
use crate::identity::SecondProof;
use crate::keyspec::{AddressList, ApiKey, Models, RequestLimits, Rights, Scope, Scopes};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_SIGNATURE: HeaderName = HeaderName::from_static(SecondProof::HEADER);
/// No credential of ours is nearly as long.
const LONGEST: usize = 1024;

/// The credential in a request's headers, not checked yet.
#[derive(Debug)]
pub enum Presented {
    /// No credential.
    Nothing,
    /// `<wire blob>:<signature>`, perhaps after `Bearer `.
    Signature(SecretString),
    /// An API key, without the scheme.
    Key(SecretString),
}

/// What programs send as a key where none is set, in lower case: they, or the library that they use, insist on some text.
pub const PLACEHOLDERS: [&str; 12] = [
    "ollama",
    "null",
    "none",
    "undefined",
    "empty",
    "dummy",
    "unused",
    "no-key",
    "not-needed",
    "placeholder",
    "sk-dummy",
    "sk-no-key-required",
];

/// Reads `Authorization` and `X-API-Key`. A placeholder beside a credential is ignored, as is a key of another service beside a signature.
///
/// # Errors
/// 400 for a header that appears twice, is not text, is too long, or contradicts the other; for an unknown scheme. 401 and 403 for `Basic`
/// without a key and from a web page.
pub fn presented(headers: &HeaderMap) -> Result<Presented, Rejection> {
    let authorization = single(headers, &header::AUTHORIZATION)?;
    if authorization.is_some_and(is_basic) && is_from_page(headers) {
        // A browser adds it by itself, whichever page makes it send a request.
        return Err(Rejection::new(403, "a web page may not use Authorization: Basic; send Bearer and the API key"));
    }
    let authorization = authorization.map(of_authorization).transpose()?;
    let api_key = single(headers, &X_API_KEY)?.map(|value| Presented::Key(SecretString::from(value)));
    match (authorization, api_key) {
        (None, None) => Ok(Presented::Nothing),
        (Some(one), None) | (None, Some(one)) => Ok(one),
        (Some(Presented::Key(one)), Some(Presented::Key(other))) if one.expose_secret() == other.expose_secret() => {
            Ok(Presented::Key(one))
        }
        (Some(one), Some(other)) if is_placeholder(&other) => Ok(one),
        (Some(one), Some(other)) if matches!(one, Presented::Nothing) || is_placeholder(&one) => Ok(other),
        // An Ollama server whose cloud this gateway is sets `Authorization` and passes on what else its callers send.
        (Some(one @ Presented::Signature(_)), Some(other)) if !is_own_key(&other) => Ok(one),
        (Some(_), Some(_)) => {
            Err(Rejection::new(400, "Authorization and X-API-Key hold different credentials: send one"))
        }
    }
}

/// Reads `X-Ollama-Auth-Signature`, the signature of a device beside an API key.
///
/// # Errors
/// 400 for a header that appears twice, is not text, is too long, or empty: it is never passed over.
pub fn second_proof(headers: &HeaderMap) -> Result<Option<SecretString>, Rejection> {
    match single(headers, &X_SIGNATURE)? {
        Some(value) => Ok(Some(SecretString::from(value))),
        None if headers.contains_key(X_SIGNATURE) => {
            Err(Rejection::new(400, format!("the header {X_SIGNATURE} is empty")))
        }
        None => Ok(None),
    }
}

fn of_authorization(value: &str) -> Result<Presented, Rejection> {
    if is_basic(value) {
        return of_basic(value);
    }
    let (bearer, rest) = match value.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => (true, rest.trim_matches(' ')),
        // The prefix of a key leaves no doubt about what it is.
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("token") && bare(rest).starts_with(ApiKey::PREFIX) => {
            (true, rest.trim_matches(' '))
        }
        // Some clients send the scheme alone where no key is set.
        _ if value.eq_ignore_ascii_case("bearer") => (true, ""),
        _ => (bare(value).starts_with(ApiKey::PREFIX), value),
    };
    if bare(rest).contains([' ', ',']) {
        return Err(Rejection::new(
            400,
            "the Authorization header must hold a device signature, or Bearer and an API key",
        ));
    }
    // No API key holds a colon, and every signature does.
    match (rest.contains(':'), bearer) {
        (true, _) => Ok(Presented::Signature(SecretString::from(rest))),
        (false, true) if rest.is_empty() => Ok(Presented::Nothing),
        (false, true) => Ok(Presented::Key(SecretString::from(rest))),
        (false, false) => {
            Err(Rejection::new(400, "the Authorization header must hold a device signature, or Bearer and an API key"))
        }
    }
}

/// Whether the scheme is `Basic`.
fn is_basic(value: &str) -> bool {
    let split = value.as_bytes().split_at_checked("basic".len());
    split.is_some_and(|(scheme, rest)| scheme.eq_ignore_ascii_case(b"basic") && matches!(rest, [] | [b' ', ..]))
}

/// What a URL such as `http://x:KEY@host` becomes. Any user name will do.
fn of_basic(value: &str) -> Result<Presented, Rejection> {
    let encoded = value.split_once(' ').map_or("", |(_, encoded)| encoded.trim_matches(' '));
    let decoded = STANDARD.decode(encoded).ok().map(zeroize::Zeroizing::new);
    let pair = decoded.as_ref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let password = pair.and_then(|pair| pair.split_once(':')).map_or("", |(_, password)| password);
    // A colon would make it look like a signature.
    if password.is_empty() || password.contains(':') {
        return Err(Rejection::unauthorized(
            "unauthorized: Authorization: Basic needs an API key as its password, as in http://x:KEY@HOST",
        ));
    }
    Ok(Presented::Key(SecretString::from(password)))
}

/// Refuses `Authorization: Basic` where an account is read or changed: browsers send it unasked.
///
/// # Errors
/// 401.
pub fn refuse_basic(headers: &HeaderMap) -> Result<(), Rejection> {
    if single(headers, &header::AUTHORIZATION)?.is_some_and(is_basic) {
        return Err(Rejection::unauthorized(
            "unauthorized: account endpoints do not accept Authorization: Basic; send Bearer and the API key",
        ));
    }
    Ok(())
}

/// Whether a page of some site sent the request. Browsers say so, and pages cannot change it.
fn is_from_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    headers.contains_key(header::ORIGIN) || !matches!(site, None | Some(b"same-origin" | b"none"))
}

fn is_placeholder(presented: &Presented) -> bool {
    let is = |key: &SecretString| PLACEHOLDERS.contains(&bare(key.expose_secret()).to_ascii_lowercase().as_str());
    matches!(presented, Presented::Key(key) if is(key))
}

/// Whether it looks like a key that a gateway made.
fn is_own_key(presented: &Presented) -> bool {
    matches!(presented, Presented::Key(key) if bare(key.expose_secret()).starts_with(ApiKey::PREFIX))
}

/// A key without quotes and blanks around it.
fn bare(key: &str) -> &str {
    key.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`'))
}

/// What is wrong with a key that is not accepted, as far as its text tells.
pub(super) fn problem_of_key(key: &str) -> String {
    let bare = bare(key);
    if PLACEHOLDERS.contains(&bare.to_ascii_lowercase().as_str()) {
        return format!(
            "{bare:?} is a placeholder and no API key; set a key, or start the program with: ollama-auth exec -- PROGRAM"
        );
    }
    if bare != key && bare.starts_with(ApiKey::PREFIX) {
        return "the API key has quotes or blanks around it; remove them".to_owned();
    }
    "unknown API key".to_owned()
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Rejection> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Rejection::new(400, format!("the header {name} is given twice")));
    }
    let value = value.to_str().map_err(|_| Rejection::new(400, format!("the header {name} is not plain text")))?;
    if value.len() > LONGEST {
        return Err(Rejection::new(400, format!("the header {name} is longer than {LONGEST} bytes")));
    }
    let value = value.trim_matches([' ', '\t']);
    // Some clients send an empty header where no key is set.
    Ok(Some(value).filter(|value| !value.is_empty()))
}

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
    /// From where it came.
    pub(super) address: IpAddr,
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
    /// A session of the pages. No request of a program is answered to it.
    Session(SessionHandle),
}

impl Credential {
    /// The API key, if it is one.
    fn key(&self) -> Option<&KeyRecord> {
        match self {
            Self::Key(key) => Some(key),
            Self::Device(_) | Self::Session(_) => None,
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

    /// Whether a device signed beside the API key.
    pub fn has_second_proof(&self) -> bool {
        self.second.is_some()
    }

    /// The scopes for which two proofs are demanded.
    pub fn two_proofs(&self) -> Scopes {
        demanded(&self.role, self.environment())
    }

    /// Which proof is missing for requests that need `scope`, where two are demanded: `device_signature` or `api_key`. A session needs none:
    /// its person typed the password.
    pub fn missing_proof(&self, scope: Scope) -> Option<&'static str> {
        self.missing_of(self.two_proofs(), scope)
    }

    /// The same where both are demanded for those scopes.
    fn missing_of(&self, demanded: Scopes, scope: Scope) -> Option<&'static str> {
        match (&self.credential, &self.second) {
            _ if !demanded.contains(scope) => None,
            (Credential::Device(_), _) => Some("api_key"),
            (Credential::Key(_), None) => Some("device_signature"),
            (Credential::Key(_), Some(_)) | (Credential::Session(_), _) => None,
        }
    }

    /// The scopes for which they are demanded by what a role and the environments say now: a reload can put the request in one.
    fn demanded_now(&self, directory: &Directory, role: &RoleRules) -> Scopes {
        let environments = directory.environments();
        let place = self.place.as_ref();
        let here = place.and_then(|place| environments.admit(place.entry, self.label(), role, place.address).ok());
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

    /// The label of the API key, if it is one and has one. It may name an environment.
    pub(super) fn label(&self) -> Option<&str> {
        match &self.credential {
            Credential::Key(key) => key.environment.as_deref(),
            Credential::Device(_) | Credential::Session(_) => None,
        }
    }

    /// Why it may not be in its environment at `now` with that role.
    fn misplaced(&self, directory: &Directory, role: &RoleRules, now: i64) -> Option<Rejection> {
        let Place { entry, address, .. } = *self.place.as_ref()?;
        let environments = directory.environments();
        match environments.admit(entry, self.label(), role, address) {
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
            Credential::Device(_) => all(role.without(admin)),
            Credential::Session(_) => all(role),
            Credential::Key(key) => Rights { scopes: key.rights.scopes.intersection(role), ..key.rights.clone() },
        }
    }

    /// The models that it may use in requests that need `scope`.
    pub fn models(&self, scope: Scope) -> ModelAccess {
        let own = match &self.credential {
            Credential::Key(key) => key.rights.models.clone(),
            Credential::Device(_) | Credential::Session(_) => Models::all(),
        };
        ModelAccess::new(own, self.role.models(scope).clone())
    }

    /// Whether the role lets the person manage the accounts of others.
    pub fn administrates(&self) -> bool {
        self.rights().scopes.contains(Scope::Admin)
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
    /// have changed otherwise, and a key may have expired if it was replaced: a rotation does not break what runs.
    pub fn may_continue(&self, scope: Scope, models: &ModelAccess, directory: &Directory, now: i64) -> bool {
        let user = match &self.credential {
            Credential::Device(device) => directory
                .device(&device.key)
                .filter(|known| known.credential.suspended.is_none())
                .map(|known| known.user),
            Credential::Key(key) => directory
                .may_continue(key, self.place.as_ref().map(|place| (place.entry, place.address)), now)
                .then(|| directory.user(key.user))
                .flatten(),
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

    /// The credential, for logs: `device:SHA256:…` or `key:key_…`; of a session, the person: `user:NAME`.
    pub fn name(&self) -> String {
        match &self.credential {
            Credential::Device(device) => ["device:", &device.key.fingerprint()].concat(),
            Credential::Key(key) => ["key:", key.id.as_str()].concat(),
            Credential::Session(_) => ["user:", &self.user.name].concat(),
        }
    }

    /// The same, for events.
    pub fn actor(&self) -> Actor {
        let account = self.user.id;
        match &self.credential {
            Credential::Device(device) => Actor::Device { account, id: device.key.fingerprint() },
            Credential::Key(key) => Actor::Key { account, id: key.id.to_string() },
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

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(pairs: &[(&'static str, &str)]) -> Result<String, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        match presented(&headers) {
            Ok(Presented::Nothing) => Ok("nothing".to_owned()),
            Ok(Presented::Signature(text)) => Ok(format!("signature {}", text.expose_secret())),
            Ok(Presented::Key(text)) => Ok(format!("key {}", text.expose_secret())),
            Err(rejection) => Err(rejection.status()),
        }
    }

    #[test]
    fn all_supported_credential_headers_are_read() {
        assert_eq!(of(&[]).unwrap(), "nothing");
        assert_eq!(of(&[("authorization", "AAAA:BBBB")]).unwrap(), "signature AAAA:BBBB");
        assert_eq!(of(&[("authorization", "Bearer AAAA:BBBB")]).unwrap(), "signature AAAA:BBBB");
        assert_eq!(of(&[("authorization", "bearer k")]).unwrap(), "key k");
        assert_eq!(of(&[("x-api-key", "k")]).unwrap(), "key k");
        assert_eq!(of(&[("authorization", "Bearer k"), ("x-api-key", "k")]).unwrap(), "key k");
        assert_eq!(of(&[("authorization", "Bearer"), ("x-api-key", "k")]).unwrap(), "key k");
        assert_eq!(of(&[("authorization", "")]).unwrap(), "nothing");
        for value in ["olauth_k", "Token olauth_k", "token  olauth_k", "Basic eDpvbGF1dGhfaw==", "basic Om9sYXV0aF9r"] {
            assert_eq!(of(&[("authorization", value)]).unwrap(), "key olauth_k", "{value}");
        }
        assert_eq!(of(&[("authorization", "Bearer \" olauth_k \"")]).unwrap(), "key \" olauth_k \"");
    }

    #[test]
    fn a_placeholder_beside_a_credential_is_ignored() {
        assert_eq!(of(&[("authorization", "Bearer ollama"), ("x-api-key", "k")]).unwrap(), "key k");
        assert_eq!(of(&[("authorization", "Bearer k"), ("x-api-key", "null")]).unwrap(), "key k");
        assert_eq!(of(&[("authorization", "A:B"), ("x-api-key", "Ollama")]).unwrap(), "signature A:B");
        assert_eq!(of(&[("authorization", "A:B"), ("x-api-key", "sk-ant-1")]).unwrap(), "signature A:B");
        assert_eq!(of(&[("authorization", "A:B"), ("x-api-key", "olauth_1")]).unwrap_err(), 400);
        assert_eq!(of(&[("authorization", "A:B"), ("x-api-key", "' olauth_1'")]).unwrap_err(), 400);
        assert_eq!(of(&[("authorization", "Bearer null"), ("x-api-key", "ollama")]).unwrap(), "key null");
        assert_eq!(of(&[("authorization", "Bearer ollama")]).unwrap(), "key ollama");
    }

    #[test]
    fn basic_holds_a_key_and_comes_from_no_page() {
        let basic = ("authorization", "Basic eDpvbGF1dGhfaw==");
        for value in ["Basic", "Basic !", "Basic eDo=", "Basic eA==", "Basic eDphOmI="] {
            assert_eq!(of(&[("authorization", value)]), Err(401), "{value}");
        }
        for page in [("origin", "https://gate.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
            assert_eq!(of(&[basic, page]), Err(403), "{page:?}");
        }
        assert!(of(&[basic, ("sec-fetch-site", "none")]).is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said() {
        for (key, words) in [
            ("ollama", "placeholder"),
            ("\"NULL\"", "placeholder"),
            ("'olauth_k'", "quotes or blanks"),
            ("olauth_k\u{a0}", "quotes or blanks"),
            ("olauth_k", "unknown"),
            ("\"k\"", "unknown"),
        ] {
            assert!(problem_of_key(key).contains(words), "{key}: {}", problem_of_key(key));
        }
    }

    #[test]
    fn a_second_proof_is_never_passed_over() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-ollama-auth-signature", HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            second_proof(&headers).map(|value| value.map(|value| value.expose_secret().to_owned()))
        };
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&[" 1:A:B "]).unwrap().as_deref(), Some("1:A:B"));
        for values in
            [&[""][..], &[" "], &["1:A:B", "1:A:B"], &["", "1:A:B"], &["1:A:\u{e9}"], &[&"1".repeat(LONGEST + 1)]]
        {
            assert_eq!(of(values).unwrap_err().status(), 400, "{values:?}");
        }
    }

    #[test]
    fn duplicate_malformed_and_conflicting_headers_are_refused() {
        for pairs in [
            &[("authorization", "Bearer k"), ("authorization", "Bearer k")][..],
            &[("authorization", "Bearer k"), ("x-api-key", "other")],
            &[("authorization", "A:B"), ("x-api-key", "olauth_k")],
            &[("x-api-key", "k"), ("x-api-key", "k")],
            &[("authorization", "Bearer a b")],
            &[("authorization", "Bearer a,Bearer b")],
            &[("authorization", "k")],
            &[("authorization", "Bearer k\u{e9}")],
        ] {
            assert_eq!(of(pairs), Err(400), "{pairs:?}");
        }
        assert_eq!(of(&[("x-api-key", &"k".repeat(LONGEST + 1))]), Err(400));
    }
}
