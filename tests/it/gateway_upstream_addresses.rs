//! Upstream addresses: https with valid and invalid certificates, IPv6, host names, and base paths.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};

use rustix::process::Signal;
use rustls::{ServerConnection, StreamOwned};

use crate::gateway_tls::{Authority, server_config};
use crate::harness::DEADLINE;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};

/// Reads a request with an announced length; gives its first line. `None` at the end of the connection.
fn request(stream: &mut impl Read) -> Option<String> {
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
    stream.read_exact(&mut vec![0; length.map_or(0, |length| length.parse().unwrap())]).ok()?;
    head.lines().next().map(str::to_owned)
}

fn whole(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Serves each connection on a thread, with its number.
fn serve(listener: TcpListener, serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> u16 {
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (stream, serve) = (stream.unwrap(), serve.clone());
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            std::thread::spawn(move || serve(number, stream));
        }
    });
    port
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// The same by TLS, with that certificate; what fails in the handshake is not served.
fn serve_tls(certificate: [PathBuf; 2], answer: impl Fn(usize, &mut Tls) + Send + Sync + 'static) -> u16 {
    let config = server_config(certificate);
    serve(TcpListener::bind("127.0.0.1:0").unwrap(), move |number, stream| {
        answer(number, &mut StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream));
    })
}

/// A gateway on one thread, and the header with a key for it.
fn gateway(upstream: &str, authority: Option<&Authority>) -> (Gateway, String) {
    let trust = authority.map(|authority| format!("; export SSL_CERT_FILE='{}'", authority.ca())).unwrap_or_default();
    let gateway = Gateway::start_within(upstream, &format!("export OLLAMA_AUTH_GATEWAY_THREADS=1{trust}"));
    gateway.add_user("ada", "member");
    let key = gateway.key(&gateway.device_of("ada"), &["k", "--scope", "inference,models:read"]);
    (gateway, format!("Authorization: Bearer {key}"))
}

fn ask((gateway, header): &(Gateway, String), body: &str) -> Answer {
    gateway.ask("POST", "/api/generate", &[header], body)
}

#[test]
fn https_upstreams_use_the_system_authorities() {
    let authority = Authority::new();
    let large = "0123456789abcdef".repeat(20_000);
    let sent = large.clone();
    let port = serve_tls(authority.issue_for("other", "DNS:localhost, IP:127.0.0.1"), move |number, stream| {
        while request(stream).is_some() {
            let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", sent.len() + 1);
            let answer = [head.as_bytes(), sent.as_bytes(), number.to_string().as_bytes(), b"\r\n0\r\n\r\n"].concat();
            if stream.write_all(&answer).and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    });
    for host in ["localhost", "127.0.0.1"] {
        let gateway = gateway(&format!("https://{host}:{port}"), Some(&authority));
        let first = ask(&gateway, &large);
        assert_eq!(first.status, 200, "{host}: {}", first.text());
        assert!(first.text().starts_with(&large));
        // The second goes over the same connection.
        assert!(ask(&gateway, "{}").text() == first.text());
    }
}

/// An interceptor gets no request, and the log names the cause.
#[test]
fn https_upstreams_with_wrong_certificates_are_rejected() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (certificate, what, said) in [
        (authority.issue_for("other", "DNS:example.com"), "the name of another", "certificate"),
        (stranger.issue_for("other", "DNS:localhost"), "an authority that nobody knows", "certificate"),
        (authority.issue_expired("over", "DNS:localhost"), "an expired one", "expired"),
    ] {
        let (told, tells) = mpsc::channel();
        let told = Mutex::new(told);
        let port = serve_tls(certificate, move |_, stream| {
            let mut byte = [0];
            told.lock().unwrap().send(stream.read(&mut byte).unwrap_or(0)).unwrap();
        });
        let gateway = gateway(&format!("https://localhost:{port}"), Some(&authority));
        let answer = ask(&gateway, "{}");
        assert_eq!(answer.status, 502, "{what}: {}", answer.text());
        assert_eq!(tells.recv_timeout(DEADLINE).unwrap(), 0, "{what}: it was told something");
        assert!(!answer.text().contains(said), "{what}: callers need not know: {}", answer.text());
        gateway.0.child().wait_stderr(|text| {
            text.lines().any(|line| line.contains("upstream request failed") && line.contains(said))
        });
    }
}

/// An end by TLS that is followed by none of TCP is an end too: the next request takes another connection.
#[test]
fn closed_https_connections_are_not_reused() {
    let authority = Authority::new();
    let (ended, ends) = mpsc::channel();
    let ended = Mutex::new(ended);
    let port = serve_tls(authority.issue_for("other", "DNS:localhost"), move |number, stream| {
        while request(stream).is_some() {
            // Both in one write.
            stream.conn.writer().write_all(&whole(&number.to_string())).unwrap();
            stream.conn.send_close_notify();
            while stream.conn.wants_write() {
                stream.conn.write_tls(&mut stream.sock).unwrap();
            }
            ended.lock().unwrap().send(()).unwrap();
        }
    });
    let gateway = gateway(&format!("https://localhost:{port}"), Some(&authority));
    for number in 0..3 {
        let answer = ask(&gateway, "{}");
        assert_eq!((answer.status, answer.text()), (200, &*number.to_string()));
        ends.recv_timeout(DEADLINE).unwrap();
    }
}

