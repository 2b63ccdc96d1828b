//! The credentials file: refused when others can read it, sent to its own host only, and never repeated in an error.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::json;

use crate::given::{says, sign_in, with_store};
use crate::harness::cloud::{Cloud, Fault};
use crate::harness::cmd::{Output, PROGRAM, Sandbox};
use crate::harness::tool;

const KEY: &str = "a-key-in-a-file-0123456789";

/// A host that takes the key, and a file that holds both.
fn given() -> (Sandbox, Cloud, String) {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.accept_api_key(KEY);
    let file = file_for(&sandbox, "credentials.json", &cloud.url());
    (sandbox, cloud, file)
}

fn file_for(sandbox: &Sandbox, name: &str, host: &str) -> String {
    let path = sandbox.write(name, json!({ "host": host, "key": KEY, "note": "for others" }).to_string());
    path.to_str().unwrap().to_owned()
}

fn chmod(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn status(sandbox: &Sandbox, more: &[&str]) -> Output {
    sandbox.command(["status", "--json"]).args(more).run()
}

#[test]
fn a_file_that_others_can_read_is_refused_before_anything_is_sent() {
    let (sandbox, cloud, file) = given();
    for mode in [0o640, 0o604, 0o660, 0o602] {
        chmod(&file, mode);
        for args in [&["status"][..], &["run", "tiny", "hi"], &["keys", "list"]] {
            let output = sandbox.command(args).args(["--credentials", &file]).run().expect_code(2);
            says(&output, &["is open to other accounts", &format!("chmod 600 {file}")]);
            let output = sandbox.command(args).env("OLLAMA_AUTH_CREDENTIALS", &file).run().expect_code(2);
            says(&output, &["chmod 600"]);
        }
    }
    assert!(cloud.server().requests().is_empty());
    let output = sandbox.command(["status", "--credentials", "nowhere.json"]).run().expect_code(2);
    says(&output, &["nowhere.json does not exist"]);
    sandbox.command(["status", "--credentials", sandbox.home().to_str().unwrap()]).run().expect_code(2);
    // Who does not need it is not kept from work by it.
    sandbox.command(["--version"]).env("OLLAMA_AUTH_CREDENTIALS", &file).run().expect_code(0);
}

#[test]
fn what_systemd_hands_over_may_be_readable_by_the_group() {
    let (sandbox, cloud, _) = given();
    let file = file_for(&sandbox, "run/credentials/ollama.json", &cloud.url());
    chmod(&file, 0o440);
    let folder = sandbox.path("run/credentials");
    let run = |folder: &Path| {
        let command = sandbox.command(["status", "--json"]).env("OLLAMA_AUTH_CREDENTIALS", &file);
        command.env("CREDENTIALS_DIRECTORY", folder).run()
    };
    assert_eq!(run(&folder).expect_code(0).json()["signed_in"], true);
    run(&sandbox.path("run")).expect_code(2);
    chmod(&file, 0o444);
    run(&folder).expect_code(2);
}

#[test]
fn links_and_pipes_are_read() {
    let (sandbox, cloud, file) = given();
    let link = sandbox.path("link");
    symlink(&file, &link).unwrap();
    let by_link = status(&sandbox, &["--credentials", link.to_str().unwrap()]).expect_code(0).json();
    assert_eq!(by_link["credential"]["file"], link.to_str().unwrap());
    // Three decisions are made by `status`, and a pipe can be read only once.
    let script = format!("{PROGRAM} status --json --credentials <(printf '%s' \"$CONTENT\")");
    let content = fs::read_to_string(&file).unwrap();
    let piped = sandbox.program(tool("bash"), ["-c", &script]).env("CONTENT", content).run().expect_code(0).json();
    assert_eq!((&piped["host"], &piped["signed_in"]), (&json!(cloud.url()), &json!(true)));
    chmod(&file, 0o644);
    status(&sandbox, &["--credentials", link.to_str().unwrap()]).expect_code(2);
}

#[test]
fn it_comes_first_and_status_says_over_what() {
    let (mut sandbox, cloud, file) = given();
    sign_in(&sandbox, &cloud, &[]);
    sandbox.set_env("OLLAMA_API_KEY", "another-key-0123456789");
    sandbox.set_env("OLLAMA_HOST", "http://127.0.0.1:9");
    let found = status(&sandbox, &["--credentials", &file]).expect_code(0).json();
    for side in [&found, &found["run"], &found["run_cloud"]] {
        assert_eq!((&side["host"], &side["host_reason"]), (&json!(cloud.url()), &json!("credentials-file")));
        assert_eq!((&side["credential"]["source"], &side["credential"]["file"]), (&json!("file"), &json!(file)));
    }
    let warnings = found["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for word in ["OLLAMA_API_KEY", "http://127.0.0.1:9", "the profile"] {
        assert!(warnings[0].as_str().unwrap().contains(word), "{warnings:?}");
    }
    let text = sandbox.command(["status", "--credentials", &file]).run().expect_code(0);
    assert!(text.stdout().contains(&format!("API key from the credentials file {file}")), "{}", text.snapshot());
    sandbox.command(["run", "tiny", "hi", "--credentials", &file]).run().expect_code(0);
    let last = cloud.server().requests().pop().unwrap();
    assert_eq!((last.path(), last.api_key()), ("/api/generate", Some(KEY)));
    assert!(cloud.server().requests().iter().all(|request| request.api_key() != Some("another-key-0123456789")));
    // A token is one too.
    let token = sandbox.write("token.json", json!({ "host": cloud.url(), "token": KEY }).to_string());
    status(&sandbox, &["--credentials", token.to_str().unwrap()]).expect_code(0);
}

#[test]
fn it_goes_to_its_own_host_only() {
    let (sandbox, cloud, file) = given();
    let other = Cloud::start();
    sign_in(&sandbox, &other, &[]);
    let before = other.server().requests().len();
    let profile = other.url().replace("http://", "");
    for named in [["--host", &other.url()], ["--profile", &profile]] {
        for args in [&["status"][..], &["run", "tiny", "hi"], &["keys", "list"]] {
            let output = sandbox.command(args).args(named).args(["--credentials", &file]).run().expect_code(2);
            says(&output, &["is for", &cloud.url(), "not for", &other.url()]);
        }
    }
    let by_variable = ["status", "--credentials", &file];
    sandbox.command(by_variable).env("OLLAMA_AUTH_PROFILE", &profile).run().expect_code(2);
    assert_eq!((other.server().requests().len(), cloud.server().requests().len()), (before, 0));

    // A variable that is set for everything does not stop a call that names another host; it is not used there.
    let command = sandbox.command(["run", "tiny", "hi", "--host", &other.url()]);
    let output = command.env("OLLAMA_AUTH_CREDENTIALS", &file).run().expect_code(0);
    says(&output, &["OLLAMA_AUTH_CREDENTIALS", "is not sent to"]);
    let command = sandbox.command(["status", "--json", "--host", &other.url()]);
    let found = command.env("OLLAMA_AUTH_CREDENTIALS", &file).run().expect_code(0).json();
    assert_eq!(found["credential"]["source"], "profile");
    assert_eq!(found["warnings"].as_array().unwrap().len(), 1);
    assert!(other.server().requests().iter().all(|request| request.api_key().is_none()));
    assert_eq!(cloud.server().requests().len(), 0);

    // Its own host may be named beside it, and a redirect is not followed with it.
    status(&sandbox, &["--credentials", &file, "--host", &cloud.url()]).expect_code(0);
    cloud.inject("/api/show", Fault::Redirect(307, other.url()));
    sandbox.command(["run", "tiny", "hi", "--credentials", &file]).run().expect_code(1);
    assert!(other.server().requests().iter().all(|request| request.api_key().is_none()));
}

#[test]
fn it_does_not_cross_the_network_in_the_clear() {
    let (sandbox, _, _) = given();
    let file = file_for(&sandbox, "lan.json", "http://ollama.lan.invalid");
    let output = sandbox.command(["run", "tiny", "hi", "--credentials", &file]).run().expect_code(2);
    says(&output, &["over plain http", "--allow-insecure-http"]);
}

#[test]
fn whoever_signs_out_hears_that_the_file_still_signs_in() {
    let (sandbox, cloud, file) = given();
    sign_in(&sandbox, &cloud, &[]);
    let signout =
        |args: &[&str]| sandbox.command(["signout", "--yes"]).args(args).env("OLLAMA_AUTH_CREDENTIALS", &file);
    let output = signout(&[]).run().expect_code(0);
    says(&output, &["Signed out", &format!("{file} still signs you in to {}", cloud.url())]);
    // Also when there was nothing to remove.
    for args in [&[][..], &["--all"]] {
        let output = signout(args).run().expect_code(0);
        says(&output, &["ot signed in", "still signs you in"]);
        sandbox.assert_no_secret(KEY, &[&output], &["credentials.json"]);
    }
    let output = signout(&["--host", "https://other.example"]).run().expect_code(0);
    assert!(!output.stderr().contains("still signs"), "{}", output.snapshot());
}

#[test]
fn nothing_of_it_is_ever_printed() {
    let (sandbox, cloud, file) = given();
    let mut outputs = Vec::new();
    for args in [&["status"][..], &["status", "--json"], &["run", "tiny", "hi"], &["keys", "list"]] {
        let command = sandbox.command(args).args(["-vv", "--credentials", &file]).env("RUST_LOG", "trace");
        outputs.push(command.run());
    }
    let host = cloud.url();
    for (n, broken) in [
        KEY.to_owned(),
        format!("{{\"host\":\"{host}\",\"key\":\"{KEY}\""),
        format!("{{\"host\":\"{host}\",\"key\":[\"{KEY}\"]}}"),
        format!("{{\"host\":\"{host}\",\"key\":\"{KEY}\",\"token\":\"{KEY}\"}}"),
        format!("{{\"host\":\"{host}\",\"key\":\"{KEY} {KEY}\"}}"),
        format!("{{\"host\":\"http://{KEY}@127.0.0.1\",\"key\":\"{KEY}\"}}"),
        format!("{{\"key\":\"{KEY}\"}}"),
    ]
    .iter()
    .enumerate()
    {
        let path = sandbox.write(format!("broken/{n}"), broken);
        let output = sandbox.command(["status", "-vv", "--credentials", path.to_str().unwrap()]).run().expect_code(2);
        says(&output, &["credentials file", r#""host":"#]);
        outputs.push(output);
    }
    let outputs: Vec<_> = outputs.iter().collect();
    sandbox.assert_no_secret(KEY, &outputs, &["credentials.json", "broken"]);
}

#[test]
fn a_file_that_is_no_such_file_is_refused_in_bounded_time_and_memory() {
    let (sandbox, _, _) = given();
    let huge = sandbox.write("huge.json", vec![b' '; 1 << 20]);
    let output = status(&sandbox, &["--credentials", huge.to_str().unwrap()]).expect_code(2);
    says(&output, &["larger than"]);
    status(&sandbox, &["--credentials", "/dev/null"]).expect_code(2);
}
