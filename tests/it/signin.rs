//! Signing a device in and out through the browser, against a stand-in for ollama.com that checks every signature.

use rustix::process::Signal;

use crate::given::{CONFIG, DATA, grouped, profiles};
use crate::harness::browser::Behaviour;
use crate::harness::cloud::{Cloud, Fault};
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::stock::{Account, Stock};

/// A sandbox whose secrets rest in the encrypted file, with a desktop on which a browser can be opened.
fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set_env("OLLAMA_AUTH_STORE", "file").set_env("OLLAMA_AUTH_PASSPHRASE", "correct horse battery");
    sandbox.set_env("DISPLAY", ":0");
    sandbox
}

fn signin(sandbox: &Sandbox, cloud: &Cloud, more: &[&str]) -> Output {
    sandbox.command(["signin", "--host", &cloud.url()].iter().chain(more)).run()
}

#[track_caller]
fn says(output: &Output, wanted: &[&str]) {
    for text in wanted {
        assert!(output.stderr().contains(text), "{text:?} is missing\n{}", output.snapshot());
    }
}

#[test]
fn a_device_signs_in_and_out() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    let browser = sandbox.browser(Behaviour::Follows);
    let output = signin(&sandbox, &cloud, &["--device-name", "my laptop"]).expect_code(0);
    let opened = browser.wait_opened();
    assert!(opened.starts_with(&format!("{}/connect?name=my%20laptop&key=", cloud.url())), "{opened}");
    let device = cloud.devices().remove(0);
    assert_eq!(device.name, "my laptop");
    says(&output, &[&opened, "my laptop", &grouped(&device.key.fingerprint), "as standin", "file store"]);
    assert_eq!(output.stdout(), "");

    // It is now the current profile, so nothing has to be named.
    let again = sandbox.command(["signin"]).run().expect_code(0);
    says(&again, &["Already signed in", "standin"]);
    let ran =
        sandbox.command(["run", "tiny", "Why is the sky blue?", "--option", "num_predict=16"]).run().expect_code(0);
    assert!(ran.stdout().starts_with(" long way"), "{}", ran.snapshot());
    let status = sandbox.command(["status", "--json"]).run().expect_code(0).json();
    assert_eq!(status["signed_in"], true);
    assert_eq!(status["account"]["name"], "standin");
    assert_eq!(status["credential"]["kind"], "device-key");
    assert_eq!(status["run"]["host"], cloud.url());

    let out = sandbox.command(["signout"]).run().expect_code(0);
    says(&out, &["Signed out of"]);
    assert!(!cloud.is_connected(&device.key.fingerprint));
    assert_eq!(cloud.count("DELETE", &format!("/api/user/keys/{}", device.key.encoded)), 1);
    says(&sandbox.command(["signout"]).run().expect_code(0), &["Not signed in"]);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(4);
    sandbox.command(["status"]).run().expect_code(4);
}

#[test]
fn a_base_path_is_sent_and_not_signed() {
    let (sandbox, cloud) = (sandbox(), Cloud::start_at("/prefix"));
    sandbox.browser(Behaviour::Follows);
    signin(&sandbox, &cloud, &[]).expect_code(0);
    sandbox.command(["signout"]).run().expect_code(0);
}

#[test]
fn the_link_is_shown_if_no_browser_opens() {
    for behaviour in [Behaviour::Missing, Behaviour::Fails, Behaviour::Hangs] {
        let (sandbox, cloud) = (sandbox(), Cloud::start());
        let hangs = matches!(behaviour, Behaviour::Hangs);
        let _browser = sandbox.browser(behaviour);
        let child = sandbox.command(["signin", "--host", &cloud.url()]).spawn();
        let shown = child.wait_stderr(|text| text.contains("/connect?") && text.contains("Fingerprint"));
        let link = shown.split_whitespace().find(|word| word.contains("/connect?")).unwrap().to_owned();
        let curl = crate::harness::tool("curl");
        sandbox.program(curl, ["--silent", "--noproxy", "*", &link]).run().expect_code(0);
        let output = child.finish().expect_code(0);
        says(&output, &["as standin"]);
        let said = output.stderr().contains(&format!("Open this link: {link}"));
        assert_eq!(said, !hangs, "{}", output.snapshot());
        if behaviour == Behaviour::Missing {
            says(&output, &["Could not open a browser (no program that opens web pages was found)"]);
        }
    }
}

