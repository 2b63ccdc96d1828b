//! Who may pass the gateway, and what they may do: every route with every scope, models, credentials that contradict each other,
//! paths and hosts that are tricks.

use serde_json::{Value, json};

use crate::harness::contains;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::http::{Reply, Request, Server, Step};
use crate::harness::ollama::Ollama;
use crate::harness::signature::TestDevice;

const SCOPES: [&str; 5] = ["inference", "models:read", "models:write", "usage:read", "keys"];

/// A path that a route of the table stands for.
fn concrete(path: &str) -> String {
    path.replace("{digest}", &format!("sha256:{}", "0a".repeat(32)))
        .replace("{model}", "tiny")
        .replace("{encodedKey}", "a2V5XzEyMzQ1Njc4OQ")
}

fn endpoints() -> Vec<(String, String, String)> {
    let file: Value = serde_json::from_str(include_str!("fixtures/vectors/endpoints.json")).unwrap();
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

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}

/// What the upstream server was asked, without the gateway's own housekeeping.
fn asked(upstream: &Server) -> usize {
    let own = |request: &&Request| request.path() != "/api/version" || request.header("x-ollama-auth-user").is_some();
    upstream.requests().iter().filter(own).count()
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
    let source = include_str!("../../src/gateway/routes.rs");
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
fn malformed_duplicate_and_conflicting_credentials_are_refused() {
    let upstream = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let (key, other) = (gateway.key(&device, &["one"]), gateway.key(&device, &["two"]));
    let (one, two) = (bearer(&key), bearer(&other));
    let x_key = format!("X-API-Key: {key}");
    for (headers, status) in [
        (vec![&*one], 200),
        (vec![&*x_key], 200),
        (vec![&*one, &*x_key], 200),
        (vec![&*two, &*x_key], 400),
        (vec![&*one, &*one], 400),
        (vec![&*x_key, &*x_key], 400),
        (vec!["Authorization: Basic YTpi"], 401),
        (vec!["Authorization: Bearer "], 401),
        (vec!["Authorization: Bearer nonsense"], 401),
        (vec!["Authorization: AAAA:BBBB"], 400),
        (vec!["X-API-Key: nonsense"], 401),
        (vec!["Cookie: ollama_auth_session=1"], 401),
    ] {
        let answer = gateway.ask("GET", "/api/tags", &headers, "");
        assert_eq!(answer.status, status, "{} headers: {}", headers.len(), answer.text());
    }
    // One letter off is another key: the checksum tells, before anything is looked up.
    let mut off = key.clone();
    off.pop();
    assert_eq!(gateway.ask("GET", "/api/tags", &[&bearer(&off)], "").status, 401);
}

#[test]
fn upstream_receives_the_caller_but_not_the_credential() {
    let upstream = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let key = gateway.key(&device, &["one", "--env", "ci"]);
    let forged = [
        bearer(&key),
        format!("X-API-Key: {key}"),
        "X-Ollama-Auth-User: root".to_owned(),
        "x_ollama_auth_user: root".to_owned(),
        "X-Ollama-Auth-Scopes: admin".to_owned(),
        "Cookie: a=b".to_owned(),
        "X-Forwarded-For: 1.2.3.4".to_owned(),
        "Proxy-Authorization: Basic YTpi".to_owned(),
        "Connection: X-Ollama-Auth-User-Id".to_owned(),
        "X-Mine: kept".to_owned(),
    ];
    let forged: Vec<&str> = forged.iter().map(String::as_str).collect();
    assert_eq!(gateway.ask("GET", "/api/tags?a=1&ts=5", &forged, "").status, 200);
    let request = &upstream.wait_requests(1)[0];
    let header = |name: &str| request.header(name);
    assert_eq!(header("x-ollama-auth-user"), Some("ada"));
    assert!(header("x-ollama-auth-credential").unwrap().starts_with("key:key_"));
    assert_eq!(header("x-ollama-auth-environment"), Some("ci"));
    assert!(header("x-ollama-auth-user-id").is_some_and(|id| id.len() == 36));
    assert_eq!((header("x-mine"), request.raw_query()), (Some("kept"), "a=1"));
    assert_eq!(header("host").unwrap(), upstream.url().strip_prefix("http://").unwrap());
    for name in [
        "authorization",
        "x-api-key",
        "cookie",
        "x_ollama_auth_user",
        "x-ollama-auth-scopes",
        "x-forwarded-for",
        "proxy-authorization",
    ] {
        assert_eq!(header(name), None, "{name}");
    }
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

#[test]
fn an_unnamed_proxy_causes_a_warning() {
    let proxied = ["--behind-tls-proxy", "--public-url", "https://gpu.example.com"];
    let gateway = Gateway::start_with("http://127.0.0.1:9", &proxied);
    gateway.child().wait_stderr(|text| text.contains("trusted-proxies"));
    let named = [&proxied[..], &["--set", "trusted-proxies=192.0.2.1"]].concat();
    let mut gateway = Gateway::start_with("http://127.0.0.1:9", &named);
    let output = gateway.end(rustix::process::Signal::TERM);
    assert!(!output.stderr().contains("trusted-proxies"), "{}", output.stderr());
}

#[test]
fn model_patterns_apply_to_the_model_that_upstream_runs() {
    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "maintainer");
    let device = gateway.device_of("ada");
    let scopes = "--scope=inference,models:read,models:write";
    let key = |pattern: &str| bearer(&gateway.key(&device, &["limited", scopes, "--model", pattern]));
    let (tiny, nope) = (key("tiny"), key("nope"));
    let file: Value = serde_json::from_str(include_str!("fixtures/vectors/model-in-body.json")).unwrap();
    for case in file["cases"].as_array().unwrap() {
        let (body, used) = (case["body"].as_str().unwrap(), case["model_used"].as_str().unwrap());
        let (right, wrong) = if used == "tiny" { (&tiny, &nope) } else { (&nope, &tiny) };
        let before = upstream.server().requests().len();
        assert_eq!(gateway.ask("POST", "/api/generate", &[wrong], body).status, 403, "{body}");
        assert_eq!(upstream.server().requests().len(), before, "{body}");
        let status = gateway.ask("POST", "/api/generate", &[right], body).status;
        // The recording knows no model called nope.
        assert_eq!(status, if used == "tiny" { 200 } else { 404 }, "{body}");
        let forwarded = upstream.server().requests().pop().unwrap();
        let forwarded: Value = serde_json::from_slice(&forwarded.body).unwrap();
        assert_eq!(forwarded.as_object().unwrap().len(), 1, "{body} became {forwarded}");
    }

    // Lists show what may be used, and nothing of the rest.
    let shown = gateway.ask("GET", "/api/tags", &[&tiny], "").json();
    assert_eq!(shown["models"][0]["name"], "tiny:latest");
    for (path, list) in [("/api/tags", "models"), ("/api/ps", "models"), ("/v1/models", "data")] {
        let answer = gateway.ask("GET", path, &[&nope], "").json();
        assert_eq!(answer[list], json!([]), "{path}");
    }
    assert_eq!(gateway.ask("HEAD", "/api/tags", &[&nope], "").header("x-content-length"), None);
    assert_eq!(gateway.ask("GET", "/v1/models/tiny", &[&nope], "").status, 403);
    // A body that is not understood is not forwarded.
    for body in ["", "[]", "{", r#"{"model":7}"#, "{}"] {
        assert_eq!(gateway.ask("POST", "/api/generate", &[&tiny], body).status, 400, "{body}");
    }
    let packed = gateway.ask("POST", "/v1/chat/completions", &[&tiny, "Content-Encoding: gzip"], "x");
    assert_eq!((packed.status, packed.json()["error"]["type"].as_str().unwrap()), (415, "invalid_request_error"));
}

/// The header of a proxy that was forgotten in the configuration: all callers share one address, and only the log can tell.
#[test]
fn a_forwarded_address_from_an_untrusted_peer_is_reported_once() {
    let mut gateway = Gateway::start("http://127.0.0.1:9");
    for _ in 0..20 {
        gateway.ask("GET", "/api/tags", &["X-Forwarded-For: 1.2.3.4"], "");
    }
    let output = gateway.end(rustix::process::Signal::TERM);
    assert_eq!(output.stderr().matches("X-Forwarded-For ignored").count(), 1, "{}", output.stderr());

    let mut gateway = Gateway::start_with("http://127.0.0.1:9", &["--set", "trusted-proxies=127.0.0.1"]);
    let device = crate::harness::signature::TestDevice::new(7);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let me = format!("/api/me?ts={now}");
    let header = format!("Authorization: {}", device.sign(&format!("POST,{me}")));
    for (text, address) in [("192.0.2.7:5678", "192.0.2.7"), ("[2001:db8::1]:443", "2001:db8::1")] {
        let answer = gateway.ask("POST", &me, &[&header, &format!("X-Forwarded-For: {text}")], "");
        let link = answer.json()["signin_url"].as_str().unwrap().to_owned();
        assert!(link.contains(address), "{text}: {link}");
    }
    gateway.ask("POST", &me, &[&header, "X-Forwarded-For: unknown"], "");
    let output = gateway.end(rustix::process::Signal::TERM);
    assert_eq!(output.stderr().matches("X-Forwarded-For").count(), 1, "{}", output.stderr());
    assert!(output.stderr().contains("not an address"), "{}", output.stderr());
}

/// `ollama list`, `show`, `ps`, `cp` and `rm` of the stock client print the member `status` of a 401, and nothing else of it.
#[test]
fn a_401_says_why_in_the_member_that_the_stock_client_prints() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    let refused = gateway.ask("GET", "/api/tags", &[], "").json();
    assert!(refused["status"].as_str().unwrap().contains("not signed in to"), "{refused}");
    assert_eq!(refused["status"], refused["error"]);
    let device = crate::harness::signature::TestDevice::new(7);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let tags = format!("/api/tags?ts={now}");
    let header = format!("Authorization: {}", device.sign(&format!("GET,{tags}")));
    let pending = gateway.ask("GET", &tags, &[&header], "").json();
    let link = pending["signin_url"].as_str().unwrap();
    assert_eq!(pending["status"], format!("unauthorized: approve this device at {link}"));
}

