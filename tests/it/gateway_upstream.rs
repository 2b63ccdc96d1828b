//! The gateway as a client of the upstream server: closed idle connections, and early, unusual or oversized responses.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use crate::harness::DEADLINE;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::signature::TestDevice;

/// A server that does with each connection, in turn, what its number says, on a thread of its own; and a gateway with a key for it.
pub struct GatewaySetup {
    /// The gateway.
    pub gateway: Gateway,
    /// The line with the key.
    pub header: String,
}

impl GatewaySetup {
    /// Starts both.
    pub fn new(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve = std::sync::Arc::new(serve);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (stream, serve) = (stream.unwrap(), serve.clone());
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                std::thread::spawn(move || serve(number, stream));
            }
        });
        // One thread, so that all requests share its connections.
        let gateway = Gateway::start_within(&url, "export OLLAMA_AUTH_GATEWAY_THREADS=1");
        gateway.add_user("ada", "maintainer");
        let key = gateway.key(&gateway.device_of("ada"), &["k", "--scope", "inference,models:read,models:write"]);
        Self { gateway, header: format!("Authorization: Bearer {key}") }
    }

    /// Asks with the key.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.gateway.ask(method, path, &[&self.header], body)
    }
}

/// Reads one request whose body, if any, is announced by its length. False when the connection has ended.
fn request(stream: &mut TcpStream) -> bool {
    request_line(stream).is_some()
}

/// The same; gives method and path, and the length of the body.
fn request_line(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return None;
        }
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().unwrap());
    stream.read_exact(&mut vec![0; length]).ok()?;
    let line = head.split(" http").next().unwrap();
    Some(format!("{line} {length}"))
}

/// Requests in the order in which they came, each with the number of its connection.
type Seen = std::sync::Arc<std::sync::Mutex<Vec<(usize, String)>>>;

/// A server that answers each request, except those that `ends` picks by connection and number within it: to these it sends the text and
/// ends the connection at the moment when the request is there.
fn closing_at(ends: impl Fn(usize, usize) -> Option<&'static str> + Send + Sync + 'static) -> (GatewaySetup, Seen) {
    let seen = Seen::default();
    let record = seen.clone();
    let setup = GatewaySetup::new(move |connection, mut stream| {
        let mut number = 0;
        while let Some(line) = request_line(&mut stream) {
            record.lock().unwrap().push((connection, line));
            if let Some(text) = ends(connection, number) {
                let _ = stream.write_all(text.as_bytes());
                return;
            }
            stream.write_all(whole(&format!("answer {connection}")).as_bytes()).unwrap();
            number += 1;
        }
    });
    (setup, seen)
}

const BLOB: &str = "/api/blobs/sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";
/// The largest body that is kept to be sent again.
const KEPT: usize = 64 * 1024;

