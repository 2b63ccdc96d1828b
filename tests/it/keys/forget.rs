//! `keys forget`: the local copy is removed, the key stays valid at the host, and the output says so.

use serde_json::{Value, json};

use super::{deletes, keys, signed_in};
use crate::given::{CONFIG, DATA, as_nobody, plaintext, profile, profiles, says, with_store};
use crate::harness::cloud::Cloud;
use crate::harness::pty::Terminal;

#[test]
fn the_local_copy_is_removed_and_the_key_stays_valid() {
    let (sandbox, cloud) = signed_in();
    keys(&sandbox, &["create", "ci", "--save"]).expect_code(0);
    let made = cloud.issued().remove(0);
    let asked = cloud.server().requests().len();
    let output = keys(&sandbox, &["forget"]).expect_code(2);
    says(&output, &["would remove the stored copy", &made.id, "--yes"]);
    assert!(plaintext(&sandbox).contains(&made.key));

    let output = keys(&sandbox, &["forget", "--yes", "--json"]).expect_code(0);
    assert_eq!(
        output.json(),
        json!({
            "host": cloud.url(), "profile": profiles(&sandbox)["current"], "forgotten": true, "id": made.id, "name": "ci",
            "still_valid_at_host": true,
        })
    );
    sandbox.assert_no_secret(&made.key, &[&output], &[]);
    assert_eq!(profile(&sandbox)["api_key"], Value::Null);
    // The host was not even asked; the device is signed in still, and the key opens the host.
    assert_eq!((cloud.server().requests().len(), deletes(&cloud)), (asked, 0));
    assert!(cloud.issued()[0].is_live());
    keys(&sandbox, &["list"]).expect_code(0);

    // What is gone already is fine.
    let output = keys(&sandbox, &["forget"]).expect_code(0);
    says(&output, &["No API key is stored"]);
    let again = keys(&sandbox, &["forget", "--json"]).expect_code(0).json();
    assert_eq!((&again["forgotten"], &again["still_valid_at_host"]), (&json!(false), &json!(false)));
    with_store("plaintext").command(["keys", "forget"]).run().expect_code(0);
}

#[test]
fn the_revoke_command_is_shown() {
    let (sandbox, cloud) = signed_in();
    keys(&sandbox, &["create", "ci", "--save"]).expect_code(0);
    let id = cloud.issued().remove(0).id;
    let output = keys(&sandbox, &["forget", "--yes"]).expect_code(0);
    says(&output, &["stays valid at", &format!("keys revoke {id} --yes --host {}", cloud.url())]);
    // Just so.
    keys(&sandbox, &["revoke", &id, "--yes", "--host", &cloud.url()]).expect_code(0);
    assert!(!cloud.issued()[0].is_live());
    // A key without an id on record, and one of ollama.com.
    for (host, words) in
        [(cloud.url(), "keys list"), ("https://ollama.com".to_owned(), "https://ollama.com/settings/keys")]
    {
        let args = ["keys", "import", "--no-verify", "--host", &host];
        sandbox.command(args).stdin("some-key-0123456789-abcd").run().expect_code(0);
        let output = keys(&sandbox, &["forget", "--yes", "--host", &host]).expect_code(0);
        says(&output, &["ending in", words]);
    }
}

#[test]
fn the_record_stays_if_the_secret_cannot_be_removed() {
    let (sandbox, cloud) = signed_in();
    keys(&sandbox, &["create", "ci", "--save"]).expect_code(0);
    let made = cloud.issued().remove(0);
    let data = sandbox.path(DATA);
    let lock = |mode| std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    as_nobody(&sandbox, &["keys", "list"]).run().expect_code(0);
    lock(0o500);
    let output = as_nobody(&sandbox, &["keys", "forget", "--yes"]).run();
    lock(0o700);
    assert_eq!(output.code(), 1, "{}", output.snapshot());
    assert!(plaintext(&sandbox).contains(&made.key));
    assert_eq!(profile(&sandbox)["api_key"]["id"], json!(made.id));
    // The store first, then the record: in between it would be a record of nothing, which the next run clears away.
    let config = sandbox.path(CONFIG);
    assert!(config.join("profiles.json").exists());
    as_nobody(&sandbox, &["keys", "forget", "--yes"]).run().expect_code(0);
    assert!(!plaintext(&sandbox).contains(&made.key));
}

#[test]
fn a_person_is_asked() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let args = ["keys", "import", "--no-verify", "--host", &cloud.url()];
    sandbox.command(args).stdin("some-key-0123456789-abcd").run().expect_code(0);
    for (answer, code, kept) in [("\r", 1, true), ("\x03", 130, true), ("y\r", 0, false)] {
        let mut terminal = Terminal::start_sized(&sandbox, &["keys", "forget"], 200, 24);
        terminal.wait_text("stays valid at");
        terminal.send(answer);
        let finished = terminal.finish();
        assert_eq!((finished.code, finished.restored), (code, true), "{}", finished.screen);
        assert_eq!(plaintext(&sandbox).contains("some-key-0123456789-abcd"), kept);
    }
}
