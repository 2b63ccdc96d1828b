//! From which addresses the gateway, a role, a person and a key are accepted, also behind proxies; and what those who are refused are told.

mod keys;
mod pages;
mod streams;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::gateway_limits::upstream::Upstream;
use crate::harness::DEADLINE;
use crate::harness::cmd::{PROGRAM, Sandbox};
use crate::harness::gateway::{Answer, Gateway};

const PROXY: &str = "trusted-proxies = [\"127.0.0.1\"]\n";
const LISTS: &str =
    "allow = [\"10.0.0.0/8\", \"2001:db8::/32\", \"127.0.0.1\"]\ndeny = [\"10.9.0.0/16\", \"2001:db8:9::/48\"]\n";

/// A gateway behind a proxy at 127.0.0.1, an administrator `root`, a person `ada`, and a device of hers.
struct Given {
    gateway: Gateway,
    upstream: Upstream,
    device: Sandbox,
    file: PathBuf,
    _folder: Sandbox,
}

impl Given {
    fn start(tables: &str) -> Self {
        let (folder, upstream) = (Sandbox::new(), Upstream::start());
        let file = folder.write("gateway.toml", format!("{PROXY}{tables}"));
        let gateway = Gateway::start_with(upstream.url(), &["--config", file.to_str().unwrap()]);
        gateway.add_user("root", "admin").add_user("ada", "member");
        let device = gateway.device_added_to("ada");
        Self { gateway, upstream, device, file, _folder: folder }
    }

    /// Other tables, and what the log says of them.
    fn reload(&self, tables: &str) -> String {
        self.gateway.reload(&self.file, &format!("{PROXY}{tables}"))
    }

    fn key(&self, args: &[&str]) -> Value {
        let args = [&["keys", "create", "k", "--json", "--scope=inference,models:read,keys"], args].concat();
        self.device.command(args).run().expect_code(0).json()
    }

    /// A request through the proxy.
    fn ask(&self, key: &Value, from: &str, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [&*header(key), &*forwarded(from), "Content-Type: application/json"];
        self.gateway.ask(method, path, &headers, &body)
    }

    fn status(&self, key: &Value, from: &str) -> u16 {
        self.ask(key, from, "GET", "/api/tags", &Value::Null).status
    }

    fn admin(&self, args: &[&str]) -> Value {
        self.gateway.admin(&[args, &["--json"]].concat()).expect_code(0).json()
    }

    /// The refusals with the code `address`, once there are as many.
    fn refusals(&self, count: usize) -> Vec<Value> {
        crate::harness::poll("events of refused addresses", || {
            let events =
                self.admin(&["audit", "--code", "address", "--limit", "1000"])["events"].as_array().unwrap().clone();
            (events.len() >= count).then_some(events)
        })
    }
}

fn header(key: &Value) -> String {
    format!("Authorization: Bearer {}", key["key"].as_str().unwrap())
}

fn forwarded(from: &str) -> String {
    format!("X-Forwarded-For: {from}")
}

#[track_caller]
fn refused(answer: &Answer, says: &str) {
    let body = answer.json();
    let error = [&body["error"], &body["error"]["message"]].into_iter().find_map(Value::as_str).unwrap_or_default();
    assert_eq!((answer.status, error), (403, says), "{body}");
    assert_eq!(body["code"].as_str().or(body["error"]["code"].as_str()), Some("address"), "{body}");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert!(!["::/32", "/8", "/48", "/16"].iter().any(|list| answer.text().contains(list)), "no list is told: {body}");
}

