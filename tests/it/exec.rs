//! `exec`: the program gets key and host in its environment and no other secret; signals, terminal and exit code are those of the program.

use rustix::process::Signal;

use crate::given::{PASSPHRASE, says, sign_in, with_store};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{Cmd, PROGRAM, Sandbox};
use crate::harness::pty::Terminal;
use crate::harness::{contains, tool};

const KEY: &str = "a-key-for-a-program-0123456789";

/// A sandbox with a key in its environment, for a host that nothing is sent to.
fn with_key() -> Sandbox {
    let mut sandbox = with_store("plaintext");
    sandbox.set_env("OLLAMA_API_KEY", KEY).set_env("OLLAMA_HOST", "http://127.0.0.1:9");
    sandbox
}

fn sh(sandbox: &Sandbox, script: &str) -> Cmd {
    sandbox.command(["exec", "--"]).args([tool("sh")]).args(["-c", script])
}

#[test]
fn the_environment_has_key_and_host_and_no_other_secret() {
    let (mut sandbox, cloud) = (with_store("file"), Cloud::start());
    cloud.accept_api_key(KEY);
    let host = cloud.url();
    sandbox.command(["signin", "--with-api-key", "--host", &host]).stdin(KEY).run().expect_code(0);
    let before = cloud.server().requests().len();
    sandbox.set_env("CREDENTIALS_DIRECTORY", sandbox.path("run"));
    sandbox.set_env("OLLAMA_AUTH_PASSPHRASE_FILE", "/nowhere");
    sandbox.set_env("OLLAMA_AUTH_GATEWAY_DATABASE", "postgres://gw:hunter2@db/gw");
    sandbox.set_env("KEPT", "yes");
    let output = sandbox.command(["exec", "--"]).args([tool("env")]).run().expect_code(0);
    let lines: Vec<&str> = output.stdout().lines().collect();
    for wanted in [&*format!("OLLAMA_API_KEY={KEY}"), &*format!("OLLAMA_HOST={host}"), "KEPT=yes"] {
        assert!(lines.contains(&wanted), "{wanted}");
    }
    for name in ["OLLAMA_AUTH_PASSPHRASE", "OLLAMA_AUTH_CREDENTIALS", "OLLAMA_AUTH_GATEWAY", "CREDENTIALS_DIRECTORY"] {
        assert!(!lines.iter().any(|line| line.starts_with(name)), "{name}");
    }
    assert!(!output.stdout().contains(PASSPHRASE));
    assert_eq!(cloud.server().requests().len(), before, "the network is not needed");

    // A credentials file is one of ours too.
    let file = sandbox.write("f.json", format!("{{\"host\":\"{host}\",\"key\":\"from-a-file-0123456789\"}}"));
    let command = sandbox.command(["exec", "--"]).args([tool("env")]).env("OLLAMA_AUTH_CREDENTIALS", file);
    let output = command.run().expect_code(0);
    assert!(output.stdout().contains("OLLAMA_API_KEY=from-a-file-0123456789\n"));
    assert!(!output.stdout().contains("OLLAMA_AUTH_CREDENTIALS"));
}

#[test]
fn the_key_is_not_in_arguments_or_output() {
    let sandbox = with_key();
    let child =
        sh(&sandbox, "echo ready; while :; do sleep 0.01; done").args(["-vv"]).env("PATH", "/usr/bin:/bin").spawn();
    child.wait_stdout(|text| text.contains("ready"));
    assert!(!contains(&child.cmdline(), KEY.as_bytes()));
    child.signal(Signal::KILL);
    let output = child.finish().expect_code(137);
    sandbox.assert_no_secret(KEY, &[&output], &[]);
    let output =
        sandbox.command(["-vv", "exec", "nothing-of-that-name"]).env("RUST_LOG", "trace").run().expect_code(127);
    sandbox.assert_no_secret(KEY, &[&output], &[]);
}

#[test]
fn exit_codes_follow_the_program_and_shell_conventions() {
    let sandbox = with_key();
    for code in [0, 1, 3, 4, 42, 130, 255] {
        let output = sh(&sandbox, &format!("exit {code}")).run().expect_code(code);
        assert_eq!((output.stdout(), output.stderr()), ("", ""));
    }
    for (signal, code) in [("TERM", 143), ("KILL", 137), ("INT", 130), ("PIPE", 141)] {
        sh(&sandbox, &format!("kill -{signal} $$; echo survived")).run().expect_code(code);
    }
    says(&sandbox.command(["exec", "nothing-of-that-name"]).run().expect_code(127), &["not found"]);
    sandbox.command(["exec", "/nowhere/at/all"]).run().expect_code(127);
    let file = sandbox.write("no-program", "echo hi");
    says(&sandbox.command(["exec"]).args([&file]).run().expect_code(126), &["cannot run the program"]);
    sandbox.command(["exec"]).args([sandbox.home()]).run().expect_code(126);
    sandbox.command(["exec"]).run().expect_code(2);
    sandbox.command(["exec", "--"]).run().expect_code(2);
}

