//! `device`: keys are imported, exported, replaced and disconnected; some key works at every step.

use ollama_auth::identity::group_fingerprint;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::given::{
    DATA, as_nobody, edit_profiles, fingerprint, key_file, mode, plaintext, profile, says, sign_in, ssh_keygen,
    with_store,
};
use crate::harness::browser::Behaviour;
use crate::harness::cloud::{Cloud, Fault};
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::signature::TestDevice;
use crate::harness::stock::{Account, Stock};
use crate::harness::{poll, tool};

const STOCK_KEY: &str = "home/.ollama/id_ed25519";

fn device(sandbox: &Sandbox, args: &[&str]) -> Output {
    sandbox.command(["device"].iter().chain(args)).run()
}

/// Fingerprint of the device key that the profile records.
fn shown(sandbox: &Sandbox) -> String {
    let show = device(sandbox, &["show", "--json"]).expect_code(0).json();
    show["fingerprint"].as_str().unwrap().to_owned()
}

/// Every entry of secrets.json.
fn entries(sandbox: &Sandbox) -> Value {
    serde_json::from_str(&plaintext(sandbox)).unwrap_or_default()
}

#[test]
fn the_key_of_stock_ollama_is_imported_and_used() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let file = key_file(&sandbox, STOCK_KEY, "ed25519", "");
    let before = fs::read(&file).unwrap();
    let output = device(&sandbox, &["import", "--host", &cloud.url()]).expect_code(0);
    says(&output, &["Imported", &group_fingerprint(&fingerprint(&file)), "the operator of", "signin --host"]);
    // The private key was copied and the file left alone.
    assert_eq!(fs::read(&file).unwrap(), before);
    // At a host that knows it already, there is nothing to approve.
    let line = fs::read_to_string(file.with_extension("pub")).unwrap();
    let list = device(&sandbox, &["list", "--json"]).expect_code(0).json();
    assert_eq!(list["devices"][0]["fingerprint"], list["devices"][1]["fingerprint"]);
    assert_eq!(list["devices"][1]["profile"], Value::Null);
    assert!(list["devices"][1]["rests_in"].as_str().unwrap().ends_with(STOCK_KEY));
    sign_in(&sandbox, &cloud, &[]);
    assert_eq!(cloud.devices()[0].key.line, line.trim());
    says(&device(&sandbox, &["import"]).expect_code(0), &["already has this device key"]);

    // Signing out would sign out stock Ollama too.
    let output = sandbox.command(["signout"]).run().expect_code(2);
    says(&output, &["shared with", STOCK_KEY, "--yes"]);
    assert_eq!(cloud.devices().len(), 1);
    sandbox.command(["status"]).run().expect_code(0);
    sandbox.command(["signout", "--yes"]).run().expect_code(0);
    assert!(cloud.devices().is_empty());
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_protected_key_needs_its_passphrase() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let file = key_file(&sandbox, "home/key", "ed25519", "the key's passphrase");
    let path = file.to_str().unwrap();
    let import = |more: &[&str]| {
        let args = ["device", "import", path, "--host", &cloud.url()].map(str::to_owned);
        sandbox.command(args).args(more).run()
    };
    says(&import(&[]).expect_code(2), &[path, "--key-passphrase-file"]);
    let wrong = sandbox.write("wrong", "not it\n");
    says(&import(&["--key-passphrase-file", wrong.to_str().unwrap()]).expect_code(1), &[path, "wrong passphrase"]);
    assert!(!sandbox.path(DATA).exists());
    let right = sandbox.write("right", "the key's passphrase\n");
    let output = import(&["--key-passphrase-file", right.to_str().unwrap()]).expect_code(0);
    says(&output, &[&group_fingerprint(&fingerprint(&file))]);
}

