//! Cuts off responses whose caller's credential is no longer valid, or that an administrator ends. Whoever revokes a key that was stolen wants
//! its streams to end too.
//!
//! The streams register here; one task looks at all of them after each change of the directory, and once a second for credentials that
//! expire. So a stream costs a hundred bytes and no timer, and is woken only to be cut off.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use tokio::time::MissedTickBehavior;

use crate::gateway::active_config::ConfigHandle;
use crate::gateway::authn::addresses::refused_address;
use crate::gateway::authn::authenticator::CredentialRevoked;
use crate::gateway::authn::caller::Caller;
use crate::gateway::authn::progress::Progress;
use crate::gateway::clock::Clock;
use crate::gateway::directory::Directory;
use crate::gateway::limits::Slot;
use crate::gateway::model_access::ModelAccess;
use crate::gateway::origin::Origin;
use crate::gateway::rejection::Rejection;
use crate::keyspec::{AddressRules, Scope};

/// How often credentials are checked for their expiry.
const EXPIRY_CHECK: Duration = Duration::from_secs(1);
/// The shortest time between two looks at all streams, for many changes in a row.
const PAUSE: Duration = Duration::from_millis(20);

/// The responses under way.
pub struct OpenStreams {
    directory: Directory,
    config: Arc<ConfigHandle>,
    clock: Clock,
    /// By `next`, a count of ours that no caller chooses. A tree needs no hash of it.
    streams: Mutex<BTreeMap<u64, Arc<Stream>>>,
    next: AtomicU64,
}

/// A request whose response is under way.
pub struct StreamRequest {
    /// Who asks.
    pub caller: Caller,
    /// What the route requires.
    pub scope: Scope,
    /// What the request named.
    pub models: ModelAccess,
    /// From where.
    pub origin: Origin,
    /// The route's path.
    pub route: &'static str,
    /// Whether it is cut off when the credential is no longer valid.
    pub follows_credential: bool,
}

/// A response under way.
pub struct Stream {
    /// What it answers.
    pub request: StreamRequest,
    /// When the request was accepted, in Unix seconds.
    pub since: i64,
    /// What it has brought so far.
    pub progress: Progress,
    /// Whether it is cut off, and by whom: one of the constants below.
    cut: AtomicU8,
    waker: AtomicWaker,
}

const RUNS: u8 = 0;
const REVOKED: u8 = 1;
const ENDED: u8 = 2;
const STOPPED: u8 = 3;

impl Stream {
    /// Cuts it off, unless it is cut off already.
    fn cut(&self, by: u8) -> bool {
        let is_first = self.cut.compare_exchange(RUNS, by, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if is_first {
            self.waker.wake();
        }
        is_first
    }

    /// Cuts it off for an administrator. False if it is cut off already.
    pub fn end(&self) -> bool {
        self.cut(ENDED)
    }
}

impl OpenStreams {
    /// For callers of that directory.
    pub fn new(directory: Directory, config: Arc<ConfigHandle>, clock: Clock) -> Self {
        Self { directory, config, clock, streams: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// Guards the response to a request.
    pub fn guard(self: &Arc<Self>, request: StreamRequest) -> StreamGuard {
        let (since, progress) = (self.clock.now(), Progress::default());
        let stream = Stream { request, since, progress, cut: AtomicU8::new(RUNS), waker: AtomicWaker::new() };
        let (number, stream) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::new(stream));
        self.lock().insert(number, stream.clone());
        // What changed before it was registered was not looked at for it.
        self.check(&stream, &self.config.get().addresses, since);
        StreamGuard { streams: self.clone(), number, stream }
    }

    /// Cuts all off: the gateway ends.
    pub fn stop(&self) {
        for stream in self.lock().values() {
            stream.cut(STOPPED);
        }
    }

    /// Those that are not cut off, the oldest first.
    pub fn all(&self) -> Vec<Arc<Stream>> {
        self.lock().values().filter(|stream| stream.cut.load(Ordering::Acquire) == RUNS).cloned().collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Cuts streams off, as long as it is polled.
    pub async fn watch(&self) {
        let mut changes = self.directory.changes();
        let mut seconds = tokio::time::interval(EXPIRY_CHECK);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                _ = seconds.tick() => {}
            }
            let streams: Vec<Arc<Stream>> = self.lock().values().cloned().collect();
            let (now, current) = (self.clock.now(), self.config.get());
            streams.iter().for_each(|stream| self.check(stream, &current.addresses, now));
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn check(&self, stream: &Stream, accepted: &AddressRules, now: i64) {
        let StreamRequest { caller, scope, models, follows_credential, .. } = &stream.request;
        let may_continue =
            || accepted.allows(caller.address()) && caller.may_continue(*scope, models, &self.directory, now);
        if !follows_credential || may_continue() || !stream.cut(REVOKED) {
            return;
        }
        let (user, credential) = (&caller.user().name, caller.name());
        tracing::info!(user, credential, "response cut off: the credential is no longer valid");
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that is registered until this is dropped.
pub struct StreamGuard {
    streams: Arc<OpenStreams>,
    number: u64,
    stream: Arc<Stream>,
}

impl StreamGuard {
    /// Ready once the stream is to be cut off.
    pub fn poll_cut(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_cut() {
            self.stream.waker.register(context.waker());
        }
        if self.is_cut() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// What to answer if the response has not begun when it is cut off.
    pub fn refusal(&self) -> Rejection {
        match self.stream.cut.load(Ordering::Acquire) {
            STOPPED => Rejection::new(503, "the gateway is stopping").header("retry-after", "10"),
            // No status after which programs try again, as they do after 503.
            ENDED => Rejection::new(410, "an administrator has ended this request").header("x-should-retry", "false"),
            _ => {
                let caller = &self.stream.request.caller;
                match self.streams.config.get().addresses.allows(caller.address()) {
                    true => caller.refusal(&self.streams.directory),
                    false => refused_address(caller.address()),
                }
            }
        }
    }

    fn error(&self) -> BoxError {
        CredentialRevoked(self.refusal()).into()
    }

    fn is_cut(&self) -> bool {
        self.stream.cut.load(Ordering::Acquire) != RUNS
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.streams.lock().remove(&self.number);
    }
}

/// The body of a response that fails when its guard says so, and holds the request's place in limits. The server drops it before
/// the caller is sent the end, so a next request never meets the place of the last one.
pub struct GuardedBody<B> {
    // First, so that the request at the upstream server ends before its place is free.
    body: B,
    guard: Option<StreamGuard>,
    _slot: Slot,
}

impl<B> GuardedBody<B> {
    /// Without a guard it is the body as it is.
    pub fn new(body: B, guard: Option<StreamGuard>, slot: Slot) -> Self {
        Self { body, guard, _slot: slot }
    }
}

impl<B> HttpBody for GuardedBody<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(guard) = this.guard.as_ref().filter(|guard| guard.is_cut()) {
            return Poll::Ready(Some(Err(guard.error())));
        }
        match (Pin::new(&mut this.body).poll_frame(context), &this.guard) {
            (Poll::Ready(frame), guard) => {
                if let (Some(guard), Some(Ok(frame))) = (guard, &frame)
                    && let Some(data) = frame.data_ref()
                {
                    guard.stream.progress.note(data);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            (Poll::Pending, Some(guard)) => guard.poll_cut(context).map(|()| Some(Err(guard.error()))),
            (Poll::Pending, None) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
