//! Sinks of the event log: each gets every event, in the order of the log and whole, whatever happens to the gateway, to the sink, and to the
//! disk.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::poll;
use crate::harness::postgres::Postgres;

/// A record of the log, by its origin and index.
type Stored = ((String, u64), String);

/// A gateway with sinks, and the files that they have in a folder of their own.
struct Given {
    kept: Sandbox,
    config: PathBuf,
    gateway: Gateway,
}

impl Given {
    /// The file's text is made for the folder.
    fn new(config: impl Fn(&Path) -> String) -> Self {
        Self::within(config, None)
    }

    fn within(config: impl Fn(&Path) -> String, line: Option<&dyn Fn(&Path) -> String>) -> Self {
        let kept = Sandbox::new();
        let config = kept.write("gateway.toml", config(kept.root()));
        let args = ["--config", config.to_str().unwrap()];
        let gateway = match line {
            None => Gateway::start_with("http://127.0.0.1:9", &args),
            Some(line) => Gateway::start_with_within("http://127.0.0.1:9", &args, &line(kept.root())),
        };
        Self { kept, config, gateway }
    }

    fn file() -> Self {
        Self::new(|_| to_file("events.jsonl"))
    }

    fn path(&self) -> PathBuf {
        self.kept.path("events.jsonl")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap_or_default()
    }

    fn stored(&self) -> Vec<Stored> {
        stored(&self.gateway.database())
    }

    /// Waits until the file has the last event.
    fn wait(&self) -> Vec<Stored> {
        let stored = self.stored();
        wait_for_last(&stored, || self.text());
        stored
    }
}

fn to_file(path: &str) -> String {
    format!("[[audit-sink]]\nname = \"siem\"\nto = \"file\"\npath = \"{path}\"\n")
}

fn sql<T: Send + Unpin + for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow>>(database: &Path, text: &str) -> Vec<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(database).busy_timeout(Duration::from_secs(20));
        let mut connection = options.connect().await.unwrap();
        let rows = sqlx::query_as(AssertSqlSafe(text.to_owned())).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows
    })
}

fn change(database: &Path, statement: &str) {
    sql::<(i64,)>(database, statement);
}

/// Every record that a database has.
fn stored(database: &Path) -> Vec<Stored> {
    let rows: Vec<(String, i64, String)> = sql(
        database,
        "SELECT origin, log_index, record FROM events JOIN audit_logs ON log = number ORDER BY log, log_index",
    );
    rows.into_iter().map(|(origin, index, line)| ((origin, index.unsigned_abs()), line)).collect()
}

/// The records in the lines of a sink. The record is what stands there byte for byte.
#[track_caller]
fn read(text: &str) -> Vec<Stored> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is not whole: {text:?}");
    text.lines().map(read_line).collect()
}

#[track_caller]
fn read_line(line: &str) -> Stored {
    let whole: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    let (_, rest) = line.split_once(",\"record\":").unwrap();
    let key = (whole["log"].as_str().unwrap().to_owned(), whole["index"].as_u64().unwrap());
    (key, rest.strip_suffix('}').unwrap().to_owned())
}

/// Each line is a record as it is stored; none is missing before one that is there; and all are there.
#[track_caller]
fn assert_all_in_order(lines: &[Stored], stored: &[Stored]) {
    let mut next = 0;
    for line in lines {
        let at = stored.iter().position(|record| record == line).unwrap_or_else(|| panic!("not stored: {line:?}"));
        assert!(at <= next, "{} records are missing before {line:?}", at - next);
        next = next.max(at + 1);
    }
    assert_eq!(next, stored.len(), "the last records are missing");
}

fn wait_for_last(stored: &[Stored], text: impl Fn() -> String) {
    let (key, line) = stored.last().expect("an event");
    let end = format!("\"index\":{},\"record\":{line}}}\n", key.1);
    poll("the last event in the sink", || text().ends_with(&end).then_some(()));
}

/// Events that an earlier version has written: the gateway takes them in at its start.
fn add_old_events(gateway: &mut Gateway, count: u64) {
    gateway.end(Signal::TERM);
    change(
        &gateway.database(),
        &format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             INSERT INTO events (at, actor, action, subject, detail, address) \
             SELECT i, 'user:eve', 'key.ending', 'key_' || i, 'a \"detail\"', '' FROM n"
        ),
    );
    gateway.restart();
}

