//! Request smuggling: whatever the framing, the upstream server sees one request or none, and never one that the gateway did not
//! authorize.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const HIDDEN: &str = "POST /api/pull HTTP/1.1\r\nHost: localhost\r\nX-Hidden: 1\r\n\r\n";

/// A gateway before a recorder, and a key that may run models and see them.
fn given() -> (Recorder, Gateway, String) {
    let upstream = Recorder::start();
    // Nothing that does not come is waited for.
    let gateway = Gateway::start_with(&upstream.url(), &["--set", "header-timeout=1s", "--set", "body-timeout=1s"]);
    gateway.add_user("ada", "member");
    let key = gateway.key(&gateway.device_of("ada"), &["k", "--scope", "inference,models:read"]);
    (upstream, gateway, bearer(&key))
}

/// Sends the request, whose header goes on after the line of the key, and fails if it lets more through than that. Gives what came back,
/// and the request that went on, if one did.
#[track_caller]
fn sent(given: &(Recorder, Gateway, String), line: &str, rest: impl AsRef<[u8]>) -> (String, Option<RecordedRequest>) {
    static CASE: AtomicUsize = AtomicUsize::new(0);
    let (upstream, gateway, key) = given;
    let (rest, case) = (rest.as_ref(), CASE.fetch_add(1, Ordering::Relaxed).to_string());
    let shown = String::from_utf8_lossy(rest).into_owned();
    let head = format!("{line}\r\nHost: {}\r\n{key}\r\nX-Case: {case}\r\n", gateway.address());
    let answer = String::from_utf8_lossy(&gateway.raw([head.as_bytes(), rest].concat())).into_owned();
    let all = upstream.all();
    assert!(all.iter().all(|seen| seen.header("x-hidden").is_none()), "{shown:?} became {all:?}");
    let of_other_cases = |seen: &RecordedRequest| seen.header("x-case").is_none() && !seen.headers.is_empty();
    assert!(!all.iter().any(of_other_cases), "{shown:?} became {all:?}");
    let mut seen: Vec<RecordedRequest> = all.into_iter().filter(|seen| seen.header("x-case") == Some(&case)).collect();
    assert!(seen.len() <= 1, "{shown:?} became {seen:?}");
    let seen = seen.pop();
    if let Some(seen) = &seen {
        let path = line.split(' ').nth(1).unwrap();
        let method = line.split(' ').next().unwrap();
        assert_eq!(seen.line, format!("{method} {path} HTTP/1.1"), "{shown:?}");
        for name in ["authorization", "transfer_encoding", "content_length", "te", "trailer", "upgrade", "expect"] {
            assert_eq!(seen.header(name), None, "{shown:?}: {name}");
        }
        assert_eq!(seen.header("x-ollama-auth-user"), Some("ada"), "{shown:?}");
    }
    (answer, seen)
}

fn count(answer: &str) -> usize {
    answer.matches("HTTP/1.1 ").count()
}

#[test]
fn contradicting_lengths_are_refused() {
    let given = given();
    let length = HIDDEN.len() + 5;
    for framing in [
        "Content-Length: 5\r\nContent-Length: 6".to_owned(),
        "Content-Length: 5, 6".to_owned(),
        "Content-Length: 5, 5".to_owned(),
        "Content-Length: 5\r\ncontent-length: +5".to_owned(),
        "Content-Length: +5".to_owned(),
        "Content-Length: -5".to_owned(),
        "Content-Length: 0x5".to_owned(),
        "Content-Length: 5 5".to_owned(),
        "Content-Length:".to_owned(),
        "Content-Length: 18446744073709551616".to_owned(),
        "Content-Length : 5".to_owned(),
        "Content-Length\t: 5".to_owned(),
        " Content-Length: 5".to_owned(),
        "X: y\r\n Content-Length: 5".to_owned(),
        "Transfer-Encoding:\r\n chunked".to_owned(),
        "Transfer-Encoding: chu\r\n\tnked".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding: chunked-x".to_owned(),
        "Transfer-Encoding: \"chunked\"".to_owned(),
        "Transfer-Encoding: chunked, identity".to_owned(),
        "Transfer-Encoding: chunked;q=1".to_owned(),
        "Transfer-Encoding: identity".to_owned(),
        "Transfer-Encoding:".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
        format!("Content-Length: {length}\r\nTransfer-Encoding: identity"),
        "Transfer-Encoding: \x0bchunked".to_owned(),
        "Transfer-Encoding: chunked\0".to_owned(),
    ] {
        let (answer, seen) = sent(&given, "POST /api/generate HTTP/1.1", format!("{framing}\r\n\r\n0\r\n\r\n{HIDDEN}"));
        assert_eq!(seen, None, "{framing:?}: {answer}");
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{framing:?}: {answer}");
        assert!(count(&answer) <= 1, "{framing:?}: {answer}");
    }
    // As an old client.
    let old = format!("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}");
    let (answer, seen) = sent(&given, "POST /api/generate HTTP/1.0", old);
    assert!(seen.is_none() && !answer.contains(" 200 "), "{answer}");
}

