//! Where an OIDC token comes from that takes the place of a stored secret: a file that the call names, or what the system
//! that runs the job provides. Pure: others look at the environment.

/// Where a token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenOrigin {
    /// `--oidc-token-file` names its file.
    FileFlag,
    /// `OLLAMA_AUTH_OIDC_TOKEN_FILE` names its file.
    FileVariable,
    /// GitHub Actions gives this job tokens.
    GitHub,
    /// GitLab has put it into `OLLAMA_AUTH_ID_TOKEN`.
    GitLab,
    /// Kubernetes mounts its file.
    Kubernetes,
}

impl TokenOrigin {
    /// The word for it in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::FileFlag | Self::FileVariable => "token-file",
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// The token in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::FileFlag => "the token in the file of --oidc-token-file",
            Self::FileVariable => "the token in the file of OLLAMA_AUTH_OIDC_TOKEN_FILE",
            Self::GitHub => "the token of GitHub Actions",
            Self::GitLab => "the token of GitLab in OLLAMA_AUTH_ID_TOKEN",
            Self::Kubernetes => "the token of the Kubernetes service account",
        }
    }
}

/// Which tokens there are for a host.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenOrigins {
    /// `--oidc-token-file`.
    pub file_flag: bool,
    /// `OLLAMA_AUTH_OIDC_TOKEN_FILE`.
    pub file_variable: bool,
    /// GitHub Actions gives this job tokens.
    pub github: bool,
    /// `OLLAMA_AUTH_ID_TOKEN` holds one that may be for the host.
    pub gitlab: bool,
    /// Kubernetes mounts one that may be for the host.
    pub kubernetes: bool,
}

impl TokenOrigins {
    /// What the system that runs the job provides.
    pub fn of_system(self) -> Option<TokenOrigin> {
        let found = [
            (self.github, TokenOrigin::GitHub),
            (self.gitlab, TokenOrigin::GitLab),
            (self.kubernetes, TokenOrigin::Kubernetes),
        ];
        found.into_iter().find_map(|(is_there, origin)| is_there.then_some(origin))
    }

    /// The first of all, for a command that is for tokens alone.
    pub fn first(self) -> Option<TokenOrigin> {
        let named = [(self.file_flag, TokenOrigin::FileFlag), (self.file_variable, TokenOrigin::FileVariable)];
        named.into_iter().find_map(|(is_there, origin)| is_there.then_some(origin)).or_else(|| self.of_system())
    }
}
