//! Pages of other origins in front of the gateway: which may send requests and read the responses, and that the upstream server has no say
//! in it. In a real browser: `browser/other_origins.rs`.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway, PASSWORD};
use crate::harness::http::{Reply, Request, Server};

const APP: &str = "https://app.example";
const ORIGIN: &str = "Origin: https://app.example";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

/// Looks like allowed pages, or is what any page can send.
const FOREIGN: &[&[&str]] = &[
    &["Origin: https://evil.example"],
    &["Origin: null"],
    &["Origin: http://app.example"],
    &["Origin: https://app.example.evil.example"],
    &["Origin: https://app.example:8443"],
    &["Origin: https://app.example/"],
    &["Origin: https://app.example@evil.example"],
    &["Origin: http://localhost.evil.com"],
    &["Origin: http://localhost:1@evil.com"],
    &["Origin: http://localhost:evil.com"],
    &["Origin: https://app.example, https://evil.example"],
    &["Origin: https://app.example", "Origin: https://evil.example"],
    &["Origin: https://evil.example", "Origin: https://app.example"],
    &["Origin: https://app.example", "Origin: https://app.example"],
    &["Origin: \u{e9}"],
    &["Origin:"],
    &[],
];

/// An upstream server that would let every page in.
fn open_to_all(request: &Request) -> Reply {
    let reply = match request.path() {
        "/api/ps" => Reply::retry_after(429, "7"),
        "/v1/models" => Reply::json(503, r#"{"error":"busy"}"#),
        "/api/version" => Reply::json(200, r#"{"version":"0.33.0"}"#),
        _ => Reply::json(200, r#"{"models":[]}"#).header("Vary", "Accept-Encoding"),
    };
    reply
        .header("Access-Control-Allow-Origin", "*")
        .header("Access-Control-Allow-Origin", "https://evil.example")
        .header("Access-Control-Allow-Credentials", "true")
        .header("Access-Control-Expose-Headers", "*")
        .header("Access-Control-Allow-Private-Network", "true")
}

struct Setup {
    upstream: Server,
    gateway: Gateway,
    device: Sandbox,
    /// Of a key with `inference` and `models:read`.
    key: String,
}

/// A gateway that pages of Ollama's list and of `APP` may use.
fn set_up(more: &[&str]) -> Setup {
    let upstream = Server::start(open_to_all);
    let origins = format!("allowed-origins=ollama,{APP}");
    let gateway = Gateway::start_with(&upstream.url(), &[&["--set", &origins], more].concat());
    gateway.add_user("ada", "maintainer");
    let device = gateway.device_of("ada");
    let key = gateway.key(&device, &["k", "--scope", "inference,models:read"]);
    Setup { upstream, gateway, device, key: format!("Authorization: Bearer {key}") }
}

fn cors_headers(answer: &Answer) -> Vec<&(String, String)> {
    answer.headers.iter().filter(|(name, _)| name.starts_with("access-control-")).collect()
}

fn varies_by_origin(answer: &Answer) -> bool {
    let values = answer.headers.iter().filter(|(name, _)| name == "vary").flat_map(|(_, value)| value.split(','));
    values.map(str::trim).filter(|value| value.eq_ignore_ascii_case("origin")).count() == 1
}

/// The page of `origin` may read it, and no credential of the browser's was asked for.
#[track_caller]
fn assert_open_to(answer: &Answer, origin: &str, what: &str) {
    let names: Vec<&str> = cors_headers(answer).iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{what}");
    assert_eq!(names, ["access-control-allow-origin", "access-control-expose-headers"], "{what}");
    let exposed = answer.header("access-control-expose-headers").unwrap();
    for name in ["Retry-After", "RateLimit-Remaining", "X-Request-Id", "X-Should-Retry"] {
        assert!(exposed.split(", ").any(|listed| listed == name), "{what}: {exposed}");
    }
    assert!(varies_by_origin(answer), "{what}: {:?}", answer.headers);
}

#[track_caller]
fn assert_closed(answer: &Answer, what: &str) {
    assert_eq!(cors_headers(answer), Vec::<&(String, String)>::new(), "{what}");
}

fn preflight(gateway: &Gateway, path: &str, method: &str, more: &[&str]) -> Answer {
    let method = format!("Access-Control-Request-Method: {method}");
    gateway.ask("OPTIONS", path, &[&[&*method], more].concat(), "")
}

#[test]
fn an_allowed_page_reads_every_response_also_a_refusal() {
    let Setup { upstream, gateway, key, .. } = set_up(&["--set", "max-body=10"]);
    let long = format!("{{\"model\":\"{}\"}}", "x".repeat(100));
    let many: Vec<String> = (0..70).map(|number| format!("X-Number-{number}: x")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let requests: &[(&str, &str, &[&str], &str, u16)] = &[
        ("GET", "/api/tags", &[&key], "", 200),
        ("HEAD", "/api/tags", &[&key], "", 200),
        ("POST", "/api/chat", &[&key], "{}", 200),
        ("POST", "/v1/messages", &[&key], "{}", 200),
        ("GET", "/", &[], "", 200),
        ("GET", "/api/version", &[], "", 200),
        ("GET", "/api/status", &[], "", 200),
        ("GET", "/healthz", &[], "", 200),
        ("GET", "/readyz", &[], "", 200),
        ("POST", "/api/chat", &[], "{}", 401),
        ("GET", "/v1/models", &["Authorization: Bearer olauth_wrong"], "", 401),
        ("DELETE", "/api/delete", &[&key], "", 403),
        ("GET", "/nowhere", &[&key], "", 404),
        ("GET", "/api/chat", &[&key], "", 405),
        ("POST", "/api/chat", &[&key], &long, 413),
        ("GET", "/api/%74ags", &[&key], "", 400),
        ("GET", "/api/ps", &[&key], "", 429),
        ("POST", "/v1/messages", &many, "{}", 431),
        ("GET", "/v1/models", &[&key], "", 503),
    ];
    for origin in [APP, "http://localhost:3000", "http://127.0.0.1", "app://obsidian.md", "file://"] {
        for (method, path, headers, body, status) in requests {
            let header = format!("Origin: {origin}");
            let answer = gateway.ask(method, path, &[headers, &[&*header][..]].concat(), body);
            let what = format!("{origin} {method} {path}");
            assert_eq!(answer.status, *status, "{what}: {}", answer.text());
            assert_open_to(&answer, origin, &what);
        }
    }
    assert_eq!(gateway.ask("GET", "/api/ps", &[&key, ORIGIN], "").header("retry-after"), Some("7"));
    // A host that is not the gateway's, and an upstream server that is gone.
    let host = format!("GET /api/tags HTTP/1.1\r\nHost: evil.example\r\n{ORIGIN}\r\nConnection: close\r\n\r\n");
    let refused = Answer::parse(&gateway.raw(host)).unwrap();
    assert_eq!(refused.status, 403);
    assert_open_to(&refused, APP, "a foreign host");
    drop(upstream);
    let gone = gateway.ask("GET", "/api/tags", &[&key, ORIGIN], "");
    assert_eq!(gone.status, 502);
    assert_open_to(&gone, APP, "without the upstream server");
}

#[test]
fn other_pages_read_nothing_and_every_response_varies_by_origin() {
    let Setup { upstream, gateway, key, .. } = set_up(&[]);
    for foreign in FOREIGN {
        let before = upstream.count("GET", "/api/tags");
        for (method, path, key, status) in [
            ("GET", "/api/tags", &*key, 200),
            ("GET", "/v1/models", &key, 503),
            ("GET", "/api/version", "X: y", 200),
            ("GET", "/", "X: y", 200),
            ("GET", "/healthz", "X: y", 200),
            ("POST", "/api/chat", "X: y", 401),
            ("GET", "/nowhere", "X: y", 404),
        ] {
            let answer = gateway.ask(method, path, &[foreign, &[key][..]].concat(), "");
            assert_eq!(answer.status, status, "{foreign:?} {method} {path}");
            assert_closed(&answer, &format!("{foreign:?} {method} {path}"));
            assert!(varies_by_origin(&answer), "{foreign:?} {method} {path}: {:?}", answer.headers);
        }
        // A program that names an origin is answered as every program: a browser keeps the response from the page.
        assert_eq!(upstream.count("GET", "/api/tags"), before + 1);
        let asked = preflight(
            &gateway,
            "/api/chat",
            "POST",
            &[foreign, &["Access-Control-Request-Headers: authorization"][..]].concat(),
        );
        assert!([403, 405].contains(&asked.status), "{foreign:?} {}", asked.status);
        assert_closed(&asked, &format!("{foreign:?}"));
    }
    let asked = preflight(&gateway, "/v1/messages", "POST", FOREIGN[0]);
    assert_eq!((asked.status, &asked.json()["error"]["type"]), (403, &json!("permission_error")));
    assert!(asked.text().contains("allowed-origins"), "{}", asked.text());
}

#[test]
fn the_upstream_server_hears_of_no_page() {
    let Setup { upstream, gateway, key, .. } = set_up(&[]);
    for origin in [ORIGIN, "Origin: https://evil.example"] {
        let browser = [
            &*key,
            origin,
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization",
            "Access-Control-Request-Private-Network: true",
            "Access_Control_Request_Method: POST",
            "Sec-Fetch-Site: cross-site",
        ];
        assert_eq!(gateway.ask("POST", "/api/chat", &browser, "{}").status, 200);
    }
    let forwarded: Vec<Request> = upstream.requests().into_iter().filter(|seen| seen.path() == "/api/chat").collect();
    assert_eq!(forwarded.len(), 2);
    for (name, value) in forwarded.iter().flat_map(|request| &request.headers) {
        let name = name.to_ascii_lowercase().replace('_', "-");
        let tells = name == "origin" || name.starts_with("access-control-") || name == "sec-fetch-site";
        assert!(!tells, "{name}: {value}");
    }
}

#[test]
fn preflights_are_answered_without_a_credential_for_the_routes_that_pages_may_use() {
    let Setup { upstream, gateway, .. } = set_up(&[]);
    let file: Value = serde_json::from_str(include_str!("fixtures/vectors/endpoints.json")).unwrap();
    let (mut open, mut closed) = (0, 0);
    let before = upstream.requests().len();
    for endpoint in file["endpoints"].as_array().unwrap() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let path = endpoint["path"].as_str().unwrap().replace("{digest}", &digest).replace("{model}", "tiny");
        let path = path.replace("{encodedKey}", "x");
        let methods: Vec<&str> =
            endpoint["methods"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        for method in &methods {
            let answer = preflight(&gateway, &path, method, &[ORIGIN, "Access-Control-Request-Headers: authorization"]);
            if endpoint["scope"] == "account" {
                assert_eq!(answer.status, 405, "{path}");
                assert_closed(&answer, &path);
                closed += 1;
                continue;
            }
            assert_eq!((answer.status, answer.text()), (204, ""), "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), Some(APP), "{path}");
            let allowed: Vec<&str> = answer.header("access-control-allow-methods").unwrap().split(", ").collect();
            assert_eq!(allowed, methods, "{path}");
            assert_eq!(answer.header("access-control-allow-headers"), Some("authorization"), "{path}");
            assert_eq!(answer.header("access-control-max-age"), Some("600"), "{path}");
            assert_eq!(answer.header("access-control-allow-credentials"), None, "{path}");
            assert_eq!(answer.header("access-control-allow-private-network"), None, "{path}");
            assert!(varies_by_origin(&answer), "{path}");
            open += 1;
        }
    }
    assert!(open > 25 && closed > 2, "{open} {closed}");
    assert_eq!(upstream.requests().len(), before, "{:?}", upstream.seen());
    for path in ["/api/unknown", "/nowhere", "/settings/keys", "/login", "/connect", "/api/user/keys", "/assets/x"] {
        let answer = preflight(&gateway, path, "POST", &[ORIGIN]);
        assert!(answer.status >= 400, "{path} {}", answer.status);
        assert_eq!(answer.header("access-control-allow-methods"), None, "{path}");
    }
    // Without what makes it a preflight request, OPTIONS is a method like others.
    for headers in [&[ORIGIN][..], &["Access-Control-Request-Method: POST"], &[]] {
        let answer = gateway.ask("OPTIONS", "/api/chat", headers, "");
        assert_eq!((answer.status, answer.header("access-control-allow-methods")), (405, None), "{headers:?}");
    }
    // A page of the internet that is allowed, and a gateway in a private network.
    let asked = preflight(&gateway, "/api/chat", "POST", &[ORIGIN, "Access-Control-Request-Private-Network: true"]);
    assert_eq!((asked.status, asked.header("access-control-allow-private-network")), (204, Some("true")));
}

#[test]
fn a_preflight_allows_the_headers_that_the_routes_understand_and_no_other() {
    let Setup { gateway, .. } = set_up(&[]);
    let allowed = |names: &str| {
        let names = format!("Access-Control-Request-Headers: {names}");
        let answer = preflight(&gateway, "/v1/chat/completions", "POST", &[ORIGIN, &names]);
        assert_eq!(answer.status, 204, "{names}");
        answer.header("access-control-allow-headers").unwrap_or_default().to_owned()
    };
    // As browsers send them for the libraries of Ollama, OpenAI and Anthropic.
    for names in [
        "authorization,content-type",
        "authorization,content-type,user-agent",
        "authorization,content-type,openai-organization,openai-project,x-stainless-arch,x-stainless-lang,x-stainless-os,\
         x-stainless-package-version,x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout",
        "anthropic-beta,anthropic-dangerous-direct-browser-access,anthropic-version,content-type,x-api-key,x-stainless-helper-method",
    ] {
        assert_eq!(allowed(names), names.replace(',', ", "));
    }
    assert_eq!(
        allowed("authorization,x-ollama-auth-user,x-forwarded-for,cookie,*,content-type"),
        "authorization, content-type"
    );
    assert_eq!(allowed("x-http-method-override"), "");
    assert_eq!(allowed(&"x-stainless-a,".repeat(3000)).split(", ").count(), 3000);
}

#[test]
fn pages_and_account_endpoints_are_closed_to_every_page() {
    let Setup { gateway, key, device, .. } = set_up(&[]);
    let admin = format!("Authorization: Bearer {}", gateway.key(&device, &["all", "--scope", "keys"]));
    // A person is signed in in this browser.
    let form = gateway.ask("GET", "/login", &[], "");
    let visitor = form.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let csrf = form.text().split_once("name=\"csrf\" value=\"").unwrap().1.split('"').next().unwrap().to_owned();
    let body = format!("csrf={csrf}&name=ada&password={}", PASSWORD.replace(' ', "+"));
    let signed_in = gateway.ask("POST", "/login", &[FORM, &format!("Cookie: {visitor}")], &body);
    let cookies: Vec<&str> = signed_in
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .map(|(_, value)| value.split(';').next().unwrap())
        .collect();
    let cookie = format!("Cookie: {}", cookies.join("; "));
    assert!(gateway.ask("GET", "/account", &[&cookie], "").status < 400, "{signed_in:?}");

    for origin in ["Origin: http://localhost:3000", ORIGIN] {
        for (method, path) in [
            ("GET", "/login"),
            ("GET", "/account"),
            ("GET", "/settings/keys"),
            ("GET", "/settings/unknown"),
            ("GET", "/connect?key=x"),
            ("GET", "/assets/style.css"),
            ("GET", "/favicon.ico"),
            ("POST", "/settings/keys"),
            ("POST", "/settings/keys/revoke"),
            ("POST", "/logout"),
            ("POST", "/connect"),
        ] {
            let answer = gateway.ask(method, path, &[&cookie, FORM, origin], "");
            assert_closed(&answer, &format!("{origin} {method} {path}"));
            if method == "POST" {
                assert!(answer.status >= 400, "{origin} {path} {}", answer.status);
            }
        }
        for path in ["/", "/nowhere"] {
            assert_closed(&gateway.ask("GET", path, &[&cookie, "Accept: text/html", origin], ""), path);
        }
        for (method, path) in [
            ("POST", "/api/me"),
            ("POST", "/api/signout"),
            ("GET", "/api/user/keys"),
            ("POST", "/api/user/keys"),
            ("DELETE", "/api/user/keys/x"),
            ("PATCH", "/api/user/keys/x"),
            ("PUT", "/api/user/keys"),
        ] {
            for credential in [&*cookie, &key, &admin] {
                let answer = gateway.ask(method, path, &[credential, origin], "");
                assert_closed(&answer, &format!("{origin} {method} {path}"));
            }
            let foreign_host =
                format!("{method} {path} HTTP/1.1\r\nHost: evil.example\r\n{origin}\r\nConnection: close\r\n\r\n");
            assert_closed(&Answer::parse(&gateway.raw(foreign_host)).unwrap(), path);
        }
        // The session opens no route of the API, with a body that needs no preflight request either.
        for kind in ["Content-Type: text/plain", FORM] {
            let answer = gateway.ask("POST", "/api/chat", &[&cookie, kind, origin], "{}");
            assert_eq!(answer.status, 401, "{origin} {kind}");
        }
    }
    assert!(gateway.ask("GET", "/account", &[&cookie], "").status < 400);
}

#[test]
fn a_base_path_and_slashes_too_many_change_nothing() {
    let upstream = Server::start(open_to_all);
    let more = ["--public-url", "http://127.0.0.1:9/ollama", "--set", "allowed-hosts=127.0.0.1"];
    let origins = format!("allowed-origins={APP}");
    let gateway = Gateway::start_with(&upstream.url(), &[&more[..], &["--set", &origins]].concat());
    for path in ["/ollama/api/chat", "/ollama//api/chat", "//ollama/api/chat/", "/ollama/v1/models/hf.co%2Fa%2Fb:Q4"] {
        let asked = preflight(&gateway, path, "POST", &[ORIGIN]);
        assert_eq!((asked.status, asked.header("access-control-allow-origin")), (204, Some(APP)), "{path}");
    }
    // A browser follows the redirect if it may read it.
    let led = gateway.ask("POST", "/ollama//api/chat", &[ORIGIN], "{}");
    assert_eq!((led.status, led.header("location")), (307, Some("/ollama/api/chat")));
    assert_open_to(&led, APP, "a redirect");
    for path in
        ["/ollama/api/user/keys", "/ollama//api/user/keys", "/ollama/login", "/ollama//login", "/ollama/settings/keys/"]
    {
        assert_closed(&gateway.ask("GET", path, &[ORIGIN], ""), path);
        assert_closed(&preflight(&gateway, path, "GET", &[ORIGIN]), path);
    }
    // Outside the base path there is nothing.
    let outside = preflight(&gateway, "/api/chat", "POST", &[ORIGIN]);
    assert_eq!((outside.status, outside.header("access-control-allow-methods")), (404, None));
}

#[test]
fn sighup_changes_the_allowed_origins() {
    let upstream = Server::start(open_to_all);
    let sandbox = Sandbox::new();
    let settings = |origins: &str| {
        let text = format!("upstream = \"{}\"\nallowed-origins = {origins}\n", upstream.url());
        sandbox.write("gateway.toml", text).to_str().unwrap().to_owned()
    };
    let gateway = Gateway::start_from(&["--config", &settings("[]")]);
    let allowed = |origin: &str| {
        let answer = gateway.ask("GET", "/api/version", &[origin], "");
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    let hang_up = |times: usize, said: &str| {
        gateway.child().signal(Signal::HUP);
        gateway.child().wait_stderr(|text| text.matches(said).count() == times);
    };
    assert_eq!((allowed(ORIGIN), allowed("Origin: http://localhost")), (None, None));
    settings("[\"https://*.example\"]");
    hang_up(1, "configuration reloaded");
    assert_eq!((allowed(ORIGIN).as_deref(), allowed("Origin: http://localhost")), (Some(APP), None));
    settings("[\"*\"]");
    hang_up(1, "would allow every page");
    assert_eq!((allowed(ORIGIN).as_deref(), allowed("Origin: http://localhost")), (Some(APP), None));
    settings("[\"ollama\"]");
    hang_up(2, "configuration reloaded");
    assert_eq!((allowed(ORIGIN), allowed("Origin: http://localhost").as_deref()), (None, Some("http://localhost")));
}
