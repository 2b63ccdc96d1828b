//! What of a report is a problem, and what to do about it.

use super::report::{Problem, StatusReport};
use crate::relative_time;

const MINUTE: i64 = 60;
/// A certificate is to be renewed when so many days are left: those of 90 days are renewed with 30 left.
const RENEWAL_DAYS: i64 = 21;
/// New records are signed within five minutes.
const UNSIGNED: i64 = 10 * MINUTE;
/// Without new records a checkpoint is made each day.
const CHECKPOINT: i64 = 25 * 60 * MINUTE;
/// Far more than a sink gets behind in normal use.
const LAG: u64 = 10_000;
/// Parts of limits, in percent.
const CONNECTIONS: u64 = 90;
const BUDGET: u64 = 80;
/// The budget of the whole gateway.
const GATEWAY: &str = "gateway";

/// The problems of a report, the worst first. Its own are not looked at.
pub fn problems(report: &StatusReport) -> Vec<Problem> {
    let mut found = Vec::new();
    let upstream = &report.upstream;
    if !upstream.up {
        found.push(problem(
            "upstream-unreachable",
            format!("the upstream server {} does not answer", upstream.url),
            "start it, or correct `upstream` in the configuration".to_owned(),
        ));
    }
    if !report.database.readable {
        found.push(problem(
            "database-unreadable",
            "the database cannot be read".to_owned(),
            "known accounts are still served; the gateway's log has the reason".to_owned(),
        ));
    }
    found.extend(certificate(report));
    found.extend(signing(report));
    for sink in &report.sinks {
        let name = format!("the audit sink {} ({})", sink.name, sink.target);
        match (&sink.error, sink.lag) {
            (Some(error), lag) => found.push(problem(
                "sink-failing",
                format!("{name} takes no events: {error}"),
                match lag {
                    Some(lag) if lag > 0 => format!("make it work again: it then gets the {lag} events that it lacks"),
                    _ => "make it work again: it resumes where it stopped".to_owned(),
                },
            )),
            (None, Some(lag)) if lag >= LAG => found.push(problem(
                "sink-behind",
                format!("{name} is {lag} events behind"),
                "it catches up by itself, unless events come faster than it takes them".to_owned(),
            )),
            _ => {}
        }
    }
    found.extend(limits(report));
    found
}

fn certificate(report: &StatusReport) -> Option<Problem> {
    let certificate = report.certificate.as_ref()?;
    let renew = format!("renew it, then have the gateway read it: kill -HUP {}", report.process);
    let when = relative_time::until(certificate.not_after, report.at);
    match certificate.days_left {
        _ if certificate.not_after <= report.at => {
            Some(problem("certificate-expired", format!("the TLS certificate expired {when}"), renew))
        }
        ..RENEWAL_DAYS => Some(problem("certificate-expiring", format!("the TLS certificate expires {when}"), renew)),
        _ => None,
    }
}

fn signing(report: &StatusReport) -> Option<Problem> {
    let log = &report.event_log;
    if let Some(kind) = &log.signing.problem {
        // The database is the problem then.
        if kind == "failed" && !report.database.readable {
            return None;
        }
        let reason = log.signing.message.clone().unwrap_or_default();
        let new_log = "begin another log: ollama-auth gateway audit new-log --reason TEXT";
        let (message, hint) = match kind.as_str() {
            "other-key" => {
                (reason, format!("restore the file that `audit-key-file` names; if the key is lost, {new_log}"))
            }
            "log-went-back" => (reason, format!("find out why, for example after a restored backup; then {new_log}")),
            "copy" => {
                (reason, "correct `audit-checkpoint-file`: checkpoints are signed, and not copied there".to_owned())
            }
            _ => {
                let message = format!("checkpoints of the event log are not signed: {reason}");
                (message, "the event log is written all the same, and signed once this is solved".to_owned())
            }
        };
        return Some(problem(&format!("signing-{kind}"), message, hint));
    }
    if !log.signing.on {
        return None;
    }
    let running = report.at - report.started_at;
    let unsigned = log.unsigned_since.map(|since| report.at - since).filter(|age| (*age).min(running) > UNSIGNED);
    let last = log.last_checkpoint.map(|last| report.at - last.made_at).filter(|age| (*age).min(running) > CHECKPOINT);
    let message = match (unsigned, last) {
        (Some(age), _) => format!("records of the event log have not been signed for {}", relative_time::span(age)),
        (None, Some(age)) => format!("the last checkpoint of the event log was made {} ago", relative_time::span(age)),
        (None, None) => return None,
    };
    Some(problem("checkpoint-overdue", message, "sign one now: ollama-auth gateway audit checkpoint --now".to_owned()))
}

