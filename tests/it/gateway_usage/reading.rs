//! Who may read what was used, and in which form.

use rustix::process::Signal;
use serde_json::json;

use super::{CHAT, DONE, Reply, Step, Used, number};
use crate::harness::gateway::{Gateway, PASSWORD};
use crate::harness::http::Server;
use crate::harness::pages::{FORM, between, cookie};
use crate::harness::set_clock::SetClock;

fn used() -> Used {
    Used::start(|_: &_| Reply::ndjson([Step::send(DONE)]))
}

#[test]
fn a_key_sees_its_own_use_and_an_account_all_of_it() {
    let used = used();
    let (one, other) = (used.key(&["one", "--scope", "inference"]), used.key(&["other", "--scope", "inference"]));
    let reader = used.key(&["reader", "--scope", "usage:read"]);
    let manager = used.key(&["manager", "--scope", "usage:read,keys"]);
    assert_eq!(used.ask("/api/chat", &one, CHAT).status, 200);
    assert_eq!(used.ask("/api/chat", &other, CHAT).status, 200);
    used.rows(2, &[]);
    let read = |key: &str, query: &str| used.gateway.ask("GET", &format!("/api/usage?{query}"), &[key], "");
    let requests = |key: &str, query: &str| -> u64 {
        let answer = read(key, query).json();
        answer["data"].as_array().unwrap().iter().map(|row| number(row, "requests")).sum()
    };
    for range in ["24h", "7d", "30d"] {
        let query = format!("range={range}&group_by=model");
        assert_eq!(
            (requests(&one, &query), requests(&reader, &query), requests(&manager, &query)),
            (1, 0, 2),
            "{range}"
        );
    }
    assert_eq!(requests(&manager, "range=24h&group_by=hour"), 2);
    let row = &read(&one, "range=7d&group_by=key").json()["data"][0];
    assert_eq!((&row["credential_name"], number(row, "total_tokens")), (&json!("one"), 12), "{row}");
    for (query, status) in [
        ("scope=team", 403),
        ("scope=all", 400),
        ("range=1h", 400),
        ("group_by=cost", 400),
        ("range=30d&group_by=hour", 400),
    ] {
        assert_eq!(read(&manager, query).status, status, "{query}");
    }
    assert_eq!(used.gateway.ask("GET", "/api/usage", &[], "").status, 401);
}

#[test]
fn the_team_is_for_administrators_and_auditors() {
    let used = used();
    let key = used.key(&["one", "--scope", "inference"]);
    assert_eq!(used.ask("/api/chat", &key, CHAT).status, 200);
    used.rows(1, &[]);
    for (name, role, code) in [("root", "admin", 0), ("eve", "auditor", 0), ("bob", "member", 5)] {
        used.gateway.add_user(name, role);
        let device = used.gateway.device_of(name);
        let shown = device.command(["usage", "--team", "--json"]).run().expect_code(code);
        if code == 0 {
            let shown = shown.json();
            assert_eq!(
                (&shown["models"][0]["model"], &shown["models"][0]["tokens"]),
                (&json!("tiny:latest"), &json!(12.0)),
                "{shown}"
            );
            assert_eq!(shown["not_understood"], json!([]), "{shown}");
        }
        // A key has what it was given, whoever it belongs to.
        let team = |scopes: &str| {
            let key = format!("Authorization: Bearer {}", used.gateway.key(&device, &[scopes, "--scope", scopes]));
            used.gateway.ask("GET", "/api/usage?scope=team", &[&key], "").status
        };
        assert_eq!(team("usage:read,keys"), 403, "{name}");
    }
    for (scopes, status) in [(&["keys", "admin"][..], 403), (&["usage-read", "admin"][..], 200)] {
        let key = format!("Authorization: Bearer {}", key_of_the_pages(&used.gateway, "root", scopes));
        let answer = used.gateway.ask("GET", "/api/usage?scope=team", &[&key], "");
        assert_eq!(answer.status, status, "{scopes:?}: {}", answer.text());
    }
}

