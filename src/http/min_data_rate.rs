//! A minimum data rate: a caller that sends or reads a byte now and then would hold a connection forever, so a given amount has to get
//! through in a given time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until};

use super::client::BoxError;

/// How many bytes have to get through within the limit. In the usual minute that is less than a modem carries.
const STEP: usize = 16 * 1024;

/// Adds up the waits since the last [`STEP`] bytes; the time between them does not count.
pub struct MinDataRate {
    limit: Duration,
    /// The waits since the last step.
    waited: Duration,
    passed: usize,
    /// When the current wait began.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl MinDataRate {
    /// Allows waits of `limit` in total for each step.
    pub fn new(limit: Duration) -> Self {
        Self { limit, waited: Duration::ZERO, passed: 0, since: None, timer: None }
    }

    /// Poll this while waiting. Ready when the waits were too long.
    pub fn poll_too_long(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let end = since + self.limit.saturating_sub(self.waited);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        loop {
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= end {
                return Poll::Ready(());
            }
            // It was set for an earlier wait: a wake-up now and then costs less than a reset for each wait.
            timer.as_mut().reset(end);
        }
    }

    /// Ends the current wait, if there is one: this many bytes got through.
    pub fn note(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
        self.passed += bytes;
        if self.passed >= STEP {
            (self.passed, self.waited) = (0, Duration::ZERO);
        }
    }
}

/// The body is slower than the minimum rate.
#[derive(Debug, Error)]
#[error("the request body arrives too slowly")]
pub struct TooSlow;

/// The body of a request with a minimum rate. Only waits for the caller count: where the upstream server reads slowly, the caller is not to
/// blame.
pub struct MinDataRateBody<B> {
    body: B,
    pace: MinDataRate,
}

impl<B> MinDataRateBody<B> {
    /// Allows waits of `limit` in total for each step.
    pub fn new(body: B, limit: Duration) -> Self {
        Self { body, pace: MinDataRate::new(limit) }
    }
}

impl<B> Body for MinDataRateBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            return this.pace.poll_too_long(context).map(|()| Some(Err(TooSlow.into())));
        };
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        this.pace.note(bytes.map_or(0, Bytes::len));
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

    /// The time of all waits counts, until enough came.
    #[test]
    fn all_waits_since_the_last_step_count() {
        let mut pace = MinDataRate::new(Duration::from_secs(60));
        for (bytes, waited) in [(1, 30), (1, 60), (STEP - 2, 0), (1, 30)] {
            pace.since = Instant::now().checked_sub(Duration::from_secs(30));
            pace.note(bytes);
            assert_eq!(pace.waited.as_secs(), waited, "{bytes}");
        }
    }

    /// So many steps, each after a wait, and then an end or silence.
    struct Steps {
        left: usize,
        waits: bool,
        ends: bool,
    }

    impl Body for Steps {
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
    async fn a_body_that_keeps_the_rate_is_read_whole() {
        let steps = Steps { left: 3, waits: false, ends: true };
        let whole = MinDataRateBody::new(steps, Duration::from_secs(600)).collect().await.unwrap().to_bytes();
        assert_eq!(whole.len(), 3 * STEP);
    }

    #[tokio::test]
    async fn a_silent_body_times_out() {
        let steps = Steps { left: 3, waits: false, ends: false };
        let error = MinDataRateBody::new(steps, Duration::from_millis(20)).collect().await.unwrap_err();
        assert!(error.is::<TooSlow>(), "{error}");
    }
}
