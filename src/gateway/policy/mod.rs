//! What a caller may do: first the scope of the route, then the models that the request names.
//!
//! The way upstream takes an [`Authorized`], and only [`Permitted::admit`] makes one: code that forgot a check does not compile.

pub(super) mod body;
pub(super) mod capped;
mod counted_body;
pub(super) mod form;
mod form_input;
pub(super) mod json;
mod json_members;
mod keep_alive;
mod list_filter;
mod model_list;
mod models;
mod request_use;
pub(super) mod scan_budget;
mod scanned_body;
mod scanner;
mod signed_body;
mod small_body;
pub(super) mod unpack;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;

use super::authn::{Caller, Credential};
use super::caps::RoleCaps;
use super::model_access::ModelAccess;
use super::refusal_code::RefusalCode;
use super::rejection::Rejection;
use super::routes::{Access, Account, Matched, Models as Named, Requirement, Route};
use super::target::Target;
use crate::keyspec::{CanonicalModel, Rights, Scope};

pub use body::{Limits, fault_of_the_sender};
use capped::RouteCaps;
use counted_body::{CountedBody, counted};
pub use model_list::ModelList;
use models::{require_model, sendable};
pub use request_use::RequestUse;
use scan_budget::Reservation;
pub use scan_budget::ScanLimits;
use scanned_body::ScannedBody;
use scanner::MAX_SCANNED_INLINE;
pub use scanner::Scanner;
pub use signed_body::signed;
pub use small_body::read_small;

/// What of a request is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Nothing.
    Nothing,
    /// What it uses, as far as that can be read beside.
    Use,
    /// What it uses, and of which model: that of a body that cannot be read is not forwarded.
    ByModel,
}

/// Proof that a caller may use a route. The models are still to be looked at.
#[derive(Debug)]
pub struct Permitted {
    caller: Caller,
    models: ModelAccess,
    route: &'static Route,
    /// Plain, without the base path.
    path: String,
    query: Option<String>,
    argument: String,
}

/// Proof that a caller may make this very request: the only thing that is forwarded.
#[derive(Debug)]
pub struct Authorized {
    permitted: Permitted,
    body: Body,
    /// What to say of the body, where it is not the one that came.
    rewritten: Option<Rewritten>,
    /// What it says for counting, on a route whose use is counted.
    used: Option<RequestUse>,
    /// The model that the caller asks about, where the upstream server is asked for the list of all.
    wanted: Option<CanonicalModel>,
}

/// A body that was parsed and serialised again.
#[derive(Debug)]
pub struct Rewritten {
    /// Its type; empty when there is no body.
    pub content_type: String,
    /// What it asks less for than the one that came.
    pub lowered: Option<String>,
}

/// Proof that a caller may call an account endpoint. Which keys and devices it may see and change there, `account` decides.
#[derive(Debug)]
pub struct AccountCall {
    /// Who asks.
    pub caller: Caller,
    /// What.
    pub endpoint: Account,
    /// The value of the path's braces.
    pub argument: String,
}

/// What a caller may use.
#[derive(Debug)]
pub enum Destination {
    /// The upstream server.
    Upstream(Permitted),
    /// An account endpoint.
    Account(AccountCall),
}

/// Checks the scope or the requirement of a route.
///
/// # Errors
/// 403 without it.
pub fn permit(caller: Caller, target: &Target<'_>, matched: Matched<'_>) -> Result<Destination, Rejection> {
    let argument = matched.argument.to_owned();
    let scope = match matched.route.access {
        Access::Account(endpoint, requirement) => {
            // A workload may exchange its token for a key, and nothing else there.
            let is_key = matches!(caller.credential(), Credential::Key(_) | Credential::Workload(_));
            require_of_account(requirement, &caller.rights(), is_key)?;
            if let Requirement::Scope { scope, .. } = requirement {
                require_proofs(&caller, scope)?;
            }
            return Ok(Destination::Account(AccountCall { caller, endpoint, argument }));
        }
        Access::Upstream(scope) => scope,
        // Answered without authentication.
        Access::Public(_) => return Err(Rejection::new(404, "no such endpoint")),
    };
    require(&caller.rights(), scope)?;
    require_proofs(&caller, scope)?;
    let models = caller.models(scope);
    let (path, query) = (target.path.to_owned(), target.other_parameters());
    Ok(Destination::Upstream(Permitted { caller, models, route: matched.route, path, query, argument }))
}

/// Makes sure that a scope is among a caller's.
///
/// # Errors
/// 403 that names it.
pub fn require(rights: &Rights, scope: Scope) -> Result<(), Rejection> {
    if rights.scopes.contains(scope) {
        return Ok(());
    }
    Err(Rejection::new(403, format!("this credential does not have the scope {scope}")).because(RefusalCode::Scope))
}

