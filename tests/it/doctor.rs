//! `doctor`: each problem of an installation is found and named, and the suggested command fixes it. It changes nothing, never
//! hangs and shows no secret.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::given::{
    CONFIG, DATA, PASSPHRASE, as_nobody, edit_profiles, entry, fingerprint, key_file, on_keyring, plaintext, sign_in,
    with_store,
};
use crate::harness::cloud::{Cloud, Fault};
use crate::harness::cmd::{Cmd, Output, PROGRAM, Sandbox};
use crate::harness::keyring::Keyring;
use crate::harness::pty::Terminal;
use crate::harness::stock::{Account, Stock};
use crate::harness::tool;

const KEY: &str = "gateway-key-0123456789-wxyz";
const STOCK_KEY: &str = "home/.ollama/id_ed25519";

/// Every limit of a host and of the keyring together, and room for a busy machine.
const BOUNDED: Duration = Duration::from_secs(28);

fn documented() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/doctor.md")).unwrap()
}

/// Runs it, and makes sure that it has changed nothing.
fn look(sandbox: &Sandbox, command: Cmd) -> Output {
    let before = sandbox.files();
    let output = command.run();
    assert!(before == sandbox.files(), "doctor changed something");
    output
}

/// What it finds, as JSON; exit 8 exactly when there is an error.
fn examine(sandbox: &Sandbox, command: Cmd) -> Value {
    let output = look(sandbox, command);
    let report = output.json();
    let errors = report["findings"].as_array().unwrap().iter().filter(|f| f["level"] == "error").count();
    assert_eq!(report["counts"]["error"], json!(errors));
    assert_eq!(output.code(), if errors > 0 { 8 } else { 0 }, "{}", output.snapshot());
    let documented = documented();
    for finding in report["findings"].as_array().unwrap() {
        let check = finding["check"].as_str().unwrap();
        assert!(documented.contains(&format!("`{check}`")), "docs/reference/doctor.md does not list {check}");
    }
    report
}

/// Without a server on this machine that would be talked to by chance.
fn doctor(sandbox: &Sandbox, args: &[&str]) -> Value {
    examine(sandbox, sandbox.command(["doctor", "--json"]).args(args))
}

fn offline(sandbox: &Sandbox) -> Value {
    doctor(sandbox, &["--offline"])
}

/// The only finding of that name.
#[track_caller]
fn finding<'a>(report: &'a Value, check: &str) -> &'a Value {
    let all = report["findings"].as_array().unwrap();
    let found: Vec<&Value> = all.iter().filter(|finding| finding["check"] == check).collect();
    assert_eq!(found.len(), 1, "{check}: {report:#}");
    found[0]
}

fn has(report: &Value, check: &str) -> bool {
    report["findings"].as_array().unwrap().iter().any(|finding| finding["check"] == check)
}

/// Level and words of the only finding of that name.
#[track_caller]
fn expect(report: &Value, check: &str, level: &str, words: &[&str]) {
    let finding = finding(report, check);
    assert_eq!(finding["level"], level, "{finding:#}");
    let text = finding.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is missing: {finding:#}");
    }
}

