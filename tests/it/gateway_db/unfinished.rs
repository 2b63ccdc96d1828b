//! Copies that fail on their way: the target is empty afterwards, and can be copied to again.

use rustix::process::Signal;

use super::{COPYING, contents, copy, prepared, shown, trigger, wait_for_sleep};
use crate::harness::cmd::{PROGRAM, Sandbox};
use crate::harness::postgres::Postgres;

/// A database with an account and some events, and its content.
fn filled(sandbox: &Sandbox, database: &str) -> Vec<serde_json::Value> {
    let add = ["gateway", "user", "add", "ada", "--database", database];
    sandbox.command(add).stdin("correct horse battery\n").run().expect_code(0);
    contents(database)
}

fn is_empty(database: &str) -> bool {
    let contents = contents(database);
    contents
        .iter()
        .all(|list| list.as_object().unwrap().values().all(|value| value.as_array().is_none_or(Vec::is_empty)))
}

const NO_TRIGGER: &str = "DROP TRIGGER meddle ON events; DROP FUNCTION meddle";

#[test]
fn a_copy_that_differs_is_reported_and_not_stored() {
    let (server, sandbox) = (Postgres::shared(), Sandbox::new());
    let source = sandbox.path("gateway/gateway.db").to_str().unwrap().to_owned();
    let before = filled(&sandbox, &source);
    let target = server.database();
    prepared(&target);
    for body in ["NEW.actor = NEW.actor || 'x'; RETURN NEW;", "RETURN NULL;"] {
        server.sql(&target, &trigger(body));
        let failed = copy(&sandbox, &source, &target, &["--json"]).expect_code(1);
        for table in failed.json()["tables"].as_array().unwrap() {
            assert_eq!(table["verified"].as_bool(), Some(table["table"] != "events"), "{table}");
        }
        let says = format!("{} would not hold the same as {source}: events", shown(&target));
        assert!(
            failed.stderr().contains(&says) && failed.stderr().contains("nothing was stored"),
            "{}",
            failed.stderr()
        );
        server.sql(&target, NO_TRIGGER);
        assert!(is_empty(&target));
    }
    copy(&sandbox, &source, &target, &[]).expect_code(0);
    assert_eq!(contents(&target), before);
}

#[test]
fn a_copy_that_is_killed_leaves_an_empty_target() {
    let (server, sandbox) = (Postgres::shared(), Sandbox::new());
    let (source, target) = (server.database(), server.database());
    let file = sandbox.path("gateway/gateway.db").to_str().unwrap().to_owned();
    let before = filled(&sandbox, &source);
    let kill = |from: &str, to: &str, sleeper: &str| {
        let child = sandbox.command(["gateway", "db", "copy", from, to]).spawn();
        wait_for_sleep(server, sleeper);
        child.signal(Signal::KILL);
        assert_ne!(child.finish().code(), 0);
        server.sql(sleeper, &format!("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE {COPYING}"));
    };

    // Accounts were written, and the events are being read.
    let slow = "ALTER TABLE events RENAME TO others; \
                CREATE VIEW events AS SELECT * FROM others WHERE pg_sleep(3000) IS NOT NULL";
    server.sql(&source, slow);
    kill(&source, &file, &source);
    server.sql(&source, "DROP VIEW events; ALTER TABLE others RENAME TO events");
    assert!(is_empty(&file));
    copy(&sandbox, &source, &file, &[]).expect_code(0);
    assert_eq!(contents(&file), before);

    prepared(&target);
    server.sql(&target, &trigger("PERFORM pg_sleep(3000); RETURN NEW;"));
    kill(&file, &target, &target);
    server.sql(&target, NO_TRIGGER);
    assert!(is_empty(&target));
    copy(&sandbox, &file, &target, &[]).expect_code(0);
    assert_eq!(contents(&target), before);
}

/// The limit of a file's size stands for a full disk.
#[test]
fn a_full_disk_leaves_an_empty_target_and_no_backup() {
    let (server, sandbox) = (Postgres::shared(), Sandbox::new());
    let source = server.database();
    filled(&sandbox, &source);
    server.sql(
        &source,
        "INSERT INTO events (at, actor, action, subject, detail, address) \
         SELECT 7, 'admin', 'test.made', repeat('x', 1000), '', '' FROM generate_series(1, 2000)",
    );
    let limited = |args: &[&str]| {
        let script = "trap '' XFSZ; ulimit -f 600; exec \"$0\" \"$@\"";
        sandbox.program("/bin/sh", [&["-c", script, PROGRAM, "gateway", "db"], args].concat()).run()
    };
    let file = sandbox.path("gateway/gateway.db").to_str().unwrap().to_owned();
    let full = limited(&["copy", &source, &file]).expect_code(1);
    assert!(full.stderr().contains(&format!("cannot write the database {file}")), "{}", full.stderr());
    assert!(is_empty(&file));
    copy(&sandbox, &source, &file, &[]).expect_code(0);

    for database in [&source, &file] {
        let full = limited(&["backup", "backup.db", "--database", database]).expect_code(1);
        assert!(full.stderr().contains("cannot write the database backup.db"), "{}", full.stderr());
        let left: Vec<_> = std::fs::read_dir(sandbox.home()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().contains("backup")), "{left:?}");
    }
}
