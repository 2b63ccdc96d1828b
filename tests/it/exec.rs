//! `exec`: the program gets key and host in its environment and no other secret; signals, terminal and exit code are those of the program.

#[cfg(feature = "gateway")]
mod own_proxy;
mod variables;

use rustix::process::Signal;

use crate::given::{PASSPHRASE, says, with_store};
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

/// Without a proxy, and with one of its own: a program must not notice.
const WAYS: &[&[&str]] = if cfg!(feature = "gateway") { &[&["exec"], &["exec", "--proxy"]] } else { &[&["exec"]] };

fn sh(sandbox: &Sandbox, way: &[&str], script: &str) -> Cmd {
    sandbox.command(way).args(["--"]).args([tool("sh")]).args(["-c", script])
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
    for way in WAYS {
        let script = "echo ready; while :; do sleep 0.01; done";
        let child = sh(&sandbox, way, script).args(["-vv"]).env("PATH", "/usr/bin:/bin").spawn();
        child.wait_stdout(|text| text.contains("ready"));
        assert!(!contains(&child.cmdline(), KEY.as_bytes()));
        assert_eq!(contains(&child.environ(), KEY.as_bytes()), way.len() == 1, "a proxy keeps it to itself");
        child.signal(Signal::KILL);
        let output = child.finish().expect_code(137);
        sandbox.assert_no_secret(KEY, &[&output], &[]);
        let command = sandbox.command(["-vv"]).args(*way).args(["nothing-of-that-name"]);
        let output = command.env("RUST_LOG", "trace").run().expect_code(127);
        sandbox.assert_no_secret(KEY, &[&output], &[]);
    }
}

#[test]
fn exit_codes_follow_the_program_and_shell_conventions() {
    let sandbox = with_key();
    let file = sandbox.write("no-program", "echo hi");
    for way in WAYS {
        for code in [0, 1, 3, 4, 42, 130, 255] {
            let output = sh(&sandbox, way, &format!("exit {code}")).run().expect_code(code);
            assert_eq!((output.stdout(), output.stderr()), ("", ""));
        }
        for (signal, code) in [("TERM", 143), ("KILL", 137), ("INT", 130), ("PIPE", 141)] {
            let output = sh(&sandbox, way, &format!("kill -{signal} $$; echo survived")).run().expect_code(code);
            assert!(output.status.code().is_none(), "a shell sees the signal itself: {:?}", output.status);
        }
        says(&sandbox.command(*way).args(["nothing-of-that-name"]).run().expect_code(127), &["not found", "PATH"]);
        sandbox.command(*way).args(["/nowhere/at/all"]).run().expect_code(127);
        let output = sandbox.command(*way).args([&file]).run().expect_code(126);
        says(&output, &["cannot run the program"]);
        sandbox.command(*way).args([sandbox.home()]).run().expect_code(126);
        sandbox.command(*way).run().expect_code(2);
        sandbox.command(*way).args(["--"]).run().expect_code(2);
    }
}

