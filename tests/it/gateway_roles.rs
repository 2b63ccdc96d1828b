//! Roles of the configuration: what they allow, and what becomes of keys and responses when they change.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::gateway_limits::upstream::{Mode, Upstream};
use crate::harness::DEADLINE;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::set_clock::SetClock;

const LLAMA_ONLY: &str = "[roles.member]\nmodels = [\"llama3*\"]\n";

/// A gateway with a configuration file, an administrator `root`, and a person `ada`.
struct Given {
    gateway: Gateway,
    upstream: Upstream,
    file: PathBuf,
    _folder: Sandbox,
}

impl Given {
    /// With these tables, and ada in that role.
    fn start(tables: &str, role: &str) -> Self {
        Self::start_within(tables, role, None)
    }

    fn start_within(tables: &str, role: &str, clock: Option<&SetClock>) -> Self {
        let (folder, upstream) = (Sandbox::new(), Upstream::start());
        let file = folder.write("gateway.toml", tables);
        let args = ["--config", file.to_str().unwrap()];
        let gateway = match clock {
            Some(clock) => Gateway::start_with_within(upstream.url(), &args, &clock.line()),
            None => Gateway::start_with(upstream.url(), &args),
        };
        gateway.add_user("root", "admin").add_user("ada", role);
        Self { gateway, upstream, file, _folder: folder }
    }

    /// Another configuration, and what the log says of it.
    fn reload(&self, tables: &str) -> String {
        self.gateway.reload(&self.file, tables)
    }

    /// A key of ada's that a device of hers makes.
    fn key(&self, body: Value) -> Value {
        let device = self.gateway.device_added_to("ada");
        let expires = body["expires"].as_str().unwrap_or("90d").to_owned();
        let body = body.as_object().unwrap();
        let text =
            |name: &str| body[name].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect::<Vec<_>>();
        let mut args = vec!["keys", "create", "k", "--json", "--expires", &expires, "--scope"];
        let scopes = text("scopes").join(",");
        args.push(&scopes);
        let models = body.get("models").map(|_| text("models").join(","));
        if let Some(models) = &models {
            args.extend(["--model", models]);
        }
        device.command(args).run().expect_code(0).json()
    }

    fn usual_key(&self) -> Value {
        self.key(json!({ "scopes": ["inference", "models:read", "keys"] }))
    }

    fn chat(&self, key: &Value, model: &str) -> Answer {
        let body = json!({ "model": model }).to_string();
        self.gateway.ask("POST", "/api/chat", &[&header(key), "Content-Type: application/json"], &body)
    }

    /// Begins a response that does not end, and reads its beginning.
    fn begin(&self, key: &Value, model: &str) -> TcpStream {
        let body = json!({ "model": model }).to_string();
        let mut stream = TcpStream::connect(self.gateway.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let (host, length) = (self.gateway.address(), body.len());
        let head = format!("POST /api/chat HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{}\r\n", header(key));
        stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes()).unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream
    }

    fn make(&self, by: &Value, body: &Value) -> Answer {
        let headers = [&*header(by), "Content-Type: application/json"];
        self.gateway.ask("POST", "/api/user/keys", &headers, &body.to_string())
    }

    /// The codes of the refusals in the event log.
    fn has_event(&self, code: &str) -> bool {
        let poll = || {
            let events = self.gateway.admin(&["audit", "--code", code, "--json"]).expect_code(0).json();
            (!events["events"].as_array().unwrap().is_empty()).then_some(())
        };
        crate::harness::poll(code, poll);
        true
    }
}

fn header(key: &Value) -> String {
    format!("Authorization: Bearer {}", key["key"].as_str().unwrap())
}

/// Whether a response that was begun ends as a whole one.
fn is_whole(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    // A time limit is no end.
    assert!(!read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "the response does not end");
    rest.ends_with(b"0\r\n\r\n")
}

