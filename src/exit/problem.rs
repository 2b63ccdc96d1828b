//! How an error becomes a message, a hint and a code. The only place that looks inside an error.

use std::io;

use serde_json::Value;

use super::api::{api_error_members, classify_api_error};
use super::code::Exit;
use crate::address::HostError;
use crate::api::{ApiError, HeaderProblem};
use crate::disk::DiskError;
use crate::env::NotUtf8;
#[cfg(feature = "gateway")]
use crate::gateway::{
    AdminError, AdminSocketError, ConfigError, DirectoryError, PasswordError, ServeError, StoreError,
};
use crate::identity::IdentityError;
use crate::os_error::without_codes;
use crate::paths::NoHome;
use crate::profile::{CredentialsError, NoSuchProfile};
use crate::rotation::EnvFileError;
use crate::ui::PromptError;
use crate::vault::{PassphraseError, VaultError};

/// An error with its code and with what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The code to end with.
    pub exit: Exit,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// What a program may want to know beside it, in the error as JSON.
    pub members: Vec<(&'static str, Value)>,
}

impl Problem {
    /// A problem without advice.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, members: Vec::new() }
    }

    /// Adds what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What an error means for the person and the script. The message holds the whole chain; the innermost error that we
    /// know gives the code and the hint.
    pub fn from_error(error: &anyhow::Error) -> Self {
        let message = message(error);
        for cause in error.chain() {
            if let Some(problem) = cause.downcast_ref::<Self>() {
                return Self { message, ..problem.clone() };
            }
            if let Some((exit, hint)) = classify(cause) {
                let members = cause.downcast_ref().map(api_error_members).unwrap_or_default();
                return Self { exit, message, hint, members };
            }
        }
        Self::new(Exit::Failed, message)
    }
}

