//! Groups of people who share limits, and limits of a person's own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::gateway_limits::upstream::{Mode, Upstream};
use crate::harness::DEADLINE;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::poll;
use crate::harness::postgres::Postgres;
use crate::harness::set_clock::SetClock;

const LAB: &str = "[groups.lab.limits]\nstreams = 2\n[groups.interns]\nwithin = \"lab\"\nlimits = { streams = 1 }\n";

/// A gateway with a configuration file, and keys of ada, bob and eve.
struct Given {
    gateway: Gateway,
    upstream: Upstream,
    file: PathBuf,
    keys: [String; 3],
    _folder: Sandbox,
}

const PEOPLE: [&str; 3] = ["ada", "bob", "eve"];
const ADA: usize = 0;
const BOB: usize = 1;
const EVE: usize = 2;

impl Given {
    fn start(tables: &str) -> Self {
        Self::start_within(tables, None)
    }

    fn start_within(tables: &str, clock: Option<&SetClock>) -> Self {
        let (folder, upstream) = (Sandbox::new(), Upstream::start());
        let file = folder.write("gateway.toml", tables);
        let args = ["--config", file.to_str().unwrap()];
        let gateway = match clock {
            Some(clock) => Gateway::start_with_within(upstream.url(), &args, &clock.line()),
            None => Gateway::start_with(upstream.url(), &args),
        };
        gateway.add_user("root", "admin");
        let keys = PEOPLE.map(|name| {
            gateway.add_user(name, "member");
            format!("Authorization: Bearer {}", gateway.key(&gateway.device_added_to(name), &["k"]))
        });
        Self { gateway, upstream, file, keys, _folder: folder }
    }

    fn groups(&self, args: &[&str]) {
        self.gateway.admin(&[&["user", "groups"], args].concat()).expect_code(0);
    }

    fn limits(&self, args: &[&str]) {
        self.gateway.admin(&[&["user", "limits"], args].concat()).expect_code(0);
    }

    fn user(&self, name: &str) -> Value {
        let users = self.gateway.admin(&["user", "list", "--json"]).expect_code(0).json();
        users["users"].as_array().unwrap().iter().find(|user| user["name"] == name).unwrap().clone()
    }

    /// Another configuration, and what the log says of it.
    fn reload(&self, tables: &str) -> String {
        self.gateway.reload(&self.file, tables)
    }

    fn run(&self, who: usize) -> Answer {
        self.run_with(who, "{}")
    }

    fn run_with(&self, who: usize, body: &str) -> Answer {
        self.gateway.ask("POST", "/api/chat", &[&self.keys[who], "Content-Type: application/json"], body)
    }

    /// Begins a response that does not end, and reads its beginning.
    fn begin(&self, who: usize) -> TcpStream {
        begin(&self.gateway, &self.keys[who])
    }

    fn statuses(&self, people: [usize; 3]) -> [u16; 3] {
        people.map(|who| self.run(who).status)
    }
}

fn begin(gateway: &Gateway, key: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!("POST /api/chat HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{key}\r\n", gateway.address());
    stream.write_all(format!("{head}Content-Length: 2\r\n\r\n{{}}").as_bytes()).unwrap();
    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
    stream
}

/// Whether a response that was begun ends as a whole one.
fn is_whole(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    rest.ends_with(b"0\r\n\r\n")
}

#[test]
fn the_people_in_a_group_share_its_limits_with_those_within_it() {
    let given = Given::start(LAB);
    given.groups(&["ada", "interns"]);
    given.groups(&["bob", "lab"]);
    given.upstream.set(Mode::Held);
    let of_ada = given.begin(ADA);
    // What one limit refuses uses up nothing of the others.
    for _ in 0..5 {
        let refused = given.run(ADA);
        assert_eq!((refused.status, refused.json()["code"].as_str()), (429, Some("concurrency")), "{}", refused.text());
        assert!(refused.text().contains("the limit of your group interns, 1 request at a time"), "{}", refused.text());
        let policy = refused.header("ratelimit-policy").unwrap();
        assert_eq!(policy, "\"group:interns\";q=1;qu=\"concurrent-requests\"");
    }
    let of_bob = given.begin(BOB);
    let refused = given.run(BOB);
    assert!(refused.status == 429 && refused.text().contains("your group lab, 2 requests"), "{}", refused.text());
    // Who is in no group has nothing to do with it.
    let of_eve = given.begin(EVE);
    drop(of_ada);
    given.upstream.wait_left(1);
    let again = given.begin(BOB);
    drop((of_bob, of_eve, again));
    given.upstream.wait_left(4);
    given.upstream.set(Mode::Complete);
    assert_eq!(given.statuses([ADA, BOB, EVE]), [200; 3]);
}

