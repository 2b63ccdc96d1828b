//! What a configuration says about the access log.

use std::fmt;
use std::path::PathBuf;

/// Where the lines go, and how they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogSettings {
    /// Where they go.
    pub target: AccessLogTarget,
    /// How they are written.
    pub format: AccessLogFormat,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// The standard output of the gateway.
    Stdout,
    /// A file, which lines are appended to.
    File(PathBuf),
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// `name=value name="a value"`
    Logfmt,
    /// An object a line.
    Json,
}

impl fmt::Display for AccessLogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}
