//! `gateway audit export`, and what an auditor finds in the file that was exported.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::gateway_audit_tampering::change;
use crate::harness::cmd::Output;
use crate::harness::gateway::Gateway;

fn audit(gateway: &Gateway, args: &[&str]) -> Output {
    gateway.admin(&[&["audit"], args].concat())
}

/// A gateway with some people, and a checkpoint of its log.
fn given() -> (Gateway, PathBuf) {
    let gateway = Gateway::start("http://127.0.0.1:9");
    for number in 0..6 {
        gateway.add_user(&format!("person-{number}"), "member");
    }
    let note = audit(&gateway, &["checkpoint", "--now"]).expect_code(0).stdout().to_owned();
    let kept = gateway.sandbox().write("kept.txt", note);
    (gateway, kept)
}

/// Verifies a file as an auditor does, on a machine without the gateway.
fn verify(gateway: &Gateway, file: &Path, kept: &Path) -> Output {
    let key = audit(gateway, &["key"]).expect_code(0).stdout().trim().to_owned();
    let sandbox = crate::harness::cmd::Sandbox::new();
    let command = sandbox.command(["gateway", "audit", "verify", "--json"]).args([file]).args(["--checkpoints"]);
    command.args([kept]).args(["--key", &key]).run()
}

fn kinds(found: &Value) -> Vec<&str> {
    found["findings"].as_array().unwrap().iter().map(|finding| finding["kind"].as_str().unwrap()).collect()
}

#[test]
fn an_export_is_verified_without_the_database() {
    let (gateway, kept) = given();
    let file = gateway.sandbox().path("events.jsonl");
    let shown = file.to_str().unwrap();
    audit(&gateway, &["export", shown]).expect_code(0);
    let text = std::fs::read_to_string(&file).unwrap();
    // As they are stored; the same on standard output.
    assert_eq!(audit(&gateway, &["export"]).expect_code(0).stdout(), text);
    let actions: Vec<Value> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["action"].clone()).collect();
    assert_eq!(actions.len(), 6);
    let found = verify(&gateway, &file, &kept).expect_code(0).json();
    assert_eq!((&found["logs"][0]["size"], &found["logs"][0]["proven_until"]), (&6.into(), &6.into()));
    // Nothing is replaced.
    assert!(audit(&gateway, &["export", shown]).expect_code(1).stderr().contains("already exists"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);

    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let changed = |text: String| gateway.sandbox().write("changed.jsonl", text);
    for at in 0..lines.len() {
        let mut edited = lines.clone();
        let line = lines[at].replace("member", "admin");
        edited[at] = &line;
        assert_eq!(kinds(&verify(&gateway, &changed(edited.concat()), &kept).expect_code(8).json()), ["rewritten"]);
        let mut swapped = lines.clone();
        swapped.swap(at, (at + 1) % lines.len());
        assert_eq!(kinds(&verify(&gateway, &changed(swapped.concat()), &kept).expect_code(8).json()), ["rewritten"]);
        let without = [&lines[..at], &lines[at + 1..]].concat().concat();
        assert_eq!(kinds(&verify(&gateway, &changed(without), &kept).expect_code(8).json()), ["cut"]);
        let twice = [&lines[..=at], &lines[at..]].concat().concat();
        let found = verify(&gateway, &changed(twice), &kept);
        // The last one twice is one more than the checkpoint has.
        assert_eq!(found.code(), if at + 1 == lines.len() { 0 } else { 8 });
    }
    for (text, words) in [
        (text.trim_end().to_owned(), "line 6 has no end"),
        (text[..text.len() / 2 + 1].to_owned(), "has no end"),
        (String::new(), "is empty"),
        ("[]\n".to_owned(), "line 1 is not an event"),
        (format!("{}\n", "x".repeat(2 << 20)), "line 1 is not an event"),
    ] {
        let output = verify(&gateway, &changed(text), &kept).expect_code(1);
        assert!(output.stderr().contains(words), "{words}: {}", output.stderr());
    }
    let not_text = gateway.sandbox().write("changed.jsonl", [0xff, b'\n']);
    assert!(verify(&gateway, &not_text, &kept).expect_code(1).stderr().contains("line 1 is not an event"));
}

