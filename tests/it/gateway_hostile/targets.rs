//! Ambiguous request targets: the upstream server gets exactly the target that was authorized.

use super::*;

#[test]
fn alternative_spellings_reach_no_route() {
    let upstream = Recorder::start();
    let gateway = Gateway::start_with(&upstream.url(), &["--set", "header-timeout=5s"]);
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let (reads, runs) =
        (gateway.key(&device, &["r", "--scope", "models:read"]), gateway.key(&device, &["i", "--scope", "inference"]));
    let address = gateway.address();
    let send = |method: &str, target: &[u8], version: &str, key: &str| {
        let head = format!(
            "{version}\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 2\r\n{}\r\n\r\n{{}}",
            bearer(key)
        );
        let answer = gateway.raw([method.as_bytes(), b" ", target, head.as_bytes()].concat());
        (String::from_utf8_lossy(&answer).into_owned(), upstream.take())
    };
    let whole = format!("http://{address}/api/tags");
    for target in [
        "/api/%67enerate",
        "/%61pi/generate",
        "/api%2fgenerate",
        "/api/generate%2f",
        "/api/generate%2F..%2Ftags",
        "//api/generate",
        "/api//generate",
        "///api/generate",
        "/./api/generate",
        "/api/./generate",
        "/api/../api/generate",
        "/api/tags/../generate",
        "/api/tags/..;/generate",
        "/api/generate/.",
        "/api/generate/..",
        "/api/generate/",
        "/api/generate//",
        "/api/generate;x",
        "/api;x/generate",
        "/api/generate;x=/../tags",
        "/api\\generate",
        "\\api\\generate",
        "/api/generate\\",
        "/api/generate%00",
        "/api/generate%00.html",
        "/api/generate%0d%0aX:y",
        "/api/generate%20",
        "/api/generate%3f",
        "/api/tags%3f/../generate",
        "/api/tags%23",
        "/api/generate%25",
        "/api/%u0067enerate",
        "/api/generat%C5%BF",
        "/API/GENERATE",
        "/Api/generate",
        "/api/Generate",
        "/api/generate.",
        "/api/generate..",
        "/api/generate.json",
        "/api/generate~",
        "/api/generate:80",
        "/api/generate@",
        "/api/*",
        "/api/generate,",
        "api/generate",
        "*",
        "?",
        "#",
        "",
        ".",
        "..",
        "/..",
        "/api/tags/..",
        "./api/tags",
        "localhost",
        "localhost:80",
        "127.0.0.1:11434",
        "@127.0.0.1",
        "@127.0.0.1/api/tags",
        "/@evil.example/api/tags",
        "//evil.example/api/tags",
        "http://evil.example/api/tags",
        "http:/api/tags",
        "http:api/tags",
        "https://127.0.0.1/api/generate",
        "file:///api/tags",
        "ollama:///api/tags",
        &whole,
        "/api/generate\rX: y",
        "/api/generate\0",
        "/api/generate\t",
        "/api/g\u{e9}n",
        "/api/genera\u{17f}e",
        "/\u{212a}",
        "/v1/models/tiny/",
        "/v1/models/..",
        "/v1/models/.",
        "/v1/models/%2e%2e",
        "/v1/models/tiny%2f..",
        "/v1/models/a/../tiny",
        "/api/blobs/../tags",
        "/v1/models/tiny;x",
        "/v1/models/tiny%3fx",
    ] {
        for (method, key) in [("POST", &runs), ("GET", &reads), ("HEAD", &reads)] {
            let (answer, seen) = send(method, target.as_bytes(), " HTTP/1.1", key);
            assert_eq!(seen, [], "{method} {target:?}: {answer}");
            let status = answer.split(' ').nth(1).unwrap_or_default();
            let to_a_route = ["location: /api/", "location: /v1/"].iter().any(|location| answer.contains(location));
            let redirected = ["301", "307"].contains(&status) && to_a_route;
            let refused = ["", "400", "401", "403", "404", "405", "414"].contains(&status);
            assert!(refused || redirected, "{method} {target:?}: {answer}");
        }
    }
    for target in [&b"/api/\xff"[..], b"/api/tags\x80", b"/api/tags?\xff", &[&b"/"[..], &b"a".repeat(1 << 20)].concat()]
    {
        let (answer, seen) = send("GET", target, " HTTP/1.1", &reads);
        // Bytes that are no text may stand in parameters, where nothing hangs on them; as they came.
        let as_it_came = |seen: &RecordedRequest| seen.line.starts_with("GET /api/tags?");
        assert!(seen.iter().all(as_it_came) && seen.len() <= 1, "{answer}");
    }
    let (answer, seen) = send("GET", format!("/api/tags?{}", "a".repeat(9000)).as_bytes(), " HTTP/1.1", &reads);
    assert!(answer.starts_with("HTTP/1.1 414") && seen.is_empty(), "{answer}");

    // A fragment after # is ignored. For `/` the gateway itself asks whether the upstream server answers.
    for (target, line) in [
        ("/api/tags#/../generate", Some("GET /api/tags HTTP/1.1")),
        ("/#/api/generate", Some("GET /api/version HTTP/1.1")),
    ] {
        let (answer, seen) = send("GET", target.as_bytes(), " HTTP/1.1", &reads);
        assert_eq!(seen.first().map(|seen| &*seen.line), line, "{target}: {answer}");
    }
    // What stands behind a question mark is not looked at as a path by anybody.
    for query in [
        "/../generate",
        "?",
        "??ts=1",
        "a=b?c",
        "x=/api/generate",
        "&&&",
        "%2e%2e/",
        "a=1;b",
        "=",
        "%",
        "%zz",
        "a[]=%00",
        "#x",
        "model=nope",
    ] {
        let (answer, seen) = send("GET", format!("/api/tags?{query}").as_bytes(), " HTTP/1.1", &reads);
        let lines: Vec<&str> = seen.iter().map(|seen| &*seen.line).collect();
        let path = lines.first().map(|line| line.split([' ', '?']).nth(1).unwrap());
        assert!(lines.len() <= 1 && path.is_none_or(|path| path == "/api/tags"), "{query}: {lines:?} {answer}");
    }
    // The key for one route is none for the other, whatever the method is called besides.
    let tricks = [
        "X-HTTP-Method-Override: POST",
        "X-Original-URL: /api/generate",
        "X-Rewrite-Url: /api/generate",
        "X_Original_URL: /api/generate",
    ];
    let answer = gateway.ask("GET", "/api/tags", &[&[&*bearer(&reads)], &tricks[..]].concat(), "");
    let seen = upstream.take();
    assert_eq!((answer.status, &*seen[0].line), (200, "GET /api/tags HTTP/1.1"));
    assert!(
        !seen[0]
            .headers
            .iter()
            .any(|(name, _)| name.to_lowercase().contains("method") || name.to_lowercase().contains("url"))
    );
}

