//! `run` as a person sees it, in a real terminal: wrapping, the spinner, escape sequences that do not act, and how it ends when it
//! is interrupted.

mod stopping;
mod wrapping;

use std::time::Duration;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rustix::process::Signal;
use serde_json::json;
use unicode_width::UnicodeWidthChar;

use crate::harness::cmd::{PROGRAM, Sandbox};
use crate::harness::http::{Gate, Reply, Step};
use crate::harness::ollama::Ollama;
use crate::harness::pty::{Finished, Terminal};
use crate::harness::{contains, poll};

fn setup() -> (Sandbox, Ollama) {
    let (mut sandbox, ollama) = (Sandbox::new(), Ollama::start());
    sandbox.set_env("OLLAMA_HOST", ollama.url());
    (sandbox, ollama)
}

fn line(text: &str) -> Step {
    Step::send(format!("{}\n", json!({ "response": text, "done": false })))
}

fn think(text: &str) -> Step {
    Step::send(format!("{}\n", json!({ "response": "", "thinking": text, "done": false })))
}

fn done() -> Step {
    Step::send("{\"response\":\"\",\"done\":true,\"done_reason\":\"stop\",\"total_duration\":1500000000}\n")
}

/// Answers `generate` with these steps, whatever is asked.
fn answers(ollama: &Ollama, steps: impl IntoIterator<Item = Step>) {
    let steps: Vec<Step> = steps.into_iter().collect();
    ollama.route("POST", "/api/generate", move |_| Reply::ndjson(steps.clone()));
}

