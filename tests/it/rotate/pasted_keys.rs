//! Rotation at a host without an API for keys, such as ollama.com: the user creates and revokes keys by hand. The command reminds
//! them, and stores and deploys the key that they paste.

use std::fs;

use serde_json::json;

use crate::given::{PASSPHRASE, edit_profiles, on_a_full_disk, plaintext, profile, says, with_store};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{Output, PROGRAM, Sandbox};
use crate::harness::pty::Terminal;
use crate::harness::tool;

const OLD: &str = "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOpQrStUv-_";
const NEW: &str = "fedcba9876543210fedcba9876543210.ZyXwVuTsRqPoNmLkJiHgFe_-";
const JOURNAL: &str = "home/.local/share/ollama-auth/rotations.json";

/// A host that manages no keys, and a machine that keeps one of it.
fn given() -> (Sandbox, Cloud) {
    given_in("plaintext")
}

fn given_in(store: &str) -> (Sandbox, Cloud) {
    let (machine, cloud) = (with_store(store), Cloud::start());
    cloud.accept_api_key(OLD).accept_api_key(NEW);
    let keep = ["keys", "import", "--name", "nightly", "--host", &cloud.url()];
    machine.command(keep).stdin(OLD).run().expect_code(0);
    machine.command(["profile", "use", cloud.url().trim_start_matches("http://")]).run().expect_code(0);
    (machine, cloud)
}

fn rotate(machine: &Sandbox, args: &[&str]) -> Output {
    machine.command(["keys", "rotate"].iter().chain(args)).run()
}

fn rotate_with(machine: &Sandbox, key: &str, args: &[&str]) -> Output {
    machine.command(["keys", "rotate", "nightly", "--key-stdin"]).args(args).stdin(key).run()
}

fn current(machine: &Sandbox) -> String {
    machine.command(["token"]).run().expect_code(0).stdout().trim().to_owned()
}

/// Makes the kept key so many days older.
fn age(machine: &Sandbox, days: i64) {
    edit_profiles(machine, |all| {
        for profile in all["profiles"].as_object_mut().unwrap().values_mut() {
            let added = profile["api_key"]["added_at"].as_i64().unwrap();
            profile["api_key"]["added_at"] = json!(added - days * 86_400);
        }
    });
}

fn journal_len(machine: &Sandbox) -> usize {
    let text = fs::read_to_string(machine.path(JOURNAL)).unwrap_or_else(|_| r#"{"rotations":[]}"#.to_owned());
    let journal: serde_json::Value = serde_json::from_str(&text).unwrap();
    journal["rotations"].as_array().unwrap().len()
}

fn assert_unchanged(machine: &Sandbox) {
    assert_eq!(current(machine), OLD);
    assert_eq!(journal_len(machine), 0);
    assert!(!plaintext(machine).contains(NEW));
}

#[test]
fn without_a_terminal_a_due_key_is_exit_8() {
    let (machine, cloud) = given();
    for args in [&["nightly"][..], &["--all"], &["nightly", "--max-age", "30d"]] {
        let output = rotate(&machine, args).expect_code(0);
        assert_eq!(output.stderr().lines().count(), 1, "{}", output.snapshot());
        says(&output, &["The key \"nightly\" was stored 0 days ago; it is due at"]);
    }
    age(&machine, 40);
    rotate(&machine, &["--all"]).expect_code(0);
    let output = rotate(&machine, &["--all", "--max-age", "30d"]).expect_code(8);
    says(&output, &["was stored 40 days ago: create a new one at", "ollama-auth keys rotate nightly --profile"]);
    age(&machine, 60);
    rotate(&machine, &["nightly"]).expect_code(8);
    let report = rotate(&machine, &["nightly", "--json"]).expect_code(8).json();
    assert_eq!(report["rotations"][0]["outcome"], "due");
    // A clock that was set back makes nothing due, and no sense of the age.
    age(&machine, -400);
    says(&rotate(&machine, &["nightly"]).expect_code(0), &["0 days ago"]);
    assert_unchanged(&machine);
    assert_eq!(cloud.server().requests().iter().filter(|request| request.method == "DELETE").count(), 0);
}

#[test]
fn a_person_pastes_the_new_key_and_is_told_to_revoke_the_old_one() {
    let (machine, cloud) = given();
    let deploy = "read -r key; echo \"$key\" > $HOME/deployed";
    let mut terminal = Terminal::start(&machine, &["keys", "rotate", "nightly", "--deploy", deploy]);
    terminal.wait_text("has no API for keys");
    terminal.wait_text("API key: ");
    terminal.send(&format!("{NEW}\r"));
    let finished = terminal.finish();
    assert_eq!(finished.code, 0, "{}", finished.screen);
    let screen = finished.screen.replace('\n', " ");
    assert!(screen.contains("Replaced the key \"nightly\""), "{screen}");
    assert!(screen.contains("(ending in Uv-_) stays valid until you revoke it"), "{screen}");
    assert!(!crate::harness::contains(&finished.raw, NEW.as_bytes()));
    assert_eq!(current(&machine), NEW);
    assert_eq!(fs::read_to_string(machine.path("home/deployed")).unwrap(), format!("{NEW}\n"));
    assert_eq!((profile(&machine)["api_key"]["name"].clone(), journal_len(&machine)), (json!("nightly"), 0));
    assert!(!plaintext(&machine).contains("next-api-key"));
    assert!(cloud.server().requests().iter().all(|request| request.method != "DELETE"));
}

#[test]
fn key_stdin_provides_the_new_key_without_a_terminal() {
    let (machine, _cloud) = given();
    let file = machine.write("home/app.env", format!("OLLAMA_API_KEY={OLD}\n"));
    let output = rotate_with(&machine, NEW, &["--env-file", file.to_str().unwrap(), "-vv"]).expect_code(0);
    says(&output, &["Replaced the key \"nightly\"", "ending in Uv-_", "until you revoke it"]);
    assert_eq!(current(&machine), NEW);
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("OLLAMA_API_KEY={NEW}\n"));
    for secret in [OLD, NEW] {
        machine.assert_no_secret(secret, &[&output], &["home/.local/share/ollama-auth/secrets.json", "home/app.env"]);
    }
}

