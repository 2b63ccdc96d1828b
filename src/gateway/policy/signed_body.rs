//! Bodies whose digest was signed: nothing but the signed body reaches the upstream server in full.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use sha2::{Digest as _, Sha256};

use super::body::RefusedBody;
use super::scan_budget::Reservation;
use super::scanned_body::ScannedBody;
use crate::gateway::rejection::Rejection;
use crate::identity::BodyDigest;

/// The longest body that is held back whole, in bytes. An upstream server acts on a JSON value when it ends, not when the body does. Only
/// a blob is passed on while it comes, the last of it after the check.
const MAX_HELD_BYTES: usize = 1024 * 1024;

/// A body that ends in an error unless it has the digest that was signed.
struct SignedBody<B> {
    body: B,
    digest: BodyDigest,
    /// `None` after the check.
    hash: Option<Sha256>,
    held: Held,
    checked: ScannedBody,
}

/// What is not passed on before the check.
enum Held {
    /// All of it. Its capacity is reserved.
    Whole(Vec<u8>, Reservation),
    /// The last frame: without it the upstream server does not take a blob for complete.
    Last(Bytes),
}

impl Held {
    /// Adds bytes. Returns what may be passed on before the check.
    fn push(&mut self, bytes: Bytes) -> Result<Bytes, Rejection> {
        match self {
            Self::Last(last) => Ok(std::mem::replace(last, bytes)),
            Self::Whole(held, _) if held.len() + bytes.len() > MAX_HELD_BYTES => Err(too_long()),
            Self::Whole(held, reservation) => reservation.append(held, &bytes).map(|()| Bytes::new()),
        }
    }

    fn take(&mut self) -> ScannedBody {
        match std::mem::replace(self, Self::Last(Bytes::new())) {
            Self::Whole(held, reservation) => ScannedBody::new([held.into()], reservation),
            Self::Last(last) => ScannedBody::new([last], Reservation::uncounted()),
        }
    }
}

/// A body that is checked against its digest. What is held of it takes from the reservation, which is empty.
///
/// # Errors
/// 401 when there is no body and the digest is of another, 413 and 503 when it says that it is longer than what can be held.
pub fn signed(
    body: Body,
    digest: BodyDigest,
    is_held_whole: bool,
    mut reservation: Reservation,
) -> Result<Body, Rejection> {
    if body.is_end_stream() {
        return if digest.is_of(Sha256::new()) { Ok(body) } else { Err(mismatch()) };
    }
    if !is_held_whole {
        return Ok(Body::new(SignedBody::new(body, digest, Held::Last(Bytes::new()))));
    }
    match usize::try_from(body.size_hint().lower()) {
        Ok(length) if length <= MAX_HELD_BYTES => reservation.would_grow(length)?,
        _ => return Err(too_long()),
    }
    Ok(Body::new(SignedBody::new(body, digest, Held::Whole(Vec::new(), reservation))))
}

fn mismatch() -> Rejection {
    let name = BodyDigest::PARAMETER;
    Rejection::unauthorized(format!("unauthorized: the body is not the one whose digest was sent as {name}"))
}

fn too_long() -> Rejection {
    let name = BodyDigest::PARAMETER;
    Rejection::new(
        413,
        format!("the request body is larger than 1 MiB, the limit for a body with the parameter {name}"),
    )
}

