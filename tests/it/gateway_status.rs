//! `gateway status`: whether a gateway is well, what is wrong where it is not, and that it answers whatever does not.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::gateway_tls::Authority;
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::http::{Gate, Reply, Server};
use crate::harness::poll;
use crate::harness::postgres::Postgres;

/// What does not answer is waited for 2.5 seconds; the rest is for a machine with much to do.
const SOON: Duration = Duration::from_secs(10);

fn upstream() -> Server {
    Server::start(|_| Reply::json(200, json!({ "version": "0.99.1" })))
}

fn codes(problems: &Value) -> Vec<String> {
    let all = problems.as_array().unwrap().iter();
    all.map(|problem| problem["code"].as_str().unwrap().to_owned()).collect()
}

/// The report of the only gateway.
fn report(output: &Output) -> Value {
    let answer = output.json();
    assert_eq!(answer["gateways"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(answer["problems"], json!([]));
    assert_eq!(answer["well"], answer["gateways"][0]["well"]);
    answer["gateways"][0].clone()
}

#[test]
fn a_gateway_that_is_well_says_so() {
    let upstream = upstream();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "admin");
    let header = format!("Authorization: Bearer {}", "olauth_".to_owned() + &"a".repeat(40));
    assert_eq!(gateway.ask("GET", "/api/tags", &[&header], "").status, 401);
    let is_refused = || Some(gateway.admin(&["audit", "--json"]).json()).filter(|log| log["events"][1].is_object());
    poll("the refusal", is_refused);

    let output = gateway.admin(&["status"]).expect_code(0);
    let shown = output.stdout();
    assert!(shown.starts_with("The gateway is well\n"), "{shown}");
    for text in ["0.99.1", "SQLite", &upstream.url(), "1 person, 0 devices, 0 API keys", "unknown_key", "127.0.0.1"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(shown.lines().count() <= 30, "{shown}");
    assert_eq!(output.stderr(), "");

    let report = report(&gateway.admin(&["status", "--json"]).expect_code(0));
    assert_eq!((&report["well"], &report["problems"]), (&json!(true), &json!([])));
    assert_eq!(report["upstream"], json!({ "url": upstream.url(), "up": true, "version": "0.99.1" }));
    assert_eq!((&report["database"]["readable"], &report["database"]["gateways"]), (&json!(true), &json!(1)));
    assert!(report["database"]["bytes"].as_u64().unwrap() > 4096, "{report}");
    assert_eq!((&report["certificate"], &report["replica"]), (&Value::Null, &Value::Null));
    assert_eq!((&report["directory"]["people"], &report["usage_waiting"]), (&json!(1), &json!(0)));
    assert_eq!(report["event_log"]["size"], json!(2));
    assert_eq!(report["event_log"]["signing"], json!({ "on": true, "problem": null, "message": null }));
    assert_eq!(report["last_refusals"][0]["code"], json!("unknown_key"));
    assert_eq!(report["last_refusals"][0]["address"], json!("127.0.0.1"));
    assert!(report["limits"]["connections"]["limit"].as_u64().unwrap() > 0, "{report}");
    assert!(report["at"].as_i64().unwrap() >= report["started_at"].as_i64().unwrap());
    if cfg!(target_os = "linux") {
        assert!(report["memory"]["resident"].as_u64().unwrap() > 1 << 20, "{report}");
    }
}

#[test]
fn an_upstream_server_that_does_not_run_is_named() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::start(&format!("http://{address}"));
    gateway.add_user("ada", "admin");
    let output = gateway.admin(&["status"]).expect_code(8);
    let said = format!("the upstream server http://{address} does not answer");
    assert!(output.stdout().starts_with("1 problem\n") && output.stdout().contains(&said), "{}", output.stdout());
    let report = report(&gateway.admin(&["status", "--json"]).expect_code(8));
    assert_eq!(codes(&report["problems"]), ["upstream-unreachable"]);
    assert_eq!(report["upstream"]["up"], json!(false));
}

#[test]
fn an_upstream_server_that_never_answers_keeps_no_one_waiting() {
    let gate = Gate::new();
    let closed = gate.clone();
    let upstream = Server::start(move |_| Reply::json(200, "{}").after(&closed));
    let gateway = Gateway::start(&upstream.url());
    let began = Instant::now();
    let report = report(&gateway.admin(&["status", "--json"]).expect_code(8));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(codes(&report["problems"]), ["upstream-unreachable"]);
    gate.open();
    let is_well = || (gateway.admin(&["status"]).code() == 0).then_some(());
    poll("the upstream server", is_well);
}

#[test]
fn a_gateway_that_does_not_run_has_no_status() {
    let upstream = upstream();
    let mut gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "admin");
    gateway.end(Signal::TERM);
    for more in [&[][..], &["--json"]] {
        let refused = gateway.admin(&[&["status"], more].concat()).expect_code(1);
        assert!(refused.stderr().contains("the gateway is not running"), "{}", refused.stderr());
        assert_eq!(refused.stdout(), "");
    }
}

