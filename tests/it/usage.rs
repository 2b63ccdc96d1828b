//! `usage`: whatever the host sends is shown as far as it can be understood, and told apart from a host that tells nothing.

use serde_json::{Value, json};

use crate::given::{says, sign_in, with_store};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{Cmd, Sandbox};
use crate::harness::http::{Reply, Server, Step};
use crate::harness::pty::Terminal;
use crate::harness::stock::{Account, Stock};

const KEY: &str = "a-key-with-usage-0123456789";

/// A host that answers so, to this key alone.
fn host(
    balance: impl Fn() -> Reply + Send + Sync + 'static,
    usage: impl Fn() -> Reply + Send + Sync + 'static,
) -> Server {
    Server::start(move |request| match (request.method.as_str(), request.path(), request.api_key()) {
        ("GET", "/api/balance", Some(KEY)) => balance(),
        ("GET", "/api/usage", Some(KEY)) => usage(),
        _ => Reply::json(401, r#"{"error":"unauthorized"}"#),
    })
}

fn sandbox() -> Sandbox {
    let mut sandbox = with_store("plaintext");
    sandbox.set_env("OLLAMA_API_KEY", KEY);
    sandbox
}

fn usage(sandbox: &Sandbox, server: &Server, args: &[&str]) -> Cmd {
    sandbox.command(["usage", "--host", &server.url()]).args(args)
}

fn balance() -> Value {
    json!({
        "plan": "pro",
        "session": {"used": 25, "limit": 100, "resets_at": "2030-01-02T03:04:05Z"},
        "weekly": {"used_percent": 80.5},
        "odd": {"strange": 7}
    })
}

fn models() -> Value {
    json!({"data": [
        {"model": "a", "requests": 3, "input_tokens": 1000, "output_tokens": 500},
        {"model": "b\u{1b}[2J", "requests": 1, "input_tokens": 10, "output_tokens": 5}
    ]})
}

#[test]
fn what_is_understood_is_shown_and_what_is_not_is_named() {
    let server = host(|| Reply::json(200, balance()), || Reply::json(200, models()));
    let sandbox = sandbox();
    let output = usage(&sandbox, &server, &[]).run().expect_code(0);
    for line in ["session  25    75    100  25%  2030-01-02 03:04 UTC", "a", "1,500"] {
        assert!(output.stdout().contains(line), "{line}\n{}", output.snapshot());
    }
    assert!(output.stdout().contains("80%") || output.stdout().contains("81%"));
    assert!(!output.stdout().contains('\u{1b}') && output.stdout().contains("^[[2J"));
    says(&output, &["not understood: balance.odd", "--json"]);
    let asked = server.requests();
    let query = ["range", "scope", "group_by"].map(|name| asked[1].query(name).unwrap());
    assert_eq!(query, ["7d", "self", "model"]);

    let found = usage(&sandbox, &server, &["--json", "--range", "30d", "--team"]).run().expect_code(0).json();
    assert_eq!((&found["raw"]["balance"], &found["raw"]["usage"]), (&balance(), &models()));
    assert_eq!(found["plan"], "pro");
    assert_eq!(found["balance"][0]["left"], json!(75.0));
    assert_eq!(found["models"][0]["tokens"], json!(1500.0));
    assert_eq!(found["not_understood"], json!(["balance.odd"]));
    let query = ["range", "scope"].map(|name| server.requests()[3].query(name).unwrap());
    assert_eq!(query, ["30d", "team"]);
    sandbox.command(["usage", "--range", "1y"]).run().expect_code(2);
}

#[test]
fn a_terminal_gets_bars() {
    let server = host(|| Reply::json(200, balance()), || Reply::json(200, models()));
    let terminal = Terminal::start_sized(&sandbox(), &["usage", "--host", &server.url()], 120, 24);
    let end = terminal.finish();
    assert_eq!(end.code, 0);
    assert!(end.screen.contains("[#####...............] 25%"), "{}", end.screen);
}

#[test]
fn malformed_answers_are_errors() {
    let sandbox = sandbox();
    for (body, code) in [
        ("null", 1),
        ("\"text\"", 1),
        ("7", 1),
        (r#"{"odd":{"strange":[1,2,3]}}"#, 1),
        (r#"{"\u001b[2J":7}"#, 1),
        ("not json", 1),
        ("", 1),
        ("{}", 0),
        ("[]", 0),
    ] {
        let server = host(move || Reply::json(200, body), move || Reply::json(200, body));
        let output = usage(&sandbox, &server, &[]).run().expect_code(code);
        assert!(!output.stderr().contains("panicked") && !output.stderr().contains('\u{1b}'), "{}", output.snapshot());
        let output = usage(&sandbox, &server, &["--json"]).run();
        if let Ok(raw) = serde_json::from_str::<Value>(body) {
            assert_eq!(output.expect_code(0).json()["raw"]["usage"], raw, "{body}");
        } else {
            output.expect_code(1);
        }
    }
    // As deep and as long as a host can make it.
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let server = host(move || Reply::json(200, &deep), || Reply::json(200, "{}"));
    usage(&sandbox, &server, &[]).run().expect_code(1);
    let wide =
        json!({ "data": (0..20_000).map(|n| json!({"model": n.to_string(), "requests": n})).collect::<Vec<_>>() });
    let server = host(|| Reply::json(200, "{}"), move || Reply::json(200, &wide));
    let output = usage(&sandbox, &server, &[]).run().expect_code(0);
    assert!(output.stdout().lines().count() < 300);
    let endless = || Reply::script(200, (0..2000).map(|_| Step::Send(vec![b' '; 64 << 10])));
    let server = host(endless, || Reply::json(200, "{}"));
    let output = usage(&sandbox, &server, &[]).run().expect_code(1);
    says(&output, &["cannot be understood", "an answer of more than"]);
}

#[test]
fn a_host_that_asks_to_wait_is_obeyed() {
    let server = host(|| Reply::retry_after(429, "17"), || Reply::json(200, models()));
    let output = usage(&sandbox(), &server, &[]).run().expect_code(7);
    says(&output, &["(429)", "try again in 17 s"]);
    assert_eq!(server.seen(), ["GET /api/balance"], "it is not asked again, nor for anything else");
    // A person waits a moment; once.
    let server = host(|| Reply::retry_after(429, "1"), || Reply::json(200, models()));
    usage(&sandbox(), &server, &[]).run().expect_code(7);
    assert_eq!(server.requests().len(), 1);
    let terminal = Terminal::start(&sandbox(), &["usage", "--host", &server.url()]);
    assert_eq!(terminal.finish().code, 7);
    let asked = server.requests();
    assert_eq!(asked.len(), 3);
    assert!(asked[2].at - asked[1].at >= std::time::Duration::from_secs(1));
}

#[test]
fn a_host_without_usage_endpoints_reports_nothing() {
    let sandbox = sandbox();
    for status in [404, 405] {
        let server = host(move || Reply::json(status, "{}"), move || Reply::json(status, "{}"));
        let output = usage(&sandbox, &server, &[]).run().expect_code(1);
        says(&output, &["does not tell what is used", "--host ollama.com"]);
    }
    let stock = Stock::start(Account::SignedIn);
    let output = sandbox.command(["usage", "--host", &stock.url()]).run().expect_code(1);
    says(&output, &["neither /api/balance nor /api/usage"]);
    // One of them is better than none.
    let server = host(|| Reply::json(404, "{}"), || Reply::json(200, models()));
    let output = usage(&sandbox, &server, &[]).run().expect_code(0);
    says(&output, &["has no /api/balance"]);
    assert_eq!(usage(&sandbox, &server, &["--json"]).run().expect_code(0).json()["missing"], json!(["balance"]));
}

#[test]
fn refusals_keep_their_exit_codes() {
    let sandbox = sandbox();
    for (status, code) in [(401, 4), (403, 5), (500, 1), (503, 7)] {
        let server = host(move || Reply::json(status, r#"{"error":"no"}"#), || Reply::json(200, "{}"));
        let output = usage(&sandbox, &server, &["-vv"]).run().expect_code(code);
        assert_eq!(output.stdout(), "");
        sandbox.assert_no_secret(KEY, &[&output], &[]);
    }
    let server = host(|| Reply::redirect(307, "http://127.0.0.1:9/"), || Reply::json(200, "{}"));
    usage(&sandbox, &server, &[]).run().expect_code(1);
    let (nobody, cloud) = (with_store("plaintext"), Cloud::start());
    let output = nobody.command(["usage", "--host", &cloud.url()]).run().expect_code(4);
    says(&output, &["not signed in"]);
    assert!(cloud.server().requests().is_empty());
    // A device key may be refused for no more than being none of the kind that is wanted.
    sign_in(&nobody, &cloud, &[]);
    cloud.inject("/api/balance", crate::harness::cloud::Fault::Status(401));
    says(&nobody.command(["usage"]).run().expect_code(4), &["signin --with-api-key --host"]);
}

/// The names in the first column of the tables of a document.
fn documented(name: &str) -> std::collections::BTreeSet<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned())).collect()
}

#[test]
fn the_documents_list_the_members_that_are_printed() {
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    let server = host(|| Reply::json(200, balance()), || Reply::json(200, models()));
    let sandbox = sandbox();
    let found = usage(&sandbox, &server, &["--json"]).run().expect_code(0).json();
    assert_eq!(names(&found), documented("usage.md"));
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/usage.md");
    let text = std::fs::read_to_string(path).unwrap();
    for name in names(&found["balance"][0]).iter().chain(&names(&found["models"][0])) {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
    let token = sandbox.command(["token", "--json"]).run().expect_code(0).json();
    assert_eq!(names(&token), documented("token.md"));
}

#[test]
fn a_budget_shows_what_is_left_and_when_it_renews() {
    let limits = json!({ "limits": [
        { "name": "your account: tokens per day", "limit": 1_000_000, "used": 1234, "remaining": 998_766, "unit": "tokens",
          "resets_at": "2030-01-02T03:04:05Z" },
        { "name": "this key: tokens per hour", "limit": 5000, "unit": "tokens", "resets_at": "2030-01-02T03:04:05Z" },
        { "name": "group lab: tokens per month", "limit": 10, "used": 12, "remaining": 0, "unit": "tokens",
          "resets_at": "2030-01-02T03:04:05Z" },
    ] });
    let server = host(move || Reply::json(200, &limits), || Reply::json(404, "{}"));
    let mut sandbox = sandbox();
    sandbox.set_env("TZ", "Europe/Berlin");
    let output = usage(&sandbox, &server, &[]).run().expect_code(0);
    let rows: Vec<Vec<&str>> = output
        .stdout()
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    for row in [
        [
            "your account: tokens per day",
            "1,234 tokens",
            "998,766 tokens",
            "1,000,000 tokens",
            "0%",
            "2030-01-02 04:04 CET",
        ],
        ["this key: tokens per hour", "-", "-", "5,000 tokens", "-", "2030-01-02 04:04 CET"],
        ["group lab: tokens per month", "12 tokens", "0 tokens", "10 tokens", "120%", "2030-01-02 04:04 CET"],
    ] {
        assert!(rows.iter().any(|found| found == &row), "{row:?}\n{}", output.snapshot());
    }
    let found = usage(&sandbox, &server, &["--json"]).run().expect_code(0).json();
    assert_eq!((&found["balance"][1]["used"], &found["balance"][1]["limit"]), (&Value::Null, &json!(5000.0)));
    assert_eq!(found["not_understood"], json!([]));
}
