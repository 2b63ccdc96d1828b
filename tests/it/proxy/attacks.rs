//! Attacks: DNS rebinding, web pages, other system accounts, and ambiguous paths and headers.

use super::{KEY, Proxy, RequestSpec, TOKEN, with_upstream};
use crate::given::{plaintext, sign_in, with_store};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{PROGRAM, Sandbox};
use crate::harness::http::{Reply, Server, Step};
use crate::harness::stock::{Account, Stock};
use crate::harness::{can_be_other_accounts, tool};

const APP: &str = "https://app.example";

/// A proxy that some page may use, in front of a server that claims that all may.
fn with_an_app(more: &[&str]) -> (Server, Proxy, Sandbox) {
    let reply = || {
        Reply::json(200, "{}")
            .header("Access-Control-Allow-Origin", "*")
            .header("Access-Control-Allow-Credentials", "true")
            .header("Set-Cookie", "a=b")
            .header("Strict-Transport-Security", "max-age=9")
    };
    with_upstream(reply, &[&["--allow-origin", APP], more].concat())
}

#[test]
fn foreign_host_names_are_refused() {
    let (upstream, proxy, _sandbox) = with_upstream(|| Reply::json(200, "{}"), &[]);
    let port = proxy.port();
    for host in [
        &*format!("evil.example:{port}"),
        "evil.example",
        "localhost",
        "127.0.0.1:1",
        &format!("0.0.0.0:{port}"),
        &format!("127.0.0.1.evil.example:{port}"),
        &format!("localhost:{port}@evil.example"),
        &format!("evil.example#localhost:{port}"),
        "",
    ] {
        let asked = RequestSpec { method: "POST", target: "/api/chat", host: Some(host), headers: &[], body: "{}" };
        let answer = proxy.request(&asked);
        assert_eq!(answer.status, 403, "{host}");
        assert!(answer.json()["error"].as_str().unwrap().contains("answers to"), "{}", answer.text());
    }
    for request in [
        "POST /api/chat HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
        format!("POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
    ] {
        assert!(proxy.raw(request).starts_with(b"HTTP/1.1 400"));
    }
    assert!(upstream.requests().is_empty());
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}")] {
        let asked = RequestSpec { method: "GET", target: "/api/tags", host: Some(&host), headers: &[], body: "" };
        assert_eq!(proxy.request(&asked).status, 200, "{host}");
    }
}

#[test]
fn pages_of_other_origins_are_refused() {
    let (upstream, proxy, _sandbox) = with_an_app(&[]);
    let refused: &[&[&str]] = &[
        &["Origin: https://evil.example"],
        &["Origin: null"],
        &["Origin: http://localhost:3000", "Sec-Fetch-Site: same-site"],
        &["Origin: https://app.example.evil.example"],
        &["Origin: http://app.example"],
        &["Origin: https://app.example", "Origin: https://evil.example"],
        &["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"],
        &["Sec-Fetch-Site: same-site"],
        &["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
    ];
    for headers in refused {
        for (method, body) in [("POST", "{}"), ("GET", "")] {
            let answer = proxy.ask(method, "/api/tags", headers, body);
            assert_eq!(answer.status, 403, "{headers:?}");
            assert_eq!(answer.header("access-control-allow-origin"), None, "{headers:?}");
        }
        let asked = [headers, &["Access-Control-Request-Method: POST"][..]].concat();
        let answer = proxy.ask("OPTIONS", "/api/chat", &asked, "");
        assert_ne!(answer.status, 204, "{headers:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{headers:?}");
    }
    assert!(upstream.requests().is_empty(), "{:?}", upstream.seen());
}

#[test]
fn an_allowed_origin_gets_cors_headers_and_no_other_does() {
    let (upstream, proxy, _sandbox) = with_an_app(&[]);
    let origin = format!("Origin: {APP}");
    let asked = [
        &*origin,
        "Sec-Fetch-Site: cross-site",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: authorization,content-type",
        "Access-Control-Request-Private-Network: true",
    ];
    let answer = proxy.ask("OPTIONS", "/api/chat", &asked, "");
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization,content-type"));
    assert_eq!(answer.header("access-control-allow-private-network"), Some("true"));
    assert!(upstream.requests().is_empty());

    let answer = proxy.ask(
        "POST",
        "/api/chat",
        &[&origin, "Sec-Fetch-Site: cross-site", "Referer: https://app.example/x"],
        "{}",
    );
    let plain = proxy.ask("POST", "/api/chat", &[], "{}");
    for (answer, allowed) in [(&answer, Some(APP)), (&plain, None)] {
        assert_eq!((answer.status, answer.header("vary")), (200, Some("Origin")));
        let all: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "access-control-allow-origin").collect();
        assert_eq!(all.first().map(|(_, value)| value.as_str()), allowed);
        assert!(all.len() < 2, "{all:?}");
        for gone in ["access-control-allow-credentials", "set-cookie", "strict-transport-security"] {
            assert_eq!(answer.header(gone), None, "{gone}");
        }
        assert!(answer.header("content-security-policy").unwrap().contains("sandbox"));
    }
    // The host hears nothing of the page.
    for request in upstream.requests() {
        for name in ["origin", "referer", "sec-fetch-site"] {
            assert_eq!(request.header(name), None, "{name}");
        }
    }
    // A refusal of ours can be read by the page too.
    let refused = proxy.ask("DELETE", "/api/user/keys/x", &[&origin], "");
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, Some(APP)));
}

