//! The client for the upstream server, of HTTP/1.1 alone and no more than a relay needs. Each worker thread has its own, with
//! connections of its own.
//!
//! A general client hands over each chunk from a task of the connection to a task of the caller's; that cost more than all else that the
//! gateway does, and joining what is already there needed guesses about when more is. Here whoever answers the caller reads the
//! connection, and what one read brings goes on in one piece.

mod chunked;
mod connection;
mod connector;
mod pool;
mod request_writer;
mod response_body;
#[cfg(any(test, fuzzing))]
pub(super) mod response_head;
#[cfg(not(any(test, fuzzing)))]
mod response_head;

use std::task::{Poll, ready};

use axum::body::Body;
use axum::http::{Method, Response};
use thiserror::Error;

use self::connection::Connection;
use self::connector::Connector;
use self::pool::{Pool, PoolHandle};
use self::request_writer::{RequestWriteError, RequestWriter};
use self::response_body::OpenExchange;
pub use self::response_body::ResponseBody;
use self::response_head::{ParsedHead, ResponseHead};
use crate::address::Origin;

/// Why no answer came.
#[derive(Debug, Error)]
pub enum SendError {
    /// It never got there: nothing was done.
    #[error("the upstream server cannot be reached")]
    Unreachable(#[source] std::io::Error),
    /// It ended the connection, or it broke.
    #[error("the upstream server ended the connection")]
    Ended,
    /// What came is no answer of HTTP/1.
    #[error("the upstream server answered with something that is no HTTP")]
    Malformed,
    /// The caller's own body was at fault.
    #[error("the request's body broke off")]
    Body(axum::Error),
}

/// A client.
#[derive(Clone)]
pub struct Http1Client {
    connector: Connector,
    pool: Pool,
}

/// A request for the upstream server.
pub struct OutgoingRequest {
    /// Its method.
    pub method: Method,
    /// The request line and the headers, each with its CR LF, without those that tell the body's end and without the empty line.
    pub head: Vec<u8>,
    /// Its body.
    pub body: Body,
}

impl Http1Client {
    /// Without connections yet. `tls` says that the server is spoken to by https.
    ///
    /// # Errors
    /// When the system's certificate authorities cannot be used.
    pub fn new(tls: bool) -> Result<Self, rustls::Error> {
        Ok(Self { connector: Connector::new(tls)?, pool: Pool::default() })
    }

    /// Sends a request and waits for the head of the answer, as long as it takes. Dropping this, or the answer's body, ends the connection.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, origin: &Origin, outgoing: OutgoingRequest) -> Result<Response<ResponseBody>, SendError> {
        let OutgoingRequest { method, head, body } = outgoing;
        // As `Content-Length: 0` where a body is usual (RFC 9110, section 8.6).
        let needs_length = matches!(method, Method::POST | Method::PUT | Method::PATCH);
        let mut sending = RequestWriter::new(head, body, needs_length);
        let (place, waiting) = self.pool.take(origin);
        if let Some(connection) = waiting {
            match exchange(connection, &mut sending, &method).await {
                // It may have been ended by the server in this very moment; then nothing of an answer came.
                Err(SendError::Ended) if method.is_safe() && sending.rewind() => {}
                Err(error) => return Err(error),
                Ok((connection, head)) => return answered(place, connection, head, sending),
            }
        }
        let connection = Box::pin(self.connector.connect(origin)).await.map_err(SendError::Unreachable)?;
        let (connection, head) = exchange(connection, &mut sending, &method).await?;
        answered(place, connection, head, sending)
    }
}

fn answered(
    place: PoolHandle,
    connection: Connection,
    head: ResponseHead,
    sending: RequestWriter,
) -> Result<Response<ResponseBody>, SendError> {
    let sending = (!sending.is_done()).then_some(sending);
    let rest = OpenExchange { connection, sending, framing: head.framing, home: head.reusable.then_some(place) };
    let body = ResponseBody::new(&head.rest, rest).map_err(|_| SendError::Malformed)?;
    Ok(Response::from_parts(head.parts, body))
}

/// Sends a request, and reads until the head of its answer is there; the server may answer before it has all of the request.
async fn exchange(
    connection: Connection,
    sending: &mut RequestWriter,
    method: &Method,
) -> Result<(Connection, ResponseHead), SendError> {
    let mut connection = connection;
    let mut refused = false;
    let mut came = Vec::new();
    let head = std::future::poll_fn(|context| {
        if !refused && !sending.is_done() {
            match sending.poll(&mut connection, context) {
                Poll::Pending | Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(RequestWriteError::Body(error))) => {
                    return Poll::Ready(Err(SendError::Body(error)));
                }
                // The server would wait for the rest.
                Poll::Ready(Err(error @ RequestWriteError::Length)) => {
                    return Poll::Ready(Err(SendError::Body(axum::Error::new(error))));
                }
                // It may say why it takes no more.
                Poll::Ready(Err(RequestWriteError::Connection(_))) => refused = true,
            }
        }
        loop {
            let read = connection.poll_read(context, |bytes| {
                came.extend_from_slice(bytes);
                bytes.is_empty()
            });
            match ready!(read) {
                Err(_) | Ok(true) => return Poll::Ready(Err(SendError::Ended)),
                Ok(false) => {}
            }
            match response_head::parse(std::mem::take(&mut came), method) {
                Err(_) => return Poll::Ready(Err(SendError::Malformed)),
                Ok(ParsedHead::Complete(head)) => return Poll::Ready(Ok(*head)),
                Ok(ParsedHead::Partial(rest)) => came = rest,
            }
        }
    })
    .await?;
    Ok((connection, head))
}
