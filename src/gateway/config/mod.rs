//! What can be set, and what it is when nothing is said: defaults, then the file, then the environment, then flags.
//!
//! [`load`] touches no file and no variable: what is found there is handed in, so it can be called again at any time.

mod checks;
mod error;
pub(super) mod file;
mod settings;
mod template;
#[cfg(test)]
mod tests;
mod value;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::address::BaseUrl;

use checks::Places;
pub use error::{ConfigError, Place};
pub use file::ConfigFile;
use settings::{Draft, Given, SETTINGS, Setting};
pub use template::commented_file;
use value::{Value, Wrong};

/// How the names of variables begin; then the setting's name with `_` for `-`, in capitals.
pub const VARIABLE_PREFIX: &str = "OLLAMA_AUTH_GATEWAY_";

/// The variable that names the configuration file.
pub const FILE_VARIABLE: &str = "OLLAMA_AUTH_GATEWAY_CONFIG";

/// Everything that was said, layer by layer. It cannot be printed: a database's address may hold a password.
#[derive(Clone, Default)]
pub struct Inputs {
    /// The configuration file, if there is one.
    pub file: Option<ConfigFile>,
    /// The variables that begin with [`VARIABLE_PREFIX`], with their whole names. An empty one says nothing.
    pub variables: Vec<(String, OsString)>,
    /// What stands on the command line.
    pub flags: Vec<Flag>,
}

/// A setting on the command line.
#[derive(Clone, PartialEq, Eq)]
pub enum Flag {
    /// A flag of its own, such as `--listen`: the setting's name, and the value.
    Own(&'static str, String),
    /// `--set NAME=VALUE`, unparsed.
    Set(String),
}

/// The certificate chain and the key of the listener, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The upstream Ollama server.
    pub upstream: BaseUrl,
    /// Where accounts, devices and keys are kept: `sqlite:PATH` or a path. `None` is the account's own data folder.
    pub database: Option<String>,
    /// Serve https with these.
    pub tls: Option<TlsFiles>,
    /// A proxy in front ends TLS, so listening beyond loopback without it is fine.
    pub behind_tls_proxy: bool,
    /// What callers and browsers call the gateway, with the base path if it has one. `None`: `http(s)://<listen>`.
    pub public_url: Option<BaseUrl>,
    /// More names, as in a `Host` header, that the gateway answers to.
    pub allowed_hosts: Vec<String>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// By how much the `ts` of a signature may differ from our clock, either way. 1 s to 10 min.
    pub clock_tolerance: Duration,
    /// Largest request body in bytes; 0 is no limit.
    pub max_body: u64,
    /// The same for `/api/blobs`.
    pub max_blob: u64,
    /// Largest JSON body in bytes that is read in full, for keys with model patterns.
    pub max_scanned_body: u64,
    /// Connections at a time.
    pub max_connections: usize,
    /// Of these as many for one address; 0 is a quarter of all, but 16 at least.
    pub max_connections_per_address: usize,
    /// How long a request's header may take to arrive, and how long a connection may idle between requests.
    pub header_timeout: Duration,
    /// How long the next 16 KiB of a request's body, or its end, may be waited for.
    pub body_timeout: Duration,
    /// How long streams may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// Threads that serve connections; 0 is one for each processor.
    pub threads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 11435),
            upstream: BaseUrl::local(),
            database: None,
            tls: None,
            behind_tls_proxy: false,
            public_url: None,
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            clock_tolerance: Duration::from_secs(60),
            max_body: 100 * 1024 * 1024,
            max_blob: 0,
            max_scanned_body: 16 * 1024 * 1024,
            max_connections: 10_000,
            max_connections_per_address: 0,
            header_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
            threads: 0,
        }
    }
}

impl Config {
    /// The settings that differ in `new` and that a running gateway cannot change.
    pub fn changes_that_need_a_restart(&self, new: &Self) -> Vec<&'static str> {
        let fixed = SETTINGS.iter().filter(|setting| setting.restart && (setting.show)(self) != (setting.show)(new));
        let mut names: Vec<_> = fixed.map(|setting| setting.name).collect();
        // Other files are only read again; with none at all the listener speaks another protocol.
        if self.tls.is_some() != new.tls.is_some() {
            names.push("tls-cert");
        }
        names
    }
}