#[test]
fn the_rate_and_the_size_of_a_group_are_those_of_all_its_people_together() {
    let clock = SetClock::at(Timestamp::now().as_second());
    let limits = "[groups.lab.limits]\nrequests-per-minute = 60\nburst = 3\nrequest-size = \"100B\"\n";
    let given = Given::start_within(limits, Some(&clock));
    given.groups(&["ada", "lab"]);
    given.groups(&["bob", "lab"]);
    clock.set(clock.now());
    let large = given.run_with(ADA, &format!("{{\"x\":\"{}\"}}", "x".repeat(100)));
    assert_eq!((large.status, large.json()["code"].as_str()), (413, Some("size")), "{}", large.text());
    assert!(large.text().contains("the limit of your group lab"), "{}", large.text());
    let statuses = [ADA, BOB, ADA, BOB, ADA].map(|who| given.run(who).status);
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let refused = given.run(BOB);
    assert_eq!(refused.header("ratelimit-policy"), Some("\"group:lab\";q=60;w=60"));
    assert_eq!((refused.header("retry-after"), given.run(EVE).status), (Some("1"), 200));
    clock.pass(1);
    assert_eq!(given.statuses([BOB, ADA, EVE]), [200, 429, 200]);
}

#[test]
fn a_group_that_is_removed_has_no_effect_until_it_is_back() {
    let mut given = Given::start(LAB);
    given.groups(&["ada", "interns", "lab"]);
    given.groups(&["bob", "interns"]);
    given.upstream.set(Mode::Held);
    let held = given.begin(ADA);
    assert_eq!(given.run(BOB).status, 429);
    let log = given.reload("[groups.lab.limits]\nstreams = 9\n");
    let says = "the group of these accounts is not defined";
    assert!(log.contains(says) && log.contains("interns") && log.contains("ada, bob"), "{log}");
    let other = given.begin(BOB);
    assert_eq!(given.user("ada")["groups"], json!(["interns", "lab"]));
    assert_eq!(given.user("ada")["undefined_groups"], json!(["interns"]));
    let list = given.gateway.admin(&["user", "list"]).expect_code(0);
    assert!(list.stdout().contains("interns (not defined)"), "{}", list.stdout());
    // Nobody gets into it; out of it, yes.
    for args in [&["eve", "interns"][..], &["ada", "interns", "lab"], &["eve", "--add", "interns"]] {
        let refused = given.gateway.admin(&[&["user", "groups"], args].concat()).expect_code(1);
        assert!(refused.stderr().contains("there is no group \"interns\""), "{}", refused.stderr());
    }
    given.groups(&["ada", "--add", "lab"]);
    given.limits(&["eve", "--limit", "size=1B"]);
    given.groups(&["bob", "--remove", "interns"]);
    assert_eq!((&given.user("ada")["groups"], &given.user("bob")["groups"]), (&json!(["interns", "lab"]), &json!([])));
    // A start says it too, and who is still in it is limited once it is back.
    drop((held, other));
    given.gateway.end(Signal::TERM);
    given.gateway.restart();
    given.gateway.child().wait_stderr(|text| text.contains(says));
    assert_eq!(given.run(EVE).status, 413, "limits of a person outlast a restart");
    assert!(!given.reload(LAB).contains(says));
    let _held = given.begin(ADA);
    assert_eq!(given.run(ADA).status, 429);
}

