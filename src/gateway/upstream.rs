//! The connections to the server behind. Each worker thread has its own.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use thiserror::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(60);

/// Why no answer came.
#[derive(Debug, Error)]
#[error("{reason}")]
pub struct Unanswered {
    /// What happened, for the log and the caller.
    pub reason: &'static str,
    /// It never got there: nothing was done.
    pub unreachable: bool,
    /// The caller's own body was at fault.
    pub body: Option<Error>,
}

/// A pool of connections.
#[derive(Clone)]
pub struct Upstream {
    plain: Client<HttpConnector, Body>,
    tls: Option<Client<HttpsConnector<HttpConnector>, Body>>,
}

impl Upstream {
    /// Without connections yet. `tls` says that the server is spoken to by https.
    ///
    /// # Errors
    /// When the system's certificate authorities cannot be used.
    pub fn new(tls: bool) -> Result<Self, rustls::Error> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.enforce_http(false);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).retry_canceled_requests(true);
        let secure = if tls {
            let https = HttpsConnectorBuilder::new().try_with_platform_verifier()?.https_or_http().enable_http1();
            Some(builder.build(https.wrap_connector(connector.clone())))
        } else {
            None
        };
        Ok(Self { plain: builder.build(connector), tls: secure })
    }

    /// Sends a request and waits for the head of the answer, as long as it takes. Dropping this, or the answer's body, ends the connection.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Unanswered> {
        let sent = match &self.tls {
            Some(client) => client.request(request).await,
            None => self.plain.request(request).await,
        };
        sent.map_err(|error| {
            let unreachable = error.is_connect();
            let reason = if unreachable {
                "the server behind cannot be reached"
            } else {
                "the server behind ended the connection"
            };
            tracing::debug!(?error, "{reason}");
            Unanswered { reason, unreachable, body: Some(error) }
        })
    }
}
