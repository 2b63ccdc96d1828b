//! A request's body whose sender has to be accepted as long as it comes. Else whoever begins requests with a stolen key, and ends them a
//! byte at a time, goes on using it after it was revoked.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use thiserror::Error;

use super::authenticator::Authenticator;
use super::caller::Caller;

/// The credential is not accepted any more.
#[derive(Debug, Error)]
#[error("the credential is no longer valid")]
pub struct CredentialRevoked;

/// See the module.
pub struct RevalidatingBody<B> {
    body: B,
    caller: Caller,
    authenticator: Arc<Authenticator>,
    /// Something was waited for since it was last asked whether the credential holds.
    waited: bool,
}

impl<B> RevalidatingBody<B> {
    /// The body of a request of `caller`, who was accepted just now.
    pub fn new(body: B, caller: Caller, authenticator: Arc<Authenticator>) -> Self {
        Self { body, caller, authenticator, waited: false }
    }
}

impl<B> HttpBody for RevalidatingBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            this.waited = true;
            return Poll::Pending;
        };
        let asked = std::mem::take(&mut this.waited);
        if asked && !this.authenticator.still_accepts(&this.caller) {
            return Poll::Ready(Some(Err(CredentialRevoked.into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
