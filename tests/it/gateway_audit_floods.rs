//! Refusals in great numbers: they must not fill the event log or the memory, and what happens meanwhile is recorded as ever.
//!
//! `AUDIT_FLOOD_REQUESTS` says how many, half of them in each of two windows; `.ci/weekly` sets it to a million. The bounds are the same.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Reply, Server};
use crate::harness::set_clock::SetClock;
use crate::harness::{DEADLINE, poll};

const MIB: u64 = 1 << 20;
/// How far the log and the memory may grow.
const LOG: u64 = MIB;
const MEMORY: u64 = 16 * MIB;
/// New strangers that are told apart in a window.
const APART: u64 = 256;
/// Connections, and requests that are sent on one before their answers are read.
const CONNECTIONS: u64 = 2;
const BATCH: u64 = 50;
/// Networks that the known credential is used from.
const NETWORKS_OF_KEY: u64 = 100;

fn requests() -> u64 {
    std::env::var("AUDIT_FLOOD_REQUESTS").map_or(40_000, |text| text.parse().unwrap())
}

/// What the log holds.
#[derive(Debug, Default)]
struct Log {
    /// Bytes of the database.
    bytes: u64,
    records: u64,
    /// Refusals that it counts.
    refusals: u64,
}

struct Given {
    gateway: Gateway,
    clock: SetClock,
    _upstream: Server,
    /// A key that manages keys, and one of the same person that was revoked.
    manager: String,
    revoked: Value,
}

impl Given {
    fn start() -> Self {
        let upstream = Server::start(|_| Reply::json(200, json!({ "models": [] })));
        let now = jiff::Timestamp::now().as_second();
        let clock = SetClock::at(now);
        let more = ["--set", "trusted-proxies=127.0.0.1"];
        let gateway = Gateway::start_with_within(&upstream.url(), &more, &clock.line());
        gateway.add_user("ada", "admin");
        let device = gateway.device_of("ada");
        let manager = gateway.key(&device, &["manager", "--scope", "inference,models:read,keys"]);
        let mut given = Self { gateway, clock, _upstream: upstream, manager, revoked: Value::Null };
        given.revoked = given.create("old");
        let id = given.revoked["id"].as_str().unwrap().to_owned();
        assert_eq!(given.ask("DELETE", &path_of(&id), "").status, 200);
        given
    }

    fn ask(&self, method: &str, target: &str, body: &str) -> Answer {
        self.gateway.ask(method, target, &[&format!("Authorization: Bearer {}", self.manager)], body)
    }

    /// A key that is listed, and recorded, as soon as it is confirmed.
    fn create(&self, name: &str) -> Value {
        let began = Instant::now();
        let made = self.ask("POST", "/api/user/keys", &json!({ "name": name, "scopes": ["models:read"] }).to_string());
        assert_eq!(made.status, 201, "{}", made.text());
        let (made, listed) = (made.json(), self.ask("GET", "/api/user/keys", ""));
        assert!(listed.text().contains(made["id"].as_str().unwrap()), "{}", listed.text());
        let took = began.elapsed();
        let audit = self.gateway.admin(&["audit", "--json", "--action", "key.created", "--limit", "1"]);
        assert_eq!(audit.expect_code(0).json()["events"][0]["subject"], made["id"]);
        // A machine that does more than this is slower, but not that slow.
        assert!(took < DEADLINE / 10, "made and listed after {took:?}");
        made
    }

    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gateway.child().pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    fn log(&self) -> Log {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(self.gateway.database()).read_only(true);
            let mut connection = options.connect().await.unwrap();
            let mut figure =
                async |statement| -> i64 { sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap() };
            let pages = figure("SELECT page_count FROM pragma_page_count").await;
            let free = figure("SELECT freelist_count FROM pragma_freelist_count").await;
            let size = figure("SELECT page_size FROM pragma_page_size").await;
            let records = figure("SELECT count(*) FROM events").await;
            let refusals = figure("SELECT coalesce(sum(count), 0) FROM events WHERE code IS NOT NULL").await;
            connection.close().await.unwrap();
            let bytes = ((pages - free) * size).try_into().unwrap();
            Log { bytes, records: records.try_into().unwrap(), refusals: refusals.try_into().unwrap() }
        })
    }

    /// Sends that many requests with an unknown key, each from the next of so many addresses, and returns the most memory that the gateway
    /// had. In the middle the known credential is used, and a key is created. It takes no time by the gateway's clock, so that windows end
    /// when the test says so.
    fn flood(&self, count: u64, addresses: u64, address: impl Fn(u64) -> String + Sync) -> u64 {
        let now = self.clock.now();
        std::thread::scope(|scope| {
            let senders: Vec<_> = (0..CONNECTIONS)
                .map(|first| {
                    let address = &address;
                    scope.spawn(move || {
                        let numbers = (first..count).step_by(CONNECTIONS as usize);
                        self.send("olauth_unknown", numbers.map(|number| address(number % addresses)));
                    })
                })
                .collect();
            let key = self.revoked["key"].as_str().unwrap();
            self.send(key, (0..NETWORKS_OF_KEY).map(network));
            self.create("meanwhile");
            let mut most = self.resident();
            while senders.iter().any(|sender| !sender.is_finished()) {
                std::thread::sleep(Duration::from_millis(20));
                self.clock.run_from(now);
                most = most.max(self.resident());
            }
            most
        })
    }

    fn send(&self, key: &str, addresses: impl Iterator<Item = String>) {
        let mut stream = TcpStream::connect(self.gateway.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let (host, mut text, mut sent) = (self.gateway.address(), String::new(), 0);
        let mut addresses = addresses.peekable();
        while let Some(address) = addresses.next() {
            text += &format!(
                "GET /api/tags HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nX-Forwarded-For: {address}\r\n\r\n"
            );
            sent += 1;
            if sent == BATCH || addresses.peek().is_none() {
                stream.write_all(text.as_bytes()).unwrap();
                read_refusals(&mut stream, sent);
                (text, sent) = (String::new(), 0);
            }
        }
    }

    /// A minute passes, and more, so that everything is recorded.
    fn end_windows(&self, seconds: i64, refusals: u64) -> Log {
        self.clock.pass(seconds);
        poll("all refusals in the log", || Some(self.log()).filter(|log| log.refusals >= refusals))
    }

    fn refused(&self) -> Vec<Value> {
        let args = ["audit", "--json", "--limit", "10000", "--action", "credential.refused"];
        self.gateway.admin(&args).expect_code(0).json()["events"].as_array().unwrap().clone()
    }
}

