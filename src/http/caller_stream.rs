//! A caller's connection, with or without TLS. It is reset instead of closed when its response was truncated in a way that the protocol
//! cannot show, and when an unauthenticated caller does not read its responses.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::min_data_rate::MinDataRate;
use super::relay::ResetOnClose;

/// Set once a credential was accepted on a connection.
#[derive(Clone, Debug, Default)]
pub struct AuthenticatedFlag(Arc<AtomicBool>);

impl AuthenticatedFlag {
    /// Marks the connection: a credential was accepted on it.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A caller's connection, with or without TLS. It ends when the caller reads too slowly.
pub struct CallerStream {
    stream: Stream,
    reset: ResetOnClose,
    /// How slowly responses may be read, unless the caller is authenticated.
    unread: Option<(MinDataRate, AuthenticatedFlag)>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl CallerStream {
    /// A connection without TLS.
    pub fn plain(stream: TcpStream, reset: ResetOnClose) -> Self {
        Self { stream: Stream::Plain(stream), reset, unread: None }
    }

    /// A connection with TLS, after the handshake.
    pub fn tls(stream: TlsStream<TcpStream>, reset: ResetOnClose) -> Self {
        Self { stream: Stream::Tls(Box::new(stream)), reset, unread: None }
    }

    /// Requires that unauthenticated callers read their responses at a minimum rate (see [`MinDataRate`]): otherwise a few of them could
    /// hold all connections forever. Authenticated callers may pause as long as they like.
    #[must_use]
    pub fn read_within(mut self, limit: Duration, authenticated: AuthenticatedFlag) -> Self {
        self.unread = Some((MinDataRate::new(limit), authenticated));
        self
    }

    /// Applies the minimum rate to the result of a write.
    fn paced<T>(
        &mut self,
        context: &mut Context<'_>,
        sent: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        let Some((pace, authenticated)) = &mut self.unread else { return sent };
        match &sent {
            Poll::Ready(Ok(sent)) => pace.note(bytes(sent)),
            Poll::Pending if !authenticated.is_set() && pace.poll_too_long(context).is_ready() => {
                // Otherwise the system would keep the unread data for them.
                self.reset.set();
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
        sent
    }
}

impl Drop for CallerStream {
    fn drop(&mut self) {
        if !self.reset.is_set() {
            return;
        }
        let socket = match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        // If this fails, the connection is closed as usual.
        let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
    }
}

impl AsyncRead for CallerStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for CallerStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        this.paced(context, sent, |count| *count)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
        };
        this.paced(context, sent, |count| *count)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let sent = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        };
        this.paced(context, sent, |()| 0)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let sent = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        };
        this.paced(context, sent, |()| 0)
    }
}
