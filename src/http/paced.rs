//! A request's body that has to get on (see [`Pace`]).
//!
//! Only the time counts in which there was nothing to read: where the upstream server is slow to take a body, its sender is not to blame.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use thiserror::Error;

use super::pace::Pace;

/// The body does not get on.
#[derive(Debug, Error)]
#[error("the request's body comes too slowly")]
pub struct TooSlow;

/// See the module.
pub struct Paced<B> {
    body: B,
    pace: Pace,
}

impl<B> Paced<B> {
    /// Waits `limit` for each step, and no longer.
    pub fn new(body: B, limit: Duration) -> Self {
        Self { body, pace: Pace::new(limit) }
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

    use super::super::pace::STEP;
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
}
