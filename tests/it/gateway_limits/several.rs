//! Gateways on one database divide the limits among those that run.

use rustix::process::Signal;

use super::upstream::{Mode, Upstream};
use super::{begin, read_some, run};
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::poll;
use crate::harness::postgres::Postgres;

#[test]
fn each_gateway_allows_its_part_and_all_of_it_once_the_others_are_gone() {
    let (upstream, database, folder) = (Upstream::start(), Postgres::shared().database(), Sandbox::new());
    let file = folder.write("gateway.toml", "[roles.member.limits]\nstreams = 2\n");
    let start = || Gateway::start_on(&database, upstream.url(), &["--config", file.to_str().unwrap()]);
    let one = start();
    one.add_user("ada", "member");
    let key = format!("Authorization: Bearer {}", one.key(&one.device_added_to("ada"), &["k"]));
    upstream.set(Mode::Held);
    // How many requests it has at a time before it refuses one.
    let part = |gateway: &Gateway| {
        let mut held = Vec::new();
        loop {
            let mut stream = begin(gateway, "/api/chat", &key);
            let mut status = [0; 12];
            std::io::Read::read_exact(&mut stream, &mut status).unwrap();
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
    };
    assert_eq!(part(&one), 2);
    for how in [Signal::TERM, Signal::KILL] {
        let mut two = start();
        // One that starts knows of the others at once; they hear of it within seconds.
        assert_eq!(part(&two), 1);
        poll("the first gateway's part", || (part(&one) == 1).then_some(()));
        two.end(how);
        poll("all of the limit", || (part(&one) == 2).then_some(()));
    }
    upstream.set(Mode::Complete);
    let mut stream = begin(&one, "/api/chat", &key);
    read_some(&mut stream);
    assert_eq!(run(&one, "/api/generate", &key).status, 200);
}
