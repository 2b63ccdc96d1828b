//! `gateway serve`: binds the listener, opens the database, serves until a signal asks it to stop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::{audit, config, database};
use crate::app::App;
use crate::cli::ServeArgs;
use crate::exit::{Exit, Problem};
use crate::gateway::audit::Sinks;
use crate::gateway::{
    self, AdminSocket, Clock, Config, DatabaseLocation, Directory, Gateway, LOCKED_OUT, MetricsListener, PolicyName,
    Secret, Server, Signing, Store,
};
use crate::os_error::without_codes;
use crate::signals;

/// Between two writings of when credentials were last used.
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);

/// Between two looks for refusals that are to be recorded: the first of a kind is in the event log within a second.
const REFUSAL_INTERVAL: Duration = Duration::from_millis(500);

/// Between two looks for keys that have expired and records to delete.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Between two looks for people who are to be looked up at their provider again.
const RECHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Between two looks whether a checkpoint of the event log is due.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// Between two looks at the gateway's state for its metrics.
const STATE_INTERVAL: Duration = Duration::from_secs(5);

/// Between two signs that this gateway's secret is in use.
const SECRET_INTERVAL: Duration = Duration::from_secs(20);

/// How long the end of the access log is waited for: a little longer than it waits itself.
const ACCESS_LOG_PATIENCE: Duration = Duration::from_millis(2250);

/// A gateway that listens, and serves nothing yet.
pub struct PreparedGateway {
    /// The listener.
    pub server: Server,
    /// What decides requests.
    pub gateway: Arc<Gateway>,
    /// Whether there is no account yet.
    pub is_new: bool,
}

/// `gateway serve`. SIGTERM and Ctrl-C let answers finish, a second one ends at once; SIGHUP reads the configuration again.
///
/// # Errors
/// A configuration, address or database that cannot be used.
pub async fn run(app: &App, args: ServeArgs) -> anyhow::Result<Exit> {
    let config = config::load(app, &args)?;
    let location = database::located(app, config.database.clone(), config.database_password_file.clone())?;
    // Before the database, so that what is wrong here shows at once.
    config.check_providers().map_err(|error| Problem::new(Exit::Usage, error))?;
    let (secret, server) = (database::secret(&config, &location)?, Server::bind(&config)?);
    let metrics_listener = config.metrics_listen.map(bind_metrics).transpose()?;
    let store = database::open_when_reachable(app, &location).await?;
    let (signer, signing) = match audit::signer(app, &config, &location).await {
        Ok(signer) => {
            let signer = signer.map(Arc::new);
            (signer.clone(), signer.map(Signing::By))
        }
        // It serves and records all the same.
        Err(error) => {
            tracing::warn!(%error, "checkpoints of the event log are not signed");
            (None, Some(Signing::Failed(error.to_string())))
        }
    };
    let fingerprint = *secret.key("fingerprint");
    let PreparedGateway { server, gateway, is_new } = prepare(app.now, config, server, store.clone(), &secret).await?;
    if !gateway.directory.has_secret(fingerprint).await? {
        return Err(Problem::new(Exit::Failed, "another gateway on this database has another secret-file")
            .hint("give all gateways the same file; after a change of it, stop all of them for a minute")
            .into());
    }
    gateway.count_gateways().await;
    let observed = &gateway.administration.status.observed;
    if let Some(signing) = signing {
        observed.set_signing(signing);
    }
    if let Some(signer) = &signer {
        let _ = gateway.administration.make_checkpoint.set(audit::make_checkpoint(signer.clone(), store.clone()));
    }
    let socket = bind_socket(app, &location, &store).await?;
    let administration =
        socket.map(|socket| tokio::spawn(gateway::admin::serve(socket, gateway.administration.clone())));
    let following = {
        let directory = gateway.directory.clone();
        tokio::spawn(async move { directory.follow().await })
    };
    let signing = {
        let (gateway, store, signer) = (gateway.clone(), store.clone(), signer);
        tokio::spawn(async move {
            let Some(signer) = signer else { return };
            loop {
                if let Err(error) = signer.sign(&*store, gateway.clock.now(), false).await
                    && gateway.log_throttle.allow("checkpoints", gateway.clock.now())
                {
                    tracing::warn!(%error, "no checkpoint of the event log was made");
                }
                tokio::time::sleep(CHECKPOINT_INTERVAL).await;
            }
        })
    };
    let sinks = {
        let config = gateway.config.clone();
        Sinks::start(store.clone(), app.paths.data.join("gateway"), move || config.get().audit_sinks.clone())
    };
    observed.set_sinks(sinks.states());
    // Before the announcement: otherwise a signal right after it would end the process without a shutdown.
    let (requests, reload_requests) = (signals::stop_requests(), signals::reload_requests());
    // What was used of budgets, before there are requests.
    write_usage(&gateway, &*store, false).await;
    announce(app, &gateway, &server.locals_of_environments(), metrics_listener.as_ref(), is_new);
    let measuring = metrics_listener.map(|listener| {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            let (telemetry, config) = (gateway.telemetry.clone(), gateway.config.clone());
            let serving = listener.serve(telemetry, config, gateway.log_throttle.clone(), gateway.clock.clone());
            let updating = async {
                loop {
                    gateway.update_metrics().await;
                    tokio::time::sleep(STATE_INTERVAL).await;
                }
            };
            tokio::select! {
                Err(error) = serving => tracing::error!(%error, "metrics cannot be served"),
                () = updating => {}
            }
        })
    });

    let recording = {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(REFUSAL_INTERVAL).await;
                record_refusals(&gateway, false).await;
            }
        })
    };
    let counting = {
        let (gateway, store) = (gateway.clone(), store.clone());
        tokio::spawn(async move {
            loop {
                gateway.usage.due().await;
                write_usage(&gateway, &*store, false).await;
            }
        })
    };
    let flushing = {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            let (mut swept, mut told) = (Instant::now(), Instant::now());
            loop {
                tokio::time::sleep(FLUSH_INTERVAL).await;
                flush(&gateway).await;
                gateway.count_gateways().await;
                if told.elapsed() >= SECRET_INTERVAL {
                    told = Instant::now();
                    if matches!(gateway.directory.has_secret(fingerprint).await, Ok(false)) {
                        tracing::error!("another gateway on this database has another secret-file");
                    }
                }
                let ran = swept.elapsed();
                if ran >= SWEEP_INTERVAL {
                    swept = Instant::now();
                    if let Err(error) = gateway.sweep(ran).await {
                        tracing::warn!(%error, "expired keys could not be looked through");
                    }
                }
            }
        })
    };
    let rechecking = {
        let providers = gateway.providers.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(RECHECK_INTERVAL).await;
                providers.recheck().await;
            }
        })
    };
    let read = || config::load(app, &args).map_err(|error| in_one_line(&Problem::from_error(&error)));
    let serving = server.run(gateway.clone(), signals::stop_requested(requests.clone(), 1), reload_requests, read);
    let served = async {
        serving.await?;
        anyhow::Ok(Exit::Done)
    };
    let exit = tokio::select! {
        served = served => served,
        () = signals::stop_requested(requests.clone(), 2) => Ok(Exit::Interrupted),
    };
    flushing.abort();
    finish_access_log(&gateway).await;
    rechecking.abort();
    tokio::select! {
        () = gateway.providers.end_rechecks() => {}
        () = signals::stop_requested(requests, 2) => {}
    }
    signing.abort();
    recording.abort();
    counting.abort();
    measuring.inspect(JoinHandle::abort);
    record_refusals(&gateway, true).await;
    write_usage(&gateway, &*store, true).await;
    flush(&gateway).await;
    sinks.finish().await;
    following.abort();
    if let Some(administration) = administration {
        administration.abort();
        // Awaited, so that the socket file is removed before the process ends.
        let _ = administration.await;
    }
    if let Err(error) = gateway.directory.leave().await {
        tracing::debug!(%error, "the other gateways could not be told of the end");
    }
    if let Err(error) = store.settle().await {
        tracing::warn!(%error, "database checkpoint failed");
    }
    exit
}