/// Runs the suggested command, as a person would paste it.
#[track_caller]
fn apply_fix(sandbox: &Sandbox, report: &Value, check: &str) {
    let advice = finding(report, check)["remedies"][0].as_str().unwrap().to_owned();
    let link = sandbox.path("bin/ollama-auth");
    if !link.exists() {
        std::os::unix::fs::symlink(PROGRAM, link).unwrap();
    }
    let path = format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").unwrap_or_default());
    sandbox.program(tool("sh"), ["-euc", &advice]).env("PATH", path).run().expect_code(0);
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Signed in to a host, with a server on this machine that is signed in itself.
fn given(store: &str) -> (Sandbox, Cloud, Stock) {
    let (mut sandbox, cloud, stock) = (with_store(store), Cloud::start(), Stock::start(Account::SignedIn));
    sign_in(&sandbox, &cloud, &[]);
    sandbox.set_env("OLLAMA_HOST", stock.url());
    key_file(&sandbox, STOCK_KEY, "ed25519", "");
    (sandbox, cloud, stock)
}

#[test]
fn a_healthy_installation_has_no_problems() {
    let (sandbox, cloud, stock) = given("file");
    let report = doctor(&sandbox, &[]);
    assert_eq!(report["version"], 1);
    for (check, words) in [
        ("key-file", fingerprint(&sandbox.path(STOCK_KEY))),
        ("server", "signed in to ollama.com".to_owned()),
        // Told by the account that listens: the test's own.
        ("server-key", fingerprint(&sandbox.path(STOCK_KEY))),
        ("encrypted-file", "holds 1 secret".to_owned()),
        ("host", format!("{} answers", cloud.url())),
        ("credential", "you are standin".to_owned()),
    ] {
        expect(&report, check, "ok", &[&words]);
    }
    assert_eq!(report["counts"]["error"], 0);
    assert!(stock.wrong_deletes().is_empty());
    let output = look(&sandbox, sandbox.command(["doctor"])).expect_code(0);
    assert!(output.stdout().contains("\nWhere secrets are stored\n  ok       "), "{}", output.snapshot());
    assert!(!output.stderr().contains("error"), "{}", output.snapshot());
}

#[test]
fn a_terminal_shows_marks_and_commands() {
    let (sandbox, _cloud, stock) = given("plaintext");
    fs::write(sandbox.path(STOCK_KEY), "").unwrap();
    stock.set_account(Account::SignedOut);
    let finished = Terminal::start_sized(&sandbox, &["doctor"], 70, 200).finish();
    assert_eq!(finished.code, 8);
    for text in ["Key files of Ollama", "✗ ", "is empty", "✓ ", "! the plaintext file holds 1 secret", "      mv "]
    {
        assert!(finished.screen.contains(text), "{text:?}\n{}", finished.screen);
    }
}

#[test]
fn offline_asks_no_host() {
    let (sandbox, cloud, stock) = given("plaintext");
    let before = (cloud.server().requests().len(), stock.server().requests().len());
    let report = offline(&sandbox);
    expect(&report, "offline", "note", &[]);
    assert!(!has(&report, "host") && !has(&report, "server") && !has(&report, "credential"));
    assert_eq!((cloud.server().requests().len(), stock.server().requests().len()), before);
}

#[test]
fn quiet_shows_only_problems() {
    let (sandbox, _cloud, _stock) = given("file");
    let output = look(&sandbox, sandbox.command(["doctor", "--offline", "--quiet"])).expect_code(0);
    assert_eq!((output.stdout(), output.stderr()), ("", ""));
    chmod(&sandbox.path(STOCK_KEY), 0o644);
    let output = look(&sandbox, sandbox.command(["doctor", "--offline", "--quiet"])).expect_code(8);
    assert!(output.stdout().starts_with("Key files of Ollama\n  error    "), "{}", output.snapshot());
}

#[test]
fn exposed_empty_foreign_and_mismatched_key_files_are_reported() {
    let sandbox = with_store("plaintext");
    expect(&offline(&sandbox), "key-file", "note", &["does not exist"]);
    let path = key_file(&sandbox, STOCK_KEY, "ed25519", "");
    expect(&offline(&sandbox), "key-file", "ok", &[&fingerprint(&path)]);

    chmod(&path, 0o640);
    let report = offline(&sandbox);
    expect(&report, "key-file-exposed", "error", &["mode 0640"]);
    apply_fix(&sandbox, &report, "key-file-exposed");
    chmod(path.parent().unwrap(), 0o777);
    let report = offline(&sandbox);
    expect(&report, "key-folder-writable", "error", &["mode 0777"]);
    apply_fix(&sandbox, &report, "key-folder-writable");

    let other = key_file(&sandbox, "home/other/id", "ed25519", "");
    fs::copy(other.with_extension("pub"), path.with_extension("pub")).unwrap();
    let report = offline(&sandbox);
    expect(&report, "key-file-halves", "error", &["id_ed25519.pub"]);
    apply_fix(&sandbox, &report, "key-file-halves");
    let report = offline(&sandbox);
    assert_eq!(report["counts"]["error"], 0, "{report:#}");

    for (kind, passphrase, check, word) in
        [("ed25519", "hunter2 hunter2", "key-file-protected", "passphrase"), ("ecdsa", "", "key-file-foreign", "ecdsa")]
    {
        for file in [&path, &path.with_extension("pub")] {
            fs::remove_file(file).unwrap();
        }
        key_file(&sandbox, STOCK_KEY, kind, passphrase);
        expect(&offline(&sandbox), check, "error", &[word]);
    }
    fs::write(&path, "no key at all").unwrap();
    expect(&offline(&sandbox), "key-file-foreign", "error", &["something else"]);
    fs::write(&path, "").unwrap();
    let report = offline(&sandbox);
    expect(&report, "key-file-empty", "error", &["creates a new key"]);
    apply_fix(&sandbox, &report, "key-file-empty");
    expect(&offline(&sandbox), "key-file", "note", &["does not exist"]);
    // A pipe is not waited for.
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    expect(&offline(&sandbox), "key-file-unreadable", "error", &["not a regular file"]);
}

#[test]
fn a_key_that_belongs_to_another_account_is_reported() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let sandbox = with_store("plaintext");
    let path = key_file(&sandbox, STOCK_KEY, "ed25519", "");
    // Everything is given to the account nobody, then the key to root again.
    as_nobody(&sandbox, &["--version"]).run().expect_code(0);
    std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
    let nobody = [tool("setpriv").to_str().unwrap().to_owned(), "--reuid=65534".into(), "--regid=65534".into()];
    let program = sandbox.path("program");
    let args = ["--clear-groups", program.to_str().unwrap(), "doctor", "--offline", "--json"];
    let command = sandbox.program(&nobody[0], &nobody[1..]).args(args);
    let report = examine(&sandbox, command);
    expect(&report, "key-file-owner", "warning", &["user id 0", "chown"]);
    expect(&report, "key-file-closed", "error", &[&fingerprint(&path.with_extension("pub"))]);
}

