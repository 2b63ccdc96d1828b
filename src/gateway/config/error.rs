//! What can be wrong with the settings, and where it stands: file, line and column, variable or flag.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::settings;

/// Where a setting was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
    },
    /// In the environment variable of that name.
    Variable(String),
    /// On the command line, such as `--listen` or `--set threads`.
    Flag(String),
    /// Nowhere: the default.
    Default,
}

impl fmt::Display for Place {
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
    /// The file is no TOML.
    #[error("{place}: {reason}{}", shown(text))]
    Syntax {
        /// Where reading stopped.
        place: Place,
        /// What is wrong.
        reason: String,
        /// The line, as far as it may be shown.
        text: String,
    },
    /// Bytes that are no text.
    #[error("{0}: not valid UTF-8")]
    NotUtf8(Place),
    /// No setting has this name.
    #[error("{place}: there is no setting {name:?}{}", meant(name))]
    Unknown {
        /// Where it stands.
        place: Place,
        /// The name as given.
        name: String,
    },
    /// `[name]`, where settings have no groups.
    #[error("{place}: [{name}] is a group, and settings have none: write NAME = VALUE at the top level")]
    Group {
        /// Where it stands.
        place: Place,
        /// The name as given.
        name: String,
    },
    /// One layer sets it twice.
    #[error("{place}: {name} is set a second time; first by {first}")]
    Twice {
        /// The second.
        place: Place,
        /// The setting.
        name: String,
        /// The first.
        first: Place,
    },
    /// `--set` without `=`.
    #[error("--set {text:?}: it is --set NAME=VALUE, such as --set clock-tolerance=30s")]
    NoValue {
        /// What was given.
        text: String,
    },
    /// A value of the wrong type or out of range.
    #[error("{place}: {name} is {expected}{}", not(given))]
    Value {
        /// Where it stands.
        place: Place,
        /// The setting.
        name: &'static str,
        /// What it has to be, with an example.
        expected: String,
        /// What was given; empty when it may hold a credential.
        given: String,
    },
    /// Other machines could listen in.
    #[error("listen is {listen} ({place}), which other machines reach, but there is no TLS")]
    PlainBeyondLoopback {
        /// Where `listen` stands.
        place: Place,
        /// The address.
        listen: String,
    },
    /// Links cannot be built from an address that callers do not use.
    #[error(
        "listen is {listen} ({place}), which other machines reach, so public-url is needed: what they call the gateway"
    )]
    NoPublicUrl {
        /// Where `listen` stands.
        place: Place,
        /// The address.
        listen: String,
    },
    /// One of the two TLS files.
    #[error("{given} is set ({place}) but {missing} is not: TLS needs both")]
    HalfTls {
        /// Where the one stands.
        place: Place,
        /// The one that is set.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// ConnectionSlots would send their credentials in the clear, or to a port that speaks TLS.
    #[error("public-url is {url} ({place}), which is plain http, but {reason}")]
    PlainPublicUrl {
        /// Where it stands.
        place: Place,
        /// The URL.
        url: String,
        /// Why that cannot be.
        reason: &'static str,
    },
    /// The gateway would call itself.
    #[error("upstream is {upstream} ({place}), which is the gateway itself: requests would go round for ever")]
    Loop {
        /// Where it stands.
        place: Place,
        /// The address.
        upstream: String,
    },
}

impl ConfigError {
    /// What to do next, where there is more to say than the message does.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::PlainBeyondLoopback { .. } => {
                "give --tls-cert and --tls-key, or --behind-tls-proxy if a proxy in front ends TLS, or listen on 127.0.0.1"
            }
            Self::NoPublicUrl { .. } => "give it, such as --public-url https://gpu.example.com",
            Self::HalfTls { .. } => {
                "name the certificate chain with tls-cert and its private key with tls-key, both PEM"
            }
            Self::PlainPublicUrl { .. } => "write public-url with https://",
            Self::Loop { .. } => "name the Ollama server, such as http://127.0.0.1:11434",
            Self::Unknown { .. } => "`ollama-auth gateway init` writes a file with every setting explained",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

fn shown(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(", at: {text}") }
}

fn not(given: &str) -> String {
    if given.is_empty() { String::new() } else { format!(", not {given}") }
}

fn meant(name: &str) -> String {
    settings::nearest(name).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
}
