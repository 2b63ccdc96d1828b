//! What `gateway audit verify` finds when somebody has changed a database file. Each record of a log of 1,000 is changed in the unit tests
//! of `src/gateway/audit/tests/tampering.rs`.

use std::path::{Path, PathBuf};

use ollama_auth::transparency_log::{Frontier, Hash, Subtree};
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};

use crate::gateway_audit::checkpoint;
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::gateway::Gateway;

/// Events of a version that had no tree, before those of this one.
pub const OLD: u64 = 300;

/// A database of a gateway that does not run any more.
pub struct Given {
    pub sandbox: Sandbox,
    pub database: PathBuf,
    /// How many records it has.
    pub size: u64,
    /// Checkpoints that were kept elsewhere, and the verifier key.
    checkpoints: PathBuf,
    key: String,
}

impl Given {
    pub fn new() -> Self {
        let mut gateway = Gateway::start("http://127.0.0.1:9");
        gateway.end(Signal::TERM);
        change(
            &gateway.database(),
            &[&format!(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {OLD}) \
                 INSERT INTO events (at, actor, action, subject, detail, address) \
                 SELECT i, 'user:eve', 'key.ending', 'key_' || i, 'a \"detail\"', '' FROM n"
            )],
        );
        gateway.restart();
        let first = checkpoint(&gateway, OLD);
        gateway.add_user("ada", "admin").add_user("bob", "member");
        for number in 0..10 {
            let role = if number % 2 == 0 { "viewer" } else { "member" };
            gateway.admin(&["user", "role", "bob", role]).expect_code(0);
        }
        gateway.end(Signal::TERM);
        // As if it were five minutes old.
        change(&gateway.database(), &["UPDATE audit_checkpoints SET made_at = made_at - 400"]);
        gateway.restart();
        let last = checkpoint(&gateway, OLD + 13);
        let key = gateway.admin(&["audit", "key"]).expect_code(0).stdout().trim().to_owned();
        gateway.end(Signal::TERM);
        let (sandbox, database) = (Sandbox::new(), gateway.database());
        let copy = sandbox.path("gateway.db");
        std::fs::copy(&database, &copy).unwrap();
        let checkpoints = sandbox.write("checkpoints.txt", format!("{first}{last}"));
        let mut given = Self { sandbox, database: copy, size: 0, checkpoints, key };
        let found = given.verify(&given.database).expect_code(0).json();
        assert_eq!((&found["findings"], &found["outside"]), (&Value::Array(Vec::new()), &0.into()));
        given.size = found["logs"][0]["size"].as_u64().unwrap();
        assert!(given.size > OLD + 12, "{found}");
        given
    }

    pub fn verify(&self, database: &Path) -> Output {
        let args = ["gateway", "audit", "verify", "--json", "--database", database.to_str().unwrap()];
        self.sandbox.command(args).run()
    }

    /// The same with the checkpoints that were kept elsewhere.
    fn verify_with_checkpoints(&self, database: &Path) -> Output {
        let args =
            ["gateway", "audit", "verify", "--json", "--database", database.to_str().unwrap(), "--key", &self.key];
        self.sandbox.command(args).args(["--checkpoints"]).args([&self.checkpoints]).run()
    }

    /// What is found after these statements.
    #[track_caller]
    fn found_after(&self, statements: &[&str]) -> Vec<Value> {
        let copy = self.sandbox.path("changed.db");
        std::fs::copy(&self.database, &copy).unwrap();
        change(&copy, statements);
        let found = self.verify(&copy).expect_code(8).json();
        found["findings"].as_array().unwrap().clone()
    }
}

/// Changes a database behind the gateway's back.
pub fn change(database: &Path, statements: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(database).foreign_keys(false);
        let mut connection = options.connect().await.unwrap();
        for statement in statements {
            sqlx::query(AssertSqlSafe((*statement).to_owned())).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    });
}