#[test]
fn the_browser_variable_comes_before_the_systems_browser() {
    // As on a remote machine: no desktop and no xdg-open, but a command that opens pages at home.
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    let browser = sandbox.browser(Behaviour::Follows);
    std::fs::rename(sandbox.path("bin/xdg-open"), sandbox.path("bin/open at home")).unwrap();
    for (number, value) in ["'open at home' %s", "absent:'open at home'"].into_iter().enumerate() {
        let args = ["signin", "--host", &cloud.url(), "--profile", &format!("p{number}")];
        sandbox.command(args).env_remove("DISPLAY").env("BROWSER", value).run().expect_code(0);
        assert_eq!(browser.opened().len(), number + 1, "{value}");
    }
    // One that fails leaves it to the system's.
    let system = sandbox.browser(Behaviour::Follows);
    let args = ["signin", "--host", &cloud.url(), "--profile", "last"];
    sandbox
        .command(args)
        .env("BROWSER", format!("{} -c 'exit 1'", crate::harness::tool("sh").display()))
        .run()
        .expect_code(0);
    assert_eq!(system.opened().len(), 3);
}

/// A connect link of a gateway on this machine works here only.
#[test]
fn without_a_browser_a_link_to_this_machine_comes_with_two_ways_to_approve() {
    let gateway = crate::harness::gateway::Gateway::start("http://127.0.0.1:9");
    gateway.add_user("ada", "member");
    let sandbox = crate::given::with_store("plaintext");
    let command = sandbox.command(["signin", "--host", &gateway.url()]).env_remove("DISPLAY");
    let child = command.spawn();
    let shown = child.wait_stderr(|text| text.contains("--user NAME"));
    let port = gateway.url().rsplit_once(':').unwrap().1.to_owned();
    assert!(shown.contains(&format!("in a browser on this machine (ssh -L {port}:127.0.0.1:{port} HOST)")), "{shown}");
    let approve = shown.lines().find_map(|line| line.trim().strip_prefix("ollama-auth gateway ")).expect("a command");
    let words: Vec<&str> = approve.split(' ').map(|word| if word == "NAME" { "ada" } else { word }).collect();
    gateway.admin(&words).expect_code(0);
    says(&child.finish().expect_code(0), &["Signed in to"]);
}

#[test]
fn https_to_a_plain_port_is_answered_with_the_right_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::{Read as _, Write as _};
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 512]);
            let _ =
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nClient sent an HTTPS request");
        }
    });
    for command in ["signin", "status", "list"] {
        let args = [command, "--host", &format!("https://{address}")];
        let output = sandbox().command(args).env("OLLAMA_API_KEY", "a-key").run();
        let words = format!("that port speaks plain HTTP. Did you mean http://{address}?");
        assert!(format!("{}{}", output.stdout(), output.stderr()).contains(&words), "{}", output.snapshot());
    }
}

#[test]
fn the_browser_gets_no_secrets_in_its_environment() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    let env = crate::harness::tool("env");
    let log = sandbox.path("environment");
    let script = format!(
        "#!/bin/sh\n'{}' > '{}.part'\n'{}' '{}.part' '{}'\n",
        env.display(),
        log.display(),
        crate::harness::tool("mv").display(),
        log.display(),
        log.display()
    );
    let stub = sandbox.write("stub", script);
    let install = crate::harness::tool("install");
    let target = sandbox.path("bin/xdg-open");
    std::process::Command::new(install).arg("-m755").args([&stub, &target]).status().unwrap();
    sandbox
        .command(["signin", "--host", &cloud.url(), "--timeout", "1s"])
        .env("OLLAMA_API_KEY", "a-secret-api-key")
        .run()
        .expect_code(4);
    let seen = crate::harness::poll("the browser's environment", || std::fs::read_to_string(&log).ok());
    assert!(seen.contains("DISPLAY=:0"));
    assert!(!seen.contains("a-secret-api-key") && !seen.contains("correct horse"), "{seen}");
}

