//! Concurrent rotations.

use std::fs;
use std::time::Duration;

use serde_json::json;

use super::Given;
use crate::given::says;
use crate::harness::poll;

/// A deploy command that says that it was begun, and waits for leave to end.
const WAIT_FOR_GO: &str = "echo begun > $HOME/begun; while [ ! -e $HOME/go ]; do :; done";

#[test]
fn one_of_fifty_runs_rotates_and_the_others_report_it() {
    let given = Given::new();

    let args = ["keys", "rotate", "nightly", "--deploy", WAIT_FOR_GO];
    let mut runs: Vec<_> =
        (0..50).map(|_| given.machine.command(args).deadline(Duration::from_secs(120)).spawn()).collect();
    poll("the run that rotates", || given.machine.path("home/begun").exists().then_some(()));
    // All but one end while that one is held.
    let acting = poll("the other forty-nine", || {
        let (ended, going): (Vec<_>, Vec<_>) =
            std::mem::take(&mut runs).into_iter().partition(|run| has_ended(run.pid()));
        for run in ended {
            let output = run.finish().expect_code(0);
            assert_eq!(output.stderr(), "Another rotation is running; nothing was done.\n");
        }
        runs = going;
        (runs.len() == 1).then(|| runs.pop().unwrap())
    });
    fs::write(given.machine.path("home/go"), "").unwrap();
    says(&acting.finish().expect_code(0), &["Replaced the key \"nightly\""]);
    given.assert_rotated();
    assert_eq!(given.keys().len(), 2);
}

/// A zombie has ended, too.
fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

/// Runs that start after the rotation see that the key is not due.
#[test]
fn one_of_twenty_concurrent_runs_rotates() {
    let given = Given::new();
    let runs: Vec<_> =
        (0..20).map(|_| given.machine.command(["keys", "rotate", "nightly", "--json"]).spawn()).collect();
    let reports: Vec<_> = runs.into_iter().map(|run| run.finish().expect_code(0).json()).collect();
    let acted = |report: &&serde_json::Value| report["rotations"][0]["outcome"] == "rotated";
    assert_eq!(reports.iter().filter(acted).count(), 1);
    let idle =
        |report: &serde_json::Value| report["busy"] == json!(true) || report["rotations"][0]["outcome"] == "not-due";
    assert_eq!(reports.iter().filter(|report| idle(report)).count(), 19);
    given.assert_rotated();
}

#[test]
fn a_waiting_run_finds_the_key_rotated() {
    let given = Given::new();

    let acting = given.machine.command(["keys", "rotate", "nightly", "--deploy", WAIT_FOR_GO]).spawn();
    poll("the run that rotates", || given.machine.path("home/begun").exists().then_some(()));
    let waiting = given.machine.command(["keys", "rotate", "nightly", "--wait"]).spawn();
    waiting.wait_stderr(|text| text.contains("waiting for it"));
    // Ctrl-C ends the waiting.
    let impatient = given.machine.command(["keys", "rotate", "nightly", "--wait"]).spawn();
    impatient.wait_stderr(|text| text.contains("waiting for it"));
    impatient.interrupt();
    impatient.finish().expect_code(130);
    fs::write(given.machine.path("home/go"), "").unwrap();
    acting.finish().expect_code(0);
    says(&waiting.finish().expect_code(0), &["was replaced less than a minute ago: nothing to do"]);
    assert_eq!(given.keys().len(), 2);
}
