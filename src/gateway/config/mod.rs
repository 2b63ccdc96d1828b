//! The gateway's settings, read in layers: defaults, then the file, then the environment, then flags.
//!
//! [`load`] opens no file and reads no variable: their content is passed in, so it can be called again at any time.

mod addresses;
mod audit_sinks;
mod caps;
mod environments;
mod error;
mod groups;
mod layers;
mod limits;
mod model_limits;
mod providers;
mod roles;
mod settings;
mod table_examples;
#[cfg(test)]
mod tests;
mod value;
mod workloads;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

pub use self::error::{ConfigError, Source};
pub use self::layers::{ConfigFile, FILE_VARIABLE, Flag, Inputs};
pub use self::settings::{Config, SETTINGS, TlsFiles, commented_file};
use crate::address::{BaseUrl, Scheme};
use crate::gateway::audit::SinkTarget;
use crate::gateway::policy_tables::PolicyTables;
use crate::gateway::store::DatabaseLocation;
use crate::gateway::telemetry::AccessLogTarget;

/// Reads all layers and checks that the settings go together.
///
/// # Errors
/// [`ConfigError`] names the first thing that is wrong, and where it is.
pub fn load(inputs: &Inputs) -> Result<Config, ConfigError> {
    let (config, sources) = layers::read(inputs)?;
    check_combination(&config, |name| sources.get(name).cloned().unwrap_or(Source::Default))?;
    Ok(config)
}

/// The settings of the database alone, for commands that do not serve: it does not matter whether the other settings go
/// together. The location (`None`: the default) and the file with its password.
///
/// # Errors
/// As for [`load`], except for settings that do not go together.
pub fn load_database(inputs: &Inputs) -> Result<(Option<DatabaseLocation>, Option<PathBuf>), ConfigError> {
    layers::read(inputs).map(|(config, _)| (config.database, config.database_password_file))
}

/// All settings, for who looks at the tables alone, which depend on no other setting.
///
/// # Errors
/// As for [`load_database`].
pub fn load_tables(inputs: &Inputs) -> Result<Config, ConfigError> {
    layers::read(inputs).map(|(config, _)| config)
}

/// The roles and groups alone, for the same commands.
///
/// # Errors
/// As for [`load_database`].
pub fn load_policy_tables(inputs: &Inputs) -> Result<PolicyTables, ConfigError> {
    layers::read(inputs).map(|(config, _)| config.policy_tables())
}

/// The public address alone, for the same commands; `None` without one in the configuration.
///
/// # Errors
/// As for [`load_database`].
pub fn load_public_url(inputs: &Inputs) -> Result<Option<BaseUrl>, ConfigError> {
    layers::read(inputs).map(|(config, _)| config.public_url)
}

/// Checks settings that depend on each other.
fn check_combination(config: &Config, source: impl Fn(&str) -> Source) -> Result<(), ConfigError> {
    let half = |given, missing| Err(ConfigError::HalfTls { at: source(given), given, missing });
    match (&config.tls_cert, &config.tls_key) {
        (Some(_), None) => return half("tls-cert", "tls-key"),
        (None, Some(_)) => return half("tls-key", "tls-cert"),
        _ => {}
    }
    let is_tls = config.tls().is_some();
    let more = config.environments.all().flat_map(|rules| &rules.listen).map(|listen| (*listen, "environments"));
    let mut all = [(config.listen, "listen")].into_iter().chain(more);
    let beyond_loopback = all.find(|(listen, _)| !listen.ip().to_canonical().is_loopback());
    if let Some((listen, setting)) = beyond_loopback
        && !is_tls
        && !config.behind_tls_proxy
    {
        return Err(ConfigError::PlainBeyondLoopback { at: source(setting), listen: listen.to_string() });
    }
    match (&config.public_url, beyond_loopback) {
        (None, Some((listen, setting))) => {
            return Err(ConfigError::NoPublicUrl { at: source(setting), listen: listen.to_string() });
        }
        (Some(url), _) if url.scheme() == Scheme::Http => {
            let reason = if config.behind_tls_proxy {
                Some("behind-tls-proxy says that a proxy in front serves https")
            } else if is_tls {
                Some("tls-cert makes the gateway serve https")
            } else if !url.is_loopback() {
                Some("callers on other machines would send their credentials unencrypted")
            } else {
                None
            };
            if let Some(reason) = reason {
                return Err(ConfigError::PlainPublicUrl { at: source("public-url"), url: url.to_string(), reason });
            }
        }
        _ => {}
    }
    if let Some(listen) = config.metrics_listen
        && !listen.ip().to_canonical().is_loopback()
        && config.metrics_token_file.is_none()
    {
        return Err(ConfigError::OpenMetrics { at: source("metrics-listen"), listen });
    }
    if let Some(AccessLogTarget::File(log)) = &config.access_log
        && let Some(sink) = config.audit_sinks.iter().find(|sink| sink.target == SinkTarget::File(log.clone()))
    {
        let problem = format!("access-log is the file of the audit-sink {}", sink.name);
        let hint = "Give each a file of its own.";
        return Err(ConfigError::Policy { at: source("access-log"), problem, hint });
    }
    if let Some(role) = config.caps.roles().find(|role| !config.roles.is_defined(role)) {
        return Err(ConfigError::UnknownRole { at: source("caps"), role: role.to_string(), by: "caps" });
    }
    environments::check(config, &source)?;
    providers::check(config, &source)?;
    if config.jwks_grace <= config.jwks_min_interval {
        let problem = "jwks-grace must be longer than jwks-min-interval".to_owned();
        let hint = "Otherwise no keys are known between two readings.";
        return Err(ConfigError::Policy { at: source("jwks-grace"), problem, hint });
    }
    workloads::check(&config.workloads, &config.environments, source("workload"))?;
    let own = match is_own_address(&config.upstream, config.listen) {
        true => Some("listen"),
        false
            if config
                .environments
                .all()
                .flat_map(|rules| &rules.listen)
                .any(|listen| is_own_address(&config.upstream, *listen)) =>
        {
            Some("environments")
        }
        false => (config.public_url.as_ref() == Some(&config.upstream)).then_some("public-url"),
    };
    if let Some(own) = own {
        let at = match source("upstream") {
            // Then the other one has to change.
            Source::Default => source(own),
            given => given,
        };
        return Err(ConfigError::Loop { at, upstream: config.upstream.to_string() });
    }
    Ok(())
}

/// Whether a request to that address would come back to the gateway. A name other than `localhost` is not resolved.
fn is_own_address(upstream: &BaseUrl, listen: SocketAddr) -> bool {
    let host = upstream.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let own = listen.ip().to_canonical();
    let same = match bare.parse::<IpAddr>() {
        Ok(address) => address == own || own.is_unspecified() && address.is_loopback(),
        Err(_) => upstream.is_loopback() && (own.is_loopback() || own.is_unspecified()),
    };
    same && upstream.port() == listen.port()
}
