//! Listens on loopback, and shuts down gracefully. One thread is enough: it serves one person's programs.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::access_check::Token;
use super::access_check::{AccessCheck, AllowedOrigin};
use super::credential::CurrentCredential;
use super::owner::{self, Owner};
use super::stack::{CredentialRefused, Stack};
use crate::gateway::ServeError;
use crate::http::{CallerStream, ResetOnClose, server};

/// How long the head of a request may take to arrive, and a connection may idle between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long responses may continue after the shutdown began.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often failures to accept a connection are logged: they are tried again twenty times a second.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// The most connections at a time; more wait.
const MAX_CONNECTIONS: usize = 1000;
/// One of so many connections is for programs of other accounts, so that they take none from this account; more of those are closed.
const FOREIGN_SHARE: usize = 10;

/// How a proxy listens, and for whom.
pub struct ProxyOptions {
    /// Where to listen. The caller makes sure that it is a loopback address.
    pub listen: SocketAddr,
    /// The pages that may use it.
    pub origins: Vec<AllowedOrigin>,
    /// What programs have to send. Without a token only programs of this account may use it, where the system can tell.
    pub token: Option<Token>,
}

/// A proxy that listens and does not serve yet.
pub struct Proxy {
    listener: TcpListener,
    local: SocketAddr,
    access_check: AccessCheck,
}

impl Proxy {
    /// Listens at the address.
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub fn bind(options: ProxyOptions) -> Result<Self, ServeError> {
        let problem = |source| ServeError::Listen { address: options.listen, environment: None, source };
        let listener = server::listen(options.listen).map_err(problem)?;
        let local = listener.local_addr().map_err(problem)?;
        let access_check = AccessCheck::new(local.port(), options.origins, options.token);
        Ok(Self { listener, local, access_check })
    }

    /// Where it listens.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Forwards requests until `stop` ends, then lets open responses finish, for five seconds. `on_refused` is called once for each
    /// credential, when the host first refuses it.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub async fn run(
        self,
        credential: CurrentCredential,
        on_refused: impl Fn(CredentialRefused) + Send + Sync + 'static,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let listener = tokio::net::TcpListener::from_std(self.listener).map_err(ServeError::Start)?;
        let stack = Arc::new(Stack::new(self.access_check, credential, Box::new(on_refused)));
        let room = server::room_for(MAX_CONNECTIONS, 1);
        let own = Arc::new(Semaphore::new(room - room / FOREIGN_SHARE));
        let foreign = Arc::new(Semaphore::new((room / FOREIGN_SHARE).max(1)));
        let mut reported: Option<Instant> = None;
        let (draining, drain) = watch::channel(false);
        let mut running = JoinSet::new();
        tokio::pin!(stop);
        loop {
            let accepted = async {
                // Beyond the limit callers wait in the backlog of the listener.
                let permit = own.clone().acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = running.join_next() => continue,
                accepted = accepted => accepted,
            };
            let (stream, peer) = match accepted {
                Ok((stream, peer)) => (stream, peer),
                Err(error) => {
                    // Mostly too many open files, of which some will be closed again.
                    if reported.is_none_or(|at| at.elapsed() >= REPORT_INTERVAL) {
                        reported = Some(Instant::now());
                        tracing::warn!(%error, "connection could not be accepted");
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let permits = Permits { own: permit.ok(), foreign: foreign.clone() };
            running.spawn(serve(stack.clone(), stream, (peer, self.local), permits, drain.clone()));
        }
        drop(listener);
        tracing::info!("stopping: waiting for open requests");
        let _ = draining.send(true);
        let all = async { while running.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_TIMEOUT, all).await.is_err() {
            tracing::warn!(drain_timeout_s = DRAIN_TIMEOUT.as_secs(), "cutting off requests that are still open");
        }
        Ok(())
    }
}

/// The permits that a connection can have.
struct Permits {
    own: Option<OwnedSemaphorePermit>,
    foreign: Arc<Semaphore>,
}

impl Permits {
    /// The permit for a caller of that account; `None` when there is none left.
    fn take(self, owner: Owner) -> Option<OwnedSemaphorePermit> {
        if owner == Owner::Ours { self.own } else { self.foreign.try_acquire_owned().ok() }
    }
}

async fn serve(
    stack: Arc<Stack>,
    stream: TcpStream,
    (peer, local): (SocketAddr, SocketAddr),
    permits: Permits,
    drain: watch::Receiver<bool>,
) {
    // The address that the caller connected to.
    let local = stream.local_addr().unwrap_or(local);
    let Ok(stream) = stream.into_std() else { return };
    server::prepare(&stream);
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let owner = tokio::task::spawn_blocking(move || owner::of(peer, local)).await.unwrap_or(Owner::Unknown);
    let Some(_permit) = permits.take(owner) else {
        tracing::debug!("connection of another account closed: limit reached");
        return;
    };
    let reset = ResetOnClose::default();
    let stream = CallerStream::plain(stream, reset.clone());
    let answer = |request| {
        let (stack, reset) = (stack.clone(), reset.clone());
        async move { stack.answer(request, owner, reset).await }
    };
    if let Err(error) = server::serve(stream, HEADER_TIMEOUT, answer, drain).await {
        tracing::debug!(%error, "connection ended with an error");
    }
}
