//! Listening (with the certificate for TLS), handing connections to threads, shutting down in order.
//!
//! One thread accepts; each of the others has a runtime and connections upstream of its own, and gets its share of the callers
//! in turn. That was faster than one runtime over all threads, and leaves a busy port a busy port, which sharing it would not.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, RwLock};
use std::task::Poll;
use std::time::Duration;

use rustls::ServerConfig;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;

use crate::address::Scheme;
use crate::gateway::composition::Gateway;
use crate::gateway::config::{Config, SETTINGS};
use crate::gateway::host::{Listener, share};
use crate::gateway::policy_name::PolicyName;
use crate::gateway::stack::Worker;
use crate::gateway::tls::{self, TlsError, TlsIdentity};
use crate::http::server;
use crate::http::server::{ConnectionSlot, ConnectionSlots};
use crate::http::{AuthenticatedFlag, CallerStream, Http1Client, ResetOnClose};

/// How long requests that are cut off may take to end.
const CUTTING: Duration = Duration::from_secs(1);
/// Longest wait for a TLS handshake, unless a request's header is waited for even less.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Fewer connections than that are reported even where the number was not set.
const FEW_CONNECTIONS: usize = 500;

/// Why the gateway cannot serve.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address is in use, not ours, or not allowed.
    #[error("cannot listen at {address}{}: {source}", of(*.environment))]
    Listen {
        /// The address that was to be listened at.
        address: SocketAddr,
        /// The environment that it means.
        environment: Option<PolicyName>,
        /// The cause, from the operating system.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("cannot use the TLS certificate: {0}")]
    Tls(#[from] TlsError),
    /// The system's certificate authorities, for an upstream by https.
    #[error("cannot use https for the upstream server: {0}")]
    Upstream(rustls::Error),
    /// Threads or their runtimes cannot be started.
    #[error("cannot start: {0}")]
    Start(io::Error),
}

fn of(environment: Option<PolicyName>) -> String {
    environment.map(|name| format!(" for [environments.{name}]")).unwrap_or_default()
}

impl ServeError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let (address, source) = match self {
            Self::Listen { environment: Some(name), .. } => {
                return Some(format!("choose another address with a free port: listen in [environments.{name}]"));
            }
            Self::Listen { address, source, .. } => (address, source),
            Self::Tls(error) => return error.hint(),
            Self::Upstream(_) | Self::Start(_) => return None,
        };
        Some(match source.kind() {
            io::ErrorKind::AddrInUse => format!(
                "stop the program that listens there, or choose another port: ollama-auth gateway serve --listen {}",
                SocketAddr::new(address.ip(), address.port().wrapping_add(1).max(1024))
            ),
            io::ErrorKind::PermissionDenied => {
                format!("only root may use ports below 1024: choose a higher one with --listen {}:PORT", address.ip())
            }
            io::ErrorKind::AddrNotAvailable => {
                format!("{} is not an address of this machine: choose one that is with --listen", address.ip())
            }
            _ => return None,
        })
    }
}

/// Bound listeners that do not accept connections yet.
pub struct Server {
    /// That of the gateway, then those of environments.
    listeners: Vec<(TcpListener, Listener)>,
    local: SocketAddr,
    tls: Option<TlsIdentity>,
}

/// A connection that was accepted.
struct Accepted {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    listener: Listener,
    /// Given back when the connection ends.
    permit: OwnedSemaphorePermit,
    /// The caller's share of the connections; given back when this is dropped.
    slot: ConnectionSlot,
}

impl Server {
    /// Listens at the configured address and reads the certificate, so that errors show before anything is announced.
    ///
    /// # Errors
    /// [`ServeError::Listen`], [`ServeError::Tls`].
    pub fn bind(config: &Config) -> Result<Self, ServeError> {
        let tls = config.tls().map(tls::load).transpose()?;
        let listen = |address: SocketAddr, environment: Option<PolicyName>| {
            let problem = |source| ServeError::Listen { address, environment, source };
            let listener = server::listen(address).map_err(problem)?;
            let local = listener.local_addr().map_err(problem)?;
            Ok::<_, ServeError>((listener, Listener { local, environment }))
        };
        let own = listen(config.listen, None)?;
        let (local, mut listeners) = (own.1.local, vec![own]);
        for rules in config.environments.all() {
            for address in &rules.listen {
                listeners.push(listen(*address, Some(rules.name))?);
            }
        }
        Ok(Self { listeners, local, tls })
    }

    /// The addresses that it listens at for environments, with the ports that the system chose.
    pub fn locals_of_environments(&self) -> Vec<(PolicyName, SocketAddr)> {
        let listeners = self.listeners.iter();
        listeners.filter_map(|(_, listener)| Some((listener.environment?, listener.local))).collect()
    }

