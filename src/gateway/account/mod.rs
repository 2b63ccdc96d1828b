//! The account endpoints, answering as ollama.com does where that is known.

mod create;
mod item;
mod list;
mod remove;

use std::net::IpAddr;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::authn::{By, Caller, no_longer};
use super::directory::DirectoryError;
use super::policy::AccountCall;
use super::refusal::Refusal;
use super::routes::{Access, Account, Matched};
use super::state::Gateway;
use super::store::{Change, Event, StoreError};
use super::target::Target;

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
        Access::Account(Account::SignOut | Account::Key) => true,
        Access::Account(Account::Keys) => *method != Method::GET,
        Access::Upstream(_) | Access::Public(_) => false,
    }
}

/// Answers it.
///
/// # Errors
/// See the endpoints; 503 when the change cannot be kept.
pub async fn answer(gateway: &Gateway, call: AccountCall, request: Request<'_>) -> Result<Response<Body>, Refusal> {
    match (call.endpoint, request.method) {
        (Account::Me, _) => Ok(me(&call.caller)),
        (Account::SignOut, _) => remove::sign_out(gateway, &call.caller, request.address).await,
        (Account::Keys, &Method::GET) => list::list(gateway, &call.caller, request.target),
        (Account::Keys, _) => create::create(gateway, &call.caller, request).await,
        (Account::Key, _) => remove::remove(gateway, &call.caller, &call.argument, request.address).await,
    }
}

/// Who the credential belongs to. The stock client insists that `id` is a UUID.
fn me(caller: &Caller) -> Response<Body> {
    let user = caller.user();
    json_response(StatusCode::OK, &json!({ "id": user.id.to_string(), "email": user.email, "name": user.name }))
}

/// A JSON answer that nobody keeps a copy of.
pub fn json_response(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Makes a change in a caller's name, if the caller's credential still holds then: with a body that came slowly, a key that was revoked
/// since would make itself another.
async fn commit(
    gateway: &Gateway,
    change: Change,
    caller: &Caller,
    address: IpAddr,
    (action, subject, detail): (&'static str, String, String),
) -> Result<(), Refusal> {
    let event =
        Event { at: gateway.clock.now(), actor: caller.actor(), action, subject, detail, address: address.to_string() };
    let (by, clock) = (caller.clone(), gateway.clock.clone());
    let made = gateway.directory.commit_if(change, event, move |directory| by.holds(directory, clock.now())).await;
    let made = made.map_err(|error| match error {
        DirectoryError::Store(StoreError::Taken(what)) => Refusal::new(409, format!("{what} is taken")),
        DirectoryError::Unknown(what) => Refusal::new(404, format!("there is no {what}")),
        DirectoryError::Replaced(_) => Refusal::new(409, error.to_string()),
        DirectoryError::LastAdmin(_) => Refusal::new(403, error.to_string()),
        DirectoryError::Store(_) | DirectoryError::Ending => {
            tracing::error!(%error, "a change could not be kept");
            Refusal::new(503, "this gateway cannot keep the change now; nothing was changed")
                .header("retry-after", "10")
        }
    })?;
    if made { Ok(()) } else { Err(no_longer()) }
}

/// Whether a credential may manage what its account has; without that a key may still see, replace and revoke itself.
fn manages(caller: &Caller) -> bool {
    caller.rights().scopes.contains(crate::keyspec::Scope::Keys)
}

/// The caller's own key, if it is one.
fn own_key(caller: &Caller) -> Option<&super::store::KeyRecord> {
    match caller.by() {
        By::Key(key) => Some(key),
        By::Device(_) => None,
    }
}
