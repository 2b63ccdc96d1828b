//! The stores of secrets: folders, keyring, encrypted file.

use super::*;

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
