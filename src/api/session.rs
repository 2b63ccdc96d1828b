//! One host with one credential: builds, authenticates and sends requests, and turns what comes back into a `Response`
//! that succeeded or an `ApiError` that says why not.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use reqwest::{Method, Response, StatusCode};
use secrecy::ExposeSecret;
use serde::Serialize;
use url::form_urlencoded;

use super::body::{ErrorBody, error_body, read_limited};
use super::clock::{clock_offset, notable, offset_in_words};
use super::credential::Credential;
use super::error::{ApiError, Conflict, Unreachable, seconds};
use super::host_facts::{ClockRule, GATEWAY_HEADER, HostFacts};
use super::ndjson::LineStream;
use super::transport::{self, ListenerRule, Transport, retry_after};
use crate::address::{BaseUrl, Scheme};
use crate::http::listener::foreign_account;
use crate::http::{BoxError, Http1Client, OutgoingRequest, RequestHead, ResponseBody};
use crate::identity::{BodyDigest, Challenge};
use crate::keyspec::KeyForm;

/// Time allowed for the answer to a request that is not an inference: these are look-ups.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(30);

/// A longer body is not bound to its signature: a gateway takes no longer one for a change.
const MAX_DIGESTED_BODY: usize = 1024 * 1024;

/// A host and the credential for it. The two cannot be parted: a credential is for one origin.
#[derive(Debug, Clone)]
pub struct Session<'t> {
    transport: &'t Transport,
    base: BaseUrl,
    credential: Credential,
    /// Where the credential comes from, for messages: a variable, a file.
    origin: Option<String>,
    /// The account that its loopback port belonged to at the sign-in.
    known_listener: Option<u32>,
    /// A person has just decided to use this host.
    signing_in: bool,
    clock_rule: ClockRule,
    facts: Arc<HostFacts>,
    now: fn() -> i64,
}

impl<'t> Session<'t> {
    /// Binds `credential` to `base`. `now` gives the Unix time in seconds.
    ///
    /// # Errors
    /// [`ApiError::InsecureHttp`] when a credential would go over plain http to a host that is not this machine, unless
    /// `allow_insecure_http`; [`ApiError::GatewayKey`] when a gateway's key would go to ollama.com.
    pub fn new(
        transport: &'t Transport,
        base: BaseUrl,
        credential: Credential,
        allow_insecure_http: bool,
        now: fn() -> i64,
    ) -> Result<Self, ApiError> {
        if !credential.is_none() {
            Self::may_carry_credential(&base, allow_insecure_http)?;
        }
        if let Credential::ApiKey(key) = &credential
            && base.as_origin().belongs_to_ollama_com()
            && KeyForm::of(key.expose_secret()) == KeyForm::Gateway
        {
            return Err(ApiError::GatewayKey { host: base.to_string() });
        }
        let facts = transport.facts(&base);
        Ok(Self {
            transport,
            base,
            credential,
            origin: None,
            known_listener: None,
            signing_in: false,
            clock_rule: ClockRule::default(),
            facts,
            now,
        })
    }

    /// Whether a credential may be sent to `base` at all, asked before one is made.
    ///
    /// # Errors
    /// As for [`Session::new`].
    pub fn may_carry_credential(base: &BaseUrl, allow_insecure_http: bool) -> Result<(), ApiError> {
        let exposed = base.scheme() == Scheme::Http && !base.is_loopback();
        if exposed && !allow_insecure_http {
            return Err(ApiError::InsecureHttp { host: base.to_string() });
        }
        Ok(())
    }

    /// The host.
    pub fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// Names what the credential comes from, such as `OLLAMA_API_KEY`, so that a rejection can say what to replace.
    #[must_use]
    pub fn with_credential_origin(self, origin: Option<String>) -> Self {
        Self { origin, ..self }
    }

    /// The account that the host's loopback port belonged to when a person signed in: it may belong to it again.
    #[must_use]
    pub fn with_known_listener(self, known_listener: Option<u32>) -> Self {
        Self { known_listener, ..self }
    }