#[test]
fn a_key_is_limited_to_the_models_of_a_role_that_shrinks() {
    let given = Given::start("", "member");
    let key = given.usual_key();
    let narrow = given.key(json!({ "scopes": ["inference"], "models": ["llama3.2:3b"] }));
    assert_eq!((given.chat(&key, "qwen3").status, &key["models"]), (200, &json!([])));

    let log = given.reload(LLAMA_ONLY);
    assert!(log.contains("rights lost") && log.contains(key["id"].as_str().unwrap()), "{log}");
    assert!(!log.contains(narrow["id"].as_str().unwrap()), "{log}");
    for (model, status) in [
        ("llama3", 200),
        ("LLAMA3.2:3b", 200),
        ("registry.ollama.ai/library/Llama3:latest", 200),
        ("library/llama3:LATEST", 200),
        ("qwen3", 403),
        ("me/llama3", 403),
        ("hf.co/library/llama3", 403),
        ("llama2", 403),
        (" qwen3:latest", 403),
    ] {
        assert_eq!(given.chat(&key, model).status, status, "{model}");
    }
    assert_eq!(given.chat(&narrow, "llama3.2:3B").status, 200);
    assert!(given.has_event("model"));
    // What names no model is not for somebody with some models.
    let search = given.gateway.ask("POST", "/api/experimental/web_search", &[&header(&key)], "{}");
    assert_eq!(search.status, 403, "{}", search.text());

    // Nor does it get back what it lost: by replacing itself, or by making another one.
    let new = given.make(&key, &json!({ "replaces": key["id"] }));
    assert_eq!(new.status, 201, "{}", new.text());
    assert_eq!((given.chat(&new.json(), "qwen3").status, given.chat(&new.json(), "llama3").status), (403, 200));
    for models in [json!(["qwen3"]), json!(["*"]), json!(["llama*"])] {
        let made = given.make(&key, &json!({ "name": "child", "models": models }));
        assert_eq!(made.status, 403, "{models}: {}", made.text());
        assert!(
            made.text().contains("your role member does not allow the scope inference for all models"),
            "{}",
            made.text()
        );
    }
    // The client sends an empty list where none are chosen.
    let children = [json!({ "name": "child" }), json!({ "name": "child", "models": [] })];
    let [child, other] = children.map(|body| given.make(&key, &body));
    assert_eq!((child.status, &child.json()["models"]), (201, &json!(["llama3*"])), "{}", child.text());
    assert_eq!(other.json()["models"], json!(["llama3*"]), "{}", other.text());
    assert_eq!((given.chat(&child.json(), "qwen3").status, given.chat(&child.json(), "llama3").status), (403, 200));
    // When the role grows again, the key has what it had.
    assert!(!given.reload("").contains("rights lost"));
    assert_eq!((given.chat(&key, "qwen3").status, given.chat(&child.json(), "qwen3").status), (200, 403));
}

#[test]
fn a_response_is_cut_only_when_its_right_is_gone() {
    let tables = |models: &str, more: &str| {
        format!("[roles.research]\nbase = \"member\"\nmodels = [{models}]\n{more}[roles.open]\nbase = \"member\"\n")
    };
    let given = Given::start(&tables("\"llama3*\", \"qwen*\"", ""), "open");
    let key = given.usual_key();
    given.gateway.admin(&["user", "role", "ada", "research"]).expect_code(0);
    given.upstream.set(Mode::Held);
    let (llama, qwen) = (given.begin(&key, "Llama3"), given.begin(&key, "qwen3"));
    // Records that change, and roles that grow or get limits, cut nothing.
    given.reload(&tables("\"llama3*\", \"qwen*\", \"x\"", "[roles.research.limits]\nstreams = 9\n"));
    given.reload(&tables("\"llama3\", \"qwen3\"", "[roles.research.limits]\nstreams = 8\n"));
    given.gateway.admin(&["user", "role", "ada", "open"]).expect_code(0);
    given.gateway.admin(&["user", "role", "ada", "research"]).expect_code(0);
    assert_eq!(given.upstream.left(), 0);
    let log = given.reload(&tables("\"llama3\"", ""));
    assert!(log.contains("rights lost"), "{log}");
    assert!(!is_whole(qwen), "the model is not allowed any more");
    given.upstream.wait_left(1);
    given.upstream.release();
    assert!(is_whole(llama), "its model is still allowed");

    // A request that was not read, since every model was allowed, may have named any.
    given.gateway.admin(&["user", "role", "ada", "open"]).expect_code(0);
    given.upstream.set(Mode::Held);
    let unread = given.begin(&key, "llama3");
    given.gateway.admin(&["user", "role", "ada", "research"]).expect_code(0);
    assert!(!is_whole(unread));
    // A scope that goes.
    let scoped = given.begin(&key, "llama3");
    given.reload("[roles.research]\nbase = \"viewer\"\n[roles.open]\nbase = \"member\"\n");
    assert!(!is_whole(scoped));
    assert!(given.chat(&key, "llama3").text().contains("does not have the scope inference"));
}

