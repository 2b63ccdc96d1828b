//! Counts one request, and hands over its record when it is over, however it ends.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use ipnet::IpNet;
use uuid::Uuid;

use super::collector::UsageCollector;
use super::credential::credential_names;
use super::response::{Api, Ended, ResponseScan};
use crate::gateway::authn::{Caller, model_in};
use crate::gateway::limits::{BudgetHold, budget_refusal};
use crate::gateway::origin::Origin;
use crate::gateway::policy::RequestUse;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::rejection::Dialect;
use crate::gateway::routes::Route;
use crate::gateway::store::{TokenCount, UsageRecord, UsageSeries, UsageStatus};
use crate::gateway::telemetry::{InferenceSummary, RequestTracker};
use crate::http::BodyFilter as _;
use crate::keyspec::{CanonicalModel, holds_key};

/// The most tokens that one request is counted with, of the prompt and of the answer.
const MOST_TOKENS: u64 = 1 << 40;
/// So much of a response is searched for the model, in bytes.
const SEARCHED: usize = 4096;

/// See the module.
pub struct Meter {
    collector: Arc<UsageCollector>,
    series: UsageSeries,
    credential: String,
    environment: Option<PolicyName>,
    origin: Origin,
    route: &'static Route,
    request: RequestUse,
    /// Its place in budgets.
    hold: Option<BudgetHold>,
    /// The response is a stream that a budget may cut off.
    may_be_cut: bool,
    /// What it used is recorded, not only counted in budgets.
    is_recorded: bool,
    /// When the request was admitted, and when its first token came.
    began: Duration,
    first_token: Option<Duration>,
    http_status: Option<StatusCode>,
    bytes: u64,
    scan: Option<ResponseScan>,
    /// How the response ended, and what it means if there was none; the caller left unless something else is known.
    ended: Ended,
    refused: Option<UsageStatus>,
}

impl Meter {
    /// Of a request that was just admitted, and `hold`s its place in budgets.
    pub fn new(
        collector: &Arc<UsageCollector>,
        caller: &Caller,
        origin: Origin,
        route: &'static Route,
        mut request: RequestUse,
        hold: Option<BudgetHold>,
        is_recorded: bool,
    ) -> Self {
        let (credential, first) = credential_names(caller);
        let model = std::mem::take(&mut request.model);
        let series = UsageSeries { account: caller.user().id, credential: first, model };
        Self {
            series,
            credential,
            environment: caller.environment().map(|rules| rules.name),
            origin,
            route,
            request,
            hold,
            may_be_cut: false,
            is_recorded,
            began: collector.elapsed(),
            first_token: None,
            http_status: None,
            bytes: 0,
            scan: None,
            ended: Ended::CallerLeft,
            refused: None,
            collector: collector.clone(),
        }
    }

    /// Whether the response may be longer or shorter than that of the upstream server: what the caller did not ask for is taken out, or it is
    /// cut off.
    pub fn changes_length(&self) -> bool {
        self.scan.as_ref().is_some_and(|scan| scan.removes_usage() || self.may_be_cut)
    }

    /// Whether the response is a stream that a budget may cut off.
    pub fn may_be_cut(&self) -> bool {
        self.may_be_cut
    }

