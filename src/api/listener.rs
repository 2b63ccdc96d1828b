//! Whom a loopback port belongs to. Any account of this machine can listen on a free port and receive what is meant for a server that
//! is down. Each connection is checked before a request is sent on it: an API key would be stolen, so it is not sent; a signature
//! cannot be used elsewhere, so that there is a warning alone.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tower::{Layer, Service};

use crate::http::listener::{ForeignAccount, foreign_account, foreign_listener};
use crate::http::{BoxError, ConnectCheck};

type Warn = dyn Fn(&str) + Send + Sync;

/// Tells a person what is not an error: a program of another account on a loopback port, a clock that is off.
#[derive(Clone, Default)]
pub struct Warning(Option<Arc<Warn>>);

impl Warning {
    /// Calls `warn` with a sentence without a full stop.
    pub fn new(warn: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(warn)))
    }

    pub(super) fn tell(&self, text: &str) {
        if let Some(warn) = &self.0 {
            warn(text);
        }
    }
}

impl std::fmt::Debug for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Warning")
    }
}

/// The program that listens belongs to another account.
#[derive(Debug, thiserror::Error)]
#[error("the program that listens there belongs to {0}")]
pub(super) struct ForeignListener(ForeignAccount);

/// Whether an error is that a connection was refused, and its message.
pub(super) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    std::iter::successors(Some(error), |error| error.source())
        .find(|error| error.is::<ForeignListener>())
        .map(ToString::to_string)
}

/// What is checked of each connection to a port.
#[derive(Debug, Clone)]
pub(super) struct ListenerCheck {
    /// The port.
    pub port: u16,
    /// The addresses to which the connection can lead.
    pub addresses: Vec<IpAddr>,
    /// The account that it belonged to when a person signed in.
    pub known: Option<u32>,
    /// Refuse to connect, and not only warn.
    pub refuses: bool,
    /// How to warn.
    pub warning: Warning,
    /// Whether there was a warning already.
    pub warned: Arc<AtomicBool>,
}

impl ListenerCheck {
    fn check(&self) -> Result<(), ForeignListener> {
        let found = match self.refuses {
            true => foreign_account(self.port, &self.addresses),
            false => foreign_listener(self.port, &self.addresses),
        };
        let Some(account) = found.filter(|account| self.known != Some(account.id)) else { return Ok(()) };
        if self.refuses {
            return Err(ForeignListener(account));
        }
        if let Some(warn) = self.warning.0.as_ref().filter(|_| !self.warned.swap(true, Ordering::Relaxed)) {
            warn(&format!("the program on port {} belongs to {account}: it sees all that you send", self.port));
        }
        Ok(())
    }

    /// The same for our own client.
    pub(super) fn into_connect_check(self) -> ConnectCheck {
        Arc::new(move || self.check().map_err(std::io::Error::other))
    }
}

/// For reqwest: checks a connection when it is open.
impl<S> Layer<S> for ListenerCheck {
    type Service = CheckedConnector<S>;

    fn layer(&self, inner: S) -> CheckedConnector<S> {
        CheckedConnector { inner, check: self.clone() }
    }
}

/// A connector whose connections are checked.
#[derive(Clone)]
pub(super) struct CheckedConnector<S> {
    inner: S,
    check: ListenerCheck,
}

impl<S, R> Service<R> for CheckedConnector<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (connecting, check) = (self.inner.call(request), self.check.clone());
        Box::pin(async move {
            let connection = connecting.await?;
            check.check()?;
            Ok(connection)
        })
    }
}
