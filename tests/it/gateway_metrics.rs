//! The metrics of a gateway: each request is counted once, whatever becomes of it, by what its caller saw.
//!
//! `METRICS_REQUESTS` says how many requests three gateways get; `.ci/weekly` sets it.

use std::collections::{BTreeMap, HashSet};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Gate, Reply, Request, Server, Step};
use crate::harness::postgres::Postgres;
use crate::harness::{DEADLINE, poll};

const METRICS: &[&str] = &["--set", "metrics-listen=127.0.0.1:0"];
/// Callers at a time.
const THREADS: usize = 8;
/// How many callers leave before the response: the upstream server holds a thread for each.
const LEAVING: u64 = 60;
/// The status of a request whose caller left before the response.
const CALLER_LEFT: u16 = 499;

/// Everything that a gateway reports: each sample by its name and labels, as they are written.
pub fn scrape(gateway: &Gateway) -> BTreeMap<String, f64> {
    let answer = get(gateway, &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let samples = answer.text().lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

fn get(gateway: &Gateway, headers: &[&str]) -> Answer {
    let url = gateway.listening()["metrics_url"].as_str().unwrap();
    let address = url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    Answer::parse(&bytes).unwrap()
}

/// A label of a sample.
fn label<'a>(sample: &'a str, name: &str) -> &'a str {
    let begin = sample.find(&format!("{name}=\"")).unwrap_or_else(|| panic!("{sample}: {name}")) + name.len() + 2;
    sample[begin..].split('"').next().unwrap()
}

/// How many requests were counted, by route and status.
fn counted(gateways: &[Gateway]) -> BTreeMap<(String, u16), u64> {
    let mut sums = BTreeMap::new();
    for gateway in gateways {
        for (sample, value) in scrape(gateway) {
            if sample.starts_with("ollama_auth_requests_total{") {
                let key = (label(&sample, "route").to_owned(), label(&sample, "status").parse().unwrap());
                *sums.entry(key).or_default() += value as u64;
            }
        }
    }
    sums
}

/// What a request is, and the route that it is counted for.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Tags,
    Chat,
    CutChat,
    LeftChat,
    Left,
    UnknownModel,
    UnknownKey,
    NoScope,
    OtherModel,
    Limited,
    UnknownRoute,
    WrongMethod,
    ForeignHost,
    Health,
    Page,
    Me,
    Heartbeat,
    Unreachable,
}

const KINDS: [(Kind, &str); 18] = [
    (Kind::Tags, "/api/tags"),
    (Kind::Chat, "/api/chat"),
    (Kind::CutChat, "/api/chat"),
    (Kind::LeftChat, "/api/chat"),
    (Kind::Left, "/api/chat"),
    (Kind::UnknownModel, "/api/chat"),
    (Kind::UnknownKey, "/api/tags"),
    (Kind::NoScope, "/api/delete"),
    (Kind::OtherModel, "/api/chat"),
    (Kind::Limited, "/api/tags"),
    (Kind::UnknownRoute, "other"),
    (Kind::WrongMethod, "other"),
    (Kind::ForeignHost, "other"),
    (Kind::Health, "/healthz"),
    (Kind::Page, "pages"),
    (Kind::Me, "/api/me"),
    (Kind::Heartbeat, "/"),
    (Kind::Unreachable, "/v1/embeddings"),
];

struct Keys {
    all: String,
    one_model: String,
    limited: String,
}

/// Models whose requests have arrived and get no response.
type Waiting = Arc<Mutex<HashSet<String>>>;