#[test]
fn people_whose_role_is_removed_may_do_nothing_until_it_is_back() {
    let tables = "[roles.research]\nbase = \"member\"\n";
    let mut given = Given::start(tables, "research");
    let key = given.usual_key();
    given.upstream.set(Mode::Held);
    let held = given.begin(&key, "llama3");
    let log = given.reload("");
    assert!(log.contains("the role research is not defined") && log.contains(key["id"].as_str().unwrap()), "{log}");
    assert!(!is_whole(held));
    given.upstream.set(Mode::Complete);
    for (method, path) in [("POST", "/api/chat"), ("GET", "/api/tags"), ("POST", "/api/me"), ("GET", "/api/user/keys")]
    {
        let refused = given.gateway.ask(method, path, &[&header(&key)], "");
        let says = "the role research of this account is not defined at this gateway";
        assert!(refused.status == 403 && refused.text().contains(says), "{path}: {}", refused.text());
    }
    assert!(given.has_event("undefined_role"));
    assert_eq!(given.make(&key, &json!({ "replaces": key["id"] })).status, 403);
    // Others get no such role, and the person can get another one.
    let unknown = given.gateway.admin(&["user", "role", "root", "research"]).expect_code(1);
    assert!(unknown.stderr().contains("there is no role \"research\""), "{}", unknown.stderr());
    // A start with it says so, and refuses the same.
    given.gateway.end(Signal::TERM);
    given.gateway.restart();
    given.gateway.child().wait_stderr(|text| text.contains("the role of this account is not defined"));
    assert_eq!(given.chat(&key, "llama3").status, 403);
    given.reload(tables);
    assert_eq!(given.chat(&key, "llama3").status, 200);
    given.reload("");
    given.gateway.admin(&["user", "role", "ada", "member"]).expect_code(0);
    assert_eq!(given.chat(&key, "llama3").status, 200);
}

#[test]
fn an_invalid_file_changes_nothing() {
    let given = Given::start(LLAMA_ONLY, "member");
    let key = given.usual_key();
    for (tables, says) in [
        ("[roles.member]\nmodels = []\n", "for all models, leave it out"),
        ("[roles.member]\nmodels = [\"*\"]\n[roles.x]\n", "a new role needs base"),
        ("[roles.member]\nmodels = [\"*\"]\n[roles.admin]\nbase = \"viewer\"\n", "cannot be changed"),
        ("[roles.member]\nmodels = [\"*\"]\n[limits]\nstreams = 0\n", "0 would refuse every request"),
    ] {
        let log = given.reload(tables);
        assert!(log.contains("cannot reload the configuration") && log.contains(says), "{tables}: {log}");
        assert_eq!((given.chat(&key, "qwen3").status, given.chat(&key, "llama3").status), (403, 200), "{tables}");
    }
}

#[test]
fn no_file_leaves_a_gateway_without_an_administrator() {
    let chief = "[roles.chief]\nbase = \"admin\"\n";
    let mut given = Given::start(chief, "chief");
    let key = given.usual_key();
    // The person with the other role is an administrator, so this one is not the last.
    given.gateway.admin(&["user", "disable", "root"]).expect_code(0);
    let last = given.gateway.admin(&["user", "role", "ada", "member"]).expect_code(1);
    assert!(last.stderr().contains("the only active administrator"), "{}", last.stderr());
    for tables in ["", "[roles.chief]\nbase = \"maintainer\"\n"] {
        let log = given.reload(tables);
        let says = "with these roles no enabled account would be an administrator's";
        assert!(log.contains("cannot reload the configuration") && log.contains(says), "{log}");
        assert_eq!(given.chat(&key, "llama3").status, 200);
    }
    given.gateway.end(Signal::TERM);
    std::fs::write(&given.file, "").unwrap();
    let args = ["gateway", "serve", "--listen", "127.0.0.1:0", "--config", given.file.to_str().unwrap()];
    let database = given.gateway.database();
    let refused = Sandbox::new().command(args).args(["--database", database.to_str().unwrap()]).run().expect_code(2);
    assert!(refused.stderr().contains("no enabled account would be an administrator's"), "{}", refused.stderr());
    // Without a gateway a command knows the roles of the file that it is given.
    let enable = ["user", "enable", "root"];
    given.gateway.admin(&enable).expect_code(0);
    given.gateway.restart();
    given.gateway.child().wait_stderr(|text| text.contains("the role of this account is not defined"));
}

