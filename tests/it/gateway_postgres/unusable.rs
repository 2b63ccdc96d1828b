//! Databases that cannot be used: what is said, and that nothing waits for ever.

use std::process::Child;

use super::upstream;
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::poll;
use crate::harness::postgres::Postgres;

fn list(address: &str) -> Output {
    Sandbox::new().command(["gateway", "user", "list", "--database", address]).run()
}

#[track_caller]
fn refused(address: &str, words: &[&str]) {
    let output = list(address).expect_code(1);
    for words in words {
        assert!(output.stderr().contains(words), "{words:?}: {}", output.stderr());
    }
}

/// A session that is ended by this test.
struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_standby_a_missing_database_and_missing_privileges_are_named() {
    let server = Postgres::start();
    let database = server.database();
    list(&database).expect_code(0);
    let standby = server.standby();
    let address = database.replace(server.folder(), standby.folder());
    refused(&address, &["is read-only: it is a standby", "name the primary server"]);
    let name = database.split_once("@/").unwrap().1.split('?').next().unwrap();
    refused(&database.replace(name, "nowhere"), &["database \"nowhere\" does not exist"]);
    server.sql(&database, "CREATE ROLE poor LOGIN");
    refused(&database.replace("gate@", "poor@"), &["permission denied"]);
    server.sql("postgres", "CREATE DATABASE empty");
    refused(&database.replace("gate@", "poor@").replace(name, "empty"), &["permission denied for schema public"]);
}

/// It answers, but it does not hear of what the primary would have been told.
#[test]
fn a_standby_is_not_asked_while_the_primary_is_gone() {
    let (primary, upstream) = (Postgres::start(), upstream());
    let database = primary.database();
    let standby = primary.standby();
    primary.wait_for_standby();
    let both = standby.address_behind(&primary, &database);
    let gateway = Gateway::start_on(&both, &upstream.url(), &["--set", "offline-grace=2s"]);
    gateway.add_user("ada", "admin");
    let device = gateway.device_added_to("ada");
    let (secret, _) = super::key(&gateway, &device);
    primary.end("KILL");
    poll("the end of the grace period", || (gateway.status_of(&secret) == 503).then_some(()));
    standby.promote();
    poll("the new primary", || (gateway.status_of(&secret) == 200).then_some(()));
}

#[test]
fn a_schema_that_was_changed_by_hand_is_damage() {
    let server = Postgres::shared();
    let database = server.database();
    let gateway = Gateway::start_on(&database, "http://127.0.0.1:9", &[]);
    gateway.add_user("ada", "admin");
    server.sql(&database, "ALTER TABLE users RENAME COLUMN email TO mail");
    let failed = gateway.admin(&["user", "list"]).expect_code(1);
    assert!(failed.stderr().contains("is damaged: column \"email\" does not exist"), "{}", failed.stderr());
}

/// As a migration or a backup of another program does that takes long.
#[test]
fn a_table_that_another_program_holds_locked_stops_changes_but_no_requests() {
    let (server, upstream) = (Postgres::start(), upstream());
    let database = server.database();
    let gateway = Gateway::start_on(&database, &upstream.url(), &[]);
    gateway.add_user("ada", "admin");
    let device = gateway.device_added_to("ada");
    let (secret, id) = super::key(&gateway, &device);
    let held = "BEGIN; LOCK TABLE api_keys, users; SELECT pg_sleep(3600)";
    let _session = Session(server.session(&database, held));
    let locks =
        "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'users'::regclass";
    poll("the lock", || (server.sql(&database, locks) == "1").then_some(()));
    assert_eq!(gateway.status_of(&secret), 200);
    let failed = list(&database).expect_code(1);
    assert!(failed.stderr().contains("another program holds one of its tables locked"), "{}", failed.stderr());
    let revoked = super::ask(&gateway, "DELETE", &super::path_of(&id), &secret);
    assert_eq!((revoked.status, revoked.json()["code"].as_str()), (503, Some("not_stored")), "{}", revoked.text());
    assert_eq!(gateway.status_of(&secret), 401);
    server.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%'");
    let other = Gateway::start_on(&database, &upstream.url(), &[]);
    poll("that the revocation is stored", || (other.status_of(&secret) == 401).then_some(()));
}
