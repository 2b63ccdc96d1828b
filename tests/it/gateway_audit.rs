//! The event log as a log that can be verified: what `gateway audit verify` finds when somebody has changed the database.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::harness::cmd::{Output, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::go_log;
use crate::harness::poll;
use crate::harness::postgres::Postgres;

/// Events of a version that had no tree, before those of this one.
const OLD: u64 = 300;

/// A database of a gateway that does not run any more.
struct Given {
    sandbox: Sandbox,
    database: PathBuf,
    /// How many records it has.
    size: u64,
}

impl Given {
    fn new() -> Self {
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
        gateway.add_user("ada", "admin").add_user("bob", "member");
        for number in 0..10 {
            let role = if number % 2 == 0 { "viewer" } else { "member" };
            gateway.admin(&["user", "role", "bob", role]).expect_code(0);
        }
        gateway.end(Signal::TERM);
        let (sandbox, database) = (Sandbox::new(), gateway.database());
        let copy = sandbox.path("gateway.db");
        std::fs::copy(&database, &copy).unwrap();
        let mut given = Self { sandbox, database: copy, size: 0 };
        let found = given.verify(&given.database).expect_code(0).json();
        assert_eq!((&found["findings"], &found["outside"]), (&Value::Array(Vec::new()), &0.into()));
        given.size = found["logs"][0]["size"].as_u64().unwrap();
        assert!(given.size > OLD + 12, "{found}");
        given
    }

