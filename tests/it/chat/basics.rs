//! The loop: a message and its answer, the first commands, and the way out.

use serde_json::json;

use super::{Talk, after, at_prompt, enter, leave, tidy};
use crate::harness::contains;

#[test]
fn a_message_is_answered_and_the_next_one_carries_the_conversation() {
    let talk = Talk::new();
    let mut terminal = talk.open();
    let screen = enter(&mut terminal, "hello");
    assert!(screen.contains(">>> hello\nYou said: hello\n\n>>> Send"), "{screen}");
    enter(&mut terminal, "again");
    let said = talk.last_asked();
    let said: Vec<_> = said.iter().map(|(role, text)| (role.as_str(), text.as_str())).collect();
    assert_eq!(said, [("user", "hello"), ("assistant", "You said: hello"), ("user", "again")]);
    leave(terminal);
    // The model was loaded beforehand, with nothing to say to it.
    assert_eq!(talk.ollama.server().seen()[..2], ["POST /api/show", "POST /api/generate"]);
}

#[test]
fn the_placeholder_disappears_on_the_first_key_and_returns() {
    let talk = Talk::new();
    let mut terminal = talk.open();
    at_prompt(&terminal);
    assert!(terminal.look(|screen| screen.cell(0, 4).unwrap().dim()));
    terminal.send("x");
    terminal.wait_for(|screen| screen.trim_end() == ">>> x");
    assert!(terminal.look(|screen| !screen.cell(0, 4).unwrap().dim()));
    terminal.send("\x7f");
    at_prompt(&terminal);
    leave(terminal);
}

#[test]
fn there_are_three_ways_out() {
    for keys in ["/bye\r", "/exit\r", "\x04"] {
        let talk = Talk::new();
        let mut terminal = talk.open();
        at_prompt(&terminal);
        terminal.send(keys);
        let finished = tidy(terminal.finish(), 0);
        assert!(!finished.screen.contains("Send a message"), "the hint was left behind:\n{}", finished.screen);
        assert!(talk.asked().is_empty());
    }
}

#[test]
fn ctrl_c_at_the_prompt_explains_and_drops_a_line() {
    let talk = Talk::new();
    let mut terminal = talk.open();
    at_prompt(&terminal);
    terminal.send("\x03");
    terminal.wait_text("Ctrl-D or /bye leaves the conversation.");
    at_prompt(&terminal);
    terminal.send("half a thought\x03");
    let screen = terminal.wait_for(|screen| screen.contains("half a thought\n>>> Send"));
    assert_eq!(screen.matches("leaves the conversation").count(), 1, "{screen}");
    // What is typed right behind it is not lost.
    terminal.send("x\x03whole\r");
    terminal.wait_text("You said: whole");
    leave(terminal);
    assert_eq!(talk.asked().len(), 1);
}

#[test]
fn settings_are_sent_from_then_on() {
    let talk = Talk::new();
    let mut terminal = talk.open_with(&["--option", "seed=7", "--system", "Be kind.", "--keepalive", "5m"], 80, 40);
    enter(&mut terminal, "/set parameter temperature 0.5");
    enter(&mut terminal, "/set parameter stop a b");
    enter(&mut terminal, "/set system You are terse");
    enter(&mut terminal, "/set format json");
    enter(&mut terminal, "one");
    let asked = talk.asked().pop().unwrap();
    assert_eq!(asked["options"], json!({ "seed": 7, "temperature": 0.5, "stop": ["a", "b"] }));
    assert_eq!(asked["format"], "json");
    assert_eq!(asked["keep_alive"], "300s");
    assert_eq!(asked["messages"][0], json!({ "role": "system", "content": "You are terse" }));
    enter(&mut terminal, "/set noformat");
    enter(&mut terminal, "/clear");
    enter(&mut terminal, "two");
    let asked = talk.asked().pop().unwrap();
    assert_eq!(asked.get("format"), None);
    let messages: Vec<_> = talk.last_asked().into_iter().map(|(_, text)| text).collect();
    assert_eq!(messages, ["You are terse", "two"]);
    leave(terminal);
}

#[test]
fn help_works_and_unknown_commands_are_reported() {
    let talk = Talk::new();
    let mut terminal = talk.open_with(&[], 80, 50);
    for (line, shown) in [
        ("/?", "/export FILE"),
        ("/help set", "/set nowordwrap"),
        ("/? show", "/show template"),
        ("/? shortcuts", "Ctrl-G"),
        ("/set", "/set parameter ..."),
        ("/show", "/show license"),
        ("/set parameter", "/set parameter num_ctx <int>"),
        ("/nonsense", "unknown command /nonsense"),
        ("/set nonsense", "unknown command /set nonsense"),
        ("/show nonsense", "unknown command /show nonsense"),
        ("/load", "usage: /load MODEL"),
        ("/set format xml", "usage: /set format json"),
        ("/set parameter temprature 1", "there is no parameter \"temprature\""),
        ("/set parameter num_ctx many", "num_ctx takes a whole number, not \"many\""),
    ] {
        let screen = enter(&mut terminal, line);
        assert!(after(&screen, line).contains(shown), "{line}:\n{screen}");
    }
    assert!(talk.asked().is_empty());
    leave(terminal);
}

#[test]
fn without_a_terminal_there_is_no_conversation() {
    let talk = Talk::new();
    talk.ollama
        .route("POST", "/api/generate", |_| crate::harness::http::Reply::json(200, r#"{"response":"","done":true}"#));
    // No prompt, no terminal: nothing to hold a conversation with.
    let output = talk.sandbox.command(["run", "tiny"]).run();
    assert_eq!(output.code(), 0, "{}", output.snapshot());
    assert!(!contains(output.stdout().as_bytes(), b">>>"));
    assert!(talk.asked().is_empty());
    // A terminal where nothing may be asked.
    let finished =
        tidy(crate::harness::pty::Terminal::start(&talk.sandbox, &["run", "tiny", "--no-input"]).finish(), 2);
    assert!(finished.screen.contains("no prompt given"), "{}", finished.screen);
    let finished =
        tidy(crate::harness::pty::Terminal::start(&talk.sandbox, &["run", "tiny", "--output", "json"]).finish(), 2);
    assert!(finished.screen.contains("no prompt given"), "{}", finished.screen);
}