#[test]
fn a_sign_in_without_approval_times_out() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    sandbox.browser(Behaviour::Ignores);
    let output = signin(&sandbox, &cloud, &["--timeout", "100ms"]).expect_code(4);
    says(&output, &["was not approved", "run `ollama-auth signin` again", "--no-wait"]);
    assert_nothing_is_left(&sandbox);
    sandbox.command(["run", "tiny", "hi", "--host", &cloud.url()]).run().expect_code(4);
    // A link that is approved later needs a key that stays.
    cloud.auto_approve(true);
    let no_wait = signin(&sandbox, &cloud, &["--no-wait"]).expect_code(4);
    let link = no_wait.stdout().trim().to_owned();
    sandbox.program(crate::harness::tool("curl"), ["-s", "--noproxy", "*", &link]).run().expect_code(0);
    says(&signin(&sandbox, &cloud, &["--no-wait"]).expect_code(0), &["Already signed in"]);
    assert_eq!(cloud.devices().len(), 1);
}

#[test]
fn a_denied_sign_in_fails() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    cloud.auto_approve(false);
    sandbox.browser(Behaviour::Follows);
    let child = sandbox.command(["signin", "--host", &cloud.url()]).spawn();
    let device = crate::harness::poll("the device at the host", || cloud.devices().first().cloned());
    cloud.deny(&device.key.fingerprint);
    says(&child.finish().expect_code(5), &["refused this device"]);
}

#[test]
fn an_interrupted_sign_in_is_exit_130_and_leaves_nothing() {
    for (store, signal) in [("file", Signal::INT), ("plaintext", Signal::TERM), ("plaintext", Signal::INT)] {
        let (mut sandbox, cloud) = (sandbox(), Cloud::start());
        sandbox.set_env("OLLAMA_AUTH_STORE", store);
        sandbox.browser(Behaviour::Ignores);
        let child = sandbox.command(["signin", "--host", &cloud.url()]).spawn();
        child.wait_stderr(|text| text.contains("Fingerprint"));
        child.signal(signal);
        child.finish().expect_code(130);
        assert_nothing_is_left(&sandbox);
    }
}

/// No profile, no secret, and nothing for `doctor` to say about them.
#[track_caller]
fn assert_nothing_is_left(sandbox: &Sandbox) {
    let all = sandbox.command(["profile", "list", "--json"]).run().expect_code(0).json();
    assert_eq!(all["profiles"], serde_json::json!([]));
    for (folder, file) in [(DATA, "secrets.enc.json"), (DATA, "secrets.json"), (CONFIG, "profiles.json")] {
        assert!(!sandbox.path(folder).join(file).exists(), "{file} is left");
    }
    let report = sandbox.command(["doctor", "--offline", "--json"]).run().json();
    let findings = report["findings"].as_array().unwrap();
    let about = |check: &str| findings.iter().any(|finding| finding["check"] == check);
    assert!(about("profiles") && !about("profile-unapproved") && !about("profile-empty"), "{report}");
}

/// What there was before stays: an API key of the same profile, and a key whose link is to be approved later.
#[test]
fn a_sign_in_that_fails_removes_only_what_it_made() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    sandbox.browser(Behaviour::Ignores);
    cloud.accept_api_key("a-secret-api-key");
    sandbox
        .command(["signin", "--with-api-key", "--host", &cloud.url()])
        .stdin("a-secret-api-key")
        .run()
        .expect_code(0);
    let before = profiles(&sandbox);
    signin(&sandbox, &cloud, &["--timeout", "100ms"]).expect_code(4);
    assert_eq!(profiles(&sandbox), before);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);

    let link = signin(&sandbox, &cloud, &["--no-wait"]).expect_code(4).stdout().to_owned();
    let before = profiles(&sandbox);
    signin(&sandbox, &cloud, &["--timeout", "100ms"]).expect_code(4);
    cloud.inject("/api/me", Fault::SigninOrigin("https://evil.example".into()));
    signin(&sandbox, &cloud, &["--timeout", "100ms"]).expect_code(1);
    cloud.clear_faults();
    assert_eq!(profiles(&sandbox), before);
    assert_eq!(signin(&sandbox, &cloud, &["--no-wait"]).expect_code(4).stdout(), link);
}

