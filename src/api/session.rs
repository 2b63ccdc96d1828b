//! One host with one credential: builds, authenticates and sends requests, and turns what comes back into a `Response`
//! that succeeded or an `ApiError` that says why not.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Version};
use secrecy::ExposeSecret;
use serde::Serialize;
use url::form_urlencoded;

use super::body::{ErrorBody, error_body, read_limited};
use super::credential::Credential;
use super::dates::{clock_offset, notable, retry_after};
use super::error::{ApiError, Conflict, Unreachable, seconds};
use super::transport::Transport;
use crate::address::{BaseUrl, Scheme};
use crate::identity::Challenge;

/// Time allowed for the answer to a request that is not an inference: these are look-ups.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(30);

/// The response header in which a gateway of ours names itself and its version.
pub(super) const GATEWAY_HEADER: &str = "x-ollama-auth-gateway";

/// A host and the credential for it. The two cannot be parted: a credential is for one origin.
#[derive(Debug, Clone)]
pub struct Session<'t> {
    transport: &'t Transport,
    base: BaseUrl,
    credential: Credential,
    now: fn() -> i64,
}

impl<'t> Session<'t> {
    /// Binds `credential` to `base`. `now` gives the Unix time in seconds.
    ///
    /// # Errors
    /// [`ApiError::InsecureHttp`] when a credential would go over plain http to a host that is not this machine, unless
    /// `allow_insecure_http`.
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
        Ok(Self { transport, base, credential, now })
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
        Session { transport: self.transport, base: self.base.clone(), credential: Credential::None, now: self.now }
    }

    /// The same host with a credential that nobody knows and that is thrown away: it need not be kept from anybody, so plain
    /// http is not asked about.
    pub(super) fn with_throwaway(&self, credential: Credential) -> Self {
        Session { transport: self.transport, base: self.base.clone(), credential, now: self.now }
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
        authorize(&self.base, &self.credential, self.now, method, path, query)
    }

    /// The client for this host.
    pub(super) fn client(&self) -> Result<&reqwest::Client, ApiError> {
        self.transport.client(&self.base)
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
            version: Version::HTTP_11,
        }
    }
}

/// What [`Session::authorize`] does, for a host and its credential.
pub(super) fn authorize(
    base: &BaseUrl,
    credential: &Credential,
    now: fn() -> i64,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
) -> Result<(String, Option<HeaderValue>), ApiError> {
    let (target, value) = match credential {
        Credential::None => return Ok((base.join(&unsigned_target(path, query)), None)),
        Credential::ApiKey(key) => {
            let value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()));
            (unsigned_target(path, query), value)
        }
        Credential::Device(key) => {
            let challenge = Challenge::with_query(method, path, query, now());
            let value = HeaderValue::from_str(key.authorize(&challenge).expose());
            (challenge.target().to_owned(), value)
        }
    };
    let mut value = value.map_err(|_| ApiError::Unsendable { host: base.to_string() })?;
    value.set_sensitive(true);
    Ok((base.join(&target), Some(value)))
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
    version: Version,
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

    /// Adds a query parameter. A signature covers it, so that nobody on the way can change what is asked for.
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

    /// Asks a server on this machine for a body without chunks: it then writes the same bytes as they come, ended by the
    /// end of the connection, and taking hundreds of thousands of chunks apart is not most of our work. Only for answers
    /// that say themselves where they end. A server that answers in chunks all the same is understood.
    pub fn without_chunks(mut self) -> Self {
        if self.session.base.scheme() == Scheme::Http && self.session.base.is_loopback() {
            self.version = Version::HTTP_10;
        }
        self
    }

    /// Says that sending it twice does no harm, so that a connection that ended before an answer is tried once more.
    pub fn harmless(mut self) -> Self {
        self.harmless = true;
        self
    }

    /// Sends it and returns the answer if its status is a success.
    ///
    /// # Errors
    /// Every variant of [`ApiError`] but those of a stream.
    pub async fn send(self) -> Result<Response, ApiError> {
        let mut tries_left = u8::from(self.harmless);
        loop {
            match self.send_once(self.version).await {
                // Some proxies take HTTP/1.1 only, and say so before they do anything.
                Err(ApiError::Status { status: 426 | 505, .. }) if self.version == Version::HTTP_10 => {
                    return self.send_once(Version::HTTP_11).await;
                }
                Err(ApiError::Unreachable { kind: Unreachable::Closed, .. }) if tries_left > 0 => tries_left -= 1,
                other => return other,
            }
        }
    }

    async fn send_once(&self, version: Version) -> Result<Response, ApiError> {
        let session = self.session;
        let client = session.transport.client(&session.base)?;
        let (url, authorization) = self.authenticate()?;
        let mut request = client.request(self.method.clone(), url).version(version).header(ACCEPT, self.accept);
        if version == Version::HTTP_10 {
            // Its server closes the connection behind the answer; without this it could be taken for the next request.
            request = request.header(CONNECTION, "close");
        }
        if let Some(body) = &self.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        } else if matches!(self.method, Method::POST | Method::PATCH) {
            // Without a body there would be no Content-Length, which some proxies ask for.
            request = request.body(Vec::new());
        }
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        tracing::debug!(method = %self.method, host = %session.base, path = %self.path, credential = ?session.credential, "request");
        let sent = match self.timeout {
            Some(limit) => tokio::time::timeout(limit, request.send()).await.map_err(|_| {
                session.unreachable(Unreachable::Timeout, format!("no answer within {}", seconds(limit)))
            })?,
            None => request.send().await,
        };
        let response = sent.map_err(|error| ApiError::of_transport(session.base.to_string(), &error))?;
        tracing::debug!(status = response.status().as_u16(), "answer");
        session.check(response).await
    }

    /// The full URL and the header. A base path is sent but not signed (PROTOCOL: measured on the stock client).
    fn authenticate(&self) -> Result<(String, Option<HeaderValue>), ApiError> {
        let query: Vec<_> = self.query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.session.authorize(self.method.as_str(), &self.path, &query)
    }
}

impl Session<'_> {
    pub(super) fn unreachable(&self, kind: Unreachable, reason: String) -> ApiError {
        ApiError::Unreachable { host: self.base.to_string(), reason, kind }
    }

    async fn check(&self, response: Response) -> Result<Response, ApiError> {
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let (body, complete) = if status.is_redirection() { (Vec::new(), true) } else { read_limited(response).await };
        Err(self.refusal(status, &headers, &body, complete))
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
        let clock_offset = clock_offset(headers, now);
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
