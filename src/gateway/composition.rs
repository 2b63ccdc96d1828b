//! Puts the parts of a gateway together. Each part gets what it needs here, and nothing else is handed around.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::account::{AccountParts, AccountService};
use super::active_config::ConfigHandle;
use super::admin::RunningGateway;
use super::authn::{Authenticator, AuthenticatorParts, OpenStreams, Sessions};
use super::clock::Clock;
use super::config::Config;
use super::directory::Directory;
use super::health::Health;
use super::limits::{BudgetWarning, Budgets, Limiter};
use super::log_throttle::LogThrottle;
use super::oidc::{IssuerSettings, Issuers, RefreshRules};
use super::pages::{self, Pages, PagesParts};
use super::pending_devices::PendingDevices;
use super::policy::Scanner;
use super::providers::ProviderService;
use super::refusals::{Kind, Refusals};
use super::secret::Secret;
use super::signin_link_filter::Report;
use super::stack::Worker;
use super::status::{StatusCollector, StatusParts};
use super::status_metrics::{MOST_BUDGETS, state_metrics};
use super::store::{Actor, Change, Event, Retention, StoreError};
use super::telemetry::{Metrics, Telemetry};
use super::usage::UsageCollector;
use crate::http::Http1Client;

/// The parts of a running gateway that those who start, serve and administrate it use.
pub struct Gateway {
    /// The accounts, devices and keys.
    pub directory: Directory,
    /// The unknown keys that can be approved.
    pub pending_devices: Arc<PendingDevices>,
    /// The pages for people.
    pub pages: Arc<Pages>,
    /// The configuration in effect.
    pub config: Arc<ConfigHandle>,
    /// Limits how often requests alone can make the gateway write to its log.
    pub log_throttle: Arc<LogThrottle>,
    /// Refused credentials and requests, and failed sign-ins, that were not reported yet.
    refusals: Arc<Refusals>,
    /// Held by who records one of them.
    recording: Arc<tokio::sync::Mutex<()>>,
    /// What requests used, until it is written.
    pub usage: Arc<UsageCollector>,
    /// Records requests that are over.
    pub telemetry: Arc<Telemetry>,
    /// The responses that are cut off when their credential is no longer valid.
    pub streams: Arc<OpenStreams>,
    /// The clock of every part, settable in tests.
    pub clock: Clock,
    /// What administration uses.
    pub administration: Arc<RunningGateway>,
    authenticator: Arc<Authenticator>,
    /// Who issues the tokens that are accepted.
    issuers: Arc<Issuers>,
    scanner: Arc<Scanner>,
    accounts: Arc<AccountService>,
    limiter: Arc<Limiter>,
    /// How many tokens are used of budgets.
    pub budgets: Arc<Budgets>,
    health: Arc<Health>,
    withheld_link: Report,
    /// What is asked of providers.
    pub providers: Arc<ProviderService>,
}

/// Why roles are refused.
pub const LOCKED_OUT: &str = "with these roles no enabled account would be an administrator's";

