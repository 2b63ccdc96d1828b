//! Bodies whose digest was signed: nothing but the signed body reaches the upstream server in full.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use bytes::BytesMut;
use http_body::{Frame, SizeHint};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::gateway::rejection::Rejection;
use crate::identity::BodyDigest;

/// Bytes that are held back until they are checked. An upstream server acts on a JSON value when it ends, not when the body does, so a
/// body is held back whole and may not be longer. Only a blob is passed on in pieces of this size, the last of them after the check.
const MAX_HELD_BYTES: usize = 1024 * 1024;

/// Why a body is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignedBodyError {
    /// Its digest is another one.
    #[error("unauthorized: the body is not the one whose digest was sent as {}", BodyDigest::PARAMETER)]
    Mismatch,
    /// It is too long to be held back.
    #[error("the request body is larger than 1 MiB, the limit for a body with the parameter {}", BodyDigest::PARAMETER)]
    TooLong,
}

impl SignedBodyError {
    /// 401 or 413.
    pub fn rejection(self) -> Rejection {
        match self {
            Self::Mismatch => Rejection::unauthorized(self.to_string()),
            Self::TooLong => Rejection::new(413, self.to_string()),
        }
    }
}

/// A body that ends in an error unless it has the digest that was signed.
pub struct SignedBody<B> {
    body: B,
    digest: BodyDigest,
    /// `None` after the check.
    hash: Option<Sha256>,
    held: BytesMut,
    is_held_whole: bool,
}

impl<B> SignedBody<B>
where
    B: HttpBody<Data = Bytes>,
{
    /// `is_held_whole`: none of it is passed on before all of it is checked.
    pub fn new(body: B, digest: BodyDigest, is_held_whole: bool) -> Self {
        Self { body, digest, hash: Some(Sha256::new()), held: BytesMut::new(), is_held_whole }
    }
}

/// The body of a request, checked against the digest in its query if there is one.
///
/// # Errors
/// 401 when there is no body and the digest is of another.
pub fn checked(body: Body, digest: Option<BodyDigest>, is_held_whole: bool) -> Result<Body, Rejection> {
    let Some(digest) = digest else { return Ok(body) };
    if !body.is_end_stream() {
        return Ok(Body::new(SignedBody::new(body, digest, is_held_whole)));
    }
    match digest.is_of(Sha256::new()) {
        true => Ok(body),
        false => Err(SignedBodyError::Mismatch.rejection()),
    }
}

impl<B> HttpBody for SignedBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        while let Some(hash) = &mut this.hash {
            let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(context)) else {
                let hash = this.hash.take().unwrap_or_default();
                if !this.digest.is_of(hash) {
                    this.held.clear();
                    return Poll::Ready(Some(Err(SignedBodyError::Mismatch.into())));
                }
                break;
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            };
            // Trailers are not signed and go nowhere.
            let Ok(bytes) = frame.into_data() else { continue };
            hash.update(&bytes);
            this.held.extend_from_slice(&bytes);
            if this.held.len() <= MAX_HELD_BYTES {
                continue;
            }
            if this.is_held_whole {
                return Poll::Ready(Some(Err(SignedBodyError::TooLong.into())));
            }
            // The last byte stays: without it the upstream server does not take the blob for complete.
            let passed = this.held.split_to(this.held.len() - 1);
            return Poll::Ready(Some(Ok(Frame::data(passed.freeze()))));
        }
        if this.held.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(this.held.split().freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.hash.is_none() && self.held.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, held) = (self.body.size_hint(), self.held.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    /// A body in pieces, with the digest of another text.
    fn body(pieces: &[&[u8]], signed: &[u8], is_held_whole: bool) -> SignedBody<Body> {
        let digest = BodyDigest::parse(&BodyDigest::parameter_of(signed, 7)).unwrap();
        let frames: Vec<Result<Frame<Bytes>, BoxError>> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let stream = StreamBody::new(futures_util::stream::iter(frames));
        SignedBody::new(Body::new(stream), digest, is_held_whole)
    }

    async fn read(mut body: SignedBody<Body>) -> (usize, Result<(), BoxError>) {
        let mut passed = 0;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => passed += frame.into_data().unwrap().len(),
                Err(error) => return (passed, Err(error)),
            }
        }
        assert!(body.is_end_stream());
        (passed, Ok(()))
    }

    fn cause(result: Result<(), BoxError>) -> SignedBodyError {
        *result.unwrap_err().downcast::<SignedBodyError>().unwrap()
    }

    #[tokio::test]
    async fn only_the_signed_body_comes_through() {
        for whole in [true, false] {
            let (passed, result) = read(body(&[b"a", b"", b"bc"], b"abc", whole)).await;
            assert!(passed == 3 && result.is_ok());
            let (passed, result) = read(body(&[], b"", whole)).await;
            assert!(passed == 0 && result.is_ok());
            for wrong in [&[&b"abd"[..]][..], &[b"ab"], &[b"abc", b"d"], &[]] {
                let (passed, result) = read(body(wrong, b"abc", whole)).await;
                assert_eq!((passed, cause(result)), (0, SignedBodyError::Mismatch), "{wrong:?}");
            }
        }
    }

    #[tokio::test]
    async fn the_end_of_a_blob_is_held_back_until_it_is_checked() {
        let piece = vec![b'x'; 300_000];
        let pieces: Vec<&[u8]> = vec![&piece; 10];
        let signed = piece.repeat(10);
        let (passed, result) = read(body(&pieces, &signed, false)).await;
        assert!(passed == signed.len() && result.is_ok());
        let (passed, result) = read(body(&pieces, b"another", false)).await;
        assert!(passed < signed.len() && passed > MAX_HELD_BYTES, "{passed}");
        assert_eq!(cause(result), SignedBodyError::Mismatch);
        // Exactly at a piece's end, too.
        let exact = vec![b'x'; MAX_HELD_BYTES + 1];
        let (passed, result) = read(body(&[&exact], b"another", false)).await;
        assert_eq!((passed, cause(result)), (MAX_HELD_BYTES, SignedBodyError::Mismatch));
    }

    #[tokio::test]
    async fn any_other_body_is_held_back_whole_and_has_a_limit() {
        let longest = vec![b' '; MAX_HELD_BYTES];
        let (passed, result) = read(body(&[&longest], &longest, true)).await;
        assert!(passed == MAX_HELD_BYTES && result.is_ok());
        let longer = [&longest[..], b" "];
        let (passed, result) = read(body(&longer, &longer.concat(), true)).await;
        assert_eq!((passed, cause(result)), (0, SignedBodyError::TooLong));
    }

    #[tokio::test]
    async fn the_length_is_told_before_and_in_between() {
        let digest = BodyDigest::parse(&BodyDigest::parameter_of(b"abc", 7)).unwrap();
        let mut body = SignedBody::new(Body::from("abc"), digest, true);
        assert_eq!(body.size_hint().exact(), Some(3));
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!((frame.into_data().unwrap().len(), body.size_hint().exact()), (3, Some(0)));
    }
}
