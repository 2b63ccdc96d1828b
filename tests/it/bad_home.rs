//! Unusable home folders: errors name what cannot be read or written and the next step, and no file is lost.

use std::fs;

use crate::given::{
    CONFIG, DATA, PASSPHRASE, as_account, as_nobody, on_a_full_disk, plaintext, profiles, says, sign_in, with_store,
};
use crate::harness::browser::Behaviour;
use crate::harness::can_be_other_accounts;
use crate::harness::cloud::Cloud;

#[test]
fn a_file_in_place_of_a_folder_is_reported() {
    for (folder, words) in [(CONFIG, "ollama-auth"), (DATA, "ollama-auth")] {
        let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
        let browser = sandbox.browser(Behaviour::Follows);
        let file = sandbox.write(folder, "something else");
        let output = sandbox.command(["signin", "--host", &cloud.url()]).run();
        says(&output.expect_code(1), &["cannot", file.to_str().unwrap(), words]);
        assert_eq!(fs::read_to_string(file).unwrap(), "something else");
        assert!(browser.opened().is_empty());
    }
}

#[test]
fn a_read_only_home_is_reported() {
    use std::os::unix::fs::PermissionsExt;
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let browser = sandbox.browser(Behaviour::Follows);
    let home = sandbox.home();
    fs::create_dir_all(sandbox.path("home/.local/share")).unwrap();
    for folder in ["home/.config", "home/.local/share"] {
        fs::set_permissions(sandbox.path(folder), fs::Permissions::from_mode(0o500)).unwrap();
    }
    let output = as_nobody(&sandbox, &["signin", "--host", &cloud.url()]).run();
    says(&output.expect_code(1), &["cannot create", home.to_str().unwrap(), "denied"]);
    assert!(browser.opened().is_empty() && cloud.devices().is_empty());
    // What needs no file works all the same.
    let output = as_nobody(&sandbox, &["run", "tiny", "hi", "--host", &cloud.url()]).run();
    output.expect_code(4);
}

#[test]
fn a_missing_home_is_reported() {
    // The system would name the real home of the account that runs the tests, which must not be touched.
    if !can_be_other_accounts() {
        return;
    }
    let mut sandbox = with_store("plaintext");
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
        sandbox.remove_env(name);
    }
    for args in [&["status"][..], &["signin"], &["run", "tiny", "hi"]] {
        let output = as_account(&sandbox, "54321", args).current_dir("/").run();
        says(&output.expect_code(1), &["home folder is unknown", "set HOME"]);
    }
}

#[test]
fn a_full_disk_is_named_before_the_browser_opens() {
    for store in ["plaintext", "file"] {
        let (sandbox, cloud) = (with_store(store), Cloud::start());
        let browser = sandbox.browser(Behaviour::Follows);
        let output = on_a_full_disk(&sandbox, &["signin", "--host", &cloud.url()]).run();
        says(&output.expect_code(1), &["cannot write", "secrets."]);
        assert!(browser.opened().is_empty() && cloud.devices().is_empty());
    }
}

#[test]
fn a_full_disk_leaves_profiles_and_secrets_intact() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let name = cloud.url().replace("http://", "");
    let before = sandbox.files();
    for args in [
        &["profile", "use", &name][..],
        &["profile", "remove", &name, "--yes"],
        &["device", "rotate", "--no-browser"],
        &["store", "move", "--to", "file"],
        &["signin"],
    ] {
        let output = on_a_full_disk(&sandbox, args).env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE).run();
        assert_eq!(output.code(), 1, "{args:?}\n{}", output.snapshot());
        says(&output, &["cannot write", "ollama-auth/"]);
    }
    let after = sandbox.files();
    for file in &before {
        assert!(after.contains(file), "{} changed", file.0.display());
    }
    assert!(!after.iter().any(|(path, _)| path.extension().is_some_and(|end| end == "tmp")));
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
}

