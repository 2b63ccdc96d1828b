//! Hosts that are not what they seem. Above all: a stock server disconnects itself on any request to delete a key, so that
//! request must never be sent on a guess; and no doubt may cost a key.

use std::io::Read;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::given::{edit_profiles, key_file, says, sign_in, with_store};
use crate::harness::browser::Behaviour;
use crate::harness::cloud::{Cloud, Fault};
use crate::harness::cmd::{PROGRAM, Sandbox};
use crate::harness::http::{Reply, Step};
use crate::harness::ollama::{Ollama, recorded};
use crate::harness::pty::Terminal;
use crate::harness::stock::{Account, Stock};

/// A device key that is on record as connected at `url`, whatever answers there.
fn signed_in_at(url: &str) -> Sandbox {
    let sandbox = with_store("plaintext");
    let key = key_file(&sandbox, "home/key", "ed25519", "");
    sandbox.command(["device", "import", key.to_str().unwrap(), "--host", url]).run().expect_code(0);
    edit_profiles(&sandbox, |all| {
        let name = all["current"].as_str().unwrap().to_owned();
        all["profiles"][&name]["device"]["connected"] = true.into();
    });
    sandbox
}

fn deletes(ollama: &Ollama) -> usize {
    ollama.server().requests().iter().filter(|request| request.method == "DELETE").count()
}

#[test]
fn an_unreadable_refusal_does_not_allow_a_delete() {
    let link = "https://ollama.com/connect?name=vm&key=c3NoLWVk";
    let cut = json!({ "error": "unauthorized", "signin_url": link }).to_string();
    let forms: [Box<dyn Fn() -> Reply + Send + Sync>; 6] = [
        Box::new(move || Reply::sized(401, cut.len(), [Step::Send(cut.as_bytes()[..20].to_vec())])),
        Box::new(move || Reply::json(401, json!({ "message": "unauthorized", "signin_url": link }))),
        Box::new(move || Reply::json(401, json!({ "error": "unauthorized", "Signin_URL": link }))),
        Box::new(move || Reply::json(401, json!({ "error": { "code": 1 }, "signin_url": link }))),
        Box::new(move || Reply::json(401, json!({ "error": "unauthorized", "signin_url": [link] }))),
        Box::new(|| Reply::new(401, "<html>log in</html>")),
    ];
    for form in forms {
        let ollama = Ollama::start();
        ollama.route("POST", "/api/me", move |_| form());
        let sandbox = signed_in_at(&ollama.url());
        for args in
            [&["signout", "--yes"][..], &["device", "revoke", "--yes"], &["device", "rotate", "--no-browser", "--yes"]]
        {
            let output = sandbox.command(args).run();
            assert_ne!(output.code(), 0, "{}", output.snapshot());
        }
        assert_eq!(deletes(&ollama), 0);
        let devices = sandbox.command(["device", "list", "--json"]).run().expect_code(0).json();
        assert_eq!(devices["devices"][0]["connected"], true);
    }
}

#[test]
fn a_stock_server_behind_a_credential_check_is_recognised() {
    let ollama = Ollama::start();
    ollama.route("POST", "/api/me", |request| match request.authorization() {
        None => Reply::json(401, "{\"error\":\"unauthorized\"}"),
        Some(_) => recorded("me200").reply(),
    });
    let newcomer = with_store("plaintext");
    let output = newcomer.command(["signin", "--host", &ollama.url()]).run().expect_code(1);
    says(&output, &["is a plain Ollama server"]);
    let sandbox = signed_in_at(&ollama.url());
    sandbox.command(["signout", "--yes"]).run().expect_code(1);
    assert_eq!(deletes(&ollama), 0);
}

/// Its word is enough to sign in there, but not for what would sign out a stock server.
#[test]
fn a_stock_server_that_is_called_a_gateway_gets_no_delete() {
    let ollama = Ollama::start();
    ollama.route("POST", "/api/me", |request| match request.authorization() {
        None => Reply::json(401, "{\"error\":\"unauthorized\"}").header("X-Ollama-Auth-Gateway", "0.1.0"),
        Some(_) => recorded("me200").reply(),
    });
    let newcomer = with_store("plaintext");
    let output = newcomer.command(["signin", "--host", &ollama.url()]).run().expect_code(1);
    says(&output, &["accepts a key that it has never seen"]);
    let sandbox = signed_in_at(&ollama.url());
    for args in
        [&["signout", "--yes"][..], &["device", "revoke", "--yes"], &["keys", "revoke", "key_12345678", "--yes"]]
    {
        assert_ne!(sandbox.command(args).run().code(), 0, "{args:?}");
    }
    assert_eq!(deletes(&ollama), 0);
}

