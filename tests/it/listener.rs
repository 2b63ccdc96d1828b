//! A loopback port that belongs to another account of this machine: API keys do not go there, everything else causes a warning. Only
//! root can be another account, so that without root these tests test nothing, and say so.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::given::{edit_profiles, profile, says, sign_in, with_store};
use crate::harness::can_be_other_accounts;
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{Output, Sandbox};

/// The accounts of two people, and of a service.
const PERSON: u32 = 54_321;
const OTHER: u32 = 54_322;
const SERVICE: u32 = 321;

const KEY: &str = "the-profiles-key-0123456789";
const COMMANDS: [&[&str]; 4] = [&["list"], &["run", "tiny", "hi"], &["api", "/api/tags"], &["keys", "list"]];

/// A host whose sockets belong to that account.
fn cloud_of(account: u32) -> Option<Cloud> {
    if !can_be_other_accounts() {
        return None;
    }
    let id = rustix::process::Uid::from_raw(account);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            // Of this thread alone, and of the threads that it starts.
            rustix::thread::set_thread_res_uid(id, id, id).unwrap();
            let cloud = Cloud::start();
            cloud.offer_keys().accept_api_key(KEY);
            Some(cloud)
        });
        other.join().unwrap()
    })
}

fn with_key(cloud: &Cloud) -> usize {
    let requests = cloud.server().requests();
    requests.iter().filter(|request| request.authorization().is_some_and(|value| value.contains(KEY))).count()
}

fn run(sandbox: &Sandbox, cloud: &Cloud, args: &[&str]) -> Output {
    sandbox.command(args).args(["--host", &cloud.url()]).env("OLLAMA_API_KEY", KEY).run()
}

/// What the only profile knows of the port.
fn set_listener(sandbox: &Sandbox, account: &Value) {
    edit_profiles(sandbox, |all| {
        all["profiles"].as_object_mut().unwrap().values_mut().for_each(|it| it["listener"] = account.clone());
    });
}

#[test]
fn an_api_key_does_not_go_to_another_accounts_program() {
    let (Some(cloud), sandbox) = (cloud_of(PERSON), with_store("plaintext")) else { return };
    for args in COMMANDS {
        let output = run(&sandbox, &cloud, args).expect_code(2);
        says(&output, &["refusing to send an API key to", "another account (user id 54321)", "signin --with-api-key"]);
    }
    for args in [&["status"][..], &["doctor"], &["keys", "audit"]] {
        let output = run(&sandbox, &cloud, args);
        let said = format!("{}{}", output.stdout(), output.stderr());
        // The doctor finds no error in it.
        assert!(output.code() != 0 || args[0] == "doctor", "{}", output.snapshot());
        assert!(
            said.contains("refusing to send an API key") && said.contains("user id 54321"),
            "{}",
            output.snapshot()
        );
    }
    assert_eq!(with_key(&cloud), 0);
}

/// Otherwise it could keep everyone from the server, or be taken for the server at a sign-in and get the key once that has ended.
#[test]
fn a_program_at_another_address_of_loopback_is_not_the_server() {
    if !can_be_other_accounts() {
        return;
    }
    let (cloud, sandbox) = (Cloud::start(), with_store("plaintext"));
    cloud.accept_api_key(KEY);
    let port = cloud.url().rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    let id = rustix::process::Uid::from_raw(PERSON);
    let other = std::thread::spawn(move || {
        rustix::thread::set_thread_res_uid(id, id, id).unwrap();
        TcpListener::bind(("127.0.0.2", port)).unwrap()
    });
    let _other = other.join().unwrap();
    let sign_in = sandbox.command(["signin", "--with-api-key", "--host", &cloud.url()]).stdin(KEY).run().expect_code(0);
    assert!(!sign_in.stderr().contains("user id"), "{}", sign_in.snapshot());
    edit_profiles(&sandbox, |all| {
        let mut profiles = all["profiles"].as_object().unwrap().values();
        assert!(profiles.all(|profile| profile["listener"].is_null()), "{all}");
    });
    run(&sandbox, &cloud, &["list"]).expect_code(0);
}

/// The names of loopback are one port.
#[test]
fn no_name_of_loopback_evades_the_check() {
    let (Some(cloud), sandbox) = (cloud_of(PERSON), with_store("plaintext")) else { return };
    let port = cloud.url().rsplit_once(':').unwrap().1.to_owned();
    for name in ["localhost", "app.localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        for args in [&["list"][..], &["run", "tiny", "hi"]] {
            let host = format!("http://{name}:{port}");
            let output = sandbox.command(args).args(["--host", &host]).env("OLLAMA_API_KEY", KEY).run();
            assert!(output.code() == 2, "{args:?}: {}", output.snapshot());
        }
    }
    assert_eq!(with_key(&cloud), 0);
}

