//! What no server of Ollama writes.

use proptest::prelude::*;

use super::*;
use crate::gateway::usage::response::removal::MAX_HELD;

const LINE: &str = "{\"message\":{\"content\":\"a\"},\"done\":false}\n";

/// A final line of the native API with such counts.
fn last(counts: &str) -> String {
    format!("{LINE}{{\"message\":{{\"content\":\"\"}},\"done\":true{counts}}}\n")
}

fn chat(body: &str) -> (UsageStatus, TokenCount) {
    result(Api::Chat, STREAM, body, Ended::Clean)
}

fn events(api: Api, body: &str) -> (UsageStatus, TokenCount) {
    result(api, EVENTS, body, Ended::Clean)
}

#[test]
fn counts_that_are_none_are_not_believed() {
    for count in
        ["-1", "1.5", "\"7\"", "18446744073709551616", "null", "true", "[7]", "{\"eval_count\":7}", "1e2", "07"]
    {
        let body = last(&format!(",\"prompt_eval_count\":5,\"eval_count\":{count}"));
        let tokens = TokenCount { input: 5, output: 1, is_estimate: true };
        assert_eq!(chat(&body), (UsageStatus::Complete, tokens), "{count}");
        let body = last(&format!(",\"prompt_eval_count\":{count},\"eval_count\":5"));
        let tokens = TokenCount { input: ESTIMATE, output: 5, is_estimate: true };
        assert_eq!(chat(&body), (UsageStatus::Complete, tokens), "{count}");
        let usage = format!("{{\"prompt_tokens\":{count},\"completion_tokens\":{count}}}");
        let body = format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]\n\n");
        assert_eq!(events(Api::OpenAiChat, &body), (UsageStatus::Complete, estimate(0)), "{count}");
    }
    assert_eq!(chat(&last("")), (UsageStatus::Complete, exact(0, 0)));
}

#[test]
fn usage_that_is_null_or_missing_is_estimated() {
    let body = "data: {\"choices\":[],\"usage\":null}\n\ndata: [DONE]\n\n";
    assert_eq!(events(Api::OpenAiChat, body), (UsageStatus::Complete, estimate(0)));
    let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n";
    assert_eq!(events(Api::OpenAiChat, chunk), (UsageStatus::Failed, estimate(1)));
    let whole = "{\"choices\":[{\"message\":{\"content\":\"12345\"}}],\"usage\":null}";
    assert_eq!(result(Api::OpenAiChat, WHOLE, whole, Ended::Clean), (UsageStatus::Complete, estimate(3)));
    let body = "event: response.completed\ndata: {\"response\":{\"usage\":null},\"type\":\"response.completed\"}\n\n";
    assert_eq!(events(Api::Responses, body), (UsageStatus::Complete, estimate(0)));
    let body = "data: {\"type\":\"message_delta\"}\n\ndata: {\"type\":\"message_stop\"}\n\n";
    assert_eq!(events(Api::Messages, body), (UsageStatus::Complete, estimate(0)));
    let started =
        "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}}\n\n";
    assert_eq!(events(Api::Messages, &format!("{started}{body}")), (UsageStatus::Complete, estimate(0)));
}

#[test]
fn the_last_of_two_ends_and_of_two_members_counts() {
    let two = last(",\"prompt_eval_count\":1,\"eval_count\":2") + &last(",\"prompt_eval_count\":3,\"eval_count\":4");
    assert_eq!(chat(&two), (UsageStatus::Complete, exact(3, 4)));
    let body = last(",\"eval_count\":1,\"eval_count\":2,\"done\":false,\"done\":true");
    assert_eq!(chat(&body), (UsageStatus::Complete, exact(0, 2)));
    let body = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    let again = body.replace('1', "5");
    assert_eq!(
        events(Api::OpenAiChat, &format!("{body}{again}data: [DONE]\n\n")),
        (UsageStatus::Complete, exact(5, 2))
    );
}

