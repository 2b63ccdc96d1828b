//! The README promises nothing that is not run here: each command of its code blocks, the table of exit codes, and the members
//! that docs/reference/status.md lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::given::{PASSPHRASE, on_keyring, says, sign_in, with_store};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{PROGRAM, Sandbox};
use crate::harness::keyring::Keyring;
use crate::harness::ollama::Ollama;
use crate::harness::tool;

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of every `sh` block, without comments.
fn commands() -> Vec<String> {
    let readme = text("README.md");
    let mut lines = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        if line.starts_with("```") {
            inside = line == "```sh" && !inside;
        } else if inside {
            let line = line.split(" #").next().unwrap_or_default().trim();
            lines.extend((!line.is_empty()).then(|| line.to_owned()));
        }
    }
    lines
}

/// Runs a line in a shell, as a reader would paste it, with the program on PATH.
fn paste(sandbox: &Sandbox, script: &str) -> crate::harness::cmd::Cmd {
    let link = sandbox.path("bin/ollama-auth");
    if !link.exists() {
        std::os::unix::fs::symlink(PROGRAM, link).unwrap();
    }
    sandbox.program(tool("sh"), ["-euc", script])
}

#[test]
fn every_command_of_the_readme_is_run() {
    let lines = commands();
    assert!(!lines.is_empty());
    let (mut exported, mut moved) = (String::new(), String::new());
    #[cfg(feature = "gateway")]
    let mut added = String::new();
    for line in &lines {
        match line.as_str() {
            #[cfg(feature = "gateway")]
            "cargo run --release -- quickstart" => the_quickstart(line),
            "cargo run --release -- run MODEL PROMPT" => the_main_job(line),
            // It runs this test; that it can be started is checked in a way that ends.
            "scripts/test" => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/test");
                let done = std::process::Command::new(tool("bash")).arg("-n").arg(path).status();
                assert!(done.unwrap().success());
            }
            "cargo install --path . --locked" => {
                // The lock file fits the manifest: what `--locked` asks for. A whole build would take minutes.
                let cargo = std::env::var_os("CARGO").unwrap_or_else(|| tool("cargo").into());
                let done = std::process::Command::new(cargo)
                    .args(["metadata", "--locked", "--offline", "--no-deps", "--format-version=1"])
                    .current_dir(env!("CARGO_MANIFEST_DIR"))
                    .output()
                    .unwrap();
                assert!(done.status.success(), "{done:?}");
            }
            #[cfg(feature = "gateway")]
            "ollama-auth gateway user add ada --role admin" => added = line.to_owned(),
            #[cfg(feature = "gateway")]
            "ollama-auth gateway serve" => serving(&added, line),
            line if line.starts_with("export OLLAMA_API_KEY=") => exported = line.to_owned(),
            r#"ollama-auth run gpt-oss:120b-cloud "Say hello""# => in_ci(&exported, line),
            "ollama-auth store move --to file --passphrase-file ~/.config/ollama-auth.passphrase" => {
                moved = line.to_owned();
            }
            line if line
                .starts_with("OLLAMA_AUTH_PASSPHRASE_FILE=~/.config/ollama-auth.passphrase ollama-auth run ") =>
            {
                for_cron(&moved, line);
            }
            other => panic!("the README has a command that no test runs: {other}"),
        }
    }
}

/// cargo's part is `cargo run`; ours is what follows the `--`.
fn the_main_job(line: &str) {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let (_, ours) = line.split_once(" -- ").unwrap();
    let ours = ours.replace("MODEL", "tiny").replace("PROMPT", "'Why is the sky blue?'");
    let output = paste(&sandbox, &format!("ollama-auth {ours}")).env("OLLAMA_HOST", ollama.url()).run().expect_code(0);
    assert!(!output.stdout().trim().is_empty());
}

#[cfg(feature = "gateway")]
/// With nothing else on the machine: what it prints is compared with the README elsewhere.
fn the_quickstart(line: &str) {
    let (_, ours) = line.split_once(" -- ").unwrap();
    let sandbox = Sandbox::new();
    let output = paste(&sandbox, &format!("ollama-auth {ours}")).env("OLLAMA_HOST", "127.0.0.1:1").run().expect_code(0);
    says(&output, &["steps did what they should"]);
}

/// The account is there before the gateway is, and the gateway serves until it is told to stop. (On a port of its own.)
#[cfg(feature = "gateway")]
fn serving(add: &str, serve: &str) {
    let sandbox = Sandbox::new();
    paste(&sandbox, add).stdin("correct horse battery\n").run().expect_code(0);
    let child = paste(&sandbox, &format!("exec {serve} --listen 127.0.0.1:0")).spawn();
    child.wait_stderr(|text| text.contains("Gateway listening at http://127.0.0.1:"));
    child.signal(rustix::process::Signal::TERM);
    child.finish().expect_code(0);
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

/// The secrets move while there is a keyring; then the job runs without one.
fn for_cron(moving: &str, job: &str) {
    assert!(!moving.is_empty(), "the secrets are moved before the job needs them");
    let (keyring, cloud) = (Keyring::start_unlocked(), Cloud::start());
    let sandbox = on_keyring(&keyring);
    sign_in(&sandbox, &cloud, &[]);
    sandbox.write("home/.config/ollama-auth.passphrase", PASSPHRASE);
    paste(&sandbox, moving).run().expect_code(0);
    paste(&sandbox, job)
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env("XDG_RUNTIME_DIR", sandbox.path("run"))
        .run()
        .expect_code(0);
}

/// Code and first words of each row of the README's table.
fn documented() -> BTreeMap<u8, String> {
    let readme = text("README.md");
    let (_, section) = readme.split_once("## Exit codes").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter_map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let code = cells.next()?.parse().ok()?;
        Some((code, cells.next()?.to_owned()))
    });
    rows.collect()
}

#[test]
fn the_exit_codes_are_the_same_everywhere() {
    let documented = documented();
    let codes: BTreeSet<u8> = documented.keys().copied().collect();
    let source = text("src/exit.rs");
    let (_, body) = source.split_once("pub enum Exit {").unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let defined: BTreeSet<u8> =
        body.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once(" = ")?.1.parse().ok()).collect();
    assert_eq!(defined, codes);

    let help = Sandbox::new().command(["--help"]).run().expect_code(0);
    let help = help.stdout().split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, list) = help.split_once("Exit codes: ").unwrap();
    let said: BTreeMap<u8, String> = list
        .trim_end_matches('.')
        .split(", ")
        .fold(Vec::<(u8, String)>::new(), |mut all, part| {
            let first = part.split_once(' ').map(|(code, rest)| (code.parse(), rest));
            match (first, all.last_mut()) {
                (Some((Ok(code), rest)), _) => all.push((code, rest.to_owned())),
                (_, Some(last)) => last.1 += &format!(", {part}"),
                _ => panic!("{part}"),
            }
            all
        })
        .into_iter()
        .collect();
    assert_eq!(said.keys().copied().collect::<BTreeSet<_>>(), codes);
    // The help is shorter, but in the same words.
    for (code, words) in said {
        let first = words.split([' ', ',']).next().unwrap();
        assert!(documented[&code].contains(first), "{code}: {words:?} / {:?}", documented[&code]);
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
        let member = status["credential"].get(&name).is_some();
        assert!(member || value.contains(&&*name), "{name}");
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