#[test]
fn a_file_gets_every_event_as_it_is_stored_and_may_be_renamed() {
    let mut given = Given::file();
    given.gateway.add_user("ada", "admin").add_user("bob", "member");
    given.gateway.admin(&["user", "suspend", "bob", "--reason", "a \"b\"\\ \u{202e}é"]).expect_code(0);
    let stored = given.wait();
    // None twice as long as nothing happens.
    assert_eq!(read(&given.text()), stored);
    assert_eq!(fs::metadata(given.path()).unwrap().permissions().mode() & 0o777, 0o600);
    // As logrotate does it, with `create` and without.
    let first = given.kept.path("events.jsonl.1");
    fs::rename(given.path(), &first).unwrap();
    given.gateway.add_user("eve", "member");
    given.wait();
    let second = given.kept.path("events.jsonl.2");
    fs::rename(given.path(), &second).unwrap();
    fs::write(given.path(), "").unwrap();
    given.gateway.add_user("dan", "member");
    given.wait();
    let all = [&first, &second, &given.path()].map(|path| fs::read_to_string(path).unwrap());
    assert!(all.iter().all(|text| !text.is_empty()));
    assert_all_in_order(&read(&all.concat()), &given.stored());
    // As the guide does it: the lines that were stored can be verified.
    let path = given.kept.write("all.jsonl", all.concat());
    let line = r#"awk '!seen[$0]++' all.jsonl | sed -E 's/^\{"log":"[^"]*","index":[0-9]+,"record":(.*)\}$/\1/' >export.jsonl"#;
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guides/audit.md")).unwrap();
    assert!(guide.contains(&line.replace("all.jsonl", "events.jsonl")));
    let tools = std::env::var_os("PATH").unwrap_or_default();
    let shell = given.kept.program("/bin/sh", ["-c", line]).current_dir(path.parent().unwrap()).env("PATH", tools);
    shell.run().expect_code(0);
    let export = given.kept.path("export.jsonl");
    let verify = ["gateway", "audit", "verify", "--json", export.to_str().unwrap()];
    let verified = given.kept.command(verify).run().expect_code(0).json();
    assert_eq!(verified["logs"][0]["size"].as_u64(), Some(given.stored().len() as u64), "{verified}");
    // One that was removed is not kept open.
    fs::remove_file(given.path()).unwrap();
    let open = format!("/proc/{}/fd", given.gateway.child().pid());
    poll("a removed file that is closed", || {
        let links = fs::read_dir(&open).unwrap().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        let is_removed = |link: PathBuf| link.to_string_lossy().ends_with("events.jsonl (deleted)");
        (!links.into_iter().any(is_removed)).then_some(())
    });
    // A stop and a start: what happened meanwhile, and nothing again.
    assert_eq!(given.gateway.end(Signal::TERM).code(), 0);
    fs::write(given.path(), "").unwrap();
    let before = given.stored().len();
    let database = given.gateway.database();
    let disable = ["gateway", "user", "disable", "eve", "--database", database.to_str().unwrap()];
    given.gateway.sandbox().command(disable).run().expect_code(0);
    given.gateway.restart();
    let stored = given.wait();
    assert_eq!(read(&given.text()), stored[before..]);
}

#[test]
fn after_kill_9_no_event_is_missing_and_no_line_is_broken() {
    let mut given = Given::file();
    given.gateway.add_user("ada", "admin").add_user("bob", "member");
    for round in 0..5_u64 {
        let path = given.path();
        let length = || fs::metadata(&path).map_or(0, |found| found.len());
        std::thread::scope(|scope| {
            let gateway = &given.gateway;
            let changing = scope.spawn(move || {
                for number in 0..6 {
                    let role = if number % 2 == 0 { "viewer" } else { "member" };
                    gateway.admin(&["user", "role", "bob", role]);
                }
            });
            let before = length();
            while !changing.is_finished() && length() < before + 300 * round {
                std::thread::sleep(Duration::from_millis(1));
            }
            gateway.child().signal(Signal::KILL);
        });
        given.gateway.wait();
        // A power cut leaves a part of a line.
        let text = given.text();
        if let Some(last) = text.lines().last() {
            fs::write(given.path(), format!("{text}{}", &last[..last.len() * 2 / 3])).unwrap();
        }
        given.gateway.restart();
    }
    given.gateway.add_user("eve", "member");
    let stored = given.wait();
    assert_all_in_order(&read(&given.text()), &stored);
    // Without its position it gets all of them again; a file that holds something else is told.
    given.gateway.end(Signal::TERM);
    let folder = given.gateway.sandbox().path("home/.local/share/ollama-auth/gateway");
    let position = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path());
    let position = position.into_iter().find(|path| path.to_string_lossy().ends_with(".sink-siem")).unwrap();
    fs::write(&position, "{").unwrap();
    fs::remove_file(given.path()).unwrap();
    given.gateway.restart();
    given.gateway.child().wait_stderr(|text| text.contains("the position of an audit sink cannot be read"));
    given.wait();
    assert_eq!(read(&given.text()), given.stored());
}

