//! The account endpoints, answering as ollama.com does where that is known.

mod create;
mod exchange;
mod label;
mod list;
mod revoke;
mod service;
mod usage;

use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use serde_json::json;

pub use create::{LONGEST_NAME, Wanted, name};
pub use service::{AccountParts, AccountService, Request, too_many};

use super::authn::{Caller, Credential};
use super::policy::{AccountCall, read_small};
use super::rejection::{Rejection, json_response};
use super::routes::Account;

impl AccountService {
    /// Answers it.
    ///
    /// # Errors
    /// See the endpoints; 503 when the change cannot be kept.
    pub async fn answer(&self, call: AccountCall, request: Request<'_>) -> Result<Response<Body>, Rejection> {
        let reads_body = call.endpoint == Account::Keys && request.method != Method::GET;
        let request = match reads_body || request.target.body_digest()?.is_none() {
            true => request,
            // Nothing is done for a request whose body is not the signed one, though what it holds does not matter.
            false => Request { body: read_small(request.body, request.headers).await?.into(), ..request },
        };
        match (call.endpoint, request.method) {
            (Account::Me | Account::Usage | Account::Balance, _) => {}
            (Account::Keys, method) if *method != Method::GET => {}
            _ => service::refuse_workload(&call.caller)?,
        }
        match (call.endpoint, request.method) {
            (Account::Me, _) => Ok(me(&call.caller)),
            (Account::SignOut, _) => self.sign_out(&call.caller, request.origin).await,
            (Account::Keys, &Method::GET) => self.list(&call.caller, request.target).await,
            (Account::Keys, _) => self.create(&call.caller, request).await,
            (Account::KeyEnd, _) => {
                self.bring_forward(&call.caller, &call.argument, request.target, request.origin).await
            }
            (Account::Usage, _) => self.usage(&call.caller, request.target).await,
            (Account::Balance, _) => self.balance(&call.caller),
            (Account::Key, _) => self.remove(&call.caller, &call.argument, request.origin).await,
        }
    }
}

/// Who the credential belongs to. The stock client insists that `id` is a UUID.
fn me(caller: &Caller) -> Response<Body> {
    let user = caller.user();
    let mut me = json!({ "id": user.id.to_string(), "email": user.email, "name": user.name, "role": user.role });
    let two_proofs = caller.two_proofs();
    if !two_proofs.is_empty() {
        me["two_proofs"] = json!(two_proofs);
        // What the device has to sign.
        if let Credential::Key(key) = caller.credential() {
            me["key"] = key.id.as_str().into();
        }
    }
    if let Some(token) = caller.workload() {
        me["workload"] = json!({ "rule": token.rule.name.as_str(), "subject": token.subject, "run": token.run });
    }
    json_response(StatusCode::OK, &me)
}
