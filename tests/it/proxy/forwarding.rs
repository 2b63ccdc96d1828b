//! Normal use: requests reach the host with the credential and are otherwise unchanged.

use rustix::process::Signal;

use super::{KEY, Proxy, TOKEN, with_upstream};
use crate::gateway_tls::Authority;
use crate::given::{sign_in, with_store};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::http::{Reply, Server};
use crate::harness::ollama::{Ollama, recorded};
use crate::harness::tool;

#[test]
fn a_device_signs_each_request_with_all_its_parameters() {
    for base in ["", "/prefix"] {
        let (sandbox, cloud) = (with_store("plaintext"), Cloud::start_at(base));
        sign_in(&sandbox, &cloud, &[]);
        let before = cloud.server().requests().len();
        let proxy = Proxy::with_profile(&sandbox, &[]);
        let exchange = recorded("generate");
        let answer = proxy.ask("POST", "/api/generate?b=2&a=x%20y&a=1+2&c=%C3%A9%26", &[], &exchange.body);
        assert_eq!((answer.status, answer.text()), (200, exchange.chunks.concat().as_str()));
        assert_eq!(proxy.ask("GET", "/api/tags", &["Authorization: Bearer ollama"], "").status, 200);
        // A signature of the caller's own, and its time, go no further.
        assert_eq!(proxy.ask("POST", "/api/me?ts=5", &["Authorization: c3No:c2ln"], "").status, 200);
        let requests = cloud.server().requests().split_off(before);
        // The host checks every signature; the drop of the host fails on one that is wrong.
        assert!(requests.iter().all(|request| request.authorization().unwrap().contains(':')), "{requests:?}");
        let first = &requests[0];
        assert_eq!(first.path(), format!("{base}/api/generate"));
        let ts = first.query("ts").unwrap();
        assert_eq!(first.raw_query(), format!("a=x+y&a=1+2&b=2&c=%C3%A9%26&ts={ts}"));
        assert_eq!(first.text(), exchange.body);
        assert_ne!(requests[2].query("ts").unwrap(), "5");
        proxy.end().expect_code(0);
    }
}

