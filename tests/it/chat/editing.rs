//! The line: several lines in one message, pastes, history, search, completion, the editor, odd characters, odd sizes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::json;

use super::{Talk, at_prompt, enter, leave};
use crate::given::mode;
use crate::harness::cmd::Sandbox;
use crate::harness::http::{Gate, Reply};
use crate::harness::{contains, tool};

fn history(talk: &Talk) -> PathBuf {
    talk.sandbox.path("home/.local/state/ollama-auth/history")
}

#[test]
fn quotes_hold_several_lines_together() {
    let talk = Talk::new();
    let mut terminal = talk.open();
    at_prompt(&terminal);
    terminal.send("\"\"\"one\r");
    terminal.wait_for(|screen| screen.trim_end().ends_with("\n..."));
    terminal.send("two\"\"\"\r");
    terminal.wait_text("You said: one\ntwo");
    assert_eq!(talk.last_asked(), [("user".to_owned(), "one\ntwo".to_owned())]);
    // Ctrl-C drops all of it, and does not explain itself then.
    at_prompt(&terminal);
    terminal.send("\"\"\"three\r");
    terminal.wait_for(|screen| screen.trim_end().ends_with("\n..."));
    terminal.send("\x03");
    assert!(!at_prompt(&terminal).contains("leaves the conversation"));
    terminal.send("/set system \"\"\"Be\r");
    terminal.wait_for(|screen| screen.trim_end().ends_with("\n..."));
    terminal.send("brief.\"\"\"\r");
    terminal.wait_text("Set the system message.");
    enter(&mut terminal, "four");
    let asked: Vec<_> = talk.last_asked().into_iter().map(|(_, text)| text).collect();
    assert_eq!(asked, ["one\ntwo", "You said: one\ntwo", "Be\nbrief.", "four"]);
    leave(terminal);
}

#[test]
fn a_paste_is_one_message_that_waits_for_enter() {
    let talk = Talk::new();
    let mut terminal = talk.open();
    at_prompt(&terminal);
    assert!(contains(&terminal.raw(), b"\x1b[?2004h"));
    terminal.send("\x1b[200~/* first\rsecond\r\nthird\x1b[201~");
    terminal.wait_text("third");
    assert!(talk.asked().is_empty());
    terminal.send("!\r");
    terminal.wait_text("You said:");
    assert_eq!(talk.last_asked()[0].1, "/* first\nsecond\nthird!");
    // Alt-Enter does the same by hand.
    at_prompt(&terminal);
    terminal.send("a\x1b\rb\r");
    terminal.wait_text("You said: a\nb");
    leave(terminal);
}

#[test]
fn what_was_typed_is_found_again_the_next_time() {
    let talk = Talk::new();
    let mut terminal = talk.open();
    enter(&mut terminal, "why is the sky blue");
    enter(&mut terminal, "back\\slash");
    enter(&mut terminal, " with a space in front");
    leave(terminal);
    let file = history(&talk);
    assert_eq!(fs::read_to_string(&file).unwrap(), "why is the sky blue\nback\\\\slash\n/bye\n");
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));

    let mut terminal = talk.open();
    at_prompt(&terminal);
    terminal.send("\x1b[A\x1b[A");
    terminal.wait_for(|screen| screen.trim_end() == ">>> back\\slash");
    terminal.send("\x03");
    at_prompt(&terminal);
    terminal.send("\x12sky");
    terminal.wait_text("why is the sky blue");
    terminal.send("\r");
    terminal.wait_text("You said: why is the sky blue");
    leave(terminal);
}

#[test]
fn a_message_of_several_lines_comes_back_as_one() {
    let talk = Talk::new();
    let mut terminal = talk.open();
    at_prompt(&terminal);
    terminal.send("\"\"\"one\rtwo\"\"\"\r");
    terminal.wait_text("You said: one\ntwo");
    leave(terminal);
    let mut terminal = talk.open();
    at_prompt(&terminal);
    terminal.send("\x1b[A\x1b[A\r");
    terminal.wait_text("You said: one\ntwo");
    leave(terminal);
}

#[test]
fn history_can_be_switched_off() {
    let mut talk = Talk::new();
    let mut terminal = talk.open();
    enter(&mut terminal, "kept");
    enter(&mut terminal, "/set nohistory");
    enter(&mut terminal, "hidden");
    terminal.send("\x1b[A");
    terminal.wait_for(|screen| screen.trim_end().ends_with(">>> /set nohistory"));
    terminal.send("\x03");
    enter(&mut terminal, "/set history");
    enter(&mut terminal, "kept too");
    leave(terminal);
    let text = fs::read_to_string(history(&talk)).unwrap();
    assert_eq!(text, "kept\n/set nohistory\nkept too\n/bye\n");
    talk.sandbox.set_env("OLLAMA_NOHISTORY", "1");
    let mut terminal = talk.open();
    enter(&mut terminal, "unseen");
    leave(terminal);
    assert_eq!(fs::read_to_string(history(&talk)).unwrap(), text);
}