#[test]
fn a_refused_key_is_exit_4_and_changes_nothing() {
    let (machine, cloud) = given();
    cloud.revoke_api_key(NEW);
    let deploy = "echo > $HOME/deployed";
    let output = rotate_with(&machine, NEW, &["--deploy", deploy]).expect_code(4);
    says(&output, &["does not accept the given key", "is unchanged"]);
    for wrong in ["key_", "it was revoked", "stays valid"] {
        assert!(!output.stderr().contains(wrong), "{wrong}\n{}", output.snapshot());
    }
    assert_unchanged(&machine);
    assert!(!machine.path("home/deployed").exists());
    machine.assert_no_secret(NEW, &[&output], &[]);
    // Invalid keys, and the key that is stored already.
    for (given, words) in [
        ("", "no API key was given"),
        ("two words", "not an API key"),
        ("olauth_short", "not an API key"),
        (OLD, "already stored here"),
    ] {
        says(&rotate_with(&machine, given, &[]).expect_code(2), &[words]);
        assert_unchanged(&machine);
    }
}

#[test]
fn a_failed_deployment_keeps_the_pasted_key_for_the_next_run() {
    let (machine, _cloud) = given();
    let output = rotate_with(&machine, NEW, &["--deploy", "exit 3"]).expect_code(1);
    says(&output, &["failed with exit code 3", "run the same command again"]);
    assert!(!output.stderr().contains("keys revoke"), "{}", output.snapshot());
    assert_eq!((current(&machine), journal_len(&machine)), (OLD.to_owned(), 1));
    // The key does not have to be pasted again.
    let output =
        rotate(&machine, &["nightly", "--deploy", "read -r key; echo \"$key\" > $HOME/deployed"]).expect_code(0);
    says(&output, &["Finished", "until you revoke it"]);
    assert!(!output.stderr().contains("accepted no longer"), "{}", output.snapshot());
    assert_eq!((current(&machine), journal_len(&machine)), (NEW.to_owned(), 0));
    assert_eq!(fs::read_to_string(machine.path("home/deployed")).unwrap(), format!("{NEW}\n"));
}

#[test]
fn the_next_run_finishes_a_killed_deployment() {
    let (machine, _cloud) = given();
    let deploy = "echo > $HOME/started; read -r none; read -r never < /dev/fd/9";
    let fifo = machine.path("home/fifo");
    assert!(std::process::Command::new(crate::harness::tool("mkfifo")).arg(&fifo).status().unwrap().success());
    let deploy = deploy.replace("/dev/fd/9", "$HOME/fifo");
    let child = machine.command(["keys", "rotate", "nightly", "--key-stdin", "--deploy", &deploy]).stdin(NEW).spawn();
    crate::harness::poll("the command", || machine.path("home/started").exists().then_some(()));
    child.signal(rustix::process::Signal::KILL);
    drop(child);
    // Lets the orphaned command end.
    drop(fs::OpenOptions::new().write(true).open(&fifo).unwrap());
    assert_eq!((current(&machine), journal_len(&machine)), (OLD.to_owned(), 1));
    rotate(&machine, &["nightly", "--deploy", "true"]).expect_code(0);
    assert_eq!((current(&machine), journal_len(&machine)), (NEW.to_owned(), 0));
}

