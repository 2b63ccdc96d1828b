//! One request as a person words it, and its answer as it arrives: any method, path and body; the credential is added here. A body may be
//! sent while it is still read: a file or a pipe of any size takes no more memory than a few of its pieces.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body::{Frame, SizeHint};
use percent_encoding::percent_decode_str;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Response, StatusCode};
use tokio::sync::mpsc;

use crate::api::account::AccountHost;
use crate::api::error::{ApiError, Unreachable, innermost, seconds};
use crate::api::host_facts::request_id;
use crate::api::session::Session;
use crate::identity::{BodyDigest, SecondProof};

/// The path under which hosts keep what signs in.
const KEYS: &str = "/api/user/keys";
/// An error body beyond this many bytes is not kept to be quoted.
const QUOTED: usize = 64 * 1024;

/// Headers that carry a credential or say for whom one is: only this program sets them.
const CREDENTIALS: [&str; 7] =
    ["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "host", SecondProof::HEADER];
/// Headers that belong to the connection, which is the HTTP client's.
const CONNECTION: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers by which some servers take a request for another one, besides those that override the method.
const OTHER_REQUEST: [&str; 5] =
    ["x-http-method", "x-original-url", "x-original-uri", "x-rewrite-url", "x-override-url"];

/// Why a header is not sent. No message repeats its value.
#[derive(Debug, thiserror::Error)]
pub enum HeaderProblem {
    /// It is not of the form.
    #[error("a header is written as 'Name: value', in characters that can be sent")]
    Form,
    /// It carries a credential, or names the host.
    #[error(
        "the header {0} is not sent: the credential and its host are chosen by --host, --profile and --credentials"
    )]
    Credential(String),
    /// It belongs to the connection.
    #[error("the header {0} belongs to the connection and cannot be set")]
    Connection(String),
    /// It would make another request of it than the one that is checked.
    #[error("the header {0} is not sent: it would change the method or the path; give the method with -X")]
    Override(String),
}

/// Headers of a request.
#[derive(Debug, Clone, Default)]
pub struct RawHeaders(HeaderMap);

impl RawHeaders {
    /// Adds a header given as `Name: value`.
    ///
    /// # Errors
    /// [`HeaderProblem`]
    pub fn add(&mut self, line: &str) -> Result<(), HeaderProblem> {
        let (name, value) = line.split_once(':').ok_or(HeaderProblem::Form)?;
        let name: HeaderName = name.trim().parse().map_err(|_| HeaderProblem::Form)?;
        let mut value: HeaderValue = value.trim().parse().map_err(|_| HeaderProblem::Form)?;
        let text = name.as_str();
        if CREDENTIALS.contains(&text) {
            return Err(HeaderProblem::Credential(text.to_owned()));
        }
        if CONNECTION.contains(&text) {
            return Err(HeaderProblem::Connection(text.to_owned()));
        }
        let hyphened = text.replace('_', "-");
        if hyphened.contains("method-override") || OTHER_REQUEST.contains(&&*hyphened) {
            return Err(HeaderProblem::Override(text.to_owned()));
        }
        // Its content is private to the caller and must not appear in traces.
        value.set_sensitive(true);
        self.0.append(name, value);
        Ok(())
    }
}

/// A request that has not been sent.
#[derive(Debug)]
pub struct RawRequest<'a> {
    /// In capitals.
    pub method: String,
    /// Escaped, beginning with a slash, without dot segments.
    pub path: String,
    /// Decoded query parameters.
    pub query: Vec<(&'a str, &'a str)>,
    /// Headers beside the credential's.
    pub headers: RawHeaders,
    /// The body, if it has one.
    pub body: Option<RawBody>,
    /// Bounds each wait for something to come; `None` waits as long as it takes.
    pub timeout: Option<Duration>,
}