#[test]
fn every_change_of_a_record_is_found_and_named() {
    let given = Given::new();
    let kinds = |found: &[Value]| found.iter().map(|finding| finding["kind"].clone()).collect::<Vec<_>>();
    for index in [0, 1, 127, 255, 256, OLD - 1, OLD, OLD + 1, given.size - 1] {
        // The bytes, in a way that can still be read.
        let edit =
            format!("UPDATE events SET record = replace(record, '\"at\":', '\"at\": ') WHERE log_index = {index}");
        let found = given.found_after(&[&edit]);
        assert_eq!((kinds(&found), found[0]["index"].as_u64()), (vec!["changed".into()], Some(index)));
        let found = given.found_after(&[&format!("UPDATE events SET record = NULL WHERE log_index = {index}")]);
        assert_eq!((kinds(&found), found[0]["index"].as_u64()), (vec!["changed".into()], Some(index)));
        // What filters compare.
        for column in ["at", "count"] {
            let found = given.found_after(&[&format!("UPDATE events SET {column} = 77 WHERE log_index = {index}")]);
            assert_eq!((kinds(&found), &found[0]["columns"][0]), (vec!["columns".into()], &Value::from(column)));
        }
        for column in ["actor", "action", "subject", "address", "account", "account_id", "code", "request"] {
            let found = given.found_after(&[&format!("UPDATE events SET {column} = 'x.y' WHERE log_index = {index}")]);
            assert_eq!((kinds(&found), &found[0]["columns"][0]), (vec!["columns".into()], &Value::from(column)));
        }
        // A record that is gone; the last one is missing in the stored tree.
        let found = given.found_after(&[&format!("DELETE FROM events WHERE log_index = {index}")]);
        let kind = match index {
            last if last == given.size - 1 => "tree",
            _ => "missing",
        };
        assert!(kinds(&found).contains(&kind.into()), "{index}: {found:?}");
        // Its hash, in the table.
        let found = given
            .found_after(&[&format!("UPDATE audit_hashes SET hash = zeroblob(32) WHERE place = (1 << 51) + {index}")]);
        assert!(kinds(&found).contains(&"changed".into()), "{index}: {found:?}");
        let found = given.found_after(&[&format!("DELETE FROM audit_hashes WHERE place = (1 << 51) + {index}")]);
        assert!(kinds(&found).contains(&"hashes".into()), "{index}: {found:?}");
    }
    for index in [0, 254, 255, 256, given.size - 2] {
        let swap = format!(
            "UPDATE events SET log_index = CASE log_index WHEN {index} THEN -{index} - 2 ELSE -{index} - 3 END \
             WHERE log_index IN ({index}, {index} + 1)"
        );
        let back = format!("UPDATE events SET log_index = {index} + 1 WHERE log_index = -{index} - 2");
        let other = format!("UPDATE events SET log_index = {index} WHERE log_index = -{index} - 3");
        let found = given.found_after(&[&swap, &back, &other]);
        let changed = found.iter().filter(|finding| finding["kind"] == "changed");
        assert_eq!(changed.map(|finding| finding["index"].as_u64().unwrap()).collect::<Vec<_>>(), [index, index + 1]);
        // By their numbers they are shown in another order.
        let found = given.found_after(&[
            &format!("UPDATE events SET id = -id WHERE log_index = {index} + 1"),
            "UPDATE events SET id = -id WHERE id < -100000",
        ]);
        assert_eq!((kinds(&found), found[0]["index"].as_u64()), (vec!["order".into()], Some(index + 1)));
    }
}

