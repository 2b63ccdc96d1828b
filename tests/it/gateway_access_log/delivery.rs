//! How the lines get to their target: what happens to the file, the disk and the reader does not concern requests.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

use super::{Logged, read, text};
use crate::harness::cmd::Sandbox;
use crate::harness::poll;

/// Nothing listens there.
const UPSTREAM: &str = "http://127.0.0.1:9";
const TO_FILE: &str = "access-log = \"access.log\"\n";

/// So many requests on one connection, each answered.
fn flood(address: &str, count: usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut answers = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let (mut all, mut piece) = (0, vec![0; 64 << 10]);
        let needle = b"HTTP/1.1 200";
        // The end of a piece, which may hold the beginning of an answer.
        let mut held = Vec::new();
        while let Ok(length @ 1..) = answers.read(&mut piece) {
            held.extend_from_slice(&piece[..length]);
            all += held.windows(needle.len()).filter(|part| part == needle).count();
            held.drain(..held.len().saturating_sub(needle.len() - 1));
        }
        all
    });
    let one = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let last = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all((one.repeat(count - 1) + &last).as_bytes()).unwrap();
    assert_eq!(reading.join().unwrap(), count);
}

/// The sum of a field of the lines of the gateway's log that have that text.
fn sum(log: &str, message: &str, field: &str) -> u64 {
    let number = |line: &str| {
        let (_, rest) = line.split_once(&format!("{field}="))?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    log.lines().filter(|line| line.contains(message)).filter_map(number).sum()
}

#[test]
fn a_file_may_be_renamed_and_is_written_to_the_last_line() {
    let mut logged = Logged::start(UPSTREAM, TO_FILE);
    let ask = |logged: &Logged| logged.gateway.ask("GET", "/healthz", &[], "");
    let first = ask(&logged);
    logged.line_of(&first);
    assert_eq!(fs::metadata(logged.path()).unwrap().permissions().mode() & 0o777, 0o600);
    // As logrotate does it, without `create` and with; and with `copytruncate`.
    let old = logged.kept.path("access.log.1");
    fs::rename(logged.path(), &old).unwrap();
    let second = ask(&logged);
    logged.line_of(&second);
    fs::remove_file(logged.path()).unwrap();
    fs::write(logged.path(), "").unwrap();
    let third = ask(&logged);
    logged.line_of(&third);
    fs::write(logged.path(), "").unwrap();
    let fourth = ask(&logged);
    logged.line_of(&fourth);
    assert_eq!(read(&fs::read_to_string(&old).unwrap()).len(), 1);
    assert_eq!(read(&logged.text()).len(), 1);
    // One that was removed is not kept open.
    fs::remove_file(logged.path()).unwrap();
    let open = format!("/proc/{}/fd", logged.gateway.child().pid());
    poll("a removed file that is closed", || {
        let links = fs::read_dir(&open).unwrap().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        let is_removed = |link: std::path::PathBuf| link.to_string_lossy().contains("access.log");
        (!links.into_iter().any(is_removed)).then_some(())
    });
    // What waits is written before the end.
    for _ in 0..3 {
        let last = ask(&logged);
        assert_eq!(logged.gateway.end(Signal::TERM).code(), 0);
        let lines = read(&logged.text());
        assert_eq!(text(lines.last().unwrap(), "request"), last.header("x-request-id"));
        logged.gateway.restart();
    }
    assert_eq!(read(&logged.text()).len(), 3);
}

#[test]
fn a_reload_turns_it_on_and_off_and_moves_it() {
    let logged = Logged::start(UPSTREAM, "");
    let ask = || logged.gateway.ask("GET", "/healthz", &[], "");
    let reload = |config: &str| {
        let log = logged.gateway.reload(&logged.config, config);
        assert!(log.contains("configuration reloaded"), "{log}");
    };
    ask();
    reload(TO_FILE);
    let first = ask();
    // At once, without waiting for the line.
    reload("access-log = \"access.log\"\naccess-log-format = \"json\"\n");
    let second = ask();
    reload("");
    ask();
    reload("access-log = \"other.log\"\n");
    let fourth = ask();
    let other = logged.kept.path("other.log");
    let in_other = poll("a line in the other file", || fs::read_to_string(&other).ok().filter(|text| !text.is_empty()));
    let ids = |text: &str| read(text).iter().map(id_of).collect::<Vec<_>>();
    assert_eq!(ids(&in_other), [fourth.header("x-request-id").unwrap()]);
    logged.line_of(&second);
    assert_eq!(ids(&logged.text()), [&first, &second].map(|answer| answer.header("x-request-id").unwrap()));
    let formats: Vec<_> = logged.text().lines().map(|line| line.starts_with('{')).collect();
    assert_eq!(formats, [false, true]);
    // A configuration that is refused changes nothing.
    for (wrong, words) in [
        ("access-log-format = \"xml\"\n", "access-log-format must be logfmt or json, not \"xml\""),
        (
            "access-log = \"e\"\n[[audit-sink]]\nname = \"x\"\nto = \"file\"\npath = \"e\"\n",
            "access-log is the file of the audit-sink x",
        ),
    ] {
        let log = logged.gateway.reload(&logged.config, wrong);
        assert!(log.contains("cannot reload the configuration") && log.contains(words), "{log}");
    }
    let last = ask();
    poll("the last line", || {
        fs::read_to_string(&other).unwrap().contains(last.header("x-request-id").unwrap()).then_some(())
    });
}

fn id_of(line: &super::Line) -> String {
    text(line, "request").unwrap().to_owned()
}

/// Makes something with that path.
type Make = fn(&Path);

#[test]
fn what_is_no_regular_file_is_refused_and_the_gateway_serves() {
    let kinds: [(&str, Make); 3] = [
        ("it is a symbolic link", |path| symlink("/dev/null", path).unwrap()),
        ("it is not a regular file", |path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        }),
        ("directory", |path| fs::create_dir(path).unwrap()),
    ];
    for (reason, make) in kinds {
        let folder = Sandbox::new();
        let path = folder.path("access.log");
        make(&path);
        let mut logged = Logged::start(UPSTREAM, &format!("access-log = \"{}\"\n", path.display()));
        let log = logged.gateway.child().wait_stderr(|text| text.contains("access log does not work"));
        assert!(log.contains(reason), "{reason}: {log}");
        assert_eq!(logged.gateway.ask("GET", "/healthz", &[], "").status, 200);
        // Once it is out of the way, a file is made.
        fs::rename(&path, folder.path("away")).unwrap();
        let answer = poll("a line in the new file", || {
            let answer = logged.gateway.ask("GET", "/healthz", &[], "");
            let text = fs::read_to_string(&path).unwrap_or_default();
            (!text.is_empty()).then_some((answer, text))
        });
        assert!(!read(&answer.1).is_empty());
        logged.gateway.child().wait_stderr(|text| text.contains("access log works again"));
        assert_eq!(logged.gateway.end(Signal::TERM).code(), 0);
    }
}

