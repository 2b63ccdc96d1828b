//! What people see of tables and lists in terminals of 60, 80 and 120 columns: no row is broken by the terminal, what matters
//! most stays, and outside a terminal everything is there.

use ollama_auth::identity::group_fingerprint;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;
use unicode_width::UnicodeWidthStr as _;

use crate::given::{DATA, edit_profiles, plaintext, profiles, sign_in, with_store};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::Sandbox;
use crate::harness::http::Reply;
use crate::harness::ollama::Ollama;
use crate::harness::pty::Terminal;

const WIDTHS: [u16; 3] = [60, 80, 120];
const MODEL: &str = "hf.co/someone/a-model-with-a-long-name:Q4_K_M";

/// The lines that the program wrote in a terminal of that width, each of which is one row of the screen.
#[track_caller]
fn lines(sandbox: &Sandbox, args: &[&str], columns: u16) -> Vec<String> {
    let finished = Terminal::start_sized(sandbox, args, columns, 100).finish();
    assert_eq!(finished.code, 0, "{}", finished.screen);
    // A line that the terminal had to break is still one line of the text that is on the screen.
    for line in finished.screen.lines() {
        assert!(line.width() <= usize::from(columns), "broken at {columns}: {line:?}\n{}", finished.screen);
    }
    finished.screen.lines().map(str::to_owned).collect()
}

/// The cells of a row, which two blanks part.
fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[test]
fn keys_list_keeps_name_id_and_state() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.offer_keys();
    sign_in(&sandbox, &cloud, &[]);
    let long = "a key with a name that takes more room than there is";
    cloud.issue(json!({ "name": long, "id": "key_long00000000", "environment": "production" }));
    cloud.issue(json!({ "name": "漢字のキー", "id": "key_wide00000000", "models": ["gemma*", "llama*", "qwen*"] }));
    let full = sandbox.command(["keys", "list"]).run().expect_code(0);
    assert!(full.stdout().contains("gemma*,llama*,qwen*") && !full.stdout().contains('\u{1b}'), "{}", full.snapshot());
    for (columns, header) in WIDTHS.into_iter().zip([
        &["NAME", "ID", "EXPIRES", "STATE"][..],
        &["NAME", "ID", "SCOPES", "LAST USED", "EXPIRES", "STATE"],
        &["NAME", "ID", "ENVIRONMENT", "SCOPES", "MODELS", "AGE", "LAST USED", "EXPIRES", "STATE"],
    ]) {
        let lines = lines(&sandbox, &["keys", "list"], columns);
        assert_eq!(cells(&lines[0]), header, "{columns}: {lines:#?}");
        let row = |id: &str| lines.iter().find(|line| line.contains(id)).unwrap_or_else(|| panic!("{id}: {lines:#?}"));
        assert!(cells(row("key_long00000000"))[0].ends_with('…'), "{lines:#?}");
        assert!(row("key_wide00000000").starts_with("漢字のキー "), "{lines:#?}");
        let named = lines.iter().find(|line| line.starts_with("Columns that do not fit: "));
        assert_eq!(named.is_some(), columns < 120, "{lines:#?}");
    }
}