#[test]
fn a_wrong_clock_does_not_delete_the_key() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    cloud.server().clock().skew(930);
    for args in [&["signout"][..], &["device", "revoke", "--yes"]] {
        let output = sandbox.command(args).run().expect_code(4);
        says(&output, &["clock is 15 minutes behind"]);
    }
    assert!(!cloud.take_refused().is_empty());
    cloud.server().clock().skew(0);
    sandbox.command(["status"]).run().expect_code(0);
    sandbox.command(["signout"]).run().expect_code(0);
}

#[test]
fn a_404_from_an_intermediary_does_not_delete_the_key() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let path = format!("/api/user/keys/{}", cloud.devices()[0].key.encoded);
    cloud.inject(&path, Fault::Html(404));
    says(&sandbox.command(["signout"]).run().expect_code(1), &["the key was not removed"]);
    cloud.clear_faults();
    sandbox.command(["signout"]).run().expect_code(0);
}

#[test]
fn an_api_key_is_not_sent_to_a_host_that_does_not_ask_for_one() {
    let (sandbox, stock) = (with_store("plaintext"), Stock::start(Account::SignedIn));
    let key = "a-secret-api-key";
    let host = stock.url();
    sandbox.command(["signin", "--with-api-key", "--host", &host]).stdin(key).run().expect_code(1);
    let status = sandbox.command(["status", "--json", "--host", &host]).env("OLLAMA_API_KEY", key).run().expect_code(4);
    assert_eq!(status.json()["signed_in"], false);
    assert!(stock.server().requests().iter().all(|request| request.authorization().is_none()));
}

#[test]
fn a_host_that_stops_answering_does_not_hold_a_sign_in_beyond_its_time() {
    let (mut sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sandbox.set_env("DISPLAY", ":0");
    sandbox.browser(Behaviour::Ignores);
    let child = sandbox.command(["signin", "--host", &cloud.url(), "--timeout", "3s"]).spawn();
    child.wait_stderr(|text| text.contains("Fingerprint"));
    cloud.inject("/api/me", Fault::Hang);
    let output = child.finish().expect_code(4);
    assert!(output.duration.as_secs() < 20, "{:?}", output.duration);
}

#[test]
fn names_below_localhost_are_loopback_without_dns() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    for name in ["localhost", "gateway.localhost"] {
        let host = format!("http://{name}:{}", ollama.server().port());
        sandbox.command(["run", "tiny", "hi", "--host", &host]).run().expect_code(0);
    }
}

#[test]
fn ctrl_c_ends_a_run_whose_reader_has_stopped_reading() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    ollama.route("POST", "/api/generate", |_| {
        let line = json!({ "response": "x".repeat(4000), "done": false }).to_string() + "\n";
        Reply::ndjson((0..2000).map(move |_| Step::send(line.clone())))
    });
    let mut child = Command::new(PROGRAM)
        .args(["run", "tiny", "hi"])
        .env_clear()
        .envs(sandbox.env().iter().map(|(name, value)| (name, value)))
        .env("OLLAMA_HOST", ollama.url())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0]).unwrap();
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = crate::harness::poll("the program to end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    drop(out);
}

#[test]
fn usage_errors_are_json_where_json_was_asked_for() {
    let sandbox = Sandbox::new();
    for args in [&["run", "--output", "json"][..], &["run", "--output=json"], &["device", "export", "--json"]] {
        let output = sandbox.command(args).run().expect_code(2);
        let error: serde_json::Value = serde_json::from_str(output.stderr()).unwrap();
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains("<MODEL>") || message.contains("<FILE>"), "{message}");
    }
}

#[test]
fn a_key_in_an_argument_is_not_printed() {
    let sandbox = with_store("plaintext");
    for args in [&["signin", "--with-api-key", "a-secret-api-key"][..], &["device", "revoke", "a-secret-api-key"]] {
        let output = sandbox.command(args).stdin("").run();
        assert_ne!(output.code(), 0);
        assert!(!output.stderr().contains("a-secret"), "{}", output.snapshot());
    }
}

#[test]
fn an_api_key_in_a_wrong_argument_is_not_printed() {
    let sandbox = with_store("plaintext");
    let ollama_coms = crate::harness::cloud::api_key_like(7);
    for key in ["olauth_0123456789ABCDEFGHIJKLMNOPQRSTUV38eMnq", &ollama_coms] {
        for args in [&["keys", "list", key][..], &["keys", "forget", key], &["run", &format!("--think={key}")], &[key]]
        {
            for json in [&[][..], &["--json"]] {
                let output = sandbox.command(args).args(json).run().expect_code(2);
                assert!(!output.stderr().contains(key), "{}", output.snapshot());
                says(&output, &["****", "revoke it"]);
            }
        }
        let output = sandbox.command(["help", key]).run().expect_code(2);
        assert!(!output.stderr().contains(key), "{}", output.snapshot());
    }
}

