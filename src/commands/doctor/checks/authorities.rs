//! Certificate authorities: those of the system, `SSL_CERT_FILE`, `SSL_CERT_DIR`, `--ca-cert`.

use std::path::Path;

use super::super::finding::{Finding, Group, Level};
use super::super::view::View;
use crate::address::{BaseUrl, Scheme};

const GROUP: Group = Group::Network;

/// See the module.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let network = &view.app.env.network;
    let mut found = Vec::new();
    if let Some(reason) = network.ssl_cert_file.as_deref().and_then(unusable_file) {
        let finding = Finding::new(Level::Error, GROUP, "ssl-cert-file", format!("SSL_CERT_FILE {reason}"))
            .why("it takes the place of the system's authorities, so no certificate can be checked");
        // Building a client would try to read it too.
        return vec![finding.remedy("name the right file, or: unset SSL_CERT_FILE")];
    }
    if let Some(folder) = network.ssl_cert_dir.as_ref().filter(|folder| !folder.is_dir()) {
        let what = format!("SSL_CERT_DIR names {}, which is no folder", folder.display());
        let finding = Finding::new(Level::Warning, GROUP, "ssl-cert-dir", what);
        found.push(finding.remedy("name the right folder, or: unset SSL_CERT_DIR"));
    }
    // Building a client reads them all, as a request would.
    match view.app.transport.client(&BaseUrl::ollama_com()) {
        Ok(_) if found.is_empty() => {
            found.push(Finding::new(
                Level::Ok,
                GROUP,
                "authorities",
                "there are certificate authorities to check hosts with",
            ));
        }
        Ok(_) => {}
        Err(error) => {
            let problem = crate::exit::Problem::of(&error.into());
            let needed =
                view.each().next().is_none() || view.each().any(|(_, profile)| profile.url.scheme() == Scheme::Https);
            let level = if needed { Level::Error } else { Level::Warning };
            let finding =
                Finding::new(level, GROUP, "authorities", problem.message).why("no https host can be reached");
            found.push(finding.remedies(problem.hint));
        }
    }
    found
}

/// Why a file of certificates cannot be one.
fn unusable_file(path: &Path) -> Option<String> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| Some(format!("names {shown}, which cannot be read: {error}"));
    match std::fs::metadata(path) {
        Err(error) => return unreadable(error),
        // A pipe would be waited for, and a device may never end.
        Ok(found) if !found.is_file() => return Some(format!("names {shown}, which is no regular file")),
        Ok(_) => {}
    }
    match std::fs::read(path) {
        Err(error) => unreadable(error),
        Ok(bytes) if !bytes.windows(BEGIN.len()).any(|part| part == BEGIN) => {
            Some(format!("names {shown}, which holds no certificate in PEM form"))
        }
        Ok(_) => None,
    }
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
