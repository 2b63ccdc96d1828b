//! What a request goes through, top to bottom. Each step takes what the one before it proved, so none can be left out. The walk
//! through a request in `docs/architecture.md` has the same steps:
//!
//! 1. `host`: the `Host` header is ours, and the client's address is accepted; health checks leave before
//! 2. `target`: its path is plain, and below our base path; preflight requests of browsers leave before, to `cors`
//! 3. `pages`: a person's browser leaves here
//! 4. `routes`: it is a route of the table; public routes are answered here
//! 5. `authn`: who asks
//! 6. `policy`: the scope, or what an account endpoint requires
//! 7. `account`: the account endpoints leave here
//! 8. `limits`: how much they may use
//! 9. `policy`: the models, and the body
//! 10. `proxy`: the upstream server

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::{Body as _, Incoming};
use serde_json::json;
use tower::ServiceExt as _;

use super::account::{self, AccountService};
use super::active_config::{ActiveConfig, ConfigHandle};
use super::authn::{self, Authenticator, Caller, Credential, OpenStreams, StreamRequest};
use super::clock::Clock;
use super::cors::{self, PageAccess};
use super::directory::Directory;
use super::health::{Health, Probe};
use super::host;
use super::host::Listener;
use super::key_expiry;
use super::lenient_path;
use super::limits::{self, Applicable, ApplicableBudgets, BudgetHold, Budgets, Limiter, budget_refusal};
use super::log_throttle::LogThrottle;
use super::maintenance;
use super::origin::Origin;
use super::pages;
use super::policy::{self, Counts, Destination, Limits, Scanner};
use super::proxy::{Forward, UNREACHABLE};
use super::refusal_code::RefusalCode;
use super::rejection::{Dialect, Rejection, json_response};
use super::routes::{Access, Changes, Matched, Public, Requirement};
use super::signin_link_filter::Report;
use super::target::Target;
use super::telemetry::{RequestTracker, Telemetry};
use super::usage::{Meter, UsageCollector};
use crate::http::server::MAX_HEADERS;
use crate::http::{AuthenticatedFlag, Http1Client, MinDataRateBody, ResetOnClose};
use crate::keyspec::hide_keys;

/// The header by which the gateway names itself, in every answer.
const NAME: HeaderName = HeaderName::from_static("x-ollama-auth-gateway");
const VERSION: HeaderValue = HeaderValue::from_static(env!("CARGO_PKG_VERSION"));
/// The id of the request, the same as in the logs. `OpenAI`'s SDKs look for it there, and Anthropic's in the other. One that the caller sent
/// is never ours.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// The version of Ollama whose routes the table holds: what clients are told if the upstream server names none.
const OLLAMA_VERSION: &str = "0.33.0";
const RUNNING: &str = "Ollama is running";
const NOT_RUNNING: &str = "The gateway is running, but the upstream Ollama server does not respond";

/// What a thread needs to answer requests.
pub struct Worker {
    /// The configuration in effect.
    pub config: Arc<ConfigHandle>,
    /// The accounts, and the maintenance message.
    pub directory: Directory,
    /// Checks credentials.
    pub authenticator: Arc<Authenticator>,
    /// Reads the bodies of model-limited keys.
    pub scanner: Arc<Scanner>,
    /// Answers the account endpoints.
    pub accounts: Arc<AccountService>,
    /// Limits how much callers use.
    pub limiter: Arc<Limiter>,
    /// Limits how many tokens they use.
    pub budgets: Arc<Budgets>,
    /// Whether gateway and upstream server can serve.
    pub health: Arc<Health>,
    /// The responses that are cut off when their credential is no longer valid.
    pub streams: Arc<OpenStreams>,
    /// The router of the web pages.
    pub pages: Router,
    /// Connections to the upstream server.
    pub upstream: Http1Client,
    /// Limits how often requests alone can make it write to its log.
    pub log_throttle: Arc<LogThrottle>,
    /// What requests use is counted here.
    pub usage: Arc<UsageCollector>,
    /// Records requests that are over.
    pub telemetry: Arc<Telemetry>,
    /// The clock, settable in tests.
    pub clock: Clock,
    /// Called for each sign-in link of the upstream server that is withheld.
    pub withheld_link: Report,
}