#[test]
fn a_name_that_is_nearly_right_is_suggested() {
    let sandbox = with_key();
    let claude = sandbox.write("bin/claude", "#!/bin/sh\n");
    std::fs::set_permissions(claude, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    says(&sandbox.command(["exec", "--", "cluade"]).run().expect_code(127), &["did you mean \"claude\"?"]);
    let output = sandbox.command(["exec", "--", "claude --model tiny"]).run().expect_code(127);
    says(&output, &["as separate words"]);
}

#[test]
fn arguments_are_passed_unchanged() {
    let sandbox = with_key();
    let echo = tool("echo").to_str().unwrap().to_owned();
    for way in WAYS {
        for dashes in [&["--"][..], &[]] {
            let args = [&*echo, "--host", "x", "-q", "--", "a b", "--json"];
            let output = sandbox.command(*way).args(dashes).args(args).run().expect_code(0);
            assert_eq!(output.stdout(), "--host x -q -- a b --json\n");
        }
        let output = sh(&sandbox, way, "cat").stdin("through").env("PATH", "/usr/bin:/bin").run().expect_code(0);
        assert_eq!(output.stdout(), "through");
    }
}

#[test]
fn the_program_replaces_the_process_and_gets_every_signal() {
    let sandbox = with_key();
    let signals = [
        ("INT", Signal::INT),
        ("TERM", Signal::TERM),
        ("HUP", Signal::HUP),
        ("QUIT", Signal::QUIT),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
        ("WINCH", Signal::WINCH),
    ];
    for (way, (name, signal)) in WAYS.iter().flat_map(|way| signals.map(|signal| (way, signal))) {
        let script = format!("trap 'echo got {name}; exit 7' {name}; echo ready $$; while :; do sleep 0.01; done");
        let child = sh(&sandbox, way, &script).env("PATH", "/usr/bin:/bin").spawn();
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
    let run = |way: &[&str], ignored: &str| {
        let both = format!("{ignored}sh -c \"$1\"; echo ==; \"$0\" {} -- sh -c \"$1\"", way.join(" "));
        let args = ["-c", &*both, PROGRAM, script];
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
    for way in WAYS {
        for ignored in ["", "trap '' INT QUIT; ", "trap '' HUP; ", "trap '' INT QUIT HUP TERM; "] {
            let (without, with) = run(way, ignored);
            assert_eq!(masked(&with), masked(&without), "{way:?} {ignored}");
        }
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
    for way in WAYS {
        let mut terminal = Terminal::start(&sandbox, &[*way, &["--", "sh", "-c", script]].concat());
        terminal.wait_text("ready");
        terminal.resize(100, 30);
        terminal.wait_text("30 100");
        terminal.send("\x03");
        terminal.wait_text("interrupted");
        let end = terminal.finish();
        assert_eq!(end.code, 9);
        assert!(end.restored && end.screen.contains("terminal"), "{}", end.screen);
    }
}

/// As a person does in a shell: Ctrl-Z, `fg`, and back at the prompt at the end.
#[test]
fn a_shell_can_stop_and_continue_the_program() {
    let mut sandbox = with_key();
    sandbox.set_env("PATH", "/usr/bin:/bin").set_env("P", PROGRAM);
    let bash = tool("bash");
    let mut shell = Terminal::start_program(&sandbox, bash.to_str().unwrap(), &["--norc", "--noprofile", "-i"], 80, 24);
    shell.send("PS1='shell$ '\r");
    for (count, way) in WAYS.iter().enumerate() {
        shell.wait_for(|screen| screen.trim_end().ends_with("shell$"));
        // Only what is printed is without the quotes.
        // A shell that is stopped while it starts another program may never be seen as stopped (vfork).
        let loops = "while :; do :; done";
        let script = format!("trap \"echo went\\\"\\\"on{count}\" CONT; echo began\"\"{count}; {loops}");
        shell.send(&format!("$P {} -- sh -c '{script}'\r", way.join(" ")));
        shell.wait_text(&format!("began{count}"));
        shell.send("\x1a");
        shell
            .wait_for(|screen| screen.matches("Stopped").count() == count + 1 && screen.trim_end().ends_with("shell$"));
        shell.send("fg\r");
        shell.wait_text(&format!("wenton{count}"));
        shell.send("\x03");
        shell.wait_for(|screen| screen.trim_end().ends_with("shell$"));
        shell.send(&format!("echo $?\"\"code{count}\r"));
        shell.wait_text(&format!("130code{count}"));
    }
    shell.send("exit\r");
    assert!(shell.finish().restored);
}

#[test]
fn without_a_credential_no_program_starts() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    let mark = sandbox.path("mark");
    for way in WAYS {
        let touch = || [tool("touch"), mark.clone()];
        let output = sandbox.command(*way).args(["--host", &cloud.url()]).args(touch()).run().expect_code(4);
        says(&output, &["not signed in to", "signin"]);
        let output = sandbox.command(["--json"]).args(*way).args(["--host", &cloud.url()]).args(touch()).run();
        assert_eq!(output.expect_code(4).stderr().lines().count(), 1, "the error is reported once");
        let command = sandbox.command(*way).args(["--host", "http://lan.invalid"]).args(touch());
        let output = command.env("OLLAMA_API_KEY", KEY).run();
        // `proxy` looks for a credential first, and there is none for such a host.
        let output = output.expect_code(if way.len() == 1 { 2 } else { 4 });
        says(&output, &["over plain http", "--allow-insecure-http"]);
    }
    assert!(!mark.exists());
}
