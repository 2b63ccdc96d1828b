//! A request of another program, on its way to the host: authenticated afresh, streamed there and back, changed in nothing else.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Method, Response};
use http_body::Body as HttpBody;
use reqwest::{Body, Client};

use super::credential::Credential;
use super::error::ApiError;
use super::session::{Session, authorize};
use super::transport::{clock_offset, notable};
use crate::address::BaseUrl;

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
    now: fn() -> i64,
}

impl Session<'_> {
    /// Forwards requests to this host with this credential.
    ///
    /// # Errors
    /// As [`Transport::client`](super::Transport::client).
    pub fn forwarder(&self) -> Result<Forwarder, ApiError> {
        let client = self.client()?;
        Ok(Forwarder { client, base: self.base().clone(), credential: self.credential().clone(), now: self.clock() })
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
        let (url, authorization) = authorize(&self.base, &self.credential, self.now, method.as_str(), path, query)?;
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value);
        }
        let takes_a_body = [Method::POST, Method::PUT, Method::PATCH].contains(&method);
        if takes_a_body && body.is_end_stream() {
            // Without a body there would be no Content-Length, which some proxies ask for.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        tracing::trace!(%method, host = %self.base, path, credential = ?self.credential, "forwarded");
        let sent = self.client.request(method, url).headers(headers).body(Body::wrap(body)).send().await;
        let answer = sent.map_err(|error| ApiError::of_transport(self.base.to_string(), &error))?;
        Ok(answer.into())
    }

    /// Seconds by which this machine's clock is ahead of the host's (negative: behind), by the headers of an answer, when that is more
    /// than a minute.
    pub fn skew(&self, headers: &HeaderMap) -> Option<i64> {
        notable(clock_offset(headers, (self.now)()))
    }
}
