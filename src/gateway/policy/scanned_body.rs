//! A body that was scanned, on its way to the upstream server.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};

use super::scan_budget::Reservation;

/// The longest frame, so that what sends them does not copy everything at once.
const MAX_FRAME_LENGTH: usize = 64 * 1024;

/// See the module. What it occupies is given back when all of it was handed over.
#[derive(Debug)]
pub struct ScannedBody {
    pieces: VecDeque<Bytes>,
    /// Bytes.
    left: u64,
    _reservation: Reservation,
}

impl ScannedBody {
    /// These pieces, one after the other. The reservation covers what they occupy.
    pub fn new(pieces: impl IntoIterator<Item = Bytes>, reservation: Reservation) -> Self {
        let pieces: VecDeque<Bytes> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces, left, _reservation: reservation }
    }
}

impl HttpBody for ScannedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(first) = self.pieces.front_mut() else { return Poll::Ready(None) };
        let piece = first.split_to(first.len().min(MAX_FRAME_LENGTH));
        if first.is_empty() {
            self.pieces.pop_front();
        }
        self.left -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn it_is_handed_over_in_short_frames() {
        let pieces = ["{", "", &"a".repeat(150_000), "}"].map(|piece| Bytes::copy_from_slice(piece.as_bytes()));
        let mut body = ScannedBody::new(pieces, Reservation::uncounted());
        let (mut count, mut length) = (0, 0);
        assert_eq!(body.size_hint().exact(), Some(150_002));
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            assert!(!data.is_empty() && data.len() <= MAX_FRAME_LENGTH);
            (count, length) = (count + 1, length + data.len());
            assert_eq!(body.size_hint().exact(), Some(150_002 - length as u64));
        }
        assert_eq!((count, length, body.is_end_stream()), (5, 150_002, true));
    }
}