/// A request from another address of this machine, which is no proxy.
fn ask_from(gateway: &Gateway, address: [u8; 4], lines: &[&str]) -> Answer {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from((address, 0)).into()).unwrap();
    let to: std::net::SocketAddr = gateway.address().parse().unwrap();
    socket.connect(&to.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let lines = lines.iter().map(|line| format!("{line}\r\n")).collect::<String>();
    let request = format!("GET /api/tags HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{lines}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    Answer::parse(&answer).unwrap()
}

#[test]
fn each_list_refuses_what_it_denies_or_does_not_allow() {
    let given = Given::start("");
    let key = given.key(&[]);
    let of_key = given.key(&["--from", "10.0.0.0/8,2001:db8::/32", "--from", "::ffff:127.0.0.1"]);
    let cases = [
        ("10.1.2.3", [true, true]),
        ("::ffff:10.1.2.3", [true, true]),
        ("[::ffff:10.1.2.3]:99", [true, true]),
        ("2001:db8::1", [true, true]),
        ("127.0.0.1", [true, true]),
        ("10.9.0.1", [false, true]),
        ("::ffff:10.9.0.1", [false, true]),
        ("2001:db8:9::1", [false, true]),
        ("11.0.0.1", [false, false]),
        ("::ffff:11.0.0.1", [false, false]),
        ("2001:db9::1", [false, false]),
        ("::1", [false, false]),
    ];
    let check = |key: &Value, which: usize, what: &str| {
        for (address, accepted) in cases {
            let canonical = address.trim_start_matches('[').trim_end_matches("]:99").trim_start_matches("::ffff:");
            for path in ["/api/tags", "/v1/models", "/api/user/keys"] {
                let answer = given.ask(key, address, "GET", path, &Value::Null);
                match accepted[which] {
                    true => assert_eq!(answer.status, 200, "{what} {address} {path}: {}", answer.text()),
                    false => refused(&answer, &format!("{what} is not accepted from {canonical}")),
                }
            }
        }
    };
    assert!(cases.iter().all(|(address, _)| given.status(&key, address) == 200), "without a list");
    check(&of_key, 1, "this API key");
    // What the proxy adds counts, and not what a caller wrote before that.
    let added = given.ask(&of_key, "10.1.2.3, 11.0.0.1", "GET", "/api/tags", &Value::Null);
    refused(&added, "this API key is not accepted from 11.0.0.1");

    given.reload(&format!("[roles.member.addresses]\n{LISTS}"));
    check(&key, 0, "the role member of this account");
    given.reload("");
    let lists = ["--allow", "10.0.0.0/8,2001:db8::/32", "--allow=127.0.0.1", "--deny=10.9.0.0/16,2001:db8:9::/48"];
    given.admin(&[&["user", "addresses", "ada"][..], &lists].concat());
    check(&key, 0, "this account");
    given.admin(&["user", "addresses", "ada", "--clear"]);
    assert_eq!(given.status(&key, "11.0.0.1"), 200);

    given.reload(&format!("[addresses]\n{LISTS}"));
    for (address, [accepted, _]) in cases {
        assert_eq!(given.status(&key, address), if accepted { 200 } else { 403 }, "{address}");
    }
    for (method, path) in [
        ("GET", "/api/tags"),
        ("POST", "/api/chat"),
        ("POST", "/v1/messages"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/api/me"),
        ("GET", "/"),
        ("GET", "/api/version"),
        ("GET", "/nonsense"),
        ("OPTIONS", "/api/chat"),
    ] {
        // Also without a credential, and with a wrong one.
        for credential in [&*header(&key), "Accept: */*", "Authorization: Bearer olauth_wrong"] {
            let answer = given.gateway.ask(method, path, &[credential, &forwarded("::ffff:11.0.0.1")], "");
            refused(&answer, "this gateway accepts no requests from 11.0.0.1");
        }
    }
    for probe in ["/healthz", "/readyz"] {
        let answer = given.gateway.ask("GET", probe, &[&forwarded("11.0.0.1")], "");
        assert_ne!(answer.status, 403, "{probe}");
    }
}

#[test]
fn an_untrusted_peer_cannot_claim_an_address() {
    let given = Given::start("[addresses]\nallow = [\"127.0.0.1\", \"127.0.0.2\", \"10.0.0.0/8\"]\n");
    let key = given.key(&["--from", "10.0.0.0/8"]);
    assert_eq!(given.status(&key, "10.1.2.3"), 200);
    let [header, claimed] = [header(&key), forwarded("10.1.2.3")];
    refused(
        &ask_from(&given.gateway, [127, 0, 0, 2], &[&header, &claimed]),
        "this API key is not accepted from 127.0.0.2",
    );
    refused(
        &ask_from(&given.gateway, [127, 0, 0, 3], &[&header, &claimed]),
        "this gateway accepts no requests from 127.0.0.3",
    );
    // Nor does a claim take it from the addresses that are accepted.
    given.admin(&["user", "addresses", "ada", "--deny", "10.1.0.0/16"]);
    let other = given.key(&["--from", "127.0.0.2"]);
    let answer = ask_from(&given.gateway, [127, 0, 0, 2], &[&self::header(&other), &claimed]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    // A trusted proxy is an address as any other, if it forwards none.
    let alone = given.gateway.ask("GET", "/api/tags", &[&header], "");
    refused(&alone, "this API key is not accepted from 127.0.0.1");
}

#[test]
fn a_gateway_on_ipv6_knows_its_callers() {
    let upstream = Upstream::start();
    for (lists, status) in [
        ("allow = [\"::1\"]", 200),
        ("allow = [\"::/0\"]", 200),
        ("allow = [\"127.0.0.0/8\", \"::ffff:0:0/96\"]", 403),
        ("deny = [\"::/64\"]", 403),
    ] {
        let sandbox = Sandbox::new();
        let file = sandbox.write("gateway.toml", format!("[addresses]\n{lists}\n"));
        let args = ["--config", file.to_str().unwrap(), "--upstream", upstream.url()];
        let gateway = Gateway::start_program(Path::new(PROGRAM), sandbox, "[::1]:0", &args);
        assert_eq!(gateway.ask("GET", "/api/status", &[], "").status, status, "{lists}");
    }
}

#[test]
fn a_refused_address_is_an_event_and_many_are_counted_together() {
    let given = Given::start("");
    let key = given.key(&["--from", "10.0.0.0/8"]);
    given.ask(&key, "11.0.0.1", "POST", "/api/chat", &json!({}));
    let event = &given.refusals(1)[0];
    let wanted = ["credential.refused", "ada", "11.0.0.1", "this API key is not accepted from 11.0.0.1"];
    let told = [&event["action"], &event["account"], &event["address"], &event["details"]["reason"]];
    assert_eq!(told, wanted.map(|text| json!(text)).each_ref(), "{event:#}");
    assert_eq!(
        (&event["subject"], &event["actor"]),
        (&key["id"], &json!(format!("key:{}", key["id"].as_str().unwrap())))
    );

    given.reload("[addresses]\nallow = [\"127.0.0.1\"]\n");
    for network in 0..400 {
        given.gateway.ask("GET", "/api/tags", &[&forwarded(&format!("2001:db8:{network}::1"))], "");
        given.gateway.ask("GET", "/api/tags", &[&forwarded("192.0.2.1")], "");
    }
    let refused = |event: &&Value| event["action"] == "address.refused";
    let events = crate::harness::poll("the events of strangers", || {
        let events = given.refusals(256);
        let shared = events.iter().any(|event| event["subject"] == "(several)");
        shared.then_some(events)
    });
    let count = events.iter().filter(refused).count();
    assert!((200..=258).contains(&count), "{count}");
    assert!(events.iter().filter(refused).all(|event| event["account"].is_null()), "{events:#?}");
}

#[test]
fn bad_lists_are_refused_and_change_nothing() {
    let given = Given::start("[roles.member.addresses]\nallow = [\"10.0.0.0/8\", \"127.0.0.1\"]\n");
    let key = given.key(&[]);
    let many = (0..65).map(|at| format!("\"10.0.{at}.0/24\"")).collect::<Vec<_>>().join(",");
    for (tables, says) in [
        ("[addresses]\nallow = [\"10.0.0.1/8\"]", "10.0.0.1/8 has host bits set: use 10.0.0.0/8"),
        ("[addresses]\ndeny = [\"::ffff:10.0.0.1/104\"]", "has host bits set: use 10.0.0.0/8"),
        ("[addresses]\nallow = [\"gpu.example.com\"]", "addresses.allow must be a list of networks and addresses"),
        ("[addresses]\nalow = [\"10.0.0.0/8\"]", "unknown setting"),
        ("[addresses]\nallow = []", "no address would be accepted; for all addresses, leave it out"),
        ("[addresses]\ndeny = [\"0.0.0.0/0\", \"::/0\"]", "no address would be accepted"),
        (
            "[roles.member.addresses]\nallow = [\"10.1.0.0/16\"]\ndeny = [\"10.0.0.0/8\"]",
            "no address would be accepted",
        ),
        (&format!("[roles.member.addresses]\nallow = [{many}]"), "there are more than 64 networks"),
    ] {
        let log = given.reload(tables);
        assert!(log.contains("cannot reload the configuration") && log.contains(says), "{tables}: {log}");
        assert_eq!([given.status(&key, "10.0.0.1"), given.status(&key, "11.0.0.1")], [200, 403], "{tables}");
    }
    let wrong = |args: &[&str], says: &str| {
        let output = given.gateway.admin(&[&["user", "addresses"], args].concat()).expect_code(2);
        assert!(output.stderr().contains(says), "{args:?}: {}", output.stderr());
    };
    wrong(&["ada", "--allow", "10.0.0.1/8"], "10.0.0.1/8 has host bits set: use 10.0.0.0/8");
    wrong(&["ada", "--allow", "10.0.0.0/8", "--deny", "10.0.0.0/8"], "no address would be accepted");
    wrong(&["ada", "--clear", "--deny", "10.0.0.0/8"], "--clear");
    wrong(&["ada"], "--allow");
    wrong(&["ada", "--clear", "--reason", "a\nb"], "invalid reason");
    let unknown = given.gateway.admin(&["user", "addresses", "eve", "--clear"]).expect_code(3);
    assert!(unknown.stderr().contains("there is no user \"eve\""), "{}", unknown.stderr());
}

#[test]
fn the_lists_of_a_person_are_shown_recorded_and_kept() {
    let mut given = Given::start("");
    let key = given.key(&["--from", "10.0.0.0/8,127.0.0.1"]);
    let lists = ["--allow", "::ffff:10.0.0.0/104", "--deny", "10.9.1.1", "--reason", "office only"];
    let set = given.admin(&[&["user", "addresses", "ada"][..], &lists].concat());
    let wanted = json!({ "allow": ["10.0.0.0/8"], "deny": ["10.9.1.1/32"] });
    assert_eq!(set["addresses"], wanted, "{set:#}");
    // Once more is no event.
    given.admin(&[&["user", "addresses", "ada"][..], &lists].concat());
    let events = given.admin(&["audit", "--action", "user.addresses"])["events"].clone();
    let details = json!({ "allow": ["10.0.0.0/8"], "deny": ["10.9.1.1/32"], "reason": "office only" });
    assert_eq!((events.as_array().unwrap().len(), &events[0]["details"]), (1, &details), "{events:#}");
    assert_eq!((&events[0]["actor"], &events[0]["account"]), (&json!("admin"), &json!("ada")));
    let table = given.gateway.admin(&["user", "list"]).expect_code(0);
    assert!(table.stdout().contains("10.0.0.0/8"), "{}", table.stdout());
    given.gateway.end(Signal::TERM);
    given.gateway.restart();
    assert_eq!(["10.1.1.1", "10.9.1.1", "127.0.0.1"].map(|from| given.status(&key, from)), [200, 403, 403]);

    // A copy of the database has them.
    given.gateway.end(Signal::TERM);
    let sandbox = given.gateway.sandbox();
    let (from, to) = (given.gateway.database(), sandbox.path("copy.db"));
    let to = to.to_str().unwrap();
    sandbox.command(["gateway", "db", "copy", from.to_str().unwrap(), to]).run().expect_code(0);
    let listed =
        |what: &str| sandbox.command(["gateway", what, "list", "--json", "--database", to]).run().expect_code(0).json();
    let users = listed("user")["users"].as_array().unwrap().clone();
    let ada = users.iter().find(|user| user["name"] == "ada").unwrap();
    assert_eq!(
        (&ada["addresses"], &listed("key")["keys"][0]["from"]),
        (&wanted, &json!(["10.0.0.0/8", "127.0.0.1/32"]))
    );
    // Without a gateway the command changes the file.
    let clear = ["gateway", "user", "addresses", "ada", "--clear", "--database", to];
    let cleared = sandbox.command(clear).run().expect_code(0);
    assert!(cleared.stderr().contains("ada is now accepted from every address"), "{}", cleared.stderr());
    let users = listed("user")["users"].as_array().unwrap().clone();
    assert!(users.iter().all(|user| user["addresses"] == json!({ "allow": [], "deny": [] })), "{users:#?}");
}