#[test]
fn requests_without_the_token_are_refused() {
    let (upstream, sandbox) = (Server::start(|_| Reply::json(200, "{}")), Sandbox::new());
    let proxy = Proxy::with_token(&sandbox, &["--host", &upstream.url(), "--allow-origin", APP]);
    let wrong = [
        "X-Other: 1".to_owned(),
        "Authorization: Bearer wrong".to_owned(),
        format!("Authorization: Basic {TOKEN}"),
        format!("Authorization: {TOKEN}"),
        format!("Authorization: Bearer {TOKEN}x"),
        format!("Authorization: Bearer {}", &TOKEN[1..]),
        format!("x-api-key: {}", TOKEN.to_uppercase()),
        format!("Cookie: token={TOKEN}"),
        format!("Authorization: Bearer {KEY}"),
    ];
    for header in &wrong {
        for target in ["/api/chat", &*format!("/api/chat?token={TOKEN}"), "/v1/messages", "/nowhere"] {
            let answer = proxy.ask("POST", target, &[header], "{}");
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{header} {target}");
        }
    }
    let origin = format!("Origin: {APP}");
    // A browser asks without it, and a page has to have it all the same.
    assert_eq!(proxy.ask("OPTIONS", "/api/chat", &[&origin, "Access-Control-Request-Method: POST"], "").status, 204);
    assert_eq!(proxy.ask("POST", "/api/chat", &[&origin], "{}").status, 401);
    assert_eq!(proxy.ask("OPTIONS", "/api/chat", &[], "").status, 401);
    // And with it no more than without one.
    let right = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(proxy.ask("POST", "/api/chat", &[&right, "Origin: https://evil.example"], "{}").status, 403);
    assert!(upstream.requests().is_empty());
}