    /// What a difference between the clocks leads to where the device key signs. [`ClockRule::Correct`] is not for a key that other hosts
    /// may know: a host could get signatures for a later time, and use them there.
    #[must_use]
    pub fn with_clock_rule(self, clock_rule: ClockRule) -> Self {
        Self { clock_rule, ..self }
    }

    /// The host named itself a gateway of ours at the sign-in: its answers need not tell first.
    #[must_use]
    pub fn with_known_gateway(self, is_gateway: bool) -> Self {
        if is_gateway {
            self.facts.set_gateway();
        }
        self
    }

    /// Whether the host has named itself a gateway of ours.
    pub fn is_gateway(&self) -> bool {
        self.facts.is_gateway()
    }

    /// For a sign-in: a program of another account on a loopback port is warned about, and then used.
    #[must_use]
    pub fn signing_in(self) -> Self {
        Self { signing_in: true, ..self }
    }

    /// The account behind the host's port that is neither ours, nor root, nor a service: what a sign-in records.
    pub fn foreign_listener(&self) -> Option<u32> {
        let addresses = self.base.loopback_addresses();
        let local = self.base.scheme() == Scheme::Http && !addresses.is_empty();
        local.then(|| foreign_account(self.base.port(), &addresses))?.map(|account| account.id)
    }

    fn listener_rule(&self) -> ListenerRule {
        let refuses = matches!(self.credential, Credential::ApiKey(_)) && !self.signing_in;
        ListenerRule { known: self.known_listener, refuses }
    }

    /// Where the credential comes from, if that was named.
    pub fn credential_origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Whether requests carry a credential.
    pub fn has_credential(&self) -> bool {
        !self.credential.is_none()
    }

    /// The Unix time, in seconds.
    pub(super) fn now(&self) -> i64 {
        (self.now)()
    }

    /// The same host, without the credential.
    pub fn unsigned(&self) -> Session<'t> {
        self.with_throwaway(Credential::None)
    }

    /// The same host with a throwaway credential that no host knows: it needs no protection, so plain
    /// http is not asked about.
    pub(super) fn with_throwaway(&self, credential: Credential) -> Self {
        Session { credential, origin: None, clock_rule: ClockRule::Ignore, ..self.clone() }
    }

    /// What one request to `path` (which begins with `/`) with these decoded query parameters takes: the full URL, and the
    /// `Authorization` header where there is a credential. A signature holds for this method, path and query alone, now, and adds
    /// its time to the URL's query.
    ///
    /// # Errors
    /// [`ApiError::Unsendable`].
    pub fn authorize(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<(String, Option<HeaderValue>), ApiError> {
        authorize(&self.base, &self.credential, self.signing_time(), method, path, query)
    }

    /// The time that signatures name, in Unix seconds.
    fn signing_time(&self) -> i64 {
        signing_time(&self.facts, self.clock_rule, self.now())
    }

    /// Takes note of an answer to a request to `path`. `true`: the request may be sent once more, signed with the host's time; never if
    /// it is sent `once`.
    pub(super) fn learn(&self, path: &str, status: StatusCode, headers: &HeaderMap, once: bool) -> bool {
        self.facts.learn(headers);
        if self.clock_rule == ClockRule::Ignore || !matches!(self.credential, Credential::Device(_)) {
            return false;
        }
        if status == StatusCode::UNAUTHORIZED {
            if once || self.clock_rule != ClockRule::Correct {
                // The error names the offset.
                return false;
            }
            let corrected = self.facts.correct(status, headers, self.now());
            if let Some(ahead) = corrected {
                self.report_offset(ahead, "; until then, requests to it are signed with its time");
            }
            return corrected.is_some();
        }
        // Other responses may have the `Date` of the upstream server.
        let is_from_gateway = path == "/api/me" || path.starts_with("/api/user/");
        if is_from_gateway && let Some(ahead) = HostFacts::reportable_offset(headers, self.now()) {
            self.report_offset(ahead, "");
        }
        false
    }

    fn report_offset(&self, ahead: i64, consequence: &str) {
        if self.facts.report_once() {
            let (offset, host) = (offset_in_words(ahead), &self.base);
            self.transport
                .warn(&format!("this machine's clock is {offset} that of {host}: set the clock{consequence}"));
        }
    }

    /// The parameter that binds a signature to a body, where a gateway checks it.
    pub(super) fn body_digest(&self, body: &[u8]) -> Option<String> {
        let is_signed = matches!(self.credential, Credential::Device(_));
        if !is_signed || !self.facts.is_gateway() || body.is_empty() || body.len() > MAX_DIGESTED_BODY {
            return None;
        }
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).ok()?;
        Some(BodyDigest::parameter_of(body, u64::from_ne_bytes(nonce)))
    }

    /// What the host has told so far, and the rule, for another that is bound to it.
    #[cfg(feature = "gateway")]
    pub(super) fn clock_facts(&self) -> (Arc<HostFacts>, ClockRule) {
        (self.facts.clone(), self.clock_rule)
    }

    /// The client for this host.
    pub(super) fn client(&self) -> Result<reqwest::Client, ApiError> {
        self.transport.client(&self.base, self.listener_rule())
    }

    /// The credential, for a trace that names its kind, and for another that is bound to the same host.
    pub(super) fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The clock, for another that is bound to the same host.
    #[cfg(feature = "gateway")]
    pub(super) fn clock(&self) -> fn() -> i64 {
        self.now
    }

    /// A request to `path` (which begins with `/`).
    pub fn request(&self, method: Method, path: &str) -> Request<'_, 't> {
        Request {
            session: self,
            method,
            path: path.to_owned(),
            query: Vec::new(),
            body: None,
            accept: "application/json",
            timeout: Some(CONTROL_TIMEOUT),
            harmless: false,
        }
    }
}