#[test]
fn the_link_is_shown_even_when_quiet_and_as_an_event_in_json() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let quiet =
        sandbox.command(["signin", "--host", &cloud.url(), "--quiet", "--timeout", "100ms"]).run().expect_code(4);
    says(&quiet, &["/connect?name=", "run `ollama-auth signin` again"]);
    let json = sandbox.command(["signin", "--host", &cloud.url(), "--json", "--timeout", "100ms"]).run().expect_code(4);
    let events: Vec<serde_json::Value> =
        json.stderr().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(events[0]["event"], "approve");
    assert!(events[0]["connect_url"].as_str().unwrap().contains("/connect?name="));
    assert_eq!(events.last().unwrap()["error"]["exit_code"], 4);
}

#[test]
fn no_delete_is_sent_to_a_host_that_refuses_every_request() {
    let ollama = Ollama::start();
    ollama.route("POST", "/api/me", |_| Reply::json(401, "{\"error\":\"unauthorized\"}"));
    for (args, code) in [(&["device", "revoke", "--yes"][..], 0), (&["signout", "--yes"], 0)] {
        let sandbox = signed_in_at(&ollama.url());
        sandbox.command(args).run().expect_code(code);
    }
    assert_eq!(deletes(&ollama), 0);
}

#[test]
fn a_refusal_without_a_date_keeps_the_key() {
    let ollama = Ollama::start();
    ollama.route("POST", "/api/me", |_| Reply::json(401, "{\"error\":\"unauthorized\"}").header("Date", ""));
    let sandbox = signed_in_at(&ollama.url());
    says(&sandbox.command(["signout", "--yes"]).run().expect_code(4), &["the key was not removed"]);
    sandbox.command(["signout", "--yes", "--force"]).run().expect_code(0);
}

#[test]
fn a_key_is_shown_only_after_a_401_asked_for_it() {
    for status in [404, 405, 500, 503] {
        let ollama = Ollama::start();
        ollama.route("POST", "/api/me", move |_| Reply::json(status, "{\"error\":\"account unavailable\"}"));
        let sandbox = with_store("plaintext");
        let args = ["signin", "--with-api-key", "--host", &ollama.url()];
        sandbox.command(args).stdin("a-secret-api-key").run().expect_code(1);
        assert!(ollama.server().requests().iter().all(|request| request.authorization().is_none()));
    }
}

#[test]
fn a_delete_whose_connection_breaks_is_not_retried_with_the_same_proof() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let path = format!("/api/user/keys/{}", cloud.devices()[0].key.encoded);
    cloud.inject_times(&path, 1, Fault::Drop);
    says(&sandbox.command(["signout"]).run().expect_code(6), &["the key was not removed"]);
    assert_eq!(cloud.count("DELETE", &path), 1);
    sandbox.command(["signout"]).run().expect_code(0);
}

#[test]
fn a_key_that_was_signed_out_while_its_approval_was_waited_for_is_not_left_connected() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.auto_approve(false);
    let child = sandbox.command(["signin", "--host", &cloud.url(), "--no-browser"]).spawn();
    let shown = child.wait_stderr(|text| text.contains("Fingerprint"));
    let link = shown.split_whitespace().find(|word| word.contains("/connect?")).unwrap();
    let curl = crate::harness::tool("curl");
    sandbox.program(curl, ["--silent", "--noproxy", "*", link]).run().expect_code(0);
    sandbox.command(["signout", "--host", &cloud.url()]).run().expect_code(0);
    let key = cloud.devices()[0].key.clone();
    cloud.approve(&key.fingerprint);
    let output = child.finish().expect_code(1);
    says(&output, &["was removed from this machine during the sign-in"]);
    assert!(!cloud.is_connected(&key.fingerprint));
}

