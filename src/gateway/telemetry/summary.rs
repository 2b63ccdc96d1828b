//! What is known of a request when it is over.

use std::time::Duration;

use axum::http::Method;

use super::trace_id::TraceId;
use crate::gateway::authn::Caller;
use crate::gateway::origin::Origin;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::store::{TokenCount, UsageStatus};

/// The status of a request whose caller closed the connection before the response began, as nginx logs it.
pub const CALLER_LEFT: u16 = 499;

/// See the module.
#[derive(Clone, Debug)]
pub struct RequestSummary {
    /// Where it came from, and its id.
    pub origin: Origin,
    /// Its method.
    pub method: Method,
    /// The path of its route, `pages` for a web page, and `other` where no route matched.
    pub route: &'static str,
    /// The trace that the caller says it belongs to.
    pub trace: Option<TraceId>,
    /// The caller, once its credential was accepted.
    pub caller: Option<Caller>,
    /// The HTTP status of the response, or [`CALLER_LEFT`].
    pub status: u16,
    /// Why it was refused, where that has a code.
    pub code: Option<RefusalCode>,
    /// From its head to the end of the response.
    pub total: Duration,
    /// The bytes of the response's body.
    pub bytes: u64,
    /// What it used, if it ran a model.
    pub inference: Option<InferenceSummary>,
}

/// What a request that runs a model used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferenceSummary {
    /// The model, as the gateway compares names; empty unless the upstream server accepted it.
    pub model: String,
    /// How the response ended.
    pub status: UsageStatus,
    /// Its tokens.
    pub tokens: TokenCount,
    /// From its admission to the first token.
    pub first_token: Option<Duration>,
}
