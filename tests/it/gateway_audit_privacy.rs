//! What must not be recorded is nowhere: canaries are put into every input, and looked for in the database, the log, the event log, its sinks
//! and the pages.

use std::fs;

use serde_json::json;

use crate::harness::gateway::{Gateway, PASSWORD};
use crate::harness::http::{Reply, Server};
use crate::harness::pages::{FORM, between, cookie};
use crate::harness::poll;

const HEADER: &str = "canary-header";
const QUERY: &str = "canary-query";
const PROMPT: &str = "canary-prompt";
const RESPONSE: &str = "canary-response";
/// A password that is typed where the name belongs.
const MISTYPED: &str = "Canary-Password";

/// How something may be written.
fn forms(canary: &str) -> Vec<String> {
    use base64::Engine as _;
    // Of an API key, its secret part.
    let part = canary.strip_prefix("olauth_").unwrap_or(canary);
    let percent: String = part.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let base64 = base64::prelude::BASE64_STANDARD.encode(part);
    vec![part.to_ascii_lowercase(), percent, base64.trim_end_matches('=').to_ascii_lowercase()]
}

#[track_caller]
pub fn assert_absent(place: &str, bytes: &[u8], canaries: &[String]) {
    let bytes = bytes.to_ascii_lowercase();
    for canary in canaries {
        for form in forms(canary) {
            let found = bytes.windows(form.len()).position(|part| part == form.as_bytes());
            let around =
                found.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(200)..bytes.len().min(at + 80)]));
            assert!(found.is_none(), "{canary} is in {place}: {around:?}");
        }
    }
}

/// The header of a session on the pages.
fn sign_in(gateway: &Gateway, name: &str) -> String {
    let page = gateway.ask("GET", "/login", &[], "");
    let (visitor, csrf) = (cookie(&page, "visitor"), between(page.text(), "name=\"csrf\" value=\"", "\""));
    let body = format!("csrf={csrf}&next=&name={name}&password={}", PASSWORD.replace(' ', "+"));
    let answer = gateway.ask("POST", "/login", &[&visitor, FORM], &body);
    assert_eq!(answer.status, 303, "{}", answer.text());
    cookie(&answer, "session")
}

