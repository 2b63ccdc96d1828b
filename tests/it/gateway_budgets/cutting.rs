//! What becomes of a stream that uses up its budget.

use super::{Budgeted, CHAT, NOON, Reply, Request, Step, at, done, token};
use crate::harness::http::Gate;
use crate::harness::poll;

/// Ten tokens, then what is to come only if the gateway does not cut it off.
fn tokens(request: &Request, gate: &Gate) -> Reply {
    let event = |text: &str| -> String {
        match request.path() {
            "/v1/chat/completions" => format!(
                "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
            ),
            "/v1/messages" => format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
            ),
            "/v1/responses" => format!(
                "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"delta\":\"{text}\"}}\n\n"
            ),
            _ => token(text),
        }
    };
    let kind = if request.path().starts_with("/v1/") { "text/event-stream" } else { "application/x-ndjson" };
    let steps = (0..10).map(|at| Step::send(event(&format!("t{at}"))));
    let end = [Step::WaitFor(gate.clone()), Step::send(done(5, 10))];
    Reply::script(200, steps.chain(end)).header("content-type", kind)
}

#[test]
fn with_cut_the_stream_ends_with_an_error_of_its_api_and_the_upstream_server_stops() {
    let gate = Gate::new();
    let held = gate.clone();
    let tables = "[roles.member.limits]\ntokens-per-day = 5\non-exceed = \"cut\"\n";
    let given = Budgeted::start(tables, move |request: &Request| tokens(request, &held));
    let body = r#"{"model":"tiny","stream":true,"messages":[],"prompt":"","input":""}"#;
    for (day, (route, begin)) in [
        ("/api/chat", "{\"error\":\"the budget of your account, 5 tokens per day, is used up"),
        ("/v1/chat/completions", "data: {\"error\":{"),
        ("/v1/messages", "event: error\ndata: {"),
        ("/v1/responses", "data: {\"error\":{"),
    ]
    .into_iter()
    .enumerate()
    {
        given.clock.run_from(at(NOON) + i64::try_from(day).unwrap() * 86_400);
        let key = given.key(&["k"]);
        let answer = given.ask(route, &key, body);
        let text = answer.text();
        assert_eq!(answer.status, 200, "{route}: {text}");
        assert!(text.contains("t4") && !text.contains("eval_count"), "{route}: {text}");
        let error = text.find(begin).unwrap_or_else(|| panic!("{route}: {text}"));
        // It is a message of its own.
        assert!(text[..error].ends_with('\n') && text.ends_with('\n'), "{route}: {text}");
        assert!(text[error..].contains("\"code\":\"budget\""), "{route}: {text}");
        assert!(text[error..].contains("rate_limit_error") || route == "/api/chat", "{route}: {text}");
        assert_eq!(given.run(&key), 429);
    }
    poll("the records", || {
        let shown = given.gateway.admin(&["usage", "--since", "30d", "--json"]).expect_code(0).json();
        let row = shown["usage"].as_array().unwrap().first()?.clone();
        (row["requests"] == 4 && row["cut_off"] == 4).then_some(())
    });
    gate.open();
}

#[test]
fn without_it_the_stream_goes_on_and_the_next_request_is_refused() {
    let gate = Gate::new();
    gate.open();
    let given =
        Budgeted::start("[roles.member.limits]\ntokens-per-day = 5\n", move |request: &Request| tokens(request, &gate));
    let key = given.key(&["k"]);
    let answer = given.ask("/api/chat", &key, CHAT);
    assert!(answer.text().ends_with(&done(5, 10)), "{}", answer.text());
    assert_eq!(given.run(&key), 429);
}

#[test]
fn a_request_under_way_counts_with_what_it_has_used_so_far() {
    let gate = Gate::new();
    let held = gate.clone();
    let given = Budgeted::start("[roles.member.limits]\ntokens-per-day = 10\n", move |request: &Request| {
        tokens(request, &held)
    });
    let key = given.key(&["k"]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| given.ask("/api/chat", &key, CHAT));
        poll("ten tokens", || {
            let shown = given.device.command(["usage", "--json"]).run().json();
            (shown["balance"][0]["used"].as_f64()? >= 10.0).then_some(())
        });
        assert_eq!(given.run(&key), 429);
        gate.open();
        assert_eq!(first.join().unwrap().status, 200);
    });
}

#[test]
fn a_message_is_never_cut_in_half() {
    let gate = Gate::new();
    let held = gate.clone();
    let tables = "[roles.member.limits]\ntokens-per-day = 2\non-exceed = \"cut\"\n";
    let given = Budgeted::start(tables, move |_: &Request| {
        let (one, other) = (token("first"), token("second"));
        let (begin, end) = other.split_at(30);
        let steps = [
            Step::send(one + begin),
            Step::send(end.to_owned() + &token("third") + "{\"model"),
            Step::WaitFor(held.clone()),
        ];
        Reply::ndjson(steps)
    });
    let key = given.key(&["k"]);
    let answer = given.ask("/api/chat", &key, CHAT);
    let lines: Vec<serde_json::Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["code"], "budget", "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.get("message").is_some()).count(), 3, "{lines:?}");
    gate.open();
}

#[test]
fn a_whole_response_is_never_cut() {
    let tables = "[roles.member.limits]\ntokens-per-day = 2\non-exceed = \"cut\"\n";
    let given = Budgeted::start(tables, super::hundred);
    let key = given.key(&["k"]);
    let answer = given.ask("/v1/chat/completions", &key, CHAT);
    assert_eq!(answer.json()["usage"]["total_tokens"], 100);
    assert_eq!(given.run(&key), 429);
}
