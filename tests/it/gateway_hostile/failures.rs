//! Failures of the upstream server, the disk and the database: sessions stay valid, no confirmed change is lost, and responses name
//! the cause.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::slow_callers::resident;
use super::*;
use crate::harness::gateway::PASSWORD;
use crate::harness::tool;

fn create(gateway: &Gateway, key: &str, name: &str) -> Answer {
    gateway.ask("POST", "/api/user/keys", &[&bearer(key)], &format!(r#"{{"name":"{name}"}}"#))
}

#[test]
fn an_unreachable_upstream_is_reported_in_the_format_of_the_api() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gateway = Gateway::start(&format!("http://127.0.0.1:{port}"));
    gateway.add_user("ada", "member");
    let key = gateway.key(&gateway.device_of("ada"), &["k"]);
    let ask = |path: &str| {
        let answer = gateway.ask("POST", path, &[&bearer(&key)], r#"{"model":"tiny"}"#);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (502, Some("application/json; charset=utf-8")),
            "{path}"
        );
        answer.json()
    };
    let words = |text: &Value| {
        let text = text.as_str().unwrap().to_owned();
        assert!(text.contains("cannot be reached") && text.contains("Ollama"), "{text}");
        assert!(!text.contains("127.0.0.1"), "where it is is not for callers: {text}");
    };
    words(&ask("/api/chat")["error"]);
    let openai = ask("/v1/chat/completions");
    words(&openai["error"]["message"]);
    assert_eq!(openai["error"]["type"], "api_error");
    let anthropic = ask("/v1/messages");
    words(&anthropic["error"]["message"]);
    assert_eq!((&anthropic["type"], &anthropic["error"]["type"]), (&json!("error"), &json!("api_error")));
}

fn limit_files(gateway: &Gateway, bytes: Option<u64>) {
    let pid = Pid::from_raw(gateway.child().pid().cast_signed());
    let maximum = getrlimit(Resource::Fsize).maximum;
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
}

#[test]
fn a_full_disk_refuses_changes_and_loses_no_data() {
    let upstream = Recorder::start();
    // As where the disk is full, writing fails; the signal that comes with it here is not of a full disk.
    let mut gateway = Gateway::start_within(&upstream.url(), "trap '' XFSZ");
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let key = gateway.key(&device, &["k", "--scope", "inference,models:read,keys"]);
    let made = create(&gateway, &key, "before").json()["key"].as_str().unwrap().to_owned();
    limit_files(&gateway, Some(0));
    for _ in 0..3 {
        let refused = create(&gateway, &key, "lost");
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(
            refused.text().contains("nothing was changed") && refused.header("retry-after").is_some(),
            "{}",
            refused.text()
        );
    }
    // Who is let in does not depend on the disk.
    assert_eq!(gateway.ask("GET", "/api/tags", &[&bearer(&made)], "").status, 200);
    let output = device.command(["keys", "create", "lost"]).run();
    assert_eq!(output.code(), 7, "{}", output.stderr());
    limit_files(&gateway, None);
    let after = create(&gateway, &key, "after");
    assert_eq!(after.status, 201, "{}", after.text());
    gateway.end(rustix::process::Signal::KILL);
    gateway.restart();
    let names: Vec<String> = {
        let list = gateway.ask("GET", "/api/user/keys", &[&bearer(&key)], "").json();
        list["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
    };
    assert!(
        !names.contains(&"lost".to_owned())
            && names.contains(&"before".to_owned())
            && names.contains(&"after".to_owned()),
        "{names:?}"
    );
}

/// Somebody looks into the database with a tool of their own, and leaves it locked.
#[test]
fn a_locked_database_delays_only_changes() {
    let upstream = Recorder::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let key = gateway.key(&gateway.device_of("ada"), &["k", "--scope", "inference,models:read,keys"]);
    let script = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
        db.execute('BEGIN EXCLUSIVE')\n\
        print('locked', flush=True)\n\
        sys.stdin.read()\n";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut holder = std::process::Command::new(tool("python3"))
        .args(["-c", script])
        .arg(gateway.database())
        .env("PATH", path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    holder.stdout.as_mut().unwrap().read_exact(&mut [0; 7]).unwrap();
    let answers = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| create(&gateway, &key, "lost"));
        // Meanwhile everybody else goes on.
        let mut served = 0;
        while !waiting.is_finished() {
            assert_eq!(gateway.ask("GET", "/api/tags", &[&bearer(&key)], "").status, 200);
            served += 1;
        }
        (waiting.join().unwrap(), served)
    });
    assert_eq!((answers.0.status, answers.1 > 0), (503, true), "{}", answers.0.text());
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert_eq!(create(&gateway, &key, "after").status, 201);
}