#[test]
fn the_key_of_the_local_server_is_named() {
    let (sandbox, _cloud, stock) = given("plaintext");
    stock.set_account(Account::SignedOut);
    let report = doctor(&sandbox, &[]);
    expect(&report, "server-signed-out", "note", &["ollama-auth signin --server --host"]);
    expect(&report, "server-key", "note", &[&stock.key().fingerprint, "none of the key files"]);
    stock.set_account(Account::Unavailable);
    expect(&doctor(&sandbox, &[]), "server-cut-off", "warning", &["cannot reach ollama.com"]);
}

#[test]
fn the_key_a_server_shows_is_matched_with_the_key_files() {
    let (mut sandbox, server) = (with_store("plaintext"), Cloud::start());
    let path = key_file(&sandbox, STOCK_KEY, "ed25519", "");
    let line = fs::read_to_string(path.with_extension("pub")).unwrap();
    let encoded = BASE64_URL_SAFE_NO_PAD.encode(line.trim());
    server.unsigned_signin_url(true).inject("/api/me", Fault::SigninKey(encoded));
    sandbox.set_env("OLLAMA_HOST", server.url());
    let report = doctor(&sandbox, &[]);
    expect(&report, "server-key", "ok", &[path.to_str().unwrap(), &fingerprint(&path)]);
}

#[test]
fn a_stopped_server_is_an_error_only_if_ollama_host_names_it() {
    let mut sandbox = with_store("plaintext");
    sandbox.set_env("OLLAMA_HOST", "127.0.0.1:1");
    expect(&doctor(&sandbox, &[]), "server-unreachable", "error", &["127.0.0.1:1", "OLLAMA_HOST"]);
    // A host given by name is always checked.
    let cloud = Cloud::start();
    expect(&doctor(&sandbox, &["--host", &cloud.url()]), "host", "ok", &[&cloud.url()]);
    // A gateway wants a credential.
    sandbox.set_env("OLLAMA_HOST", cloud.url());
    expect(&doctor(&sandbox, &[]), "server", "ok", &["requires a credential"]);
}

#[test]
fn folders_and_stores_readable_by_others_are_reported() {
    let (sandbox, _cloud, _stock) = given("plaintext");
    let (config, data) = (sandbox.path(CONFIG), sandbox.path(DATA));
    for (path, mode, check, level) in [
        (config.clone(), 0o777, "folder-exposed", "error"),
        (data.clone(), 0o750, "folder-exposed", "warning"),
        (data.join("secrets.json"), 0o644, "secrets-exposed", "error"),
        (config.join("profiles.json"), 0o622, "profiles-exposed", "error"),
    ] {
        chmod(&path, mode);
        let report = offline(&sandbox);
        expect(&report, check, level, &[path.to_str().unwrap(), &format!("{mode:04o}")]);
        apply_fix(&sandbox, &report, check);
        assert!(!has(&offline(&sandbox), check), "{check} is fixed");
    }
}