#[test]
fn a_full_disk_delays_no_request_and_cuts_no_line() {
    // The limit of a file's size stands for a full disk. It is of this file alone: no other is as long.
    let full = 4 << 20;
    let mut logged = Logged::within(UPSTREAM, TO_FILE, |_| "trap '' XFSZ".to_owned());
    logged.line_of(&logged.gateway.ask("GET", "/healthz", &[], ""));
    // Room for a line and a half.
    let filler = format!("{}\n", "x".repeat(full - 300));
    fs::write(logged.path(), &filler).unwrap();
    let limit = |bytes: Option<u64>| {
        let pid = Pid::from_raw(logged.gateway.child().pid().cast_signed());
        let maximum = getrlimit(Resource::Fsize).maximum;
        prlimit(pid, Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
    };
    limit(Some(full as u64));
    flood(&logged.gateway.address(), 500);
    let told = "access log does not work";
    let log = logged.gateway.child().wait_stderr(|text| text.contains(told));
    assert!(log.contains("File too large"), "{log}");
    let rest = || logged.text().strip_prefix(&filler).expect("what was there").to_owned();
    poll("whole lines", || (rest().ends_with('\n') || rest().is_empty()).then_some(()));
    flood(&logged.gateway.address(), 500);
    limit(None);
    let mut asked = 1000;
    let last = poll("a line after the disk is free again", || {
        asked += 1;
        let answer = logged.gateway.ask("GET", "/healthz", &[], "");
        std::thread::sleep(Duration::from_millis(100));
        rest().contains(answer.header("x-request-id").unwrap()).then_some(answer)
    });
    assert!(rest().ends_with('\n'));
    let lines = read(&rest());
    assert!(lines.iter().any(|line| text(line, "request") == last.header("x-request-id")));
    let log = logged.gateway.child().wait_stderr(|text| text.contains("access log works again"));
    // Within a minute it is told once, and what was not told by then with the end of it.
    assert_eq!(log.matches(told).count(), 1, "{log}");
    let (first, more) = (sum(&log, told, "dropped"), sum(&log, "access log works again", "dropped"));
    assert!(first > 0, "{log}");
    assert_eq!(lines.len() as u64 + first + more, asked, "{log}");
    assert_eq!(logged.gateway.end(Signal::TERM).code(), 0);
}

#[test]
fn a_reader_of_standard_output_that_stops_delays_no_request() {
    let before = Sandbox::new();
    let path = before.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    // Its own writer keeps it from ending.
    let reader = rustix::fs::open(&path, OFlags::RDWR | OFlags::NONBLOCK, Mode::empty()).unwrap();
    // The event log goes there, too.
    let config =
        "access-log = \"stdout\"\naccess-log-format = \"json\"\n[[audit-sink]]\nname = \"out\"\nto = \"stdout\"\n";
    let mut logged = Logged::within(UPSTREAM, config, |_| format!("exec >{}", path.display()));
    let mut all = Vec::new();
    let take = |all: &mut Vec<u8>| {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = rustix::io::read(&reader, &mut buffer) {
            all.extend_from_slice(&buffer[..count]);
        }
    };
    let told = "access log does not work";
    let mut sent = 0;
    let started = Instant::now();
    while !logged.gateway.child().wait_stderr(|_| true).contains(told) {
        flood(&logged.gateway.address(), 2000);
        sent += 2000;
        assert!(sent < 200_000, "its memory is bounded");
    }
    // The first lines that do not fit are told while the reader still stands.
    assert!(started.elapsed() < Duration::from_secs(200));
    logged.gateway.add_user("ada", "member");
    let log = logged.gateway.child().wait_stderr(|text| text.contains(told));
    assert!(log.contains("lines are not written fast enough"), "{log}");
    // It reads again.
    let log = poll("the end of the jam", || {
        take(&mut all);
        let log = logged.gateway.child().wait_stderr(|_| true);
        log.contains("access log works again").then_some(log)
    });
    let dropped = sum(&log, told, "dropped") + sum(&log, "access log works again", "dropped");
    let last = logged.gateway.ask("GET", "/healthz", &[], "");
    let id = last.header("x-request-id").unwrap();
    poll("the last line", || {
        take(&mut all);
        String::from_utf8_lossy(&all).contains(id).then_some(())
    });
    // Whole lines of both logs, and each of a request is written or counted as dropped.
    let received = String::from_utf8(all.clone()).unwrap();
    let (events, lines): (Vec<_>, Vec<_>) = received.lines().partition(|line| line.starts_with("{\"log\""));
    assert!(events.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    let lines = read(&lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    assert_eq!(lines.len() as u64 + dropped, sent as u64 + 1);
    assert!(dropped > 0 && lines.len() > 10_000, "{dropped} {}", lines.len());
    // One that stands at the end is not waited for long.
    flood(&logged.gateway.address(), 2000);
    let ending = Instant::now();
    let output = logged.gateway.end(Signal::TERM);
    assert_eq!(output.code(), 0);
    assert!(ending.elapsed() < Duration::from_secs(30));
    assert!(output.stderr().contains("access log lines could not be written before the end"), "{}", output.stderr());
}