#[test]
fn states_have_colour_only_where_it_is_wanted() {
    let (mut sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let raw = |sandbox: &Sandbox| Terminal::start_sized(sandbox, &["device", "list"], 80, 24).finish().raw;
    assert!(String::from_utf8(raw(&sandbox)).unwrap().contains("\u{1b}[32myes\u{1b}[0m"));
    sandbox.set_env("NO_COLOR", "1");
    let plain = String::from_utf8(raw(&sandbox)).unwrap();
    assert!(plain.contains("yes") && !plain.contains('\u{1b}'), "{plain:?}");
}

#[test]
fn list_never_shortens_the_name_of_a_model() {
    let (mut sandbox, ollama) = (with_store("plaintext"), Ollama::start());
    ollama.route("GET", "/api/tags", |_| {
        let model =
            |name: &str| json!({ "name": name, "model": name, "size": 2_019_393_189_u64, "digest": "a".repeat(64) });
        Reply::json(200, json!({ "models": [model("tiny:latest"), model(MODEL)] }))
    });
    sandbox.set_env("OLLAMA_HOST", ollama.url());
    for (columns, header) in WIDTHS.into_iter().zip([
        &["NAME", "SIZE"][..],
        &["NAME", "ID", "SIZE", "MODIFIED"],
        &["NAME", "ID", "SIZE", "MODIFIED"],
    ]) {
        let lines = lines(&sandbox, &["list"], columns);
        assert_eq!(cells(&lines[0])[..2], header[..2].to_vec(), "{columns}: {lines:#?}");
        assert!(lines.iter().any(|line| cells(line)[0] == MODEL), "{lines:#?}");
    }
    // Where not even the name and the size fit beside each other, each model is a block of lines.
    let narrow = Terminal::start_sized(&sandbox, &["list"], 40, 100).finish();
    assert!(narrow.screen.contains("NAME      tiny:latest\nID        aaaaaaaaaaaa\nSIZE"), "{}", narrow.screen);
}

#[test]
fn device_list_shortens_the_fingerprint() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &["--device-name", "the machine in the corner of the office"]);
    let fingerprint = group_fingerprint(&cloud.devices()[0].key.fingerprint);
    for columns in WIDTHS {
        let lines = lines(&sandbox, &["device", "list"], columns);
        let row = cells(&lines[1]);
        assert!(row.contains(&"yes") && row[0] == cloud.url().trim_start_matches("http://"), "{lines:#?}");
        let (_, shown) = lines[1].split_once("SHA256:").unwrap();
        let shown = format!("SHA256:{}", shown.trim_end().trim_end_matches('…'));
        assert!(fingerprint.starts_with(&shown) && shown.len() > 19, "{lines:#?}");
    }
    let full = sandbox.command(["device", "list"]).run().expect_code(0);
    assert!(full.stdout().contains(&fingerprint), "{}", full.snapshot());
}

#[test]
fn status_shows_every_host_and_marks_the_current_one() {
    let (sandbox, first, second) = (with_store("file"), Cloud::start(), Cloud::start());
    sign_in(&sandbox, &first, &[]);
    sign_in(&sandbox, &second, &[]);
    for columns in WIDTHS {
        let text = lines(&sandbox, &["status"], columns).join("\n");
        let current = format!("{} (current)\n  ✓ Signed in as standin", second.url());
        let other = format!("\n\n{}\n  ✓ Signed in as standin", first.url());
        assert!(text.starts_with(&current) && text.contains(&other), "{columns}:\n{text}");
    }
    let piped = sandbox.command(["status"]).run().expect_code(0);
    assert!(piped.stdout().contains("  ok       Signed in as standin"), "{}", piped.snapshot());
    let report = sandbox.command(["status", "--json"]).run().expect_code(0).json();
    let hosts = report["hosts"].as_array().unwrap();
    assert_eq!(hosts.len(), 2, "{report:#}");
    for (host, url, current) in [(&hosts[0], second.url(), true), (&hosts[1], first.url(), false)] {
        assert_eq!((&host["host"], &host["current"], &host["signed_in"]), (&json!(url), &json!(current), &json!(true)));
        assert_eq!((&host["account"]["name"], &host["credential"]["kind"]), (&json!("standin"), &json!("device-key")));
    }
    // The exit code is the current host's, whatever the others say.
    first.disconnect(&first.devices()[0].key.line);
    let report = sandbox.command(["status", "--json"]).run().expect_code(0).json();
    assert_eq!(report["hosts"][1]["signed_in"], json!(false));
    second.disconnect(&second.devices()[0].key.line);
    sandbox.command(["status"]).run().expect_code(4);
    let offline = sandbox.command(["status", "--offline", "--json"]).run().expect_code(0).json();
    assert_eq!((&offline["hosts"][0]["signed_in"], &offline["hosts"][1]["signed_in"]), (&json!(null), &json!(null)));
}

