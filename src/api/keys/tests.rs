//! What is asked for, and that nothing but a host's plain word is taken for an answer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use secrecy::SecretString;

use super::*;
use crate::address::BaseUrl;
use crate::api::account::CredentialCheck;
use crate::api::credential::Credential;
use crate::api::error::Conflict;
use crate::api::transport::{Transport, TransportOptions};

/// A host that accepts one API key, and answers what begins with [`PATH`] with this status and body.
struct Host {
    base: BaseUrl,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Host {
    fn answering(status: u16, body: &str, from_gateway: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = BaseUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap().url;
        let asked: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (body, seen) = (body.to_owned(), asked.clone());
        // It ends with the test's process; each connection is answered once.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = answer(stream, (status, &body, from_gateway), &seen);
            }
        });
        Self { base, asked }
    }

    async fn run<T>(&self, ask: impl AsyncFnOnce(&Session<'_>, AccountHost) -> T) -> T {
        let transport = Transport::new(TransportOptions::default());
        let key = Credential::ApiKey(SecretString::from("k"));
        let session = Session::new(&transport, self.base.clone(), key, false, || 1_795_211_572).unwrap();
        let Ok(CredentialCheck::Accepted(proof)) = session.check_credential().await else { panic!("not accepted") };
        ask(&session, proof).await
    }

    async fn replace(&self) -> Result<CreatedKey, ApiError> {
        self.run(async |session, proof| session.replace_key(proof, &id("key_newnewnew"), &id("key_oldoldold")).await)
            .await
    }

    async fn expire(&self) -> Result<Option<KeyEntry>, ApiError> {
        self.run(async |session, proof| session.expire_key(proof, &id("key_oldoldold"), 3600).await).await
    }

    /// The last request, which is the one that counts, and its body.
    fn last(&self) -> (String, String) {
        self.asked.lock().unwrap().last().unwrap().clone()
    }
}