/// Although no checkpoint is due.
#[test]
fn a_wrong_signing_key_shows_when_the_gateway_starts() {
    let upstream = upstream();
    let mut gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "admin");
    let is_signed = |gateway: &Gateway| {
        let report = report(&gateway.admin(&["status", "--json"]).expect_code(0));
        (report["event_log"]["last_checkpoint"]["size"] == json!(1)).then_some(())
    };
    poll("the checkpoint", || is_signed(&gateway));
    gateway.end(Signal::TERM);
    std::fs::remove_file(format!("{}.audit-key", gateway.database().display())).unwrap();
    gateway.restart();
    let found = poll("the problem", || {
        let output = gateway.admin(&["status", "--json"]);
        (output.code() == 8).then(|| report(&output))
    });
    assert_eq!(codes(&found["problems"]), ["signing-other-key"]);
    assert_eq!(found["event_log"]["signing"]["problem"], json!("other-key"));
    let shown = gateway.admin(&["status"]).expect_code(8);
    assert!(shown.stdout().contains("signed with another key"), "{}", shown.stdout());
    // What it says to do helps.
    gateway.admin(&["audit", "new-log", "--reason", "the key is lost"]).expect_code(0);
    poll("the next checkpoint", || (gateway.admin(&["status"]).code() == 0).then_some(()));
}

#[test]
fn a_certificate_that_expires_soon_is_told() {
    let (upstream, authority) = (upstream(), Authority::new());
    let gateway = authority.serve(&upstream.url(), &[]);
    // It is valid for two days.
    let report = report(&gateway.admin(&["status", "--json"]).expect_code(8));
    assert_eq!(codes(&report["problems"]), ["certificate-expiring"]);
    assert!([1, 2].contains(&report["certificate"]["days_left"].as_i64().unwrap()), "{report}");
    let hint = report["problems"][0]["hint"].as_str().unwrap();
    assert!(hint.contains(&format!("kill -HUP {}", report["process"])), "{hint}");
}