#[test]
fn no_key_lives_longer_than_its_role_allows() {
    let clock = SetClock::at(jiff::Timestamp::now().as_second());
    let given = Given::start_within("[roles.member]\nmax-key-lifetime = \"30d\"\n", "member", Some(&clock));
    let refused = given.gateway.device_added_to("ada").command(["keys", "create", "k"]).run().expect_code(5);
    assert!(refused.stderr().contains("your role member allows keys of at most 30 days"), "{}", refused.stderr());
    let key = given.key(json!({ "scopes": ["inference", "keys"], "expires": "30d" }));
    let days = |key: &Value| {
        let time = |name: &str| key[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
        (time("expires_at") - time("created_at")) / 86_400
    };
    assert_eq!(days(&key), 30);
    for expires_in in [json!(null), json!(31 * 86_400)] {
        let made = given.make(&key, &json!({ "name": "child", "scopes": ["inference"], "expires_in": expires_in }));
        assert_eq!(made.status, 403, "{}", made.text());
    }
    // A shorter lifetime ends older keys, and what replaces one lives as long as allowed.
    let log = given.reload("[roles.member]\nmax-key-lifetime = \"10d\"\n");
    assert!(log.contains("it expires earlier"), "{log}");
    let new = given.make(&key, &json!({ "replaces": key["id"] })).json();
    assert_eq!(days(&new), 10);
    clock.pass(11 * 86_400);
    let refused = given.chat(&key, "llama3");
    assert_eq!(refused.status, 401);
    assert!(refused.text().contains("is older than the role of its owner allows"), "{}", refused.text());
    given.reload("");
    assert_eq!(given.chat(&key, "llama3").status, 200);
}

#[test]
fn a_viewer_sees_models_and_runs_none() {
    let given = Given::start("", "viewer");
    let device = given.gateway.device_added_to("ada");
    let refused = device.command(["keys", "create", "k"]).run().expect_code(5);
    assert!(refused.stderr().contains("does not have the scope inference"), "{}", refused.stderr());
    let key = given.key(json!({ "scopes": ["models:read", "keys"] }));
    let tags = given.gateway.ask("GET", "/api/tags", &[&header(&key)], "");
    let ran = given.chat(&key, "llama3");
    assert_eq!((tags.status, ran.status), (200, 403));
    assert!(ran.text().contains("does not have the scope inference"), "{}", ran.text());
    let me = given.gateway.ask("POST", "/api/me", &[&header(&key)], "").json();
    assert_eq!((&me["name"], &me["role"]), (&json!("ada"), &json!("viewer")));
}

#[test]
fn models_can_differ_by_scope() {
    let tables = "[roles.member.models-by-scope]\ninference = [\"llama3*\"]\n";
    let given = Given::start(tables, "member");
    let key = given.usual_key();
    assert_eq!(key["models"], json!(["llama3*"]));
    let reader = given.make(&key, &json!({ "name": "reader", "scopes": ["models:read"], "models": ["llama3*"] }));
    assert_eq!(reader.status, 201, "{}", reader.text());
    let show = |key: &Value, model: &str| {
        let body = json!({ "model": model }).to_string();
        given.gateway.ask("POST", "/api/show", &[&header(key), "Content-Type: application/json"], &body).status
    };
    let whole = given.key(json!({ "scopes": ["models:read"] }));
    assert_eq!((show(&whole, "qwen3"), show(&key, "qwen3"), given.chat(&key, "llama3").status), (200, 403, 200));
}

#[test]
fn the_name_of_a_role_is_checked() {
    let given = Given::start("[roles.research]\nbase = \"member\"\n", "research");
    for (name, code, says) in [
        ("Research", 2, "invalid role \"Research\""),
        ("", 2, "invalid role \"\""),
        ("a b", 2, "use 1 to 32 of a-z, 0-9"),
        ("reserch", 1, "there is no role \"reserch\""),
    ] {
        let refused = given.gateway.admin(&["user", "role", "root", name]).expect_code(code);
        assert!(refused.stderr().contains(says), "{name}: {}", refused.stderr());
    }
    let users = given.gateway.admin(&["user", "list", "--json"]).expect_code(0).json();
    let roles: Vec<&Value> = users["users"].as_array().unwrap().iter().map(|user| &user["role"]).collect();
    assert_eq!(roles, ["research", "admin"]);
}
