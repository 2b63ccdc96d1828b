//! Issuers that are asked over a connection: how often, how long they are waited for, and what is kept of them.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Handle;

use super::{NOW, header, jwk, sign};
use crate::gateway::clock::Clock;
use crate::gateway::oidc::{
    Expected, IssuerSettings, IssuerUrl, Issuers, KeySource, RefreshRules, TokenError, TokenKind,
};

/// A server that answers every request for its keys with the same response.
struct Server {
    url: String,
    /// The response to a request for keys, after the description; `None` closes the connection.
    answer: Arc<Mutex<Option<String>>>,
    /// How often keys were asked for.
    asked: Arc<AtomicUsize>,
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn key_set(keys: &[(u8, &str)]) -> String {
    ok(&json!({ "keys": keys.iter().map(|(seed, id)| jwk(*seed, id)).collect::<Vec<_>>() }).to_string())
}

impl Server {
    fn start(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (answer, asked) = (Arc::new(Mutex::new(Some(answer))), Arc::new(AtomicUsize::new(0)));
        let server = Self { url: url.clone(), answer: answer.clone(), asked: asked.clone() };
        let description = ok(&json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string());
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (mut connection, mut request) = (connection.unwrap(), Vec::new());
                let mut buffer = [0; 1024];
                while !request.ends_with(b"\r\n\r\n") {
                    match connection.read(&mut buffer) {
                        Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
                        _ => break,
                    }
                }
                let response = match request.starts_with(b"GET /keys ") {
                    false => Some(description.clone()),
                    true => {
                        asked.fetch_add(1, Ordering::SeqCst);
                        answer.lock().unwrap().clone()
                    }
                };
                // It may have been refused in the middle.
                let _ = connection.write_all(response.unwrap_or_default().as_bytes());
            }
        });
        server
    }

    fn set(&self, answer: Option<String>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The issuers of a gateway whose time is set, with that server among them.
struct Gateway {
    issuers: Arc<Issuers>,
    url: IssuerUrl,
    time: Arc<AtomicI64>,
}

impl Gateway {
    fn of(server: &Server) -> Self {
        let time = Arc::new(AtomicI64::new(NOW));
        let now = time.clone();
        let clock = Clock::new(move || now.load(Ordering::SeqCst));
        let (issuers, url) = (Arc::new(Issuers::new(clock, Handle::current())), server.url.parse().unwrap());
        let gateway = Self { issuers, url, time };
        gateway.configure();
        gateway
    }

    fn configure(&self) {
        let settings = IssuerSettings { url: self.url.clone(), keys: KeySource::Discovery, ca_file: None };
        let rules = RefreshRules { min_interval: Duration::from_secs(30), grace: Duration::from_secs(7200) };
        self.issuers.configure([settings], rules);
    }

    fn pass(&self, seconds: i64) {
        self.time.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Verifies a token that is signed with the key of that seed and names that id.
    async fn verify(&self, seed: u8, id: &str) -> Result<(), TokenError> {
        let now = self.time.load(Ordering::SeqCst);
        let mut header = header();
        header["kid"] = json!(id);
        let token =
            sign(seed, &header, &json!({ "iss": self.url.as_str(), "aud": "gate", "iat": now, "exp": now + 60 }));
        let expected = Expected { issuer: &self.url, audience: &["gate"], leeway: 0, kind: TokenKind::Access };
        self.issuers.verify(&token, &expected).await.map(drop)
    }
}

#[tokio::test]
async fn keys_are_read_once_and_a_new_one_is_found_after_the_interval() {
    let server = Server::start(key_set(&[(1, "a")]));
    let gateway = Gateway::of(&server);
    for _ in 0..10 {
        assert_eq!(gateway.verify(1, "a").await, Ok(()));
    }
    let first = gateway.issuers.generation(&gateway.url);
    server.set(Some(key_set(&[(2, "b")])));
    assert_eq!(gateway.verify(2, "b").await, Err(TokenError::UnknownKey));
    assert_eq!(server.asked(), 1, "it was asked a moment ago");
    gateway.pass(31);
    assert_eq!(gateway.verify(2, "b").await, Ok(()));
    assert_eq!(gateway.verify(1, "a").await, Err(TokenError::UnknownKey), "the issuer took it back");
    assert_ne!(gateway.issuers.generation(&gateway.url), first);
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn unknown_key_ids_make_one_read_in_an_interval() {
    let server = Server::start(key_set(&[(1, "a")]));
    let gateway = Gateway::of(&server);
    for round in 1..=3 {
        for number in 0..100 {
            assert_eq!(gateway.verify(1, &format!("../{round}/{number}")).await, Err(TokenError::UnknownKey));
        }
        assert_eq!(server.asked(), round);
        gateway.pass(31);
    }
}

#[tokio::test]
async fn keys_outlive_an_issuer_that_fails_for_a_while() {
    let server = Server::start(key_set(&[(1, "a")]));
    let gateway = Gateway::of(&server);
    assert_eq!(gateway.verify(1, "a").await, Ok(()));
    let huge = ok(&"x".repeat(300 * 1024));
    let elsewhere =
        "HTTP/1.1 302 Found\r\nlocation: /keys2\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned();
    for bad in [None, Some(huge), Some(elsewhere), Some(ok("{}")), Some(ok("{\"keys\":[]}"))] {
        server.set(bad);
        gateway.pass(600);
        let asked = server.asked();
        // The issuer may have it by now.
        assert!(matches!(gateway.verify(1, "b").await, Err(TokenError::Unavailable(_))));
        assert_eq!((gateway.verify(1, "a").await, server.asked()), (Ok(()), asked + 1));
    }
    gateway.pass(4201);
    let Err(TokenError::Unavailable(error)) = gateway.verify(1, "a").await else { panic!("the grace is over") };
    assert!(error.to_string().contains("no key that can be used"), "{error}");
    server.set(Some(key_set(&[(1, "a")])));
    gateway.pass(31);
    assert_eq!(gateway.verify(1, "a").await, Ok(()));
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_and_forgets_what_is_removed() {
    let server = Server::start(key_set(&[(1, "a")]));
    let gateway = Gateway::of(&server);
    assert_eq!(gateway.verify(1, "a").await, Ok(()));
    gateway.configure();
    assert_eq!(gateway.verify(1, "a").await, Ok(()));
    // It is read again, although it was a moment ago.
    while server.asked() < 2 {
        tokio::task::yield_now().await;
    }
    gateway.issuers.configure([], RefreshRules::default());
    assert_eq!(gateway.verify(1, "a").await, Err(TokenError::WrongIssuer));
    assert_eq!(gateway.issuers.generation(&gateway.url), None);
    assert!(gateway.issuers.metadata(&gateway.url).await.is_err());
}

#[tokio::test]
async fn a_file_takes_the_place_of_an_issuer_that_cannot_be_reached() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let url: IssuerUrl = "https://kubernetes.default.svc".parse().unwrap();
    let issuers = Issuers::new(Clock::new(|| NOW), Handle::current());
    let settings = IssuerSettings { url: url.clone(), keys: KeySource::File(path.clone()), ca_file: None };
    let rules = RefreshRules { min_interval: Duration::ZERO, ..RefreshRules::default() };
    issuers.configure([settings], rules);
    let token = sign(1, &header(), &json!({ "iss": url.as_str(), "aud": "gate", "iat": NOW, "exp": NOW + 60 }));
    let expected = Expected { issuer: &url, audience: &["gate"], leeway: 0, kind: TokenKind::Access };
    let Err(TokenError::Unavailable(error)) = issuers.verify(&token, &expected).await else {
        panic!("the file does not exist yet")
    };
    assert!(error.to_string().contains("keys.json"), "{error}");
    std::fs::write(&path, json!({ "keys": [jwk(1, "a")] }).to_string()).unwrap();
    assert!(issuers.verify(&token, &expected).await.is_ok());
}
