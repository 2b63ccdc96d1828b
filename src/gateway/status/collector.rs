//! Collects the report from the parts of a running gateway.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::observed::Observed;
use super::problems::problems;
use super::process;
use super::report::{
    BudgetStatus, CertificateStatus, CheckpointStatus, CountStatus, DatabaseStatus, EventLogStatus, LimitsStatus,
    MaintenanceStatus, MemoryStatus, Refusal, SinkStatus, StatusReport, UpstreamReport, Usage,
};
use crate::address::Scheme;
use crate::gateway::active_config::{ActiveConfig, ConfigHandle};
use crate::gateway::audit::SinkState;
use crate::gateway::authn::OpenStreams;
use crate::gateway::clock::Clock;
use crate::gateway::directory::Directory;
use crate::gateway::health::{Health, UpstreamStatus};
use crate::gateway::limits::{Budgets, Limiter, Used, shared_budgets};
use crate::gateway::pending_devices::PendingDevices;
use crate::gateway::policy::{ScanLimits, Scanner};
use crate::gateway::store::{EventFilter, LogState, RecordedEvent};
use crate::gateway::usage::UsageCollector;
use crate::http::Http1Client;

/// How long what can keep one waiting is waited for, all at the same time.
const DEADLINE: Duration = Duration::from_millis(2500);
/// A sink that takes a batch for so long is stuck.
const STUCK: Duration = Duration::from_secs(10);
/// The events that are looked through for refusals, and the refusals that are shown.
const LATEST_EVENTS: u32 = 200;
const MOST_REFUSALS: usize = 5;
const DAY: i64 = 86_400;

/// The parts of a gateway that are looked at.
pub struct StatusParts {
    /// The accounts, and the way to the database.
    pub directory: Directory,
    /// The devices that ask for approval.
    pub pending_devices: Arc<PendingDevices>,
    /// The configuration in effect.
    pub config: Arc<ConfigHandle>,
    /// Limits how much callers use.
    pub limiter: Arc<Limiter>,
    /// How many tokens are used of budgets.
    pub budgets: Arc<Budgets>,
    /// The responses under way.
    pub streams: Arc<OpenStreams>,
    /// Reads bodies in full.
    pub scanner: Arc<Scanner>,
    /// What is not stored yet of usage.
    pub usage: Arc<UsageCollector>,
    /// Asks upstream server and database.
    pub health: Arc<Health>,
    /// The time.
    pub clock: Clock,
}

/// See the module. There is one for the whole gateway.
pub struct StatusCollector {
    parts: StatusParts,
    started_at: i64,
    /// What parts have it know.
    pub observed: Observed,
    /// For the upstream server, used on the runtime of the directory alone: a connection belongs to one runtime.
    client: OnceLock<Option<Http1Client>>,
    /// The latest refusals, of a log of that origin and size.
    refusals: Mutex<Option<(String, i64, Vec<Refusal>)>>,
    /// Held by who asks the database for the log: while it does not answer, questions must not pile up.
    log_turn: Arc<tokio::sync::Mutex<()>>,
}

/// What had to be asked for. Each is empty if there is no answer.
#[derive(Default)]
struct Answers {
    upstream: Option<UpstreamStatus>,
    is_readable: bool,
    log: Option<(LogState, Option<i64>)>,
    refusals: Vec<Refusal>,
    memory: MemoryStatus,
    database_bytes: Option<u64>,
}

impl StatusCollector {
    /// Of a gateway that starts now.
    pub fn new(parts: StatusParts) -> Self {
        let started_at = parts.clock.now();
        let (observed, client, refusals) = (Observed::default(), OnceLock::new(), Mutex::default());
        Self { parts, started_at, observed, client, refusals, log_turn: Arc::default() }
    }

