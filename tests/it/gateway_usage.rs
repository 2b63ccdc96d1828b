//! What requests used: counted as the upstream server reports it, for whom it is, and never twice; and who may read it.

mod counting;
mod guide;
mod reading;
mod replicas;
mod requests;

use serde_json::Value;

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Reply, Request, Server, Step};
use crate::harness::poll;

const CHAT: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}]}"#;
/// The end of a response of /api/chat: 7 tokens of prompt, 5 of answer.
const DONE: &str = "{\"model\":\"tiny\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"prompt_eval_count\":7,\"eval_count\":5}\n";

fn token(text: &str) -> String {
    format!("{{\"model\":\"tiny\",\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\"done\":false}}\n")
}

/// A gateway in front of a server that answers so, with a device of the member ada.
struct Used {
    gateway: Gateway,
    device: Sandbox,
    server: Server,
}

impl Used {
    fn start(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(reply, &[])
    }

    fn start_with(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static, more: &[&str]) -> Self {
        let server = Server::start(reply);
        let gateway = Gateway::start_with(&server.url(), more);
        gateway.add_user("ada", "member");
        let device = gateway.device_of("ada");
        Self { gateway, device, server }
    }

    fn key(&self, args: &[&str]) -> String {
        format!("Authorization: Bearer {}", self.gateway.key(&self.device, args))
    }

    fn ask(&self, path: &str, key: &str, body: &str) -> Answer {
        self.gateway.ask("POST", path, &[key], body)
    }

    /// The rows of `gateway usage`, once as many requests are in them.
    fn rows(&self, requests: u64, args: &[&str]) -> Vec<Value> {
        poll("the usage", || {
            let shown =
                self.gateway.admin(&["usage", "--json"].iter().chain(args).copied().collect::<Vec<_>>()).expect_code(0);
            let rows = shown.json()["usage"].as_array().unwrap().clone();
            let sum: u64 = rows.iter().map(|row| row["requests"].as_u64().unwrap()).sum();
            assert!(sum <= requests, "counted more than there was: {rows:?}");
            (sum == requests).then_some(rows)
        })
    }
}

fn number(row: &Value, member: &str) -> u64 {
    row[member].as_u64().unwrap_or_else(|| panic!("{member}: {row}"))
}
