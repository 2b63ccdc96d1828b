//! The stub browser, the sandbox and the pseudo-terminal.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use crate::harness::{
    browser::Behaviour,
    cmd::{Output, Sandbox},
    pty::Terminal,
    signature::TestDevice,
    tool,
};

#[test]
fn browsers_misbehave() {
    let sandbox = Sandbox::new();
    let open = || sandbox.program(sandbox.path("bin/xdg-open"), ["http://127.0.0.1:1/"]);
    let failing = sandbox.browser(Behaviour::Fails);
    open().run().expect_code(1);
    assert_eq!(failing.wait_opened(), "http://127.0.0.1:1/");
    let hanging = sandbox.browser(Behaviour::Hangs);
    let child = open().spawn();
    hanging.wait_opened();
    crate::harness::poll("the stub to hang", || child.cmdline().ends_with(b"\x00600\x00").then_some(()));
    drop(hanging);
    assert_eq!(child.finish().code(), 128 + 9);
    sandbox.browser(Behaviour::Missing);
    assert!(!sandbox.path("bin/xdg-open").exists());
}

#[test]
fn a_sandbox_holds_only_what_it_was_given() {
    let mut sandbox = Sandbox::new();
    sandbox.set_env("GIVEN", "value");
    let output = sandbox.program(tool("env"), [""; 0]).run().expect_code(0);
    let mut names: Vec<_> = output.stdout().lines().map(|l| l.split('=').next().unwrap()).collect();
    names.sort_unstable();
    let wanted =
        "GIVEN HOME LANG PATH TMPDIR TZ XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR XDG_STATE_HOME";
    assert_eq!(names.join(" "), wanted);
    assert!(output.stdout().lines().any(|line| line == "GIVEN=value"));
    // Does the program under test start at all?
    sandbox.command([""; 0]).run();
}

#[test]
fn a_snapshot_hides_what_differs_from_run_to_run() {
    let sandbox = Sandbox::new();
    let key = TestDevice::new(5).key();
    let script =
        format!("echo \"$HOME http://127.0.0.1:4711/x {} {}\"; cat; echo no >&2; exit 3", key.fingerprint, key.encoded);
    let output =
        sandbox.program(tool("sh"), ["-c", &script]).env("PATH", std::env::var_os("PATH").unwrap()).stdin("in\n").run();
    insta::assert_snapshot!(output.snapshot_with(&[("no", "yes")]), @r"
    exit code: 3
    ----- stdout -----
    [SANDBOX]/home http://127.0.0.1:[PORT]/x SHA256:[FINGERPRINT] c3NoLWVkMjU1MTkg[KEY]
    in

    ----- stderr -----
    yes
    ");
}

#[test]
fn a_program_that_hangs_is_killed() {
    let sandbox = Sandbox::new();
    let child =
        sandbox.program(tool("sh"), ["-c", "echo begun; while :; do :; done"]).deadline(Duration::from_secs(5)).spawn();
    let pid = child.pid();
    let panic = catch_unwind(AssertUnwindSafe(|| child.finish())).expect_err("a deadline");
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(text.contains("did not end within 5s\nstdout: \"begun\\n\""), "{text}");
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn the_leak_check_finds_secrets_everywhere() {
    let sandbox = Sandbox::new();
    let found = |output: &Output, allowed: &[&str]| {
        catch_unwind(AssertUnwindSafe(|| {
            sandbox.assert_no_secret("hunter2-hunter2", &[output], allowed);
        }))
        .is_err()
    };
    let echo = |text: &str| sandbox.program(tool("echo"), [text]).run();
    let clean = echo("nothing");
    assert!(!found(&clean, &[]));
    assert!(found(&echo("a hunter2-hunter2 b"), &[]));
    assert!(found(&echo("aHVudGVyMi1odW50ZXIy"), &[]), "base64");
    sandbox.write("home/.config/x/y", "key = hunter2-hunter2");
    assert!(found(&clean, &[]));
    assert!(!found(&clean, &["home/.config/x"]));
    let child = sandbox.program(tool("sleep"), ["60"]).env("TOKEN", "t-1").spawn();
    crate::harness::poll("sleep to start", || child.cmdline().ends_with(b"\x0060\x00").then_some(()));
    assert!(crate::harness::contains(&child.environ(), b"TOKEN=t-1"));
}

#[test]
fn a_terminal_shows_types_and_resizes() {
    let mut sandbox = Sandbox::new();
    sandbox.set_env("PATH", std::env::var_os("PATH").unwrap());
    let script = "trap 'stty size' WINCH; stty size; printf '\\033[1mask\\033[0m '; \
                  while ! read -r -t 0.1 line; do :; done; echo got:$line; exit 7";
    let sh = tool("bash");
    let mut terminal = Terminal::start_program(&sandbox, sh.to_str().unwrap(), &["-c", script], 40, 10);
    let screen = terminal.wait_text("ask");
    assert!(screen.starts_with("10 40\n"), "{screen}");
    assert!(terminal.look(|screen| screen.cell(1, 0).unwrap().bold()));
    terminal.resize(60, 12);
    terminal.wait_text("12 60");
    terminal.send("hello\r");
    let done = terminal.finish();
    assert!(done.screen.contains("got:hello"), "{}", done.screen);
    assert_eq!((done.code, done.restored), (7, true));
    assert!(crate::harness::contains(&done.raw, b"\x1b[1mask"));
}

#[test]
fn a_terminal_left_raw_is_noticed_and_keys_signal() {
    let mut sandbox = Sandbox::new();
    sandbox.set_env("PATH", std::env::var_os("PATH").unwrap());
    let sh = tool("sh");
    let run = |script: &str| Terminal::start_program(&sandbox, sh.to_str().unwrap(), &["-c", script], 80, 24);
    let done = run("stty -echo -icanon").finish();
    assert_eq!((done.code, done.restored), (0, false));
    let mut terminal = run("trap 'echo stopped; exit 130' INT; echo ready; while :; do sleep 1; done");
    terminal.wait_text("ready");
    assert!(terminal.is_restored());
    terminal.send("\x03");
    let done = terminal.finish();
    assert!(done.screen.contains("stopped"), "{}", done.screen);
    assert_eq!(done.code, 130);
}
