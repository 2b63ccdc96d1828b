//! Streams, of any library: each piece arrives when it is sent, a broken stream raises an error, and a request ends when the program leaves.

use super::given::{Api, Call, Given, parts, raised, result};
use super::program::Language;
use super::upstream::{WHOLE, pieces, stream};
use crate::harness::http::{Gate, Reply, Step};

/// All of it.
pub fn check(given: &mut Given) {
    pieces_come_as_they_are_sent(given);
    what_breaks_off_raises(given);
    leaving_ends_it_behind(given, false);
    match (given.sdk.language, given.sdk.api) {
        // When what nobody holds any more is closed is a matter of Python's own.
        (Language::Python, _) => {}
        (Language::Node, Api::Ollama) => a_library_that_does_not_let_go(given),
        (Language::Node, _) => leaving_ends_it_behind(given, true),
    }
    an_answer_that_is_cut_raises(given);
}

/// The upstream server keeps the second piece back until the program has reported the first.
fn pieces_come_as_they_are_sent(given: &mut Given) {
    let path = given.sdk.path();
    let (gate, mut rest) = (Gate::new(), pieces(path));
    let first = rest.remove(0);
    let steps = [Step::send(first), Step::WaitFor(gate.clone())].into_iter().chain(rest.into_iter().map(Step::send));
    given.upstream.answer_next(stream(path, steps));
    given.begin(&given.sdk.question("tiny", true));
    let mut reports = vec![given.hear()];
    assert!(reports[0].get("part").is_some(), "{reports:?}");
    gate.open();
    while reports.last().unwrap().get("part").is_some() {
        reports.push(given.hear());
    }
    assert!(parts(&reports).len() > 1, "{reports:?}");
}

/// The upstream connection ends in the middle of an answer: closed, reset, closed in the midst of a line.
fn what_breaks_off_raises(given: &mut Given) {
    let path = given.sdk.path();
    let first = pieces(path).remove(0);
    for end in [vec![Step::Cut], vec![Step::Reset], vec![Step::send("{\"mess"), Step::Cut]] {
        let gate = Gate::new();
        let mut steps = vec![Step::send(first.clone()), Step::WaitFor(gate.clone())];
        steps.extend(end.clone());
        given.upstream.answer_next(stream(path, steps));
        given.begin(&given.sdk.question("tiny", true));
        let mut reports = vec![given.hear()];
        assert!(reports[0].get("part").is_some(), "{end:?}: {reports:?}");
        gate.open();
        while reports.last().unwrap().get("part").is_some() {
            reports.push(given.hear());
        }
        let raised = raised(&reports);
        // It is what the libraries say of a connection, not of an answer: Ollama's for JavaScript would miss the last piece of a clean end too.
        assert!(!raised["message"].as_str().unwrap().contains("Did not receive"), "{end:?}: {raised}");
        assert!(raised["status"].is_null() || raised["status"] == -1, "{end:?}: {raised}");
    }
}

/// The caller closes the stream, or just ends its loop.
fn leaving_ends_it_behind(given: &mut Given, breaks: bool) {
    let path = given.sdk.path();
    // Those that were cut by the server itself do not count.
    let first = pieces(path).remove(0);
    given.upstream.answer_next(stream(path, [Step::send(first), Step::Hang]));
    given.begin(&Call { breaks, ..given.sdk.question("tiny", true).leaving_after(1) });
    assert!(given.hear().get("part").is_some());
    assert_eq!(given.hear()["result"], "left");
    given.leavers += 1;
    given.upstream.wait_disconnects(given.leavers);
    // And the client is as good as before.
    let question = given.sdk.question("tiny", false).again();
    given.begin(&question);
    let report = given.hear();
    assert!(result(std::slice::from_ref(&report)).is_object(), "{report}");
}

/// After the end of the loop Ollama's library for JavaScript goes on taking the answer, which so comes to its end; docs/guides/sdks.md says so.
fn a_library_that_does_not_let_go(given: &mut Given) {
    let path = given.sdk.path();
    let (gate, end, mut rest) = (Gate::new(), Gate::new(), pieces(path));
    let first = [Step::send(rest.remove(0)), Step::WaitFor(gate.clone())];
    let last = [Step::WaitFor(end.clone())];
    let steps = first.into_iter().chain(rest.into_iter().map(Step::send)).chain(last);
    given.upstream.answer_next(stream(path, steps));
    given.begin(&Call { breaks: true, ..given.sdk.question("tiny", true).leaving_after(1) });
    assert!(given.hear().get("part").is_some());
    assert_eq!(given.hear()["result"], "left");
    gate.open();
    // Nobody stands there any more if the caller has left.
    end.wait_reached();
    end.open();
}

/// An answer in one piece that is shorter than announced.
fn an_answer_that_is_cut_raises(given: &mut Given) {
    let text = format!("{{\"model\":\"tiny\",\"message\":{{\"role\":\"assistant\",\"content\":\"{WHOLE}");
    // As often as a library may try.
    for _ in 0..3 {
        let cut = Reply::sized(200, 5000, [Step::send(text.clone()), Step::Cut]);
        given.upstream.answer_next(cut.header("Content-Type", "application/json"));
    }
    given.begin(&given.sdk.question("tiny", false));
    let report = given.hear();
    assert!(report["raised"]["type"].is_string(), "{report}");
    given.upstream.forget_answers();
}
