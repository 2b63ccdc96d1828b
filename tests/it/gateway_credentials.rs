//! `gateway device` and `gateway key`: an administrator sees, adds, disconnects and revokes what belongs to any account, and `gateway
//! approve` takes the line that a headless server logs.

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use crate::given::says;
use crate::harness::cmd::Output;
use crate::harness::gateway::Gateway;
use crate::harness::ollama::Ollama;
use crate::harness::pty::Terminal;
use crate::harness::signature::{Key, TestDevice};

fn started() -> (Ollama, Gateway) {
    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "admin").add_user("bob", "member");
    (upstream, gateway)
}

fn key(seed: u8) -> Key {
    TestDevice::new(seed).key()
}

fn add(gateway: &Gateway, seed: u8, user: &str, name: &str) -> Output {
    gateway.admin(&["device", "add", &key(seed).line, "--user", user, "--name", name])
}

fn devices(gateway: &Gateway, more: &[&str]) -> Vec<Value> {
    let listed = gateway.admin(&[&["device", "list", "--json"], more].concat()).expect_code(0).json();
    listed["devices"].as_array().unwrap().clone()
}

fn events(gateway: &Gateway, action: &str) -> Vec<Value> {
    let all = gateway.admin(&["audit", "--json"]).expect_code(0).json();
    all["events"].as_array().unwrap().iter().filter(|event| event["action"] == action).cloned().collect()
}

#[test]
fn a_stolen_laptop_of_another_account_is_disconnected() {
    let (_upstream, gateway) = started();
    let laptop = gateway.device_of("bob");
    gateway.device_of("ada");
    laptop.command(["run", "tiny", "hi"]).run().expect_code(0);
    let of_bob = devices(&gateway, &["--user", "bob"]);
    assert_eq!((of_bob.len(), devices(&gateway, &[]).len(), &of_bob[0]["user"]), (1, 2, &json!("bob")));
    let fingerprint = of_bob[0]["fingerprint"].as_str().unwrap();

    let asked = gateway.admin(&["device", "disconnect", fingerprint]).expect_code(2);
    says(&asked, &["this would disconnect the device", "of bob", "--yes"]);
    laptop.command(["run", "tiny", "hi"]).run().expect_code(0);
    let done = gateway.admin(&["device", "disconnect", fingerprint, "--yes", "--json"]).expect_code(0);
    assert_eq!(done.json()["user"], "bob");
    laptop.command(["run", "tiny", "hi"]).run().expect_code(4);
    assert_eq!(devices(&gateway, &["--user", "bob"]), Vec::<Value>::new());
    let event = &events(&gateway, "device.disconnected")[0];
    assert_eq!((&event["actor"], &event["subject"]), (&json!("admin"), &json!(fingerprint)));

    says(
        &gateway.admin(&["device", "disconnect", fingerprint, "--yes"]).expect_code(3),
        &["there is no device SHA256:"],
    );
    says(
        &gateway.admin(&["device", "disconnect", "laptop", "--yes"]).expect_code(2),
        &["\"laptop\" is neither a fingerprint nor a public key", "gateway device list"],
    );
    says(&gateway.admin(&["device", "list", "--user", "eve"]).expect_code(3), &["there is no user \"eve\""]);
    says(&gateway.admin(&["device", "list", "--user", "bob"]).expect_code(0), &["There are no devices."]);
}

