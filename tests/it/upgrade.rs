//! What the previous version wrote still works, and each version works with the other one at the other end.
//!
//! tests/it/fixtures/previous-VERSION was written by that version (scripts/previous-fixtures). scripts/previous builds the
//! version itself.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::given::with_store;
use crate::harness::cmd::{Output, PROGRAM, Sandbox};
use crate::harness::gateway::{Gateway, PASSWORD};
use crate::harness::ollama::{Ollama, recorded};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/previous-0.1.0");

/// Where the gateway of the fixtures listened. The stored credentials belong to this address, so it is the same in each
/// test that uses them; no other test and no service uses it.
const ADDRESS: &str = "127.83.44.9:18435";

/// Listening here is the right to use [`ADDRESS`]: one test at a time has it, also if several test runs share the machine.
const TURN: &str = "127.83.44.10:18435";

/// Waits for its turn. A connection to the one whose turn it is ends when that one has finished.
fn take_turn() -> TcpListener {
    loop {
        match TcpListener::bind(TURN) {
            Ok(listener) => return listener,
            Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}"),
        }
        if let Ok(mut waiting) = TcpStream::connect(TURN) {
            let _ = waiting.read(&mut [0]);
        }
    }
}

/// The gateway and the device of the fixtures, each in a folder of its own.
struct Upgraded {
    gateway: Gateway,
    device: Sandbox,
    _ollama: Ollama,
    _turn: TcpListener,
}

impl Upgraded {
    /// The current program, on what the previous version wrote.
    fn start() -> Self {
        let turn = take_turn();
        let (machine, mut device, ollama) = (Sandbox::new(), Sandbox::new(), Ollama::start());
        copy(&Path::new(FIXTURES).join("home"), &device.home());
        device.set_env("OLLAMA_AUTH_PASSPHRASE", PASSWORD);
        for file in ["gateway.db", "gateway.toml"] {
            machine.write(format!("gateway/{file}"), fs::read(Path::new(FIXTURES).join(file)).unwrap());
        }
        let config = machine.path("gateway/gateway.toml");
        let more = ["--config", config.to_str().unwrap(), "--upstream", &ollama.url()];
        let gateway = Gateway::start_program(Path::new(PROGRAM), machine, ADDRESS, &more);
        Self { gateway, device, _ollama: ollama, _turn: turn }
    }

    fn run(&self, args: &[&str]) -> Output {
        self.device.command(args).run()
    }
}

/// Copies a folder, private to its owner as the program writes it: Git keeps no such modes.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.as_ref().unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::write(&to, fs::read(&from).unwrap()).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// The program of the previous version.
fn previous() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/previous/ollama-auth");
    assert!(path.exists(), "{} is missing: run scripts/previous", path.display());
    path
}