/// The socket for administrators' commands. A gateway on PostgreSQL starts without one if it has to: commands use the database.
///
/// # Errors
/// Where commands cannot do without it.
async fn bind_socket(
    app: &App,
    location: &DatabaseLocation,
    store: &Arc<dyn Store>,
) -> anyhow::Result<Option<AdminSocket>> {
    let DatabaseLocation::Postgres(address) = location else { return Ok(AdminSocket::bind(store)?) };
    let folder = database::socket_folder(app, address)?;
    Ok(AdminSocket::bind_shared(&folder).await.unwrap_or_else(|error| {
        tracing::warn!(
            %error,
            "cannot create the admin socket: during an outage of the database, commands cannot take rights away at this gateway"
        );
        None
    }))
}

/// # Errors
/// When the address cannot be had.
fn bind_metrics(address: SocketAddr) -> anyhow::Result<MetricsListener> {
    MetricsListener::bind(address).map_err(|error| {
        let reason = without_codes(&error.to_string());
        Problem::new(Exit::Failed, format!("cannot listen at {address} for metrics: {reason}"))
            .hint("choose another address or port: metrics-listen")
            .into()
    })
}

/// An error and what to do about it, for the log.
fn in_one_line(problem: &Problem) -> String {
    match &problem.hint {
        Some(hint) => format!("{}: {hint}", problem.message),
        None => problem.message.clone(),
    }
}

/// Records refusals as far as they are due; at the end `all` of them.
async fn record_refusals(gateway: &Gateway, all: bool) {
    if let Err(error) = gateway.report_refusals(all).await
        && (all || gateway.log_throttle.allow("refusals that cannot be recorded", gateway.clock.now()))
    {
        tracing::warn!(%error, count = gateway.unrecorded_refusals(), "refused requests could not be recorded");
    }
}

