//! What can be wrong with the settings, and where: file, line and column, variable or flag.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The configuration file.
    File {
        /// The path of the configuration file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// The number of the character in the line, from 1.
        column: usize,
    },
    /// The environment variable of that name.
    Variable(String),
    /// The command line, such as `--listen` or `--set threads`.
    Flag(String),
    /// The setting was not given: its default applies.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Why the settings cannot be used. No message repeats a value that may hold a credential.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The file is not TOML.
    #[error("{at}: invalid TOML: {reason}{}{line}", if line.is_empty() { "" } else { ", at: " })]
    Syntax {
        /// Where the parser stopped.
        at: Source,
        /// What is wrong.
        reason: String,
        /// The line, as far as it may be shown.
        line: String,
        /// What was probably meant.
        hint: Option<&'static str>,
    },
    /// Bytes that are not text.
    #[error("{0}: not valid UTF-8")]
    NotUtf8(Source),
    /// No setting has this name.
    #[error("{at}: unknown setting {name:?}")]
    Unknown {
        /// The place where it is set.
        at: Source,
        /// The name as given.
        name: String,
        /// The name that was probably meant.
        nearest: Option<String>,
        /// The names of the table that it is in, if it is in one.
        table: Option<String>,
        /// There is such a setting, but outside of this table.
        is_misplaced: bool,
    },
    /// A password on the command line.
    #[error("{at}: the address of the database holds a password, which every account of this machine could read")]
    PasswordInArgument {
        /// The flag.
        at: Source,
    },
    /// `[name]`, which is not a table of settings.
    #[error("{at}: unknown table [{name}]")]
    Table {
        /// The place where it is set.
        at: Source,
        /// The name as given.
        name: String,
        /// The table that was probably meant.
        nearest: Option<String>,
    },
    /// Definitions that contradict each other.
    #[error("{at}: {problem}")]
    Policy {
        /// Where the table of them is.
        at: Source,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// One layer sets it twice.
    #[error("{at}: {name} is set twice (first: {first})")]
    Twice {
        /// Where it is set for the second time.
        at: Source,
        /// The setting.
        name: String,
        /// Where it is set for the first time.
        first: Source,
    },
    /// `--set` without `=`.
    #[error("--set {text:?}: expected NAME=VALUE, such as --set clock-tolerance=30s")]
    NoValue {
        /// The argument of `--set`.
        text: String,
    },
    /// A value of the wrong type or out of range.
    #[error("{at}: {name} must be {expected}{problem}")]
    Value {
        /// The place where it is set.
        at: Source,
        /// The setting.
        name: String,
        /// What it must be, with an example.
        expected: String,
        /// The value that was given, as `, not VALUE`, or what is wrong with it, as `: REASON`.
        problem: String,
    },
    /// Other machines could read the credentials.
    #[error("listen is {listen} ({at}), which other machines can reach, but TLS is not configured")]
    PlainBeyondLoopback {
        /// The place where `listen` is set.
        at: Source,
        /// The address.
        listen: String,
    },
    /// Every machine could read the metrics.
    #[error("metrics-listen is {listen} ({at}), which other machines can reach, but metrics-token-file is not set")]
    OpenMetrics {
        /// The place where it is set.
        at: Source,
        /// The address.
        listen: SocketAddr,
    },
    /// A rule for a role that there is not.
    #[error("{by} ({at}) names the role {role:?}, which is not defined")]
    UnknownRole {
        /// The place where the rules begin.
        at: Source,
        /// The name of the role.
        role: String,
        /// The setting that names it.
        by: &'static str,
    },
    /// Links cannot be built from an address that callers do not use.
    #[error("listen is {listen} ({at}), which other machines can reach, but public-url is not set")]
    NoPublicUrl {
        /// The place where `listen` is set.
        at: Source,
        /// The address.
        listen: String,
    },
    /// One of the two TLS files.
    #[error("{given} is set ({at}), but {missing} is not")]
    HalfTls {
        /// The place where the given one is set.
        at: Source,
        /// The one that is set.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// Callers would send their credentials unencrypted, or to a port that expects TLS.
    #[error("public-url is {url} ({at}), which is plain http, but {reason}")]
    PlainPublicUrl {
        /// The place where it is set.
        at: Source,
        /// The URL.
        url: String,
        /// Why that cannot be.
        reason: &'static str,
    },
    /// The gateway would call itself.
    #[error("upstream is {upstream}, which is this gateway itself ({at})")]
    Loop {
        /// The place of what was set: the upstream server, or the address that is its own.
        at: Source,
        /// The address.
        upstream: String,
    },
}

impl ConfigError {
    /// What to do next, where there is more to say than the message does.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Syntax { hint: Some(hint), .. } => hint,
            Self::Unknown { is_misplaced: true, .. } => "Move it above the first line in brackets, such as [limits].",
            Self::Unknown { nearest: Some(name), .. } => return Some(format!("Did you mean {name:?}?")),
            Self::Unknown { table: Some(names), .. } => return Some(format!("Use one of: {names}")),
            Self::Unknown { .. } => "For a file with every setting explained, run: ollama-auth gateway init",
            Self::Table { nearest: Some(name), .. } => return Some(format!("Did you mean [{name}]?")),
            Self::Table { .. } => {
                "Write NAME = VALUE at the top of the file, outside of a table. The tables are [limits], [addresses], [roles.NAME], [groups.NAME], [environments.NAME], [model-limits.PATTERN], [oidc.NAME] and [[workload]]."
            }
            Self::PlainBeyondLoopback { .. } => {
                "Give --tls-cert and --tls-key. If a proxy in front terminates TLS, give --behind-tls-proxy instead. \
                 Or listen on 127.0.0.1."
            }
            Self::NoPublicUrl { .. } => "Set the URL that callers use, such as --public-url https://gpu.example.com",
            Self::OpenMetrics { .. } => {
                "Write a token to a file that only the gateway can read, and name that with metrics-token-file. Or listen on 127.0.0.1."
            }
            Self::Policy { hint, .. } => hint,
            Self::HalfTls { .. } => {
                "Set both: the certificate chain in tls-cert and its private key in tls-key, as PEM files."
            }
            Self::PasswordInArgument { .. } => {
                "Write it to a file that only you can read, and name that with database-password-file. Or use PGPASSWORD."
            }
            Self::UnknownRole { role, .. } => {
                return Some(format!("Define it as [roles.{role}] with a base, or correct its name in the rule."));
            }
            Self::PlainPublicUrl { .. } => "Write public-url with https://.",
            Self::Loop { .. } => {
                "Set upstream to the Ollama server, such as http://127.0.0.1:11434, or listen elsewhere."
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// The name that was probably meant.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let name = name.trim().to_lowercase().replace('_', "-");
    let likely = names.map(|candidate| (strsim::jaro_winkler(&name, candidate), candidate));
    let (likeness, best) = likely.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness >= 0.8).then(|| best.to_owned())
}