/// Only the credential identifies a caller.
#[test]
fn callers_cannot_set_the_identity_headers() {
    let upstream = Recorder::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let key = gateway.key(&gateway.device_of("ada"), &["k"]);
    let forged = [
        "X-Ollama-Auth-User: root",
        "x-ollama-auth-user: root",
        "X-OLLAMA-AUTH-USER-ID: 1",
        "X_Ollama_Auth_User: root",
        "x_ollama-auth_credential: root",
        "X-Ollama-Auth-Environment: prod",
        "x-ollama-auth-anything: root",
        "X-Ollama-Auth-: root",
        "Connection: X-Ollama-Auth-User, X-Ollama-Auth-Credential",
    ];
    let answer = gateway.ask("GET", "/api/tags", &[&[&*bearer(&key)], &forged[..]].concat(), "");
    assert_eq!(answer.status, 200);
    let seen = upstream.take().pop().unwrap();
    let said: Vec<_> = seen
        .headers
        .iter()
        .filter(|(name, _)| name.to_lowercase().replace('_', "-").starts_with("x-ollama-auth"))
        .collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said.iter().all(|(name, value)| !value.contains("root") && !name.contains("nvironment")), "{said:?}");
    assert_eq!(seen.header("x-ollama-auth-user"), Some("ada"));
}
