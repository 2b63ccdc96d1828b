//! What a model or a server writes never acts on the terminal, and never garbles what follows.

use serde_json::json;

use super::{Talk, at_prompt, done, enter, leave, say, think, wipe};
use crate::harness::contains;
use crate::harness::http::{Reply, Step};

const ATTACKS: [&str; 14] = [
    "\x1b]0;pwned\x07",
    "\x1b]52;c;cHduZWQ=\x07",
    "\x1b]8;;https://evil.example\x1b\\",
    "\x1b[2J",
    "\x1b[10;10H",
    "\x1b[5A\x1b[K",
    "\x1b[?1049h",
    "\x1b[?25l",
    "\x1b[?2004l",
    "\x1bc",
    "\x1bP1$r\x1b\\",
    "\u{9b}2J",
    "\u{9d}0;pwned\u{9c}",
    "\u{202e}\u{2066}",
];

/// What no answer may send to a terminal. The editor and the wrapper move the cursor by other sequences.
const FORBIDDEN: [&str; 11] = [
    "\x1b]",
    "\x1bP",
    "\x1bc",
    "\x1b[2J",
    "\x1b[10;10H",
    "\x1b[5A",
    "\x1b[?1049h",
    "\x1b[?25l",
    "\u{9b}",
    "\u{9d}",
    "\u{202e}",
];

#[test]
fn escape_sequences_are_shown_and_the_next_prompt_is_whole() {
    for split in [false, true] {
        let talk = Talk::new();
        let mut terminal = talk.open();
        at_prompt(&terminal);
        for attack in ATTACKS {
            let pieces: Vec<String> =
                if split { attack.chars().map(String::from).collect() } else { vec![attack.to_owned()] };
            let thoughts = pieces.iter().map(|text| think(text));
            let words = pieces.iter().map(|text| say(text));
            talk.answers(thoughts.chain([say("above\nbefore ")]).chain(words).chain([say(" after"), done()]));
            enter(&mut terminal, "/clear");
            wipe(&mut terminal);
            let screen = enter(&mut terminal, "x");
            let (_, answer) = screen.split_once("above\n").unwrap_or_else(|| panic!("{attack:?}:\n{screen}"));
            let line = answer.lines().next().unwrap();
            assert!(line.starts_with("before ") && line.ends_with(" after"), "{attack:?}:\n{screen}");
            assert!(line.contains("^[") || line.contains("\\u{"), "{attack:?}:\n{screen}");
            assert!(screen.contains("after\n\n>>> Send a message"), "{attack:?}:\n{screen}");
            assert!(terminal.look(|screen| !screen.alternate_screen() && !screen.hide_cursor()), "{attack:?}");
        }
        let finished = leave(terminal);
        for sequence in FORBIDDEN {
            assert!(!contains(&finished.raw, sequence.as_bytes()), "{sequence:?} got through");
        }
    }
}

#[test]
fn an_answer_that_is_stopped_or_cut_in_a_sequence_leaves_nothing_open() {
    let talk = Talk::new();
    let mut terminal = talk.open();
    for end in ["\x1b", "\x1b[", "\x1b]52;c;", "\r", "\u{1f469}\u{200d}"] {
        talk.answers([say(&format!("before {end}")), Step::Cut]);
        let screen = enter(&mut terminal, "x");
        assert!(screen.contains("before") && screen.contains("/retry sends"), "{end:?}:\n{screen}");
        talk.answers([say("fine"), done()]);
        assert!(enter(&mut terminal, "/retry").contains("\nfine\n\n>>> Send"), "{end:?}");
        enter(&mut terminal, "/clear");
    }
    leave(terminal);
}

#[test]
fn what_a_server_says_of_a_model_is_harmless_too() {
    let evil = "\x1b]0;pwned\x07\x1b[2J\u{202e}x";
    let talk = Talk::with_model(json!({
        "capabilities": ["completion", evil], "license": evil, "modelfile": evil, "parameters": evil, "template": evil, "system": evil,
        "messages": [{ "role": "user", "content": evil }, { "role": "assistant", "content": evil }],
    }));
    let mut terminal = talk.open_with(&[], 120, 50);
    for section in ["info", "license", "modelfile", "parameters", "system", "template"] {
        enter(&mut terminal, &format!("/show {section}"));
    }
    for (status, path) in [(500, "/api/chat"), (400, "/api/create")] {
        talk.ollama.route("POST", path, move |_| Reply::json(status, json!({ "error": evil })));
    }
    enter(&mut terminal, "x");
    enter(&mut terminal, "/save mine");
    talk.answers([Step::send(format!("{}\n", json!({ "error": evil })))]);
    enter(&mut terminal, "/retry");
    let finished = leave(terminal);
    for sequence in ["\x1b]", "\x07", "\x1b[2J", "\u{202e}"] {
        assert!(!contains(&finished.raw, sequence.as_bytes()), "{sequence:?} got through");
    }
}

#[test]
fn raw_lets_escape_sequences_through() {
    let talk = Talk::new();
    talk.answers([say("\x1b[1mbold\x1b[0m \x1b]0;title\x07end"), done()]);
    let mut terminal = talk.open_with(&["--raw"], 80, 24);
    enter(&mut terminal, "x");
    assert!(contains(&terminal.raw(), b"\x1b]0;title\x07"));
    assert!(terminal.look(|screen| screen.cell(1, 0).unwrap().bold()));
    leave(terminal);
}

/// It was asked for answers: what stands in the model acts before anybody has said a word.
#[test]
fn raw_is_not_for_the_models_own_messages() {
    let talk = Talk::with_model(json!({
        "capabilities": ["completion"],
        "messages": [{ "role": "user", "content": "a\u{1b}]0;q\u{7}" }, { "role": "assistant", "content": "b\u{1b}]0;r\u{7}" }],
    }));
    let finished = leave(talk.open_with(&["--raw"], 80, 24));
    assert!(!contains(&finished.raw, b"\x1b]0;"));
}

#[test]
fn wide_joined_and_right_to_left_words_leave_the_prompt_whole() {
    let text = "空が青い \u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467} 안녕 שלום עולם e\u{301}nd";
    for columns in [20_u16, 80] {
        let talk = Talk::new();
        talk.answers(text.chars().map(|c| say(&c.to_string())).chain([done()]));
        let mut terminal = talk.open_with(&[], columns, 24);
        terminal.send("x\r");
        terminal.wait_for(|screen| screen.contains("nd\n\n>>> Send a"));
        terminal.send("/bye\r");
        super::tidy(terminal.finish(), 0);
    }
}
