//! `GET /metrics` for Prometheus, at a listener of its own: callers of the gateway never reach it.
//!
//! Beyond loopback a token is needed. On loopback without one, the name by which it is called must be an address or `localhost`: a web page
//! could otherwise read it under a name of its own (DNS rebinding).

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

use super::active_config::ConfigHandle;
use super::clock::Clock;
use super::log_throttle::LogThrottle;
use super::telemetry::{MetricsFormat, Telemetry};
use crate::disk::{Exposure, read_input};
use crate::http::server::ConnectionSlots;
use crate::http::{CallerStream, ResetOnClose, server};

/// Connections at a time. Further ones wait in the system's queue.
const MOST_CONNECTIONS: usize = 128;
/// Of one address. Further ones are closed: one address cannot keep Prometheus out.
const MOST_OF_ADDRESS: usize = 112;
/// How long a connection may last, whatever it does.
const LONGEST_CONNECTION: Duration = Duration::from_secs(10);
/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
const PATH: &str = "/metrics";

/// A bound listener that does not accept connections yet.
pub struct MetricsListener {
    listener: std::net::TcpListener,
    local: SocketAddr,
}

/// What answers.
struct Answerer {
    telemetry: Arc<Telemetry>,
    config: Arc<ConfigHandle>,
    log_throttle: Arc<LogThrottle>,
    clock: Clock,
    /// Other machines reach the listener.
    is_open: bool,
}

impl MetricsListener {
    /// Listens at that address.
    ///
    /// # Errors
    /// What the system reports.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = server::listen(address)?;
        let local = listener.local_addr()?;
        Ok(Self { listener, local })
    }

    /// Where metrics are read, with the port that the system chose if 0 was configured.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.local)
    }

    /// Answers, as long as it is polled.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub async fn serve(
        self,
        telemetry: Arc<Telemetry>,
        config: Arc<ConfigHandle>,
        log_throttle: Arc<LogThrottle>,
        clock: Clock,
    ) -> io::Result<Infallible> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let is_open = !self.local.ip().to_canonical().is_loopback();
        let answerer = Arc::new(Answerer { telemetry, config, log_throttle, clock, is_open });
        let (places, slots) = (Arc::new(Semaphore::new(MOST_CONNECTIONS)), ConnectionSlots::default());
        loop {
            let place = places.clone().acquire_owned().await;
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let Some(slot) = slots.acquire(peer.ip(), MOST_OF_ADDRESS) else { continue };
                    let answerer = answerer.clone();
                    tokio::spawn(async move {
                        let _ = tokio::time::timeout(LONGEST_CONNECTION, answerer.connection(stream)).await;
                        drop((place, slot));
                    });
                }
                // Usually out of file descriptors.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

impl Answerer {
    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let stream = CallerStream::plain(stream, ResetOnClose::default());
        // It never drains: who waits for metrics is not waited for.
        let (_draining, drain) = watch::channel(false);
        let answer = |request: Request<Incoming>| {
            let answerer = self.clone();
            async move { Ok::<_, Infallible>(answerer.answer(&request).await) }
        };
        if let Err(error) = server::serve(stream, HEAD_TIMEOUT, answer, drain).await {
            tracing::debug!(%error, "connection to the metrics ended with an error");
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let path = self.config.get().metrics_token_file.clone();
        let is_accepted = match &path {
            Some(path) => match read_token(path).await {
                Ok(token) => has_token(request.headers(), &token),
                Err(reason) => {
                    if self.log_throttle.allow("metrics-token-file", self.clock.now()) {
                        tracing::warn!(path = %path.display(), reason, "metrics-token-file cannot be used");
                    }
                    return text(StatusCode::SERVICE_UNAVAILABLE, "the token of this gateway cannot be read");
                }
            },
            // After a change of the settings that moves the listener only at the next start.
            None if self.is_open => {
                return text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "metrics-token-file is not set, which this address needs",
                );
            }
            None if !is_called_by_address(request.headers()) => {
                return text(StatusCode::FORBIDDEN, "use an IP address or localhost, or set metrics-token-file");
            }
            None => true,
        };
        if !is_accepted {
            let mut response = text(StatusCode::UNAUTHORIZED, "a token is needed: Authorization: Bearer TOKEN");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
        if request.uri().path() != PATH {
            return text(StatusCode::NOT_FOUND, "metrics are at /metrics");
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "use GET");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let format = MetricsFormat::accepted_by(request.headers());
        let mut response = text(StatusCode::OK, "");
        let metrics = self.telemetry.metrics().cloned();
        // Beside the thread that accepts connections.
        let encode = move || metrics.map(|metrics| metrics.encode(format)).unwrap_or_default();
        *response.body_mut() = tokio::task::spawn_blocking(encode).await.unwrap_or_default().into();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
        response
    }
}

async fn read_token(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_input(&path, Exposure::Group)).await;
    let content = read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let content = Zeroizing::new(content.ok_or("there is no such file")?);
    let token = content.trim_ascii();
    if token.is_empty() { Err("it is empty".to_owned()) } else { Ok(Zeroizing::new(token.to_owned())) }
}

/// Whether the token was sent, compared in a time that does not depend on it.
fn has_token(headers: &HeaderMap, token: &[u8]) -> bool {
    let sent = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let (scheme, sent) = sent.split_at_checked("Bearer ".len()).unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(sent.ct_eq(token))
}

/// Whether the `Host` is an address or `localhost`, or missing as in HTTP/1.0: no web page has such a name.
fn is_called_by_address(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) => return true,
        (Some(host), None) => host.to_str().unwrap_or_default(),
        _ => return false,
    };
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

fn text(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{message}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_the_token_itself_is_accepted() {
        for (sent, accepted) in [
            (&["Bearer secret"][..], true),
            (&["bearer secret"], true),
            (&[], false),
            (&["Bearer"], false),
            (&["Bearer "], false),
            (&["Bearer secre"], false),
            (&["Bearer secret "], false),
            (&["Bearer secrets"], false),
            (&["Basic secret"], false),
            (&["secret"], false),
            (&["Bearer wrong", "Bearer secret"], false),
        ] {
            assert_eq!(has_token(&headers(header::AUTHORIZATION, sent), b"secret"), accepted, "{sent:?}");
        }
    }

    #[test]
    fn a_name_that_a_web_page_can_have_is_refused_without_a_token() {
        for (hosts, accepted) in [
            (&[][..], true),
            (&["127.0.0.1:9464"], true),
            (&["localhost:9464"], true),
            (&["LOCALHOST"], true),
            (&["[::1]:9464"], true),
            (&["[::1]"], true),
            (&["evil.example:9464"], false),
            (&["127.0.0.1.evil.example"], false),
            (&["localhost.evil.example:80"], false),
            (&[""], false),
            (&["127.0.0.1", "evil.example"], false),
        ] {
            assert_eq!(is_called_by_address(&headers(header::HOST, hosts)), accepted, "{hosts:?}");
        }
    }
}
