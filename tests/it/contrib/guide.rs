//! The commands of the guides about API keys, run in order against a real gateway.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{assert_shell, file, text};
use crate::given::{on_keyring, says};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{Cmd, PROGRAM, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::keyring::Keyring;
use crate::harness::ollama::Ollama;
use crate::harness::tool;

/// In the order in which they build on each other.
const GUIDES: [&str; 3] = ["docs/guides/ci.md", "docs/guides/rotation.md", "docs/guides/leaked-key.md"];
const HOST: &str = "https://gpu.example.com";

/// The heading above each block of that language, and the block.
fn blocks(language: &str) -> Vec<(String, String)> {
    let (mut found, mut heading, mut inside) = (Vec::new(), String::new(), None::<String>);
    for line in GUIDES.map(text).concat().lines() {
        if let Some(language) = line.strip_prefix("```") {
            inside = match inside {
                Some(block) => {
                    let (language, script) = block.split_once('\n').unwrap_or((&block, ""));
                    found.push((language.to_owned(), heading.clone(), script.to_owned()));
                    None
                }
                None => Some(format!("{language}\n")),
            };
        } else if let Some(block) = &mut inside {
            *block += &format!("{line}\n");
        } else if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut heading);
        }
    }
    found.into_iter().filter(|(kind, ..)| kind == language).map(|(_, title, script)| (title, script)).collect()
}

/// A shell with the program and a stand-in for `gh` on its PATH.
struct Reader {
    sandbox: Sandbox,
    gateway: String,
    /// What earlier blocks have exported.
    exports: String,
}

impl Reader {
    fn new(gateway: &Gateway) -> Self {
        Self::on(Sandbox::new(), &gateway.url())
    }

    fn on(sandbox: Sandbox, gateway: &str) -> Self {
        std::os::unix::fs::symlink(PROGRAM, sandbox.path("bin/ollama-auth")).unwrap();
        let gh = sandbox.write("bin/gh", "#!/bin/sh\ncat >\"$HOME/gh-$3-$5\"\n");
        fs::set_permissions(gh, fs::Permissions::from_mode(0o755)).unwrap();
        Self { sandbox, gateway: gateway.to_owned(), exports: String::new() }
    }

    fn shell(&mut self, block: &str) -> Cmd {
        let name = self.gateway.trim_start_matches("http://").to_owned();
        let block = block.replace(HOST, &self.gateway).replace("gpu.example.com", &name);
        let script = format!("set -euo pipefail\n{}{block}", self.exports);
        for line in block.lines().filter(|line| line.starts_with("export ")) {
            self.exports += &format!("{line}\n");
        }
        let path = format!("{}:{}", self.sandbox.path("bin").display(), std::env::var("PATH").unwrap());
        self.sandbox.program(tool("bash"), ["-c", &script]).env("PATH", path)
    }
}

