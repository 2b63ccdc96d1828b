//! Listening on loopback, and ending in good order. One thread is enough: it serves one person's programs.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::access_check::AccessCheck;
use super::origin::AllowedOrigin;
use super::owner::{self, Owner};
use super::stack::{Refused, Stack};
use super::token::Token;
use crate::api::Forwarder;
use crate::gateway::ServeError;
use crate::http::{CallerStream, ResetOnClose, server};

/// How long a request's header may take to arrive, and a connection may idle between requests.
const HEADER: Duration = Duration::from_secs(60);
/// How long answers may go on after the end was asked for.
const DRAIN: Duration = Duration::from_secs(5);
/// Connections at a time; more wait.
const MOST: usize = 1000;
/// The part of them that is for programs of other accounts, which take no room from ours; more of those are closed.
const STRANGERS: usize = 10;

/// What is asked of it.
pub struct ProxyOptions {
    /// Where to listen: an address of loopback, which is the caller's to check.
    pub listen: SocketAddr,
    /// The pages that may ask.
    pub origins: Vec<AllowedOrigin>,
    /// What programs have to send. Without it only programs of this account may ask, where the system can tell.
    pub token: Option<Token>,
}

/// A proxy that listens, and serves nobody yet.
pub struct Proxy {
    listener: TcpListener,
    local: SocketAddr,
    access_check: AccessCheck,
}

impl Proxy {
    /// Takes the address.
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub fn bind(options: ProxyOptions) -> Result<Self, ServeError> {
        let problem = |source| ServeError::Listen { address: options.listen, source };
        let listener = server::listen(options.listen).map_err(problem)?;
        let local = listener.local_addr().map_err(problem)?;
        let access_check = AccessCheck::new(local.port(), options.origins, options.token);
        Ok(Self { listener, local, access_check })
    }

    /// Where it listens.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Forwards requests until `stop` ends, then lets what is under way finish, for five seconds. `on_refused` is called once, when the
    /// host first refuses the credential.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub async fn run(
        self,
        forwarder: Forwarder,
        on_refused: impl Fn(Refused) + Send + Sync + 'static,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let listener = tokio::net::TcpListener::from_std(self.listener).map_err(ServeError::Start)?;
        let stack = Arc::new(Stack::new(self.access_check, forwarder, Box::new(on_refused)));
        let room = server::room_for(MOST, 1);
        let permits = Arc::new(Semaphore::new(room - room / STRANGERS));
        let strangers = Arc::new(Semaphore::new((room / STRANGERS).max(1)));
        let (draining, drain) = watch::channel(false);
        let mut running = JoinSet::new();
        tokio::pin!(stop);
        loop {
            let accepted = async {
                // Beyond the limit callers wait in the system's queue.
                let permit = permits.clone().acquire_owned().await;
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
                    // Out of files, mostly: what there is goes on, and some will be free again.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let room = Room { permit: permit.ok(), strangers: strangers.clone() };
            running.spawn(serve(stack.clone(), stream, (peer, self.local), room, drain.clone()));
        }
        drop(listener);
        tracing::info!("stopping: no new connections; what is under way may finish");
        let _ = draining.send(true);
        let all = async { while running.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            tracing::warn!("some answers were still under way after {} s and are cut off", DRAIN.as_secs());
        }
        Ok(())
    }
}

/// A connection's place among the others.
struct Room {
    permit: Option<OwnedSemaphorePermit>,
    strangers: Arc<Semaphore>,
}

impl Room {
    /// The place for whoever it turned out to be; `None` when there is none.
    fn of(self, owner: Owner) -> Option<OwnedSemaphorePermit> {
        if owner == Owner::Ours { self.permit } else { self.strangers.try_acquire_owned().ok() }
    }
}

async fn serve(
    stack: Arc<Stack>,
    stream: TcpStream,
    (peer, local): (SocketAddr, SocketAddr),
    room: Room,
    drain: watch::Receiver<bool>,
) {
    // The address that was connected to: we may listen at more than one.
    let local = stream.local_addr().unwrap_or(local);
    let Ok(stream) = stream.into_std() else { return };
    server::prepare(&stream);
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let owner = tokio::task::spawn_blocking(move || owner::of(peer, local)).await.unwrap_or(Owner::Unknown);
    let Some(_permit) = room.of(owner) else {
        tracing::debug!("a connection of another account was closed: there are too many");
        return;
    };
    let reset = ResetOnClose::default();
    let stream = CallerStream::plain(stream, reset.clone());
    let answer = |request| {
        let (stack, reset) = (stack.clone(), reset.clone());
        async move { stack.answer(request, owner, reset).await }
    };
    if let Err(error) = server::serve(stream, HEADER, answer, drain).await {
        tracing::debug!(%error, "the connection ended");
    }
}