#[test]
fn errors_use_the_format_of_the_called_api() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let gateway = Gateway::start(&upstream.url());
    let ollama = gateway.ask("POST", "/api/chat", &[], "{}");
    assert!(ollama.json()["error"].as_str().unwrap().starts_with("unauthorized"));
    let openai = gateway.ask("POST", "/v1/chat/completions", &[], "{}").json();
    assert_eq!(openai["error"]["type"], "authentication_error");
    assert_eq!(openai["error"]["code"], "invalid_api_key");
    let anthropic = gateway.ask("POST", "/v1/messages", &[], "{}").json();
    assert_eq!((&anthropic["type"], &anthropic["error"]["type"]), (&json!("error"), &json!("authentication_error")));
    assert_eq!(ollama.header("www-authenticate"), Some("Bearer"));
    assert!(ollama.header("x-ollama-auth-gateway").is_some());
}

#[test]
fn the_upstream_signin_link_is_never_forwarded() {
    let link = "https://ollama.com/connect?name=server&key=c2VjcmV0";
    let body = json!({ "error": "unauthorized", "signin_url": link }).to_string();
    let upstream = Server::start(move |_| Reply::json(401, &body));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let key = gateway.key(&device, &["k"]);
    for path in ["/api/generate", "/v1/chat/completions", "/v1/messages"] {
        let answer = gateway.ask("POST", path, &[&bearer(&key)], r#"{"model":"gpt-oss:120b-cloud"}"#);
        assert_eq!(answer.status, 502, "{path}");
        assert!(!answer.text().contains("signin_url") && !answer.text().contains("ollama.com/connect"), "{path}");
    }
}

/// A link of the upstream server's own key, in every form in which an answer can hold it: the key in it does not get through, and
/// everything else of the answer does, however it is cut into pieces.
#[test]
fn the_upstream_signin_link_is_removed_from_a_stream() {
    let encoded = TestDevice::new(0x55).key().encoded;
    let raw = format!("https://ollama.com/connect?name=vm&key={encoded}");
    let forms = [
        raw.clone(),
        raw.replace('&', "\\u0026"),
        raw.replace('/', "\\/").replace('&', "\\\\u0026"),
        raw.replace('&', "&amp;"),
        raw.replace(':', "%3A").replace('/', "%2F").replace('?', "%3F").replace('=', "%3D").replace('&', "%26"),
        raw.replace('?', "%253f").replace('=', "%253d").replace('&', "%2526"),
        format!("https://ollama.com/connect?key={encoded}&name=vm&launch=true"),
    ];
    let answers: Vec<String> =
        forms.iter().map(|link| format!("data: {{\"error\":\"sign in at {link}, then try again\"}}\n\n")).collect();
    let sent = std::sync::Arc::new(std::sync::Mutex::new(Reply::json(200, "{}")));
    let next = sent.clone();
    let upstream = Server::start(move |_| next.lock().unwrap().clone());
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let key = bearer(&gateway.key(&gateway.device_of("ada"), &["k"]));
    let ask = |reply: Reply| {
        *sent.lock().unwrap() = reply;
        gateway.ask("POST", "/v1/responses", &[&key], "{}")
    };
    let secret = &encoded[encoded.len() - 40..];
    for answer in &answers {
        for size in [1, 7, answer.len()] {
            let pieces = answer.as_bytes().chunks(size).map(|piece| Step::Send(piece.to_vec()));
            let got = ask(Reply::script(200, pieces).header("Content-Type", "text/event-stream"));
            assert!(!contains(&got.body, secret.as_bytes()), "pieces of {size}: {}", got.text());
            assert!(!contains(&got.body, &encoded.as_bytes()[60..90]), "pieces of {size}: {}", got.text());
            let (before, after) = (answer.split("connect").next().unwrap(), ", then try again\"}\n\n");
            assert!(got.text().starts_with(before) && got.text().ends_with(after), "{}", got.text());
            assert_eq!(got.body.len(), answer.len());
        }
        let whole = ask(Reply::json(200, answer));
        assert!(!contains(&whole.body, secret.as_bytes()) && whole.body.len() == answer.len(), "{}", whole.text());
    }
    gateway.child().wait_stderr(|text| text.contains("withheld the sign-in link of the upstream server"));

    // What is no such link passes as it is.
    let (short, other) = (&encoded[..encoded.len() - 1], encoded.replace("c3NoLWVk", "c3NoLXJz"));
    for text in [
        "open https://ollama.com/connect?name=x&key=YOUR-KEY in a browser".to_owned(),
        "https://ollama.com/connect? is the page".to_owned(),
        "https://ollama.com/connect?name=vm&key=c2VjcmV0".to_owned(),
        format!("https://ollama.com/connect?name=vm&key={short}"),
        format!("https://ollama.com/connect?name=vm&key={other}"),
        format!("https://ollama.com/connect?name=vm&monkey={encoded}"),
        format!("https://ollama.com/connect?name=vm and key={encoded}"),
        format!("https://gpu.example.com/connect?name=vm&key={encoded}"),
        format!("https://ollama.com/settings?key={encoded}"),
        encoded.clone(),
    ] {
        for size in [1, 7, text.len()] {
            let pieces = text.as_bytes().chunks(size).map(|piece| Step::Send(piece.to_vec()));
            assert_eq!(ask(Reply::script(200, pieces)).text(), text, "pieces of {size}");
        }
    }
    // What is held back at the end of an answer is not lost.
    let cut = &raw[..raw.len() - 20];
    assert_eq!(ask(Reply::json(200, cut)).text(), cut);
    let broken = [Step::send(cut), Step::Cut];
    *sent.lock().unwrap() = Reply::script(200, broken);
    let request = format!(
        "POST /v1/responses HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{key}\r\nContent-Length: 2\r\n\r\n{{}}",
        gateway.address()
    );
    let answer = gateway.raw(request);
    assert!(Answer::parse(&answer).is_err(), "it looks whole");
}

#[test]
fn an_unreachable_upstream_is_a_clear_502() {
    let port = Server::strict().port();
    let gateway = Gateway::start(&format!("http://127.0.0.1:{port}"));
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let key = gateway.key(&device, &["k"]);
    let answer = gateway.ask("GET", "/api/tags", &[&bearer(&key)], "");
    assert_eq!(answer.status, 502);
    assert!(answer.json()["error"].as_str().unwrap().contains("is Ollama running there?"), "{}", answer.text());
    // What the gateway answers itself goes on.
    assert_eq!(gateway.ask("HEAD", "/", &[], "").status, 200);
    assert_eq!(gateway.ask("POST", "/api/me", &[&bearer(&key)], "").status, 200);
}

/// Each route of an Ollama server with a key for one model: that model and nothing else. A route that names no model is refused,
/// since the gateway could not tell what it reaches; lists show the one model.
#[test]
fn a_key_for_one_model_reaches_nothing_else_on_any_route() {
    let upstream = Server::start(|request| match request.path() {
        "/v1/models" => Reply::json(200, r#"{"data":[{"id":"tiny:latest"},{"id":"big:latest"}]}"#),
        _ => Reply::json(200, r#"{"models":[{"name":"tiny:latest"},{"model":"big:latest"},{"name":"big:latest"}]}"#),
    });
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "maintainer");
    let scopes = "--scope=inference,models:read,models:write";
    let key = bearer(&gateway.key(&gateway.device_of("ada"), &["k", scopes, "--model", "tiny"]));
    let file: Value = serde_json::from_str(include_str!("fixtures/vectors/endpoints.json")).unwrap();
    let mut refused = Vec::new();
    for endpoint in file["endpoints"].as_array().unwrap() {
        if ["none", "account"].contains(&endpoint["scope"].as_str().unwrap()) {
            continue;
        }
        let path = endpoint["path"].as_str().unwrap();
        let fields: Vec<&str> =
            endpoint["model_fields"].as_array().into_iter().flatten().map(|field| field.as_str().unwrap()).collect();
        for method in endpoint["methods"].as_array().unwrap() {
            let method = method.as_str().unwrap();
            // Names the model `other` in the field `at`, and `tiny` in the others.
            let ask = |at: usize, other: &str| {
                let model = |field: usize| if field == at { other } else { "tiny" };
                let before = asked(&upstream);
                let answer = if fields == ["{model}"] {
                    gateway.ask(method, &path.replace("{model}", other), &[&key], "")
                } else if path.ends_with("transcriptions") {
                    let body = format!(
                        "--X\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{}\r\n--X--\r\n",
                        model(0)
                    );
                    let kind = "Content-Type: multipart/form-data; boundary=X";
                    gateway.ask(method, path, &[&key, kind], &body)
                } else {
                    let named =
                        fields.iter().enumerate().map(|(field, name)| ((*name).to_owned(), json!(model(field))));
                    let body = Value::Object(named.collect()).to_string();
                    // Parameters could name one too.
                    let target = format!("{}?model=big&name=big", concrete(path));
                    gateway.ask(method, &target, &[&key], if fields.is_empty() { "" } else { &body })
                };
                (answer.status, asked(&upstream) - before, answer)
            };
            let (status, reached, answer) = ask(0, "tiny");
            if fields.is_empty() && status == 403 {
                assert_eq!(reached, 0, "{method} {path}");
                assert!(method == "HEAD" || answer.text().contains("certain models"), "{}", answer.text());
                refused.push(format!("{method} {path}"));
                continue;
            }
            assert_eq!((status, reached), (200, 1), "{method} {path}: {}", answer.text());
            let forwarded = upstream.requests().pop().unwrap();
            let sent = String::from_utf8_lossy(&forwarded.body).into_owned() + &forwarded.target;
            assert!(!sent.contains("big"), "{method} {path}: {sent}");
            assert!(!fields.is_empty() || !answer.text().contains("big"), "{method} {path}: {}", answer.text());
            for (at, field) in fields.iter().enumerate() {
                let (status, reached, answer) = ask(at, "big");
                assert_eq!((status, reached), (403, 0), "{method} {path} {field}: {}", answer.text());
            }
        }
    }
    assert_eq!(
        refused,
        [
            "GET /api/experimental/model-recommendations",
            "POST /api/experimental/web_search",
            "POST /api/experimental/web_fetch",
            "HEAD /api/blobs/{digest}",
            "POST /api/blobs/{digest}"
        ]
    );
}

/// Servers read `:local` differently by their age: as a marker, or as a tag.
#[test]
fn the_marker_local_is_removed_from_the_path_too() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let key = bearer(&gateway.key(&gateway.device_of("ada"), &["k", "--model", "tiny,small:8b"]));
    for (asked, forwarded) in
        [("tiny:local", "tiny"), ("TINY:LOCAL", "TINY"), ("small:8b:local", "small:8b"), ("tiny", "tiny")]
    {
        assert_eq!(gateway.ask("GET", &format!("/v1/models/{asked}"), &[&key], "").status, 200, "{asked}");
        assert_eq!(upstream.requests().pop().unwrap().target, format!("/v1/models/{forwarded}"));
    }
    for other in ["small:local", "tiny:local:local", "tiny:local-cloud"] {
        assert_eq!(gateway.ask("GET", &format!("/v1/models/{other}"), &[&key], "").status, 403, "{other}");
    }
}

/// `acme/**` means the models of acme at ollama.com. A registry that is called so is another place, with models of other people.
#[test]
fn a_pattern_reaches_another_registry_only_by_its_name() {
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    for (pattern, allowed, refused) in [
        ("acme/**", vec!["acme/tiny", "acme/tiny:8b"], vec!["acme/other/tiny", "acme:5000/other/tiny"]),
        ("acme/*/*", vec!["acme/other/tiny:8b"], vec!["acme/tiny", "acme.example/other/tiny"]),
        ("hf.co/**", vec!["hf.co/me/tiny:q4"], vec!["hf.co.example/me/tiny"]),
        ("tiny**", vec!["tiny", "tiny:8b", "tiny-2/x"], vec!["tiny.example/me/x", "tiny/me/x"]),
    ] {
        let key = bearer(&gateway.key(&device, &["k", "--model", pattern]));
        let ask =
            |model: &str| gateway.ask("POST", "/api/generate", &[&key], &json!({ "model": model }).to_string()).status;
        for model in allowed {
            assert_eq!(ask(model), 200, "{pattern} {model}");
        }
        for model in refused {
            assert_eq!(ask(model), 403, "{pattern} {model}");
        }
    }
    // Nor does such a key pass on the other registry.
    let limited = gateway.key(&device, &["k", "--scope", "inference,keys", "--model", "acme/**"]);
    for (pattern, status) in [("acme/*/*", 403), ("acme/x/**", 403), ("acme/x*", 201)] {
        let body = json!({ "name": "child", "scopes": ["inference"], "models": [pattern] }).to_string();
        assert_eq!(gateway.ask("POST", "/api/user/keys", &[&bearer(&limited)], &body).status, status, "{pattern}");
    }
}

/// `usage:read` grants nothing yet, so it is not offered. Keys that have it keep working, and are replaced with it.
#[test]
fn a_scope_without_a_use_is_not_offered_but_is_still_read() {
    let upstream = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
    let mut gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let key = bearer(&gateway.key(&device, &["old", "--scope", "models:read,usage:read"]));
    gateway.end(rustix::process::Signal::TERM);
    gateway.restart();
    assert_eq!(gateway.ask("GET", "/api/tags", &[&key], "").status, 200);
    let list = gateway.ask("GET", "/api/user/keys", &[&key], "").json();
    assert_eq!(list["keys"][0]["scopes"], json!(["models:read", "usage:read"]), "{list}");
    let id = list["keys"][0]["id"].as_str().unwrap();
    let replaced = gateway.ask("POST", "/api/user/keys", &[&key], &json!({ "replaces": id }).to_string());
    assert_eq!((replaced.status, &replaced.json()["scopes"]), (201, &list["keys"][0]["scopes"]));

    let wrong = device.command(["keys", "create", "x", "--scope", "nosuch"]).run().expect_code(2);
    assert!(wrong.stderr().contains("models:write") && !wrong.stderr().contains("usage"), "{}", wrong.stderr());
    let help = device.command(["keys", "create", "--help"]).run().expect_code(0);
    assert!(help.stdout().contains("models:write") && !help.stdout().contains("usage:read"), "{}", help.stdout());
}
