//! The whole way through a real gateway: a person signs a device in on the page, runs a model, makes a key, signs out. And what is
//! still there after the gateway was killed.

use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use crate::given::{profile, says, with_store};
use crate::harness::browser::Behaviour;
use crate::harness::gateway::{Answer, Gateway, PASSWORD};
use crate::harness::ollama::{Ollama, recorded};
use crate::harness::signature::TestDevice;
use crate::harness::with_other_end;

const RUN: [&str; 3] = ["run", "tiny", "Why is the sky blue?"];

#[test]
fn a_person_signs_in_on_the_page_runs_a_model_and_signs_out() {
    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = with_store("plaintext");
    let browser = device.browser(Behaviour::Person("ada", "Approve"));
    let output = device.command(["signin", "--host", &gateway.url()]).run().expect_code(0);
    says(&output, &["Signed in to", "as ada"]);
    assert!(browser.opened()[0].starts_with(&format!("{}/connect?", gateway.url())));

    let said = device.command(RUN).run().expect_code(0);
    assert_eq!(said.stdout().trim_end(), recorded("generate").said().trim_end());
    let status = device.command(["status", "--json"]).run().expect_code(0).json();
    assert_eq!((&status["signed_in"], &status["account"]["name"]), (&true.into(), &"ada".into()));

    device.command(["signout"]).run().expect_code(0);
    device.command(["run", "--host", &gateway.url(), "tiny", "hi"]).run().expect_code(4);
    // Signing out is disconnecting: the key would need a new approval.
    let users = gateway.admin(&["user", "list", "--json"]).expect_code(0).json();
    assert!(users.to_string().contains("\"devices\":0"), "{users}");
}

#[test]
fn a_denied_sign_in_exits_with_5() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("ada", "member");
    let device = with_store("plaintext");
    let _browser = device.browser(Behaviour::Person("ada", "Deny"));
    let output = device.command(["signin", "--host", &gateway.url()]).run().expect_code(5);
    says(&output, &["refused"]);
    assert_eq!(gateway.ask("GET", "/api/tags", &[], "").status, 401);
}

#[test]
fn a_model_runs_with_an_api_key() {
    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let key = gateway.key(&device, &["ci", "--scope", "inference,models:read"]);
    let script = with_store("plaintext");
    let said = script.command(RUN).env("OLLAMA_HOST", gateway.url()).env("OLLAMA_API_KEY", &key).run().expect_code(0);
    assert_eq!(said.stdout().trim_end(), recorded("generate").said().trim_end());
    let wrong = with_other_end(&key);
    script.command(RUN).env("OLLAMA_HOST", gateway.url()).env("OLLAMA_API_KEY", wrong).run().expect_code(4);
    device.command(["keys", "revoke", "ci", "--yes"]).run().expect_code(0);
    script.command(RUN).env("OLLAMA_HOST", gateway.url()).env("OLLAMA_API_KEY", &key).run().expect_code(4);
    gateway.sandbox().assert_no_secret(&key, &[], &[]);
}

#[test]
fn a_link_for_a_key_that_is_not_pending_is_refused() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("ada", "member");
    let link = format!("{}/connect?name=x&key={}", gateway.url(), TestDevice::new(9).key().encoded);
    gateway.browse(&link, "ada", "Approve").expect_code(1);
    gateway.admin(&["approve", &link, "--user", "ada"]).expect_code(3);
    assert!(gateway.admin(&["user", "list", "--json"]).json().to_string().contains("\"devices\":0"));
}

#[test]
fn the_setup_link_creates_one_administrator() {
    let mut gateway = Gateway::start("http://127.0.0.1:9");
    let link = gateway.listening()["setup_url"].as_str().unwrap().to_owned();
    let wrong = with_other_end(&link);
    gateway.browse(&wrong, "eve", "Create").expect_code(1);
    gateway.browse(&link, "ada", "Create").expect_code(0);
    gateway.browse(&link, "eve", "Create").expect_code(1);
    let users = gateway.admin(&["user", "list", "--json"]).json().to_string();
    assert!(users.contains("\"ada\"") && users.contains("\"admin\"") && !users.contains("eve"), "{users}");
    gateway.end(Signal::TERM).expect_code(0);
    gateway.restart();
    assert_eq!(gateway.listening()["setup_url"], Value::Null);
}

