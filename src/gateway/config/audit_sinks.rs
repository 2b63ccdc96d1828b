//! The sinks of the event log: each `[[audit-sink]]` is one.

use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer, Error as _};

use super::value::path;
use crate::gateway::audit::{SinkSettings, SinkTarget};
use crate::gateway::policy_name::PolicyName;

/// Sinks that a configuration may have: each reads the whole log, and has a thread.
const MOST_SINKS: usize = 16;
/// The socket of the syslog service.
const SYSLOG: &str = "/dev/log";

/// A sink as it is written.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table")]
struct Table {
    name: PolicyName,
    #[serde(deserialize_with = "kind")]
    to: Kind,
    #[serde(default, deserialize_with = "path")]
    path: Option<PathBuf>,
}

#[derive(Clone, Copy)]
enum Kind {
    Stdout,
    File,
    Syslog,
}

fn kind<'de, D: Deserializer<'de>>(value: D) -> Result<Kind, D::Error> {
    match String::deserialize(value).as_deref() {
        Ok("stdout") => Ok(Kind::Stdout),
        Ok("file") => Ok(Kind::File),
        Ok("syslog") => Ok(Kind::Syslog),
        _ => Err(D::Error::custom("")),
    }
}

impl Table {
    fn settings(self) -> Result<SinkSettings, String> {
        let Self { name, to, path } = self;
        let target = match (to, path) {
            (Kind::Stdout, None) => SinkTarget::Stdout,
            (Kind::Stdout, Some(_)) => return Err(format!("the sink {name} has a path: standard output has none")),
            (Kind::File, None) => return Err(format!("the sink {name} needs the path of its file")),
            (Kind::File, Some(path)) => SinkTarget::File(path),
            (Kind::Syslog, path) => SinkTarget::Syslog(path.unwrap_or_else(|| PathBuf::from(SYSLOG))),
        };
        Ok(SinkSettings { name, target })
    }
}

/// The sinks of `[[audit-sink]]`.
pub fn sinks<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<SinkSettings>, D::Error> {
    let tables = Vec::<Table>::deserialize(value)?;
    if tables.len() > MOST_SINKS {
        return Err(D::Error::custom(format!("there are more than {MOST_SINKS} sinks")));
    }
    let mut all: Vec<SinkSettings> = Vec::new();
    for table in tables {
        let sink = table.settings().map_err(D::Error::custom)?;
        if let Some(other) = all.iter().find(|other| other.name == sink.name || other.target == sink.target) {
            let what = if other.name == sink.name { "name".to_owned() } else { other.target.to_string() };
            return Err(D::Error::custom(format!("two sinks have the same {what}")));
        }
        all.push(sink);
    }
    Ok(all)
}

/// With other paths of files.
pub fn with_paths(sinks: &[SinkSettings], place: impl Fn(&PathBuf) -> PathBuf) -> Vec<SinkSettings> {
    let target = |target: &SinkTarget| match target {
        SinkTarget::Stdout => SinkTarget::Stdout,
        SinkTarget::File(path) => SinkTarget::File(place(path)),
        SinkTarget::Syslog(path) => SinkTarget::Syslog(place(path)),
    };
    sinks.iter().map(|sink| SinkSettings { name: sink.name, target: target(&sink.target) }).collect()
}

/// What a member of a sink must be, with an example.
pub fn expected(name: &str) -> Option<&'static str> {
    match name.strip_prefix("audit-sink.")? {
        "name" => Some("1 to 32 of a-z, 0-9 and `-`, such as \"siem\""),
        "to" => Some("stdout, file or syslog"),
        "path" => Some("the path of a file, or of the socket of the syslog service"),
        _ => None,
    }
}

/// An example of a sink, as TOML.
pub const EXAMPLE: &str =
    "[[audit-sink]]\nname = \"siem\"\nto = \"file\"\npath = \"/var/log/ollama-auth/events.jsonl\"\n";
