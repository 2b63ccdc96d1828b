//! `run` against a loopback Ollama that answers as recorded: what is printed, byte for byte; how it ends; what is sent.

use serde_json::{Value, json};

use crate::harness::cmd::{Cmd, Sandbox};
use crate::harness::http::{Gate, Reply, Step};
use crate::harness::ollama::{Ollama, recorded};

fn run(sandbox: &Sandbox, ollama: &Ollama, args: &[&str]) -> Cmd {
    sandbox.command(["run"].iter().chain(args)).env("OLLAMA_HOST", ollama.url())
}

fn line(text: &str) -> Step {
    Step::send(format!("{}\n", json!({ "model": "tiny", "response": text, "done": false })))
}

fn done() -> Step {
    Step::send("{\"model\":\"tiny\",\"response\":\"\",\"done\":true,\"done_reason\":\"stop\"}\n")
}

/// What was sent to a path, in order.
fn bodies(ollama: &Ollama, path: &str) -> Vec<Value> {
    let requests = ollama.server().requests();
    requests.iter().filter(|request| request.path() == path).map(|request| request.json()).collect()
}

#[test]
fn prints_exactly_what_was_recorded() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let output =
        run(&sandbox, &ollama, &["tiny", "Why is the sky blue?", "--option", "num_predict=16"]).run().expect_code(0);
    assert_eq!(output.stdout(), format!("{}\n\n", recorded("generate").said()));
    assert_eq!(output.stderr(), "");
    assert_eq!(ollama.server().seen(), ["POST /api/show", "POST /api/generate"]);
    let sent = json!({ "model": "tiny", "prompt": "Why is the sky blue?", "options": { "num_predict": 16 } });
    assert_eq!(bodies(&ollama, "/api/generate"), [sent]);
}

#[test]
fn a_plain_local_run_needs_no_keyring_no_certificates_and_writes_nothing() {
    let (mut sandbox, ollama) = (Sandbox::new(), Ollama::start());
    sandbox.set_env("SSL_CERT_FILE", "/nonexistent").set_env("SSL_CERT_DIR", "/nonexistent");
    sandbox.set_env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
    sandbox.set_env("HTTP_PROXY", "http://127.0.0.1:1").set_env("http_proxy", "http://127.0.0.1:1");
    let before = sandbox.files();
    run(&sandbox, &ollama, &["tiny", "hi"]).run().expect_code(0);
    assert_eq!(sandbox.files(), before);
    assert!(ollama.server().requests().iter().all(|request| request.authorization().is_none()));
}

#[test]
fn the_first_token_is_out_before_the_second_is_sent() {
    let (sandbox, ollama, gate) = (Sandbox::new(), Ollama::start(), Gate::new());
    let held = gate.clone();
    ollama.route("POST", "/api/generate", move |_| {
        Reply::ndjson([line("first"), Step::WaitFor(held.clone()), line(" second"), done()])
    });
    let child = run(&sandbox, &ollama, &["tiny", "hi"]).spawn();
    child.wait_stdout(|text| text == "first");
    gate.open();
    assert_eq!(child.finish().expect_code(0).stdout(), "first second\n\n");
}

#[test]
fn a_line_cut_over_chunks_is_one_line() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    ollama.route("POST", "/api/generate", |_| {
        let whole = "{\"response\":\"h\u{e9}llo\",\"done\":false}\n{\"response\":\"!\",\"done\":true}";
        let pieces: Vec<_> = whole.as_bytes().chunks(3).map(|piece| Step::Send(piece.to_vec())).collect();
        Reply::ndjson(pieces)
    });
    let output = run(&sandbox, &ollama, &["tiny", "hi"]).run().expect_code(0);
    assert_eq!(output.stdout(), "h\u{e9}llo!\n\n");
}

#[test]
fn bytes_of_the_model_pass_a_pipe_unchanged() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    ollama.route("POST", "/api/generate", |_| Reply::ndjson([line("\u{1b}[31mred\u{7}\r\u{202e}"), done()]));
    let output = run(&sandbox, &ollama, &["tiny", "hi"]).run().expect_code(0);
    assert_eq!(output.stdout(), "\u{1b}[31mred\u{7}\r\u{202e}\n\n");
}

#[test]
fn piped_input_goes_in_front_of_the_prompt() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    run(&sandbox, &ollama, &["tiny", "sum", "it", "up"]).stdin("a text\n").run().expect_code(0);
    run(&sandbox, &ollama, &["tiny"]).stdin("alone").run().expect_code(0);
    let prompts: Vec<_> = bodies(&ollama, "/api/generate").iter().map(|body| body["prompt"].clone()).collect();
    assert_eq!(prompts, ["a text\n sum it up", "alone"]);
}