#[test]
fn unsupported_key_files_are_refused_with_a_reason() {
    let sandbox = with_store("plaintext");
    let rsa = key_file(&sandbox, "home/rsa", "rsa", "");
    let good = fs::read_to_string(key_file(&sandbox, "home/good", "ed25519", "")).unwrap();
    let corrupt = sandbox.write("home/corrupt", good.replace("AAAA", "AABA"));
    let cut = sandbox.write("home/cut", &good[..good.len() / 2]);
    let empty = sandbox.write("home/empty", "");
    let binary = sandbox.write("home/binary", [0xff, 0xfe, 0, 1]);
    let huge = sandbox.write("home/huge", vec![b'x'; 1 << 20]);
    let folder = sandbox.path("home/folder");
    fs::create_dir(&folder).unwrap();
    let public = sandbox.path("home/good.pub");
    let missing = sandbox.path("home/missing");
    let cases: [(&Path, i32, &str); 9] = [
        (&rsa, 1, "must be ssh-ed25519"),
        (&corrupt, 1, "damaged"),
        (&cut, 1, "damaged"),
        (&empty, 1, "not an OpenSSH private key"),
        (&binary, 1, "not text"),
        (&huge, 1, "larger than"),
        (&folder, 1, "not a regular file"),
        (&public, 1, "without .pub"),
        (&missing, 3, "the key file"),
    ];
    let before = sandbox.files();
    for (path, code, words) in cases {
        let path = path.to_str().unwrap();
        let output = device(&sandbox, &["import", path]);
        assert_eq!(output.code(), code, "{}", output.snapshot());
        says(&output, &[path, words]);
    }
    assert_eq!(sandbox.files(), before);
    says(&device(&sandbox, &["import"]).expect_code(3), &[STOCK_KEY, "/usr/share/ollama"]);
}

#[test]
fn a_pipe_is_read_and_an_unwritten_pipe_does_not_hang() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let fifo = sandbox.path("home/fifo");
    let made = std::process::Command::new(tool("mkfifo")).arg(&fifo).status();
    assert!(made.unwrap().success());
    let path = fifo.to_str().unwrap();
    let output = device(&sandbox, &["import", path]).expect_code(1);
    says(&output, &[path, "not an OpenSSH private key"]);
    let key = key_file(&sandbox, "home/key", "ed25519", "");
    let script = format!(
        "'{}' '{}' | '{}' device import /dev/stdin --host {}",
        tool("cat").display(),
        key.display(),
        crate::harness::cmd::PROGRAM,
        cloud.url()
    );
    sandbox.program(tool("sh"), ["-c", &script]).run().expect_code(0);
    assert_eq!(shown(&sandbox), fingerprint(&key));
}

#[test]
fn unreadable_and_exposed_keys_are_reported() {
    let sandbox = with_store("plaintext");
    let key = key_file(&sandbox, "home/key", "ed25519", "");
    let path = key.to_str().unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o000)).unwrap();
    let output = as_nobody(&sandbox, &["device", "import", path]).run();
    says(&output.expect_code(1), &["cannot read", path, "denied"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let output = as_nobody(&sandbox, &["device", "import", path]).run();
    says(&output.expect_code(0), &["can be read by other accounts", "rotate"]);
}

#[test]
fn replacing_a_key_requires_confirmation_and_leaves_no_copy() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let first = shown(&sandbox);
    let secret = entries(&sandbox).to_string();
    let key = key_file(&sandbox, "home/key", "ed25519", "");
    let path = key.to_str().unwrap();
    let output = device(&sandbox, &["import", path]).expect_code(2);
    says(&output, &["has another device key", &group_fingerprint(&first), "--replace"]);
    assert_eq!(entries(&sandbox).to_string(), secret);
    sandbox
        .command(["device", "import", path, "--replace", "--store", "file"])
        .env("OLLAMA_AUTH_PASSPHRASE", crate::given::PASSPHRASE)
        .run()
        .expect_code(0);
    assert_eq!(shown(&sandbox), fingerprint(&key));
    assert!(!plaintext(&sandbox).contains("device-key:"), "{}", plaintext(&sandbox));
}

#[test]
fn a_key_used_at_two_hosts_is_warned_about() {
    let (sandbox, one, two) = (with_store("plaintext"), Cloud::start(), Cloud::start());
    let key = key_file(&sandbox, "home/key", "ed25519", "");
    let path = key.to_str().unwrap();
    device(&sandbox, &["import", path, "--host", &one.url()]).expect_code(0);
    let output = device(&sandbox, &["import", path, "--host", &two.url()]).expect_code(0);
    says(&output, &["this key is also used at", &one.url(), "can act as you at the other"]);
    // For ollama.com, whose key stock Ollama's is, there is nothing to warn of.
    let sandbox = with_store("plaintext");
    key_file(&sandbox, STOCK_KEY, "ed25519", "");
    let output = device(&sandbox, &["import"]).expect_code(0);
    assert!(!output.stderr().contains("can act as you"), "{}", output.snapshot());
}

