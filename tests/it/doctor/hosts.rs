//! Hosts: refused credentials, unavailable hosts, clocks.

use super::*;
use crate::harness::actions::token_with;

#[test]
fn a_credentials_file_is_checked_at_its_host() {
    let (mut sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let file = sandbox.write("home/c.json", json!({ "host": cloud.url(), "key": KEY }).to_string());
    chmod(&file, 0o600);
    sandbox.set_env("OLLAMA_AUTH_CREDENTIALS", &file);
    let report = doctor(&sandbox, &[]);
    expect(&report, "credential-refused", "error", &["credentials file", "c.json", "put a valid key into"]);
    cloud.accept_api_key(KEY);
    let report = doctor(&sandbox, &[]);
    expect(&report, "credential", "ok", &["credentials file", "you are standin"]);
    expect(&report, "credentials-file", "ok", &["is used at", &cloud.url()]);
    sign_in(&sandbox, &cloud, &[]);
    expect(&offline(&sandbox), "credentials-file-wins", "warning", &["unset OLLAMA_AUTH_CREDENTIALS"]);
    sandbox.set_env("OLLAMA_AUTH_PROFILE", cloud.url().trim_start_matches("http://"));
    fs::write(&file, json!({ "host": "https://other.example", "key": KEY }).to_string()).unwrap();
    expect(&offline(&sandbox), "credentials-file-unused", "note", &["https://other.example"]);
    let output = look(&sandbox, sandbox.command(["doctor", "-vv"]).env("RUST_LOG", "trace"));
    sandbox.assert_no_secret(KEY, &[&output], &["home/c.json"]);
}

#[test]
fn a_token_of_the_job_is_named_and_why_one_is_not_sent() {
    let (mut sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let token = |audience: &str| token_with(&json!({ "aud": audience, "exp": 4_000_000_000_i64 }));
    sandbox.set_env("OLLAMA_HOST", cloud.url()).set_env("OLLAMA_AUTH_ID_TOKEN", token(&cloud.url()));
    expect(&offline(&sandbox), "token", "ok", &["token of GitLab", "is used at", &cloud.url()]);
    sandbox.set_env("OLLAMA_AUTH_ID_TOKEN", token("https://other.example"));
    expect(&offline(&sandbox), "token-unused", "warning", &["https://other.example", "id_tokens:"]);
    sandbox.remove_env("OLLAMA_HOST").set_env("OLLAMA_AUTH_OIDC_TOKEN_FILE", "/nowhere");
    expect(&offline(&sandbox), "token-unused", "warning", &["OLLAMA_AUTH_OIDC_TOKEN_FILE is set but not used"]);
}

#[test]
fn refused_credentials_and_unavailable_hosts_are_reported() {
    let (sandbox, cloud, _stock) = given("plaintext");
    cloud.accept_api_key(KEY);
    sandbox.command(["signin", "--with-api-key"]).stdin(KEY).run().expect_code(0);
    let both = |report: &Value| -> Vec<String> {
        let all = report["findings"].as_array().unwrap();
        let of = all.iter().filter(|finding| finding["check"].as_str().unwrap().starts_with("credential"));
        of.map(|finding| format!("{} {}", finding["check"].as_str().unwrap(), finding["level"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(both(&doctor(&sandbox, &[])), ["credential ok", "credential ok"]);
    cloud.revoke_api_key(KEY);
    let output = look(&sandbox, sandbox.command(["doctor"])).expect_code(8);
    assert!(output.stdout().contains("signin --with-api-key --host"), "{}", output.snapshot());
    sandbox.assert_no_secret(KEY, &[&output], &[DATA]);
    assert_eq!(both(&doctor(&sandbox, &[])), ["credential-refused error", "credential ok"]);
    let devices = cloud.devices();
    cloud.disconnect(&devices[0].key.line);
    assert_eq!(both(&doctor(&sandbox, &[])), ["credential-refused error", "credential-refused error"]);
    cloud.inject("/api/me", Fault::Status(500));
    assert!(both(&doctor(&sandbox, &[])).contains(&"credential-unknown warning".to_owned()));
    drop(cloud);
    let report = doctor(&sandbox, &[]);
    expect(&report, "host-unreachable", "error", &["cannot reach"]);
    assert_eq!(both(&report), [""; 0]);
}

#[test]
fn a_plain_server_ignores_a_stored_device_key() {
    let (mut sandbox, cloud, stock) = given("plaintext");
    let name = cloud.url().trim_start_matches("http://").to_owned();
    // The address that was a gateway's leads past it now.
    let secrets = plaintext(&sandbox).replace(&cloud.url(), &stock.url());
    sandbox.write(format!("{DATA}/secrets.json"), secrets);
    edit_profiles(&sandbox, |all| all["profiles"][&name]["url"] = json!(stock.url()));
    sandbox.remove_env("DISPLAY");
    expect(&doctor(&sandbox, &[]), "credential-ignored", "warning", &["requires no credential"]);
}

#[test]
fn hosts_that_hang_time_out_in_parallel() {
    let (sandbox, cloud, _stock) = given("plaintext");
    cloud.inject("/api/me", Fault::Hang);
    // They take connections and say nothing.
    let silent = [(); 9].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    edit_profiles(&sandbox, |all| {
        for listener in &silent {
            let address = listener.local_addr().unwrap().to_string();
            all["profiles"][&address] = json!({ "url": format!("http://{address}") });
        }
    });
    let output = look(&sandbox, sandbox.command(["doctor", "--json"])).expect_code(8);
    // One after the other would take ten times 8 s.
    assert!(output.duration < Duration::from_secs(60), "{:?}", output.duration);
    let report = output.json();
    let late = report["findings"].as_array().unwrap().iter().filter(|f| f["check"] == "host-unreachable");
    assert_eq!(late.filter(|f| f.to_string().contains("no answer within 8 seconds")).count(), 9);
    expect(&report, "credential-unknown", "warning", &["no answer within 8 seconds"]);
}

#[test]
fn a_clock_difference_is_reported() {
    let (sandbox, cloud, _stock) = given("plaintext");
    assert!(!has(&doctor(&sandbox, &[]), "clock"));
    cloud.inject("/", Fault::DateSkew(-40));
    expect(&doctor(&sandbox, &[]), "clock", "warning", &["seconds ahead of", &cloud.url()]);
    cloud.clear_faults();
    cloud.inject("/", Fault::DateSkew(900));
    expect(&doctor(&sandbox, &[]), "clock", "error", &["minutes behind", "timedatectl"]);
    // A signature that is refused for it is not blamed on the key.
    cloud.clear_faults();
    cloud.server().clock().skew(900);
    let report = doctor(&sandbox, &[]);
    expect(&report, "credential-refused", "error", &["set the clock"]);
    assert!(!cloud.take_refused().is_empty());
}
