//! Follows one request until it is over, and records it then: also if its caller leaves at any moment.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode};
use http_body::{Frame, SizeHint};

use super::recorder::Telemetry;
use super::summary::{CALLER_LEFT, InferenceSummary, RequestSummary};
use super::trace_id::TraceId;
use crate::gateway::authn::Caller;
use crate::gateway::origin::Origin;
use crate::gateway::refusal_code::RefusalCode;

/// The route of a request for which there is none.
const OTHER: &str = "other";

/// See the module. By default it follows nothing, and costs nothing.
#[derive(Debug, Default)]
pub struct RequestTracker(Option<Box<Tracked>>);

#[derive(Debug)]
struct Tracked {
    telemetry: Arc<Telemetry>,
    began: Duration,
    summary: RequestSummary,
}

impl RequestTracker {
    /// Follows a request whose head was just read, if anything is recorded.
    pub fn begin(telemetry: &Arc<Telemetry>, parts: &Parts, origin: Origin) -> Self {
        if !telemetry.is_on() {
            return Self::default();
        }
        let summary = RequestSummary {
            origin,
            method: parts.method.clone(),
            route: OTHER,
            trace: TraceId::of(&parts.headers),
            caller: None,
            status: CALLER_LEFT,
            code: None,
            total: Duration::ZERO,
            bytes: 0,
            inference: None,
        };
        Self(Some(Box::new(Tracked { telemetry: telemetry.clone(), began: telemetry.elapsed(), summary })))
    }

    /// Whether it follows a request.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Its route is known.
    pub fn set_route(&mut self, path: &'static str) {
        self.note(|summary| summary.route = path);
    }

    /// Its caller is known.
    pub fn set_caller(&mut self, caller: &Caller) {
        self.note(|summary| summary.caller = Some(caller.clone()));
    }

    /// What it used.
    pub fn set_inference(&mut self, inference: impl FnOnce() -> InferenceSummary) {
        self.note(|summary| summary.inference = Some(inference()));
    }

    /// Its response has begun.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.note(|summary| summary.status = status.as_u16());
        self
    }

    /// So many bytes of the body have passed.
    pub fn add_bytes(&mut self, bytes: u64) {
        self.note(|summary| summary.bytes += bytes);
    }

    /// It is over with that response, or once its body ends.
    pub fn finish(mut self, response: Response<Body>) -> Response<Body> {
        if !self.is_on() {
            return response;
        }
        let (status, code) = (response.status().as_u16(), response.extensions().get::<RefusalCode>().copied());
        self.note(|summary| (summary.status, summary.code) = (status, code));
        match response.body().size_hint().exact() {
            Some(length) => {
                self.note(|summary| summary.bytes = if summary.method == Method::HEAD { 0 } else { length });
                response
            }
            None => response.map(|body| Body::new(TrackedBody { body, tracker: self })),
        }
    }

    fn note(&mut self, change: impl FnOnce(&mut RequestSummary)) {
        if let Some(tracked) = &mut self.0 {
            change(&mut tracked.summary);
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.summary.total = self.telemetry.elapsed().saturating_sub(self.began);
        self.telemetry.record(&self.summary);
    }
}

/// A body of unknown length that the gateway writes itself.
struct TrackedBody {
    body: Body,
    tracker: RequestTracker,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref) {
            this.tracker.add_bytes(data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