#[test]
fn a_locked_frozen_or_missing_keyring_is_reported() {
    let (mut keyring, cloud) = (Keyring::start_unlocked(), Cloud::start());
    let mut sandbox = on_keyring(&keyring);
    sandbox.set_env("OLLAMA_HOST", cloud.url());
    sign_in(&sandbox, &cloud, &[]);
    expect(&doctor(&sandbox, &[]), "keyring", "ok", &["holds 1 secret"]);
    assert!(!keyring.list().contains("doctor"), "it only reads");
    keyring.restart_locked();
    expect(&offline(&sandbox), "keyring", "error", &["the keyring is locked", "store move --to file"]);
    keyring.freeze();
    let output = look(&sandbox, sandbox.command(["doctor", "--json"])).expect_code(8);
    assert!(output.duration < BOUNDED);
    expect(&output.json(), "keyring", "error", &["did not answer within"]);
    keyring.thaw();
    sandbox.remove_env("DBUS_SESSION_BUS_ADDRESS").set_env("XDG_RUNTIME_DIR", "/nonexistent");
    expect(&offline(&sandbox), "keyring", "error", &["no keyring can be reached", "cron"]);
    // It is not needed: a note.
    let mut fresh = Sandbox::new();
    fresh.set_env("OLLAMA_HOST", cloud.url());
    expect(&offline(&fresh), "keyring", "note", &["--passphrase-file"]);
}

#[test]
fn an_encrypted_file_that_cannot_be_opened_is_left_in_place() {
    let (mut sandbox, _cloud, _stock) = given("file");
    sandbox.set_env("OLLAMA_AUTH_PASSPHRASE", "another passphrase");
    let report = offline(&sandbox);
    expect(&report, "encrypted-file", "error", &["wrong passphrase", "OLLAMA_AUTH_PASSPHRASE"]);
    sandbox.remove_env("OLLAMA_AUTH_PASSPHRASE");
    expect(&offline(&sandbox), "encrypted-file", "error", &["needs a passphrase"]);
    sandbox.set_env("OLLAMA_AUTH_PASSPHRASE_FILE", sandbox.path("home/nowhere"));
    expect(&offline(&sandbox), "encrypted-file", "error", &["nowhere does not exist"]);
    assert!(!has(&offline(&sandbox), "passphrase-file"), "said once");
    let file = sandbox.write("home/passphrase", PASSPHRASE);
    sandbox.set_env("OLLAMA_AUTH_PASSPHRASE_FILE", &file);
    expect(&offline(&sandbox), "encrypted-file", "ok", &[]);
    sandbox.write(format!("{DATA}/secrets.enc.json"), "{\"version\":1");
    expect(&offline(&sandbox), "encrypted-file", "error", &["is damaged", "the file was not changed"]);
    // The passphrase file is checked even if it is not used.
    let mut fresh = with_store("file");
    fresh.remove_env("OLLAMA_AUTH_PASSPHRASE");
    fresh.set_env("OLLAMA_AUTH_PASSPHRASE_FILE", fresh.path("home/nowhere"));
    expect(&offline(&fresh), "passphrase-file", "error", &["nowhere does not exist"]);
}

#[test]
fn a_terminal_prompts_for_the_passphrase_once() {
    let (mut sandbox, cloud, _stock) = given("file");
    let other = Cloud::start();
    sign_in(&sandbox, &other, &[]);
    sandbox.remove_env("OLLAMA_AUTH_PASSPHRASE");
    let answer = |typed: &[&str]| {
        let mut terminal = Terminal::start_sized(&sandbox, &["doctor"], 100, 200);
        for (index, typed) in typed.iter().enumerate() {
            terminal.wait_for(|screen| screen.matches("Passphrase of the encrypted file").count() == index + 1);
            terminal.send(typed);
        }
        terminal.finish()
    };
    // Three typing errors are the end of it, however many secrets there are.
    let wrong = answer(&["not the passphrase\r"; 3]);
    assert_eq!((wrong.code, wrong.screen.matches("Passphrase of").count()), (8, 3), "{}", wrong.screen);
    assert!(wrong.screen.contains("✗ wrong passphrase for"), "{}", wrong.screen);
    let right = answer(&[&format!("{PASSPHRASE}\r")]);
    assert!(right.code == 0 && right.screen.contains(&format!("{} accepts", cloud.url())), "{}", right.screen);
    let broken_off = answer(&["\x03"]);
    assert_eq!((broken_off.code, broken_off.restored), (130, true), "{}", broken_off.screen);
}

