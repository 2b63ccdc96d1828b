//! Puts the layers of settings together: the defaults, then the file, then the environment, then the command line. Each is
//! laid over the ones before it as TOML; serde reads the result.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error as TomlError};

use super::addresses;
use super::audit_sinks;
use super::caps;
use super::environments;
use super::error::{ConfigError, Source, nearest};
use super::limits;
use super::providers;
use super::roles;
use super::settings::{Config, SETTINGS, Setting, find};
use super::value::shown;
use super::workloads;
use super::{groups, model_limits};
use crate::gateway::store::DatabaseLocation;
use crate::gateway::telemetry::AccessLogTarget;

/// How the names of variables begin; then the setting's name with `_` for `-`, in capitals.
pub const VARIABLE_PREFIX: &str = "OLLAMA_AUTH_GATEWAY_";

/// The variable that names the configuration file.
pub const FILE_VARIABLE: &str = "OLLAMA_AUTH_GATEWAY_CONFIG";

/// Everything that was given, layer by layer. It has no `Debug`: the address of a database may hold a password.
#[derive(Clone, Default)]
pub struct Inputs {
    /// The configuration file, if there is one.
    pub file: Option<ConfigFile>,
    /// The variables that begin with [`VARIABLE_PREFIX`], with their whole names. An empty one is ignored.
    pub variables: Vec<(String, OsString)>,
    /// The settings on the command line.
    pub flags: Vec<Flag>,
}