impl Gateway {
    /// A gateway that listens at `local`. Signatures from before this second are not accepted: if an earlier gateway may have accepted
    /// some in it, it has to be over.
    /// Gateways that share a database have the same secret.
    pub fn new(directory: Directory, clock: Clock, config: Config, local: SocketAddr, secret: &Secret) -> Self {
        if let Some(name) = &config.replica_name {
            directory.set_replica(name);
        }
        directory.set_policy_tables(config.policy_tables());
        let issuers = Arc::new(Issuers::new(clock.clone(), directory.runtime()));
        issuers.configure(issuer_settings(&config), refresh_rules(&config));
        let config = Arc::new(ConfigHandle::new(config, local));
        let pending_devices = Arc::new(PendingDevices::new(secret));
        let sessions = Arc::new(Sessions::new(secret));
        let (pending, open, now) = (pending_devices.clone(), sessions.clone(), clock.clone());
        directory.listen(move |record| {
            pending.note_news(record, now.now());
            open.note_news(record, now.now());
        });
        let providers = Arc::new(ProviderService::new(
            issuers.clone(),
            secret,
            directory.clone(),
            sessions.clone(),
            config.clone(),
            clock.clone(),
        ));
        let log_throttle = Arc::<LogThrottle>::default();
        let refusals = Arc::<Refusals>::default();
        let limiter = Arc::<Limiter>::default();
        let budgets = Arc::new(Budgets::new(config.clone(), clock.clone()));
        let accounts = Arc::new(AccountService::new(AccountParts {
            directory: directory.clone(),
            config: config.clone(),
            limiter: limiter.clone(),
            budgets: budgets.clone(),
            clock: clock.clone(),
        }));
        let authenticator = Arc::new(Authenticator::new(AuthenticatorParts {
            directory: directory.clone(),
            pending_devices: pending_devices.clone(),
            sessions: sessions.clone(),
            issuers: issuers.clone(),
            log_throttle: log_throttle.clone(),
            refusals: refusals.clone(),
            config: config.clone(),
            clock: clock.clone(),
        }));
        let streams = Arc::new(OpenStreams::new(directory.clone(), config.clone(), clock.clone()));
        let usage = Arc::new(UsageCollector::new(config.clone(), budgets.clone(), clock.clone()));
        let (health, scanner) = (Arc::new(Health::new(directory.clone())), Arc::<Scanner>::default());
        let status = Arc::new(StatusCollector::new(StatusParts {
            directory: directory.clone(),
            pending_devices: pending_devices.clone(),
            config: config.clone(),
            limiter: limiter.clone(),
            budgets: budgets.clone(),
            streams: streams.clone(),
            scanner: scanner.clone(),
            usage: usage.clone(),
            health: health.clone(),
            clock: clock.clone(),
        }));
        let administration = Arc::new(RunningGateway {
            status,
            limiter: limiter.clone(),
            budgets: budgets.clone(),
            directory: directory.clone(),
            pending_devices: pending_devices.clone(),
            sessions: sessions.clone(),
            streams: streams.clone(),
            config: config.clone(),
            make_checkpoint: OnceLock::new(),
            clock: clock.clone(),
        });
        let parts = PagesParts {
            administration: administration.clone(),
            authenticator: authenticator.clone(),
            accounts: accounts.clone(),
            directory: directory.clone(),
            pending_devices: pending_devices.clone(),
            sessions: sessions.clone(),
            refusals: refusals.clone(),
            providers: providers.clone(),
            config: config.clone(),
            log_throttle: log_throttle.clone(),
            clock: clock.clone(),
        };
        let pages = Pages::new(parts, secret);
        let (throttle, now) = (log_throttle.clone(), clock.clone());
        let withheld_link: Report = Arc::new(move || {
            // A model can be made to write such a link again and again.
            if throttle.allow("withheld sign-in links", now.now()) {
                tracing::warn!("withheld the sign-in link of the upstream server from a response");
            }
        });
        let metrics = config.get().metrics_listen.map(|_| Arc::<Metrics>::default());
        let telemetry = Arc::new(Telemetry::new(metrics, clock.clone()));
        telemetry.configure_access_log(config.get().access_log().as_ref());
        Self {
            administration,
            directory,
            pending_devices,
            pages: Arc::new(pages),
            config,
            log_throttle,
            refusals,
            recording: Arc::default(),
            clock,
            issuers,
            scanner,
            authenticator,
            accounts,
            limiter,
            budgets,
            health,
            usage,
            telemetry,
            streams,
            withheld_link,
            providers,
        }
    }

