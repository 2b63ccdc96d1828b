//! Whether the gateway and its upstream server can serve, for load balancers (`/healthz`, `/readyz`) and for people (`/`,
//! `/api/version`). Strangers may ask, so the upstream server is asked by one of them at a time, and the result is kept for a while.

use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::directory::Directory;
use super::rejection::json_response;
use crate::address::BaseUrl;
use crate::http::{Http1Client, OutgoingRequest, RequestHead};

/// How long the upstream server and the database may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long a good result is kept, and a bad one: what has recovered should be used soon.
const KEPT: Duration = Duration::from_secs(5);
const BAD_KEPT: Duration = Duration::from_secs(1);
/// The longest answer with a version, in bytes, and the longest version.
const MAX_ANSWER: usize = 4096;
const MAX_VERSION: usize = 64;

/// A health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `/healthz`: the process is alive.
    Live,
    /// `/readyz`: requests can be served.
    Ready,
}

impl Probe {
    /// The health check that a request asks for, below the base path or not: a load balancer asks the gateway itself, by any name.
    pub fn of(request: &Parts, base: &str) -> Option<Self> {
        let is_plain = request.uri.authority().is_none() && [Method::GET, Method::HEAD].contains(&request.method);
        let path = request.uri.path();
        match path.strip_prefix(base).unwrap_or(path) {
            "/healthz" if is_plain => Some(Self::Live),
            "/readyz" if is_plain => Some(Self::Ready),
            _ => None,
        }
    }

    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Self::Live => "/healthz",
            Self::Ready => "/readyz",
        }
    }
}

/// An upstream server that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// What it says is its version.
    pub version: Option<String>,
}

/// The results of the last check.
struct Checked {
    at: Instant,
    url: BaseUrl,
    /// `None`: it does not answer.
    upstream: Option<UpstreamStatus>,
    database: bool,
}

impl Checked {
    fn is_good(&self) -> bool {
        self.upstream.is_some() && self.database
    }
}

/// Checks the upstream server and the database, one check at a time.
pub struct Health {
    directory: Directory,
    last: Mutex<Option<Checked>>,
}

impl Health {
    /// Checks that directory's database.
    pub fn new(directory: Directory) -> Self {
        Self { directory, last: Mutex::const_new(None) }
    }

    /// What is known of the upstream server at `url`; `None` if it does not answer. Asks it over `client` if that was too long ago.
    pub async fn upstream(&self, client: &Http1Client, url: &BaseUrl) -> Option<UpstreamStatus> {
        self.checked(client, url, |checked| checked.upstream.clone()).await
    }

    /// What is known of the upstream server, and whether the database can be read.
    pub async fn check(&self, client: &Http1Client, url: &BaseUrl) -> (Option<UpstreamStatus>, bool) {
        self.checked(client, url, |checked| (checked.upstream.clone(), checked.database)).await
    }

    /// Answers a health check. No more is said than which part is at fault.
    pub async fn answer(&self, probe: Probe, client: &Http1Client, url: &BaseUrl) -> Response<Body> {
        if probe == Probe::Live {
            return json_response(StatusCode::OK, &json!({ "status": "ok" }));
        }
        let (upstream, database) = self.checked(client, url, |last| (last.upstream.is_some(), last.database)).await;
        let word = |is_good| if is_good { "ok" } else { "unavailable" };
        let is_good = upstream && database;
        let status = if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = json!({ "status": word(is_good), "upstream": word(upstream), "database": word(database) });
        json_response(status, &body)
    }

    async fn checked<T>(&self, client: &Http1Client, url: &BaseUrl, of: impl FnOnce(&Checked) -> T) -> T {
        // Who comes meanwhile waits, and finds the result.
        let mut last = self.last.lock().await;
        let is_fresh =
            |last: &&Checked| last.url == *url && last.at.elapsed() < if last.is_good() { KEPT } else { BAD_KEPT };
        if let Some(last) = last.as_ref().filter(is_fresh) {
            return of(last);
        }
        let (upstream, database) =
            tokio::join!(timeout(DEADLINE, ask(client, url)), timeout(DEADLINE, self.directory.is_readable()));
        let (upstream, database) = (upstream.ok().flatten(), database.unwrap_or(false));
        of(last.insert(Checked { at: Instant::now(), url: url.clone(), upstream, database }))
    }
}

#[derive(Deserialize)]
struct Answer {
    version: String,
}

/// Asks a server for its version. Whatever it says, it answers, unless it is a gateway in between that says that the server does not.
async fn ask(client: &Http1Client, url: &BaseUrl) -> Option<UpstreamStatus> {
    let mut head = RequestHead::new(Method::GET, url.as_origin(), &[url.path(), "/api/version"]);
    head.header("accept", b"application/json");
    let request = OutgoingRequest { head, body: Empty::new(), repeatable: true };
    let response = client.send(url.as_origin(), request).await.ok()?;
    if response.status().is_server_error() {
        return None;
    }
    let is_success = response.status().is_success();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.ok();
    let answer = body.and_then(|body| serde_json::from_slice::<Answer>(&body.to_bytes()).ok());
    let is_version =
        |text: &String| (1..=MAX_VERSION).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    Some(UpstreamStatus { version: answer.map(|answer| answer.version).filter(is_version).filter(|_| is_success) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::gateway::store::memory::MemoryStore;

    #[tokio::test]
    async fn an_unreadable_database_is_not_ready() {
        let store = Arc::new(MemoryStore::default());
        let health = Health::new(Directory::open(store.clone()).await.unwrap());
        // It answers every request that comes.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = BaseUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap().url;
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
            }
        });
        let client = Http1Client::system(false).unwrap();
        store.unreadable.store(true, Ordering::SeqCst);
        let response = health.answer(Probe::Ready, &client, &url).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body, json!({ "status": "unavailable", "upstream": "ok", "database": "unavailable" }));
        assert_eq!(health.upstream(&client, &url).await, Some(UpstreamStatus { version: None }));
        assert_eq!(health.answer(Probe::Live, &client, &url).await.status(), StatusCode::OK);
    }
}
