//! The maintenance message: who is told of it and how, what is refused meanwhile, and that every gateway on a database has it.

mod client;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Gate, Reply, Server, Step};
use crate::harness::poll;
use crate::harness::postgres::Postgres;
use crate::harness::set_clock::SetClock;

const MESSAGE: &str = "new GPU \u{2713} 100%";
const ENCODED: &str = "new GPU %E2%9C%93 100%25";
/// The routes that run models.
const ROUTES: [&str; 5] = ["/api/chat", "/api/generate", "/v1/chat/completions", "/v1/messages", "/v1/responses"];

/// An upstream server, a gateway with the administrator root and the member ada, a device of hers, and the header of a key.
struct Given {
    gateway: Gateway,
    device: Sandbox,
    key: String,
    upstream: Server,
}

impl Given {
    fn start() -> Self {
        Self::before(|| Reply::json(200, r#"{"models":[]}"#).header("X-Ollama-Auth-Notice", "of the upstream server"))
    }

    fn before(answer: impl Fn() -> Reply + Send + Sync + 'static) -> Self {
        let upstream = Server::start(move |_| answer());
        let gateway = Gateway::start(&upstream.url());
        gateway.add_user("root", "admin").add_user("ada", "member");
        let device = gateway.device_of("ada");
        let key = header(&gateway, &device);
        Self { gateway, device, key, upstream }
    }

    fn ask(&self, method: &str, target: &str) -> Answer {
        ask(&self.gateway, &self.key, method, target)
    }

    fn maintenance(&self, args: &[&str]) -> Value {
        maintenance(&self.gateway, args)
    }

    fn events(&self, filter: &[&str]) -> Vec<Value> {
        let events = self.gateway.admin(&[&["audit", "--json"], filter].concat()).expect_code(0).json();
        events["events"].as_array().unwrap().clone()
    }
}

fn header(gateway: &Gateway, device: &Sandbox) -> String {
    let scopes = "--scope=inference,models:read,keys";
    format!("Authorization: Bearer {}", gateway.key(device, &["k", scopes, "--host", &gateway.url()]))
}

fn ask(gateway: &Gateway, key: &str, method: &str, target: &str) -> Answer {
    let body = if method == "POST" { "{}" } else { "" };
    gateway.ask(method, target, &[key, "Content-Type: application/json"], body)
}

fn maintenance(gateway: &Gateway, args: &[&str]) -> Value {
    gateway.admin(&[&["maintenance"], args, &["--json"]].concat()).expect_code(0).json()
}

fn notice(answer: &Answer) -> Option<&str> {
    answer.header("x-ollama-auth-notice")
}

#[test]
fn every_answer_to_an_accepted_credential_has_the_notice() {
    let given = Given::start();
    assert_eq!(notice(&given.ask("GET", "/api/tags")), None, "an upstream server cannot speak for the administrator");
    let set = given.maintenance(&["on", "--message", MESSAGE]);
    assert_eq!((&set["message"], &set["refuses"], &set["until"]), (&json!(MESSAGE), &json!(false), &Value::Null));
    assert!(set["since"].is_number(), "{set}");
    assert_eq!(given.maintenance(&["show"]), set);
    for (method, target, status) in [
        ("GET", "/api/tags", 200),
        ("POST", "/api/chat", 200),
        ("POST", "/api/me", 200),
        ("GET", "/api/user/keys", 200),
        ("POST", "/api/pull", 403),
        ("DELETE", "/api/user/keys/eA", 400),
    ] {
        let answer = given.ask(method, target);
        assert_eq!((answer.status, notice(&answer)), (status, Some(ENCODED)), "{method} {target}: {}", answer.text());
    }
    // Strangers are told nothing.
    for (key, target) in
        [("Accept: */*", "/api/tags"), ("Authorization: Bearer olauth_x", "/api/tags"), ("Accept: */*", "/")]
    {
        let answer = ask(&given.gateway, key, "GET", target);
        assert_eq!((notice(&answer), answer.text().contains("GPU")), (None, false), "{target}: {}", answer.text());
    }
    let login = given.gateway.ask("GET", "/login", &[], "");
    assert!(!login.text().contains("GPU"));
    let page = given.gateway.browse(&format!("{}/settings/keys", given.gateway.url()), "ada", "Nothing");
    assert!([page.stdout(), page.stderr()].concat().contains(MESSAGE), "{}", page.stdout());

    // The same again is no second event; another one replaces it.
    given.maintenance(&["on", "--message", MESSAGE]);
    given.maintenance(&["on", "--message", "other"]);
    assert_eq!(notice(&given.ask("GET", "/api/tags")), Some("other"));
    assert_eq!(given.maintenance(&["off"])["message"], Value::Null);
    given.maintenance(&["off"]);
    assert_eq!(notice(&given.ask("GET", "/api/tags")), None);
    let events = given.events(&["--action", "maintenance"]);
    let told: Vec<_> =
        events.iter().map(|event| (event["action"].as_str(), event["details"]["message"].as_str())).collect();
    let (started, ended) = (Some("maintenance.started"), Some("maintenance.ended"));
    assert_eq!(told, [(ended, Some("other")), (started, Some("other")), (started, Some(MESSAGE))]);
}

#[test]
fn with_refuse_nothing_is_forwarded_and_the_error_says_why_in_the_callers_dialect() {
    let given = Given::start();
    let admin = header(&given.gateway, &given.gateway.device_of("root"));
    given.maintenance(&["on", "--message", MESSAGE, "--refuse", "--until", "2h"]);
    let before = given.upstream.requests().len();
    let says = format!("this gateway is under maintenance: {MESSAGE}; try again in 2 hours");
    for key in [&given.key, &admin] {
        for route in ROUTES {
            let refused = ask(&given.gateway, key, "POST", route);
            let body = refused.json();
            let error = body["error"].as_str().or(body["error"]["message"].as_str());
            assert_eq!((refused.status, error), (503, Some(&*says)), "{route}: {body}");
            let code = body["code"].as_str().or(body["error"]["code"].as_str());
            assert_eq!((code, notice(&refused)), (Some("maintenance"), Some(ENCODED)), "{route}: {body}");
            let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
            assert!((7100..=7200).contains(&wait), "{wait}");
            assert_eq!(refused.header("x-should-retry"), Some("false"));
        }
        assert_eq!(ask(&given.gateway, key, "GET", "/api/tags").status, 503);
    }
    assert_eq!(given.upstream.requests().len(), before, "nothing is forwarded");
    // A right that is missing is said first, and accounts and pages can be used.
    assert_eq!(given.ask("POST", "/api/pull").status, 403);
    assert_eq!([given.ask("POST", "/api/me").status, given.ask("GET", "/api/user/keys").status], [200; 2]);
    assert_eq!(
        [("/", 200), ("/readyz", 200)].map(|(path, status)| given.gateway.ask("GET", path, &[], "").status == status),
        [true; 2]
    );
    let recorded = poll("the refusals", || {
        let found = given.events(&["--code", "maintenance"]);
        (!found.is_empty()).then_some(found)
    });
    assert_eq!(recorded[0]["action"], "request.denied");
    // Without an end it does not say when to try again.
    given.maintenance(&["on", "--message", MESSAGE, "--refuse"]);
    let refused = given.ask("POST", "/api/chat");
    assert_eq!((refused.status, refused.header("retry-after")), (503, None));
    given.maintenance(&["off"]);
    assert_eq!(given.ask("POST", "/api/chat").status, 200);
}

#[test]
fn responses_under_way_continue() {
    let gate = Gate::new();
    let held = gate.clone();
    let given = Given::before(move || {
        Reply::ndjson([Step::send("{\"n\":1}\n"), Step::WaitFor(held.clone()), Step::send("{\"n\":2}\n")])
    });
    std::thread::scope(|scope| {
        let sent = given.upstream.requests().len();
        let running = scope.spawn(|| given.ask("POST", "/api/chat"));
        given.upstream.wait_requests(sent + 1);
        given.maintenance(&["on", "--message", "x", "--refuse"]);
        assert_eq!(given.ask("POST", "/api/chat").status, 503);
        gate.open();
        assert_eq!(running.join().unwrap().text().lines().count(), 2);
    });
}

#[test]
fn it_ends_by_itself_and_that_is_recorded_once() {
    let clock = SetClock::at(jiff::Timestamp::now().as_second());
    let upstream = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
    let gateway = Gateway::start_within(&upstream.url(), &clock.line());
    gateway.add_user("root", "admin").add_user("ada", "member");
    let device = gateway.device_of("ada");
    let key = header(&gateway, &device);
    maintenance(&gateway, &["on", "--message", "short", "--refuse", "--until", "30m"]);
    assert_eq!(ask(&gateway, &key, "POST", "/api/chat").status, 503);
    clock.pass(1801);
    let answer = ask(&gateway, &key, "POST", "/api/chat");
    assert_eq!((answer.status, notice(&answer)), (200, None));
    assert_eq!(maintenance(&gateway, &["show"])["message"], Value::Null);
    let ended = poll("the event", || {
        let events = gateway.admin(&["audit", "--json", "--action", "maintenance.ended"]).expect_code(0).json();
        clock.pass(61);
        (!events["events"].as_array().unwrap().is_empty()).then_some(events)
    });
    assert_eq!((ended["events"].as_array().unwrap().len(), &ended["events"][0]["actor"]), (1, &json!("gateway")));
}

#[test]
fn it_outlives_a_restart_and_is_copied_to_another_database() {
    let mut given = Given::start();
    given.gateway.end(Signal::TERM);
    // Without a gateway the command changes the file.
    given.maintenance(&["on", "--message", MESSAGE, "--refuse"]);
    given.gateway.restart();
    assert_eq!(given.ask("POST", "/api/chat").status, 503);
    given.gateway.end(Signal::TERM);
    let sandbox = given.gateway.sandbox();
    let (from, to) = (given.gateway.database(), sandbox.path("copy.db"));
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    sandbox.command(["gateway", "db", "copy", from, to]).run().expect_code(0);
    let shown = sandbox.command(["gateway", "maintenance", "show", "--json", "--database", to]).run().expect_code(0);
    assert_eq!((&shown.json()["message"], &shown.json()["refuses"]), (&json!(MESSAGE), &json!(true)));
}

#[test]
fn what_cannot_be_a_message_is_said() {
    let given = Given::start();
    let long = "x".repeat(201);
    for (args, says) in [
        (&["--message", "a\nb"][..], "invalid message"),
        (&["--message", " "], "invalid message"),
        (&["--message", "a\u{1b}[2J"], "invalid message"),
        (&["--message", &long], "at most 200 characters"),
        (&["--message", "x", "--until", "2020-01-01"], "would end in the past"),
        (&["--message", "x", "--until", "0s"], "would end in the past"),
        (&["--message", "x", "--until", "soon"], "expected a duration"),
        (&[], "--message"),
    ] {
        let output = given.gateway.admin(&[&["maintenance", "on"], args].concat()).expect_code(2);
        let says = says.replace("at most 200", "1 to 200");
        assert!(
            output.stderr().contains(&says) && !output.stderr().contains('\u{1b}'),
            "{args:?}: {}",
            output.stderr()
        );
    }
    assert_eq!(given.maintenance(&["show"])["message"], Value::Null);
}

#[test]
fn gateways_on_one_database_have_the_same_message() {
    let (upstream, database) = (Server::start(|_| Reply::json(200, r#"{"models":[]}"#)), Postgres::shared().database());
    let one = Gateway::start_on(&database, &upstream.url(), &[]);
    let other = Gateway::start_on(&database, &upstream.url(), &[]);
    one.add_user("root", "admin").add_user("ada", "member");
    let key = header(&one, &one.device_added_to("ada"));
    for (args, status, told) in [
        (&["on", "--message", "x"][..], 200, Some("x")),
        (&["on", "--message", "y", "--refuse"], 503, Some("y")),
        (&["off"], 200, None),
    ] {
        maintenance(&one, args);
        for gateway in [&one, &other] {
            poll("the message", || {
                let answer = ask(gateway, &key, "POST", "/api/chat");
                ((answer.status, notice(&answer)) == (status, told)).then_some(())
            });
        }
    }
    // One that starts later has it, too.
    maintenance(&other, &["on", "--message", "z", "--refuse"]);
    let third = Gateway::start_on(&database, &upstream.url(), &[]);
    assert_eq!(ask(&third, &key, "POST", "/api/chat").status, 503);
}
