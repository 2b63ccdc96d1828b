//! What was used: the page of a person, and that of administrators.

use jiff::Timestamp;

use super::looks::Inspection;
use super::{assert_quiet, sign_in_as_ada};
use crate::harness::chromium::Chromium;
use crate::harness::gateway::Gateway;
use crate::harness::http::{Reply, Request, Server, Step};
use crate::harness::poll;
use crate::harness::set_clock::SetClock;

/// Days of which something is used.
const DAYS: i64 = 31;
const DAY: i64 = 86_400;

/// Different numbers of tokens, and now and then an error.
fn answer(request: &Request) -> Reply {
    let text = request.text();
    let number: u64 = text.split("n=").nth(1).and_then(|rest| rest.split('"').next()?.parse().ok()).unwrap_or(0);
    match number % 11 {
        7 => Reply::json(500, r#"{"error":"out of memory"}"#),
        5 => Reply::ndjson([
            Step::send("{\"done\":false,\"message\":{\"content\":\"a\"}}\n"),
            Step::send("{\"error\":\"stopped\"}\n"),
        ]),
        _ => {
            let (input, output) = (400 + number * 37 % 900, 900 + number * 113 % 2600);
            Reply::ndjson([Step::send(format!(
                "{{\"done\":true,\"prompt_eval_count\":{input},\"eval_count\":{output}}}\n"
            ))])
        }
    }
}

#[test]
fn the_usage_of_a_person_and_of_all() {
    let upstream = Server::start(answer);
    let now = Timestamp::now().as_second();
    let clock = SetClock::at(now);
    let gateway = Gateway::start_with_within(&upstream.url(), &["--set", "time-zone=Europe/Berlin"], &clock.line());
    gateway.add_user("ada", "admin").add_user("grace", "member");
    let keys = ["ada", "grace"].map(|name| {
        let device = gateway.device_of(name);
        let name = format!("{name}'s nightly \u{202e}summaries <b>");
        ["short", &name]
            .map(|name| format!("Authorization: Bearer {}", gateway.key(&device, &[name, "--scope", "inference"])))
    });
    let mut count = 0_u64;
    for day in 0..DAYS {
        clock.run_from(now - (DAYS - 1 - day) * DAY);
        for request in 0..1 + (day * 5) % 4 {
            count += 1;
            let key = &keys[usize::from(request % 3 == 2)][usize::from(count.is_multiple_of(2))];
            let model = ["llama3.2", "qwen3:30b-a3b-instruct-2507-q4_K_M", "gemma3"][count as usize % 3];
            let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"n={count}"}}]}}"#);
            gateway.ask("POST", "/api/chat", &[key], &body);
        }
    }
    poll("all to be counted", || {
        let rows = gateway.admin(&["usage", "--since", "60d", "--json"]).expect_code(0).json();
        let sum: u64 = rows["usage"].as_array().unwrap().iter().map(|row| row["requests"].as_u64().unwrap()).sum();
        (sum == count).then_some(())
    });

    let page = Chromium::start();
    let mut seen = Inspection::default();
    sign_in_as_ada(&page, &gateway);
    page.press("Usage");
    assert_eq!(page.text("h1"), "Your usage");
    assert!(
        page.text("main").contains("llama3.2:latest") && !page.text("main").contains("grace"),
        "{}",
        page.text("main")
    );
    seen.look(&page, "usage");
    page.press("24 hours");
    seen.look(&page, "usage-hours");
    page.press("400 days");
    seen.look(&page, "usage-long");
    page.press("Admin");
    page.open(&format!("{}/admin/usage", gateway.url()));
    assert!(page.text("main").contains("grace"), "{}", page.text("main"));
    page.click(&page.labelled("The same as a table"));
    seen.look(&page, "admin-usage");
    page.press("grace");
    assert_eq!(page.text("h1"), "Usage of grace");
    seen.look(&page, "admin-usage-person");
    gateway.admin(&["user", "remove", "grace", "--yes"]).expect_code(0);
    page.open(&format!("{}/admin/usage", gateway.url()));
    assert!(page.text("main").contains("removed account"), "{}", page.text("main"));
    page.open(&format!("{}/usage?range=24h", gateway.url()));
    assert_quiet(&page);
    seen.end();
}
