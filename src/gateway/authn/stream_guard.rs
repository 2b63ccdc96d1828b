//! Cuts off responses whose caller's credential is no longer valid. Whoever revokes a key that was stolen wants its streams to end too.
//!
//! The streams register here; one task looks at all of them after each change of the directory, and once a second for credentials that
//! expire. So a stream costs a hundred bytes and no timer, and is woken only to be cut off.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use tokio::time::MissedTickBehavior;

use crate::gateway::authn::authenticator::CredentialRevoked;
use crate::gateway::authn::credential::Caller;
use crate::gateway::clock::Clock;
use crate::gateway::directory::Directory;
use crate::gateway::limits::Slot;
use crate::gateway::model_access::ModelAccess;
use crate::gateway::rejection::Rejection;
use crate::keyspec::Scope;

/// How often credentials are checked for their expiry.
const EXPIRY_CHECK: Duration = Duration::from_secs(1);
/// The shortest time between two looks at all streams, for many changes in a row.
const PAUSE: Duration = Duration::from_millis(20);

/// The streams that are cut off when their credential is no longer valid.
pub struct OpenStreams {
    directory: Directory,
    clock: Clock,
    /// By `next`, a count of ours that no caller chooses. A tree needs no hash of it.
    streams: Mutex<BTreeMap<u64, Arc<Stream>>>,
    next: AtomicU64,
}

struct Stream {
    caller: Caller,
    /// What the route requires.
    scope: Scope,
    /// What the request named.
    models: ModelAccess,
    is_cut: AtomicBool,
    waker: AtomicWaker,
}

impl OpenStreams {
    /// For callers of that directory.
    pub fn new(directory: Directory, clock: Clock) -> Self {
        Self { directory, clock, streams: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// Guards the response to a caller's request that named these models, at a route that requires `scope`.
    pub fn guard(self: &Arc<Self>, caller: Caller, scope: Scope, models: ModelAccess) -> StreamGuard {
        let stream = Stream { caller, scope, models, is_cut: AtomicBool::new(false), waker: AtomicWaker::new() };
        let (number, stream) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::new(stream));
        self.lock().insert(number, stream.clone());
        // What changed before it was registered was not looked at for it.
        self.check(&stream, self.clock.now());
        StreamGuard { streams: self.clone(), number, stream }
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
            let now = self.clock.now();
            streams.iter().for_each(|stream| self.check(stream, now));
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn check(&self, stream: &Stream, now: i64) {
        let may_continue = stream.caller.may_continue(stream.scope, &stream.models, &self.directory, now);
        if may_continue || stream.is_cut.swap(true, Ordering::AcqRel) {
            return;
        }
        let (user, credential) = (&stream.caller.user().name, stream.caller.name());
        tracing::info!(user, credential, "response cut off: the credential is no longer valid");
        stream.waker.wake();
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
        self.stream.caller.refusal(&self.streams.directory)
    }

    fn error(&self) -> BoxError {
        CredentialRevoked(self.refusal()).into()
    }

    fn is_cut(&self) -> bool {
        self.stream.is_cut.load(Ordering::Acquire)
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
            (Poll::Ready(frame), _) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
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