#[test]
fn a_broken_profiles_file_is_reported_and_left_in_place() {
    let (sandbox, _cloud, _stock) = given("plaintext");
    sandbox.write(format!("{CONFIG}/profiles.json"), "{");
    let report = offline(&sandbox);
    expect(&report, "profiles-file", "error", &["is damaged", "profiles.json"]);
    assert_eq!(fs::read(sandbox.path(CONFIG).join("profiles.json")).unwrap(), b"{");
    // So do other commands.
    sandbox.command(["status", "--offline"]).run().expect_code(1);
    assert_eq!(fs::read(sandbox.path(CONFIG).join("profiles.json")).unwrap(), b"{");
}

#[test]
fn missing_replaced_and_damaged_secrets_are_reported() {
    let (sandbox, cloud, _stock) = given("plaintext");
    let secrets = plaintext(&sandbox);
    sandbox.write(format!("{DATA}/secrets.json"), secrets.replace("\"device-key:", "\"device-key:other-"));
    let report = offline(&sandbox);
    expect(&report, "secret-gone", "error", &["is not in the plaintext store", "ollama-auth signin --host"]);
    let mut file: Value = serde_json::from_str(&secrets).unwrap();
    let other = key_file(&sandbox, "home/other/id", "ed25519", "");
    let name = entry("device-key", &cloud.url());
    file["entries"][&name] = fs::read_to_string(&other).unwrap().into();
    sandbox.write(format!("{DATA}/secrets.json"), file.to_string());
    expect(&offline(&sandbox), "secret-foreign", "error", &[&fingerprint(&other)]);
    file["entries"][&name] = "nonsense".into();
    sandbox.write(format!("{DATA}/secrets.json"), file.to_string());
    expect(&offline(&sandbox), "secret-damaged", "error", &[]);
}

#[test]
fn inconsistent_profiles_are_reported() {
    let (mut sandbox, cloud, _stock) = given("plaintext");
    let name = cloud.url().trim_start_matches("http://").to_owned();
    edit_profiles(&sandbox, |all| {
        let one = all["profiles"][&name].clone();
        all["profiles"]["twin"] = one.clone();
        let mut far = one;
        far["url"] = json!("https://far.example");
        all["profiles"]["far away"] = far;
        all["profiles"]["bare"] =
            json!({ "url": "http://10.0.0.1", "api_key": { "store": "plaintext", "hint": "", "added_at": 0 } });
        all["profiles"]["empty"] = json!({ "url": "https://empty.example" });
        all["current"] = json!("nobody");
    });
    let report = offline(&sandbox);
    expect(&report, "profile-current", "error", &["nobody", "ollama-auth profile use 'far away'"]);
    expect(&report, "profile-same-host", "note", &["twin", &name]);
    expect(&report, "device-key-shared", "warning", &["https://far.example", "act as you"]);
    expect(&report, "profile-plain-http", "warning", &["http://10.0.0.1"]);
    expect(&report, "profile-empty", "note", &["empty"]);
    // Names are others' words: they cannot reach the terminal as they are.
    sandbox.set_env("OLLAMA_AUTH_PROFILE", "gone");
    expect(&offline(&sandbox), "decision", "error", &["no profile named", "gone"]);
    sandbox.set_env("OLLAMA_AUTH_STORE", "nonsense");
    expect(&offline(&sandbox), "store-variable", "error", &["keyring, file or plaintext"]);
}