#[test]
fn an_api_key_replaces_the_programs_placeholder() {
    let (upstream, proxy, _sandbox) = with_upstream(|| Reply::json(200, r#"{"data":[]}"#), &[]);
    for header in ["Authorization: Bearer ollama", "x-api-key: sk-ant-0123", "api-key: 0123", "X-Other: 1"] {
        assert_eq!(proxy.ask("GET", "/v1/models?limit=5", &[header, "User-Agent: an-sdk/1"], "").status, 200);
    }
    for request in upstream.requests() {
        let given: Vec<_> =
            request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization")).collect();
        assert_eq!(given.len(), 1);
        assert_eq!(request.api_key(), Some(KEY));
        assert_eq!((request.header("x-api-key"), request.header("api-key")), (None, None));
        assert_eq!(request.header("host"), upstream.url().strip_prefix("http://"));
        assert_eq!((request.target.as_str(), request.header("user-agent")), ("/v1/models?limit=5", Some("an-sdk/1")));
    }
    assert_eq!(upstream.requests()[3].header("x-other"), Some("1"));
}

#[test]
fn the_real_gateway_serves_models_but_no_account_routes() {
    let ollama = Ollama::start();
    let gateway = Gateway::start(&ollama.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let proxy = Proxy::with_profile(&device, &[]);
    let exchange = recorded("generate");
    let sandbox = Sandbox::new();
    let url = |path: &str| format!("{}{path}", proxy.url());
    let curl = |more: &[&str]| {
        sandbox.program(tool("curl"), ["--silent", "--show-error", "--noproxy", "*"]).args(more).run().expect_code(0)
    };
    let output = curl(&["--no-buffer", "--data", &exchange.body, &url("/api/generate")]);
    assert_eq!(output.stdout(), exchange.chunks.concat());
    assert_eq!(curl(&[&url("/api/me"), "--data", ""]).json()["name"], "ada");
    assert_eq!(curl(&["--head", &url("/")]).stdout().lines().next(), Some("HTTP/1.1 200 OK"));
    for (method, path) in [("GET", "/api/user/keys"), ("POST", "/api/user/keys"), ("DELETE", "/api/user/keys/abc")] {
        let output = curl(&["--request", method, "--data", r#"{"name":"mine"}"#, &url(path)]);
        assert!(output.stdout().contains("belongs to the account"), "{}", output.snapshot());
    }
    let keys = device.command(["keys", "list", "--json"]).run().expect_code(0).json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 0);
    // What the gateway does not allow it says itself.
    assert_eq!(proxy.ask("DELETE", "/api/delete", &[], r#"{"model":"tiny"}"#).status, 403);
    // And our own client is a program like any other.
    let run = sandbox.command(["run", "--host", &proxy.url(), "tiny", "Why is the sky blue?"]).run().expect_code(0);
    assert!(!run.stdout().is_empty());
}

#[test]
fn a_refused_credential_is_forwarded_and_logged_once() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let proxy = Proxy::with_profile(&sandbox, &[]);
    assert_eq!(proxy.ask("GET", "/api/tags", &[], "").status, 200);
    let key = cloud.devices()[0].key.clone();
    cloud.disconnect(&key.fingerprint);
    for _ in 0..3 {
        let answer = proxy.ask("POST", "/api/me", &[], "");
        assert_eq!(answer.status, 401);
        assert!(answer.json()["signin_url"].is_string(), "{}", answer.text());
    }
    let output = proxy.end().expect_code(0);
    assert_eq!(output.stderr().matches("refused the credential").count(), 1, "{}", output.snapshot());
    assert!(output.stderr().contains("ollama-auth signin --host"), "{}", output.snapshot());
}

#[test]
fn redirects_and_errors_are_forwarded_unchanged() {
    let elsewhere = Server::start(|_| Reply::json(200, "{}"));
    let location = format!("{}/api/tags", elsewhere.url());
    for status in [301, 302, 307, 308] {
        let to = location.clone();
        let (upstream, proxy, _sandbox) = with_upstream(move || Reply::redirect(status, &to), &[]);
        let answer = proxy.ask("POST", "/api/chat", &[], "{}");
        assert_eq!((answer.status, answer.header("location")), (status, Some(&*location)));
        assert_eq!(upstream.requests().len(), 1);
    }
    assert!(elsewhere.requests().is_empty(), "a redirect was followed");
    for status in [400, 404, 429, 500, 503] {
        let (_upstream, proxy, _sandbox) = with_upstream(
            move || Reply::json(status, r#"{"error":"as it came"}"#).header("Retry-After", "7").header("X-Mine", "1"),
            &[],
        );
        let answer = proxy.ask("POST", "/api/chat", &[], "{}");
        assert_eq!((answer.status, answer.text()), (status, r#"{"error":"as it came"}"#));
        assert_eq!((answer.header("retry-after"), answer.header("x-mine")), (Some("7"), Some("1")));
    }
}

#[test]
fn https_hosts_use_the_clients_trust_settings() {
    let (ollama, authority) = (Ollama::start(), Authority::new());
    let gateway = authority.serve(&ollama.url(), &[]);
    let device = authority.device(&gateway, "ada");
    let proxy = Proxy::with_profile(&device, &["--ca-cert", &authority.ca()]);
    let exchange = recorded("generate");
    assert_eq!(proxy.ask("POST", "/api/generate", &[], &exchange.body).text(), exchange.chunks.concat());
    proxy.end().expect_code(0);
    // A host with an untrusted certificate gets no request.
    let proxy = Proxy::with_profile(&device, &[]);
    let answer = proxy.ask("POST", "/api/generate", &[], &exchange.body);
    assert!(answer.status == 502 && answer.text().contains("does not trust the authority"), "{}", answer.text());
}

#[test]
fn requests_with_the_token_are_served() {
    let (upstream, sandbox) = (Server::start(|_| Reply::json(200, "{}")), Sandbox::new());
    let file = sandbox.write("token", format!("{TOKEN}\n"));
    for proxy in [
        Proxy::with_token(&sandbox, &["--host", &upstream.url(), "-vv"]),
        Proxy::start(&sandbox, &["--host", &upstream.url(), "-vv", "--token-file", file.to_str().unwrap()]),
    ] {
        assert_eq!(proxy.listening["token"], true);
        for header in [format!("Authorization: Bearer {TOKEN}"), format!("x-api-key: {TOKEN}")] {
            assert_eq!(proxy.ask("GET", "/api/tags", &[&header], "").status, 200);
        }
        assert!(!String::from_utf8_lossy(&proxy.child.cmdline()).contains(TOKEN));
        proxy.child.signal(Signal::TERM);
        sandbox.assert_no_secret(TOKEN, &[&proxy.child.finish().expect_code(0)], &["token"]);
    }
    for request in upstream.requests() {
        assert_eq!((request.api_key(), request.header("x-api-key")), (Some(KEY), None));
        assert!(!format!("{request:?}").contains(TOKEN), "the token went on");
    }
}