#[test]
fn a_valid_framing_is_forwarded_unambiguously() {
    let given = given();
    let length = HIDDEN.len() + 5;
    let chunked = format!("0\r\n\r\n{HIDDEN}");
    for (framing, body) in [
        // The chunks count, and nothing is read behind them (RFC 9112, section 6.3).
        (format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"), &b""[..]),
        (format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"), b""),
        // Of two equal lengths one.
        (format!("Content-Length: {length}\r\nContent-Length: {length}"), chunked.as_bytes()),
        (format!("Content-Length: {length}\r\nTransfer_Encoding: chunked"), chunked.as_bytes()),
        (format!("Content_Length: 5\r\nContent-Length: {length}"), chunked.as_bytes()),
        // None of these takes the length away.
        (format!("Content-Length: {length}\r\nConnection: content-length"), chunked.as_bytes()),
        (
            format!("Content-Length: {length}\r\nConnection: close, Content-Length, X-Ollama-Auth-User, Host"),
            chunked.as_bytes(),
        ),
        (format!("Content-Length: {length}\r\nTE: trailers, chunked\r\nTrailer: X-Hidden"), chunked.as_bytes()),
        (format!("Content-Length: {length}\r\nExpect: 100-continue"), chunked.as_bytes()),
    ] {
        let (answer, seen) = sent(&given, "POST /api/generate HTTP/1.1", format!("{framing}\r\n\r\n{chunked}"));
        let seen = seen.unwrap_or_else(|| panic!("{framing:?}: {answer}"));
        assert_eq!((&*seen.body, seen.whole), (body, true), "{framing:?}");
        assert_eq!(count(&answer.replace("HTTP/1.1 100 Continue", "")), 1, "{framing:?}: {answer}");
    }
    // With bare line feeds it is one request all the same.
    let (_, seen) = sent(&given, "POST /api/generate HTTP/1.1", "Content-Length: 2\nX: y\n\n{}");
    assert!(seen.is_none_or(|seen| seen.body == b"{}"));
}

#[test]
fn broken_chunks_end_the_request() {
    let given = given();
    for chunks in [
        "zz\r\nab\r\n0\r\n\r\n",
        "-1\r\nab\r\n0\r\n\r\n",
        "+2\r\nab\r\n0\r\n\r\n",
        "0x2\r\nab\r\n0\r\n\r\n",
        " 2\r\nab\r\n0\r\n\r\n",
        "\r\n2\r\nab\r\n0\r\n\r\n",
        "2\nab\r\n0\r\n\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "2\r\nab\n0\r\n\r\n",
        "2;x=\"\n\"\r\nab\r\n0\r\n\r\n",
        "00000000000000002\r\nab\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nab\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nab\r\n0\r\n\r\n",
        "2\r\nab\r\n0\r\nX: \0\r\n\r\n",
        "2\r\nab\r\n",
    ] {
        let rest = format!("Transfer-Encoding: chunked\r\n\r\n{chunks}{HIDDEN}");
        let (answer, seen) = sent(&given, "POST /api/generate HTTP/1.1", rest);
        // What came before the break may have gone on, but never as a whole request.
        assert!(seen.is_none_or(|seen| !seen.whole || chunks.starts_with("000")), "{chunks:?}");
        assert!(!answer.contains(" 200 ") || chunks.starts_with("000"), "{chunks:?}: {answer}");
    }
    // Sound ones, with extensions and trailers: none of these goes on.
    for (chunks, body) in [
        ("2;x=y\r\n{}\r\n0;a=b\r\n\r\n", "{}"),
        ("2\r\n{}\r\n0\r\nX-Hidden: 1\r\nX-Ollama-Auth-User: root\r\n\r\n", "{}"),
    ] {
        let rest = format!(
            "Transfer-Encoding: chunked\r\nTrailer: X-Hidden, X-Ollama-Auth-User\r\nConnection: close\r\n\r\n{chunks}{HIDDEN}"
        );
        let (answer, seen) = sent(&given, "POST /api/generate HTTP/1.1", rest);
        let seen = seen.unwrap_or_else(|| panic!("{chunks:?}: {answer}"));
        assert_eq!((String::from_utf8(seen.body).unwrap().as_str(), count(&answer)), (body, 1), "{answer}");
    }
}

#[test]
fn bytes_after_a_request_are_the_next_request() {
    let given = given();
    // On a connection that stays open the second is looked at like any other: it has no credential.
    let (answer, seen) = sent(&given, "POST /api/generate HTTP/1.1", format!("Content-Length: 2\r\n\r\n{{}}{HIDDEN}"));
    assert!(seen.is_some() && answer.contains("HTTP/1.1 401"), "{answer}");
    // As the body of a GET, and of one that is refused, it is a body.
    let length = HIDDEN.len();
    for line in ["GET /api/tags HTTP/1.1", "HEAD /api/tags HTTP/1.1"] {
        let (answer, seen) = sent(&given, line, format!("Content-Length: {length}\r\n\r\n{HIDDEN}"));
        assert_eq!(seen.map(|seen| seen.body), Some(HIDDEN.into()), "{line}");
        assert_eq!(count(&answer), 1, "{line}: {answer}");
        let (answer, seen) = sent(&given, line, "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        assert!(seen.is_some_and(|seen| seen.body.is_empty()) && count(&answer) == 1, "{line}: {answer}");
    }
    let refused = format!("Content-Length: {length}\r\n\r\n{HIDDEN}");
    for line in ["POST /api/delete HTTP/1.1", "POST /api/push HTTP/1.1", "POST / HTTP/1.1", "POST /nowhere HTTP/1.1"] {
        let (answer, seen) = sent(&given, line, &refused);
        assert!(seen.is_none() && count(&answer) == 1, "{line}: {answer}");
        // Nor is it asked for.
        let (answer, seen) = sent(&given, line, format!("Expect: 100-continue\r\n{refused}"));
        assert!(seen.is_none() && !answer.contains(" 100 ") && count(&answer) == 1, "{line}: {answer}");
    }
}

#[test]
fn upgrades_and_tunnels_are_refused() {
    let given = given();
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let (answer, seen) = sent(&given, "GET /api/tags HTTP/1.1", h2c);
    let seen = seen.unwrap();
    assert_eq!((seen.header("upgrade"), seen.header("http2-settings"), seen.header("connection")), (None, None, None));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for line in [
        "CONNECT 127.0.0.1:22 HTTP/1.1",
        "CONNECT /api/tags HTTP/1.1",
        "TRACE / HTTP/1.1",
        "TRACE /api/tags HTTP/1.1",
        "TRACK /api/tags HTTP/1.1",
        "PRI * HTTP/2.0",
        "OPTIONS * HTTP/1.1",
        "GET /api/tags HTTP/1.2",
        "GET /api/tags HTTP/2.0",
        "GET  /api/tags HTTP/1.1",
        "GET\t/api/tags\tHTTP/1.1",
        "get /api/tags HTTP/1.1",
        "GET /api/tags",
        "G\u{cb}T /api/tags HTTP/1.1",
    ] {
        let (answer, seen) = sent(&given, line, "\r\n");
        assert!(seen.is_none() && !answer.contains(" 200 "), "{line}: {answer}");
        assert!(!answer.contains(&given.2), "{line} is repeated: {answer}");
    }
}
