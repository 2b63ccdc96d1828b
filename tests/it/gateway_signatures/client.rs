//! Our own client: what it signs at gateways and at other hosts, and what it does where the clocks differ.

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::given::{key_file, says, sign_in, with_store};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::http::{Reply, Request, Server};
use crate::harness::set_clock::SetClock;

/// A gateway with a device of ada's, whose clock is set by so many seconds afterwards.
fn given(upstream: &str, ahead: i64) -> (Gateway, Sandbox, SetClock) {
    let gateway = Gateway::start(upstream);
    gateway.add_user("ada", "maintainer");
    let mut device = gateway.device_of("ada");
    let clock = set_clock(&mut device, ahead);
    (gateway, device, clock)
}

fn set_clock(device: &mut Sandbox, ahead: i64) -> SetClock {
    let clock = SetClock::at(Timestamp::now().as_second() + ahead);
    clock.give_to(device);
    clock
}

#[track_caller]
fn reports_once(output: &Output, wanted: &[&str]) {
    says(output, wanted);
    assert_eq!(output.stderr().matches("this machine's clock is").count(), 1, "{}", output.snapshot());
}

/// The gateway takes signatures up to a minute off, and waits for no time.
#[test]
fn a_key_is_created_at_once_where_the_clocks_differ_by_less_than_a_minute() {
    for (ahead, words) in [(45, "seconds ahead of that of"), (-45, "seconds behind that of")] {
        let (mut gateway, device, _clock) = given("http://127.0.0.1:9", ahead);
        let output = device.command(["keys", "create", "ci", "--json"]).run().expect_code(0);
        reports_once(&output, &[words, &gateway.url(), "set the clock"]);
        assert_eq!(key_names(&device), ["ci"]);
        gateway.end(rustix::process::Signal::TERM);
        assert_eq!(refusals(&gateway), 0);
    }
}

#[test]
fn a_clock_that_is_minutes_off_is_corrected_by_the_gateways() {
    for (ahead, words) in [(330, "5 minutes ahead of"), (-330, "5 minutes behind")] {
        let upstream = Server::start(|_| Reply::json(200, "{}"));
        let (_gateway, device, _clock) = given(&upstream.url(), ahead);
        let output = device.command(["keys", "create", "ci", "--json"]).run().expect_code(0);
        reports_once(&output, &[words, "requests to it are signed with its time"]);
        assert_eq!(key_names(&device), ["ci"]);
        // A stream, a body as it is given, and a request that disconnects.
        reports_once(&device.command(["pull", "tiny"]).run(), &[words]);
        assert_eq!(upstream.count("POST", "/api/pull"), 1);
        let output = device.command(["api", "/api/copy", "-d", r#"{"source":"a","destination":"b"}"#]).run();
        reports_once(&output.expect_code(0), &[words]);
        assert_eq!(upstream.count("POST", "/api/copy"), 1);
        reports_once(&device.command(["signout"]).run().expect_code(0), &[words]);
    }
}

#[test]
fn more_than_ten_minutes_are_not_corrected() {
    let (_gateway, device, _clock) = given("http://127.0.0.1:9", 690);
    let output = device.command(["keys", "create", "ci"]).run().expect_code(4);
    reports_once(&output, &["11 minutes ahead of", "set the clock"]);
}

/// Nobody could approve the link: the gateway has not taken note of the key.
#[test]
fn a_sign_in_with_a_wrong_clock_shows_no_link() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    let mut device = with_store("plaintext");
    let _clock = set_clock(&mut device, 690);
    for more in [&[][..], &["--no-wait"]] {
        let output = device.command(["signin", "--host", &gateway.url()]).args(more).run().expect_code(4);
        reports_once(&output, &["offers no sign-in link: ", "11 minutes ahead of", "set the clock"]);
        assert!(!output.stderr().contains("/connect?") && output.stdout().is_empty(), "{}", output.snapshot());
    }
}

/// Other hosts may know an imported key: a gateway could get signatures for a later time, and use them there.
#[test]
fn an_imported_key_signs_with_this_machines_time_alone() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("ada", "maintainer");
    let mut device = with_store("plaintext");
    key_file(&device, "home/.ollama/id_ed25519", "ed25519", "");
    let host = gateway.url();
    device.command(["device", "import", "--host", &host]).run().expect_code(0);
    let sign_in = ["signin", "--host", &host, "--no-wait"];
    let link = device.command(sign_in).run().expect_code(4).stdout().trim().to_owned();
    gateway.admin(&["approve", &link, "--user", "ada"]).expect_code(0);
    device.command(sign_in).run().expect_code(0);
    let _clock = set_clock(&mut device, 330);
    let output = device.command(["keys", "create", "late"]).run().expect_code(4);
    reports_once(&output, &["5 minutes ahead of", "set the clock"]);
    let _clock = set_clock(&mut device, 45);
    let output = device.command(["keys", "create", "ci"]).run().expect_code(0);
    reports_once(&output, &["seconds ahead of"]);
}

