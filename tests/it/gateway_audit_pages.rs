//! The event log in a browser: who may read it, what the filters and the export give, and what a person sees of their own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway, PASSWORD};
use crate::harness::pages::{FORM, between, cookie};

/// A gateway with ada, an administrator; bob, a member; and eve, an auditor. Its roles are in a file.
struct Given {
    gateway: Gateway,
    file: std::path::PathBuf,
    _folder: Sandbox,
}

const LEAD: &str = "[roles.lead]\nbase = \"member\"\naudit = true\n";

impl Given {
    fn new() -> Self {
        let folder = Sandbox::new();
        let file = folder.write("gateway.toml", LEAD);
        let gateway = Gateway::start_with("http://127.0.0.1:9", &["--config", file.to_str().unwrap()]);
        gateway.add_user("ada", "admin").add_user("bob", "member").add_user("eve", "auditor");
        Self { gateway, file, _folder: folder }
    }

    /// The cookie of a person who has just signed in.
    fn signed_in(&self, name: &str) -> String {
        let form = self.gateway.ask("GET", "/login", &[], "");
        let token = between(form.text(), "name=\"csrf\" value=\"", "\"");
        let body = format!("csrf={token}&name={name}&password={}", PASSWORD.replace(' ', "+"));
        let signed_in = self.gateway.ask("POST", "/login", &[&cookie(&form, "visitor"), FORM], &body);
        assert_eq!(signed_in.status, 303, "{}", signed_in.text());
        cookie(&signed_in, "session")
    }

    fn get(&self, session: &str, path: &str) -> Answer {
        self.gateway.ask("GET", path, &[session], "")
    }

    /// The lines of a download.
    #[track_caller]
    fn export(&self, session: &str, query: &str) -> Vec<Value> {
        let answer = self.get(session, &format!("/admin/audit/export{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Adds events behind the gateway's back, of which nothing but the filters and the lines counts.
    fn add_events(&self, count: u64, action: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection =
                SqliteConnectOptions::new().filename(self.gateway.database()).connect().await.unwrap();
            let many = format!(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
                 INSERT INTO events (at, actor, action, subject, detail, address, code, record, log, log_index) \
                 SELECT i, 'gateway', '{action}', 's' || i, '', '192.0.2.9', 'scope', json_object('format', 1, 'at', i, 'replica', 'one', \
                 'actor', json('{{\"kind\":\"gateway\"}}'), 'action', '{action}', 'subject', 's' || i, 'outcome', 'done', 'details', \
                 json('{{}}')), 1, 1000000 + i FROM n"
            );
            sqlx::query(AssertSqlSafe(many)).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        });
    }
}

const PAGES: [&str; 3] = ["/admin/audit", "/admin/audit/export", "/admin/audit?action=key&before=3"];

#[test]
fn the_log_is_there_for_auditors_and_administrators_alone() {
    let given = Given::new();
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| given.signed_in(name));
    for path in PAGES {
        assert_eq!(given.get("X: y", path).header("location"), Some("/login"), "{path}");
        let missing = given.get(&bob, "/admin/nonsense");
        let refused = given.get(&bob, path);
        let main = |answer: &Answer| answer.text().split("<main").nth(1).unwrap().to_owned();
        assert_eq!((refused.status, main(&refused)), (404, main(&missing)), "{path}");
        for session in [&ada, &eve] {
            let page = given.get(session, path);
            assert_eq!((page.status, page.header("cache-control")), (200, Some("no-store")), "{path}: {}", page.text());
        }
        assert_eq!(given.gateway.ask("POST", path, &[&eve, FORM], "").status, 405, "{path}");
    }
    // An auditor reads the log, and nothing else of the administration.
    for path in [
        "/admin/people",
        "/admin/person?name=bob",
        "/admin/roles",
        "/admin/policy",
        "/admin/invitations",
        "/admin/maintenance",
    ] {
        assert_eq!((given.get(&eve, path).status, given.get(&ada, path).status), (404, 200), "{path}");
    }
    let account = |session| given.get(session, "/account").text().to_owned();
    assert!(account(&eve).contains("href=\"/admin/audit\"") && !account(&eve).contains("href=\"/admin\""));
    assert!(!account(&bob).contains("/admin") && account(&ada).contains("href=\"/admin\""));
    assert!(!given.get(&eve, "/admin/audit").text().contains("/admin/people"), "no way to pages that are not there");
    assert!(given.get(&ada, "/admin/people").text().contains("href=\"/admin/audit\""));
    // No credential of a program opens it.
    let device = given.gateway.device_added_to("eve");
    let key = given.gateway.key(&device, &["reader", "--scope", "models:read,keys"]);
    for path in PAGES {
        let answer = given.gateway.ask("GET", path, &[&format!("Authorization: Bearer {key}")], "");
        assert_eq!(answer.header("location"), Some("/login"), "{path}");
    }
    let ran = device.command(["keys", "create", "x", "--scope", "inference"]).run().expect_code(5);
    assert!(ran.stderr().contains("does not have the scope inference"), "{}", ran.stderr());
}