#[test]
fn errors_are_failures_even_beside_counts() {
    let error = "{\"error\":\"CUDA\"}\n";
    assert_eq!(chat(&format!("{LINE}{error}")), (UsageStatus::Failed, estimate(1)));
    let counted = last(",\"prompt_eval_count\":1,\"eval_count\":2");
    assert_eq!(chat(&format!("{counted}{error}")), (UsageStatus::Failed, exact(1, 2)));
    assert_eq!(result(Api::Chat, STREAM, &format!("{LINE}{error}"), Ended::Broken).0, UsageStatus::Failed);
    assert_eq!(result(Api::Embed, WHOLE, error, Ended::Clean), (UsageStatus::Failed, estimate(0)));
    for api in [Api::OpenAiChat, Api::OpenAiCompletions, Api::Responses, Api::Messages] {
        let event = "event: error\ndata: {\"error\":{\"message\":\"CUDA\"}}\n\n";
        assert_eq!(events(api, event).0, UsageStatus::Failed, "{api:?}");
        let whole = "{\"type\":\"error\",\"error\":{\"message\":\"CUDA\"}}";
        assert_eq!(result(api, WHOLE, whole, Ended::Clean).0, UsageStatus::Failed, "{api:?}");
    }
    assert_eq!(events(Api::Responses, "data: {\"type\":\"error\",\"message\":\"no\"}\n\n").0, UsageStatus::Failed);
    let failed = "{\"status\":\"failed\",\"error\":null,\"usage\":{\"input_tokens\":1,\"output_tokens\":0}}";
    assert_eq!(result(Api::Responses, WHOLE, failed, Ended::Clean), (UsageStatus::Failed, exact(1, 0)));
    // A member with the name is none if it says nothing.
    let fine = "{\"status\":\"completed\",\"error\":null,\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}";
    assert_eq!(result(Api::Responses, WHOLE, fine, Ended::Clean), (UsageStatus::Complete, exact(1, 2)));
}

#[test]
fn a_response_without_success_took_nothing() {
    for status in [101, 304, 400, 404, 500] {
        let scan = ResponseScan::new(Api::Chat, status, STREAM, false);
        let body = last(",\"prompt_eval_count\":1,\"eval_count\":2");
        let (_, scan) = passed(scan, [body.as_bytes()]);
        assert_eq!(scan.result(Ended::Clean, ESTIMATE), (UsageStatus::Failed, exact(0, 0)), "{status}");
    }
}

#[test]
fn nothing_at_all_is_a_failure() {
    for api in Api::ALL {
        for content_type in [STREAM, WHOLE, EVENTS, ""] {
            assert_eq!(result(api, content_type, "", Ended::Clean).0, UsageStatus::Failed, "{api:?}");
            assert_eq!(result(api, content_type, "\n", Ended::Broken), (UsageStatus::Cut, estimate(0)), "{api:?}");
            assert_eq!(result(api, content_type, "", Ended::CallerLeft).0, UsageStatus::Cancelled, "{api:?}");
        }
    }
    let silence = result(Api::Transcription, "text/plain", "", Ended::Clean);
    assert_eq!(silence, (UsageStatus::Complete, estimate(0)));
    let text = result(Api::Transcription, "text/plain", "Hello there", Ended::Clean);
    assert_eq!(text, (UsageStatus::Complete, estimate(3)));
}

#[test]
fn a_line_that_is_no_json_hides_no_other() {
    let counted = last(",\"prompt_eval_count\":1,\"eval_count\":2");
    for garbage in
        ["nonsense", "{\"message\":", "{\"message\":{\"content\":\"a", "}{", "[1]", "{\"a\" 1}", "\"", "{\"a\":1\\"]
    {
        let body = format!("{garbage}\n{counted}");
        let found = chat(&body);
        // An object that is open goes on in the next line.
        if garbage != "{\"message\":" {
            assert_eq!(found, (UsageStatus::Complete, exact(1, 2)), "{garbage}");
        }
        let body = format!(
            "data: {garbage}\n\ndata: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":2}}}}\n\n"
        );
        assert_eq!(events(Api::OpenAiChat, &body), (UsageStatus::Complete, exact(1, 2)), "{garbage}");
    }
}

