//! The environment: variables that decide which host and credential are used, proxies, and certificate authorities.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::Snapshot;
use super::report::{Finding, Group, Level};
use crate::address::Scheme;
use crate::commands::context::{Context, unused_file_note, withheld_note};
use crate::commands::workload_token;
use crate::exit::Problem;
use crate::keyspec::ApiKey;
use crate::profile::{CredentialSource, Profile};

/// Checks the variables that decide which host and credential are used.
pub fn check_variables(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Err(error) = snapshot.app.wanted_store() {
        let Problem { message, hint, .. } = Problem::from_error(&error);
        found.push(Finding::new(Level::Error, Group::Environment, "store-variable", message).remedies(hint));
    }
    match &snapshot.decisions {
        Err(problem) => {
            let finding = Finding::new(Level::Error, Group::Environment, "decision", &problem.message)
                .why("commands need it to choose a host and a credential");
            found.push(finding.remedies(problem.hint.clone()));
        }
        Ok(contexts) => {
            found.extend(mistyped_key_finding(snapshot));
            // The three decisions are often the same.
            for finding in contexts.iter().flat_map(|context| {
                let token = token_finding(snapshot, context);
                credentials_file_finding(snapshot, context).into_iter().chain(api_key_finding(context)).chain(token)
            }) {
                if !found.contains(&finding) {
                    found.push(finding);
                }
            }
        }
    }
    found
}

/// A gateway key contains a checksum, so a typing error is detected here.
fn mistyped_key_finding(snapshot: &Snapshot<'_>) -> Option<Finding> {
    let key = snapshot.app.env.api_key.as_ref()?.expose_secret();
    let error = ApiKey::parse(key).err().filter(|_| key.starts_with(ApiKey::PREFIX))?;
    let what = format!("OLLAMA_API_KEY looks like a gateway key, but is not valid: {error}");
    let finding =
        Finding::new(Level::Error, Group::Environment, "api-key-mistyped", what).why("no host will accept it");
    Some(finding.remedy("copy the whole key again from where you saved it"))
}

fn credentials_file_finding(snapshot: &Snapshot<'_>, context: &Context) -> Option<Finding> {
    let file = snapshot.app.credentials.as_ref()?;
    if let Some(other) = &context.unused_file {
        let what = unused_file_note(other, context.url());
        let finding = Finding::new(Level::Note, Group::Environment, "credentials-file-unused", what);
        return Some(finding.why("a credential is sent only to its own host"));
    }
    if context.source != CredentialSource::File {
        return None;
    }
    let (url, path) = (context.url(), file.path().display());
    let stored = context.profile.as_ref().is_some_and(Profile::has_credential);
    if file.is_named_by_flag() || !stored {
        let what = format!("the key in the credentials file {path} is used at {url}");
        return Some(Finding::new(Level::Ok, Group::Environment, "credentials-file", what));
    }
    let profile = &context.target.profile;
    let what = format!(
        "the key in the credentials file {path} is used at {url} instead of the credential of the profile {profile:?}"
    );
    let finding = Finding::new(Level::Warning, Group::Environment, "credentials-file-wins", what)
        .why("the file takes precedence over the profile");
    Some(finding.remedy("unset OLLAMA_AUTH_CREDENTIALS to use the profile"))
}

fn api_key_finding(context: &Context) -> Option<Finding> {
    if let Some(withheld) = context.withheld {
        let finding =
            Finding::new(Level::Warning, Group::Environment, "api-key-unused", withheld_note(withheld, context.url()));
        return Some(finding.why("a credential is sent only to its own host"));
    }
    let stored = context.profile.as_ref().is_some_and(Profile::has_credential);
    if context.source != CredentialSource::Environment {
        return None;
    }
    let url = context.url();
    if !stored {
        let what = format!("OLLAMA_API_KEY is used at {url}");
        return Some(Finding::new(Level::Ok, Group::Environment, "api-key", what));
    }
    let what = format!(
        "OLLAMA_API_KEY is used at {url} instead of the credential of the profile {:?}",
        context.target.profile
    );
    let finding = Finding::new(Level::Warning, Group::Environment, "api-key-wins", what)
        .why("the variable takes precedence over the profile");
    Some(finding.remedy("unset OLLAMA_API_KEY to use the profile"))
}

/// An OIDC token: the one that is used, or why one that is there is not.
fn token_finding(snapshot: &Snapshot<'_>, context: &Context) -> Option<Finding> {
    let url = context.url();
    if let CredentialSource::Token(origin) = context.source {
        let what = format!("{} is used at {url}", origin.describe());
        return Some(Finding::new(Level::Ok, Group::Environment, "token", what));
    }
    if context.source != CredentialSource::None {
        return None;
    }
    let unused = workload_token::unused_note(snapshot.app, &context.target)?;
    let finding = Finding::new(Level::Warning, Group::Environment, "token-unused", unused);
    Some(finding.why("a token is sent only to a host that you name and that it is for"))
}

/// Checks the proxy variables.
pub fn check_proxies(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    let network = &snapshot.app.env.network;
    if network.proxies.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<Finding> = network.proxies.iter().map(|(name, value)| proxy_finding(name, value)).collect();
    if !network.no_proxy.as_deref().is_some_and(exempts_loopback) {
        let what = "NO_PROXY does not exclude this machine (localhost, 127.0.0.1)";
        let finding = Finding::new(Level::Note, Group::Network, "no-proxy", what)
            .why("ollama-auth never uses a proxy for this machine, but curl and Ollama's Python library do");
        found.push(finding.remedy("export NO_PROXY=localhost,127.0.0.1,::1"));
    }
    found
}