/// The time that signatures name at a host, in Unix seconds.
pub(super) fn signing_time(facts: &HostFacts, rule: ClockRule, now: i64) -> i64 {
    let correction = if rule == ClockRule::Correct { facts.correction() } else { 0 };
    now.saturating_add(correction)
}

/// What [`Session::authorize`] does, for a host and its credential; `time` is what a signature names, in Unix seconds.
pub(super) fn authorize(
    base: &BaseUrl,
    credential: &Credential,
    time: i64,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
) -> Result<(String, Option<HeaderValue>), ApiError> {
    let (target, value) = sign(base, credential, time, method, path, query)?;
    Ok((base.join(&target), value))
}

/// The same with path and query, without the base path, in place of the URL.
fn sign(
    base: &BaseUrl,
    credential: &Credential,
    time: i64,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
) -> Result<(String, Option<HeaderValue>), ApiError> {
    let (target, value) = match credential {
        Credential::None => return Ok((unsigned_target(path, query), None)),
        Credential::ApiKey(key) => {
            let value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()));
            (unsigned_target(path, query), value)
        }
        Credential::Device(key) => {
            let challenge = Challenge::with_query(method, path, query, time);
            let value = HeaderValue::from_str(key.authorize(&challenge).expose());
            (challenge.target().to_owned(), value)
        }
    };
    let mut value = value.map_err(|_| ApiError::Unsendable { host: base.to_string() })?;
    value.set_sensitive(true);
    Ok((target, Some(value)))
}

