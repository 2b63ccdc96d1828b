//! The harness tested by itself, with `curl`, `sh` and raw sockets as clients: what a fake gets wrong, every test that
//! leans on it gets wrong.

use std::{
    io::{Read, Write},
    net::TcpStream,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{
    browser::Behaviour,
    cloud::{Cloud, Fault},
    cmd::{Child, Output, Sandbox},
    http::{Expectation, Gate, Reply, Request, Server, Step},
    ollama::{Ollama, recorded},
    pty::Terminal,
    signature::{self, Key, TestDevice},
    stock::{Account, Stock},
    tool,
};

fn curl(args: &[&str]) -> Output {
    start_curl(args).finish()
}

fn start_curl(args: &[&str]) -> Child {
    let quiet = ["--silent", "--show-error", "--no-buffer", "--noproxy", "*"];
    Sandbox::new()
        .program(tool("curl"), quiet.iter().chain(args))
        .spawn()
}

/// A signed request, by curl.
fn signed(device: &TestDevice, method: &str, url: &str, signed_path: &str, ts: i64) -> Output {
    let header = device.sign(&format!("{method},{signed_path}?ts={ts}"));
    let header = format!("Authorization: {header}");
    curl(&[
        "-w",
        "\n%{http_code}",
        "-X",
        method,
        "-H",
        &header,
        &format!("{url}?ts={ts}"),
    ])
}

fn status(output: &Output) -> &str {
    output.stdout().lines().last().expect("curl wrote a status")
}

/// The panic of a drop, as text.
fn drop_panics(value: impl Sized) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(value))).expect_err("the drop panics");
    panic.downcast_ref::<String>().expect("a text").clone()
}

#[test]
fn a_request_is_recorded_whole() {
    let server = Server::start(|_| Reply::json(200, json!({"ok": true})).header("X-One", 1));
    let url = format!("{}/a/b?x=1%202&ts=5", server.url());
    let output = curl(&["-i", "-X", "PUT", "-H", "A-B: c", "-d", "{\"k\":[1]}", &url]);
    assert!(output.stdout().contains("X-One: 1\r\n"), "{output:?}");
    assert!(output.stdout().ends_with("{\"ok\":true}"));
    let [request] = &server.requests()[..] else {
        panic!("one request")
    };
    assert_eq!((&*request.method, request.path()), ("PUT", "/a/b"));
    assert_eq!(request.query("x").as_deref(), Some("1 2"));
    assert_eq!(request.header("a-b"), Some("c"));
    assert_eq!(request.json(), json!({"k": [1]}));
    assert_eq!(server.seen(), ["PUT /a/b"]);
}

#[test]
fn connections_are_kept_alive_and_heads_have_no_body() {
    let server = Server::start(|_| Reply::new(200, "text"));
    let (a, b) = (format!("{}/a", server.url()), format!("{}/b", server.url()));
    assert_eq!(curl(&[&a, &b]).stdout(), "texttext");
    assert_eq!(server.connections(), 1);
    let head = curl(&["--head", &a]);
    assert!(head.stdout().contains("Content-Length: 4\r\n"));
}

#[test]
fn big_and_chunked_bodies_arrive_after_a_continue() {
    let server = Server::start(|request| Reply::new(200, request.body.len().to_string()));
    let big = "x".repeat(5 << 20);
    for framing in ["Content-Type: text/plain", "Transfer-Encoding: chunked"] {
        let sandbox = Sandbox::new();
        let output = sandbox
            .program(
                tool("curl"),
                [
                    "-sS",
                    "--noproxy",
                    "*",
                    "--expect100-timeout",
                    "60",
                    "-H",
                    "Expect: 100-continue",
                ],
            )
            .stdin(&big);
        let output = output
            .args(["-H", framing, "--data-binary", "@-", &server.url()])
            .run();
        assert_eq!(output.stdout(), (5 << 20).to_string(), "{framing}");
        assert!(
            output.duration < Duration::from_secs(30),
            "curl waited for the 100"
        );
    }
}

#[test]
fn the_first_chunk_is_seen_before_the_second_is_sent() {
    let gate = Gate::new();
    let server = Server::start({
        let gate = gate.clone();
        move |_| {
            Reply::ndjson([
                Step::send("one\n"),
                Step::WaitFor(gate.clone()),
                Step::send("two\n"),
            ])
        }
    });
    let client = start_curl(&[&server.url()]);
    gate.wait_reached();
    assert_eq!(client.wait_stdout(|text| text.ends_with('\n')), "one\n");
    gate.open();
    assert_eq!(client.finish().expect_code(0).stdout(), "one\ntwo\n");
}

