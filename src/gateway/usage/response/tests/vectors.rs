//! Whole responses, in one piece and in many.

use super::*;

fn expected_status(vector: &Vector) -> UsageStatus {
    if vector.status == "complete" { UsageStatus::Complete } else { UsageStatus::Failed }
}

#[test]
fn the_status_and_the_counts_are_those_that_ollama_was_given() {
    let vectors = Vector::all();
    assert!(vectors.len() > 150);
    for vector in vectors {
        let (out, scan) = passed(vector.scan(false), [vector.body.as_bytes()]);
        assert_eq!(out, vector.body.as_bytes(), "{}", vector.name);
        let (status, tokens) = scan.result(Ended::Clean, ESTIMATE);
        assert_eq!(status, expected_status(&vector), "{}", vector.name);
        match vector.counts() {
            Some((input, output)) => assert_eq!(tokens, exact(input, output), "{}", vector.name),
            None if vector.http_status != 200 => assert_eq!(tokens, exact(0, 0), "{}", vector.name),
            None => assert_eq!((tokens.input, tokens.is_estimate), (ESTIMATE, true), "{}", vector.name),
        }
    }
}

#[test]
fn a_response_in_pieces_has_the_same_result() {
    for vector in Vector::all() {
        let body = vector.body.as_bytes();
        let whole = passed(vector.scan(false), [body]).1;
        let same = |pieces: &mut dyn Iterator<Item = &[u8]>, note: &str| {
            let (out, scan) = passed(vector.scan(false), pieces);
            assert_eq!(out, body, "{} {note}", vector.name);
            assert_eq!(scan.result(Ended::Clean, 7), whole.result(Ended::Clean, 7), "{} {note}", vector.name);
            assert_eq!(scan.output_so_far(), whole.output_so_far(), "{} {note}", vector.name);
            assert_eq!(scan.has_content(), whole.has_content(), "{} {note}", vector.name);
        };
        for size in [1, 2, 3, 7, 64] {
            same(&mut body.chunks(size), &format!("in pieces of {size}"));
        }
        // Pieces of one byte are cut everywhere; long ones only take their time.
        for cut in (0..=body.len()).step_by(body.len() / 1000 + 1) {
            same(&mut [&body[..cut], &body[cut..]].into_iter(), &format!("cut at {cut}"));
        }
    }
}

#[test]
fn a_stream_without_its_usage_event_is_the_one_that_was_asked_for() {
    let mut compared = 0;
    for vector in Vector::all().into_iter().filter(|vector| vector.api() == Api::OpenAiChat) {
        let Some(without) = &vector.without else { continue };
        compared += 1;
        let body = vector.body.as_bytes();
        for size in [1, 2, 3, 7, 64, 100_000] {
            let (out, scan) = passed(vector.scan(true), body.chunks(size));
            assert_eq!(String::from_utf8_lossy(&out), *without, "{} in pieces of {size}", vector.name);
            let (status, tokens) = scan.result(Ended::Clean, ESTIMATE);
            assert_eq!(status, expected_status(&vector), "{}", vector.name);
            if let Some((input, output)) = vector.counts() {
                assert_eq!(tokens, exact(input, output), "{}", vector.name);
            }
        }
        for cut in 0..=body.len() {
            let (out, _) = passed(vector.scan(true), [&body[..cut], &body[cut..]]);
            assert_eq!(String::from_utf8_lossy(&out), *without, "{} cut at {cut}", vector.name);
        }
    }
    assert!(compared > 8);
}

/// Only a stream of that API has the event, and only one that was changed for it.
#[test]
fn nothing_else_is_taken_out() {
    for vector in Vector::all() {
        let is_changed = vector.api() == Api::OpenAiChat && vector.without.is_some();
        if !is_changed {
            let (out, _) = passed(vector.scan(true), vector.body.as_bytes().chunks(5));
            assert_eq!(String::from_utf8_lossy(&out), vector.body, "{}", vector.name);
        }
    }
}

/// A piece that holds no usage event is passed on as it is.
#[test]
fn pieces_are_not_copied() {
    let vectors = Vector::all();
    let vector = vectors.iter().find(|vector| vector.without.is_some() && vector.api() == Api::OpenAiChat).unwrap();
    let mut scan = vector.scan(true);
    for event in vector.body.split_inclusive("\n\n") {
        let piece = Bytes::copy_from_slice(event.as_bytes());
        let out = scan.pass(piece.clone());
        assert_eq!(scan.held(), 0);
        if event.contains("\"usage\"") {
            assert!(out.is_empty());
        } else {
            assert_eq!((out.as_ptr(), out.len()), (piece.as_ptr(), piece.len()), "{event}");
        }
    }
}

#[test]
fn events_with_content_are_counted_one_by_one() {
    let mut counted = 0;
    for vector in Vector::all() {
        let count = |text: &str| vector.body.matches(text).count();
        let events = match (vector.api(), vector.content_type.as_str()) {
            (Api::Messages, EVENTS) => count("event: content_block_delta"),
            (Api::Responses, EVENTS) => count(".delta\"}"),
            // The four tokens of the scenario.
            (_, EVENTS | STREAM) if vector.name.ends_with(": plain") && vector.api() != Api::Transcription => 4,
            _ => continue,
        };
        counted += 1;
        let (_, scan) = passed(vector.scan(false), [vector.body.as_bytes()]);
        assert_eq!(scan.output_so_far(), events as u64, "{}", vector.name);
        assert_eq!(scan.has_content(), events > 0, "{}", vector.name);
    }
    assert!(counted > 20);
}

#[test]
fn each_route_of_the_table_that_runs_a_model_has_an_api() {
    use crate::gateway::routes::ROUTES;
    use crate::keyspec::Scope;
    let inference = crate::gateway::routes::Access::Upstream(Scope::Inference);
    for route in ROUTES {
        let runs = route.access == inference && !route.path.starts_with("/api/experimental/");
        assert_eq!(Api::of(route.path).is_some(), runs, "{}", route.path);
    }
}

/// Otherwise a stream takes several times as long.
#[test]
fn the_messages_of_tokens_are_read_at_once() {
    use crate::gateway::usage::response::token_line::TokenLines;
    for vector in Vector::all() {
        let api = vector.api();
        let is_stream = [STREAM, EVENTS].contains(&vector.content_type.as_str());
        if is_stream && vector.name.ends_with(": plain") && [Api::Generate, Api::Chat, Api::OpenAiChat].contains(&api) {
            let (mut of_lines, mut of_events) = (TokenLines::new(api), TokenLines::new(api));
            let lines = vector.body.split_inclusive('\n');
            let lines = lines.filter(|line| of_lines.in_sequence(line.as_bytes()).is_some());
            let events = vector.body.split_inclusive("\n\n");
            let events = events.filter(|event| of_events.in_events(event.as_bytes()).is_some());
            // The first chunk of OpenAI has a role besides.
            let expected = if api == Api::OpenAiChat { (0, 3) } else { (4, 0) };
            assert_eq!((lines.count(), events.count()), expected, "{}", vector.name);
        }
    }
}