    fn verify(&self, database: &Path) -> Output {
        let args = ["gateway", "audit", "verify", "--json", "--database", database.to_str().unwrap()];
        self.sandbox.command(args).run()
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
fn change(database: &Path, statements: &[&str]) {
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
        assert_eq!(kinds(&found), ["tree"], "{kept}");
        let hashes =
            format!("DELETE FROM audit_hashes WHERE place >= (1 << 51) + {kept} AND place < (1 << 51) + (1 << 48)");
        assert!(!given.found_after(&[&cut, &hashes]).is_empty());
    }
    // The hash above 256 records.
    let found = given.found_after(&["UPDATE audit_hashes SET hash = zeroblob(32) WHERE place = (1 << 51) + (1 << 48)"]);
    assert_eq!((kinds(&found), &found[0]["first"], &found[0]["last"]), (vec!["hashes".into()], &0.into(), &255.into()));
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

#[test]
fn a_gateway_may_run_and_go_on_while_its_log_is_verified() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("ada", "admin").add_user("bob", "member");
    let verify = || gateway.sandbox().command(["gateway", "audit", "verify", "--database"]).args([gateway.database()]);
    let text = verify().run().expect_code(0).stdout().to_owned();
    assert!(text.contains("ollama-auth-gateway/"), "{text}");
    let size = || verify().args(["--json"]).run().expect_code(0).json()["logs"][0]["size"].as_u64().unwrap();
    let before = size();
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            for number in 0..20 {
                let role = if number % 2 == 0 { "viewer" } else { "member" };
                gateway.admin(&["user", "role", "bob", role]).expect_code(0);
            }
        });
        while !changing.is_finished() {
            assert!(size() >= before);
        }
    });
    assert_eq!(size(), before + 20);
    let events = gateway.admin(&["audit", "--json", "--limit", "3"]).expect_code(0).json();
    let indexes: Vec<u64> =
        events["events"].as_array().unwrap().iter().map(|event| event["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, [before + 19, before + 18, before + 17]);
    // A backup is a log, too.
    let backup = gateway.sandbox().path("backup.db");
    gateway.admin(&["db", "backup", backup.to_str().unwrap()]).expect_code(0);
    let of_backup = gateway.sandbox().command(["gateway", "audit", "verify", "--json", "--database"]).args([&backup]);
    assert_eq!(of_backup.run().expect_code(0).json()["logs"][0]["size"], before + 20);
    for (other, code) in [("nothing.db", 3), ("home", 1)] {
        let of = gateway.sandbox().path(other);
        gateway.sandbox().command(["gateway", "audit", "verify", "--database"]).args([of]).run().expect_code(code);
    }
}

#[test]
fn events_of_an_earlier_version_are_taken_in_with_their_range() {
    let given = Given::new();
    let show = |args: &[&str]| {
        let all = [&["gateway", "audit", "--json", "--database", given.database.to_str().unwrap()], args].concat();
        given.sandbox.command(all).run().expect_code(0).json()["events"].clone()
    };
    let imported = &show(&["--action", "audit.imported"])[0];
    let details = &imported["details"];
    assert_eq!(details["count"], OLD, "{imported}");
    let first = details["first"].as_u64().unwrap();
    assert_eq!(imported["index"], first + OLD);
    let old = &show(&["--subject", "key_7"])[0];
    assert_eq!(
        (&old["index"], &old["actor"], &old["detail"]),
        (&(first + 6).into(), &"user:eve".into(), &"a \"detail\"".into())
    );
    // While an earlier version still writes beside, the next event takes in what it wrote.
    let more = "INSERT INTO events (at, actor, action, subject, detail, address) VALUES (5, 'admin', 'user.added', 'x', '', '')";
    change(&given.database, &[more]);
    let found = given.verify(&given.database).expect_code(0).json();
    assert_eq!((&found["outside"], &found["logs"][0]["size"]), (&1.into(), &given.size.into()));
    let args = ["gateway", "user", "disable", "bob", "--database", given.database.to_str().unwrap()];
    given.sandbox.command(args).run().expect_code(0);
    let found = given.verify(&given.database).expect_code(0).json();
    assert_eq!((&found["outside"], &found["logs"][0]["size"]), (&0.into(), &(given.size + 3).into()));
    assert_eq!(show(&["--action", "audit.imported"])[0]["details"]["first"], given.size);
}

#[test]
fn gateways_on_one_postgresql_database_write_one_log() {
    let server = Postgres::start();
    let database = server.database();
    let gateways = [(); 3].map(|()| Gateway::start_on(&database, "http://127.0.0.1:9", &[]));
    gateways[0].add_user("ada", "admin");
    std::thread::scope(|scope| {
        for (number, gateway) in gateways.iter().enumerate() {
            scope.spawn(move || {
                for round in 0..10 {
                    gateway.add_user(&format!("person-{number}-{round}"), "member");
                }
            });
        }
    });
    let verify = || {
        let args = ["gateway", "audit", "verify", "--json", "--database", &database];
        gateways[0].sandbox().command(args).run()
    };
    let found = verify().expect_code(0).json();
    assert!(found["logs"][0]["size"].as_u64().unwrap() >= 31, "{found}");
    assert_eq!(found["logs"].as_array().unwrap().len(), 1);
    server.sql(&database, "UPDATE events SET record = replace(record, 'person-1-3', 'person-1-4')");
    let found = verify().expect_code(8).json();
    assert_eq!(found["findings"][0]["kind"], "changed");
}

/// A gateway that runs, with people in its log.
fn running() -> Gateway {
    let gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("ada", "admin").add_user("bob", "member");
    gateway
}

fn audit(gateway: &Gateway, args: &[&str]) -> Output {
    let command = gateway.sandbox().command(["gateway", "audit"]).args(args);
    command.args(["--database"]).args([gateway.database()]).run()
}

/// The latest checkpoint, once it has so many records.
fn checkpoint(gateway: &Gateway, size: u64) -> String {
    poll("a checkpoint", || {
        let output = audit(gateway, &["checkpoint", "--json"]);
        let shown = (output.code() == 0).then(|| output.json())?;
        (shown["size"].as_u64()? >= size).then(|| shown["checkpoint"].as_str().unwrap().to_owned())
    })
}

#[test]
fn checkpoints_and_proofs_are_good_for_programs_that_are_not_ours() {
    let gateway = running();
    let note = checkpoint(&gateway, 1);
    let key = audit(&gateway, &["key"]).expect_code(0).stdout().trim().to_owned();
    let origin = note.lines().next().unwrap().to_owned();
    let (record, sandbox) = (gateway.sandbox().path("record.json"), gateway.sandbox());
    let proof =
        audit(&gateway, &["prove", "0", "--record", record.to_str().unwrap()]).expect_code(0).stdout().to_owned();
    let record = std::fs::read_to_string(record).unwrap();
    let case = |proof: &str, record: &str| json!({ "kind": "tlog_proof", "text": proof, "keys": [key], "origin": origin, "record": record });
    let cases = [
        json!({ "kind": "checkpoint", "text": note, "keys": [key], "origin": origin }),
        case(&proof, &record),
        json!({ "kind": "checkpoint", "text": note.replacen('\n', "x\n", 1), "keys": [key], "origin": origin }),
        case(&proof, &record.replace("admin", "Admin")),
        case(&proof.replace("index 0", "index 1"), &record),
    ];
    let verdicts = go_log::check(&cases);
    assert_eq!(
        verdicts.iter().map(String::is_empty).collect::<Vec<_>>(),
        [true, true, false, false, false],
        "{verdicts:?}"
    );
    // What is not there, or not in a checkpoint yet.
    audit(&gateway, &["prove", "1000"]).expect_code(3);
    // The key is secret, and the log holds none.
    let secret = std::fs::read_to_string(format!("{}.audit-key", gateway.database().display())).unwrap();
    sandbox.assert_no_secret(
        secret.trim(),
        &[&audit(&gateway, &["key"]), &audit(&gateway, &[])],
        &["gateway/gateway.db.audit-key"],
    );
}

#[test]
fn a_database_that_went_back_is_found_by_a_checkpoint_and_not_signed() {
    let mut gateway = running();
    let first = checkpoint(&gateway, 1);
    let key = audit(&gateway, &["key"]).expect_code(0).stdout().trim().to_owned();
    gateway.end(Signal::TERM);
    let database = gateway.database();
    let backup = gateway.sandbox().path("backup.db");
    std::fs::copy(&database, &backup).unwrap();
    // More events, and a checkpoint of all of them: the last one is five minutes old by the database.
    let older = "UPDATE audit_checkpoints SET made_at = made_at - 400";
    gateway.restart();
    for number in 0..5 {
        gateway.add_user(&format!("person-{number}"), "member");
    }
    gateway.end(Signal::TERM);
    change(&database, &[older]);
    gateway.restart();
    let size = first.lines().nth(1).unwrap().parse::<u64>().unwrap();
    let second = checkpoint(&gateway, size + 5);
    gateway.end(Signal::TERM);
    let kept = gateway.sandbox().write("checkpoints.txt", format!("{first}{second}"));
    let kept = kept.to_str().unwrap();
    let verify = |database: &Path| {
        let args = ["gateway", "audit", "verify", "--json", "--checkpoints", kept, "--key", &key, "--database"];
        gateway.sandbox().command(args).args([database]).run()
    };
    let found = verify(&database).expect_code(0).json();
    assert_eq!(found["logs"][0]["proven_until"], second.lines().nth(1).unwrap().parse::<u64>().unwrap());
    // Somebody puts the backup in its place.
    let found = verify(&backup).expect_code(8).json();
    assert_eq!(found["findings"][0]["kind"], "cut");
    std::fs::copy(&backup, &database).unwrap();
    for more in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{more}", database.display()));
    }
    change(&database, &[older]);
    gateway.restart();
    gateway.add_user("eve", "admin");
    gateway.child().wait_stderr(|text| text.contains("does not extend its checkpoint"));
    assert_eq!(audit(&gateway, &["checkpoint"]).expect_code(0).stdout().trim(), first.trim(), "nothing is signed");
    // Checkpoints that were changed, of another key, and of another gateway.
    let other = running();
    let foreign = gateway.sandbox().write("foreign.txt", checkpoint(&other, 1));
    let foreign_key = audit(&other, &["key"]).expect_code(0).stdout().trim().to_owned();
    let forged = gateway
        .sandbox()
        .write("forged.txt", second.replacen(&format!("\n{}\n", second.lines().nth(1).unwrap()), "\n9\n", 1));
    let empty = gateway.sandbox().write("empty.txt", "");
    for (file, key, words) in [
        (&forged, &key, "does not match"),
        (&foreign, &key, "none of the known keys"),
        (&foreign, &foreign_key, "which this database does not have"),
        (&empty, &key, "no checkpoint"),
    ] {
        let output = audit(&gateway, &["verify", "--checkpoints", file.to_str().unwrap(), "--key", key])
            .expect_code(1)
            .stderr()
            .to_owned();
        assert!(output.contains(words), "{words}: {output}");
    }
}

