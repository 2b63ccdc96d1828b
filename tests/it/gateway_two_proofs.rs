//! Two proofs: a device's signature beside an API key of the same person, where a role or an environment demands both.

mod attacks;
mod client;
mod environments;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::gateway_limits::upstream::Upstream;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::signature::TestDevice;

const RULE: &str = "[roles.member]\ntwo-proofs = [\"inference\", \"keys\"]\n";
const KEYS: &str = "/api/user/keys";

/// A gateway with the members ada and bob, a device of each, and two API keys of ada's. Nothing is demanded yet.
struct Given {
    gateway: Gateway,
    upstream: Upstream,
    device: TestDevice,
    bobs: TestDevice,
    key: Value,
    other: Value,
    file: PathBuf,
    _folder: Sandbox,
}

impl Given {
    fn start() -> Self {
        let (folder, upstream) = (Sandbox::new(), Upstream::start());
        let file = folder.write("gateway.toml", "");
        let args = ["--config", file.to_str().unwrap(), "--set", "trusted-proxies=127.0.0.1"];
        let gateway = Gateway::start_with(upstream.url(), &args);
        gateway.add_user("root", "admin").add_user("ada", "member").add_user("bob", "member");
        let (device, bobs) = (TestDevice::new(7), TestDevice::new(8));
        approve(&gateway, &device, "ada");
        approve(&gateway, &bobs, "bob");
        let program = gateway.device_added_to("ada");
        let make = |name| {
            let scopes = "--scope=inference,models:read,keys";
            program.command(["keys", "create", name, scopes, "--json"]).run().expect_code(0).json()
        };
        let (key, other) = (make("k"), make("other"));
        Self { gateway, upstream, device, bobs, key, other, file, _folder: folder }
    }

    /// The same, where both proofs are demanded.
    fn with_rule() -> Self {
        let given = Self::start();
        given.reload(RULE);
        given
    }

    fn reload(&self, tables: &str) -> String {
        self.gateway.reload(&self.file, tables)
    }

    fn id(&self) -> &str {
        self.key["id"].as_str().unwrap()
    }

    /// The header of the second proof of ada's device and key for a request.
    fn second(&self, method: &str, target: &str) -> String {
        second(&self.device, self.id(), now(), method, target)
    }

    fn ask(&self, method: &str, target: &str, headers: &[&str], body: &str) -> Answer {
        let key = header(&self.key);
        self.gateway.ask(method, target, &[&[&*key, "Content-Type: application/json"], headers].concat(), body)
    }

    fn has_event(&self, code: &str) {
        crate::harness::poll(code, || {
            let events = self.gateway.admin(&["audit", "--code", code, "--json"]).expect_code(0).json();
            (!events["events"].as_array().unwrap().is_empty()).then_some(())
        });
    }
}

fn approve(gateway: &Gateway, device: &TestDevice, name: &str) {
    let me = format!("/api/me?ts={}", now());
    let header = format!("Authorization: {}", device.sign(&format!("POST,{me}")));
    let link = gateway.ask("POST", &me, &[&header], "").json()["signin_url"].as_str().unwrap().to_owned();
    gateway.admin(&["approve", &link, "--user", name]).expect_code(0);
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

fn header(key: &Value) -> String {
    format!("Authorization: Bearer {}", key["key"].as_str().unwrap())
}

/// What the documentation says of the second header, written down independently of the product.
fn second(device: &TestDevice, id: &str, ts: i64, method: &str, target: &str) -> String {
    let signature = device.sign(&format!("ollama-auth second proof v1\n{id}\n{ts}\n{method}\n{target}"));
    format!("X-Ollama-Auth-Signature: {ts}:{signature}")
}