#[test]
fn ssh_keygen_reads_the_exported_key() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let line = cloud.devices()[0].key.line.clone();
    let file = sandbox.path("home/out/id");
    let path = file.to_str().unwrap();
    let output = device(&sandbox, &["export", path]).expect_code(2);
    says(&output, &["without a passphrase", "--no-passphrase"]);
    assert!(!file.exists());
    let output = device(&sandbox, &["export", path, "--no-passphrase"]).expect_code(0);
    says(&output, &[path, "not protected by a passphrase"]);
    assert_eq!(ssh_keygen(&["-y", "-P", "", "-f", path]).trim(), line);
    let public = sandbox.path("home/out/id.pub");
    assert_eq!((mode(&file), mode(&public)), (0o600, 0o600));
    assert_eq!(fs::read_to_string(public).unwrap().trim(), line);

    // A protected one, over the first and over its public half alone.
    let passphrase = sandbox.write("passphrase", "for the file\n");
    let protect = ["--key-passphrase-file", passphrase.to_str().unwrap()];
    let before = fs::read(&file).unwrap();
    let export = |more: &[&str]| {
        let export = sandbox.command(["device", "export", path]);
        export.args(protect).args(more).run()
    };
    says(&export(&[]).expect_code(2), &[path, "exists", "--replace"]);
    assert_eq!(fs::read(&file).unwrap(), before);
    fs::remove_file(&file).unwrap();
    says(&export(&[]).expect_code(2), &["id.pub already exists", "--replace"]);
    assert!(!file.exists());
    export(&["--replace"]).expect_code(0);
    assert_eq!(ssh_keygen(&["-y", "-P", "for the file", "-f", path]).trim(), line);
    sandbox.assert_no_secret("for the file", &[], &["passphrase"]);
}

#[test]
fn an_export_follows_no_symlink() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let victim = sandbox.write("victim", "precious");
    for (planted, target) in [("a", "a"), ("b.pub", "b")] {
        symlink(&victim, sandbox.path("home").join(planted)).unwrap();
        let path = sandbox.path("home").join(target);
        let path = path.to_str().unwrap();
        device(&sandbox, &["export", path, "--no-passphrase"]).expect_code(2);
        let args = ["export", path, "--no-passphrase", "--replace"];
        says(&device(&sandbox, &args).expect_code(1), &["symbolic link"]);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }
    assert!(!sandbox.path("home/b").exists(), "half an export is none");
    let folder = sandbox.path("home/folder");
    fs::create_dir(&folder).unwrap();
    let args = ["export", folder.to_str().unwrap(), "--no-passphrase", "--replace"];
    says(&device(&sandbox, &args).expect_code(1), &["not a regular file"]);
}

#[test]
fn list_and_show_print_all_public_details() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    says(&device(&sandbox, &["list"]).expect_code(0), &["no device key"]);
    says(&device(&sandbox, &["show"]).expect_code(3), &["no device key", "signin"]);
    let none = device(&sandbox, &["list", "--json"]).expect_code(0).json();
    assert_eq!(none, json!({ "devices": [] }));
    sign_in(&sandbox, &cloud, &["--device-name", "my laptop"]);
    let key = cloud.devices()[0].key.clone();
    let name = cloud.url().replace("http://", "");
    let list = device(&sandbox, &["list", "--json"]).expect_code(0).json();
    let row = json!({
        "profile": name, "host": cloud.url(), "device": "my laptop", "fingerprint": key.fingerprint,
        "rests_in": "plaintext", "connected": true,
    });
    assert_eq!(list, json!({ "devices": [row] }));
    let text = device(&sandbox, &["list"]).expect_code(0);
    for part in [&name, "my laptop", &group_fingerprint(&key.fingerprint), "plaintext", "yes"] {
        assert!(text.stdout().contains(part), "{}", text.snapshot());
    }
    let show = device(&sandbox, &["show", "--json"]).expect_code(0).json();
    assert_eq!(show["public_key"], key.line);
    assert_eq!(show["encoded_key"], key.encoded);
    assert_eq!(show["fingerprint"], key.fingerprint);
    let link = show["connect_url"].as_str().unwrap();
    assert!(link.starts_with(&format!("{}/connect?name=my%20laptop&key=", cloud.url())));
    let text = device(&sandbox, &["show"]).expect_code(0);
    for part in [&key.line, &key.encoded, &group_fingerprint(&key.fingerprint), link] {
        assert!(text.stdout().contains(part), "{}", text.snapshot());
    }
}

