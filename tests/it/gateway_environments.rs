//! Environments: which key is accepted at which name or listener, by which rules, and what becomes of both when the configuration changes.

mod keys;
mod listeners;
mod streams;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::gateway_limits::upstream::{Mode, Upstream};
use crate::harness::DEADLINE;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::set_clock::SetClock;

const PROD_HOST: &str = "prod.example";
const STAGING_HOST: &str = "staging.example";
const BOTH: &str = "[environments.prod]\nhosts = [\"prod.example\"]\n\
                    [environments.staging]\nhosts = [\"staging.example\", \"s.example:8443\"]\n";

/// A gateway with a configuration file, an administrator `root`, and a device of ada's.
struct Given {
    gateway: Gateway,
    upstream: Upstream,
    device: Sandbox,
    file: PathBuf,
    _folder: Sandbox,
}

impl Given {
    fn start(tables: &str) -> Self {
        Self::start_within(tables, "member", None)
    }

    fn start_within(tables: &str, role: &str, clock: Option<&SetClock>) -> Self {
        let (folder, upstream) = (Sandbox::new(), Upstream::start());
        let file = folder.write("gateway.toml", tables);
        let args = ["--config", file.to_str().unwrap()];
        let gateway = match clock {
            Some(clock) => Gateway::start_with_within(upstream.url(), &args, &clock.line()),
            None => Gateway::start_with(upstream.url(), &args),
        };
        gateway.add_user("root", "admin").add_user("ada", role);
        let device = gateway.device_added_to("ada");
        Self { gateway, upstream, device, file, _folder: folder }
    }

    /// Another configuration, and what the log says of it.
    fn reload(&self, tables: &str) -> String {
        self.gateway.reload(&self.file, tables)
    }

    /// A key that ada's device makes, with that label; none if it is empty.
    fn key(&self, label: &str) -> Value {
        let env = if label.is_empty() { vec![] } else { vec!["--env", label] };
        self.key_with(&env)
    }

    fn key_with(&self, args: &[&str]) -> Value {
        let scopes = ["keys", "create", "k", "--json", "--scope", "inference,models:read,keys"];
        let made = self.device.command(scopes).args(args);
        made.run().expect_code(0).json()
    }

    /// Makes a key by another one.
    fn make(&self, by: &Value, body: &Value) -> Answer {
        let headers = [&*header(by), "Content-Type: application/json"];
        self.gateway.ask("POST", "/api/user/keys", &headers, &body.to_string())
    }

    /// Runs a model at a name.
    fn run_at(&self, host: &str, credential: &str) -> Answer {
        self.ask_at(&self.gateway.address(), host, "POST", "/api/chat", credential)
    }

    /// Any request, on a connection to that address.
    fn ask_at(&self, address: &str, host: &str, method: &str, path: &str, credential: &str) -> Answer {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let body = if method == "POST" { "{}" } else { "" };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{credential}\r\n");
        stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Answer::parse(&answer).unwrap_or_else(|error| panic!("{path}: {error}: {:?}", String::from_utf8_lossy(&answer)))
    }

    /// Runs a model at a name, signed by the device.
    fn run_signed_at(&self, host: &str) -> Answer {
        let args = ["token", "POST", "/api/chat", "--json", "--host", &self.gateway.url()];
        let signed = self.device.command(args).run().expect_code(0).json();
        let path = signed["url"].as_str().unwrap().strip_prefix(&self.gateway.url()).unwrap();
        let header = format!("Authorization: {}", signed["value"].as_str().unwrap());
        self.ask_at(&self.gateway.address(), host, "POST", path, &header)
    }

