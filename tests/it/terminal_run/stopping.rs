//! How it ends when it is interrupted, or when the terminal is closed.

use super::*;

/// The three ways to be asked to stop.
const STOPS: [Option<Signal>; 3] = [None, Some(Signal::INT), Some(Signal::TERM)];

fn stop(terminal: &mut Terminal, how: Option<Signal>) {
    match how {
        None => terminal.send("\x03"),
        Some(signal) => terminal.signal(signal),
    }
}

#[test]
fn stopped_before_the_first_token() {
    for how in STOPS {
        let (sandbox, ollama) = setup();
        answers(&ollama, [Step::Hang]);
        let mut terminal = Terminal::start(&sandbox, &["run", "tiny", "x"]);
        terminal.wait_for(turns);
        ollama.server().wait_requests(2);
        stop(&mut terminal, how);
        let finished = terminal.finish();
        assert_tidy(&finished, 130);
        assert_eq!(finished.screen.trim(), "", "{how:?}");
        ollama.server().wait_disconnects(1);
    }
}

#[test]
fn stopped_in_the_middle_of_an_answer() {
    for options in [&[][..], &["--nowordwrap"], &["--raw"]] {
        for how in STOPS {
            let (sandbox, ollama) = setup();
            answers(&ollama, [think("Hm."), line("half an ans"), Step::Hang]);
            let args = [&["run", "tiny", "x"], options].concat();
            let mut terminal = Terminal::start(&sandbox, &args);
            terminal.wait_text("half an ans");
            stop(&mut terminal, how);
            let finished = terminal.finish();
            assert_tidy(&finished, 130);
            let last = finished.screen.trim_end().lines().last().unwrap().to_owned();
            assert_eq!(last.trim_end_matches("^C"), "half an ans", "{options:?} {how:?}");
            ollama.server().wait_disconnects(1);
        }
    }
}

#[test]
fn stopped_while_it_thinks_the_terminal_is_not_left_faint() {
    let (sandbox, ollama) = setup();
    answers(&ollama, [think("Let me see"), Step::Hang]);
    let mut terminal = Terminal::start(&sandbox, &["run", "tiny", "x"]);
    terminal.wait_text("Let me see");
    terminal.send("\x03");
    let finished = terminal.finish();
    assert_tidy(&finished, 130);
    let text = String::from_utf8_lossy(&finished.raw).into_owned();
    assert!(text.rfind("\x1b[0m") > text.rfind("\x1b[2m"), "{text:?}");
}

#[test]
fn stopped_at_the_end_of_a_line_no_empty_line_is_added() {
    for options in [&[][..], &["--nowordwrap"]] {
        let (sandbox, ollama) = setup();
        answers(&ollama, [line("a whole line\n"), Step::Hang]);
        let terminal = Terminal::start(&sandbox, &[&["run", "tiny", "x"], options].concat());
        terminal.wait_text("a whole line");
        terminal.signal(Signal::INT);
        let finished = terminal.finish();
        assert_tidy(&finished, 130);
        assert!(finished.raw.ends_with(b"a whole line\r\n"), "{:?}", String::from_utf8_lossy(&finished.raw));
    }
}

#[test]
fn stopped_during_a_pull() {
    for how in STOPS {
        let (sandbox, ollama) = setup();
        pulls(&ollama, [layer("aaaaaaaaaaaa1111", 1 << 20), Step::Hang]);
        let mut terminal = Terminal::start(&sandbox, &["run", "tiny", "x"]);
        terminal.wait_text("aaaaaaaaaaaa");
        stop(&mut terminal, how);
        let finished = terminal.finish();
        assert_tidy(&finished, 130);
        assert!(!finished.screen.contains("aaaaaaaaaaaa"), "{}", finished.screen);
        ollama.server().wait_disconnects(1);
    }
}

/// Starts a program in a terminal that can be torn away, which `Terminal` cannot: its reader holds it open.
fn torn_away(sandbox: &Sandbox, program: &str, args: &[&str], when: impl FnOnce()) {
    let pair = native_pty_system().openpty(PtySize::default()).unwrap();
    let mut command = CommandBuilder::new(program);
    command.args(args);
    command.env_clear();
    for (name, value) in sandbox.env() {
        command.env(name, value);
    }
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    when();
    drop(pair.master);
    poll("the end of a program whose terminal is gone", || child.try_wait().unwrap());
}

#[test]
fn no_process_is_left_when_the_terminal_is_closed() {
    let (sandbox, ollama) = setup();
    answers(&ollama, [line("half"), Step::Hang]);
    torn_away(&sandbox, PROGRAM, &["run", "tiny", "x"], || {
        ollama.server().wait_requests(2);
    });
    ollama.server().wait_disconnects(1);
}

#[test]
fn a_program_that_survives_the_hangup_ends_at_the_next_token() {
    let (sandbox, ollama) = setup();
    let tokens = (0..200).flat_map(|_| [line("token "), Step::WaitFor(Gate::new())]);
    // The first gate holds until the terminal is gone; the others are opened one after the other by a thread.
    let steps: Vec<Step> = tokens.collect();
    let gates: Vec<Gate> = steps
        .iter()
        .filter_map(|step| match step {
            Step::WaitFor(gate) => Some(gate.clone()),
            _ => None,
        })
        .collect();
    answers(&ollama, steps);
    let first = gates[0].clone();
    let shell = format!("trap '' HUP; exec '{PROGRAM}' run tiny x");
    let opener = std::sync::Arc::new(std::sync::Mutex::new(None));
    let handle = opener.clone();
    torn_away(&sandbox, "/bin/sh", &["-c", &shell], move || {
        first.wait_reached();
        *handle.lock().unwrap() = Some(std::thread::spawn(move || {
            for gate in gates {
                gate.open();
                std::thread::sleep(Duration::from_millis(10));
            }
        }));
    });
    opener.lock().unwrap().take().unwrap().join().unwrap();
    ollama.server().wait_disconnects(1);
}
