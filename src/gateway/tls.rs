//! The certificate and the key that the gateway serves https with.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use zeroize::Zeroizing;

use crate::disk::shell_quoted;
use crate::gateway::config::TlsFiles;

/// Why a certificate or its key cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// It cannot be read, holds nothing of use, or does not belong to the other file.
    #[error("{}: {reason}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// The cause.
        reason: String,
    },
    /// Every account of the machine has access to the key.
    #[error("{}: every account on this machine can read or change this private key (mode {mode:04o})", file.display())]
    Exposed {
        /// The file.
        file: PathBuf,
        /// The permission bits of the file.
        mode: u32,
    },
}

impl TlsError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Exposed { file, .. } => Some(format!("run: chmod o= {}", shell_quoted(file))),
            Self::Unusable { .. } => None,
        }
    }
}

/// A certificate with its key, ready to serve with.
#[derive(Clone)]
pub struct TlsIdentity {
    /// Only HTTP/1.1 is offered.
    pub config: Arc<ServerConfig>,
    /// When the certificate expires, in Unix seconds; `None` if that cannot be read.
    pub not_after: Option<i64>,
}

/// Reads certificate chain and key.
///
/// # Errors
/// [`TlsError`].
pub fn load(files: TlsFiles<'_>) -> Result<TlsIdentity, TlsError> {
    let problem = |file: &Path, reason: String| TlsError::Unusable { file: file.to_owned(), reason };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(files.cert)
        .and_then(Iterator::collect)
        .map_err(|error| problem(files.cert, said(error)))?;
    if chain.is_empty() {
        return Err(problem(files.cert, "it holds no certificate in PEM form".to_owned()));
    }
    let not_after = chain.first().and_then(expiry);
    let pem = read_key(files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        PemError::NoItemsFound => problem(files.key, "it holds no private key in PEM form".to_owned()),
        error => problem(files.key, said(error)),
    })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let reason = format!("it does not belong to the certificate in {}", files.cert.display());
                problem(files.key, reason)
            }
            error => problem(files.cert, error.to_string()),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsIdentity { config: Arc::new(config), not_after })
}

/// When a certificate expires, in Unix seconds.
fn expiry(certificate: &CertificateDer<'_>) -> Option<i64> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let not_after = certificate.tbs_certificate().validity().not_after;
    i64::try_from(not_after.to_unix_duration().as_secs()).ok()
}

/// Reads a private key, unless every account may: a key is read by a service account, often through a group of its own (as
/// `ssl-cert` of Debian), or a link (as certbot's), and both are fine.
fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let problem = |error: io::Error| TlsError::Unusable { file: path.to_owned(), reason: error.to_string() };
    let mut file = File::open(path).map_err(problem)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let mode = file.metadata().map_err(problem)?.mode() & 0o777;
        if mode & 0o006 != 0 {
            return Err(TlsError::Exposed { file: path.to_owned(), mode });
        }
    }
    let mut pem = Zeroizing::new(Vec::new());
    file.read_to_end(&mut pem).map_err(problem)?;
    Ok(pem)
}

fn said(error: PemError) -> String {
    match error {
        PemError::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}