/// Puts the layers together: what comes later goes before.
///
/// # Errors
/// [`ConfigError`] names the place of the first thing that is wrong.
pub fn load(inputs: &Inputs) -> Result<Config, ConfigError> {
    let (draft, places) = gather(inputs)?;
    checks::finish(draft, &places)
}

/// The setting `database` alone, by the same layers: for commands that serve nothing, so that it does not matter whether
/// the other settings go together.
///
/// # Errors
/// As for [`load`], but for what is wrong between settings.
pub fn load_database(inputs: &Inputs) -> Result<Option<String>, ConfigError> {
    gather(inputs).map(|(draft, _)| draft.config.database)
}

fn gather(inputs: &Inputs) -> Result<(Draft, Places), ConfigError> {
    let mut draft = Draft::default();
    let mut places = Places::new();
    let file = inputs.file.as_ref().map_or(Ok(Vec::new()), file::read)?;
    for layer in [file, variables(&inputs.variables)?, flags(&inputs.flags)?] {
        let mut seen = Places::new();
        for (name, given) in layer {
            let setting = settings::find(&name)
                .ok_or_else(|| ConfigError::Unknown { place: given.place.clone(), name: name.clone() })?;
            if let Some(first) = seen.insert(setting.name, given.place.clone()) {
                return Err(ConfigError::Twice { place: given.place, name, first });
            }
            if let Err(wrong) = (setting.apply)(&mut draft, &given) {
                return Err(refused(setting, &given, wrong));
            }
            places.insert(setting.name, given.place);
        }
    }
    Ok((draft, places))
}

/// A reason has already repeated what may be repeated; and a database may name a password.
fn refused(setting: &Setting, given: &Given, Wrong(reason): Wrong) -> ConfigError {
    let (place, name) = (given.place.clone(), setting.name);
    match reason {
        Some(reason) => {
            let expected = format!("{}; {reason}", setting.expected);
            ConfigError::Value { place, name, expected, given: String::new() }
        }
        None => {
            let shown = if name == "database" { String::new() } else { given.value.to_string() };
            ConfigError::Value { place, name, expected: setting.expected.to_owned(), given: shown }
        }
    }
}

fn variables(variables: &[(String, OsString)]) -> Result<Vec<(String, Given)>, ConfigError> {
    let mut found = Vec::new();
    for (variable, value) in variables {
        let Some(name) = variable.strip_prefix(VARIABLE_PREFIX) else { continue };
        if variable == FILE_VARIABLE || value.is_empty() || is_made_by_kubernetes(name) {
            continue;
        }
        let place = Place::Variable(variable.clone());
        let name = name.to_ascii_lowercase().replace('_', "-");
        let value = value.to_str().ok_or_else(|| ConfigError::NotUtf8(place.clone()))?;
        found.push((name, Given { value: Value::Text(value.to_owned()), place }));
    }
    Ok(found)
}

/// A service that is called `ollama-auth-gateway` gives every container beside it variables of such names.
fn is_made_by_kubernetes(name: &str) -> bool {
    let port = |rest: &str| rest.is_empty() || rest.starts_with('_');
    name == "SERVICE_HOST"
        || name.strip_prefix("SERVICE_PORT").is_some_and(port)
        || name.strip_prefix("PORT").is_some_and(port)
}

fn flags(flags: &[Flag]) -> Result<Vec<(String, Given)>, ConfigError> {
    let read = |flag: &Flag| match flag {
        Flag::Own(name, value) => {
            let place = Place::Flag(format!("--{name}"));
            Ok(((*name).to_owned(), Given { value: Value::Text(value.clone()), place }))
        }
        Flag::Set(text) => {
            let (name, value) =
                text.split_once('=').ok_or_else(|| ConfigError::NoValue { text: text.chars().take(60).collect() })?;
            let name = name.trim().to_owned();
            let place = Place::Flag(format!("--set {name}"));
            Ok((name, Given { value: Value::Text(value.to_owned()), place }))
        }
    };
    flags.iter().map(read).collect()
}
