//! The examples of every help page: each is run by Bash against a real gateway, or listed here with the reason why not. That
//! all of them are accepted as command lines is checked beside the help itself (src/commands/help.rs).

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::cmd::{PROGRAM, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::http::Reply;
use crate::harness::ollama::Ollama;
use crate::harness::signature::TestDevice;
use crate::harness::tool;

/// Each example in the order in which it is run, and the exit codes that are fine.
const RUN: &[(&str, &[i32])] = &[
    ("ollama-auth signin", &[0]),
    ("ollama-auth signin --host http://127.0.0.1:11435", &[0]),
    ("ollama-auth signin --host https://gpu.example.com --qr", &[0]),
    ("ollama-auth status", &[0]),
    ("ollama-auth status --quiet", &[0]),
    ("ollama-auth status --json", &[0]),
    ("ollama-auth run llama3.2 \"Why is the sky blue?\"", &[0]),
    ("ollama-auth run llama3.2 \"Summarise this:\" --output json <notes.txt", &[0]),
    ("ollama-auth list", &[0]),
    ("ollama-auth list llama", &[0]),
    ("ollama-auth show llama3.2", &[0]),
    ("ollama-auth show llama3.2 --modelfile", &[0]),
    ("ollama-auth ps", &[0]),
    ("ollama-auth ps --json", &[0]),
    ("ollama-auth cp llama3.2 llama-backup", &[0]),
    ("ollama-auth cp llama3.2 ada/tiny", &[0]),
    ("ollama-auth rm llama3.2", &[0]),
    ("ollama-auth rm llama3.2 ada/tiny", &[0]),
    ("ollama-auth keys create ci --model llama3.2", &[0]),
    ("KEY=$(ollama-auth keys create laptop --scope inference)", &[0]),
    ("ollama-auth keys list", &[0]),
    ("ollama-auth keys list --filter env=ci --filter 'problem=*'", &[0]),
    ("ollama-auth keys list --revoked --json", &[0]),
    ("ollama-auth keys rotate ci --deploy ./deploy-key.sh", &[0]),
    ("ollama-auth keys audit", &[0, 8]),
    ("ollama-auth keys audit --fail-on expired,exposed", &[0]),
    ("ollama-auth keys audit --format sarif", &[0, 8]),
    ("ollama-auth keys rotate --all --dry-run", &[0]),
    ("ollama-auth device list", &[0]),
    ("ollama-auth device list --json", &[0]),
    ("ollama-auth device show", &[0]),
    ("ollama-auth device show --host https://gpu.example.com", &[0]),
    ("ollama-auth device export id_ed25519 --no-passphrase", &[0]),
    ("ollama-auth profile list", &[0]),
    ("ollama-auth profile list --json", &[0]),
    ("ollama-auth profile use gpu.example.com", &[0]),
    ("ollama-auth profile use ollama.com", &[0]),
    ("ollama-auth profile show", &[0]),
    ("ollama-auth profile show gpu.example.com", &[0]),
    ("ollama-auth store show", &[0]),
    ("ollama-auth store show --json", &[0]),
    ("ollama-auth store lock", &[0]),
    ("ollama-auth token GET /api/tags --json", &[0]),
    ("ollama-auth api /api/tags", &[0]),
    ("ollama-auth api /api/generate --data @request.json", &[0]),
    ("ollama-auth api /api/version --include", &[0]),
    ("ollama-auth gateway user add ada --role admin", &[0]),
    ("ollama-auth gateway user add bob --email bob@example.com <password.txt", &[0]),
    ("ollama-auth gateway user invite", &[0]),
    ("ollama-auth gateway user invite eve --role maintainer --expires 2d", &[1]),
    ("ollama-auth gateway user invitations", &[0]),
    ("ollama-auth gateway user invitations --json", &[0]),
    ("ollama-auth gateway user uninvite inv_4f2a9c31d07be865", &[3]),
    ("ollama-auth gateway user list", &[0]),
    ("ollama-auth gateway user list --json", &[0]),
    ("ollama-auth gateway user suspend bob --reason \"laptop lost\"", &[0]),
    ("ollama-auth gateway user resume bob", &[0]),
    ("ollama-auth gateway status", &[0]),
    ("ollama-auth gateway status --json", &[0]),
    ("ollama-auth gateway top", &[0]),
    ("ollama-auth gateway top --json", &[0]),
    ("ollama-auth gateway top --end 3f9a1c --reason 'runs since yesterday'", &[3]),
    ("ollama-auth gateway maintenance on --message \"new GPU on Friday, 14:00 UTC\"", &[0]),
    ("ollama-auth gateway maintenance show", &[0]),
    ("ollama-auth gateway maintenance show --json", &[0]),
    ("ollama-auth gateway maintenance on --message \"new GPU\" --refuse --until 2h", &[0]),
    ("ollama-auth gateway maintenance off", &[0]),
    ("ollama-auth gateway user disable bob", &[0]),
    ("ollama-auth gateway user enable bob", &[0]),
    ("ollama-auth gateway user passwd ada <password.txt", &[0]),
    ("ollama-auth gateway user role bob maintainer", &[0]),
    ("ollama-auth gateway user role bob member", &[0]),
    ("ollama-auth gateway user groups bob lab interns", &[1]),
    ("ollama-auth gateway user groups bob --remove interns --reason \"hired\"", &[0]),
    ("ollama-auth gateway user groups bob", &[0]),
    ("ollama-auth gateway user limits bob --limit rpm=30 --limit streams=1", &[0]),
    ("ollama-auth gateway user limits bob --clear --reason \"deadline\"", &[0]),
    ("ollama-auth gateway user addresses bob --allow 10.0.0.0/8,2001:db8::/32 --reason \"office and VPN\"", &[0]),
    ("ollama-auth gateway user addresses bob --clear", &[0]),
    ("ollama-auth gateway device add \"$(cat server.pub)\" --user bob --name build-server", &[0]),
    ("ollama-auth gateway device list", &[0]),
    ("ollama-auth gateway device list --user bob", &[0]),
    ("ollama-auth gateway device list --user bob --json", &[0]),
    ("ollama-auth gateway key list", &[0]),
    ("ollama-auth gateway key list --user bob", &[0]),
    ("ollama-auth gateway key list --user bob --revoked --json", &[0]),
    ("ollama-auth gateway user remove bob --yes", &[0]),
    ("ollama-auth gateway usage", &[0]),
    ("ollama-auth gateway usage --by person,model --since 2026-11-01 --until 2026-12-01 --csv", &[0]),
    ("ollama-auth gateway usage --user ada --by hour,key --since 1d", &[0]),
    ("ollama-auth gateway audit", &[0]),
    ("ollama-auth gateway audit --user ada --action key --since 1d", &[0]),
    ("ollama-auth gateway audit verify", &[0]),
    ("ollama-auth gateway audit key", &[0]),
    ("ollama-auth gateway audit key --create audit.key", &[0]),
    ("ollama-auth gateway audit checkpoint >>checkpoints.txt", &[0]),
    ("ollama-auth gateway audit verify --checkpoints checkpoints.txt", &[0]),
    ("ollama-auth gateway audit export events.jsonl", &[0]),
    ("ollama-auth gateway audit export --user ada | jq -r .action", &[0]),
    ("ollama-auth gateway audit verify events.jsonl --checkpoints checkpoints.txt", &[0]),
    ("ollama-auth gateway audit prove --from 1 >consistency.proof", &[0]),
    ("ollama-auth gateway audit rotate-key", &[0]),
    ("ollama-auth gateway audit checkpoint --now", &[0]),
    ("ollama-auth gateway audit rotate-key --finish", &[0]),
    ("ollama-auth gateway audit prove 0 --record event.json >event.proof", &[0]),
    ("ollama-auth gateway audit new-log --reason \"disk failed, backup restored\"", &[0]),
    ("ollama-auth gateway db backup backup.db", &[0]),
    ("ollama-auth gateway db backup gateway-backup.db", &[0]),
    ("ollama-auth gateway db copy backup.db restored.db", &[0]),
    ("ollama-auth gateway db copy backup.db gateway/gateway.db", &[0]),
    ("ollama-auth gateway init", &[0]),
    ("ollama-auth gateway policy check gateway.toml", &[0]),
    ("ollama-auth gateway policy check gateway.toml --json", &[0]),
    ("ollama-auth gateway policy explain --user ada --route 'POST /api/chat' --model llama3.2", &[0]),
    ("ollama-auth gateway policy explain --user ada --route 'GET /api/tags' --json", &[0]),
    ("ollama-auth gateway policy show", &[0]),
    ("ollama-auth gateway policy show --json", &[0]),
    ("ollama-auth gateway workload list", &[0]),
    ("ollama-auth gateway workload list --json", &[0]),
    // No rule is for the issuer of the token.
    ("ollama-auth gateway workload explain token.jwt", &[4]),
    ("ollama-auth gateway workload explain token.jwt --json", &[4]),
    ("ollama-auth doctor", &[0, 8]),
    ("ollama-auth doctor --offline --json", &[0, 8]),
    ("ollama-auth help keys create", &[0]),
    ("ollama-auth help environment", &[0]),
    ("ollama-auth version", &[0]),
    ("source <(ollama-auth completions bash)", &[0]),
    ("ollama-auth completions zsh >_ollama-auth", &[0]),
    ("ollama-auth completions fish >ollama-auth.fish", &[0]),
    ("ollama-auth man man1", &[0]),
];

const QUESTION: &str = "asks for confirmation, so it needs a terminal";
const SERVICE: &str = "runs until it is stopped";
const SECRET: &str = "needs a secret of its own; the tests of the command run it";

/// The others, and why they are not run here.
const NOT_RUN: &[(&str, &str)] = &[
    ("ollama-auth gateway audit --follow --action key", "goes on until it is interrupted"),
    ("ollama-auth quickstart", "opens a browser; tests/it/quickstart.rs runs it"),
    ("ollama-auth quickstart --yes \"Why is the sea salty?\"", "tests/it/quickstart.rs runs it"),
    ("ollama-auth run gpt-oss:120b-cloud \"Why is the sky blue?\"", "needs ollama.com"),
    ("ollama-auth run llama3.2", "a conversation needs a terminal"),
    ("ollama-auth usage", "needs ollama.com"),
    ("ollama-auth usage --range 30d --team", "needs ollama.com"),
    ("ollama-auth pull llama3.2", "needs a registry"),
    ("ollama-auth pull llama3.2 --timeout 1m", "needs a registry"),
    ("ollama-auth push ada/tiny", "needs a registry"),
    ("ollama-auth stop llama3.2", "nothing is loaded in the recorded server"),
    ("printenv OLLAMA_API_KEY | ollama-auth signin --with-api-key", SECRET),
    ("ollama-auth token", SECRET),
    ("ollama-auth keys import --name laptop", SECRET),
    ("ollama-auth keys import --no-verify <key.txt", SECRET),
    ("ollama-auth keys revoke --key-stdin --yes <leaked.txt", SECRET),
    (
        "ollama-auth keys create build --from-oidc --host https://gpu.example.com",
        "needs an OIDC token; tests/it/job_tokens runs it",
    ),
    (
        "ollama-auth keys create ci --model llama3.2 --limit tokens-per-day=1M",
        "the name is used by the first example of keys",
    ),
    ("ollama-auth keys rotate ci --max-age 30d --env-file app.env", "the key is not 30 days old"),
    ("ollama-auth keys revoke ci", QUESTION),
    ("ollama-auth keys forget", QUESTION),
    ("ollama-auth keys forget --profile gpu.example.com --yes", "no API key is stored here"),
    ("ollama-auth signout", QUESTION),
    ("ollama-auth signout --all --yes", "would end the sign-in that the others use"),
    ("ollama-auth device import", "needs a key of stock Ollama"),
    ("ollama-auth device import id_ed25519 --device-name build-server", "would replace the device key"),
    ("ollama-auth device export backup_ed25519", "asks for a passphrase, so it needs a terminal"),
    ("ollama-auth device rotate", "waits for an approval"),
    ("ollama-auth device rotate --qr --yes", "waits for an approval"),
    ("ollama-auth device revoke", QUESTION),
    ("ollama-auth device revoke \"$(cat lost_device.pub)\" --yes", "needs a second device"),
    ("ollama-auth profile remove gpu.example.com", QUESTION),
    ("ollama-auth profile remove gpu.example.com --yes", "would delete the profile that the others use"),
    ("ollama-auth store move --to file", "asks for a passphrase, so it needs a terminal"),
    (
        "ollama-auth store move --to file --passphrase-file passphrase.txt",
        "would need the passphrase in every later run",
    ),
    ("ollama-auth store move --to keyring --all", "needs a keyring"),
    ("ollama-auth exec -- claude --model qwen3-coder", SECRET),
    ("ollama-auth exec --host https://gpu.example.com -- ollama launch codex", SECRET),
    ("eval \"$(ollama-auth exec --print)\"", SECRET),
    ("ollama-auth proxy", SERVICE),
    ("ollama-auth proxy --token-file token.txt --allow-origin http://localhost:3000", SERVICE),
    ("ollama-auth gateway serve", SERVICE),
    (
        "ollama-auth gateway serve --public-url https://gpu.example.com --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem",
        SERVICE,
    ),
    ("ollama-auth gateway serve --config gateway.toml --set max-connections=500", SERVICE),
    ("ollama-auth gateway serve --config gateway.toml", SERVICE),
    ("ollama-auth gateway user add ada", "the account exists already"),
    ("ollama-auth gateway user passwd ada", "asks for a password, so it needs a terminal"),
    (
        "ollama-auth gateway approve --user ada SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4",
        "the device with that fingerprint does not exist",
    ),
    (
        "ollama-auth gateway approve --user ada --device-name build-server SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4",
        "the device with that fingerprint does not exist",
    ),
    ("ollama-auth gateway device disconnect SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4", QUESTION),
    (
        "ollama-auth gateway device disconnect --yes SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4",
        "the device with that fingerprint does not exist",
    ),
    (
        "ollama-auth gateway device suspend SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4",
        "the device with that fingerprint does not exist",
    ),
    (
        "ollama-auth gateway device suspend --reason \"laptop lost\" SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4",
        "the device with that fingerprint does not exist",
    ),
    (
        "ollama-auth gateway device resume SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4",
        "the device with that fingerprint does not exist",
    ),
    ("ollama-auth gateway key suspend ci --user bob --reason \"seen in a log\"", "the key does not exist"),
    ("ollama-auth gateway key suspend key_4ZtT5kQGzNcGqYtVdYfG", "the key does not exist"),
    ("ollama-auth gateway key resume ci --user bob", "the key does not exist"),
    (
        "ollama-auth gateway policy explain --key key_4ZtT5kQGzNcGqYtVdYfG --route 'POST /api/chat' --model llama3.2 --from 10.0.0.7",
        "the key with that id does not exist",
    ),
    ("ollama-auth gateway user remove bob", QUESTION),
    ("ollama-auth gateway key revoke ci --user bob", QUESTION),
    ("ollama-auth gateway key revoke key_4ZtT5kQGzNcGqYtVdYfG --yes", "the key with that id does not exist"),
    (
        "ollama-auth gateway db backup gateway-backup.db --json --database postgres://gate@db.example.com/gateway",
        "needs a PostgreSQL server",
    ),
    (
        "ollama-auth gateway db copy gateway/gateway.db postgres://gate@db.example.com/gateway --to-password-file password",
        "needs a PostgreSQL server",
    ),
    ("ollama-auth man | man -l -", "needs a viewer of manual pages"),
];

/// The examples of a command's page and of those below it.
fn examples(path: &[&str], found: &mut BTreeSet<String>) {
    let output = Sandbox::new().command(path).args(["--help"]).run().expect_code(0);
    let page = output.stdout();
    let (_, part) = page.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{path:?} has no examples"));
    let part = part.split("\nOptions that every").next().unwrap().replace("\\\n", "");
    for line in part.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        found.insert(line.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    // The first page has its commands in groups, the others have one list.
    let lists = if path.is_empty() { page } else { page.split_once("\nCommands:\n").map_or("", |(_, list)| list) };
    let topics = ["options", "environment", "exit-codes"];
    for line in lists.lines().skip_while(|line| path.is_empty() && !line.starts_with("Sign in:")) {
        let name = line.strip_prefix("  ").and_then(|line| line.split(' ').next()).unwrap_or_default();
        if line.starts_with("Examples:") || (line.is_empty() && !path.is_empty()) {
            break;
        }
        if name.starts_with(|c: char| c.is_ascii_lowercase()) && !topics.contains(&name) {
            examples(&[path, &[name]].concat(), found);
        }
    }
}

#[test]
fn every_example_is_run_or_has_a_reason() {
    let mut found = BTreeSet::new();
    examples(&[], &mut found);
    let listed: BTreeSet<String> = RUN
        .iter()
        .map(|(example, _)| *example)
        .chain(NOT_RUN.iter().map(|(example, _)| *example))
        .map(str::to_owned)
        .collect();
    assert_eq!(listed.difference(&found).collect::<Vec<_>>(), Vec::<&String>::new(), "no longer in the help");
    assert_eq!(found.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new(), "not listed in this test");
}

#[test]
fn the_examples_work() {
    let ollama = Ollama::start();
    ollama.replay_always("generate");
    ollama.route("DELETE", "/api/delete", |_| Reply::new(200, "")).route("POST", "/api/copy", |_| Reply::new(200, ""));
    let gateway = Gateway::start(&ollama.url());
    gateway.add_user("eve", "admin");
    let mut device = gateway.device_of("eve");
    crate::harness::poll("a checkpoint", || {
        let command = gateway.sandbox().command(["gateway", "audit", "checkpoint", "--database"]);
        (command.args([gateway.database()]).run().code() == 0).then_some(())
    });
    let programs = Path::new(PROGRAM).parent().unwrap();
    device.set_env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
    device.set_env("OLLAMA_AUTH_GATEWAY_DATABASE", gateway.database());
    device.write("home/notes.txt", "The sky is blue.");
    device.write("home/request.json", r#"{"model":"tiny","prompt":"hi","stream":false}"#);
    device.write("home/token.jwt", "eyJhbGciOiJub25lIn0.e30.");
    device.write("home/password.txt", "another horse battery\n");
    device.write("home/server.pub", format!("{} root@server\n", TestDevice::new(7).key().line));
    let script = device.write("home/deploy-key.sh", "#!/bin/sh\ncat >/dev/null\n");
    std::fs::set_permissions(script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let (url, profile) = (gateway.url(), gateway.address());
    let mut wrong = Vec::new();
    for (example, codes) in RUN {
        let line = example
            .replace("https://gpu.example.com", &url)
            .replace("http://127.0.0.1:11435", &url)
            .replace("use ollama.com", &format!("use {profile}"))
            .replace("gpu.example.com", &profile)
            .replace("llama3.2", "tiny");
        let mut command = device.program(tool("bash"), ["-c", &line]);
        if example.contains("user add ada") {
            command = command.stdin("correct horse battery\n");
        }
        let output = command.run();
        if !codes.contains(&output.code()) {
            wrong.push(format!("{line}: exit {}\n{}{}", output.code(), output.stdout(), output.stderr()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