/// Stock `ollama` and the JavaScript library send no key to a host that is not ollama.com.
#[test]
fn a_program_that_sends_no_key_has_the_token_in_its_base_url() {
    let (upstream, sandbox) = (Server::start(|_| Reply::json(200, r#"{"models":[]}"#)), Sandbox::new());
    let proxy = Proxy::with_token(&sandbox, &["-vv", "--host", &upstream.url()]);
    let ask = |method: &str, below: &str| proxy.ask(method, &format!("/{TOKEN}{below}"), &[], "");
    assert_eq!(ask("GET", "/api/tags?a=b").status, 200);
    assert_eq!(upstream.requests()[0].target, "/api/tags?a=b");
    assert_eq!((ask("GET", "").status, ask("GET", "/").status), (200, 200));
    let redirect = ask("POST", "//api/chat");
    assert_eq!((redirect.status, redirect.header("location")), (307, Some(&*format!("/{TOKEN}/api/chat"))));
    assert_eq!(ask("GET", "/v1/models/a%2Fb%3Ac").status, 200);
    assert_eq!(ask("GET", "/api/user/keys").status, 403);
    assert!(ask("POST", "/v1/unknown/../x").json()["error"]["message"].is_string(), "in the form of the API below it");
    let page = proxy.ask("GET", &format!("/{TOKEN}/api/tags"), &["Origin: https://evil.example"], "");
    assert_eq!(page.status, 403);
    for target in ["/api/tags", "/x/api/tags", &*format!("/{}/api/tags", &TOKEN[1..])] {
        assert_eq!(proxy.ask("GET", target, &[], "").status, 401, "{target}");
    }
    let output = proxy.end().expect_code(0);
    assert!(output.stderr().contains("/api/tags") && !output.stderr().contains(TOKEN), "{}", output.stderr());
}

#[test]
fn account_and_unknown_routes_are_refused() {
    let (upstream, proxy, _sandbox) = with_upstream(|| Reply::json(200, "{}"), &[]);
    for (method, target, status) in [
        ("DELETE", "/api/user/keys/abc", 403),
        ("POST", "/api/user/keys", 403),
        ("GET", "/api/user/keys", 403),
        ("PATCH", "/api/user/keys/abc?expires_in=1", 403),
        ("DELETE", "/API/USER/KEYS/abc", 403),
        ("POST", "/api/signout", 403),
        ("POST", "/api/unheard-of", 403),
        ("GET", "/connect?name=a&key=b", 404),
        ("GET", "/settings/keys", 404),
        ("TRACE", "/api/tags", 405),
        ("OPTIONS", "/api/tags", 405),
    ] {
        assert_eq!(proxy.ask(method, target, &[], "").status, status, "{method} {target}");
    }
    assert!(upstream.requests().is_empty());
}

/// Any of these would sign a stock server itself out of ollama.com. (Dropping it checks that no `DELETE` came.)
#[test]
fn a_stock_server_is_not_signed_out_by_a_program() {
    let (stock, sandbox) = (Stock::start(Account::SignedIn), Sandbox::new());
    let proxy = Proxy::start(&sandbox, &["--host", &stock.url()]);
    for (method, target) in [("DELETE", "/api/user/keys/abc"), ("DELETE", "/api/user/keys/"), ("POST", "/api/signout")]
    {
        assert_eq!(proxy.ask(method, target, &[], "").status, 403, "{method} {target}");
    }
    let redirect = proxy.ask("POST", "/api/signout/", &[], "");
    assert_eq!((redirect.status, redirect.header("location")), (307, Some("/api/signout")));
    assert_eq!(stock.account(), Account::SignedIn);
    assert_eq!(proxy.ask("POST", "/api/me", &[], "").status, 200);
}

#[test]
fn ambiguous_paths_and_parameters_are_refused() {
    let (upstream, proxy, _sandbox) = with_upstream(|| Reply::json(200, "{}"), &[]);
    let elsewhere = format!("http://{}/api/tags", "evil.example");
    for target in [
        "//api/user/../tags",
        "/api//unknown",
        "/api/../api/user/keys",
        "/v1/../api/user/keys",
        "/v1/..",
        "/api/./tags",
        "/v1/%2e%2e/api/user/keys",
        "/api/%75ser/keys",
        "/api/user%2fkeys",
        "/v1/models/a%00b",
        "/api\\user\\keys",
        "/v1/a;b",
        "/api/tags?a=%zz",
        "/api/tags?a=%",
        "/api/tags?a=%ff",
        "/api/tags?a=1;b=2",
        "/api/tags?a=\u{e9}",
        &elsewhere,
        &format!("http://{}/api/tags", proxy.address()),
    ] {
        let answer =
            proxy.raw(format!("GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", proxy.address()));
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 400"), "{target}: {answer}");
    }
    for connect in ["evil.example:443", &*proxy.address()] {
        let answer =
            proxy.raw(format!("CONNECT {connect} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", proxy.address()));
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{connect}: {}", String::from_utf8_lossy(&answer));
    }
    assert!(upstream.requests().is_empty(), "{:?}", upstream.seen());
}

#[test]
fn credential_and_hop_by_hop_headers_are_not_forwarded() {
    let (upstream, proxy, _sandbox) = with_upstream(|| Reply::json(200, "{}"), &[]);
    let sent = [
        "Authorization: Bearer one",
        "Authorization: Bearer two",
        "x-api-key: three",
        "Cookie: session=four",
        "Proxy-Authorization: Basic five",
        "Proxy-Anything: six",
        "X-Forwarded-For: 192.0.2.7",
        "X-Real-IP: 192.0.2.8",
        "Forwarded: for=192.0.2.9",
        "X-Ollama-Auth-User: root",
        "X_Ollama_Auth_User: root",
        "X-HTTP-Method-Override: DELETE",
        "X-Original-URL: /api/user/keys",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Upgrade: h2c",
        "X-Hop: seven",
        "X-Kept: yes",
    ];
    let mut request = format!("POST /api/chat HTTP/1.1\r\nHost: {}\r\n", proxy.address());
    request += &(sent.join("\r\n") + "\r\nConnection: close, X-Hop, Authorization\r\nContent-Length: 2\r\n\r\n{}");
    assert!(proxy.raw(request).starts_with(b"HTTP/1.1 200"));
    let request = &upstream.requests()[0];
    let mut names: Vec<_> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "authorization", "content-length", "host", "user-agent", "x-kept"]);
    assert_eq!((request.api_key(), request.text()), (Some(KEY), "{}"));
}

#[test]
fn requests_that_smuggle_another_are_refused() {
    let (upstream, proxy, _sandbox) = with_upstream(|| Reply::json(200, "{}"), &[]);
    let hidden = "0\r\n\r\nDELETE /api/user/keys/x HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for framing in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", hidden.len()),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Content-Length: 5\r\nContent-Length: 6\r\n".to_owned(),
        "Content-Length: +5\r\n".to_owned(),
        "Content-Length : 5\r\n".to_owned(),
    ] {
        let answer =
            proxy.raw(format!("POST /api/chat HTTP/1.1\r\nHost: {}\r\n{framing}\r\n{hidden}", proxy.address()));
        let seen = upstream.seen();
        assert!(!seen.iter().any(|line| line.contains("user")), "{framing:?} let {seen:?} through");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.matches("HTTP/1.1").count() <= 1, "{framing:?}: {answer}");
    }
    // An upstream server that speaks out of turn, or in another protocol, is not believed.
    let (_upstream, proxy, _sandbox) = with_upstream(|| Reply::new(101, "").header("Upgrade", "websocket"), &[]);
    assert_eq!(proxy.ask("GET", "/api/tags", &["Connection: upgrade", "Upgrade: websocket"], "").status, 502);
}