#[test]
fn a_sink_that_takes_nothing_is_told_and_how_far_it_is_behind() {
    let (upstream, kept) = (upstream(), Sandbox::new());
    let folder = kept.path("missing");
    let path = folder.join("events.jsonl");
    let text = format!("[[audit-sink]]\nname = \"siem\"\nto = \"file\"\npath = \"{}\"\n", path.display());
    let config = kept.write("gateway.toml", text);
    let gateway = Gateway::start_with(&upstream.url(), &["--config", config.to_str().unwrap()]);
    gateway.add_user("ada", "admin").add_user("bob", "member");
    let failing = poll("the sink's problem", || {
        let output = gateway.admin(&["status", "--json"]);
        let found = (output.code() == 8).then(|| report(&output))?;
        Some(found).filter(|found| found["sinks"][0]["lag"] == json!(2))
    });
    assert_eq!(codes(&failing["problems"]), ["sink-failing"]);
    assert_eq!(failing["sinks"][0]["name"], json!("siem"));
    assert!(failing["problems"][0]["message"].as_str().unwrap().contains(path.to_str().unwrap()), "{failing}");
    std::fs::create_dir(&folder).unwrap();
    poll("the sink", || {
        let output = gateway.admin(&["status", "--json"]);
        let is_well = (output.code() == 0).then(|| report(&output))?;
        (is_well["sinks"][0]
            == json!({ "name": "siem", "target": format!("file {}", path.display()), "lag": 0, "error": null }))
        .then_some(())
    });
}

/// A name that a person chose for an account cannot write to the terminal.
#[test]
fn untrusted_text_is_shown_harmlessly() {
    let upstream = upstream();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "admin");
    gateway.admin(&["maintenance", "on", "--message", "soon \u{202e}<b>"]).expect_code(0);
    let output = gateway.admin(&["status"]).expect_code(0);
    assert!(output.stdout().contains("Maintenance"), "{}", output.stdout());
    assert!(!output.stdout().contains('\u{202e}'), "{}", output.stdout());
    let report = report(&gateway.admin(&["status", "--json"]).expect_code(0));
    assert_eq!(report["maintenance"], json!({ "message": "soon \u{202e}<b>", "refuses": false, "until": null }));
}

/// A database that someone changes beside the gateway, so that it cannot be read.
#[tokio::test]
async fn an_event_log_that_cannot_be_read_is_no_reason_to_fail() {
    let upstream = upstream();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "admin");
    let options = SqliteConnectOptions::new().filename(gateway.database());
    let mut connection = options.connect().await.unwrap();
    sqlx::query("ALTER TABLE users RENAME TO hidden").execute(&mut connection).await.unwrap();
    sqlx::query("ALTER TABLE audit_logs RENAME TO hidden_logs").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let output = poll("the problem", || Some(gateway.admin(&["status", "--json"])).filter(|output| output.code() == 8));
    let report = report(&output);
    assert_eq!(codes(&report["problems"])[0], "database-unreadable", "{report}");
    assert_eq!((&report["event_log"]["size"], &report["directory"]["people"]), (&Value::Null, &json!(1)));
    gateway.admin(&["status"]).expect_code(8);
}

#[test]
fn all_gateways_of_the_machine_report_also_without_their_database() {
    let (upstream, server) = (upstream(), Postgres::start());
    let database = server.database();
    let one = Gateway::start_on(&database, &upstream.url(), &[]);
    let other = one.start_beside(&upstream.url());
    one.add_user("ada", "admin");
    let counted = poll("both gateways", || {
        let answer = one.admin(&["status", "--json"]).expect_code(0).json();
        let counts = |gateway: &Value| gateway["database"]["gateways"] == json!(2);
        answer["gateways"].as_array().unwrap().iter().all(counts).then_some(answer.clone())
    });
    let listens: Vec<_> =
        counted["gateways"].as_array().unwrap().iter().map(|gateway| gateway["listen"].clone()).collect();
    assert_eq!(listens.len(), 2);
    assert!(listens.contains(&json!(one.address())) && listens.contains(&json!(other.address())), "{listens:?}");
    assert_eq!(counted["gateways"][0]["database"]["engine"], json!("postgresql"));

    server.freeze();
    let frozen = poll("the database's problem", || {
        let began = Instant::now();
        let output = one.admin(&["status", "--json"]);
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        let answer = output.json();
        let has = |gateway: &Value| codes(&gateway["problems"]) == ["database-unreadable"];
        answer["gateways"].as_array().unwrap().iter().all(has).then(|| output.code())
    });
    assert_eq!(frozen, 8);
    server.thaw();
}
