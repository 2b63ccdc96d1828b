//! `run` when things go wrong: each kind of failure has its own message and exit code, and what was printed stays.

use serde_json::json;

use crate::harness::cmd::{Output, Sandbox};
use crate::harness::http::{Reply, Server, Step};
use crate::harness::ollama::Ollama;
use crate::harness::set_clock::SetClock;

fn run_at(sandbox: &Sandbox, host: &str, more: &[&str]) -> Output {
    sandbox.command(["run", "tiny", "hi"].iter().chain(more)).env("OLLAMA_HOST", host).run()
}

fn with_generate(reply: impl Fn() -> Reply + Send + Sync + 'static) -> (Sandbox, Ollama) {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    ollama.route("POST", "/api/generate", move |_| reply());
    (sandbox, ollama)
}

fn line(text: &str) -> Step {
    Step::send(format!("{}\n", json!({ "response": text, "done": false })))
}

#[track_caller]
fn says(output: &Output, wanted: &[&str]) {
    for text in wanted {
        assert!(output.stderr().contains(text), "{text:?} is missing\n{}", output.snapshot());
    }
}

#[test]
fn each_status_has_its_exit_code_and_message() {
    let cases: [(u16, i32, &str); 7] = [
        (400, 1, "answered 400"),
        (401, 4, "refused"),
        (403, 5, "does not allow this"),
        (404, 3, "has no model"),
        (429, 7, "cannot answer now (429)"),
        (500, 1, "answered 500"),
        (503, 7, "cannot answer now (503)"),
    ];
    for (status, code, text) in cases {
        let (sandbox, ollama) = with_generate(move || Reply::json(status, json!({ "error": "the host's words" })));
        let output = run_at(&sandbox, &ollama.url(), &[]).expect_code(code);
        says(&output, &[text, "the host's words", &ollama.url()]);
        assert_eq!(output.stdout(), "");
        assert_eq!(ollama.server().count("POST", "/api/generate"), 1, "inference is never repeated");
    }
}

#[test]
fn retry_after_is_told() {
    let (sandbox, ollama) = with_generate(|| Reply::retry_after(429, "17"));
    says(&run_at(&sandbox, &ollama.url(), &[]).expect_code(7), &["try again in 17 s"]);
}

#[test]
fn errors_can_be_json() {
    let (sandbox, ollama) = with_generate(|| Reply::json(403, "{\"error\":\"no\"}"));
    let output = run_at(&sandbox, &ollama.url(), &["--json"]).expect_code(5);
    let error: serde_json::Value = serde_json::from_str(output.stderr()).unwrap();
    assert_eq!(error["error"]["code"], "not-allowed");
    assert_eq!(error["error"]["exit_code"], 5);
    assert!(error["error"]["hint"].is_string());
}

#[test]
fn an_error_inside_the_stream_keeps_what_came() {
    let (sandbox, ollama) =
        with_generate(|| Reply::ndjson([line("half an"), Step::send("{\"error\":\"out of memory\"}\n")]));
    let output = run_at(&sandbox, &ollama.url(), &[]).expect_code(1);
    assert_eq!(output.stdout(), "half an");
    says(&output, &["stopped with an error", "out of memory"]);
}

#[test]
fn a_stream_that_is_cut_is_an_error() {
    let endings: [fn() -> Reply; 4] = [
        || Reply::ndjson([line("half")]),
        || Reply::ndjson([line("half"), Step::Cut]),
        || Reply::ndjson([line("half"), Step::Reset]),
        || Reply::until_close(200, [line("half")]),
    ];
    for ending in endings {
        let (sandbox, ollama) = with_generate(ending);
        let output = run_at(&sandbox, &ollama.url(), &[]).expect_code(1);
        assert_eq!(output.stdout(), "half", "{}", output.snapshot());
        says(&output, &["was cut off", "run the command again"]);
    }
}

