//! Requests of a task, at the load balancer or at one gateway, on a connection of their own.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::cluster::HOST;
use crate::harness::gateway::Answer;

/// Longer than a gateway waits for a database that does not answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a request goes.
#[derive(Clone, Debug)]
pub enum Place {
    /// The load balancer.
    Balancer(PathBuf),
    /// A gateway.
    Gateway(String),
}

/// A connection.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Place {
    /// Sends a request; the answer is to be read from what this returns.
    pub async fn send(&self, method: &str, target: &str, auth: &str, body: &str) -> io::Result<Box<dyn Connection>> {
        let mut connection: Box<dyn Connection> = match self {
            Self::Balancer(socket) => Box::new(UnixStream::connect(socket).await?),
            Self::Gateway(address) => Box::new(TcpStream::connect(address).await?),
        };
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nAuthorization: {auth}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(request.as_bytes()).await?;
        Ok(connection)
    }

    /// The whole answer; `None` where it broke off or there was none.
    pub async fn ask(&self, method: &str, target: &str, auth: &str, body: &str) -> Option<Answer> {
        let whole = async {
            let mut bytes = Vec::new();
            self.send(method, target, auth, body).await?.read_to_end(&mut bytes).await?;
            io::Result::Ok(bytes)
        };
        let bytes = timeout(PATIENCE, whole).await.expect("an answer or an end").ok()?;
        Answer::parse(&bytes).ok()
    }
}

/// How a credential is sent.
pub fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

/// The path of an API key with that id.
pub fn path_of(id: &str) -> String {
    use base64::Engine as _;
    format!("/api/user/keys/{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id))
}