#[test]
fn a_sink_on_a_full_disk_loses_nothing_and_holds_up_nothing() {
    // The limit of a file's size stands for a full disk. It is of this file alone: no other is as long.
    let full = 4 << 20;
    let mut given = Given::within(|_| to_file("events.jsonl"), Some(&|_| "trap '' XFSZ".to_owned()));
    given.gateway.add_user("ada", "admin");
    given.wait();
    let text = given.text();
    let filler = format!("{}\n", "x".repeat(full - text.len() - 100));
    fs::write(given.path(), format!("{filler}{text}")).unwrap();
    let limit = |bytes: Option<u64>| {
        let pid = Pid::from_raw(given.gateway.child().pid().cast_signed());
        let maximum = getrlimit(Resource::Fsize).maximum;
        prlimit(pid, Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
    };
    limit(Some(full as u64));
    given.gateway.add_user("bob", "member").add_user("eve", "member");
    let told = "audit sink does not work";
    given.gateway.child().wait_stderr(|text| text.contains(told) && text.contains("File too large"));
    let rest = || given.text().strip_prefix(&filler).unwrap().to_owned();
    // Nothing of what did not fit.
    poll("whole lines", || rest().ends_with('\n').then_some(()));
    given.gateway.add_user("dan", "member");
    let again = given.gateway.child().wait_stderr(|_| true);
    limit(None);
    given.gateway.child().wait_stderr(|text| text.contains("audit sink works again"));
    let stored = given.stored();
    wait_for_last(&stored, rest);
    assert_eq!(read(&rest()), stored);
    assert_eq!(again.matches(told).count(), 1, "{again}");
    assert_eq!(given.gateway.end(Signal::TERM).code(), 0);
}

#[test]
fn a_reader_of_standard_output_that_stops_holds_up_nothing() {
    let pipe = |folder: &Path| folder.join("pipe").display().to_string();
    let before = Sandbox::new();
    let path = before.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    // Its own writer keeps it from ending.
    let reader = rustix::fs::open(&path, OFlags::RDWR | OFlags::NONBLOCK, Mode::empty()).unwrap();
    let line = format!("exec >{}", pipe(before.root()));
    let mut given =
        Given::within(|_| "[[audit-sink]]\nname = \"out\"\nto = \"stdout\"\n".to_owned(), Some(&|_| line.clone()));
    // Several times what a pipe holds.
    add_old_events(&mut given.gateway, 2000);
    let started = std::time::Instant::now();
    given.gateway.add_user("ada", "admin").add_user("bob", "member");
    assert_eq!(given.gateway.end(Signal::TERM).code(), 0, "it ends although a line is half written");
    assert!(started.elapsed() < Duration::from_secs(60));
    given.gateway.restart();
    let stored = given.stored();
    let mut all = Vec::new();
    let mut take = |end: &str| {
        poll("the last event in the pipe", || {
            let mut buffer = [0; 64 << 10];
            while let Ok(count @ 1..) = rustix::io::read(&reader, &mut buffer) {
                all.extend_from_slice(&buffer[..count]);
            }
            String::from_utf8_lossy(&all).contains(end).then_some(())
        });
        String::from_utf8_lossy(&all).into_owned()
    };
    let text = take(&format!("\"record\":{}}}\n", stored.last().unwrap().1));
    // What two processes wrote: the first one's last line may be broken, and nothing else.
    let (mut lines, mut broken) = (Vec::new(), 0);
    for line in text.lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(_) => lines.push(read_line(line)),
            Err(_) => {
                broken += 1;
                // It is continued by a line of the process after it, which is sent again neither.
                let at = line.rfind("{\"log\":").unwrap();
                lines.push(read_line(&line[at..]));
            }
        }
    }
    assert!(broken <= 2, "{broken}");
    assert_all_in_order(&lines, &stored);
    given.gateway.add_user("eve", "member");
    let last = given.stored().pop().unwrap().1;
    take(&last);
}