/// Reads so many refusals to their end.
fn read_refusals(stream: &mut TcpStream, count: u64) {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 16_384]);
    let mut left = count;
    while left > 0 {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the connection ended with {left} answers missing");
        bytes.extend_from_slice(&buffer[..read]);
        while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = std::str::from_utf8(&bytes[..end]).unwrap().to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 401 "), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            let whole = end + 4 + length.parse::<usize>().unwrap();
            if bytes.len() < whole {
                break;
            }
            bytes.drain(..whole);
            left -= 1;
        }
    }
    assert!(bytes.is_empty(), "more answers than requests");
}

/// An address in the IPv6 network of that number.
fn network(number: u64) -> String {
    format!("2001:db8:{:x}:{:x}::1", number >> 16, number & 0xffff)
}

fn path_of(id: &str) -> String {
    use base64::Engine as _;
    format!("/api/user/keys/{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id))
}

/// Two windows of refusals, half of them in each; what the log holds then.
#[track_caller]
#[allow(clippy::print_stderr, reason = "figures for whoever runs it by hand")]
fn assert_bounded(given: &Given, addresses: u64, address: impl Fn(u64) -> String + Sync) -> Log {
    // What the first requests take is not of their number.
    let warm = 20 * BATCH;
    given.send("olauth_unknown", (0..warm).map(|_| "192.0.2.200".to_owned()));
    let before = given.end_windows(2 * 3600, warm);
    let (resident, half) = (given.resident(), requests() / 2);
    let mut most = 0;
    let mut refusals = warm;
    for seconds in [61, 3601] {
        most = most.max(given.flood(half, addresses, &address));
        refusals += half + NETWORKS_OF_KEY;
        given.end_windows(seconds, refusals);
    }
    let after = given.log();
    let (grown, more) = (after.bytes - before.bytes, most.saturating_sub(resident));
    eprintln!(
        "{} refusals: {} records, {} KiB more in the log, {} KiB more memory",
        2 * half,
        after.records - before.records,
        grown / 1024,
        more / 1024
    );
    assert_eq!(after.refusals, refusals, "each is counted once");
    assert!(grown < LOG, "the log has grown by {grown} bytes");
    assert!(more < MEMORY, "the memory has grown by {more} bytes");
    given.gateway.admin(&["audit", "verify"]).expect_code(0);
    after
}

#[test]
fn refusals_from_a_few_addresses_are_a_few_records() {
    let given = Given::start();
    let before = given.log().records;
    let after = assert_bounded(&given, 10, |number| format!("192.0.2.{number}"));
    assert!(after.records - before < 200, "{before} {after:?}");
}

#[test]
fn refusals_from_many_networks_share_a_record_and_known_credentials_do_not() {
    let given = Given::start();
    let networks = requests() / 10;
    assert_bounded(&given, networks, network);
    let events = given.refused();
    let of = |subject: &str| -> Vec<&Value> { events.iter().filter(|event| event["subject"] == subject).collect() };
    let counts: Vec<u64> = of("(several)").iter().filter_map(|event| event["details"]["addresses"].as_u64()).collect();
    assert_eq!(counts, [networks - APART; 2], "{:#?}", of("(several)"));
    assert!(of("(several)").iter().all(|event| event["address"] == "" && event["account"].is_null()));
    let apart = of("(an unknown API key)").iter().filter(|event| event["first"].is_null()).count() as u64;
    // In each window, and the first requests were of one more.
    assert_eq!(apart, 2 * APART + 1);
    // The revoked key of a person: each of its uses is in a record of its own.
    let id = given.revoked["id"].as_str().unwrap();
    let of_key = of(id);
    let sum: u64 = of_key.iter().map(|event| event["count"].as_u64().unwrap()).sum();
    assert_eq!(sum, 2 * NETWORKS_OF_KEY);
    assert!(of_key.iter().all(|event| event["account"] == "ada" && event["code"] == "revoked_key"), "{of_key:#?}");
    assert!(of_key.iter().any(|event| event["details"]["addresses"].as_u64() > Some(NETWORKS_OF_KEY - 20)));
}
