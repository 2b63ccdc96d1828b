//! The body of a request that is sent while it is still being read: a file or a pipe of any size takes no more memory than a
//! few of its pieces.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

/// Pieces that are read ahead of what is sent.
const AHEAD: usize = 4;

/// A request's body.
#[derive(Debug)]
pub enum RawBody {
    /// All of it is there.
    Whole(Bytes),
    /// It comes from a [`BodyFeed`].
    Streamed {
        /// The pieces. A sender that is dropped ends the body.
        pieces: mpsc::Receiver<io::Result<Bytes>>,
        /// The bytes that will come, where that is known: then it is sent with its length, else in chunks.
        length: Option<u64>,
    },
}

/// Where the reader of a body puts its pieces, on a thread of its own.
#[derive(Debug)]
pub struct BodyFeed(mpsc::Sender<io::Result<Bytes>>);

impl RawBody {
    /// A body and the feed for it.
    pub fn streamed(length: Option<u64>) -> (Self, BodyFeed) {
        let (sender, pieces) = mpsc::channel(AHEAD);
        (Self::Streamed { pieces, length }, BodyFeed(sender))
    }

    pub(super) fn into_body(self) -> reqwest::Body {
        match self {
            Self::Whole(bytes) => reqwest::Body::from(bytes),
            Self::Streamed { pieces, length } => reqwest::Body::wrap(Pieces { pieces, left: length }),
        }
    }
}

impl BodyFeed {
    /// Adds a piece, waiting until there is room. `false` when nobody wants more of it. Not for use in an async task.
    pub fn push(&self, piece: io::Result<Bytes>) -> bool {
        self.0.blocking_send(piece).is_ok()
    }
}

struct Pieces {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: Option<u64>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Poll::Ready(piece) = self.pieces.poll_recv(context) else {
            return Poll::Pending;
        };
        Poll::Ready(match (piece, self.left) {
            (None, Some(left)) if left > 0 => {
                self.left = Some(0);
                Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body became shorter while it was read")))
            }
            (None, _) => None,
            (Some(Err(error)), _) => Some(Err(error)),
            (Some(Ok(bytes)), left) => {
                self.left = left.map(|left| left.saturating_sub(bytes.len() as u64));
                Some(Ok(Frame::data(bytes)))
            }
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
