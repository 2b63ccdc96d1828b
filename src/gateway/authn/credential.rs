//! Reading the one credential from the headers, and the caller that it proves, with what it may do.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, header};
use secrecy::{ExposeSecret as _, SecretString};

use crate::gateway::authn::session::SessionHandle;
use crate::gateway::directory::Directory;
use crate::gateway::rejection::Rejection;
use crate::gateway::store::{Device, KeyRecord, User};
use crate::keyspec::{Models, Rights, Scope, Scopes};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// No credential of ours is nearly as long.
const LONGEST: usize = 1024;

/// The credential in a request's headers, not checked yet.
#[derive(Debug)]
pub enum Presented {
    /// No credential.
    Nothing,
    /// `<wire blob>:<signature>`, perhaps after `Bearer `.
    Signature(SecretString),
    /// An API key, without `Bearer `.
    Key(SecretString),
}

/// Reads `Authorization` and `X-API-Key`.
///
/// # Errors
/// 400 for a header that appears twice, is not text, is too long, or contradicts the other; for a scheme other than `Bearer`.
pub fn presented(headers: &HeaderMap) -> Result<Presented, Rejection> {
    let authorization = single(headers, &header::AUTHORIZATION)?.map(of_authorization).transpose()?;
    let api_key = single(headers, &X_API_KEY)?.map(|value| Presented::Key(SecretString::from(value)));
    match (authorization, api_key) {
        (None, None) => Ok(Presented::Nothing),
        (Some(one), None) | (None, Some(one)) => Ok(one),
        (Some(Presented::Key(one)), Some(Presented::Key(other))) if one.expose_secret() == other.expose_secret() => {
            Ok(Presented::Key(one))
        }
        (Some(Presented::Nothing), Some(other)) => Ok(other),
        (Some(_), Some(_)) => {
            Err(Rejection::new(400, "Authorization and X-API-Key hold different credentials: send one"))
        }
    }
}

fn of_authorization(value: &str) -> Result<Presented, Rejection> {
    let (bearer, rest) = match value.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => (true, rest.trim_matches(' ')),
        // Some clients send the scheme alone where no key is set.
        _ if value.eq_ignore_ascii_case("bearer") => (true, ""),
        _ => (false, value),
    };
    if rest.contains([' ', ',']) {
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

/// Proof of who asks: an account that is not disabled, by a credential of its that was checked just now.
#[derive(Clone, Debug)]
pub struct Caller {
    user: Arc<User>,
    credential: Credential,
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

impl Caller {
    /// For the authenticator alone, once the credential was checked.
    pub(super) fn new(user: Arc<User>, credential: Credential) -> Self {
        Self { user, credential }
    }

    /// One of a person's session, without any rights at a gateway.
    #[cfg(test)]
    pub fn for_tests(name: &str) -> Self {
        let id = uuid::Uuid::from_u128(name.bytes().fold(0, |sum, byte| sum << 8 | u128::from(byte)));
        let role = crate::gateway::store::Role::Member;
        let user = User { id, name: name.to_owned(), email: String::new(), role, disabled: false, created_at: 0 };
        Self::new(Arc::new(user), Credential::Session(SessionHandle::default()))
    }

    /// The account that the credential belongs to.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The credential that was checked.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// What it may do: a key what it was given, as far as its owner still may; a device what its owner may, but never `admin`; a person who typed
    /// the password everything that the role allows.
    pub fn rights(&self) -> Rights {
        let role = self.user.role.scopes();
        match &self.credential {
            Credential::Device(_) => {
                let admin: Scopes = [Scope::Admin].into_iter().collect();
                Rights { scopes: role.without(admin), models: Models::all(), expires_at: None }
            }
            Credential::Session(_) => Rights { scopes: role, models: Models::all(), expires_at: None },
            Credential::Key(key) => Rights { scopes: key.rights.scopes.intersection(role), ..key.rights.clone() },
        }
    }

    /// Whether all of this is still so at `now`: a request can take its time.
    pub fn holds(&self, directory: &Directory, now: i64) -> bool {
        let user = match &self.credential {
            Credential::Device(device) => directory.device(&device.key).map(|known| known.user),
            Credential::Key(key) => {
                directory.key(&key.hash).filter(|known| known.credential.is_live(now)).map(|known| known.user)
            }
            Credential::Session(ticket) => directory.user(self.user.id).filter(|_| ticket.counts()),
        };
        // Its role and whether it is disabled among it.
        user.is_some_and(|user| user == self.user)
    }

    /// Whether a response to a request that required `scope` may go on at `now`. In contrast to [`holds`](Self::holds) the account may
    /// have changed otherwise, and a key may have expired if it was replaced: a rotation does not break what runs.
    pub fn may_continue(&self, scope: Scope, directory: &Directory, now: i64) -> bool {
        let user = match &self.credential {
            Credential::Device(device) => directory.device(&device.key).map(|known| known.user),
            Credential::Key(key) => directory.may_continue(key, now).then(|| directory.user(key.user)).flatten(),
            // No request of a session gets this far.
            Credential::Session(_) => None,
        };
        user.is_some_and(|user| user.id == self.user.id && !user.disabled && user.role.scopes().contains(scope))
    }

    /// Whether what it could pass on is still the same: a key's end and whether it is replaceable can change while it asks.
    pub fn is_unchanged(&self, directory: &Directory) -> bool {
        let Credential::Key(key) = &self.credential else { return true };
        let now = directory.key(&key.hash);
        now.is_some_and(|now| now.credential.rights == key.rights && now.credential.replaceable == key.replaceable)
    }

    /// The credential, for logs and the audit trail: `device:SHA256:…` or `key:key_…`; of a session, the person: `user:NAME`.
    pub fn actor(&self) -> String {
        match &self.credential {
            Credential::Device(device) => format!("device:{}", device.key.fingerprint()),
            Credential::Key(key) => format!("key:{}", key.id),
            Credential::Session(_) => format!("user:{}", self.user.name),
        }
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
    }

    #[test]
    fn duplicate_malformed_and_conflicting_headers_are_refused() {
        for pairs in [
            &[("authorization", "Bearer k"), ("authorization", "Bearer k")][..],
            &[("authorization", "Bearer k"), ("x-api-key", "other")],
            &[("authorization", "A:B"), ("x-api-key", "k")],
            &[("x-api-key", "k"), ("x-api-key", "k")],
            &[("authorization", "Basic dTpw")],
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
