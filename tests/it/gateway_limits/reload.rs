//! Limits that change while requests run.

use std::io::Read as _;

use super::upstream::{Mode, Upstream};
use super::{Limited, code, read_some};

#[test]
fn a_limit_that_shrinks_cuts_nothing_and_counts_for_the_next_request() {
    let upstream = Upstream::start();
    let streams = |most: usize| format!("[roles.member.limits]\nstreams = {most}\n");
    let limited = Limited::start(upstream.url(), &streams(3));
    let key = limited.key(&[]);
    upstream.set(Mode::Held);
    let mut held: Vec<_> = (0..3).map(|_| limited.begin("/api/chat", &key)).collect();
    held.iter_mut().for_each(read_some);
    assert_eq!(limited.run("/api/chat", &key).status, 429);

    limited.reload(&streams(1));
    // Two leave; the third still counts.
    for left in 1..=2 {
        drop(held.pop());
        upstream.wait_left(left);
        let refused = limited.run("/api/chat", &key);
        assert_eq!((refused.status, code(&refused).as_str()), (429, "concurrency"), "after {left}");
        assert!(refused.text().contains("1 request at a time"), "{}", refused.text());
    }
    limited.reload(&streams(2));
    let mut second = limited.begin("/api/chat", &key);
    read_some(&mut second);
    assert_eq!(limited.run("/api/chat", &key).status, 429);

    // Without a limit nothing is refused, and what was counted is not counted twice when there is one again.
    limited.reload("");
    let mut more: Vec<_> = (0..5).map(|_| limited.begin("/api/chat", &key)).collect();
    more.iter_mut().for_each(read_some);
    limited.reload(&streams(3));
    let mut third = limited.begin("/api/chat", &key);
    read_some(&mut third);
    assert_eq!(limited.run("/api/chat", &key).status, 429);
    upstream.release();
    // None of them was cut.
    for mut stream in held.into_iter().chain([second, third]).chain(more) {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.ends_with(b"0\r\n\r\n"), "{:?}", String::from_utf8_lossy(&rest));
    }
    upstream.set(Mode::Complete);
    assert_eq!(limited.run("/api/chat", &key).status, 200);
}

#[test]
fn a_wrong_limit_is_refused_at_a_reload_and_the_old_one_stays() {
    let upstream = Upstream::start();
    let limited = Limited::start(upstream.url(), "[roles.member.limits]\nrequests-per-minute = 1\n");
    let key = limited.key(&[]);
    assert_eq!(limited.run("/api/chat", &key).status, 200);
    std::fs::write(&limited.file, "[roles.member.limits]\nrequests-per-minute = 0\n").unwrap();
    limited.gateway.child().signal(rustix::process::Signal::HUP);
    limited.gateway.child().wait_stderr(|text| {
        text.contains("cannot reload the configuration") && text.contains("0 would refuse every request")
    });
    assert_eq!(limited.run("/api/chat", &key).status, 429);
}
