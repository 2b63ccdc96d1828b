//! `quickstart`: the whole flow, with the demonstration model and with an Ollama server, in pipes and in a terminal; it touches
//! nothing of the person's own and leaves nothing behind. docs/tutorial/quickstart.md shows what it prints.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::given::says;
use crate::harness::browser::Behaviour;
use crate::harness::cmd::Sandbox;
use crate::harness::http::Reply;
use crate::harness::ollama::{Ollama, recorded};
use crate::harness::pty::Terminal;
use crate::harness::{poll, tool};

const STEPS: [&str; 11] = [
    "gateway",
    "account",
    "sign-in",
    "approve",
    "run-with-device",
    "create-key",
    "run-with-key",
    "run-with-wrong-key",
    "revoke-key",
    "run-with-revoked-key",
    "sign-out",
];

/// A machine where nothing listens at OLLAMA_HOST: nobody can be reached at port 1 without being root.
fn bare() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set_env("OLLAMA_HOST", "127.0.0.1:1");
    sandbox
}

/// What lies in the folder for temporary files.
fn left_behind(sandbox: &Sandbox) -> Vec<PathBuf> {
    fs::read_dir(sandbox.path("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn on_a_bare_machine_it_shows_everything_and_leaves_nothing() {
    let sandbox = bare();
    let before = sandbox.files();
    let output = sandbox.command(["quickstart"]).run().expect_code(0);
    assert_eq!(sandbox.files(), before);
    assert!(left_behind(&sandbox).is_empty());
    // Without the profiles' own folders either.
    assert!(!sandbox.home().join(".config/ollama-auth").exists());
    says(
        &output,
        &[
            "No Ollama server answers at http://127.0.0.1:1,",
            "built-in demonstration model",
            "$ ollama-auth gateway serve --listen 127.0.0.1:0 --upstream http://127.0.0.1:",
            "$ ollama-auth gateway user add you --role admin",
            "$ ollama-auth signin --host http://127.0.0.1:",
            "as you",
            " demo \"Why is the sky blue?\"",
            "$ KEY=$(ollama-auth keys create quickstart --scope inference,models:read --model demo --expires 1h)",
            "$ OLLAMA_API_KEY=$KEY ollama-auth run --host http://127.0.0.1:",
            "$ OLLAMA_API_KEY=olauth_… ollama-auth run --host http://127.0.0.1:",
            "refused the credential",
            "$ ollama-auth keys revoke quickstart --yes",
            "$ ollama-auth signout",
            "All 11 steps succeeded",
            "ollama-auth gateway serve  ",
        ],
    );
    // Standard output is the model's words alone: the same twice, since the same was asked twice.
    let words = output.stdout();
    let (first, second) = words.trim_end().split_once("\n\n").unwrap();
    assert_eq!(first, second);
    assert!(first.split_whitespace().count() > 3, "{words}");
    assert!(!output.stderr().contains(first));
    // A key has 32 characters and more behind its prefix; none is shown.
    for text in [output.stdout(), output.stderr()] {
        assert!(text.split("olauth_").skip(1).all(|rest| rest.starts_with('…')), "{text}");
    }
}

#[test]
fn nothing_of_the_persons_own_is_read() {
    let mut sandbox = bare();
    // Each of these would fail any command that looked at it.
    sandbox.write("home/.config/ollama-auth/profiles.json", "no json");
    sandbox.write("home/.local/share/ollama-auth/secrets.json", "no json");
    sandbox.write("home/.ollama/id_ed25519", "no key");
    sandbox
        .set_env("OLLAMA_API_KEY", "somebody's own key")
        .set_env("OLLAMA_AUTH_PROFILE", "nobody")
        .set_env("OLLAMA_AUTH_STORE", "keyring")
        .set_env("OLLAMA_AUTH_PASSPHRASE_FILE", "/nowhere")
        .set_env("OLLAMA_AUTH_GATEWAY_LISTEN", "nonsense");
    let before = sandbox.files();
    let output = sandbox.command(["quickstart", "-y", "--", "--json"]).run().expect_code(0);
    says(&output, &["demo -- --json", "steps succeeded"]);
    assert_eq!(sandbox.files(), before);
}

#[test]
fn an_ollama_that_answers_is_used_with_its_first_own_model() {
    let (mut sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let tags = r#"{"models":[{"name":"gpt-oss:120b-cloud"},{"name":"tiny:latest"}]}"#;
    ollama.route("GET", "/api/tags", move |_| Reply::json(200, tags));
    sandbox.set_env("OLLAMA_HOST", ollama.url());
    let output = sandbox.command(["quickstart", "--quiet", "Why is the sky blue?"]).run().expect_code(0);
    let said = recorded("generate").said();
    assert_eq!(output.stdout(), format!("{said}\n\n{said}\n\n"));
    assert_eq!(output.stderr(), "Approve this device in the browser:\n\n".to_owned() + link_and_facts(output.stderr()));
    let report = sandbox.command(["quickstart", "--json"]).run().expect_code(0).json();
    assert_eq!(report["upstream"]["kind"], "ollama");
    assert_eq!(
        (&report["upstream"]["model"], &report["upstream"]["url"]),
        (&"tiny:latest".into(), &ollama.url().into())
    );

    // One that has no model of its own is as good as none.
    ollama.route("GET", "/api/tags", |_| Reply::json(200, r#"{"models":[{"name":"gpt-oss:120b-cloud"}]}"#));
    let output = sandbox.command(["quickstart"]).run().expect_code(0);
    says(&output, &["has no local model, so the built-in demonstration model answers"]);
}

/// What follows the first two lines.
fn link_and_facts(stderr: &str) -> &str {
    let text = stderr.split_once("\n\n").unwrap().1;
    assert!(text.starts_with("  http://127.0.0.1:") && text.lines().count() < 6, "{stderr}");
    text
}

#[test]
fn the_report_for_programs_is_one_object() {
    let sandbox = bare();
    let output = sandbox.command(["quickstart", "--json", "Hello"]).run().expect_code(0);
    assert_eq!(output.stderr(), "");
    let report = output.json();
    assert_eq!((&report["ok"], &report["upstream"]["kind"]), (&true.into(), &"demonstration".into()));
    let steps = report["steps"].as_array().unwrap();
    let names: Vec<&str> = steps.iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(names, STEPS);
    for step in steps {
        let refused = matches!(step["name"].as_str(), Some("run-with-wrong-key" | "run-with-revoked-key"));
        assert_eq!(step["exit_code"], if refused { 4 } else { 0 }, "{step}");
        assert_eq!((&step["expected_exit_code"], &step["ok"]), (&step["exit_code"], &Value::Bool(true)));
        assert!(step["command"].as_str().unwrap().contains("ollama-auth "), "{step}");
        let says = matches!(step["name"].as_str(), Some("run-with-device" | "run-with-key"));
        assert_eq!(step["output"].is_string(), says, "{step}");
    }
    assert!(left_behind(&sandbox).is_empty());
}

#[test]
fn a_step_that_goes_wrong_is_named_and_leaves_nothing() {
    let (mut sandbox, ollama) = (Sandbox::new(), Ollama::start());
    ollama.route("GET", "/api/tags", |_| Reply::json(200, r#"{"models":[{"name":"tiny:latest"}]}"#));
    ollama.route("POST", "/api/generate", |_| Reply::json(500, r#"{"error":"out of memory"}"#));
    sandbox.set_env("OLLAMA_HOST", ollama.url());
    let output = sandbox.command(["quickstart"]).run().expect_code(1);
    says(&output, &["the step \"run-with-device\" ended with exit code 1 instead of 0", "out of memory"]);
    assert!(!output.stderr().contains("steps succeeded"));
    assert!(left_behind(&sandbox).is_empty());
    let output = sandbox.command(["quickstart", "--json"]).run().expect_code(1);
    let report = output.json();
    assert_eq!((&report["ok"], &report["steps"][4]["ok"]), (&false.into(), &false.into()));
    let error: Value = serde_json::from_str(output.stderr()).unwrap();
    assert!(error["error"]["message"].as_str().unwrap().contains("run-with-device"), "{error}");
}

#[test]
fn without_a_place_for_temporary_files_it_says_so() {
    let sandbox = bare();
    let output = sandbox.command(["quickstart"]).env("TMPDIR", sandbox.path("nowhere")).run().expect_code(1);
    says(&output, &["cannot create a temporary folder", "TMPDIR"]);
}

#[test]
fn interrupted_it_leaves_nothing() {
    let (mut sandbox, ollama) = (Sandbox::new(), Ollama::start());
    ollama.route("GET", "/api/tags", |_| Reply::json(200, r#"{"models":[{"name":"tiny:latest"}]}"#));
    // The answer begins and never ends.
    let gate = crate::harness::http::Gate::default();
    let held = gate.clone();
    ollama.route("POST", "/api/generate", move |_| {
        Reply::script(
            200,
            [
                crate::harness::http::Step::send("{\"model\":\"tiny:latest\",\"response\":\"Wait\",\"done\":false}\n"),
                crate::harness::http::Step::WaitFor(held.clone()),
            ],
        )
    });
    sandbox.set_env("OLLAMA_HOST", ollama.url());
    let child = sandbox.command(["quickstart"]).spawn();
    child.wait_stdout(|text| text.contains("Wait"));
    assert_eq!(left_behind(&sandbox).len(), 1);
    child.interrupt();
    child.finish().expect_code(130);
    assert!(left_behind(&sandbox).is_empty());
}

/// The value behind a label on the screen.
fn value(screen: &str, label: &str) -> Option<String> {
    let line = screen.lines().find_map(|line| line.trim().strip_prefix(label))?;
    Some(line.trim().to_owned()).filter(|value| !value.is_empty())
}

#[test]
fn a_person_signs_in_on_the_page_and_approves() {
    let mut sandbox = bare();
    sandbox.set_env("DISPLAY", ":0");
    let browser = sandbox.browser(Behaviour::Ignores);
    let terminal = Terminal::start_sized(&sandbox, &["quickstart"], 100, 200);
    let link = browser.wait_opened();
    let screen = terminal.wait_text("Waiting for approval");
    let password = value(&screen, "Password").unwrap();
    assert_eq!(value(&screen, "Name").as_deref(), Some("you"));
    // The person: an own process, with the password from the screen.
    let script = sandbox.write("person.py", include_str!("harness/person.py"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let args = [script.to_str().unwrap(), &link, "you", &password, "Approve"];
    sandbox.program(tool("python3"), args).env("PATH", path).run().expect_code(0);
    let finished = terminal.finish();
    assert_eq!(finished.code, 0, "{}", finished.screen);
    assert!(finished.restored && !finished.hidden_cursor && finished.column == 0, "{}", finished.screen);
    let screen = &finished.screen;
    assert!(screen.contains("All 10 steps succeeded") && screen.contains("✓ Exit code 4"), "{screen}");
    assert!(left_behind(&sandbox).is_empty());
}

#[test]
fn a_person_who_breaks_off_leaves_nothing() {
    let mut sandbox = bare();
    sandbox.set_env("DISPLAY", ":0");
    let _browser = sandbox.browser(Behaviour::Ignores);
    let mut terminal = Terminal::start_sized(&sandbox, &["quickstart"], 80, 60);
    terminal.wait_text("Waiting for approval");
    assert_eq!(left_behind(&sandbox).len(), 1);
    terminal.send("\x03");
    let finished = terminal.finish();
    assert_eq!(finished.code, 130, "{}", finished.screen);
    assert!(finished.restored && !finished.hidden_cursor && finished.column == 0, "{}", finished.screen);
    poll("the folder to be gone", || left_behind(&sandbox).is_empty().then_some(()));
}

/// Puts the same in place of whatever differs from run to run.
fn settled(text: &str) -> String {
    let mut words = String::new();
    for line in text.trim().lines().map(str::trim_end) {
        let line: Vec<String> = line.split(' ').map(settled_word).collect();
        words += &line.join(" ");
        words.push('\n');
    }
    words
}

fn settled_word(word: &str) -> String {
    let after = |prefix: &str, end: fn(char) -> bool, to: &str, word: &str| match word.split_once(prefix) {
        Some((before, rest)) => format!("{before}{prefix}{to}{}", rest.trim_start_matches(end)),
        None => word.to_owned(),
    };
    let word = match word.split_once("/connect?") {
        Some((host, _)) => format!("{host}/connect?…"),
        None => word.to_owned(),
    };
    let word = match word.split_once("127.0.0.1:") {
        Some((_, rest)) if rest == "1," || rest == "11434," || rest == "0" => word,
        _ => after("127.0.0.1:", |c| c.is_ascii_digit(), "PORT", &word),
    };
    after("SHA256:", |c| c.is_ascii_alphanumeric() || "+/".contains(c), "…", &word)
}

/// The transcript, and only what a reader may expect to differ, differs.
#[test]
fn the_tutorial_shows_what_it_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tutorial/quickstart.md");
    let page = fs::read_to_string(path).unwrap();
    let (_, block) = page.split_once("```text\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let sandbox = bare();
    let finished = Terminal::start_sized(&sandbox, &["quickstart", "--yes"], 300, 200).finish();
    assert_eq!(finished.code, 0, "{}", finished.screen);
    let printed = finished.screen.replace("127.0.0.1:1,", "127.0.0.1:11434,");
    // For scripts/record.
    if std::env::var_os("RECORD").is_some() {
        let lines: String = printed.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        fs::write(path, page.replace(block, &lines)).unwrap();
        return;
    }
    let vague = |text: &str| -> String {
        let lines = settled(text);
        let lines = lines.lines().map(|line| {
            let starts = |prefix: &str| line.trim_start().starts_with(prefix);
            if starts("Device ") {
                "  Device"
            } else if starts("Fingerprint ") {
                "  Fingerprint"
            } else if starts("Scopes: ") {
                line.split(" expires ").next().unwrap()
            } else if starts("Creating the key ") || starts("Created the API key") || starts("Revoked ") {
                // The key's id is another each time.
                line.split(['(', '_']).next().unwrap()
            } else if starts("✓ All ") {
                line.split(" in ").next().unwrap()
            } else {
                line
            }
        });
        lines.map(|line| line.trim_end().to_owned() + "\n").collect()
    };
    let (shown, seen) = (vague(block), vague(&printed));
    assert!(shown == seen, "docs/tutorial/quickstart.md has:\n{shown}\nand this is printed:\n{seen}");
}