impl RawRequest<'_> {
    /// The same request, unless its body can be read only once.
    fn repetition(&self) -> Option<Self> {
        let body = match &self.body {
            None => None,
            Some(RawBody::Whole(bytes)) => Some(RawBody::Whole(bytes.clone())),
            Some(RawBody::Streamed { .. }) => return None,
        };
        let Self { method, path, query, headers, timeout, .. } = self;
        let (method, path, query, headers) = (method.clone(), path.clone(), query.clone(), headers.clone());
        Some(Self { method, path, query, headers, body, timeout: *timeout })
    }

    /// Whether a stock server could take it as a request to sign itself out: every `DELETE`, and every change below the path
    /// where keys are kept, however that path is written.
    pub fn is_delicate(&self) -> bool {
        match self.method.as_str() {
            "GET" | "HEAD" | "OPTIONS" => false,
            "DELETE" => true,
            _ => {
                let path = percent_decode_str(&self.path).decode_utf8_lossy().to_ascii_lowercase();
                let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
                let keys: Vec<&str> = KEYS.split('/').filter(|part| !part.is_empty()).collect();
                parts.windows(keys.len()).any(|window| window == keys) || parts.contains(&"..")
            }
        }
    }
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub struct RawAnswer<'s, 't> {
    session: &'s Session<'t>,
    response: Response,
    headers: HeaderMap,
    timeout: Option<Duration>,
    /// The beginning of a body that tells of an error.
    kept: Vec<u8>,
    /// Pieces that were read ahead.
    ahead: VecDeque<Bytes>,
}

impl<'t> Session<'t> {
    /// Sends a request once, without retries. One that [is delicate](RawRequest::is_delicate) takes a proof.
    ///
    /// # Errors
    /// [`ApiError::Unproven`], [`ApiError::Unsendable`], and every error that prevents an answer. A rejection is an answer.
    pub async fn send_raw<'s>(
        &'s self,
        request: RawRequest<'_>,
        proof: Option<AccountHost>,
    ) -> Result<RawAnswer<'s, 't>, ApiError> {
        let host = || self.base().to_string();
        if request.is_delicate() && proof.is_none() {
            let request = format!("{} {}", request.method, request.path);
            return Err(ApiError::Unproven { host: host(), request });
        }
        // A proof is used up.
        let again = if proof.is_none() { request.repetition() } else { None };
        let path = request.path.clone();
        let answer = self.send_raw_once(request).await?;
        let signs_anew = self.learn(&path, answer.response.status(), &answer.headers, again.is_none());
        match again {
            Some(request) if signs_anew => self.send_raw_once(request).await,
            Some(request)
                if answer.response.status() == StatusCode::UNAUTHORIZED && self.renew_refused_token().await =>
            {
                self.send_raw_once(request).await
            }
            Some(request) if answer.response.status() == StatusCode::FORBIDDEN => {
                self.with_missing_proof(answer, request).await
            }
            _ => Ok(answer),
        }
    }

    /// The answer to the request with the proof that was missing in it, or this answer if none was.
    async fn with_missing_proof<'s>(
        &'s self,
        mut answer: RawAnswer<'s, 't>,
        request: RawRequest<'_>,
    ) -> Result<RawAnswer<'s, 't>, ApiError> {
        let mut request = Some(request);
        while answer.response.status() == StatusCode::FORBIDDEN
            && let Some(next) = request.take()
        {
            answer.read_ahead().await?;
            match answer.judge() {
                Err(error) if self.add_missing_proof(&error).await => {}
                _ => break,
            }
            request = next.repetition();
            answer = self.send_raw_once(next).await?;
        }
        Ok(answer)
    }

    async fn send_raw_once<'s>(&'s self, mut request: RawRequest<'_>) -> Result<RawAnswer<'s, 't>, ApiError> {
        let host = || self.base().to_string();
        self.prepare_credential().await?;
        let (client, credential) = (self.client()?, self.credential());
        let digest = match &request.body {
            Some(RawBody::Whole(body)) => self.body_digest(body),
            _ => None,
        };
        let names_digest = request.query.iter().any(|(name, _)| *name == BodyDigest::PARAMETER);
        if let Some(digest) = digest.as_deref().filter(|_| !names_digest) {
            request.query.push((BodyDigest::PARAMETER, digest));
        }
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|error| ApiError::Protocol { host: host(), reason: error.to_string() })?;
        let (url, authorization) = self.authorize(&request.method, &request.path, &request.query)?;
        tracing::debug!(%method, host = %self.base(), path = request.path, ?credential, "request");
        let mut headers = request.headers.0;
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        if request.body.is_some() {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        }
        let needs_length = matches!(method, Method::POST | Method::PUT | Method::PATCH);
        let mut building = client.request(method, url).headers(headers);
        if let Some(value) = authorization {
            building = building.header(AUTHORIZATION, value);
        }
        if let Some(value) = self.second_proof(&request.method, &request.path, &request.query)? {
            building = building.header(SecondProof::HEADER, value);
        }
        let mut trouble = None;
        if let Some(body) = request.body {
            let (body, its_trouble) = body.into_body();
            trouble = Some(its_trouble);
            building = building.body(body);
        } else if needs_length {
            building = building.body(Vec::new());
        }
        let sent = within(self, request.timeout, building.send()).await?;
        let response = sent.map_err(|error| match trouble.as_ref().and_then(Trouble::reason) {
            Some(reason) => ApiError::Body { host: host(), reason: reason.to_owned() },
            None => ApiError::of_transport(host(), &error),
        })?;
        tracing::debug!(status = response.status().as_u16(), request = request_id(response.headers()), "answer");
        let headers = response.headers().clone();
        let (kept, ahead) = (Vec::new(), VecDeque::new());
        Ok(RawAnswer { session: self, response, headers, timeout: request.timeout, kept, ahead })
    }
}