/// Makes sure that there are two proofs where two are demanded.
///
/// # Errors
/// 403 that says which is missing, and for an API key its id, which a device has to sign.
fn require_proofs(caller: &Caller, scope: Scope) -> Result<(), Rejection> {
    let Some(missing) = caller.missing_proof(scope) else { return Ok(()) };
    let message = match caller.credential() {
        Credential::Key(_) => format!(
            "the scope {scope} needs two proofs: beside the API key the signature of a device of this account, in X-Ollama-Auth-Signature"
        ),
        Credential::Workload(_) => format!(
            "the scope {scope} needs two proofs, an API key and the signature of a device, so a token of an issuer is not accepted for it"
        ),
        _ => format!(
            "the scope {scope} needs two proofs: send an API key of this account, and sign in X-Ollama-Auth-Signature"
        ),
    };
    let rejection = Rejection::new(403, message).because(RefusalCode::SecondProof).member("missing", missing);
    Err(match caller.credential() {
        Credential::Key(key) => rejection.member("key", key.id.as_str()),
        Credential::Device(_) | Credential::Workload(_) | Credential::Session(_) => rejection,
    })
}

fn require_of_account(requirement: Requirement, rights: &Rights, is_key: bool) -> Result<(), Rejection> {
    match requirement {
        Requirement::ValidCredential => Ok(()),
        Requirement::Scope { or_own_key: true, .. } if is_key => Ok(()),
        Requirement::Scope { scope, .. } => require(rights, scope),
    }
}

impl Permitted {
    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Looks at the models that the request names, and at what it asks for. With model patterns, or caps on what the route takes, the body is
    /// read in full and written again, so that the upstream server reads exactly what the gateway checked; so it is if `counts` needs the
    /// model. Otherwise it is at most looked at, if `counts` says so.
    ///
    /// # Errors
    /// 400 for a body that cannot be understood, 403 for a model that may not be used and a cap that is exceeded, 413, 415, 503 while too
    /// many bodies are read.
    pub async fn admit(
        mut self,
        headers: &HeaderMap,
        body: Body,
        limits: Limits,
        caps: &Arc<RoleCaps>,
        counts: Counts,
        scanner: &Scanner,
    ) -> Result<Authorized, Rejection> {
        let models = &self.models;
        let counted_path = (counts != Counts::Nothing && self.route.is_counted()).then_some(self.route.path);
        let needs_model = counts == Counts::ByModel && counted_path.is_some();
        let caps = RouteCaps::of(self.route.path, caps);
        // The upstream server's route takes no slash, and cannot be told about one in any other way.
        let wanted = match self.route.models {
            Named::Path => CanonicalModel::parse(&self.argument).ok().filter(|_| self.argument.contains('/')),
            _ => None,
        };
        let any_model = models.is_all() && wanted.is_none() && !needs_model;
        if any_model && caps.is_none() {
            if let Some(path) = counted_path.filter(|_| matches!(self.route.models, Named::Body(_))) {
                let read = Box::pin(counted(&self.caller, headers, body, path, limits, scanner)).await?;
                let CountedBody { body, used, is_unpacked } = read;
                let content_type = || "application/json".to_owned();
                let rewritten = is_unpacked.then(|| Rewritten { content_type: content_type(), lowered: None });
                return Ok(Authorized { permitted: self, body, rewritten, used: Some(used), wanted });
            }
            let body = body::limited(body, headers, limits.of(self.route.path))?;
            let used = counted_path.map(|_| RequestUse::default());
            return Ok(Authorized { permitted: self, body, rewritten: None, used, wanted });
        }
        // Parameters could name a model too: Go reads a form's fields from the query first.
        self.query = self.query.filter(|_| any_model);
        let mut used = None;
        let (content_type, body) = match self.route.models {
            // What it reaches cannot be told: searches at ollama.com, files of any model.
            Named::None => {
                let message = format!("a credential for certain models may not use {}", self.path);
                return Err(Rejection::new(403, message).because(RefusalCode::Model));
            }
            Named::Listed(..) => (String::new(), Body::empty()),
            Named::Path => {
                require_model(models, &self.argument)?;
                let before = self.path.strip_suffix(&self.argument).unwrap_or_default();
                self.path = match wanted {
                    Some(_) => before.trim_end_matches('/').to_owned(),
                    None => format!("{before}{}", sendable(&self.argument)),
                };
                (String::new(), Body::empty())
            }
            Named::Body(names) => {
                let (models, creates, caps) = (models.clone(), self.route.path == "/api/create", caps.clone());
                let read = move |bytes: &Bytes, reservation: &mut Reservation| {
                    json::canonical(bytes, names, &models, creates, caps.as_ref(), counted_path, reservation)
                };
                let (scanned, counted) = scan(&self.caller, headers, body, limits, scanner, read).await?;
                used = counted;
                ("application/json".to_owned(), Body::new(scanned))
            }
            Named::Form(field) => {
                let body = if body::is_packed(headers)? {
                    let read = |bytes: &Bytes, _: &mut Reservation| Ok((vec![bytes.clone()], ()));
                    Body::new(scan(&self.caller, headers, body, limits, scanner, read).await?.0)
                } else {
                    body::limited(body, headers, limits.of(self.route.path))?
                };
                let held = scanner.reserve(&self.caller, limits.memory());
                let form = form::canonical(body, headers, field, models.clone(), limits.scanned(), held);
                let (content_type, model, body) = Box::pin(form).await?;
                used = counted_path.map(|_| RequestUse::of_model(&model));
                (content_type, body)
            }
        };
        // Its budget could not be found.
        if needs_model && used.as_ref().is_some_and(|used| used.model.is_empty()) {
            let message = "the name of the model cannot be understood: write it without a scheme, such as llama3:8b";
            return Err(Rejection::new(400, message));
        }
        let lowered = caps.and_then(|caps| caps.lowered());
        Ok(Authorized { permitted: self, body, rewritten: Some(Rewritten { content_type, lowered }), used, wanted })
    }
}

