//! `keys create` at a host without an API for keys: a script gets the import command, a person can paste a key.

use serde_json::{Value, json};

use super::{deletes, keys, signed_in};
use crate::given::{profile, says};
use crate::harness::cloud::Fault;
use crate::harness::cmd::PROGRAM;
use crate::harness::pty::Terminal;
use crate::harness::tool;

#[test]
fn without_a_key_api_a_script_gets_the_import_command() {
    for status in [404, 405] {
        let (sandbox, cloud) = signed_in();
        cloud.inject("/api/user/keys", Fault::Status(status));
        for more in [&[][..], &["--save"], &["--open"]] {
            let output = keys(&sandbox, &[&["create", "ci"], more].concat()).expect_code(1);
            says(&output, &["has no API for keys", "ollama-auth keys import --host"]);
            assert_eq!(output.stdout(), "");
        }
        assert_eq!(deletes(&cloud), 0);
    }
}

#[test]
fn without_a_key_api_a_person_can_paste_a_key() {
    let (sandbox, cloud) = signed_in();
    cloud.inject("/api/user/keys", Fault::Status(404)).accept_api_key("made-by-hand-0123456789");
    let args = ["keys", "create", "nightly", "--env", "ci"];
    for (answer, code) in [("n\r", 1), ("\x03", 130)] {
        let mut terminal = Terminal::start_sized(&sandbox, &args, 200, 24);
        terminal.wait_text("has no API for keys");
        terminal.wait_text("to store here?");
        terminal.send(answer);
        let finished = terminal.finish();
        assert_eq!((finished.code, finished.restored), (code, true), "{}", finished.screen);
        assert_eq!(profile(&sandbox)["api_key"], Value::Null);
    }
    let mut terminal = Terminal::start_sized(&sandbox, &args, 200, 24);
    terminal.wait_text("to store here?");
    terminal.send("y\r");
    // The Enter behind the y was for the question that follows: that one is asked again.
    terminal.wait_for(|screen| screen.matches("API key:").count() == 2);
    terminal.send("made-by-hand-0123456789\r");
    let finished = terminal.finish();
    assert_eq!((finished.code, finished.restored), (0, true), "{}", finished.screen);
    assert!(!finished.screen.contains("0123456789"));
    let record = profile(&sandbox)["api_key"].clone();
    assert_eq!((&record["name"], &record["environment"]), (&json!("nightly"), &json!("ci")));
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
}

#[test]
fn without_a_key_api_a_script_on_a_terminal_fails() {
    let (sandbox, cloud) = signed_in();
    cloud.inject("/api/user/keys", Fault::Status(404));
    let script = format!("key=$('{PROGRAM}' keys create ci); echo \"code $? key $key.\"");
    let sh = tool("sh");
    let terminal = Terminal::start_program(&sandbox, sh.to_str().unwrap(), &["-c", &script], 200, 24);
    let finished = terminal.finish();
    assert!(finished.screen.contains("code 1 key ."), "{}", finished.screen);
}