/// The value is never shown in full: it may contain a password.
fn proxy_finding(name: &'static str, value: &SecretString) -> Finding {
    let value = value.expose_secret();
    let url = if value.contains("://") { Url::parse(value) } else { Url::parse(&format!("http://{value}")) };
    let Some(url) = url.ok().filter(Url::has_host) else {
        return Finding::new(
            Level::Warning,
            Group::Network,
            "proxy-unreadable",
            format!("{name} is not a proxy address"),
        )
        .why("it is ignored, so requests go out directly or fail")
        .remedy(format!("write it as http://host:port, or unset {name}"));
    };
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let shown = format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default());
    if url.password().is_some() || !url.username().is_empty() {
        return Finding::new(
            Level::Warning,
            Group::Network,
            "proxy-credential",
            format!("{name} ({shown}) contains a user name or password"),
        )
        .why("every program that you start can read it, and many print it in error messages")
        .remedy("use a local proxy that reads the password from a file");
    }
    let which = match name.to_ascii_lowercase().as_str() {
        "https_proxy" => "https hosts",
        "http_proxy" => "http hosts",
        _ => "all other hosts",
    };
    Finding::new(Level::Ok, Group::Network, "proxy", format!("{which} are reached through {shown} ({name})"))
}

fn exempts_loopback(list: &str) -> bool {
    let mut names = list.split(',').map(str::trim);
    names.any(|name| matches!(name, "*" | "localhost" | "127.0.0.1" | "127.0.0.0/8"))
}

/// Checks the certificate authorities.
pub fn check_authorities(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    let network = &snapshot.app.env.network;
    let mut found = Vec::new();
    if let Some(reason) = network.ssl_cert_file.as_deref().and_then(certificate_file_problem) {
        let finding = Finding::new(Level::Error, Group::Network, "ssl-cert-file", format!("SSL_CERT_FILE {reason}"))
            .why("it replaces the system's certificate authorities, so no certificate can be verified");
        // Building a client would try to read it too.
        return vec![finding.remedy("set it to a PEM file of certificates, or: unset SSL_CERT_FILE")];
    }
    if let Some(folder) = network.ssl_cert_dir.as_ref().filter(|folder| !folder.is_dir()) {
        let what = format!("SSL_CERT_DIR is {}, which is not a folder", folder.display());
        let finding = Finding::new(Level::Warning, Group::Network, "ssl-cert-dir", what);
        found.push(finding.remedy("set it to a folder of certificates, or: unset SSL_CERT_DIR"));
    }
    // Building a client reads them all, as a request would.
    match snapshot.app.transport.load_authorities() {
        Ok(()) if found.is_empty() => {
            found.push(Finding::new(Level::Ok, Group::Network, "authorities", "certificate authorities are installed"));
        }
        Ok(()) => {}
        Err(error) => {
            let problem = crate::exit::Problem::from_error(&error.into());
            let needed = snapshot.profile_entries().next().is_none()
                || snapshot.profile_entries().any(|(_, profile)| profile.url.scheme() == Scheme::Https);
            let level = if needed { Level::Error } else { Level::Warning };
            let finding =
                Finding::new(level, Group::Network, "authorities", problem.message).why("no https host can be reached");
            found.push(finding.remedies(problem.hint));
        }
    }
    found
}

/// Why a certificate file cannot be used.
fn certificate_file_problem(path: &Path) -> Option<String> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| Some(format!("is {shown}, which cannot be read: {error}"));
    match std::fs::metadata(path) {
        Err(error) => return unreadable(error),
        // Reading a pipe would block, and a device may never end.
        Ok(found) if !found.is_file() => return Some(format!("is {shown}, which is not a regular file")),
        Ok(_) => {}
    }
    match std::fs::read(path) {
        Err(error) => unreadable(error),
        Ok(bytes) if !bytes.windows(PEM_BEGIN.len()).any(|part| part == PEM_BEGIN) => {
            Some(format!("is {shown}, which contains no PEM certificate"))
        }
        Ok(_) => None,
    }
}

const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_without_its_password() {
        for (value, level, shown) in [
            ("http://proxy.example:3128", Level::Ok, "http://proxy.example:3128"),
            ("proxy.example:3128", Level::Ok, "http://proxy.example:3128"),
            ("http://me:hunter2@proxy.example:3128", Level::Warning, "http://proxy.example:3128"),
            ("me:hunter2@proxy.example", Level::Warning, "http://proxy.example"),
            ("http://", Level::Warning, "is not a proxy address"),
            ("hunter2 hunter2", Level::Warning, "is not a proxy address"),
        ] {
            let finding = proxy_finding("HTTPS_PROXY", &value.into());
            assert_eq!(finding.level, level, "{value}");
            let text = format!("{finding:?}");
            assert!(finding.what.contains(shown) && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn this_machine_is_excepted_by_name_or_number() {
        assert!(exempts_loopback("a.example, localhost") && exempts_loopback("*") && exempts_loopback("127.0.0.1"));
        assert!(!exempts_loopback("") && !exempts_loopback("localhost.example,.local"));
    }
}