#[test]
fn arguments_are_passed_unchanged() {
    let sandbox = with_key();
    let echo = tool("echo").to_str().unwrap().to_owned();
    for args in [&["exec", "--"][..], &["exec"]] {
        let output =
            sandbox.command(args).args([&*echo, "--host", "x", "-q", "--", "a b", "--json"]).run().expect_code(0);
        assert_eq!(output.stdout(), "--host x -q -- a b --json\n");
    }
    let output = sh(&sandbox, "cat").stdin("through").env("PATH", "/usr/bin:/bin").run().expect_code(0);
    assert_eq!(output.stdout(), "through");
}

#[test]
fn the_program_replaces_the_process_and_gets_every_signal() {
    let sandbox = with_key();
    for (name, signal) in [
        ("INT", Signal::INT),
        ("TERM", Signal::TERM),
        ("HUP", Signal::HUP),
        ("QUIT", Signal::QUIT),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
        ("WINCH", Signal::WINCH),
    ] {
        let script = format!("trap 'echo got {name}; exit 7' {name}; echo ready $$; while :; do sleep 0.01; done");
        let child = sh(&sandbox, &script).env("PATH", "/usr/bin:/bin").spawn();
        let ready = child.wait_stdout(|text| text.contains('\n'));
        assert_eq!(ready, format!("ready {}\n", child.pid()), "the program is the very process that was started");
        child.signal(signal);
        let output = child.finish().expect_code(7);
        assert!(output.stdout().ends_with(&format!("got {name}\n")), "{}", output.snapshot());
    }
}

#[test]
fn signal_masks_limits_and_descriptors_are_unchanged() {
    let sandbox = with_key();
    let script = "ulimit -S -c; grep -E '^(SigBlk|SigIgn)' /proc/self/status; ls /proc/self/fd | wc -l";
    let path = "/usr/bin:/bin";
    // One parent for both, because descriptors that another test opens at this moment are inherited too.
    let both = "sh -c \"$1\"; echo ==; \"$0\" exec -- sh -c \"$1\"";
    let run = |ignored: &str| {
        let args = ["-c", &*format!("{ignored}{both}"), PROGRAM, script];
        let output = sandbox.program(tool("sh"), args).env("PATH", path).run().expect_code(0);
        let (without, with) = output.stdout().split_once("==\n").unwrap();
        (without.to_owned(), with.to_owned())
    };
    // The C library keeps signals above 31 for itself and says nothing of them.
    let masked = |text: &str| -> Vec<String> {
        let number = |line: &str| Some(u64::from_str_radix(line.split_once(":\t")?.1, 16).unwrap() & 0x7fff_ffff);
        text.lines().map(|line| number(line).map_or(line.to_owned(), |mask| format!("{mask:x}"))).collect()
    };
    // A shell ignores SIGINT and SIGQUIT for a background job, and nohup ignores SIGHUP.
    for ignored in ["", "trap '' INT QUIT; ", "trap '' HUP; ", "trap '' INT QUIT HUP TERM; "] {
        let (without, with) = run(ignored);
        assert_eq!(masked(&with), masked(&without), "{ignored}");
    }
    // Once more with a limit that is not ours.
    let limited = format!("ulimit -S -c 0; exec {PROGRAM} exec -- sh -c 'ulimit -S -c'");
    let output = sandbox.program(tool("sh"), ["-c", &limited]).env("PATH", path).run().expect_code(0);
    assert_eq!(output.stdout(), "0\n");
}

#[test]
fn the_program_controls_the_terminal() {
    let mut sandbox = with_key();
    sandbox.set_env("PATH", "/usr/bin:/bin");
    let script = "test -t 0 && test -t 1 && test -t 2 && echo terminal; trap 'echo resized; stty size' WINCH; \
                  trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.01; done";
    let mut terminal = Terminal::start(&sandbox, &["exec", "--", "sh", "-c", script]);
    terminal.wait_text("ready");
    terminal.resize(100, 30);
    terminal.wait_text("30 100");
    terminal.send("\x03");
    terminal.wait_text("interrupted");
    let end = terminal.finish();
    assert_eq!(end.code, 9);
    assert!(end.restored && end.screen.contains("terminal"), "{}", end.screen);
}

#[test]
fn without_an_api_key_no_program_starts() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let mark = sandbox.path("mark");
    let run = |more: &[&str]| {
        let touch = [tool("touch"), mark.clone()];
        sandbox.command(["exec"]).args(more).args(touch).run()
    };
    let output = run(&["--host", &cloud.url()]).expect_code(4);
    says(&output, &["not signed in to", "signin"]);
    sign_in(&sandbox, &cloud, &[]);
    let output = run(&[]).expect_code(4);
    says(&output, &["is a device key", "keys create NAME --save", "ollama-auth proxy --host http"]);
    let command = sandbox.command(["exec", "--host", "http://lan.invalid"]).args([tool("touch"), mark.clone()]);
    let output = command.env("OLLAMA_API_KEY", KEY).run().expect_code(2);
    says(&output, &["over plain http", "--allow-insecure-http"]);
    assert!(!mark.exists());
}