#[test]
fn a_session_loses_the_log_with_the_role() {
    let given = Given::new();
    let (bob, eve) = (given.signed_in("bob"), given.signed_in("eve"));
    let status = |session: &str| given.get(session, "/admin/audit").status;
    let admin = |args: &[&str]| given.gateway.admin(args).expect_code(0);
    assert_eq!((status(&bob), status(&eve)), (404, 200));
    admin(&["user", "role", "eve", "viewer"]);
    admin(&["user", "role", "bob", "lead"]);
    assert_eq!((status(&bob), status(&eve)), (200, 404));
    // The file decides what a role is.
    let log = given.gateway.reload(&given.file, "[roles.lead]\nbase = \"member\"\n");
    assert!(log.contains("rights lost") && log.contains("the event log"), "{log}");
    assert_eq!(status(&bob), 404);
    given.gateway.reload(&given.file, LEAD);
    assert_eq!(status(&bob), 200);
    admin(&["user", "suspend", "bob"]);
    assert_eq!(given.get(&bob, "/admin/audit").header("location"), Some("/login"));
    admin(&["user", "resume", "bob"]);
    let bob = given.signed_in("bob");
    assert_eq!(status(&bob), 200);
    admin(&["user", "disable", "bob"]);
    assert_eq!(given.get(&bob, "/admin/audit").header("location"), Some("/login"));
    let shown = given.gateway.admin(&["policy", "show", "--config", given.file.to_str().unwrap()]).expect_code(0);
    assert!(
        shown.stdout().contains("#   auditor: models:read, usage:read, keys; and the event log"),
        "{}",
        shown.stdout()
    );
}

#[test]
fn filters_and_pages_of_the_page_are_those_of_the_command() {
    let given = Given::new();
    let eve = given.signed_in("eve");
    given.add_events(120, "test.happened");
    let subjects = |page: &str| {
        let rows = page.split("<td role=\"cell\" data-label=\"Subject\">").skip(1);
        rows.map(|row| between(row, "<bdi dir=\"ltr\">", "<")).collect::<Vec<_>>()
    };
    let link = |page: &str, id: &str| {
        let found = page.split_once(&format!("id=\"{id}\""));
        found.map(|(_, rest)| between(rest, "href=\"", "\"").replace("&amp;", "&"))
    };
    let expected: Vec<String> = (1..=120).rev().map(|number| format!("s{number}")).collect();
    let first = given.get(&eve, "/admin/audit?action=test&user=&since=");
    assert_eq!(subjects(first.text()), expected[..50]);
    assert_eq!(link(first.text(), "newer"), None);
    let second = given.get(&eve, &link(first.text(), "older").unwrap());
    assert_eq!(subjects(second.text()), expected[50..100]);
    let third = given.get(&eve, &link(second.text(), "older").unwrap());
    assert_eq!((subjects(third.text()), link(third.text(), "older")), (expected[100..].to_vec(), None));
    let back = given.get(&eve, &link(third.text(), "newer").unwrap());
    assert_eq!(subjects(back.text()), expected[50..100]);
    let newest = given.get(&eve, &link(back.text(), "newer").unwrap());
    assert_eq!((subjects(newest.text()), link(newest.text(), "newer")), (expected[..50].to_vec(), None));
    assert_eq!(subjects(given.get(&eve, &link(newest.text(), "older").unwrap()).text()), expected[50..100]);
    for (query, found) in [
        ("subject=s7", vec!["s7"]),
        ("action=test.happened&since=1970-01-01T00:01:58&until=1970-01-01T00:01:59Z", vec!["s119", "s118"]),
        ("address=192.0.2.9&code=scope&until=1970-01-01T00:00:01", vec!["s1"]),
        ("actor=gateway&action=test&since=1970-01-02", vec![]),
        ("user=bob&actor=admin", vec!["bob"]),
        ("key=key_x", vec![]),
        ("request=00", vec![]),
        ("subject=%3Cscript%3E%22", vec![]),
    ] {
        let page = given.get(&eve, &format!("/admin/audit?{query}"));
        assert_eq!(
            (page.status, subjects(page.text())),
            (200, found.iter().map(|one| (*one).to_owned()).collect()),
            "{query}"
        );
        assert!(!page.text().contains("<script"), "{query}");
    }
    for (query, field) in
        [("since=yesterday", "since"), ("address=10.0.0.0/8", "address"), ("until=2026-02-30", "until")]
    {
        let page = given.get(&eve, &format!("/admin/audit?{query}"));
        assert!(page.status == 422 && page.text().contains("role=\"alert\""), "{query}: {}", page.text());
        assert!(page.text().contains(&format!("id=\"{field}\"")) && page.text().contains("aria-invalid"), "{query}");
        assert_eq!(given.get(&eve, &format!("/admin/audit/export?{query}")).status, 422, "{query}");
    }
}

