//! The body of an answer, as it comes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use thiserror::Error;

use super::connection::Connection;
use super::pool::PoolHandle;
use super::request_writer::{RequestWriteError, RequestWriter};
use super::response_head::BodyFraming;

/// Why a body breaks off.
#[derive(Debug, Error)]
pub enum ResponseBodyError {
    /// Its end did not come.
    #[error("the upstream server ended the connection in the midst of an answer")]
    Truncated,
    /// It is not in chunks, as was announced.
    #[error(transparent)]
    Chunks(#[from] super::chunked::MalformedChunks),
    /// The connection broke.
    #[error("the connection to the upstream server broke: {0}")]
    Connection(#[from] std::io::Error),
    /// The caller's own body was at fault.
    #[error(transparent)]
    Request(RequestWriteError),
}

/// See the module. Dropping it before its end ends the connection.
pub struct ResponseBody {
    /// What came with the head.
    first: Bytes,
    /// What is still to be read.
    rest: Option<OpenExchange>,
    /// Its length was announced. Where it was not the caller's is not either, even when it is known by now.
    has_length: bool,
}

/// A connection in the midst of an answer.
pub struct OpenExchange {
    /// The connection.
    pub connection: Connection,
    /// Of the request, when it is still on its way.
    pub sending: Option<RequestWriter>,
    /// By what the body ends.
    pub framing: BodyFraming,
    /// Where the connection goes when it can be used again.
    pub home: Option<PoolHandle>,
}

impl ResponseBody {
    /// A body whose beginning came with its head.
    ///
    /// # Errors
    /// [`ResponseBodyError::Chunks`].
    pub fn new(came: &Bytes, mut rest: OpenExchange) -> Result<Self, ResponseBodyError> {
        let (first, used) = match &mut rest.framing {
            BodyFraming::UntilClose => (came.clone(), came.len()),
            // Without a copy.
            BodyFraming::Length(left) => {
                let length = came.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= length as u64;
                (came.slice(..length), length)
            }
            BodyFraming::Chunked(chunks) => {
                let mut piece = came.to_vec();
                let read = chunks.read(&mut piece)?;
                piece.truncate(read.body);
                (piece.into(), read.used)
            }
        };
        if used < came.len() {
            rest.home = None;
        }
        let has_length = matches!(rest.framing, BodyFraming::Length(_));
        let mut body = Self { first, rest: Some(rest), has_length };
        body.release_at_the_end();
        Ok(body)
    }

    /// Gives the connection back once the body has ended.
    fn release_at_the_end(&mut self) {
        let Some(OpenExchange { connection, sending, home, .. }) = self.rest.take_if(|rest| rest.framing.has_ended())
        else {
            return;
        };
        if let (None, Some(place)) = (sending, home) {
            place.put(connection);
        }
    }
}

impl OpenExchange {
    /// What comes next of the body; nothing at its end.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ResponseBodyError>> {
        if let Some(sending) = &mut self.sending {
            match sending.poll(&mut self.connection, context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.sending = None,
                // It may say why it takes no more; but the connection is of no more use.
                Poll::Ready(Err(RequestWriteError::Connection(_))) => (self.sending, self.home) = (None, None),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(ResponseBodyError::Request(error))),
            }
        }
        let Self { connection, framing, home, .. } = self;
        while !framing.has_ended() {
            framing.check()?;
            let read = connection.poll_read(context, |piece| {
                if piece.is_empty() {
                    return if matches!(framing, BodyFraming::UntilClose) {
                        Ok(None)
                    } else {
                        Err(ResponseBodyError::Truncated)
                    };
                }
                let (body, used) = framing.decode(piece)?;
                if used < piece.len() {
                    // A fault, or something that nobody asked for: the next caller is not to get it as an answer.
                    *home = None;
                }
                Ok(Some(Bytes::copy_from_slice(&piece[..body])))
            });
            match ready!(read)?? {
                Some(piece) if piece.is_empty() => {}
                piece => return Poll::Ready(Ok(piece)),
            }
        }
        Poll::Ready(Ok(None))
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let this = self.get_mut();
        if !this.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.first)))));
        }
        let Some(rest) = &mut this.rest else { return Poll::Ready(None) };
        let read = ready!(rest.poll(context)).transpose();
        match &read {
            Some(Ok(_)) => this.release_at_the_end(),
            Some(Err(_)) | None => {
                this.release_at_the_end();
                this.rest = None;
            }
        }
        Poll::Ready(read.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let here = self.first.len() as u64;
        match self.rest.as_ref().map(|rest| &rest.framing) {
            None if self.has_length => SizeHint::with_exact(here),
            Some(BodyFraming::Length(left)) => SizeHint::with_exact(here + left),
            None | Some(BodyFraming::Chunked(_) | BodyFraming::UntilClose) => {
                let mut hint = SizeHint::new();
                hint.set_lower(here);
                hint
            }
        }
    }
}