#[test]
fn a_gateway_gets_the_digest_of_the_body() {
    let (device, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.offer_keys();
    sign_in(&device, &cloud, &[]);
    for args in [&["cp", "a", "b"][..], &["rm", "a", "b"], &["pull", "a"]] {
        let requests = sent(&cloud, &device, args);
        assert!(requests.iter().all(|request| request.method != "HEAD"), "{requests:?}");
        for request in &requests {
            assert_eq!(digest_of(request).is_some(), !request.body.is_empty(), "{request}");
        }
    }
    // The parameter is signed, as the stand-in has checked; and no two are equal.
    let again = [sent(&cloud, &device, &["cp", "a", "b"]), sent(&cloud, &device, &["cp", "a", "b"])];
    assert_ne!(again[0][0].query("body-sha256"), again[1][0].query("body-sha256"));
}

/// A device that signed in with an earlier version learns it from the first answer.
#[test]
fn a_gateway_is_known_from_its_answers_too() {
    let (device, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&device, &cloud, &[]);
    cloud.offer_keys();
    let requests = sent(&cloud, &device, &["rm", "a", "b"]);
    let with_body = requests.iter().filter(|request| !request.body.is_empty());
    let digests: Vec<_> = with_body.map(|request| digest_of(request).is_some()).collect();
    assert_eq!((digests[0], digests[1..].iter().all(|has| *has)), (false, true), "{requests:?}");
}

#[test]
fn another_host_gets_no_digest_and_no_request_more() {
    let (device, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&device, &cloud, &[]);
    for (args, first) in [
        (&["cp", "a", "b"][..], "POST /api/copy"),
        (&["rm", "a"], "POST /api/show"),
        (&["pull", "a"], "POST /api/pull"),
    ] {
        let requests = sent(&cloud, &device, args);
        assert_eq!(requests[0].to_string(), first);
        assert!(requests.iter().all(|request| request.method != "HEAD"), "{requests:?}");
        assert!(requests.iter().all(|request| request.query("body-sha256").is_none()), "{requests:?}");
    }
}

#[test]
fn the_real_gateway_takes_what_the_client_signs() {
    let upstream = Server::start(|_| Reply::json(200, r#"{"status":"success"}"#));
    let (_gateway, device, _clock) = given(&upstream.url(), 0);
    for _ in 0..2 {
        device.command(["rm", "a", "b", "c"]).run().expect_code(0);
        device.command(["cp", "a", "b"]).run().expect_code(0);
        device.command(["pull", "a"]).run().expect_code(0);
    }
    assert_eq!(upstream.count("DELETE", "/api/delete"), 6);
    assert!(upstream.requests().iter().all(|request| !request.target.contains("body-sha256")));
}

/// What a command sends.
fn sent(cloud: &Cloud, device: &Sandbox, args: &[&str]) -> Vec<Request> {
    let before = cloud.server().requests().len();
    device.command(args).run();
    let requests = cloud.server().requests().split_off(before);
    assert!(!requests.is_empty());
    requests
}

/// The digest that a request names, which is that of its body.
fn digest_of(request: &Request) -> Option<String> {
    let value = request.query("body-sha256")?;
    let digest = Sha256::digest(&request.body).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(value.split_once('.').expect("a nonce").0, digest, "{request}");
    Some(digest)
}

fn key_names(device: &Sandbox) -> Vec<String> {
    let list = device.command(["keys", "list", "--json"]).run().expect_code(0).json();
    list["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
}

fn refusals(gateway: &Gateway) -> usize {
    let events = gateway.admin(&["audit", "--json"]).expect_code(0).json();
    let is_refusal = |event: &&Value| event["action"].as_str().is_some_and(|action| action.starts_with("signature."));
    events["events"].as_array().unwrap().iter().filter(is_refusal).count()
}
