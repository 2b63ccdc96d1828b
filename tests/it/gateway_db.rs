//! `gateway db`: what is copied to another database is all there and works, what fails leaves nothing that could be taken for it, and a
//! backup is of one moment.

mod backup;
mod copy;
mod refused;
mod unfinished;

use serde_json::{Value, json};

use crate::harness::cmd::{Output, Sandbox};
use crate::harness::gateway::{Gateway, PASSWORD};
use crate::harness::http::{Reply, Server};
use crate::harness::pages::{FORM, between, cookie};
use crate::harness::poll;
use crate::harness::postgres::Postgres;

fn upstream() -> Server {
    Server::start(|_| Reply::json(200, json!({ "models": [], "version": "0.99.1" })))
}

fn copy(sandbox: &Sandbox, from: &str, to: &str, more: &[&str]) -> Output {
    sandbox.command(["gateway", "db", "copy", from, to]).args(more).run()
}

/// How a message names it.
fn shown(database: &str) -> String {
    let (before, folder) = database.split_once("host=").map_or((database, None), |(start, end)| (start, Some(end)));
    folder.map_or(before.to_owned(), |folder| format!("{before}host={}", folder.replace('/', "%2F")))
}

/// What an administrator sees of a database that no gateway has open.
fn contents(database: &str) -> Vec<Value> {
    let sandbox = Sandbox::new();
    let see = |args: &[&str]| {
        sandbox.command(["gateway"]).args(args).args(["--json", "--database", database]).run().expect_code(0).json()
    };
    let mut events = events(database);
    // A copy begins a log of its own.
    events["events"].as_array_mut().unwrap().retain(|event| event["action"] != "audit.log_begun");
    vec![see(&["user", "list"]), see(&["device", "list"]), see(&["key", "list", "--revoked"]), events]
}

fn events(database: &str) -> Value {
    let audit = ["gateway", "audit", "--limit", "1000", "--json", "--database", database];
    Sandbox::new().command(audit).run().expect_code(0).json()
}

fn highest_event(events: &Value) -> i64 {
    events["events"][0]["id"].as_i64().unwrap()
}

/// Makes an empty database with tables.
fn prepared(database: &str) {
    let add = ["gateway", "user", "list", "--database", database];
    Sandbox::new().command(add).run().expect_code(0);
}

/// Runs `body` for each event that is added.
fn trigger(body: &str) -> String {
    format!(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$; \
         CREATE TRIGGER meddle BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION meddle()"
    )
}

/// Waits until the copy that reads or writes that database sleeps there.
fn wait_for_sleep(server: &Postgres, database: &str) {
    let sleeps = format!("SELECT count(*) FROM pg_stat_activity WHERE {COPYING} AND wait_event = 'PgSleep'");
    poll("the copy in the middle of the events", || (server.sql(database, &sleeps) == "1").then_some(()));
}

/// The connection of a copy.
const COPYING: &str = "application_name = 'ollama-auth db' AND datname = current_database()";

/// API keys of all kinds.
struct Keys {
    kept: String,
    revoked: String,
    /// Of an account that was removed.
    removed: String,
    /// The id of the first.
    id: String,
}

impl Keys {
    /// With the accounts that they belong to.
    fn create(gateway: &Gateway) -> Self {
        gateway.add_user("ada", "admin").add_user("bob", "member");
        let [ada, bob] = ["ada", "bob"].map(|name| gateway.device_added_to(name));
        let create = |device: &Sandbox, name: &str| {
            let made = device.command(["keys", "create", name, "--json"]).run().expect_code(0).json();
            ["key", "id"].map(|member| made[member].as_str().unwrap().to_owned())
        };
        let [kept, id] = create(&ada, "kept");
        let [revoked, other] = create(&ada, "revoked");
        let [removed, _] = create(&bob, "removed");
        ada.command(["keys", "revoke", &other, "--yes"]).run().expect_code(0);
        gateway.admin(&["user", "remove", "bob", "--yes"]).expect_code(0);
        // On a shared database the gateway hears of it a little later.
        poll("the end of the account", || (status(gateway, &removed) == 401).then_some(()));
        let keys = Self { kept, revoked, removed, id };
        keys.work(gateway);
        keys
    }

    /// Checks that a gateway decides by all of it: keys, their ends, and a password.
    fn work(&self, gateway: &Gateway) {
        assert_eq!(status(gateway, &self.kept), 200);
        for key in [&self.revoked, &self.removed] {
            let answer = gateway.ask("GET", "/api/tags", &[&format!("Authorization: Bearer {key}")], "");
            assert!(answer.status == 401 && answer.text().contains("was revoked"), "{}", answer.text());
        }
        let form = gateway.ask("GET", "/login", &[], "");
        let token = between(form.text(), "name=\"csrf\" value=\"", "\"");
        let body = format!("csrf={token}&name=ada&password={}", PASSWORD.replace(' ', "+"));
        let signed_in = gateway.ask("POST", "/login", &[&cookie(&form, "visitor"), FORM], &body);
        assert_eq!(signed_in.status, 303, "{}", signed_in.text());
    }
}

fn status(gateway: &Gateway, key: &str) -> u16 {
    gateway.status_of(key)
}