fn answer(
    stream: TcpStream,
    (status, body, from_gateway): (u16, &str, bool),
    seen: &Mutex<Vec<(String, String)>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut known, mut length) = (String::new(), false, 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        known |= line == "authorization: bearer k";
        length = line.strip_prefix("content-length: ").map_or(length, |text| text.parse().unwrap());
        if line.is_empty() {
            break;
        }
    }
    let mut sent = vec![0; length];
    reader.read_exact(&mut sent)?;
    let me = first.contains(" /api/me");
    let (status, body) = match (me, known) {
        (true, true) => (200, r#"{"id":"8c1d0a3e-3b0e-4b9e-9a43-0f9f0d1f2a3b","name":"ada"}"#),
        (_, false) => (401, r#"{"error":"unauthorized"}"#),
        (false, true) => (status, body),
    };
    seen.lock().unwrap().push((first.trim_end().to_owned(), String::from_utf8(sent).unwrap()));
    let name = if from_gateway && !me { "X-Ollama-Auth-Gateway: 1\r\n" } else { "" };
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{name}\r\n{body}", body.len())
}

fn id(text: &str) -> KeyId {
    text.parse().unwrap()
}

#[tokio::test]
async fn conflicts_of_a_replacement_are_told_apart() {
    for (body, expected) in [
        (r#"{"error":"e","code":"id_taken"}"#, Conflict::IdTaken),
        (r#"{"error":"e","code":"replaced","by":"key_12345678"}"#, Conflict::Replaced(id("key_12345678"))),
        (r#"{"error":"e","code":"not_live"}"#, Conflict::NotLive),
        (r#"{"code":"id_taken"}"#, Conflict::Other),
        ("conflict", Conflict::Other),
    ] {
        let error = Host::answering(409, body, true).replace().await.unwrap_err();
        assert!(!error.leaves_doubt(), "{error}");
        assert!(matches!(&error, ApiError::Conflict { conflict, .. } if *conflict == expected), "{body}: {error:?}");
    }
}

#[tokio::test]
async fn a_replacement_is_the_one_that_was_asked_for() {
    let key = crate::keyspec::ApiKey::generate().unwrap();
    let made = |id: &str, old: &str| format!(r#"{{"id":"{id}","replaces":"{old}","key":"{}"}}"#, key.expose());
    let host = Host::answering(201, &made("key_newnewnew", "key_oldoldold"), true);
    assert_eq!(host.replace().await.unwrap().key.expose(), key.expose());
    let (line, body) = host.last();
    assert_eq!(line, "POST /api/user/keys?id=key_newnewnew HTTP/1.1");
    assert_eq!(body, r#"{"id":"key_newnewnew","replaces":"key_oldoldold"}"#);
    for (id, old) in [("key_newnewnew", "key_another1"), ("key_another1", "key_oldoldold")] {
        let error = Host::answering(201, &made(id, old), true).replace().await.unwrap_err();
        assert!(error.leaves_doubt() && !format!("{error:?}").contains(key.expose()), "{error}");
    }
}

#[tokio::test]
async fn only_a_plain_word_says_when_a_key_ends() {
    let unknown = r#"{"error":"there is no key"}"#;
    assert!(Host::answering(404, unknown, false).expire().await.unwrap().is_none());
    assert!(Host::answering(404, "", true).expire().await.unwrap().is_none());
    for (status, body) in [
        (404, "404 page not found"),
        (405, r#"{"error":"takes DELETE"}"#),
        (204, ""),
        (200, "null"),
        (200, r#"{"id":"key_oldoldold"}"#),
        (200, r#"{"id":"key_another1","expires_at":"2027-01-02T03:04:05Z"}"#),
    ] {
        Host::answering(status, body, false).expire().await.unwrap_err();
    }
    let ends = r#"{"id":"key_oldoldold","expires_at":"2027-01-02T03:04:05Z"}"#;
    let host = Host::answering(200, ends, true);
    let entry = host.expire().await.unwrap().unwrap();
    assert_eq!(entry.expires_at.unwrap().to_string(), "2027-01-02T03:04:05Z");
    let (line, body) = host.last();
    assert_eq!(line, format!("PATCH /api/user/keys/{}?expires_in=3600 HTTP/1.1", id("key_oldoldold").encoded()));
    assert_eq!(body, "");
}

#[test]
fn an_entry_is_read_leniently() {
    let read = |text: &str| serde_json::from_str::<KeyEntry>(text);
    let bare = read(r#"{"id":"key_12345678","models":null,"new-member":{"a":1}}"#).unwrap();
    assert_eq!((bare.id.as_str(), bare.expires_at, bare.models.len()), ("key_12345678", None, 0));
    let times = read(r#"{"id":"x","expires_at":"2027-01-02T03:04:05+01:00","last_used_at":null}"#).unwrap();
    assert_eq!(times.expires_at.unwrap().to_string(), "2027-01-02T02:04:05Z");
    // What cannot be read is not taken for "never".
    assert!(read(r#"{"id":"x","expires_at":"soon"}"#).is_err());
    assert!(read(r#"{"name":"x"}"#).is_err());
}

#[test]
fn what_is_asked_for_is_written_as_the_gateway_reads_it() {
    let new = NewKey {
        id: "key_12345678".parse().unwrap(),
        name: "ci".into(),
        environment: None,
        scopes: "inference,models:read".parse().unwrap(),
        models: ["tiny".parse().unwrap()].into_iter().collect(),
        limits: Default::default(),
        from: Default::default(),
        expires_in: Some(Lifetime::Never),
        replaceable: true,
    };
    let expected = r#"{"id":"key_12345678","name":"ci","scopes":["inference","models:read"],"models":["tiny:latest"],"expires_in":null,"replaceable":true}"#;
    assert_eq!(serde_json::to_string(&new).unwrap(), expected);
    let limits = crate::keyspec::RequestLimits { streams: std::num::NonZeroU32::new(2), ..Default::default() };
    let from = "10.0.0.0/8".parse().unwrap();
    let limited = serde_json::to_value(NewKey { limits, from, ..new }).unwrap();
    assert_eq!(limited["limits"], serde_json::json!({ "streams": 2 }));
    assert_eq!(limited["from"], serde_json::json!(["10.0.0.0/8"]));
}
