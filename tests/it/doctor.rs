//! `doctor`: each problem of an installation is found and named, and the suggested command fixes it. It changes nothing, never
//! hangs and shows no secret.

mod hosts;
mod key_files;
mod stores;

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
const BOUNDED: Duration = Duration::from_secs(60);

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
