//! A response whose pieces come one after the other with a pause between, as a model makes them. A caller that leaves
//! drops it, and nothing more is made.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};

/// Between two words.
pub const PAUSE: Duration = Duration::from_millis(12);

/// Pieces of a body, each made when its time has come.
pub struct Paced<I> {
    pieces: I,
    pause: Pin<Box<Sleep>>,
}

impl<I: Iterator<Item = String>> Paced<I> {
    /// The first piece comes after one pause.
    pub fn new(pieces: I) -> Self {
        Self { pieces, pause: Box::pin(sleep(PAUSE)) }
    }
}

impl<I: Iterator<Item = String> + Unpin> Body for Paced<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.pause.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.pause = Box::pin(sleep(PAUSE));
        Poll::Ready(self.pieces.next().map(|piece| Ok(Frame::data(Bytes::from(piece)))))
    }
}
