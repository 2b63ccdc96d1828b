//! Completion in real shells: Bash and zsh in a terminal, with Tab; fish by `complete -C`, which answers as Tab does.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::given::CONFIG;
use crate::harness::cmd::{PROGRAM, Sandbox};
use crate::harness::http::{Reply, Server, Step};
use crate::harness::ollama::Ollama;
use crate::harness::pty::Terminal;
use crate::harness::tool;

/// What is typed before Tab, and what the line shows after it.
const COMPLETED: &[(&str, &str)] = &[
    ("sign", "ollama-auth sign"),
    ("qui", "ollama-auth quickstart"),
    ("keys cr", "ollama-auth keys create"),
    ("gateway user ro", "ollama-auth gateway user role"),
    ("run --sy", "ollama-auth run --system"),
    ("run --ho", "ollama-auth run --host"),
    ("run ti", "ollama-auth run tiny:latest"),
    ("run tiny:la", "ollama-auth run tiny:latest"),
    ("profile use wo", "ollama-auth profile use work"),
    ("status --profile wo", "ollama-auth status --profile work"),
    ("status --profile=wo", "ollama-auth status --profile=work"),
    ("keys create ci --scope models:w", "ollama-auth keys create ci --scope models:write"),
    ("keys create ci --scope inference,ke", "ollama-auth keys create ci --scope inference,keys"),
    ("keys revoke night", "ollama-auth keys revoke nightly"),
    ("keys rotate --all --gr", "ollama-auth keys rotate --all --grace"),
    ("gateway serve --config gate", "ollama-auth gateway serve --config gateway.toml"),
    ("help env", "ollama-auth help environment"),
    ("help keys ro", "ollama-auth help keys rotate"),
];

/// A machine with an Ollama, two profiles, one of them with an API key, and a file.
fn machine(ollama: &str) -> Sandbox {
    let mut sandbox = Sandbox::new();
    let profiles = json!({
        "version": 1,
        "current": "ollama.com",
        "profiles": {
            "ollama.com": {"url": "https://ollama.com"},
            "work": {
                "url": "https://gpu.example.com",
                "api_key": {"store": "keyring", "hint": "abcd", "added_at": 0, "name": "nightly"},
            },
        },
    });
    sandbox.write(format!("{CONFIG}/profiles.json"), profiles.to_string());
    sandbox.write("home/gateway.toml", "");
    let programs = Path::new(PROGRAM).parent().unwrap();
    sandbox.set_env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display()));
    sandbox.set_env("OLLAMA_HOST", ollama);
    sandbox
}

/// A shell that has read its completion script.
fn shell(sandbox: &Sandbox, name: &str) -> Terminal {
    let program = tool(name);
    let (args, load): (&[&str], &str) = match name {
        "bash" => (&["--noprofile", "--norc", "-i"], "source <(ollama-auth completions bash)"),
        _ => (&["-f", "-i"], "autoload -U compinit; compinit -u -D; source <(ollama-auth completions zsh)"),
    };
    let mut terminal = Terminal::start_program(sandbox, program.to_str().unwrap(), args, 100, 40);
    // The prompt shows that the line before it is done; it is spelled so that the typed line does not hold it.
    terminal.send(&format!("{load}; PS1='ready''> '\r"));
    terminal.wait_text("ready> ");
    terminal
}

/// Types a line, presses Tab, waits for the line to be `wanted`, and gives the line up.
fn press_tab(terminal: &mut Terminal, typed: &str, wanted: &str) {
    terminal.send(&format!("ollama-auth {typed}\t"));
    terminal.wait_for(|screen| typed_line(screen) == format!("ready> {wanted}"));
    terminal.send("\x15");
    terminal.wait_for(|screen| typed_line(screen) == "ready>");
}

/// The line that is being typed. Below it zsh lists the candidates.
fn typed_line(screen: &str) -> &str {
    screen.lines().rfind(|line| line.starts_with("ready>")).unwrap_or_default().trim_end()
}

