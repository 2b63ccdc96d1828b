//! The listener's certificate.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use super::config::TlsFiles;

/// Why a certificate cannot be used; holds the file and the reason.
#[derive(Debug, Error)]
#[error("{file}: {reason}")]
pub struct TlsError {
    file: String,
    reason: String,
}

/// Reads certificate chain and key. Only HTTP/1.1 is offered.
///
/// # Errors
/// [`TlsError`] for files that cannot be read, hold nothing of use, or do not belong together.
pub fn server_config(files: TlsFiles<'_>) -> Result<Arc<ServerConfig>, TlsError> {
    let problem = |file: &Path, reason: String| TlsError { file: file.display().to_string(), reason };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(files.cert)
        .and_then(Iterator::collect)
        .map_err(|error| problem(files.cert, said(error)))?;
    if chain.is_empty() {
        return Err(problem(files.cert, "it holds no certificate in PEM form".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(files.key).map_err(|error| match error {
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
    Ok(Arc::new(config))
}

fn said(error: PemError) -> String {
    match error {
        PemError::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}