#[test]
fn groups_that_cannot_be_are_refused_and_change_nothing() {
    let given = Given::start(LAB);
    for (tables, says) in [
        (
            "[groups.a]\nwithin = \"b\"\n[groups.b]\nwithin = \"a\"\n",
            "the group a is within itself: a, within b, within a",
        ),
        ("[groups.a]\nwithin = \"a\"\n", "the group a is within itself"),
        ("[groups.a]\nwithin = \"none\"\n", "the group a is within none, which is not defined"),
        ("[groups.a.limits]\nstreams = 0\n", "0 would refuse every request"),
        ("[groups.a]\nlimit = 1\n", "unknown setting \"limit\""),
        ("[groups.A]\n", "use 1 to 32 of a-z, 0-9"),
    ] {
        let log = given.reload(tables);
        assert!(log.contains("cannot reload the configuration") && log.contains(says), "{tables}: {log}");
        std::fs::write(&given.file, tables).unwrap();
        let folder = Sandbox::new();
        let database = folder.path("gateway.db");
        let args = ["gateway", "serve", "--listen", "127.0.0.1:0", "--config", given.file.to_str().unwrap()];
        let refused = folder.command(args).args(["--database", database.to_str().unwrap()]).run().expect_code(2);
        assert!(refused.stderr().contains(says), "{tables}: {}", refused.stderr());
    }
    given.groups(&["ada", "interns"]);
}

#[test]
fn the_tighter_one_of_a_persons_limits_and_those_of_the_role_holds() {
    let clock = SetClock::at(Timestamp::now().as_second());
    let given = Given::start_within("[roles.member.limits]\nstreams = 2\n", Some(&clock));
    let wide = given.gateway.admin(&["user", "limits", "ada", "--limit", "streams=9,rpm=60", "--limit", "burst=1"]);
    assert!(wide.expect_code(0).stderr().contains("ada may use at most 60 requests per minute"));
    clock.set(clock.now());
    let shown = json!({ "requests_per_minute": 60, "burst": 1, "streams": 9 });
    assert_eq!(given.user("ada")["limits"], shown);
    let list = given.gateway.admin(&["user", "list"]).expect_code(0);
    assert!(list.stdout().contains("rpm=60,burst=1,streams=9"), "{}", list.stdout());
    assert_eq!(given.statuses([ADA, ADA, BOB]), [200, 429, 200]);
    let refused = given.run(ADA);
    assert!(refused.text().contains("the limit of your account, 60 requests per minute"), "{}", refused.text());
    assert_eq!(refused.header("ratelimit-policy"), Some("\"person\";q=60;w=60"));
    // The role's number of streams is the lower one.
    given.limits(&["ada", "--limit", "streams=9"]);
    given.upstream.set(Mode::Held);
    let held = [given.begin(ADA), given.begin(ADA)];
    assert!(given.run(ADA).text().contains("your account, 2 requests at a time"));
    // An end would wait for them.
    drop(held);
    given.upstream.wait_left(2);
    given.upstream.set(Mode::Complete);
    given.limits(&["ada", "--limit", "size=10B"]);
    assert_eq!((given.run_with(ADA, "{\"model\":1}").status, given.run_with(BOB, "{\"model\":1}").status), (413, 200));
    given.limits(&["ada", "--clear", "--reason", "thesis is done"]);
    assert_eq!((given.run_with(ADA, "{\"model\":1}").status, &given.user("ada")["limits"]), (200, &Value::Null));
    let events = given.gateway.admin(&["audit", "--action", "user.limits", "--json"]).expect_code(0).json();
    let latest = &events["events"][0]["details"];
    assert_eq!((&latest["from"], &latest["reason"]), (&json!({ "request_size": 10 }), &json!("thesis is done")));
}