async fn within<T>(
    session: &Session<'_>,
    limit: Option<Duration>,
    work: impl Future<Output = T>,
) -> Result<T, ApiError> {
    let Some(limit) = limit else { return Ok(work.await) };
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| session.unreachable(Unreachable::Timeout, format!("nothing came within {}", seconds(limit))))
}

impl RawAnswer<'_, '_> {
    /// The status line and the headers, as HTTP/1.1 writes them, with the empty line behind them.
    pub fn head(&self) -> Vec<u8> {
        let status = self.response.status();
        let reason = status.canonical_reason().unwrap_or_default();
        let mut head = format!("{:?} {} {reason}\r\n", self.response.version(), status.as_u16()).into_bytes();
        for (name, value) in &self.headers {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    /// The next piece of the body, or `None` at its end.
    ///
    /// # Errors
    /// [`ApiError::Cut`], and [`ApiError::Unreachable`] where the time limit ended the wait.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        match self.ahead.pop_front() {
            Some(piece) => Ok(Some(piece)),
            None => self.receive().await,
        }
    }

    /// Reads as much of a body that tells of an error as is quoted.
    async fn read_ahead(&mut self) -> Result<(), ApiError> {
        while self.kept.len() < QUOTED
            && let Some(piece) = self.receive().await?
        {
            self.ahead.push_back(piece);
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, ApiError> {
        let piece = within(self.session, self.timeout, self.response.chunk()).await?;
        let piece = piece
            .map_err(|error| ApiError::Cut { host: self.session.base().to_string(), reason: innermost(&error) })?;
        if let Some(piece) = piece.as_ref().filter(|_| !self.response.status().is_success()) {
            let room = QUOTED.saturating_sub(self.kept.len()).min(piece.len());
            self.kept.extend_from_slice(&piece[..room]);
        }
        Ok(piece)
    }

    /// What the answer means where its status is not a success. Asked after the body has come.
    ///
    /// # Errors
    /// As for every other request.
    pub fn judge(&self) -> Result<(), ApiError> {
        let status: StatusCode = self.response.status();
        if status.is_success() {
            return Ok(());
        }
        let complete = self.kept.len() < QUOTED;
        Err(self.session.refusal(status, &self.headers, &self.kept, complete))
    }
}

/// Pieces that are read ahead of what is sent.
const AHEAD: usize = 4;

/// A request's body.
#[derive(Debug)]
pub enum RawBody {
    /// All of it is there.
    Whole(Bytes),
    /// It comes from a [`BodyFeed`].
    Streamed {
        /// The pieces. A sender that is dropped ends the body.
        pieces: mpsc::Receiver<io::Result<Bytes>>,
        /// The bytes that will come, where that is known: then it is sent with its length, else in chunks.
        length: Option<u64>,
    },
}

/// Why a body broke off, if it did: what the HTTP client makes of it does not say.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<OnceLock<String>>);

impl Trouble {
    pub(super) fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// Where the reader of a body puts its pieces, on a thread of its own.
#[derive(Debug)]
pub struct BodyFeed(mpsc::Sender<io::Result<Bytes>>);

impl RawBody {
    /// A body and the feed for it.
    pub fn streamed(length: Option<u64>) -> (Self, BodyFeed) {
        let (sender, pieces) = mpsc::channel(AHEAD);
        (Self::Streamed { pieces, length }, BodyFeed(sender))
    }

    pub(super) fn into_body(self) -> (reqwest::Body, Trouble) {
        let trouble = Trouble::default();
        let body = match self {
            Self::Whole(bytes) => reqwest::Body::from(bytes),
            Self::Streamed { pieces, length } => {
                reqwest::Body::wrap(Pieces { pieces, left: length, trouble: trouble.clone() })
            }
        };
        (body, trouble)
    }
}

impl BodyFeed {
    /// Adds a piece, waiting until there is room. `false` when the receiver is gone. Not for use in an async task.
    pub fn push(&self, piece: io::Result<Bytes>) -> bool {
        self.0.blocking_send(piece).is_ok()
    }
}

struct Pieces {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: Option<u64>,
    trouble: Trouble,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Poll::Ready(piece) = self.pieces.poll_recv(context) else {
            return Poll::Pending;
        };
        let error = match (piece, self.left) {
            (Some(Ok(bytes)), left) => {
                self.left = left.map(|left| left.saturating_sub(bytes.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            (None, Some(left)) if left > 0 => io::Error::other("it became shorter while it was read"),
            (None, _) => return Poll::Ready(None),
            (Some(Err(error)), _) => error,
        };
        let _ = self.trouble.0.set(error.to_string());
        Poll::Ready(Some(Err(error)))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delicate(method: &str, path: &str) -> bool {
        RawRequest {
            method: method.to_owned(),
            path: path.to_owned(),
            query: Vec::new(),
            headers: RawHeaders::default(),
            body: None,
            timeout: None,
        }
        .is_delicate()
    }

    #[test]
    fn a_change_of_keys_is_recognised_however_it_is_written() {
        for path in [
            "/api/user/keys",
            "/api/user/keys/abc",
            "//api//user/keys/",
            "/API/User/Keys/x",
            "/api/user/%6beys/x",
            "/api%2Fuser%2fkeys",
            "/prefix/api/user/keys",
            "/x/%2e%2e/y",
        ] {
            assert!(delicate("POST", path) && delicate("PATCH", path) && delicate("FOO", path), "{path}");
            assert!(!delicate("GET", path), "{path}");
        }
        assert!(delicate("DELETE", "/api/delete"));
        for path in ["/api/generate", "/api/user/keysmith", "/api/user", "/%", "/%zz", "/100%25"] {
            assert!(!delicate("POST", path), "{path}");
        }
    }

    #[test]
    fn headers_that_are_not_the_callers_are_refused_without_their_value() {
        for line in [
            "Authorization: hunter2",
            "authorization : hunter2",
            "COOKIE: hunter2",
            "Host: hunter2",
            "X-Api-Key: hunter2",
            "Content-Length: hunter2",
            "X-HTTP-Method-Override: hunter2",
            "X_HTTP_Method_Override: hunter2",
            "X-Original-URL: hunter2",
            "hunter2",
            "a b: hunter2",
            "x: hunter2\r\nAuthorization: hunter2",
            ": hunter2",
        ] {
            let error = RawHeaders::default().add(line).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{line}");
        }
        let mut headers = RawHeaders::default();
        headers.add("X-Note: hunter2: yes").unwrap();
        assert!(!format!("{headers:?}").contains("hunter2"));
    }
}