/// Reads a body in full, unpacks it, and has `read` put together what to forward: at once if that is a little work. Also gives back what
/// else `read` found.
async fn scan<T: Send + 'static>(
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
    limits: Limits,
    scanner: &Scanner,
    read: impl FnOnce(&Bytes, &mut Reservation) -> Result<(Vec<Bytes>, T), Rejection> + Send + 'static,
) -> Result<(ScannedBody, T), Rejection> {
    let (packed, limit) = (body::is_packed(headers)?, limits.scanned());
    let mut reservation = scanner.reserve(caller, limits.memory());
    let received = body::receive(body, headers, limit, &mut reservation).await?;
    let at_once = !packed && received.len() <= MAX_SCANNED_INLINE;
    let work = move || {
        let bytes = if packed {
            let unpacked = unpack::unpack(&received, limit, &mut reservation)?;
            let capacity = received.capacity();
            drop(received);
            reservation.shrink_to(reservation.bytes() - capacity);
            unpacked
        } else {
            received
        };
        let (pieces, found) = read(&bytes.into(), &mut reservation)?;
        Ok((ScannedBody::new(pieces, reservation), found))
    };
    if at_once { work() } else { scanner.run(caller, work).await }
}

impl Authorized {
    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.permitted.caller
    }

    /// The method is the one that was matched; this is the path and query to forward.
    pub fn path_and_query(&self) -> String {
        match &self.permitted.query {
            Some(query) => format!("{}?{query}", self.permitted.path),
            None => self.permitted.path.clone(),
        }
    }

    /// The route.
    pub fn route(&self) -> &'static Route {
        self.permitted.route
    }

    /// The models that the caller may use.
    pub fn models(&self) -> &ModelAccess {
        &self.permitted.models
    }

    /// The model whose item alone of the list of models is the answer.
    pub fn wanted(&self) -> Option<&CanonicalModel> {
        self.wanted.as_ref()
    }

    /// What to say of the body, where it is not the one that came.
    pub fn rewritten(&self) -> Option<&Rewritten> {
        self.rewritten.as_ref()
    }

    /// Whether its use is counted.
    pub fn is_counted(&self) -> bool {
        self.used.is_some()
    }

    /// What it says for counting, on a route whose use is counted. Given once.
    pub fn take_used(&mut self) -> Option<RequestUse> {
        self.used.take()
    }

    /// The body to forward.
    pub fn into_body(self) -> Body {
        self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_endpoint_is_called_only_if_its_requirement_is_met() {
        let rights = |scopes: &[Scope]| Rights {
            scopes: scopes.iter().copied().collect(),
            models: Default::default(),
            expires_at: None,
            limits: Default::default(),
            addresses: Default::default(),
        };
        let (none, keys) = (rights(&[]), rights(&[Scope::Keys]));
        let requires = |or_own_key| Requirement::Scope { scope: Scope::Keys, or_own_key };
        let is_allowed = |requirement, rights, is_key| require_of_account(requirement, rights, is_key).is_ok();
        assert!(is_allowed(Requirement::ValidCredential, &none, true));
        for is_key in [true, false] {
            assert!(is_allowed(requires(false), &keys, is_key) && is_allowed(requires(true), &keys, is_key));
            assert!(!is_allowed(requires(false), &none, is_key));
        }
        assert!(is_allowed(requires(true), &none, true) && !is_allowed(requires(true), &none, false));
    }
}
