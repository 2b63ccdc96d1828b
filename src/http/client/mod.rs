//! A client of HTTP/1.1 that streams: it does what a relay and the reader of a stream of tokens need, and no more.
//!
//! A general client passes each chunk from the task of the connection to the task of the caller. That cost more than everything else that
//! the gateway does, and joining chunks that have already arrived took guesses. Here the task that wants the response reads the connection
//! itself, and all that one read brings is passed on in one piece.

mod chunked;
mod connector;
mod pool;
mod request_writer;
mod response_body;
pub(super) mod response_head;

use std::task::{Poll, ready};

use bytes::Bytes;
use http::{Method, Response};
use http_body::Body;
use thiserror::Error;

use self::connector::Connector;
use self::pool::{Connection, Pool, PoolHandle};
use self::request_writer::{RequestWriteError, RequestWriter};
use self::response_body::OpenExchange;
pub use self::response_body::ResponseBody;
use self::response_head::{ParsedHead, ResponseHead};
use crate::address::Origin;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why no response came.
#[derive(Debug, Error)]
pub enum SendError {
    /// There is no connection, so nothing was sent.
    #[error("cannot connect to the server")]
    Connect(#[source] std::io::Error),
    /// The server closed the connection, or it broke.
    #[error("the server closed the connection before it responded")]
    Closed(#[source] Option<std::io::Error>),
    /// The server sent something else than a response.
    #[error("the response is not valid HTTP/1.1")]
    Malformed,
    /// The body of the request failed.
    #[error("the request body failed")]
    RequestBody(#[source] BoxError),
}

/// A client with its own pool of idle connections. Clones share the pool.
#[derive(Clone)]
pub struct Http1Client {
    connector: Connector,
    pool: Pool,
}

impl std::fmt::Debug for Http1Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http1Client").finish_non_exhaustive()
    }
}

/// A request with its body.
pub struct OutgoingRequest<B> {
    /// Method, target and headers.
    pub head: RequestHead,
    /// The body. The client adds the header that announces its length.
    pub body: B,
}

/// The head of a request.
#[derive(Debug)]
pub struct RequestHead {
    method: Method,
    /// Request line and headers, each with its CR LF.
    bytes: Vec<u8>,
}

impl RequestHead {
    /// A head with `Host` alone. `target` is path and query in pieces, which must hold neither white space nor control characters.
    pub fn new(method: Method, origin: &Origin, target: &[&str]) -> Self {
        let mut bytes = Vec::with_capacity(1024);
        let mut put = |part: &str| bytes.extend_from_slice(part.as_bytes());
        put(method.as_str());
        put(" ");
        target.iter().for_each(|part| put(part));
        put(" HTTP/1.1\r\nhost: ");
        put(origin.host());
        if origin.port() != origin.scheme().default_port() {
            put(":");
            put(&origin.port().to_string());
        }
        put("\r\n");
        Self { method, bytes }
    }

    /// Adds a header. `value` must hold neither CR nor LF; `Content-Length` and `Transfer-Encoding` are the client's to add.
    pub fn header(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.bytes.extend_from_slice(part);
        }
    }
}

impl Http1Client {
    /// A client for plain http to this machine. Every name resolves to the loopback addresses.
    pub fn loopback() -> Self {
        Self { connector: Connector::Loopback, pool: Pool::default() }
    }

    /// A client that uses the system's resolver and, with `tls`, the system's certificate authorities.
    ///
    /// # Errors
    /// When the system's certificate authorities cannot be used.
    #[cfg(feature = "gateway")]
    pub fn system(tls: bool) -> Result<Self, rustls::Error> {
        Ok(Self { connector: Connector::system(tls)?, pool: Pool::default() })
    }

    /// Sends a request and waits for the head of the response, without a time limit. Nothing is repeated, except a request without a body
    /// and with a safe method whose idle connection turns out to be closed. Dropping the future, or the body of the response, closes the
    /// connection.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send<B>(
        &self,
        origin: &Origin,
        request: OutgoingRequest<B>,
    ) -> Result<Response<ResponseBody<B>>, SendError>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let OutgoingRequest { head, body } = request;
        let method = head.method.clone();
        let mut writer = RequestWriter::new(head, body);
        let (handle, idle) = self.pool.checkout(origin);
        // A person at a terminal gains nothing from a connection that is kept, and a POST on one that the server drops is lost.
        let reuses = !matches!(self.connector, Connector::Loopback);
        if let Some(connection) = idle.filter(|_| reuses) {
            match exchange(connection, &mut writer, &method).await {
                // The server may have closed it at this very moment; then no byte of a response came.
                Err(SendError::Closed(_)) if method.is_safe() && writer.rewind() => {}
                Err(error) => return Err(error),
                Ok((connection, head)) => return respond(Some(handle), connection, head, writer),
            }
        }
        let connection = Box::pin(self.connector.connect(origin)).await.map_err(SendError::Connect)?;
        let (connection, head) = exchange(connection, &mut writer, &method).await?;
        respond(reuses.then_some(handle), connection, head, writer)
    }
}

fn respond<B>(
    handle: Option<PoolHandle>,
    connection: Connection,
    head: ResponseHead,
    writer: RequestWriter<B>,
) -> Result<Response<ResponseBody<B>>, SendError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let request = (!writer.is_done()).then_some(writer);
    let exchange = OpenExchange { connection, request, framing: head.framing, pool: handle.filter(|_| head.reusable) };
    let body = ResponseBody::new(&head.rest, exchange).map_err(|_| SendError::Malformed)?;
    Ok(Response::from_parts(head.parts, body))
}

/// Sends a request and reads until the head of its response is complete. The server may respond before it has read all of the request.
async fn exchange<B>(
    mut connection: Connection,
    writer: &mut RequestWriter<B>,
    method: &Method,
) -> Result<(Connection, ResponseHead), SendError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let mut write_failed = false;
    let mut received = Vec::new();
    let head = std::future::poll_fn(|context| {
        if !write_failed && !writer.is_done() {
            match writer.poll(&mut connection, context) {
                Poll::Pending | Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(RequestWriteError::Body(error))) => {
                    return Poll::Ready(Err(SendError::RequestBody(error)));
                }
                // The server would wait for the rest.
                Poll::Ready(Err(error @ RequestWriteError::Length)) => {
                    return Poll::Ready(Err(SendError::RequestBody(error.into())));
                }
                // The response may say why the server reads no more.
                Poll::Ready(Err(RequestWriteError::Connection(_))) => write_failed = true,
            }
        }
        loop {
            let read = connection.poll_read(context, |bytes| {
                received.extend_from_slice(bytes);
                bytes.is_empty()
            });
            match ready!(read) {
                Err(error) => return Poll::Ready(Err(SendError::Closed(Some(error)))),
                Ok(true) => return Poll::Ready(Err(SendError::Closed(None))),
                Ok(false) => {}
            }
            match response_head::parse(std::mem::take(&mut received), method) {
                Err(_) => return Poll::Ready(Err(SendError::Malformed)),
                Ok(ParsedHead::Complete(head)) => return Poll::Ready(Ok(*head)),
                Ok(ParsedHead::Partial(rest)) => received = rest,
            }
        }
    })
    .await?;
    Ok((connection, head))
}
