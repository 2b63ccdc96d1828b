//! What our own commands show of a maintenance message.

use super::Given;
use crate::harness::http::{Reply, Server};

#[test]
fn a_command_shows_the_notice_once_and_never_in_its_output() {
    let given = Given::start();
    given.maintenance(&["on", "--message", "down at 14:00 \u{2713}"]);
    let listed = given.device.command(["keys", "list"]).run().expect_code(0);
    let says = format!("notice from {}: down at 14:00", given.gateway.url());
    assert_eq!(listed.stderr().replace('\n', " ").matches(&says).count(), 1, "{}", listed.stderr());
    assert!(!listed.stdout().contains("down at"));
    // `run` makes several requests.
    let run = given.device.command(["run", "tiny", "hi"]).run();
    assert_eq!(run.stderr().matches("down at 14:00").count(), 1, "{}", run.stderr());
    let json = given.device.command(["keys", "list", "--json"]).run().expect_code(0);
    assert!(json.json()["keys"].is_array() && !json.stdout().contains("down at"));
    assert!(
        json.stderr().contains("\"event\":\"warning\"") && json.stderr().contains("down at 14:00"),
        "{}",
        json.stderr()
    );
    let raw = given.device.command(["api", "/api/tags"]).run().expect_code(0);
    assert_eq!(raw.stderr().matches("down at 14:00").count(), 1, "{}", raw.stderr());
}

#[test]
fn a_refusal_is_told_once_and_run_can_wait_for_the_end() {
    let given = Given::start();
    given.maintenance(&["on", "--message", "new GPU", "--refuse", "--until", "2h"]);
    let refused = given.device.command(["run", "tiny", "hi"]).run().expect_code(7);
    let stderr = refused.stderr().replace('\n', " ");
    assert!(stderr.contains("this gateway is under maintenance: new GPU; try again in 2 hours"), "{stderr}");
    assert_eq!(stderr.matches("new GPU").count(), 1, "{stderr}");
    assert_eq!(stderr.matches("try again").count(), 1, "{stderr}");
    given.maintenance(&["on", "--message", "new GPU", "--refuse"]);
    let waiting = given.device.command(["run", "--wait", "tiny", "hi"]).spawn();
    waiting.wait_stderr(|text| text.contains("waiting until ") && text.contains("under maintenance: new GPU"));
    given.maintenance(&["off"]);
    waiting.finish();
}

#[test]
fn a_hostile_host_cannot_write_to_the_terminal_with_its_notice() {
    let host = Server::start(|_| {
        Reply::json(200, r#"{"models":[]}"#)
            .header("X-Ollama-Auth-Gateway", "1")
            .header("X-Ollama-Auth-Notice", "%1B%5B2J%0Afake%0D%C2%9B31m")
    });
    let listed = crate::harness::cmd::Sandbox::new().command(["list", "--host", &host.url()]).run().expect_code(0);
    let stderr = listed.stderr();
    assert!(stderr.contains("notice from") && stderr.contains("fake"), "{stderr}");
    assert!(!stderr.contains(['\u{1b}', '\u{9b}', '\r']) && stderr.trim_end().lines().count() <= 2, "{stderr:?}");
}