#[test]
fn a_combination_of_filters_offers_to_continue() {
    let given = Given::new();
    let eve = given.signed_in("eve");
    given.add_events(60_000, "test.happened");
    let mut path = "/admin/audit?action=test&code=scope&until=1970-01-01T00:00:02".to_owned();
    for pages in 1.. {
        let page = given.get(&eve, &path);
        if page.text().contains(">s2<") {
            assert!(page.text().contains(">s1<") && pages > 1, "{pages}");
            break;
        }
        assert!(
            pages < 30 && page.text().contains("No event matches among those that were looked at."),
            "{}",
            page.text()
        );
        path = between(page.text().split_once("id=\"older\"").unwrap().1, "href=\"", "\"").replace("&amp;", "&");
    }
    // The export finds them whatever it takes.
    let lines = given.export(&eve, "?action=test&code=scope&until=1970-01-01T00:00:02");
    assert_eq!(lines.iter().map(|line| line["subject"].as_str().unwrap()).collect::<Vec<_>>(), ["s1", "s2"]);
}

#[test]
fn the_export_is_exactly_the_stored_lines_in_their_order() {
    let given = Given::new();
    let eve = given.signed_in("eve");
    given.add_events(3000, "test.happened");
    let answer = given.get(&eve, "/admin/audit/export");
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let name = answer.header("content-disposition").unwrap();
    assert!(name.starts_with("attachment; filename=\"events-20") && name.ends_with(".jsonl\""), "{name}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stored: Vec<String> = runtime.block_on(async {
        let mut connection = SqliteConnectOptions::new().filename(given.gateway.database()).connect().await.unwrap();
        sqlx::query_scalar("SELECT record FROM events ORDER BY id").fetch_all(&mut connection).await.unwrap()
    });
    assert!(stored.len() > 3000);
    assert_eq!(answer.text(), stored.join("\n") + "\n");
    assert_eq!(given.export(&eve, "?action=test.happened&since=1970-01-01T00:40:00").len(), 601);
    assert_eq!(given.export(&eve, "?action=nothing").len(), 0);
    let head = given.gateway.ask("HEAD", "/admin/audit/export", &[&eve], "");
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/x-ndjson")));
}

#[test]
fn an_export_of_all_events_can_be_verified() {
    let given = Given::new();
    let eve = given.signed_in("eve");
    given.gateway.admin(&["audit", "new-log", "--reason", "a restore"]).expect_code(0);
    given.gateway.admin(&["user", "role", "bob", "viewer"]).expect_code(0);
    let file = given.gateway.sandbox().path("events.jsonl");
    std::fs::write(&file, given.get(&eve, "/admin/audit/export").text()).unwrap();
    let verify = given.gateway.sandbox().command(["gateway", "audit", "verify", "--json"]).args([&file]);
    let found = verify.run().expect_code(0).json();
    assert_eq!(found["logs"].as_array().unwrap().len(), 2, "{found}");
}

