//! Budgets of tokens: who is refused, when, how it is told, and what of a stream that is over its budget comes to the caller.

mod cutting;
mod refusing;
mod several;
mod together;
mod told;

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::Value;

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Reply, Request, Server, Step};
use crate::harness::poll;
use crate::harness::set_clock::SetClock;

const CHAT: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}]}"#;
/// Noon: no window ends soon.
const NOON: &str = "2030-11-20T12:00:00Z";

fn token(text: &str) -> String {
    format!("{{\"model\":\"tiny\",\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\"done\":false}}\n")
}

/// The end of a response of `/api/chat` that took so many tokens.
fn done(input: u64, output: u64) -> String {
    format!(
        "{{\"model\":\"tiny\",\"message\":{{\"role\":\"assistant\",\"content\":\"\"}},\"done\":true,\"prompt_eval_count\":{input},\"eval_count\":{output}}}\n"
    )
}

/// A server of which every response took 100 tokens, of any API.
fn hundred(request: &Request) -> Reply {
    match request.path() {
        "/v1/chat/completions" => Reply::json(
            200,
            serde_json::json!({ "choices": [], "usage": { "prompt_tokens": 60, "completion_tokens": 40, "total_tokens": 100 } }),
        ),
        "/v1/messages" => {
            Reply::json(200, serde_json::json!({ "content": [], "usage": { "input_tokens": 60, "output_tokens": 40 } }))
        }
        "/v1/responses" => Reply::json(
            200,
            serde_json::json!({ "status": "completed", "usage": { "input_tokens": 60, "output_tokens": 40, "total_tokens": 100 } }),
        ),
        _ => Reply::ndjson([Step::send(token("a")), Step::send(done(60, 40))]),
    }
}

/// A gateway with a configuration file, whose clock is set.
struct Budgeted {
    gateway: Gateway,
    device: Sandbox,
    server: Server,
    clock: SetClock,
    file: PathBuf,
    _folder: Sandbox,
}

impl Budgeted {
    fn start(tables: &str, reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let server = Server::start(reply);
        let (folder, clock) = (Sandbox::new(), SetClock::at(Timestamp::now().as_second()));
        let file = folder.write("gateway.toml", tables);
        let args = ["--config", file.to_str().unwrap()];
        let gateway = Gateway::start_with_within(&server.url(), &args, &clock.line());
        gateway.add_user("ada", "member");
        let mut device = gateway.device_of("ada");
        clock.give_to(&mut device);
        // After its clock was set, a gateway knows to a second when it started, and refuses what may be signed before.
        clock.pass(2);
        clock.run_from(at(NOON));
        Self { gateway, device, server, clock, file, _folder: folder }
    }

    /// The header of a new key.
    fn key(&self, args: &[&str]) -> String {
        format!("Authorization: Bearer {}", self.gateway.key(&self.device, args))
    }

    fn ask(&self, path: &str, key: &str, body: &str) -> Answer {
        self.gateway.ask("POST", path, &[key], body)
    }

    /// Runs a model, and returns the status. What it used is counted when this returns.
    fn run(&self, key: &str) -> u16 {
        self.ask("/api/chat", key, CHAT).status
    }

    /// The events with that action, the latest first, once there are so many.
    fn events(&self, action: &str, count: usize) -> Vec<Value> {
        poll(action, || {
            let args = ["audit", "--action", action, "--json"];
            let shown = self.gateway.admin(&args).expect_code(0).json();
            let events = shown["events"].as_array().unwrap().clone();
            assert!(events.len() <= count, "{events:?}");
            (events.len() == count).then_some(events)
        })
    }
}

fn at(time: &str) -> i64 {
    time.parse::<Timestamp>().unwrap().as_second()
}
