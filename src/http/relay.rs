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
const MAX_PENDING_POLLS: u8 = 2;

/// Requests that a connection is reset instead of closed, because its response was truncated. A caller that speaks HTTP/1.0 takes a
/// closed connection for the regular end of the response.
#[derive(Clone, Debug, Default)]
pub struct ResetOnClose(Arc<AtomicBool>);

impl ResetOnClose {
    /// Has the connection reset when it closes.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the connection is to be reset when it closes.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Changes the data of a body on its way through, piece by piece. The length stays the same: it may have been announced.
pub trait BodyFilter {
    /// What of the body may go on, now that `piece` came. The rest is held back.
    fn pass(&mut self, piece: Bytes) -> Bytes;

    /// How many bytes are held back.
    fn held(&self) -> usize;

    /// What was held back: the body has ended.
    fn finish(&mut self) -> Bytes;
}

/// Lets everything pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unfiltered;

impl BodyFilter for Unfiltered {
    fn pass(&mut self, piece: Bytes) -> Bytes {
        piece
    }

    fn held(&self) -> usize {
        0
    }

    fn finish(&mut self) -> Bytes {
        Bytes::new()
    }
}

/// A body that is relayed to a caller.
pub struct Relay<B, F = Unfiltered> {
    body: B,
    /// The body has ended.
    ended: bool,
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
    /// Relays what `filter` makes of `body`; sets `reset` when it is truncated.
    pub fn filtered(body: B, reset: ResetOnClose, filter: F) -> Self {
        Self { body, ended: false, failure: None, reset, filter }
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
            if (this.ended || this.failure.is_some()) && this.filter.held() > 0 {
                return Poll::Ready(Some(Ok(Frame::data(this.filter.finish()))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            if let Some((error, waits)) = this.failure.take() {
                // The caller gets everything that came before.
                if waits < MAX_PENDING_POLLS {
                    this.failure = Some((error, waits + 1));
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                this.reset.set();
                return Poll::Ready(Some(Err(error)));
            }
            match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                None => this.ended = true,
                Some(Err(error)) => this.failure = Some((error.into(), 0)),
                Some(Ok(frame)) => match frame.into_data() {
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                    Ok(data) => {
                        let data = this.filter.pass(data);
                        if !data.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                    }
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failure.is_none() && self.filter.held() == 0 && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, held) = (self.body.size_hint(), self.filter.held() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + held);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}
