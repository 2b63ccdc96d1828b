//! What a configuration says about a sink.

use std::fmt;
use std::path::PathBuf;

use crate::gateway::policy_name::PolicyName;

/// A sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSettings {
    /// By which the position is kept and the log of the process names it.
    pub name: PolicyName,
    /// Where the lines go.
    pub target: SinkTarget,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkTarget {
    /// The standard output of the gateway.
    Stdout,
    /// A file, which lines are appended to.
    File(PathBuf),
    /// The Unix datagram socket of a syslog service.
    Syslog(PathBuf),
}

impl SinkTarget {
    /// How many records it gets at a time. After an error all of them are sent again, and a syslog service has then got some already.
    pub fn batch(&self) -> i64 {
        match self {
            Self::Stdout | Self::File(_) => 500,
            Self::Syslog(_) => 16,
        }
    }
}

impl fmt::Display for SinkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Syslog(path) => write!(f, "syslog socket {}", path.display()),
        }
    }
}
