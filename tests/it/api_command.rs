//! `api`: one request as the caller words it, with our credential and to our host only; the answer streamed, unchanged in a pipe and
//! harmless on a terminal; the status told by the exit code.

use serde_json::json;

use crate::given::{says, sign_in, with_store};
use crate::harness::cloud::{Cloud, Fault};
use crate::harness::cmd::{Cmd, PROGRAM, Sandbox};
use crate::harness::http::{Gate, Reply, Step};
use crate::harness::ollama::Ollama;
use crate::harness::pty::Terminal;
use crate::harness::set_clock::SetClock;
use crate::harness::stock::{Account, Stock};
use crate::harness::tool;

const KEY: &str = "a-key-for-a-request-0123456789";

fn at(ollama: &Ollama) -> Sandbox {
    let mut sandbox = with_store("plaintext");
    sandbox.set_env("OLLAMA_HOST", ollama.url()).set_env("OLLAMA_API_KEY", KEY);
    sandbox
}

fn api(sandbox: &Sandbox, args: &[&str]) -> Cmd {
    sandbox.command(["api"]).args(args)
}

fn signed_in(base: &str) -> (Sandbox, Cloud) {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start_at(base));
    sign_in(&sandbox, &cloud, &[]);
    (sandbox, cloud)
}

#[test]
fn path_and_query_are_signed_as_they_are_sent() {
    for base in ["", "/prefix"] {
        let (sandbox, cloud) = signed_in(base);
        let own = format!("{}/api/tags?z=1", cloud.url());
        for path in ["/api/tags", "api/tags", "/api/tags?b=2&a=x%20y&a=%26&c", "/api/./tags?u=http://o/~*", &own] {
            let output = api(&sandbox, &[path]).run().expect_code(0);
            assert!(output.json()["models"].is_array());
            assert_eq!(output.stderr(), "");
        }
        let last = cloud.server().requests().into_iter().find(|request| request.query("a").is_some()).unwrap();
        assert_eq!((last.query("a").as_deref(), last.query("b").as_deref()), (Some("x y"), Some("2")));
        assert!(last.body.is_empty() && last.header("content-type").is_none());
        let body = r#"{"model":"tiny","prompt":"hi"}"#;
        let output = api(&sandbox, &["/api/generate", "-d", body]).run().expect_code(0);
        assert!(output.stdout().ends_with("\n") && output.stdout().contains("\"done\":true"));
        let sent = cloud.server().requests().pop().unwrap();
        assert_eq!(
            (sent.method.as_str(), sent.text(), sent.header("content-type")),
            ("POST", body, Some("application/json"))
        );
    }
}

#[test]
fn the_credential_goes_to_its_own_host_only() {
    let (sandbox, cloud) = signed_in("/prefix");
    let other = Cloud::start();
    let before = cloud.server().requests().len();
    let elsewhere = format!("{}/prefix/api/tags", other.url());
    for path in [
        &*elsewhere,
        "https://ollama.com/api/tags",
        "//other/api/tags",
        "/../api/tags",
        "/%2e%2e/api",
        "/a#b",
        "http://u:p@h/",
        "/x?ts=1",
    ] {
        api(&sandbox, &[path]).run().expect_code(2);
    }
    assert_eq!(cloud.server().requests().len(), before);
    cloud.inject("/api/tags", Fault::Redirect(307, elsewhere.clone()));
    let output = api(&sandbox, &["/api/tags"]).run().expect_code(1);
    says(&output, &["redirects to", "not followed"]);
    assert!(other.server().requests().is_empty());
}

