//! Making a connection to the upstream server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use crate::address::{Origin, Scheme};

/// For all of it: the name, the connection, the handshake.
const LIMIT: Duration = Duration::from_secs(10);
/// How long an address is tried before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);
/// A server that vanished without a word is noticed after about two minutes.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Makes connections.
#[derive(Clone)]
pub struct Connector {
    tls: Option<TlsConnector>,
}

impl Connector {
    /// `tls` says that the server is spoken to by https.
    ///
    /// # Errors
    /// When the system's certificate authorities cannot be used.
    pub fn new(tls: bool) -> Result<Self, rustls::Error> {
        if !tls {
            return Ok(Self { tls: None });
        }
        let mut config = ClientConfig::builder().try_with_platform_verifier()?.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Some(Arc::new(config).into()) })
    }

    /// Connects.
    ///
    /// # Errors
    /// What the system or TLS says, or that it took longer than 10 s.
    pub async fn connect(&self, origin: &Origin) -> io::Result<Connection> {
        let connect = async {
            let host = origin.host();
            let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let stream = dial(tokio::net::lookup_host((name, origin.port())).await?).await?;
            stream.set_nodelay(true)?;
            // An answer may take as long as it likes. Whether there is still somebody who prepares it is for the system to ask.
            let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
            SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
            let tls = match (origin.scheme(), &self.tls) {
                (Scheme::Http, _) => return Ok(Connection::Plain(stream)),
                (Scheme::Https, Some(tls)) => tls,
                (Scheme::Https, None) => return Err(io::ErrorKind::Unsupported.into()),
            };
            let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
            Ok(Connection::Tls(Box::new(tls.connect(name, stream).await?)))
        };
        tokio::time::timeout(LIMIT, connect).await?
    }
}

/// Connects to whichever of the addresses takes it first. One that says nothing, such as that of an IPv6 that leads nowhere, does not use up
/// the time of the others.
async fn dial(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut addresses = addresses.fuse();
    let mut attempts = JoinSet::new();
    let mut problem = io::Error::from(io::ErrorKind::NotFound);
    loop {
        let waits = match addresses.next() {
            Some(address) => {
                attempts.spawn(TcpStream::connect(address));
                HEAD_START
            }
            None => LIMIT,
        };
        match tokio::time::timeout(waits, attempts.join_next()).await {
            // It is the next one's turn.
            Err(_) => {}
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => problem = error,
            Ok(Some(Err(error))) => problem = error.into(),
            Ok(None) => return Err(problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use socket2::{Domain, Socket, Type};

    use super::*;

    #[tokio::test]
    async fn an_address_that_says_nothing_does_not_hold_up_the_others() {
        // Its queue is full, so that the system does not answer those who come.
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        silent.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        silent.listen(0).unwrap();
        let nowhere = silent.local_addr().unwrap().as_socket().unwrap();
        let connect = || std::net::TcpStream::connect_timeout(&nowhere, HEAD_START);
        let queued: Vec<_> = std::iter::repeat_with(connect).take_while(Result::is_ok).take(50).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let within = LIMIT / 2;
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