#[test]
fn answers_can_be_cut_reset_or_never_come() {
    let server = Server::start(|request| match request.path() {
        "/cut" => Reply::ndjson([Step::send("part"), Step::Cut]),
        "/short" => Reply::sized(200, 10, [Step::send("part")]),
        "/close" => Reply::until_close(200, [Step::send("part")]),
        "/reset" => Reply::ndjson([Step::send("part"), Step::Reset]),
        "/drop" => Reply::drop_connection(),
        "/reset-now" => Reply::reset_connection(),
        _ => Reply::redirect(307, "/close"),
    });
    let code = |path: &str| curl(&["-L", &format!("{}{path}", server.url())]).code();
    // curl: 18 is "partial file", 52 "empty reply", 56 "failure in receiving".
    assert_eq!(code("/cut"), 18);
    assert_eq!(code("/short"), 18);
    assert_eq!(code("/close"), 0);
    assert_eq!(code("/reset"), 56);
    assert_eq!(code("/drop"), 52);
    assert_eq!(code("/reset-now"), 56);
    assert_eq!(code("/elsewhere"), 0);
}

#[test]
fn a_client_that_leaves_is_noticed() {
    let server = Server::start(|_| Reply::ndjson([Step::send("one\n"), Step::Hang]));
    let client = start_curl(&[&server.url()]);
    client.wait_stdout(|text| text == "one\n");
    client.interrupt();
    assert_eq!(client.finish().code(), 130);
    server.wait_departures(1);
}

#[test]
fn expectations_are_checked_at_drop() {
    let server = Server::strict();
    server.expect(
        Expectation::new("GET", "/a")
            .times(1..=2)
            .reply(|_| Reply::new(200, "a")),
    );
    server.expect(Expectation::new("GET", "/never"));
    for path in ["/a", "/a", "/a", "/b"] {
        curl(&[&format!("{}{path}", server.url())]);
    }
    let text = drop_panics(server);
    assert!(text.contains("GET /a came too often"), "{text}");
    assert!(text.contains("GET /b was not expected"), "{text}");
    assert!(
        text.contains("GET /never was expected 1 times or more and came 0 times"),
        "{text}"
    );

    let fine = Server::strict();
    fine.expect(Expectation::new("GET", "/a").reply(|_| Reply::new(200, "a")));
    assert_eq!(curl(&[&format!("{}/a", fine.url())]).stdout(), "a");
}

#[test]
fn a_failing_test_is_not_aborted_by_the_server() {
    let panic = catch_unwind(|| {
        let server = Server::strict();
        server.expect(Expectation::new("GET", "/never"));
        panic!("the test itself");
    });
    assert_eq!(
        panic.expect_err("a panic").downcast_ref(),
        Some(&"the test itself")
    );
}

#[test]
fn a_handler_that_panics_and_nonsense_are_complaints() {
    let server = Server::start(|_| panic!("wrong body"));
    assert!(
        curl(&["-i", &server.url()])
            .stdout()
            .starts_with("HTTP/1.1 599")
    );
    let mut raw = TcpStream::connect(("127.0.0.1", server.port())).expect("a connection");
    raw.write_all(b"nonsense\r\n\r\n").expect("it is sent");
    raw.read_to_end(&mut Vec::new()).ok();
    let text = server.take_complaints().join("\n");
    assert!(
        text.contains("GET / made its handler panic: wrong body"),
        "{text}"
    );
    assert!(text.contains("not a request line"), "{text}");
}

#[test]
fn the_recorded_stock_signatures_verify() {
    let file: Value = serde_json::from_str(include_str!("fixtures/vectors/signing.json")).unwrap();
    let encoded = file["key"]["encoded_key"].as_str().unwrap();
    for case in file["cases"].as_array().unwrap() {
        let text = |name: &str| case[name].as_str().unwrap().to_owned();
        let mut request = Request {
            order: 0,
            connection: 0,
            at: std::time::Instant::now(),
            method: text("method"),
            target: text("target"),
            headers: vec![("Authorization".to_owned(), text("authorization"))],
            body: Vec::new(),
        };
        let base = if request.target.starts_with("/prefix/") {
            "/prefix"
        } else {
            ""
        };
        let ts: i64 = request.query("ts").unwrap().parse().unwrap();
        let key = signature::check(&request, base, ts + 60).unwrap();
        assert_eq!(key, Key::from_encoded(encoded).unwrap());
        assert_eq!(file["key"]["fingerprint"], key.fingerprint);
        assert_eq!(file["key"]["public_key"], key.line);
        assert!(
            signature::check(&request, base, ts + 61)
                .unwrap_err()
                .contains("off")
        );
        request.headers[0].1 = format!("Bearer {}", text("authorization"));
        assert!(signature::check(&request, base, ts).is_ok());
        assert_eq!(request.api_key(), None);
        request.method = "PATCH".to_owned();
        assert!(
            signature::check(&request, base, ts)
                .unwrap_err()
                .contains("not one of PATCH,")
        );
    }
}