    /// Of a stream that has used up a budget which cuts it: what its messages end with, and the error that ends it.
    pub fn cut(&self) -> Option<(&'static [&'static [u8]], Bytes)> {
        let message_ends = self.scan.as_ref().filter(|_| self.may_be_cut)?.open_stream()?;
        let rejection = budget_refusal(&self.hold.as_ref()?.cut()?, self.collector.now());
        let end = rejection.with_dialect(Dialect::of(self.route.path)).to_stream_end();
        Some((message_ends, end.into()))
    }

    /// The upstream server has answered.
    pub fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.http_status = Some(status);
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let api = Api::of(self.route.path).filter(|_| !headers.contains_key(header::CONTENT_ENCODING));
        // A single JSON object is not a stream.
        let is_whole = content_type.starts_with("application/json");
        let removes_usage = self.request.adds_usage && !is_whole;
        self.may_be_cut = !is_whole && self.hold.as_ref().is_some_and(BudgetHold::cuts);
        self.scan = api.map(|api| ResponseScan::new(api, status.as_u16(), content_type, removes_usage));
    }

    /// Notes how the request ended, if the upstream server sent no response.
    pub fn unanswered(&mut self, status: UsageStatus) {
        self.refused = Some(status);
    }

    /// What of the response goes on to the caller, now that this came.
    pub fn pass(&mut self, piece: Bytes) -> Bytes {
        if self.bytes == 0 && self.series.model.is_empty() {
            // The request was not read.
            let named = model_in(&piece[..piece.len().min(SEARCHED)]).and_then(|name| CanonicalModel::parse(name).ok());
            self.series.model = named.map(|model| model.to_string()).unwrap_or_default();
        }
        self.bytes += piece.len() as u64;
        let Some(scan) = &mut self.scan else { return piece };
        let piece = scan.pass(piece);
        if self.first_token.is_none() && scan.has_content() {
            self.first_token = Some(self.collector.elapsed());
        }
        if let Some(hold) = &mut self.hold {
            // Before its last bytes go to the caller, who may ask again at once.
            let (_, tokens) = scan.result(Ended::Broken, self.request.input());
            hold.count(tokens.input.min(MOST_TOKENS) + tokens.output.min(MOST_TOKENS));
        }
        piece
    }

    /// The response has ended, or its connection broke. Gives back what was held back of it.
    pub fn finish(&mut self, ended: Ended) -> Bytes {
        self.ended = ended;
        self.scan.as_mut().map(|scan| scan.finish()).unwrap_or_default()
    }

    /// Notes what the request used, now that it is over.
    pub fn report(&self, tracker: &mut RequestTracker) {
        tracker.add_bytes(self.bytes);
        tracker.set_inference(|| {
            let (status, tokens) = self.outcome();
            // Also where the upstream server answers with an error: it is the model's then.
            let is_known = self.names_known_model() || self.collector.is_known_model(&self.series.model);
            let model = if is_known { self.series.model.clone() } else { String::new() };
            InferenceSummary {
                model,
                status,
                tokens,
                first_token: self.first_token.map(|at| at.saturating_sub(self.began)),
            }
        });
    }

    /// Whether the model's name may be kept. One that the upstream server does not know can be anything. Without an answer, it is one that it has
    /// answered for before.
    fn names_known_model(&self) -> bool {
        let model = &self.series.model;
        match self.http_status {
            // A secret can be typed in the wrong place.
            Some(status) => status.is_success() && (!holds_key(model) || self.collector.is_known_model(model)),
            None => self.collector.is_known_model(model),
        }
    }

    fn outcome(&self) -> (UsageStatus, TokenCount) {
        let (status, mut tokens) = self.counted();
        // A larger number cannot be true, and sums of many must stay within what a database stores.
        (tokens.input, tokens.output) = (tokens.input.min(MOST_TOKENS), tokens.output.min(MOST_TOKENS));
        (status, tokens)
    }

    fn counted(&self) -> (UsageStatus, TokenCount) {
        let input = self.request.input();
        match (&self.scan, self.http_status, self.refused) {
            (Some(scan), _, _) => scan.result(self.ended, input),
            // What is not counted, or cannot be read.
            (None, Some(status), _) if status.is_success() => {
                let status = match self.ended {
                    Ended::Clean => UsageStatus::Complete,
                    Ended::Broken => UsageStatus::Cut,
                    Ended::CallerLeft => UsageStatus::Cancelled,
                };
                (status, TokenCount { input, output: 0, is_estimate: true })
            }
            (None, Some(_), _) => (UsageStatus::Failed, TokenCount::default()),
            (None, None, Some(UsageStatus::Failed)) => (UsageStatus::Failed, TokenCount::default()),
            // The upstream server may have read the prompt.
            (None, None, ended) => {
                let tokens = TokenCount { input, output: 0, is_estimate: true };
                (ended.unwrap_or(UsageStatus::Cancelled), tokens)
            }
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let (status, tokens) = self.outcome();
        if let Some(hold) = self.hold.take() {
            hold.settle(tokens.input + tokens.output);
        }
        if self.http_status.is_some_and(|status| status.is_success()) && self.names_known_model() {
            self.collector.note_model(&self.series.model);
        }
        if !self.is_recorded {
            return;
        }
        let now = self.collector.elapsed();
        let passed = |since: Duration| u64::try_from(since.saturating_sub(self.began).as_millis()).unwrap_or(u64::MAX);
        if !self.names_known_model() {
            self.series.model.clear();
        }
        let series = std::mem::replace(
            &mut self.series,
            UsageSeries { account: Uuid::nil(), credential: String::new(), model: String::new() },
        );
        self.collector.record(UsageRecord {
            ended_at: self.collector.now(),
            series,
            credential: std::mem::take(&mut self.credential),
            environment: self.environment,
            network: network(self.origin.address),
            request: self.origin.request,
            route: self.route.path.into(),
            http_status: self.http_status.map_or(0, |status| status.as_u16()),
            status,
            tokens,
            first_token_ms: self.first_token.map(passed),
            total_ms: passed(now),
            bytes: self.bytes,
        });
    }
}

/// The network of an address: of IPv4 its /24, of IPv6 its /48.
fn network(address: IpAddr) -> IpNet {
    let length = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, length).map_or_else(|_| address.into(), |network| network.trunc())
}