#[test]
fn every_flag_reaches_the_server() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    ollama.route("POST", "/api/generate", |_| Reply::ndjson([done()]));
    let schema = sandbox.write("home/schema.json", r#"{"type":"object"}"#);
    let format = schema.to_str().unwrap();
    run(
        &sandbox,
        &ollama,
        &[
            "tiny",
            "x",
            "--think=low",
            "--keepalive",
            "5m",
            "--system",
            "be brief",
            "--format",
            format,
            "--option",
            "temperature=0.5",
            "--option",
            "stop=[\"a\"]",
        ],
    )
    .run()
    .expect_code(0);
    run(&sandbox, &ollama, &["tiny", "x", "--think=false", "--format", "json", "--keepalive", "-1"])
        .run()
        .expect_code(0);
    assert_eq!(
        bodies(&ollama, "/api/generate"),
        [
            json!({
                "model": "tiny", "prompt": "x", "system": "be brief", "format": { "type": "object" },
                "options": { "temperature": 0.5, "stop": ["a"] }, "keep_alive": "300s", "think": "low",
            }),
            json!({ "model": "tiny", "prompt": "x", "format": "json", "keep_alive": "-1s", "think": false }),
        ]
    );
}

#[test]
fn a_model_that_thinks_is_asked_to_and_its_thinking_is_framed() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    ollama.route("POST", "/api/show", |_| Reply::json(200, json!({ "capabilities": ["completion", "thinking"] })));
    ollama.route("POST", "/api/generate", |_| {
        let thought =
            |text: &str| Step::send(format!("{}\n", json!({ "response": "", "thinking": text, "done": false })));
        Reply::ndjson([thought("Let me "), thought("see."), line("Blue."), done()])
    });
    let shown = run(&sandbox, &ollama, &["m", "x"]).run().expect_code(0);
    assert_eq!(shown.stdout(), "Thinking...\nLet me see.\n...done thinking.\n\nBlue.\n\n");
    let hidden = run(&sandbox, &ollama, &["m", "x", "--hidethinking"]).run().expect_code(0);
    assert_eq!(hidden.stdout(), "Blue.\n\n");
    assert!(bodies(&ollama, "/api/generate").iter().all(|body| body["think"] == true));
}

#[test]
fn json_output_is_one_object_and_only_of_an_answer_that_ended_well() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let args = ["tiny", "Why is the sky blue?", "--option", "num_predict=16", "--output", "json"];
    let output = run(&sandbox, &ollama, &args).run().expect_code(0);
    let answer = output.json();
    assert_eq!(answer["response"], recorded("generate").said());
    assert_eq!(answer["done_reason"], "length");
    assert_eq!(answer["eval_count"], 16);
    ollama.route("POST", "/api/generate", |_| Reply::ndjson([line("half")]));
    let output = run(&sandbox, &ollama, &["tiny", "x", "--output", "json"]).run().expect_code(1);
    assert_eq!(output.stdout(), "");
    let error: Value = serde_json::from_str(output.stderr()).unwrap();
    assert_eq!(error["error"]["exit_code"], 1);
}

#[test]
fn timings_go_to_stderr() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let args = ["tiny", "Why is the sky blue?", "--option", "num_predict=16", "--verbose"];
    let output = run(&sandbox, &ollama, &args).run().expect_code(0);
    assert_eq!(output.stdout(), format!("{}\n\n", recorded("generate").said()));
    for wanted in ["total duration:", "272.411394ms", "prompt eval count:", "39 token(s)", "eval rate:"] {
        assert!(output.stderr().contains(wanted), "{}", output.snapshot());
    }
}

#[test]
fn an_embedding_model_prints_the_vector() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    ollama.route("POST", "/api/show", |_| Reply::json(200, json!({ "capabilities": ["embedding"] })));
    ollama.route("POST", "/api/embed", |_| Reply::new(200, r#"{"model":"e","embeddings":[[0.1,-2e-7,3]]}"#));
    let args = ["e", "some", "text", "--truncate=false", "--dimensions", "3"];
    let output = run(&sandbox, &ollama, &args).run().expect_code(0);
    assert_eq!(output.stdout(), "[0.1,-2e-7,3]\n");
    assert_eq!(
        bodies(&ollama, "/api/embed"),
        [json!({ "model": "e", "input": "some text", "truncate": false, "dimensions": 3 })]
    );
    let output = run(&sandbox, &ollama, &["e"]).run().expect_code(2);
    assert!(output.stderr().contains("needs text"), "{}", output.snapshot());
}

#[test]
fn images_named_in_the_prompt_are_attached_for_a_model_that_sees() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let picture = sandbox.write("home/my cat.png", b"\x89PNG\r\n\x1a\nrest");
    let fake = sandbox.write("home/key.png", "-----BEGIN OPENSSH PRIVATE KEY-----");
    ollama.route("POST", "/api/show", |_| Reply::json(200, json!({ "capabilities": ["completion", "vision"] })));
    ollama.route("POST", "/api/generate", |_| Reply::ndjson([done()]));
    let prompt = format!("what is in '{}' ?", picture.display());
    run(&sandbox, &ollama, &["v", &prompt]).run().expect_code(0);
    let sent = bodies(&ollama, "/api/generate").remove(0);
    assert_eq!(sent["images"], json!(["iVBORw0KGgpyZXN0"]));
    assert_eq!(sent["prompt"], "what is in  ?");
    // What is not a picture is not sent, whatever its name; and piped text does not choose files.
    let output = run(&sandbox, &ollama, &["v", &format!("look at {}", fake.display())]).run().expect_code(1);
    assert!(output.stderr().contains("is not a JPEG"), "{}", output.snapshot());
    run(&sandbox, &ollama, &["v"]).stdin(format!("see {}", picture.display())).run().expect_code(0);
    assert_eq!(bodies(&ollama, "/api/generate")[1]["images"], Value::Null);
}

