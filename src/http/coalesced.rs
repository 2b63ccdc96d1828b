//! Joins frames of a body that have already arrived, so that what is done once per wait (a write, a wake-up) is not done once per frame.
//! Nothing that has arrived is held back during a wait.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

/// A batch is passed on at this size even while more is there, to bound memory.
const BATCH: usize = 64 * 1024;

/// How often nothing more is there before the batch is passed on. hyper polls its reader twice before it lets other tasks run (1.12,
/// `poll_loop`; pinned in `http/tests.rs`), so only the third time tells.
const MAX_PENDING_POLLS: u8 = 2;

/// A body whose frames are joined.
///
/// hyper's client hands over one chunk at a time, and the task of its connection decodes the next only when that one was taken. So after
/// each frame the other tasks may run, and only if that brings nothing the batch is passed on.
pub struct CoalescedBody<B: Body<Data = Bytes>> {
    body: B,
    batch: Batch,
    /// How often nothing more was there since the last frame.
    waits: u8,
    end: Option<End<B::Error>>,
}

/// How the body ended.
enum End<E> {
    Complete,
    Trailers(Frame<Bytes>),
    Error(E),
}

/// One frame stays as it is; from the second on they are copied together.
enum Batch {
    Empty,
    One(Bytes),
    Many(BytesMut),
}

impl Batch {
    fn push(&mut self, bytes: Bytes) {
        *self = match std::mem::replace(self, Self::Empty) {
            Self::Empty => Self::One(bytes),
            Self::One(first) => {
                let mut many = BytesMut::with_capacity((first.len() + bytes.len()).max(4096));
                many.extend_from_slice(&first);
                many.extend_from_slice(&bytes);
                Self::Many(many)
            }
            Self::Many(mut many) => {
                many.extend_from_slice(&bytes);
                Self::Many(many)
            }
        };
    }

    fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    fn take(&mut self) -> Option<Frame<Bytes>> {
        let bytes = match std::mem::replace(self, Self::Empty) {
            Self::Empty => return None,
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes.freeze(),
        };
        Some(Frame::data(bytes))
    }
}

impl<B: Body<Data = Bytes>> CoalescedBody<B> {
    /// Joins the frames of `body`.
    pub fn new(body: B) -> Self {
        Self { body, batch: Batch::Empty, waits: 0, end: None }
    }
}

impl<B> Body for CoalescedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        loop {
            if this.end.is_some() {
                if let Some(frame) = this.batch.take() {
                    return Poll::Ready(Some(Ok(frame)));
                }
                return Poll::Ready(match this.end.replace(End::Complete) {
                    Some(End::Trailers(trailers)) => Some(Ok(trailers)),
                    Some(End::Error(error)) => Some(Err(error)),
                    Some(End::Complete) | None => None,
                });
            }
            let frame = match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Ready(frame) => frame,
                Poll::Pending if this.batch.len() == 0 => {
                    this.waits = 0;
                    return Poll::Pending;
                }
                Poll::Pending if this.waits >= MAX_PENDING_POLLS => {
                    this.waits = 0;
                    return Poll::Ready(this.batch.take().map(Ok));
                }
                Poll::Pending => {
                    this.waits += 1;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            };
            this.waits = 0;
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(bytes))) => {
                    this.batch.push(bytes);
                    if this.batch.len() >= BATCH {
                        return Poll::Ready(this.batch.take().map(Ok));
                    }
                }
                Some(Ok(Err(trailers))) => this.end = Some(End::Trailers(trailers)),
                Some(Err(error)) => this.end = Some(End::Error(error)),
                None => this.end = Some(End::Complete),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.batch.len() == 0
            && (matches!(self.end, Some(End::Complete)) || (self.end.is_none() && self.body.is_end_stream()))
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint();
        let batched = self.batch.len() as u64;
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + batched);
        }
        hint.set_lower(rest.lower() + batched);
        hint
    }
}
