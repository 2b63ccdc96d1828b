//! The systemd units, the account they run as, the crontab line, and the scripts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{assert_shell, file, text};
use crate::given::says;
use crate::harness::cmd::Sandbox;
use crate::harness::http::{Reply, Server};
use crate::harness::tool;

const UNITS: [&str; 2] = ["ollama-auth-rotate.service", "ollama-auth-rotate.timer"];
const PROGRAM: &str = "/usr/local/bin/ollama-auth";
const KEY: &str = "olauth_0123456789abcdefghijklmnop";

/// The units in a folder, with a program that is there in place of the installed one.
fn installed(sandbox: &Sandbox) -> Vec<String> {
    let program = tool("true").to_str().unwrap().to_owned();
    for unit in UNITS {
        sandbox.write(format!("units/{unit}"), text(&format!("contrib/systemd/{unit}")).replace(PROGRAM, &program));
    }
    let drop_in = text("contrib/systemd/deploy.conf").replace(PROGRAM, &program);
    sandbox.write("units/with.service.d/deploy.conf", drop_in);
    let service = fs::read(sandbox.path("units/ollama-auth-rotate.service")).unwrap();
    sandbox.write("units/with.service", service);
    UNITS
        .iter()
        .chain(&["with.service"])
        .map(|unit| sandbox.path(format!("units/{unit}")).display().to_string())
        .collect()
}