    /// The address that it listens at, with the port that the system chose if 0 was configured.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `stop` ends, then lets open requests finish, for as long as the configuration says. `reload` yields whenever
    /// `read` must load the configuration again; an invalid one is reported, and the old one stays in use.
    ///
    /// # Errors
    /// When threads or sockets cannot be had.
    pub async fn run(
        self,
        gateway: Arc<Gateway>,
        stop: impl Future<Output = ()>,
        mut reload: mpsc::Receiver<()>,
        read: impl Fn() -> Result<Config, String>,
    ) -> Result<(), ServeError> {
        let config = gateway.config.get();
        let mut listeners = Listeners::default();
        for (listener, means) in self.listeners {
            listeners.all.push((tokio::net::TcpListener::from_std(listener).map_err(ServeError::Start)?, means));
        }
        let observed = &gateway.administration.status.observed;
        observed.set_certificate(self.tls.as_ref().and_then(|identity| identity.not_after));
        let tls = Arc::new(RwLock::new(self.tls.map(|identity| identity.config)));
        let (draining, drain) = watch::channel(false);
        let count = threads_for(&config);
        let most = server::room_for(config.max_connections.min(u32::MAX as usize), count);
        let is_default = SETTINGS
            .iter()
            .any(|setting| setting.name == "max-connections" && setting.default == config.max_connections.to_string());
        // The default is more than most machines need; an explicit limit should be reached, except for a few connections.
        let expected = if is_default { FEW_CONNECTIONS } else { config.max_connections / 10 * 9 };
        if most < expected {
            tracing::warn!(
                connections = most,
                max_connections = config.max_connections,
                "the limit of open files (ulimit -n) allows fewer connections than max-connections"
            );
        }
        let mut threads = Vec::new();
        for number in 0..count {
            let upstream =
                Http1Client::system(config.upstream.scheme() == Scheme::Https).map_err(ServeError::Upstream)?;
            let (give, take) = mpsc::unbounded_channel();
            let (worker, tls, drain) = (gateway.worker(upstream), tls.clone(), drain.clone());
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::Start)?;
            let work = move || runtime.block_on(work(worker, take, tls, drain));
            std::thread::Builder::new().name(format!("worker-{number}")).spawn(work).map_err(ServeError::Start)?;
            threads.push(give);
        }
        let (permits, slots) = (Arc::new(Semaphore::new(most)), ConnectionSlots::default());
        observed.set_connections(permits.clone(), most);
        let by_tls = tls.read().unwrap_or_else(std::sync::PoisonError::into_inner).is_some();
        let streams = gateway.streams.clone();
        let cutting = tokio::spawn(async move { streams.watch().await });

