//! The exit codes, which are an interface for scripts.

/// What a script can tell from the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// No such model, key, device or profile.
    NotFound = 3,
    /// A sign-in is needed, or the credential was refused (401).
    SignIn = 4,
    /// Not allowed (403).
    Forbidden = 5,
    /// The host cannot be reached, or its upstream server (502, 504).
    Unreachable = 6,
    /// Try again later (429, 503).
    TryLater = 7,
    /// The check ran and found something.
    Found = 8,
    /// `exec`: the program cannot be run, as shells have it.
    NotRunnable = 126,
    /// `exec`: there is no such program.
    NoProgram = 127,
    /// Interrupted (Ctrl-C).
    Interrupted = 130,
}

impl Exit {
    /// All codes, in ascending order.
    pub const ALL: [Self; 12] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::SignIn,
        Self::Forbidden,
        Self::Unreachable,
        Self::TryLater,
        Self::Found,
        Self::NotRunnable,
        Self::NoProgram,
        Self::Interrupted,
    ];

    /// What the code tells a person, for `ollama-auth help exit-codes`.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::Failed => "Failed",
            Self::Usage => "Wrong usage",
            Self::NotFound => "No such model, key, device or profile",
            Self::SignIn => "A sign-in is needed, or the credential was refused (401)",
            Self::Forbidden => "The credential does not allow this (403)",
            Self::Unreachable => "The host, or its upstream server, cannot be reached (502, 504)",
            Self::TryLater => "Try again later (429, 503)",
            Self::Found => {
                "The check ran and found something: doctor, gateway status, keys audit, keys rotate where a person must act"
            }
            Self::NotRunnable => "exec: the program cannot be run",
            Self::NoProgram => "exec: no such program",
            Self::Interrupted => "Interrupted (Ctrl-C)",
        }
    }

    /// The name used in JSON errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::SignIn => "sign-in-needed",
            Self::Forbidden => "not-allowed",
            Self::Unreachable => "unreachable",
            Self::TryLater => "try-later",
            Self::Found => "found",
            Self::NotRunnable => "not-runnable",
            Self::NoProgram => "no-program",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
