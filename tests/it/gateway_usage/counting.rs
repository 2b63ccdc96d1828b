//! How responses are counted, by their end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;
use serde_json::json;

use super::{CHAT, DONE, Reply, Step, Used, number, token};
use crate::harness::http::{Gate, Request};

fn ndjson(steps: Vec<Step>) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    move |_| Reply::ndjson(steps.clone())
}

#[test]
fn a_complete_response_counts_what_the_upstream_server_says() {
    let used = Used::start(ndjson(vec![Step::send(token("a")), Step::send(token("b")), Step::send(DONE)]));
    let key = used.key(&["job", "--scope", "inference"]);
    assert_eq!(used.ask("/api/chat", &key, CHAT).status, 200);
    let row = &used.rows(1, &["--by", "person,key,model"])[0];
    assert_eq!(
        (&row["person"], &row["model"], &row["credential_name"]),
        (&json!("ada"), &json!("tiny:latest"), &json!("job")),
        "{row}"
    );
    assert!(row["credential"].as_str().unwrap().starts_with("key:key_"), "{row}");
    for (member, expected) in
        [("input_tokens", 7), ("output_tokens", 5), ("total_tokens", 12), ("estimated_tokens", 0), ("failed", 0)]
    {
        assert_eq!(number(row, member), expected, "{member}: {row}");
    }
    assert_eq!(number(row, "bytes") as usize, token("a").len() + token("b").len() + DONE.len());
}

#[test]
fn a_response_that_breaks_off_is_counted_as_cut_and_estimated() {
    let used = Used::start(ndjson(vec![Step::send(token("a")), Step::send(token("b")), Step::Cut]));
    let key = used.key(&["job", "--scope", "inference"]);
    used.gateway.raw(format!(
        "POST /api/chat HTTP/1.1\r\nHost: {}\r\n{key}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{CHAT}",
        used.gateway.address(),
        CHAT.len()
    ));
    let row = &used.rows(1, &[])[0];
    assert_eq!((number(row, "cut_off"), number(row, "failed"), number(row, "output_tokens")), (1, 0, 2), "{row}");
    assert_eq!(number(row, "estimated_tokens"), number(row, "total_tokens"));
}

