//! Runs every command of the README and the tutorials. Also checks the table of exit codes, and the members that
//! docs/reference/status.md lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::given::{says, sign_in, with_store};
use crate::harness::browser::Behaviour;
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{Cmd, PROGRAM, Sandbox};
#[cfg(feature = "gateway")]
use crate::harness::ollama::Ollama;
use crate::harness::tool;

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of every `sh` block, without comments.
fn commands(page: &str) -> Vec<String> {
    let text = text(page);
    let mut lines = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```sh" && !inside;
        } else if inside {
            let line = line.split(" #").next().unwrap_or_default().trim();
            lines.extend((!line.is_empty()).then(|| line.to_owned()));
        }
    }
    assert!(!lines.is_empty(), "{page}");
    lines
}

/// Runs a line in a shell, as a reader would paste it, with the program on PATH.
fn paste(sandbox: &Sandbox, script: &str) -> Cmd {
    let link = sandbox.path("bin/ollama-auth");
    if !link.exists() {
        std::os::unix::fs::symlink(PROGRAM, link).unwrap();
    }
    let path = format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").unwrap());
    sandbox.program(tool("sh"), ["-euc", script]).env("PATH", path)
}

#[test]
fn every_command_of_the_readme_works() {
    let (mut tour, mut exported) = (Vec::new(), String::new());
    #[cfg(feature = "gateway")]
    let mut gateway = Vec::new();
    for line in &commands("README.md") {
        match line.as_str() {
            #[cfg(feature = "gateway")]
            "cargo run --release -- quickstart" => the_quickstart(line),
            // It runs this test; that it can be started is checked in a way that ends.
            "scripts/test" => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/test");
                let done = std::process::Command::new(tool("bash")).arg("-n").arg(path).status();
                assert!(done.unwrap().success());
            }
            "cargo install --path . --locked" => can_be_installed(),
            "ollama-auth signin"
            | r#"ollama-auth run gpt-oss:120b-cloud "Why is the sky blue?""#
            | "ollama-auth status"
            | "ollama-auth doctor"
            | "ollama-auth signout" => tour.push(line.clone()),
            line if line.starts_with("export OLLAMA_API_KEY=") => exported = line.to_owned(),
            r#"ollama-auth run gpt-oss:120b-cloud "Say hello""# => in_ci(&exported, line),
            #[cfg(feature = "gateway")]
            line if line.starts_with("ollama-auth gateway ") || line.contains("127.0.0.1:11435") => {
                gateway.push(line.to_owned());
            }
            other => panic!("the README has a command that no test runs: {other}"),
        }
    }
    assert_eq!(tour.len(), 5, "{tour:?}");
    sixty_seconds(&tour);
    #[cfg(feature = "gateway")]
    a_gateway(&gateway);
}

#[test]
fn every_command_of_the_tutorials_works() {
    let first = commands("docs/tutorial/first-sign-in.md");
    let (install, tour) = first.split_first().unwrap();
    assert_eq!(install, "cargo install --path . --locked");
    sixty_seconds(tour);
    #[cfg(feature = "gateway")]
    {
        a_gateway(&commands("docs/tutorial/gateway.md"));
        assert_eq!(commands("docs/tutorial/quickstart.md"), ["cargo run --release -- quickstart"]);
    }
}

/// The lock file fits the manifest: what `--locked` asks for. A whole build would take minutes.
fn can_be_installed() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| tool("cargo").into());
    let done = std::process::Command::new(cargo)
        .args(["metadata", "--locked", "--offline", "--no-deps", "--format-version=1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// From the sign-in to the sign-out, with a browser that follows the link. Another host stands in for ollama.com.
fn sixty_seconds(lines: &[String]) {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let browser = sandbox.browser(Behaviour::Follows);
    for line in lines {
        let line = match line.as_str() {
            "ollama-auth signin" => format!("{line} --host {}", cloud.url()),
            line => line.to_owned(),
        };
        let output = paste(&sandbox, &line).env("OLLAMA_HOST", cloud.url()).run();
        assert_eq!(output.code(), 0, "{line}\n{}", output.snapshot());
    }
    assert_eq!(browser.opened().len(), 1);
    assert!(cloud.devices().is_empty(), "signed out");
}

/// An account, a gateway, a sign-in and a key, in the order of the page. The gateway listens at a port of its own.
#[cfg(feature = "gateway")]
fn a_gateway(lines: &[String]) {
    let (sandbox, ollama) = (with_store("plaintext"), Ollama::start());
    let (mut serving, mut url, mut key, mut uses_key) = (None, String::new(), String::new(), String::new());
    for line in lines {
        let line = line.replace("http://127.0.0.1:11435", &url).replace("MODEL", "tiny");
        match line.as_str() {
            "ollama-auth gateway user add ada --role admin" => {
                paste(&sandbox, &line).stdin("correct horse battery\n").run().expect_code(0);
            }
            "ollama-auth gateway serve" => {
                let line = format!("exec {line} --listen 127.0.0.1:0 --upstream {} --json", ollama.url());
                let child = paste(&sandbox, &line).spawn();
                let said = child.wait_stderr(|text| text.contains("\"listening\""));
                let mut events = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
                let listening = events.find(|event| event["event"] == "listening").unwrap();
                url = listening["url"].as_str().unwrap().to_owned();
                serving = Some(child);
            }
            line if line.starts_with("ollama-auth signin --host ") => {
                let child = paste(&sandbox, line).spawn();
                let shown = child.wait_stderr(|text| text.contains("/connect?") && text.contains("Fingerprint"));
                let link = shown.split_whitespace().find(|word| word.contains("/connect?")).unwrap();
                paste(&sandbox, &format!("ollama-auth gateway approve '{link}' --user ada")).run().expect_code(0);
                child.finish().expect_code(0);
            }
            line if line.starts_with("KEY=$(") => {
                let output = paste(&sandbox, &format!("{line}; printf %s \"$KEY\"")).run().expect_code(0);
                key = output.stdout().to_owned();
            }
            line => {
                paste(&sandbox, &format!("KEY='{key}'\n{line}")).run().expect_code(0);
                if line.starts_with("OLLAMA_API_KEY=$KEY ") {
                    uses_key = line.to_owned();
                }
                if line.contains(" keys revoke ") {
                    let refused = paste(&sandbox, &format!("KEY='{key}'\n{uses_key}")).run().expect_code(4);
                    says(&refused, &["revoked"]);
                }
            }
        }
    }
    assert!(!uses_key.is_empty(), "the key is used");
    let child = serving.expect("the gateway is started");
    child.signal(rustix::process::Signal::TERM);
    child.finish().expect_code(0);
}

#[cfg(feature = "gateway")]
/// Without an Ollama. What it prints is compared with the tutorial in quickstart.rs.
fn the_quickstart(line: &str) {
    let (_, ours) = line.split_once(" -- ").unwrap();
    let sandbox = Sandbox::new();
    let output = paste(&sandbox, &format!("ollama-auth {ours}")).env("OLLAMA_HOST", "127.0.0.1:1").run().expect_code(0);
    says(&output, &["steps succeeded"]);
}

/// The key comes from the environment; a refused one is exit 4. (Here another host stands in for ollama.com.)
fn in_ci(export: &str, line: &str) {
    assert!(!export.is_empty(), "the key is exported before it is used");
    let (sandbox, cloud) = (Sandbox::new(), Cloud::start());
    let export = export.replace('…', "gateway-key-0123456789");
    let script = format!("{export}\n{line}");
    let run = || paste(&sandbox, &script).env("OLLAMA_HOST", cloud.url()).run();
    says(&run().expect_code(4), &["refused the credential"]);
    cloud.accept_api_key("gateway-key-0123456789");
    run().expect_code(0);
}

/// Code, name and meaning of each row of the reference page.
fn documented() -> BTreeMap<u8, (String, String)> {
    let page = text("docs/reference/exit-codes.md");
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let code = cells.next()?.parse().ok()?;
        Some((code, (cells.next()?.trim_matches('`').to_owned(), cells.next()?.to_owned())))
    });
    rows.collect()
}