#[test]
fn a_missing_model_is_pulled_first() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let pulled = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (here, now) = (pulled.clone(), pulled);
    ollama.route("POST", "/api/show", move |_| {
        if here.load(std::sync::atomic::Ordering::SeqCst) {
            Reply::json(200, "{\"capabilities\":[\"completion\"]}")
        } else {
            Reply::json(404, "{\"error\":\"model 'new' not found\"}")
        }
    });
    ollama.route("POST", "/api/pull", move |_| {
        now.store(true, std::sync::atomic::Ordering::SeqCst);
        let layer = |completed: u64| {
            Step::send(format!("{{\"status\":\"pulling 0123456789ab\",\"digest\":\"sha256:0123456789abcdef\",\"total\":100,\"completed\":{completed}}}\n"))
        };
        Reply::ndjson([
            Step::send("{\"status\":\"pulling manifest\"}\n"),
            layer(10),
            layer(100),
            Step::send("{\"status\":\"verifying sha256 digest\"}\n{\"status\":\"success\"}\n"),
        ])
    });
    ollama.route("POST", "/api/generate", |_| Reply::ndjson([line("hi"), done()]));
    let output = run(&sandbox, &ollama, &["new", "x"]).run().expect_code(0);
    assert_eq!(output.stdout(), "hi\n\n");
    let seen = ["POST /api/show", "POST /api/pull", "POST /api/show", "POST /api/generate"];
    assert_eq!(ollama.server().seen(), seen);
}

#[test]
fn a_model_that_cannot_be_pulled_is_an_error() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let output = run(&sandbox, &ollama, &["nope", "x"]).run().expect_code(1);
    assert!(output.stderr().contains("no such host"), "{}", output.snapshot());
    ollama.route("POST", "/api/pull", |_| {
        Reply::ndjson([Step::send("{\"error\":\"pull model manifest: file does not exist\"}\n")])
    });
    run(&sandbox, &ollama, &["nope", "x"]).run().expect_code(3);
    assert_eq!(ollama.server().count("POST", "/api/generate"), 0);
}

#[test]
fn a_cloud_model_of_a_server_that_is_not_signed_in_is_exit_4() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    ollama.route("POST", "/api/show", |_| Reply::json(200, "{\"capabilities\":[\"completion\"]}"));
    ollama.replay_always("cloud401");
    let output = run(&sandbox, &ollama, &["gpt-oss:120b-cloud", "hi"]).run().expect_code(4);
    assert_eq!(output.stdout(), "");
    assert!(output.stderr().contains("ollama-auth signin --server"), "{}", output.snapshot());
    assert_eq!(bodies(&ollama, "/api/generate")[0]["model"], "gpt-oss:120b-cloud");
    // A cloud model is never pulled.
    ollama.route("POST", "/api/show", |_| Reply::json(404, "{\"error\":\"model not found\"}"));
    run(&sandbox, &ollama, &["gpt-oss:120b-cloud", "hi"]).run().expect_code(3);
    assert_eq!(ollama.server().count("POST", "/api/pull"), 0);
}

#[test]
fn an_option_with_a_wrong_value_is_refused_and_an_unknown_one_is_sent_with_a_warning() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    ollama.route("POST", "/api/generate", |_| Reply::ndjson([done()]));
    for (option, words) in [
        ("temperature=hot", "temperature takes a number, not \"hot\""),
        ("num_ctx=4k", "num_ctx takes a whole number, not \"4k\""),
        ("use_mmap=maybe", "use_mmap takes true or false"),
    ] {
        let output = run(&sandbox, &ollama, &["tiny", "hi", "--option", option]).run().expect_code(2);
        assert!(output.stderr().contains(words), "{}", output.snapshot());
    }
    assert!(ollama.server().requests().is_empty());
    let args = ["tiny", "hi", "--option", "nosuch=1", "--option", "stop=a b", "--option", "temperature=1"];
    let output = run(&sandbox, &ollama, &args).run().expect_code(0);
    assert!(output.stderr().contains("unknown parameter \"nosuch\""), "{}", output.snapshot());
    let sent = json!({ "nosuch": 1, "stop": ["a b"], "temperature": 1.0 });
    assert_eq!(bodies(&ollama, "/api/generate")[0]["options"], sent);
}

#[test]
fn an_empty_prompt_prints_nothing() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    ollama.route("POST", "/api/generate", |_| {
        Reply::json(200, json!({ "model": "tiny", "response": "", "done": true, "done_reason": "load" }))
    });
    for args in [&["tiny"][..], &["tiny", ""]] {
        assert_eq!(run(&sandbox, &ollama, args).run().expect_code(0).stdout(), "");
        assert_eq!(run(&sandbox, &ollama, args).stdin("").run().expect_code(0).stdout(), "");
    }
}
