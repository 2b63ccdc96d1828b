//! Copies that are refused before anything is written.

use std::fs;

use super::{Keys, contents, copy, events, prepared, shown, upstream};
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::postgres::Postgres;

fn add(sandbox: &Sandbox, database: &str, name: &str) {
    let add = ["gateway", "user", "add", name, "--database", database];
    sandbox.command(add).stdin("correct horse battery\n").run().expect_code(0);
}

#[test]
fn a_target_with_accounts_or_events_is_left_as_it_is() {
    let (server, sandbox) = (Postgres::shared(), Sandbox::new());
    let file = |name: &str| sandbox.path(name).join("gateway.db").to_str().unwrap().to_owned();
    let source = file("source");
    add(&sandbox, &source, "ada");
    for full in [file("full"), server.database()] {
        add(&sandbox, &full, "bob");
        let before = contents(&full);
        for has_account in [true, false] {
            let refused = copy(&sandbox, &source, &full, &[]).expect_code(1);
            assert!(refused.stderr().contains("is not empty"), "{}", refused.stderr());
            assert!(refused.stderr().contains("copy to a new file"), "{}", refused.stderr());
            if has_account {
                assert_eq!(contents(&full), before);
                let remove = ["gateway", "user", "remove", "bob", "--yes", "--database", &full];
                sandbox.command(remove).run().expect_code(0);
            }
        }
        let events = events(&full);
        let actions: Vec<_> = events["events"].as_array().unwrap().iter().map(|event| &event["action"]).collect();
        assert_eq!(actions, ["user.removed", "user.created"]);
    }
}

#[test]
fn a_database_that_a_gateway_uses_is_neither_read_nor_written() {
    let (upstream, server, sandbox) = (upstream(), Postgres::shared(), Sandbox::new());
    let (shared, free) = (server.database(), sandbox.path("free/gateway.db").to_str().unwrap().to_owned());
    let on_file = Gateway::start(&upstream.url());
    let on_server = Gateway::start_on(&shared, &upstream.url(), &[]);
    Keys::create(&on_file);
    on_server.add_user("ada", "admin");
    let empty = Gateway::start(&upstream.url());
    let empty_shared = server.database();
    let _empty_shared = Gateway::start_on(&empty_shared, &upstream.url(), &[]);
    let path = |gateway: &Gateway| gateway.database().to_str().unwrap().to_owned();
    let other = sandbox.path("other/gateway.db").to_str().unwrap().to_owned();
    add(&sandbox, &other, "ada");
    for (from, to, used) in [
        (&path(&on_file), &free, &path(&on_file)),
        (&shared, &free, &shared),
        (&other, &path(&empty), &path(&empty)),
        (&other, &empty_shared, &empty_shared),
    ] {
        let refused = copy(&sandbox, from, to, &[]).expect_code(1);
        let says = format!("the database {} is in use by another ollama-auth process", shown(used));
        assert!(refused.stderr().contains(&says), "{}", refused.stderr());
        assert!(refused.stderr().contains("stop the gateway"), "{}", refused.stderr());
    }
    assert!(!fs::exists(&free).unwrap());
    assert_eq!(empty.admin(&["user", "list", "--json"]).json()["users"].as_array().unwrap().len(), 0);
}

#[test]
fn a_database_that_is_not_there_or_not_ours_is_named() {
    let (server, sandbox) = (Postgres::shared(), Sandbox::new());
    let file = sandbox.path("gateway/gateway.db").to_str().unwrap().to_owned();
    add(&sandbox, &file, "ada");
    let fresh = sandbox.path("fresh/gateway.db").to_str().unwrap().to_owned();
    let nowhere = "postgres://ada@127.0.0.1:1/gate";
    let none = sandbox.path("none/gateway.db").to_str().unwrap().to_owned();
    let text = sandbox.write("text/gateway.db", "x".repeat(4096)).to_str().unwrap().to_owned();
    let (unused, newer, older) = (server.database(), server.database(), server.database());
    let version = |database: &str, statement: &str| {
        prepared(database);
        server.sql(database, statement);
    };
    let insert = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                  VALUES (999999, 'x', true, '', 0)";
    version(&newer, &format!("{insert}; UPDATE schema_compatibility SET oldest = 1"));
    version(&older, "DELETE FROM _sqlx_migrations");
    for (from, to, says) in [
        (&*file, nowhere, "cannot reach the database postgres://ada@127.0.0.1:1/gate"),
        (nowhere, &fresh, "cannot reach the database postgres://ada@127.0.0.1:1/gate"),
        (&none, &fresh, "No such file or directory"),
        (&text, &fresh, "is damaged"),
        (&unused, &fresh, "no gateway has used it"),
        (&newer, &fresh, "was written by a newer version"),
        (&file, &newer, "was written by a newer version"),
        (&older, &fresh, "are of an older version"),
    ] {
        let refused = copy(&sandbox, from, to, &[]).expect_code(1);
        assert!(refused.stderr().contains(says), "{from} {to}: {}", refused.stderr());
    }
    for missing in [&fresh, &none] {
        assert!(!fs::exists(missing).unwrap(), "{missing}");
    }
    for (from, to, says) in [
        (&*file, &*file, "FROM and TO are the same database"),
        (&file, "", "TO: expected sqlite:PATH"),
        ("mysql://ada@db/gate", &fresh, "FROM: database must be"),
    ] {
        let refused = copy(&sandbox, from, to, &[]).expect_code(2);
        assert!(refused.stderr().contains(says), "{from} {to}: {}", refused.stderr());
    }
}

#[test]
fn a_password_in_an_address_is_refused_and_not_shown() {
    let sandbox = Sandbox::new();
    for secret in ["postgres://ada:s3cret@127.0.0.1:1/gate", "postgres://ada@127.0.0.1:1/gate?password=s3cret"] {
        for (from, to, argument) in [(secret, "a.db", "FROM"), ("a.db", secret, "TO")] {
            let refused = copy(&sandbox, from, to, &[]).expect_code(2);
            let says = format!("{argument}: the address of the database holds a password");
            assert!(refused.stderr().contains(&says), "{}", refused.stderr());
            assert!(!refused.stderr().contains("s3cret"), "{}", refused.stderr());
        }
    }
}