#[test]
fn without_a_key_that_is_private_a_gateway_serves_and_signs_nothing() {
    let mut gateway = running();
    let note = checkpoint(&gateway, 1);
    gateway.end(Signal::TERM);
    let file = format!("{}.audit-key", gateway.database().display());
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    gateway.restart();
    gateway.child().wait_stderr(|text| text.contains("checkpoints of the event log are not signed"));
    gateway.add_user("eve", "member");
    audit(&gateway, &["key"]).expect_code(1);
    gateway.end(Signal::TERM);
    // Another key than the one that signed before.
    std::fs::remove_file(&file).unwrap();
    change(&gateway.database(), &["UPDATE audit_checkpoints SET made_at = made_at - 400"]);
    gateway.restart();
    gateway.child().wait_stderr(|text| text.contains("signed with another key"));
    assert_eq!(audit(&gateway, &["checkpoint"]).expect_code(0).stdout().trim(), note.trim());
    audit(&gateway, &["verify"]).expect_code(0);
}

#[test]
fn each_checkpoint_is_appended_to_the_file_that_is_kept() {
    let kept = Sandbox::new();
    let file = kept.path("checkpoints.txt");
    let set = format!("audit-checkpoint-file={}", file.display());
    let gateway = Gateway::start_with("http://127.0.0.1:9", &["--set", &set]);
    gateway.add_user("ada", "admin");
    let note = checkpoint(&gateway, 1);
    poll("the copy", || (std::fs::read_to_string(&file).ok()? == note).then_some(()));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    audit(&gateway, &["verify", "--checkpoints", file.to_str().unwrap()]).expect_code(0);
    // What proves nothing is not printed.
    change(&gateway.database(), &["UPDATE events SET record = replace(record, 'admin', 'Admin') WHERE log_index = 0"]);
    let refused = audit(&gateway, &["prove", "0"]).expect_code(1).stderr().to_owned();
    assert!(refused.contains("not what the checkpoint names"), "{refused}");
}