/// What an error says with all its causes, each once and without the system's numbers: an error that names its cause in its own
/// message has it in the chain as well.
fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(|cause| without_codes(&cause.to_string())) {
        if message.is_empty() {
            message = cause;
        } else if !message.ends_with(&cause) && !message.contains(&format!(": {cause}")) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

fn classify(cause: &(dyn std::error::Error + 'static)) -> Option<(Exit, Option<String>)> {
    if let Some(error) = cause.downcast_ref::<ApiError>() {
        return Some(classify_api_error(error));
    }
    if let Some(error) = cause.downcast_ref::<VaultError>() {
        if matches!(error, VaultError::Passphrase(PassphraseError::Interrupted)) {
            return Some((Exit::Interrupted, None));
        }
        return Some((Exit::Failed, error.hint()));
    }
    if let Some(error) = cause.downcast_ref::<PassphraseError>() {
        return Some((Exit::Usage, error.hint()));
    }
    if let Some(error) = cause.downcast_ref::<CredentialsError>() {
        return Some((Exit::Usage, error.hint()));
    }
    if let Some(error) = cause.downcast_ref::<DiskError>() {
        return Some((Exit::Failed, error.hint()));
    }
    if let Some(error) = cause.downcast_ref::<EnvFileError>() {
        return Some(match error {
            EnvFileError::Disk(error) => (Exit::Failed, error.hint()),
            EnvFileError::Name(_) => (Exit::Usage, None),
            EnvFileError::Unwritable | EnvFileError::Changed(_) => (Exit::Failed, None),
        });
    }
    if let Some(error) = cause.downcast_ref::<PromptError>() {
        return Some(match error {
            PromptError::Interrupted => (Exit::Interrupted, None),
            PromptError::NotInteractive => {
                (Exit::Usage, Some("pass the answer as a flag, or run the command in a terminal".into()))
            }
            _ => (Exit::Failed, None),
        });
    }
    if let Some(error) = cause.downcast_ref::<NoSuchProfile>() {
        let hint = match error.known.as_slice() {
            [] => "there are no profiles yet; to create one: ollama-auth signin".to_owned(),
            names => format!("profiles: {}", names.join(", ")),
        };
        return Some((Exit::NotFound, Some(hint)));
    }
    if cause.downcast_ref::<HostError>().is_some()
        || cause.downcast_ref::<NotUtf8>().is_some()
        || cause.downcast_ref::<HeaderProblem>().is_some()
    {
        return Some((Exit::Usage, None));
    }
    if cause.downcast_ref::<NoHome>().is_some() {
        return Some((Exit::Failed, Some("set HOME".to_owned())));
    }
    if let Some(error) = cause.downcast_ref::<IdentityError>() {
        return Some((Exit::Failed, error.hint().map(str::to_owned)));
    }
    #[cfg(feature = "gateway")]
    if let Some(class) = classify_gateway_error(cause) {
        return Some(class);
    }
    // The reader of our output has closed the pipe: no error.
    let io = cause.downcast_ref::<io::Error>()?;
    (io.kind() == io::ErrorKind::BrokenPipe).then_some((Exit::Done, None))
}

#[cfg(feature = "gateway")]
fn classify_gateway_error(cause: &(dyn std::error::Error + 'static)) -> Option<(Exit, Option<String>)> {
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        return Some((Exit::Failed, error.hint()));
    }
    if let Some(error) = cause.downcast_ref::<DirectoryError>() {
        let exit = if matches!(error, DirectoryError::Unknown(_)) { Exit::NotFound } else { Exit::Failed };
        return Some((exit, error.hint()));
    }
    if let Some(error) = cause.downcast_ref::<ConfigError>() {
        return Some((Exit::Usage, error.hint()));
    }
    if let Some(error) = cause.downcast_ref::<ServeError>() {
        return Some((Exit::Failed, error.hint()));
    }
    if let Some(error) = cause.downcast_ref::<AdminError>() {
        let exit = match error {
            AdminError::NoUser(_)
            | AdminError::NotPending(_)
            | AdminError::NoDevice(_)
            | AdminError::NoKey(_)
            | AdminError::NoInvitation(_) => Exit::NotFound,
            AdminError::BadName(_)
            | AdminError::BadEmail
            | AdminError::BadDeviceName(_)
            | AdminError::BadReason(_)
            | AdminError::BadMessage(_)
            | AdminError::TooManyGroups(_)
            | AdminError::PastEnd
            | AdminError::NoTime
            | AdminError::BadExpiry => Exit::Usage,
            _ => Exit::Failed,
        };
        return Some((exit, error.hint()));
    }
    if let Some(error) = cause.downcast_ref::<AdminSocketError>() {
        return Some((Exit::Failed, error.hint()));
    }
    let error = cause.downcast_ref::<PasswordError>()?;
    Some((if matches!(error, PasswordError::Hash(_)) { Exit::Failed } else { Exit::Usage }, None))
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;
    use crate::api::ForbiddenReason;

    #[test]
    fn context_is_kept_and_the_code_is_found_beneath_it() {
        let error = Err::<(), _>(ApiError::Forbidden {
            host: "https://h".into(),
            message: "no".into(),
            had_credential: true,
            reason: ForbiddenReason::Other,
            missing: None,
        })
        .context("while doing a thing")
        .unwrap_err();
        let problem = Problem::from_error(&error);
        assert_eq!(problem.exit, Exit::Forbidden);
        assert_eq!(problem.message, "while doing a thing: https://h does not allow this: no");
    }

    #[test]
    fn each_cause_is_named_once_and_without_the_number_of_the_system() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open x: {source}")]
        struct Open {
            source: io::Error,
        }
        let source = io::Error::from_raw_os_error(2);
        let error = anyhow::Error::from(Open { source }).context("cannot start");
        let text = message(&error);
        assert!(text.starts_with("cannot start: cannot open x: ") && !text.contains("os error"), "{text}");
        assert_eq!(text.matches(": ").count(), 2, "{text}");
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let error = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing");
        assert_eq!(Problem::from_error(&error).exit, Exit::Done);
    }

    #[test]
    fn an_unknown_error_is_a_failure() {
        assert_eq!(Problem::from_error(&anyhow::anyhow!("odd")), Problem::new(Exit::Failed, "odd"));
    }
}