#[test]
fn an_unwritable_history_is_reported_once_and_blocks_nothing() {
    for broken in ["link", "open"] {
        let talk = Talk::new();
        let file = talk.sandbox.write("home/.local/state/ollama-auth/history", "old\n");
        if broken == "link" {
            let other = talk.sandbox.write("other", "precious\n");
            fs::remove_file(&file).unwrap();
            std::os::unix::fs::symlink(other, &file).unwrap();
        } else {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        }
        let mut terminal = talk.open();
        terminal.wait_text("cannot save the input history");
        enter(&mut terminal, "one");
        let screen = enter(&mut terminal, "two");
        assert_eq!(screen.matches("cannot save the input history").count(), 1, "{screen}");
        leave(terminal);
        assert!(!fs::read_to_string(&file).unwrap().contains("one"));
    }
}

/// An editor that is a shell script.
fn editor(sandbox: &Sandbox, script: &str) -> PathBuf {
    let path = sandbox.write("bin/my-editor", format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn ctrl_g_goes_on_in_an_editor() {
    let mut talk = Talk::new();
    let stat = tool("stat");
    let script = format!(
        "{} -c %a \"$2\" >\"$HOME/mode\"; echo \"$2\" >\"$HOME/name\"; echo \"$1 $OLLAMA_API_KEY\" >\"$HOME/flag\"; echo of two lines >>\"$2\"",
        stat.display()
    );
    editor(&talk.sandbox, &script);
    talk.sandbox.set_env("OLLAMA_EDITOR", "my-editor --wait").set_env("EDITOR", "/bin/false");
    talk.sandbox.set_env("OLLAMA_AUTH_PASSPHRASE", "not for editors");
    let mut terminal = talk.open();
    at_prompt(&terminal);
    terminal.send("a message \x07");
    terminal.wait_for(|screen| screen.trim_end().ends_with(">>> a message of two lines"));
    assert!(talk.asked().is_empty());
    terminal.send("\r");
    terminal.wait_text("You said: a message of two lines");
    leave(terminal);
    let read = |name: &str| fs::read_to_string(talk.sandbox.home().join(name)).unwrap();
    assert_eq!(read("mode"), "600\n");
    assert_eq!(read("flag"), "--wait \n");
    assert!(!PathBuf::from(read("name").trim()).exists(), "the file was left behind");
}

/// As in `EDITOR='emacsclient -a ""'`: with an empty word, and with a path that has spaces.
#[test]
fn the_editor_command_is_read_as_a_shell_reads_it() {
    for (name, command) in [("my-editor", "my-editor -a \"\""), ("my editor", "'my editor' -a ''")] {
        let mut talk = Talk::new();
        editor(&talk.sandbox, "echo \"$#:$1:$2:\" >\"$HOME/words\"; echo of two lines >>\"$3\"");
        fs::rename(talk.sandbox.path("bin/my-editor"), talk.sandbox.path("bin").join(name)).unwrap();
        talk.sandbox.set_env("EDITOR", command);
        let mut terminal = talk.open();
        at_prompt(&terminal);
        terminal.send("a message \x07");
        terminal.wait_for(|screen| screen.trim_end().ends_with(">>> a message of two lines"));
        terminal.send("\x03");
        leave(terminal);
        assert_eq!(fs::read_to_string(talk.sandbox.home().join("words")).unwrap(), "3:-a::\n", "{command}");
    }
}

#[test]
fn an_editor_that_fails_loses_nothing() {
    for (command, complaint) in
        [("/bin/false", "its text was discarded"), ("no-such-editor", "cannot start the editor")]
    {
        let mut talk = Talk::new();
        talk.sandbox.set_env("VISUAL", command);
        let mut terminal = talk.open();
        at_prompt(&terminal);
        terminal.send("precious\x07");
        terminal.wait_for(|screen| screen.contains(complaint) && screen.trim_end().ends_with(">>> precious"));
        terminal.send("\x03");
        leave(terminal);
        assert_eq!(fs::read_dir(talk.sandbox.path("tmp")).unwrap().count(), 0);
    }
}

#[test]
fn ctrl_l_clears_the_screen_and_keeps_the_line() {
    let talk = Talk::new();
    let mut terminal = talk.open();
    enter(&mut terminal, "hello");
    terminal.send("half\x0c");
    terminal.wait_for(|screen| screen.trim_end() == ">>> half");
    terminal.send("\x03");
    leave(terminal);
}

#[test]
fn tab_completes_commands_and_models() {
    let talk = Talk::new();
    let models = json!({ "models": [
        { "name": "tiny:latest" }, { "name": "tall:1b" }, { "name": "evil\u{1b}]0;x\u{7}" }, { "name": "ev\u{202e}il" }
    ] });
    talk.ollama.route("GET", "/api/tags", move |_| Reply::json(200, models.clone()));
    let mut terminal = talk.open();
    at_prompt(&terminal);
    terminal.send("/sho\tte\t");
    terminal.wait_for(|screen| screen.trim_end().ends_with(">>> /show template"));
    terminal.send("\x03");
    at_prompt(&terminal);
    assert_eq!(talk.ollama.server().count("GET", "/api/tags"), 0);
    terminal.send("/load ti\t");
    terminal.wait_for(|screen| screen.trim_end().ends_with(">>> /load tiny:latest"));
    terminal.send("\x15/load ev\t\t");
    terminal.send("\x15/load \t\t");
    terminal.wait_for(|screen| screen.contains("tall:1b      tiny:latest\n"));
    terminal.send("\x03");
    leave(terminal);
}

#[test]
fn a_host_that_does_not_answer_tab_does_not_hold_up_the_line() {
    let (talk, gate) = (Talk::new(), Gate::new());
    let closed = gate.clone();
    talk.ollama.route("GET", "/api/tags", move |_| Reply::json(200, r#"{"models":[]}"#).after(&closed));
    let mut terminal = talk.open();
    at_prompt(&terminal);
    terminal.send("/load x\tyz");
    terminal.wait_for(|screen| screen.trim_end().ends_with(">>> /load xyz"));
    terminal.send("\x03");
    leave(terminal);
    gate.open();
}

#[test]
fn wide_characters_joined_emoji_and_right_to_left_text_do_not_break_the_line() {
    let text = "日本語 \u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467} שלום עולם e\u{301}";
    for (columns, rows) in [(80, 24), (20, 12), (11, 30)] {
        let talk = Talk::new();
        let mut terminal = talk.open_with(&[], columns, rows);
        terminal.send(text);
        // Back over the last two characters, and on.
        terminal.send("\x7f\x7fe!\r");
        terminal.wait_raw(|raw| contains(raw, "You said".as_bytes()));
        let (role, said) = talk.last_asked()[0].clone();
        assert_eq!((role.as_str(), said.as_str()), ("user", format!("{}e!", &text[..text.len() - 4]).as_str()));
        terminal.send("/bye\r");
        super::tidy(terminal.finish(), 0);
    }
}

#[test]
fn a_resize_while_typing_keeps_the_line_whole() {
    let talk = Talk::new();
    let mut terminal = talk.open_with(&[], 40, 20);
    at_prompt(&terminal);
    let long = "the quick brown fox jumps over the lazy dog and on and on it goes";
    terminal.send(long);
    terminal.wait_for(|screen| screen.replace('\n', "").contains("it goes"));
    terminal.resize(100, 20);
    terminal.send(" now");
    terminal.wait_for(|screen| screen.contains(&format!(">>> {long} now")));
    terminal.resize(30, 20);
    terminal.send("!\r");
    terminal.wait_raw(|raw| contains(raw, b"You said"));
    assert_eq!(talk.last_asked()[0].1, format!("{long} now!"));
    terminal.send("/bye\r");
    super::tidy(terminal.finish(), 0);
}

#[test]
fn pasted_control_characters_do_not_act() {
    let talk = Talk::new();
    let mut terminal = talk.open();
    at_prompt(&terminal);
    terminal.send("\x1b[200~a\u{9b}2J\u{202e}b\x07\x1b]0;x\x1b[201~");
    terminal.wait_text("2J");
    terminal.send("c");
    terminal.wait_text("c");
    for bad in ["\u{9b}", "\u{202e}", "\x07", "\x1b]"] {
        assert!(!contains(&terminal.raw(), bad.as_bytes()), "{bad:?} got through");
    }
    terminal.send("\x03");
    leave(terminal);
}

#[test]
fn a_dumb_terminal_works_too() {
    let mut talk = Talk::new();
    talk.sandbox.set_env("TERM", "dumb");
    let mut terminal = talk.open();
    terminal.send("hello\r");
    terminal.wait_for(|screen| screen.contains("You said: hello") && screen.trim_end().ends_with(">>>"));
    terminal.send("\x03");
    terminal.wait_text("leaves the conversation");
    terminal.send("/bye\r");
    let finished = super::tidy(terminal.finish(), 0);
    assert!(!contains(&finished.raw, b"\x1b"), "{:?}", String::from_utf8_lossy(&finished.raw));
}

#[test]
fn invalid_utf_8_drops_only_that_line() {
    let talk = Talk::new();
    let mut terminal = talk.open();
    at_prompt(&terminal);
    terminal.send("caf");
    terminal.wait_text("caf");
    terminal.send_bytes(b"\xe9 ");
    terminal.wait_text("not valid UTF-8");
    let screen = enter(&mut terminal, "/clear");
    assert!(screen.contains("Cleared the conversation."), "{screen}");
    enter(&mut terminal, "hello");
    assert_eq!(talk.asked().len(), 1);
    leave(terminal);
}

#[test]
fn a_pasted_api_key_is_not_saved_in_the_history() {
    let talk = Talk::new();
    let mut terminal = talk.open_with(&[], 160, 24);
    enter(&mut terminal, "one");
    let key = "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOpQrStUv-_";
    let screen = enter(&mut terminal, &format!("OLLAMA_API_KEY={key}"));
    assert!(screen.contains("not saved in the history"), "{screen}");
    terminal.send("\x1b[A");
    terminal.wait_for(|screen| screen.trim_end().ends_with(">>> one"));
    terminal.send("\x03");
    leave(terminal);
    assert_eq!(fs::read_to_string(history(&talk)).unwrap(), "one\n/bye\n");
}