#[test]
fn no_secret_is_logged_or_shown() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let private = plaintext(&sandbox);
    let child = sandbox.command(Proxy::line(&["-vv"])).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full").spawn();
    let proxy = Proxy::wait(child);
    proxy.ask("GET", "/api/tags?word=secret-in-the-query", &["Authorization: Bearer secret-of-the-program"], "");
    proxy.ask("GET", "/api/tags?word=%zz-secret-in-the-query", &["x-api-key: secret-of-the-program"], "");
    proxy.ask("POST", "/api/me", &["Cookie: secret-of-the-program"], "secret-in-the-body");
    cloud.disconnect(&cloud.devices()[0].key.fingerprint);
    proxy.ask("POST", "/api/me", &[], "");
    assert!(!String::from_utf8_lossy(&proxy.child.cmdline()).contains("secret"));
    let output = proxy.end().expect_code(0);
    assert!(output.stderr().contains("/api/tags") && output.stderr().contains("200"), "-vv traces");
    for secret in ["secret-in-the-query", "secret-of-the-program", "secret-in-the-body"] {
        sandbox.assert_no_secret(secret, &[&output], &[]);
    }
    let headers = cloud.server().requests();
    for value in headers.iter().filter_map(|request| request.authorization()) {
        let signature = value.rsplit(':').next().unwrap();
        sandbox.assert_no_secret(signature, &[&output], &[]);
    }
    let stored: serde_json::Value = serde_json::from_str(&private).unwrap();
    for entry in stored["entries"].as_object().unwrap().values() {
        sandbox.assert_no_secret(entry.as_str().unwrap(), &[&output], &[crate::given::DATA]);
    }

    // An API key, with a host that sends it back and dies.
    let reply = || Reply::ndjson([Step::send("{}\n"), Step::Reset]);
    let (_upstream, proxy, sandbox) = with_upstream(reply, &["-vv"]);
    proxy.raw(format!("POST /api/chat HTTP/1.1\r\nHost: {}\r\n\r\n", proxy.address()));
    assert!(!String::from_utf8_lossy(&proxy.child.cmdline()).contains(KEY));
    sandbox.assert_no_secret(KEY, &[&proxy.end().expect_code(0)], &[]);
}

