//! A report as a few facts for people.

use jiff::Timestamp;

use super::report::{Refusal, StatusReport};
use crate::keyspec::tokens_text;
use crate::relative_time;

/// The engine of a database that gateways share.
const POSTGRESQL: &str = "postgresql";

/// A few facts under a heading. Texts may be untrusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// Labels and values.
    pub facts: Vec<(String, String)>,
}

impl StatusReport {
    /// The whole report in words, but for the problems.
    pub fn sections(&self) -> Vec<Section> {
        let title = self.replica.as_ref().map_or_else(|| "Gateway".to_owned(), |name| format!("Gateway {name}"));
        let mut sections = vec![
            section(&title, gateway(self)),
            section("In use", in_use(self)),
            section("Event log", event_log(self)),
        ];
        if !self.last_refusals.is_empty() {
            let facts = self.last_refusals.iter().map(|refusal| refused(refusal, self.at)).collect();
            sections.push(Section { title: "Latest refusals".to_owned(), facts });
        }
        sections
    }
}

fn section(title: &str, facts: Vec<(&str, String)>) -> Section {
    let facts = facts.into_iter().map(|(label, value)| (label.to_owned(), value)).collect();
    Section { title: title.to_owned(), facts }
}

fn refused(refusal: &Refusal, now: i64) -> (String, String) {
    let who = refusal.account.as_deref().map(|account| format!(", account {account}")).unwrap_or_default();
    let from = match refusal.address.as_str() {
        "" => ", from several addresses".to_owned(),
        address => format!(", from {address}"),
    };
    let times = if refusal.count > 1 { format!(", {} times", refusal.count) } else { String::new() };
    (relative_time::ago(refusal.at, now), format!("{} ({}){who}{from}{times}", refusal.code, refusal.action))
}

fn gateway(report: &StatusReport) -> Vec<(&'static str, String)> {
    let up = relative_time::span((report.at - report.started_at).max(0));
    let upstream = match (report.upstream.up, &report.upstream.version) {
        (true, Some(version)) => format!("Ollama {version}"),
        (true, None) => "answers".to_owned(),
        (false, _) => "does not answer".to_owned(),
    };
    let database = match report.database.engine.as_str() {
        POSTGRESQL => format!("PostgreSQL, shared by {}", count(report.database.gateways.into(), "gateway")),
        _ => match report.database.bytes {
            Some(bytes) => format!("SQLite, {}", size(bytes)),
            None => "SQLite".to_owned(),
        },
    };
    let unreadable = if report.database.readable { "" } else { ", cannot be read" };
    let listens = match report.url.ends_with(&format!("://{}", report.listen)) {
        true => String::new(),
        false => format!("listens at {}, ", report.listen),
    };
    let mut facts = vec![
        ("URL", format!("{} ({listens}process {})", report.url, report.process)),
        ("Version", format!("{}, runs for {up}", report.version)),
        ("Upstream", format!("{}, {upstream}", report.upstream.url)),
        ("Database", format!("{database}{unreadable}")),
    ];
    if let Some(certificate) = &report.certificate {
        let verb = if certificate.not_after > report.at { "expires" } else { "expired" };
        let when = relative_time::until(certificate.not_after, report.at);
        facts.push(("Certificate", format!("{verb} {when} ({})", day(certificate.not_after))));
    }
    if let Some(maintenance) = &report.maintenance {
        let refused = if maintenance.refuses { ", requests to models are refused" } else { "" };
        let until = maintenance.until.map(|until| format!(", ends {}", relative_time::until(until, report.at)));
        facts.push(("Maintenance", format!("{:?}{refused}{}", maintenance.message, until.unwrap_or_default())));
    }
    facts
}