#[test]
fn a_log_that_was_cut_or_given_other_hashes_is_found() {
    let given = Given::new();
    let kinds = |found: &[Value]| found.iter().map(|finding| finding["kind"].clone()).collect::<Vec<_>>();
    for kept in [0, 1, 255, 256, 257, given.size - 1] {
        let cut = format!("DELETE FROM events WHERE log_index >= {kept}");
        let found = given.found_after(&[&cut]);
        // The checkpoint that is stored names more records, too.
        assert_eq!(kinds(&found), ["tree", "cut"], "{kept}");
        let hashes =
            format!("DELETE FROM audit_hashes WHERE place >= (1 << 51) + {kept} AND place < (1 << 51) + (1 << 48)");
        assert!(!given.found_after(&[&cut, &hashes]).is_empty());
    }
    // The hash above 256 records.
    let found = given.found_after(&["UPDATE audit_hashes SET hash = zeroblob(32) WHERE place = (1 << 51) + (1 << 48)"]);
    assert_eq!((kinds(&found), &found[0]["first"], &found[0]["last"]), (vec!["hashes".into()], &0.into(), &255.into()));
    // One that cannot be a hash is named like a wrong one, and the records can still be exported.
    for (place, last) in [("(1 << 51) + 7", 7), ("(1 << 51) + (1 << 48)", 255)] {
        let short = format!("UPDATE audit_hashes SET hash = x'00' WHERE place = {place}");
        let found = given.found_after(&["PRAGMA ignore_check_constraints = ON", &short]);
        assert_eq!((kinds(&found), &found[0]["last"]), (vec!["hashes".into()], &last.into()), "{place}");
        let copy = given.sandbox.path("changed.db");
        let exported = given.sandbox.command(["gateway", "audit", "export", "--database", copy.to_str().unwrap()]);
        let lines = exported.run().expect_code(0).stdout().lines().count();
        assert_eq!(lines as u64, given.size, "{place}");
    }
    for statement in [
        "UPDATE audit_logs SET size = size + 1",
        "UPDATE audit_logs SET size = 0, frontier = zeroblob(8)",
        "UPDATE audit_logs SET frontier = CAST(substr(frontier, 1, length(frontier) - 32) || zeroblob(32) AS BLOB)",
        "UPDATE audit_logs SET frontier = x'00'",
    ] {
        assert_eq!(kinds(&given.found_after(&[statement])), ["tree"], "{statement}");
    }
    // A record in between: all later ones move.
    let found = given.found_after(&[
        "UPDATE events SET log_index = -log_index - 1 WHERE log_index >= 100",
        "UPDATE events SET log_index = -log_index WHERE log_index < 0",
        "INSERT INTO events (at, actor, action, subject, detail, address, record, log, log_index) \
         SELECT at, actor, action, subject, detail, address, record, log, 100 FROM events WHERE log_index = 99",
    ]);
    assert!(kinds(&found).contains(&"changed".into()) && kinds(&found).contains(&"tree".into()));
    assert_eq!(found.iter().find(|finding| finding["kind"] == "changed").unwrap()["index"], 100);
}

#[test]
fn events_beside_the_log_are_found() {
    let given = Given::new();
    let kinds = |found: &[Value]| found.iter().map(|finding| finding["kind"].clone()).collect::<Vec<_>>();
    let add = |log: &str, index: &str| {
        format!(
            "INSERT INTO events (at, actor, action, subject, detail, address, record, log, log_index) \
             SELECT at, actor, action, subject, detail, address, record, {log}, {index} FROM events WHERE log_index = 5"
        )
    };
    // In a log that is not there, at no index, and at one that another has.
    for (log, index) in [("99", "0"), ("1", "-5"), ("1", "NULL"), ("1", "1 << 60"), ("1", "7"), ("1", "1999")] {
        let found = given.found_after(&["DROP INDEX events_of_log", &add(log, index)]);
        assert!(!found.is_empty() && !kinds(&found).contains(&"columns".into()), "{log} {index}: {found:?}");
    }
    let found = given.found_after(&["DROP INDEX events_of_log", &add("1", "7")]);
    assert_eq!((kinds(&found), &found[0]["count"]), (vec!["stray".into()], &1.into()));
    // Far behind the end: nothing is counted up to there.
    let found = given.found_after(&[&add("1", "1 << 47")]);
    assert!(kinds(&found).contains(&"missing".into()) && kinds(&found).contains(&"tree".into()), "{found:?}");
    let found = given.found_after(&["DELETE FROM audit_logs"]);
    assert_eq!((kinds(&found), &found[0]["count"]), (vec!["stray".into()], &given.size.into()));
    // A record that says that others were removed counts only if it is in the log itself.
    let removed = json!({ "details": { "log": 1, "first_kept": 1, "hashes": [] } });
    let claim = format!(
        "INSERT INTO events (at, actor, action, subject, detail, address, record) \
         VALUES (5, 'gateway', 'audit.removed', '', '', '', '{removed}')"
    );
    let found = given.found_after(&["DELETE FROM events WHERE log_index = 0", &claim]);
    assert!(kinds(&found).contains(&"missing".into()), "{found:?}");
}

