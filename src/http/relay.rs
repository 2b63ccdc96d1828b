//! Relays the body of a response to a caller: holds nothing back, and never makes a truncated response look complete.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::client::BoxError;

/// How often hyper may send what it has before it learns that a body failed. It polls a body twice before it flushes (1.12, `poll_loop`;
/// pinned in `http/tests.rs`), and drops what it has not sent when it hears of the error.
const PATIENCE: u8 = 2;

/// Requests that a connection is reset instead of closed, because its response was truncated. A caller that speaks HTTP/1.0 takes a
/// closed connection for the regular end of the response.
#[derive(Clone, Debug, Default)]
pub struct ResetOnClose(Arc<AtomicBool>);

impl ResetOnClose {
    /// Reset the connection.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether to reset the connection.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Inspects the data of a body on its way through, piece by piece.
pub trait BodyFilter {
    /// Lets `piece` pass.
    ///
    /// # Errors
    /// [`CutOff`] when the body must be truncated here.
    fn inspect(&mut self, piece: &[u8]) -> Result<(), CutOff>;
}

/// Where and why a [`BodyFilter`] truncates a body.
#[derive(Debug)]
pub struct CutOff {
    /// How many bytes of the piece may still pass.
    pub allowed: usize,
    /// Why.
    pub error: BoxError,
}

/// Lets everything pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unfiltered;

impl BodyFilter for Unfiltered {
    fn inspect(&mut self, _: &[u8]) -> Result<(), CutOff> {
        Ok(())
    }
}

/// A body that is relayed to a caller.
pub struct Relay<B, F = Unfiltered> {
    body: B,
    /// Why the body is truncated, and how often hyper was allowed to send first.
    failure: Option<(BoxError, u8)>,
    reset: ResetOnClose,
    filter: F,
}

impl<B> Relay<B> {
    /// Relays all of `body`; sets `reset` when it is truncated.
    pub fn unfiltered(body: B, reset: ResetOnClose) -> Self {
        Self::filtered(body, reset, Unfiltered)
    }
}

impl<B, F: BodyFilter> Relay<B, F> {
    /// Relays `body` as far as `filter` lets it pass; sets `reset` when it is truncated.
    pub fn filtered(body: B, reset: ResetOnClose, filter: F) -> Self {
        Self { body, failure: None, reset, filter }
    }
}

impl<B, F> Body for Relay<B, F>
where
    F: BodyFilter + Unpin,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            if let Some((error, waits)) = this.failure.take() {
                // The caller gets everything that came before.
                if waits < PATIENCE {
                    this.failure = Some((error, waits + 1));
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                this.reset.set();
                return Poll::Ready(Some(Err(error)));
            }
            let Some(next) = ready!(Pin::new(&mut this.body).poll_frame(context)) else { return Poll::Ready(None) };
            match next {
                Ok(frame) => {
                    let Some(data) = frame.data_ref() else { return Poll::Ready(Some(Ok(frame))) };
                    let Err(CutOff { allowed, error }) = this.filter.inspect(data) else {
                        return Poll::Ready(Some(Ok(frame)));
                    };
                    this.failure = Some((error, 0));
                    if allowed > 0 {
                        return Poll::Ready(Some(Ok(Frame::data(data.slice(..allowed)))));
                    }
                }
                Err(error) => this.failure = Some((error.into(), 0)),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failure.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
