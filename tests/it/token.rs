//! `token`: prints an API key, or one header for one request, and nothing else on standard output.

use crate::given::{on_a_full_disk, says, sign_in, with_store};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{PROGRAM, Sandbox};
use crate::harness::tool;

const KEY: &str = "a-key-to-hand-over-0123456789";

fn signed_in(base: &str) -> (Sandbox, Cloud) {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start_at(base));
    sign_in(&sandbox, &cloud, &[]);
    (sandbox, cloud)
}

#[test]
fn without_a_credential_nothing_is_printed() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    for args in [&["token"][..], &["token", "GET", "/api/tags"], &["token", "--json"]] {
        let output = sandbox.command(args).args(["--host", &cloud.url()]).run().expect_code(4);
        assert_eq!(output.stdout(), "");
        says(&output, &["not signed in to", "signin --host"]);
    }
    // A key of ollama.com in the variable is not used for another host, and a message says so.
    let output = sandbox.command(["token"]).env("OLLAMA_API_KEY", KEY).run().expect_code(0);
    assert_eq!(output.stdout(), format!("{KEY}\n"), "ollama.com is where it goes");
    let shaped = "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOpQrStUv-_";
    let command = sandbox.command(["token"]).env("OLLAMA_API_KEY", shaped).env("OLLAMA_HOST", cloud.url());
    let output = command.run().expect_code(4);
    says(&output, &["OLLAMA_API_KEY looks like a key of ollama.com"]);
    sandbox.assert_no_secret(shaped, &[&output], &[]);
    let command = sandbox.command(["token"]).env("OLLAMA_API_KEY", KEY).env("OLLAMA_HOST", "http://lan.invalid");
    assert_eq!(command.run().expect_code(4).stdout(), "", "not for a host in the clear");
    assert!(cloud.server().requests().is_empty());
}

#[test]
fn only_the_api_key_is_printed() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.accept_api_key(KEY);
    let host = cloud.url();
    sandbox.command(["signin", "--with-api-key", "--host", &host]).stdin(KEY).run().expect_code(0);
    let output = sandbox.command(["token"]).run().expect_code(0);
    assert_eq!(output.stdout(), format!("{KEY}\n"));
    says(&output, &["Keep this secret", &host]);
    assert!(!output.stderr().contains(KEY));
    let output = sandbox.command(["token", "--quiet"]).run().expect_code(0);
    assert_eq!((output.stdout(), output.stderr()), (&*format!("{KEY}\n"), ""));
    let output = sandbox.command(["token", "get", "/api/tags?a=1"]).run().expect_code(0);
    assert_eq!(output.stdout(), format!("Bearer {KEY}\n"));
    let output = sandbox.command(["token", "GET", "/api/tags", "--header"]).run().expect_code(0);
    assert_eq!(output.stdout(), format!("Authorization: Bearer {KEY}\n"));
    let found = sandbox.command(["token", "--json"]).run().expect_code(0).json();
    assert_eq!((&found["type"], &found["value"], &found["ts"]), (&"api-key".into(), &KEY.into(), &().into()));
    sandbox.command(["token", "GET"]).run().expect_code(2);
    sandbox.command(["token", "--header"]).run().expect_code(2);
}

#[test]
fn a_device_signature_works_in_another_program() {
    for base in ["", "/prefix"] {
        let (sandbox, cloud) = signed_in(base);
        let before = cloud.server().requests().len();
        let output = sandbox.command(["token"]).run().expect_code(2);
        says(&output, &["is a device key", "token GET /api/tags", "keys create NAME --save"]);
        assert_eq!(output.stdout(), "");
        let signed = sandbox.command(["token", "GET", "/api/tags?b=1&a=x%20y", "--json"]).run().expect_code(0).json();
        let url = signed["url"].as_str().unwrap();
        assert!(url.starts_with(&format!("{}/api/tags?a=x+y&b=1&ts=", cloud.url())), "{url}");
        assert_eq!((&signed["type"], &signed["method"]), (&"signature".into(), &"GET".into()));
        assert!(url.ends_with(&format!("ts={}", signed["ts"])));
        assert_eq!(cloud.server().requests().len(), before, "nothing is sent by us");
        let header = format!("Authorization: {}", signed["value"].as_str().unwrap());
        let curl = |url: &str, method: &str| {
            let args = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--noproxy", "*"];
            let more = ["--request", method, "--header", &header, url];
            sandbox.program(tool("curl"), args).args(more).run().expect_code(0).stdout().to_owned()
        };
        assert_eq!(curl(url, "GET"), "200");
        // It is good for no other request.
        assert_eq!(curl(url, "DELETE"), "401");
        assert_eq!(curl(&url.replace("b=1", "b=2"), "GET"), "401");
        assert_eq!(cloud.take_refused().len(), 2);
        let text = sandbox.command(["token", "GET", "/api/tags", "--header"]).run().expect_code(0);
        assert!(text.stdout().starts_with("Authorization: ") && text.stdout().lines().count() == 1);
        says(&text, &["Keep this secret", "GET", "/api/tags?ts="]);
        let signature = text.stdout().trim().rsplit(':').next().unwrap();
        assert!(!text.stderr().contains(signature));
        let output = sandbox.command(["token", "GET", "/api/tags?ts=1"]).run().expect_code(2);
        says(&output, &["parameter ts"]);
    }
}

#[test]
fn nothing_is_signed_for_another_host() {
    let (sandbox, cloud) = signed_in("/prefix");
    for path in ["https://ollama.com/api/me", "//ollama.com/api/me", "/../api/me", "http://127.0.0.1:9/prefix/api/me"] {
        let output = sandbox.command(["token", "POST", path]).run().expect_code(2);
        assert_eq!(output.stdout(), "");
    }
    let own = format!("{}/api/me", cloud.url());
    sandbox.command(["token", "POST", &own]).run().expect_code(0);
    for method in ["GET /x", "", "CONNECT", "G\u{e9}T"] {
        sandbox.command(["token", method, "/api/me"]).run().expect_code(2);
    }
}

#[test]
fn a_secret_that_cannot_be_printed_is_an_error() {
    let (sandbox, _cloud) = signed_in("");
    let script = format!("{PROGRAM} token GET /api/tags > /dev/full");
    let output = sandbox.program(tool("sh"), ["-c", &script]).run().expect_code(1);
    says(&output, &["cannot write to standard output"]);
    // It writes nothing of its own.
    on_a_full_disk(&sandbox, &["token", "GET", "/api/tags"]).run().expect_code(0);
}
