//! Workloads: programs with a token of an issuer, what rules accept and grant them, and when that ends.

mod configuration;
mod exchange;
mod keys;
mod replicas;
mod rights;
mod rules;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::gateway_limits::upstream::Upstream;
use crate::harness::DEADLINE;
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::hostile_issuer::HostileIssuer;
use crate::harness::set_clock::SetClock;

/// What the tokens are for.
const AUDIENCE: &str = "https://gpu.example.com";
/// What most rules demand.
const CLAIMS: &str = "{ project = \"app\" }";

/// A rule of that issuer, with more lines.
fn rule(name: &str, issuer: &HostileIssuer, claims: &str, more: &str) -> String {
    format!(
        "[[workload]]\nname = \"{name}\"\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\nclaims = {claims}\n{}{more}\n",
        issuer.issuer(),
        if more.contains("scopes") { "" } else { "scopes = [\"inference\", \"models:read\"]\n" },
    )
}

/// A gateway with a configuration file, an issuer, and an administrator `root`.
struct Given {
    issuer: HostileIssuer,
    gateway: Gateway,
    upstream: Upstream,
    file: PathBuf,
    _folder: Sandbox,
}

impl Given {
    /// With the tables that are made for the issuer.
    fn start(tables: impl FnOnce(&HostileIssuer) -> String) -> Self {
        Self::start_within(tables, None)
    }

    fn start_within(tables: impl FnOnce(&HostileIssuer) -> String, clock: Option<&SetClock>) -> Self {
        let (folder, upstream, issuer) = (Sandbox::new(), Upstream::start(), HostileIssuer::start());
        let file = folder.write("gateway.toml", tables(&issuer));
        let args = ["--config", file.to_str().unwrap()];
        let gateway = match clock {
            Some(clock) => Gateway::start_with_within(upstream.url(), &args, &clock.line()),
            None => Gateway::start_with(upstream.url(), &args),
        };
        gateway.add_user("root", "admin");
        Self { issuer, gateway, upstream, file, _folder: folder }
    }

    /// With the usual rule, called `deploy`, and more lines of it.
    fn usual(more: &str) -> Self {
        Self::start(|issuer| rule("deploy", issuer, CLAIMS, more))
    }

    /// Another configuration, and what the log says of it.
    fn reload(&self, tables: &str) -> String {
        self.gateway.reload(&self.file, tables)
    }

    /// A token of the usual project, with more claims.
    fn token(&self, claims: &Value) -> String {
        let mut all = json!({ "aud": AUDIENCE, "project": "app", "sub": "project:app", "run_id": "42" });
        all.as_object_mut().unwrap().extend(claims.as_object().cloned().unwrap());
        self.issuer.token(all)
    }

    /// A request with a token or a key.
    fn ask(&self, credential: &str, method: &str, target: &str, body: &Value) -> Answer {
        let header = bearer(credential);
        let headers = [&*header, "Content-Type: application/json"];
        self.gateway.ask(method, target, &headers, &if body.is_null() { String::new() } else { body.to_string() })
    }

    /// The status of a question that the gateway answers itself.
    fn status(&self, credential: &str) -> u16 {
        self.me(credential).status
    }

    /// The same with a token that has these claims.
    fn status_with(&self, claims: &Value) -> u16 {
        self.status(&self.token(claims))
    }

    fn chat(&self, credential: &str, model: &str) -> Answer {
        self.ask(credential, "POST", "/api/chat", &json!({ "model": model }))
    }

    fn me(&self, credential: &str) -> Answer {
        self.ask(credential, "POST", "/api/me", &Value::Null)
    }

    /// Exchanges a token.
    fn exchange(&self, token: &str, body: &Value) -> Answer {
        self.ask(token, "POST", "/api/user/keys", body)
    }

    /// Begins a response that does not end, and reads its beginning.
    fn begin(&self, credential: &str, model: &str) -> TcpStream {
        let body = json!({ "model": model }).to_string();
        let mut stream = TcpStream::connect(self.gateway.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let (host, length) = (self.gateway.address(), body.len());
        let head =
            format!("POST /api/chat HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{}\r\n", bearer(credential));
        stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes()).unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream
    }

    /// The latest event with that code or action.
    fn event(&self, filter: [&str; 2]) -> Value {
        crate::harness::poll(filter[1], || {
            let args = ["audit", filter[0], filter[1], "--json"];
            let events = self.gateway.admin(&args).expect_code(0).json();
            events["events"].as_array().unwrap().first().cloned()
        })
    }

    /// `gateway workload explain` of a token.
    fn explain(&self, token: &str) -> Output {
        let file = self.gateway.sandbox().write("token", token);
        let args = ["gateway", "workload", "explain", file.to_str().unwrap(), "--json", "--config"];
        self.gateway.sandbox().command(args).args([self.file.to_str().unwrap()]).run()
    }
}

fn bearer(credential: &str) -> String {
    format!("Authorization: Bearer {credential}")
}

/// The key of an answer to an exchange.
#[track_caller]
fn key_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["key"].as_str().unwrap().to_owned()
}

/// Whether a response that was begun ends as a whole one.
fn is_whole(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    // A time limit is no end.
    assert!(!read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "the response does not end");
    rest.ends_with(b"0\r\n\r\n")
}
