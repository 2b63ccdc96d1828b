//! Hands a form's bytes to the parser in small pieces, one at a time. By itself the parser takes all that is there, and all up to the end of a
//! part's header.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody as _};
use futures_util::Stream;
use http_body::Frame;

use super::body::RefusedBody;
use crate::gateway::rejection::Rejection;

/// The longest piece, in bytes.
const MAX_PIECE_LENGTH: usize = 64 * 1024;
/// The most bytes that the parser may take before it finds something: in front of the first part, and for a part's header.
const MAX_HEADER_LENGTH: usize = 64 * 1024;

/// The side of the reader of a form: it tells the input how far the parser is.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// `None` after its end.
    body: Mutex<Option<Body>>,
    /// The next piece is to wait until the parser has looked at what it has.
    pause: AtomicBool,
    /// What the parser took since it found something.
    taken: AtomicUsize,
}

impl Progress {
    /// The parser has found something in what it has.
    pub fn found(&self) {
        self.0.taken.store(0, Ordering::Relaxed);
        self.0.pause.store(true, Ordering::Relaxed);
    }

    /// Reads what follows the last boundary, and drops it. The checks of a body, such as that of a signed digest, are complete only at its
    /// end.
    ///
    /// # Errors
    /// Those of the body.
    pub async fn finish(&self) -> Result<(), axum::Error> {
        while let Some(frame) = std::future::poll_fn(|context| self.0.poll_body(context)).await {
            frame?;
        }
        Ok(())
    }
}

impl Shared {
    fn poll_body(&self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = &mut *body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(open).poll_frame(context));
        if frame.is_none() {
            *body = None;
        }
        Poll::Ready(frame)
    }
}

/// See the module.
pub struct FormInput {
    rest: Bytes,
    progress: Progress,
}

impl FormInput {
    /// The bytes of that body.
    pub fn new(body: Body) -> (Self, Progress) {
        let shared =
            Shared { body: Mutex::new(Some(body)), pause: AtomicBool::default(), taken: AtomicUsize::default() };
        let progress = Progress(Arc::new(shared));
        (Self { rest: Bytes::new(), progress: progress.clone() }, progress)
    }
}

impl Stream for FormInput {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let shared = self.progress.0.clone();
        if shared.pause.swap(false, Ordering::Relaxed) {
            // And others have their turn.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        while self.rest.is_empty() {
            match ready!(shared.poll_body(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                // Trailers say nothing.
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
            }
        }
        if shared.taken.load(Ordering::Relaxed) > MAX_HEADER_LENGTH {
            let rejection =
                Rejection::new(400, format!("the form has a header of more than {} KiB", MAX_HEADER_LENGTH >> 10));
            return Poll::Ready(Some(Err(RefusedBody(rejection).into())));
        }
        let length = self.rest.len().min(MAX_PIECE_LENGTH);
        let piece = self.rest.split_to(length);
        shared.taken.fetch_add(length, Ordering::Relaxed);
        shared.pause.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Ok(piece)))
    }
}