#[test]
fn a_device_is_added_by_its_public_key_also_while_the_gateway_is_down() {
    let (_upstream, mut gateway) = started();
    says(&add(&gateway, 1, "bob", "build-server").expect_code(0), &["Added the device \"build-server\"", "for bob"]);
    says(&add(&gateway, 1, "bob", "another name").expect_code(0), &["already belongs to bob"]);
    says(&add(&gateway, 1, "ada", "mine").expect_code(1), &["belongs to the user \"bob\"", "device disconnect"]);
    says(&add(&gateway, 2, "eve", "x").expect_code(3), &["there is no user \"eve\""]);
    says(&add(&gateway, 2, "bob", "a\nb").expect_code(2), &["invalid device name"]);
    gateway.admin(&["user", "disable", "bob"]).expect_code(0);
    says(&add(&gateway, 2, "bob", "x").expect_code(1), &["is disabled", "user enable bob"]);
    gateway.admin(&["user", "enable", "bob"]).expect_code(0);
    for wrong in ["ssh-rsa AAAAB3NzaC1yc2E", "ssh-ed25519 AAAA", "laptop"] {
        let output = gateway.admin(&["device", "add", wrong, "--user", "bob", "--name", "x"]).expect_code(2);
        says(&output, &["the public key cannot be read"]);
    }
    gateway.end(rustix::process::Signal::TERM);
    // Without its quotes, and with a comment, the line is several arguments.
    let line = format!("{} root@build", key(3).line);
    let words: Vec<&str> = line.split(' ').collect();
    let args = [&["device", "add", "--user", "ada", "--name", "down"], &words[..]].concat();
    gateway.admin(&args).expect_code(0);
    gateway.restart();
    let names: Vec<Value> = devices(&gateway, &[]).iter().map(|device| device["name"].clone()).collect();
    assert_eq!(names, ["down", "build-server"]);
    assert_eq!(devices(&gateway, &["--user", "ada"])[0]["public_key"], key(3).line);
    assert_eq!(events(&gateway, "device.added").len(), 2);
}

/// A request that a device signs, as `ollama run` sends it.
fn ask_as(gateway: &Gateway, seed: u8) -> u16 {
    let device = TestDevice::new(seed);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let target = format!("/api/me?ts={now}");
    let header = format!("Authorization: {}", device.sign(&format!("POST,{target}")));
    gateway.ask("POST", &target, &[&header], "").status
}

