//! Forwarding: an [`Authorized`] request goes to the upstream server, without anything of the credential, and its answer comes back as it
//! arrives.

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Response, StatusCode, Version};
use uuid::Uuid;

use super::authn::{GuardedBody, StreamGuard};
use super::config::Config;
use super::limits::Slot;
use super::policy::{Authorized, Limits, ModelList, Scanner, fault_of_the_sender};
use super::rejection::{Dialect, Rejection};
use super::routes::{Access, Route};
use super::signin_link_filter::{Report, SigninLinkFilter};
use super::store::UsageStatus;
use super::telemetry::RequestTracker;
use super::usage::{Meter, MeteredBody};
use crate::address::BaseUrl;
use crate::http::{Http1Client, OutgoingRequest, Relay, RequestHead, ResetOnClose, SendError, headers};
use crate::keyspec::Scope;

/// The response header that says what of the request was lowered, and to what.
const LOWERED: HeaderName = HeaderName::from_static("x-ollama-auth-lowered");

/// What to say when the upstream server cannot be reached.
pub const UNREACHABLE: &str = "bad gateway: the upstream server cannot be reached; is Ollama running there?";

/// An authorised request, ready to be sent.
pub struct Forward {
    outgoing: OutgoingRequest<Body>,
    /// The answer is a list of models, of which the caller may see some.
    filtered: Option<ModelList>,
    /// The answer's length would tell of others.
    hides_length: bool,
    /// What of the request was lowered.
    lowered: Option<HeaderValue>,
    route: &'static Route,
    /// Cuts the answer off.
    guard: Option<StreamGuard>,
    /// Counts what it uses.
    meter: Option<Meter>,
    /// Its place in limits.
    slot: Slot,
}

impl Forward {
    /// Puts together what is sent: without anything of the credential. The answer is cut off when `guard` says so, is counted by `meter`, and
    /// holds `slot`.
    ///
    /// # Errors
    /// 400 for a path that cannot be sent.
    pub fn new(
        authorized: Authorized,
        method: &Method,
        sent: &HeaderMap,
        config: &Config,
        guard: Option<StreamGuard>,
        mut meter: Option<Meter>,
        slot: Slot,
    ) -> Result<Self, Rejection> {
        let (route, limited) = (authorized.route(), !authorized.models().is_all());
        let is_head = *method == Method::HEAD;
        let filtered = ModelList::of(&authorized).filter(|_| !is_head);
        let head = head(method, sent, &authorized, config);
        let head = head.inspect_err(|_| meter.iter_mut().for_each(|meter| meter.unanswered(UsageStatus::Failed)))?;
        let repeatable = method.is_safe() || may_be_repeated(route.access);
        let lowered = authorized.rewritten().and_then(|rewritten| rewritten.lowered.as_deref());
        let lowered = lowered.and_then(|lowered| HeaderValue::from_str(lowered).ok());
        let outgoing = OutgoingRequest { head, body: authorized.into_body(), repeatable };
        let hides_length = limited && is_head;
        Ok(Self { outgoing, filtered, hides_length, lowered, route, guard, meter, slot })
    }

    /// Its route.
    pub fn route(&self) -> &'static Route {
        self.route
    }

    /// Sends it, and gives back the answer. `reset` is set when that breaks off; `withheld` is called for each sign-in link in it. `tracker` goes
    /// with the body of the answer, unless there is none.
    ///
    /// # Errors
    /// 502 when the upstream server does not answer, or refuses *us*; 401 or 403 when the credential is no longer accepted; 413 and 408 when the body
    /// turned out too large or too slow; 503 while too many lists of models are read.
    pub async fn send(
        self: Box<Self>,
        upstream: &Http1Client,
        config: &Config,
        scanner: &Scanner,
        reset: ResetOnClose,
        withheld: Report,
        tracker: &mut RequestTracker,
    ) -> Result<Response<Body>, Rejection> {
        // The place is free last, whatever happens: what is declared later is dropped before.
        let Self { slot, outgoing, filtered, hides_length, lowered, route, guard, meter } = *self;
        let mut waiting = Unanswered { meter, tracker };
        let to = &config.upstream;
        let refused = |rejection: Rejection| rejection.with_dialect(Dialect::of(route.path));
        let answer = match &guard {
            None => upstream.send(to.as_origin(), outgoing).await,
            Some(guard) => tokio::select! {
                biased;
                answer = upstream.send(to.as_origin(), outgoing) => answer,
                // A model that loads can keep the caller waiting for minutes.
                () = std::future::poll_fn(|context| guard.poll_cut(context)) => {
                    waiting.ended(UsageStatus::Cut);
                    return Err(refused(guard.refusal()));
                }
            },
        };
        let answer = answer.inspect_err(|problem| {
            waiting.ended(match problem {
                SendError::Connect(_) | SendError::Malformed => UsageStatus::Failed,
                SendError::Closed(_) => UsageStatus::Cut,
                SendError::RequestBody(_) => UsageStatus::Cancelled,
            });
        });
        let (mut parts, body) = answer.map_err(|problem| refused(unanswered(&problem, to)))?.into_parts();
        if let Some(meter) = &mut waiting.meter {
            meter.answered(parts.status, &parts.headers);
            if meter.changes_length() {
                parts.headers.remove(header::CONTENT_LENGTH);
            }
        }
        if parts.status.is_informational() {
            // 101: we asked for no other protocol, and could not follow into it.
            let message = "bad gateway: the upstream server switched to another protocol";
            return Err(refused(Rejection::new(502, message)));
        }
        if parts.status == StatusCode::UNAUTHORIZED {
            // Whatever it says, such as the link that connects the server's own key, is not for callers.
            let message = "bad gateway: the upstream Ollama is not signed in to ollama.com";
            return Err(refused(Rejection::new(502, message)));
        }
        // A list of models is read here in full: what the caller gets of it is known then.
        let is_listed = filtered.is_some() && parts.status.is_success();
        let (meter, followed) = waiting.answered(!is_listed);
        let body = MeteredBody::new(GuardedBody::new(body, guard, slot), meter, followed.with_status(parts.status));
        headers::strip_response_headers(&mut parts.headers);
        parts.headers.extend(lowered.map(|lowered| (LOWERED, lowered)));
        // Not that of the upstream server: in ours a truncated answer can be distinguished from a complete one.
        parts.version = Version::HTTP_11;
        if hides_length {
            parts.headers.remove(header::CONTENT_LENGTH);
        }
        let Some(models) = filtered.filter(|_| parts.status.is_success()) else {
            let relay = Relay::filtered(body, reset, SigninLinkFilter::new(withheld));
            return Ok(Response::from_parts(parts, Body::new(relay)));
        };
        let (body, length) = Box::pin(models.filter(body, Limits::new(config), scanner)).await.map_err(refused)?;
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        Ok(Response::from_parts(parts, body))
    }
}

