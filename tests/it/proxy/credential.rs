//! The credential in use while the proxy runs: what a rotation, a sign-in or a sign-out changes holds from the next request on.

use serde_json::json;

use super::Proxy;
use crate::given::{says, sign_in, with_store};
use crate::harness::cloud::Cloud;
use crate::harness::gateway::Gateway;
use crate::harness::http::{Reply, Server};

#[test]
fn a_rotated_or_replaced_credential_is_used_without_a_restart() {
    let upstream = Server::start(|_| Reply::json(200, "{\"models\":[]}"));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let status = |proxy: &Proxy| proxy.ask("GET", "/api/tags", &[], "").status;

    let machine = with_store("plaintext");
    let store = |key: &str| {
        let args = ["signin", "--with-api-key", "--host", &gateway.url()];
        machine.command(args).stdin(key).run().expect_code(0);
    };
    store(&gateway.key(&device, &["nightly"]));
    let proxy = Proxy::with_profile(&machine, &[]);
    assert_eq!(status(&proxy), 200);
    // The old key ends at once.
    machine.command(["keys", "rotate", "nightly", "--grace", "0s"]).run().expect_code(0);
    assert_eq!(status(&proxy), 200);
    // It is revoked: the refusal is reported, and a new sign-in repairs it.
    device.command(["keys", "revoke", "nightly", "--yes"]).run().expect_code(0);
    assert_eq!(status(&proxy), 401);
    store(&gateway.key(&device, &["second"]));
    assert_eq!(status(&proxy), 200);
    // Whatever becomes the current profile, the host stays.
    let other = Server::strict();
    machine.command(["signin", "--with-api-key", "--no-verify", "--host", &other.url()]).stdin("another-key").run();
    assert_eq!(status(&proxy), 200);
    machine.command(["signout", "--host", &gateway.url()]).run().expect_code(0);
    let answer = proxy.ask("GET", "/api/tags", &[], "");
    assert!(answer.status == 502 && answer.text().contains("no longer signed in"), "{}", answer.text());
    let output = proxy.end();
    says(&output, &["refused the credential (401)", "sign in again", "no longer signed in to"]);
    assert!(!output.stderr().contains("start the proxy again"), "{}", output.snapshot());
}

#[test]
fn a_rotated_device_key_is_used_without_a_restart() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let _browser = sign_in(&sandbox, &cloud, &[]);
    let proxy = Proxy::with_profile(&sandbox, &["--host", &cloud.url()]);
    let status = || proxy.ask("POST", "/api/me", &[], "").status;
    assert_eq!(status(), 200);
    sandbox.command(["device", "rotate"]).run().expect_code(0);
    assert_eq!(status(), 200);
}

#[test]
fn a_replaced_credentials_file_is_read_again() {
    let upstream = Server::start(|request| Reply::json(200, json!({ "key": request.api_key() })));
    let sandbox = with_store("plaintext");
    let write = |key: &str| {
        let file = json!({ "host": upstream.url(), "key": key });
        let new = sandbox.write("home/new.json", file.to_string());
        std::fs::rename(new, sandbox.path("home/credentials.json")).unwrap();
    };
    write("the-first-key");
    let file = sandbox.path("home/credentials.json");
    let proxy = Proxy::with_profile(&sandbox, &["--credentials", file.to_str().unwrap()]);
    let key = || proxy.ask("GET", "/api/tags", &[], "").json()["key"].clone();
    assert_eq!(key(), "the-first-key");
    write("the-second-key");
    assert_eq!(key(), "the-second-key");
    // What cannot be read leaves the one in use.
    std::fs::write(&file, "{").unwrap();
    assert_eq!(key(), "the-second-key");
    says(&proxy.end(), &["cannot read the stored credential", "the proxy keeps the one it has"]);
}

/// A program that uses up all file descriptors must not fill the disk with log messages.
#[test]
fn failed_accepts_are_logged_once_a_minute() {
    use std::io::{Read as _, Write as _};

    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

    let (_upstream, proxy, _sandbox) = super::with_upstream(|| Reply::json(200, "{}"), &[]);
    assert_eq!(proxy.ask("GET", "/api/tags", &[], "").status, 200);
    let pid = Pid::from_raw(proxy.child.pid().cast_signed());
    let none = Rlimit { current: Some(3), maximum: getrlimit(Resource::Nofile).maximum };
    let before = prlimit(pid, Resource::Nofile, none).unwrap();
    let mut waiting = proxy.connect();
    proxy.child.wait_stderr(|text| text.contains("could not be accepted"));
    // It sleeps after each attempt.
    proxy.child.wait_sleeps(20);
    prlimit(pid, Resource::Nofile, before).unwrap();
    let request = format!("GET /api/tags HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", proxy.address());
    waiting.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    waiting.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "who waited is served when there is room again");
    assert_eq!(proxy.end().stderr().matches("could not be accepted").count(), 1);
}
