//! Making a connection to the server behind.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::wire::Wire;
use crate::address::{Origin, Scheme};

/// For all of it: the name, the connection, the handshake.
const LIMIT: Duration = Duration::from_secs(10);
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
    pub async fn connect(&self, origin: &Origin) -> io::Result<Wire> {
        let connect = async {
            let host = origin.host();
            let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let stream = TcpStream::connect((name, origin.port())).await?;
            stream.set_nodelay(true)?;
            // An answer may take as long as it likes. Whether there is still somebody who prepares it is for the system to ask.
            let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
            SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
            let tls = match (origin.scheme(), &self.tls) {
                (Scheme::Http, _) => return Ok(Wire::Plain(stream)),
                (Scheme::Https, Some(tls)) => tls,
                (Scheme::Https, None) => return Err(io::ErrorKind::Unsupported.into()),
            };
            let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
            Ok(Wire::Tls(Box::new(tls.connect(name, stream).await?)))
        };
        tokio::time::timeout(LIMIT, connect).await?
    }
}
