//! Gateways on one database divide the limits among those that run.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;

use super::upstream::{Mode, Upstream};
use super::{begin, read_some, run};
use crate::harness::DEADLINE;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::poll;
use crate::harness::postgres::Postgres;

/// How many requests a gateway allows at a time. The upstream server holds them.
fn part(gateway: &Gateway, upstream: &Upstream, key: &str) -> usize {
    let mut held = Vec::new();
    loop {
        let mut stream = begin(gateway, "/api/chat", key);
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        if status != *b"HTTP/1.1 200" {
            assert_eq!(&status, b"HTTP/1.1 429");
            break;
        }
        held.push(stream);
    }
    let (count, left) = (held.len(), upstream.left());
    drop(held);
    upstream.wait_left(left + count);
    count
}

#[test]
fn each_gateway_allows_its_part_and_all_of_it_once_the_others_are_gone() {
    let (upstream, database, folder) = (Upstream::start(), Postgres::shared().database(), Sandbox::new());
    let file = folder.write("gateway.toml", "[roles.member.limits]\nstreams = 2\n");
    let start = || Gateway::start_on(&database, upstream.url(), &["--config", file.to_str().unwrap()]);
    let one = start();
    one.add_user("ada", "member");
    let key = format!("Authorization: Bearer {}", one.key(&one.device_added_to("ada"), &["k"]));
    upstream.set(Mode::Held);
    let part = |gateway: &Gateway| part(gateway, &upstream, &key);
    assert_eq!(part(&one), 2);
    for how in [Signal::TERM, Signal::KILL] {
        let mut two = start();
        poll("the second gateway's part", || (part(&two) == 1).then_some(()));
        poll("the first gateway's part", || (part(&one) == 1).then_some(()));
        two.end(how);
        poll("all of the limit", || (part(&one) == 2).then_some(()));
    }
    upstream.set(Mode::Complete);
    let mut stream = begin(&one, "/api/chat", &key);
    read_some(&mut stream);
    assert_eq!(run(&one, "/api/generate", &key).status, 200);
}

/// The status of a request, unless the gateway is gone.
fn attempt(address: &str, key: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!("POST /api/chat HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{key}\r\n");
    stream.write_all(format!("{head}Content-Length: 2\r\n\r\n{{}}").as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    String::from_utf8_lossy(answer.get(9..12)?).parse().ok()
}

#[test]
fn callers_of_three_gateways_have_no_more_at_a_time_than_the_limit_although_one_is_killed() {
    let (upstream, database, folder) = (Upstream::start(), Postgres::shared().database(), Sandbox::new());
    let file = folder.write("gateway.toml", "[limits]\nstreams = 6\n");
    let start = || Gateway::start_on(&database, upstream.url(), &["--config", file.to_str().unwrap()]);
    let mut gateways = [start(), start(), start()];
    gateways[0].add_user("ada", "member");
    let key = gateways[0].key(&gateways[0].device_added_to("ada"), &["k"]);
    let key = format!("Authorization: Bearer {key}");
    upstream.set(Mode::Held);
    for gateway in &gateways {
        poll("the key", || (run(gateway, "/api/me", &key).status == 200).then_some(()));
        poll("each gateway's third", || (part(gateway, &upstream, &key) == 2).then_some(()));
    }
    upstream.set(Mode::Slow);
    let addresses = gateways.each_ref().map(Gateway::address);
    let (accepted, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for caller in 0..24 {
            let (address, key, accepted, refused) = (&addresses[caller % 3], &key, &accepted, &refused);
            scope.spawn(move || {
                for _ in 0..40 {
                    match attempt(address, key) {
                        Some(200) => accepted.fetch_add(1, Ordering::SeqCst),
                        Some(429) => refused.fetch_add(1, Ordering::SeqCst),
                        None => return,
                        other => panic!("{other:?}"),
                    };
                }
            });
        }
        upstream.wait_arrived(upstream.arrived() + 20);
        gateways[2].end(Signal::KILL);
    });
    assert!(upstream.most() <= 6, "{} at a time", upstream.most());
    assert!(accepted.load(Ordering::SeqCst) > 0 && refused.load(Ordering::SeqCst) > 0);
}
