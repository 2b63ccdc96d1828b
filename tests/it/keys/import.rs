//! `keys import`: a key is stored once its host has accepted it, and replaces another key only on request.

use serde_json::{Value, json};

use super::{issue, keys, signed_in};
use crate::given::{CONFIG, DATA, edit_profiles, plaintext, profile, profiles, says, with_store};
use crate::harness::cloud::{Cloud, Fault};
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::pty::Terminal;
use crate::harness::stock::{Account, Stock};

const KEY: &str = "made-elsewhere-0123456789-wxyz";
const OTHER: &str = "another-one-0123456789-abcd";
/// With the shape of ollama.com's own.
const OLLAMA_COM_KEY: &str = "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOpQrStUv-_";

fn import(sandbox: &Sandbox, key: &str, args: &[&str]) -> Output {
    sandbox.command([&["keys", "import"], args].concat()).stdin(key).run()
}

#[track_caller]
fn assert_nothing_stored(sandbox: &Sandbox) {
    assert!(!sandbox.path(CONFIG).join("profiles.json").exists());
    assert!(!plaintext(sandbox).contains("api-key:"));
}

#[test]
fn a_refused_or_unverifiable_key_is_not_stored() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let url = cloud.url();
    let output = import(&sandbox, KEY, &["--host", &url]).expect_code(4);
    says(&output, &["refused the credential", &url]);
    sandbox.assert_no_secret(KEY, &[&output], &[]);
    assert_nothing_stored(&sandbox);
    for (fault, code) in [(Fault::Status(503), 7), (Fault::Status(403), 5), (Fault::Html(502), 6), (Fault::Drop, 6)] {
        cloud.accept_api_key(KEY).inject("/api/me", fault.clone()).inject("/api/tags", fault);
        import(&sandbox, KEY, &["--host", &url]).expect_code(code);
        assert_nothing_stored(&sandbox);
        cloud.clear_faults();
    }
    let stock = Stock::start(Account::SignedIn);
    says(
        &import(&sandbox, KEY, &["--host", &stock.url()]).expect_code(1),
        &["answers without a credential", "not stored"],
    );
    assert_nothing_stored(&sandbox);
    // An invalid key is sent to no host.
    let asked = cloud.server().requests().len();
    for wrong in ["", "two words", "olauth_damaged0123456789"] {
        import(&sandbox, wrong, &["--host", &url]).expect_code(2);
    }
    assert_eq!(cloud.server().requests().len(), asked);
    assert_nothing_stored(&sandbox);
}

#[test]
fn a_key_in_the_arguments_is_not_repeated() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    for more in [&[KEY][..], &["--", KEY], &["-x", KEY]] {
        let output = import(&sandbox, "", &[&["--host", &cloud.url()], more].concat()).expect_code(2);
        says(&output, &["takes no argument", "revoke it"]);
        sandbox.assert_no_secret(KEY, &[&output], &[]);
    }
    assert!(cloud.server().requests().is_empty());
}

#[test]
fn an_accepted_key_is_stored_with_its_details() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.accept_api_key(KEY);
    let args = ["--host", &cloud.url(), "--name", " nightly ", "--env", "staging", "--json"];
    let output = import(&sandbox, &format!(" {KEY}\n"), &args).expect_code(0);
    let seen = output.json();
    for (name, value) in [
        ("host", json!(cloud.url())),
        ("store", json!("plaintext")),
        ("hint", json!("wxyz")),
        ("id", Value::Null),
        ("name", json!("nightly")),
        ("environment", json!("staging")),
        ("verified", json!(true)),
        ("replaced", json!(false)),
    ] {
        assert_eq!(seen[name], value, "{name}");
    }
    let record = profile(&sandbox)["api_key"].clone();
    assert_eq!((&record["name"], &record["environment"]), (&json!("nightly"), &json!("staging")));
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    sandbox.assert_no_secret(KEY, &[&output], &[DATA]);
}

/// At a gateway the key says itself what it is.
#[test]
fn the_key_id_from_the_host_is_stored() {
    let (sandbox, cloud) = signed_in();
    let made = issue(&cloud, "described", &json!({ "environment": "ci" }));
    let output = import(&sandbox, &made.key, &[]).expect_code(0);
    says(&output, &["\"described\"", "plaintext store", "now uses it"]);
    let record = profile(&sandbox)["api_key"].clone();
    assert_eq!(
        (&record["id"], &record["name"], &record["environment"]),
        (&json!(made.id), &json!("described"), &json!("ci"))
    );
    let list = keys(&sandbox, &["list", "--json"]).expect_code(0).json();
    assert_eq!(list["keys"][0]["kept_here"], json!(true));
    // A host with a broken list still accepts the key.
    keys(&sandbox, &["forget", "--yes"]).expect_code(0);
    cloud.inject("/api/user/keys", Fault::Html(200));
    import(&sandbox, &made.key, &["--name", "mine"]).expect_code(0);
    assert_eq!(profile(&sandbox)["api_key"]["name"], json!("mine"));
}

