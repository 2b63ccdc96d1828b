//! Shared setup: sandboxes with a store, signed-in devices, and checks of messages.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::browser::{Behaviour, Browser};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{Cmd, Output, PROGRAM, Sandbox};
use crate::harness::keyring::Keyring;
use crate::harness::tool;

/// The passphrase of the encrypted file.
pub const PASSPHRASE: &str = "correct horse battery";

/// The folder of profiles.json, below the root of a sandbox.
pub const CONFIG: &str = "home/.config/ollama-auth";
/// The folder of the file stores, likewise.
pub const DATA: &str = "home/.local/share/ollama-auth";

/// A sandbox that stores its secrets in that store, with a desktop on which a browser can be opened.
pub fn with_store(store: &str) -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set_env("OLLAMA_AUTH_STORE", store).set_env("DISPLAY", ":0");
    if store == "file" {
        sandbox.set_env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE);
    }
    sandbox
}

/// A sandbox on a desktop with that keyring and without a store setting.
pub fn on_keyring(keyring: &Keyring) -> Sandbox {
    let mut sandbox = Sandbox::new();
    for (name, value) in keyring.env() {
        sandbox.set_env(name, value);
    }
    sandbox.set_env("DISPLAY", ":0");
    sandbox
}

/// Signs a device in by its link, without the wait between two polls; leaves a browser that follows links.
pub fn sign_in(sandbox: &Sandbox, cloud: &Cloud, more: &[&str]) -> Browser {
    let args = ["signin", "--host", &cloud.url(), "--no-wait"].map(str::to_owned);
    let first = sandbox.command(&args).args(more).run();
    if first.code() != 0 {
        let link = first.expect_code(4).stdout().trim().to_owned();
        let fetch = ["--silent", "--fail", "--noproxy", "*", &link];
        sandbox.program(tool("curl"), fetch).run().expect_code(0);
        sandbox.command(&args).args(more).run().expect_code(0);
    }
    sandbox.browser(Behaviour::Follows)
}

/// A fingerprint as people compare it: in groups of four characters.
pub fn grouped(fingerprint: &str) -> String {
    let digits: Vec<char> = fingerprint.strip_prefix("SHA256:").expect("a fingerprint").chars().collect();
    digits.chunks(4).fold("SHA256:".to_owned(), |text, group| text + " " + &group.iter().collect::<String>())
}

/// Fails, showing everything, unless stderr holds all of these.
#[track_caller]
pub fn says(output: &Output, wanted: &[&str]) {
    for text in wanted {
        assert!(output.stderr().contains(text), "{text:?} is missing\n{}", output.snapshot());
    }
}

/// The name of a secret in a store, for a profile that has its host's name.
pub fn entry(kind: &str, url: &str) -> String {
    format!("{kind}:{}:{url}", url.trim_start_matches("http://"))
}

fn json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// profiles.json
pub fn profiles(sandbox: &Sandbox) -> Value {
    json(&sandbox.path(CONFIG).join("profiles.json"))
}

/// Changes profiles.json.
pub fn edit_profiles(sandbox: &Sandbox, change: impl FnOnce(&mut Value)) {
    let mut value = profiles(sandbox);
    change(&mut value);
    sandbox.write(format!("{CONFIG}/profiles.json"), value.to_string());
}

/// The only profile there is.
pub fn profile(sandbox: &Sandbox) -> Value {
    let all = profiles(sandbox);
    let all = all["profiles"].as_object().unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.values().next().unwrap().clone()
}

/// secrets.json as text, empty when there is none.
pub fn plaintext(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.path(DATA).join("secrets.json")).unwrap_or_default()
}

/// Permission bits.
pub fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// The program where no file may grow: the closest to a full disk that needs no disk of its own.
pub fn on_a_full_disk(sandbox: &Sandbox, args: &[&str]) -> Cmd {
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"";
    sandbox.program(tool("sh"), ["-c", script, PROGRAM]).args(args)
}

/// The program as an account that is not root, since root may read and write everything. The sandbox is given to that account.
pub fn as_nobody(sandbox: &Sandbox, args: &[&str]) -> Cmd {
    if !rustix::process::geteuid().is_root() {
        return sandbox.command(args);
    }
    as_account(sandbox, "65534", args)
}

/// The program as the account of that number; only root can do this. The sandbox is given to that account.
pub fn as_account(sandbox: &Sandbox, number: &str, args: &[&str]) -> Cmd {
    let done =
        Command::new(tool("chown")).args(["-R", "-h", &format!("{number}:{number}")]).arg(sandbox.root()).status();
    assert!(done.unwrap().success());
    // The build folder may lie where only root can go.
    let copy = sandbox.path("program");
    if !copy.exists() {
        let done = Command::new(tool("install")).args(["-m", "755", PROGRAM]).arg(&copy).status();
        assert!(done.unwrap().success());
    }
    sandbox
        .program(tool("setpriv"), ["--clear-groups"])
        .args([format!("--reuid={number}"), format!("--regid={number}")])
        .args([&copy])
        .args(args)
}

/// Runs the real ssh-keygen and gives what it printed.
pub fn ssh_keygen(args: &[&str]) -> String {
    let output = Command::new(tool("ssh-keygen"))
        .args(args)
        .env("SSH_ASKPASS_REQUIRE", "never")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A new key pair made by ssh-keygen.
pub fn key_file(sandbox: &Sandbox, below: &str, kind: &str, passphrase: &str) -> PathBuf {
    let path = sandbox.path(below);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    let file = path.to_str().unwrap();
    ssh_keygen(&["-q", "-t", kind, "-N", passphrase, "-C", "", "-f", file]);
    path
}

/// The fingerprint of a key file, as ssh-keygen has it.
pub fn fingerprint(path: &Path) -> String {
    let text = ssh_keygen(&["-lf", path.to_str().unwrap()]);
    text.split_whitespace().nth(1).unwrap().to_owned()
}
