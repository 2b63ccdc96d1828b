//! Callers that send or read very slowly: they time out and use little memory. Slow but steady callers are served.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// Memory in use by a process, in KiB.
pub fn resident(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.child().pid())).unwrap();
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok()).unwrap()
}

fn connect(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Sends a byte every while until the other side has enough, and gives its answer.
fn trickle(mut stream: TcpStream, begin: &str, byte: &str) -> Vec<u8> {
    stream.write_all(begin.as_bytes()).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let byte = byte.to_owned();
    let end = Instant::now() + DEADLINE;
    let sending = thread::spawn(move || {
        while writer.write_all(byte.as_bytes()).is_ok() {
            assert!(Instant::now() < end, "it is listened to for ever");
            thread::sleep(Duration::from_millis(50));
        }
    });
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let _ = stream.shutdown(std::net::Shutdown::Both);
    sending.join().unwrap();
    answer
}

#[test]
fn slow_request_headers_time_out() {
    let upstream = Recorder::start();
    let gateway = Gateway::start_with(&upstream.url(), &["--set", "header-timeout=1s"]);
    for (begin, byte) in [("", "G"), ("GET / HTTP/1.1\r\nHost: localhost\r\n", "X-A: b\r\n"), ("GET /", "a")] {
        trickle(connect(&gateway), begin, byte);
    }
    // On a connection that was of use before, too.
    trickle(connect(&gateway), "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "a");
    assert_eq!(upstream.take(), []);
}

#[test]
fn slow_request_bodies_time_out() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let gateway = Gateway::start_with(&upstream.url(), &["--set", "body-timeout=1s"]);
    gateway.add_user("ada", "maintainer");
    let device = gateway.device_of("ada");
    let [any, limited] =
        [&["a", "--scope", "inference,models:write,keys"][..], &["b", "--scope", "inference", "--model", "tiny"]]
            .map(|args| bearer(&gateway.key(&device, args)));
    let blob = format!("/api/blobs/sha256:{}", "0a".repeat(32));
    let before = upstream.requests().len();
    for (path, key) in [(&*blob, &any), ("/api/generate", &any), ("/api/generate", &limited), ("/api/user/keys", &any)]
    {
        for length in ["Content-Length: 60000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"] {
            let begin = format!("POST {path} HTTP/1.1\r\nHost: {}\r\n{key}\r\n{length}", gateway.address());
            let byte = if length.starts_with('C') { " " } else { "1\r\n \r\n" };
            let answer = trickle(connect(&gateway), &begin, byte);
            let answer = Answer::parse(&answer).unwrap_or_else(|error| panic!("{path}: {error}: {answer:?}"));
            assert_eq!(answer.status, 408, "{path}: {}", answer.text());
            assert!(answer.text().contains("too slowly"), "{}", answer.text());
        }
    }
    // A form of the pages.
    let begin = format!(
        "POST /login HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 6000\r\n\r\n",
        gateway.address()
    );
    let answer = trickle(connect(&gateway), &begin, "a");
    assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(upstream.requests().len(), before, "half a request was taken for one");
}

/// As long as the limit lasts three times over, and more than enough in each: a slow line, and a large file.
#[test]
fn a_slow_but_steady_upload_succeeds() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let gateway = Gateway::start_with(&upstream.url(), &["--set", "body-timeout=5s"]);
    gateway.add_user("ada", "maintainer");
    let key = gateway.key(&gateway.device_of("ada"), &["a", "--scope", "models:write"]);
    let mut stream = connect(&gateway);
    let (count, piece) = (24, vec![b'x'; 17 * 1024]);
    let length = count * piece.len();
    write!(
        stream,
        "POST /api/blobs/sha256:{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\nContent-Length: {length}\r\n\r\n",
        "0a".repeat(32),
        bearer(&key)
    )
    .unwrap();
    for _ in 0..count {
        thread::sleep(Duration::from_millis(400));
        stream.write_all(&piece).unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(Answer::parse(&answer).unwrap().status, 200);
    assert_eq!(upstream.wait_requests(1)[0].body.len(), length);
}

/// An upstream server that sends without end, and says when it is held back. Each answer is counted.
fn endless() -> (String, std::sync::mpsc::Receiver<u64>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, held) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, tell) = (stream.unwrap(), tell.clone());
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
                let chunk = [&b"10000\r\n"[..], &[b'x'; 1 << 16], b"\r\n"].concat();
                let head =
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
                let (mut sent, mut failed) = (0, stream.write_all(head).err());
                while failed.is_none() && sent < 1 << 30 {
                    match stream.write(&chunk) {
                        Ok(count) => sent += count as u64,
                        Err(error) => failed = Some(error),
                    }
                }
                if failed.is_some_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)) {
                    let _ = tell.send(sent);
                    // Until the caller leaves.
                    stream.set_read_timeout(Some(DEADLINE)).unwrap();
                    let _ = stream.read(&mut [0; 16]);
                } else {
                    let _ = tell.send(u64::MAX);
                }
            });
        }
    });
    (url, held)
}

/// An unread response slows the upstream server down and uses little memory in the gateway.
#[test]
fn an_unread_response_is_not_buffered() {
    const CALLERS: u64 = 20;
    let (url, held) = endless();
    let gateway = Gateway::start(&url);
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    for args in [&["a"][..], &["b", "--model", "tiny"]] {
        let key = gateway.key(&device, args);
        let before = resident(&gateway);
        let body = r#"{"model":"tiny"}"#;
        let callers: Vec<TcpStream> = (0..CALLERS)
            .map(|_| {
                let mut stream = connect(&gateway);
                write!(
                    stream,
                    "POST /api/generate HTTP/1.1\r\nHost: localhost\r\n{}\r\nContent-Length: {}\r\n\r\n{body}",
                    bearer(&key),
                    body.len()
                )
                .unwrap();
                stream
            })
            .collect();
        for _ in 0..CALLERS {
            let sent = held.recv_timeout(DEADLINE).expect("a server that is held back");
            assert!(sent < 1 << 30, "all of it was taken");
        }
        let each = resident(&gateway).saturating_sub(before) / CALLERS;
        assert!(each < 2 * 1024, "{each} KiB are held for each");
        drop(callers);
    }
}

/// Without a timeout, callers without a credential would keep a connection as long as they like.
#[test]
fn an_unauthenticated_caller_that_does_not_read_times_out() {
    let gateway = Gateway::start_with("http://127.0.0.1:9", &["--set", "header-timeout=1s"]);
    let mut stream = connect(&gateway);
    stream.set_nonblocking(true).unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.address());
    let requests = request.repeat(1000);
    let mut rest = requests.as_bytes();
    crate::harness::poll("a connection that is ended", || {
        loop {
            match stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(_) => return Some(()),
            }
            if rest.is_empty() {
                rest = requests.as_bytes();
            }
        }
    });
}

/// A person may stop the program that shows an answer, and go on later.
#[test]
fn an_authenticated_caller_may_pause_reading() {
    const LENGTH: usize = 32 << 20;
    let upstream = Server::start(|_| Reply::new(200, "x".repeat(LENGTH)));
    let gateway = Gateway::start_with(&upstream.url(), &["--set", "header-timeout=1s"]);
    gateway.add_user("ada", "member");
    let key = bearer(&gateway.key(&gateway.device_of("ada"), &["k"]));
    let mut stream = connect(&gateway);
    write!(stream, "GET /api/ps HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{key}\r\n\r\n", gateway.address())
        .unwrap();
    stream.read_exact(&mut [0; 12]).unwrap();
    thread::sleep(Duration::from_secs(3));
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.len() > LENGTH, "{}", answer.len());
}