    /// How the gateway is now. Takes as long as upstream server and database need to answer, and three seconds at most. May be called
    /// on any runtime, and every few seconds.
    pub async fn collect(self: &Arc<Self>) -> StatusReport {
        let this = self.clone();
        let answers = self.parts.directory.runtime().spawn(this.ask()).await;
        self.report(answers.unwrap_or_default())
    }

    async fn ask(self: Arc<Self>) -> Answers {
        let file = self.parts.directory.file();
        let of_system = tokio::task::spawn_blocking(move || (process::memory(), file.as_deref().and_then(size_of)));
        let this = self.clone();
        let of_log = async move {
            let turn = this.log_turn.clone().lock_owned().await;
            let asked = tokio::spawn(async move {
                let _turn = turn;
                this.ask_log().await
            });
            asked.await.ok().flatten()
        };
        let (health, log, of_system) =
            tokio::join!(timeout(DEADLINE, self.ask_health()), timeout(DEADLINE, of_log), timeout(DEADLINE, of_system));
        // An upstream server that keeps the check waiting says nothing of the database.
        let has_log = log.as_ref().is_ok_and(Option::is_some);
        let (upstream, is_readable) = health.unwrap_or((None, has_log));
        let (log, refusals) = log.ok().flatten().map_or((None, Vec::new()), |(log, refusals)| (Some(log), refusals));
        let (memory, database_bytes) = of_system.ok().and_then(Result::ok).unwrap_or_default();
        Answers { upstream, is_readable, log, refusals, memory, database_bytes }
    }

    async fn ask_health(&self) -> (Option<UpstreamStatus>, bool) {
        let url = self.parts.config.get().upstream.clone();
        let client = || Http1Client::system(url.scheme() == Scheme::Https).ok();
        match self.client.get_or_init(client) {
            Some(client) => self.parts.health.check(client, &url).await,
            None => (None, self.parts.directory.is_readable().await),
        }
    }