#[test]
fn the_commands_say_what_is_wrong_and_leave_events() {
    let given = Given::start(LAB);
    for (args, code, says) in [
        (&["groups", "ada", "Lab"][..], 2, "invalid group \"Lab\""),
        (&["groups", "ada", "lap"], 1, "there is no group \"lap\""),
        (&["groups", "nobody", "lab"], 3, "there is no user \"nobody\""),
        (&["groups", "ada", "lab", "--add", "interns"], 2, "cannot be used with"),
        (&["groups", "ada", "lab", "--reason", "a\u{7}b"], 2, "invalid reason"),
        (&["limits", "ada"], 2, "--limit"),
        (&["limits", "ada", "--clear", "--limit", "rpm=1"], 2, "cannot be used with"),
        (&["limits", "ada", "--limit", "rpm=0"], 2, "0 would refuse every request"),
        (&["limits", "ada", "--limit", "burst=1"], 2, "a burst needs a number of requests per minute"),
        (&["limits", "nobody", "--clear"], 3, "there is no user \"nobody\""),
    ] {
        let refused = given.gateway.admin(&[&["user"], args].concat()).expect_code(code);
        assert!(refused.stderr().contains(says), "{args:?}: {}", refused.stderr());
    }
    let set = given.gateway.admin(&["user", "groups", "ada", "lab", "interns", "lab", "--json", "--reason", "new"]);
    assert_eq!(set.expect_code(0).json()["groups"], json!(["interns", "lab"]));
    // What changes nothing leaves no event.
    given.groups(&["ada", "interns", "lab"]);
    given.groups(&["ada"]);
    let events = given.gateway.admin(&["audit", "--action", "user.groups", "--json"]).expect_code(0).json();
    let details: Vec<&Value> = events["events"].as_array().unwrap().iter().map(|event| &event["details"]).collect();
    assert_eq!(details, [&json!({ "from": "interns, lab" }), &json!({ "to": "interns, lab", "reason": "new" })]);
    assert_eq!(events["events"][0]["subject"], "ada");
}

#[test]
fn other_groups_and_limits_cut_nothing_off() {
    let given = Given::start(LAB);
    given.upstream.set(Mode::Held);
    let stream = given.begin(ADA);
    // An upload that is under way, too.
    let mut upload = TcpStream::connect(given.gateway.address()).unwrap();
    upload.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!("POST /api/chat HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", given.gateway.address());
    upload.write_all(format!("{head}{}\r\nContent-Length: 2\r\n\r\n{{", given.keys[ADA]).as_bytes()).unwrap();
    given.upstream.wait_arrived(1);
    given.groups(&["ada", "interns"]);
    given.limits(&["ada", "--limit", "streams=1"]);
    given.reload("[groups.interns.limits]\nstreams = 1\n");
    upload.write_all(b"}").unwrap();
    assert!(upload.read(&mut [0; 4096]).unwrap() > 0);
    given.upstream.release();
    assert!(is_whole(stream) && is_whole(upload));
    given.upstream.set(Mode::Held);
    let _held = given.begin(ADA);
    assert_eq!(given.run(ADA).status, 429);
}

#[test]
fn gateways_on_one_database_divide_the_limits_of_a_group() {
    let (upstream, database, folder) = (Upstream::start(), Postgres::shared().database(), Sandbox::new());
    let file = folder.write("gateway.toml", "[groups.lab.limits]\nstreams = 2\n");
    let args = ["--config", file.to_str().unwrap()];
    let start = || Gateway::start_on(&database, upstream.url(), &args);
    let one = start();
    let keys = ["ada", "bob"].map(|name| {
        one.add_user(name, "member");
        // Without a gateway in between: the command needs the file to know the group.
        one.admin(&[&["user", "groups", name, "lab"], &args[..]].concat()).expect_code(0);
        format!("Authorization: Bearer {}", one.key(&one.device_added_to(name), &["k"]))
    });
    let status = |gateway: &Gateway, key: &str| gateway.ask("POST", "/api/chat", &[key], "{}").status;
    upstream.set(Mode::Held);
    let _first = [begin(&one, &keys[0]), begin(&one, &keys[1])];
    assert_eq!(status(&one, &keys[0]), 429);
    let two = start();
    // Of the second gateway's part, which is one, whoever of the group comes first has it.
    let _second = begin(&two, &keys[1]);
    poll("the part of the second gateway", || (status(&two, &keys[0]) == 429).then_some(()));
    // What is changed at one is known at the other.
    one.admin(&[&["user", "groups", "ada"], &args[..]].concat()).expect_code(0);
    upstream.set(Mode::Complete);
    poll("the change", || (status(&two, &keys[0]) == 200).then_some(()));
}
