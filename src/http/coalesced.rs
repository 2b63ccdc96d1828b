//! Frames that are already there are joined, for bodies that come chunk by chunk from a client that reads them elsewhere. Nothing that has
//! arrived is held back during a wait.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use bytes::BytesMut;
use http_body::{Frame, SizeHint};

/// A batch is passed on at this size even while more is there, to bound memory.
const BATCH: usize = 64 * 1024;

/// How often nothing more is there before the batch is passed on. hyper asks twice before it lets others run (1.12, `poll_loop`), so the
/// third time is the first at which they have.
const PATIENCE: u8 = 2;

/// Joins the frames of `body`.
///
/// hyper hands over one chunk at a time, and its connection's task makes the next one only when that was taken. So after each
/// frame the others are let run, and only if that brings nothing the batch is passed on.
pub struct CoalescedBody<B: HttpBody<Data = Bytes>> {
    body: B,
    batch: Batch,
    /// How often nothing more was there since the last frame.
    waits: u8,
    end: Option<End<B::Error>>,
}

enum End<E> {
    Clean,
    Trailers(Frame<Bytes>),
    Cut(E),
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

impl<B: HttpBody<Data = Bytes>> CoalescedBody<B> {
    /// See the type.
    pub fn new(body: B) -> Self {
        Self { body, batch: Batch::Empty, waits: 0, end: None }
    }
}

impl<B> HttpBody for CoalescedBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
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
                return Poll::Ready(match this.end.replace(End::Clean) {
                    Some(End::Trailers(trailers)) => Some(Ok(trailers)),
                    Some(End::Cut(error)) => Some(Err(error)),
                    Some(End::Clean) | None => None,
                });
            }
            let frame = match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Ready(frame) => frame,
                Poll::Pending if this.batch.len() == 0 => {
                    this.waits = 0;
                    return Poll::Pending;
                }
                Poll::Pending if this.waits >= PATIENCE => {
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
                Some(Err(error)) => this.end = Some(End::Cut(error)),
                None => this.end = Some(End::Clean),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.batch.len() == 0
            && (matches!(self.end, Some(End::Clean)) || (self.end.is_none() && self.body.is_end_stream()))
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint();
        let here = self.batch.len() as u64;
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + here);
        }
        hint.set_lower(rest.lower() + here);
        hint
    }
}