/// Killed between the paste and the store: nothing was made, so nothing has to be taken back, and the next run begins as this one did.
#[test]
fn a_pasted_key_lost_before_storage_is_requested_again() {
    let (machine, cloud) = given();
    rotate_with(&machine, NEW, &["--deploy", "exit 3"]).expect_code(1);
    let text = fs::read_to_string(machine.path(JOURNAL)).unwrap().replace("\"deploying\"", "\"asked\"");
    machine.write(JOURNAL, text);
    let stored = plaintext(&machine);
    let mut stored: serde_json::Value = serde_json::from_str(&stored).unwrap();
    for part in stored.as_object_mut().unwrap().values_mut().filter_map(serde_json::Value::as_object_mut) {
        part.retain(|name, _| !name.starts_with("next-api-key"));
    }
    machine.write("home/.local/share/ollama-auth/secrets.json", stored.to_string());
    rotate(&machine, &["nightly"]).expect_code(0);
    assert_unchanged(&machine);
    rotate_with(&machine, NEW, &["--deploy", "true"]).expect_code(0);
    assert_eq!(current(&machine), NEW);
    drop(cloud);
}

#[test]
fn obstacles_are_reported_before_the_key_prompt() {
    let (machine, _cloud) = given();
    let args = ["keys", "rotate", "nightly"];
    let output = on_a_full_disk(&machine, &[&args[..], &["--key-stdin"]].concat()).stdin(NEW).run().expect_code(1);
    says(&output, &["free some disk space"]);
    assert_unchanged(&machine);
    fs::create_dir(machine.path("home/folder")).unwrap();
    let mut terminal = Terminal::start(&machine, &[&args[..], &["--env-file", "folder"]].concat());
    let finished = {
        let _ = &mut terminal;
        terminal.finish()
    };
    assert_eq!(finished.code, 1);
    assert!(!finished.screen.contains("API key:"), "{}", finished.screen);
    assert_unchanged(&machine);
    // An encrypted file with a wrong passphrase.
    let (machine, _cloud) = given_in("file");
    let command = machine.command(args).args(["--key-stdin"]).stdin(NEW);
    let output = command.env("OLLAMA_AUTH_PASSPHRASE", format!("not {PASSPHRASE}")).run();
    assert!(output.code() == 1 || output.code() == 2, "{}", output.snapshot());
    assert_eq!((current(&machine), journal_len(&machine)), (OLD.to_owned(), 0));
}

#[test]
fn a_host_with_a_key_api_refuses_key_stdin() {
    let given = super::Given::new();
    let output = given.machine.command(["keys", "rotate", "nightly", "--key-stdin"]).stdin(NEW).run().expect_code(2);
    says(&output, &["creates the new key itself", "leave out --key-stdin"]);
    assert_eq!(given.keys().len(), 1);
}

#[test]
fn the_printed_command_can_be_pasted_whatever_the_names_hold() {
    for (key, profile) in [("nightly report", "my profile"), ("it's $HOME", "a;b")] {
        let (machine, cloud) = (with_store("plaintext"), Cloud::start());
        cloud.accept_api_key(OLD).accept_api_key(NEW);
        let keep = ["keys", "import", "--name", key, "--host", &cloud.url(), "--profile", profile];
        machine.command(keep).stdin(OLD).run().expect_code(0);
        let output = rotate(&machine, &[key, "--profile", profile, "--max-age", "0s"]).expect_code(8);
        let command = output.stderr().lines().find_map(|line| line.split_once("then run: ")).expect("a command").1;
        let shell = machine.program(tool("sh"), ["-c", &format!("{command} --key-stdin")]);
        let folder = std::path::Path::new(PROGRAM).parent().unwrap();
        shell.env("PATH", folder).stdin(NEW).run().expect_code(0);
        machine.command(["profile", "use", profile]).run().expect_code(0);
        assert_eq!(current(&machine), NEW);
    }
}