/// A load balancer in front of the upstream server ends a connection that was idle, just when a request is on its way.
#[test]
fn reads_and_inference_are_repeated_on_a_new_connection() {
    for (method, path, length) in [
        ("GET", "/api/tags", 0),
        ("HEAD", BLOB, 0),
        ("POST", "/api/show", 2),
        ("POST", "/api/generate", 2),
        ("POST", "/v1/chat/completions", KEPT),
    ] {
        let (setup, seen) = closing_at(|connection, number| ((connection, number) == (0, 1)).then_some(""));
        assert_eq!(setup.ask("GET", "/api/ps", "").text(), "answer 0");
        let answer = setup.ask(method, path, &"x".repeat(length));
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        assert!(method == "HEAD" || answer.text() == "answer 1", "{}", answer.text());
        let line = format!("{} {path} {length}", method.to_lowercase());
        let expected = [(0, "get /api/ps 0".to_owned()), (0, line.clone()), (1, line)];
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}

#[test]
fn a_request_is_repeated_once_and_only_if_no_byte_of_a_response_came() {
    let (setup, seen) = closing_at(|connection, number| ((connection, number) != (0, 0)).then_some(""));
    assert_eq!(setup.ask("GET", "/api/ps", "").text(), "answer 0");
    let answer = setup.ask("POST", "/api/generate", "{}");
    assert_eq!((answer.status, seen.lock().unwrap().len()), (502, 3), "{}", answer.text());
    for begun in ["H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
        for (method, path) in [("GET", "/api/tags"), ("POST", "/api/generate")] {
            let (setup, seen) = closing_at(move |_, number| (number == 1).then_some(begun));
            assert_eq!(setup.ask("GET", "/api/ps", "").text(), "answer 0");
            let answer = setup.ask(method, path, "");
            assert_eq!((answer.status, seen.lock().unwrap().len()), (502, 2), "{begun:?} {}", answer.text());
        }
    }
}

/// What changes something, and what is too long to be kept, is sent once; so it is not sent on a connection that may be closed by now.
#[test]
fn what_cannot_be_repeated_gets_a_new_connection() {
    for (method, path, length) in [
        ("POST", "/api/pull", 2),
        ("POST", "/api/create", 2),
        ("POST", "/api/push", 2),
        ("POST", "/api/copy", 2),
        ("DELETE", "/api/delete", 2),
        ("POST", BLOB, 2),
        ("POST", "/api/generate", KEPT + 1),
    ] {
        let (setup, seen) = closing_at(|connection, _| (connection == 1).then_some(""));
        assert_eq!(setup.ask("GET", "/api/ps", "").text(), "answer 0");
        let answer = setup.ask(method, path, &"x".repeat(length));
        assert_eq!(answer.status, 502, "{method} {path}: {}", answer.text());
        // The idle one is still there for what can be repeated.
        assert_eq!(setup.ask("GET", "/api/tags", "").text(), "answer 0");
        let line = format!("{} {path} {length}", method.to_lowercase());
        let expected = [(0, "get /api/ps 0".to_owned()), (1, line), (0, "get /api/tags 0".to_owned())];
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}

fn whole(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// It says nothing of it, as a server that is restarted: neither a request that can be repeated nor one that cannot is lost.
#[test]
fn closed_idle_connections_are_not_reused() {
    let (ended, ends) = mpsc::channel();
    let setup = GatewaySetup::new(move |number, mut stream| {
        assert!(request(&mut stream));
        stream.write_all(whole(&format!("answer {number}")).as_bytes()).unwrap();
        drop(stream);
        ended.send(()).unwrap();
    });
    for (number, (method, path, body)) in
        [("POST", "/api/generate", "{}"), ("GET", "/api/tags", ""), ("POST", "/api/chat", "{}")].into_iter().enumerate()
    {
        let answer = setup.ask(method, path, body);
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(answer.text(), format!("answer {number}"));
        ends.recv_timeout(DEADLINE).unwrap();
    }
}

/// The connection is ended only when the next request has come: what changes nothing is asked again, what could is not.
#[test]
fn a_connection_that_closes_during_a_request_is_handled_safely() {
    let setup = GatewaySetup::new(move |number, mut stream| {
        let answers = [1, 0].get(number).copied().unwrap_or(usize::MAX);
        for _ in 0..answers {
            if !request(&mut stream) {
                return;
            }
            stream.write_all(whole(&format!("answer {number}")).as_bytes()).unwrap();
        }
        request(&mut stream);
    });
    assert_eq!(setup.ask("GET", "/api/tags", "").text(), "answer 0");
    // The second request of connection 0 is answered by its end, and so is the first of connection 1: once is enough.
    let answer = setup.ask("GET", "/api/tags", "");
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(setup.ask("GET", "/api/tags", "").text(), "answer 2");
    assert_eq!(setup.ask("POST", "/api/generate", "{}").text(), "answer 2");
}

/// What follows an answer unasked would be taken for the next caller's.
#[test]
fn bytes_after_a_response_are_discarded() {
    for framed in
        [whole("mine"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmine\r\n0\r\n\r\n".to_owned()]
    {
        let setup = GatewaySetup::new(move |number, mut stream| {
            let first = format!("{framed}{}", whole("poison"));
            while request(&mut stream) {
                let text = if number == 0 { first.clone() } else { whole("clean") };
                if stream.write_all(text.as_bytes()).is_err() {
                    return;
                }
            }
        });
        assert_eq!(setup.ask("GET", "/api/tags", "").text(), "mine");
        assert_eq!(setup.ask("GET", "/api/tags", "").text(), "clean");
    }
}

/// The same where it comes a moment later, while the connection waits.
#[test]
fn unrequested_bytes_are_discarded() {
    let (go, goes) = mpsc::channel::<()>();
    let (done, is_done) = mpsc::channel();
    let goes = std::sync::Mutex::new(goes);
    let setup = GatewaySetup::new(move |number, mut stream| {
        while request(&mut stream) {
            let body = if number == 0 { "mine" } else { "clean" };
            stream.write_all(whole(body).as_bytes()).unwrap();
            if number == 0 {
                goes.lock().unwrap().recv().unwrap();
                stream.write_all(whole("poison").as_bytes()).unwrap();
                done.send(()).unwrap();
            }
        }
    });
    assert_eq!(setup.ask("GET", "/api/tags", "").text(), "mine");
    go.send(()).unwrap();
    is_done.recv_timeout(DEADLINE).unwrap();
    assert_eq!(setup.ask("POST", "/api/generate", "{}").text(), "clean");
}

/// A server may refuse a body before it has all of it; the caller is to hear why. One that is so long is not read for counting.
#[test]
fn a_response_may_arrive_before_the_request_is_complete() {
    let setup = GatewaySetup::new(move |_, mut stream| {
        let mut start = [0; 2048];
        let _ = stream.read(&mut start).unwrap();
        stream.write_all(b"HTTP/1.1 418 No\r\nContent-Length: 8\r\n\r\nnot this").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut caller = TcpStream::connect(setup.gateway.address()).unwrap();
    caller.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!(
        "POST /api/generate HTTP/1.1\r\nHost: {}\r\n{}\r\nContent-Length: 20000000\r\n\r\n{{\"prompt\":\"",
        setup.gateway.address(),
        setup.header
    );
    caller.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"not this") {
        assert_eq!(caller.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&answer));
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 418 "), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn ambiguous_responses_are_refused() {
    for (text, said) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", "not valid HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "not valid HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "not valid HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "not valid HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "not valid HTTP/1.1"),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "another protocol"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "closed the connection"),
        ("", "closed the connection"),
    ] {
        let setup = GatewaySetup::new(move |_, mut stream| {
            request(&mut stream);
            let _ = stream.write_all(text.as_bytes());
        });
        let answer = setup.ask("POST", "/api/generate", "{}");
        assert_eq!(answer.status, 502, "{text:?}");
        assert!(answer.text().contains(said), "{text:?}: {}", answer.text());
    }
}

#[test]
fn interim_responses_are_skipped() {
    let setup = GatewaySetup::new(move |_, mut stream| {
        while request(&mut stream) {
            let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
            stream.write_all(format!("{early}{}", whole("late")).as_bytes()).unwrap();
        }
    });
    let answer = setup.ask("POST", "/api/generate", "{}");
    assert_eq!((answer.status, answer.text()), (200, "late"));
    assert!(answer.header("link").is_none());
}

/// Chunks of all sizes, cut anywhere, are the same body at the other end.
#[test]
fn a_body_is_the_same_for_any_packet_boundaries() {
    let body: String = (0..200_000).map(|number: u32| char::from(b'a' + (number % 26) as u8)).collect();
    let sent = body.clone();
    let setup = GatewaySetup::new(move |_, mut stream| {
        while request(&mut stream) {
            let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            let mut rest = sent.as_bytes();
            for size in [1, 2, 15, 16, 17, 255, 4096, 70_000].into_iter().cycle() {
                let (chunk, after) = rest.split_at(rest.len().min(size));
                answer.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                answer.extend_from_slice(chunk);
                answer.extend_from_slice(b"\r\n");
                rest = after;
                if chunk.is_empty() {
                    break;
                }
            }
            for piece in answer.chunks(1999) {
                stream.write_all(piece).unwrap();
            }
        }
    });
    for _ in 0..2 {
        assert!(setup.ask("POST", "/api/generate", "{}").text() == body);
    }
}

/// What has no body has none, whatever length it names.
#[test]
fn responses_without_a_body_are_forwarded() {
    for head in [
        "204 No Content\r\nContent-Length: 9\r\n",
        "304 Not Modified\r\nContent-Length: 9\r\nETag: \"x\"\r\n",
        "304 Not Modified\r\nTransfer-Encoding: chunked\r\n",
        "204 No Content\r\n",
        "200 OK\r\nContent-Length: 0\r\n",
        "200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n",
        "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    ] {
        let setup = GatewaySetup::new(move |number, mut stream| {
            let text = format!("HTTP/1.1 {head}X-Number: {number}\r\n\r\n");
            let text =
                if head.ends_with("0\r\n") && head.contains("chunked") { format!("HTTP/1.1 {head}\r\n") } else { text };
            while request(&mut stream) {
                stream.write_all(text.as_bytes()).unwrap();
            }
        });
        for _ in 0..2 {
            let answer = setup.ask("GET", "/api/tags", "");
            assert_eq!(answer.status.to_string(), head[..3], "{head}");
            assert!(answer.text().is_empty(), "{head}");
            assert!(answer.header("x-number").is_none_or(|number| number == "0"), "{head}: another connection");
        }
    }
    // The same length twice is one.
    for head in ["Content-Length: 5\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n"] {
        let setup = GatewaySetup::new(move |_, mut stream| {
            for body in ["", "", "hello"] {
                assert!(request(&mut stream));
                stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}").as_bytes()).unwrap();
            }
        });
        for _ in 0..2 {
            let answer = setup.ask("HEAD", "/api/tags", "");
            assert_eq!(answer.status, 200, "{head}");
            assert_eq!(answer.header("x-content-length"), Some("5"), "{head}");
        }
        assert_eq!(setup.ask("GET", "/api/tags", "").text(), "hello", "{head}");
    }
}

/// The caller gets the data before a fault, in any pieces, and the fault is not a regular end.
#[test]
fn data_before_a_fault_is_delivered() {
    for at_once in [true, false] {
        let (go, goes) = mpsc::channel::<()>();
        let goes = std::sync::Mutex::new(goes);
        let setup = GatewaySetup::new(move |_, mut stream| {
            request(&mut stream);
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let body = b"4\r\nsome\r\nnonsense";
            if at_once {
                stream.write_all(&[&head[..], body].concat()).unwrap();
            } else {
                stream.write_all(head).unwrap();
                goes.lock().unwrap().recv().unwrap();
                stream.write_all(body).unwrap();
            }
            // It neither goes on nor ends.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let mut caller = TcpStream::connect(setup.gateway.address()).unwrap();
        caller.set_read_timeout(Some(DEADLINE)).unwrap();
        let (host, key) = (setup.gateway.address(), &setup.header);
        write!(caller, "POST /api/generate HTTP/1.1\r\nHost: {host}\r\n{key}\r\nContent-Length: 2\r\n\r\n{{}}")
            .unwrap();
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            assert_eq!(caller.read(&mut byte).unwrap(), 1);
            answer.push(byte[0]);
        }
        let _ = go.send(());
        let mut body = Vec::new();
        let _ = caller.read_to_end(&mut body);
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{at_once}: {}", answer.escape_ascii());
        assert_eq!(body.escape_ascii().to_string(), "4\\r\\nsome\\r\\n", "{at_once}");
    }
}

#[test]
fn a_response_head_may_arrive_byte_by_byte() {
    let setup = GatewaySetup::new(move |_, mut stream| {
        stream.set_nodelay(true).unwrap();
        while request(&mut stream) {
            let text = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nz: 1\r\n\r\n";
            for byte in text.bytes() {
                stream.write_all(&[byte]).unwrap();
            }
        }
    });
    for _ in 0..2 {
        assert_eq!(setup.ask("POST", "/api/generate", "{}").text(), "abc");
    }
}

/// The link that is not for callers cannot be seen in an answer that is packed, so none is asked for.
#[test]
fn compressed_responses_do_not_reveal_the_signin_link() {
    let key = TestDevice::new(0x55).key().encoded;
    let secret = key[60..].to_owned();
    let setup = GatewaySetup::new(move |_, mut stream| {
        let mut head = [0; 4096];
        let length = stream.read(&mut head).unwrap();
        let packs = String::from_utf8_lossy(&head[..length]).to_lowercase().contains("gzip");
        let coding = if packs { "Content-Encoding: gzip\r\n" } else { "" };
        let link = format!("go to ollama.com/connect?key={key}");
        let text = if packs { "packed" } else { &link };
        let answer = format!("HTTP/1.1 200 OK\r\n{coding}Content-Length: {}\r\n\r\n{text}", text.len());
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let answer = setup.gateway.raw(format!(
        "GET /api/tags HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{}\r\nAccept-Encoding: gzip, br\r\n\r\n",
        setup.gateway.address(),
        setup.header
    ));
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("\r\n\r\ngo to ollama.com/connect?key="), "{text}");
    assert!(!text.contains(&secret), "{text}");
}