#[test]
fn malformed_lines_in_the_stream_are_an_error() {
    let (sandbox, ollama) = with_generate(|| Reply::ndjson([line("half"), Step::send("<html>\n")]));
    let output = run_at(&sandbox, &ollama.url(), &[]).expect_code(1);
    assert_eq!(output.stdout(), "half");
    says(&output, &["a line is not JSON"]);
}

#[test]
fn a_line_of_ten_megabytes_works_and_one_above_sixty_four_is_an_error() {
    let (sandbox, ollama) = with_generate(|| {
        let long = "x".repeat(10 << 20);
        Reply::ndjson([Step::send(format!("{{\"response\":\"{long}\",\"done\":true}}\n"))])
    });
    let output = run_at(&sandbox, &ollama.url(), &[]).expect_code(0);
    assert_eq!(output.stdout.len(), (10 << 20) + 2);
    let (sandbox, ollama) = with_generate(|| {
        let part = vec![b'x'; 1 << 20];
        let begin = Step::send("{\"response\":\"");
        Reply::ndjson(std::iter::once(begin).chain((0..66).map(move |_| Step::Send(part.clone()))))
    });
    let output = run_at(&sandbox, &ollama.url(), &[]).expect_code(1);
    says(&output, &["a line of more than"]);
}

#[test]
fn an_answer_that_is_collected_for_json_is_bounded() {
    for member in ["response", "thinking"] {
        let (sandbox, ollama) = with_generate(move || {
            let part = format!("{}\n", json!({ (member): "x".repeat(1 << 20), "done": false }));
            Reply::ndjson(std::iter::repeat_n(Step::send(part), 70).chain([Step::Hang]))
        });
        let output = run_at(&sandbox, &ollama.url(), &["--output", "json"]).expect_code(1);
        says(&output, &["was stopped at 64 MiB", "--output text", "num_predict"]);
        assert_eq!(output.stdout(), "");
        ollama.server().wait_disconnects(1);
    }
}

#[test]
fn a_time_limit_holds_between_tokens() {
    let (mut sandbox, ollama) = with_generate(|| Reply::ndjson([line("half"), Step::Hang]));
    let clock = SetClock::stopped(&mut sandbox);
    let args = ["run", "tiny", "hi", "--host", &ollama.url(), "--timeout", "300ms"];
    let child = sandbox.command(args).spawn();
    child.wait_stdout(|text| text == "half");
    clock.run();
    says(&child.finish().expect_code(6), &["nothing more came for 0.3 seconds"]);
    ollama.server().wait_disconnects(1);
}

#[test]
fn a_reader_that_leaves_is_no_error_and_ends_the_request() {
    let (sandbox, ollama) = with_generate(|| {
        let lines = (0..).map(|number| line(&format!("{number}\n")));
        Reply::ndjson(lines.take(200_000))
    });
    let script = format!("{} run tiny hi | head -n 1; exit \"${{PIPESTATUS[0]}}\"", crate::harness::cmd::PROGRAM);
    let head = crate::harness::tool("head");
    let path = head.parent().unwrap();
    let output = sandbox
        .program("/bin/bash", ["-c", &script])
        .env("PATH", path)
        .env("OLLAMA_HOST", ollama.url())
        .run()
        .expect_code(0);
    assert_eq!(output.stdout(), "0\n");
    assert_eq!(output.stderr(), "");
}

#[test]
fn an_unreachable_host_is_exit_6() {
    let sandbox = Sandbox::new();
    let free = Server::strict().url();
    let output = run_at(&sandbox, &free, &[]).expect_code(6);
    says(&output, &["cannot reach", "Connection refused"]);
    let output = run_at(&sandbox, "nonexistent.invalid", &[]).expect_code(6);
    says(&output, &["its name cannot be resolved"]);
}