/// Somebody in between can cut a connection, but not make an answer look whole by that.
#[test]
fn an_https_end_without_close_notify_is_an_error() {
    let authority = Authority::new();
    let port = serve_tls(authority.issue_for("other", "DNS:localhost"), move |number, stream| {
        request(stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsome").unwrap();
        if number > 0 {
            stream.conn.send_close_notify();
        }
        stream.flush().unwrap();
    });
    let (gateway, header) = gateway(&format!("https://localhost:{port}"), Some(&authority));
    let text = format!(
        "POST /api/generate HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{header}\r\nContent-Length: 2\r\n\r\n{{}}",
        gateway.address()
    );
    let cut = gateway.raw(&text);
    assert!(Answer::parse(&cut).is_err() && cut.ends_with(b"4\r\nsome\r\n"), "{}", cut.escape_ascii());
    assert_eq!(Answer::parse(&gateway.raw(&text)).unwrap().text(), "some");
}

#[test]
fn upstreams_can_be_ipv6_named_and_below_a_path() {
    let answers = |number: usize, mut stream: TcpStream| {
        while let Some(line) = request(&mut stream) {
            stream.write_all(&whole(&format!("{number} {line}"))).unwrap();
        }
    };
    let bind = |address: SocketAddr| TcpListener::bind(address);
    let ours = |url: &str, path: &str| {
        let gateway = gateway(url, None);
        for _ in 0..2 {
            let answer = ask(&gateway, "{}");
            assert_eq!((answer.status, answer.text()), (200, &*format!("0 post {path} http/1.1")), "{url}");
        }
    };
    // `localhost` has both addresses, and the server is at one of them.
    let port = serve(bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap(), answers);
    ours(&format!("http://localhost:{port}"), "/api/generate");
    let port = serve(bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap(), answers);
    ours(&format!("http://127.0.0.1:{port}/some/base/"), "/some/base/api/generate");
    // Some machines have no IPv6.
    let Ok(listener) = bind((Ipv6Addr::LOCALHOST, 0).into()) else { return };
    let port = serve(listener, answers);
    ours(&format!("http://[::1]:{port}"), "/api/generate");
}

/// A vanished machine sends nothing, so TCP keepalive probes detect it for the waiting caller.
#[test]
#[cfg(target_os = "linux")]
fn a_vanished_upstream_is_detected() {
    let (asked, asks) = mpsc::channel();
    let asked = Mutex::new(asked);
    let port = serve(TcpListener::bind("127.0.0.1:0").unwrap(), move |_, mut stream| {
        request(&mut stream).unwrap();
        let ends = [stream.peer_addr().unwrap().port(), stream.local_addr().unwrap().port()];
        // The columns: number, local and remote address, state, queues, timer (2: that of the question).
        let [local, remote] = ends.map(|port| format!(":{port:04X}"));
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut of_ours = row.filter(|row| row[1].ends_with(&local) && row[2].ends_with(&remote));
        asked.lock().unwrap().send(of_ours.next().map(|row| row[5].to_owned())).unwrap();
        stream.write_all(&whole("{}")).unwrap();
    });
    let gateway = gateway(&format!("http://127.0.0.1:{port}"), None);
    assert_eq!(ask(&gateway, "{}").status, 200);
    let timer = asks.recv_timeout(DEADLINE).unwrap().unwrap();
    // While something was sent and is not confirmed it is that timer (1) that counts.
    assert!(timer.starts_with("02:") || timer.starts_with("01:"), "{timer}");
}

/// After a switch, open requests finish at the old server, and its connections are not reused for the new one.
#[test]
fn a_reload_switches_to_another_upstream() {
    let (go, goes) = mpsc::channel::<()>();
    let (arrived, arrives) = mpsc::channel();
    let held = Mutex::new((arrived, goes));
    let local = || TcpListener::bind("127.0.0.1:0").unwrap();
    let first = serve(local(), move |number, mut stream| {
        for asked in 0.. {
            let Some(line) = request(&mut stream) else { return };
            if line.contains("/api/chat") {
                let held = held.lock().unwrap();
                held.0.send(()).unwrap();
                held.1.recv().unwrap();
            }
            stream.write_all(&whole(&format!("first {number} {asked}"))).unwrap();
        }
    });
    let second = serve(local(), |number, mut stream| {
        for asked in 0.. {
            let Some(_) = request(&mut stream) else { return };
            stream.write_all(&whole(&format!("second {number} {asked}"))).unwrap();
        }
    });
    let files = Sandbox::new();
    let settings = |port: u16| {
        let text = format!("upstream = \"http://127.0.0.1:{port}\"\nthreads = 1\n");
        files.write("gateway.toml", text).to_str().unwrap().to_owned()
    };
    let gateway = Gateway::start_from(&["--config", &settings(first)]);
    gateway.add_user("ada", "member");
    let key = gateway.key(&gateway.device_of("ada"), &["k", "--scope", "inference"]);
    let here = (gateway, format!("Authorization: Bearer {key}"));
    let (gateway, header) = &here;
    assert_eq!(ask(&here, "{}").text(), "first 0 0");
    std::thread::scope(|scope| {
        let held = scope.spawn(|| gateway.ask("POST", "/api/chat", &[header], "{}"));
        arrives.recv_timeout(DEADLINE).unwrap();
        settings(second);
        gateway.child().signal(Signal::HUP);
        gateway.child().wait_stderr(|text| text.contains("configuration reloaded"));
        assert_eq!(ask(&here, "{}").text(), "second 0 0");
        go.send(()).unwrap();
        assert_eq!(held.join().unwrap().text(), "first 0 1");
    });
    assert_eq!(ask(&here, "{}").text(), "second 0 1");
}