#[test]
fn the_exit_codes_are_the_same_everywhere() {
    let documented = documented();
    let codes: BTreeSet<u8> = documented.keys().copied().collect();
    let source = text("src/exit/code.rs");
    let (_, body) = source.split_once("pub enum Exit {").unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let defined: BTreeSet<u8> =
        body.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once(" = ")?.1.parse().ok()).collect();
    assert_eq!(defined, codes);
    // The names in JSON, in the order of the codes.
    let (_, names) = source.split_once("pub fn name(self)").unwrap();
    let (names, _) = names.split_once("\n    }").unwrap();
    let names: Vec<&str> = names.split('"').skip(1).step_by(2).collect();
    assert_eq!(documented.values().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);

    let help = Sandbox::new().command(["help", "exit-codes"]).run().expect_code(0);
    let all = help.stdout().split_whitespace().collect::<Vec<_>>().join(" ");
    for (code, (name, meaning)) in &documented {
        let row = format!("{code} {name} {}", meaning.replace('`', "").trim_end_matches('.'));
        assert!(all.contains(&row), "{row}: {all}");
    }
}

/// The names in backticks in a text.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_status_document_lists_the_members_that_are_printed() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let status = sandbox.command(["status", "--json"]).run().expect_code(0).json();
    let members =
        |value: &serde_json::Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let document = text("docs/reference/status.md");
    let rows: BTreeMap<String, String> = document
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let name = cells.next()?.trim_end_matches('`').to_owned();
            Some((name, cells.last()?.to_owned()))
        })
        .collect();
    let listed: BTreeSet<String> = rows.keys().cloned().collect();
    assert_eq!(members(&status), listed);
    assert_eq!(members(&status["account"]), quoted(&rows["account"]));
    let side: BTreeSet<String> = ["host", "host_reason", "profile", "credential"].map(str::to_owned).into();
    assert_eq!((members(&status["run"]), members(&status["run_cloud"])), (side.clone(), side.clone()));
    assert!(side.is_subset(&quoted(&rows["run"])));
    let (_, credential) = document.split_once("A `credential` holds").unwrap();
    let (credential, _) = credential.split_once("\n\n").unwrap();
    assert!(members(&status["credential"]).is_subset(&quoted(credential)));
    for name in quoted(credential) {
        let value = ["none", "api-key", "device-key", "environment", "profile", "keyring", "file", "plaintext"];
        let of_token = ["token", "token-file", "github", "gitlab", "kubernetes"];
        let member = status["credential"].get(&name).is_some();
        assert!(member || value.contains(&&*name) || of_token.contains(&&*name), "{name}");
    }

    // What only a failure holds.
    drop(cloud);
    let status = sandbox.command(["status", "--json"]).run().expect_code(6).json();
    assert_eq!(status["signed_in"], serde_json::Value::Null);
    assert_eq!(status["error"]["exit_code"], 6);
    let named = quoted(&rows["error"]);
    assert!(members(&status["error"]).is_subset(&named), "{named:?}");
    // Each reason that the document names is one that the program knows.
    let source = text("src/profile/host.rs");
    let (_, body) = source.split_once("pub enum HostReason {").unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let variants = body.lines().filter_map(|line| {
        let name = line.trim().strip_suffix(',')?;
        let mut kebab = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() && !kebab.is_empty() {
                kebab.push('-');
            }
            kebab.push(letter.to_ascii_lowercase());
        }
        Some(kebab)
    });
    let reasons: BTreeSet<String> = variants.collect();
    assert_eq!(quoted(&rows["host_reason"]), reasons);
}