#[test]
fn unfinished_moves_and_device_rotations_are_reported() {
    let (sandbox, cloud, _stock) = given("plaintext");
    let name = cloud.url().trim_start_matches("http://").to_owned();
    let old = plaintext(&sandbox);
    let to = ["store", "move", "--to", "file"];
    sandbox.command(to).env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE).run().expect_code(0);
    sandbox.write(format!("{DATA}/secrets.json"), old);
    edit_profiles(&sandbox, |all| all["profiles"][&name]["moving_to"] = json!("file"));
    let command = sandbox.command(["doctor", "--json", "--offline"]).env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE);
    let report = examine(&sandbox, command);
    expect(&report, "copy-left", "warning", &["plaintext store", "store move --to file"]);
    expect(&report, "move-unfinished", "warning", &["store move --to file"]);
    let other = key_file(&sandbox, "home/other/id", "ed25519", "");
    let line = fs::read_to_string(other.with_extension("pub")).unwrap().trim().to_owned();
    edit_profiles(&sandbox, |all| all["profiles"][&name]["device"]["retired"] = json!([line]));
    expect(&offline(&sandbox), "device-retired", "warning", &["ollama-auth device revoke 'ssh-ed25519 "]);
    edit_profiles(&sandbox, |all| all["profiles"][&name]["device"]["next"] = json!(line));
    expect(&offline(&sandbox), "device-rotation-unfinished", "warning", &["device rotate"]);
}

#[test]
fn an_unfinished_api_key_rotation_is_reported() {
    let (sandbox, cloud, _stock) = given("plaintext");
    let name = cloud.url().trim_start_matches("http://").to_owned();
    let journal = format!("{DATA}/rotations.json");
    let write = |step: &str, profile: &str, kept: bool, targets: Value| {
        let rotation = json!({
            "profile": profile, "origin": cloud.url(), "old": "key_11111111", "new": "key_22222222", "kept": kept,
            "store": "plaintext", "targets": targets, "step": step, "began_at": 1,
        });
        sandbox.write(&journal, json!({ "version": 1, "rotations": [rotation] }).to_string());
    };
    write("ending", &name, true, json!({}));
    assert!(!has(&offline(&sandbox), "rotation-unfinished"));
    for step in ["asked", "in-use"] {
        write(step, &name, true, json!({}));
        let report = offline(&sandbox);
        let wanted = ["key_22222222", &format!("ollama-auth keys rotate --profile {name}")];
        expect(&report, "rotation-unfinished", "warning", &wanted);
    }
    write("deploying", &name, false, json!({ "env_file": "/etc/my app.env", "command": true }));
    let wanted = format!("keys rotate key_11111111 --profile {name} --env-file '/etc/my app.env' --deploy CMD");
    expect(&offline(&sandbox), "rotation-unfinished", "warning", &[&wanted]);
    write("stored", "gone", true, json!({}));
    expect(&offline(&sandbox), "rotation-unfinished", "warning", &["ollama-auth keys revoke key_22222222"]);
    // What is damaged stays where it is: `examine` compares every file.
    sandbox.write(&journal, "{\"version\":1,\"rotations\":[{}]}");
    expect(&offline(&sandbox), "rotation-journal", "error", &["is damaged", "rotations.json.damaged"]);
    fs::remove_file(sandbox.path(&journal)).unwrap();
    assert_eq!(offline(&sandbox)["counts"]["error"], 0);
}

