//! An answer on its way: stopped, typed into, resized, framed, counted; and what belongs to a message besides its text.

use std::fs;

use serde_json::json;

use super::{EMPTY, Talk, at_prompt, done, done_with, enter, leave, say, think, wipe};
use crate::harness::contains;
use crate::harness::http::{Gate, Reply, Step};

#[test]
fn ctrl_c_stops_an_answer_and_keeps_what_came() {
    let talk = Talk::new();
    talk.answers([say("half an"), Step::Hang]);
    let mut terminal = talk.open();
    at_prompt(&terminal);
    terminal.send("hello\r");
    terminal.wait_text("half an");
    terminal.send("\x03");
    terminal.wait_text("[stopped]");
    let screen = at_prompt(&terminal);
    assert!(!screen.contains("^C"), "{screen}");
    // The request is over at the host, and the next one has what came.
    talk.ollama.server().wait_disconnects(1);
    talk.answers([say("whole"), done()]);
    enter(&mut terminal, "go on");
    let said: Vec<_> = talk.last_asked().into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, ["hello", "half an", "go on"]);
    leave(terminal);
}

#[test]
fn ctrl_c_before_the_first_word_keeps_the_message_for_a_retry() {
    let (talk, gate) = (Talk::new(), Gate::new());
    let closed = gate.clone();
    talk.ollama.route("POST", "/api/chat", move |_| Reply::ndjson([say("late"), done()]).after(&closed));
    let mut terminal = talk.open();
    at_prompt(&terminal);
    terminal.send("hello\r");
    gate.wait_reached();
    terminal.send("\x03");
    terminal.wait_text("[stopped]");
    talk.answers([say("there you are"), done()]);
    let screen = enter(&mut terminal, "/retry");
    assert!(screen.contains("there you are"), "{screen}");
    assert_eq!(talk.last_asked(), [("user".to_owned(), "hello".to_owned())]);
    leave(terminal);
}

#[test]
fn what_is_typed_into_an_answer_stands_at_the_next_prompt() {
    let (talk, gate) = (Talk::new(), Gate::new());
    talk.answers([say("one "), Step::WaitFor(gate.clone()), say("two"), done()]);
    let mut terminal = talk.open();
    at_prompt(&terminal);
    terminal.send("hello\r");
    terminal.wait_text("one");
    terminal.send("typed meanwhile");
    gate.open();
    let screen = terminal.wait_for(|screen| screen.trim_end().ends_with(">>> typed meanwhile"));
    assert!(screen.contains("\none two\n\n>>> typed meanwhile"), "{screen}");
    terminal.send(", and more\r");
    at_prompt(&terminal);
    assert_eq!(talk.last_asked().last().unwrap().1, "typed meanwhile, and more");
    leave(terminal);
}

#[test]
fn what_was_typed_outlives_ctrl_c_and_enter_sends_it() {
    let talk = Talk::new();
    talk.answers([say("one "), Step::Hang]);
    let mut terminal = talk.open();
    at_prompt(&terminal);
    terminal.send("hello\r");
    terminal.wait_text("one");
    terminal.send("next\r\x1b[200~a\rb\x1b[201~");
    talk.answers([say("two"), done()]);
    terminal.send("\x03");
    terminal.wait_for(|screen| screen.contains("two") && screen.trim_end().ends_with("\nb"));
    assert_eq!(talk.last_asked().last().unwrap().1, "next");
    terminal.send("\r");
    at_prompt(&terminal);
    assert_eq!(talk.last_asked().last().unwrap().1, "a\nb");
    leave(terminal);
}