#[test]
fn headers_that_carry_a_credential_are_refused_without_their_value() {
    let ollama = Ollama::start();
    let sandbox = at(&ollama);
    for name in [
        "Authorization",
        "cookie",
        "Proxy-Authorization",
        "HOST",
        "X-API-Key",
        "Transfer-Encoding",
        "X-Http-Method-Override",
    ] {
        let header = format!("{name}: Bearer hunter2-hunter2");
        let output = api(&sandbox, &["/api/tags", "-H", &header]).run().expect_code(2);
        says(&output, &[&name.to_ascii_lowercase()]);
        sandbox.assert_no_secret("hunter2-hunter2", &[&output], &[]);
    }
    for header in ["hunter2-hunter2", ": hunter2-hunter2", "a: hunter2-hunter2\nb: c"] {
        let output = api(&sandbox, &["/api/tags", "-H", header]).run().expect_code(2);
        sandbox.assert_no_secret("hunter2-hunter2", &[&output], &[]);
    }
    assert!(ollama.server().requests().is_empty());
    let more = ["-H", "X-Note: a: b", "-H", "content-type: text/plain", "-d", "hi", "-vv"];
    ollama.route("POST", "/echo", |request| Reply::new(200, request.header("x-note").unwrap_or_default()));
    let output = api(&sandbox, &[&["/echo"][..], &more].concat()).env("RUST_LOG", "trace").run().expect_code(0);
    assert_eq!(output.stdout(), "a: b");
    sandbox.assert_no_secret(KEY, &[&output], &[]);
    let sent = ollama.server().requests().pop().unwrap();
    assert_eq!((sent.header("content-type"), sent.api_key()), (Some("text/plain"), Some(KEY)));
}

/// It would sign itself out. (Dropping it checks that nothing of the kind came.)
#[test]
fn no_spelling_of_a_request_signs_a_stock_server_out() {
    let stock = Stock::start(Account::SignedIn);
    let mut sandbox = with_store("plaintext");
    sandbox.set_env("OLLAMA_HOST", stock.url());
    for key in ["", KEY] {
        for args in [
            &["-X", "DELETE", "/api/user/keys/abc"][..],
            &["-X", "delete", "/api/user/%6beys/abc"],
            &["-X", "DELETE", "/api/x/../user/keys/abc"],
            &["-X", "DELETE", "/api/delete", "-d", "{}"],
            &["-X", "PATCH", "/api/user/keys/abc?expires_in=1"],
            &["-X", "POST", "//api/user/keys"],
            &["/api/User//keys/", "-d", "{}"],
        ] {
            let output = api(&sandbox, args).env("OLLAMA_API_KEY", key).run();
            assert!([1, 2].contains(&output.code()), "{args:?}\n{}", output.snapshot());
            assert_eq!(output.stdout(), "");
        }
    }
    for request in stock.server().requests() {
        assert_eq!((request.method.as_str(), request.path(), request.api_key()), ("POST", "/api/me", None));
    }
    let output = api(&sandbox, &["-X", "DELETE", "/api/user/keys/abc"]).run().expect_code(1);
    says(&output, &["was not sent", "is a plain Ollama server"]);
}

#[test]
fn a_delete_is_sent_only_after_the_host_proved_to_have_accounts() {
    let (sandbox, cloud) = signed_in("");
    cloud.offer_keys();
    cloud.issue(json!({ "id": "key_abcdefgh0123" }));
    let path = "/api/user/keys/a2V5X2FiY2RlZmdoMDEyMw";
    let output = api(&sandbox, &["-X", "DELETE", path]).run().expect_code(0);
    assert_eq!(output.json()["id"], "key_abcdefgh0123");
    assert_eq!(cloud.count("DELETE", path), 1);
    let output = api(&sandbox, &["-X", "DELETE", "/api/user/keys/AAAA"]).run().expect_code(3);
    assert!(output.stdout().contains("error"));
    assert_eq!(cloud.count("DELETE", "/api/user/keys/AAAA"), 1);
    let stranger = with_store("plaintext");
    let output = api(&stranger, &["-X", "DELETE", "/api/user/keys/AAAA", "--host", &cloud.url()]).run().expect_code(4);
    says(&output, &["was not sent"]);
    assert_eq!(cloud.count("DELETE", "/api/user/keys/AAAA"), 1);
}