#[test]
fn a_rotation_replaces_the_device_key() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let old = shown(&sandbox);
    let output = device(&sandbox, &["rotate"]).expect_code(0);
    let new = shown(&sandbox);
    says(&output, &[&group_fingerprint(&old), &group_fingerprint(&new), "in use", "disconnected"]);
    assert_ne!(old, new);
    assert!(cloud.is_connected(&new) && !cloud.is_connected(&old));
    assert_eq!(cloud.devices().len(), 1);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    assert_eq!(plaintext(&sandbox).matches("OPENSSH PRIVATE KEY-----\\n").count(), 2, "one key");
    assert_eq!(profile(&sandbox)["device"]["next"], Value::Null);
}

#[test]
fn the_old_key_works_until_approval_despite_a_kill() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let old = shown(&sandbox);
    cloud.auto_approve(false);
    sandbox.browser(Behaviour::Follows);
    let child = sandbox.command(["device", "rotate"]).spawn();
    let waiting = poll("the new key at the host", || cloud.devices().get(1).cloned());
    child.signal(Signal::KILL);
    child.finish().expect_code(137);
    assert_eq!(shown(&sandbox), old);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    let output = device(&sandbox, &["rotate", "--no-browser", "--timeout", "100ms"]).expect_code(4);
    says(&output, &["Resuming the interrupted rotation", "was not approved", "the old key still works"]);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);

    // Wherever the secrets go meanwhile, the key that waits for approval goes with them.
    sandbox
        .command(["store", "move", "--to", "file"])
        .env("OLLAMA_AUTH_PASSPHRASE", crate::given::PASSPHRASE)
        .run()
        .expect_code(0);
    assert!(!plaintext(&sandbox).contains("PRIVATE KEY"), "{}", plaintext(&sandbox));
    cloud.approve(&waiting.key.fingerprint);
    let output = sandbox
        .command(["device", "rotate"])
        .env("OLLAMA_AUTH_PASSPHRASE", crate::given::PASSPHRASE)
        .run()
        .expect_code(0);
    says(&output, &["Resuming the interrupted rotation", &group_fingerprint(&waiting.key.fingerprint)]);
    assert_eq!(shown(&sandbox), waiting.key.fingerprint);
    assert!(!cloud.is_connected(&old));
    assert_eq!(cloud.devices().len(), 1);
}

#[test]
fn a_rotation_killed_between_store_and_record_continues() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let old = shown(&sandbox);
    cloud.auto_approve(false);
    let child = sandbox.command(["device", "rotate"]).spawn();
    let waiting = poll("the new key at the host", || cloud.devices().get(1).cloned());
    child.signal(Signal::KILL);
    child.finish().expect_code(137);
    cloud.approve(&waiting.key.fingerprint);
    // What the kill leaves: the store holds the new key in both places, the record still names the old one.
    let text = plaintext(&sandbox);
    let mut stored: Value = serde_json::from_str(&text).unwrap();
    let all = stored["entries"].as_object_mut().expect("entries");
    let (next, value) = all
        .iter()
        .find(|(name, _)| name.starts_with("next-device-key:"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .unwrap();
    all.insert(next.trim_start_matches("next-").to_owned(), value);
    sandbox.write(format!("{DATA}/secrets.json"), stored.to_string());
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    sandbox.command(["status"]).run().expect_code(0);
    let output = device(&sandbox, &["rotate", "--no-browser"]).expect_code(0);
    says(&output, &["Resuming the interrupted rotation"]);
    assert_eq!(shown(&sandbox), waiting.key.fingerprint);
    assert!(cloud.is_connected(&waiting.key.fingerprint) && !cloud.is_connected(&old));
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    assert!(!plaintext(&sandbox).contains("next-device-key"));
}

#[test]
fn a_denied_successor_is_replaced_by_the_next_rotation() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let old = shown(&sandbox);
    cloud.auto_approve(false);
    let child = sandbox.command(["device", "rotate"]).spawn();
    let refused = poll("the new key at the host", || cloud.devices().get(1).cloned());
    cloud.deny(&refused.key.fingerprint);
    says(&child.finish().expect_code(5), &["refused"]);
    assert_eq!(shown(&sandbox), old);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    cloud.auto_approve(true);
    device(&sandbox, &["rotate"]).expect_code(0);
    assert_ne!(shown(&sandbox), refused.key.fingerprint);
}

