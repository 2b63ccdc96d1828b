//! What requests used of the upstream server: one record for each, and totals by hour and by day.

use std::borrow::Cow;
use std::ops::AddAssign;

use ipnet::IpNet;
use uuid::Uuid;

use crate::gateway::origin::RequestId;
use crate::gateway::policy_name::PolicyName;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UsageStatus {
    /// The final message of its API came.
    Complete,
    /// An error message came, or the response ended without a final message.
    Failed,
    /// The connection to the upstream server broke, or the gateway ended the response.
    Cut,
    /// The caller left.
    Cancelled,
}

impl UsageStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Complete, Self::Failed, Self::Cut, Self::Cancelled];

    /// The one with that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// As it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Cut => "cut",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How many tokens a request used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCount {
    /// Those of the prompt.
    pub input: u64,
    /// Those that were generated.
    pub output: u64,
    /// The upstream server did not say, or not both.
    pub is_estimate: bool,
}

/// What one request used.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageRecord {
    /// When it ended, in Unix seconds.
    pub ended_at: i64,
    /// What it is counted for; the model is empty unless the upstream server answered 2xx.
    pub series: UsageSeries,
    /// The credential: `key:ID`, `device:FINGERPRINT` or `workload:NAME`.
    pub credential: String,
    /// The environment that it was in.
    pub environment: Option<PolicyName>,
    /// The caller's network: of IPv4 a /24, of IPv6 a /48.
    pub network: IpNet,
    /// The request.
    pub request: RequestId,
    /// The path of the route.
    pub route: Cow<'static, str>,
    /// The HTTP status of the response; 0 if none came.
    pub http_status: u16,
    /// How it ended.
    pub status: UsageStatus,
    /// Its tokens.
    pub tokens: TokenCount,
    /// How long it took until the first token came, in milliseconds; `None` if none came.
    pub first_token_ms: Option<u64>,
    /// How long it took, in milliseconds, from when it was admitted.
    pub total_ms: u64,
    /// The bytes of the response's body.
    pub bytes: u64,
}

impl UsageRecord {
    /// What it adds to totals.
    pub fn totals(&self) -> UsageTotals {
        let TokenCount { input, output, is_estimate } = self.tokens;
        let count = |status| u64::from(self.status == status);
        UsageTotals {
            requests: 1,
            failed: count(UsageStatus::Failed),
            cut: count(UsageStatus::Cut),
            cancelled: count(UsageStatus::Cancelled),
            refused: 0,
            input,
            output,
            estimated: if is_estimate { input.saturating_add(output) } else { 0 },
            busy_ms: self.total_ms,
            bytes: self.bytes,
        }
    }
}

/// What usage is added up by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UsageSeries {
    /// The account.
    pub account: Uuid,
    /// The credential as in [`UsageRecord::credential`]; of an API key the first of its line of replacements, so that a rotation does not
    /// begin another series.
    pub credential: String,
    /// The model, as the gateway compares it; empty for none.
    pub model: String,
}

/// The sum of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsageTotals {
    /// How many requests were forwarded.
    pub requests: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How many were cut.
    pub cut: u64,
    /// How many were cancelled.
    pub cancelled: u64,
    /// How many requests a limit or a budget refused; they are not among `requests`.
    pub refused: u64,
    /// Tokens of prompts.
    pub input: u64,
    /// Tokens that were generated.
    pub output: u64,
    /// How many of all these tokens are estimated.
    pub estimated: u64,
    /// The summed time of the requests, in milliseconds.
    pub busy_ms: u64,
    /// The bytes of the responses.
    pub bytes: u64,
}

impl AddAssign for UsageTotals {
    fn add_assign(&mut self, other: Self) {
        let pairs = [
            (&mut self.requests, other.requests),
            (&mut self.failed, other.failed),
            (&mut self.cut, other.cut),
            (&mut self.cancelled, other.cancelled),
            (&mut self.refused, other.refused),
            (&mut self.input, other.input),
            (&mut self.output, other.output),
            (&mut self.estimated, other.estimated),
            (&mut self.busy_ms, other.busy_ms),
            (&mut self.bytes, other.bytes),
        ];
        pairs.into_iter().for_each(|(sum, more)| *sum = sum.saturating_add(more));
    }
}