fn upstream(never: Gate, waiting: Waiting) -> Server {
    Server::start(move |request: &Request| {
        let line = |text: &str| Step::send(format!("{text}\n"));
        let token = line(r#"{"model":"m","message":{"role":"assistant","content":"a"},"done":false}"#);
        let end = line(
            r#"{"model":"m","message":{"role":"assistant","content":""},"done":true,"prompt_eval_count":3,"eval_count":2}"#,
        );
        if request.path() == "/v1/embeddings" {
            return Reply::drop_connection();
        }
        if request.path() != "/api/chat" {
            return Reply::json(200, json!({ "models": [] }));
        }
        match request.json()["model"].as_str().unwrap() {
            "cut" => Reply::ndjson([token, Step::Cut]),
            "long" => Reply::ndjson([token, Step::Hang]),
            model if model.starts_with("never") => {
                waiting.lock().unwrap().insert(model.to_owned());
                Reply::ndjson([end]).after(&never)
            }
            "unknown" => Reply::json(404, json!({ "error": "model \"unknown\" not found" })),
            _ => Reply::ndjson([token.clone(), token, end]),
        }
    })
}

/// Makes a request, and says with which status it is counted.
fn make(gateway: &Gateway, kind: Kind, keys: &Keys, number: u64, waiting: &Waiting) -> u16 {
    let key = |key: &str| format!("Authorization: Bearer {key}");
    let chat = |model: &str| json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] }).to_string();
    let ask = |method: &str, path: &str, header: &str, body: &str| gateway.ask(method, path, &[header], body).status;
    let all = key(&keys.all);
    match kind {
        Kind::Tags => ask("GET", "/api/tags", &all, ""),
        Kind::Chat => ask("POST", "/api/chat", &all, &chat("m")),
        Kind::CutChat => {
            // It breaks off, so it is not read as an answer.
            let answer = open(gateway, &all, &chat("cut"));
            status_of(answer, true)
        }
        Kind::LeftChat => {
            let answer = open(gateway, &all, &chat("long"));
            status_of(answer, false)
        }
        Kind::Left => {
            // One that leaves at once is gone before the gateway has read the request.
            let model = format!("never-{number}");
            let connection = open(gateway, &all, &chat(&model));
            poll("the request", || waiting.lock().unwrap().remove(&model).then_some(()));
            drop(connection);
            CALLER_LEFT
        }
        Kind::UnknownModel => ask("POST", "/api/chat", &all, &chat("unknown")),
        Kind::UnknownKey => ask("GET", "/api/tags", "Authorization: Bearer oa_unknown", ""),
        Kind::NoScope => ask("DELETE", "/api/delete", &key(&keys.one_model), &json!({ "model": "m" }).to_string()),
        Kind::OtherModel => ask("POST", "/api/chat", &key(&keys.one_model), &chat("other")),
        Kind::Limited => ask("GET", "/api/tags", &key(&keys.limited), ""),
        Kind::UnknownRoute => ask("GET", "/api/nothing", &all, ""),
        Kind::WrongMethod => ask("GET", "/api/chat", &all, ""),
        Kind::ForeignHost => {
            let text = "GET /api/tags HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
            Answer::parse(&gateway.raw(text)).unwrap().status
        }
        Kind::Health => ask("GET", "/healthz", &all, ""),
        Kind::Page => ask("GET", "/login", &all, ""),
        Kind::Me => ask("POST", "/api/me", &all, ""),
        Kind::Heartbeat => ask("HEAD", "/", &all, ""),
        Kind::Unreachable => ask("POST", "/v1/embeddings", &all, &json!({ "model": "m", "input": "x" }).to_string()),
    }
}

/// A connection with a request for a chat.
fn open(gateway: &Gateway, key: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let (host, length) = (gateway.address(), body.len());
    write!(stream, "POST /api/chat HTTP/1.1\r\nHost: {host}\r\n{key}\r\nContent-Length: {length}\r\n\r\n{body}")
        .unwrap();
    stream
}