#[test]
fn a_connection_that_ends_before_the_answer_is_tried_again_only_where_that_is_harmless() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    ollama.route("POST", "/api/generate", |_| Reply::drop_connection());
    let output = run_at(&sandbox, &ollama.url(), &[]).expect_code(6);
    says(&output, &["the connection ended before an answer came"]);
    assert_eq!(ollama.server().count("POST", "/api/generate"), 1);
    ollama.route("POST", "/api/show", |_| Reply::drop_connection());
    run_at(&sandbox, &ollama.url(), &[]).expect_code(6);
    assert_eq!(ollama.server().count("POST", "/api/show"), 3);
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Server::strict();
    let to = format!("{}/api/generate", elsewhere.url());
    let (sandbox, ollama) = with_generate(move || Reply::redirect(307, &to));
    let output = sandbox
        .command(["run", "tiny", "hi", "--host", &ollama.url()])
        .env("OLLAMA_API_KEY", "a-secret-api-key")
        .run()
        .expect_code(1);
    says(&output, &["redirects to", "which is not followed"]);
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn wrong_usage() {
    let sandbox = Sandbox::new();
    for args in [
        &["run"][..],
        &["run", ""],
        &["run", "m:cloud:local", "x"],
        &["run", "m", "x", "--think=hard"],
        &["run", "m", "x", "--format", "/nonexistent"],
        &["run", "m", "x", "--host", "ftp://h"],
        &["run", "m", "x", "--host", "http://user:secret@h"],
        &["frobnicate"],
    ] {
        let output = sandbox.command(args).run().expect_code(2);
        assert_eq!(output.stdout(), "");
        assert!(!output.stderr().contains("secret"), "{}", output.snapshot());
    }
}

#[cfg(unix)]
#[test]
fn arguments_and_variables_that_are_no_text_are_wrong_usage() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::new();
    let bad = OsStr::from_bytes(b"\xff\xfe");
    sandbox.command([OsStr::new("run"), OsStr::new("m"), bad]).run().expect_code(2);
    let output = sandbox.command(["run", "m", "x"]).env("OLLAMA_HOST", bad).run().expect_code(2);
    says(&output, &["OLLAMA_HOST is not valid UTF-8"]);
    let output = sandbox.command(["run", "m"]).stdin(b"\xff").run().expect_code(2);
    says(&output, &["not valid UTF-8"]);
}

#[test]
fn with_a_damaged_profiles_file_no_prompt_is_sent_until_a_person_acts() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let path = sandbox.write("home/.config/ollama-auth/profiles.json", "{\"version\":1,\"pro");
    let mut hint = String::new();
    for _ in 0..3 {
        let output = run_at(&sandbox, &ollama.url(), &[]).expect_code(1);
        says(&output, &["profiles.json", "is damaged", "the file was not changed", "restore a backup"]);
        hint = output.stderr().lines().find_map(|line| line.split_once("mv ")).unwrap().1.to_owned();
        // A command that changes the profiles fails the same.
        sandbox.command(["signin", "--host", &ollama.url()]).run().expect_code(1);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"version\":1,\"pro");
    }
    assert!(ollama.server().requests().is_empty());
    let move_it = format!("mv {hint}");
    sandbox.program("/bin/sh", ["-c", &move_it]).env("PATH", "/usr/bin:/bin").run().expect_code(0);
    run_at(&sandbox, &ollama.url(), &[]).expect_code(0);
}

#[test]
fn the_time_limit_holds_for_a_pipe_that_nobody_closes() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let script = format!("{} run tiny hi --timeout 300ms < fifo", crate::harness::cmd::PROGRAM);
    let script = format!("{} fifo; exec 9<>fifo; {script}", crate::harness::tool("mkfifo").display());
    let output = sandbox.program("/bin/bash", ["-c", &script]).env("OLLAMA_HOST", ollama.url()).run().expect_code(2);
    says(&output, &["standard input did not end", "</dev/null"]);
    assert!(ollama.server().requests().is_empty());
}
