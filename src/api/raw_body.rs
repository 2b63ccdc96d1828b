//! The body of a request that is sent while it is still being read: a file or a pipe of any size takes no more memory than a
//! few of its pieces.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
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

/// Why a body broke off, if it did: what the HTTP client makes of it does not say.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<OnceLock<String>>);

impl Trouble {
    pub(super) fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
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

    pub(super) fn into_body(self) -> (reqwest::Body, Trouble) {
        let trouble = Trouble::default();
        let body = match self {
            Self::Whole(bytes) => reqwest::Body::from(bytes),
            Self::Streamed { pieces, length } => {
                reqwest::Body::wrap(Pieces { pieces, left: length, trouble: trouble.clone() })
            }
        };
        (body, trouble)
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
    trouble: Trouble,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Poll::Ready(piece) = self.pieces.poll_recv(context) else {
            return Poll::Pending;
        };
        let error = match (piece, self.left) {
            (Some(Ok(bytes)), left) => {
                self.left = left.map(|left| left.saturating_sub(bytes.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            (None, Some(left)) if left > 0 => io::Error::other("it became shorter while it was read"),
            (None, _) => return Poll::Ready(None),
            (Some(Err(error)), _) => error,
        };
        let _ = self.trouble.0.set(error.to_string());
        Poll::Ready(Some(Err(error)))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