#[test]
fn a_rotation_that_cannot_disconnect_the_old_key_shows_the_command() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let old = cloud.devices()[0].key.clone();
    let path = format!("/api/user/keys/{}", old.encoded);
    cloud.inject(&path, Fault::Status(500));
    let output = device(&sandbox, &["rotate"]).expect_code(1);
    says(&output, &["could not be disconnected", "device revoke", &old.encoded]);
    assert_ne!(shown(&sandbox), old.fingerprint);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    cloud.clear_faults();
    device(&sandbox, &["revoke", &old.encoded, "--yes"]).expect_code(0);
    assert!(!cloud.is_connected(&old.fingerprint));
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
}

#[test]
fn revoke_handles_own_other_and_unknown_devices() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let own = cloud.devices()[0].key.clone();
    let other = TestDevice::new(7).key();
    cloud.connect(other.clone());
    let args = ["revoke", &other.encoded];
    says(&device(&sandbox, &args).expect_code(2), &["the device", &group_fingerprint(&other.fingerprint), "--yes"]);
    assert!(cloud.is_connected(&other.fingerprint));
    device(&sandbox, &["revoke", &other.encoded, "--yes"]).expect_code(0);
    assert!(!cloud.is_connected(&other.fingerprint) && cloud.is_connected(&own.fingerprint));
    // What is gone already is as good as done; by its line too.
    let output = device(&sandbox, &["revoke", &other.line, "--yes"]).expect_code(0);
    says(&output, &["does not know"]);
    // As it is copied from where people compare it.
    let typed = group_fingerprint(&other.fingerprint);
    let output = device(&sandbox, &["revoke", &typed, "--yes"]).expect_code(3);
    says(&output, &["no stored key"]);
    let output = device(&sandbox, &["revoke", "nonsense", "--yes"]).expect_code(2);
    says(&output, &["not a public key"]);
    device(&sandbox, &["revoke", "--yes"]).expect_code(0);
    assert!(!cloud.is_connected(&own.fingerprint));
    assert!(!plaintext(&sandbox).contains("PRIVATE KEY"));
    device(&sandbox, &["revoke", "--yes"]).expect_code(4);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(4);
}

#[test]
fn nothing_is_ever_deleted_at_a_stock_server() {
    let (sandbox, stock) = (with_store("plaintext"), Stock::start(Account::SignedIn));
    let key = key_file(&sandbox, "home/key", "ed25519", "");
    let path = key.to_str().unwrap();
    device(&sandbox, &["import", path, "--host", &stock.url()]).expect_code(0);
    edit_profiles(&sandbox, |all| {
        let name = all["current"].as_str().unwrap().to_owned();
        all["profiles"][&name]["device"]["connected"] = true.into();
    });
    let other = TestDevice::new(7).key();
    for args in [&["revoke", "--yes"][..], &["revoke", &other.encoded, "--yes"], &["rotate", "--no-browser", "--yes"]] {
        says(&device(&sandbox, args).expect_code(1), &["is a plain Ollama server"]);
    }
    assert_eq!(shown(&sandbox), fingerprint(&key));
    let output = sandbox.command(["signout", "--yes"]).run().expect_code(1);
    says(&output, &["is a plain Ollama server", "--force"]);
    sandbox.command(["signout", "--yes", "--force"]).run().expect_code(0);
    assert!(stock.wrong_deletes().is_empty());
    assert_eq!(stock.account(), Account::SignedIn);
}

#[test]
fn signing_out_during_a_rotation_leaves_no_key() {
    for end in [&["signout"][..], &["device", "revoke", "--yes"], &["profile", "remove", "NAME", "--yes"]] {
        let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
        sign_in(&sandbox, &cloud, &[]);
        let rotate = ["rotate", "--no-browser", "--timeout", "100ms"];
        device(&sandbox, &rotate).expect_code(4);
        assert!(plaintext(&sandbox).contains("next-device-key"));
        let name = cloud.url().replace("http://", "");
        let args = end.iter().map(|arg| if *arg == "NAME" { &*name } else { arg });
        sandbox.command(args).run().expect_code(0);
        assert!(!plaintext(&sandbox).contains("PRIVATE KEY"), "{end:?}");
    }
}

#[test]
fn signing_out_disconnects_a_successor_that_was_approved_meanwhile() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    cloud.auto_approve(false);
    let child = sandbox.command(["device", "rotate"]).spawn();
    let waiting = poll("the new key at the host", || cloud.devices().get(1).cloned());
    child.signal(Signal::KILL);
    child.finish().expect_code(137);
    cloud.approve(&waiting.key.fingerprint);
    sandbox.command(["signout"]).run().expect_code(0);
    assert!(cloud.devices().is_empty(), "{:?}", cloud.devices());
}
