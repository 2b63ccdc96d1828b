//! Which requests are logged, with what.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::{Line, Logged, number, read, text};
use crate::harness::gateway::Answer;
use crate::harness::http::{Gate, Reply, Server, Step};
use crate::harness::poll;

const TOKEN: &str = "{\"model\":\"tiny\",\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"done\":false}\n";
/// 7 tokens of prompt, 5 of answer.
const DONE: &str = "{\"model\":\"tiny\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"prompt_eval_count\":7,\"eval_count\":5}\n";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn chat(model: &str) -> String {
    format!("{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]}}")
}

/// What a line has of those fields that depend on the request.
#[track_caller]
fn assert_has(line: &Line, user: Option<&str>, credential: Option<&str>, expected: &[(&str, &str)]) {
    assert_eq!((text(line, "user"), text(line, "credential")), (user, credential), "{line:?}");
    let mut shown: Vec<(&str, String)> = Vec::new();
    for name in ["method", "route", "status", "code", "model", "outcome", "estimated", "trace"] {
        if let Some(value) = line.get(name) {
            shown.push((name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
        }
    }
    let shown: Vec<(&str, &str)> = shown.iter().map(|(name, value)| (*name, &**value)).collect();
    assert_eq!(shown, expected, "{line:?}");
    assert_eq!(text(line, "address"), Some("127.0.0.1"), "{line:?}");
}

fn each_request_is_logged_once(format: &str) {
    let (middle, before) = (Gate::new(), Gate::new());
    let (held, delayed) = (middle.clone(), before.clone());
    let server = Server::start(move |request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        match request.path() {
            "/api/chat" if body.contains("broken") => Reply::drop_connection(),
            "/api/chat" if body.contains("left-early") => Reply::ndjson([Step::send(DONE)]).after(&delayed),
            "/api/chat" if body.contains("left") => {
                Reply::ndjson([Step::send(TOKEN), Step::WaitFor(held.clone()), Step::send(DONE)])
            }
            "/api/chat" if body.contains("cut") => Reply::ndjson([Step::send(TOKEN), Step::Cut]),
            "/api/chat" => Reply::ndjson([Step::send(TOKEN), Step::send(DONE)]),
            _ => Reply::json(200, "{\"models\":[]}"),
        }
    });
    let logged =
        Logged::start(&server.url(), &format!("access-log = \"access.log\"\naccess-log-format = \"{format}\"\n"));
    let gateway = &logged.gateway;
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let key = gateway.key(&device, &["all", "--scope", "inference,models:read"]);
    let few = gateway.key(&device, &["few", "--scope", "models:read", "--limit", "rpm=1"]);
    let keys = gateway.admin(&["key", "list", "--user", "ada", "--json"]).expect_code(0).json();
    let id = |name: &str| {
        let key = keys["keys"].as_array().unwrap().iter().find(|key| key["name"] == name).unwrap();
        format!("key:{}", key["id"].as_str().unwrap())
    };
    let (all_id, few_id) = (id("all"), id("few"));
    let (ada, all_id, few_id) = (Some("ada"), Some(&*all_id), Some(&*few_id));
    let [bearer, few] = [key, few].map(|key| format!("Authorization: Bearer {key}"));

    let mark = gateway.ask("GET", "/healthz", &[], "");
    let ask = |method: &str, target: &str, headers: &[&str], body: &str, status: u16| -> (Answer, Line) {
        let answer = gateway.ask(method, target, headers, body);
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.text());
        let line = logged.line_of(&answer);
        assert_eq!(number(&line, "status"), Some(status.into()), "{line:?}");
        if method != "HEAD" {
            assert_eq!(number(&line, "bytes"), Some(answer.body.len() as u64), "{line:?}");
        }
        (answer, line)
    };

    // A response of a model. The id is the gateway's, whatever the caller says.
    let traceparent = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01");
    let own = "X-Request-Id: 00000000000000000000000000000001";
    let (answer, line) = ask("POST", "/api/chat?secret=1", &[&bearer, &traceparent, own], &chat("tiny"), 200);
    let expected = [
        ("method", "POST"),
        ("route", "/api/chat"),
        ("status", "200"),
        ("model", "tiny:latest"),
        ("outcome", "complete"),
        ("trace", TRACE),
    ];
    assert_has(&line, ada, all_id, &expected);
    assert_eq!((number(&line, "input_tokens"), number(&line, "output_tokens")), (Some(7), Some(5)));
    assert_eq!(number(&line, "bytes"), Some((TOKEN.len() + DONE.len()) as u64));
    assert!(
        number(&line, "first_token_ms") <= number(&line, "total_ms") && line.contains_key("first_token_ms"),
        "{line:?}"
    );
    assert_ne!(answer.header("x-request-id"), Some("00000000000000000000000000000001"));
    let time: jiff::Timestamp = text(&line, "time").unwrap().parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(time).as_secs().abs() < 60, "{line:?}");

    // One that breaks off, and an upstream server that does not answer.
    gateway.raw(format!(
        "POST /api/chat HTTP/1.1\r\nHost: {}\r\n{bearer}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
        gateway.address(),
        chat("cut").len(),
        chat("cut")
    ));
    let line = logged.line(|line| text(line, "outcome") == Some("cut"));
    let expected = [
        ("method", "POST"),
        ("route", "/api/chat"),
        ("status", "200"),
        ("model", "cut:latest"),
        ("outcome", "cut"),
        ("estimated", "true"),
    ];
    assert_has(&line, ada, all_id, &expected);
    let (_, line) = ask("POST", "/api/chat", &[&bearer], &chat("broken"), 502);
    let expected =
        [("method", "POST"), ("route", "/api/chat"), ("status", "502"), ("outcome", "cut"), ("estimated", "true")];
    assert_has(&line, ada, all_id, &expected);

    // Callers that leave: in the midst of the response, and before it.
    let leave = |model: &str, read: bool| {
        let mut caller = TcpStream::connect(gateway.address()).unwrap();
        let (body, host) = (chat(model), gateway.address());
        write!(
            caller,
            "POST /api/chat HTTP/1.1\r\nHost: {host}\r\n{bearer}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut received = Vec::new();
        while read && !String::from_utf8_lossy(&received).contains("\"content\":\"a\"") {
            let mut piece = [0; 1024];
            let count = caller.read(&mut piece).unwrap();
            assert!(count > 0);
            received.extend_from_slice(&piece[..count]);
        }
        caller
    };
    drop(leave("left", true));
    let line = logged.line(|line| text(line, "outcome") == Some("cancelled"));
    let expected = [
        ("method", "POST"),
        ("route", "/api/chat"),
        ("status", "200"),
        ("model", "left:latest"),
        ("outcome", "cancelled"),
        ("estimated", "true"),
    ];
    assert_has(&line, ada, all_id, &expected);
    let early = leave("left-early", false);
    poll("the request at the upstream server", || {
        server
            .requests()
            .iter()
            .any(|request| String::from_utf8_lossy(&request.body).contains("left-early"))
            .then_some(())
    });
    drop(early);
    let line = logged.line(|line| number(line, "status") == Some(499));
    assert_eq!((text(&line, "user"), text(&line, "credential"), number(&line, "bytes")), (ada, all_id, Some(0)));
    assert_eq!(text(&line, "route"), Some("/api/chat"));
    middle.open();
    before.open();

    // Refused ones, and what the gateway answers itself.
    let invalid = format!("traceparent: 00-{}-00f067aa0ba902b7-01", "0".repeat(32));
    let unknown = "Authorization: Bearer olauth_unknown";
    for (method, target, headers, status, who, expected) in [
        (
            "GET",
            "/api/tags?key=secret",
            vec![&*invalid],
            401,
            None,
            &[("method", "GET"), ("route", "/api/tags"), ("status", "401")][..],
        ),
        (
            "GET",
            "/api/tags",
            vec![unknown],
            401,
            None,
            &[("method", "GET"), ("route", "/api/tags"), ("status", "401"), ("code", "unknown_key")],
        ),
        (
            "POST",
            "/api/chat",
            vec![&*few],
            403,
            few_id,
            &[("method", "POST"), ("route", "/api/chat"), ("status", "403"), ("code", "scope")],
        ),
        ("GET", "/api/tags", vec![&*few], 200, few_id, &[("method", "GET"), ("route", "/api/tags"), ("status", "200")]),
        (
            "GET",
            "/api/tags",
            vec![&*few],
            429,
            few_id,
            &[("method", "GET"), ("route", "/api/tags"), ("status", "429"), ("code", "rate")],
        ),
        (
            "GET",
            "/secret/path?secret",
            vec![&*bearer, "traceparent: secret"],
            404,
            None,
            &[("method", "GET"), ("route", "other"), ("status", "404")],
        ),
        ("GET", "/login?secret", vec![], 200, None, &[("method", "GET"), ("route", "pages"), ("status", "200")]),
        ("GET", "/healthz", vec![], 200, None, &[("method", "GET"), ("route", "/healthz"), ("status", "200")]),
        ("HEAD", "/", vec![], 200, None, &[("method", "HEAD"), ("route", "/"), ("status", "200")]),
    ] {
        let body = if method == "POST" { chat("tiny") } else { String::new() };
        let (_, line) = ask(method, target, &headers, &body, status);
        assert_has(&line, who.and(ada), who, expected);
        assert!(!line.contains_key("input_tokens") && !line.contains_key("first_token_ms"), "{line:?}");
    }
    // A method of the caller's own.
    let answer = gateway.ask("SECRET", "/api/tags", &[&bearer], "");
    assert_eq!(text(&logged.line_of(&answer), "method"), Some("other"));
    // An id of a key in the path.
    let answer = gateway.ask("GET", "/api/user/keys/key_secret", &[&bearer], "");
    let route = logged.line_of(&answer);
    assert!(text(&route, "route").is_some_and(|route| route == "other" || !route.contains("secret")), "{route:?}");

    // Each once, and nothing else.
    let lines = read(&logged.text());
    let first = lines.iter().position(|line| text(line, "request") == mark.header("x-request-id")).unwrap();
    assert_eq!(lines[first + 1..].len(), 16, "{:#?}", &lines[first + 1..]);
    assert!(!logged.text().to_ascii_lowercase().contains("secret"));
    assert!(logged.text().lines().all(|line| line.starts_with('{') == (format == "json")));
}

#[test]
fn each_request_is_logged_once_as_logfmt() {
    each_request_is_logged_once("logfmt");
}

#[test]
fn each_request_is_logged_once_as_json() {
    each_request_is_logged_once("json");
}
