//! A body on its way through: nothing is held back, and an end that is no end is never made to look like one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};

/// How often hyper is let send what it has before it hears that an answer breaks off. It asks twice before it sends (1.12, `poll_loop`), and
/// drops what it has not sent when it hears of that.
const PATIENCE: u8 = 2;

/// Set when the answer on a connection breaks off. A caller that speaks HTTP/1.0 sees the end of an answer in the end of the connection, so the
/// connection is then reset instead of closed.
#[derive(Clone, Debug, Default)]
pub struct ResetOnClose(Arc<AtomicBool>);

impl ResetOnClose {
    /// The answer breaks off.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether one broke off.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Looks at the data of a body on its way through, piece by piece.
pub trait BodyFilter {
    /// Says whether `piece` may pass, all of it.
    ///
    /// # Errors
    /// [`CutOff`] when the body ends here, as one that breaks off.
    fn inspect(&mut self, piece: &[u8]) -> Result<(), CutOff>;
}

/// Where and why a [`BodyFilter`] ends a body.
#[derive(Debug)]
pub struct CutOff {
    /// How much of the piece may still pass, in bytes.
    pub allowed: usize,
    /// Why.
    pub error: axum::BoxError,
}

/// Lets everything pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unfiltered;

impl BodyFilter for Unfiltered {
    fn inspect(&mut self, _: &[u8]) -> Result<(), CutOff> {
        Ok(())
    }
}

/// See the module.
pub struct Relay<B, F = Unfiltered> {
    body: B,
    /// Why it breaks off, and how often that was not said yet.
    cut: Option<(axum::Error, u8)>,
    reset: ResetOnClose,
    filter: F,
}

impl<B> Relay<B> {
    /// Relays all of `body`; `reset` is set when it breaks off.
    pub fn unfiltered(body: B, reset: ResetOnClose) -> Self {
        Self::filtered(body, reset, Unfiltered)
    }
}

impl<B, F: BodyFilter> Relay<B, F> {
    /// Relays `body` as far as `filter` lets it pass; `reset` is set when it breaks off.
    pub fn filtered(body: B, reset: ResetOnClose, filter: F) -> Self {
        Self { body, cut: None, reset, filter }
    }
}

impl<B, F> HttpBody for Relay<B, F>
where
    F: BodyFilter + Unpin,
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        loop {
            if let Some((error, waits)) = this.cut.take() {
                // What came before is the caller's.
                if waits < PATIENCE {
                    this.cut = Some((error, waits + 1));
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
                    this.cut = Some((axum::Error::new(error), 0));
                    if allowed > 0 {
                        return Poll::Ready(Some(Ok(Frame::data(data.slice(..allowed)))));
                    }
                }
                Err(error) => this.cut = Some((axum::Error::new(error), 0)),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.cut.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
