//! The keys of checkpoints are replaced in two steps, and a checkpoint is made when somebody asks for it.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::cmd::Output;
use crate::harness::gateway::Gateway;
use crate::harness::go_log;

fn audit(gateway: &Gateway, args: &[&str]) -> Output {
    gateway.admin(&[&["audit"], args].concat())
}

fn keys(output: &Output) -> Vec<String> {
    serde_json::from_value(output.json()["keys"].clone()).unwrap()
}

fn tree(note: &str) -> (u64, &str) {
    let mut lines = note.lines().skip(1);
    (lines.next().unwrap().parse().unwrap(), lines.next().unwrap())
}

#[test]
fn the_old_key_vouches_for_the_new_one() {
    for is_running in [true, false] {
        let mut gateway = Gateway::start("http://127.0.0.1:9");
        gateway.add_user("ada", "admin");
        let first = audit(&gateway, &["checkpoint", "--now"]).expect_code(0).stdout().to_owned();
        if !is_running {
            gateway.end(Signal::TERM);
        }
        let file = format!("{}.audit-key", gateway.database().display());
        let before = std::fs::read_to_string(&file).unwrap();
        // The second step cannot be the first.
        let early = audit(&gateway, &["rotate-key", "--finish"]).expect_code(1);
        assert!(early.stderr().contains("holds one key"), "{}", early.stderr());
        let both = keys(&audit(&gateway, &["rotate-key", "--json"]).expect_code(0));
        assert_eq!(both.len(), 2);
        let held = std::fs::read_to_string(&file).unwrap();
        assert!(held.starts_with(&before) && held.lines().count() == 2);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let again = audit(&gateway, &["rotate-key"]).expect_code(1);
        assert!(again.stderr().contains("two keys already"), "{}", again.stderr());
        // Until a checkpoint has both signatures, nobody could know that the new key is of this log.
        let early = audit(&gateway, &["rotate-key", "--finish"]).expect_code(1);
        assert!(early.stderr().contains("checkpoint --now"), "{}", early.stderr());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), held);
        let second = audit(&gateway, &["checkpoint", "--now"]).expect_code(0).stdout().to_owned();
        assert!(tree(&second).0 > tree(&first).0);
        let new = keys(&audit(&gateway, &["rotate-key", "--finish", "--json"]).expect_code(0));
        assert_eq!(new, both[1..]);
        let third = audit(&gateway, &["checkpoint", "--now"]).expect_code(0).stdout().to_owned();
        let origin = first.lines().next().unwrap();
        let case =
            |text: &str, key: &str| json!({ "kind": "checkpoint", "text": text, "keys": [key], "origin": origin });
        let cases = [&first, &second, &third].map(|note| both.iter().map(|key| case(note, key)).collect::<Vec<_>>());
        let verdicts = go_log::check(&cases.concat());
        let good: Vec<bool> = verdicts.iter().map(String::is_empty).collect();
        assert_eq!(good, [true, false, true, true, false, true], "{verdicts:?}");
        let events = audit(&gateway, &["--json", "--action", "audit"]).expect_code(0).json();
        let changes: Vec<(&Value, &Value)> =
            events["events"].as_array().unwrap().iter().map(|event| (&event["action"], &event["subject"])).collect();
        let expected = [("audit.key_removed", &both[0]), ("audit.key_added", &both[1])];
        let expected = expected.map(|(action, key)| (Value::from(action), Value::from(key.as_str())));
        assert_eq!(changes, expected.each_ref().map(|(action, key)| (action, key)));
        // An auditor who kept all checkpoints: with the new key the first proves nothing, with both all are compared.
        let kept = gateway.sandbox().write("kept.txt", format!("{first}{second}{third}"));
        let verify = ["verify", "--checkpoints", kept.to_str().unwrap()];
        let output = audit(&gateway, &verify).expect_code(0);
        assert!(output.stderr().contains("1 checkpoints are signed with other keys only"), "{}", output.stderr());
        let output = audit(&gateway, &[&verify[..], &["--key", &both[0], "--key", &both[1]]].concat()).expect_code(0);
        assert!(!output.stderr().contains("other keys"), "{}", output.stderr());
        // One that was changed is not left out.
        let forged = second.replacen(&format!("\n{}\n", tree(&second).0), "\n9\n", 1);
        let kept = gateway.sandbox().write("kept.txt", format!("{first}{forged}{third}"));
        audit(&gateway, &["verify", "--checkpoints", kept.to_str().unwrap()]).expect_code(1);
    }
}

#[test]
fn a_key_file_that_cannot_be_written_stays_as_it_is() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("ada", "admin");
    let file = format!("{}.audit-key", gateway.database().display());
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let open = audit(&gateway, &["rotate-key"]).expect_code(1);
    assert!(open.stderr().contains("chmod"), "{}", open.stderr());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    std::fs::remove_file(&file).unwrap();
    audit(&gateway, &["rotate-key"]).expect_code(1);
    assert!(!std::path::Path::new(&file).exists());
}

#[test]
fn the_log_is_proven_to_extend_an_earlier_checkpoint() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("ada", "admin");
    let first = audit(&gateway, &["checkpoint", "--now"]).expect_code(0).stdout().to_owned();
    // Nothing new is no reason for another one.
    assert_eq!(audit(&gateway, &["checkpoint", "--now"]).expect_code(0).stdout(), first);
    for number in 0..5 {
        gateway.add_user(&format!("person-{number}"), "member");
    }
    let second = audit(&gateway, &["checkpoint", "--now"]).expect_code(0).stdout().to_owned();
    let (size, root) = tree(&first);
    assert_eq!(tree(&second).0, size + 5);
    let proof = audit(&gateway, &["prove", "--from", &size.to_string()]).expect_code(0).stdout().to_owned();
    assert!(proof.ends_with(second.trim_end_matches('\n')) || proof.ends_with(&second), "{proof}");
    let key = audit(&gateway, &["key"]).expect_code(0).stdout().trim().to_owned();
    let origin = first.lines().next().unwrap();
    let case = |text: &str, root: &str| json!({ "kind": "consistency_proof", "text": text, "keys": [key], "origin": origin, "old_size": size, "old_root": root });
    let other = tree(&second).1;
    let verdicts = go_log::check(&[case(&proof, root), case(&proof, other)]);
    assert_eq!(verdicts.iter().map(String::is_empty).collect::<Vec<_>>(), [true, false], "{verdicts:?}");
    for (args, code) in
        [(vec!["prove", "--from", "1000"], 3), (vec!["prove"], 2), (vec!["prove", "0", "--from", "1"], 2)]
    {
        audit(&gateway, &args).expect_code(code);
    }
}