/// Some questions read much of the database.
#[test]
fn an_account_that_asks_too_often_waits() {
    let used = used();
    let (key, other) = (used.key(&["one", "--scope", "inference"]), used.key(&["two", "--scope", "usage:read"]));
    let paths = ["/api/usage", "/api/balance"];
    let mut asked = 0;
    let refused = loop {
        let answer = used.gateway.ask("GET", paths[asked % 2], &[[&key, &other][asked / 2 % 2]], "");
        if answer.status != 200 {
            break answer;
        }
        asked += 1;
        assert!(asked < 200, "never refused");
    };
    assert!(refused.status == 429 && asked >= 20, "{asked}: {}", refused.text());
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3).contains(&wait), "{wait}");
    // The pages count, too.
    let session = signed_in(&used.gateway, "ada");
    let pages = (0..200).map(|_| used.gateway.ask("GET", "/usage", &[&session], ""));
    let page = pages.into_iter().find(|page| page.status != 200).expect("a refusal");
    assert!(page.status == 429 && page.header("retry-after").is_some(), "{}", page.text());
    used.gateway.add_user("bob", "member");
    let device = used.gateway.device_of("bob");
    device.command(["usage", "--json"]).run().expect_code(0);
}

/// A key that a person gives away says nothing of what others use.
#[test]
fn a_key_is_told_of_shared_limits_but_not_what_others_use_of_them() {
    let used = used();
    used.gateway.admin(&["user", "limits", "ada", "--limit", "rpm=50"]).expect_code(0);
    let one = used.key(&["one", "--scope", "inference", "--limit", "rpm=10"]);
    let manager = used.key(&["manager", "--scope", "usage:read,keys"]);
    assert_eq!(used.ask("/api/chat", &one, CHAT).status, 200);
    let limits = |key: &str| used.gateway.ask("GET", "/api/balance", &[key], "").json()["limits"].clone();
    let (own, all) = (limits(&one), limits(&manager));
    assert_eq!(own.as_array().unwrap().len(), 2, "{own}");
    assert_eq!((&own[0]["limit"], &own[0]["used"]), (&json!(10), &json!(1)), "{own}");
    assert_eq!((&own[1]["limit"], own[1].get("used"), own[1].get("remaining")), (&json!(50), None, None), "{own}");
    assert_eq!((&all[0]["limit"], &all[0]["used"]), (&json!(50), &json!(1)), "{all}");
}

/// The client's own command shows both.
#[test]
fn the_client_shows_what_was_used_and_what_is_left() {
    let used = used();
    let key = used.gateway.key(&used.device, &["one", "--scope", "inference", "--limit", "rpm=10"]);
    assert_eq!(used.ask("/api/chat", &format!("Authorization: Bearer {key}"), CHAT).status, 200);
    used.rows(1, &[]);
    let command = used.device.command(["usage", "--json", "--host", &used.gateway.url()]).env("OLLAMA_API_KEY", &key);
    let shown = command.run().expect_code(0).json();
    assert_eq!((&shown["missing"], &shown["not_understood"]), (&json!([]), &json!([])), "{shown}");
    assert_eq!(shown["models"][0]["requests"], json!(1.0), "{shown}");
    let meter = &shown["balance"][0];
    assert_eq!((&meter["used"], &meter["limit"], &meter["left"]), (&json!(1.0), &json!(10.0), &json!(9.0)), "{shown}");
}

#[test]
fn a_rotation_continues_the_totals_of_the_key() {
    let used = used();
    let key = used.key(&["one", "--scope", "inference"]);
    assert_eq!(used.ask("/api/chat", &key, CHAT).status, 200);
    let list = used.gateway.ask("GET", "/api/user/keys", &[&key], "").json();
    let replaces = json!({ "replaces": list["keys"][0]["id"] }).to_string();
    let new = used.gateway.ask("POST", "/api/user/keys", &[&key, "Content-Type: application/json"], &replaces).json();
    let new = format!("Authorization: Bearer {}", new["key"].as_str().unwrap_or_else(|| panic!("{new}")));
    assert_eq!(used.ask("/api/chat", &new, CHAT).status, 200);
    let rows = used.rows(2, &["--by", "key"]);
    assert_eq!(rows.len(), 1, "{rows:?}");
    // The name is that of the newest key, whatever becomes of the first.
    let old = list["keys"][0]["id"].as_str().unwrap();
    used.gateway.admin(&["key", "revoke", old, "--yes"]).expect_code(0);
    let rows = used.rows(2, &["--by", "key"]);
    assert_eq!(rows[0]["credential"], json!(format!("key:{old}")), "{rows:?}");
    assert_eq!(rows[0]["credential_name"], json!("one"), "{rows:?}");
}