    /// Puts another configuration into effect, for the requests that begin from now on. Streams whose right is gone are cut off; the log
    /// says who lost what.
    ///
    /// # Errors
    /// One with which nobody could administrate the gateway any more. Nothing has changed then.
    pub fn reconfigure(&self, config: Config) -> Result<(), String> {
        let tables = config.policy_tables();
        if self.directory.would_lock_out(&tables.roles) {
            return Err(LOCKED_OUT.to_owned());
        }
        config.check_providers()?;
        let losses = self.directory.losses(&tables, self.clock.now());
        self.directory.warn_of_closed_environments(&tables);
        self.issuers.configure(issuer_settings(&config), refresh_rules(&config));
        self.telemetry.configure_access_log(config.access_log().as_ref());
        self.config.replace(config);
        self.directory.set_policy_tables(tables);
        let (directory, now) = (self.directory.clone(), self.clock.now());
        self.directory.runtime().spawn(async move { make_service_accounts(&directory, now).await });
        self.directory.warn_of_undefined_groups();
        self.warn_of_unconfigured_providers();
        for loss in losses {
            let key = loss.key.as_ref().map(|id| id.as_str());
            tracing::warn!(user = loss.user, role = loss.role.name(), key, lost = loss.to_string(), "rights lost");
        }
        Ok(())
    }

    /// Says in the log whose provider is not configured any more.
    pub fn warn_of_unconfigured_providers(&self) {
        let config = self.config.get();
        let is_configured = |issuer: &str| config.oidc.all().any(|provider| provider.issuer.as_str() == issuer);
        self.directory.warn_of_unconfigured_providers(is_configured);
    }

    /// Makes the service accounts of workload rules that are not there yet.
    pub async fn make_service_accounts(&self) {
        make_service_accounts(&self.directory, self.clock.now()).await;
    }

    /// Puts what the gateway's state is now into the metrics, if there are any.
    pub async fn update_metrics(&self) {
        let Some(metrics) = self.telemetry.metrics() else { return };
        let report = self.administration.status.collect().await;
        let budgets = self.budgets.clone();
        // Beside the thread that accepts connections: there can be many.
        let most_used = tokio::task::spawn_blocking(move || budgets.most_used(MOST_BUDGETS)).await;
        let budgets = most_used.unwrap_or_default();
        metrics.set_state(state_metrics(&report, &budgets, &self.telemetry));
    }

    /// What a thread needs to answer requests, with connections of its own to the upstream server.
    pub fn worker(&self, upstream: Http1Client) -> Worker {
        Worker {
            config: self.config.clone(),
            directory: self.directory.clone(),
            authenticator: self.authenticator.clone(),
            scanner: self.scanner.clone(),
            accounts: self.accounts.clone(),
            limiter: self.limiter.clone(),
            budgets: self.budgets.clone(),
            health: self.health.clone(),
            streams: self.streams.clone(),
            usage: self.usage.clone(),
            telemetry: self.telemetry.clone(),
            pages: pages::router(self.pages.clone()),
            upstream,
            log_throttle: self.log_throttle.clone(),
            clock: self.clock.clone(),
            withheld_link: self.withheld_link.clone(),
        }
    }

    /// Takes a maintenance message that is over, keys that have expired and what limits no longer count out of memory, suspends keys that were not used for too long, and deletes what was
    /// kept long enough. `ran` are the seconds that the gateway has run since the last time.
    ///
    /// # Errors
    /// When nothing can be written.
    pub async fn sweep(&self, ran: Duration) -> Result<(), StoreError> {
        self.limiter.sweep(self.clock.elapsed());
        self.budgets.sweep();
        self.end_maintenance().await;
        self.authenticator.suspend_idle_keys().await;
        let config = self.config.get();
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let retention = Retention {
            keys: config.key_retention.map(seconds),
            events: config.event_retention.map(seconds),
            usage_records: config.usage_record_retention.map(seconds),
            usage_hours: config.usage_hour_retention.map(seconds),
            usage_days: config.usage_day_retention.map(seconds),
            event_bytes: config.event_log_size.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            goes_on: false,
        };
        self.directory.sweep(self.clock.now(), seconds(ran), retention).await
    }

