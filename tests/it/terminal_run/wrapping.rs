//! Lines are broken between words, at the width that holds when they arrive.

use super::*;

/// The rows that hold something, and that none of them was broken by the terminal's own margin.
#[track_caller]
fn wrapped_rows(terminal: &Terminal, columns: u16) -> Vec<String> {
    terminal.look(|screen| {
        let rows: Vec<String> = screen.rows(0, columns).collect();
        for at in 0..rows.len() {
            let at = u16::try_from(at).unwrap();
            assert!(!screen.row_wrapped(at), "the terminal had to break row {at}:\n{}", screen.contents());
        }
        rows.into_iter().map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
    })
}

/// Words put into lines of at most `columns - 1` (the last column stays free), as a person would by hand.
fn by_hand(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().unwrap();
        if last.is_empty() {
            last.push_str(word);
        } else if last.len() + 1 + word.len() < columns {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Without blanks and without characters of no width, of which the emulator keeps only a few.
fn visible(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && c.width().unwrap_or(0) > 0).collect()
}

#[test]
fn words_wrap_at_the_width_however_they_arrive() {
    for columns in [12_u16, 20, 33, 80, 200] {
        for piece in [1, 3, 7, ENGLISH.len()] {
            let (sandbox, ollama) = setup();
            let pieces: Vec<String> =
                ENGLISH.as_bytes().chunks(piece).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect();
            answers(&ollama, pieces.iter().map(|text| line(text)).chain([done()]));
            let terminal = Terminal::start_sized(&sandbox, &["run", "tiny", "x"], columns, 40);
            terminal.wait_exit();
            terminal.wait_for(|screen| screen.contains("direction."));
            assert_eq!(
                wrapped_rows(&terminal, columns),
                by_hand(ENGLISH, usize::from(columns)),
                "{columns} columns, pieces of {piece}"
            );
            assert_tidy(&terminal.finish(), 0);
        }
    }
}

#[test]
fn wide_and_combining_characters_wrap_by_what_they_show() {
    let text = "空が青いのは、大気の分子が短い波長の光を強く散乱するからです。 Cafe\u{301} nai\u{308}ve re\u{301}sume\u{301} \
                \u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466} \u{1f1e9}\u{1f1ea}\u{1f1eb}\u{1f1f7} \u{2764}\u{fe0f} \
                1\u{fe0f}\u{20e3} \u{1f44d}\u{1f3fd} 하늘은 파랗습니다 fin";
    let characters: Vec<String> = text.chars().map(String::from).collect();
    for columns in [11_u16, 16, 27, 40] {
        for whole in [true, false] {
            let (sandbox, ollama) = setup();
            let pieces = if whole { vec![text.to_owned()] } else { characters.clone() };
            answers(&ollama, pieces.iter().map(|text| line(text)).chain([done()]));
            let terminal = Terminal::start_sized(&sandbox, &["run", "tiny", "x"], columns, 60);
            terminal.wait_exit();
            terminal.wait_for(|screen| screen.contains("fin"));
            let rows = wrapped_rows(&terminal, columns);
            assert_eq!(visible(&rows.concat()), visible(text), "{columns} columns, whole: {whole}");
            assert!(rows.len() > 1);
            assert_tidy(&terminal.finish(), 0);
        }
    }
}

#[test]
fn without_wrapping_the_terminal_breaks_lines() {
    let (sandbox, ollama) = setup();
    answers(&ollama, [line(ENGLISH), done()]);
    let terminal = Terminal::start_sized(&sandbox, &["run", "tiny", "x", "--nowordwrap"], 20, 24);
    terminal.wait_exit();
    terminal.wait_for(|screen| screen.contains("direction."));
    assert!(terminal.look(|screen| screen.row_wrapped(0)));
    let finished = terminal.finish();
    assert_tidy(&finished, 0);
    assert!(contains(&finished.raw, ENGLISH.as_bytes()));
    assert!(finished.raw.ends_with(b"direction.\r\n\r\n"), "{:?}", String::from_utf8_lossy(&finished.raw));
}

#[test]
fn a_new_width_applies_from_the_next_word() {
    let (sandbox, ollama, gate) = (Sandbox::new(), Ollama::start(), Gate::new());
    let mut sandbox = sandbox;
    sandbox.set_env("OLLAMA_HOST", ollama.url());
    answers(&ollama, [line("before\n"), Step::WaitFor(gate.clone()), line(ENGLISH), done()]);
    let terminal = Terminal::start_sized(&sandbox, &["run", "tiny", "x"], 60, 40);
    terminal.wait_text("before");
    terminal.resize(24, 40);
    gate.open();
    terminal.wait_exit();
    terminal.wait_for(|screen| screen.contains("direction."));
    let rows = wrapped_rows(&terminal, 24);
    assert_eq!(rows[0], "before");
    assert_eq!(rows[1..], by_hand(ENGLISH, 24));
    assert_tidy(&terminal.finish(), 0);

    let (sandbox, gate) = (sandbox, Gate::new());
    answers(&ollama, [line("The sky is"), Step::WaitFor(gate.clone()), line(&ENGLISH[10..]), done()]);
    let terminal = Terminal::start_sized(&sandbox, &["run", "tiny", "x"], 24, 40);
    terminal.wait_text("The sky is");
    terminal.resize(50, 40);
    gate.open();
    terminal.wait_exit();
    terminal.wait_for(|screen| screen.contains("direction."));
    assert_eq!(wrapped_rows(&terminal, 50), by_hand(ENGLISH, 50));
}
