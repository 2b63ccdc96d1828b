//! The event log of three gateways on one PostgreSQL, while gateways and the database are killed in the middle of changes: each change that
//! was confirmed has its record, none has two, and all checkpoints are of one log.
//!
//! `AUDIT_CRASH_SECONDS` says for how long; `.ci/weekly` sets it.

use std::collections::{HashMap, HashSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::DEADLINE;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::postgres::Postgres;
use crate::harness::signature::TestDevice;

/// Kills of each kind at least, and how long they go on where nothing says for how long.
const KILLS: usize = 4;
const SECONDS: u64 = 20;
/// Changes that are confirmed between two kills, so that each hits a gateway or database that works.
const BETWEEN: u64 = 10;
/// Longer than a gateway waits for a database that does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Action and subject of an event.
type Change = (&'static str, String);

struct Given {
    server: Postgres,
    database: String,
    gateways: Vec<Mutex<Gateway>>,
    addresses: Vec<String>,
    /// The key of the checkpoints, and where they are kept.
    sandbox: Sandbox,
    managers: Vec<String>,
    /// A key that is revoked.
    revoked: (String, String),
}

#[derive(Default)]
struct Ledger {
    /// What was confirmed, and what may have happened.
    confirmed: Mutex<Vec<Change>>,
    unknown: AtomicU64,
    /// Requests with the revoked key.
    refused: AtomicU64,
    is_over: AtomicBool,
}

impl Ledger {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    fn note(&self, is_confirmed: bool, action: &'static str, subject: &str) -> bool {
        if is_confirmed {
            self.confirmed.lock().unwrap().push((action, subject.to_owned()));
        } else {
            self.unknown.fetch_add(1, Ordering::Relaxed);
        }
        is_confirmed
    }

    fn count(&self) -> u64 {
        self.confirmed.lock().unwrap().len() as u64
    }
}

impl Given {
    fn start() -> Self {
        let (server, sandbox) = (Postgres::start(), Sandbox::new());
        let database = server.database();
        let key = sandbox.path("audit.key");
        // The tables are made by the first gateway.
        let mut first = Gateway::start_on(&database, "http://127.0.0.1:9", &[]);
        first.admin(&["audit", "key", "--create", key.to_str().unwrap()]).expect_code(0);
        first.end(Signal::TERM);
        let settings = [
            format!("audit-key-file={}", key.display()),
            format!("audit-checkpoint-file={}", sandbox.path("checkpoints.txt").display()),
        ];
        let more: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let place = std::process::id().to_be_bytes();
        let gateways: Vec<Gateway> = (0..3)
            .map(|number| {
                // Each has a loopback address of its own, so that nobody takes its port while it is down.
                let listen = format!("127.{}.{}.{}:0", 140 + 10 * number + (place[1] & 7), place[2], place[3].max(1));
                let name = format!("replica-name=r{number}");
                let more = [&more[..], &["--set", &name]].concat();
                Gateway::start_replica(&database, "http://127.0.0.1:9", &listen, &more)
            })
            .collect();
        let managers = (0..2).map(|number| manager(&gateways[0], &format!("ada{number}"))).collect();
        let addresses = gateways.iter().map(Gateway::address).collect();
        let gateways = gateways.into_iter().map(Mutex::new).collect();
        let mut given = Self { server, database, gateways, addresses, sandbox, managers, revoked: Default::default() };
        let id = "key_crashesrevoked".to_owned();
        let body = json!({ "id": id, "name": "revoked" }).to_string();
        let made = given.ask(0, "POST", "/api/user/keys", &given.managers[0], &body).unwrap();
        assert_eq!(made.status, 201, "{}", made.text());
        assert_eq!(given.ask(0, "DELETE", &path_of(&id), &given.managers[0], "").unwrap().status, 200);
        given.revoked = (id, made.json()["key"].as_str().unwrap().to_owned());
        given
    }

    fn gateway(&self, number: usize) -> MutexGuard<'_, Gateway> {
        self.gateways[number].lock().unwrap()
    }

    /// The whole answer; `None` where it broke off or there was none.
    fn ask(&self, number: usize, method: &str, target: &str, key: &str, body: &str) -> Option<Answer> {
        let address = &self.addresses[number % self.addresses.len()];
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        Answer::parse(&bytes).ok()
    }

    /// Makes keys and revokes every second one, each time at another gateway.
    fn change_keys(&self, ledger: &Ledger, manager: usize) {
        for number in manager.. {
            if !ledger.goes_on() {
                return;
            }
            let (id, key) = (format!("key_crash{manager}x{number:06}"), &self.managers[manager]);
            let body = json!({ "id": id, "name": "crash", "scopes": ["models:read"] }).to_string();
            let answer = self.ask(number, "POST", "/api/user/keys", key, &body);
            let status = answer.as_ref().map(|answer| answer.status);
            assert!(status.is_none_or(|status| status == 201 || status >= 500), "{}", answer.unwrap().text());
            if !ledger.note(status == Some(201), "key.created", &id) {
                wait();
            } else if number % 2 == 0 {
                let answer = self.ask(number + 1, "DELETE", &path_of(&id), key, "");
                let status = answer.as_ref().map(|answer| answer.status);
                // A gateway may not know the key yet, or not be able to ask.
                assert!(status.is_none_or(|status| matches!(status, 200 | 404 | 500..)), "{}", answer.unwrap().text());
                ledger.note(status == Some(200), "key.revoked", &id);
            }
        }
    }

    /// Adds people, gives them another role and a device, with commands that use the database.
    fn change_people(&self, ledger: &Ledger) {
        let run = |args: &[&str], stdin: &str| {
            let all = [&["gateway"], args, &["--database", &self.database]].concat();
            self.sandbox.command(all).stdin(stdin).run().code() == 0
        };
        for number in 0.. {
            if !ledger.goes_on() {
                return;
            }
            let name = format!("person-{number}");
            if !ledger.note(run(&["user", "add", &name], "correct horse battery\n"), "user.created", &name) {
                wait();
                continue;
            }
            ledger.note(run(&["user", "role", &name, "viewer"], ""), "user.role", &name);
            if let Ok(seed) = u8::try_from(number + 1) {
                let key = TestDevice::new(seed).key();
                let args = ["device", "add", &key.line, "--user", &name, "--name", "laptop"];
                ledger.note(run(&args, ""), "device.added", &key.fingerprint);
            }
        }
    }

    /// Asks with a key that is revoked.
    fn be_refused(&self, ledger: &Ledger) {
        for number in 0.. {
            if !ledger.goes_on() {
                return;
            }
            ledger.refused.fetch_add(1, Ordering::Relaxed);
            let answer = self.ask(number, "GET", "/api/tags", &self.revoked.1, "");
            let status = answer.as_ref().map(|answer| answer.status);
            assert!(status.is_none_or(|status| status == 401 || status >= 500), "{}", answer.unwrap().text());
            wait();
        }
    }

    /// Kills a gateway or the database, one after the other.
    fn kill(&self, ledger: &Ledger, time: Duration) {
        let end = Instant::now() + time;
        for number in 0_usize.. {
            if number >= 2 * KILLS && Instant::now() >= end {
                return;
            }
            let before = ledger.count();
            let deadline = Instant::now() + DEADLINE;
            while ledger.count() < before + BETWEEN {
                assert!(Instant::now() < deadline, "no change is confirmed any more, after {number} kills");
                wait();
            }
            // So that each time a checkpoint is due: the last one is five minutes old.
            self.server.sql(&self.database, "UPDATE audit_checkpoints SET made_at = made_at - 400");
            if number % 2 == 0 {
                let mut gateway = self.gateway((number / 2) % 3);
                gateway.end(Signal::KILL);
                gateway.restart();
            } else {
                self.server.end("KILL");
                self.server.start_again();
            }
        }
    }
}

/// Between two looks at something that announces itself nowhere.
fn wait() {
    std::thread::sleep(Duration::from_millis(20));
}

fn path_of(id: &str) -> String {
    use base64::Engine as _;
    format!("/api/user/keys/{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id))
}

/// An account with an API key that manages keys.
fn manager(gateway: &Gateway, name: &str) -> String {
    gateway.add_user(name, "admin");
    let device = gateway.device_added_to(name);
    gateway.key(&device, &["manager", "--scope", "inference,models:read,keys", "--expires", "never"])
}

#[test]
#[allow(clippy::print_stderr, reason = "figures for whoever runs it by hand")]
fn each_confirmed_change_has_one_record_while_gateways_and_database_are_killed() {
    let seconds = std::env::var("AUDIT_CRASH_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let (given, ledger) = (Given::start(), Ledger::default());
    std::thread::scope(|scope| {
        for manager in 0..given.managers.len() {
            let (given, ledger) = (&given, &ledger);
            scope.spawn(move || given.change_keys(ledger, manager));
        }
        scope.spawn(|| given.change_people(&ledger));
        scope.spawn(|| given.be_refused(&ledger));
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            given.kill(&ledger, Duration::from_secs(seconds));
        }));
        // Also after a failure: otherwise the others would never end.
        ledger.is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = killed {
            std::panic::resume_unwind(panic);
        }
    });
    for gateway in &given.gateways {
        gateway.lock().unwrap().end(Signal::TERM);
    }
    let found = assert_verified(&given);
    assert_recorded(&given, &ledger);
    let (confirmed, unknown) = (ledger.count(), ledger.unknown.load(Ordering::Relaxed));
    eprintln!("confirmed: {confirmed} changes, unknown: {unknown}; {}", found["logs"]);
}