fn limits(report: &StatusReport) -> Vec<Problem> {
    let mut found = Vec::new();
    let percent = |used: u64, limit: u64| u128::from(used) * 100 / u128::from(limit.max(1));
    if let Some(connections) = report.limits.connections
        && percent(connections.used, connections.limit) > CONNECTIONS.into()
    {
        found.push(problem(
            "connections-high",
            format!("{} of {} connections are open", connections.used, connections.limit),
            "further callers wait: raise `max-connections`, and the limit of open files (ulimit -n)".to_owned(),
        ));
    }
    for budget in report.limits.budgets.iter().filter(|budget| budget.of == GATEWAY) {
        let used = percent(budget.used, budget.limit);
        if used >= BUDGET.into() {
            found.push(problem(
                "budget-high",
                format!("{used} % of the gateway's {} are used", budget.budget),
                format!(
                    "it renews {}; to raise it, change `{}` in [limits]",
                    relative_time::until(budget.renews_at, report.at),
                    budget.budget
                ),
            ));
        }
    }
    found
}

fn problem(code: &str, message: String, hint: String) -> Problem {
    Problem { code: code.to_owned(), message, hint: Some(hint) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::status::report::{
        BudgetStatus, CertificateStatus, CheckpointStatus, CountStatus, DatabaseStatus, EventLogStatus, LimitsStatus,
        MaintenanceStatus, MemoryStatus, SigningStatus, SinkStatus, UpstreamReport, Usage,
    };

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;

    /// One without problems, of a gateway that has run for 30 days.
    fn report() -> StatusReport {
        StatusReport {
            well: true,
            problems: Vec::new(),
            at: NOW,
            version: "1.0.0".to_owned(),
            started_at: NOW - 30 * DAY,
            replica: None,
            url: "https://gpu.example.com".to_owned(),
            listen: "0.0.0.0:443".to_owned(),
            process: 7,
            upstream: UpstreamReport { url: "http://127.0.0.1:11434".to_owned(), up: true, version: None },
            database: DatabaseStatus { engine: "sqlite".to_owned(), readable: true, bytes: None, gateways: 1 },
            certificate: Some(expires_in(60 * DAY)),
            limits: LimitsStatus {
                connections: Some(Usage { used: 90, limit: 100 }),
                streams: 2,
                burst: None,
                concurrent: None,
                scan_memory: Usage { used: 0, limit: 1 },
                budgets: vec![budget("gateway", 79), budget("group:research", 100), budget("model:llama*", 100)],
            },
            event_log: EventLogStatus {
                origin: Some("log".to_owned()),
                size: Some(9),
                last_checkpoint: Some(CheckpointStatus { size: 8, made_at: NOW - DAY }),
                unsigned_since: Some(NOW - UNSIGNED),
                signing: SigningStatus { on: true, ..SigningStatus::default() },
            },
            sinks: vec![sink(Some(LAG - 1), None)],
            directory: CountStatus { people: 1, service_accounts: 0, devices: 0, keys: 0, pending_devices: 3 },
            memory: MemoryStatus::default(),
            last_refusals: Vec::new(),
            usage_waiting: 5,
            maintenance: Some(MaintenanceStatus { message: "soon".to_owned(), refuses: true, until: None }),
        }
    }

    fn expires_in(seconds: i64) -> CertificateStatus {
        CertificateStatus { not_after: NOW + seconds, days_left: seconds.div_euclid(DAY) }
    }

    fn budget(of: &str, used: u64) -> BudgetStatus {
        let (of, budget) = (of.to_owned(), "tokens-per-day".to_owned());
        BudgetStatus { of, budget, used, limit: 100, renews_at: NOW + 2 * 3600 }
    }

    fn sink(lag: Option<u64>, error: Option<&str>) -> SinkStatus {
        let (name, target) = ("siem".to_owned(), "file /var/log/x".to_owned());
        SinkStatus { name, target, lag, error: error.map(str::to_owned) }
    }

    fn signing(report: &mut StatusReport, kind: &str) {
        report.event_log.signing.problem = Some(kind.to_owned());
        report.event_log.signing.message = Some("the reason".to_owned());
    }

    #[test]
    fn a_gateway_that_is_well_has_no_problems() {
        assert_eq!(problems(&report()), []);
        let quiet = StatusReport { certificate: None, sinks: vec![sink(None, None)], ..report() };
        assert_eq!(problems(&quiet), []);
    }

    #[test]
    fn each_problem_has_a_code_and_says_what_it_is() {
        type Change = fn(&mut StatusReport);
        let cases: &[(Change, &str, &str)] = &[
            (|r| r.upstream.up = false, "upstream-unreachable", "http://127.0.0.1:11434 does not answer"),
            (|r| r.database.readable = false, "database-unreadable", "the database cannot be read"),
            (|r| r.certificate = Some(expires_in(21 * DAY - 1)), "certificate-expiring", "expires in 21 days"),
            (|r| r.certificate = Some(expires_in(3600)), "certificate-expiring", "expires in 1 hour"),
            (|r| r.certificate = Some(expires_in(0)), "certificate-expired", "expired"),
            (|r| r.certificate = Some(expires_in(-3 * DAY)), "certificate-expired", "expired 3 days ago"),
            (|r| signing(r, "other-key"), "signing-other-key", "the reason"),
            (|r| signing(r, "log-went-back"), "signing-log-went-back", "the reason"),
            (|r| signing(r, "key-file"), "signing-key-file", "are not signed: the reason"),
            (|r| signing(r, "failed"), "signing-failed", "are not signed: the reason"),
            (|r| signing(r, "copy"), "signing-copy", "the reason"),
            (
                |r| r.event_log.unsigned_since = Some(NOW - UNSIGNED - 1),
                "checkpoint-overdue",
                "not been signed for 10 minutes",
            ),
            (
                |r| r.event_log.last_checkpoint = Some(CheckpointStatus { size: 8, made_at: NOW - CHECKPOINT - 1 }),
                "checkpoint-overdue",
                "was made 25 hours ago",
            ),
            (|r| r.sinks = vec![sink(Some(4), Some("no space"))], "sink-failing", "takes no events: no space"),
            (|r| r.sinks = vec![sink(None, Some("no space"))], "sink-failing", "siem (file /var/log/x)"),
            (|r| r.sinks = vec![sink(Some(LAG), None)], "sink-behind", "10000 events behind"),
            (
                |r| r.limits.connections = Some(Usage { used: 91, limit: 100 }),
                "connections-high",
                "91 of 100 connections are open",
            ),
            (|r| r.limits.budgets[0].used = 80, "budget-high", "80 % of the gateway's tokens-per-day are used"),
        ];
        for (change, code, message) in cases {
            let mut report = report();
            change(&mut report);
            let found = problems(&report);
            assert_eq!(found.len(), 1, "{code}: {found:?}");
            assert_eq!(found[0].code, *code);
            assert!(found[0].message.contains(message), "{:?}", found[0]);
            assert!(found[0].hint.as_ref().is_some_and(|hint| !hint.is_empty()));
        }
    }

    /// What a gateway has not had the time for is not overdue.
    #[test]
    fn a_gateway_that_has_just_started_has_no_overdue_checkpoint() {
        let mut report = report();
        report.started_at = NOW - 5;
        report.event_log.unsigned_since = Some(NOW - 40 * DAY);
        report.event_log.last_checkpoint = None;
        assert_eq!(problems(&report), []);
        report.started_at = NOW - UNSIGNED - 1;
        assert_eq!(problems(&report)[0].code, "checkpoint-overdue");
        report.event_log.signing.on = false;
        assert_eq!(problems(&report), []);
    }

    #[test]
    fn what_follows_from_an_unreadable_database_is_not_told_twice() {
        let mut report = report();
        report.database.readable = false;
        signing(&mut report, "failed");
        let codes: Vec<_> = problems(&report).into_iter().map(|problem| problem.code).collect();
        assert_eq!(codes, ["database-unreadable"]);
    }
}