    fn begin_at(&self, host: &str, key: &Value) -> TcpStream {
        let mut stream = TcpStream::connect(self.gateway.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!("POST /api/chat HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{}\r\n", header(key));
        stream.write_all(format!("{head}Content-Length: 2\r\n\r\n{{}}").as_bytes()).unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream
    }

    /// The events with that code, once there is one.
    fn events(&self, code: &str) -> Vec<Value> {
        crate::harness::poll(code, || {
            let events = self.gateway.admin(&["audit", "--code", code, "--json"]).expect_code(0).json();
            let events = events["events"].as_array().unwrap().clone();
            (!events.is_empty()).then_some(events)
        })
    }
}

fn header(key: &Value) -> String {
    format!("Authorization: Bearer {}", key["key"].as_str().unwrap())
}

/// The code in an error, whichever API's form it has.
fn code(answer: &Answer) -> String {
    let body = answer.json();
    body["code"].as_str().or(body["error"]["code"].as_str()).unwrap_or_default().to_owned()
}

#[test]
fn a_key_is_accepted_at_the_names_of_its_environment_and_of_none() {
    let given = Given::start(BOTH);
    let keys = ["prod", "staging", "ci", ""].map(|label| (label, given.key(label)));
    let public = given.gateway.address();
    // For each name, whether it accepts unlabelled credentials.
    for open in ["", "prod", "staging"] {
        let tables = match open {
            "" => BOTH.to_owned(),
            open => BOTH.replace(
                &format!("[environments.{open}]\n"),
                &format!("[environments.{open}]\nallow-unlabelled = true\n"),
            ),
        };
        given.reload(&tables);
        for (host, environment) in
            [(PROD_HOST, "prod"), (STAGING_HOST, "staging"), ("s.example:8443", "staging"), (&*public, "")]
        {
            for (label, key) in &keys {
                let is_labelled = matches!(*label, "prod" | "staging");
                let accepted = environment.is_empty() || *label == environment || (!is_labelled && environment == open);
                let answer = given.run_at(host, &header(key));
                let wanted = if accepted { (200, "") } else { (403, "environment") };
                let got = (answer.status, if accepted { String::new() } else { code(&answer) });
                assert_eq!((got.0, &*got.1), wanted, "{label:?} at {host}, open: {open:?}: {}", answer.text());
            }
            let device = given.run_signed_at(host);
            let accepted = environment.is_empty() || environment == open;
            assert_eq!(device.status, if accepted { 200 } else { 403 }, "a device at {host}, open: {open:?}");
        }
    }
    // Every route that needs a credential, and what asks whether a key is good.
    let staging = header(&keys[1].1);
    for (method, path) in
        [("GET", "/api/tags"), ("GET", "/api/user/keys"), ("POST", "/api/me"), ("GET", "/"), ("GET", "/api/version")]
    {
        let refused = given.ask_at(&public, PROD_HOST, method, path, &staging);
        assert_eq!((refused.status, &*code(&refused)), (403, "environment"), "{path}: {}", refused.text());
    }
    let refused = given.ask_at(&public, PROD_HOST, "POST", "/v1/chat/completions", &staging);
    assert_eq!(refused.json()["error"]["code"], "environment", "{}", refused.text());
    let anthropic = given.ask_at(&public, PROD_HOST, "POST", "/v1/messages", &staging);
    assert!(anthropic.status == 403 && anthropic.json()["type"] == "error", "{}", anthropic.text());
    // It is a security event, with the key and who it belongs to.
    let of_key = crate::harness::poll("the event of the key", || {
        given.events("environment").into_iter().find(|event| event["subject"] == keys[1].1["id"])
    });
    assert_eq!((&of_key["action"], &of_key["account"]), (&json!("credential.refused"), &json!("ada")));
    assert!(of_key["details"]["reason"].as_str().unwrap().contains("for the environment staging, not for prod"));
}

#[test]
fn a_name_that_is_not_ours_leads_nowhere() {
    let given = Given::start(BOTH);
    let (key, public) = (given.key("staging"), given.gateway.address());
    for host in [
        "evil.example",
        "prod.example.evil.example",
        "prod.example.",
        "xprod.example",
        "s.example",
        "s.example:8444",
        "prod.example@staging.example",
        "staging.example/prod",
        "staging.example, prod.example",
        "",
    ] {
        let refused = given.run_at(host, &header(&key));
        assert!(matches!(refused.status, 400 | 403) && code(&refused).is_empty(), "{host}: {}", refused.text());
    }
    assert_eq!(given.run_at("STAGING.example:99", &header(&key)).status, 200);
    // Two names at once, in whichever order; and a request that names another one in its first line.
    for (one, other) in [(PROD_HOST, STAGING_HOST), (STAGING_HOST, PROD_HOST)] {
        let two = given.run_at(&format!("{one}\r\nHost: {other}"), &header(&key));
        assert_eq!(two.status, 400, "{}", two.text());
    }
    let absolute = given.ask_at(&public, PROD_HOST, "GET", &format!("http://{STAGING_HOST}/api/tags"), &header(&key));
    assert!(matches!(absolute.status, 400 | 403), "{}", absolute.text());
    // A proxy's header is no name.
    let forwarded = given.run_at(PROD_HOST, &format!("X-Forwarded-Host: {STAGING_HOST}\r\n{}", header(&key)));
    assert_eq!(code(&forwarded), "environment");
}

#[test]
fn pages_and_public_routes_are_at_every_name() {
    let given = Given::start(BOTH);
    let address = given.gateway.address();
    for host in [PROD_HOST, STAGING_HOST, &address] {
        for path in ["/login", "/", "/api/version", "/healthz"] {
            let answer = given.ask_at(&address, host, "GET", path, "Accept: */*");
            assert!(matches!(answer.status, 200 | 303), "{path} at {host}: {} {}", answer.status, answer.text());
        }
        // A form of its own page, and one of another name.
        let page = given.ask_at(&address, host, "GET", "/login", "Accept: text/html");
        let cookie = page.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let token =
            page.text().split("name=\"csrf\" value=\"").nth(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        let submit = |origin: &str| {
            let body = format!("csrf={}&name=ada&password=wrong", token.clone().unwrap_or_default());
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            let head = format!(
                "POST /login HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nCookie: {cookie}\r\nOrigin: {origin}\r\n"
            );
            let kind = "Content-Type: application/x-www-form-urlencoded";
            stream
                .write_all(format!("{head}{kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
                .unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            Answer::parse(&answer).unwrap()
        };
        let own = submit(&format!("http://{host}"));
        assert!(own.status != 403, "{host}: {} {}", own.status, own.text());
        assert_eq!(submit("http://other.example").status, 403, "{host}");
    }
    // A redirect stays at the name that was called.
    let key = header(&given.key("prod"));
    let redirect = given.ask_at(&address, PROD_HOST, "GET", "//api/tags", &key);
    assert_eq!((redirect.status, redirect.header("location")), (301, Some("/api/tags")));
}

#[test]
fn a_file_with_environments_that_overlap_changes_nothing() {
    let given = Given::start(BOTH);
    let key = given.key("staging");
    let twice = |line: &str| format!("[environments.a]\n{line}\n[environments.b]\n{line}\n");
    for (tables, says) in [
        (
            twice("hosts = [\"x.example\"]"),
            "the host name \"x.example\" of the environment b is also that of the environment a",
        ),
        (
            "[environments.a]\nhosts = [\"x.example:1\"]\n[environments.b]\nhosts = [\"X.example\"]\n".into(),
            "is also that of",
        ),
        (
            twice("listen = [\"127.0.0.1:18443\"]"),
            "the environment b listens at 127.0.0.1:18443, and so does the environment a",
        ),
        (
            "behind-tls-proxy = true\npublic-url = \"https://gpu.example\"\n[environments.a]\nlisten = [\"127.0.0.1:18443\"]\n[environments.b]\nlisten = [\"0.0.0.0:18443\"]\n".into(),
            "and so does",
        ),
        (
            "public-url = \"http://127.0.0.1:5\"\n[environments.a]\nhosts = [\"127.0.0.1\"]\n".into(),
            "also that of the setting public-url",
        ),
        (
            "allowed-hosts = [\"x.example\"]\n[environments.a]\nhosts = [\"x.example:1\"]\n".into(),
            "the setting allowed-hosts",
        ),
        ("[environments.a]\nhosts = [\"x/y\"]\n".into(), "environments.a.hosts must be a list of host names"),
        ("[environments.a.limits]\nstreams = 0\n".into(), "0 would refuse every request"),
        ("[environments.a.role-limits.member]\nstreams = 0\n".into(), "0 would refuse every request"),
        (
            "[environments.a.role-limits.research]\nstreams = 1\n".into(),
            "limits of the role research, which is not defined",
        ),
        ("[environments.a]\nhost = [\"x\"]\n".into(), "unknown setting \"host\""),
        ("[environments.a]\nmax-key-age = \"soon\"\n".into(), "a number of days from 1d to 3650d"),
        ("[environments.A]\n".into(), "use 1 to 32 of a-z, 0-9"),
        (
            "[environments.a.addresses]\nallow = [\"10.0.0.1/8\"]\n".into(),
            "10.0.0.1/8 has host bits set: use 10.0.0.0/8",
        ),
        (
            "[roles.member]\nenvironments = [\"gone\"]\n".into(),
            "the role member allows the environment gone, which is not defined",
        ),
        ("[environments.a]\nlisten = [\"0.0.0.0:18443\"]\n".into(), "0.0.0.0:18443"),
    ] {
        let log = given.reload(&tables);
        assert!(log.contains("cannot reload the configuration") && log.contains(says), "{tables}: {log}");
        assert_eq!(code(&given.run_at(PROD_HOST, &header(&key))), "environment", "{tables}");
    }
}

#[test]
fn an_environment_accepts_requests_from_its_addresses_only() {
    let tables = format!("{BOTH}[environments.prod.addresses]\ndeny = [\"127.0.0.0/8\"]\n");
    let given = Given::start(&tables);
    let (staging, prod) = (given.key("staging"), given.key("prod"));
    assert_eq!(given.run_at(STAGING_HOST, &header(&staging)).status, 200);
    // Also where the name means no environment: the key's own counts.
    for host in [PROD_HOST.to_owned(), given.gateway.address()] {
        let refused = given.run_at(&host, &header(&prod));
        assert_eq!((refused.status, &*code(&refused)), (403, "address"), "{host}: {}", refused.text());
    }
    assert!(!given.events("address").is_empty());
}