#[test]
fn an_error_within_a_stream_and_an_error_status_are_failures() {
    let used = Used::start(|request: &Request| match request.json()["model"].as_str() {
        Some("none") => Reply::json(404, json!({ "error": "model 'none' not found" })),
        _ => Reply::ndjson([Step::send(token("a")), Step::send("{\"error\":\"out of memory\"}\n")]),
    });
    let key = used.key(&["job", "--scope", "inference"]);
    assert_eq!(used.ask("/api/chat", &key, CHAT).status, 200);
    assert_eq!(used.ask("/api/chat", &key, r#"{"model":"none"}"#).status, 404);
    let mut rows = used.rows(2, &["--by", "model"]);
    rows.sort_by_key(|row| row["model"].as_str().unwrap().to_owned());
    // A name that the upstream server does not know is not kept.
    assert_eq!(
        (&rows[0]["model"], number(&rows[0], "failed"), number(&rows[0], "total_tokens")),
        (&json!(""), 1, 0),
        "{rows:?}"
    );
    assert_eq!((&rows[1]["model"], number(&rows[1], "failed")), (&json!("tiny:latest"), 1), "{rows:?}");
}

#[test]
fn a_caller_that_leaves_is_counted_with_what_came_so_far() {
    let gate = Gate::new();
    let held = gate.clone();
    let used =
        Used::start(move |_| Reply::ndjson([Step::send(token("a")), Step::WaitFor(held.clone()), Step::send(DONE)]));
    let key = used.key(&["job", "--scope", "inference"]);
    let mut caller = TcpStream::connect(used.gateway.address()).unwrap();
    write!(
        caller,
        "POST /api/chat HTTP/1.1\r\nHost: {}\r\n{key}\r\nContent-Length: {}\r\n\r\n{CHAT}",
        used.gateway.address(),
        CHAT.len()
    )
    .unwrap();
    read_until(&mut caller, &token("a"));
    drop(caller);
    let row = &used.rows(1, &[])[0];
    assert_eq!((number(row, "cancelled"), number(row, "output_tokens")), (1, 1), "{row}");
    gate.open();
}

#[test]
fn what_was_counted_last_is_written_when_the_gateway_ends() {
    let mut used = Used::start(ndjson(vec![Step::send(DONE)]));
    let key = used.key(&["job", "--scope", "inference"]);
    for _ in 0..3 {
        assert_eq!(used.ask("/api/chat", &key, CHAT).status, 200);
    }
    used.gateway.end(Signal::TERM).expect_code(0);
    // Read from the database.
    let shown = used.gateway.admin(&["usage", "--json"]).expect_code(0).json();
    assert_eq!(number(&shown["usage"][0], "requests"), 3, "{shown}");
}

#[test]
fn a_stream_of_chat_completions_is_asked_for_its_usage_and_the_caller_gets_what_it_asked_for() {
    let chunk = |text: &str| {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"tiny\",\"system_fingerprint\":\"fp_ollama\",\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
        )
    };
    let usage = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"tiny\",\"system_fingerprint\":\"fp_ollama\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}\n\n";
    let done = "data: [DONE]\n\n";
    let (first, second) = (chunk("a"), chunk("b"));
    let (plain, asked) = (format!("{first}{second}{done}"), format!("{first}{second}{usage}{done}"));
    let (sent_plain, sent_asked) = (plain.clone(), asked.clone());
    let used = Used::start(move |request: &Request| {
        let text = if request.json()["stream_options"]["include_usage"] == true { &sent_asked } else { &sent_plain };
        Reply::script(200, [Step::send(text.clone())]).header("content-type", "text/event-stream")
    });
    let key = used.key(&["job", "--scope", "inference"]);
    let limited = used.key(&["limited", "--scope", "inference", "--model", "tiny"]);
    let body =
        |more: &str| format!(r#"{{"model":"tiny","stream":true,"messages":[{{"role":"user","content":"hi"}}]{more}}}"#);
    for key in [&key, &limited] {
        assert_eq!(used.ask("/v1/chat/completions", key, &body("")).text(), plain);
        assert_eq!(
            used.ask("/v1/chat/completions", key, &body(r#","stream_options":{"include_usage":false}"#)).text(),
            plain
        );
        assert_eq!(
            used.ask("/v1/chat/completions", key, &body(r#","stream_options":{"include_usage":true}"#)).text(),
            asked
        );
    }
    let rows = used.rows(6, &["--by", "key"]);
    for row in &rows {
        assert_eq!(
            (number(row, "input_tokens"), number(row, "output_tokens"), number(row, "estimated_tokens")),
            (27, 6, 0),
            "{row}"
        );
    }
    assert!(used.server.requests().iter().all(|request| request.json()["stream_options"]["include_usage"] == true));
}

#[test]
fn what_is_still_open_when_the_gateway_ends_is_counted_as_cut() {
    let gate = Gate::new();
    let held = gate.clone();
    let reply =
        move |_: &Request| Reply::ndjson([Step::send(token("a")), Step::WaitFor(held.clone()), Step::send(DONE)]);
    let mut used = Used::start_with(reply, &["--set", "drain-timeout=0s"]);
    let key = used.key(&["job", "--scope", "inference"]);
    let mut caller = TcpStream::connect(used.gateway.address()).unwrap();
    let request = request(&used, &key);
    caller.write_all(request.as_bytes()).unwrap();
    read_until(&mut caller, &token("a"));
    used.gateway.end(Signal::TERM).expect_code(0);
    let shown = used.gateway.admin(&["usage", "--json"]).expect_code(0).json();
    let row = &shown["usage"][0];
    assert_eq!((number(row, "requests"), number(row, "cut_off"), number(row, "output_tokens")), (1, 1, 1), "{shown}");
    gate.open();
}

fn request(used: &Used, key: &str) -> String {
    let (address, length) = (used.gateway.address(), CHAT.len());
    format!("POST /api/chat HTTP/1.1\r\nHost: {address}\r\n{key}\r\nContent-Length: {length}\r\n\r\n{CHAT}")
}

fn read_until(caller: &mut TcpStream, text: &str) {
    let (mut begin, mut piece) = (Vec::new(), [0; 1024]);
    while !crate::harness::contains(&begin, text.trim_end().as_bytes()) {
        let count = caller.read(&mut piece).unwrap();
        begin.extend_from_slice(&piece[..count]);
    }
}
