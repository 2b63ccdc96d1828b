//! However a conversation ends, or is suspended, the terminal is as a shell expects it.

use rustix::process::Signal;

use super::{EMPTY, Talk, at_prompt, say, tidy};
use crate::harness::cmd::PROGRAM;
use crate::harness::contains;
use crate::harness::http::Step;
use crate::harness::pty::Terminal;
use crate::harness::tool;

#[test]
fn a_signal_at_the_prompt_ends_it_tidily() {
    for signal in [Signal::TERM, Signal::HUP, Signal::QUIT] {
        let talk = Talk::new();
        let mut terminal = talk.open();
        at_prompt(&terminal);
        terminal.send("half");
        terminal.wait_text("half");
        assert!(!terminal.is_restored());
        terminal.signal(signal);
        tidy(terminal.finish(), 130);
    }
}

#[test]
fn a_signal_in_an_answer_ends_it_tidily() {
    for signal in [Signal::TERM, Signal::HUP, Signal::QUIT] {
        let talk = Talk::new();
        talk.answers([say("half"), Step::Hang]);
        let mut terminal = talk.open();
        at_prompt(&terminal);
        terminal.send("x\r");
        terminal.wait_text("half");
        terminal.signal(signal);
        tidy(terminal.finish(), 130);
        talk.ollama.server().wait_disconnects(1);
    }
}

#[test]
fn ctrl_c_before_the_first_prompt_ends_the_program() {
    let talk = Talk::new();
    let gate = crate::harness::http::Gate::new();
    let closed = gate.clone();
    talk.ollama.route("POST", "/api/show", move |_| {
        crate::harness::http::Reply::json(200, r#"{"capabilities":["completion"]}"#).after(&closed)
    });
    let mut terminal = Terminal::start(&talk.sandbox, &["run", "tiny"]);
    gate.wait_reached();
    terminal.send("\x03");
    tidy(terminal.finish(), 130);
}

#[test]
fn ctrl_s_does_not_freeze_an_answer() {
    let (talk, gate) = (Talk::new(), crate::harness::http::Gate::new());
    talk.answers([say("half "), Step::WaitFor(gate.clone()), say("whole"), super::done()]);
    let mut terminal = talk.open();
    at_prompt(&terminal);
    terminal.send("x\r");
    terminal.wait_text("half");
    terminal.send("\x13");
    gate.open();
    terminal.wait_text("half whole");
    super::leave(terminal);
}

/// The conversation in a shell with job control.
fn in_a_shell(talk: &Talk) -> Terminal {
    let bash = tool("bash");
    let mut shell =
        Terminal::start_program(&talk.sandbox, bash.to_str().unwrap(), &["--norc", "--noprofile", "-i"], 80, 24);
    shell.send("PS1='shell$ '\r");
    shell.wait_text("shell$ ");
    shell.send(&format!("'{PROGRAM}' run tiny\r"));
    shell.wait_for(|screen| screen.trim_end().ends_with(EMPTY));
    shell
}

/// What the shell's terminal is like.
fn modes(shell: &mut Terminal, mark: &str) -> String {
    let stty = tool("stty");
    shell.send(&format!("{} -a; echo {mark}''end\r", stty.display()));
    let screen = shell.wait_text(&format!("{mark}end"));
    let from = screen.rfind("speed").expect("the modes");
    screen[from..].to_owned()
}

#[track_caller]
fn are_a_shell_s(modes: &str) {
    for wanted in ["icanon", "echo", "isig", "icrnl", "-noflsh"] {
        assert!(modes.split_whitespace().any(|mode| mode == wanted), "{wanted} is missing:\n{modes}");
    }
}

#[test]
fn ctrl_z_at_the_prompt_gives_the_terminal_back_and_fg_goes_on() {
    let talk = Talk::new();
    let mut shell = in_a_shell(&talk);
    shell.send("half\x1a");
    shell.wait_for(|screen| screen.contains("Stopped") && screen.trim_end().ends_with("shell$"));
    let stopped = modes(&mut shell, "a");
    are_a_shell_s(&stopped);
    shell.send("fg\r");
    shell.wait_for(|screen| screen.trim_end().ends_with(">>> half"));
    shell.send(" and on\r");
    shell.wait_text("You said: half and on");
    shell.wait_for(|screen| screen.trim_end().ends_with(EMPTY));
    shell.send("/bye\r");
    shell.wait_for(|screen| screen.trim_end().ends_with("shell$"));
    let left = modes(&mut shell, "b");
    are_a_shell_s(&left);
    shell.send("exit\r");
    assert!(shell.finish().restored);
}

#[test]
fn ctrl_z_in_an_answer_does_the_same() {
    let talk = Talk::new();
    talk.answers([say("half an answer"), Step::Hang]);
    let mut shell = in_a_shell(&talk);
    shell.send("x\r");
    shell.wait_text("half an answer");
    shell.send("\x1a");
    shell.wait_for(|screen| screen.contains("Stopped") && screen.trim_end().ends_with("shell$"));
    let stopped = modes(&mut shell, "a");
    are_a_shell_s(&stopped);
    let named = |raw: &[u8]| -> Vec<usize> {
        raw.windows(8).enumerate().filter(|(_, part)| part == b"run tiny").map(|(at, _)| at).collect()
    };
    let so_far = named(&shell.raw()).len();
    shell.send("fg\r");
    // The shell names the program again, and that takes the terminal.
    shell.wait_raw(|raw| named(raw).get(so_far).is_some_and(|at| contains(&raw[*at..], b"\x1b[?2004h")));
    // What is typed is not echoed again, and Ctrl-C stops the answer.
    shell.send("typed\x03");
    shell.wait_for(|screen| screen.contains("[stopped]") && screen.trim_end().ends_with(">>> typed"));
    shell.send("\x03\x04");
    shell.wait_for(|screen| screen.trim_end().ends_with("shell$"));
    shell.send("exit\r");
    let finished = shell.finish();
    assert!(finished.restored && !contains(&finished.raw, b"typed\r\n[stopped]"));
}