#[test]
fn ollama_answers_as_recorded() {
    let ollama = Ollama::start_at("/prefix");
    let post = |path: &str, body: &str| {
        curl(&[
            "-d",
            body,
            "-w",
            "%{http_code}",
            &format!("{}{path}", ollama.url()),
        ])
        .stdout()
        .to_owned()
    };
    for name in [
        "show",
        "generate",
        "generate_nostream",
        "generate_load",
        "chat",
        "pull404",
        "badjson",
        "badopt",
    ] {
        let exchange = recorded(name);
        let wanted = format!("{}{}", exchange.chunks.concat(), exchange.status);
        assert_eq!(post(&exchange.path, &exchange.body), wanted, "{name}");
    }
    // Not the recorded body, but the same question.
    let alike = post(
        "/api/generate",
        r#"{"model":"library/TINY:latest","prompt":"x","options":{}}"#,
    );
    assert!(
        alike.starts_with(&recorded("generate").chunks[0]),
        "{alike}"
    );
    assert_eq!(
        post("/api/show", r#"{"model":"gone"}"#),
        r#"{"error":"model 'gone' not found"}404"#
    );
    assert_eq!(post("/api/what", "{}"), "404 page not found404");
    assert!(recorded("generate").said().starts_with(" long"));
    ollama.route("POST", "/api/show", |_| Reply::json(500, "{}"));
    assert_eq!(post("/api/show", "{}"), "{}500");
    ollama.replay_always("me401");
    assert!(post("/api/me", "").ends_with("401"));
    let head = curl(&["--head", &format!("{}/", ollama.url())]);
    assert!(head.stdout().starts_with("HTTP/1.1 200"), "{head:?}");
}

#[test]
fn ollama_sends_a_stream_in_the_recorded_chunks() {
    let ollama = Ollama::start();
    let exchange = recorded("generate");
    let mut raw = TcpStream::connect(("127.0.0.1", ollama.server().port())).expect("a connection");
    let body = &exchange.body;
    let length = body.len();
    write!(
        raw,
        "POST /api/generate HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("it is sent");
    let mut text = String::new();
    raw.read_to_string(&mut text).expect("an answer");
    let chunks = exchange
        .chunks
        .iter()
        .map(|c| format!("{:x}\r\n{c}\r\n", c.len()));
    assert!(
        text.ends_with(&(chunks.collect::<String>() + "0\r\n\r\n")),
        "{text}"
    );
}

#[test]
fn a_wrong_signature_fails_the_drop_of_ollama() {
    let (ollama, device) = (Ollama::start(), TestDevice::new(1));
    let now = ollama.server().clock().now();
    let url = format!("{}/api/tags", ollama.url());
    assert_eq!(
        status(&signed(&device, "GET", &url, "/api/tags", now)),
        "200"
    );
    assert_eq!(status(&signed(&device, "GET", &url, "/api/ps", now)), "401");
    let text = drop_panics(ollama);
    assert!(
        text.contains("the signature is not one of GET,/api/tags?ts="),
        "{text}"
    );
    assert!(!text.contains("AAAAC3"), "{text}");
}

#[test]
fn a_device_is_connected_by_the_browser() {
    let (cloud, device, sandbox) = (Cloud::start_at("/base"), TestDevice::new(2), Sandbox::new());
    let me = || {
        let now = cloud.server().clock().now();
        signed(
            &device,
            "POST",
            &format!("{}/api/me", cloud.url()),
            "/api/me",
            now,
        )
    };
    let unsigned = curl(&["-d", "", &format!("{}/api/me", cloud.url())]);
    assert_eq!(unsigned.stdout(), r#"{"error":"unauthorized"}"#);
    let refused = me();
    let body = refused.stdout().lines().next().unwrap();
    assert_eq!(status(&refused), "401");
    let url = serde_json::from_str::<Value>(body).unwrap()["signin_url"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        url,
        format!(
            "{}/connect?name=standin&key={}",
            cloud.url(),
            device.key().encoded
        )
    );

    let browser = sandbox.browser(Behaviour::Follows);
    sandbox
        .program(sandbox.path("bin/xdg-open"), [&url])
        .run()
        .expect_code(0);
    assert_eq!(browser.opened(), [url]);
    assert!(browser.page().contains("Connect"));
    assert!(cloud.is_connected(&device.key().fingerprint));
    assert_eq!(cloud.devices()[0].name, "standin");
    let known = me();
    assert_eq!(status(&known), "200");
    assert!(known.stdout().contains(r#""name":"standin""#));

    // Another device is left pending, then refused; an unknown key cannot be deleted, one's own can.
    let other = TestDevice::new(3);
    cloud.auto_approve(false);
    curl(&[&format!(
        "{}/connect?name=a%20b&key={}",
        cloud.url(),
        other.key().encoded
    )]);
    assert!(!cloud.is_connected(&other.key().line));
    cloud.deny(&other.key().encoded);
    let now = cloud.server().clock().now();
    let denied = signed(
        &other,
        "POST",
        &format!("{}/api/me", cloud.url()),
        "/api/me",
        now,
    );
    assert_eq!(status(&denied), "403");
    let delete = |encoded: &str| {
        let path = format!("/api/user/keys/{encoded}");
        let url = format!("{}{path}", cloud.url());
        signed(&device, "DELETE", &url, &path, cloud.server().clock().now())
    };
    assert_eq!(status(&delete("bm90aGluZw")), "404");
    assert_eq!(status(&delete(&device.key().encoded)), "200");
    assert_eq!(status(&delete(&device.key().encoded)), "401");
    assert_eq!(status(&me()), "401");
    assert_eq!(cloud.count("POST", "/api/me"), 5);
}

#[test]
fn the_cloud_takes_api_keys_and_answers_models() {
    let cloud = Cloud::start();
    let ask = |key: &str, body: &str| {
        let header = format!("Authorization: Bearer {key}");
        curl(&[
            "-H",
            &header,
            "-d",
            body,
            &format!("{}/api/generate", cloud.url()),
        ])
        .stdout()
        .to_owned()
    };
    let body = r#"{"model":"gpt-oss:120b","prompt":"hi"}"#;
    assert_eq!(ask("key-one", body), r#"{"error":"unauthorized"}"#);
    cloud.accept_api_key("key-one");
    assert_eq!(ask("key-one", body), recorded("generate").chunks.concat());
    cloud.revoke_api_key("key-one");
    assert_eq!(ask("key-one", body), r#"{"error":"unauthorized"}"#);
}

#[test]
fn faults_are_injected_and_mended() {
    let (cloud, device) = (Cloud::start(), TestDevice::new(4));
    let me = || {
        let ts = cloud.server().clock().now();
        let header = format!(
            "Authorization: {}",
            device.sign(&format!("POST,/api/me?ts={ts}"))
        );
        curl(&[
            "-i",
            "-X",
            "POST",
            "-H",
            &header,
            &format!("{}/api/me?ts={ts}", cloud.url()),
        ])
    };
    let once = |fault| {
        cloud.inject_times("/api/me", 1, fault);
        me()
    };
    let shows = |fault, wanted: &str| {
        let output = once(fault);
        assert!(
            output.stdout().contains(wanted),
            "{wanted}: {}",
            output.snapshot()
        );
    };
    shows(Fault::Status(503), "HTTP/1.1 503");
    shows(Fault::TryLater(429, "7".to_owned()), "Retry-After: 7\r\n");
    shows(
        Fault::Redirect(307, "http://127.0.0.1:1/x".to_owned()),
        "Location: http://127.0.0.1:1/x\r\n",
    );
    shows(
        Fault::SigninOrigin("https://evil.invalid".to_owned()),
        "https://evil.invalid/connect?",
    );
    shows(Fault::SigninKey("b3RoZXI".to_owned()), "&key=b3RoZXI\"");
    shows(Fault::Html(200), "Wi-Fi");
    assert!(!once(Fault::NoSigninUrl).stdout().contains("signin_url"));
    assert_eq!(once(Fault::Drop).code(), 52);
    assert_eq!(once(Fault::Reset).code(), 56);
    let date = |output: &Output| {
        let line = output
            .stdout()
            .lines()
            .find_map(|l| l.strip_prefix("Date: "))
            .map(str::to_owned);
        jiff::fmt::rfc2822::parse(&line.expect("a Date"))
            .expect("a date")
            .timestamp()
            .as_second()
    };
    let skewed = date(&once(Fault::DateSkew(600))) - cloud.server().clock().now();
    assert!((595..=600).contains(&skewed), "{skewed}");
    cloud.connect(device.key());
    shows(Fault::CapitalisedNames, r#""ID":"0000"#);
    let body = once(Fault::MalformedJson);
    let (_, body) = body.stdout().split_once("\r\n\r\n").expect("a body");
    assert!(serde_json::from_str::<Value>(body).is_err());
    cloud.inject("/api/me", Fault::Status(500));
    assert!(me().stdout().starts_with("HTTP/1.1 500"));
    assert!(me().stdout().starts_with("HTTP/1.1 500"));
    cloud.mend();
    assert!(me().stdout().starts_with("HTTP/1.1 200"));
    assert_eq!(cloud.take_refused(), [""; 0]);

    // A clock that is off refuses good signatures.
    let ts = cloud.server().clock().now();
    cloud.server().clock().skew(600);
    let late = signed(
        &device,
        "POST",
        &format!("{}/api/me", cloud.url()),
        "/api/me",
        ts,
    );
    assert_eq!(status(&late), "401");
    assert!(cloud.take_refused()[0].contains("s off"));
}

#[test]
fn a_stock_server_answers_for_itself() {
    let stock = Stock::start(Account::SignedOut);
    let post = |path: &str| {
        curl(&["-d", "", &format!("{}{path}", stock.url())])
            .stdout()
            .to_owned()
    };
    let refused: Value = serde_json::from_str(&post("/api/me")).unwrap();
    let url = refused["signin_url"].as_str().unwrap();
    assert!(url.starts_with("https://ollama.com/connect?"));
    assert!(url.ends_with(&stock.key().encoded));
    stock.set_account(Account::SignedIn);
    assert!(post("/api/me").contains("standin"));
    assert_eq!(post("/api/signout"), "null");
    assert_eq!(stock.account(), Account::SignedOut);
    stock.set_account(Account::Unavailable);
    assert_eq!(post("/api/me"), r#"{"error":"account unavailable"}"#);
    stock.set_account(Account::SignedIn);
    curl(&[
        "-X",
        "DELETE",
        &format!("{}/api/user/keys/any", stock.url()),
    ]);
    assert_eq!(stock.account(), Account::SignedOut);
    assert!(drop_panics(stock).contains("DELETE /api/user/keys/any was sent to a stock server"));
}

#[test]
fn browsers_misbehave() {
    let sandbox = Sandbox::new();
    let open = || sandbox.program(sandbox.path("bin/xdg-open"), ["http://127.0.0.1:1/"]);
    let failing = sandbox.browser(Behaviour::Fails);
    open().run().expect_code(1);
    assert_eq!(failing.wait_opened(), "http://127.0.0.1:1/");
    let hanging = sandbox.browser(Behaviour::Hangs);
    let child = open().spawn();
    hanging.wait_opened();
    crate::harness::poll("the stub to hang", || {
        child.cmdline().ends_with(b"\x00600\x00").then_some(())
    });
    drop(hanging);
    assert_eq!(child.finish().code(), 128 + 9);
    sandbox.browser(Behaviour::Missing);
    assert!(!sandbox.path("bin/xdg-open").exists());
}

#[test]
fn a_sandbox_holds_only_what_it_was_given() {
    let mut sandbox = Sandbox::new();
    sandbox.set_env("GIVEN", "value");
    let output = sandbox.program(tool("env"), [""; 0]).run().expect_code(0);
    let mut names: Vec<_> = output
        .stdout()
        .lines()
        .map(|l| l.split('=').next().unwrap())
        .collect();
    names.sort_unstable();
    let wanted = "GIVEN HOME LANG PATH TMPDIR TZ XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR XDG_STATE_HOME";
    assert_eq!(names.join(" "), wanted);
    assert!(output.stdout().lines().any(|line| line == "GIVEN=value"));
    // Does the program under test start at all?
    sandbox.command([""; 0]).run();
}

#[test]
fn a_snapshot_hides_what_differs_from_run_to_run() {
    let sandbox = Sandbox::new();
    let key = TestDevice::new(5).key();
    let script = format!(
        "echo \"$HOME http://127.0.0.1:4711/x {} {}\"; cat; echo no >&2; exit 3",
        key.fingerprint, key.encoded
    );
    let output = sandbox
        .program(tool("sh"), ["-c", &script])
        .env("PATH", std::env::var_os("PATH").unwrap())
        .stdin("in\n")
        .run();
    insta::assert_snapshot!(output.snapshot_with(&[("no", "yes")]), @r"
    exit code: 3
    ----- stdout -----
    [SANDBOX]/home http://127.0.0.1:[PORT]/x SHA256:[FINGERPRINT] c3NoLWVkMjU1MTkg[KEY]
    in

    ----- stderr -----
    yes
    ");
}

#[test]
fn a_program_that_hangs_is_killed() {
    let sandbox = Sandbox::new();
    let child = sandbox
        .program(tool("sh"), ["-c", "echo begun; while :; do :; done"])
        .deadline(Duration::from_millis(300))
        .spawn();
    let pid = child.pid();
    let panic = catch_unwind(AssertUnwindSafe(|| child.finish())).expect_err("a deadline");
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(
        text.contains("did not end within 300ms\nstdout: \"begun\\n\""),
        "{text}"
    );
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_secret_is_found_wherever_it_lies() {
    let sandbox = Sandbox::new();
    let found = |output: &Output, allowed: &[&str]| {
        catch_unwind(AssertUnwindSafe(|| {
            sandbox.assert_no_secret("hunter2-hunter2", &[output], allowed);
        }))
        .is_err()
    };
    let echo = |text: &str| sandbox.program(tool("echo"), [text]).run();
    let clean = echo("nothing");
    assert!(!found(&clean, &[]));
    assert!(found(&echo("a hunter2-hunter2 b"), &[]));
    assert!(found(&echo("aHVudGVyMi1odW50ZXIy"), &[]), "base64");
    sandbox.write("home/.config/x/y", "key = hunter2-hunter2");
    assert!(found(&clean, &[]));
    assert!(!found(&clean, &["home/.config/x"]));
    let child = sandbox
        .program(tool("sleep"), ["60"])
        .env("TOKEN", "t-1")
        .spawn();
    crate::harness::poll("sleep to start", || {
        child.cmdline().ends_with(b"\x0060\x00").then_some(())
    });
    assert!(crate::harness::contains(&child.environ(), b"TOKEN=t-1"));
}

#[test]
fn a_terminal_shows_types_and_resizes() {
    let mut sandbox = Sandbox::new();
    sandbox.set_env("PATH", std::env::var_os("PATH").unwrap());
    let script = "trap 'stty size' WINCH; stty size; printf '\\033[1mask\\033[0m '; \
                  while ! read -r -t 0.1 line; do :; done; echo got:$line; exit 7";
    let sh = tool("bash");
    let mut terminal =
        Terminal::start_program(&sandbox, sh.to_str().unwrap(), &["-c", script], 40, 10);
    let screen = terminal.wait_text("ask");
    assert!(screen.starts_with("10 40\n"), "{screen}");
    assert!(terminal.look(|screen| screen.cell(1, 0).unwrap().bold()));
    terminal.resize(60, 12);
    terminal.wait_text("12 60");
    terminal.send("hello\r");
    let done = terminal.finish();
    assert!(done.screen.contains("got:hello"), "{}", done.screen);
    assert_eq!((done.code, done.restored), (7, true));
    assert!(crate::harness::contains(&done.raw, b"\x1b[1mask"));
}

#[test]
fn a_terminal_left_raw_is_noticed_and_keys_signal() {
    let mut sandbox = Sandbox::new();
    sandbox.set_env("PATH", std::env::var_os("PATH").unwrap());
    let sh = tool("sh");
    let run = |script: &str| {
        Terminal::start_program(&sandbox, sh.to_str().unwrap(), &["-c", script], 80, 24)
    };
    let done = run("stty -echo -icanon").finish();
    assert_eq!((done.code, done.restored), (0, false));
    let mut terminal =
        run("trap 'echo stopped; exit 130' INT; echo ready; while :; do sleep 1; done");
    terminal.wait_text("ready");
    assert!(terminal.is_restored());
    terminal.send("\x03");
    let done = terminal.finish();
    assert!(done.screen.contains("stopped"), "{}", done.screen);
    assert_eq!(done.code, 130);
}
