//! The commands that do more than set something: models, sessions, and taking a conversation away.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::{Talk, after, at_prompt, done, enter, leave, say, wipe};
use crate::given::mode;
use crate::harness::contains;
use crate::harness::http::{Reply, Step};

fn facts() -> Value {
    json!({
        "capabilities": ["completion", "tools"],
        "license": "Do as you like.",
        "modelfile": "FROM tiny\nPARAMETER temperature 0",
        "parameters": "num_predict                    32\ntemperature                    0",
        "template": "{{ .Prompt }}",
        "system": "You are tiny.",
        "details": { "family": "llama", "parameter_size": "1.01M", "quantization_level": "F16", "parent_model": "" },
        "model_info": { "general.architecture": "llama", "llama.context_length": 4096, "llama.embedding_length": 128 },
    })
}

#[test]
fn show_tells_every_part_of_the_model() {
    let talk = Talk::with_model(facts());
    let mut terminal = talk.open_with(&[], 80, 60);
    let mut shown = |line: &str| {
        enter(&mut terminal, "/clear");
        let screen = enter(&mut terminal, line);
        after(&screen, line).to_owned()
    };
    for (section, parts) in [
        (
            "info",
            vec!["architecture", "llama", "4096", "F16", "tools", "num_predict", "You are tiny.", "Do as you like."],
        ),
        ("license", vec!["Do as you like."]),
        ("modelfile", vec!["FROM tiny\nPARAMETER temperature 0"]),
        ("parameters", vec!["Set by the model:\n  num_predict                    32"]),
        ("system", vec!["You are tiny."]),
        ("template", vec!["{{ .Prompt }}"]),
    ] {
        let text = shown(&format!("/show {section}"));
        for part in parts {
            assert!(text.contains(part), "{section}: {part:?} is missing:\n{text}");
        }
    }
    shown("/set parameter top_k 7");
    shown("/set system Be brief.");
    let text = shown("/show parameters");
    assert!(text.contains("Set in this conversation:\n  top_k                          7"), "{text}");
    assert!(shown("/show system").starts_with("Be brief."));
    assert!(shown("/show info").contains("top_k"));
    leave(terminal);
    let talk = Talk::new();
    let mut terminal = talk.open();
    for (section, what) in [("license", "license"), ("template", "template"), ("system", "system message")] {
        let screen = enter(&mut terminal, &format!("/show {section}"));
        assert!(screen.contains(&format!("tiny has no {what}")), "{screen}");
    }
    leave(terminal);
}

#[test]
fn load_goes_on_with_another_model_or_stays() {
    let talk = Talk::with_model(json!({ "capabilities": ["completion"] }));
    let mut terminal = talk.open();
    enter(&mut terminal, "/set parameter seed 1");
    enter(&mut terminal, "one");
    let screen = enter(&mut terminal, "/load nope");
    assert!(screen.contains("has no model \"nope\""), "{screen}");
    enter(&mut terminal, "two");
    let asked = talk.asked().pop().unwrap();
    assert_eq!((asked["model"].as_str(), asked["messages"].as_array().unwrap().len()), (Some("tiny"), 3));
    talk.ollama.route("POST", "/api/show", |_| {
        let messages = json!([{ "role": "user", "content": "saved" }, { "role": "assistant", "content": "kept" }]);
        Reply::json(200, json!({ "capabilities": ["completion"], "messages": messages }))
    });
    let screen = enter(&mut terminal, "/load mine");
    assert!(screen.contains("Loaded mine.") && screen.contains(">>> saved\nkept"), "{screen}");
    enter(&mut terminal, "three");
    let asked = talk.asked().pop().unwrap();
    assert_eq!((asked["model"].as_str(), asked["options"]["seed"].as_u64()), (Some("mine"), Some(1)));
    let said: Vec<_> = talk.last_asked().into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, ["saved", "kept", "three"]);
    leave(terminal);
}

#[test]
fn save_makes_a_model_of_the_conversation() {
    let talk = Talk::new();
    talk.ollama.route("POST", "/api/create", |_| {
        Reply::ndjson([Step::send("{\"status\":\"writing manifest\"}\n"), Step::send("{\"status\":\"success\"}\n")])
    });
    let mut terminal = talk.open();
    enter(&mut terminal, "/set system Be brief.");
    enter(&mut terminal, "/set parameter temperature 0.5");
    enter(&mut terminal, "hello");
    let screen = enter(&mut terminal, "/save mine");
    assert!(screen.contains("Saved this conversation as mine"), "{screen}");
    let sent = talk.ollama.server().requests().into_iter().find(|request| request.path() == "/api/create").unwrap();
    assert_eq!(
        sent.json(),
        json!({ "model": "mine", "from": "tiny", "system": "Be brief.", "parameters": { "temperature": 0.5 }, "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "hello" },
            { "role": "assistant", "content": "You said: hello" },
        ] })
    );
    talk.ollama.route("POST", "/api/create", |_| Reply::ndjson([Step::send("{\"error\":\"disk full\"}\n")]));
    assert!(enter(&mut terminal, "/save other").contains("disk full"));
    talk.ollama.route("POST", "/api/create", |_| Reply::ndjson([Step::send("{\"status\":\"writing\"}\n")]));
    assert!(enter(&mut terminal, "/save third").contains("was cut off"));
    assert!(enter(&mut terminal, "/save").contains("usage: /save MODEL"));
    leave(terminal);
}