#[test]
fn an_export_has_all_logs_and_says_where_each_ended() {
    let (gateway, kept) = given();
    audit(&gateway, &["new-log", "--reason", "restored"]).expect_code(0);
    gateway.add_user("eve", "member");
    let note = audit(&gateway, &["checkpoint", "--now"]).expect_code(0).stdout().to_owned();
    let both = std::fs::read_to_string(&kept).unwrap() + &note;
    let kept = gateway.sandbox().write("kept.txt", both);
    let file = gateway.sandbox().path("events.jsonl");
    audit(&gateway, &["export", file.to_str().unwrap()]).expect_code(0);
    let found = verify(&gateway, &file, &kept).expect_code(0).json();
    let proven: Vec<_> = found["logs"].as_array().unwrap().iter().map(|log| &log["proven_until"]).collect();
    assert_eq!(proven, [6, 2]);
    // Without any checkpoint: the next log says how the one before ended.
    let text = std::fs::read_to_string(&file).unwrap();
    let cut = gateway.sandbox().write("cut.jsonl", text.split_once('\n').unwrap().1);
    let sandbox = crate::harness::cmd::Sandbox::new();
    let found = sandbox.command(["gateway", "audit", "verify", "--json"]).args([&cut]).run().expect_code(8).json();
    assert_eq!(kinds(&found), ["tree"]);
    // The log before is gone as a whole: the first record of the next one names it.
    let second = text.lines().skip(6).flat_map(|line| [line, "\n"]).collect::<String>();
    let without = gateway.sandbox().write("without.jsonl", second);
    let of_second = gateway.sandbox().write("second.txt", &note);
    for kept in [&kept, &of_second] {
        assert!(kinds(&verify(&gateway, &without, kept).expect_code(8).json()).contains(&"tree"));
    }
    // The same in the database.
    let backup = gateway.sandbox().path("without.db");
    gateway.admin(&["db", "backup", backup.to_str().unwrap()]).expect_code(0);
    verify(&gateway, &backup, &kept).expect_code(0);
    change(&backup, &["DELETE FROM events WHERE log = 1", "DELETE FROM audit_logs WHERE number = 1"]);
    for kept in [&kept, &of_second] {
        let found = verify(&gateway, &backup, kept).expect_code(8).json();
        assert_eq!((kinds(&found), &found["findings"][0]["last"]), (vec!["missing"], &5.into()));
    }
    // A checkpoint of a log that is not there.
    let other = Gateway::start("http://127.0.0.1:9");
    other.add_user("ada", "admin");
    let note = audit(&other, &["checkpoint", "--now"]).expect_code(0).stdout().to_owned();
    let foreign = gateway.sandbox().write("foreign.txt", note);
    let output = verify(&other, &file, &foreign).expect_code(1);
    assert!(output.stderr().contains("which this export does not have"), "{}", output.stderr());
}

#[test]
fn a_database_can_be_named_in_place_of_an_export() {
    let (gateway, kept) = given();
    let backup = gateway.sandbox().path("backup.db");
    gateway.admin(&["db", "backup", backup.to_str().unwrap()]).expect_code(0);
    let found = verify(&gateway, &backup, &kept).expect_code(0).json();
    assert_eq!(found["logs"][0]["proven_until"], 6);
    let none = gateway.sandbox().path("none.db");
    verify(&gateway, &none, &kept).expect_code(3);
}

#[test]
fn an_export_with_filters_has_what_they_admit() {
    let (gateway, kept) = given();
    let lines = |args: &[&str]| {
        let text = audit(&gateway, &[&["export"], args].concat()).expect_code(0).stdout().to_owned();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["subject"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(lines(&["--user", "person-3"]), ["person-3"]);
    assert_eq!(lines(&["--action", "user", "--until", "2020-01-01"]), [""; 0]);
    assert_eq!(lines(&["--action", "user.created"]).len(), 6);
    // It is no proof of anything.
    let file = gateway.sandbox().path("some.jsonl");
    audit(&gateway, &["export", file.to_str().unwrap(), "--user", "person-3"]).expect_code(0);
    verify(&gateway, &file, &kept).expect_code(8);
}

#[test]
fn new_events_are_printed_as_they_happen() {
    let (gateway, _) = given();
    let database = gateway.database();
    for is_json in [true, false] {
        let mut args = vec!["gateway", "audit", "--follow", "--limit", "2", "--action", "user.created", "--database"];
        args.push(database.to_str().unwrap());
        if is_json {
            args.push("--json");
        }
        let child = gateway.sandbox().command(args.clone()).spawn();
        child.wait_stdout(|text| text.lines().count() == 2);
        let names = [format!("eve-{is_json}"), format!("mallory-{is_json}")];
        for name in &names {
            gateway.add_user(name, "member");
            gateway.admin(&["user", "role", name, "viewer"]).expect_code(0);
        }
        let text = child.wait_stdout(|text| text.lines().count() == 4);
        for (line, name) in text.lines().skip(2).zip(&names) {
            if is_json {
                assert_eq!(serde_json::from_str::<Value>(line).unwrap()["subject"], name.as_str());
            } else {
                assert!(line.contains(&format!("user.created  {name}  by admin")), "{line}");
            }
        }
        child.signal(Signal::INT);
        child.finish();
    }
}

/// They are taken in in batches.
#[test]
fn a_log_with_many_events_of_an_earlier_version_is_in_order() {
    const OLD: u64 = 12_000;
    let mut gateway = Gateway::start("http://127.0.0.1:9");
    gateway.end(Signal::TERM);
    let add = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {OLD}) \
         INSERT INTO events (at, actor, action, subject, detail, address) SELECT i, 'user:eve', 'key.ending', 'key_' || i, '', '' FROM n"
    );
    change(&gateway.database(), &[&add]);
    gateway.restart();
    gateway.add_user("ada", "admin");
    let imported = audit(&gateway, &["--action", "audit.imported", "--json"]).expect_code(0).json();
    let imported = imported["events"].as_array().unwrap();
    assert_eq!((imported.len(), &imported[0]["details"]["count"]), (1, &OLD.into()), "{imported:?}");
    audit(&gateway, &["verify"]).expect_code(0);
    let note = audit(&gateway, &["checkpoint", "--now"]).expect_code(0).stdout().to_owned();
    let kept = gateway.sandbox().write("kept.txt", note);
    let file = gateway.sandbox().path("events.jsonl");
    audit(&gateway, &["export", file.to_str().unwrap()]).expect_code(0);
    let found = verify(&gateway, &file, &kept).expect_code(0).json();
    assert_eq!(found["logs"][0]["proven_until"], OLD + 2);
}
