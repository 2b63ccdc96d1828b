//! Connections to a server, with or without TLS, and those that are idle, kept for the next request to the same server. All connections
//! of a thread are read through one buffer: a stream that waits for its next token holds none of its own.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
#[cfg(feature = "gateway")]
use tokio_rustls::client::TlsStream;

use crate::address::Origin;

/// The most idle connections of one pool; others are closed.
const MAX_IDLE: usize = 256;
/// How long a connection may be idle: half of the shortest usual time of load balancers (60 s of AWS and of HAProxy's examples; 75 s of
/// nginx), so that they are rarely the ones to close it. Servers that close sooner are dealt with by repeating (see `Http1Client::send`).
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The idle connections to one server.
#[derive(Clone, Default)]
pub struct Pool(Arc<Mutex<IdleConnections>>);

#[derive(Default)]
struct IdleConnections {
    /// Their server: a reload of the configuration can name another one.
    origin: Option<Origin>,
    /// Counts the changes of the server.
    generation: u64,
    /// The connection that was used last is at the end, and is used next.
    connections: Vec<(Connection, Instant)>,
    /// A task closes connections that were idle for too long.
    sweeping: bool,
}

/// Returns a connection to the pool that it belongs to.
pub struct PoolHandle {
    pool: Pool,
    generation: u64,
}

impl Pool {
    /// The handle to return a connection to that server with.
    pub fn handle(&self, origin: &Origin) -> PoolHandle {
        PoolHandle { pool: self.clone(), generation: self.lock().switch_to(origin) }
    }

    /// An idle connection to that server, if there is one, and the handle to return this or another connection with.
    pub fn checkout(&self, origin: &Origin) -> (PoolHandle, Option<Connection>) {
        let mut idle = self.lock();
        let handle = PoolHandle { pool: self.clone(), generation: idle.switch_to(origin) };
        let oldest = Instant::now().checked_sub(IDLE_TIMEOUT);
        while let Some((connection, since)) = idle.connections.pop() {
            if oldest.is_none_or(|oldest| since >= oldest) && connection.is_idle() {
                return (handle, Some(connection));
            }
        }
        (handle, None)
    }

    fn lock(&self) -> MutexGuard<'_, IdleConnections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IdleConnections {
    /// Forgets the connections to another server. Returns the generation.
    fn switch_to(&mut self, origin: &Origin) -> u64 {
        if self.origin.as_ref() != Some(origin) {
            self.connections.clear();
            self.origin = Some(origin.clone());
            self.generation += 1;
        }
        self.generation
    }
}

impl PoolHandle {
    /// Returns a connection whose last response was read to its end.
    pub fn put_back(self, connection: Connection) {
        let mut idle = self.pool.lock();
        if idle.generation != self.generation || idle.connections.len() >= MAX_IDLE {
            return;
        }
        idle.connections.push((connection, Instant::now()));
        if !std::mem::replace(&mut idle.sweeping, true) {
            tokio::spawn(sweep(self.pool.clone()));
        }
    }
}

/// Closes connections that were idle for too long, until none is left.
async fn sweep(pool: Pool) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT).await;
        let mut idle = pool.lock();
        let now = Instant::now();
        idle.connections
            .retain(|(connection, since)| now.duration_since(*since) < IDLE_TIMEOUT && connection.is_idle());
        if idle.connections.is_empty() {
            idle.sweeping = false;
            return;
        }
    }
}

/// How much one call reads, in bytes.
const READ_SIZE: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_SIZE]);
}

/// An open connection.
pub enum Connection {
    /// Without TLS.
    Plain(TcpStream),
    /// With TLS, after the handshake.
    #[cfg(feature = "gateway")]
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Reads what has arrived and passes it to `consume`; an empty slice is the end of the connection.
    pub fn poll_read<T>(
        &mut self,
        context: &mut Context<'_>,
        consume: impl FnOnce(&mut [u8]) -> T,
    ) -> Poll<io::Result<T>> {
        BUFFER.with_borrow_mut(|bytes| {
            let mut buffer = ReadBuf::new(bytes);
            ready!(match self {
                Self::Plain(stream) => Pin::new(stream).poll_read(context, &mut buffer),
                #[cfg(feature = "gateway")]
                Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, &mut buffer),
            })?;
            Poll::Ready(Ok(consume(buffer.filled_mut())))
        })
    }

    /// Writes as much as there is room for.
    pub fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            #[cfg(feature = "gateway")]
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        })?;
        Poll::Ready(if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) })
    }

    /// Sends what was written.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            // TCP buffers nothing in this process.
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            #[cfg(feature = "gateway")]
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    /// Whether nothing has arrived and the server has not closed it, so that another request can use it. Asks the system, since the
    /// runtime may not have noticed yet.
    pub fn is_idle(&self) -> bool {
        let stream = match self {
            Self::Plain(stream) => stream,
            #[cfg(feature = "gateway")]
            Self::Tls(stream) => {
                let (stream, session) = stream.get_ref();
                // rustls wants no more to read while it holds unread data, or after close_notify.
                if !session.wants_read() {
                    return false;
                }
                stream
            }
        };
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        let peeked = SockRef::from(stream).peek(&mut byte);
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::BaseUrl;

    #[tokio::test]
    async fn a_connection_that_was_idle_for_too_long_is_not_used() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = BaseUrl::parse(&format!("http://{address}")).unwrap().url;
        let pool = Pool::default();
        for (idle, is_used) in [(29, true), (31, false)] {
            let (handle, none) = pool.checkout(url.as_origin());
            assert!(none.is_none());
            handle.put_back(Connection::Plain(TcpStream::connect(address).await.unwrap()));
            pool.lock().connections[0].1 = Instant::now().checked_sub(Duration::from_secs(idle)).unwrap();
            assert_eq!(pool.checkout(url.as_origin()).1.is_some(), is_used, "{idle} s");
        }
    }
}
