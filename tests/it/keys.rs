//! `keys`: keys are created, listed and revoked only at a host with accounts; no key is lost or left valid without a message.

mod audit;
mod create;
mod forget;
mod import;
mod list;
mod no_key_api;
pub mod ollama_com;
mod revoke;
mod sarif;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use crate::given::{sign_in, with_store};
use crate::harness::cloud::{Cloud, Issued};
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::stock::{Account, Stock};

/// A device that is signed in at a host that manages keys.
fn signed_in() -> (Sandbox, Cloud) {
    signed_in_with("plaintext", "")
}

fn signed_in_with(store: &str, base: &str) -> (Sandbox, Cloud) {
    let (sandbox, cloud) = (with_store(store), Cloud::start_at(base));
    cloud.offer_keys();
    sign_in(&sandbox, &cloud, &[]);
    (sandbox, cloud)
}

fn keys(sandbox: &Sandbox, args: &[&str]) -> Output {
    sandbox.command(["keys"].iter().chain(args)).run()
}

fn deletes(cloud: &Cloud) -> usize {
    cloud.server().requests().iter().filter(|request| request.method == "DELETE").count()
}

#[test]
fn without_a_credential_no_request_is_sent() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.offer_keys();
    for args in [&["create", "ci"][..], &["list"], &["revoke", "ci", "--yes"]] {
        let output = keys(&sandbox, &[args, &["--host", &cloud.url()]].concat()).expect_code(4);
        crate::given::says(&output, &["not signed in to", "ollama-auth signin --host"]);
        assert_eq!(output.stdout(), "");
    }
    assert!(cloud.server().requests().is_empty());
}

/// It would answer a `DELETE` by signing itself out, and it has no use for a key of ours. (Dropping it checks that none came.)
#[test]
fn a_stock_server_receives_only_the_identification_request() {
    for account in [Account::SignedIn, Account::SignedOut, Account::Unavailable] {
        let stock = Stock::start(account);
        let sandbox = with_store("plaintext");
        let url = stock.url();
        for args in [
            &["create", "ci"][..],
            &["create", "ci", "--save"],
            &["list"],
            &["revoke", "ci", "--yes"],
            &["revoke", "key_12345678", "--yes"],
        ] {
            let args = [&["keys"], args, &["--host", &url]].concat();
            let output = sandbox.command(args).env("OLLAMA_API_KEY", "some-key-0123456789").run().expect_code(1);
            crate::given::says(&output, &["is a plain Ollama server"]);
        }
        let args = ["keys", "revoke", "--key-stdin", "--yes", "--host", &url];
        sandbox.command(args).stdin("some-key-0123456789").run().expect_code(1);
        for request in stock.server().requests() {
            assert_eq!((request.method.as_str(), request.path()), ("POST", "/api/me"));
            assert_ne!(request.api_key(), Some("some-key-0123456789"));
        }
    }
}

#[test]
fn a_host_without_a_key_api_is_not_reported_as_having_no_keys() {
    for (status, base) in [(404, ""), (405, ""), (404, "/prefix")] {
        let (sandbox, cloud) = signed_in_with("plaintext", base);
        cloud.inject("/api/user/keys", crate::harness::cloud::Fault::Status(status));
        for args in [&["create", "ci"][..], &["list"], &["revoke", "ci", "--yes"]] {
            let output = keys(&sandbox, args).expect_code(1);
            let words = format!("has no API for keys (status {status})");
            crate::given::says(&output, &[&words, "ollama-auth keys import"]);
            let output = keys(&sandbox, &[args, &["--json"]].concat()).expect_code(1);
            let error: serde_json::Value = serde_json::from_str(output.stderr().lines().last().unwrap()).unwrap();
            assert_eq!(error["error"]["exit_code"], json!(1));
        }
        assert_eq!(deletes(&cloud), 0);
    }
}