        tokio::pin!(stop);
        let mut next = threads.iter().cycle();
        loop {
            let accepted = async {
                // Beyond the limit callers wait in the system's queue.
                let permit = permits.clone().acquire_owned().await;
                (permit, listeners.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(()) = reload.recv() => {
                    reconfigure(&gateway, &tls, &read);
                    continue;
                }
                accepted = accepted => accepted,
            };
            let (stream, peer, listener) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Usually out of file descriptors: open connections continue, and free some later. Logged once a minute: the loop retries
                    // all the time, and a caller that uses up the descriptors must not fill the disk with log lines.
                    if gateway.log_throttle.allow("connections that could not be accepted", gateway.clock.now()) {
                        tracing::warn!(%error, "connection could not be accepted");
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (Ok(permit), Ok(stream)) = (permit, stream.into_std()) else { continue };
            let limit = share(&gateway.config.get(), peer.ip(), most);
            let Some(slot) = slots.acquire(peer.ip(), limit) else {
                if gateway.log_throttle.allow("connections that were turned away", gateway.clock.now()) {
                    tracing::warn!(address = %peer.ip(), limit, "too many connections from one address; refusing more");
                }
                gateway.telemetry.connections.note_rejected();
                server::reject_over_limit(&stream, by_tls, limit);
                continue;
            };
            if let Some(thread) = next.next() {
                let _ = thread.send(Accepted { stream, peer, listener, permit, slot });
            }
        }
        drop(listeners);
        tracing::info!("stopping: waiting for open requests");
        let _ = draining.send(true);
        let limit = gateway.config.get().drain_timeout;
        let all = permits.acquire_many(u32::try_from(most).unwrap_or(u32::MAX));
        if tokio::time::timeout(limit, all).await.is_err() {
            tracing::warn!(
                drain_timeout_s = limit.as_secs(),
                "cutting off requests that are still open after drain-timeout"
            );
            gateway.streams.stop();
            // So that what they used is counted.
            let all = permits.acquire_many(u32::try_from(most).unwrap_or(u32::MAX));
            let _ = tokio::time::timeout(CUTTING, all).await;
        }
        cutting.abort();
        Ok(())
    }
}

/// Where connections are accepted.
#[derive(Default)]
struct Listeners {
    all: Vec<(tokio::net::TcpListener, Listener)>,
    /// The one that is asked first: each in turn, so that a busy one keeps no other from it.
    next: usize,
}

impl Listeners {
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr, Listener)> {
        let count = self.all.len();
        let first = self.next;
        let (at, accepted) = std::future::poll_fn(|context| {
            let mut in_turn = (0..count).map(|step| (first + step) % count);
            let ready = in_turn.find_map(|at| match self.all[at].0.poll_accept(context) {
                Poll::Ready(accepted) => Some((at, accepted)),
                Poll::Pending => None,
            });
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        self.next = (at + 1) % count;
        accepted.map(|(stream, peer)| (stream, peer, self.all[at].1))
    }
}

fn threads_for(config: &Config) -> usize {
    match config.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

fn reconfigure(gateway: &Gateway, tls: &RwLock<Option<Arc<ServerConfig>>>, read: &impl Fn() -> Result<Config, String>) {
    let applied = read().and_then(|mut config| {
        let fresh = config.tls().map(tls::load).transpose().map_err(|error| error.to_string())?;
        let (kept, is_tls) = (config.keep_until_restart(&gateway.config.get()), config.tls().is_some());
        gateway.reconfigure(config)?;
        Ok((kept, is_tls, fresh))
    });
    match applied {
        Ok((kept, is_tls, fresh)) => {
            if !kept.is_empty() {
                tracing::warn!(settings = kept.join(", "), "these settings change only at the next start");
            }
            if fresh.is_some() == is_tls {
                let not_after = fresh.as_ref().and_then(|identity| identity.not_after);
                gateway.administration.status.observed.set_certificate(not_after);
                let fresh = fresh.map(|identity| identity.config);
                *tls.write().unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
            }
            tracing::info!("configuration reloaded");
        }
        Err(error) => tracing::error!(%error, "cannot reload the configuration"),
    }
}

/// One thread: serves the connections that it is given until there are no more.
async fn work(
    worker: Worker,
    mut connections: mpsc::UnboundedReceiver<Accepted>,
    tls: Arc<RwLock<Option<Arc<ServerConfig>>>>,
    drain: watch::Receiver<bool>,
) {
    // Each request clones it: that counts one reference instead of one for each of its parts.
    let worker = Arc::new(worker);
    let mut running = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = connections.recv() => {
                let Some(Accepted { stream, peer, listener, permit, slot }) = accepted else { break };
                let tls = tls.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
                let (worker, drain) = (worker.clone(), drain.clone());
                running.spawn(async move {
                    connection(worker, stream, (peer, listener), tls, drain).await;
                    drop((permit, slot));
                });
            }
            Some(_) = running.join_next() => {}
        }
    }
    while running.join_next().await.is_some() {}
}

async fn connection(
    worker: Arc<Worker>,
    stream: std::net::TcpStream,
    (peer, listener): (SocketAddr, Listener),
    tls: Option<Arc<ServerConfig>>,
    drain: watch::Receiver<bool>,
) {
    server::prepare(&stream);
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let reset = ResetOnClose::default();
    let stream = match tls {
        None => CallerStream::plain(stream, reset.clone()),
        Some(config) => {
            let limit = HANDSHAKE_TIMEOUT.min(worker.config.get().header_timeout);
            // In a box, so that a connection without TLS has no room for it.
            let handshake = Box::pin(TlsAcceptor::from(config).accept(stream));
            let handshake = tokio::time::timeout(limit, handshake).await;
            let Ok(Ok(stream)) = handshake else {
                tracing::debug!(%peer, "TLS handshake failed");
                return;
            };
            CallerStream::tls(stream, reset.clone())
        }
    };
    let timeout = worker.config.get().header_timeout;
    let authenticated = AuthenticatedFlag::default();
    let stream = stream.read_within(timeout, authenticated.clone());
    let answer = |request| {
        let (worker, reset, authenticated) = (worker.clone(), reset.clone(), authenticated.clone());
        async move { worker.answer(request, peer.ip(), listener, reset, authenticated).await }
    };
    if let Err(error) = server::serve(stream, timeout, answer, drain).await {
        if error.is_parse() {
            worker.telemetry.connections.note_malformed();
        }
        tracing::debug!(%peer, %error, "connection ended with an error");
    }
}