fn sign_in(gateway: &Gateway, name: &str, password: &str, from: &str) -> Answer {
    let between = |text: &str, from: &str| {
        text.split_once(from).and_then(|(_, rest)| rest.split_once(['"', ';'])).unwrap().0.to_owned()
    };
    let from = format!("X-Forwarded-For: {from}");
    let form = gateway.ask("GET", "/login", &[&from], "");
    let cookie = form.headers.iter().find(|(name, _)| name == "set-cookie").unwrap().1.clone();
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());
    let token = between(form.text(), "name=\"csrf\" value=\"");
    let body = format!("csrf={token}&name={name}&password={}", password.replace(' ', "+"));
    gateway.ask("POST", "/login", &[&from, &cookie, "Content-Type: application/x-www-form-urlencoded"], &body)
}

/// Wrong guesses are refused, and soon without a check of the password; its owner still signs in from another address.
#[test]
fn wrong_passwords_lock_out_only_their_account_and_address() {
    let mut gateway = Gateway::start_with("http://127.0.0.1:9", &["--set", "trusted-proxies=127.0.0.1"]);
    gateway.add_user("ada", "member");
    let refused = std::cell::Cell::new(0);
    let sign_in = |password: &str, from: &str| {
        let answer = sign_in(&gateway, "ada", password, from);
        refused.set(refused.get() + i64::from(answer.status != 303));
        answer
    };
    let mut statuses = std::collections::BTreeMap::new();
    for number in 0..50 {
        let answer = sign_in(&format!("wrong {number}"), "192.0.2.1");
        *statuses.entry(answer.status).or_insert(0) += 1;
        if answer.status == 429 {
            let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=60).contains(&wait), "{wait} s");
        }
    }
    assert_eq!(statuses.values().sum::<i32>(), 50);
    assert!(
        statuses.keys().all(|status| [401, 429].contains(status)) && statuses[&429] > statuses[&401],
        "{statuses:?}"
    );
    // Nor does the guesser get in now with the right one; but its owner does, at once.
    assert_eq!(sign_in(PASSWORD, "192.0.2.1").status, 429);
    assert_eq!(sign_in(PASSWORD, "192.0.2.2").status, 303);
    // From where they are known they get in even while guesses come from many places.
    for last in 10..50 {
        sign_in("wrong", &format!("192.0.2.{last}"));
    }
    assert_eq!(sign_in(PASSWORD, "192.0.2.2").status, 303);
    // Each is counted. Of the addresses the first are told apart.
    gateway.end(rustix::process::Signal::TERM);
    let audit = gateway.admin(&["audit", "--user", "ada", "--json"]).expect_code(0).json();
    let all = audit["events"].as_array().unwrap();
    let of = |action: &str| all.iter().filter(|event| event["action"] == action).collect::<Vec<_>>();
    let (failed, throttled) = (of("user.sign_in_failed"), of("user.sign_in_throttled"));
    let count: i64 = failed.iter().chain(&throttled).map(|event| event["count"].as_i64().unwrap()).sum();
    assert_eq!(count, refused.get(), "{audit:#}");
    let firsts = |events: &[&Value]| events.iter().filter(|event| event["first"].is_null()).count();
    assert!((2..=17).contains(&firsts(&failed)) && (2..=17).contains(&firsts(&throttled)), "{audit:#}");
    assert!(failed.iter().any(|event| event["address"] == "192.0.2.1" && event["subject"] == "ada"), "{audit:#}");
    assert!(failed.iter().any(|event| event["address"] == "" && event["subject"] == "ada"), "{audit:#}");
    assert!(!audit.to_string().contains("wrong 1"), "{audit:#}");
}

/// Each check takes 19 MiB for a moment; glibc would keep them in the arenas of the threads that did the checks.
#[test]
fn wrong_passwords_from_many_addresses_do_not_grow_the_gateway() {
    let gateway = Gateway::start_with("http://127.0.0.1:9", &["--set", "trusted-proxies=127.0.0.1"]);
    let before = resident(&gateway);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let gateway = &gateway;
            scope.spawn(move || {
                for number in 0..10 {
                    let from = format!("192.0.{thread}.{number}");
                    assert_eq!(sign_in(gateway, &format!("nobody{thread}-{number}"), "wrong", &from).status, 401);
                }
            });
        }
    });
    let grown = resident(&gateway).saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB");
}