#[test]
fn another_key_is_not_replaced_silently() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.accept_api_key(KEY).accept_api_key(OTHER);
    import(&sandbox, KEY, &["--host", &cloud.url(), "--name", "first"]).expect_code(0);
    let before = (profiles(&sandbox), cloud.server().requests().len());
    let output = import(&sandbox, OTHER, &[]).expect_code(2);
    says(&output, &["already has the API key \"first\"", "stays valid", "--replace"]);
    assert_eq!((profiles(&sandbox), cloud.server().requests().len()), before);
    assert!(plaintext(&sandbox).contains(KEY));
    // Importing the same key again replaces nothing.
    import(&sandbox, KEY, &["--env", "ci"]).expect_code(0);
    assert_eq!(profile(&sandbox)["api_key"]["environment"], json!("ci"));
    // One that is refused takes no place either.
    import(&sandbox, "refused-key-0123456789", &["--replace"]).expect_code(4);
    assert!(plaintext(&sandbox).contains(KEY));
    let output = import(&sandbox, OTHER, &["--replace", "--json"]).expect_code(0);
    says(&output, &["is no longer stored here", "stays valid at"]);
    assert_eq!(output.json()["replaced"], json!(true));
    assert!(plaintext(&sandbox).contains(OTHER) && !plaintext(&sandbox).contains(KEY));
    sandbox.assert_no_secret(OTHER, &[&output], &[DATA]);
}

#[test]
fn unverified_sends_no_request() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let output = import(&sandbox, KEY, &["--host", &cloud.url(), "--no-verify"]).expect_code(0);
    says(&output, &["was not checked"]);
    assert!(cloud.server().requests().is_empty());
    assert_eq!(profile(&sandbox)["api_key"]["hint"], json!("wxyz"));
}

#[test]
fn an_ollama_com_key_is_sent_elsewhere_only_to_a_named_host() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.accept_api_key(KEY).accept_api_key(OLLAMA_COM_KEY);
    import(&sandbox, KEY, &["--host", &cloud.url()]).expect_code(0);
    let asked = cloud.server().requests().len();
    let output = import(&sandbox, OLLAMA_COM_KEY, &["--replace"]).expect_code(2);
    says(&output, &["looks like a key for ollama.com", "--host ollama.com"]);
    assert_eq!(cloud.server().requests().len(), asked);
    import(&sandbox, OLLAMA_COM_KEY, &["--replace", "--host", &cloud.url()]).expect_code(0);
}

#[test]
fn an_unreadable_store_is_an_error_before_any_request() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.accept_api_key(KEY);
    for store in ["keyring", "file"] {
        let output = import(&sandbox, KEY, &["--host", &cloud.url(), "--store", store]);
        assert_ne!(output.code(), 0);
        sandbox.assert_no_secret(KEY, &[&output], &[]);
    }
    assert!(cloud.server().requests().is_empty());
}

#[test]
fn a_terminal_prompts_for_the_key_and_confirms_a_replacement() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.accept_api_key(KEY).accept_api_key(OTHER);
    let url = cloud.url();
    let args = ["keys", "import", "--host", &url];
    let mut terminal = Terminal::start_sized(&sandbox, &args, 200, 24);
    terminal.wait_text("API key");
    terminal.send(&format!("{KEY}\r"));
    let finished = terminal.finish();
    assert_eq!((finished.code, finished.restored), (0, true), "{}", finished.screen);
    assert!(!finished.screen.contains(KEY));
    for (answer, code, kept) in [("n\r", 1, KEY), ("\r", 1, KEY), ("\x03", 130, KEY), ("y\r", 0, OTHER)] {
        let mut terminal = Terminal::start_sized(&sandbox, &args, 200, 24);
        terminal.wait_text("API key");
        terminal.send(&format!("{OTHER}\r"));
        terminal.wait_text("with this key?");
        terminal.send(answer);
        let finished = terminal.finish();
        assert_eq!((finished.code, finished.restored), (code, true), "{answer:?}\n{}", finished.screen);
        assert!(plaintext(&sandbox).contains(kept), "{answer:?}");
    }
}

#[test]
fn a_record_without_its_secret_is_replaced() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.accept_api_key(KEY).accept_api_key(OTHER);
    import(&sandbox, KEY, &["--host", &cloud.url()]).expect_code(0);
    std::fs::remove_file(sandbox.path(DATA).join("secrets.json")).unwrap();
    import(&sandbox, OTHER, &[]).expect_code(0);
    // A record of an older version has neither name nor environment.
    edit_profiles(&sandbox, |all| {
        let name = all["current"].as_str().unwrap().to_owned();
        let record = all["profiles"][&name]["api_key"].as_object_mut().unwrap();
        record.retain(|member, _| ["store", "hint", "added_at"].contains(&member.as_str()));
    });
    says(&import(&sandbox, KEY, &[]).expect_code(2), &["ending in abcd", "--replace"]);
}