#[test]
fn the_next_log_follows_and_what_is_missing_is_told_once() {
    let mut given = Given::file();
    given.gateway.add_user("ada", "admin").add_user("bob", "member");
    given.wait();
    given.gateway.end(Signal::TERM);
    let backup = given.kept.path("backup.db");
    fs::copy(given.gateway.database(), &backup).unwrap();
    let database = given.gateway.database();
    // Two events, and then another log.
    let admin = |args: &[&str]| {
        let args = [&["gateway"], args, &["--database", database.to_str().unwrap()]].concat();
        given.kept.command(args).run().expect_code(0);
    };
    admin(&["user", "role", "bob", "viewer"]);
    admin(&["user", "role", "bob", "member"]);
    change(
        &database,
        "INSERT INTO audit_logs (number, origin, size, frontier) VALUES (2, 'ollama-auth-gateway/two', 0, zeroblob(8))",
    );
    admin(&["user", "role", "bob", "viewer"]);
    given.gateway.restart();
    let stored = given.wait();
    assert_all_in_order(&read(&given.text()), &stored);
    assert_eq!(stored.last().unwrap().0, ("ollama-auth-gateway/two".to_owned(), 0));
    given.gateway.end(Signal::TERM);
    // The backup comes back: the sink gets the events that are there now, from where they differ.
    let text = given.text();
    fs::copy(&backup, &database).unwrap();
    for more in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{more}", database.display()));
    }
    admin(&["user", "role", "bob", "admin"]);
    given.gateway.restart();
    given.gateway.child().wait_stderr(|text| text.contains("the event log is not what an audit sink got"));
    let stored = given.wait();
    let more = given.text().strip_prefix(&text).unwrap().to_owned();
    let more = read(&more);
    assert!(stored.ends_with(&more) && !more.is_empty() && more.len() < stored.len(), "{more:?}");
    // Events that are removed before the sink has got them.
    given.gateway.end(Signal::TERM);
    let last = stored.last().unwrap().0.1;
    for role in ["viewer", "member", "viewer"] {
        admin(&["user", "role", "bob", role]);
    }
    change(&database, &format!("DELETE FROM events WHERE log_index IN ({}, {})", last + 1, last + 2));
    given.gateway.restart();
    given.wait();
    given.gateway.add_user("eve", "member");
    given.wait();
    let (key, _) = read(&given.text()).into_iter().rev().nth(1).unwrap();
    assert_eq!(key.1, last + 3);
    let output = given.gateway.end(Signal::TERM);
    let log = output.stderr();
    let told = "events were removed before an audit sink got them";
    assert_eq!(log.matches(told).count(), 1, "{log}");
    assert!(log.contains(&format!("first={} last={}", last + 1, last + 2)), "{log}");
}

#[test]
fn a_syslog_service_gets_messages_and_may_be_started_again() {
    let given = Given::new(|_| "[[audit-sink]]\nname = \"syslog\"\nto = \"syslog\"\npath = \"log\"\n".to_owned());
    let path = given.kept.path("log");
    given.gateway.add_user("ada", "admin");
    given.gateway.child().wait_stderr(|text| text.contains("audit sink does not work"));
    let listen = || {
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(crate::harness::DEADLINE)).unwrap();
        socket
    };
    let take = |socket: &UnixDatagram, stored: &[Stored]| {
        let mut buffer = [0; 64 << 10];
        for (key, line) in stored {
            let count = socket.recv(&mut buffer).unwrap();
            let message = std::str::from_utf8(&buffer[..count]).unwrap();
            let (head, text) = message.split_once(" audit - ").unwrap();
            assert!(head.starts_with("<85>1 20") && head.contains("Z ") && head.contains(" ollama-auth "), "{head}");
            assert_eq!(read_line(text), (key.clone(), line.clone()));
        }
    };
    let socket = listen();
    let stored = given.stored();
    take(&socket, &stored);
    // It is started again, and something happens meanwhile.
    drop(socket);
    fs::remove_file(&path).unwrap();
    given.gateway.add_user("bob", "member");
    given.gateway.child().wait_stderr(|text| text.matches("audit sink does not work").count() == 2);
    let socket = listen();
    take(&socket, &given.stored()[stored.len()..]);
}

