//! `gateway top`: who streams what, and ending one response.

use serde_json::{Value, json};

use crate::harness::cmd::{Child, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::http::{Gate, Reply, Server, Step};
use crate::harness::poll;
use crate::harness::postgres::Postgres;
use crate::harness::pty::Terminal;
use crate::harness::tool;

const PIECES: &str = "{\"model\":\"tiny:latest\",\"response\":\"a\"}\n{\"model\":\"tiny:latest\",\"response\":\"b\"}\n";

/// A server that begins answers to `/api/generate`, goes on once the gate opens, and begins others then only.
fn upstream(gate: &Gate) -> Server {
    let gate = gate.clone();
    Server::start(move |request| match request.path() {
        "/api/generate" => {
            Reply::ndjson([Step::send(PIECES), Step::WaitFor(gate.clone()), Step::send("{\"done\":true}\n")])
        }
        "/api/tags" => Reply::json(200, json!({ "models": [] })),
        _ => Reply::json(200, "{}").after(&gate),
    })
}

/// A new person's key.
fn key(gateway: &Gateway, name: &str) -> String {
    gateway.add_user(name, "member");
    let device = gateway.device_added_to(name);
    format!("Authorization: Bearer {}", gateway.key(&device, &["nightly", "--scope", "inference,models:read"]))
}

fn curl(sandbox: &Sandbox, gateway: &Gateway, header: &str, path: &str) -> Child {
    let url = format!("{}{path}", gateway.url());
    let args = ["-N", "-sS", "--noproxy", "*", "-w", "%{http_code}", "--header", header, "--data", "{}", &url];
    sandbox.program(tool("curl"), args).spawn()
}

fn listed(gateway: &Gateway) -> Vec<Value> {
    let output = gateway.admin(&["top", "--json"]).expect_code(0);
    output.json()["streams"].as_array().unwrap().clone()
}

#[test]
fn responses_under_way_are_shown_and_one_is_ended() {
    let gate = Gate::new();
    let upstream = upstream(&gate);
    let gateway = Gateway::start(&upstream.url());
    let (ada, bob, sandbox) = (key(&gateway, "ada"), key(&gateway, "bob"), Sandbox::new());
    assert_eq!(listed(&gateway), Vec::<Value>::new());

    let first = curl(&sandbox, &gateway, &ada, "/api/generate");
    first.wait_stdout(|text| text == PIECES);
    let second = curl(&sandbox, &gateway, &bob, "/api/generate");
    second.wait_stdout(|text| text == PIECES);
    // The model is loading, as it were: nothing has come back.
    let third = curl(&sandbox, &gateway, &bob, "/api/chat");
    let streams = poll("the third request", || Some(listed(&gateway)).filter(|streams| streams.len() == 3));
    let shown = |name: &str| streams.iter().map(|stream| stream[name].clone()).collect::<Vec<_>>();
    assert_eq!(shown("user"), ["ada", "bob", "bob"]);
    assert_eq!(shown("route"), ["/api/generate", "/api/generate", "/api/chat"]);
    assert_eq!(shown("model"), [json!("tiny:latest"), json!("tiny:latest"), Value::Null]);
    assert_eq!(
        (shown("messages"), shown("bytes")),
        (vec![json!(2), json!(2), json!(0)], vec![json!(PIECES.len()), json!(PIECES.len()), json!(0)])
    );
    assert_eq!((shown("address")[0].as_str(), shown("name")[0].as_str()), (Some("127.0.0.1"), Some("nightly")));
    assert!(shown("credential")[0].as_str().unwrap().starts_with("key:key_"));

    let ids = shown("id");
    let begins = &ids[0].as_str().unwrap()[..12];
    let ended = gateway.admin(&["top", "--end", begins, "--reason", "too \u{1b}[2Jlong"]).expect_code(0);
    assert!(ended.stderr().contains("Ended the request") && ended.stderr().contains("of ada"), "{}", ended.stderr());
    let output = first.finish();
    assert_eq!(
        (output.code(), output.stdout()),
        (18, format!("{PIECES}200").as_str()),
        "cut, so that it is not taken for whole"
    );
    gateway.admin(&["top", "--end", ids[2].as_str().unwrap()]).expect_code(0);
    let output = third.finish().expect_code(0);
    assert!(output.stdout().contains("an administrator has ended this request"), "{}", output.stdout());
    assert!(output.stdout().ends_with("410"), "{}", output.stdout());
    // The other one of the same account goes on.
    gate.open();
    assert!(second.finish().expect_code(0).stdout().ends_with("{\"done\":true}\n200"));

    let events = gateway.admin(&["audit", "--action", "request.ended", "--json"]).expect_code(0).json();
    let event = &events["events"][1];
    assert_eq!((&event["actor"], &event["subject"]), (&json!("admin"), &shown("credential")[0]), "{event}");
    let details = event.to_string();
    assert!(details.contains("too \\u001b[2Jlong") && details.contains(ids[0].as_str().unwrap()), "{details}");
    assert_eq!(listed(&gateway), Vec::<Value>::new());
}

/// Which would go on with what was ended.
#[test]
fn a_client_that_waits_for_its_turn_does_not_send_an_ended_request_again() {
    let gate = Gate::new();
    let closed = gate.clone();
    let upstream = Server::start(move |request| match request.path() {
        "/api/generate" => Reply::json(200, "{}").after(&closed),
        _ => Reply::json(200, json!({ "capabilities": ["completion"], "details": {}, "model_info": {} })),
    });
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_added_to("ada");
    let run = device.command(["run", "--wait", "tiny", "why?"]).spawn();
    let is_waiting = || listed(&gateway).into_iter().find(|stream| stream["route"] == "/api/generate");
    let stream = poll("the request", is_waiting);
    gateway.admin(&["top", "--end", stream["id"].as_str().unwrap()]).expect_code(0);
    let output = run.finish().expect_code(1);
    assert!(output.stderr().contains("an administrator has ended this request"), "{}", output.stderr());
    assert_eq!(upstream.count("POST", "/api/generate"), 1);
    gate.open();
}

#[test]
fn a_response_that_is_not_there_is_not_ended() {
    let gate = Gate::new();
    let upstream = upstream(&gate);
    let mut gateway = Gateway::start(&upstream.url());
    let (header, sandbox) = (key(&gateway, "ada"), Sandbox::new());
    let open = curl(&sandbox, &gateway, &header, "/api/generate");
    open.wait_stdout(|text| text == PIECES);
    let id = listed(&gateway)[0]["id"].as_str().unwrap().to_owned();
    // Too short to be meant, of nothing, and empty.
    for wrong in [&id[..3], "zzzzzzzz", ""] {
        let refused = gateway.admin(&["top", "--end", wrong]).expect_code(3);
        assert!(refused.stderr().contains("gateway top --once"), "{wrong:?}: {}", refused.stderr());
    }
    gate.open();
    open.finish().expect_code(0);
    gateway.admin(&["top", "--end", &id]).expect_code(3);
    gateway.end(rustix::process::Signal::TERM);
    for more in [&["--json"][..], &["--end", &id]] {
        let refused = gateway.admin(&[&["top"], more].concat()).expect_code(1);
        assert!(refused.stderr().contains("the gateway is not running"), "{}", refused.stderr());
    }
}

/// Which cuts off nothing by itself.
#[test]
fn responses_are_also_ended_where_they_outlive_their_credential() {
    let gate = Gate::new();
    let upstream = upstream(&gate);
    let gateway = Gateway::start_with(&upstream.url(), &["--set", "cut-streams=false"]);
    let (header, sandbox) = (key(&gateway, "ada"), Sandbox::new());
    let open = curl(&sandbox, &gateway, &header, "/api/generate");
    open.wait_stdout(|text| text == PIECES);
    gateway.add_user("eve", "admin");
    gateway.admin(&["user", "disable", "ada"]).expect_code(0);
    let id = listed(&gateway)[0]["id"].as_str().unwrap().to_owned();
    gateway.admin(&["top", "--end", &id]).expect_code(0);
    assert_eq!(open.finish().code(), 18);
}

#[test]
fn all_gateways_of_the_machine_are_shown_also_without_their_database() {
    let gate = Gate::new();
    let (upstream, server) = (upstream(&gate), Postgres::start());
    let database = server.database();
    let one = Gateway::start_on(&database, &upstream.url(), &[]);
    let other = one.start_beside(&upstream.url());
    let (header, sandbox) = (key(&one, "ada"), Sandbox::new());
    poll("the key at the other gateway", || {
        (other.ask("GET", "/api/tags", &[&header], "").status == 200).then_some(())
    });
    let first = curl(&sandbox, &one, &header, "/api/generate");
    first.wait_stdout(|text| text == PIECES);
    let second = curl(&sandbox, &other, &header, "/api/generate");
    second.wait_stdout(|text| text == PIECES);
    server.freeze();
    let streams = listed(&one);
    let of = |gateway: &Gateway| {
        let is_its = |stream: &&Value| stream["gateway"].as_str().unwrap().contains(&gateway.address());
        streams.iter().find(is_its).unwrap_or_else(|| panic!("{streams:?}"))["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(streams.len(), 2);
    assert_ne!(of(&one), of(&other));
    one.admin(&["top", "--end", &of(&other)]).expect_code(0);
    assert_eq!(second.finish().code(), 18);
    server.thaw();
    gate.open();
    first.finish().expect_code(0);
}

#[test]
fn a_terminal_is_renewed_until_ctrl_c() {
    let gate = Gate::new();
    let upstream = upstream(&gate);
    let gateway = Gateway::start(&upstream.url());
    let (header, sandbox) = (key(&gateway, "ada"), Sandbox::new());
    let database = gateway.database();
    let args = ["gateway", "top", "--database", database.to_str().unwrap()];
    let mut terminal = Terminal::start(gateway.sandbox(), &args);
    terminal.wait_text("No response is under way.");
    let open = curl(&sandbox, &gateway, &header, "/api/generate");
    let screen = terminal.wait_text("tiny:latest");
    assert!(screen.lines().next().unwrap().starts_with("ID ") && !screen.contains("No response"), "{screen}");
    gate.open();
    open.finish().expect_code(0);
    let screen = terminal.wait_text("No response is under way.");
    assert!(!screen.contains("tiny"), "{screen}");
    terminal.send("\x03");
    let finished = terminal.finish();
    assert!(finished.code == 0 && finished.restored && !finished.hidden_cursor, "{finished:?}");
}
