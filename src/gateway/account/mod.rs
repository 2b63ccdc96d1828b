//! The account endpoints, answering as ollama.com does where that is known.

mod create;
mod end;
mod item;
mod list;
mod rate_limiter;
mod remove;
mod replace;

use std::net::IpAddr;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde::Serialize;
use serde_json::json;

pub use create::{LONGEST_NAME, Wanted, make, name};
pub use list::keys_behind;
pub use rate_limiter::RateLimiter;
pub use remove::{disconnect, find_device, find_key, revoke};

use super::authn::{Caller, Credential, credential_revoked};
use super::directory::{Directory, DirectoryError};
use super::policy::AccountCall;
use super::rejection::Rejection;
use super::routes::{Access, Account, Matched};
use super::state::Gateway;
use super::store::{Change, Event, StoreError};
use super::target::Target;
use crate::keyspec::{KeyId, Scope};

/// A call and what came with it.
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target.
    pub target: &'a Target<'a>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: Body,
    /// From where.
    pub address: IpAddr,
}

/// Whether a request changes an account, so that a signature is good for it once.
pub fn changes_something(method: &Method, matched: &Matched<'_>) -> bool {
    match matched.route.access {
        Access::Account(Account::Me) => false,
        Access::Account(Account::SignOut | Account::Key | Account::KeyEnd) => true,
        Access::Account(Account::Keys) => *method != Method::GET,
        Access::Upstream(_) | Access::Public(_) => false,
    }
}

/// Answers it.
///
/// # Errors
/// See the endpoints; 503 when the change cannot be kept.
pub async fn answer(gateway: &Gateway, call: AccountCall, request: Request<'_>) -> Result<Response<Body>, Rejection> {
    match (call.endpoint, request.method) {
        (Account::Me, _) => Ok(me(&call.caller)),
        (Account::SignOut, _) => remove::sign_out(gateway, &call.caller, request.address).await,
        (Account::Keys, &Method::GET) => list::list(gateway, &call.caller, request.target),
        (Account::Keys, _) => create::create(gateway, &call.caller, request).await,
        (Account::KeyEnd, _) => end::end(gateway, &call.caller, &call.argument, request.target, request.address).await,
        (Account::Key, _) => remove::remove(gateway, &call.caller, &call.argument, request.address).await,
    }
}

/// Who the credential belongs to. The stock client insists that `id` is a UUID.
fn me(caller: &Caller) -> Response<Body> {
    let user = caller.user();
    json_response(StatusCode::OK, &json!({ "id": user.id.to_string(), "email": user.email, "name": user.name }))
}

/// A JSON answer that nobody keeps a copy of.
pub fn json_response(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let Ok(body) = serde_json::to_vec(value) else {
        return Rejection::new(500, "the answer cannot be written").into_response();
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Makes a change in a caller's name, if the caller's credential still holds then: with a body that came slowly, a key that was revoked
/// since would make itself another. What goes beyond its own end also takes that nothing was taken from it since: a key that was just
/// brought to its end would otherwise leave a longer-lived one behind, or revoke the one that replaces it.
async fn commit(
    gateway: &Gateway,
    change: Change,
    caller: &Caller,
    address: IpAddr,
    (action, subject, detail): (&'static str, String, String),
) -> Result<(), Rejection> {
    let event =
        Event { at: gateway.clock.now(), actor: caller.actor(), action, subject, detail, address: address.to_string() };
    let as_before = match &change {
        Change::AddKey(_) => true,
        Change::RevokeKey(id, _) | Change::ExpireKey(id, _) => own_key(caller).is_some_and(|own| own.id != *id),
        _ => false,
    };
    let (by, clock) = (caller.clone(), gateway.clock.clone());
    let still =
        move |directory: &Directory| by.holds(directory, clock.now()) && (!as_before || by.is_unchanged(directory));
    let made = gateway.directory.commit_if(change, event, still).await;
    let made = made.map_err(|error| match error {
        DirectoryError::Store(StoreError::Taken(what)) => {
            Rejection::new(409, format!("{what} is taken")).member("code", "id_taken")
        }
        DirectoryError::Unknown(what) => Rejection::new(404, format!("there is no {what}")),
        DirectoryError::Replaced(by) => {
            let message = format!("the key has a replacement already: {by}");
            Rejection::new(409, message).member("code", "replaced").member("by", by.as_str())
        }
        DirectoryError::NotLive(id) => not_live(&id),
        DirectoryError::LastAdmin(_) => Rejection::new(403, error.to_string()),
        DirectoryError::Store(_) | DirectoryError::Ending => {
            tracing::error!(%error, "a change could not be kept");
            Rejection::new(503, "this gateway cannot keep the change now; nothing was changed")
                .header("retry-after", "10")
        }
    })?;
    match made {
        true => Ok(()),
        false if caller.holds(&gateway.directory, gateway.clock.now()) => {
            Err(Rejection::new(403, "this key was brought to its end while it asked"))
        }
        false => Err(credential_revoked()),
    }
}

/// Counts a change that a key without the scope `keys` asks for.
///
/// # Errors
/// 429 when it asks too often.
fn count(gateway: &Gateway, caller: &Caller) -> Result<(), Rejection> {
    match own_key(caller) {
        Some(own) if !manages(caller) => gateway.self_change_limiter.count(gateway.directory.first_of(own)),
        _ => Ok(()),
    }
}

/// 409 for a key that is to be replaced and is accepted no longer.
fn not_live(id: &KeyId) -> Rejection {
    let error = DirectoryError::NotLive(id.clone());
    Rejection::new(409, error.to_string()).member("code", "not_live")
}

/// Whether a credential may manage what its account has; without that a key may still see, replace and revoke itself.
fn manages(caller: &Caller) -> bool {
    caller.rights().scopes.contains(Scope::Keys)
}

/// 403 for a credential that may only manage itself.
fn require_management(caller: &Caller) -> Result<(), Rejection> {
    if manages(caller) {
        return Ok(());
    }
    Err(Rejection::new(403, "this key does not have the scope keys: it may revoke itself and its replacement"))
}

/// The caller's own key, if it is one.
fn own_key(caller: &Caller) -> Option<&super::store::KeyRecord> {
    match caller.credential() {
        Credential::Key(key) => Some(key),
        Credential::Device(_) | Credential::Session(_) => None,
    }
}