#[test]
fn no_secret_prompt_or_response_is_recorded_anywhere() {
    let upstream = Server::start(|request| match request.path() {
        "/api/chat" => {
            let message = json!({ "role": "assistant", "content": RESPONSE });
            Reply::json(200, json!({ "model": "tiny", "message": message, "done": true }).to_string())
        }
        _ => Reply::json(200, "{\"models\":[]}"),
    });
    let other = Gateway::start("http://127.0.0.1:9");
    other.add_user("eve", "admin");
    let foreign = other.key(&other.device_of("eve"), &["k"]);

    let sink = other.sandbox().path("events.jsonl");
    let access_log = other.sandbox().path("access.log");
    let config = other.sandbox().write(
        "gateway.toml",
        format!(
            "access-log = \"{}\"\n[[audit-sink]]\nname = \"siem\"\nto = \"file\"\npath = \"{}\"\n",
            access_log.display(),
            sink.display()
        ),
    );
    // Each request in the log, too.
    let gateway = Gateway::start_with(&upstream.url(), &["--config", config.to_str().unwrap(), "-v"]);
    gateway.add_user("ada", "admin").add_user("bob", "member");
    let ada = gateway.device_of("ada");
    let key = gateway.key(&ada, &["k", "--scope", "inference,models:read,keys"]);
    let ended = gateway.key(&ada, &["ended"]);
    gateway.admin(&["key", "revoke", "ended", "--user", "ada", "--yes"]).expect_code(0);
    let typo = crate::harness::with_other_end(&foreign);
    let keys = [&key, &ended, &foreign, &typo];

    // Names, reasons and messages, by commands.
    for (number, key) in keys.into_iter().enumerate() {
        let encoded = key.replace('_', "%5F");
        for text in [key.clone(), format!("use \"{key}\", please"), format!("x?k={encoded}")] {
            gateway.admin(&["user", "suspend", "bob", "--reason", &text]).expect_code(0);
            gateway.admin(&["user", "resume", "bob"]).expect_code(0);
            gateway.admin(&["maintenance", "on", "--message", &text]).expect_code(0);
            gateway
                .admin(&["user", "invite", "--reason", &text, "--email", &format!("{key}@example.com")])
                .expect_code(0);
        }
        let public = format!("{}-{number}", key.to_lowercase());
        let refused = gateway.admin_with(&["user", "add", &key.to_lowercase()], &format!("{PASSWORD}\n"));
        assert_ne!(refused.code(), 0, "{}", refused.stdout());
        gateway
            .admin_with(&["user", "add", &format!("p{number}"), "--email", key], &format!("{PASSWORD}\n"))
            .expect_code(0);
        for args in [
            &["user", "role", "bob", &public][..],
            &["user", "groups", "bob", "--add", key],
            &["key", "suspend", key, "--user", "ada"],
            &["user", "disable", key],
            &["approve", key, "--user", "bob"],
        ] {
            assert_ne!(gateway.admin(args).code(), 0, "{args:?}");
        }
        gateway.admin(&["audit", "--subject", key]);
    }
    gateway.admin(&["maintenance", "off"]).expect_code(0);
    // The name of a device, in the link that it prints.
    let mut device = crate::harness::cmd::Sandbox::new();
    device.set_env("OLLAMA_AUTH_STORE", "plaintext");
    let asked = device.command(["signin", "--host", &gateway.url(), "--no-wait"]).run().expect_code(4);
    let link = asked.stdout().trim().to_owned();
    let (before, rest) = link.split_once("name=").unwrap();
    let link = format!("{before}name={key}{}", rest.find('&').map_or("", |at| &rest[at..]));
    gateway.admin(&["approve", &link, "--user", "bob"]).expect_code(0);

    // Requests: accepted ones, refused ones, and what no server understands.
    let bearer = format!("Authorization: Bearer {key}");
    let chat =
        json!({ "model": "tiny", "stream": false, "messages": [{ "role": "user", "content": PROMPT }] }).to_string();
    let agent = format!("User-Agent: {HEADER}/1.0 ({foreign})");
    let headers = [&*bearer, &*agent, "X-Request-Id: canary-header", "Traceparent: canary-header"];
    let target = format!("/api/chat?k={QUERY}&l={foreign}");
    assert_eq!(gateway.ask("POST", &target, &headers, &chat).status, 200);
    for one in keys {
        let own = format!("Authorization: Bearer {one}");
        let basic = format!("Authorization: Basic {one}");
        let named = json!({ "model": one, "messages": [{ "role": "user", "content": PROMPT }] }).to_string();
        for (method, target, headers, body) in [
            ("GET", format!("/api/{one}?{QUERY}"), vec![&*bearer, &*agent], ""),
            ("GET", format!("/api/user/keys/{one}?{QUERY}"), vec![&*bearer], ""),
            ("DELETE", format!("/api/user/keys/{one}"), vec![&*bearer], ""),
            ("GET", format!("/api/tags?ts={one}"), vec![&*own, &*agent], ""),
            ("GET", format!("/{one}"), vec![&*own], ""),
            ("POST", "/api/chat".to_owned(), vec![&*own], &*named),
            ("POST", "/api/pull".to_owned(), vec![&*bearer], &*named),
            ("POST", "/api/chat".to_owned(), vec![&*bearer], PROMPT),
            ("GET", "/api/tags".to_owned(), vec![&*basic], ""),
            ("GET", "/api/tags".to_owned(), vec!["Authorization: Bearer canary-header", &*agent], ""),
            ("GET", format!("/connect?name={one}&key={one}"), vec![&*agent], ""),
            ("GET", format!("/invite?token={one}"), vec![], ""),
            ("GET", format!("/oidc/{one}/callback?code={one}&error={one}"), vec![], ""),
        ] {
            gateway.ask(method, &target, &headers, body);
        }
        gateway.ask(one, "/api/tags", &[&bearer], "");
        for line in ["Host", "Origin", "X-Forwarded-For", "Cookie", "Content-Type", "Referer"] {
            gateway.raw(format!(
                "GET /api/tags HTTP/1.1\r\nHost: {}\r\n{line}: {one}\r\nConnection: close\r\n\r\n",
                gateway.address()
            ));
        }
        gateway.raw(format!("{one} {one} {one}\r\n\r\n"));
        // What somebody calls a key; and the models of one.
        for member in ["name", "environment"] {
            let mut body = json!({ "name": format!("n{member}") });
            body[member] = json!(one);
            let made = gateway.ask("POST", "/api/user/keys", &[&bearer], &body.to_string());
            assert!(made.status == 201 || member == "environment", "{}", made.text());
        }
        let body = json!({ "name": "m", "models": [one] }).to_string();
        assert_eq!(gateway.ask("POST", "/api/user/keys", &[&bearer], &body).status, 400);
    }
    // Somebody types a password, or a key, in place of the name.
    let page = gateway.ask("GET", "/login", &[], "");
    let (visitor, csrf) = (cookie(&page, "visitor"), between(page.text(), "name=\"csrf\" value=\"", "\""));
    for (name, password) in
        [(MISTYPED, "x"), ("ada", MISTYPED), (&*key, "x"), (&*foreign, &*foreign), ("nobody", &*key)]
    {
        gateway.ask("POST", "/login", &[&visitor, FORM], &format!("csrf={csrf}&next=&name={name}&password={password}"));
    }
    let session = sign_in(&gateway, "ada");

    let canaries: Vec<String> = keys
        .into_iter()
        .map(String::as_str)
        .chain([HEADER, QUERY, PROMPT, RESPONSE, MISTYPED, PASSWORD])
        .map(str::to_owned)
        .collect();
    // Refusals are recorded a little later; then the sink has them.
    let events = || gateway.admin(&["audit", "--json", "--limit", "1000"]).expect_code(0);
    poll("the refusals", || events().stdout().contains("credential.refused").then_some(()));
    let latest = || events().json()["events"][0]["index"].as_u64().unwrap();
    poll("the sink", || {
        let text = fs::read_to_string(&sink).unwrap_or_default();
        text.lines().last()?.contains(&format!("\"index\":{},", latest())).then_some(())
    });
    // In their place are the ids of the keys: it was recorded.
    let shown = events().stdout().to_owned();
    let list = gateway.admin(&["key", "list", "--user", "ada", "--json"]).expect_code(0).json();
    let id = list["keys"].as_array().unwrap().iter().find(|key| key["name"] == "k").unwrap()["id"].clone();
    for text in [format!("use \\\"{}\\\", please", id.as_str().unwrap()), "(an unknown API key)".to_owned()] {
        assert!(shown.contains(&text), "{text}: {shown}");
    }
    assert_absent(
        "the event log",
        &[events().stdout, gateway.admin(&["audit", "--limit", "1000"]).stdout].concat(),
        &canaries,
    );
    assert_absent("an export", &gateway.admin(&["audit", "export"]).expect_code(0).stdout, &canaries);
    let last = gateway.ask("GET", "/api/tags", &[&bearer], "");
    let requests = poll("the access log", || {
        let text = fs::read_to_string(&access_log).unwrap();
        text.contains(last.header("x-request-id").unwrap()).then_some(text)
    });
    assert!(requests.contains(&format!("credential=key:{}", id.as_str().unwrap())) && requests.lines().count() > 100);
    assert_absent("the access log", requests.as_bytes(), &canaries);
    assert_absent("the sink", &fs::read(&sink).unwrap(), &canaries);
    for list in [
        &["user", "list"][..],
        &["key", "list"],
        &["device", "list"],
        &["user", "invitations"],
        &["maintenance", "show"],
    ] {
        assert_absent(&format!("{list:?}"), &gateway.admin(list).stdout, &canaries);
    }
    for page in [
        "/account",
        "/settings/keys",
        "/admin/people",
        "/admin/person?name=ada",
        "/admin/roles",
        "/admin/policy",
        "/admin/invitations",
        "/admin/maintenance",
        "/admin/audit",
        "/admin/audit/export",
        "/settings/events",
    ] {
        let answer = gateway.ask("GET", page, &[&session], "");
        assert_eq!(answer.status, 200, "{page}");
        assert_absent(page, &answer.body, &canaries);
    }
    for more in ["", "-wal", "-shm"] {
        let path = format!("{}{more}", gateway.database().display());
        assert_absent(&path, &fs::read(&path).unwrap(), &canaries);
    }
    assert_absent("the log", gateway.child().wait_stderr(|_| true).as_bytes(), &canaries);
    let backup = gateway.sandbox().path("backup.db");
    gateway.admin(&["db", "backup", backup.to_str().unwrap()]).expect_code(0);
    assert_absent("a backup", &fs::read(backup).unwrap(), &canaries);
}