/// A request that waits for its response. If none comes, also because the caller leaves, what it used is noted all the same.
struct Unanswered<'a> {
    meter: Option<Meter>,
    tracker: &'a mut RequestTracker,
}

impl Unanswered<'_> {
    /// No response comes.
    fn ended(&mut self, status: UsageStatus) {
        self.meter.iter_mut().for_each(|meter| meter.unanswered(status));
    }

    /// The response has come: gives out what counts it, and, if its body is followed, what follows the request.
    fn answered(mut self, is_followed: bool) -> (Option<Meter>, RequestTracker) {
        let followed = if is_followed { std::mem::take(self.tracker) } else { RequestTracker::default() };
        (self.meter.take(), followed)
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.report(self.tracker);
        }
    }
}

/// Whether running a request twice does no harm: it changes no models.
fn may_be_repeated(access: Access) -> bool {
    matches!(access, Access::Upstream(Scope::Inference | Scope::ModelsRead))
}

/// What to say when no answer came.
fn unanswered(problem: &SendError, upstream: &BaseUrl) -> Rejection {
    let message = match problem {
        SendError::RequestBody(error) => {
            return fault_of_the_sender(&**error)
                .unwrap_or_else(|| Rejection::new(400, "the request body ended early"));
        }
        SendError::Connect(_) => UNREACHABLE,
        SendError::Closed(_) => "bad gateway: the upstream server closed the connection before it responded",
        SendError::Malformed => "bad gateway: the response of the upstream server is not valid HTTP/1.1",
    };
    // The reason is not for callers: it can hold addresses of the upstream's network.
    let reason = std::error::Error::source(problem).map(ToString::to_string);
    tracing::warn!(%upstream, error = %problem, reason, "upstream request failed");
    Rejection::new(502, message)
}

/// The request line and the headers: the caller's without what is not forwarded, and who asks.
fn head(method: &Method, sent: &HeaderMap, authorized: &Authorized, config: &Config) -> Result<RequestHead, Rejection> {
    let path = authorized.path_and_query();
    // The end of the line, or of the path in it, is not for callers to say.
    if !path.starts_with('/') || path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(Rejection::new(400, "the path cannot be forwarded"));
    }
    let mut head = RequestHead::new(method.clone(), config.upstream.as_origin(), &[config.upstream.path(), &path]);
    let rewritten = authorized.rewritten();
    for (name, value) in headers::forwardable_request_headers(sent) {
        let replaced = match *name {
            // The body tells.
            header::CONTENT_LENGTH => true,
            header::CONTENT_ENCODING | header::CONTENT_TYPE => rewritten.is_some(),
            // What is packed could not be looked through, be it for models or for the link (see `signin_link_filter`).
            header::ACCEPT_ENCODING => true,
            _ => false,
        };
        if !replaced {
            head.header(name.as_str(), value.as_bytes());
        }
    }
    let mut say = |name: &str, value: &str| {
        // Characters that are invalid in a header are left out.
        if value.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !value.is_empty() {
            head.header(name, value.as_bytes());
        }
    };
    if let Some(rewritten) = rewritten {
        say("content-type", &rewritten.content_type);
    }
    let caller = authorized.caller();
    say("x-ollama-auth-user", &caller.user().name);
    say("x-ollama-auth-user-id", caller.user().id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    say("x-ollama-auth-credential", &caller.name());
    let label = caller.label(caller.role());
    if let Some(environment) = caller.environment().map(|rules| rules.name.as_str()).or(label) {
        say("x-ollama-auth-environment", environment);
    }
    Ok(head)
}
