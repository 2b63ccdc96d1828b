//! The event log as a log that can be verified: beside gateways that run, on both engines, with checkpoints and proofs.

use std::path::Path;

use rustix::process::Signal;
use serde_json::json;

use crate::gateway_audit_tampering::{Given, OLD, change};
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::go_log;
use crate::harness::poll;
use crate::harness::postgres::Postgres;

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
pub fn checkpoint(gateway: &Gateway, size: u64) -> String {
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