#[test]
fn the_body_of_a_refusal_is_printed_and_its_meaning_is_the_exit_code() {
    let ollama = Ollama::start();
    let sandbox = at(&ollama);
    for (status, code) in [(400, 1), (401, 4), (403, 5), (404, 3), (418, 1), (500, 1), (502, 6)] {
        let body = format!("{{\"error\":\"words \u{1b}[2J {status}\"}}");
        let sent = body.clone();
        ollama.route("GET", "/x", move |_| Reply::json(status, &sent));
        let output = api(&sandbox, &["/x"]).run().expect_code(code);
        assert_eq!(output.stdout(), body);
        says(&output, &[&format!("words ^[[2J {status}")]);
        let output = api(&sandbox, &["/x", "--json"]).run().expect_code(code);
        let error: serde_json::Value = serde_json::from_str(output.stderr().lines().last().unwrap()).unwrap();
        assert_eq!(error["error"]["exit_code"], json!(code));
    }
    for status in [429, 503] {
        ollama.route("GET", "/x", move |_| Reply::retry_after(status, "17"));
        says(&api(&sandbox, &["/x"]).run().expect_code(7), &["try again in 17 s"]);
    }
    assert_eq!(ollama.server().count("GET", "/x"), 7 * 2 + 2, "nothing is asked twice");
    drop(ollama);
    api(&sandbox, &["/x"]).run().expect_code(6);
}

#[test]
fn the_answer_is_streamed_unchanged() {
    let ollama = Ollama::start();
    let sandbox = at(&ollama);
    let gate = Gate::new();
    let bytes: Vec<u8> = (0..=255).collect();
    let (held, first) = (gate.clone(), bytes.clone());
    ollama.route("GET", "/x", move |_| {
        Reply::script(200, [Step::send("first\n"), Step::WaitFor(held.clone()), Step::Send(first.clone())])
            .header("X-Mark", "yes")
    });
    let child = api(&sandbox, &["/x", "--include"]).spawn();
    let text = child.wait_stdout(|text| text.contains("first\n"));
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("\r\nx-mark: yes\r\n"), "{text:?}");
    assert!(text.ends_with("\r\n\r\nfirst\n"), "{text:?}");
    gate.open();
    let output = child.finish().expect_code(0);
    assert!(output.stdout.ends_with(&bytes));
    let output = api(&sandbox, &["/x"]).run().expect_code(0);
    assert_eq!(output.stdout, [b"first\n", &bytes[..]].concat());
}

#[test]
fn an_answer_that_is_cut_or_never_ends_is_an_error() {
    let ollama = Ollama::start();
    let mut sandbox = at(&ollama);
    ollama.route("GET", "/cut", |_| Reply::sized(200, 100, [Step::send("half"), Step::Cut]));
    let output = api(&sandbox, &["/cut"]).run().expect_code(1);
    assert_eq!(output.stdout(), "half");
    says(&output, &["cut off"]);
    ollama.route("GET", "/hang", |_| Reply::script(200, [Step::send("some"), Step::Hang]));
    let child = api(&sandbox, &["/hang"]).spawn();
    child.wait_stdout(|text| text == "some");
    child.interrupt();
    child.finish().expect_code(130);
    let clock = SetClock::stopped(&mut sandbox);
    let child = api(&sandbox, &["/hang", "--timeout", "1s"]).spawn();
    child.wait_stdout(|text| text == "some");
    clock.run();
    says(&child.finish().expect_code(6), &["nothing came within 1 second"]);
    ollama.route("GET", "/nothing", |_| Reply::script(200, [Step::Hang]).after(&Gate::new()));
    let child = api(&sandbox, &["/nothing"]).spawn();
    ollama.server().wait_requests(4);
    child.interrupt();
    child.finish().expect_code(130);
    ollama.route("GET", "/drop", |_| Reply::drop_connection());
    api(&sandbox, &["/drop"]).run().expect_code(6);
}