/// A configuration file that was read.
#[derive(Clone)]
pub struct ConfigFile {
    /// Its path: for messages, and for the relative paths in it.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// A setting on the command line.
#[derive(Clone, PartialEq, Eq)]
pub enum Flag {
    /// A flag of its own, such as `--listen`: the setting's name, and the value.
    Own(&'static str, String),
    /// An argument without a flag: how help calls it, the setting's name, and the value.
    Argument(&'static str, &'static str, String),
    /// `--set NAME=VALUE`, unparsed.
    Set(String),
}

/// Where each setting that was given comes from.
pub type Sources = BTreeMap<String, Source>;

/// A setting as a variable or a flag gives it.
struct Given {
    name: String,
    value: String,
    source: Source,
}

/// Reads every layer. Whether the settings go together is not checked.
///
/// # Errors
/// [`ConfigError`] names the first thing that is wrong, and where it is.
pub fn read(inputs: &Inputs) -> Result<(Config, Sources), ConfigError> {
    let (mut table, mut sources) = (defaults(), Sources::new());
    if let Some(file) = &inputs.file {
        let text = file.text()?;
        for (name, value) in file.parse(text)? {
            sources.insert(name.get_ref().to_string(), file.position(text, value.span().start));
            table.remove(&name);
            table.insert(name, value);
        }
        deserialize(table.clone()).map_err(|error| file.invalid(text, &table, &error))?;
    }
    for layer in [variables(&inputs.variables)?, flags(&inputs.flags)?] {
        let mut seen = Sources::new();
        for Given { name, value, source } in layer {
            if let Some(first) = seen.insert(name.clone(), source.clone()) {
                return Err(ConfigError::Twice { at: source, name, first });
            }
            let spanned = Spanned::new(0..0, DeValue::String(value.clone().into()));
            table.insert(Spanned::new(0..0, name.clone().into()), spanned);
            deserialize(table.clone()).map_err(|error| invalid(source.clone(), name, &format!("{value:?}"), &error))?;
        }
        sources.append(&mut seen);
    }
    let mut config = deserialize(table).map_err(|error| invalid(Source::Default, String::new(), "", &error))?;
    // Paths in the file are relative to its folder, so that it does not matter where the gateway is started.
    let database = match &mut config.database {
        Some(DatabaseLocation::File(path)) => Some(path),
        Some(DatabaseLocation::Postgres(_)) | None => None,
    };
    let access_log = match &mut config.access_log {
        Some(AccessLogTarget::File(path)) => Some(path),
        Some(AccessLogTarget::Stdout) | None => None,
    };
    let paths = [
        ("database", database),
        ("database-password-file", config.database_password_file.as_mut()),
        ("secret-file", config.secret_file.as_mut()),
        ("tls-cert", config.tls_cert.as_mut()),
        ("tls-key", config.tls_key.as_mut()),
        ("metrics-token-file", config.metrics_token_file.as_mut()),
        ("access-log", access_log),
        ("audit-key-file", config.audit_key_file.as_mut()),
        ("audit-checkpoint-file", config.audit_checkpoint_file.as_mut()),
    ];
    for (name, path) in paths {
        if let (Some(path), Some(Source::File { path: file, .. })) = (path, sources.get(name)) {
            *path = file.parent().unwrap_or(Path::new("")).join(&*path);
        }
    }
    if let Some(Source::File { path: file, .. }) = sources.get("workload") {
        config.workloads = workloads::within(&config.workloads, file.parent().unwrap_or(Path::new("")));
    }
    // What a rule grants is a role, so that everything that holds for roles holds for it.
    config.roles = config.roles.with(config.workloads.roles());
    if let Some(Source::File { path: file, .. }) = sources.get("oidc") {
        config.oidc = config.oidc.with_paths(|path| file.parent().unwrap_or(Path::new("")).join(path));
    }
    if let Some(Source::File { path: file, .. }) = sources.get("audit-sink") {
        let folder = file.parent().unwrap_or(Path::new(""));
        config.audit_sinks = audit_sinks::with_paths(&config.audit_sinks, |path| folder.join(path));
    }
    // Everybody on the machine can read the arguments of a process.
    if let Some(at @ Source::Flag(_)) = sources.get("database")
        && config.database.as_ref().is_some_and(DatabaseLocation::has_password)
    {
        return Err(ConfigError::PasswordInArgument { at: at.clone() });
    }
    Ok((config, sources))
}

fn defaults() -> DeTable<'static> {
    // Without a place of their own: errors point into the file.
    let unplaced = |value: &'static str| Some(Spanned::new(0..0, DeValue::parse(value).ok()?.into_inner()));
    let default = |name, value| Some((Spanned::new(0..0, name), unplaced(value)?));
    SETTINGS.iter().filter_map(|setting| default(setting.name.into(), setting.default)).collect()
}

fn deserialize(table: DeTable<'_>) -> Result<Config, TomlError> {
    Config::deserialize(Deserializer::from(Spanned::new(0..0, table)))
}

/// What is wrong with a setting. `value` is how it is written.
fn invalid(at: Source, name: String, value: &str, error: &TomlError) -> ConfigError {
    if let Some(words) = error.message().strip_prefix("unknown field ") {
        // serde names the field and then the ones that there are, each between backquotes.
        let mut names = words.split('`').skip(1).step_by(2);
        let name = names.next().unwrap_or_default().to_owned();
        let known: Vec<&str> = names.collect();
        let nearest = nearest(&name, known.iter().copied());
        // The names of a table are fewer.
        let table = (known.len() < SETTINGS.len()).then(|| known.join(", "));
        let is_misplaced = table.is_some() && find(&name).is_some_and(|setting| !setting.is_table());
        return ConfigError::Unknown { at, name, nearest, table, is_misplaced };
    }
    let reason = error.message();
    let problem = match reason {
        "" if name == "database" => String::new(),
        "" => format!(", not {}", shown(value)),
        reason => format!(": {reason}"),
    };
    let member = name.rsplit_once('.').and_then(|(_, member)| limits::expected(member).or(addresses::expected(member)));
    let table = roles::expected(&name)
        .or_else(|| environments::expected(&name))
        .or_else(|| groups::expected(&name))
        .or_else(|| model_limits::expected(&name))
        .or_else(|| caps::expected(&name))
        .or_else(|| workloads::expected(&name))
        .or_else(|| providers::expected(&name))
        .or_else(|| audit_sinks::expected(&name));
    let expected = table.or(member).or(find(&name).map(|setting| setting.expected)).unwrap_or("valid").to_owned();
    ConfigError::Value { at, name, expected, problem }
}

impl ConfigFile {
    fn text(&self) -> Result<&str, ConfigError> {
        std::str::from_utf8(&self.bytes).map_err(|error| {
            let before = String::from_utf8_lossy(&self.bytes[..error.valid_up_to()]);
            ConfigError::NotUtf8(self.position(&before, before.len()))
        })
    }

