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

pub use self::connector::ConnectCheck;
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

/// The largest body that is kept to be sent again, in bytes.
const MAX_KEPT: u64 = 64 * 1024;

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
    /// Carrying it out twice does no harm.
    pub repeatable: bool,
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
        // Enough for most heads.
        let mut bytes = Vec::with_capacity(512);
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
    /// A client for plain http to this machine. Every name resolves to the loopback addresses. Each new connection is checked.
    pub fn loopback(check: ConnectCheck) -> Self {
        Self { connector: Connector::Loopback(check), pool: Pool::default() }
    }

    /// A client that uses the system's resolver and, with `tls`, the system's certificate authorities.
    ///
    /// # Errors
    /// When the system's certificate authorities cannot be used.
    #[cfg(feature = "gateway")]
    pub fn system(tls: bool) -> Result<Self, rustls::Error> {
        Ok(Self { connector: Connector::system(tls)?, pool: Pool::default() })
    }

    /// Sends a request and waits for the head of the response, without a time limit. Dropping the future, or the body of the response,
    /// closes the connection.
    ///
    /// The server, or a load balancer in front of it, may close an idle connection at the moment when it is used again. So only a request
    /// that can be repeated is sent on one: it is harmless, and its body is small enough to be kept ([`MAX_KEPT`]). It is repeated once, on
    /// a new connection, if no byte of a response came.
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
        let OutgoingRequest { head, body, repeatable } = request;
        let method = head.method.clone();
        // A person at a terminal gains nothing from a connection that is kept, and a signature is not to be sent twice.
        let reuses = !matches!(self.connector, Connector::Loopback(_));
        let is_small = body.size_hint().exact().is_some_and(|length| length <= MAX_KEPT);
        let (handle, idle) = match repeatable && is_small && reuses {
            true => self.pool.checkout(origin),
            false => (self.pool.handle(origin), None),
        };
        let mut writer = RequestWriter::new(head, body, idle.is_some());
        if let Some(connection) = idle {
            match exchange(connection, &mut writer, &method).await {
                Err(Failure { error: SendError::Closed(_), received: false }) if writer.rewind() => {}
                Err(failure) => return Err(failure.error),
                Ok((connection, head)) => return respond(Some(handle), connection, head, writer),
            }
        }
        if is_small {
            // Otherwise the body keeps the buffer that it was read into, which is larger, until the connection is open.
            std::future::poll_fn(|context| Poll::Ready(writer.collect(context))).await;
        }
        let connection = Box::pin(self.connector.connect(origin)).await.map_err(SendError::Connect)?;
        let (connection, head) = exchange(connection, &mut writer, &method).await.map_err(|failure| failure.error)?;
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

/// Why an exchange failed.
struct Failure {
    error: SendError,
    /// Part of a response came.
    received: bool,
}

/// Sends a request and reads until the head of its response is complete. The server may respond before it has read all of the request.
async fn exchange<B>(
    mut connection: Connection,
    writer: &mut RequestWriter<B>,
    method: &Method,
) -> Result<(Connection, ResponseHead), Failure>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let mut write_failed = false;
    let (mut received, mut has_received) = (Vec::new(), false);
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
                Ok(false) => has_received = true,
            }
            match response_head::parse(std::mem::take(&mut received), method) {
                Err(_) => return Poll::Ready(Err(SendError::Malformed)),
                Ok(ParsedHead::Complete(head)) => return Poll::Ready(Ok(*head)),
                Ok(ParsedHead::Partial(rest)) => received = rest,
            }
        }
    })
    .await;
    match head {
        Ok(head) => Ok((connection, head)),
        Err(error) => Err(Failure { error, received: has_received }),
    }
}