#[test]
fn every_command_of_the_guides_works_in_order() {
    let ollama = Ollama::start();
    let gateway = Gateway::start(&ollama.url());
    gateway.add_user("ada", "member");
    let mut reader = Reader::new(&gateway);
    // A reader with a keyring would not need this; the rest of the guides does not depend on it.
    reader.sandbox.set_env("OLLAMA_AUTH_STORE", "plaintext").set_env("DISPLAY", ":0");
    let mut job = Reader::new(&gateway);
    let secret = |reader: &Reader| fs::read_to_string(reader.sandbox.path("home/gh-OLLAMA_API_KEY-ci")).unwrap();
    let mut ran = 0;
    for (heading, block) in blocks("sh") {
        ran += 1;
        match heading.as_str() {
            "Create the keys" if block.starts_with("ollama-auth signin --host") => {
                sign_in(&mut reader, &gateway, &block);
            }
            "Create the keys" => {
                reader.shell(&block).run().expect_code(0);
            }
            "Use the key in a job" => {
                job.sandbox.set_env("OLLAMA_API_KEY", secret(&reader).trim());
                job.shell(&block).run().expect_code(0);
                assert!(!fs::read(job.sandbox.path("home/answer.txt")).unwrap().is_empty());
            }
            "Make the secrets available without a session" if block.starts_with("(umask") => {
                reader.sandbox.remove_env("OLLAMA_AUTH_STORE");
                let output = reader.shell(&block).run().expect_code(0);
                says(&output, &["from the plaintext store to the file store"]);
                assert!(
                    output.stdout().contains("the encrypted file opens and holds 2 secrets"),
                    "{}",
                    output.snapshot()
                );
            }
            "Make the secrets available without a session" => {
                reader.shell(&block).run().expect_code(0);
            }
            "Rotate once" => {
                reader.shell(&block).run().expect_code(0);
            }
            "Revoke the key" => {
                let leaked = gateway_key(&mut reader);
                reader.shell(&block).env("LEAKED", &leaked).run().expect_code(0);
                let asked = job.shell(&format!("ollama-auth run --host {HOST} tiny hi"));
                says(&asked.run().expect_code(4), &["revoked"]);
                let asked = job.shell(&format!("ollama-auth run --host {HOST} tiny hi"));
                says(&asked.env("OLLAMA_API_KEY", &leaked).run().expect_code(4), &["revoked"]);
            }
            other => panic!("no test runs the commands below {other:?}: {block}"),
        }
    }
    assert_eq!(ran, 8, "blocks of commands");
    let key = secret(&reader);
    reader.sandbox.assert_no_secret(key.trim(), &[], &["home/gh-OLLAMA_API_KEY-ci"]);
}

/// A person signs in with the link; another approves it.
fn sign_in(reader: &mut Reader, gateway: &Gateway, block: &str) {
    let child = reader.shell(block).spawn();
    let shown = child.wait_stderr(|text| text.contains("/connect?") && text.contains("Fingerprint"));
    let link = shown.split_whitespace().find(|word| word.contains("/connect?")).unwrap();
    gateway.admin(&["approve", link, "--user", "ada"]).expect_code(0);
    child.finish().expect_code(0);
}

/// Another key, known only by the key itself.
fn gateway_key(reader: &mut Reader) -> String {
    let make = "ollama-auth keys create stray --profile gpu.example.com";
    reader.shell(make).run().expect_code(0).stdout().trim().to_owned()
}

/// A job without a session bus runs with secrets that were in the keyring before.
#[test]
fn secrets_move_from_the_keyring_for_jobs_without_a_session() {
    let blocks = blocks("sh");
    let mut blocks = blocks.iter().filter(|(heading, _)| heading == "Make the secrets available without a session");
    let (moving, job) = (&blocks.next().unwrap().1, &blocks.next().unwrap().1);
    let (keyring, cloud) = (Keyring::start_unlocked(), Cloud::start());
    let sandbox = on_keyring(&keyring);
    crate::given::sign_in(&sandbox, &cloud, &["--profile", "web"]);
    let mut reader = Reader::on(sandbox, &cloud.url());
    // doctor has more to say about this machine.
    let moving = moving.replace("ollama-auth doctor\n", "");
    says(&reader.shell(&moving).run().expect_code(0), &["from the keyring store to the file store"]);
    reader.exports.clear();
    let run = reader.sandbox.path("run");
    let job = job.replace("tiny", "gpt-oss:120b-cloud");
    let shell = reader.shell(&job).env_remove("DBUS_SESSION_BUS_ADDRESS").env("XDG_RUNTIME_DIR", run);
    shell.run().expect_code(0);
}

#[test]
fn commands_for_root_are_valid_and_their_files_exist() {
    let sandbox = Sandbox::new();
    let blocks = blocks("text");
    assert_eq!(blocks.len(), 1);
    for (_, block) in blocks {
        assert_shell(&sandbox, "bash", &block);
        for word in block.split_whitespace().filter(|word| word.starts_with("contrib/")) {
            assert!(file(word).is_file(), "{word}");
        }
    }
}

#[test]
fn the_files_that_the_guides_name_exist() {
    let guides = GUIDES.map(text).concat();
    let named: Vec<&str> = guides.split('`').filter(|word| word.starts_with("contrib/")).collect();
    assert!(named.len() > 5);
    for name in named {
        assert!(file(name).is_file(), "{name}");
    }
}