#[test]
fn sighup_changes_the_sinks_and_one_that_fails_is_told_once() {
    let given = Given::new(|_| String::new());
    given.gateway.add_user("ada", "admin");
    let (one, two) = (given.kept.path("one"), given.kept.path("two"));
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let sink = |name: &str| format!("[[audit-sink]]\nname = \"{name}\"\nto = \"file\"\npath = \"{name}\"\n");
    let log = given.gateway.reload(&given.config, &(sink("one") + &sink("two")));
    assert!(log.contains("configuration reloaded"), "{log}");
    for path in [&one, &two] {
        wait_for_last(&given.stored(), || text(path));
    }
    // One is taken away; later it goes on where it was.
    given.gateway.reload(&given.config, &sink("two"));
    given.gateway.add_user("bob", "member");
    wait_for_last(&given.stored(), || text(&two));
    assert_eq!(read(&text(&one)).len() + 1, given.stored().len());
    given.gateway.reload(&given.config, &(sink("one") + &sink("two")));
    wait_for_last(&given.stored(), || text(&one));
    assert_eq!(read(&text(&one)), given.stored());
    assert_eq!(read(&text(&two)), given.stored());
    // One that cannot be written holds up neither the other nor changes.
    fs::remove_file(&one).unwrap();
    symlink(&two, &one).unwrap();
    given.gateway.add_user("eve", "member");
    given.gateway.child().wait_stderr(|text| text.contains("it is a symbolic link"));
    wait_for_last(&given.stored(), || text(&two));
    given.gateway.add_user("dan", "member");
    wait_for_last(&given.stored(), || text(&two));
    assert_eq!(read(&text(&two)), given.stored());
    fs::remove_file(&one).unwrap();
    wait_for_last(&given.stored(), || text(&one));
    // Perhaps some before, too: the file was removed while they were written.
    let last = read(&text(&one));
    assert!(given.stored().ends_with(&last) && last.len() >= 2, "{last:?}");
    // What is wrong leaves the sinks as they are.
    for (wrong, words) in [
        (sink("two") + &sink("two"), "two sinks have the same name"),
        ("[[audit-sink]]\nname = \"x\"\nto = \"tape\"\n".to_owned(), "must be stdout, file or syslog"),
        ("[[audit-sink]]\nname = \"x\"\nto = \"file\"\n".to_owned(), "needs the path of its file"),
    ] {
        let log = given.gateway.reload(&given.config, &wrong);
        assert!(log.contains("cannot reload the configuration") && log.contains(words), "{log}");
    }
    given.gateway.add_user("fay", "member");
    wait_for_last(&given.stored(), || text(&one));
}

#[test]
fn a_sink_of_one_gateway_gets_the_events_of_all_on_one_postgresql_database() {
    let server = Postgres::shared();
    let database = server.database();
    let kept = Sandbox::new();
    let config = kept.write("gateway.toml", to_file("events.jsonl"));
    let with_sink = Gateway::start_on(&database, "http://127.0.0.1:9", &["--config", config.to_str().unwrap()]);
    let others = [(); 2].map(|()| Gateway::start_on(&database, "http://127.0.0.1:9", &[]));
    with_sink.add_user("ada", "admin");
    std::thread::scope(|scope| {
        for (number, gateway) in others.iter().enumerate() {
            scope.spawn(move || {
                for round in 0..5 {
                    gateway.add_user(&format!("person-{number}-{round}"), "member");
                }
            });
        }
    });
    let rows = server.sql(&database, "SELECT log_index || ' ' || record FROM events ORDER BY log_index");
    let origin = server.sql(&database, "SELECT origin FROM audit_logs");
    let stored: Vec<Stored> = rows
        .lines()
        .map(|row| {
            let (index, line) = row.split_once(' ').unwrap();
            ((origin.clone(), index.parse().unwrap()), line.to_owned())
        })
        .collect();
    let text = || fs::read_to_string(kept.path("events.jsonl")).unwrap_or_default();
    wait_for_last(&stored, text);
    assert_eq!(read(&text()), stored);
}
