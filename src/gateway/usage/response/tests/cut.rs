//! Responses that were cut at every byte.

use super::*;

/// Where the final message of a response ends, and where its counts end: found in the text, not by the code that is tested.
struct Ends {
    counts: Option<usize>,
    message: Option<usize>,
}

/// The end of what stands after `name` at its last place, up to the first of `,}`.
fn number_end(body: &str, name: &str) -> Option<usize> {
    let at = body.rfind(name)? + name.len();
    body[at..].find([',', '}']).map(|end| at + end + 1)
}

fn ends(vector: &Vector) -> Ends {
    let body = vector.body.as_str();
    let (input, output) = match vector.api() {
        Api::Generate | Api::Chat => ("\"prompt_eval_count\":", "\"eval_count\":"),
        Api::OpenAiChat | Api::OpenAiCompletions => ("\"prompt_tokens\":", "\"completion_tokens\":"),
        _ => ("\"input_tokens\":", "\"output_tokens\":"),
    };
    let counts = number_end(body, input).max(number_end(body, output));
    let is_stream = [STREAM, EVENTS].contains(&vector.content_type.as_str());
    let message = match vector.api() {
        Api::Messages if is_stream => body.find("\n\nevent: message_stop"),
        Api::OpenAiChat | Api::OpenAiCompletions if is_stream => body.find("\n\ndata: [DONE]"),
        _ => Some(body.trim_end().len()),
    };
    Ends { counts: counts.filter(|_| vector.counts().is_some()), message }
}

#[test]
fn what_was_cut_after_its_counts_is_exact() {
    let mut compared = 0;
    for vector in Vector::all() {
        let embeds = vector.api().is_embedding() || vector.api() == Api::Transcription;
        if embeds || vector.status != "complete" || vector.counts().is_none() || vector.counts().unwrap().0 == 0 {
            continue;
        }
        let (input, output) = vector.counts().unwrap();
        let Ends { counts, message } = ends(&vector);
        let (counts, message) = (counts.unwrap(), message.unwrap());
        assert!(counts <= message, "{}", vector.name);
        compared += 1;
        let mut scan = vector.scan(false);
        for cut in 0..=vector.body.len() {
            for (ended, status) in [(Ended::Broken, UsageStatus::Cut), (Ended::CallerLeft, UsageStatus::Cancelled)] {
                let (found, tokens) = scan.result(ended, ESTIMATE);
                let note = format!("{} cut at {cut} of {}", vector.name, vector.body.len());
                assert_eq!(found, if cut >= message { UsageStatus::Complete } else { status }, "{note}");
                if cut >= counts {
                    assert_eq!(tokens, exact(input, output), "{note}");
                } else {
                    assert!(tokens.is_estimate, "{note}: {tokens:?}");
                    assert!([input, ESTIMATE].contains(&tokens.input), "{note}: {tokens:?}");
                }
            }
            scan.pass(Bytes::copy_from_slice(vector.body.as_bytes().get(cut..=cut).unwrap_or_default()));
        }
    }
    assert!(compared >= 60);
}

/// A clean end before the final message is a failure, wherever it is.
#[test]
fn a_clean_end_too_early_is_a_failure() {
    for vector in Vector::all() {
        if vector.status != "complete" || vector.counts().is_none() || vector.api().is_embedding() {
            continue;
        }
        let message = ends(&vector).message.unwrap();
        let mut scan = vector.scan(false);
        for cut in 0..message {
            assert_eq!(scan.result(Ended::Clean, 0).0, UsageStatus::Failed, "{} cut at {cut}", vector.name);
            scan.pass(Bytes::copy_from_slice(&vector.body.as_bytes()[cut..=cut]));
        }
    }
}

/// The caller of a stream that is cut gets the beginning of what it would have got.
#[test]
fn a_cut_stream_without_its_usage_event_is_a_beginning() {
    for vector in Vector::all().into_iter().filter(|vector| vector.api() == Api::OpenAiChat) {
        let Some(without) = vector.without.as_deref() else { continue };
        let usage = vector.body.find("\"choices\":[],").map(|at| vector.body[..at].rfind("data: ").unwrap());
        for cut in 0..=vector.body.len() {
            let (out, _) = passed(vector.scan(true), vector.body.as_bytes()[..cut].chunks(9));
            assert!(without.as_bytes().starts_with(&out), "{} cut at {cut}", vector.name);
            // Nothing but the event is missing.
            if usage.is_none_or(|usage| cut <= usage) {
                assert_eq!(out.len(), cut, "{}", vector.name);
            }
        }
    }
}