/// Only root can be another account.
#[test]
fn another_account_needs_the_token() {
    if !cfg!(target_os = "linux") || !can_be_other_accounts() {
        return;
    }
    let (upstream, sandbox) = (Server::start(|_| Reply::json(200, "{}")), Sandbox::new());
    let as_nobody = |proxy: &Proxy, more: &[&str]| {
        let curl = ["--silent", "--show-error", "--noproxy", "*", "--write-out", "%{http_code}"];
        let args = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let command = sandbox.program(tool("setpriv"), args).args([tool("curl")]).args(curl).args(more);
        command.current_dir("/").args([format!("{}/api/tags", proxy.url())]).run().expect_code(0).stdout().to_owned()
    };
    let proxy = Proxy::start(&sandbox, &["--host", &upstream.url()]);
    let answer = as_nobody(&proxy, &[]);
    assert!(answer.contains("not account 65534") && answer.ends_with("403"), "{answer}");
    assert!(upstream.requests().is_empty());
    assert_eq!(proxy.ask("GET", "/api/tags", &[], "").status, 200);

    let proxy = Proxy::with_token(&sandbox, &["--host", &upstream.url()]);
    assert!(as_nobody(&proxy, &[]).ends_with("401"));
    assert!(as_nobody(&proxy, &["--header", &format!("x-api-key: {TOKEN}")]).ends_with("200"));
}

/// Only root can be another account.
#[test]
fn another_account_cannot_use_all_connections() {
    if !cfg!(target_os = "linux") || !can_be_other_accounts() {
        return;
    }
    let (upstream, sandbox) = (Server::start(|_| Reply::json(200, "{}")), Sandbox::new());
    // What it needs is loaded while it can be read.
    let script = "import encodings.idna, os, resource, socket, sys, time\n\
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)\n\
        os.setgid(65534)\n\
        os.setuid(65534)\n\
        held = []\n\
        for _ in range(110):\n    \
            held.append(socket.create_connection(('127.0.0.1', int(sys.argv[1]))))\n\
        print('ready', flush=True)\n\
        time.sleep(300)\n";
    for more in [&[][..], &["--token-stdin"]] {
        // It has room for a hundred then.
        let command = sandbox.program(tool("sh"), ["-c", "ulimit -n 240; exec \"$0\" \"$@\"", PROGRAM]);
        let command = command.args(Proxy::line(&["--host", &upstream.url()])).args(more).stdin(format!("{TOKEN}\n"));
        let proxy = Proxy::wait(command.env("OLLAMA_API_KEY", KEY).spawn());
        let path = std::env::var("PATH").unwrap_or_default();
        let command = sandbox.program(tool("python3"), ["-c", script, &proxy.port()]);
        let nobody = command.env("PATH", path).spawn();
        nobody.wait_stdout(|text| text.contains("ready"));
        assert_eq!(proxy.ask("GET", "/api/tags", &[&format!("x-api-key: {TOKEN}")], "").status, 200);
        nobody.signal(rustix::process::Signal::KILL);
        nobody.finish();
    }
}