/// The highest amount of memory that a program had, in KiB, as it says at its end.
fn peak(sandbox: &Sandbox, script: &str) -> u64 {
    let python = "import resource,subprocess,sys\n\
                  code=subprocess.run(['/bin/sh','-c',sys.argv[1]]).returncode\n\
                  print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\nsys.exit(code)";
    let path = std::env::var_os("PATH").unwrap();
    let output = sandbox.program(tool("python3"), ["-c", python, script]).env("PATH", path).run().expect_code(0);
    output.stderr().lines().last().unwrap().parse().unwrap()
}

#[test]
fn large_bodies_are_streamed() {
    let ollama = Ollama::start();
    let sandbox = at(&ollama);
    let piece = vec![b'x'; 1 << 20];
    ollama.route("GET", "/large", move |_| Reply::script(200, (0..100).map(|_| Step::Send(piece.clone()))));
    ollama.route("POST", "/count", |request| Reply::new(200, request.body.len().to_string()));
    let file = sandbox.path("large");
    std::fs::File::create(&file).unwrap().set_len(100 << 20).unwrap();
    let file = file.to_str().unwrap();
    let small = peak(&sandbox, &format!("exec {PROGRAM} api /api/tags > /dev/null"));
    for script in [
        format!("exec {PROGRAM} api /large > /dev/null"),
        format!("test $({PROGRAM} api /count -d @{file}) = {}", 100 << 20),
        format!("test $({PROGRAM} api /count -d - < {file}) = {}", 100 << 20),
    ] {
        let large = peak(&sandbox, &script);
        assert!(large < small + 30 * 1024, "{script}: {large} KiB, and {small} KiB for a small answer");
    }
    let sent = ollama.server().requests();
    let lengths: Vec<_> = sent.iter().filter(|r| r.path() == "/count").map(|r| r.header("content-length")).collect();
    assert_eq!(lengths, [Some("104857600"), None], "of a file the length is known, of a pipe it is not");
}

#[test]
fn a_body_comes_from_the_argument_a_file_or_standard_input() {
    let ollama = Ollama::start();
    let sandbox = at(&ollama);
    ollama.route("PUT", "/echo", |request| Reply::new(200, request.body.clone()));
    ollama.route("POST", "/echo", |request| Reply::new(200, request.body.clone()));
    let file = sandbox.write("body.json", "from a file\n");
    let file = format!("@{}", file.display());
    assert_eq!(api(&sandbox, &["-X", "put", "/echo", "-d", &file]).run().expect_code(0).stdout(), "from a file\n");
    let output = api(&sandbox, &["/echo", "-d", "-"]).stdin("from a pipe\0").run().expect_code(0);
    assert_eq!(output.stdout(), "from a pipe\0");
    assert_eq!(api(&sandbox, &["/echo", "--data", "-5"]).run().expect_code(0).stdout(), "-5");
    assert_eq!(api(&sandbox, &["/echo", "-d", ""]).run().expect_code(0).stdout(), "");
    let before = ollama.server().requests().len();
    says(&api(&sandbox, &["/echo", "-d", "@nowhere"]).run().expect_code(2), &["nowhere", "cannot be read"]);
    says(&api(&sandbox, &["/echo", "-d", "@."]).run().expect_code(2), &["is a folder"]);
    assert_eq!(ollama.server().requests().len(), before);
    // A file whose length is not told beforehand, and one that cannot be read to its end.
    let version = std::fs::read_to_string("/proc/version").unwrap();
    assert_eq!(api(&sandbox, &["/echo", "-d", "@/proc/version"]).run().expect_code(0).stdout(), version);
    let output = api(&sandbox, &["/echo", "-d", "@/proc/self/mem"]).run().expect_code(1);
    says(&output, &["was broken off, since its body could not be read"]);
    // Standard input that does not end is no reason not to.
    let before = ollama.server().connections();
    let mut terminal = Terminal::start(&sandbox, &["api", "/echo", "-d", "-"]);
    terminal.send("something\r");
    crate::harness::poll("a connection", || (ollama.server().connections() > before).then_some(()));
    terminal.send("\x03");
    let end = terminal.finish();
    assert!(end.code == 130 && end.restored, "{}", end.screen);
}