#[test]
fn approving_takes_the_line_of_a_log_and_names_the_device() {
    let (_upstream, gateway) = started();
    let approve = |what: &str, more: &[&str]| gateway.admin(&[&["approve", what, "--user", "bob"], more].concat());
    let add = format!("ollama-auth gateway device add '{}' --user bob --name NAME", key(1).line);
    says(
        &approve(&key(1).line, &[]).expect_code(3),
        &["no device with the fingerprint", "within the last 10 minutes", &add],
    );
    assert_eq!(ask_as(&gateway, 1), 401);
    for (what, name) in
        [(key(1).line, ""), (key(1).fingerprint, " "), (key(1).line, "a\nb"), (key(1).fingerprint, "a\nb")]
    {
        says(&approve(&what, &["--device-name", name]).expect_code(2), &["invalid device name"]);
    }
    says(&approve(&key(1).line, &["--device-name", "build-server"]).expect_code(0), &["\"build-server\" for bob"]);
    assert_eq!(ask_as(&gateway, 2), 401);
    approve(&key(2).fingerprint, &["--device-name", "by fingerprint"]).expect_code(0);
    assert_eq!(ask_as(&gateway, 3), 401);
    approve(&key(3).fingerprint, &[]).expect_code(0);
    let mut names: Vec<String> =
        devices(&gateway, &[]).iter().map(|device| device["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["build-server", "by fingerprint", "device at 127.0.0.1"]);
    says(&approve("ssh-ed25519 AAAA", &[]).expect_code(2), &["the public key cannot be read"]);
}

#[test]
fn a_leaked_key_of_another_account_is_revoked() {
    let (_upstream, gateway) = started();
    let (bob, ada) = (gateway.device_of("bob"), gateway.device_of("ada"));
    let status = |key: &str| gateway.ask("GET", "/api/tags", &[&format!("Authorization: Bearer {key}")], "").status;
    let (leaked, other) = (gateway.key(&bob, &["ci"]), gateway.key(&ada, &["ci"]));
    let list = |more: &[&str]| {
        let listed = gateway.admin(&[&["key", "list", "--json"], more].concat()).expect_code(0).json();
        assert_eq!(listed["more"], false);
        listed["keys"].as_array().unwrap().clone()
    };
    let [key] = &list(&["--user", "bob"])[..] else { panic!("one key") };
    assert_eq!((&key["user"], &key["name"], &key["state"]), (&json!("bob"), &json!("ci"), &json!("valid")));
    assert_eq!((&key["scopes"], &key["revoked_at"]), (&json!(["inference", "models:read"]), &Value::Null));
    assert_eq!(list(&[]).len(), 2);

    let several = gateway.admin(&["key", "revoke", "ci", "--yes"]).expect_code(2);
    says(&several, &["2 API keys are named \"ci\"", key["id"].as_str().unwrap(), "of ada"]);
    says(&gateway.admin(&["key", "revoke", "ci", "--user", "bob"]).expect_code(2), &["this would revoke", "--yes"]);
    assert_eq!(status(&leaked), 200);
    says(
        &gateway.admin(&["key", "revoke", "ci", "--user", "bob", "--yes"]).expect_code(0),
        &["Revoked the API key \"ci\""],
    );
    assert_eq!((status(&leaked), status(&other)), (401, 200));
    let id = key["id"].as_str().unwrap();
    says(&gateway.admin(&["key", "revoke", id, "--yes"]).expect_code(0), &["was already revoked"]);
    assert_eq!(events(&gateway, "key.revoked").len(), 1);
    assert_eq!(list(&["--user", "bob"]), Vec::<Value>::new());
    assert_eq!(list(&["--user", "bob", "--revoked"])[0]["state"], "revoked");
    says(&gateway.admin(&["key", "revoke", "nothing", "--yes"]).expect_code(3), &["there is no API key \"nothing\""]);
    assert!(!gateway.admin(&["key", "list", "--revoked", "--json"]).stdout().contains("olauth_"));
}

#[test]
fn the_tables_fit_the_terminal() {
    let (_upstream, gateway) = started();
    let device = gateway.device_of("bob");
    gateway.key(&device, &["a key with a name that takes more room than there is"]);
    add(&gateway, 1, "ada", "a machine with a long name in another building").expect_code(0);
    let database = gateway.database();
    let place = ["--database", database.to_str().unwrap()];
    for (command, header) in [("device", "FINGERPRINT"), ("key", "STATE")] {
        for columns in [60, 80, 120] {
            let args = [&["gateway", command, "list"], &place[..]].concat();
            let finished = Terminal::start_sized(gateway.sandbox(), &args, columns, 60).finish();
            assert_eq!(finished.code, 0, "{}", finished.screen);
            for line in finished.screen.lines() {
                assert!(line.width() <= usize::from(columns), "broken at {columns}: {}", finished.screen);
            }
            assert!(finished.screen.contains(header) && finished.screen.contains("USER"), "{}", finished.screen);
        }
    }
}

#[test]
fn a_removed_account_loses_its_devices_keys_and_sessions_at_once() {
    let (_upstream, mut gateway) = started();
    let (bob, ada) = (gateway.device_of("bob"), gateway.device_of("ada"));
    let (removed, kept) = (gateway.key(&bob, &["ci"]), gateway.key(&ada, &["ci"]));
    let status = |gateway: &Gateway, key: &str| {
        gateway.ask("GET", "/api/tags", &[&format!("Authorization: Bearer {key}")], "").status
    };
    let done = gateway.admin(&["user", "remove", "bob", "--yes", "--json"]).expect_code(0).json();
    assert_eq!((&done["name"], &done["devices"], &done["keys"]), (&json!("bob"), &json!(1), &json!(1)));
    for _ in 0..2 {
        assert_eq!((status(&gateway, &removed), status(&gateway, &kept)), (401, 200));
        let header = format!("Authorization: Bearer {removed}");
        let answer = gateway.ask("GET", "/api/tags", &[&header], "");
        assert!(answer.text().contains("this API key was revoked"), "{}", answer.text());
        bob.command(["run", "tiny", "hi"]).run().expect_code(4);
        ada.command(["run", "tiny", "hi"]).run().expect_code(0);
        assert_eq!(devices(&gateway, &[]).len(), 1);
        gateway.end(rustix::process::Signal::TERM);
        gateway.restart();
    }
    assert_eq!(events(&gateway, "user.removed")[0]["subject"], "bob");
    assert!(
        events(&gateway, "key.created").iter().any(|event| event["actor"].as_str().unwrap().starts_with("device:"))
    );
    // Who gets the name next gets nothing else.
    gateway.add_user("bob", "member");
    assert_eq!((devices(&gateway, &["--user", "bob"]).len(), status(&gateway, &removed)), (0, 401));
}