#[test]
fn a_download_is_broken_off_when_the_person_may_not_read_the_log_any_more() {
    let given = Given::new();
    let eve = given.signed_in("eve");
    // More than fits into the buffers between gateway and reader.
    given.add_events(120_000, "test.happened");
    let mut stream = TcpStream::connect(given.gateway.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "GET /admin/audit/export HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{eve}\r\n\r\n",
        given.gateway.address()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut begin = [0; 4096];
    assert!(stream.read(&mut begin).unwrap() > 0);
    assert!(begin.starts_with(b"HTTP/1.1 200 "));
    given.gateway.admin(&["user", "role", "eve", "viewer"]).expect_code(0);
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a whole download: {read:?}, {} bytes", rest.len());
}

#[test]
fn names_in_events_are_shown_as_text() {
    let given = Given::new();
    let device = given.gateway.device_added_to("bob");
    let hostile = "<script>alert(1)</script>\"'&\u{202e}evil\u{200b}";
    let key = given.gateway.key(&device, &[hostile, "--scope", "models:read"]);
    given.gateway.admin(&["user", "suspend", "bob", "--reason", "<b>reason</b>\u{202e}"]).expect_code(0);
    given.gateway.admin(&["user", "resume", "bob"]).expect_code(0);
    for (name, path) in [("eve", "/admin/audit?user=bob"), ("eve", "/admin/audit"), ("bob", "/settings/events")] {
        let page = given.get(&given.signed_in(name), path);
        let text = page.text();
        assert!(page.status == 200 && text.contains("alert(1)"), "{path}: {text}");
        assert!(
            !text.contains("<script") && !text.contains("<b>") && !text.contains(['\u{202e}', '\u{200b}']),
            "{path}: {text}"
        );
        assert!(!text.contains(&key) && !text.contains("olauth_"), "{path}: {text}");
    }
}

#[test]
fn a_person_sees_their_own_events_and_nobody_elses() {
    let given = Given::new();
    let device = given.gateway.device_added_to("bob");
    given.gateway.key(&device, &["nightly", "--scope", "models:read"]);
    given.gateway.admin(&["user", "suspend", "bob", "--reason", "gossip about eve"]).expect_code(0);
    given.gateway.admin(&["user", "resume", "bob"]).expect_code(0);
    let (ada, bob) = (given.signed_in("ada"), given.signed_in("bob"));
    // An administrator does something to bob in a browser.
    let token = between(given.get(&ada, "/account").text(), "name=\"csrf\" value=\"", "\"");
    let body = format!("csrf={token}&action=role&of=bob&role=viewer&reason=secret+plan");
    let origin = format!("Origin: {}", given.gateway.url());
    assert_eq!(given.gateway.ask("POST", "/admin/change", &[&ada, FORM, &origin], &body).status, 303);

    assert_eq!(given.gateway.ask("GET", "/settings/events", &[], "").header("location"), Some("/login?to=keys"));
    let page = given.get(&bob, "/settings/events");
    let text = page.text();
    for shown in [
        "user.created",
        "device.added",
        "key.created",
        "nightly",
        "user.suspended",
        "user.signed_in",
        "user.role",
        "an administrator",
        ">you<",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    for hidden in [">ada<", ">eve<", "gossip", "secret plan", "user:"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    assert!(given.get(&bob, "/account").text().contains("href=\"/settings/events\""));
    // What ada did to bob is hers, too; what others did is not.
    let own = given.get(&ada, "/settings/events");
    assert!(own.text().contains("user.role") && own.text().contains("secret plan"), "{}", own.text());
    assert!(!own.text().contains("key.created") && !own.text().contains("nightly"), "{}", own.text());

    // Twenty at a time.
    for number in 0..25 {
        given.gateway.admin(&["user", "role", "bob", if number % 2 == 0 { "member" } else { "viewer" }]).expect_code(0);
    }
    let first = given.get(&bob, "/settings/events");
    assert_eq!(first.text().matches("<tr role=\"row\">").count(), 21);
    let older = between(first.text().split_once("id=\"older\"").unwrap().1, "href=\"", "\"");
    assert!(given.get(&bob, &older).text().contains("user.created"));

    // Another person with the name begins anew.
    given.gateway.admin(&["user", "remove", "bob", "--yes"]).expect_code(0);
    given.gateway.add_user("bob", "member");
    let text = given.get(&given.signed_in("bob"), "/settings/events").text().to_owned();
    assert!(text.contains("user.created") && !text.contains("nightly") && !text.contains("key.created"), "{text}");
    assert_eq!(text.matches("user.created").count(), 1);
}
