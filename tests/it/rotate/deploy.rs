//! Deploy commands: the old key stays in use until the command has succeeded, and no output shows the new key.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Given, text};
use crate::given::says;
use crate::harness::cmd::{Cmd, Sandbox};
use crate::harness::poll;
use crate::harness::set_clock::SetClock;

/// Takes the key from standard input and writes it down.
const SAVE_KEY: &str = "read -r key; printf '%s\\n' \"$key\" >> $HOME/deployed";

/// A rotation of the machine's key, with the tools that a command may need.
fn rotation(given: &Given, args: &[&str]) -> Cmd {
    let path = std::env::var_os("PATH").unwrap();
    given.machine.command(["keys", "rotate", "nightly"]).args(args).env("PATH", path)
}

fn deployed(sandbox: &Sandbox) -> Vec<String> {
    let text = fs::read_to_string(sandbox.path("home/deployed")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The old key is in use as if nothing had been tried, and the new one waits. Gives the id of that.
fn assert_unfinished(given: &Given) -> String {
    assert_eq!(given.current(), text(&given.first, "key"));
    let live = given.live();
    assert_eq!(live.len(), 2, "{live:#?}");
    let old = live.iter().find(|key| key["id"] == given.first["id"]).unwrap();
    assert_eq!((&old["expires_at"], &old["replaceable"]), (&given.first["expires_at"], &json!(true)));
    let journal_entries = given.journal_entries();
    assert_eq!((journal_entries.len(), &journal_entries[0]["step"]), (1, &json!("deploying")));
    text(&journal_entries[0], "new").to_owned()
}

/// Whether a process is there and does not only wait to be buried.
fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// The process id that a command has written down.
fn pid_in(file: &Path) -> String {
    poll("the process id of a command", || {
        let text = fs::read_to_string(file).ok()?;
        text.ends_with('\n').then(|| text.trim().to_owned())
    })
}

#[test]
fn a_failed_command_keeps_the_old_key_and_the_next_run_reuses_the_new_one() {
    for (command, how) in [
        (
            "echo no such machine >&2; exit 7",
            "the deploy command failed with exit code 7; its last output: no such machine",
        ),
        ("kill -KILL $$", "the deploy command was killed by signal 9"),
        ("/no/such/program", "the deploy command failed with exit code 127"),
    ] {
        let given = Given::new();
        let output = rotation(&given, &["--deploy", command]).run().expect_code(1);
        let new = assert_unfinished(&given);
        says(&output, &[how, &new, "is unchanged", "run the same command again", "keys revoke"]);
        // Without the command the key would not be deployed everywhere.
        let file = given.machine.path("home/app.env");
        for args in [&[][..], &["--env-file", file.to_str().unwrap()]] {
            let output = rotation(&given, args).run().expect_code(2);
            says(&output, &["was started with --deploy CMD", "keys revoke"]);
            assert_eq!(assert_unfinished(&given), new);
        }
        let report = rotation(&given, &["--deploy", SAVE_KEY, "--json"]).run().expect_code(0).json();
        assert_eq!(
            (&report["rotations"][0]["outcome"], &report["rotations"][0]["new"]),
            (&json!("finished"), &json!(new))
        );
        given.assert_rotated();
        assert_eq!(deployed(&given.machine), [given.current()]);
    }
}

#[test]
fn revoking_the_new_key_deploys_the_old_one_again_before_another() {
    let given = Given::new();
    rotation(&given, &["--deploy", &format!("{SAVE_KEY}; exit 1")]).run().expect_code(1);
    let given_up = assert_unfinished(&given);
    given.machine.command(["keys", "revoke", &given_up, "--yes"]).run().expect_code(0);
    let output = rotation(&given, &["--deploy", SAVE_KEY]).run().expect_code(0);
    says(&output, &[&given_up, "the old key was deployed again", "Replaced the key \"nightly\""]);
    let seen = deployed(&given.machine);
    assert_eq!(seen.len(), 3);
    assert_eq!((&*seen[1], &seen[2]), (text(&given.first, "key"), &given.current()));
    assert_eq!(given.keys().len(), 3);
    given.assert_rotated();
}

#[test]
fn revoking_the_new_key_allows_another_destination() {
    let given = Given::new();
    let file = given.machine.path("home/app.env");
    rotation(&given, &["--deploy", "exit 1"]).run().expect_code(1);
    let given_up = assert_unfinished(&given);
    given.machine.command(["keys", "revoke", &given_up, "--yes"]).run().expect_code(0);
    let output = rotation(&given, &["--env-file", file.to_str().unwrap()]).run().expect_code(0);
    says(&output, &[&given_up, "deploy the old key again", "Replaced the key \"nightly\""]);
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("OLLAMA_API_KEY={}\n", given.current()));
    given.assert_rotated();
    // No store holds the first new key.
    assert!(!crate::given::plaintext(&given.machine).contains("next-api-key"));
}

#[test]
fn a_hanging_command_is_killed_with_its_children() {
    let mut given = Given::new();
    let clock = SetClock::stopped(&mut given.machine);
    let hangs = "sleep 600 & echo $! > $HOME/child; echo $$ > $HOME/shell; echo working; wait";
    let child = rotation(&given, &["--deploy", hangs, "--deploy-timeout", "1s"]).spawn();
    child.wait_stderr(|text| text.contains("deploy: working"));
    clock.run();
    says(
        &child.finish().expect_code(1),
        &["did not finish within 1 s and was killed", "its last output: working", "run the same command again"],
    );
    for name in ["child", "shell"] {
        let pid = pid_in(&given.machine.path("home").join(name));
        poll("the end of what hung", || (!is_running(&pid)).then_some(()));
    }
    assert_unfinished(&given);
    rotation(&given, &["--deploy", SAVE_KEY]).run().expect_code(0);
    given.assert_rotated();
}

#[test]
fn an_interrupt_stops_the_command_and_the_next_run_finishes() {
    for signal in [Signal::INT, Signal::TERM] {
        let given = Given::new();
        let hangs = "sleep 600 & echo $! > $HOME/child; wait";
        let child = rotation(&given, &["--deploy", hangs]).spawn();
        let pid = pid_in(&given.machine.path("home/child"));
        let since = Instant::now();
        child.signal(signal);
        child.finish().expect_code(130);
        assert!(since.elapsed() < Duration::from_secs(10));
        poll("the end of the command", || (!is_running(&pid)).then_some(()));
        let new = assert_unfinished(&given);
        rotation(&given, &["--deploy", SAVE_KEY]).run().expect_code(0);
        given.assert_rotated();
        assert_eq!(given.journal_entries()[0]["new"], json!(new));
    }
}

#[test]
fn a_command_that_leaves_its_output_open_does_not_block_the_rotation() {
    let given = Given::new();
    let output = rotation(&given, &["--deploy", "exec <&-; sleep 600 & echo $! > $HOME/child"]).run().expect_code(0);
    assert!(output.duration < Duration::from_secs(20), "{:?}", output.duration);
    given.assert_rotated();
    // Its background processes are left running.
    let pid = pid_in(&given.machine.path("home/child"));
    assert!(is_running(&pid));
    let id = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(id, Signal::KILL).unwrap();
}

/// A command that has ended in time did not hang, whatever it has left running.
#[test]
fn background_processes_do_not_count_against_the_timeout() {
    let mut given = Given::new();
    let clock = SetClock::stopped(&mut given.machine);
    let leaves = "echo $$ > $HOME/shell; until [ -e $HOME/go ]; do sleep 0.02; done; sleep 600 & echo $! > $HOME/child";
    let rotating = rotation(&given, &["--deploy", leaves, "--deploy-timeout", "3s"]).spawn();
    let shell = pid_in(&given.machine.path("home/shell"));
    clock.pass(2);
    given.machine.write("home/go", "");
    let pid = pid_in(&given.machine.path("home/child"));
    // What it left running keeps the output open, which is read for another second: that ends after more than 3 s.
    poll("the end of the command", || (!is_running(&shell)).then_some(()));
    clock.run();
    let output = rotating.finish();
    let id = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    let _ = rustix::process::kill_process(id, Signal::KILL);
    output.expect_code(0);
    given.assert_rotated();
}

#[test]
fn a_key_printed_by_the_command_is_redacted() {
    let prints = r#"
        key=$OLLAMA_API_KEY
        echo "$key"; echo "$key" >&2; printf '%s' "$key" | base64; echo "$key" | base64
        printf 'k%s' "$key" | base64 -w 0; echo; printf 'ke%s' "$key" | base64 -w 0; echo
        printf 'user:%s' "$key" | base64 -w 0 >&2; echo >&2
        printf '%.20s' "$key"; sleep 0.1; printf '%s\n' "${key#????????????????????}"
        printf '\033[31m%s\033[0m\r\n' "$key"; printf '\377%s\000\n' "$key"
        set -x; : "$key"; set +x
        yes "$key" | head -c 10000000
        yes "$key" | tr -d '\n' | head -c 1000000 >&2
        printf 'last %s' "$key"
        printf 'last %s' "$key" >&2
        exit 1"#;
    let given = Given::new();
    let plain = rotation(&given, &["--deploy", prints]).run().expect_code(1);
    says(&plain, &["last ****"]);
    let traced = rotation(&given, &["--deploy", prints, "-vv"]).run().expect_code(1);
    let json = rotation(&given, &["--deploy", prints, "--json"]).run().expect_code(1);
    assert_eq!(json.json()["rotations"][0]["outcome"], "failed");
    assert!(plain.stderr.len() < 2_000_000, "{} bytes", plain.stderr.len());
    rotation(&given, &["--deploy", "true", "-vv"]).run().expect_code(0);
    let key = given.current();
    let outputs = [&plain, &traced, &json];
    given.machine.assert_no_secret(&key, &outputs, &["home/.local/share/ollama-auth/secrets.json"]);
    // However it stands between the three bytes that four letters of base64 are made of.
    for before in ["k", "ke", "user:"] {
        let coded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD_NO_PAD, format!("{before}{key}"));
        let core = &coded[12..coded.len() - 4];
        assert!(outputs.iter().all(|output| !output.stderr().contains(core)), "base64 after {before:?}");
    }
}