fn in_use(report: &StatusReport) -> Vec<(&'static str, String)> {
    let limits = &report.limits;
    let connections = limits.connections.map(|all| format!(", {} of {} connections", all.used, all.limit));
    let mut facts = vec![("Responses", format!("{} now{}", limits.streams, connections.unwrap_or_default()))];
    let burst = limits.burst.map(|burst| format!("{} of a burst of {}", burst.used, burst.limit));
    let concurrent = limits.concurrent.map(|all| format!("{} of {} at a time", all.used, all.limit));
    let of_all: Vec<String> = burst.into_iter().chain(concurrent).collect();
    if !of_all.is_empty() {
        facts.push(("Requests", of_all.join(", ")));
    }
    facts.extend(limits.budgets.iter().map(|budget| {
        let (used, limit) = (tokens_text(budget.used), tokens_text(budget.limit));
        let renews = relative_time::until(budget.renews_at, report.at);
        ("Budget", format!("{}: {used} of {limit} {}, renews {renews}", budget.of, words(&budget.budget)))
    }));
    let directory = &report.directory;
    let workloads = match directory.service_accounts {
        0 => String::new(),
        number => format!("{}, ", count(number, "service account")),
    };
    let people = if directory.people == 1 { "1 person".to_owned() } else { format!("{} people", directory.people) };
    let (devices, keys) = (count(directory.devices, "device"), count(directory.keys, "API key"));
    let pending = match directory.pending_devices {
        0 => String::new(),
        1 => ", 1 device asks for approval".to_owned(),
        number => format!(", {number} devices ask for approval"),
    };
    facts.push(("Accounts", format!("{people}, {workloads}{devices}, {keys}{pending}")));
    let memory = report.memory.resident.map(size);
    let bodies = (limits.scan_memory.used > 0).then(|| format!("{} for bodies", size(limits.scan_memory.used)));
    let files = report.memory.open_files.map(|open| match report.memory.open_files_limit {
        Some(limit) => format!("{open} of {limit} open files"),
        None => format!("{open} open files"),
    });
    let process: Vec<String> = memory.into_iter().chain(bodies).chain(files).collect();
    if !process.is_empty() {
        facts.push(("Memory", process.join(", ")));
    }
    if report.usage_waiting > 0 {
        facts.push(("Usage", format!("{} not stored yet", count(report.usage_waiting, "request"))));
    }
    facts
}

fn event_log(report: &StatusReport) -> Vec<(&'static str, String)> {
    let log = &report.event_log;
    let sinks = report.sinks.iter().map(|sink| {
        let lag = match sink.lag {
            None => "not started yet".to_owned(),
            Some(0) => "up to date".to_owned(),
            Some(lag) => format!("{} behind", count(lag, "event")),
        };
        ("Sink", format!("{}, {}, {lag}", sink.name, sink.target))
    });
    let (Some(origin), Some(records)) = (&log.origin, log.size) else {
        return vec![("Records", "cannot be read".to_owned())].into_iter().chain(sinks).collect();
    };
    let checkpoint = match (&log.last_checkpoint, log.signing.on) {
        (Some(last), _) => {
            let unsigned = match records.saturating_sub(last.size) {
                0 => "all records".to_owned(),
                more => format!("all but the last {}", count(more, "record")),
            };
            format!("{}, {unsigned}", relative_time::ago(last.made_at, report.at))
        }
        (None, true) => "none yet".to_owned(),
        (None, false) => "none: `audit-key-file` names no key".to_owned(),
    };
    let facts = [("Records", format!("{records} ({origin})")), ("Checkpoint", checkpoint)];
    facts.into_iter().chain(sinks).collect()
}

/// `tokens-per-day` as `tokens per day`.
fn words(name: &str) -> String {
    name.replace('-', " ")
}

/// `1 device`, `2 devices`.
fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// `4.2 MiB`.
fn size(bytes: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

/// A Unix time as `2026-11-21`, in UTC.
fn day(at: i64) -> String {
    Timestamp::from_second(at).map_or_else(|_| "at no time".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_that_fits() {
        let shown = [0, 1023, 1024, 1_572_864, 5 << 30].map(size);
        assert_eq!(shown, ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 MiB", "5.0 GiB"]);
    }
}
