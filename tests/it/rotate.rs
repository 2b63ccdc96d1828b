//! `keys rotate` against the real gateway: some key works at every moment, and no unused key stays valid.

mod basics;
mod concurrent;
mod deploy;
mod env_file;
mod failures;
mod killed;
mod pasted_keys;
mod relay;
mod unfinished;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::given::with_store;
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::gateway::Gateway;

/// A gateway, a device of ada's that may manage keys, and a machine that has an API key and nothing else.
pub struct Given {
    pub gateway: Gateway,
    pub device: Sandbox,
    pub machine: Sandbox,
    /// The key that the machine began with.
    pub first: Value,
}

impl Given {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// The same with more arguments for `keys create`.
    pub fn with(args: &[&str]) -> Self {
        Self::create(args, "plaintext")
    }

    /// The same with the machine's key in that store.
    pub fn in_store(store: &str) -> Self {
        Self::create(&[], store)
    }

    fn create(args: &[&str], store: &str) -> Self {
        let gateway = Gateway::start("http://127.0.0.1:9");
        gateway.add_user("ada", "member");
        let device = gateway.device_of("ada");
        let first = device.command(["keys", "create", "nightly", "--json"]).args(args).run().expect_code(0).json();
        let machine = with_store(store);
        let keep = ["signin", "--with-api-key", "--host", &gateway.url()];
        machine.command(keep).stdin(text(&first, "key")).run().expect_code(0);
        Self { gateway, device, machine, first }
    }

    pub fn rotate(&self, args: &[&str]) -> Output {
        self.machine.command(["keys", "rotate"].iter().chain(args)).run()
    }

    /// Every key on record, the gateway's own word.
    pub fn keys(&self) -> Vec<Value> {
        let list = self.device.command(["api", "/api/user/keys?revoked=true&limit=1000"]).run().expect_code(0);
        let keys = list.json()["keys"].as_array().unwrap().clone();
        keys.into_iter().filter(|key| key["kind"] == "api-key").collect()
    }

    /// Those that are accepted.
    pub fn live(&self) -> Vec<Value> {
        let now = jiff::Timestamp::now();
        let ended =
            |key: &Value| key["expires_at"].as_str().is_some_and(|end| end.parse::<jiff::Timestamp>().unwrap() <= now);
        self.keys().into_iter().filter(|key| key["revoked_at"].is_null() && !ended(key)).collect()
    }

    /// The key that the machine uses now.
    pub fn current(&self) -> String {
        self.machine.command(["token"]).run().expect_code(0).stdout().trim().to_owned()
    }

    pub fn accepts(&self, key: &str) -> bool {
        self.gateway.ask("POST", "/api/me", &[&format!("Authorization: Bearer {key}")], "").status == 200
    }

    pub fn journal(&self) -> PathBuf {
        self.machine.path("home/.local/share/ollama-auth/rotations.json")
    }

    /// The rotations in the journal.
    pub fn journal_entries(&self) -> Vec<Value> {
        let Ok(text) = fs::read_to_string(self.journal()) else { return Vec::new() };
        serde_json::from_str::<Value>(&text).unwrap()["rotations"].as_array().unwrap().clone()
    }

    /// What holds after a rotation that went well: one key in use, the other with an end, both known.
    pub fn assert_rotated(&self) {
        let (current, live) = (self.current(), self.live());
        assert!(self.accepts(&current));
        assert_ne!(current, text(&self.first, "key"));
        assert_eq!(live.len(), 2, "{live:#?}");
        let new = live.iter().find(|key| key["replaces"] == self.first["id"]).expect("the replacement");
        assert!(current.ends_with(text(new, "hint")));
        let journal_entries = self.journal_entries();
        assert_eq!(journal_entries.len(), 1);
        assert_eq!((&journal_entries[0]["new"], &journal_entries[0]["step"]), (&new["id"], &Value::from("ending")));
    }
}

pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}
