//! A request of a session: built, signed, sent, and sent once more where that is harmless.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use reqwest::{Method, Response};
use serde::Serialize;

use super::Session;
use super::signing::sign;
use crate::api::error::{ApiError, Unreachable, seconds};
use crate::api::host_facts::{ClockRule, request_id};
use crate::api::ndjson::LineStream;
use crate::api::transport;
use crate::http::{Http1Client, OutgoingRequest, RequestHead, ResponseBody};
use crate::identity::{BodyDigest, SecondProof};

/// Time allowed for the answer to a request that is not an inference: these are look-ups.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(30);

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

impl<'t> Session<'t> {
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
        let (mut may_sign_again, mut may_renew) = (true, true);
        loop {
            let correction = self.session.facts.correction();
            match self.send_once().await {
                Err(ApiError::Unreachable { kind: Unreachable::Closed, .. }) if tries_left > 0 => tries_left -= 1,
                Err(ApiError::Unauthorized { .. }) if may_sign_again && self.is_time_corrected(correction) => {
                    may_sign_again = false;
                }
                Err(ApiError::Unauthorized { .. }) if may_renew && self.session.renew_refused_token().await => {
                    may_renew = false;
                }
                Err(error) if self.session.add_missing_proof(&error).await => {}
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
                let (mut may_sign_again, mut may_renew) = (true, true);
                let body = loop {
                    let correction = request.session.facts.correction();
                    match request.send_direct(&client).await {
                        Err(ApiError::Unauthorized { .. })
                            if may_sign_again && request.is_time_corrected(correction) =>
                        {
                            may_sign_again = false;
                        }
                        Err(ApiError::Unauthorized { .. })
                            if may_renew && request.session.renew_refused_token().await =>
                        {
                            may_renew = false;
                        }
                        Err(error) if request.session.add_missing_proof(&error).await => {}
                        other => break other?,
                    }
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
        session.prepare_credential().await?;
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
        if let Some(value) = session.second_proof(self.method.as_str(), &self.path, &query)? {
            request = request.header(SecondProof::HEADER, value);
        }
        let sent = self.answered(request.send()).await?;
        let response = sent.map_err(|error| ApiError::of_transport(session.base.to_string(), &error))?;
        tracing::debug!(status = response.status().as_u16(), request = request_id(response.headers()), "response");
        session.learn(&self.path, response.status(), response.headers(), self.is_sent_once());
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        Err(session.failure(status, &headers, reqwest::Body::from(response)).await)
    }

    async fn send_direct(&self, client: &Http1Client) -> Result<ResponseBody<Full<Bytes>>, ApiError> {
        self.session.prepare_credential().await?;
        let (base, credential) = (&self.session.base, self.session.current_credential());
        let (time, digest) = (self.session.signing_time(), self.body_digest());
        let (method, query) = (self.method.as_str(), self.parameters(digest.as_deref()));
        // A base path is sent but not signed (`docs/explanation/protocol.md`, "Signed requests").
        let (target, authorization) = sign(base, &credential, time, method, &self.path, &query)?;
        let mut head = RequestHead::new(self.method.clone(), base.as_origin(), &[base.path(), &target]);
        head.header(USER_AGENT.as_str(), transport::USER_AGENT.as_bytes());
        head.header(ACCEPT.as_str(), self.accept.as_bytes());
        if self.body.is_some() {
            head.header(CONTENT_TYPE.as_str(), b"application/json");
        }
        if let Some(value) = authorization {
            head.header(AUTHORIZATION.as_str(), value.as_bytes());
        }
        if let Some(value) = self.session.second_proof(method, &self.path, &query)? {
            head.header(SecondProof::HEADER, value.as_bytes());
        }
        let body = Full::from(self.body.clone().unwrap_or_default());
        let sent =
            self.answered(client.send(base.as_origin(), OutgoingRequest { head, body, repeatable: false })).await?;
        let response = sent.map_err(|error| ApiError::of_send(base.to_string(), error))?;
        let (head, body) = response.into_parts();
        tracing::debug!(status = head.status.as_u16(), request = request_id(&head.headers), "response");
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
