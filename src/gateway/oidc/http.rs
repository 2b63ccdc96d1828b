//! Requests to issuers: bounded in time and size, and never led elsewhere by a redirect.
//!
//! Each thread that serves has a runtime of its own, and a connection belongs to the one it was made on: so requests run on the
//! runtime of the gateway itself.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};
use thiserror::Error;
use tokio::runtime::Handle;

use super::issuer_url::endpoint;
use crate::os_error::without_codes;

/// For one request and its whole response.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest response, in bytes.
pub const LARGEST: usize = 256 * 1024;

/// Sends requests to one issuer. Clones share its connections.
#[derive(Clone)]
pub struct Http {
    ca_file: Option<PathBuf>,
    runtime: Handle,
    clients: Arc<Mutex<Clients>>,
}

#[derive(Default)]
struct Clients {
    https: Option<Client>,
    /// Plain http stays on this machine: no proxy is in between.
    plain: Option<Client>,
}

/// Why a request to an issuer failed, without what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HttpError {
    /// The address must not be asked.
    #[error("{0}")]
    Address(String),
    /// The certificate authorities cannot be used.
    #[error("the certificate authorities cannot be read: {0}")]
    Authorities(String),
    /// No response.
    #[error("{host} does not answer: {reason}")]
    Unreachable {
        /// The host name.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// It took longer than 10 seconds.
    #[error("{0} does not answer within 10 seconds")]
    Slow(String),
    /// The response is larger than 256 KiB.
    #[error("the response of {0} is larger than 256 KiB")]
    TooLarge(String),
    /// It wants the request to go elsewhere.
    #[error("{host} redirects ({status}), which is not followed")]
    Redirect {
        /// The host name.
        host: String,
        /// The status.
        status: u16,
    },
    /// The gateway ends.
    #[error("the gateway is stopping")]
    Ending,
}

impl Http {
    /// For one issuer. Trusts the authorities in that PEM file besides the system's.
    pub fn new(ca_file: Option<PathBuf>, runtime: Handle) -> Self {
        Self { ca_file, runtime, clients: Arc::default() }
    }

    /// Reads the authorities again for the next request.
    pub fn reload(&self) {
        *self.clients.lock().unwrap_or_else(PoisonError::into_inner) = Clients::default();
    }

    /// Sends a request, and reads the response in full, whatever its status is.
    ///
    /// # Errors
    /// [`HttpError`]; among others for a redirect.
    pub async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, HttpError> {
        let this = self.clone();
        let sent = self.runtime.spawn(async move { this.send_here(request).await });
        sent.await.map_err(|_| HttpError::Ending)?
    }

    async fn send_here(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, HttpError> {
        let url = endpoint(&request.uri().to_string()).map_err(|error| HttpError::Address(error.to_string()))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let client = self.client(url.scheme() == "http")?;
        let failed = |error: reqwest::Error| match error.is_timeout() {
            true => HttpError::Slow(host.clone()),
            false => HttpError::Unreachable { host: host.clone(), reason: innermost(&error) },
        };
        let request = reqwest::Request::try_from(request).map_err(failed)?;
        let mut response = client.execute(request).await.map_err(failed)?;
        if response.status().is_redirection() {
            return Err(HttpError::Redirect { host, status: response.status().as_u16() });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > LARGEST {
                return Err(HttpError::TooLarge(host));
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = http::Response::new(body);
        (*answer.status_mut(), *answer.headers_mut()) = (response.status(), std::mem::take(response.headers_mut()));
        Ok(answer)
    }

    /// Built for the first request: that takes milliseconds, and fails where the system has no authorities.
    fn client(&self, is_plain: bool) -> Result<Client, HttpError> {
        let mut kept = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = if is_plain { &mut kept.plain } else { &mut kept.https };
        if let Some(client) = kept {
            return Ok(client.clone());
        }
        let mut builder = Client::builder()
            .user_agent(concat!("ollama-auth/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false);
        if is_plain {
            builder = builder.no_proxy();
        }
        if let Some(path) = &self.ca_file {
            builder = builder.tls_certs_merge(authorities(path)?);
        }
        let client = builder.build().map_err(|error| HttpError::Authorities(innermost(&error)))?;
        Ok(kept.insert(client).clone())
    }
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, HttpError> {
    let problem = |reason: &str| HttpError::Authorities(format!("{}: {reason}", path.display()));
    let pem = std::fs::read(path).map_err(|error| problem(&error.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| problem(&innermost(&error)))?;
    match certificates.is_empty() {
        true => Err(problem("it holds no certificate in PEM form")),
        false => Ok(certificates),
    }
}

/// The cause of all causes: the others name the URL, and with it perhaps a parameter.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    without_codes(&error.to_string())
}
