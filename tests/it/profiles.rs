//! `profile`: one or more profiles for each host.

use serde_json::json;

use crate::given::{CONFIG, mode, plaintext, profiles, says, sign_in, with_store};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{Output, Sandbox};

fn profile(sandbox: &Sandbox, args: &[&str]) -> Output {
    sandbox.command(["profile"].iter().chain(args)).run()
}

#[test]
fn profiles_are_listed_selected_shown_and_removed() {
    let (sandbox, one, two) = (with_store("plaintext"), Cloud::start(), Cloud::start());
    says(&profile(&sandbox, &["list"]).expect_code(0), &["no profiles yet", "signin"]);
    says(&profile(&sandbox, &["show"]).expect_code(3), &["no current profile", "signin"]);
    sign_in(&sandbox, &one, &[]);
    sign_in(&sandbox, &two, &[]);
    let names = [&one, &two].map(|cloud| cloud.url().replace("http://", ""));
    let list = profile(&sandbox, &["list", "--json"]).expect_code(0).json();
    let rows = list["profiles"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row["current"], json!(row["name"] == *names[1]));
        assert_eq!(row["credential"], "device key");
        assert_eq!(row["account"]["name"], "standin");
    }
    profile(&sandbox, &["use", &names[0]]).expect_code(0);
    assert_eq!(profiles(&sandbox)["current"], *names[0]);
    let shown = profile(&sandbox, &["show"]).expect_code(0);
    assert!(shown.stdout().contains(&one.url()), "{}", shown.snapshot());
    let shown = profile(&sandbox, &["show", &names[1], "--json"]).expect_code(0).json();
    assert_eq!(shown["profile"]["url"], two.url());
    assert_eq!(shown["current"], false);

    // A profile that still has a credential goes only when that is said.
    let output = profile(&sandbox, &["remove", &names[1]]).expect_code(2);
    says(&output, &["stays valid at", &two.url(), "--yes"]);
    let output = profile(&sandbox, &["remove", &names[1], "--yes"]).expect_code(0);
    says(&output, &["stays valid at", &two.url()]);
    assert_eq!(two.devices().len(), 1, "the host is not asked");
    assert!(!plaintext(&sandbox).contains(&names[1]));
    assert!(plaintext(&sandbox).contains(&names[0]));
    sandbox.command(["status"]).run().expect_code(0);
    profile(&sandbox, &["remove", &names[0], "--yes"]).expect_code(0);
    assert!(!sandbox.path(CONFIG).join("profiles.json").exists());
}

#[test]
fn an_unknown_name_is_exit_3_everywhere() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let before = profiles(&sandbox);
    for args in [
        &["profile", "use", "nobody"][..],
        &["profile", "show", "nobody"],
        &["profile", "show", "--profile", "nobody"],
        &["profile", "remove", "nobody", "--yes"],
        &["status", "--profile", "nobody"],
        &["signout", "--profile", "nobody"],
        &["signin", "--profile", "nobody"],
        &["run", "tiny", "hi", "--profile", "nobody"],
        &["device", "show", "--profile", "nobody"],
        &["store", "move", "--to", "plaintext", "--profile", "nobody"],
    ] {
        let output = sandbox.command(args).run();
        assert_eq!(output.code(), 3, "{args:?}\n{}", output.snapshot());
        says(&output, &["no profile named \"nobody\"", "profiles: 127.0.0.1:"]);
    }
    assert_eq!(profiles(&sandbox), before);
}

#[test]
fn two_profiles_of_one_host_have_separate_keys() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &["--profile", "work"]);
    sign_in(&sandbox, &cloud, &["--profile", "home"]);
    let keys = cloud.devices();
    assert_eq!(keys.len(), 2);
    let shown = |args: &[&str]| {
        let show = ["device", "show", "--json"].iter().chain(args);
        sandbox.command(show).run().expect_code(0).json()["fingerprint"].clone()
    };
    assert_eq!(shown(&["--profile", "work"]), keys[0].key.fingerprint);
    assert_eq!(shown(&["--profile", "home"]), keys[1].key.fingerprint);
    // The current one speaks for the host, also where the host alone is named.
    assert_eq!(shown(&["--host", &cloud.url()]), keys[1].key.fingerprint);
    profile(&sandbox, &["use", "work"]).expect_code(0);
    assert_eq!(shown(&["--host", &cloud.url()]), keys[0].key.fingerprint);
    let by_variable =
        sandbox.command(["status", "--json"]).env("OLLAMA_AUTH_PROFILE", "home").run().expect_code(0).json();
    assert_eq!(by_variable["profile"], "home");
    assert_eq!(by_variable["host_reason"], "profile-variable");
    sandbox.command(["signout", "--profile", "work"]).run().expect_code(0);
    assert!(!cloud.is_connected(&keys[0].key.fingerprint));
    assert!(cloud.is_connected(&keys[1].key.fingerprint));
    sandbox.command(["status", "--profile", "home"]).run().expect_code(0);
    // A name that stands for one host is not turned to another.
    let other = Cloud::start();
    let args = ["signin", "--profile", "home", "--host", &other.url()];
    says(&sandbox.command(args).run().expect_code(2), &["\"home\" is for", &cloud.url()]);
}

#[test]
fn signing_out_of_all_continues_past_an_unreachable_host() {
    let (sandbox, one, two) = (with_store("plaintext"), Cloud::start(), Cloud::start());
    sign_in(&sandbox, &one, &[]);
    sign_in(&sandbox, &two, &[]);
    let away = one.url();
    drop(one);
    let output = sandbox.command(["signout", "--all"]).run().expect_code(6);
    says(&output, &[&away, "was not removed", &format!("Signed out of {}", two.url())]);
    assert!(two.devices().is_empty());
    assert!(plaintext(&sandbox).contains(&away) && !plaintext(&sandbox).contains(&two.url()));
    sandbox.command(["signout", "--all", "--force"]).run().expect_code(0);
    assert!(!plaintext(&sandbox).contains("PRIVATE KEY"));
    says(&sandbox.command(["signout", "--all"]).run().expect_code(0), &["Not signed in anywhere"]);
}

#[test]
fn the_profiles_file_is_private_and_holds_no_secret() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let folder = sandbox.path(CONFIG);
    assert_eq!((mode(&folder), mode(&folder.join("profiles.json"))), (0o700, 0o600));
    let text = profiles(&sandbox).to_string();
    assert!(!text.contains("PRIVATE") && !text.contains("b3BlbnNzaC1rZXk"));
}
