//! How long a scan takes, in nanoseconds a byte: `cargo test --profile dist --lib response::tests::speed -- --ignored --nocapture`.

use std::time::Instant;

use super::*;

/// Scans a stream of a million events that come one by one, and says how long it took for each byte.
fn measure(name: &str, api: Api, content_type: &str, event: &str, removes_usage: bool) {
    const EVENTS: usize = 1_000_000;
    let piece = Bytes::copy_from_slice(event.as_bytes());
    let mut best = f64::MAX;
    for _ in 0..5 {
        let mut scan = ResponseScan::new(api, 200, content_type, removes_usage);
        let begin = Instant::now();
        for _ in 0..EVENTS {
            assert_eq!(scan.pass(piece.clone()).len(), event.len());
        }
        let nanoseconds = begin.elapsed().as_secs_f64() * 1e9 / EVENTS as f64;
        assert_eq!(scan.output_so_far(), EVENTS as u64);
        best = best.min(nanoseconds);
    }
    let length = event.len();
    println!("{name}: {best:.0} ns an event of {length} bytes, {:.2} ns a byte", best / length as f64);
}

#[test]
#[ignore = "it measures"]
fn scanning_takes_so_long() {
    let chat = "{\"model\":\"tiny\",\"created_at\":\"2025-11-24T16:00:00.123456789Z\",\"message\":{\"role\":\"assistant\",\"content\":\" the\"},\"done\":false}\n";
    let generate =
        "{\"model\":\"tiny\",\"created_at\":\"2025-11-24T16:00:00.123456789Z\",\"response\":\" the\",\"done\":false}\n";
    let chunk = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1764000000,\"model\":\"tiny\",\"system_fingerprint\":\"fp_ollama\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" the\"},\"finish_reason\":null}]}\n\n";
    let block = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" the\"}}\n\n";
    let delta = "event: response.output_text.delta\ndata: {\"content_index\":0,\"delta\":\" the\",\"item_id\":\"msg_1\",\"logprobs\":[],\"output_index\":0,\"sequence_number\":5,\"type\":\"response.output_text.delta\"}\n\n";
    measure("/api/chat", Api::Chat, STREAM, chat, false);
    measure("/api/generate", Api::Generate, STREAM, generate, false);
    measure("/v1/chat/completions", Api::OpenAiChat, EVENTS, chunk, false);
    measure("/v1/chat/completions, usage removed", Api::OpenAiChat, EVENTS, chunk, true);
    measure("/v1/messages", Api::Messages, EVENTS, block, false);
    measure("/v1/responses", Api::Responses, EVENTS, delta, false);
}
