//! What a status report says, as metrics. `docs/reference/metrics.md` lists them.

use std::collections::BTreeMap;

use prometheus_client::registry::Unit;

use super::limits::{BudgetOwner, BudgetState, Subject};
use super::status::{EventLogStatus, StatusReport};
use super::telemetry::{StateMetric, Telemetry};

/// Budgets of people and keys that are looked at, those first of which most is used.
pub const MOST_BUDGETS: usize = 1000;

/// All of them. `budgets` are those of people and keys.
pub fn state_metrics(report: &StatusReport, budgets: &[BudgetState], telemetry: &Telemetry) -> Vec<StateMetric> {
    let gauge = StateMetric::gauge;
    let (limits, counts) = (&report.limits, &report.directory);
    let (written, dropped) = telemetry.access_log_lines();
    let mut all = vec![
        gauge("state_timestamp", "When the state was read last, as Unix time")
            .unit(Unit::Seconds)
            .value(seconds(report.at)),
        gauge("upstream_up", "Whether the upstream server answers").value(flag(report.upstream.up)),
        gauge("database_up", "Whether the database can be read").value(flag(report.database.readable)),
        gauge("replicas", "Gateways that share the database").value(f64::from(report.database.gateways)),
        gauge("connections", "Connections of callers").value(limits.connections.map(|usage| number(usage.used))),
        gauge("connections_limit", "How many there may be").value(limits.connections.map(|usage| number(usage.limit))),
        gauge("streams", "Responses of the upstream server that are being forwarded").value(number(limits.streams)),
        gauge("streams_limit", "How many requests may be at the upstream server, of this gateway's share")
            .value(limits.concurrent.map(|usage| number(usage.limit))),
        gauge("accounts", "Accounts of people").value(number(counts.people)),
        gauge("devices", "Devices").value(number(counts.devices)),
        gauge("api_keys", "API keys that have not ended").value(number(counts.keys)),
        gauge("pending_devices", "Devices that ask for approval").value(number(counts.pending_devices)),
        gauge("usage_waiting_records", "Requests whose use is not written yet").value(number(report.usage_waiting)),
        gauge("certificate_expiry_timestamp", "When the TLS certificate expires, as Unix time")
            .unit(Unit::Seconds)
            .value(report.certificate.as_ref().map(|certificate| seconds(certificate.not_after))),
        StateMetric::counter("rejected_connections", "Connections that were refused since their address had too many")
            .value(number(telemetry.connections.rejected())),
        StateMetric::counter("malformed_requests", "Requests that are not valid HTTP")
            .value(number(telemetry.connections.malformed())),
        StateMetric::counter("access_log_lines", "Lines of the access log that were written").value(number(written)),
        StateMetric::counter("access_log_dropped_lines", "Lines of the access log that could not be written")
            .value(number(dropped)),
    ];
    all.push(budget_ratios(report, budgets));
    all.extend(event_log(&report.event_log));
    let lag = gauge("audit_sink_lag_records", "Events that a sink has not got yet");
    all.push(report.sinks.iter().fold(lag, |lag, sink| lag.labelled([("sink", &sink.name)], sink.lag.map(number))));
    all
}

/// The largest part that is used of the budgets of each kind.
fn budget_ratios(report: &StatusReport, budgets: &[BudgetState]) -> StateMetric {
    let shared = report.limits.budgets.iter().map(|budget| {
        let kind = budget.of.split(':').next().unwrap_or_default();
        (kind, window(&budget.budget), budget.used, budget.limit)
    });
    let own = budgets.iter().map(|state| (kind(&state.owner), window(state.budget.name()), state.used, state.limit));
    let mut highest = BTreeMap::<(&str, &str), f64>::new();
    for (kind, window, used, limit) in shared.chain(own) {
        let ratio = number(used) / number(limit.max(1));
        let known = highest.entry((kind, window)).or_default();
        *known = known.max(ratio);
    }
    let metric = StateMetric::gauge("budget_used_ratio", "The largest part that is used of a budget of that kind");
    highest
        .into_iter()
        .fold(metric, |metric, ((kind, window), ratio)| metric.labelled([("kind", kind), ("window", window)], ratio))
}

fn kind(owner: &BudgetOwner) -> &'static str {
    match owner {
        BudgetOwner::Subject(Subject::Key) => "key",
        BudgetOwner::Subject(Subject::Person | Subject::PersonIn(_)) => "person",
        BudgetOwner::Subject(Subject::Group(_)) => "group",
        BudgetOwner::Subject(Subject::Environment(_)) => "environment",
        BudgetOwner::Subject(Subject::Gateway) => "gateway",
        BudgetOwner::Models(_) => "model",
    }
}

/// `hour` of `tokens-per-hour`.
fn window(budget: &str) -> &str {
    budget.rsplit('-').next().unwrap_or_default()
}

fn event_log(log: &EventLogStatus) -> Vec<StateMetric> {
    let gauge = StateMetric::gauge;
    let Some(origin) = &log.origin else { return signing(log) };
    let labels = [("log", origin.as_str())];
    let checkpoint = log.last_checkpoint;
    let mut all = vec![
        gauge("event_log_records", "Records that the event log has got").labelled(labels, log.size.map(number)),
        gauge("event_log_checkpoint_records", "Records that the last checkpoint of the event log names")
            .labelled(labels, checkpoint.map(|checkpoint| number(checkpoint.size))),
        gauge("event_log_checkpoint_timestamp", "When the last checkpoint was made, as Unix time")
            .unit(Unit::Seconds)
            .labelled(labels, checkpoint.map(|checkpoint| seconds(checkpoint.made_at))),
    ];
    all.extend(signing(log));
    all
}

fn signing(log: &EventLogStatus) -> Vec<StateMetric> {
    if !log.signing.on {
        return Vec::new();
    }
    let found = log.signing.problem.as_deref().map(|problem| match problem {
        "other-key" => "wrong_key",
        "log-went-back" => "rewound",
        _ => "other",
    });
    let metric = StateMetric::gauge("event_log_signing_problem", "Why no checkpoint of the event log can be made");
    let problems = ["wrong_key", "rewound", "other"];
    vec![problems.iter().fold(metric, |metric, name| metric.labelled([("problem", name)], flag(found == Some(name))))]
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn number(count: u64) -> f64 {
    count as f64
}

fn seconds(time: i64) -> f64 {
    time as f64
}