#[test]
fn the_profiles_file_goes_with_the_last_profile() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    let file = sandbox.path(CONFIG).join("profiles.json");
    signin(&sandbox, &cloud, &["--no-wait"]).expect_code(4);
    signin(&sandbox, &cloud, &["--no-wait", "--profile", "other"]).expect_code(4);
    for (name, is_left) in [("other", true), (cloud.url().trim_start_matches("http://"), false)] {
        sandbox.command(["profile", "remove", name, "--yes"]).run().expect_code(0);
        assert_eq!(file.exists(), is_left);
    }
    signin(&sandbox, &cloud, &["--no-wait"]).expect_code(4);
    assert!(file.exists());
}

/// A killed sign-in cannot tidy up; the next one uses its key, so a link that was approved meanwhile counts.
#[test]
fn a_killed_sign_in_is_resumed() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    sandbox.browser(Behaviour::Ignores);
    let child = sandbox.command(["signin", "--host", &cloud.url()]).spawn();
    let shown = child.wait_stderr(|text| text.contains("Fingerprint"));
    child.signal(Signal::KILL);
    drop(child);
    let link = shown.split_whitespace().find(|word| word.contains("/connect?")).unwrap();
    sandbox.program(crate::harness::tool("curl"), ["-s", "--noproxy", "*", link]).run().expect_code(0);
    says(&signin(&sandbox, &cloud, &["--no-wait"]).expect_code(0), &["Already signed in"]);
}

/// `localhost` and `127.0.0.1` are one server, which has one name for itself.
#[test]
fn a_sign_in_at_localhost_works_where_the_host_calls_itself_127_0_0_1() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    sandbox.browser(Behaviour::Follows);
    let url = cloud.url();
    let localhost = url.replace("127.0.0.1", "localhost");
    cloud.inject("/api/me", Fault::SigninOrigin(url.clone()));
    let output = sandbox.command(["signin", "--host", &localhost]).run().expect_code(0);
    says(&output, &[&format!("{url}/connect?"), "as standin"]);
    cloud.clear_faults();
    // Under each name, and as the current profile.
    for more in [&[][..], &["--host", &localhost], &["--host", &url]] {
        let status = sandbox.command([&["status", "--json"], more].concat()).run().expect_code(0).json();
        assert_eq!(
            (&status["signed_in"], &status["profile"]),
            (&true.into(), &localhost.replace("http://", "").into())
        );
        sandbox.command([&["run", "tiny", "hi"], more].concat()).run().expect_code(0);
    }
    sandbox.command(["run", "tiny", "hi"]).env("OLLAMA_HOST", &url).run().expect_code(0);
    assert_eq!(profiles(&sandbox)["profiles"].as_object().unwrap().len(), 1);
    // Another port is another server.
    let sandbox = self::sandbox();
    cloud.inject("/api/me", Fault::SigninOrigin("http://127.0.0.1:9".into()));
    says(&sandbox.command(["signin", "--host", &localhost]).run().expect_code(1), &["leads to another host"]);
    assert_nothing_is_left(&sandbox);
}

#[test]
fn a_stock_server_is_recognised_and_unchanged() {
    for account in [Account::SignedIn, Account::SignedOut, Account::Unavailable] {
        let (sandbox, stock) = (sandbox(), Stock::start(account));
        let browser = sandbox.browser(Behaviour::Follows);
        let output = sandbox.command(["signin", "--host", &stock.url()]).run().expect_code(1);
        says(&output, &["a plain Ollama server", "gateway serve --upstream", "signin --server"]);
        assert!(browser.opened().is_empty());
        assert!(stock.server().requests().iter().all(|request| request.authorization().is_none()));
        assert!(stock.wrong_deletes().is_empty());
    }
}

#[test]
fn a_link_to_another_origin_is_not_opened() {
    let other_key =
        "c3NoLWVkMjU1MTkgQUFBQUMzTnphQzFsWkRJMU5URTVBQUFBSUNxQXVLQkZTUVZpRjZLc2dxTThtMGZlNkVia3hUTzlqSGFacWFiVzVSUzA";
    let faults = [
        (Fault::SigninOrigin("https://evil.example".into()), "leads to another host"),
        (Fault::SigninKey(other_key.into()), "a plain Ollama server"),
    ];
    for (fault, why) in faults {
        let (sandbox, cloud) = (sandbox(), Cloud::start());
        let browser = sandbox.browser(Behaviour::Follows);
        cloud.inject("/api/me", fault);
        let output = signin(&sandbox, &cloud, &[]).expect_code(1);
        says(&output, &[why]);
        assert!(browser.opened().is_empty());
        cloud.take_refused();
    }
}