#[test]
fn a_credentials_file_is_checked_at_its_host() {
    let (mut sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let file = sandbox.write("home/c.json", json!({ "host": cloud.url(), "key": KEY }).to_string());
    chmod(&file, 0o600);
    sandbox.set_env("OLLAMA_AUTH_CREDENTIALS", &file);
    let report = doctor(&sandbox, &[]);
    expect(&report, "credential-refused", "error", &["credentials file", "c.json", "put a valid key into"]);
    cloud.accept_api_key(KEY);
    let report = doctor(&sandbox, &[]);
    expect(&report, "credential", "ok", &["credentials file", "you are standin"]);
    expect(&report, "credentials-file", "ok", &["is used at", &cloud.url()]);
    sign_in(&sandbox, &cloud, &[]);
    expect(&offline(&sandbox), "credentials-file-wins", "warning", &["unset OLLAMA_AUTH_CREDENTIALS"]);
    sandbox.set_env("OLLAMA_AUTH_PROFILE", cloud.url().trim_start_matches("http://"));
    fs::write(&file, json!({ "host": "https://other.example", "key": KEY }).to_string()).unwrap();
    expect(&offline(&sandbox), "credentials-file-unused", "note", &["https://other.example"]);
    let output = look(&sandbox, sandbox.command(["doctor", "-vv"]).env("RUST_LOG", "trace"));
    sandbox.assert_no_secret(KEY, &[&output], &["home/c.json"]);
}

#[test]
fn refused_credentials_and_unavailable_hosts_are_reported() {
    let (sandbox, cloud, _stock) = given("plaintext");
    cloud.accept_api_key(KEY);
    sandbox.command(["signin", "--with-api-key"]).stdin(KEY).run().expect_code(0);
    let both = |report: &Value| -> Vec<String> {
        let all = report["findings"].as_array().unwrap();
        let of = all.iter().filter(|finding| finding["check"].as_str().unwrap().starts_with("credential"));
        of.map(|finding| format!("{} {}", finding["check"].as_str().unwrap(), finding["level"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(both(&doctor(&sandbox, &[])), ["credential ok", "credential ok"]);
    cloud.revoke_api_key(KEY);
    let output = look(&sandbox, sandbox.command(["doctor"])).expect_code(8);
    assert!(output.stdout().contains("signin --with-api-key --host"), "{}", output.snapshot());
    sandbox.assert_no_secret(KEY, &[&output], &[DATA]);
    assert_eq!(both(&doctor(&sandbox, &[])), ["credential-refused error", "credential ok"]);
    let devices = cloud.devices();
    cloud.disconnect(&devices[0].key.line);
    assert_eq!(both(&doctor(&sandbox, &[])), ["credential-refused error", "credential-refused error"]);
    cloud.inject("/api/me", Fault::Status(500));
    assert!(both(&doctor(&sandbox, &[])).contains(&"credential-unknown warning".to_owned()));
    drop(cloud);
    let report = doctor(&sandbox, &[]);
    expect(&report, "host-unreachable", "error", &["cannot reach"]);
    assert_eq!(both(&report), [""; 0]);
}

#[test]
fn a_plain_server_ignores_a_stored_device_key() {
    let (mut sandbox, cloud, stock) = given("plaintext");
    let name = cloud.url().trim_start_matches("http://").to_owned();
    // The address that was a gateway's leads past it now.
    let secrets = plaintext(&sandbox).replace(&cloud.url(), &stock.url());
    sandbox.write(format!("{DATA}/secrets.json"), secrets);
    edit_profiles(&sandbox, |all| all["profiles"][&name]["url"] = json!(stock.url()));
    sandbox.remove_env("DISPLAY");
    expect(&doctor(&sandbox, &[]), "credential-ignored", "warning", &["requires no credential"]);
}

#[test]
fn hosts_that_hang_time_out_in_parallel() {
    let (sandbox, cloud, _stock) = given("plaintext");
    cloud.inject("/api/me", Fault::Hang);
    // They take connections and say nothing.
    let silent = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    edit_profiles(&sandbox, |all| {
        for listener in &silent {
            let address = listener.local_addr().unwrap().to_string();
            all["profiles"][&address] = json!({ "url": format!("http://{address}") });
        }
    });
    let output = look(&sandbox, sandbox.command(["doctor", "--json"])).expect_code(8);
    // One after the other would take four times 8 s.
    assert!(output.duration < Duration::from_secs(20), "{:?}", output.duration);
    let report = output.json();
    let late = report["findings"].as_array().unwrap().iter().filter(|f| f["check"] == "host-unreachable");
    assert_eq!(late.filter(|f| f.to_string().contains("no answer within 8 seconds")).count(), 3);
    expect(&report, "credential-unknown", "warning", &["no answer within 8 seconds"]);
}

#[test]
fn a_clock_difference_is_reported() {
    let (sandbox, cloud, _stock) = given("plaintext");
    assert!(!has(&doctor(&sandbox, &[]), "clock"));
    cloud.inject("/", Fault::DateSkew(-40));
    expect(&doctor(&sandbox, &[]), "clock", "warning", &["seconds ahead of", &cloud.url()]);
    cloud.clear_faults();
    cloud.inject("/", Fault::DateSkew(900));
    expect(&doctor(&sandbox, &[]), "clock", "error", &["minutes behind", "timedatectl"]);
    // A signature that is refused for it is not blamed on the key.
    cloud.clear_faults();
    cloud.server().clock().skew(900);
    let report = doctor(&sandbox, &[]);
    expect(&report, "credential-refused", "error", &["set the clock"]);
    assert!(!cloud.take_refused().is_empty());
}

#[test]
fn proxies_and_certificates_are_checked() {
    let mut sandbox = with_store("plaintext");
    sandbox.set_env("HTTPS_PROXY", "http://me:hunter2-hunter2@proxy.example:3128");
    let output = look(&sandbox, sandbox.command(["doctor", "--offline", "--json"]));
    sandbox.assert_no_secret("hunter2-hunter2", &[&output], &[]);
    let report = output.json();
    expect(&report, "proxy-credential", "warning", &["http://proxy.example:3128"]);
    expect(&report, "no-proxy", "note", &["export NO_PROXY="]);
    sandbox.set_env("HTTPS_PROXY", "proxy.example:3128").set_env("no_proxy", "localhost,.lan");
    let report = offline(&sandbox);
    expect(&report, "proxy", "ok", &["https hosts", "http://proxy.example:3128"]);
    assert!(!has(&report, "no-proxy"));
    sandbox.set_env("HTTPS_PROXY", "http://");
    expect(&offline(&sandbox), "proxy-unreadable", "warning", &["HTTPS_PROXY"]);

    sandbox.set_env("SSL_CERT_FILE", sandbox.path("home/nowhere.pem"));
    expect(&offline(&sandbox), "ssl-cert-file", "error", &["nowhere.pem"]);
    sandbox.set_env("SSL_CERT_FILE", "/dev/zero");
    expect(&offline(&sandbox), "ssl-cert-file", "error", &["not a regular file"]);
    sandbox.set_env("SSL_CERT_FILE", sandbox.write("home/odd.pem", "no certificate"));
    expect(&offline(&sandbox), "ssl-cert-file", "error", &["odd.pem", "contains no PEM certificate"]);
    let nowhere = sandbox.path("home/nowhere");
    sandbox.remove_env("SSL_CERT_FILE").set_env("SSL_CERT_DIR", nowhere);
    expect(&offline(&sandbox), "ssl-cert-dir", "warning", &["home/nowhere"]);
    let missing = ["--ca-cert", "/nonexistent/ca.pem", "--offline"];
    expect(&doctor(&sandbox, &missing), "authorities", "error", &["/nonexistent/ca.pem", "--ca-cert"]);
}

#[test]
fn unused_overriding_and_mistyped_api_key_variables_are_reported() {
    let (mut sandbox, cloud, _stock) = given("plaintext");
    sandbox.set_env("OLLAMA_API_KEY", KEY);
    let report = offline(&sandbox);
    expect(&report, "api-key-unused", "warning", &["add --host", &cloud.url()]);
    let named = ["--offline", "--host", &cloud.url()];
    expect(&doctor(&sandbox, &named), "api-key-wins", "warning", &["instead of the credential of the profile"]);
    sandbox.set_env("OLLAMA_API_KEY", "olauth_tooshort");
    let report = offline(&sandbox);
    expect(&report, "api-key-mistyped", "error", &["looks like a gateway key"]);
    assert!(!report.to_string().contains("olauth_tooshort"));
}

#[test]
fn server_text_is_sanitised_for_the_terminal() {
    let (sandbox, cloud, _stock) = given("plaintext");
    cloud.set_user(json!({ "id": "00000000-0000-0000-0000-000000000001", "name": "evil\u{1b}[2Jname" }));
    let output = look(&sandbox, sandbox.command(["doctor"])).expect_code(0);
    assert!(output.stdout().contains("evil") && !output.stdout().contains('\u{1b}'), "{}", output.snapshot());
}

/// The names that the document lists are the program's.
#[test]
fn the_documentation_lists_every_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands/doctor");
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let source: String = files.collect();
    let document = documented();
    let rows: Vec<&str> = document.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let (_, checks) = document.split_once("## The checks").unwrap();
    let listed = rows.iter().filter(|name| checks.contains(&format!("| `{name}`")));
    let mut count = 0;
    for name in listed {
        assert!(source.contains(&format!("\"{name}\"")), "{name} is in docs/reference/doctor.md only");
        count += 1;
    }
    assert!(count > 30, "{count}");
}