#[test]
fn the_units_are_verified_and_confined() {
    let sandbox = Sandbox::new();
    let units = installed(&sandbox);
    let analyze = |args: &[&str]| sandbox.program(tool("systemd-analyze"), args).args(&units).run();
    let verified = analyze(&["verify", "--man=no"]).expect_code(0);
    // It names every line that it does not understand, and is content all the same.
    let complaints: Vec<&str> = verified.stderr().lines().filter(|line| line.contains("/units/")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    for unit in units.iter().filter(|unit| unit.ends_with(".service")) {
        // The threshold is ten times the score: 0 is confined, 10 is not.
        let args = ["security", "--offline=yes", "--threshold=20", "--no-pager", unit];
        sandbox.program(tool("systemd-analyze"), args).run().expect_code(0);
    }
    let broken = sandbox.write("units/broken.service", "[Service]\nExecStart=/nonexistent/program\n");
    let refused = sandbox.program(tool("systemd-analyze"), ["verify", "--man=no", broken.to_str().unwrap()]).run();
    assert_ne!(refused.code(), 0, "the check checks something");
}

#[test]
fn the_units_name_the_passphrase_credential_as_the_program_does() {
    let source = text("src/vault/passphrase.rs");
    let (_, name) = source.split_once("pub const PASSPHRASE_CREDENTIAL: &str = \"").unwrap();
    let (name, _) = name.split_once('"').unwrap();
    for below in ["ollama-auth-rotate.service", "as-ollama-auth"] {
        let unit = text(&format!("contrib/systemd/{below}"));
        assert!(unit.contains(&format!("LoadCredentialEncrypted={name}:/etc/credstore.encrypted/{name}")), "{below}");
        assert!(!unit.contains("OLLAMA_AUTH_PASSPHRASE"), "{below}: the environment is not for secrets");
    }
    assert!(text("docs/guides/rotation.md").contains(&format!("systemd-creds encrypt --name={name} -")));
}

#[test]
fn the_script_runs_with_the_settings_of_the_service() {
    let (unit, script) = (text("contrib/systemd/ollama-auth-rotate.service"), text("contrib/systemd/as-ollama-auth"));
    for line in unit.lines().filter_map(|line| line.strip_prefix("Environment=")) {
        let (name, value) = line.split_once('=').unwrap();
        let value = value.replace("%S/ollama-auth", "$state");
        let same = [format!("--setenv={name}=\"{value}\""), format!("--setenv={name}={value} ")];
        assert!(same.iter().any(|same| script.contains(same)), "{line}");
    }
    for property in ["User=", "StateDirectory=", "StateDirectoryMode=", "UMask="] {
        let line = unit.lines().find(|line| line.starts_with(property)).unwrap();
        assert!(script.contains(&format!("--property={line} ")), "{line}");
    }
    assert!(text("contrib/systemd/ollama-auth.sysusers").contains("u ollama-auth "));
    // What it is told goes to the program as it stands.
    let sandbox = Sandbox::new();
    let stub = sandbox.write("bin/systemd-run", "#!/bin/sh\nprintf '%s\\n' \"$@\"\n");
    fs::set_permissions(stub, fs::Permissions::from_mode(0o755)).unwrap();
    let run = sandbox.program(file("contrib/systemd/as-ollama-auth"), ["keys", "list", "--filter", "a b"]).run();
    assert!(run.expect_code(0).stdout().ends_with(&format!("\n{PROGRAM}\nkeys\nlist\n--filter\na b\n")));
}

#[test]
fn the_scripts_pass_shellcheck() {
    let sandbox = Sandbox::new();
    for name in ["contrib/systemd/as-ollama-auth", "contrib/deploy/github-secret", "contrib/deploy/gitlab-variable"] {
        assert_shell(&sandbox, "sh", &text(name));
        assert_eq!(fs::metadata(file(name)).unwrap().permissions().mode() & 0o111, 0o111, "{name} can be run");
    }
}

#[test]
fn the_crontab_line_is_valid() {
    let crontab = text("contrib/cron/crontab");
    let lines: Vec<&str> = crontab.lines().filter(|line| !line.starts_with('#')).collect();
    let [line] = lines[..] else { panic!("one line: {lines:?}") };
    assert!(!line.contains('%'), "cron would take it for a line break");
    let fields: Vec<&str> = line.splitn(6, ' ').collect();
    for (field, range) in fields.iter().zip([0..=59, 0..=23, 1..=31, 1..=12, 0..=7]) {
        assert!(*field == "*" || range.contains(&field.parse::<u32>().unwrap()), "{field}");
    }
    let command = fields[5];
    let sandbox = Sandbox::new();
    assert_shell(&sandbox, "sh", command);
    // Run as cron does: sh, in the home, without a session bus. A stub shows what the program is given.
    let stub = "#!/bin/sh\necho \"$OLLAMA_AUTH_PASSPHRASE_FILE\" \"$@\"\n";
    let stub = sandbox.write("home/.cargo/bin/ollama-auth", stub);
    fs::set_permissions(stub, fs::Permissions::from_mode(0o755)).unwrap();
    let output = sandbox.program(tool("sh"), ["-c", command]).run().expect_code(0);
    let passphrase = sandbox.home().join(".config/ollama-auth.passphrase");
    let given = format!("{} keys rotate --all --max-age 60d --quiet\n", passphrase.display());
    assert_eq!(output.stdout(), given);
}

/// A stand-in for `gh` that says what it was given, and its standard input into a file.
fn with_gh(sandbox: &Sandbox) -> String {
    let stub = "#!/bin/sh\necho \"$@\" \"[${OLLAMA_API_KEY-}]\"\nexec cat >\"$HOME/given\"\n";
    let stub = sandbox.write("bin/gh", stub);
    fs::set_permissions(stub, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").unwrap())
}

#[test]
fn a_key_goes_to_github_by_standard_input_only() {
    let sandbox = Sandbox::new();
    let path = with_gh(&sandbox);
    let script = file("contrib/deploy/github-secret");
    let deploy = |args: &[&str], stdin: &str| {
        sandbox.program(&script, args).env("PATH", &path).env("OLLAMA_API_KEY", KEY).stdin(stdin).run()
    };
    let output = deploy(&["me/it", "ci"], &format!("{KEY}\n")).expect_code(0);
    assert_eq!(output.stdout(), "secret set OLLAMA_API_KEY --repo me/it --env ci []\n");
    assert_eq!(fs::read_to_string(sandbox.path("home/given")).unwrap(), KEY);
    fs::remove_file(sandbox.path("home/given")).unwrap();
    says(&deploy(&["me/it", "ci"], "").expect_code(1), &["nothing was changed"]);
    deploy(&["me/it"], KEY).expect_code(2);
    assert!(!sandbox.path("home/given").exists(), "no secret is made empty");
}

#[test]
fn a_key_goes_to_gitlab_and_a_refusal_fails() {
    let server = Server::start(|request| {
        let fine = request.header("private-token") == Some("glpat-secret-token");
        if fine { Reply::json(200, "{}") } else { Reply::json(401, r#"{"message":"401 Unauthorized"}"#) }
    });
    let sandbox = Sandbox::new();
    let script = file("contrib/deploy/gitlab-variable");
    let path = std::env::var("PATH").unwrap();
    let deploy = |token: &str, stdin: &str| {
        let token = sandbox.write("home/token", format!("PRIVATE-TOKEN:{token}\n"));
        let command = sandbox.program(&script, ["42", "ci"]).env("PATH", &path).env("GITLAB_TOKEN_FILE", token);
        command.env("GITLAB_URL", server.url()).env("NO_PROXY", "*").stdin(stdin).run()
    };
    let output = deploy("glpat-secret-token", &format!("{KEY}\n")).expect_code(0);
    let requests = server.requests();
    assert_eq!(requests[0].method, "PUT");
    let target = "/api/v4/projects/42/variables/OLLAMA_API_KEY?filter%5Benvironment_scope%5D=ci";
    assert_eq!(requests[0].target, target);
    let body = requests[0].text();
    for part in [format!("name=\"value\"\r\n\r\n{KEY}\r\n"), "name=\"masked\"\r\n\r\ntrue\r\n".to_owned()] {
        assert!(body.contains(&part), "{body}");
    }
    sandbox.assert_no_secret(KEY, &[&output], &[]);
    assert_ne!(deploy("wrong", KEY).code(), 0);
    deploy("glpat-secret-token", "\n").expect_code(1);
    assert_eq!(server.requests().len(), 2, "nothing is sent without a key");
}