    /// Removes a maintenance message that is over, with an event.
    async fn end_maintenance(&self) {
        let Some(over) = self.directory.maintenance_to_end(self.clock.now()) else { return };
        let event = Event::new(self.clock.now(), Actor::Gateway, "maintenance.ended", "gateway");
        let event = event.with("message", &over.message).with("reason", "its time is over");
        // Not one that was set meanwhile.
        let clock = self.clock.clone();
        let still = move |directory: &Directory| directory.maintenance_to_end(clock.now()).is_some();
        if let Err(error) = self.directory.commit_if(Change::SetMaintenance(None), event, still).await {
            tracing::warn!(%error, "the end of a maintenance message could not be recorded");
        }
    }

    /// Counts the gateways that share the database, and with it the limits. While it does not answer, the last number counts.
    pub async fn count_gateways(&self) {
        match self.directory.count_gateways().await {
            Ok(count) => {
                let count = self.limiter.set_gateways(count);
                self.budgets.set_gateways(count);
            }
            Err(error) => tracing::debug!(%error, "gateways could not be counted"),
        }
    }

    /// Records that budgets are used up, or soon will be.
    pub async fn record_budget_warnings(&self, warnings: Vec<BudgetWarning>) {
        for warning in warnings {
            if let Err(error) = self.directory.record(warning.event(self.clock.now())).await {
                let BudgetWarning { subject, budget, percent, .. } = warning;
                tracing::warn!(%error, subject, budget = budget.name(), percent, "the use of a budget could not be recorded");
            }
        }
    }

    /// Records refused credentials and requests, and failed sign-ins, as far as they are due; at the end `all`.
    ///
    /// # Errors
    /// When one could not be recorded. It stays due.
    pub async fn report_refusals(&self, all: bool) -> Result<(), StoreError> {
        let mut failed = None;
        // The second pass records the counts of kinds whose first event the first pass recorded.
        for _ in 0..2 {
            let now = self.clock.now();
            for kind in self.refusals.due(now, all) {
                match self.record_refusal(kind, now).await {
                    Ok(()) => {}
                    Err(
                        error @ (StoreError::Unreachable { .. }
                        | StoreError::Untrusted { .. }
                        | StoreError::ReadOnly { .. }),
                    ) => return Err(error),
                    // One that cannot be stored must not keep the others from it.
                    Err(error) => failed = Some(error),
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Records one that is due. It ends also when this is dropped: otherwise it could be stored, still be due, and be stored again.
    async fn record_refusal(&self, kind: Kind, now: i64) -> Result<(), StoreError> {
        let (refusals, directory, turn) = (self.refusals.clone(), self.directory.clone(), self.recording.clone());
        let recorded = tokio::spawn(async move {
            let _one_at_a_time = turn.lock().await;
            let Some(event) = refusals.event(&kind) else { return Ok(()) };
            let number = directory.record(event.clone()).await?;
            refusals.recorded(&kind, &event, number, now);
            Ok(())
        });
        recorded.await.unwrap_or(Ok(()))
    }

    /// How many refusals are not recorded yet.
    pub fn unrecorded_refusals(&self) -> u64 {
        self.refusals.unrecorded()
    }
}

/// The issuers that a configuration trusts, those of workloads and those of people, each once.
pub(super) fn issuer_settings(config: &Config) -> Vec<IssuerSettings> {
    let of_workloads = config.workloads.all().map(|rule| rule.issuer_settings());
    let all = config.oidc.all().map(|provider| provider.issuer_settings()).chain(of_workloads);
    all.map(|settings| (settings.url.clone(), settings)).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// How often issuers are asked, and how long their keys last.
pub(super) fn refresh_rules(config: &Config) -> RefreshRules {
    RefreshRules { min_interval: config.jwks_min_interval, grace: config.jwks_grace }
}

/// One that cannot be made now is made with the first token for it.
async fn make_service_accounts(directory: &Directory, now: i64) {
    if let Err(error) = directory.make_service_accounts(now).await {
        tracing::error!(%error, "service accounts of workload rules could not be created");
    }
}
