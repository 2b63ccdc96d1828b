//! The tasks: each works until the end and takes note of what was confirmed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::cluster::GRACE;
use super::http::{Place, bearer, path_of};
use super::ledger::{Ledger, Outcome};
use crate::harness::signature::TestDevice;

/// Chunks of an answer of the model, and the time between two.
const CHUNKS: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);
const END: &str = "\r\n0\r\n\r\n";

/// What the tasks share.
pub struct Shared {
    /// What was confirmed.
    pub ledger: Ledger,
    /// The load balancer, and the gateways.
    pub balancer: Place,
    /// See `balancer`.
    pub gateways: Vec<Place>,
    /// The tasks end.
    pub over: AtomicBool,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }
}

/// A new id of a key.
fn id() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("key_chaos{:08}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Creates keys, and revokes every second of them.
pub async fn change(shared: Arc<Shared>, manager: String) {
    let auth = bearer(&manager);
    while shared.goes_on() {
        let id = id();
        let body = json!({ "id": id, "name": "chaos", "scopes": ["models:read"] }).to_string();
        match shared.balancer.ask("POST", "/api/user/keys", &auth, &body).await {
            Some(answer) if answer.status == 201 => {
                shared.ledger.created(id.clone(), answer.json()["key"].as_str().unwrap().to_owned());
            }
            other => {
                let status = other.as_ref().map(|answer| answer.status);
                let expected = status.is_none_or(|status| status >= 500 || status == 409);
                assert!(expected, "a key cannot be created: {:?}", other.map(|answer| answer.text().to_owned()));
                Ledger::count(&shared.ledger.unknown);
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        }
        if id.ends_with(['1', '3', '5', '7', '9']) {
            let answer = shared.balancer.ask("DELETE", &path_of(&id), &auth, "").await;
            let outcome = match answer {
                Some(answer) if answer.status == 200 => Outcome::Confirmed(Instant::now()),
                Some(answer) => {
                    assert!(answer.status >= 500, "a key cannot be revoked: {}", answer.text());
                    Outcome::Unknown
                }
                None => Outcome::Unknown,
            };
            if outcome == Outcome::Unknown {
                Ledger::count(&shared.ledger.unknown);
            }
            shared.ledger.revoked(&id, outcome);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Runs a model again and again. Its key is valid, so no gateway may refuse it.
pub async fn stream(shared: Arc<Shared>, key: String) {
    let body = r#"{"model":"tiny","prompt":"hi"}"#;
    while shared.goes_on() {
        let mut bytes = Vec::new();
        if let Ok(mut connection) = shared.balancer.send("POST", "/api/generate", &bearer(&key), body).await {
            let _ = connection.read_to_end(&mut bytes).await;
        }
        let text = String::from_utf8_lossy(&bytes);
        let status: u16 = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
        assert!([0, 200, 502, 503, 504].contains(&status), "a valid key: {text}");
        let is_whole = status == 200 && text.ends_with(END);
        Ledger::count(if is_whole { &shared.ledger.whole } else { &shared.ledger.cut });
        if !is_whole {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Asks with keys that were revoked longer than `offline-grace` ago: whichever gateway answers knows of it, or knows that it may not.
pub async fn look(shared: Arc<Shared>) {
    for number in 0.. {
        if !shared.goes_on() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let Some(key) = shared.ledger.revoked_for(Duration::from_secs(GRACE), number) else { continue };
        let place = &shared.gateways[usize::try_from(number).unwrap() % shared.gateways.len()];
        if let Some(answer) = place.ask("GET", "/api/tags", &bearer(&key), "").await {
            Ledger::count(&shared.ledger.looks);
            assert!([401, 503].contains(&answer.status), "a revoked key: {} {}", answer.status, answer.text());
        }
    }
}

/// Sends one signature to all gateways at once, each time for another key.
pub async fn use_signatures(shared: Arc<Shared>, device: Arc<TestDevice>) {
    while shared.goes_on() {
        let ts = UNIX_EPOCH.elapsed().unwrap().as_secs();
        let target = format!("/api/user/keys?ts={ts}");
        let auth = device.sign(&format!("POST,{target}"));
        let ids: Vec<String> = shared.gateways.iter().map(|_| id()).collect();
        shared.ledger.once.lock().unwrap().push(ids.clone());
        let mut all = tokio::task::JoinSet::new();
        for (place, id) in shared.gateways.iter().zip(ids) {
            let (place, auth, target) = (place.clone(), auth.clone(), target.clone());
            let body = json!({ "id": id, "name": "once" }).to_string();
            all.spawn(async move { place.ask("POST", &target, &auth, &body).await.map(|answer| answer.status) });
        }
        all.join_all().await;
        // A signature of the same second would be the same.
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
}

/// A model that sends its answer piece by piece, and lists nothing else.
pub async fn model(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream));
    }
}

async fn serve(mut stream: TcpStream) -> Option<()> {
    let mut read = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut read).await.ok()? == 0 {
                return None;
            }
        };
        let text = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        while read.len() < head + length {
            if stream.read_buf(&mut read).await.ok()? == 0 {
                return None;
            }
        }
        read.drain(..head + length);
        let begin = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
        if !text.starts_with("post /api/generate") {
            let body = r#"{"models":[],"version":"0.99.1"}"#;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.ok()?;
            continue;
        }
        stream.write_all(begin.as_bytes()).await.ok()?;
        for number in 0..CHUNKS {
            let line = format!("{{\"response\":\"{number}\",\"done\":{}}}\n", number + 1 == CHUNKS);
            stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).await.ok()?;
            tokio::time::sleep(PAUSE).await;
        }
        stream.write_all(b"0\r\n\r\n").await.ok()?;
    }
}
