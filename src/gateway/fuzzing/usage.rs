//! Responses: what a scan makes of one does not depend on the pieces that it comes in, and it changes nothing but the usage event.
//!
//! The first byte is the API (`0` to `9`), the second the type of content and whether usage is taken out (`0` to `7`), the third the size
//! of the pieces.

use axum::body::Bytes;

use crate::gateway::store::{TokenCount, UsageStatus};
use crate::gateway::usage::response::{Api, Ended, ResponseScan};
use crate::http::BodyFilter as _;

const TYPES: [&str; 4] = ["application/x-ndjson", "application/json", "text/event-stream", "text/plain"];

/// Reads a response at once and in pieces.
///
/// # Panics
/// When both differ, or when anything but the usage event is missing.
pub fn usage(data: &[u8]) {
    let [api, kind, size, body @ ..] = data else { return };
    let api = Api::ALL[usize::from(api.wrapping_sub(b'0')) % Api::ALL.len()];
    let (content_type, removes) = (TYPES[usize::from(*kind) % TYPES.len()], kind & 4 != 0);
    let scan = |size| read(ResponseScan::new(api, 200, content_type, removes), body.chunks(size));
    let whole = scan(body.len().max(1));
    assert_eq!(whole, scan(usize::from(*size).max(1)), "it depends on the pieces");
    let (out, results, _) = whole;
    if removes && api == Api::OpenAiChat {
        assert!(out.len() <= body.len(), "something was added");
        assert!(out.len() == body.len() || body.contains(&b'{'), "more than an object was taken out");
    } else {
        assert_eq!(out, body, "it was changed");
    }
    let [(clean, ..), ..] = results;
    assert!(matches!(clean, UsageStatus::Complete | UsageStatus::Failed), "a clean end is neither");
}

type Results = [(UsageStatus, TokenCount); 3];

/// What goes on, the results, and the estimate of the output.
fn read<'a>(mut scan: ResponseScan, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Results, u64) {
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&scan.pass(Bytes::copy_from_slice(piece)));
    }
    let held = scan.held();
    let rest = scan.finish();
    assert_eq!((rest.len(), scan.held()), (held, 0), "what was held is not what came back");
    out.extend_from_slice(&rest);
    let results = [Ended::Clean, Ended::Broken, Ended::CallerLeft].map(|ended| scan.result(ended, 7));
    (out, results, scan.output_so_far())
}