#[test]
fn disabling_a_user_refuses_their_devices_and_keys_at_once() {
    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member").add_user("root", "admin");
    let device = gateway.device_of("ada");
    let key = gateway.key(&device, &["k"]);
    let header = format!("Authorization: Bearer {key}");
    assert_eq!(gateway.ask("GET", "/api/tags", &[&header], "").status, 200);
    gateway.admin(&["user", "disable", "ada"]).expect_code(0);
    assert_eq!(gateway.ask("GET", "/api/tags", &[&header], "").status, 403);
    device.command(RUN).run().expect_code(5);
    gateway.admin(&["user", "enable", "ada"]).expect_code(0);
    device.command(RUN).run().expect_code(0);
    // A lesser role makes every key of its owner lesser.
    gateway.admin(&["user", "role", "ada", "maintainer"]).expect_code(0);
    let writer = gateway.key(&device, &["w", "--scope", "models:write"]);
    let header = format!("Authorization: Bearer {writer}");
    assert_ne!(gateway.ask("POST", "/api/copy", &[&header], "{}").status, 403);
    gateway.admin(&["user", "role", "ada", "member"]).expect_code(0);
    assert_eq!(gateway.ask("POST", "/api/copy", &[&header], "{}").status, 403);
}

#[test]
fn after_a_shutdown_the_database_is_one_file() {
    let mut gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("ada", "admin");
    gateway.end(Signal::TERM).expect_code(0);
    let copied = |to: &str| {
        let copy = gateway.sandbox().path(to);
        std::fs::copy(gateway.database(), &copy).unwrap();
        let args = ["gateway", "user", "list", "--json", "--database", copy.to_str().unwrap()];
        gateway.sandbox().command(args).run().expect_code(0).json().to_string()
    };
    let users = copied("gateway/copy.db");
    assert!(users.contains("\"ada\""), "{users}");
    // And when it was a command that had it open.
    gateway.add_user("bob", "member");
    let users = copied("gateway/second.db");
    assert!(users.contains("\"bob\""), "{users}");
}

#[test]
fn changing_a_password_or_disabling_a_user_ends_browser_sessions() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("root", "admin").add_user("ada", "member");
    let between = |text: &str, from: &str, to: &str| {
        text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).unwrap().0.to_owned()
    };
    let cookie = |answer: &Answer, kind: &str| {
        let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value);
        set.filter(|value| value.contains(kind)).map(|value| between(&format!("={value}"), "=", ";")).next().unwrap()
    };
    let sign_in = |name: &str| {
        let form = gateway.ask("GET", "/login", &[], "");
        let visitor = format!("Cookie: {}", cookie(&form, "visitor"));
        let token = between(form.text(), "name=\"csrf\" value=\"", "\"");
        let body = format!("csrf={token}&name={name}&password={}", PASSWORD.replace(' ', "+"));
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let answer = gateway.ask("POST", "/login", &[&visitor, kind], &body);
        assert_eq!(answer.status, 303, "{}", answer.text());
        format!("Cookie: {}", cookie(&answer, "session"))
    };
    let is_in = |session: &str| gateway.ask("GET", "/account", &[session], "").status == 200;
    // What is too long for a request to the running gateway is told as what it is.
    let long = "a".repeat(20_000);
    let output = gateway.admin_with(&["user", "add", "bob", "--email", &long], PASSWORD);
    says(&output, &["invalid e-mail address: at most 254 bytes"]);
    let (root, first) = (sign_in("root"), sign_in("ada"));
    assert!(is_in(&root) && is_in(&first));
    gateway.admin_with(&["user", "passwd", "ada"], &format!("{PASSWORD}\n")).expect_code(0);
    assert!(!is_in(&first) && is_in(&root));
    let second = sign_in("ada");
    gateway.admin(&["user", "disable", "ada"]).expect_code(0);
    gateway.admin(&["user", "enable", "ada"]).expect_code(0);
    assert!(!is_in(&second) && is_in(&root), "nor does it come back to life");
}

