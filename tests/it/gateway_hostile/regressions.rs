//! Regression tests for small defects that were found earlier.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::*;
use crate::harness::set_clock::SetClock;
use crate::harness::signature::TestDevice;

/// A caller that uses up all file descriptors must not fill the disk with log messages.
#[test]
fn failed_accepts_are_logged_once_a_minute() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    assert_eq!(gateway.ask("GET", "/healthz", &[], "").status, 200);
    let pid = Pid::from_raw(gateway.child().pid().cast_signed());
    let before =
        prlimit(pid, Resource::Nofile, Rlimit { current: Some(3), maximum: getrlimit(Resource::Nofile).maximum })
            .unwrap();
    let mut waiting = TcpStream::connect(gateway.address()).unwrap();
    waiting.set_read_timeout(Some(DEADLINE)).unwrap();
    gateway.child().wait_stderr(|text| text.contains("could not be accepted"));
    // It sleeps after each attempt.
    gateway.child().wait_sleeps(20);
    prlimit(pid, Resource::Nofile, before).unwrap();
    write!(waiting, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    waiting.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "who waited is served when there is room again");
    let text = gateway.child().wait_stderr(|_| true);
    assert_eq!(text.matches("could not be accepted").count(), 1, "{text}");
}

/// A caller can replay a signature again and again; that must not fill the disk with log messages either.
#[test]
fn replays_are_logged_once_a_minute() {
    let clock = SetClock::at(1_800_000_000);
    let more = ["--set", "trusted-proxies=127.0.0.1"];
    let gateway = Gateway::start_with_within("http://127.0.0.1:9", &more, &clock.line());
    gateway.add_user("ada", "member");
    // A signature from before the start of the gateway would be refused.
    let now = clock.now();
    let device = TestDevice::new(9);
    let target = format!("/api/me?ts={now}");
    let header = format!("Authorization: {}", device.sign(&format!("POST,{target}")));
    let link = gateway.ask("POST", &target, &[&header], "").json()["signin_url"].as_str().unwrap().to_owned();
    gateway.admin(&["approve", &link, "--user", "ada"]).expect_code(0);
    let status = |from: &str| gateway.ask("POST", &target, &[&header, &format!("X-Forwarded-For: {from}")], "").status;
    assert_eq!(status("192.0.2.1"), 200);
    // Two equal requests at once are no replay.
    clock.pass(3);
    for from in 2..30 {
        assert_eq!(status(&format!("192.0.2.{from}")), 401);
    }
    let text = gateway.child().wait_stderr(|text| text.contains("signature.replayed"));
    assert_eq!(text.matches("replayed from another address").count(), 1, "{text}");
}

/// A manager of an account's keys may revoke any of them. Creating or replacing a key requires the rights that it would have.
#[test]
fn a_manager_key_can_only_reduce_rights() {
    let (_upstream, gateway, device) = with_upstream(|| Reply::json(200, "{}"));
    gateway.add_user("bob", "member");
    let others = gateway.key(&gateway.device_of("bob"), &["theirs"]);
    let strong = gateway.ask(
        "POST",
        "/api/user/keys",
        &[&bearer(&gateway.key(&device, &["all", "--scope", "inference,models:read,models:write,keys"]))],
        r#"{"name":"strong","scopes":["inference","models:write"]}"#,
    );
    let strong = strong.json();
    let (id, key) = (strong["id"].as_str().unwrap(), strong["key"].as_str().unwrap());
    let weak = bearer(&gateway.key(&device, &["weak", "--scope", "keys", "--model", "tiny"]));
    let wanted = json!({ "name": "more", "scopes": ["models:write"] }).to_string();
    assert_eq!(gateway.ask("POST", "/api/user/keys", &[&weak], &wanted).status, 403);
    let replace = json!({ "replaces": id }).to_string();
    assert_eq!(gateway.ask("POST", "/api/user/keys", &[&weak], &replace).status, 403);
    let encoded = |id: &str| {
        use base64::Engine as _;
        format!("/api/user/keys/{}", base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(id))
    };
    assert_eq!(gateway.ask("DELETE", &encoded(id), &[&weak], "").status, 200);
    assert_eq!(gateway.ask("POST", "/api/me", &[&bearer(key)], "").status, 401);
    // Of its own account, that is.
    let list = gateway.ask("GET", "/api/user/keys", &[&bearer(&others)], "").json();
    let theirs = list["keys"][0]["id"].as_str().unwrap();
    assert_eq!(gateway.ask("DELETE", &encoded(theirs), &[&weak], "").status, 404);
    assert_eq!(gateway.ask("POST", "/api/me", &[&bearer(&others)], "").status, 200);
}