/// Dates are days of the gateway, not of the command: also where the day began in another month of UTC.
#[test]
fn dates_are_days_in_the_time_zone_of_the_gateway() {
    for (zone, at, is_november) in [
        ("Europe/Berlin", "2026-10-31T23:00:00Z", true),
        ("Europe/Berlin", "2026-11-30T23:00:00Z", false),
        ("America/New_York", "2026-11-01T03:58:00Z", false),
        ("America/New_York", "2026-12-01T04:58:00Z", true),
    ] {
        let clock = SetClock::at(jiff::Timestamp::now().as_second());
        let server = Server::start(|_: &_| Reply::ndjson([Step::send(DONE)]));
        let mut gateway =
            Gateway::start_with_within(&server.url(), &["--set", &format!("time-zone={zone}")], &clock.line());
        gateway.add_user("ada", "member");
        let device = gateway.device_of("ada");
        let key = format!("Authorization: Bearer {}", gateway.key(&device, &["job", "--scope", "inference"]));
        clock.run_from(at.parse::<jiff::Timestamp>().unwrap().as_second());
        assert_eq!(gateway.ask("POST", "/api/chat", &[&key], CHAT).status, 200);
        gateway.end(Signal::TERM).expect_code(0);
        let november = ["usage", "--json", "--since", "2026-11-01", "--until", "2026-12-01"];
        // From the database, with the configuration of the command.
        let config = gateway.sandbox().write("zone.toml", format!("time-zone = \"{zone}\"\n"));
        let config = format!("--config={}", config.display());
        let shown = gateway.admin(&[&november[..], &[&config]].concat()).expect_code(0).json();
        assert_eq!(
            (&shown["from"], &shown["until"], &shown["time_zone"]),
            (&json!("2026-11-01"), &json!("2026-12-01"), &json!(zone)),
            "{shown}"
        );
        assert_eq!(shown["usage"].as_array().unwrap().len(), usize::from(is_november), "{zone} {at}: {shown}");
    }
}

/// The command may have another configuration than the gateway that runs.
#[test]
fn a_running_gateway_says_its_time_zone() {
    let used = Used::start_with(|_: &_| Reply::ndjson([Step::send(DONE)]), &["--set", "time-zone=Asia/Kolkata"]);
    let key = used.key(&["one", "--scope", "inference"]);
    assert_eq!(used.ask("/api/chat", &key, CHAT).status, 200);
    used.rows(1, &[]);
    let shown = used.gateway.admin(&["usage", "--by", "day", "--json"]).expect_code(0).json();
    let today = jiff::Timestamp::now().in_tz("Asia/Kolkata").unwrap().date();
    assert_eq!(shown["time_zone"], json!("Asia/Kolkata"), "{shown}");
    let date: jiff::civil::Date = shown["until"].as_str().unwrap().parse().unwrap();
    assert!((date - today).get_days() <= 1, "{shown}");
    let short = used.gateway.admin(&["usage", "--since", "1d", "--json"]).expect_code(0).json();
    assert_eq!(short["time_zone"], json!("UTC"), "{short}");
    assert_eq!(number(&short["usage"][0], "requests"), 1, "{short}");
}

