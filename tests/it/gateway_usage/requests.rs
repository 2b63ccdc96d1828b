//! Counting reads requests, and never changes or refuses one.

use super::{CHAT, DONE, Reply, Step, Used, number};

/// What reaches the upstream server is what was sent, whatever it is.
#[test]
fn a_request_is_forwarded_as_it_came_whatever_it_holds() {
    let used = Used::start(|_: &_| Reply::ndjson([Step::send(DONE)]));
    let key = used.key(&["job", "--scope", "inference"]);
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let long = format!(r#"{{"model":"tiny","messages":[{{"role":"user","content":"{}"}}]}}"#, "x".repeat(20 << 20));
    let bodies = [
        "",
        "{",
        "not json",
        r#"{"model":1}"#,
        r#"{"model":"a","model":"b","MODEL":"c"} trailing"#,
        &deep,
        &long,
        CHAT,
    ];
    for body in bodies {
        assert_eq!(used.ask("/api/chat", &key, body).status, 200, "{:.40}", body);
    }
    for (request, body) in used.server.requests().iter().zip(bodies) {
        assert!(request.text() == body, "{:.40}", body);
    }
    // The response names the model of a request that was not read.
    let by_model = used.rows(bodies.len() as u64, &["--by", "model"]);
    assert!(by_model.iter().any(|row| row["model"] == "tiny:latest" && number(row, "requests") >= 5), "{by_model:?}");
    let rows = used.rows(bodies.len() as u64, &[]);
    // The upstream server has said what each took.
    assert_eq!((number(&rows[0], "input_tokens"), number(&rows[0], "estimated_tokens")), (7 * bodies.len() as u64, 0));
}

/// It says no length and is not read: what passed of it is known at the end.
#[test]
fn a_long_request_of_unknown_length_is_estimated_by_its_length() {
    let reply = |_: &_| Reply::json(200, r#"{"embedding":[0.5]}"#);
    let used = Used::start_with(reply, &["--set", "max-scanned-body=1KiB"]);
    let key = used.key(&["job", "--scope", "inference"]);
    let body = format!(r#"{{"model":"tiny","prompt":"{}"}}"#, "words ".repeat(20_000));
    let (begin, rest) = body.split_at(700);
    let request = format!(
        "POST /api/embeddings HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{key}\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{begin}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
        used.gateway.address(),
        begin.len(),
        rest.len(),
    );
    let answer = used.gateway.raw(request);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert!(used.server.requests()[0].text() == body);
    let rows = used.rows(1, &[]);
    assert_eq!(number(&rows[0], "input_tokens"), body.len() as u64 / 4, "{rows:?}");
}

#[test]
fn without_counting_nothing_is_read_and_nothing_counted() {
    let used = Used::start_with(|_: &_| Reply::ndjson([Step::send(DONE)]), &["--set", "usage=false"]);
    let key = used.key(&["job", "--scope", "inference"]);
    let body = r#"{"model":"tiny","stream":true}"#;
    assert_eq!(used.ask("/v1/chat/completions", &key, body).status, 200);
    assert_eq!(used.server.requests()[0].text(), body);
    assert!(used.rows(0, &[]).is_empty());
}

#[test]
fn a_refused_request_is_counted_apart() {
    let used = Used::start(|_: &_| Reply::ndjson([Step::send(DONE)]));
    let key = used.key(&["job", "--scope", "inference", "--limit", "rpm=1"]);
    assert_eq!(used.ask("/api/chat", &key, CHAT).status, 200);
    for _ in 0..2 {
        assert_eq!(used.ask("/api/chat", &key, CHAT).status, 429);
    }
    let row = crate::harness::poll("the refusals", || {
        let rows = used.rows(1, &[]);
        (number(&rows[0], "refused") == 2).then(|| rows[0].clone())
    });
    assert_eq!(number(&row, "requests"), 1, "{row}");
}

/// The answer to a request that is asked for its usage has no length only if something may be taken out.
#[test]
fn an_error_keeps_its_length() {
    let used = Used::start(|_: &_| Reply::json(404, r#"{"error":{"message":"model 'x' not found"}}"#));
    let key = used.key(&["job", "--scope", "inference"]);
    let answer = used.ask("/v1/chat/completions", &key, r#"{"model":"x","stream":true}"#);
    assert_eq!((answer.status, answer.header("content-length")), (404, Some("43")), "{}", answer.text());
}

#[test]
fn a_recording_is_no_text() {
    let used = Used::start(|_: &_| Reply::json(200, r#"{"text":"four words of text"}"#));
    let key = used.key(&["job", "--scope", "inference"]);
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n{}\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--b--\r\n",
        "x".repeat(1 << 20)
    );
    let headers = [&*key, "Content-Type: multipart/form-data; boundary=b"];
    assert_eq!(used.gateway.ask("POST", "/v1/audio/transcriptions", &headers, &body).status, 200);
    let rows = used.rows(1, &[]);
    assert_eq!(number(&rows[0], "input_tokens"), 0, "{rows:?}");
    assert_eq!(number(&rows[0], "estimated_tokens"), number(&rows[0], "output_tokens"), "{rows:?}");
}