/// Computes all hashes and the tree anew, as an attacker does who knows how, and removes the stored checkpoints.
fn recompute(database: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = SqliteConnectOptions::new().filename(database).connect().await.unwrap();
        let records: Vec<(i64, String)> = sqlx::query_as("SELECT id, record FROM events ORDER BY log_index, id DESC")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        for statement in [
            "BEGIN",
            "UPDATE events SET log_index = -id, id = -id",
            "DELETE FROM audit_hashes",
            "DELETE FROM audit_checkpoints",
        ] {
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
        let mut tree = Frontier::new();
        for (id, record) in records {
            sqlx::query("UPDATE events SET log_index = $1, id = $1 + 1 WHERE id = $2")
                .bind(tree.size() as i64)
                .bind(-id)
                .execute(&mut connection)
                .await
                .unwrap();
            let mut stored = Vec::new();
            tree.append_and_store(Hash::of_record(record.as_bytes()), |subtree, hash| stored.push((subtree, hash)));
            for (subtree, hash) in stored {
                store(&mut connection, subtree, hash).await;
            }
        }
        let query = sqlx::query("UPDATE audit_logs SET size = $1, frontier = $2").bind(tree.size() as i64);
        query.bind(tree.to_bytes()).execute(&mut connection).await.unwrap();
        sqlx::query("COMMIT").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

async fn store(connection: &mut SqliteConnection, Subtree { level, index }: Subtree, hash: Hash) {
    let place = (1 << 51) + (i64::from(level / 8) << 48) + index as i64;
    let query = sqlx::query("INSERT INTO audit_hashes (place, hash) VALUES ($1, $2)").bind(place);
    query.bind(hash.as_bytes().to_vec()).execute(connection).await.unwrap();
}

#[test]
fn hashes_that_an_attacker_computed_anew_are_found_with_checkpoints_from_elsewhere() {
    let given = Given::new();
    let found = given.verify_with_checkpoints(&given.database).expect_code(0).json();
    let (size, first) = (found["logs"][0]["size"].as_u64().unwrap(), OLD + 1);
    assert_eq!(found["logs"][0]["proven_until"], size, "{found}");
    // The first checkpoint is of the records that were taken in, and the one that says so.
    let (before, after) = (first - 1, size - 2);
    for index in [0, before, after] {
        let edit = format!(
            "UPDATE events SET at = at + 1, record = replace(record, '\"at\":' || at || ',', '\"at\":' || (at + 1) || ',') \
             WHERE log_index = {index}"
        );
        let away = format!("UPDATE events SET log_index = -1 WHERE log_index = {index}");
        let swap = format!("UPDATE events SET log_index = {index} WHERE log_index = {index} + 1");
        let back = format!("UPDATE events SET log_index = {index} + 1 WHERE log_index = -1");
        let columns = "at, actor, action, subject, detail, address, account, account_id, code, request, last_at, count, record, log";
        let insert = format!(
            "INSERT INTO events ({columns}, log_index) SELECT {columns}, {index} FROM events ORDER BY id DESC LIMIT 1"
        );
        let delete = format!("DELETE FROM events WHERE log_index = {index}");
        let cut = format!("DELETE FROM events WHERE log_index >= {index}");
        for (what, statements) in [
            ("edited", vec![&*edit]),
            ("deleted", vec![&*delete]),
            ("swapped", vec![&*away, &*swap, &*back]),
            ("inserted", vec!["DROP INDEX events_of_log", &*insert]),
            ("cut", vec![&*cut]),
        ] {
            let copy = given.sandbox.path("recomputed.db");
            std::fs::copy(&given.database, &copy).unwrap();
            change(&copy, &statements);
            recompute(&copy);
            let clean = given.verify(&copy).expect_code(0).json();
            assert_eq!(clean["logs"][0]["proven_until"], Value::Null, "{what} {index}");
            let found = given.verify_with_checkpoints(&copy).expect_code(8).json();
            let proven = if index < first { Value::Null } else { first.into() };
            assert_eq!(found["logs"][0]["proven_until"], proven, "{what} {index}: {found}");
            let (from, to) = if index < first { (0, first - 1) } else { (first, size - 1) };
            let rewritten =
                json!({ "kind": "rewritten", "log": found["logs"][0]["origin"], "first": from, "last": to });
            let findings = found["findings"].as_array().unwrap();
            let is_cut = findings.iter().any(|finding| finding["kind"] == "cut" && finding["checkpoint"] == size);
            assert!(findings.contains(&rewritten) || is_cut, "{what} {index}: {found}");
        }
    }
}

#[test]
fn checkpoints_that_are_gone_or_replaced_and_a_backup_are_found_with_those_from_elsewhere() {
    let given = Given::new();
    let copy = given.sandbox.path("changed.db");
    let found = |statements: &[&str]| {
        std::fs::copy(&given.database, &copy).unwrap();
        change(&copy, statements);
        given.verify_with_checkpoints(&copy)
    };
    let missing = found(&["DELETE FROM audit_checkpoints"]).expect_code(8).json();
    let kinds: Vec<&Value> = missing["findings"].as_array().unwrap().iter().map(|finding| &finding["kind"]).collect();
    assert_eq!(kinds, ["checkpoint-missing"], "the last one may be younger than the database: {missing}");
    given.verify(&copy).expect_code(0);
    let replace =
        "UPDATE audit_checkpoints SET note = replace(note, char(10) || size || char(10), char(10) || 7 || char(10))";
    found(&[replace]).expect_code(8);
    assert_eq!(given.verify(&copy).expect_code(8).json()["findings"][0]["kind"], "checkpoint");
    // A backup from before the last events.
    found(&["DELETE FROM events WHERE log_index >= 290", "DELETE FROM audit_checkpoints"]);
    recompute(&copy);
    let backup = given.verify_with_checkpoints(&copy).expect_code(8).json();
    assert_eq!((&backup["findings"][0]["kind"], &backup["findings"][0]["size"]), (&json!("cut"), &json!(290)));
    // Under the name of another log nothing can be compared, unless its stored checkpoints have the old one.
    let rename = "UPDATE audit_logs SET origin = origin || 'x'";
    assert_eq!(found(&[rename]).expect_code(8).json()["findings"][0]["kind"], "checkpoint");
    let other = found(&[rename, "DELETE FROM audit_checkpoints"]).expect_code(1);
    assert!(other.stderr().contains("which this database does not have"), "{}", other.stderr());
}

/// A filter by time passes over blocks of other times.
#[test]
fn times_that_would_hide_events_from_filters_are_found() {
    let given = Given::new();
    let note = |block: u64, last: &str| {
        format!("INSERT INTO event_times (block, first_at, last_at) VALUES ({block}, 0, {last})")
    };
    // Of other times; and as if there were no events in a block before the last one that is noted.
    for statement in [note(0, "5"), note(1, "1 << 40")] {
        let found = given.found_after(&[&statement]);
        assert_eq!(found, [json!({ "kind": "times", "first": 0, "last": 1023 })]);
    }
    let copy = given.sandbox.path("noted.db");
    std::fs::copy(&given.database, &copy).unwrap();
    change(&copy, &[&note(0, "1 << 40")]);
    given.verify(&copy).expect_code(0);
}