#[test]
fn thinking_is_faint_and_framed_and_tool_calls_are_shown() {
    let talk = Talk::with_model(json!({ "capabilities": ["completion", "thinking", "tools"] }));
    let call = json!({ "message": { "role": "assistant", "content": "", "tool_calls": [
        { "function": { "name": "rm", "arguments": { "path": "/" } } }
    ] }, "done": false });
    talk.answers([think("Let me see"), say("Yes."), Step::send(format!("{call}\n")), done()]);
    let mut terminal = talk.open();
    let screen = enter(&mut terminal, "hello");
    assert!(screen.contains("Thinking...\nLet me see\n...done thinking.\n\nYes."), "{screen}");
    assert!(screen.contains("rm {\"path\":\"/\"}"), "{screen}");
    assert!(terminal.look(|screen| screen.cell(2, 0).unwrap().dim() && !screen.cell(5, 0).unwrap().dim()));
    assert_eq!(talk.asked()[0]["think"], true);
    enter(&mut terminal, "/set nothink");
    enter(&mut terminal, "two");
    let asked = talk.asked().pop().unwrap();
    assert_eq!(asked["think"], false);
    assert_eq!(asked["messages"][1]["thinking"], "Let me see");
    assert_eq!(asked["messages"][1]["tool_calls"][0]["function"]["name"], "rm");
    enter(&mut terminal, "/set think high");
    enter(&mut terminal, "three");
    assert_eq!(talk.asked().pop().unwrap()["think"], "high");
    leave(terminal);
}

#[test]
fn thinking_on_a_model_without_it_warns() {
    let talk = Talk::new();
    let mut terminal = talk.open();
    assert!(enter(&mut terminal, "/set think").contains("tiny does not list thinking as a capability"));
    enter(&mut terminal, "one");
    assert_eq!(talk.asked()[0]["think"], true);
    leave(terminal);
}

const WORDS: &str = "The sky is blue because air scatters short waves of light more than long ones.";

#[test]
fn words_wrap_at_every_width_and_at_a_new_one() {
    for columns in [16_u16, 40] {
        let (talk, gate) = (Talk::new(), Gate::new());
        talk.answers([say("first\n"), Step::WaitFor(gate.clone()), say(WORDS), done()]);
        let mut terminal = talk.open_with(&[], 80, 30);
        at_prompt(&terminal);
        terminal.send("x\r");
        terminal.wait_text("first");
        terminal.resize(columns, 30);
        gate.open();
        terminal.wait_for(|screen| screen.contains("ones."));
        let wrapped = terminal.look(|screen| {
            let rows: Vec<String> = screen.rows(0, columns).map(|row| row.trim_end().to_owned()).collect();
            let from = rows.iter().position(|row| row.starts_with("The sky")).unwrap();
            let to = rows.iter().position(|row| row.ends_with("ones.")).unwrap();
            assert!((from..=to).all(|at| !screen.row_wrapped(u16::try_from(at).unwrap())));
            rows[from..=to].join(" ")
        });
        assert_eq!(wrapped, WORDS);
        terminal.send("/bye\r");
        super::tidy(terminal.finish(), 0);
    }
}

#[test]
fn wrapping_can_be_switched_off_and_on() {
    let talk = Talk::new();
    talk.answers([say(WORDS), done()]);
    let mut terminal = talk.open_with(&["--nowordwrap"], 40, 24);
    enter(&mut terminal, "x");
    assert!(terminal.look(|screen| screen.row_wrapped(1)));
    enter(&mut terminal, "/set wordwrap");
    enter(&mut terminal, "/clear");
    wipe(&mut terminal);
    enter(&mut terminal, "x");
    assert!(terminal.look(|screen| !screen.row_wrapped(1)));
    leave(terminal);
}

#[test]
fn timings_and_a_full_window_are_told() {
    let talk = Talk::with_model(json!({
        "capabilities": ["completion"], "model_info": { "llama.context_length": 100 }, "parameters": "temperature 0"
    }));
    let used = |tokens: u64| {
        let counts = json!({ "prompt_eval_count": tokens, "eval_count": 2, "total_duration": 1_500_000_000_u64 });
        [say("ok"), done_with(counts)]
    };
    talk.answers(used(10));
    let mut terminal = talk.open_with(&[], 100, 40);
    let screen = enter(&mut terminal, "one");
    assert!(!screen.contains("total duration") && !screen.contains("window"), "{screen}");
    enter(&mut terminal, "/set verbose");
    assert!(enter(&mut terminal, "two").contains("total duration:       1.5s"));
    talk.answers(used(83));
    assert!(enter(&mut terminal, "three").contains("nearly full (85 of 100 tokens)"));
    assert_eq!(enter(&mut terminal, "four").matches("nearly full").count(), 1);
    assert!(enter(&mut terminal, "/status").contains("85 of 100 tokens"));
    enter(&mut terminal, "/set quiet");
    enter(&mut terminal, "/set parameter num_ctx 1000");
    let screen = enter(&mut terminal, "five");
    assert_eq!((screen.matches("nearly full").count(), screen.matches("total duration").count()), (1, 3), "{screen}");
    leave(terminal);
}

