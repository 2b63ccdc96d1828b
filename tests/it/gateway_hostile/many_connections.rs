//! Many connections at once: thousands of idle ones, and the limit for one address.

use std::net::{IpAddr, SocketAddr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use super::slow_callers::resident;
use super::*;

/// A connection from that address of this machine.
fn from(gateway: &Gateway, last: u8) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(IpAddr::from([127, 0, 0, last]), 0).into()).unwrap();
    socket.connect(&gateway.address().parse::<SocketAddr>().unwrap().into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

const HEARTBEAT: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The status of a heartbeat there; 0 where the connection is over.
fn status(stream: &mut TcpStream) -> u16 {
    let _ = stream.write_all(HEARTBEAT);
    let mut answer = Vec::new();
    let mut some = [0; 4096];
    while let Ok(count) = stream.read(&mut some) {
        answer.extend_from_slice(&some[..count]);
        let text = String::from_utf8_lossy(&answer);
        if count == 0 || text.ends_with('}') {
            return text.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
        }
    }
    0
}

#[test]
fn one_address_cannot_use_all_connections() {
    let gateway = Gateway::start_with("http://127.0.0.1:9", &["--set", "max-connections-per-address=3"]);
    let mut mine: Vec<TcpStream> = (0..3).map(|_| from(&gateway, 9)).collect();
    for stream in &mut mine {
        assert_eq!(status(stream), 200);
    }
    for _ in 0..3 {
        let mut more = from(&gateway, 9);
        let mut answer = Vec::new();
        more.read_to_end(&mut answer).unwrap();
        let answer = Answer::parse(&answer).unwrap();
        assert_eq!(answer.status, 429);
        assert!(
            answer.json()["error"].as_str().unwrap().contains("3 connections")
                && answer.header("retry-after").is_some()
        );
    }
    // Those that are open go on, and another address has its own.
    assert_eq!((status(&mut mine[0]), status(&mut from(&gateway, 8))), (200, 200));
    let text = gateway.child().wait_stderr(|text| text.contains("refusing more"));
    assert_eq!(text.matches("refusing more").count(), 1, "it is said once a minute: {text}");
    // What is given back can be had again.
    mine.pop();
    let again = || (status(&mut from(&gateway, 9)) == 200).then_some(());
    crate::harness::poll("a place that was given back", again);
}

#[test]
fn a_trusted_proxy_may_use_all_connections() {
    let settings = ["--set", "max-connections-per-address=2", "--set", "trusted-proxies=127.0.0.7"];
    let gateway = Gateway::start_with("http://127.0.0.1:9", &settings);
    let mut proxied: Vec<TcpStream> = (0..10).map(|_| from(&gateway, 7)).collect();
    assert!(proxied.iter_mut().all(|stream| status(stream) == 200));
}

/// Without a word about it one address has a quarter, so that four are needed to take all.
#[test]
fn one_address_may_use_a_quarter_of_the_connections() {
    let gateway = Gateway::start_with("http://127.0.0.1:9", &["--set", "max-connections=80"]);
    let mut mine: Vec<TcpStream> = (0..25).map(|_| from(&gateway, 9)).collect();
    assert_eq!(mine.iter_mut().filter_map(|stream| (status(stream) == 200).then_some(())).count(), 20);
    assert_eq!(status(&mut from(&gateway, 8)), 200);
}

/// Ten thousand, or as many as this machine lets one process open: half of them say nothing, half have begun a request.
#[test]
fn idle_connections_are_cheap_and_block_no_requests() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let most = maximum.unwrap_or(1 << 20);
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum }).unwrap();
    // The gateway keeps a file free for each; other tests of this process need some too.
    let count = most.saturating_sub(2_000).div_euclid(2).min(10_000);
    assert!(count >= 1_000, "this machine lets a process open {most} files only: raise `ulimit -Hn`");
    let upstream = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
    let all = format!("max-connections={}", count + 100);
    let each = format!("max-connections-per-address={}", count + 100);
    let gateway = Gateway::start_with(&upstream.url(), &["--set", &all, "--set", &each, "--set", "header-timeout=10m"]);
    gateway.add_user("ada", "member");
    let key = bearer(&gateway.key(&gateway.device_of("ada"), &["k"]));
    assert_eq!(gateway.ask("GET", "/api/ps", &[&key], "").status, 200);
    let before = resident(&gateway);
    let idle: Vec<TcpStream> = (0..count)
        .map(|number| {
            let mut stream = TcpStream::connect(gateway.address()).unwrap();
            if number % 2 == 0 {
                stream.write_all(b"GET /api/tags HTTP/1.1\r\nHost: ").unwrap();
            }
            stream
        })
        .collect();
    // Callers with a key are served meanwhile, although they connect last.
    for _ in 0..20 {
        assert_eq!(gateway.ask("GET", "/api/ps", &[&key], "").status, 200);
    }
    let each = resident(&gateway).saturating_sub(before) * 1024 / count;
    assert!(each < 64 * 1024, "{each} bytes are held for each of {count}");
    assert!(gateway.ask("GET", "/", &[], "").status == 200 && idle.len() as u64 == count);
}