#[test]
fn other_refusals_keep_their_exit_codes() {
    use crate::harness::cloud::Fault;
    let (sandbox, cloud) = signed_in();
    for (fault, code) in [
        (Fault::Status(401), 4),
        (Fault::Status(403), 5),
        (Fault::TryLater(429, "7".into()), 7),
        (Fault::TryLater(503, "7".into()), 7),
        (Fault::Redirect(307, "http://127.0.0.1:9/".into()), 1),
    ] {
        cloud.inject("/api/user/keys", fault);
        for args in [&["create", "ci"][..], &["list"], &["revoke", "ci", "--yes"]] {
            let output = keys(&sandbox, args).expect_code(code);
            assert_eq!(output.stdout(), "");
        }
        cloud.clear_faults();
    }
    assert!(cloud.issued().is_empty());
    assert_eq!(deletes(&cloud), 0);
    drop(cloud);
    for args in [&["create", "ci"][..], &["list"], &["revoke", "ci", "--yes"]] {
        keys(&sandbox, args).expect_code(6);
    }
}

/// A time so many days from that of a host's clock, as hosts write it.
fn days(cloud: &Cloud, days: i64) -> String {
    let seconds = cloud.server().clock().now() + days * 86_400;
    jiff::Timestamp::from_second(seconds).unwrap().to_string()
}

/// Makes a key at the host with nothing wrong with it but what is said.
fn issue(cloud: &Cloud, name: &str, change: &serde_json::Value) -> Issued {
    let id = format!("key_{name:0<12}");
    let mut item = json!({
        "id": id, "name": name, "created_at": days(cloud, -1), "last_used_at": days(cloud, -1), "expires_at": days(cloud, 60),
    });
    for (member, value) in change.as_object().unwrap() {
        item[member] = if member.ends_with("_at") && value.is_i64() {
            json!(days(cloud, value.as_i64().unwrap()))
        } else {
            value.clone()
        };
    }
    cloud.issue(item)
}

/// The names in the first column of each table below a heading of docs/reference/keys.md.
pub fn documented(heading: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/keys.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

#[test]
fn the_document_lists_the_members_that_are_printed() {
    let (sandbox, cloud) = signed_in();
    let members =
        |value: &serde_json::Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let key = documented("A key");
    let made = keys(&sandbox, &["create", "ci", "--expires", "never", "--json"]).expect_code(0).json();
    assert_eq!(members(&made), key.union(&documented("`keys create`")).cloned().collect());
    let list = keys(&sandbox, &["list", "--json"]).expect_code(0).json();
    assert_eq!(members(&list), ["host", "keys", "profile"].map(str::to_owned).into());
    assert_eq!(members(&list["keys"][0]), key.union(&documented("`keys list`")).cloned().collect());
    let audit = keys(&sandbox, &["audit", "--fail-on", "none", "--json"]).expect_code(0).json();
    let documented_audit = documented("`keys audit`");
    for part in [&audit, &audit["profiles"][0], &audit["findings"][0]] {
        let missing: Vec<_> = members(part).difference(&documented_audit).cloned().collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
    let key = cloud.issued()[0].key.clone();
    let import = sandbox.command(["keys", "import", "--json"]).stdin(&key).run().expect_code(0).json();
    assert_eq!(members(&import), documented("`keys import`"));
    let forgotten = keys(&sandbox, &["forget", "--yes", "--json"]).expect_code(0).json();
    assert_eq!(members(&forgotten), documented("`keys forget`"));
    let revoked = keys(&sandbox, &["revoke", "ci", "--yes", "--json"]).expect_code(0).json();
    assert_eq!(members(&revoked), documented("`keys revoke`"));
    assert_eq!(deletes(&cloud), 1);
}

/// It would be a name at the host, in its audit trail, in errors and in the log of the job.
#[test]
fn a_key_given_as_a_name_is_not_sent() {
    let (sandbox, cloud) = signed_in();
    let before = cloud.server().requests().len();
    for key in
        ["olauth_0123456789ABCDEFGHIJKLMNOPQRSTUV38eMnq", "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOpQrStUv-_"]
    {
        let filter = format!("name={key}");
        for args in [
            &["create", key][..],
            &["create", "ci", "--env", key],
            &["revoke", key, "--yes"],
            &["rotate", key],
            &["list", "--filter", &filter],
            &["import", "--name", key],
            &["import", "--env", key],
        ] {
            for json in [false, true] {
                let output = sandbox.command(["keys"].iter().chain(args)).args(json.then_some("--json")).run();
                assert_eq!(output.code(), 2, "{args:?} {}", output.snapshot());
                crate::given::says(&output, &["an API key", "--key-stdin"]);
                sandbox.assert_no_secret(key, &[&output], &[]);
            }
        }
    }
    assert_eq!(cloud.server().requests().len(), before);
}