/// The log is good, and extends all checkpoints of the run.
fn assert_verified(given: &Given) -> Value {
    let (key, kept) = (given.sandbox.path("audit.key"), given.sandbox.path("checkpoints.txt"));
    let set = format!("audit-key-file = \"{}\"\n", key.display());
    let config = given.sandbox.write("verify.toml", set);
    std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let args = ["gateway", "audit", "verify", "--json", "--database", &given.database, "--config"];
    let command = given.sandbox.command(args).args([&config]).args(["--checkpoints"]).args([&kept]);
    let found = command.run().expect_code(0).json();
    let text = std::fs::read_to_string(&kept).unwrap();
    let roots: HashSet<&str> = text.split("\n\n").filter_map(|note| note.lines().next_back()).collect();
    assert!(roots.len() >= KILLS, "too few checkpoints: {text}");
    assert_eq!(found["logs"].as_array().unwrap().len(), 1);
    assert!(found["logs"][0]["proven_until"].as_u64().unwrap() > 0);
    found
}

/// What was confirmed is in the log, and nothing is twice.
fn assert_recorded(given: &Given, ledger: &Ledger) {
    let rows = given.server.sql(&given.database, "SELECT action, subject, count(*) FROM events GROUP BY 1, 2");
    let mut counts = HashMap::new();
    for row in rows.lines() {
        let parts: Vec<&str> = row.split('|').collect();
        counts.insert((parts[0], parts[1]), parts[2].parse::<u64>().unwrap());
    }
    let confirmed = ledger.confirmed.lock().unwrap();
    let missing: Vec<&Change> =
        confirmed.iter().filter(|(action, subject)| !counts.contains_key(&(*action, &**subject))).collect();
    assert!(missing.is_empty(), "confirmed, and not in the log: {missing:?}");
    let once = ["key.created", "key.revoked", "user.created", "user.role", "device.added"];
    let twice: Vec<_> = counts.iter().filter(|((action, _), count)| once.contains(action) && **count > 1).collect();
    assert!(twice.is_empty(), "in the log more than once: {twice:?}");
    for action in once {
        assert!(confirmed.iter().any(|(confirmed, _)| *confirmed == action), "no {action} was confirmed");
    }
    // A refusal has the id of its request.
    let same = "SELECT count(*) FROM (SELECT record FROM events GROUP BY record HAVING count(*) > 1) AS same";
    assert_eq!(given.server.sql(&given.database, same), "0", "the same event twice");
    let refused = format!(
        "SELECT coalesce(sum(count), 0) FROM events WHERE subject = '{}' AND code IS NOT NULL",
        given.revoked.0
    );
    let refused: u64 = given.server.sql(&given.database, &refused).parse().unwrap();
    let sent = ledger.refused.load(Ordering::Relaxed);
    assert!((1..=sent).contains(&refused), "{refused} refusals of {sent} requests");
}
