//! A request's body that has to get on. Whoever sends a byte every while would hold a connection here and one to the server
//! behind for as long as they like; so as much as a slow line brings must come in a given time.
//!
//! Only the time counts in which there was nothing to read: where the server behind is slow to take a body, its sender is not to blame.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until};

/// After so many bytes the wait begins anew. In the usual minute that is less than a modem brings.
const STEP: usize = 16 * 1024;

/// The body does not get on.
#[derive(Debug, Error)]
#[error("the request's body comes too slowly")]
pub struct TooSlow;

/// See the module.
pub struct Paced<B> {
    body: B,
    limit: Duration,
    /// Since the last step.
    waited: Duration,
    received: usize,
    /// When the wait that is under way began.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Paced<B> {
    /// Waits `limit` for each step, and no longer.
    pub fn new(body: B, limit: Duration) -> Self {
        Self { body, limit, waited: Duration::ZERO, received: 0, since: None, timer: None }
    }

    /// Ready when the wait has been too long.
    fn poll_too_long(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let end = since + self.limit.saturating_sub(self.waited);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        loop {
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= end {
                return Poll::Ready(());
            }
            // It was set for an earlier wait. To move it for each would cost more than to be woken now and then.
            timer.as_mut().reset(end);
        }
    }

    fn note(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
        self.received += bytes;
        if self.received >= STEP {
            (self.received, self.waited) = (0, Duration::ZERO);
        }
    }
}

impl<B> HttpBody for Paced<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            return this.poll_too_long(context).map(|()| Some(Err(TooSlow.into())));
        };
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        this.note(bytes.map_or(0, Bytes::len));
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// So many steps, each after a wait, and then an end or silence.
    struct Steps {
        left: usize,
        waits: bool,
        ends: bool,
    }

    impl HttpBody for Steps {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            self.waits = !self.waits;
            if self.waits && self.left > 0 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match (self.left.checked_sub(1), self.ends) {
                (Some(left), _) => {
                    self.left = left;
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; STEP])))))
                }
                (None, true) => Poll::Ready(None),
                (None, false) => Poll::Pending,
            }
        }
    }

    #[tokio::test]
    async fn whatever_gets_on_may_go_on() {
        let steps = Steps { left: 3, waits: false, ends: true };
        let whole = Paced::new(steps, Duration::from_secs(600)).collect().await.unwrap().to_bytes();
        assert_eq!(whole.len(), 3 * STEP);
    }

    #[tokio::test]
    async fn silence_has_an_end() {
        let steps = Steps { left: 3, waits: false, ends: false };
        let error = Paced::new(steps, Duration::from_millis(20)).collect().await.unwrap_err();
        assert!(error.is::<TooSlow>(), "{error}");
    }

    /// The time of all waits counts, until enough came.
    #[test]
    fn a_byte_now_and_then_is_not_enough() {
        let mut paced = Paced::new((), Duration::from_secs(60));
        for (bytes, waited) in [(1, 30), (1, 60), (STEP - 2, 0), (1, 30)] {
            paced.since = Instant::now().checked_sub(Duration::from_secs(30));
            paced.note(bytes);
            assert_eq!(paced.waited.as_secs(), waited, "{bytes}");
        }
    }
}