#[test]
fn the_model_s_own_messages_come_first() {
    let talk = Talk::with_model(json!({
        "capabilities": ["completion"],
        "messages": [
            { "role": "system", "content": "unseen" },
            { "role": "user", "content": "Is it day?\u{1b}[2J" },
            { "role": "assistant", "content": "It is." }
        ]
    }));
    let mut terminal = talk.open();
    let screen = at_prompt(&terminal);
    assert!(screen.starts_with(">>> Is it day?^[[2J\nIt is.\n\n>>> Send"), "{screen}");
    enter(&mut terminal, "And now?");
    assert_eq!(talk.last_asked().len(), 4);
    enter(&mut terminal, "/clear");
    enter(&mut terminal, "hello");
    assert_eq!(talk.last_asked().len(), 4);
    leave(terminal);
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\npicture";

#[test]
fn files_are_attached_as_they_are_dropped() {
    let talk = Talk::with_model(json!({ "capabilities": ["completion", "vision", "audio"] }));
    let picture = talk.sandbox.write("home/my picture (1).png", PNG);
    let sound = talk.sandbox.write("home/a.wav", b"RIFF....WAVEfmt ");
    let escaped = picture.to_str().unwrap().replace(' ', "\\ ").replace('(', "\\(").replace(')', "\\)");
    let mut terminal = talk.open_with(&[], 200, 40);
    let cases = [
        format!("{escaped} what is this?"),
        format!("'{}' what is this?", picture.display()),
        format!("\"{}\" what is this?", picture.display()),
        format!("what is this? {}", picture.display()),
    ];
    for line in cases {
        enter(&mut terminal, "/clear");
        enter(&mut terminal, &line);
        let message = talk.asked().pop().unwrap()["messages"][0].clone();
        assert_eq!(message["images"], json!(["iVBORw0KGgpwaWN0dXJl"]), "{line}");
        assert_eq!(message["content"], "what is this?", "{line}");
    }
    enter(&mut terminal, "/clear");
    enter(&mut terminal, &format!("listen {}", sound.display()));
    assert_eq!(talk.asked().pop().unwrap()["messages"][0]["images"].as_array().unwrap().len(), 1);
    // A file that is none of the kind is not sent, and nothing is asked.
    let key = talk.sandbox.write("home/key.png", "-----BEGIN OPENSSH PRIVATE KEY-----");
    let before = talk.asked().len();
    let screen = enter(&mut terminal, &format!("look {}", key.display()));
    assert!(screen.contains("is not a JPEG, PNG or WebP"), "{screen}");
    assert_eq!(talk.asked().len(), before);
    leave(terminal);
}

#[test]
fn a_model_without_vision_gets_no_file() {
    let talk = Talk::new();
    let picture = talk.sandbox.write("home/a.png", PNG);
    let mut terminal = talk.open_with(&[], 200, 24);
    assert!(enter(&mut terminal, &picture.display().to_string()).contains("does not take images or sounds"));
    assert!(talk.asked().is_empty());
    enter(&mut terminal, &format!("see {}", picture.display()));
    let asked = talk.asked().pop().unwrap();
    assert_eq!(asked["messages"][0].get("images"), None);
    assert!(!contains(&terminal.raw(), b"Attached"));
    fs::remove_file(picture).unwrap();
    assert!(at_prompt(&terminal).ends_with(EMPTY));
    leave(terminal);
}