#[test]
fn files_of_a_newer_version_are_unchanged() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    for file in [format!("{CONFIG}/profiles.json"), format!("{DATA}/secrets.json")] {
        let path = sandbox.path(&file);
        let old = fs::read_to_string(&path).unwrap();
        let newer = r#"{"version":99,"new":"shape"}"#;
        sandbox.write(&file, newer);
        for args in [&["status"][..], &["run", "tiny", "hi"], &["signin"], &["signout"]] {
            let output = sandbox.command(args).run().expect_code(1);
            says(&output, &[path.to_str().unwrap(), "newer ollama-auth", "update ollama-auth"]);
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), newer);
        sandbox.write(&file, old);
    }
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
}

#[test]
fn a_truncated_file_is_moved_aside() {
    for (store, file) in [("plaintext", format!("{DATA}/secrets.json")), ("file", format!("{DATA}/secrets.enc.json"))] {
        let (sandbox, cloud) = (with_store(store), Cloud::start());
        sign_in(&sandbox, &cloud, &[]);
        let path = sandbox.path(&file);
        let whole = fs::read(&path).unwrap();
        let cut = &whole[..whole.len() / 2];
        sandbox.write(&file, cut);
        let output = sandbox.command(["status"]).run().expect_code(1);
        let aside = format!("{}.broken-1", path.display());
        says(&output, &["damaged", path.to_str().unwrap(), "moved unchanged", &aside]);
        assert!(!output.stderr().contains("PRIVATE KEY"));
        assert_eq!(fs::read(&aside).unwrap(), cut);
        // Signing in starts with a new file, and the file that was moved aside stays.
        sign_in(&sandbox, &cloud, &[]);
        sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
        assert_eq!(fs::read(&aside).unwrap(), cut);
    }
}

#[test]
fn a_wrong_passphrase_opens_no_browser_and_changes_nothing() {
    let (sandbox, cloud) = (with_store("file"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let file = sandbox.path(DATA).join("secrets.enc.json");
    let before = fs::read(&file).unwrap();
    let browser = sandbox.browser(Behaviour::Ignores);
    let opened = browser.opened().len();
    for args in [&["status"][..], &["run", "tiny", "hi"], &["signin"], &["signout"]] {
        let output = sandbox.command(args).env("OLLAMA_AUTH_PASSPHRASE", "not the passphrase").run().expect_code(1);
        says(&output, &["wrong passphrase", file.to_str().unwrap(), "OLLAMA_AUTH_PASSPHRASE"]);
    }
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(browser.opened().len(), opened);
    assert_eq!(cloud.devices().len(), 1);
}

#[test]
fn concurrent_sign_ins_leave_one_key() {
    for _ in 0..5 {
        let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
        sandbox.browser(Behaviour::Ignores);
        let args = ["signin", "--host", &cloud.url(), "--no-wait"];
        let children: Vec<_> = (0..4).map(|_| sandbox.command(args).spawn()).collect();
        let links: Vec<_> =
            children.into_iter().map(|child| child.finish().expect_code(4).stdout().to_owned()).collect();
        assert!(links.iter().all(|link| *link == links[0]), "{links:#?}");
        assert_eq!(plaintext(&sandbox).matches("BEGIN OPENSSH").count(), 1);
        assert_eq!(profiles(&sandbox)["profiles"].as_object().unwrap().len(), 1);
        sign_in(&sandbox, &cloud, &[]);
        assert_eq!(cloud.devices().len(), 1);
    }
}

#[test]
fn signing_in_repairs_a_record_that_does_not_match_its_key() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let held = cloud.devices()[0].key.clone();
    let other = crate::harness::signature::TestDevice::new(9).key();
    crate::given::edit_profiles(&sandbox, |all| {
        let name = all["current"].as_str().unwrap().to_owned();
        all["profiles"][&name]["device"]["public_key"] = other.line.clone().into();
    });
    let output = sandbox.command(["run", "tiny", "hi"]).run().expect_code(4);
    says(&output, &["another device key", &held.fingerprint, &other.fingerprint, "signin"]);
    let output = sandbox.command(["signin"]).run().expect_code(0);
    says(&output, &["another device key", "Already signed in"]);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    assert_eq!(cloud.devices().len(), 1);
}
