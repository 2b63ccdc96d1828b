//! `signin --with-api-key`: where the API key is sent, where it is stored, and where it never appears.

use crate::given::{CONFIG, DATA, PASSPHRASE, plaintext, profile, says, with_store};
use crate::harness::cloud::{Cloud, Fault};
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::http::{Reply, Request, Server};
use crate::harness::ollama::{Ollama, recorded, replay};
use crate::harness::stock::{Account, Stock};

const KEY: &str = "gateway-key-0123456789-wxyz";
/// With the shape of ollama.com's own.
const OLLAMA_COM_KEY: &str = "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOpQrStUv-_";

fn signin(sandbox: &Sandbox, host: &str, stdin: impl AsRef<[u8]>) -> Output {
    sandbox.command(["signin", "--with-api-key", "--host", host]).stdin(stdin).run()
}

#[track_caller]
fn assert_nothing_stored(sandbox: &Sandbox) {
    assert!(!sandbox.path(CONFIG).join("profiles.json").exists());
    assert!(!plaintext(sandbox).contains("api-key:"));
}

#[test]
fn an_accepted_key_is_stored_used_and_removed() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.accept_api_key(KEY);
    let output = signin(&sandbox, &cloud.url(), format!(" {KEY}\n")).expect_code(0);
    says(&output, &["as standin with an API key", "plaintext store"]);
    assert_eq!(profile(&sandbox)["api_key"]["hint"], "wxyz");
    let status = sandbox.command(["status", "--json"]).run().expect_code(0);
    let seen = status.json();
    assert_eq!(seen["credential"]["kind"], "api-key");
    assert_eq!(seen["credential"]["hint"], "wxyz");
    assert_eq!(seen["account"]["name"], "standin");
    let ran = sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    sandbox.assert_no_secret(KEY, &[&output, &status, &ran], &[DATA]);

    let out = sandbox.command(["signout"]).run().expect_code(0);
    says(&out, &["Removed the API key", "stays valid at", "to revoke it", "where it was created"]);
    assert!(!plaintext(&sandbox).contains(KEY));
    sandbox.assert_no_secret(KEY, &[&out], &[]);
    assert!(cloud.server().requests().iter().all(|request| request.method != "DELETE"));
    sandbox.command(["status"]).run().expect_code(4);
    sandbox.command(["signout"]).run().expect_code(0);
}

#[test]
fn a_refused_key_is_not_stored() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let output = signin(&sandbox, &cloud.url(), KEY).expect_code(4);
    says(&output, &["refused the credential", &cloud.url()]);
    assert_nothing_stored(&sandbox);
    cloud.accept_api_key(KEY);
    signin(&sandbox, &cloud.url(), KEY).expect_code(0);
    let output = signin(&sandbox, &cloud.url(), "another-key-0123456789").expect_code(4);
    sandbox.assert_no_secret("another-key-0123456789", &[&output], &[]);
    sandbox.command(["status"]).run().expect_code(0);
}

#[test]
fn a_host_error_stores_no_key() {
    for (fault, code) in
        [(Fault::Status(503), 7), (Fault::Status(403), 5), (Fault::Status(500), 1), (Fault::Html(502), 6)]
    {
        let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
        cloud.accept_api_key(KEY);
        cloud.inject("/api/me", fault.clone()).inject("/api/tags", fault);
        signin(&sandbox, &cloud.url(), KEY).expect_code(code);
        assert_nothing_stored(&sandbox);
    }
}

#[test]
fn a_host_without_authentication_gets_no_key() {
    for account in [Account::SignedIn, Account::SignedOut, Account::Unavailable] {
        let (sandbox, stock) = (with_store("plaintext"), Stock::start(account));
        let output = signin(&sandbox, &stock.url(), KEY).expect_code(1);
        says(&output, &["answers without a credential", "not stored"]);
        assert_nothing_stored(&sandbox);
    }
}

/// A plain proxy that asks for a bearer token in front of a stock server. `me` is what becomes of `/api/me`.
fn proxy(me: impl Fn(bool) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request: &Request| {
        let admitted = request.api_key() == Some(KEY);
        if request.path() == "/api/me" {
            me(admitted)
        } else if admitted {
            replay(request, request.path())
        } else {
            refused()
        }
    })
}

fn refused() -> Reply {
    Reply::new(401, "who are you?")
}

#[test]
fn a_bearer_proxy_before_a_stock_server_accepts_a_key() {
    let guarded = |reply: fn() -> Reply| move |admitted: bool| if admitted { reply() } else { refused() };
    let servers = [
        proxy(guarded(|| recorded("me200").reply())),
        proxy(guarded(|| recorded("me401").reply())),
        proxy(guarded(|| recorded("me").reply())),
        proxy(|_| recorded("me200").reply()),
        proxy(|_| recorded("me401").reply()),
        proxy(|_| recorded("me").reply()),
        proxy(|_| Reply::new(404, "not found")),
    ];
    for (number, server) in servers.iter().enumerate() {
        let sandbox = with_store("plaintext");
        let output = signin(&sandbox, &server.url(), "a-wrong-key-0123456789");
        assert_eq!(output.code(), 4, "proxy {number}\n{}", output.snapshot());
        assert_nothing_stored(&sandbox);
        let output = signin(&sandbox, &server.url(), KEY);
        assert_eq!(output.code(), 0, "proxy {number}\n{}", output.snapshot());
        let status = sandbox.command(["status"]).run();
        assert_eq!(status.code(), 0, "proxy {number}\n{}", status.snapshot());
        sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    }
}