#[test]
fn a_copy_that_cannot_be_written_keeps_nobody_from_anything() {
    let kept = Sandbox::new();
    let pipe = kept.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let set = format!("audit-checkpoint-file={}", pipe.display());
    let mut gateway = Gateway::start_with("http://127.0.0.1:9", &["--set", &set]);
    gateway.add_user("ada", "admin");
    gateway.child().wait_stderr(|text| text.contains("the checkpoint cannot be appended"));
    gateway.add_user("bob", "member");
    checkpoint(&gateway, 1);
    assert_eq!(gateway.end(Signal::TERM).code(), 0);
}

#[test]
fn another_log_is_begun_after_a_restore_and_in_a_copy() {
    let mut gateway = running();
    let first = checkpoint(&gateway, 1);
    let origin = first.lines().next().unwrap();
    let begun = gateway.admin(&["audit", "new-log", "--reason", "restored", "--json"]).expect_code(0).json();
    assert_ne!(begun["origin"], origin);
    gateway.add_user("eve", "member");
    let event = gateway.admin(&["audit", "--action", "audit.log_begun", "--json"]).expect_code(0).json();
    let event = &event["events"][0];
    assert_eq!((&event["index"], &event["log"], &event["subject"]), (&0.into(), &2.into(), &begun["origin"]));
    let details = &event["details"];
    assert_eq!((&details["before"], &details["checkpoint"]), (&origin.into(), &first.clone().into()));
    assert_eq!(details["reason"], "restored");
    // It is signed, too, and both are verified.
    let second = poll("a checkpoint of the other log", || {
        let note = audit(&gateway, &["checkpoint"]).expect_code(0).stdout().to_owned();
        (note.lines().next() == begun["origin"].as_str()).then_some(note)
    });
    let kept = gateway.sandbox().write("kept.txt", format!("{first}{second}"));
    let found = audit(&gateway, &["verify", "--json", "--checkpoints", kept.to_str().unwrap()]).expect_code(0).json();
    let logs = found["logs"].as_array().unwrap();
    assert_eq!((logs.len(), &logs[0]["origin"], &logs[1]["origin"]), (2, &origin.into(), &begun["origin"]));
    assert!(logs.iter().all(|log| log["proven_until"].as_u64() > Some(0)), "{found}");
    gateway.end(Signal::TERM);
    let copy = gateway.sandbox().path("copy.db");
    let sandbox = gateway.sandbox();
    sandbox.command(["gateway", "db", "copy"]).args([gateway.database(), copy.clone()]).run().expect_code(0);
    let found = sandbox.command(["gateway", "audit", "verify", "--json", "--database"]).args([&copy]).run();
    assert_eq!(found.expect_code(0).json()["logs"].as_array().unwrap().len(), 3);
    audit(&gateway, &["verify"]).expect_code(0);
}