#[test]
fn a_service_and_root_and_we_may_listen() {
    let Some(service) = cloud_of(SERVICE) else { return };
    let root = Cloud::start();
    root.offer_keys().accept_api_key(KEY);
    let sandbox = with_store("plaintext");
    for cloud in [&service, &root] {
        let output = run(&sandbox, cloud, &["list"]).expect_code(0);
        assert!(!output.stderr().contains("belongs to"), "{}", output.snapshot());
        assert!(with_key(cloud) > 0);
    }
    // The client's own account is a person's.
    let Some(ours) = cloud_of(PERSON) else { return };
    let args = ["list", "--host", &ours.url()];
    let list = crate::given::as_account(&sandbox, "54321", &args).env("OLLAMA_API_KEY", KEY).current_dir("/");
    let output = list.run().expect_code(0);
    assert!(!output.stderr().contains("belongs to"), "{}", output.snapshot());
    assert!(with_key(&ours) > 0);
}

/// A person decides at the sign-in. It counts for that account, and for no other.
#[test]
fn the_account_of_the_sign_in_may_listen_again() {
    let (Some(cloud), sandbox) = (cloud_of(PERSON), with_store("plaintext")) else { return };
    let sign_in = || {
        let args = ["signin", "--with-api-key", "--host", &cloud.url()];
        sandbox.command(args).stdin(KEY).run().expect_code(0)
    };
    says(&sign_in(), &["the program on port", "belongs to another account (user id 54321)", "sees all that you send"]);
    assert_eq!(profile(&sandbox)["listener"], PERSON);
    for args in COMMANDS {
        let output = sandbox.command(args).run().expect_code(0);
        assert!(!output.stderr().contains("belongs to"), "{}", output.snapshot());
    }
    for listener in [json!(OTHER), Value::Null] {
        let before = with_key(&cloud);
        set_listener(&sandbox, &listener);
        for args in COMMANDS {
            let output = sandbox.command(args).run().expect_code(2);
            says(&output, &["refusing to send an API key to", "another account (user id 54321)"]);
        }
        assert_eq!(with_key(&cloud), before);
        sign_in();
        sandbox.command(["list"]).run().expect_code(0);
    }
}

/// A signature can be used nowhere else, so a device only warns; so does a host that is used without a credential.
#[test]
fn without_an_api_key_there_is_a_warning() {
    let (Some(cloud), sandbox) = (cloud_of(PERSON), with_store("plaintext")) else { return };
    let warning = "belongs to another account (user id 54321): it sees all that you send";
    let output = sandbox.command(["list", "--host", &cloud.url()]).run();
    says(&output, &[warning]);
    assert_eq!(output.stderr().matches(warning).count(), 1, "{}", output.snapshot());
    sign_in(&sandbox, &cloud, &[]);
    assert_eq!(profile(&sandbox)["listener"], PERSON);
    let output = sandbox.command(["list"]).run().expect_code(0);
    assert!(!output.stderr().contains("belongs to"), "known since the sign-in\n{}", output.snapshot());
    set_listener(&sandbox, &json!(OTHER));
    for args in [&["list"][..], &["run", "tiny", "hi"], &["status"]] {
        says(&sandbox.command(args).run().expect_code(0), &[warning]);
    }
}

/// The proxy stays on the port while the server behind it may be replaced.
#[cfg(feature = "gateway")]
#[test]
fn the_proxy_does_not_send_the_key_to_another_account() {
    let (Some(cloud), sandbox) = (cloud_of(PERSON), with_store("plaintext")) else { return };
    let args = ["proxy", "--json", "--listen", "127.0.0.1:0", "--host", &cloud.url()];
    let child = sandbox.command(args).env("OLLAMA_API_KEY", KEY).spawn();
    let is_event = |line: &str| {
        let event = serde_json::from_str::<Value>(line).ok()?;
        (event["event"] == "listening").then(|| event["url"].as_str().unwrap().to_owned())
    };
    let text = child.wait_stderr(|text| text.lines().any(|line| is_event(line).is_some()));
    let url = format!("{}/api/tags", text.lines().find_map(is_event).unwrap());
    let curl = ["--silent", "--noproxy", "*", "--write-out", "%{http_code}", &url];
    let output = sandbox.program(crate::harness::tool("curl"), curl).run().expect_code(0);
    assert!(
        output.stdout().contains("refusing to send an API key") && output.stdout().ends_with("502"),
        "{}",
        output.snapshot()
    );
    assert_eq!(with_key(&cloud), 0);
    child.signal(rustix::process::Signal::TERM);
    child.finish().expect_code(0);
}