#[test]
fn events_are_read_in_every_form() {
    let usage = "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}";
    let folded = "{\"choices\":[],\ndata: \"usage\":{\"prompt_tokens\":1,\ndata:\"completion_tokens\":2}}";
    for (before, data) in
        [("data: ", usage), ("data:", usage), ("id: 7\ndata: ", usage), (": hello\ndata:  ", usage), ("data: ", folded)]
    {
        for end in ["\n\n", "\r\n\r\n"] {
            let event = format!("{before}{data}{end}").replace('\n', if end.len() > 2 { "\r\n" } else { "\n" });
            let event = event.replace("\r\r\n", "\r\n");
            let chunk = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\"}}}}]}}{end}: ping{end}");
            let (done, body) = (format!("data: [DONE]{end}"), format!("{chunk}{event}"));
            for size in [1, 2, 5, 1000] {
                let scan = ResponseScan::new(Api::OpenAiChat, 200, EVENTS, true);
                let sent = format!("{body}{done}");
                let (out, scan) = passed(scan, sent.as_bytes().chunks(size));
                assert_eq!(String::from_utf8_lossy(&out), format!("{chunk}{done}"), "{event:?} by {size}");
                assert_eq!(scan.result(Ended::Clean, 0), (UsageStatus::Complete, exact(1, 2)), "{event:?} by {size}");
            }
        }
    }
}

#[test]
fn what_is_too_long_to_hold_is_passed_on_and_counted() {
    let long = "x".repeat(2 * MAX_HELD);
    let usage = "\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}";
    let body = format!("data: {{\"model\":\"{long}\",{usage}}}\n\ndata: [DONE]\n\n");
    let mut scan = ResponseScan::new(Api::OpenAiChat, 200, EVENTS, true);
    let mut out = Vec::new();
    for piece in body.as_bytes().chunks(1000) {
        out.extend_from_slice(&scan.pass(Bytes::copy_from_slice(piece)));
        assert!(scan.held() <= MAX_HELD);
    }
    assert_eq!(scan.held(), 0);
    let differ = out.iter().zip(body.as_bytes()).position(|(one, other)| one != other);
    assert_eq!((out.len(), differ), (body.len(), None));
    assert_eq!(scan.result(Ended::Clean, 0), (UsageStatus::Complete, exact(1, 2)));
}

/// A final message of 100 MB, of which nothing is kept.
#[test]
fn a_final_message_can_be_huge() {
    let mut scan = ResponseScan::new(Api::Generate, 200, STREAM, false);
    scan.pass(Bytes::from_static(b"{\"response\":\"\",\"done\":true,\"context\":[151644"));
    let numbers = Bytes::from(",151644".repeat(10_000));
    for _ in 0..1500 {
        assert_eq!(scan.pass(numbers.clone()).len(), 70_000);
        assert_eq!(scan.held(), 0);
    }
    scan.pass(Bytes::from_static(b"],\"prompt_eval_count\":3,\"eval_count\":4}\n"));
    assert_eq!(scan.result(Ended::Clean, 0), (UsageStatus::Complete, exact(3, 4)));
}

#[test]
fn deep_nesting_is_only_counted() {
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let body = last(&format!(",\"x\":{deep},\"eval_count\":4,\"prompt_eval_count\":{{\"a\":{deep}}}"));
    assert_eq!(chat(&body), (UsageStatus::Complete, TokenCount { input: ESTIMATE, output: 4, is_estimate: true }));
}

#[test]
fn a_whole_response_is_estimated_by_its_text() {
    let body = "{\"message\":{\"content\":\"1234567890\",\"thinking\":\"12\"},\"done\":true,\"eval_count\":-1}";
    let (_, tokens) = result(Api::Chat, WHOLE, body, Ended::Clean);
    assert_eq!(tokens, TokenCount { input: 0, output: 7, is_estimate: true });
    let (status, tokens) = result(Api::Chat, WHOLE, &body[..30], Ended::Broken);
    assert_eq!((status, tokens), (UsageStatus::Cut, estimate(4)));
}

#[test]
fn a_rendered_prompt_is_a_whole_response() {
    let body = "{\"message\":{\"content\":\"\"},\"done\":false,\"_debug_info\":{\"rendered_template\":\"Hi\"}}";
    assert_eq!(result(Api::Chat, WHOLE, body, Ended::Clean), (UsageStatus::Complete, exact(0, 0)));
}

