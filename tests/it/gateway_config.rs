//! The gateway's settings as its commands find them: the file that `init` writes, where files are looked for, which are
//! refused, and the exit codes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::given::{CONFIG, mode, on_a_full_disk, says};
use crate::harness::cmd::{Output, Sandbox};

/// Starts the gateway with settings that cannot be right, so that it never serves.
fn refused(sandbox: &Sandbox, args: &[&str], wanted: &[&str]) -> Output {
    let output = sandbox.command(["gateway", "serve"].iter().chain(args)).run().expect_code(2);
    assert_eq!(output.stdout(), "");
    says(&output, wanted);
    output
}

#[test]
fn init_writes_a_private_file_and_never_over_another() {
    let sandbox = Sandbox::new();
    let output = sandbox.command(["gateway", "init"]).run().expect_code(0);
    assert_eq!(output.stdout(), "");
    says(&output, &["Wrote gateway.toml", "ollama-auth gateway serve --config gateway.toml"]);
    let file = sandbox.home().join("gateway.toml");
    assert_eq!(mode(&file), 0o600);
    let first = fs::read_to_string(&file).unwrap();
    assert!(first.contains("\n#listen = \"127.0.0.1:11435\"\n") && first.lines().count() > 50, "{first}");

    fs::write(&file, "mine").unwrap();
    let output = sandbox.command(["gateway", "init"]).run().expect_code(1);
    says(&output, &["gateway.toml already exists", "--force"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    sandbox.command(["gateway", "init", "--force"]).run().expect_code(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), first);

    // A link is neither followed nor replaced, with --force either.
    let link = sandbox.home().join("link.toml");
    symlink(sandbox.home().join("elsewhere"), &link).unwrap();
    sandbox.command(["gateway", "init", "link.toml"]).run().expect_code(1);
    sandbox.command(["gateway", "init", "link.toml", "--force"]).run().expect_code(1);
    assert!(!sandbox.home().join("elsewhere").exists());
}

#[test]
fn of_many_inits_at_once_one_writes() {
    let sandbox = Sandbox::new();
    let all: Vec<_> = (0..12).map(|_| sandbox.command(["gateway", "init"]).spawn()).collect();
    let codes: Vec<i32> = all.into_iter().map(|one| one.finish().code()).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, 0 | 1)), "{codes:?}");
}

#[test]
fn init_at_the_usual_place_is_found_without_a_flag() {
    let sandbox = Sandbox::new();
    let file = sandbox.path(CONFIG).join("gateway.toml");
    let args = ["gateway", "init", file.to_str().unwrap()];
    let output = sandbox.command(args).run().expect_code(0);
    assert!(!output.stderr().contains("--config"), "{}", output.snapshot());
    let text = fs::read_to_string(&file).unwrap().replace("#threads = 0", "threads = -1");
    sandbox.write(format!("{CONFIG}/gateway.toml"), text);
    refused(&sandbox, &[], &["gateway.toml:", "threads must be a number from 0 to 1024, not -1"]);
}

#[test]
fn init_can_speak_json() {
    let sandbox = Sandbox::new();
    let output = sandbox.command(["gateway", "init", "a/b.toml", "--json"]).run().expect_code(0);
    assert_eq!(output.json()["file"], "a/b.toml");
    assert!(sandbox.home().join("a/b.toml").exists());
}

#[test]
fn a_full_disk_leaves_no_half_a_file() {
    let sandbox = Sandbox::new();
    let output = on_a_full_disk(&sandbox, &["gateway", "init"]).run().expect_code(1);
    says(&output, &["cannot write gateway.toml"]);
    assert_eq!(fs::read_dir(sandbox.home()).unwrap().filter(|at| at.as_ref().unwrap().path().is_file()).count(), 0);
}

#[test]
fn a_file_that_is_named_has_to_be_there() {
    let mut sandbox = Sandbox::new();
    refused(&sandbox, &["--config", "no.toml"], &["--config: there is no file no.toml", "gateway init no.toml"]);
    sandbox.set_env("OLLAMA_AUTH_GATEWAY_CONFIG", "/no/such.toml");
    refused(&sandbox, &[], &["OLLAMA_AUTH_GATEWAY_CONFIG: there is no file /no/such.toml"]);
    // The flag goes before the variable.
    sandbox.write("home/wrong.toml", "lisen = 1");
    refused(&sandbox, &["--config", "wrong.toml"], &["wrong.toml:1:1: ", "Did you mean \"listen\"?"]);
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    let sandbox = Sandbox::new();
    let file = sandbox.write("home/g.toml", "threads = -1");
    for bits in [0o660, 0o602, 0o666] {
        fs::set_permissions(&file, fs::Permissions::from_mode(bits)).unwrap();
        refused(&sandbox, &["--config", "g.toml"], &["g.toml is open to other accounts", "chmod 600 g.toml"]);
    }
    // Reading it is no harm: it holds no secret. A link to it is fine too.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    symlink(&file, sandbox.home().join("l.toml")).unwrap();
    refused(&sandbox, &["--config", "l.toml"], &["l.toml:1:11: threads must be"]);
    refused(&sandbox, &["--config", "."], &["is not a regular file"]);
}

#[test]
fn each_place_is_named_when_something_is_wrong_there() {
    let mut sandbox = Sandbox::new();
    refused(
        &sandbox,
        &["--listen", "here"],
        &["--listen: listen must be ADDRESS:PORT such as 127.0.0.1:11435, not \"here\""],
    );
    refused(&sandbox, &["--set", "max-body=much"], &["--set max-body: max-body must be a size"]);
    refused(&sandbox, &["--set", "max-bodi=1"], &["--set max-bodi: ", "Did you mean \"max-body\"?"]);
    refused(&sandbox, &["--set", "threads"], &["--set \"threads\": expected NAME=VALUE"]);
    refused(&sandbox, &["--set", "listen=127.0.0.1:1", "--listen", "127.0.0.1:1"], &["set twice"]);
    sandbox.set_env("OLLAMA_AUTH_GATEWAY_THREADZ", "1");
    refused(&sandbox, &[], &["environment variable OLLAMA_AUTH_GATEWAY_THREADZ: ", "Did you mean \"threads\"?"]);
    // The other commands do not look at the gateway's settings.
    sandbox.command(["gateway", "init"]).run().expect_code(0);
    let error = sandbox.command(["gateway", "serve", "--json"]).run().expect_code(2);
    let error: serde_json::Value = serde_json::from_str(error.stderr().trim()).unwrap();
    assert!(error.to_string().contains("THREADZ") && error.to_string().contains("usage"), "{error}");
}

#[test]
fn settings_that_do_not_go_together_are_refused_with_advice() {
    let sandbox = Sandbox::new();
    refused(
        &sandbox,
        &["--listen", "0.0.0.0:0"],
        &["(--listen), which other machines can reach", "--behind-tls-proxy"],
    );
    refused(
        &sandbox,
        &["--listen", "0.0.0.0:0", "--behind-tls-proxy"],
        &["public-url is not set", "--public-url https://"],
    );
    refused(&sandbox, &["--tls-cert", "c.pem"], &["tls-cert is set", "tls-key is not"]);
    refused(&sandbox, &["--public-url", "http://gpu.example.com"], &["plain http", "https://"]);
    refused(&sandbox, &["--listen", "127.0.0.1:11434"], &["upstream is http://127.0.0.1:11434", "this gateway itself"]);
    let hidden = refused(&sandbox, &["--upstream", "http://me:hunter2@gpu"], &["--upstream: "]);
    assert!(!hidden.stderr().contains("hunter2"));
}
