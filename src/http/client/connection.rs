//! A connection to a server, with or without TLS. All connections of a thread are read through one buffer: a stream that waits for its
//! next token holds none of its own.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(feature = "gateway")]
use tokio_rustls::client::TlsStream;

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