    fn parse<'a>(&self, text: &'a str) -> Result<DeTable<'a>, ConfigError> {
        DeTable::parse(text).map(Spanned::into_inner).map_err(|error| self.syntax(text, &error))
    }

    /// What is wrong with a value or a name in the file.
    fn invalid(&self, text: &str, table: &DeTable<'_>, error: &TomlError) -> ConfigError {
        let Range { start, end } = error.span().unwrap_or_default();
        let at = self.position(text, start);
        let name = setting_at(table, start).unwrap_or_default();
        match invalid(at, name, text.get(start..end).unwrap_or_default(), error) {
            ConfigError::Unknown { at, name, nearest, table: None, .. }
                if table.get(&*name).is_some_and(|value| value.get_ref().is_table()) =>
            {
                let is_table = |name: &String| find(name).is_some_and(Setting::is_table);
                ConfigError::Table { at, name, nearest: nearest.filter(is_table) }
            }
            error => error,
        }
    }

    fn syntax(&self, text: &str, error: &TomlError) -> ConfigError {
        let Range { start, end } = error.span().unwrap_or(text.len()..text.len());
        let at = self.position(text, start);
        // The parser may point into the middle of a character, or behind the end.
        let start = text.floor_char_boundary(start.min(text.len()));
        let line = text[..start].rfind('\n').map_or(0, |end| end + 1);
        let line = text[line..].lines().next().unwrap_or_default().trim();
        let reason = error.message().lines().next().unwrap_or_default();
        if reason.contains("duplicate key") {
            let name = text.get(start..end).unwrap_or_default().trim().to_owned();
            let earlier = text.lines().position(|line| line.split('=').next().is_some_and(|key| key.trim() == name));
            let first = Source::File { path: self.path.clone(), line: earlier.unwrap_or_default() + 1, column: 1 };
            return ConfigError::Twice { at, name, first };
        }
        let value = line.split_once('=').map(|(_, value)| value.trim_start());
        let hint = match value {
            None if !line.starts_with('[') && !line.is_empty() => Some("Write settings as NAME = VALUE."),
            Some(value) if value.starts_with(|c: char| c.is_alphanumeric() || "./:".contains(c)) => {
                Some("Put text in double quotes.")
            }
            _ => None,
        };
        // A value that may hold a password is cut off.
        let line = if line.contains('@') { line.split('=').next().unwrap_or_default().trim_end() } else { line };
        ConfigError::Syntax { at, reason: reason.to_owned(), line: shown(line), hint }
    }

    /// Line and column of a byte of the text.
    fn position(&self, text: &str, at: usize) -> Source {
        let before = &text[..text.floor_char_boundary(at.min(text.len()))];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Source::File { path: self.path.clone(), line, column }
    }
}

/// The setting whose value holds that byte of the file, with the names of its tables.
fn setting_at(table: &DeTable<'_>, at: usize) -> Option<String> {
    table.iter().find_map(|(name, value)| {
        let within = match value.get_ref() {
            DeValue::Table(inner) => setting_at(inner, at),
            DeValue::Array(items) => items.iter().find_map(|item| setting_at(item.get_ref().as_table()?, at)),
            _ => None,
        };
        let within = within.map(|rest| format!("{}.{rest}", name.get_ref()));
        within.or_else(|| value.span().contains(&at).then(|| name.get_ref().to_string()))
    })
}

fn variables(variables: &[(String, OsString)]) -> Result<Vec<Given>, ConfigError> {
    let mut given = Vec::new();
    for (variable, value) in variables {
        let Some(name) = variable.strip_prefix(VARIABLE_PREFIX) else { continue };
        if variable == FILE_VARIABLE || value.is_empty() || is_made_by_kubernetes(name) {
            continue;
        }
        let source = Source::Variable(variable.clone());
        let value = value.to_str().ok_or_else(|| ConfigError::NotUtf8(source.clone()))?.to_owned();
        given.push(Given { name: name.to_ascii_lowercase().replace('_', "-"), value, source });
    }
    Ok(given)
}

/// A service that is called `ollama-auth-gateway` gives every container beside it variables of such names.
fn is_made_by_kubernetes(name: &str) -> bool {
    let port = |rest: &str| rest.is_empty() || rest.starts_with('_');
    name == "SERVICE_HOST"
        || name.strip_prefix("SERVICE_PORT").is_some_and(port)
        || name.strip_prefix("PORT").is_some_and(port)
}

fn flags(flags: &[Flag]) -> Result<Vec<Given>, ConfigError> {
    let read = |flag: &Flag| match flag {
        Flag::Own(name, value) => {
            Ok(Given { name: (*name).to_owned(), value: value.clone(), source: Source::Flag(format!("--{name}")) })
        }
        Flag::Argument(shown, name, value) => {
            Ok(Given { name: (*name).to_owned(), value: value.clone(), source: Source::Flag((*shown).to_owned()) })
        }
        Flag::Set(text) => {
            let no_value = || ConfigError::NoValue { text: text.chars().take(60).collect() };
            let (name, value) = text.split_once('=').ok_or_else(no_value)?;
            let source = Source::Flag(format!("--set {}", name.trim()));
            Ok(Given { name: name.trim().to_owned(), value: value.to_owned(), source })
        }
    };
    flags.iter().map(read).collect()
}