#[test]
fn the_table_and_the_csv_name_people_models_and_times() {
    let used = used();
    let key = used.key(&["=one, \"two\"", "--scope", "inference"]);
    assert_eq!(used.ask("/api/chat", &key, CHAT).status, 200);
    used.rows(1, &[]);
    let csv = used.gateway.admin(&["usage", "--by", "person,key", "--csv"]).expect_code(0);
    assert_eq!(csv.stdout().matches("\r\n").count(), 2, "{csv:?}");
    assert!(csv.stdout().ends_with("\r\n") && csv.stdout().matches('\n').count() == 2, "{csv:?}");
    let lines: Vec<&str> = csv.stdout().lines().collect();
    assert!(lines[0].starts_with("person,credential,name,requests,input_tokens"), "{csv:?}");
    assert!(
        lines[1].starts_with("ada,key:key_") && lines[1].contains(",\"'=one, \"\"two\"\"\",1,7,5,12,0,"),
        "{csv:?}"
    );
    let table = used.gateway.admin(&["usage", "--by", "day,model"]).expect_code(0);
    assert!(table.stdout().contains("tiny:latest"), "{table:?}");
    used.gateway.admin(&["usage", "--by", "day,hour"]).expect_code(2);
    used.gateway.admin(&["usage", "--since", "1d", "--until", "2d"]).expect_code(2);
    used.gateway.admin(&["usage", "--user", "nobody"]).expect_code(3);
    assert!(table.stderr().contains("(UTC)."), "{table:?}");
    let empty = used.gateway.admin(&["usage", "--until", "2020-01-01", "--since", "2019-01-01"]).expect_code(0);
    assert!(empty.stderr().contains("Nothing was used from 2019-01-01 until 2020-01-01 (UTC)."), "{empty:?}");
}

#[test]
fn the_page_of_all_exists_for_administrators_and_auditors_only() {
    let used = used();
    used.gateway.add_user("root", "admin").add_user("eve", "auditor");
    for (name, status) in [("ada", 404), ("eve", 200), ("root", 200)] {
        let session = signed_in(&used.gateway, name);
        let get = |path: &str| used.gateway.ask("GET", path, &[&session], "");
        assert_eq!(get("/admin/usage").status, status, "{name}");
        assert_eq!(get("/admin/usage?user=nobody").status, 404, "{name}");
        let own = get("/usage?range=%3Cscript%3E");
        assert!(own.status == 200 && !own.text().contains("<script"), "{}", own.text());
    }
    let key = used.key(&["<b>\"x", "--scope", "inference"]);
    assert_eq!(used.ask("/api/chat", &key, CHAT).status, 200);
    used.rows(1, &[]);
    for (name, path) in [("ada", "/usage"), ("root", "/admin/usage")] {
        let page = used.gateway.ask("GET", path, &[&signed_in(&used.gateway, name)], "");
        assert!(page.text().contains("&lt;b&gt;&quot;x") && !page.text().contains("<b>"), "{}", page.text());
    }
    assert_eq!(used.gateway.ask("GET", "/usage", &[], "").status, 303);
}

/// An API key that a person makes in a browser: a device cannot give it the scope `admin`.
fn key_of_the_pages(gateway: &Gateway, name: &str, scopes: &[&str]) -> String {
    let session = signed_in(gateway, name);
    let form = gateway.ask("GET", "/settings/keys/new", &[&session], "");
    let (token, id) =
        (between(form.text(), "name=\"csrf\" value=\"", "\""), between(form.text(), "name=\"id\" value=\"", "\""));
    let scopes: String = scopes.iter().map(|scope| format!("&scope-{scope}=on")).collect();
    let body = format!("csrf={token}&id={id}&name=k&expires=30{scopes}");
    let made = gateway.ask("POST", "/settings/keys", &[&session, FORM], &body);
    assert_eq!(made.status, 201, "{}", made.text());
    format!("olauth_{}", between(made.text(), ">olauth_", "<"))
}

/// The cookie of a person who has just signed in.
fn signed_in(gateway: &Gateway, name: &str) -> String {
    let form = gateway.ask("GET", "/login", &[], "");
    let token = between(form.text(), "name=\"csrf\" value=\"", "\"");
    let body = format!("csrf={token}&name={name}&password={}", PASSWORD.replace(' ', "+"));
    let signed_in = gateway.ask("POST", "/login", &[&cookie(&form, "visitor"), FORM], &body);
    assert_eq!(signed_in.status, 303, "{}", signed_in.text());
    cookie(&signed_in, "session")
}