#[test]
fn a_signature_from_before_the_start_is_refused() {
    let mut gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("ada", "member");
    let device = TestDevice::new(7);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let target = format!("/api/me?ts={now}");
    let header = format!("Authorization: {}", device.sign(&format!("POST,{target}")));
    let link = gateway.ask("POST", &target, &[&header], "").json()["signin_url"].as_str().unwrap().to_owned();
    gateway.admin(&["approve", &link, "--user", "ada"]).expect_code(0);
    assert_eq!(gateway.ask("POST", &target, &[&header], "").status, 200);
    gateway.end(Signal::KILL);
    gateway.restart();
    let refused = gateway.ask("POST", &target, &[&header], "");
    assert_eq!(refused.status, 401);
    assert!(refused.text().contains("before this gateway started"), "{}", refused.text());
}

#[test]
fn a_kill_loses_no_acknowledged_change() {
    let upstream = Ollama::start();
    let mut gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let master = gateway.key(&device, &["master", "--scope", "inference,models:read,keys"]);
    let header = format!("Authorization: Bearer {master}");
    let mut live = vec![master.clone()];
    let mut revoked = Vec::new();
    for round in 0..4 {
        // Keys are made and every second one revoked until the gateway is killed in the midst of it.
        let (made, gone) = thread::scope(|scope| {
            let work = scope.spawn(|| {
                let (mut made, mut gone) = (Vec::new(), Vec::new());
                for count in 0.. {
                    let body = format!(r#"{{"name":"k{round}-{count}"}}"#);
                    let Some(key) = answered(&gateway, "POST", "/api/user/keys", &header, &body) else { break };
                    let key = key["key"].as_str().unwrap().to_owned();
                    if count % 2 == 1 {
                        let own = format!("Authorization: Bearer {key}");
                        let listed = answered(&gateway, "GET", "/api/user/keys", &own, "");
                        let Some(id) = listed.map(|list| list["keys"][0]["id"].as_str().unwrap().to_owned()) else {
                            made.push(key);
                            break;
                        };
                        let path = format!("/api/user/keys/{}", encoded(&id));
                        if answered(&gateway, "DELETE", &path, &own, "").is_some() {
                            gone.push(key);
                            continue;
                        }
                        // Asked for and not answered: it may be either.
                        break;
                    }
                    made.push(key);
                }
                (made, gone)
            });
            while !work.is_finished() && upstream.server().requests().len() < (round + 1) * 60 {
                gateway.ask("GET", "/api/tags", &[&header], "");
            }
            gateway.child().signal(Signal::KILL);
            work.join().unwrap()
        });
        gateway.wait();
        live.extend(made);
        revoked.extend(gone);
        gateway.restart();
    }
    assert!(live.len() > 4 && !revoked.is_empty(), "{} live, {} revoked", live.len(), revoked.len());
    for key in &live {
        let header = format!("Authorization: Bearer {key}");
        assert_eq!(gateway.ask("POST", "/api/me", &[&header], "").status, 200);
    }
    for key in &revoked {
        let header = format!("Authorization: Bearer {key}");
        assert_eq!(gateway.ask("POST", "/api/me", &[&header], "").status, 401);
    }
    // The approval is there as well.
    device.command(RUN).run().expect_code(0);
    assert_eq!(profile(&device)["url"].as_str().unwrap().trim_end_matches('/'), gateway.url());
}

fn encoded(id: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id)
}

/// The answer, if a whole one of success came: the gateway may be killed at any time.
fn answered(gateway: &Gateway, method: &str, path: &str, header: &str, body: &str) -> Option<Value> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(gateway.address()).ok()?;
    stream.set_read_timeout(Some(crate::harness::DEADLINE)).unwrap();
    let address = gateway.address();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{header}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let answer = crate::harness::gateway::Answer::parse(&bytes).ok()?;
    assert!(answer.status < 300, "{method} {path}: {}", answer.text());
    Some(answer.json())
}