/// A model that is not there, and a pull of these steps.
fn pulls(ollama: &Ollama, steps: impl IntoIterator<Item = Step>) {
    let pulled = std::sync::atomic::AtomicBool::new(false);
    ollama.route("POST", "/api/show", move |_| {
        if pulled.swap(true, std::sync::atomic::Ordering::SeqCst) {
            Reply::json(200, r#"{"capabilities":["completion"]}"#)
        } else {
            Reply::json(404, r#"{"error":"model 'tiny' not found"}"#)
        }
    });
    let steps: Vec<Step> = steps.into_iter().collect();
    ollama.route("POST", "/api/pull", move |_| Reply::ndjson(steps.clone()));
}

fn layer(digest: &str, completed: u64) -> Step {
    let status = format!("pulling {}", &digest[..12]);
    let digest = format!("sha256:{digest}");
    let line = json!({ "status": status, "digest": digest, "total": 10 << 20, "completed": completed });
    Step::send(format!("{line}\n"))
}

#[track_caller]
fn assert_tidy(finished: &Finished, code: u32) {
    let screen = &finished.screen;
    assert_eq!(finished.code, code, "{screen}");
    assert!(finished.restored, "echo or line editing is off:\n{screen}");
    assert!(!finished.hidden_cursor, "the cursor is hidden:\n{screen}");
    assert_eq!(
        finished.column,
        0,
        "a prompt would be glued to the text:\n{screen}\n{:?}",
        String::from_utf8_lossy(&finished.raw)
    );
}

const ENGLISH: &str = "The sky is blue because the molecules of the atmosphere scatter the short waves of sunlight far more strongly \
than the long ones, so that blue reaches the eye from every direction.";

fn turns(screen: &str) -> bool {
    screen.chars().any(|c| ('\u{2800}'..='\u{28ff}').contains(&c))
}

#[test]
fn a_spinner_shows_until_the_first_token_and_is_cleared() {
    for headers_first in [true, false] {
        let (sandbox, ollama) = setup();
        let (first, second) = (Gate::new(), Gate::new());
        let (wait, held) = (first.clone(), second.clone());
        ollama.route("POST", "/api/generate", move |_| {
            let answer = [line("first"), Step::WaitFor(held.clone()), line(" second"), done()];
            if headers_first {
                Reply::ndjson([Step::WaitFor(wait.clone())].into_iter().chain(answer))
            } else {
                Reply::ndjson(answer).after(&wait)
            }
        });
        let terminal = Terminal::start(&sandbox, &["run", "tiny", "x"]);
        terminal.wait_for(turns);
        first.open();
        // The second token is not sent yet, and yet the first one is here.
        let screen = terminal.wait_text("first");
        assert_eq!(screen.trim_end(), "first");
        second.open();
        let finished = terminal.finish();
        assert_tidy(&finished, 0);
        assert_eq!(finished.screen.trim_end(), "first second");
    }
}

const ATTACKS: [&str; 13] = [
    "\x1b]0;pwned\x07",
    "\x1b]52;c;cHduZWQ=\x07",
    "\x1b]8;;https://evil.example\x1b\\",
    "\x1b[2J",
    "\x1b[10;10H",
    "\x1b[5A\x1b[K",
    "\x1b[?1049h",
    "\x1b[?25l",
    "\x1bc",
    "\x1bP1$r\x1b\\",
    "\u{9b}2J",
    "\u{9d}0;pwned\u{9c}",
    "\u{202e}\u{2066}",
];

#[test]
fn escape_sequences_of_a_model_are_shown_and_do_not_act() {
    for attack in ATTACKS {
        for split in [false, true] {
            let (sandbox, ollama) = setup();
            let pieces: Vec<String> =
                if split { attack.chars().map(String::from).collect() } else { vec![attack.to_owned()] };
            let steps = [line("above\nbefore ")].into_iter().chain(pieces.iter().map(|text| line(text)));
            answers(&ollama, steps.chain([line(" after"), done()]));
            let terminal = Terminal::start(&sandbox, &["run", "tiny", "x"]);
            terminal.wait_exit();
            terminal.wait_text("after");
            assert!(!terminal.look(vt100::Screen::alternate_screen));
            let finished = terminal.finish();
            assert_tidy(&finished, 0);
            let rows: Vec<&str> = finished.screen.lines().collect();
            assert_eq!(rows[0], "above", "{attack:?}\n{}", finished.screen);
            assert!(rows[1].starts_with("before ") && rows[1].ends_with(" after"), "{attack:?}\n{}", finished.screen);
            assert!(rows[1].contains("^[") || rows[1].contains("\\u{"), "{attack:?}\n{}", finished.screen);
            assert!(!contains(&finished.raw, attack.as_bytes()), "{attack:?}");
            for sequence in ["\x1b]", "\x1bP", "\x1bc", "\x1b[2J", "\x1b[?1049h", "\u{9b}", "\u{9d}", "\u{202e}"] {
                assert!(!contains(&finished.raw, sequence.as_bytes()), "{attack:?} let {sequence:?} through");
            }
        }
    }
}

#[test]
fn raw_lets_a_model_s_sequences_through() {
    let (sandbox, ollama) = setup();
    answers(&ollama, [line("\x1b[1mbold\x1b[0m \x1b]0;title\x07end"), done()]);
    let terminal = Terminal::start(&sandbox, &["run", "tiny", "x", "--raw"]);
    terminal.wait_text("end");
    assert!(terminal.look(|screen| screen.cell(0, 0).unwrap().bold()));
    let finished = terminal.finish();
    assert_tidy(&finished, 0);
    assert!(contains(&finished.raw, b"\x1b]0;title\x07"));
}

#[test]
fn thinking_is_framed_and_faint_and_ends() {
    let (sandbox, ollama, gate) = (Sandbox::new(), Ollama::start(), Gate::new());
    let mut sandbox = sandbox;
    sandbox.set_env("OLLAMA_HOST", ollama.url());
    answers(&ollama, [think("Let me see"), Step::WaitFor(gate.clone()), line("Yes."), done()]);
    let terminal = Terminal::start(&sandbox, &["run", "tiny", "x"]);
    terminal.wait_text("Thinking...\nLet me see");
    assert!(terminal.look(|screen| screen.cell(1, 0).unwrap().dim()));
    gate.open();
    terminal.wait_text("Yes.");
    assert!(terminal.look(|screen| !screen.cell(4, 0).unwrap().dim()));
    let finished = terminal.finish();
    assert_tidy(&finished, 0);
    assert_eq!(finished.screen.trim_end(), "Thinking...\nLet me see\n...done thinking.\n\nYes.");
    let terminal = Terminal::start(&sandbox, &["run", "tiny", "x", "--hidethinking"]);
    assert_eq!(terminal.finish().screen.trim_end(), "Yes.");
    // Colour off: the frame says it all.
    let terminal = Terminal::start(&sandbox, &["run", "tiny", "x", "--color", "never"]);
    let finished = terminal.finish();
    assert!(!contains(&finished.raw, b"\x1b[2m") && finished.screen.contains("...done thinking."));
}

#[test]
fn timings_follow_the_answer() {
    let (sandbox, ollama) = setup();
    answers(&ollama, [line("Yes."), done()]);
    let finished = Terminal::start(&sandbox, &["run", "tiny", "x", "--verbose"]).finish();
    assert_tidy(&finished, 0);
    assert_eq!(finished.screen.trim_end(), "Yes.\n\ntotal duration:       1.5s");
}

#[test]
fn a_pull_shows_its_layers_and_then_makes_room_for_the_answer() {
    let (sandbox, ollama) = setup();
    let (first, second) = (Gate::new(), Gate::new());
    pulls(
        &ollama,
        [
            Step::send("{\"status\":\"pulling manifest\"}\n"),
            Step::WaitFor(first.clone()),
            layer("aaaaaaaaaaaa1111", 1 << 20),
            layer("bbbbbbbbbbbb2222", 5 << 20),
            Step::WaitFor(second.clone()),
            layer("aaaaaaaaaaaa1111", 10 << 20),
            layer("bbbbbbbbbbbb2222", 10 << 20),
            Step::send("{\"status\":\"verifying sha256 digest\"}\n{\"status\":\"success\"}\n"),
        ],
    );
    answers(&ollama, [line("Yes."), done()]);
    let terminal = Terminal::start(&sandbox, &["run", "tiny", "x"]);
    terminal.wait_for(|screen| screen.contains("pulling manifest"));
    first.open();
    let screen = terminal.wait_for(|screen| screen.contains("bbbbbbbbbbbb") && screen.contains("5.00 MiB"));
    let rows: Vec<&str> = screen.lines().collect();
    assert!(rows[0].starts_with("aaaaaaaaaaaa") && rows[0].contains("1.00 MiB/10.00 MiB"), "{screen}");
    assert!(rows[1].contains('#') && rows[1].contains("/s"), "{screen}");
    second.open();
    let finished = terminal.finish();
    assert_tidy(&finished, 0);
    assert_eq!(finished.screen.trim_end(), "Yes.");
}

#[test]
fn bars_fit_a_narrow_terminal() {
    for columns in [40, 20] {
        let (sandbox, ollama) = setup();
        let gates: Vec<Gate> = (0..4).map(|_| Gate::new()).collect();
        let steps = gates.iter().zip(1..).flat_map(|(gate, n)| {
            [layer("aaaaaaaaaaaa1111", n << 20), layer("bbbbbbbbbbbb2222", n << 20), Step::WaitFor(gate.clone())]
        });
        pulls(&ollama, steps.chain([Step::send("{\"status\":\"success\"}\n")]));
        answers(&ollama, [line("Yes."), done()]);
        let args = ["run", "tiny", "x"];
        let terminal = Terminal::start_sized(&sandbox, &args, columns, 24);
        for (gate, n) in gates.iter().zip(1..) {
            let done = format!("{n}.00 MiB");
            let screen = terminal.wait_for(|screen| screen.replace('\n', "").matches(&done).count() == 2);
            assert_eq!(screen.matches("aaaaaaaaaaaa").count(), 1, "{screen}");
            assert!(columns == 20 || screen.lines().count() == 2, "two layers, two lines:\n{screen}");
            gate.open();
        }
        let finished = terminal.finish();
        assert_tidy(&finished, 0);
        assert_eq!(finished.screen.trim_end(), "Yes.");
    }
}

#[test]
fn a_piped_answer_is_raw_while_the_terminal_shows_the_spinner() {
    let (sandbox, ollama, gate) = (Sandbox::new(), Ollama::start(), Gate::new());
    let mut sandbox = sandbox;
    sandbox.set_env("OLLAMA_HOST", ollama.url());
    let text = format!("\x1b[31m{ENGLISH}\u{202e}\r");
    answers(&ollama, [Step::WaitFor(gate.clone()), line(&text), done()]);
    let shell = format!("'{PROGRAM}' run tiny x > '{}'", sandbox.path("answer").display());
    let terminal = Terminal::start_program(&sandbox, "/bin/sh", &["-c", &shell], 40, 24);
    terminal.wait_for(turns);
    gate.open();
    let finished = terminal.finish();
    assert_tidy(&finished, 0);
    assert_eq!(finished.screen.trim(), "");
    assert_eq!(std::fs::read_to_string(sandbox.path("answer")).unwrap(), format!("{text}\n\n"));
}

#[test]
fn a_missing_prompt_is_explained() {
    let (sandbox, ollama) = setup();
    // Where somebody can be asked, a conversation begins: see `chat`.
    let finished = Terminal::start(&sandbox, &["run", "tiny", "--no-input"]).finish();
    assert_tidy(&finished, 2);
    assert!(
        finished.screen.contains("no prompt") && finished.screen.contains("ollama-auth run tiny \""),
        "{}",
        finished.screen
    );
    assert!(ollama.server().seen().is_empty());
}

#[test]
fn an_error_in_the_middle_stands_on_a_line_of_its_own() {
    for options in [&[][..], &["--nowordwrap"], &["--raw"]] {
        let (sandbox, ollama) = setup();
        answers(&ollama, [line("half an ans"), Step::send("{\"error\":\"out\\u001b[2J of\\nmemory\\u202e\"}\n")]);
        let finished = Terminal::start(&sandbox, &[&["run", "tiny", "x"], options].concat()).finish();
        assert_tidy(&finished, 1);
        let rows: Vec<&str> = finished.screen.lines().collect();
        assert_eq!(rows[0], "half an ans", "{}", finished.screen);
        assert!(rows[1].contains("out^[[2J of\\nmemory\\u{202e}"), "{}", finished.screen);
    }
}

#[test]
fn names_and_errors_of_a_server_are_harmless() {
    let evil = "no\u{1b}]0;pwned\u{7}\u{1b}[2J\n\u{202e}such";
    for (status, code) in [(404, 3), (401, 4), (403, 5), (500, 1), (503, 7)] {
        let (sandbox, ollama) = setup();
        ollama.route("POST", "/api/show", move |_| Reply::json(status, json!({ "error": evil })));
        let finished = Terminal::start(&sandbox, &["run", "some-cloud:cloud", "x"]).finish();
        assert_tidy(&finished, code);
        for sequence in ["\x1b]", "\x1b[2J", "\u{202e}", "\x07"] {
            assert!(!contains(&finished.raw, sequence.as_bytes()), "{status}: {sequence:?}");
        }
        assert!(
            finished.screen.contains("some-cloud:cloud") || finished.screen.contains("no^["),
            "{}",
            finished.screen
        );
    }
    // What goes on during a pull is the server's word too.
    let (sandbox, ollama, gate) = (Sandbox::new(), Ollama::start(), Gate::new());
    let mut sandbox = sandbox;
    sandbox.set_env("OLLAMA_HOST", ollama.url());
    let status = format!("{}\n", json!({ "status": evil }));
    let odd = json!({ "status": "pulling", "digest": "sha256:\u{1b}[2J\nabc", "total": 10, "completed": 5 });
    pulls(
        &ollama,
        [
            Step::send(status),
            Step::send(format!("{odd}\n")),
            Step::WaitFor(gate.clone()),
            Step::send("{\"error\":\"\\u001b]0;x\\u0007\"}\n"),
        ],
    );
    let terminal = Terminal::start(&sandbox, &["run", "tiny", "x"]);
    terminal.wait_text("^[[2J");
    gate.open();
    let finished = terminal.finish();
    assert_tidy(&finished, 1);
    assert!(!contains(&finished.raw, b"\x1b]") && !contains(&finished.raw, b"\x07"));
}
