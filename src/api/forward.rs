//! A request of another program, on its way to the host: authenticated afresh, streamed there and back, changed in nothing else.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body::Body as HttpBody;
use reqwest::{Body, Client};

use super::clock::{clock_offset, notable};
use super::credential::Credential;
use super::error::ApiError;
use super::host_facts::{ClockRule, HostFacts};
use super::session::{Session, authorize, second_proof, signing_time};
use crate::address::BaseUrl;
use crate::identity::{DeviceKey, SecondProof};

/// The body of an answer, as it comes.
pub type AnswerBody = Body;

/// A request to send. `headers` are those of its sender, without any credential.
pub struct Forwarded<'a, B> {
    /// The method.
    pub method: Method,
    /// The path below the host's base path; begins with a slash, and means the same to every reader.
    pub path: &'a str,
    /// The decoded parameters.
    pub query: &'a [(&'a str, &'a str)],
    /// The headers.
    pub headers: HeaderMap,
    /// The body, sent as it comes.
    pub body: B,
}

/// A session that can be shared by many connections. As there, host and credential cannot be parted.
#[derive(Clone, Debug)]
pub struct Forwarder {
    client: Client,
    base: BaseUrl,
    credential: Credential,
    /// The device that signs beside the API key, and the id of that.
    second: Option<(Arc<DeviceKey>, String)>,
    now: fn() -> i64,
    facts: Arc<HostFacts>,
    clock_rule: ClockRule,
}

impl Session<'_> {
    /// Forwards requests to this host with this credential.
    ///
    /// # Errors
    /// As [`Transport::client`](super::Transport::client).
    pub fn forwarder(&self) -> Result<Forwarder, ApiError> {
        let client = self.client()?;
        let (facts, clock_rule) = self.clock_facts();
        let (base, credential, now) = (self.base().clone(), self.current_credential(), self.clock());
        Ok(Forwarder { client, base, credential, second: self.signing_device(), now, facts, clock_rule })
    }
}

impl Forwarder {
    /// Sends a request and waits for the head of the answer, as long as it takes. Nothing is repeated and no redirect is followed. Dropping
    /// this, or the answer's body, ends the request at the host.
    ///
    /// # Errors
    /// [`ApiError::Unreachable`] when no answer came, [`ApiError::Unsendable`].
    pub async fn send<B>(&self, request: Forwarded<'_, B>) -> Result<Response<AnswerBody>, ApiError>
    where
        B: HttpBody<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Forwarded { method, path, query, mut headers, body } = request;
        if let Credential::Workload(token) = &self.credential {
            token.renew_if_due((self.now)()).await.map_err(|error| ApiError::Token(Box::new(error)))?;
        }
        let time = signing_time(&self.facts, self.clock_rule, (self.now)());
        let (url, authorization) = authorize(&self.base, &self.credential, time, method.as_str(), path, query)?;
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value);
        }
        if let Some((device, key_id)) = &self.second {
            let value = second_proof(&self.base, device, key_id, time, method.as_str(), path, query)?;
            headers.insert(SecondProof::HEADER, value);
        }
        let takes_a_body = [Method::POST, Method::PUT, Method::PATCH].contains(&method);
        if takes_a_body && body.is_end_stream() {
            // Without a body there would be no Content-Length, which some proxies ask for.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        tracing::debug!(%method, host = %self.base, path, credential = ?self.credential, "forwarded");
        let sent = self.client.request(method, url).headers(headers).body(Body::wrap(body)).send().await;
        let answer = sent.map_err(|error| ApiError::of_transport(self.base.to_string(), &error))?;
        if let Credential::Workload(token) = &self.credential
            && answer.status() == StatusCode::UNAUTHORIZED
        {
            // The body of this request is gone; the next one gets another token.
            token.mark_refused();
        }
        // The body of this request is gone; the next one is signed with the host's time.
        if self.clock_rule == ClockRule::Correct
            && (matches!(self.credential, Credential::Device(_)) || self.second.is_some())
            && let Some(seconds_ahead) = self.facts.correct(answer.status(), answer.headers(), (self.now)())
        {
            tracing::warn!(seconds_ahead, host = %self.base, "clock differs from the host's; signing with the host's time");
        }
        Ok(answer.into())
    }

    /// Seconds by which this machine's clock is ahead of the host's (negative: behind), by the headers of an answer, when that is more
    /// than a minute.
    pub fn skew(&self, headers: &HeaderMap) -> Option<i64> {
        notable(clock_offset(headers, (self.now)()))
    }
}
