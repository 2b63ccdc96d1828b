//! Opens connections to a server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::pool::Connection;
use crate::address::{Origin, Scheme};

/// For name resolution, connection and handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an address is tried alone before the next one is tried beside it (as in RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);
/// Idle time before TCP probes a server; one that vanished is noticed after about two minutes.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Is asked when a connection is open, before anything is sent on it.
pub type ConnectCheck = std::sync::Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// How names become addresses, and whether TLS is spoken.
#[derive(Clone)]
pub enum Connector {
    /// Connects to this machine only, without TLS: every name resolves to the loopback addresses, and no name server is asked
    /// (RFC 6761, section 6.3).
    Loopback(ConnectCheck),
    /// Connects to the addresses that the system's resolver returns.
    #[cfg(feature = "gateway")]
    System(Option<tokio_rustls::TlsConnector>),
}

impl Connector {
    /// A connector that uses the system's resolver and, with `tls`, the system's certificate authorities.
    ///
    /// # Errors
    /// When the system's certificate authorities cannot be used.
    #[cfg(feature = "gateway")]
    pub fn system(tls: bool) -> Result<Self, rustls::Error> {
        use hyper_rustls::ConfigBuilderExt as _;

        if !tls {
            return Ok(Self::System(None));
        }
        let mut config = rustls::ClientConfig::builder().try_with_platform_verifier()?.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self::System(Some(std::sync::Arc::new(config).into())))
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// What the system or TLS reports; [`io::ErrorKind::TimedOut`] after 10 s.
    pub async fn connect(&self, origin: &Origin) -> io::Result<Connection> {
        let connect = async {
            let host = origin.host();
            let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let stream = match (self, name.parse::<IpAddr>()) {
                (_, Ok(address)) => dial(std::iter::once((address, origin.port()).into())).await?,
                (Self::Loopback(_), Err(_)) => {
                    let both = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
                    dial(both.into_iter().map(|address| (address, origin.port()).into())).await?
                }
                #[cfg(feature = "gateway")]
                (Self::System(_), Err(_)) => dial(tokio::net::lookup_host((name, origin.port())).await?).await?,
            };
            match self {
                Self::Loopback(check) => check()?,
                #[cfg(feature = "gateway")]
                Self::System(_) => {}
            }
            stream.set_nodelay(true)?;
            // A response may take as long as it likes. TCP finds out whether the server is still there.
            let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
            SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
            match (origin.scheme(), self) {
                (Scheme::Http, _) => Ok(Connection::Plain(stream)),
                #[cfg(feature = "gateway")]
                (Scheme::Https, Self::System(Some(tls))) => {
                    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
                    // In a box, so that a connection without TLS has no room for it.
                    Ok(Connection::Tls(Box::new(Box::pin(tls.connect(name, stream)).await?)))
                }
                (Scheme::Https, _) => Err(io::ErrorKind::Unsupported.into()),
            }
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connect).await?
    }
}

/// Connects to the address that accepts first. An address that does not answer, such as an IPv6 address without a route, does not use up
/// the time of the others.
async fn dial(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut addresses = addresses.fuse();
    let mut attempts = JoinSet::new();
    let mut last_error = io::Error::from(io::ErrorKind::NotFound);
    loop {
        let wait = match addresses.next() {
            Some(address) => {
                attempts.spawn(TcpStream::connect(address));
                HEAD_START
            }
            None => CONNECT_TIMEOUT,
        };
        match tokio::time::timeout(wait, attempts.join_next()).await {
            // Time for the next address.
            Err(_) => {}
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => last_error = error,
            Ok(Some(Err(error))) => last_error = error.into(),
            Ok(None) => return Err(last_error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use socket2::{Domain, Socket, Type};

    use super::*;

    #[tokio::test]
    async fn an_address_that_does_not_answer_does_not_delay_the_others() {
        // Its queue is full, so that the system does not answer those who come.
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        silent.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        silent.listen(0).unwrap();
        let nowhere = silent.local_addr().unwrap().as_socket().unwrap();
        let connect = || std::net::TcpStream::connect_timeout(&nowhere, HEAD_START);
        let queued: Vec<_> = std::iter::repeat_with(connect).take_while(Result::is_ok).take(50).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let within = CONNECT_TIMEOUT / 2;
        let stream = tokio::time::timeout(within, dial([nowhere, there].into_iter())).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there);
        drop(queued);
        // Nor does one that refuses.
        let taken = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        taken.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let closed = taken.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(dial([closed, there].into_iter()).await.unwrap().peer_addr().unwrap(), there);
        assert_eq!(dial([closed].into_iter()).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(dial(std::iter::empty()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