/// Path and query of a request that is not signed.
fn unsigned_target(path: &str, query: &[(&str, &str)]) -> String {
    if query.is_empty() {
        return path.to_owned();
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{path}?{query}")
}

/// A request that has not been sent.
#[derive(Debug)]
pub struct Request<'s, 't> {
    session: &'s Session<'t>,
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    accept: &'static str,
    timeout: Option<Duration>,
    harmless: bool,
}

impl Request<'_, '_> {
    /// Sends `body` as JSON.
    ///
    /// # Errors
    /// [`ApiError::Protocol`] when it cannot be written as JSON.
    pub fn json(mut self, body: &impl Serialize) -> Result<Self, ApiError> {
        let bytes = serde_json::to_vec(body).map_err(|error| ApiError::Protocol {
            host: self.session.base.to_string(),
            reason: format!("the request cannot be written as JSON: {error}"),
        })?;
        self.body = Some(bytes);
        Ok(self)
    }

    /// Adds a query parameter. A signature covers it, so that an attacker in between cannot change the request.
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Asks for a stream of JSON lines, and waits for its beginning as long as `timeout` (`None`: as long as it takes).
    pub fn streaming(mut self, timeout: Option<Duration>) -> Self {
        self.accept = "application/x-ndjson";
        self.timeout = timeout;
        self
    }

    /// Says that sending it twice does no harm, so that a connection that ended before an answer is tried once more.
    pub fn harmless(mut self) -> Self {
        self.harmless = true;
        self
    }

    /// Sends it and returns the response if its status is a success.
    ///
    /// # Errors
    /// Every variant of [`ApiError`] but those of a stream.
    pub async fn send(self) -> Result<Response, ApiError> {
        let mut tries_left = u8::from(self.harmless);
        let mut may_sign_again = true;
        loop {
            let correction = self.session.facts.correction();
            match self.send_once().await {
                Err(ApiError::Unreachable { kind: Unreachable::Closed, .. }) if tries_left > 0 => tries_left -= 1,
                Err(ApiError::Unauthorized { .. }) if may_sign_again && self.is_time_corrected(correction) => {
                    may_sign_again = false;
                }
                other => return other,
            }
        }
    }

    /// Sends it and returns the lines of the response as they come, if its status is a success. `timeout` bounds each wait (`None`: as
    /// long as it takes).
    ///
    /// Plain http to this machine goes through [`Http1Client`], which decodes hundreds of thousands of small chunks at a fraction of the
    /// cost. Everything else needs what only reqwest has: TLS, HTTP/2, proxies.
    ///
    /// # Errors
    /// As for [`Request::send`].
    pub async fn stream(self, timeout: Option<Duration>) -> Result<LineStream, ApiError> {
        let host = self.session.base.to_string();
        let request = self.streaming(timeout);
        match request.session.transport.loopback_client(&request.session.base, request.session.listener_rule()) {
            Some(client) => {
                let correction = request.session.facts.correction();
                let body = match request.send_direct(&client).await {
                    Err(ApiError::Unauthorized { .. }) if request.is_time_corrected(correction) => {
                        request.send_direct(&client).await?
                    }
                    other => other?,
                };
                Ok(LineStream::direct(body, host, timeout))
            }
            None => Ok(LineStream::new(request.send().await?, host, timeout)),
        }
    }

    /// Whether the answer to a request that was signed with this correction changed it.
    fn is_time_corrected(&self, correction: i64) -> bool {
        self.session.clock_rule == ClockRule::Correct && self.session.facts.correction() != correction
    }

    /// A request that disconnects needs a fresh proof for each time it is sent.
    fn is_sent_once(&self) -> bool {
        self.method == Method::DELETE && self.path.starts_with("/api/user/keys/")
    }

    async fn send_once(&self) -> Result<Response, ApiError> {
        let session = self.session;
        let client = session.client()?;
        let digest = self.body_digest();
        let query = self.parameters(digest.as_deref());
        let (url, authorization) = session.authorize(self.method.as_str(), &self.path, &query)?;
        let mut request = client.request(self.method.clone(), url).header(ACCEPT, self.accept);
        if let Some(body) = &self.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        } else if matches!(self.method, Method::POST | Method::PATCH) {
            // Without a body there would be no Content-Length, which some proxies ask for.
            request = request.body(Vec::new());
        }
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let sent = self.answered(request.send()).await?;
        let response = sent.map_err(|error| ApiError::of_transport(session.base.to_string(), &error))?;
        tracing::debug!(status = response.status().as_u16(), "response");
        session.learn(&self.path, response.status(), response.headers(), self.is_sent_once());
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        Err(session.failure(status, &headers, reqwest::Body::from(response)).await)
    }

    async fn send_direct(&self, client: &Http1Client) -> Result<ResponseBody<Full<Bytes>>, ApiError> {
        let Session { base, credential, .. } = self.session;
        let (time, digest) = (self.session.signing_time(), self.body_digest());
        // A base path is sent but not signed (`docs/explanation/protocol.md`, "Signed requests").
        let (target, authorization) =
            sign(base, credential, time, self.method.as_str(), &self.path, &self.parameters(digest.as_deref()))?;
        let mut head = RequestHead::new(self.method.clone(), base.as_origin(), &[base.path(), &target]);
        head.header(USER_AGENT.as_str(), transport::USER_AGENT.as_bytes());
        head.header(ACCEPT.as_str(), self.accept.as_bytes());
        if self.body.is_some() {
            head.header(CONTENT_TYPE.as_str(), b"application/json");
        }
        if let Some(value) = authorization {
            head.header(AUTHORIZATION.as_str(), value.as_bytes());
        }
        let body = Full::from(self.body.clone().unwrap_or_default());
        let sent =
            self.answered(client.send(base.as_origin(), OutgoingRequest { head, body, repeatable: false })).await?;
        let response = sent.map_err(|error| ApiError::of_send(base.to_string(), error))?;
        let (head, body) = response.into_parts();
        tracing::debug!(status = head.status.as_u16(), "response");
        self.session.learn(&self.path, head.status, &head.headers, self.is_sent_once());
        if head.status.is_success() {
            Ok(body)
        } else {
            Err(self.session.failure(head.status, &head.headers, body).await)
        }
    }

    /// Waits for a response no longer than the time limit.
    async fn answered<F: Future>(&self, response: F) -> Result<F::Output, ApiError> {
        let Session { base, credential, .. } = self.session;
        tracing::debug!(method = %self.method, host = %base, path = %self.path, credential = ?credential, "request");
        let Some(limit) = self.timeout else { return Ok(response.await) };
        let late = |_| self.session.unreachable(Unreachable::Timeout, format!("no answer within {}", seconds(limit)));
        tokio::time::timeout(limit, response).await.map_err(late)
    }

    fn body_digest(&self) -> Option<String> {
        self.session.body_digest(self.body.as_deref()?)
    }

    fn parameters<'a>(&'a self, digest: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
        let own = self.query.iter().map(|(name, value)| (*name, value.as_str()));
        own.chain(digest.map(|digest| (BodyDigest::PARAMETER, digest))).collect()
    }
}

