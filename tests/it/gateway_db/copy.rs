//! Copies that succeed: between files and PostgreSQL databases in every direction.

use rustix::process::Signal;

use super::{Keys, contents, copy, events, highest_event, prepared, status, trigger, upstream, wait_for_sleep};
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::poll;
use crate::harness::postgres::{LOCKED, Postgres};

#[test]
fn a_copy_in_every_direction_holds_the_same_and_works() {
    let (upstream, server) = (upstream(), Postgres::shared());
    let mut gateway = Gateway::start(&upstream.url());
    let keys = Keys::create(&gateway);
    gateway.end(Signal::TERM).expect_code(0);
    let sandbox = Sandbox::new();
    let file = |name: &str| sandbox.path(name).join("gateway.db").to_str().unwrap().to_owned();
    let source = gateway.database().to_str().unwrap().to_owned();
    let before = contents(&source);
    assert_eq!(before[0]["users"].as_array().unwrap().len(), 1);

    // From each to the next: file, PostgreSQL, PostgreSQL, file, file.
    let targets = [server.database(), server.database(), file("three"), format!("sqlite:{}", file("four"))];
    let mut from = source;
    for (begun, to) in targets.iter().enumerate() {
        let copied = copy(&sandbox, &from, to, &["--json"]).expect_code(0).json();
        let table = |name: &str| {
            let tables = copied["tables"].as_array().unwrap();
            tables.iter().find(|table| table["table"] == name).unwrap_or_else(|| panic!("{copied}")).clone()
        };
        for (name, rows) in [("users", 1), ("devices", 1), ("api_keys", 2), ("deleted_keys", 1), ("uptime", 1)] {
            assert_eq!((table(name)["rows"].as_i64(), table(name)["verified"].as_bool()), (Some(rows), Some(true)));
        }
        let found = before[3]["events"].as_array().unwrap().len();
        assert_eq!(table("events")["rows"].as_u64(), Some((found + begun) as u64));
        assert_eq!(contents(to), before, "{to}");
        from = to.clone();
    }
    for database in [&targets[0], &file("four")] {
        let gateway = Gateway::start_on(database, &upstream.url(), &[]);
        keys.work(&gateway);
        gateway.add_user("carol", "member");
        let after = gateway.admin(&["audit", "--json"]).expect_code(0).json();
        assert!(highest_event(&after) > highest_event(&before[3]), "{after}");
    }
}

/// It found nothing when it started.
#[test]
fn a_gateway_that_is_started_on_the_target_in_the_meantime_learns_everything() {
    let (upstream, server) = (upstream(), Postgres::shared());
    let mut gateway = Gateway::start(&upstream.url());
    let keys = Keys::create(&gateway);
    gateway.end(Signal::TERM).expect_code(0);
    let target = server.database();
    prepared(&target);
    let wait = "WHILE NOT EXISTS (SELECT FROM go_on) LOOP PERFORM pg_sleep(0.1); END LOOP; RETURN NEW;";
    server.sql(&target, &format!("CREATE TABLE go_on (now INTEGER); {}", trigger(wait)));
    let copying = Sandbox::new();
    let source = gateway.database();
    let child = copying.command(["gateway", "db", "copy", source.to_str().unwrap(), &target]).spawn();
    wait_for_sleep(server, &target);
    let other = Gateway::start_on(&target, &upstream.url(), &[]);
    assert_eq!(status(&other, &keys.kept), 401);
    server.sql(&target, "INSERT INTO go_on VALUES (1)");
    child.finish().expect_code(0);
    poll("the key", || (status(&other, &keys.kept) == 200).then_some(()));
    keys.work(&other);
}

/// Also of events that were deleted after their retention time.
#[test]
fn the_numbers_of_events_are_not_given_again() {
    let (server, sandbox) = (Postgres::shared(), Sandbox::new());
    let add = |database: &str, name: &str| {
        let add = ["gateway", "user", "add", name, "--database", database];
        sandbox.command(add).stdin("correct horse battery\n").run().expect_code(0);
        events(database)
    };
    let (one, other) = (server.database(), server.database());
    let highest = highest_event(&add(&one, "ada"));
    server.sql(&one, "DELETE FROM events");
    let file = sandbox.path("copy/gateway.db").to_str().unwrap().to_owned();
    copy(&sandbox, &one, &file, &[]).expect_code(0);
    copy(&sandbox, &file, &other, &[]).expect_code(0);
    for database in [&file, &other] {
        assert!(highest_event(&add(database, "bob")) > highest, "{database}");
    }
}

#[test]
fn each_database_has_a_password_of_its_own() {
    let (server, mut sandbox) = (Postgres::start(), Sandbox::new());
    let (one, other) = (server.database(), server.database());
    server.sql(&one, &format!("CREATE ROLE {LOCKED} LOGIN SUPERUSER PASSWORD 's3cret'"));
    let file = sandbox.path("gateway/gateway.db").to_str().unwrap().to_owned();
    let add = ["gateway", "user", "add", "ada", "--database", &file];
    sandbox.command(add).stdin("correct horse battery\n").run().expect_code(0);
    let locked = |database: &str| database.replace("gate@", "locked@");
    let password = sandbox.write("password", "s3cret\n").to_str().unwrap().to_owned();

    let refused = copy(&sandbox, &file, &locked(&one), &[]).expect_code(1);
    assert!(refused.stderr().contains("password"), "{}", refused.stderr());
    copy(&sandbox, &file, &locked(&one), &["--to-password-file", &password]).expect_code(0);
    let refused = copy(&sandbox, &locked(&one), &other, &["--to-password-file", &password]).expect_code(1);
    assert!(refused.stderr().contains("password"), "{}", refused.stderr());
    copy(&sandbox, &locked(&one), &other, &["--from-password-file", &password]).expect_code(0);
    let wrong = copy(&sandbox, &one, &other, &["--from-password-file", "/nowhere"]).expect_code(2);
    assert!(wrong.stderr().contains("--from-password-file: there is no file /nowhere"), "{}", wrong.stderr());

    // One file for both.
    let refused = copy(&sandbox, &locked(&other), &locked(&server.database()), &[]).expect_code(1);
    assert!(refused.stderr().contains("password"), "{}", refused.stderr());
    let file = sandbox.write("pgpass", format!("*:*:*:{LOCKED}:s3cret\n"));
    sandbox.set_env("PGPASSFILE", file);
    copy(&sandbox, &locked(&other), &locked(&server.database()), &[]).expect_code(0);
    sandbox.remove_env("PGPASSFILE").set_env("PGPASSWORD", "s3cret");
    copy(&sandbox, &locked(&other), &locked(&server.database()), &[]).expect_code(0);
}