#[test]
fn an_old_key_that_could_not_be_disconnected_is_remembered_until_it_is() {
    for end in [&["signout"][..], &["device", "revoke", "--yes"]] {
        let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
        sign_in(&sandbox, &cloud, &[]);
        let old = cloud.devices()[0].key.clone();
        let path = format!("/api/user/keys/{}", old.encoded);
        cloud.inject(&path, Fault::Status(500));
        let child = sandbox.command(["device", "rotate", "--no-browser"]).spawn();
        let shown = child.wait_stderr(|text| text.contains("New key"));
        let link = shown.split_whitespace().find(|word| word.contains("/connect?")).unwrap();
        let curl = crate::harness::tool("curl");
        sandbox.program(curl, ["--silent", "--noproxy", "*", link]).run().expect_code(0);
        says(&child.finish().expect_code(1), &["could not be disconnected"]);
        assert!(cloud.is_connected(&old.fingerprint));
        cloud.clear_faults();
        sandbox.command(end).run().expect_code(0);
        assert!(!cloud.is_connected(&old.fingerprint), "{end:?}");
        assert!(cloud.devices().iter().all(|device| !cloud.is_connected(&device.key.fingerprint)), "{end:?}");
    }
}

#[test]
fn a_key_that_was_replaced_while_it_was_signed_out_is_left_alone() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let key = key_file(&sandbox, "home/key", "ed25519", "");
    let gate = crate::harness::http::Gate::new();
    let held = gate.clone();
    let path = format!("/api/user/keys/{}", cloud.devices()[0].key.encoded);
    let hold = crate::harness::http::Expectation::new("DELETE", &path);
    cloud.server().expect(hold.reply(move |_| Reply::json(200, "null").after(&held)));
    let child = sandbox.command(["signout"]).spawn();
    gate.wait_reached();
    sandbox.command(["device", "import", key.to_str().unwrap(), "--replace"]).run().expect_code(0);
    gate.open();
    says(&child.finish().expect_code(1), &["another command changed the profile"]);
    let devices = sandbox.command(["device", "list", "--json"]).run().expect_code(0).json();
    assert_eq!(devices["devices"].as_array().unwrap().len(), 1);
}

#[test]
fn a_200_with_an_empty_name_means_signed_out() {
    let nobody = "{\"id\":\"00000000-0000-0000-0000-000000000000\",\"email\":\"\",\"name\":\"\"}";
    let ollama = Ollama::start();
    ollama.route("POST", "/api/me", move |_| Reply::new(200, nobody));
    let sandbox = Sandbox::new();
    let output = sandbox.command(["signin", "--server", "--host", &ollama.url()]).run().expect_code(1);
    says(&output, &["offers no sign-in link"]);
}

#[test]
fn what_changed_while_a_person_was_asked_is_left_alone() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let host = cloud.url();
    let plain = key_file(&sandbox, "home/plain", "ed25519", "");
    let locked = key_file(&sandbox, "home/locked", "ed25519", "a long passphrase");
    let import =
        |file: &std::path::Path| ["device", "import", file.to_str().unwrap(), "--host", &host].map(str::to_owned);
    let kept = |sandbox: &Sandbox| sandbox.command(["device", "list", "--json"]).run().expect_code(0).json();

    // Nothing was there when the passphrase was asked for, and something is when it is given.
    let args = import(&locked);
    let mut asked = Terminal::start(&sandbox, &args.each_ref().map(String::as_str));
    asked.wait_text("Passphrase of");
    sandbox.command(import(&plain)).run().expect_code(0);
    let before = kept(&sandbox);
    asked.send("a long passphrase\r");
    assert_eq!(asked.finish().code, 1);
    assert_eq!(kept(&sandbox), before);

    // What is to be removed is not what the person was asked about.
    cloud.accept_api_key("a-secret-api-key");
    sandbox.command(["signin", "--with-api-key", "--host", &host]).stdin("a-secret-api-key").run().expect_code(0);
    let name = host.replace("http://", "");
    let mut asked = Terminal::start(&sandbox, &["profile", "remove", &name]);
    asked.wait_text("[y/N]");
    let other = key_file(&sandbox, "home/other", "ed25519", "");
    sandbox.command(import(&other)).args(["--replace"]).run().expect_code(0);
    let before = kept(&sandbox);
    asked.send("y");
    assert_eq!(asked.finish().code, 1);
    assert_eq!(kept(&sandbox), before);
}

#[test]
fn a_response_that_can_be_read_in_two_ways_is_named_as_such() {
    let headers: [fn() -> Reply; 2] = [
        || Reply::ndjson([Step::send("{}\n")]).header("Transfer-Encoding", "chunked"),
        || Reply::json(200, "{}").header("Content-Length", "7"),
    ];
    for reply in headers {
        let ollama = Ollama::start();
        ollama.route("POST", "/api/generate", move |_| reply());
        let output =
            Sandbox::new().command(["run", "tiny", "hi"]).env("OLLAMA_HOST", ollama.url()).run().expect_code(1);
        says(&output, &["cannot be understood: its response is not valid HTTP/1.1", "is an Ollama server"]);
        assert_eq!(ollama.server().count("POST", "/api/generate"), 1);
    }
}
