//! Limits of the gateway, of people and of keys: what they refuse and how, and that nothing of them leaks.

mod client;
mod in_use;
mod keys;
mod rates;
mod reload;
mod several;
mod slots;
pub mod upstream;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use crate::harness::DEADLINE;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::set_clock::SetClock;

/// The routes that run models, and what a request holds.
const ROUTES: [&str; 5] = ["/api/chat", "/api/generate", "/v1/chat/completions", "/v1/messages", "/v1/responses"];

/// A gateway with a configuration file, and a device of the member ada.
struct Limited {
    gateway: Gateway,
    device: Sandbox,
    file: PathBuf,
    _folder: Sandbox,
}

impl Limited {
    /// With these tables.
    fn start(upstream: &str, tables: &str) -> Self {
        Self::start_within(upstream, tables, &[], None)
    }

    /// The same with more arguments and under a clock.
    fn start_within(upstream: &str, tables: &str, more: &[&str], clock: Option<&SetClock>) -> Self {
        let folder = Sandbox::new();
        let file = folder.write("gateway.toml", tables);
        let args = [&["--config", file.to_str().unwrap()], more].concat();
        let gateway = match clock {
            Some(clock) => Gateway::start_with_within(upstream, &args, &clock.line()),
            None => Gateway::start_with(upstream, &args),
        };
        gateway.add_user("ada", "member");
        let device = gateway.device_of("ada");
        Self { gateway, device, file, _folder: folder }
    }

    /// Another configuration, as of the next request.
    fn reload(&self, tables: &str) {
        self.gateway.reload(&self.file, tables);
    }

    /// The header of a new key.
    fn key(&self, args: &[&str]) -> String {
        format!("Authorization: Bearer {}", self.gateway.key(&self.device, &[&["k"], args].concat()))
    }

    /// Runs a model.
    fn run(&self, route: &str, key: &str) -> Answer {
        run(&self.gateway, route, key)
    }

    /// Begins to run a model; its connection ends with the answer.
    fn begin(&self, route: &str, key: &str) -> TcpStream {
        begin(&self.gateway, route, key)
    }
}

fn run(gateway: &Gateway, route: &str, key: &str) -> Answer {
    gateway.ask("POST", route, &[key, "Content-Type: application/json"], "{}")
}

fn begin(gateway: &Gateway, route: &str, key: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let host = gateway.address();
    let head =
        format!("POST {route} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{key}\r\nContent-Length: 2\r\n\r\n{{}}");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Waits for the beginning of an answer.
fn read_some(stream: &mut TcpStream) {
    let mut some = [0; 1024];
    assert!(stream.read(&mut some).unwrap() > 0);
}

/// The code in an error, whichever API's form it has.
fn code(answer: &Answer) -> String {
    let body = answer.json();
    body["code"].as_str().or(body["error"]["code"].as_str()).unwrap_or_default().to_owned()
}
