//! What the systems that run jobs and containers say about themselves, and where they provide tokens.

use std::ffi::OsString;

use secrecy::SecretString;

/// Variables of the systems that run jobs and containers.
#[derive(Debug, Default)]
pub struct CiVariables {
    /// `ACTIONS_ID_TOKEN_REQUEST_URL`: where GitHub gives this job tokens.
    pub actions_url: Option<String>,
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`: the secret for that.
    pub actions_token: Option<SecretString>,
    /// `OLLAMA_AUTH_ID_TOKEN`: the token that GitLab gives under this name.
    pub id_token: Option<SecretString>,
    /// Which system it is.
    pub system: Option<CiSystem>,
}

/// A system that runs jobs or containers, and can give them tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CiSystem {
    /// `GITHUB_ACTIONS` is `true`.
    GitHub,
    /// `GITLAB_CI` is `true`.
    GitLab,
    /// `KUBERNETES_SERVICE_HOST` is set.
    Kubernetes,
}

impl CiVariables {
    pub(super) fn read(get: &impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name| get(name).map(|value| value.to_string_lossy().trim().to_owned()).filter(|v| !v.is_empty());
        let (github, gitlab, kubernetes) = (text("GITHUB_ACTIONS"), text("GITLAB_CI"), text("KUBERNETES_SERVICE_HOST"));
        let is_true = |value: Option<String>| value.is_some_and(|value| value == "true");
        Self {
            actions_url: text("ACTIONS_ID_TOKEN_REQUEST_URL"),
            actions_token: text("ACTIONS_ID_TOKEN_REQUEST_TOKEN").map(SecretString::from),
            id_token: text("OLLAMA_AUTH_ID_TOKEN").map(SecretString::from),
            // A runner may itself be a container in Kubernetes.
            system: match () {
                () if is_true(github) => Some(CiSystem::GitHub),
                () if is_true(gitlab) => Some(CiSystem::GitLab),
                () => kubernetes.map(|_| CiSystem::Kubernetes),
            },
        }
    }
}