#[test]
fn an_invalid_key_is_refused_before_any_request() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let huge = "k".repeat(1 << 20);
    let cases: [&[u8]; 8] = [
        b"",
        b" \n\t\n",
        b"one-key-0123456789\nand-another",
        b"two words",
        "cl\u{e9}-0123456789".as_bytes(),
        b"\xff\xfe\x00key",
        b"key-\x1b[31m-with-escape",
        huge.as_bytes(),
    ];
    for case in cases {
        let output = signin(&sandbox, &cloud.url(), case).expect_code(2);
        says(&output, &["API key"]);
        assert!(!output.stderr().contains("0123456789"), "{}", output.snapshot());
        assert_nothing_stored(&sandbox);
    }
    assert!(cloud.server().requests().is_empty());
}

#[test]
fn an_ollama_com_key_goes_only_to_an_explicit_host() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let run = |args: &[&str], host: Option<&str>| {
        let command = sandbox.command(["run", "tiny", "hi"].iter().chain(args)).env("OLLAMA_API_KEY", OLLAMA_COM_KEY);
        match host {
            Some(host) => command.env("OLLAMA_HOST", host),
            None => command,
        }
        .run()
        .expect_code(0)
    };
    run(&[], Some(&ollama.url()));
    let sent = || ollama.server().requests().iter().filter(|r| r.authorization().is_some()).count();
    assert_eq!(sent(), 0);
    let status = sandbox
        .command(["status", "--json", "--offline"])
        .env("OLLAMA_API_KEY", OLLAMA_COM_KEY)
        .env("OLLAMA_HOST", ollama.url())
        .run();
    let status = status.json();
    assert_eq!(status["run"]["credential"]["kind"], "none");
    assert!(status["warnings"].to_string().contains("looks like a key of ollama.com"));
    run(&["--host", &ollama.url()], None);
    let requests = ollama.server().requests();
    assert_eq!(requests.last().unwrap().api_key(), Some(OLLAMA_COM_KEY));
}

#[test]
fn a_key_follows_no_redirect_and_goes_to_no_other_origin() {
    let (sandbox, cloud, other) = (with_store("plaintext"), Cloud::start(), Ollama::start());
    cloud.accept_api_key(KEY);
    for status in [301, 302, 307, 308] {
        let to = format!("{}/api/me", other.url());
        cloud.inject("/api/me", Fault::Redirect(status, to));
        let output = signin(&sandbox, &cloud.url(), KEY).expect_code(1);
        says(&output, &["redirects to", "not followed"]);
        cloud.clear_faults();
    }
    assert!(other.server().requests().is_empty());
    assert_nothing_stored(&sandbox);
    signin(&sandbox, &cloud.url(), KEY).expect_code(0);
    // Neither does a stored key go to a host that the environment names, nor to another port.
    sandbox.command(["run", "tiny", "hi"]).env("OLLAMA_HOST", other.url()).run().expect_code(0);
    assert!(other.server().requests().iter().all(|request| request.authorization().is_none()));
    // A profile whose host was edited finds no secret.
    crate::given::edit_profiles(&sandbox, |all| {
        let name = all["current"].as_str().unwrap().to_owned();
        all["profiles"][&name]["url"] = other.url().into();
    });
    let output = sandbox.command(["run", "tiny", "hi"]).run().expect_code(4);
    says(&output, &["is missing from the plaintext store"]);
    assert_eq!(other.server().count("POST", "/api/generate"), 1);
}

#[test]
fn the_variable_and_the_stored_key_are_distinguished() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.accept_api_key(KEY).accept_api_key("from-the-variable-0123");
    signin(&sandbox, &cloud.url(), KEY).expect_code(0);
    let status = |host: Option<&str>| {
        let command = sandbox.command(["status"]).env("OLLAMA_API_KEY", "from-the-variable-0123");
        let command = match host {
            Some(host) => command.args(["--host", host]),
            None => command,
        };
        command.run().expect_code(0)
    };
    let named = status(Some(&cloud.url()));
    says(&named, &["OLLAMA_API_KEY is used at", "instead of the credential of the profile"]);
    assert!(named.stdout().contains("API key from OLLAMA_API_KEY"));
    let unnamed = status(None);
    says(&unnamed, &["OLLAMA_API_KEY is set but not sent to"]);
    assert!(unnamed.stdout().contains("ending in wxyz"), "{}", unnamed.snapshot());
}

#[test]
fn a_new_key_in_another_store_leaves_no_copy_in_the_old_one() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.accept_api_key(KEY).accept_api_key("the-second-key-0123456789");
    signin(&sandbox, &cloud.url(), KEY).expect_code(0);
    assert!(plaintext(&sandbox).contains(KEY));
    sandbox
        .command(["signin", "--with-api-key", "--host", &cloud.url(), "--store", "file"])
        .env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE)
        .stdin("the-second-key-0123456789")
        .run()
        .expect_code(0);
    sandbox.assert_no_secret(KEY, &[], &[]);
    sandbox.assert_no_secret("the-second-key-0123456789", &[], &[]);
    assert_eq!(profile(&sandbox)["api_key"]["store"], "file");
}