/// The status of a response of which something is read, or all of it.
fn status_of(mut stream: TcpStream, reads_all: bool) -> u16 {
    let mut bytes = vec![0; 4096];
    let mut read = |bytes: &mut [u8]| {
        loop {
            match stream.read(bytes) {
                // A signal to this process ends a read that has a time limit.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    };
    let count = read(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
    while reads_all && read(&mut bytes).is_ok_and(|count| count > 0) {}
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{text:?}"))
}

#[test]
fn each_request_to_three_gateways_is_counted_once_whatever_becomes_of_it() {
    let count = std::env::var("METRICS_REQUESTS").map_or(2_000, |text| text.parse().unwrap());
    let never = Gate::new();
    let waiting = Waiting::default();
    let (upstream, server) = (upstream(never.clone(), waiting.clone()), Postgres::shared());
    let database = server.database();
    let gateways: Vec<Gateway> =
        (0..3).map(|_| Gateway::start_replica(&database, &upstream.url(), "127.0.0.1:0", METRICS)).collect();
    gateways[0].add_user("ada", "admin");
    let device = gateways[0].device_added_to("ada");
    let keys = Keys {
        all: gateways[0].key(&device, &["all", "--scope", "inference,models:read,models:write"]),
        one_model: gateways[0].key(&device, &["one", "--scope", "inference", "--model", "m"]),
        limited: gateways[0].key(&device, &["limited", "--scope", "models:read", "--limit", "rpm=3"]),
    };
    for gateway in &gateways {
        for key in [&keys.all, &keys.one_model, &keys.limited] {
            poll("the key", || (gateway.status_of(key) != 401).then_some(()));
        }
    }
    let before = counted(&gateways);
    let (seen, next) = (Mutex::new(before), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let (mut kind, mut route) = KINDS[usize::try_from(number).unwrap() % KINDS.len()];
                    if matches!(kind, Kind::Left) && number / 18 >= LEAVING {
                        (kind, route) = KINDS[0];
                    }
                    let status =
                        make(&gateways[usize::try_from(number / 18 % 3).unwrap()], kind, &keys, number, &waiting);
                    *seen.lock().unwrap().entry((route.to_owned(), status)).or_default() += 1;
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    // Those whose callers left are over a little later.
    let mut last = BTreeMap::new();
    poll("all requests", || {
        last = counted(&gateways);
        (last.values().sum::<u64>() >= seen.values().sum()).then_some(())
    });
    assert_eq!(last, seen);
    let statuses: Vec<u16> = seen.keys().map(|(_, status)| *status).collect();
    for status in [200, 401, 403, 404, 405, 429, CALLER_LEFT, 502] {
        assert!(statuses.contains(&status), "{status}: {seen:?}");
    }
    never.open();
}

#[test]
fn requests_to_models_are_counted_with_their_outcome_and_tokens_and_models_are_few() {
    let waiting = Waiting::default();
    let upstream = upstream(Gate::new(), waiting.clone());
    let gateway = Gateway::start_with(&upstream.url(), METRICS);
    gateway.add_user("ada", "member");
    let key = format!("Authorization: Bearer {}", gateway.key(&gateway.device_added_to("ada"), &["k"]));
    let chat = |model: &str| {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
        gateway.ask("POST", "/api/chat", &[&key], &body.to_string()).status
    };
    for number in 0..60 {
        assert_eq!(chat(&format!("m{number}")), 200);
    }
    assert_eq!(chat("unknown"), 404);
    assert_eq!(status_of(open(&gateway, &key, &json!({ "model": "cut", "messages": [] }).to_string()), true), 200);
    let left = open(&gateway, &key, &json!({ "model": "never", "messages": [] }).to_string());
    poll("the request", || waiting.lock().unwrap().remove("never").then_some(()));
    drop(left);
    // Names that strangers and mistaken callers send are no labels.
    for number in 0..300 {
        let body = json!({ "model": format!("stranger-{number}"), "messages": [] }).to_string();
        assert_eq!(gateway.ask("POST", "/api/chat", &["Authorization: Bearer oa_wrong"], &body).status, 401);
    }
    let samples = poll("all requests", || {
        let samples = scrape(&gateway);
        let sum: f64 = samples
            .iter()
            .filter(|(name, _)| name.starts_with("ollama_auth_inferences_total"))
            .map(|(_, value)| value)
            .sum();
        (sum >= 63.0).then_some(samples)
    });
    let of = |name: &str| samples.get(name).copied();
    assert_eq!(of(r#"ollama_auth_inferences_total{model="m7:latest",outcome="complete"}"#), Some(1.0));
    assert_eq!(of(r#"ollama_auth_tokens_total{model="m7:latest",direction="input",source="reported"}"#), Some(3.0));
    assert_eq!(of(r#"ollama_auth_tokens_total{model="m7:latest",direction="output",source="reported"}"#), Some(2.0));
    assert_eq!(of(r#"ollama_auth_inferences_total{model="other",outcome="complete"}"#), Some(10.0));
    assert_eq!(of(r#"ollama_auth_inferences_total{model="other",outcome="cut"}"#), Some(1.0));
    assert_eq!(of(r#"ollama_auth_inferences_total{model="other",outcome="failed"}"#), Some(1.0));
    assert_eq!(of(r#"ollama_auth_inferences_total{model="other",outcome="cancelled"}"#), Some(1.0));
    assert_eq!(of(r#"ollama_auth_requests_total{route="/api/chat",status="401",code="unknown_key"}"#), Some(300.0));
    assert_eq!(of(r#"ollama_auth_time_to_first_token_seconds_count{model="m7:latest"}"#), Some(1.0));
    let text = get(&gateway, &["Accept: application/openmetrics-text; version=1.0.0"]);
    assert_eq!(text.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(text.text().ends_with("# EOF\n") && !text.text().contains("stranger"), "{}", text.text());
    for secret in ["ada", "127.0.0.1", "oa_"] {
        assert!(!text.text().contains(secret), "{secret}");
    }
}

#[test]
fn without_the_setting_there_are_no_metrics() {
    let gateway = Gateway::start("http://127.0.0.1:1");
    assert_eq!(gateway.listening()["metrics_url"], Value::Null);
    assert_eq!(gateway.ask("GET", "/metrics", &[], "").status, 404);
}
