//! Exit codes, and how an error becomes a message, a hint and a code. The only place that looks inside an error.

use std::io;

use crate::address::HostError;
use crate::api::{ApiError, Conflict, HeaderProblem, Unreachable};
use crate::disk::DiskError;
use crate::env::NotUtf8;
#[cfg(feature = "gateway")]
use crate::gateway::{
    AdminError, AdminSocketError, ConfigError, DirectoryError, PasswordError, ServeError, StoreError,
};
use crate::identity::IdentityError;
use crate::paths::NoHome;
use crate::profile::{CredentialsError, NoSuchProfile};
use crate::rotation::EnvFileError;
use crate::ui::PromptError;
use crate::vault::{PassphraseError, VaultError};

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
    /// The host cannot be reached.
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
            Self::Unreachable => "The host cannot be reached",
            Self::TryLater => "Try again later (429, 503)",
            Self::Found => "The check ran and found something: doctor, keys audit, keys rotate where a person must act",
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
}

impl Problem {
    /// A problem without advice.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
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
                return Self { exit, message, hint };
            }
        }
        Self::new(Exit::Failed, message)
    }
}

/// What an error says with all its causes, each once and without the system's numbers: an error that names its cause in its own
/// message has it in the chain as well.
pub fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(|cause| without_os_codes(&cause.to_string())) {
        if message.is_empty() {
            message = cause;
        } else if !message.ends_with(&cause) && !message.contains(&format!(": {cause}")) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

/// A text without what the standard library adds to system errors: ` (os error 98)`.
fn without_os_codes(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |kept, part| match part.split_once(')') {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => kept + rest,
        _ => format!("{kept} (os error {part}"),
    })
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
            EnvFileError::Path(..) => (Exit::Failed, Some("check the path".to_owned())),
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
            AdminError::NoUser(_) | AdminError::NotPending(_) | AdminError::NoDevice(_) | AdminError::NoKey(_) => {
                Exit::NotFound
            }
            AdminError::BadName(_) | AdminError::BadEmail | AdminError::BadDeviceName(_) => Exit::Usage,
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

/// What to do about an error of a host that is reported among other things.
pub fn api_hint(error: &ApiError) -> Option<String> {
    classify_api_error(error).1
}

/// How a gateway says that a signature was used before.
const REPLAY_MESSAGES: [&str; 2] = ["signature was used already", "signed before this gateway started"];

fn classify_api_error(error: &ApiError) -> (Exit, Option<String>) {
    match error {
        ApiError::Unreachable { host, kind, .. } => (Exit::Unreachable, Some(unreachable_hint(host, *kind))),
        ApiError::NoAuthorities { .. } => (
            Exit::Unreachable,
            Some("install the system's CA certificates (Debian: ca-certificates), or name a file with --ca-cert or SSL_CERT_FILE".into()),
        ),
        ApiError::CaFile { .. } => (Exit::Usage, Some("give a PEM file of certificates with --ca-cert".into())),
        // The credential is valid, but this signature was used already.
        ApiError::Unauthorized { message, from_gateway: true, skew: None, .. } if REPLAY_MESSAGES.iter().any(|words| message.contains(words)) => {
            (Exit::SignIn, Some("each signature is valid once: run the command again".to_owned()))
        }
        ApiError::Unauthorized { credential_origin: Some(origin), .. } => (Exit::SignIn, Some(refused_hint(origin))),
        ApiError::Unauthorized { host, had_credential, skew, .. } => {
            (Exit::SignIn, Some(unauthorized_hint(host, *had_credential, *skew)))
        }
        ApiError::Forbidden { had_credential: true, .. } => {
            (Exit::Forbidden, Some("the credential is valid but does not have this right; ask the administrator of the host".into()))
        }
        ApiError::Forbidden { host, .. } => (
            Exit::Forbidden,
            Some(format!("no credential was sent; a plain Ollama server rejects a host name that it does not know: check {host}")),
        ),
        ApiError::NotFound { host, .. } => (Exit::NotFound, Some(format!("check the address {host}"))),
        ApiError::TryLater { retry_after, .. } => (
            Exit::TryLater,
            Some(match retry_after {
                Some(wait) => format!("try again in {} s", wait.as_secs()),
                None => "try again in a moment".to_owned(),
            }),
        ),
        ApiError::Redirect { .. } => (
            Exit::Failed,
            Some("a credential is sent to one host only; if that address is right, pass it with --host".into()),
        ),
        ApiError::InsecureHttp { .. } => (
            Exit::Usage,
            Some("use https, or pass --allow-insecure-http if you trust the network in between".into()),
        ),
        ApiError::Unproven { .. } => (Exit::Failed, Some("this request would sign out a plain Ollama server: use another host".into())),
        ApiError::Body { .. } => (Exit::Failed, Some("check the file or program that provides the body".into())),
        ApiError::Unsendable { .. } => (Exit::Usage, Some("check that the complete key was pasted, and nothing else".into())),
        ApiError::Cut { .. } => (Exit::Failed, Some("the output above is incomplete; run the command again".into())),
        ApiError::InStream { message, host } if message.to_ascii_lowercase().contains("unauthorized") => {
            (Exit::SignIn, Some(unauthorized_hint(host, false, None)))
        }
        ApiError::Conflict { conflict: Conflict::Replaced(id), host, .. } => (
            Exit::Failed,
            Some(format!("use {id}, or revoke it first: ollama-auth keys revoke {id} --yes --host {host}")),
        ),
        ApiError::Conflict { .. } => (Exit::Failed, Some("list the keys: ollama-auth keys list".into())),
        ApiError::Status { status: 413, .. } => (
            Exit::Failed,
            Some("send less, or raise the limit: an ollama-auth gateway names its setting, such as max-scanned-body (16 MiB by default)".into()),
        ),
        ApiError::Status { status: ..500, host, .. } => {
            (Exit::Failed, Some(format!("check the command and the address; the log of {host} may say more")))
        }
        ApiError::Status { host, .. } | ApiError::InStream { host, .. } => {
            (Exit::Failed, Some(format!("the server failed: check the log of {host}")))
        }
        ApiError::Protocol { host, .. } => {
            (Exit::Failed, Some(format!("check that {host} is an Ollama server, and that no proxy answers in its place")))
        }
    }
}

fn unreachable_hint(host: &str, kind: Unreachable) -> String {
    let local = host.starts_with("http://127.0.0.1:11434") || host.starts_with("http://localhost:11434");
    match kind {
        _ if local => {
            "is Ollama running? start it with `ollama serve`, or name another host with --host or OLLAMA_HOST".into()
        }
        Unreachable::Dns => "check the spelling of the host and the network connection".into(),
        Unreachable::Tls => "check the address; for a private authority give its certificate with --ca-cert".into(),
        _ => "check the address, the network and the proxy settings, then try again".into(),
    }
}

/// What to do about a refused or missing credential. A wrong clock comes first: it invalidates every signature.
pub fn unauthorized_hint(host: &str, had_credential: bool, skew: Option<i64>) -> String {
    if let Some(ahead) = skew.filter(|_| had_credential) {
        return clock_hint(host, ahead);
    }
    if had_credential {
        format!("sign in again: ollama-auth signin --host {host}")
    } else {
        format!("sign in: ollama-auth signin --host {host}, or set OLLAMA_API_KEY")
    }
}

/// What to do about a refused credential that no sign-in replaces, since it takes precedence over the profile's.
pub fn refused_hint(origin: &str) -> String {
    format!("{origin} was refused: replace it or unset it")
}

/// Says by how much the clock is off.
pub fn clock_hint(host: &str, ahead: i64) -> String {
    let amount = ahead.unsigned_abs();
    let amount = if amount >= 120 { format!("{} minutes", amount / 60) } else { format!("{amount} seconds") };
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    format!(
        "this machine's clock is {amount} {direction} that of {host}, and signatures contain the time: set the clock, then try again"
    )
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn context_is_kept_and_the_code_is_found_beneath_it() {
        let error =
            Err::<(), _>(ApiError::Forbidden { host: "https://h".into(), message: "no".into(), had_credential: true })
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
        assert_eq!(without_os_codes("a (os error 2); b (os error x) (os error 13)"), "a; b (os error x)");
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

    #[test]
    fn a_wrong_clock_is_named_before_a_new_sign_in() {
        assert!(unauthorized_hint("h", true, Some(600)).contains("10 minutes ahead of that of h"));
        assert!(unauthorized_hint("h", true, Some(-90)).contains("90 seconds behind"));
        assert!(unauthorized_hint("h", false, Some(600)).starts_with("sign in: "));
    }

    #[test]
    fn a_refused_variable_is_named_instead_of_a_sign_in() {
        let error = ApiError::Unauthorized {
            host: "https://h".into(),
            message: "unauthorized".into(),
            signin_url: None,
            had_credential: true,
            credential_origin: Some("OLLAMA_API_KEY".into()),
            from_gateway: false,
            recognised: true,
            skew: None,
            clock_offset: None,
        };
        let hint = Problem::from_error(&error.into()).hint.unwrap();
        assert_eq!(hint, "OLLAMA_API_KEY was refused: replace it or unset it");
    }

    #[test]
    fn a_signature_that_was_used_is_made_anew_without_a_new_sign_in() {
        for words in
            ["unauthorized: this signature was used already", "the request was signed before this gateway started"]
        {
            let error = ApiError::Unauthorized {
                host: "https://h".into(),
                message: words.into(),
                signin_url: None,
                had_credential: true,
                credential_origin: None,
                from_gateway: true,
                recognised: true,
                skew: None,
                clock_offset: None,
            };
            let problem = Problem::from_error(&error.into());
            assert_eq!(problem.exit, Exit::SignIn, "{words}");
            let hint = problem.hint.unwrap();
            assert!(hint.contains("run the command again") && !hint.contains("sign in"), "{hint}");
        }
    }
}
