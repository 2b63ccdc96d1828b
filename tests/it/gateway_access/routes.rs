//! Every route with every scope, and paths and hosts that are tricks.

use serde_json::{Value, json};

use super::{asked, bearer, concrete};
use crate::harness::gateway::Gateway;
use crate::harness::http::{Reply, Server};

const SCOPES: [&str; 5] = ["inference", "models:read", "models:write", "usage:read", "keys"];

fn endpoints() -> Vec<(String, String, String)> {
    let file: Value = serde_json::from_str(include_str!("../fixtures/vectors/endpoints.json")).unwrap();
    let mut all = Vec::new();
    for endpoint in file["endpoints"].as_array().unwrap() {
        for method in endpoint["methods"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            all.push((text(method), text(&endpoint["path"]), text(&endpoint["scope"])));
        }
    }
    assert!(all.len() > 30);
    all
}

fn encoded(id: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id)
}

#[test]
fn every_route_asks_for_its_scope_and_nothing_else_passes() {
    let upstream = Server::start(|_| Reply::json(200, r#"{"models":[],"data":[]}"#));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "maintainer");
    let device = gateway.device_of("ada");
    let keys: Vec<(&str, String)> =
        SCOPES.iter().map(|scope| (*scope, gateway.key(&device, &["walk", "--scope", scope]))).collect();

    for (method, path, scope) in endpoints() {
        let target = concrete(&path);
        let body = if method == "POST" { r#"{"model":"tiny"}"# } else { "" };
        let before = asked(&upstream);
        let stranger = gateway.ask(&method, &target, &[], body);
        if scope == "none" {
            assert_eq!(stranger.status, 200, "{method} {path}");
        } else {
            assert_eq!(stranger.status, 401, "{method} {path}");
        }
        assert_eq!(asked(&upstream), before, "{method} {path} reached the upstream server without a credential");
        if ["none", "account"].contains(&&*scope) {
            continue;
        }
        for (own, key) in &keys {
            let before = asked(&upstream);
            let answer = gateway.ask(&method, &target, &[&bearer(key)], body);
            let (status, reached) = if *own == scope { (200, 1) } else { (403, 0) };
            assert_eq!(answer.status, status, "{method} {path} with {own}: {}", answer.text());
            assert_eq!(asked(&upstream), before + reached, "{method} {path} with {own}");
        }
    }

    // Routes outside the table, for any caller.
    let before = asked(&upstream);
    let all = gateway.key(&device, &["all", "--scope", &SCOPES.join(",")]);
    for (method, path, status) in [
        ("GET", "/api/generate", 405),
        ("PUT", "/api/tags", 405),
        ("DELETE", "/api/tags", 405),
        ("OPTIONS", "/api/tags", 405),
        ("TRACE", "/api/tags", 405),
        ("GET", "/api/unknown", 404),
        ("GET", "/metrics", 404),
        ("POST", "/api/blobs/sha256:..", 404),
        ("POST", "/api/blobs/sha256:0a", 404),
        ("GET", "/v1/models/", 301),
        ("GET", "/api/tags/", 301),
        ("GET", "/api/unknown/", 404),
    ] {
        assert_eq!(gateway.ask(method, path, &[&bearer(&all)], "").status, status, "{method} {path}");
    }
    assert_eq!(asked(&upstream), before);
}

/// The rows of the route table that the gateway answers for an account: method and path.
fn account_routes() -> Vec<(String, String)> {
    let source = include_str!("../../../src/gateway/routes.rs");
    let rows = source.lines().filter_map(|line| line.trim().strip_prefix("account("));
    let routes = rows.flat_map(|row| {
        let path = row.split('"').find(|text| text.starts_with('/')).unwrap_or_else(|| panic!("no path in {row}"));
        let methods = row.split(path).next().unwrap();
        let methods = ["GET", "POST", "PATCH", "PUT", "DELETE"].into_iter().filter(|method| methods.contains(method));
        methods.map(|method| (method.to_owned(), path.to_owned())).collect::<Vec<_>>()
    });
    routes.collect()
}

/// The requests are made in this order with a key of each scope, each time for a new key of the account.
#[test]
fn account_routes_let_a_key_without_the_scope_keys_see_itself_only() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "maintainer");
    let device = gateway.device_of("ada");
    // What a key gets for another key: with the scope `keys`, and with every other scope. And what it gets for itself.
    let expected = [
        ("POST", "/api/me", 200, 200, None),
        // Only a device can be signed out.
        ("POST", "/api/signout", 400, 400, None),
        ("GET", "/api/user/keys", 200, 200, None),
        ("GET", "/api/usage", 200, 200, None),
        ("GET", "/api/balance", 200, 200, None),
        ("POST", "/api/user/keys", 201, 403, None),
        ("PATCH", "/api/user/keys/{encodedKey}", 200, 403, Some(200)),
        ("DELETE", "/api/user/keys/{encodedKey}", 200, 403, Some(200)),
    ];
    let walked: Vec<(String, String)> =
        expected.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned())).collect();
    let mut routes = account_routes();
    for route in &walked {
        assert!(routes.contains(route), "src/gateway/routes.rs has no account route {route:?}");
    }
    routes.retain(|route| !walked.contains(route));
    assert_eq!(routes, [], "say here what a key may do at these routes");

    for scope in SCOPES {
        let create = ["keys", "create", "own", "--scope", scope, "--json"];
        let own = device.command(create).run().expect_code(0).json();
        let header = bearer(own["key"].as_str().unwrap());
        for (method, path, with_keys, without, for_itself) in expected {
            let other = device.command(["keys", "create", "other", "--json"]).run().expect_code(0).json();
            let target = |key: &Value| {
                let path = path.replace("{encodedKey}", &encoded(key["id"].as_str().unwrap()));
                if method == "PATCH" { path + "?expires_in=60" } else { path }
            };
            let body = if path == "/api/user/keys" { r#"{"name":"new","scopes":["keys"]}"# } else { "" };
            assert_eq!(gateway.ask(method, &target(&other), &[], body).status, 401, "{method} {path}");
            let answer = gateway.ask(method, &target(&other), &[&header], body);
            let status = if scope == "keys" { with_keys } else { without };
            assert_eq!(answer.status, status, "{method} {path} with {scope}: {}", answer.text());
            if path == "/api/user/keys" && method == "GET" && scope != "keys" {
                let listed = answer.json();
                let ids: Vec<&Value> = listed["keys"].as_array().unwrap().iter().map(|key| &key["id"]).collect();
                assert_eq!(ids, [&own["id"]]);
            }
            if let Some(status) = for_itself {
                let answer = gateway.ask(method, &target(&own), &[&header], body);
                assert_eq!(answer.status, status, "{method} {path} for itself with {scope}: {}", answer.text());
            }
        }
    }
    assert_eq!(asked(&upstream), 0);
}