/// Writes what requests used. Without another chance to write it, always tells that it could not be.
async fn write_usage(gateway: &Gateway, store: &dyn Store, is_last: bool) {
    match gateway.usage.write(store).await {
        Ok(warnings) => gateway.record_budget_warnings(warnings).await,
        Err(error) => {
            if is_last || gateway.log_throttle.allow("usage that cannot be written", gateway.clock.now()) {
                tracing::warn!(%error, waiting = gateway.usage.waiting(), "usage could not be written");
            }
        }
    }
}

/// Writes the last lines of the access log. One whose disk or reader takes nothing holds up the end for two seconds, and nothing else.
async fn finish_access_log(gateway: &Gateway) {
    let telemetry = gateway.telemetry.clone();
    let (done, finished) = tokio::sync::oneshot::channel();
    let finish = move || {
        telemetry.finish_access_log();
        let _ = done.send(());
    };
    if std::thread::Builder::new().name("access-log-end".to_owned()).spawn(finish).is_ok() {
        // The log of the process may have the same reader.
        let _ = tokio::time::timeout(ACCESS_LOG_PATIENCE, finished).await;
    }
}

/// Writes when credentials were last used.
async fn flush(gateway: &Gateway) {
    if let Err(error) = gateway.directory.flush().await {
        tracing::warn!(%error, "last-used times could not be saved");
    }
}

/// Prints where it listens and, for an empty database, how to create the first administrator.
fn announce(
    app: &App,
    gateway: &Gateway,
    environments: &[(PolicyName, SocketAddr)],
    metrics: Option<&MetricsListener>,
    is_new: bool,
) {
    let config = gateway.config.get();
    let url = &config.url;
    if config.behind_tls_proxy && config.trusted_proxies.is_empty() {
        app.printer.warn(
            "all callers share the limits of one address, the proxy's: to tell them apart, add --set trusted-proxies=PROXY_ADDRESS",
        );
    }
    let setup = is_new.then(|| format!("{}?token={}", url.join("/setup"), gateway.pages.setup_token()));
    if app.printer.is_json() {
        let mut listeners = BTreeMap::<&str, Vec<String>>::new();
        for (name, local) in environments {
            listeners.entry(name.as_str()).or_default().push(local.to_string());
        }
        let event = serde_json::json!({
            "url": url.to_string(), "listen": config.local.to_string(), "upstream": config.upstream.to_string(),
            "environments": listeners, "metrics_url": metrics.map(MetricsListener::url), "setup_url": setup,
        });
        app.printer.event("listening", &event);
        return;
    }
    let local = config.local;
    let listening =
        if url.to_string().ends_with(&format!("://{local}")) { String::new() } else { format!(" ({local})") };
    app.printer.report(&format!("Gateway listening at {url}{listening}, upstream {}", config.upstream));
    for (name, local) in environments {
        app.printer.report(&format!("Environment {name} listening at {local}"));
    }
    if let Some(metrics) = metrics {
        app.printer.report(&format!("Metrics at {}", metrics.url()));
    }
    if let Some(setup) = setup {
        app.printer.report(&format!(
            "\nThere is no account yet. Create the first administrator with this one-time link:\n\n  {setup}\n\nor run: ollama-auth gateway user add NAME --role admin\n"
        ));
    }
}

/// Puts a gateway together for a listener and a database. `now` gives the Unix time in seconds. Shared with `quickstart`.
///
/// # Errors
/// A database that cannot be read.
pub async fn prepare(
    now: fn() -> i64,
    config: Config,
    server: Server,
    store: Arc<dyn Store>,
    secret: &Secret,
) -> anyhow::Result<PreparedGateway> {
    let directory = Directory::open(store).await?;
    if directory.would_lock_out(&config.roles) {
        return Err(Problem::new(Exit::Usage, format!("cannot use the configuration: {LOCKED_OUT}"))
            .hint("define the role in the file as it was, or make an account an administrator: ollama-auth gateway user role NAME admin")
            .into());
    }
    for user in directory.people_without_role(&config.roles) {
        tracing::warn!(
            user = user.name,
            role = user.role.name(),
            "the role of this account is not defined: it is refused"
        );
    }
    let clock = Clock::system(now);
    let is_new = directory.is_empty();
    if !is_new {
        wait_for_next_second(&clock).await;
    }
    let gateway = Gateway::new(directory, clock, config, server.local(), secret);
    gateway.directory.warn_of_undefined_groups();
    gateway.warn_of_unconfigured_providers();
    // Otherwise the next event takes them in.
    if let Err(error) = gateway.directory.import_events(gateway.clock.now()).await {
        tracing::warn!(%error, "events of an earlier version could not be taken into the log");
    }
    gateway.make_service_accounts().await;
    Ok(PreparedGateway { server, gateway: Arc::new(gateway), is_new })
}

/// An earlier gateway may have accepted signatures of this very second: this one could not tell them from new ones.
async fn wait_for_next_second(clock: &Clock) {
    let began = clock.now();
    while clock.now() == began {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
