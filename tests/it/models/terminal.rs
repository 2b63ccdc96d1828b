//! How it looks in a terminal: as many bars as there is room for, layers that restart, tables, questions.

use serde_json::json;

use super::{layer, line, status, streams};
use crate::harness::cmd::Sandbox;
use crate::harness::http::{Gate, Reply, Step};
use crate::harness::ollama::Ollama;
use crate::harness::pty::{Finished, Terminal};

fn setup() -> (Sandbox, Ollama) {
    let (mut sandbox, ollama) = (Sandbox::new(), Ollama::start());
    sandbox.set_env("OLLAMA_HOST", ollama.url());
    (sandbox, ollama)
}

#[track_caller]
fn assert_tidy(finished: &Finished, code: u32) {
    assert_eq!(finished.code, code, "{}", finished.screen);
    assert!(finished.restored && !finished.hidden_cursor && finished.column == 0, "{}", finished.screen);
}

#[test]
fn a_host_with_a_thousand_layers_does_not_fill_the_screen() {
    for rows in [24, 6] {
        let (sandbox, ollama) = setup();
        let (middle, end) = (Gate::new(), Gate::new());
        let unfinished = (0..1000).map(|number| layer(&format!("{number:012}"), 100, 50));
        let finished = (0..1000).map(|number| layer(&format!("f{number:011}"), 100, 100));
        let steps = unfinished
            .chain([Step::WaitFor(middle.clone())])
            .chain((0..1000).map(|number| layer(&format!("{number:012}"), 100, 100)));
        let steps = steps.chain(finished).chain([
            layer("fffffffffffe", 100, 50),
            status("verifying sha256 digest"),
            Step::WaitFor(end.clone()),
            status("success"),
        ]);
        streams(&ollama, "/api/pull", steps);
        let terminal = Terminal::start_sized(&sandbox, &["pull", "new"], 80, rows);
        // What finds no room is at least named.
        let screen = terminal.wait_text("pulling 000000000999");
        assert!(screen.contains("000000000000"), "the first stays:\n{screen}");
        assert!(screen.lines().count() < usize::from(rows), "{screen}");
        middle.open();
        let screen = terminal.wait_text("verifying sha256 digest");
        assert!(screen.contains("fffffffffffe"), "a finished one makes room:\n{screen}");
        assert!(screen.lines().count() < usize::from(rows), "{screen}");
        end.open();
        let finished = terminal.finish();
        assert_tidy(&finished, 0);
        assert_eq!(finished.screen.trim_end(), format!("✓ {} has new", ollama.url()));
    }
}

#[test]
fn a_restarted_layer_moves_the_bar_back() {
    let (sandbox, ollama) = setup();
    let gates: Vec<Gate> = (0..3).map(|_| Gate::new()).collect();
    let sizes = [(10, 10), (10, 2), (20, 15)];
    let steps = sizes.iter().zip(&gates).flat_map(|((total, completed), gate)| {
        [layer("aaaaaaaaaaaa", total << 20, completed << 20), Step::WaitFor(gate.clone())]
    });
    streams(&ollama, "/api/pull", steps.chain([status("success")]));
    let terminal = Terminal::start(&sandbox, &["pull", "new"]);
    for ((total, completed), gate) in sizes.iter().zip(&gates) {
        let screen = terminal.wait_text(&format!("{completed}.00 MiB/{total}.00 MiB"));
        assert_eq!(screen.matches("aaaaaaaaaaaa").count(), 1, "{screen}");
        gate.open();
    }
    assert_tidy(&terminal.finish(), 0);
}

#[test]
fn ctrl_c_says_that_the_transfer_can_continue() {
    let (sandbox, ollama) = setup();
    streams(&ollama, "/api/pull", [layer("aaaaaaaaaaaa", 10 << 20, 1 << 20), Step::Hang]);
    let mut terminal = Terminal::start_sized(&sandbox, &["pull", "new"], 120, 24);
    terminal.wait_text("aaaaaaaaaaaa");
    terminal.send("\x03");
    let finished = terminal.finish();
    assert_tidy(&finished, 130);
    assert!(finished.screen.contains("keeps what it has of new"), "{}", finished.screen);
    assert!(!finished.screen.contains("aaaaaaaaaaaa"), "{}", finished.screen);
    ollama.server().wait_disconnects(1);
}

#[test]
fn a_cloud_model_of_the_same_name_is_offered() {
    for (answer, code, pulled) in [("\r", 0, &["big", "big:cloud"][..]), ("n\r", 3, &["big"])] {
        let (sandbox, ollama) = setup();
        ollama.route("POST", "/api/show", |_| Reply::json(200, "{}"));
        ollama.route("POST", "/api/pull", |request| {
            let error = line(json!({ "error": "pull model manifest: file does not exist" }));
            let found = String::from_utf8_lossy(&request.body).contains("big:cloud");
            Reply::ndjson([if found { status("success") } else { error }])
        });
        let mut terminal = Terminal::start_sized(&sandbox, &["pull", "big"], 120, 24);
        terminal.wait_text("Did you mean big:cloud");
        terminal.send(answer);
        assert_tidy(&terminal.finish(), code);
        let models: Vec<_> = super::bodies(&ollama, "/api/pull").iter().map(|body| body["model"].clone()).collect();
        assert_eq!(models, pulled);
    }
}

#[test]
fn a_table_and_a_card_are_whole_lines() {
    let (sandbox, _ollama) = setup();
    let finished = Terminal::start(&sandbox, &["list"]).finish();
    assert_tidy(&finished, 0);
    let rows: Vec<&str> = finished.screen.lines().collect();
    assert!(rows[0].starts_with("NAME         ID            SIZE    MODIFIED"), "{}", finished.screen);
    assert!(rows[1].starts_with("tiny:latest  65172b9f48b9  4.1 MB  "), "{}", finished.screen);
    let finished = Terminal::start(&sandbox, &["show", "tiny"]).finish();
    assert_tidy(&finished, 0);
    assert!(finished.screen.starts_with("  Model\n    architecture        llama\n"), "{}", finished.screen);
}