    async fn ask_log(&self) -> Option<((LogState, Option<i64>), Vec<Refusal>)> {
        let log = self.parts.directory.log_state().await.ok().flatten()?;
        let (origin, size) = (&log.0.log.origin, log.0.log.size);
        let known = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, _, known)) = known.filter(|known| (&known.0, known.1) == (origin, size)) {
            return Some((log, known));
        }
        let page = self.parts.directory.event_page(LATEST_EVENTS, EventFilter::default()).await.ok();
        let refusals: Vec<Refusal> =
            page.into_iter().flat_map(|page| page.events).filter_map(refusal).take(MOST_REFUSALS).collect();
        let latest = (origin.clone(), size, refusals.clone());
        *self.refusals.lock().unwrap_or_else(PoisonError::into_inner) = Some(latest);
        Some((log, refusals))
    }

    fn report(&self, answers: Answers) -> StatusReport {
        let (config, now) = (self.parts.config.get(), self.parts.clock.now());
        let certificate = self
            .observed
            .certificate()
            .map(|not_after| CertificateStatus { not_after, days_left: (not_after - now).div_euclid(DAY) });
        let records = answers.log.as_ref().map(|(state, _)| state.log.size.unsigned_abs());
        let maintenance = self.parts.directory.maintenance(now).map(|maintenance| MaintenanceStatus {
            message: maintenance.message.clone(),
            refuses: maintenance.refuses,
            until: maintenance.until,
        });
        let mut report = StatusReport {
            well: true,
            problems: Vec::new(),
            at: now,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            replica: config.replica_name.as_ref().map(ToString::to_string),
            url: config.url.to_string(),
            listen: config.local.to_string(),
            process: std::process::id(),
            upstream: UpstreamReport {
                url: config.upstream.to_string(),
                up: answers.upstream.is_some(),
                version: answers.upstream.and_then(|upstream| upstream.version),
            },
            database: DatabaseStatus {
                engine: if self.parts.directory.is_shared() { "postgresql" } else { "sqlite" }.to_owned(),
                readable: answers.is_readable,
                bytes: answers.database_bytes,
                gateways: self.parts.limiter.gateways().get(),
            },
            certificate,
            limits: self.limits(&config),
            event_log: self.event_log(answers.log),
            sinks: self.observed.sinks().into_iter().map(|state| sink(state, records)).collect(),
            directory: self.counts(now),
            memory: answers.memory,
            last_refusals: answers.refusals,
            usage_waiting: self.parts.usage.waiting() as u64,
            maintenance,
        };
        report.problems = problems(&report);
        report.well = report.problems.is_empty();
        report
    }

    fn limits(&self, config: &ActiveConfig) -> LimitsStatus {
        let used = self.parts.limiter.used_by_all(config.limits.without_budgets(), || self.parts.clock.elapsed());
        let burst = |used: &Used| {
            let (_, burst) = used.limits.rate()?;
            Some(Usage { used: used.requests?, limit: burst.get().into() })
        };
        let concurrent = |used: &Used| {
            let most = used.limits.streams?;
            Some(Usage { used: used.streams?.into(), limit: most.get().into() })
        };
        let states = self.parts.budgets.states(&shared_budgets(config));
        LimitsStatus {
            connections: self.observed.connections(),
            streams: self.parts.streams.count() as u64,
            burst: used.as_ref().and_then(burst),
            concurrent: used.as_ref().and_then(concurrent),
            scan_memory: Usage {
                used: self.parts.scanner.memory() as u64,
                limit: ScanLimits::new(config).total() as u64,
            },
            budgets: states
                .into_iter()
                .map(|state| BudgetStatus {
                    of: state.subject,
                    budget: state.budget.name().to_owned(),
                    used: state.used,
                    limit: state.limit,
                    renews_at: state.renews_at,
                })
                .collect(),
        }
    }

    fn event_log(&self, log: Option<(LogState, Option<i64>)>) -> EventLogStatus {
        let signing = self.observed.signing();
        let Some((LogState { log, last, .. }, unsigned_since)) = log else {
            return EventLogStatus { origin: None, size: None, last_checkpoint: None, unsigned_since: None, signing };
        };
        let checkpoint = last.map(|last| CheckpointStatus { size: last.size.unsigned_abs(), made_at: last.made_at });
        EventLogStatus {
            origin: Some(log.origin),
            size: Some(log.size.unsigned_abs()),
            last_checkpoint: checkpoint,
            unsigned_since,
            signing,
        }
    }

    fn counts(&self, now: i64) -> CountStatus {
        let counts = self.parts.directory.counts();
        CountStatus {
            people: counts.people as u64,
            service_accounts: counts.service_accounts as u64,
            devices: counts.devices as u64,
            keys: counts.keys as u64,
            pending_devices: self.parts.pending_devices.all(now).len() as u64,
        }
    }
}

/// Of a database and the file beside it that SQLite writes to first, in bytes.
fn size_of(path: &Path) -> Option<u64> {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-wal");
    let wal = std::fs::metadata(PathBuf::from(beside)).map_or(0, |found| found.len());
    Some(std::fs::metadata(path).ok()?.len() + wal)
}

/// A sink of a log that has so many records now.
fn sink(state: SinkState, records: Option<u64>) -> SinkStatus {
    let stuck = state.writes_for();
    let stuck = (stuck >= STUCK).then(|| format!("it has been taking the same batch for {} s", stuck.as_secs()));
    SinkStatus {
        name: state.name.to_string(),
        lag: state.lag(records),
        target: state.target,
        error: state.error.or(stuck),
    }
}

/// An event as a refusal, if it is one.
fn refusal(event: RecordedEvent) -> Option<Refusal> {
    Some(Refusal {
        at: event.last_at.unwrap_or(event.at),
        count: event.count,
        code: event.code?,
        action: event.action,
        actor: event.actor,
        account: event.account,
        subject: event.subject,
        address: event.address,
    })
}