#[test]
fn list_shows_the_models_of_the_host() {
    let talk = Talk::new();
    talk.ollama.route("GET", "/api/tags", |_| {
        let digest = "65172b9f48b9aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let model = |name: &str| json!({ "name": name, "digest": digest, "size": 4_100_000, "modified_at": "2026-01-01T00:00:00Z" });
        Reply::json(200, json!({ "models": [model("tiny:latest"), model("tall:1b"), model("\u{1b}]0;x\u{7}")] }))
    });
    let mut terminal = talk.open();
    let screen = enter(&mut terminal, "/list");
    assert!(screen.contains("tiny:latest") && screen.contains("65172b9f48b9") && screen.contains("4.1 MB"), "{screen}");
    assert!(!contains(&terminal.raw(), b"\x1b]0;"));
    wipe(&mut terminal);
    let screen = enter(&mut terminal, "/list ta");
    assert!(screen.contains("tall:1b") && !screen.contains("tiny:latest"), "{screen}");
    leave(terminal);
}

#[test]
fn retry_asks_again_in_place_of_the_answer() {
    let talk = Talk::new();
    let mut terminal = talk.open();
    assert!(enter(&mut terminal, "/retry").contains("there is no message to send again"));
    enter(&mut terminal, "one");
    talk.answers([say("better"), done()]);
    assert!(enter(&mut terminal, "/retry").contains("better"));
    assert_eq!(talk.last_asked(), [("user".to_owned(), "one".to_owned())]);
    enter(&mut terminal, "two");
    let said: Vec<_> = talk.last_asked().into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, ["one", "better", "two"]);
    leave(terminal);
}

#[test]
fn copy_goes_to_the_terminal_or_to_the_desktop() {
    let mut talk = Talk::new();
    let mut terminal = talk.open();
    assert!(enter(&mut terminal, "/copy").contains("there is no answer to copy"));
    enter(&mut terminal, "hi");
    enter(&mut terminal, "/copy");
    // Base64 of "You said: hi".
    assert!(contains(&terminal.raw(), b"\x1b]52;c;WW91IHNhaWQ6IGhp\x07"));
    talk.answers([say(&"x".repeat(100_000)), done()]);
    terminal.send("long\r");
    terminal.wait_raw(|raw| contains(raw, b"xxx\r\n\r\n"));
    assert!(enter(&mut terminal, "/copy").contains("too long for the terminal's clipboard"));
    leave(terminal);

    talk.sandbox.set_env("WAYLAND_DISPLAY", "wayland-0").set_env("OLLAMA_AUTH_PASSPHRASE", "not for others");
    let cat = crate::harness::tool("cat");
    let script = format!(
        "#!/bin/sh\n{} >\"$HOME/clipboard\"; echo \"$OLLAMA_AUTH_PASSPHRASE\" >>\"$HOME/clipboard\"\n",
        cat.display()
    );
    let program = talk.sandbox.write("bin/wl-copy", script);
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    talk.answers([say("the answer"), done()]);
    let mut terminal = talk.open();
    enter(&mut terminal, "hi");
    assert!(enter(&mut terminal, "/copy").contains("Copied the last answer"));
    assert!(!contains(&terminal.raw(), b"\x1b]52"));
    assert_eq!(fs::read_to_string(talk.sandbox.home().join("clipboard")).unwrap(), "the answer\n");
    leave(terminal);
}

#[test]
fn export_writes_a_private_file_and_replaces_none_unasked() {
    let talk = Talk::new();
    let mut terminal = talk.open_with(&[], 200, 40);
    assert!(enter(&mut terminal, "/export a.md").contains("no messages to export yet"));
    enter(&mut terminal, "hello");
    assert!(enter(&mut terminal, "/export my talk.md").contains("Wrote this conversation to my talk.md"));
    let file = talk.sandbox.home().join("my talk.md");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("## You\n\nhello\n\n## Model\n\nYou said: hello\n"), "{text}");
    assert_eq!(mode(&file), 0o600);
    enter(&mut terminal, "/export ~/talk.json");
    let value: Value = serde_json::from_slice(&fs::read(talk.sandbox.home().join("talk.json")).unwrap()).unwrap();
    assert_eq!(value["messages"].as_array().unwrap().len(), 2);
    // What is there stays, unless it is said.
    let other = talk.sandbox.write("home/other.md", "precious");
    terminal.send("/export other.md\r");
    terminal.wait_text("Replace it? [y/N]");
    terminal.send("n");
    terminal.wait_text("Kept the existing file.");
    assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
    at_prompt(&terminal);
    terminal.send("/export other.md\r");
    terminal.wait_for(|screen| screen.matches("Replace it? [y/N]").count() == 2);
    terminal.send("y");
    terminal.wait_text("Wrote this conversation to other.md");
    assert!(fs::read_to_string(&other).unwrap().contains("hello"));
    for (name, complaint) in [("no/such/folder/a.md", "does not exist"), (".", "is a folder")] {
        assert!(enter(&mut terminal, &format!("/export {name}")).contains(complaint));
    }
    leave(terminal);
}

#[test]
fn status_names_the_model_host_and_credential() {
    let mut talk = Talk::new();
    talk.sandbox.set_env("OLLAMA_API_KEY", "an-api-key-of-ours");
    let mut terminal = talk.open();
    enter(&mut terminal, "hello");
    let screen = enter(&mut terminal, "/status");
    for text in ["tiny", &talk.ollama.url(), "the API key in OLLAMA_API_KEY", "Messages    2"] {
        assert!(screen.contains(text), "{text:?} is missing:\n{screen}");
    }
    assert!(!screen.contains("an-api-key-of-ours"));
    leave(terminal);
}