#[test]
fn status_waits_for_other_hosts_for_three_seconds_in_all() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    // They take connections and say nothing.
    let silent = [(); 20].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    edit_profiles(&sandbox, |all| {
        let key = json!({ "store": "plaintext", "hint": "", "added_at": 0 });
        for listener in &silent {
            let address = listener.local_addr().unwrap().to_string();
            all["profiles"][&address] = json!({ "url": format!("http://{address}"), "api_key": key });
        }
    });
    let secrets = sandbox.path(crate::given::DATA).join("secrets.json");
    let mut stored: serde_json::Value = serde_json::from_slice(&std::fs::read(&secrets).unwrap()).unwrap();
    for listener in &silent {
        let url = format!("http://{}", listener.local_addr().unwrap());
        stored["entries"][crate::given::entry("api-key", &url)] = json!("a-key-of-a-silent-host");
    }
    std::fs::write(&secrets, stored.to_string()).unwrap();
    let output = sandbox.command(["status", "--json"]).run().expect_code(0);
    // One after the other would take a minute.
    assert!(output.duration < Duration::from_secs(40), "{:?}", output.duration);
    let report = output.json();
    let silent = &report["hosts"].as_array().unwrap()[1..];
    assert_eq!(silent.len(), 20, "{report:#}");
    for host in silent {
        assert_eq!(host["signed_in"], json!(null), "{host:#}");
        assert!(host["detail"].as_str().unwrap().contains("no answer within 3 seconds"), "{host:#}");
    }
    assert_eq!(profiles(&sandbox)["profiles"].as_object().unwrap().len(), 21);
}

#[test]
fn status_sends_no_credential_of_another_host_over_plain_http() {
    let (sandbox, other, current) = (with_store("plaintext"), Cloud::start(), Cloud::start());
    sign_in(&sandbox, &other, &[]);
    sign_in(&sandbox, &current, &[]);
    let name = other.url().trim_start_matches("http://").to_owned();
    // A documentation address (RFC 5737): nothing must be sent there.
    let elsewhere = "http://192.0.2.1:11435";
    edit_profiles(&sandbox, |profiles| profiles["profiles"][&name]["url"] = json!(elsewhere));
    sandbox.write(format!("{DATA}/secrets.json"), plaintext(&sandbox).replace(&other.url(), elsewhere));
    let args = ["status", "--json", "--allow-insecure-http", "--host", &current.url()];
    let report = sandbox.command(args).run().expect_code(0).json();
    let hosts = report["hosts"].as_array().unwrap();
    let shown = hosts.iter().find(|host| host["host"] == elsewhere).unwrap();
    assert!(shown["signed_in"].is_null() && shown["detail"].as_str().unwrap().contains("plain http"), "{shown:#}");
}

#[test]
fn status_asks_for_no_passphrase_on_behalf_of_other_hosts() {
    let (mut sandbox, current, other) = (with_store("file"), Cloud::start(), Cloud::start());
    sign_in(&sandbox, &other, &[]);
    sandbox.set_env("OLLAMA_AUTH_STORE", "plaintext").remove_env("OLLAMA_AUTH_PASSPHRASE");
    sign_in(&sandbox, &current, &[]);
    let finished = Terminal::start_sized(&sandbox, &["status"], 80, 100).finish();
    assert_eq!(finished.code, 0, "{}", finished.screen);
    assert!(!finished.screen.contains("Passphrase"), "{}", finished.screen);
    assert!(finished.screen.contains("- Sign-in not checked"), "{}", finished.screen);
}

/// Words stay whole, and a command has no line break in it that would be pasted.
#[test]
fn messages_are_broken_between_words_and_commands_are_not_broken() {
    let sandbox = with_store("plaintext");
    for columns in [24, 40, 60] {
        let host = "http://127.0.0.1:9/a/long/path";
        let finished = Terminal::start_sized(&sandbox, &["keys", "list", "--host", host], columns, 30).finish();
        assert_eq!(finished.code, 4);
        let raw = String::from_utf8(finished.raw).unwrap();
        let command = format!("ollama-auth signin --host {host}");
        assert!(raw.lines().any(|line| line.trim() == command), "{columns}: {raw:?}");
        let message: Vec<&str> = raw.split_whitespace().collect();
        assert!(message.join(" ").contains(&format!("not signed in to {host} sign in: {command}")), "{raw:?}");
    }
    let finished =
        Terminal::start_sized(&sandbox, &["run", "tiny", "x", "--option", "temperature=hot"], 32, 30).finish();
    let raw = String::from_utf8(finished.raw).unwrap();
    let lines: Vec<&str> = raw.lines().collect();
    assert!(lines.len() > 4 && lines.iter().all(|line| line.trim_end().chars().count() <= 45), "{raw:?}");
    let words: Vec<&str> = raw.split_whitespace().collect();
    assert!(words.join(" ").contains("temperature takes a number, not \"hot\""), "{raw:?}");
}