#[test]
fn escape_sequences_do_not_reach_the_terminal() {
    let ollama = Ollama::start();
    let sandbox = at(&ollama);
    ollama.route("GET", "/x", |_| Reply::new(200, "\x1b[2J\x1b]0;title\x07text\u{202e}").header("X-Odd", "a\u{9b}b"));
    let terminal = Terminal::start(&sandbox, &["api", "/x", "-i"]);
    let end = terminal.finish();
    assert_eq!(end.code, 0);
    assert!(end.screen.contains("^[[2J^[]0;title^Gtext\\u{202e}"), "{}", end.screen);
    assert!(!end.raw.contains(&0x1b), "{:?}", String::from_utf8_lossy(&end.raw));
    assert_eq!(end.column, 0);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let ollama = Ollama::start();
    let sandbox = at(&ollama);
    ollama.route("GET", "/x", |_| Reply::script(200, (0..1000).map(|_| Step::Send(vec![b'x'; 64 << 10]))));
    let script = format!("{PROGRAM} api /x | /bin/true; exit \"${{PIPESTATUS[0]}}\"");
    let output = sandbox.program(tool("bash"), ["-c", &script]).run().expect_code(0);
    assert_eq!(output.stderr(), "");
    let full = format!("{PROGRAM} api /x > /dev/full");
    says(&sandbox.program(tool("sh"), ["-c", &full]).run().expect_code(1), &["No space left"]);
}

/// What the stand-ins accept, the real gateway accepts too.
#[cfg(feature = "gateway")]
#[test]
fn the_real_gateway_accepts_the_forwarded_request() {
    use crate::harness::gateway::Gateway;
    let ollama = Ollama::start();
    let gateway = Gateway::start(&ollama.url());
    gateway.add_user("ada", "admin");
    let device = gateway.device_of("ada");
    let listed = api(&device, &["/api/user/keys?limit=5&all=x%20y"]).run().expect_code(0).json();
    assert!(listed.is_object(), "{listed}");
    assert!(api(&device, &["/api/tags"]).run().expect_code(0).json()["models"].is_array());
    let key = gateway.key(&device, &["ci"]);
    let with_file = device.write("f.json", json!({ "host": gateway.url(), "key": key }).to_string());
    let with_file = with_file.to_str().unwrap();
    let args = ["--credentials", with_file];
    assert_eq!(device.command(["token"]).args(args).run().expect_code(0).stdout().trim(), key);
    let command = device.command(["exec"]).args(args).args([tool("sh")]);
    let output = command.args(["-c", "test $OLLAMA_API_KEY && echo $OLLAMA_HOST"]).run().expect_code(0);
    assert_eq!(output.stdout().trim(), gateway.url());
    let body = r#"{"model":"tiny","prompt":"hi"}"#;
    let output = api(&device, &["/api/generate", "-d", body]).args(args).run().expect_code(0);
    assert!(output.stdout().contains("\"done\":true"));
    // A key without that right, and one that is revoked while the file stays.
    api(&device, &["/api/pull", "-d", body]).args(args).run().expect_code(5);
    device.command(["keys", "revoke", "ci", "--yes"]).run().expect_code(0);
    api(&device, &["/api/tags"]).args(args).run().expect_code(4);
    let output = device.command(["usage"]).run().expect_code(0);
    device.assert_no_secret(&key, &[&output], &["f.json"]);
}
