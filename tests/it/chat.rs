//! The conversation of `run MODEL`, in a real terminal: keys go in, a screen comes out.

mod answers;
mod basics;
mod commands;
mod editing;
mod endings;
mod hostile;
mod signing_in;
mod trouble;

use serde_json::{Value, json};

use crate::harness::cmd::Sandbox;
use crate::harness::http::{Reply, Request, Step};
use crate::harness::ollama::Ollama;
use crate::harness::pty::{Finished, Terminal};

/// What an empty prompt shows.
const EMPTY: &str = ">>> Send a message (/? for help)";

/// A sandbox and a server that knows the model `tiny` and repeats what it is told.
struct Talk {
    sandbox: Sandbox,
    ollama: Ollama,
}

impl Talk {
    fn new() -> Self {
        Self::with_model(json!({ "capabilities": ["completion"] }))
    }

    /// With this answer to `/api/show`.
    fn with_model(facts: Value) -> Self {
        let (mut sandbox, ollama) = (Sandbox::new(), Ollama::start());
        sandbox.set_env("OLLAMA_HOST", ollama.url());
        let known = facts.clone();
        ollama.route("POST", "/api/show", move |request| match request.json()["model"].as_str() {
            Some("nope") => Reply::json(404, r#"{"error":"model 'nope' not found"}"#),
            _ => Reply::json(200, known.clone()),
        });
        ollama.route("POST", "/api/generate", |_| Reply::json(200, r#"{"done":true,"done_reason":"load"}"#));
        ollama.route("POST", "/api/chat", |request| Reply::ndjson([say(&echo(request)), done()]));
        Self { sandbox, ollama }
    }

    /// Answers with these steps, whatever is asked.
    fn answers(&self, steps: impl IntoIterator<Item = Step>) -> &Self {
        let steps: Vec<Step> = steps.into_iter().collect();
        self.ollama.route("POST", "/api/chat", move |_| Reply::ndjson(steps.clone()));
        self
    }

    /// The conversation with `tiny`, at its first prompt.
    fn open(&self) -> Terminal {
        self.open_with(&[], 80, 24)
    }

    /// With these flags, in a terminal of that size.
    fn open_with(&self, flags: &[&str], columns: u16, rows: u16) -> Terminal {
        let args = [&["run", "tiny"], flags].concat();
        let terminal = Terminal::start_sized(&self.sandbox, &args, columns, rows);
        terminal.wait_text(">>>");
        terminal
    }

    /// The bodies of what was asked at `/api/chat`.
    fn asked(&self) -> Vec<Value> {
        let all = self.ollama.server().requests();
        all.iter().filter(|request| request.path() == "/api/chat").map(Request::json).collect()
    }

    /// Role and content of each message of the last request.
    fn last_asked(&self) -> Vec<(String, String)> {
        let asked = self.asked().pop().expect("nothing was asked");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let messages = asked["messages"].as_array().unwrap();
        messages.iter().map(|message| (text(&message["role"]), text(&message["content"]))).collect()
    }
}

fn echo(request: &Request) -> String {
    let body = request.json();
    let last = body["messages"].as_array().unwrap().last().unwrap().clone();
    format!("You said: {}", last["content"].as_str().unwrap())
}

fn say(text: &str) -> Step {
    Step::send(format!("{}\n", json!({ "message": { "role": "assistant", "content": text }, "done": false })))
}

fn think(text: &str) -> Step {
    let message = json!({ "role": "assistant", "content": "", "thinking": text });
    Step::send(format!("{}\n", json!({ "message": message, "done": false })))
}

fn done() -> Step {
    done_with(json!({}))
}

fn done_with(more: Value) -> Step {
    let mut last = json!({ "message": { "role": "assistant", "content": "" }, "done": true, "done_reason": "stop" });
    last.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Step::send(format!("{last}\n"))
}

/// Waits until the last line is an empty prompt again.
#[track_caller]
fn at_prompt(terminal: &Terminal) -> String {
    terminal.wait_for(|screen| screen.trim_end().ends_with(EMPTY))
}

/// Types a line and waits until the prompt is back.
#[track_caller]
fn enter(terminal: &mut Terminal, line: &str) -> String {
    at_prompt(terminal);
    let before = prompts(&terminal.raw());
    terminal.send(line);
    terminal.send("\r");
    terminal.wait_raw(|raw| prompts(raw) > before);
    at_prompt(terminal)
}

/// Clears the screen at an empty prompt.
#[track_caller]
fn wipe(terminal: &mut Terminal) {
    at_prompt(terminal);
    terminal.send("\x0c");
    terminal.wait_for(|screen| screen.trim_end() == EMPTY);
}

/// What followed a line that was typed.
#[track_caller]
fn after<'s>(screen: &'s str, line: &str) -> &'s str {
    let typed = format!(">>> {line}\n");
    screen.rsplit_once(&typed).unwrap_or_else(|| panic!("{line:?} was not typed:\n{screen}")).1
}

/// How often the editor began to read.
fn prompts(raw: &[u8]) -> usize {
    let mark = b"Send a message (/? for help)";
    raw.windows(mark.len()).filter(|part| part == mark).count()
}

/// Leaves, and sees that everything is as it was.
#[track_caller]
fn leave(mut terminal: Terminal) -> Finished {
    at_prompt(&terminal);
    terminal.send("/bye\r");
    tidy(terminal.finish(), 0)
}

#[track_caller]
fn tidy(finished: Finished, code: u32) -> Finished {
    let (screen, raw) = (&finished.screen, String::from_utf8_lossy(&finished.raw));
    assert_eq!(finished.code, code, "{screen}");
    assert!(finished.restored, "echo or line editing is off:\n{screen}");
    assert!(!finished.hidden_cursor, "the cursor is hidden:\n{screen}");
    assert_eq!(finished.column, 0, "a prompt would be glued to the text:\n{screen}\n{raw:?}");
    let (on, off) = (raw.rfind("\x1b[?2004h"), raw.rfind("\x1b[?2004l"));
    assert!(on.is_none() || off > on, "pastes are still marked:\n{raw:?}");
    finished
}
