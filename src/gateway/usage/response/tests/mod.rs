//! Tests of the whole scan: responses that Ollama's own packages made (`tests/go_responses`), cut and in pieces, and written ones.

mod cut;
mod hostile;
mod speed;
mod vectors;

use bytes::Bytes;
use serde::Deserialize;

use super::{Api, Ended, ResponseScan};
use crate::gateway::store::{TokenCount, UsageStatus};
use crate::http::BodyFilter as _;

/// The estimate of the request in all tests.
const ESTIMATE: u64 = 1000;
const STREAM: &str = "application/x-ndjson";
const WHOLE: &str = "application/json; charset=utf-8";
const EVENTS: &str = "text/event-stream";

/// A response that Ollama's packages made.
#[derive(Deserialize)]
struct Vector {
    name: String,
    path: String,
    http_status: u16,
    content_type: String,
    body: String,
    without: Option<String>,
    status: String,
    input: Option<u64>,
    output: Option<u64>,
}

impl Vector {
    fn all() -> Vec<Self> {
        let text = include_str!("../../../../../tests/it/fixtures/vectors/responses.json");
        serde_json::from_str(text).unwrap()
    }

    fn api(&self) -> Api {
        Api::of(&self.path).unwrap()
    }

    fn scan(&self, removes_usage: bool) -> ResponseScan {
        ResponseScan::new(self.api(), self.http_status, &self.content_type, removes_usage)
    }

    fn counts(&self) -> Option<(u64, u64)> {
        self.input.zip(self.output)
    }
}

/// What goes on of a body that comes in these pieces and ends, and the scan.
fn passed<'a>(mut scan: ResponseScan, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, ResponseScan) {
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&scan.pass(Bytes::copy_from_slice(piece)));
    }
    let held = scan.held();
    let rest = scan.finish();
    assert_eq!((rest.len(), scan.held()), (held, 0));
    out.extend_from_slice(&rest);
    (out, scan)
}

/// The result of a response of that type that comes in one piece.
fn result(api: Api, content_type: &str, body: &str, ended: Ended) -> (UsageStatus, TokenCount) {
    let scan = ResponseScan::new(api, 200, content_type, false);
    let (out, scan) = passed(scan, [body.as_bytes()]);
    assert_eq!(out, body.as_bytes());
    scan.result(ended, ESTIMATE)
}

fn exact(input: u64, output: u64) -> TokenCount {
    TokenCount { input, output, is_estimate: false }
}

/// An estimate of the output, beside that of the request.
fn estimate(output: u64) -> TokenCount {
    TokenCount { input: ESTIMATE, output, is_estimate: true }
}