fn names(listed: &Value) -> Vec<&str> {
    listed["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect()
}

#[test]
fn a_device_of_the_previous_version_is_still_signed_in() {
    let upgraded = Upgraded::start();
    let status = upgraded.run(&["status", "--json"]).expect_code(0).json();
    assert_eq!((&status["signed_in"], &status["account"]["name"]), (&true.into(), &"ada".into()), "{status}");
    let said = upgraded.run(&["run", "tiny", "Why is the sky blue?"]).expect_code(0);
    assert_eq!(said.stdout().trim_end(), recorded("generate").said().trim_end());
    let listed = upgraded.run(&["keys", "list", "--json"]).expect_code(0).json();
    let names = names(&listed);
    assert!(names.contains(&"ci") && names.contains(&"nightly") && !names.contains(&"old"), "{listed}");
    let wrong = upgraded.device.command(["status"]).env("OLLAMA_AUTH_PASSPHRASE", "wrong").run();
    assert_ne!(wrong.code(), 0, "the store is encrypted");
}

#[test]
fn what_the_previous_version_stored_can_be_suspended() {
    let upgraded = Upgraded::start();
    let devices = upgraded.gateway.admin(&["device", "list", "--user", "ada", "--json"]).expect_code(0).json();
    let device = &devices["devices"][0];
    assert!(device["suspended_at"].is_null(), "{devices}");
    let fingerprint = device["fingerprint"].as_str().unwrap();
    upgraded.gateway.admin(&["device", "suspend", fingerprint]).expect_code(0);
    let listed = upgraded.run(&["keys", "list", "--json"]).expect_code(0).json();
    let stored = listed["keys"].as_array().unwrap().iter().find(|key| key["kept_here"] == true).unwrap();
    for (does, code) in [("suspend", 5), ("resume", 0)] {
        upgraded.gateway.admin(&["key", does, stored["id"].as_str().unwrap()]).expect_code(0);
        upgraded.run(&["keys", "list"]).expect_code(code);
    }
    let key = upgraded.gateway.admin(&["key", "suspend", "ci", "--user", "ada", "--json"]).expect_code(0).json();
    assert_eq!(key["state"], "suspended", "{key}");
}

#[test]
fn a_rotation_that_the_previous_version_began_is_finished() {
    let upgraded = Upgraded::start();
    let journal = upgraded.device.path("home/.local/share/ollama-auth/rotations.json");
    assert!(fs::read_to_string(&journal).unwrap().contains("\"deploying\""));
    let rotate =
        ["keys", "rotate", "nightly", "--grace", "0s", "--deploy", "read -r key; echo \"$key\" > $HOME/deployed"];
    upgraded.run(&rotate).expect_code(0);
    let journal = fs::read_to_string(&journal).unwrap();
    assert!(!journal.contains("\"deploying\""), "{journal}");
    let deployed = fs::read_to_string(upgraded.device.path("home/deployed")).unwrap();
    let header = format!("Authorization: Bearer {}", deployed.trim());
    assert_eq!(upgraded.gateway.ask("GET", "/api/tags", &[&header], "").status, 200);
    assert_eq!(upgraded.run(&["token"]).expect_code(0).stdout().trim(), deployed.trim());
}

#[test]
fn accounts_keys_and_events_of_the_previous_version_are_there() {
    let upgraded = Upgraded::start();
    let key = fs::read_to_string(Path::new(FIXTURES).join("ci.key")).unwrap();
    let header = format!("Authorization: Bearer {}", key.trim());
    assert_eq!(upgraded.gateway.ask("GET", "/api/tags", &[&header], "").status, 200);
    let audit = upgraded.gateway.admin(&["audit", "--json"]).expect_code(0);
    says_stdout(&audit, &["user.created", "device.approved", "key.created", "key.revoked"]);
    let users = upgraded.gateway.admin(&["user", "list", "--json"]).expect_code(0).json();
    assert!(users.to_string().contains("\"ada\"") && users.to_string().contains("\"devices\":1"), "{users}");
    // With the old password.
    let device = with_store("plaintext");
    let link = ["signin", "--host", &upgraded.gateway.url(), "--no-wait"];
    let first = device.command(link).run().expect_code(4);
    upgraded.gateway.browse(first.stdout().trim(), "ada", "Approve").expect_code(0);
    device.command(link).run().expect_code(0);
}

fn says_stdout(output: &Output, wanted: &[&str]) {
    for text in wanted {
        assert!(output.stdout().contains(text), "{text:?} is missing: {}", output.snapshot());
    }
}

/// A device of one version signs in at a gateway of another, runs a model, manages keys and signs out.
fn works_with(client: &Path, gateway: &Path) {
    let ollama = Ollama::start();
    let gateway = Gateway::start_program(gateway, Sandbox::new(), "127.0.0.1:0", &["--upstream", &ollama.url()]);
    // The administrator's commands are current ones: a gateway that was not restarted after an upgrade obeys them.
    gateway.add_user("ada", "member");
    let device = with_store("file");
    let run = |args: &[&str]| device.program(client, args).run();
    let url = gateway.url();
    let sign_in = ["signin", "--host", &url, "--no-wait"];
    let link = run(&sign_in).expect_code(4).stdout().trim().to_owned();
    gateway.browse(&link, "ada", "Approve").expect_code(0);
    run(&sign_in).expect_code(0);
    let status = run(&["status", "--json"]).expect_code(0).json();
    assert_eq!((&status["signed_in"], &status["account"]["name"]), (&true.into(), &"ada".into()), "{status}");

    let question = ["run", "tiny", "Why is the sky blue?"];
    assert_eq!(run(&question).expect_code(0).stdout().trim_end(), recorded("generate").said().trim_end());
    let key = run(&["keys", "create", "ci", "--scope", "inference,models:read,keys"])
        .expect_code(0)
        .stdout()
        .trim()
        .to_owned();
    let script = with_store("file");
    let keep = ["signin", "--with-api-key", "--host", &url];
    script.program(client, keep).stdin(&key).run().expect_code(0);
    script.program(client, question).run().expect_code(0);
    script.program(client, ["keys", "rotate", "ci", "--grace", "0s"]).run().expect_code(0);
    script.program(client, question).run().expect_code(0);
    let header = format!("Authorization: Bearer {key}");
    assert_eq!(gateway.ask("GET", "/api/tags", &[&header], "").status, 401, "the rotated key has ended");
    let listed = run(&["keys", "list", "--json"]).expect_code(0).json();
    assert!(names(&listed).contains(&"ci"), "{listed}");
    run(&["keys", "revoke", "ci", "--yes"]).expect_code(0);
    script.program(client, question).run().expect_code(4);

    run(&["signout"]).expect_code(0);
    run(&["run", "--host", &url, "tiny", "hi"]).expect_code(4);
    says_stdout(&gateway.admin(&["audit", "--json"]).expect_code(0), &["device.approved", "key.revoked"]);
}

#[test]
fn the_previous_client_works_with_the_current_gateway() {
    works_with(&previous(), Path::new(PROGRAM));
}

#[test]
fn the_current_client_works_with_the_previous_gateway() {
    works_with(Path::new(PROGRAM), &previous());
}

#[test]
fn a_gateway_of_the_previous_version_says_that_it_does_not_know_a_new_command() {
    let gateway =
        Gateway::start_program(&previous(), Sandbox::new(), "127.0.0.1:0", &["--upstream", "http://127.0.0.1:9"]);
    gateway.add_user("ada", "member");
    let fingerprint = format!("SHA256:{}", "a".repeat(43));
    for args in [
        &["device", "list"][..],
        &["key", "list"],
        &["user", "remove", "ada", "--yes"],
        &["key", "revoke", "ci", "--yes"],
        &["approve", &fingerprint, "--user", "ada", "--device-name", "laptop"],
    ] {
        let output = gateway.admin(args).expect_code(1);
        let said = output.stderr();
        assert!(said.contains("the running gateway does not understand this request"), "{said}");
        assert!(said.contains("restart it after an update"), "{said}");
    }
}

#[test]
fn the_previous_version_refuses_the_current_database_and_leaves_it() {
    let sandbox = Sandbox::new();
    let database = sandbox.path("gateway/gateway.db");
    let place = ["--database", database.to_str().unwrap()];
    let add = ["gateway", "user", "add", "ada", "--role", "admin"];
    sandbox.command(add).args(place).stdin(format!("{PASSWORD}\n")).run().expect_code(0);
    let before = fs::read(&database).unwrap();
    let output = sandbox.program(previous(), ["gateway", "user", "list"]).args(place).run().expect_code(1);
    assert!(output.stderr().contains("a newer version of ollama-auth"), "{}", output.stderr());
    assert!(fs::read(&database).unwrap() == before);
    sandbox.command(["gateway", "user", "list"]).args(place).run().expect_code(0);
}
