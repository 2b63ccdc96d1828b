//! A host that fails: the conversation is kept, the prompt comes back, `/retry` sends the message again.

use serde_json::json;

use super::{Talk, after, at_prompt, done, enter, leave, say};
use crate::harness::http::{Reply, Step};
use crate::harness::set_clock::SetClock;

fn reply(kind: &str) -> Reply {
    match kind {
        "500" => Reply::json(500, r#"{"error":"model runner has stopped"}"#),
        "503" => Reply::json(503, r#"{"error":"busy"}"#),
        "429" => Reply::retry_after(429, "7"),
        "404" => Reply::json(404, r#"{"error":"model 'tiny' not found"}"#),
        "400" => Reply::json(400, r#"{"error":"\"tiny\" does not support thinking"}"#),
        "403" => Reply::json(403, r#"{"error":"not for you"}"#),
        "401" => Reply::json(401, r#"{"error":"unauthorized"}"#),
        "gone" => Reply::drop_connection(),
        "reset" => Reply::reset_connection(),
        "cut" => Reply::ndjson([say("half an"), Step::Cut]),
        "torn" => Reply::ndjson([say("half an"), Step::send("{\"message\":{\"con"), Step::Reset]),
        "early" => Reply::ndjson([say("half an")]),
        "error inside" => Reply::ndjson([say("half an"), Step::send("{\"error\":\"out of memory\"}\n")]),
        "no JSON" => Reply::ndjson([say("half an"), Step::send("<html>\n")]),
        other => panic!("{other}"),
    }
}

#[test]
fn every_failure_keeps_the_conversation() {
    for (kind, words) in [
        ("500", "model runner has stopped"),
        ("503", "cannot answer now"),
        ("429", "try again in 7 s"),
        ("404", "has no model \"tiny\""),
        ("400", "does not support thinking"),
        ("403", "not for you"),
        ("gone", "ended before an answer came"),
        ("reset", "ended before an answer came"),
        ("cut", "was cut off"),
        ("torn", "was cut off"),
        ("early", "was cut off"),
        ("error inside", "out of memory"),
        ("no JSON", "cannot be understood"),
    ] {
        let talk = Talk::new();
        let mut terminal = talk.open_with(&[], 160, 40);
        enter(&mut terminal, "one");
        talk.ollama.route("POST", "/api/chat", move |_| reply(kind));
        let screen = enter(&mut terminal, "two");
        assert!(screen.contains(words), "{kind}:\n{screen}");
        assert!(screen.contains("/retry sends the message again"), "{kind}:\n{screen}");
        talk.answers([say("there you are"), done()]);
        let screen = enter(&mut terminal, "/retry");
        assert!(screen.contains("there you are"), "{kind}:\n{screen}");
        let said: Vec<_> = talk.last_asked().into_iter().map(|(_, text)| text).collect();
        assert_eq!(said, ["one", "You said: one", "two"], "{kind}");
        leave(terminal);
    }
}

#[test]
fn a_new_message_replaces_one_that_failed() {
    let talk = Talk::new();
    talk.ollama.route("POST", "/api/chat", |_| reply("500"));
    let mut terminal = talk.open();
    enter(&mut terminal, "one");
    talk.answers([say("ok"), done()]);
    enter(&mut terminal, "two");
    assert_eq!(talk.last_asked(), [("user".to_owned(), "two".to_owned())]);
    leave(terminal);
}

#[test]
fn a_server_restart_does_not_end_the_conversation() {
    let talk = Talk::new();
    let mut terminal = talk.open_with(&[], 160, 40);
    enter(&mut terminal, "one");
    // Every request fails, also those of commands.
    for (method, path) in [("POST", "/api/chat"), ("POST", "/api/show"), ("GET", "/api/tags"), ("POST", "/api/create")]
    {
        talk.ollama.route(method, path, |_| Reply::drop_connection());
    }
    for line in ["two", "/show info", "/list", "/load other", "/save mine"] {
        let screen = enter(&mut terminal, line);
        assert!(after(&screen, line).contains("cannot reach"), "{line}:\n{screen}");
    }
    talk.answers([say("back again"), done()]);
    assert!(enter(&mut terminal, "/retry").contains("back again"));
    leave(terminal);
}

#[test]
fn a_start_that_fails_ends_with_its_code() {
    for (status, code) in [(500, 1), (503, 7), (403, 5)] {
        let talk = Talk::new();
        talk.ollama.route("POST", "/api/show", move |_| Reply::json(status, json!({ "error": "no" })));
        let terminal = crate::harness::pty::Terminal::start(&talk.sandbox, &["run", "tiny"]);
        let finished = super::tidy(terminal.finish(), code);
        assert!(!finished.screen.contains(">>>"), "{}", finished.screen);
    }
    let talk = Talk::with_model(json!({ "capabilities": ["embedding"] }));
    let finished = super::tidy(crate::harness::pty::Terminal::start(&talk.sandbox, &["run", "tiny"]).finish(), 2);
    assert!(finished.screen.contains("has no chat mode"), "{}", finished.screen);
}

#[test]
fn a_timeout_gives_the_prompt_back() {
    let mut talk = Talk::new();
    let clock = SetClock::stopped(&mut talk.sandbox);
    talk.answers([say("half an"), Step::Hang]);
    let mut terminal = talk.open_with(&["--timeout", "200ms"], 120, 24);
    terminal.send("one\r");
    terminal.wait_text("half an");
    clock.run();
    terminal.wait_text("nothing more came for 0.2 seconds");
    let screen = at_prompt(&terminal);
    assert!(screen.contains("nothing more came for 0.2 seconds"), "{screen}");
    talk.ollama.server().wait_disconnects(1);
    at_prompt(&terminal);
    leave(terminal);
}

#[test]
fn an_endless_answer_is_stopped_before_it_fills_the_memory() {
    let talk = Talk::new();
    let piece = "x".repeat(2 << 20);
    talk.answers((0..9).map(|_| super::think(&piece)).chain([Step::Hang]));
    let mut terminal = talk.open_with(&["--hidethinking"], 120, 24);
    let screen = enter(&mut terminal, "one");
    assert!(screen.contains("the answer was stopped at 16 MiB"), "{screen}");
    talk.ollama.server().wait_disconnects(1);
    enter(&mut terminal, "/clear");
    talk.answers([say("fine"), done()]);
    assert!(enter(&mut terminal, "two").contains("\nfine\n"));
    leave(terminal);
}