/// What the gateway does with a request.
enum Decision {
    /// The gateway answers the request itself.
    Answer(Response<Body>),
    /// The request is forwarded to the upstream server. Who asks is there if the body, which is still to come, may exceed a limit of theirs.
    Forward(Box<Forward>, Option<Caller>),
}

/// The route of the web pages, as it is recorded.
const PAGES: &str = "pages";

/// What a caller is told in the headers whose credential was accepted, whatever the answer is; and what is recorded of its request.
#[derive(Default)]
struct Notices {
    tracker: RequestTracker,
    maintenance: Option<HeaderValue>,
    /// When the API key ends, in Unix seconds, if that is soon.
    key_end: Option<i64>,
}

impl Notices {
    fn write(self, headers: &mut HeaderMap) -> RequestTracker {
        headers.extend(self.maintenance.map(|notice| (maintenance::NOTICE, notice)));
        headers.extend(self.key_end.and_then(key_expiry::value).map(|end| (key_expiry::HEADER, end)));
        self.tracker
    }
}

impl Worker {
    /// Answers a request of `peer` that came to `listener`. `reset` is set when the answer breaks off and the caller's protocol cannot show it; `authenticated` when
    /// the caller showed a credential that was accepted.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        listener: Listener,
        reset: ResetOnClose,
        authenticated: AuthenticatedFlag,
    ) -> Result<Response<Body>, Infallible> {
        let (parts, body) = request.into_parts();
        let current = self.config.get();
        let (address, problem) = host::client_address(&current, &parts.headers, peer);
        let origin = Origin::new(address);
        if let Some(problem) = problem {
            problem.report(&self.log_throttle, peer, self.clock.now());
        }
        // From 1.1 on a body's end is marked, so that one without it is seen to be cut.
        let reset = if parts.version == Version::HTTP_10 { reset } else { ResetOnClose::default() };
        let body = if body.is_end_stream() {
            Body::empty()
        } else {
            Body::new(MinDataRateBody::new(body, current.body_timeout))
        };
        // For the log alone.
        let asked = tracing::enabled!(tracing::Level::DEBUG)
            .then(|| [parts.method.as_str(), parts.uri.path()].map(|text| hide_keys(text).into_owned()))
            .unwrap_or_default();
        let page_access = PageAccess::of(&parts, &current);
        let is_anthropic = dialect(&parts, &current) == Dialect::Anthropic;
        // One after the other: of a thousand answers that are waited for, none holds what its request came with any more. This future lasts as
        // long as the connection, so what takes much room in it is in boxes.
        let mut notices =
            Notices { tracker: RequestTracker::begin(&self.telemetry, &parts, origin), ..Notices::default() };
        let answered =
            match Box::pin(self.decide(&current, parts, body, (origin, listener), authenticated, &mut notices)).await {
                Ok(Decision::Answer(response)) => Ok(response),
                Ok(Decision::Forward(request, limited)) => {
                    let (withheld, route) = (self.withheld_link.clone(), request.route());
                    let tracker = &mut notices.tracker;
                    let sent = request.send(&self.upstream, &current, &self.scanner, reset, withheld, tracker);
                    let sent = Box::pin(sent).await;
                    sent.inspect_err(|rejection| {
                        if let (Some(RefusalCode::Size), Some(caller)) = (rejection.code(), &limited) {
                            self.authenticator.note_denial(caller, route.path, rejection, origin);
                        }
                    })
                }
                Err(rejection) => Err(rejection),
            };
        let mut response = answered.unwrap_or_else(|rejection| {
            tracing::debug!(%address, request = %origin.request, status = rejection.status(), reason = &*hide_keys(rejection.message()), "refused");
            rejection.into_response()
        });
        let [method, path] = asked;
        tracing::debug!(%address, request = %origin.request, method, path, status = response.status().as_u16(), "answered");
        page_access.write(response.headers_mut());
        response.headers_mut().insert(NAME, VERSION);
        if let Ok(id) = HeaderValue::from_str(origin.request.as_str()) {
            if is_anthropic {
                response.headers_mut().insert(ANTHROPIC_REQUEST_ID, id.clone());
            }
            response.headers_mut().insert(REQUEST_ID, id);
        }
        let tracker = notices.write(response.headers_mut());
        Ok(tracker.finish(response))
    }

    /// Writes into `notices` what a caller is told whose credential was accepted.
    async fn decide(
        &self,
        current: &ActiveConfig,
        mut parts: Parts,
        body: Body,
        (mut origin, listener): (Origin, Listener),
        authenticated: AuthenticatedFlag,
        notices: &mut Notices,
    ) -> Result<Decision, Rejection> {
        let base = current.url.path();
        if let Some(probe) = Probe::of(&parts, base) {
            notices.tracker.set_route(probe.path());
            return Ok(Decision::Answer(Box::pin(self.health.answer(probe, &self.upstream, &current.upstream)).await));
        }
        let decision = async {
            (origin.entry, origin.local) = (host::accept(current, &parts.headers, listener)?, Some(listener.local));
            if let Err(rejection) = self.authenticator.accept_address(&current.addresses, origin) {
                let path = parts.uri.path();
                let path = path.strip_prefix(base).unwrap_or(path);
                return match pages::owns(path) || pages::answers_browser(path, false, &parts.headers) {
                    true => Ok(Decision::Answer(pages::refused(&rejection))),
                    false => Err(rejection),
                };
            }
            if parts.headers.len() > MAX_HEADERS {
                let message = format!("the request has more than {MAX_HEADERS} headers");
                return Err(Rejection::new(431, message).header("connection", "close"));
            }
            lenient_path::decode_model(&mut parts, base);
            if let Some(answer) = cors::preflight(&parts, current) {
                return answer.map(Decision::Answer);
            }
            if let Some(redirect) = lenient_path::redirect(&parts, base) {
                return Err(redirect);
            }
            let target = Target::read(&parts, base)?;
            let matched = target.route();
            let is_page =
                pages::owns(target.path) || pages::answers_browser(target.path, matched.is_ok(), &parts.headers);
            if is_page {
                notices.tracker.set_route(PAGES);
                let tracker = &mut notices.tracker;
                return Box::pin(self.page(&parts, &target, body, origin, tracker)).await.map(Decision::Answer);
            }
            let matched = matched?;
            notices.tracker.set_route(matched.route.path);
            if let Access::Public(answer) = matched.route.access {
                if parts.method == Method::GET && matches!(answer, Public::Heartbeat | Public::Version) {
                    // Programs ask these to find out whether a key is good. Never for HEAD: the stock client begins every command so.
                    Box::pin(self.authenticator.refuse_bad_key(&parts.headers, origin)).await?;
                }
                return Box::pin(self.public(answer, current, &parts.method)).await.map(Decision::Answer);
            }
            let Parts { method, headers, .. } = &parts;
            let request = account::Request { method, target: &target, headers, body, origin };
            let authorized = self.authorize(current, request, matched, &authenticated, notices).await;
            // As in the event log.
            let is_unnamed = |rejection: &Rejection| rejection.status() == 403 && rejection.code().is_none();
            authorized.map_err(|rejection| match is_unnamed(&rejection) {
                true => rejection.because(RefusalCode::Rights),
                false => rejection,
            })
        };
        decision.await.map_err(|rejection: Rejection| rejection.with_dialect(dialect(&parts, current)))
    }

    async fn authorize(
        &self,
        current: &ActiveConfig,
        request: account::Request<'_>,
        matched: Matched<'_>,
        authenticated: &AuthenticatedFlag,
        notices: &mut Notices,
    ) -> Result<Decision, Rejection> {
        let account::Request { method, target, headers, origin, .. } = request;
        let changes = matched.changes(method.as_str());
        if matches!(matched.route.access, Access::Account(..)) {
            authn::refuse_basic(headers)?;
        }
        let caller = self.authenticator.identify(headers, target, origin, changes).await?;
        authenticated.set();
        let now = self.clock.now();
        let maintenance = self.directory.maintenance(now);
        notices.maintenance = maintenance.as_deref().and_then(maintenance::notice);
        notices.key_end = key_expiry::end_to_tell(&caller, now);
        notices.tracker.set_caller(&caller);
        let body_limits = Limits::new(current);
        let body = match target.body_digest()? {
            None if caller.has_second_proof() && changes == Changes::Account && !request.body.is_end_stream() => {
                return Err(Rejection::unauthorized(
                    "unauthorized: the second proof must cover the body: add the parameter body-sha256",
                ));
            }
            None => request.body,
            Some(digest) => {
                let reservation = self.scanner.reserve(&caller, body_limits.memory());
                policy::signed(request.body, digest, matched.is_body_held(), reservation)?
            }
        };
        let request = account::Request { body, ..request };
        let who = caller.clone();
        let denied = |rejection: &Rejection| {
            let is_recorded = |code: RefusalCode| {
                code.is_limit() || matches!(code, RefusalCode::Maintenance | RefusalCode::ExchangedToken)
            };
            if rejection.code().is_some_and(RefusalCode::is_limit) && current.usage {
                self.usage.refused(&who);
            }
            if rejection.status() == 403 || rejection.code().is_some_and(is_recorded) {
                self.authenticator.note_denial(&who, matched.route.path, rejection, origin);
            }
        };
        let permitted = match policy::permit(caller, target, matched).inspect_err(denied)? {
            Destination::Account(call) => {
                let by = call.caller.clone();
                let answered = Box::pin(self.accounts.answer(call, request)).await;
                if let (Ok(_), Access::Account(_, Requirement::Scope { scope, .. })) = (&answered, matched.route.access)
                    && current.usage
                    && by.rights().scopes.contains(scope)
                {
                    self.usage.scope_used(&by, scope);
                }
                return answered.inspect_err(denied).map(Decision::Answer);
            }
            Destination::Upstream(permitted) => permitted,
        };
        if let Some(maintenance) = maintenance.filter(|maintenance| maintenance.refuses) {
            return Err(maintenance::refusal(&maintenance, self.clock.now())).inspect_err(denied);
        }
        let (size, slot, mut budgets) = {
            let applicable = applicable_limits(permitted.caller(), current);
            let size = limits::request_size(&applicable);
            if size.is_some() {
                // Before it uses up anything of the other limits.
                body_limits.at_most(size).of(matched.route.path).check_announced(headers).inspect_err(denied)?;
            }
            let budgets = match matched.route.is_counted() {
                true => limits::budgets_of(&applicable),
                false => ApplicableBudgets::new(),
            };
            if let Some(state) = self.budgets.used_up(&budgets) {
                // Before its body is read; the models' come later.
                return Err(budget_refusal(&state, self.clock.now())).inspect_err(denied);
            }
            let slot = self.limiter.admit(&applicable, || self.clock.elapsed()).map_err(Rejection::from);
            (size, slot.inspect_err(denied)?, budgets)
        };
        let body_limits = body_limits.at_most(size);
        let limited = (size.is_some() && !request.body.is_end_stream()).then(|| permitted.caller().clone());
        let body = match request.body.is_end_stream() {
            true => request.body,
            false => Body::new(authn::RevalidatingBody::new(
                request.body,
                permitted.caller().clone(),
                self.authenticator.clone(),
            )),
        };
        let caps = current.caps.of(&permitted.caller().user().role);
        let counts_use = current.usage || !budgets.is_empty() || notices.tracker.is_on();
        let counts = match (current.model_limits.is_empty(), counts_use) {
            (false, _) => Counts::ByModel,
            (true, true) => Counts::Use,
            (true, false) => Counts::Nothing,
        };
        let admitted = permitted.admit(headers, body, body_limits, caps, counts, &self.scanner).await;
        let mut authorized = admitted.inspect_err(denied)?;
        // A body that was read in full may have taken its time.
        let waited = authorized.rewritten().is_some() || authorized.is_counted();
        if waited && !self.authenticator.still_accepts(authorized.caller()) {
            return Err(self.authenticator.refusal(authorized.caller()));
        }
        let guard = match matched.route.access {
            Access::Upstream(scope) => Some(self.streams.guard(StreamRequest {
                caller: authorized.caller().clone(),
                scope,
                models: authorized.models().clone(),
                origin,
                route: matched.route.path,
                follows_credential: current.cut_streams,
            })),
            _ => None,
        };
        if let Access::Upstream(scope) = matched.route.access
            && current.usage
            && !authorized.is_counted()
        {
            self.usage.scope_used(authorized.caller(), scope);
        }
        let meter = match authorized.take_used() {
            Some(used) => {
                budgets.extend(limits::budgets_of_model(&current.model_limits, &used.model));
                let hold = BudgetHold::admit(&self.budgets, budgets, used.input());
                let hold = hold.map_err(|state| budget_refusal(&state, self.clock.now())).inspect_err(denied)?;
                let caller = authorized.caller();
                Some(Meter::new(&self.usage, caller, origin, matched.route, used, hold, current.usage))
            }
            None => None,
        };
        let forward = Forward::new(authorized, method, headers, current, guard, meter, slot)?;
        Ok(Decision::Forward(forward.into(), limited))
    }

    /// Hands a request to the pages, with the base path cut off.
    async fn page(
        &self,
        parts: &Parts,
        target: &Target<'_>,
        body: Body,
        origin: Origin,
        tracker: &mut RequestTracker,
    ) -> Result<Response<Body>, Rejection> {
        let mut request = Request::new(body);
        *request.method_mut() = parts.method.clone();
        let path = target.query.map_or_else(|| target.path.to_owned(), |query| format!("{}?{query}", target.path));
        *request.uri_mut() = path.parse::<Uri>().map_err(|_| Rejection::new(400, "the path is not valid"))?;
        *request.headers_mut() = parts.headers.clone();
        request.extensions_mut().insert(origin);
        let visitor = pages::PageVisitor::default();
        if tracker.is_on() {
            request.extensions_mut().insert(visitor.clone());
        }
        let response = self.pages.clone().oneshot(request).await;
        if let Some(caller) = visitor.caller() {
            tracker.set_caller(caller);
        }
        Ok(response.unwrap_or_else(|never: Infallible| match never {}))
    }

    /// Answers without authentication.
    async fn public(
        &self,
        answer: Public,
        current: &ActiveConfig,
        method: &Method,
    ) -> Result<Response<Body>, Rejection> {
        let upstream = || self.health.upstream(&self.upstream, &current.upstream);
        match answer {
            // The stock client asks so before each of its commands, and would end them here: also those that need the gateway alone, such as
            // signing in. The next request says what is wrong, in words.
            Public::Heartbeat if *method == Method::HEAD => Ok(heartbeat(StatusCode::OK, RUNNING)),
            Public::Heartbeat => Ok(match upstream().await {
                Some(_) => heartbeat(StatusCode::OK, RUNNING),
                None => heartbeat(StatusCode::SERVICE_UNAVAILABLE, NOT_RUNNING),
            }),
            Public::Version => {
                let found = upstream().await.ok_or_else(|| Rejection::new(502, UNREACHABLE))?;
                let version = found.version.as_deref().unwrap_or(OLLAMA_VERSION);
                Ok(json_response(StatusCode::OK, &json!({ "version": version })))
            }
            Public::Status => {
                Ok(json_response(StatusCode::OK, &json!({ "cloud": { "disabled": false, "source": "none" } })))
            }
            Public::Health(probe) => Ok(self.health.answer(probe, &self.upstream, &current.upstream).await),
        }
    }
}

/// Whose errors the caller expects.
fn dialect(parts: &Parts, current: &ActiveConfig) -> Dialect {
    let path = parts.uri.path();
    Dialect::of(path.strip_prefix(current.url.path()).unwrap_or(path))
}

/// The limits that apply to a caller, by the configuration in effect.
fn applicable_limits<'a>(caller: &'a Caller, current: &'a ActiveConfig) -> Applicable<'a> {
    let key = match caller.credential() {
        Credential::Key(key) => Some(&**key),
        Credential::Device(_) | Credential::Workload(_) | Credential::Session(_) => None,
    };
    Applicable::new(caller.user(), caller.role(), key, caller.environment(), current)
}

fn heartbeat(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // A browser is led to the pages instead.
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    response
}
