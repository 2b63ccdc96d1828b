//! The body of a response, as it arrives.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;

use super::BoxError;
use super::chunked::MalformedChunks;
use super::pool::Connection;
use super::pool::PoolHandle;
use super::request_writer::{RequestWriteError, RequestWriter};
use super::response_head::BodyFraming;

/// Why a body ended early.
#[derive(Debug, Error)]
pub enum ResponseBodyError {
    /// The connection ended before the body did.
    #[error("the server closed the connection before the end of its response")]
    Truncated,
    /// The chunks are malformed.
    #[error(transparent)]
    Chunks(#[from] MalformedChunks),
    /// Reading failed.
    #[error("the connection to the server broke: {0}")]
    Connection(#[from] std::io::Error),
    /// The body of the request failed.
    #[error(transparent)]
    Request(RequestWriteError),
}

/// The body of a response; `B` is the body of its request. Dropping it before its end closes the connection.
pub struct ResponseBody<B> {
    /// The bytes that arrived with the head.
    first: Bytes,
    /// `None` after the end of the body.
    exchange: Option<OpenExchange<B>>,
    /// The server announced the length. Where it did not, the length is not passed on either, even when it is known by now.
    has_length: bool,
}

/// A connection whose response was not read to its end.
pub struct OpenExchange<B> {
    /// The connection.
    pub connection: Connection,
    /// The rest of the request, while it is being sent.
    pub request: Option<RequestWriter<B>>,
    /// How the body ends.
    pub framing: BodyFraming,
    /// Where the connection goes when it can be used again.
    pub pool: Option<PoolHandle>,
}

impl<B> ResponseBody<B> {
    /// A body whose first bytes arrived with its head.
    ///
    /// # Errors
    /// [`MalformedChunks`].
    pub fn new(received: &Bytes, mut exchange: OpenExchange<B>) -> Result<Self, MalformedChunks> {
        let (first, used) = match &mut exchange.framing {
            BodyFraming::UntilClose => (received.clone(), received.len()),
            // Without a copy.
            BodyFraming::Length(left) => {
                let length = received.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= length as u64;
                (received.slice(..length), length)
            }
            BodyFraming::Chunked(chunks) => {
                let mut piece = received.to_vec();
                let decoded = chunks.decode(&mut piece)?;
                piece.truncate(decoded.body);
                (piece.into(), decoded.used)
            }
        };
        if used < received.len() {
            exchange.pool = None;
        }
        let has_length = matches!(exchange.framing, BodyFraming::Length(_));
        let mut body = Self { first, exchange: Some(exchange), has_length };
        body.release_at_end();
        Ok(body)
    }

    /// Returns the connection to its pool once the body has ended.
    fn release_at_end(&mut self) {
        let ended = self.exchange.take_if(|exchange| exchange.framing.has_ended());
        if let Some(OpenExchange { connection, request: None, pool: Some(pool), .. }) = ended {
            pool.put_back(connection);
        }
    }
}

impl<B> OpenExchange<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    /// The next bytes of the body; `None` at its end.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ResponseBodyError>> {
        if let Some(request) = &mut self.request {
            match request.poll(&mut self.connection, context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.request = None,
                // The response may say why the server reads no more; the connection cannot be used again.
                Poll::Ready(Err(RequestWriteError::Connection(_))) => (self.request, self.pool) = (None, None),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(ResponseBodyError::Request(error))),
            }
        }
        let Self { connection, framing, pool, .. } = self;
        while !framing.has_ended() {
            framing.check()?;
            let read = connection.poll_read(context, |piece| {
                if piece.is_empty() {
                    return match framing {
                        BodyFraming::UntilClose => Ok(None),
                        BodyFraming::Length(_) | BodyFraming::Chunked(_) => Err(ResponseBodyError::Truncated),
                    };
                }
                let (body, used) = framing.decode(piece)?;
                if used < piece.len() {
                    // A fault, or bytes that no request asked for: they must not become the response to the next request.
                    *pool = None;
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

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
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
        let Some(exchange) = &mut this.exchange else { return Poll::Ready(None) };
        let read = ready!(exchange.poll(context)).transpose();
        this.release_at_end();
        if !matches!(read, Some(Ok(_))) {
            this.exchange = None;
        }
        Poll::Ready(read.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.exchange.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.len() as u64;
        match self.exchange.as_ref().map(|exchange| &exchange.framing) {
            None if self.has_length => SizeHint::with_exact(first),
            Some(BodyFraming::Length(left)) => SizeHint::with_exact(first + left),
            None | Some(BodyFraming::Chunked(_) | BodyFraming::UntilClose) => {
                let mut hint = SizeHint::new();
                hint.set_lower(first);
                hint
            }
        }
    }
}