#[test]
fn content_is_seen_before_its_message_is_whole() {
    let mut scan = ResponseScan::new(Api::Chat, 200, STREAM, false);
    scan.pass(Bytes::from_static(b"{\"message\":{\"role\":\"assistant\",\"content\":\""));
    assert!(!scan.has_content() && scan.output_so_far() == 0);
    scan.pass(Bytes::from_static(b"a"));
    assert!(scan.has_content() && scan.output_so_far() == 1);
    scan.pass(Bytes::from_static(b"b\"}}\n"));
    assert_eq!(scan.output_so_far(), 1);
}

fn pieces_of(body: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
    cuts.extend([0, body.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| body[pair[0]..pair[1]].to_vec()).collect()
}

const PARTS: &[&str] = &[
    "data: ",
    "data:",
    "event: ",
    "\n",
    "\r\n",
    "\n\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\\"",
    "[DONE]",
    "null",
    "true",
    "7",
    "-",
    "\"choices\":[],",
    "\"choices\":[{",
    "\"usage\":{",
    "\"prompt_tokens\":1,",
    "\"completion_tokens\":2}",
    "\"finish_reason\":\"stop\"",
    "\"done\":true",
    "\"eval_count\":3",
    "\"type\":\"message_delta\"",
    "\"error\":",
    "x",
    "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n",
];

/// Bytes of which much looks like a response.
fn like_a_response() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        9 => proptest::sample::select(PARTS).prop_map(|part| part.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

/// A response that Ollama's packages made, with some bytes changed or left out. Most of its messages are still read at once where they come in one
/// piece (`token_line`), and none where they come byte by byte.
fn changed_response() -> impl Strategy<Value = (Api, String, Vec<u8>)> {
    let vectors = Vector::all().into_iter().filter(|vector| vector.http_status == 200 && vector.body.len() < 2000);
    let vectors: Vec<_> = vectors.map(|vector| (vector.api(), vector.content_type, vector.body)).collect();
    let change = (any::<usize>(), proptest::sample::select(&b"\"\\\n\r{}[]:,0-dx \xff"[..]), 0_usize..3);
    let changes = proptest::collection::vec(change, 0..4);
    (proptest::sample::select(vectors), changes).prop_map(|((api, content_type, body), changes)| {
        let mut body = body.into_bytes();
        for (at, byte, kind) in changes {
            let at = at % (body.len() + 1);
            match kind {
                0 if at < body.len() => body[at] = byte,
                1 if at < body.len() => drop(body.remove(at)),
                _ => body.insert(at, byte),
            }
        }
        (api, content_type, body)
    })
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_have_one_result(
        api in proptest::sample::select(&Api::ALL[..]),
        body in like_a_response(),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
        content_type in proptest::sample::select(&[STREAM, WHOLE, EVENTS, ""][..]),
        removes in any::<bool>(),
    ) {
        let scan = || ResponseScan::new(api, 200, content_type, removes);
        let (whole, all) = passed(scan(), [&body[..]]);
        let pieces = pieces_of(&body, &cuts);
        let (out, scanned) = passed(scan(), pieces.iter().map(Vec::as_slice));
        prop_assert_eq!(&out, &whole);
        for ended in [Ended::Clean, Ended::Broken, Ended::CallerLeft] {
            prop_assert_eq!(scanned.result(ended, ESTIMATE), all.result(ended, ESTIMATE));
        }
        prop_assert_eq!(scanned.output_so_far(), all.output_so_far());
        if !removes {
            prop_assert_eq!(out, body);
        }
    }

    #[test]
    fn what_is_read_at_once_is_read_the_same((api, content_type, body) in changed_response(), removes in any::<bool>()) {
        let scan = || ResponseScan::new(api, 200, &content_type, removes);
        let (whole, all) = passed(scan(), [&body[..]]);
        for size in [1, 50, 300] {
            let (out, scanned) = passed(scan(), body.chunks(size));
            prop_assert_eq!(&out, &whole);
            for ended in [Ended::Clean, Ended::Broken] {
                prop_assert_eq!(scanned.result(ended, ESTIMATE), all.result(ended, ESTIMATE));
            }
            prop_assert_eq!(scanned.output_so_far(), all.output_so_far());
            prop_assert_eq!(scanned.has_content(), all.has_content());
        }
        if !removes {
            prop_assert_eq!(&whole, &body);
        }
    }
}