#[test]
fn a_wrong_clock_is_named() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    sandbox.browser(Behaviour::Follows);
    signin(&sandbox, &cloud, &[]).expect_code(0);
    // Half a minute more than ten: a slow machine makes it less.
    cloud.server().clock().skew(630);
    let output = sandbox.command(["run", "tiny", "hi"]).run().expect_code(4);
    says(&output, &["clock is 10 minutes behind", "set the clock"]);
    let output = sandbox.command(["status"]).run().expect_code(4);
    says(&output, &["clock is 10 minutes behind"]);
    assert!(!cloud.take_refused().is_empty());
}

#[test]
fn temporary_failures_are_retried() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    sandbox.browser(Behaviour::Follows);
    signin(&sandbox, &cloud, &[]).expect_code(0);
    cloud.inject("/api/me", Fault::Status(503));
    let output = signin(&sandbox, &cloud, &[]).expect_code(7);
    says(&output, &["cannot answer now (503)"]);
    cloud.clear_faults();
    cloud.inject_times("/api/me", 1, Fault::Drop);
    signin(&sandbox, &cloud, &[]).expect_code(0);
}

#[test]
fn signout_from_an_unreachable_host_keeps_the_key_unless_forced() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    sandbox.browser(Behaviour::Follows);
    signin(&sandbox, &cloud, &[]).expect_code(0);
    cloud.inject("/api/me", Fault::Status(502));
    let output = sandbox.command(["signout"]).run();
    says(&output, &["the key was not removed", "--force"]);
    assert_ne!(output.code(), 0);
    cloud.clear_faults();
    sandbox.command(["status"]).run().expect_code(0);
    let url = cloud.url();
    drop(cloud);
    let output = sandbox.command(["signout"]).run().expect_code(6);
    says(&output, &["still signed in", &url]);
    let output = sandbox.command(["signout", "--force"]).run().expect_code(0);
    says(&output, &["stays connected"]);
    sandbox.command(["signout"]).run().expect_code(0);
}

#[test]
fn signout_succeeds_if_the_host_does_not_know_the_key() {
    let (sandbox, cloud) = (sandbox(), Cloud::start());
    sandbox.browser(Behaviour::Follows);
    signin(&sandbox, &cloud, &[]).expect_code(0);
    let key = cloud.devices().remove(0).key;
    cloud.disconnect(&key.fingerprint);
    sandbox.command(["signout"]).run().expect_code(0);
    let devices = sandbox.command(["device", "list", "--json"]).run().expect_code(0).json();
    assert_eq!(devices["devices"], serde_json::json!([]));
}

#[test]
fn plain_http_carries_no_credential() {
    let sandbox = sandbox();
    let output = sandbox.command(["signin", "--host", "http://gateway.invalid"]).run();
    says(&output, &["http://gateway.invalid"]);
    let output = sandbox
        .command(["signin", "--with-api-key", "--host", "http://gateway.invalid"])
        .stdin("a-secret-api-key")
        .run();
    says(&output.expect_code(2), &["refusing to send a credential", "--allow-insecure-http"]);
    let output = sandbox
        .command(["run", "m", "hi"])
        .env("OLLAMA_HOST", "http://gateway.invalid")
        .env("OLLAMA_API_KEY", "a-secret-api-key")
        .run()
        .expect_code(6);
    says(&output, &["OLLAMA_API_KEY is not sent to http://gateway.invalid"]);
}

#[test]
fn a_broken_store_is_reported_before_the_browser_opens() {
    let (mut sandbox, cloud) = (sandbox(), Cloud::start());
    let browser = sandbox.browser(Behaviour::Follows);
    sandbox.remove_env("OLLAMA_AUTH_PASSPHRASE");
    let output = signin(&sandbox, &cloud, &[]);
    assert_ne!(output.code(), 0);
    says(&output, &["passphrase"]);
    assert!(browser.opened().is_empty() && cloud.devices().is_empty());
    // Without a keyring and without a passphrase there is no silent plaintext.
    sandbox.remove_env("OLLAMA_AUTH_STORE");
    let output = signin(&sandbox, &cloud, &[]);
    assert_ne!(output.code(), 0);
    says(&output, &["no store is available", "--store plaintext"]);
    assert!(browser.opened().is_empty());
}