impl<B> SignedBody<B> {
    fn new(body: B, digest: BodyDigest, held: Held) -> Self {
        let checked = ScannedBody::new([], Reservation::uncounted());
        Self { body, digest, hash: Some(Sha256::new()), held, checked }
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
                let (hash, held) = (this.hash.take().unwrap_or_default(), this.held.take());
                if !this.digest.is_of(hash) {
                    return Poll::Ready(Some(Err(RefusedBody(mismatch()).into())));
                }
                this.checked = held;
                break;
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            };
            // Trailers are not signed and go nowhere. An empty frame would release the one before it.
            let Some(bytes) = frame.into_data().ok().filter(|bytes| !bytes.is_empty()) else { continue };
            hash.update(&bytes);
            match this.held.push(bytes) {
                Ok(passed) if passed.is_empty() => {}
                Ok(passed) => return Poll::Ready(Some(Ok(Frame::data(passed)))),
                Err(rejection) => return Poll::Ready(Some(Err(RefusedBody(rejection).into()))),
            }
        }
        Pin::new(&mut this.checked).poll_frame(context).map_err(|never| match never {})
    }

    fn is_end_stream(&self) -> bool {
        self.hash.is_none() && self.checked.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.hash.is_none() {
            return self.checked.size_hint();
        }
        let inner = self.body.size_hint();
        let held = match &self.held {
            Held::Whole(held, _) => held.len() as u64,
            Held::Last(last) => last.len() as u64,
        };
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
    use crate::gateway::policy::fault_of_the_sender;

    /// A body in pieces, with the digest of another text.
    fn body(pieces: &[&[u8]], signed: &[u8], is_held_whole: bool) -> Body {
        let frames: Vec<Result<Frame<Bytes>, BoxError>> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let stream = StreamBody::new(futures_util::stream::iter(frames));
        super::signed(Body::new(stream), digest(signed), is_held_whole, Reservation::uncounted()).unwrap()
    }

    fn digest(signed: &[u8]) -> BodyDigest {
        BodyDigest::parse(&BodyDigest::parameter_of(signed, 7)).unwrap()
    }

    /// How much came through, and the status of the refusal.
    async fn read(mut body: Body) -> (usize, Option<u16>) {
        let mut passed = 0;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => passed += frame.into_data().unwrap().len(),
                Err(error) => return (passed, Some(fault_of_the_sender(&error).unwrap().status())),
            }
        }
        assert!(body.is_end_stream());
        (passed, None)
    }

    #[tokio::test]
    async fn only_the_signed_body_comes_through() {
        for whole in [true, false] {
            assert_eq!(read(body(&[b"abc"], b"abc", whole)).await, (3, None));
            assert_eq!(read(body(&[b"a", b"", b"bc"], b"abc", whole)).await, (3, None));
            assert_eq!(read(body(&[], b"", whole)).await, (0, None));
            for wrong in [&[&b"abd"[..]][..], &[b"ab"], &[b"", b"abd", b""], &[]] {
                assert_eq!(read(body(wrong, b"abc", whole)).await, (0, Some(401)), "{wrong:?}");
            }
            let (passed, status) = read(body(&[b"abc", b"d", b""], b"abc", whole)).await;
            assert_eq!((passed, status), (if whole { 0 } else { 3 }, Some(401)));
        }
    }

    #[tokio::test]
    async fn the_end_of_a_blob_is_held_back_until_it_is_checked() {
        let piece = vec![b'x'; 300_000];
        let pieces: Vec<&[u8]> = vec![&piece; 10];
        let signed = piece.repeat(10);
        assert_eq!(read(body(&pieces, &signed, false)).await, (signed.len(), None));
        assert_eq!(read(body(&pieces, b"another", false)).await, (9 * piece.len(), Some(401)));
    }

    #[tokio::test]
    async fn any_other_body_is_held_back_whole_and_has_a_limit() {
        let longest = vec![b' '; MAX_HELD_BYTES];
        assert_eq!(read(body(&[&longest], &longest, true)).await, (MAX_HELD_BYTES, None));
        let longer = [&longest[..], b" "];
        assert_eq!(read(body(&longer, &longer.concat(), true)).await, (0, Some(413)));
        let told = super::signed(longer.concat().into(), digest(b""), true, Reservation::uncounted());
        assert_eq!(told.unwrap_err().status(), 413);
    }

    #[tokio::test]
    async fn the_length_is_told_before_and_in_between() {
        let mut body = super::signed("abc".into(), digest(b"abc"), true, Reservation::uncounted()).unwrap();
        assert_eq!(body.size_hint().exact(), Some(3));
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!((frame.into_data().unwrap().len(), body.size_hint().exact()), (3, Some(0)));
    }
}
