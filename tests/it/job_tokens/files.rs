//! A token in a file that the call names.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::given::{says, with_store};
use crate::harness::actions::token_with;
use crate::harness::cloud::Cloud;
use crate::harness::cmd::Sandbox;

/// A token for that host.
fn token(cloud: &Cloud, number: u32) -> String {
    let end = cloud.server().clock().now() + 3600;
    let token = token_with(
        &json!({ "sub": "system:serviceaccount:ci:build", "aud": [cloud.url()], "exp": end, "jti": number }),
    );
    cloud.accept_api_key(&token);
    token
}

/// A private file.
fn private(sandbox: &Sandbox, text: &str) -> PathBuf {
    let file = sandbox.write("token", text);
    set_mode(&file, 0o600);
    file
}

fn set_mode(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_is_named_by_an_option_or_a_variable() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let (text, host) = (token(&cloud, 1), cloud.url());
    let file = private(&sandbox, &format!("{text}\n"));
    let file = file.to_str().unwrap();
    let output = sandbox.command(["list", "--host", &host, "--oidc-token-file", file, "-vv"]).run().expect_code(0);
    sandbox.assert_no_secret(&text, &[&output], &["token"]);
    let by_variable =
        |args: &[&str]| sandbox.command(args).env("OLLAMA_AUTH_OIDC_TOKEN_FILE", file).env("OLLAMA_HOST", &host).run();
    by_variable(&["list"]).expect_code(0);
    let status = by_variable(&["status", "--json"]).expect_code(0).json();
    assert_eq!(status["host"], host, "it is for the host of OLLAMA_HOST, also where that does not count otherwise");
    assert_eq!(status["credential"]["kind"], "token");
    assert_eq!(status["credential"]["file"], file);
    assert_eq!(status["signed_in"], true);
    let key = "a-key-that-comes-first-0123456789";
    let output =
        sandbox.command(["token", "--oidc-token-file", file]).env("OLLAMA_API_KEY", key).env("OLLAMA_HOST", &host);
    assert_eq!(output.run().expect_code(0).stdout().trim(), text, "the option comes first");
    let output = sandbox.command(["token"]).env("OLLAMA_AUTH_OIDC_TOKEN_FILE", file);
    let output = output.env("OLLAMA_API_KEY", key).env("OLLAMA_HOST", &host).run();
    assert_eq!(output.expect_code(0).stdout().trim(), key, "the key comes before the variable");
}

#[test]
fn a_file_that_cannot_be_used_is_refused_without_a_word_of_it() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let file = private(&sandbox, &token(&cloud, 1));
    let used = || sandbox.command(["list", "--host", &cloud.url(), "--oidc-token-file"]).args([&file]).run();
    for mode in [0o644, 0o640, 0o666] {
        set_mode(&file, mode);
        says(&used().expect_code(2), &["is open to other accounts", &format!("{mode:04o}")]);
    }
    set_mode(&file, 0o600);
    for (text, wanted) in [
        (String::new(), "is empty"),
        ("hunter2".to_owned(), "is not a JSON Web Token"),
        ("hunter2.".repeat(3), "is not a JSON Web Token"),
        ("hunter2".repeat(3000), "is longer than 16 KiB"),
        ("hunter2".repeat(20_000), "is larger than 64 KiB"),
    ] {
        fs::write(&file, &text).unwrap();
        let output = used().expect_code(2);
        says(&output, &[wanted, file.to_str().unwrap()]);
        assert!(!output.stderr().contains("hunter2"), "{}", output.stderr());
    }
    fs::write(&file, [0xff, 0xfe]).unwrap();
    says(&used().expect_code(2), &["is not a JSON Web Token"]);
    fs::remove_file(&file).unwrap();
    says(&used().expect_code(2), &["the token file", "does not exist"]);
    let folder = sandbox.command(["list", "--host", &cloud.url(), "--oidc-token-file"]).args([sandbox.root()]).run();
    says(&folder.expect_code(2), &["is not a regular file"]);
    assert!(cloud.server().requests().is_empty());
}

#[test]
fn a_file_is_for_a_gateway_that_is_named_beside_it() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let file = private(&sandbox, &token(&cloud, 1));
    let file = file.to_str().unwrap();
    for host in [&["--host", "ollama.com"][..], &[]] {
        for args in [&["token"][..], &["list"], &["run", "tiny", "hi"], &["keys", "list"], &["signin"]] {
            let output = sandbox.command(args).args(host).args(["--oidc-token-file", file]).run().expect_code(2);
            says(&output, &["is for a gateway, and is not sent to", "--host or OLLAMA_HOST"]);
        }
    }
    let output = sandbox.command(["token"]).env("OLLAMA_AUTH_OIDC_TOKEN_FILE", file).run().expect_code(4);
    says(&output, &["OLLAMA_AUTH_OIDC_TOKEN_FILE is set but not used"]);
    let other = ["token", "--host", "http://lan.invalid", "--oidc-token-file", file];
    says(&sandbox.command(other).run().expect_code(2), &["over plain http"]);
    let both = ["token", "--credentials", "f.json", "--oidc-token-file", file];
    sandbox.command(both).run().expect_code(2);
    // Its audience is another host.
    let second = Cloud::start();
    let output = sandbox.command(["token", "--host", &second.url(), "--oidc-token-file", file]).run().expect_code(4);
    says(&output, &[&format!("is for {}, not for {}", cloud.url(), second.url())]);
    assert_eq!(output.stdout(), "");
    assert!(cloud.server().requests().is_empty() && second.server().requests().is_empty());
}

#[cfg(feature = "gateway")]
#[test]
fn a_file_that_is_replaced_is_read_again() {
    use crate::harness::{poll, tool};
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let (first, second) = (token(&cloud, 1), token(&cloud, 2));
    let file = private(&sandbox, &first);
    let script = "echo $OLLAMA_HOST; while [ ! -e stop ]; do sleep 0.01; done";
    let command = sandbox.command(["exec", "--host", &cloud.url(), "--oidc-token-file"]).args([&file]);
    let command = command.args(["--"]).args([tool("sh")]).args(["-c", script]).current_dir(sandbox.root());
    let child = command.env("PATH", "/usr/bin:/bin").spawn();
    let address = child.wait_stdout(|text| text.contains('\n')).lines().next().unwrap().to_owned();
    let ask = || {
        let args = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--noproxy", "*"];
        let asked = sandbox.program(tool("curl"), args).args([format!("{address}/api/tags")]).run();
        asked.expect_code(0).stdout().to_owned()
    };
    assert_eq!(ask(), "200");
    // Whatever renews the file did so too late, and the host accepts the old one no longer.
    cloud.revoke_api_key(&first);
    fs::write(&file, &second).unwrap();
    poll("the new token", || (ask() == "200").then_some(()));
    // A file that breaks does not end what works.
    fs::write(&file, "hunter2").unwrap();
    assert_eq!(ask(), "200");
    sandbox.write("stop", "");
    child.finish().expect_code(0);
}