/// The candidates that fish offers for a line.
fn fish(sandbox: &Sandbox, typed: &str) -> Vec<String> {
    let script = "ollama-auth completions fish | source; complete -C $argv[1]";
    let line = format!("ollama-auth {typed}");
    let output = sandbox.program(tool("fish"), ["--no-config", "-c", script, &line]).run().expect_code(0);
    assert_eq!(output.stderr(), "", "{typed}");
    output.stdout().lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

fn tab_completes(name: &str) {
    let ollama = Ollama::start();
    let sandbox = machine(&ollama.url());
    let mut terminal = shell(&sandbox, name);
    for (typed, wanted) in COMPLETED {
        press_tab(&mut terminal, typed, wanted);
    }
    // Several candidates are listed below the line.
    terminal.send("ollama-auth profile \t\t");
    terminal.wait_for(|screen| ["list", "remove", "show", "use"].iter().all(|word| screen.contains(word)));
}

#[test]
fn bash_completes_commands_options_and_values() {
    tab_completes("bash");
}

#[test]
fn zsh_completes_commands_options_and_values() {
    tab_completes("zsh");
}

#[test]
fn fish_completes_commands_options_and_values() {
    let ollama = Ollama::start();
    let sandbox = machine(&ollama.url());
    for (typed, wanted) in COMPLETED {
        let last = wanted.split(' ').next_back().unwrap();
        let found = fish(&sandbox, typed);
        let fitting = if *typed == "sign" { found.contains(&"signin".to_owned()) } else { found == [last] };
        assert!(fitting, "{typed:?}: {found:?}");
    }
    assert_eq!(fish(&sandbox, "profile "), ["list", "use", "show", "remove"]);
}

#[test]
fn tab_is_quick_and_quiet_where_the_host_and_the_keyring_do_not_answer() {
    let silent = Server::start(|_| Reply::script(200, [Step::Hang]));
    let mut sandbox = machine(&silent.url());
    let bus = UnixListener::bind(sandbox.path("run/bus")).unwrap();
    bus.set_nonblocking(true).unwrap();
    sandbox
        .set_env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", sandbox.path("run/bus").display()))
        .set_env("OLLAMA_API_KEY", "sk-secret-of-the-person");
    for name in ["bash", "zsh"] {
        let mut terminal = shell(&sandbox, name);
        let began = Instant::now();
        // The letter is read after Tab was answered.
        terminal.send("ollama-auth run ti\tx");
        terminal.wait_for(|screen| typed_line(screen) == "ready> ollama-auth run tix");
        assert!(began.elapsed() < Duration::from_secs(20), "{name}: {:?}", began.elapsed());
        terminal.send("\x15");
        press_tab(&mut terminal, "keys revoke night", "ollama-auth keys revoke nightly");
    }
    assert!(fish(&sandbox, "run ti").is_empty());
    assert!(!silent.requests().is_empty(), "the server on this machine was asked");
    assert!(silent.requests().iter().all(|request| request.authorization().is_none()));
    let error = bus.accept().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "Tab must not open the keyring");
}

#[test]
fn models_of_another_host_come_from_the_last_list_and_no_request() {
    let ollama = Ollama::start();
    let mut sandbox = machine(&ollama.url());
    sandbox.remove_env("OLLAMA_HOST");
    let names = json!({"version": 1, "hosts": {"https://gpu.example.com": {"models": ["llama3:8b", "qwen3"]}}});
    sandbox.write("home/.local/state/ollama-auth/names.json", names.to_string());
    assert_eq!(fish(&sandbox, "run --profile work l"), ["llama3:8b"]);
    assert_eq!(fish(&sandbox, "run --host https://gpu.example.com q"), ["qwen3"]);
    assert!(ollama.server().requests().is_empty());
}

#[test]
fn list_stores_names_for_tab_only_with_a_credential() {
    let ollama = Ollama::start();
    let sandbox = machine(&ollama.url());
    let file = sandbox.path("home/.local/state/ollama-auth/names.json");
    sandbox.command(["list"]).run().expect_code(0);
    assert!(!file.exists(), "a server without authentication is asked when Tab is pressed");
    sandbox.command(["list", "ti"]).env("OLLAMA_API_KEY", "some-key").run().expect_code(0);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("tiny:latest") && !text.contains("some-key"), "{text}");
}

#[test]
fn a_model_name_that_is_shell_code_is_inserted_harmlessly() {
    let ollama = Ollama::start();
    let models = json!({"models": [{"name": "evil$(touch pwned);:x"}, {"name": "bad\u{1b}[31m"}]});
    ollama.route("GET", "/api/tags", move |_| Reply::json(200, &models));
    let sandbox = machine(&ollama.url());
    let mut terminal = shell(&sandbox, "bash");
    press_tab(&mut terminal, "run evi", r"ollama-auth run evil\$\(touch\ pwned\)\;:x");
    let answer = sandbox.command(["__complete", "words", "ollama-auth", "run", "b"]).run().expect_code(0);
    assert_eq!(answer.stdout(), "words\n");
}