impl Session<'_> {
    pub(super) fn unreachable(&self, kind: Unreachable, reason: String) -> ApiError {
        ApiError::Unreachable { host: self.base.to_string(), reason, kind }
    }

    /// The error of a response whose status is not a success.
    async fn failure<B>(&self, status: StatusCode, headers: &HeaderMap, body: B) -> ApiError
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let (body, complete) = if status.is_redirection() { (Vec::new(), true) } else { read_limited(body).await };
        self.refusal(status, headers, &body, complete)
    }

    /// What an answer means whose status is not a success. `complete` says that `body` is all of it.
    pub(super) fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], complete: bool) -> ApiError {
        let host = self.base.to_string();
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if status.is_redirection() {
            let location = header(LOCATION.as_str()).unwrap_or("an address it does not name").to_owned();
            return ApiError::Redirect { host, location };
        }
        let now = (self.now)();
        let retry_after = retry_after(headers, now);
        let clock_offset = clock_offset(headers, self.signing_time());
        let had_credential = self.has_credential();
        let from_gateway = header(GATEWAY_HEADER).is_some();
        let ErrorBody { message, signin_url, recognised, code, by } = error_body(body, status);
        let recognised = recognised && complete;
        match status {
            StatusCode::UNAUTHORIZED => ApiError::Unauthorized {
                host,
                message,
                signin_url,
                had_credential,
                credential_origin: self.origin.as_deref().map(Into::into),
                from_gateway,
                recognised,
                skew: notable(clock_offset),
                clock_offset,
            },
            StatusCode::FORBIDDEN => ApiError::Forbidden { host, message, had_credential },
            StatusCode::NOT_FOUND => ApiError::NotFound { host, message, recognised, from_gateway },
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                ApiError::TryLater { host, status: status.as_u16(), message, retry_after }
            }
            // A body that was cut is not taken at its word.
            StatusCode::CONFLICT => {
                let word = |text: Option<String>| text.filter(|_| recognised);
                let conflict = Conflict::read(word(code).as_deref(), word(by).as_deref());
                ApiError::Conflict { host, message, conflict }
            }
            _ => ApiError::Status { host, status: status.as_u16(), message },
        }
    }
}
