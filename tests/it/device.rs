//! `device`: keys are imported, exported, replaced and disconnected; some key works at every step.

mod import_export;
mod rotation;

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