#[test]
fn only_the_command_gets_the_key_and_it_gets_no_store_passphrase() {
    let given = Given::in_store("file");
    let looks = r#"
        env > $HOME/env
        for file in /proc/[0-9]*/cmdline; do cat $file >> $HOME/ps; done 2>/dev/null
        cat /proc/$PPID/environ >> $HOME/ps
        read -r key; test "$key" = "$OLLAMA_API_KEY""#;
    rotation(&given, &["--deploy", looks, "--grace", "1h"]).env("OLLAMA_AUTH_CREDENTIALS", "").run().expect_code(0);
    let key = given.current();
    let env = fs::read_to_string(given.machine.path("home/env")).unwrap();
    let value = |name: &str| env.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    assert_eq!(value("OLLAMA_API_KEY"), Some(&*key));
    assert_eq!(value("OLLAMA_HOST"), Some(&*given.gateway.url()));
    assert_eq!(value("OLLAMA_AUTH_KEY_ID"), given.journal_entries()[0]["new"].as_str());
    assert_eq!(value("OLLAMA_AUTH_PROFILE"), Some(given.gateway.url().trim_start_matches("http://")));
    for name in ["OLLAMA_AUTH_PASSPHRASE", "OLLAMA_AUTH_PASSPHRASE_FILE", "CREDENTIALS_DIRECTORY"] {
        assert_eq!(value(name), None);
    }
    // Every process's arguments, and our own environment.
    let seen = fs::read(given.machine.path("home/ps")).unwrap();
    assert!(seen.len() > 100);
    for secret in [&*key, text(&given.first, "key")] {
        assert!(!crate::harness::contains(&seen, secret.as_bytes()));
        given.machine.assert_no_secret(secret, &[], &["home/env"]);
    }
}

/// And docs/reference/keys.md describes each member.
#[test]
fn the_report_shows_key_names_and_no_secrets() {
    let given = Given::new();
    let file = given.machine.path("home/app.env");
    let args = ["--deploy", SAVE_KEY, "--env-file", file.to_str().unwrap(), "--json"];
    let output = rotation(&given, &args).run().expect_code(0);
    let row = output.json()["rotations"][0].clone();
    assert_eq!(row["old"], given.first["id"]);
    assert_eq!(row["env_file"], json!(file));
    assert_eq!((&row["error"], &row["name"]), (&Value::Null, &json!("nightly")));
    assert_eq!(row["new"], given.journal_entries()[0]["new"]);
    let documented = crate::keys::documented("`keys rotate`");
    for part in [output.json(), row] {
        let missing: Vec<_> = part.as_object().unwrap().keys().filter(|name| !documented.contains(*name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
    let allowed = ["home/.local/share/ollama-auth/secrets.json", "home/app.env", "home/deployed"];
    given.machine.assert_no_secret(&given.current(), &[&output], &allowed);
}
