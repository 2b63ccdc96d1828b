//! Start and stop: settings that are refused, and what is printed.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use super::{KEY, Proxy, TOKEN, with_upstream};
use crate::given::says;
use crate::harness::cmd::Sandbox;
use crate::harness::http::{Reply, Server, Step};
use crate::harness::tool;

#[test]
fn the_proxy_listens_on_loopback_only() {
    let sandbox = Sandbox::new();
    for (address, said) in [
        ("0.0.0.0:0", "not a loopback address"),
        ("[::]:0", "not a loopback address"),
        ("192.0.2.1:11436", "not a loopback address"),
        ("[::ffff:127.0.0.1]:0", "not a loopback address"),
        ("example.com:11436", "not an IP address with a port"),
        ("127.0.0.1", "not an IP address with a port"),
        ("11436", "not an IP address with a port"),
    ] {
        let command = sandbox.command(["proxy", "--host", "http://127.0.0.1:9", "--listen", address]);
        let output = command.env("OLLAMA_API_KEY", KEY).run().expect_code(2);
        says(&output, &[said, "--listen 127.0.0.1:11436"]);
    }
}

#[test]
fn a_used_port_is_reported() {
    let (sandbox, taken) = (Sandbox::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = taken.local_addr().unwrap().to_string();
    let command = sandbox.command(["proxy", "--host", "http://127.0.0.1:9", "--listen", &address]);
    says(&command.env("OLLAMA_API_KEY", KEY).run().expect_code(1), &["cannot listen at", &address, "--listen"]);
}

#[test]
fn without_a_credential_the_proxy_does_not_start() {
    let sandbox = Sandbox::new();
    let output = sandbox.command(["proxy", "--listen", "127.0.0.1:0"]).run().expect_code(4);
    says(&output, &["not signed in to http://127.0.0.1:11434", "ollama-auth signin"]);
    let output = sandbox.command(["proxy", "--listen", "127.0.0.1:0", "--profile", "nope"]).run().expect_code(3);
    says(&output, &["no profile named"]);
    // A key for another host does not count as a credential.
    let command = sandbox.command(["proxy", "--listen", "127.0.0.1:0", "--host", "http://192.0.2.1"]);
    says(&command.env("OLLAMA_API_KEY", KEY).run().expect_code(4), &["not sent to http://192.0.2.1", "plain http"]);
}

#[test]
fn the_proxy_refuses_itself_as_the_host() {
    let sandbox = Sandbox::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let command = sandbox.command(["proxy", "--listen", &free]).env("OLLAMA_HOST", &free);
    says(&command.env("OLLAMA_API_KEY", KEY).run().expect_code(2), &["is this proxy itself", "unset OLLAMA_HOST"]);
}

#[test]
fn a_weak_or_exposed_token_is_refused_and_not_repeated() {
    let sandbox = Sandbox::new();
    let run = |args: &[&str], stdin: &str| {
        let command = sandbox.command(["proxy", "--listen", "127.0.0.1:0", "--host", "http://127.0.0.1:9"]).args(args);
        command.env("OLLAMA_API_KEY", KEY).stdin(stdin).run()
    };
    for bad in ["", "short-0123", "two words 0123456789", "0123456789abcd\u{e9}ef"] {
        let output = run(&["--token-stdin"], bad).expect_code(2);
        says(&output, &["16 to 4096 printable", "openssl rand"]);
        assert!(bad.is_empty() || !output.stderr().contains(bad), "{}", output.snapshot());
    }
    let file = sandbox.write("token", TOKEN);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = run(&["--token-file", file.to_str().unwrap()], "").expect_code(1);
    says(&output, &["open to other accounts", "chmod 600"]);
    let output = run(&["--token-file", "/nowhere/token"], "").expect_code(2);
    says(&output, &["there is no file /nowhere/token"]);
    run(&["--token-stdin", "--token-file", file.to_str().unwrap()], "").expect_code(2);
    sandbox.assert_no_secret(TOKEN, &[&output], &["token"]);
}

#[test]
fn wildcard_and_invalid_origins_are_refused() {
    let sandbox = Sandbox::new();
    for (origin, said) in [
        ("*", "every page"),
        ("null", "every page"),
        ("https://*.example", "every page"),
        ("example.com", "not an origin"),
        ("https://example.com/path", "not an origin"),
    ] {
        let args = ["proxy", "--listen", "127.0.0.1:0", "--host", "http://127.0.0.1:9", "--allow-origin", origin];
        says(&sandbox.command(args).env("OLLAMA_API_KEY", KEY).run().expect_code(2), &[said, "--allow-origin"]);
    }
}

#[test]
fn the_proxy_reports_its_address_and_stops_on_a_signal() {
    let (upstream, proxy, sandbox) = with_upstream(|| Reply::json(200, "{}"), &[]);
    assert_eq!(proxy.listening["upstream"], upstream.url());
    assert_eq!(proxy.listening["token"], false);
    assert_eq!(proxy.ask("GET", "/api/tags", &[], "").status, 200);
    let output = proxy.end().expect_code(0);
    assert_eq!(output.stdout(), "");
    sandbox.assert_no_secret(KEY, &[&output], &[]);

    // For a person.
    let child = sandbox
        .command(["proxy", "--host", &upstream.url(), "--listen", "localhost:0"])
        .env("OLLAMA_API_KEY", KEY)
        .spawn();
    let said = child.wait_stderr(|text| text.ends_with('\n'));
    assert!(said.starts_with("Proxy at http://127.0.0.1:") && said.contains(&upstream.url()), "{said}");
    child.interrupt();
    child.finish().expect_code(0);
}

#[test]
fn open_requests_may_finish_until_a_second_signal() {
    for second in [false, true] {
        let (_upstream, proxy, sandbox) = with_upstream(|| Reply::ndjson([Step::send("{}\n"), Step::Hang]), &[]);
        let args =
            ["--no-buffer", "--silent", "--noproxy", "*", "--data", "{}", &format!("{}/api/generate", proxy.url())];
        let curl = sandbox.program(tool("curl"), args).spawn();
        curl.wait_stdout(|text| text == "{}\n");
        proxy.child.signal(Signal::TERM);
        proxy.child.wait_stderr(|text| text.contains("waiting for open requests"));
        if second {
            proxy.child.signal(Signal::TERM);
        }
        let output = proxy.child.finish().expect_code(if second { 130 } else { 0 });
        assert_eq!(output.stderr().contains("cutting off"), !second, "{}", output.snapshot());
        assert_ne!(curl.finish().code(), 0);
    }
}

#[test]
fn an_unreachable_host_is_reported_in_the_format_of_the_api() {
    let sandbox = Sandbox::new();
    let gone = Server::start(|_| Reply::json(200, "{}")).url();
    let proxy = Proxy::start(&sandbox, &["--host", &gone]);
    let said = |path: &str| {
        let answer = proxy.ask("POST", path, &[], "{}");
        assert_eq!(answer.status, 502);
        answer.json()
    };
    let text = said("/api/chat")["error"].as_str().unwrap().to_owned();
    assert!(text.starts_with(&format!("bad gateway: cannot reach {gone}")), "{text}");
    assert_eq!(said("/v1/chat/completions")["error"]["type"], "api_error");
    assert_eq!(said("/v1/messages")["type"], "error");
}