#[test]
fn ambiguous_paths_are_refused() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let key = gateway.key(&device, &["k", "--scope", "models:read"]);
    for target in [
        "/api/%67enerate",
        "//api/generate",
        "/api//generate",
        "/api/../api/generate",
        "/api/tags/../generate",
        "/api/./generate",
        "/api/generate%2f",
        "/api/generate;x",
        "/api/tags%3f/../generate",
        "http://127.0.0.1/api/tags",
        "/api\\generate",
    ] {
        let answer = gateway.ask("GET", target, &[&bearer(&key)], "");
        assert!([400, 403, 404].contains(&answer.status), "{target}: {}", answer.status);
        let answer = gateway.ask("POST", target, &[&bearer(&key)], "{}");
        // A redirect leads to a route of the table, where the same is checked again.
        let redirected = answer.status == 307 && answer.header("location") == Some("/api/generate");
        assert!(redirected || (400..500).contains(&answer.status), "{target}: {}", answer.status);
    }
    assert_eq!(upstream.seen(), Vec::<String>::new());
}

#[test]
fn an_unknown_host_name_is_refused() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let gateway = Gateway::start(&upstream.url());
    let ask = |host: &str| {
        let answer = gateway.raw(format!("GET / HTTP/1.1\r\n{host}Connection: close\r\n\r\n"));
        String::from_utf8(answer).unwrap()
    };
    assert!(ask(&format!("Host: {}\r\n", gateway.address())).starts_with("HTTP/1.1 200"));
    assert!(ask("Host: localhost:1\r\n").starts_with("HTTP/1.1 200"));
    let foreign = ask("Host: evil.example\r\n");
    assert!(foreign.starts_with("HTTP/1.1 403") && foreign.contains(&gateway.url()), "{foreign}");
    assert!(ask("").starts_with("HTTP/1.1 400"));
    assert!(ask("Host: localhost\r\nHost: evil.example\r\n").starts_with("HTTP/1.1 400"));
}

/// Keys that have `usage:read` from before it granted anything keep it.
#[test]
fn every_scope_is_offered_and_kept_by_a_replacement() {
    let upstream = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
    let mut gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let key = bearer(&gateway.key(&device, &["old", "--scope", "models:read,usage:read"]));
    gateway.end(rustix::process::Signal::TERM);
    gateway.restart();
    assert_eq!(gateway.ask("GET", "/api/tags", &[&key], "").status, 200);
    assert_eq!(gateway.ask("GET", "/api/balance", &[&key], "").status, 200);
    let list = gateway.ask("GET", "/api/user/keys", &[&key], "").json();
    assert_eq!(list["keys"][0]["scopes"], json!(["models:read", "usage:read"]), "{list}");
    let id = list["keys"][0]["id"].as_str().unwrap();
    let replaced = gateway.ask("POST", "/api/user/keys", &[&key], &json!({ "replaces": id }).to_string());
    assert_eq!((replaced.status, &replaced.json()["scopes"]), (201, &list["keys"][0]["scopes"]));
    let help = device.command(["keys", "create", "--help"]).run().expect_code(0);
    let help = help.stdout().split_whitespace().collect::<Vec<_>>().join(" ");
    for scope in SCOPES {
        assert!(help.contains(scope), "{scope}: {help}");
    }

    let wrong = device.command(["keys", "create", "x", "--scope", "nosuch"]).run().expect_code(2);
    let names = |text: &str| SCOPES.iter().all(|scope| text.contains(scope));
    assert!(names(wrong.stderr()), "{}", wrong.stderr());
}
