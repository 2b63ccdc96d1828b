//! Handing a key out: to a command that gets it on standard input and in its environment, and into an env file.

use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::address::BaseUrl;
use crate::app::App;
use crate::env::keep_secrets_from;
use crate::exit::{Exit, Problem};
use crate::keyspec::KeyId;
use crate::rotation::{EnvFile, Redactor, Targets};

/// How long to read output after the command has ended: a process that it started may hold the pipe open.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);
/// Lines of output that an error repeats.
const QUOTED_LINES: usize = 5;
/// Lines of output that are shown.
const MAX_SHOWN_LINES: usize = 500;

/// Where keys are handed out.
pub struct Deployer {
    /// A line for the shell.
    pub command: Option<String>,
    /// How long it may take.
    pub timeout: Duration,
    /// The file, opened before anything begins, so that a wrong path costs nothing.
    pub env_file: Option<EnvFile>,
    /// What the env file held before, as long as this run lasts.
    before: Mutex<Option<SecretString>>,
}

/// What the command is given: the key, and what belongs to it.
pub struct DeployPayload<'a> {
    /// The key.
    pub key: &'a SecretString,
    /// Its id.
    pub id: &'a KeyId,
    /// The profile.
    pub profile: &'a str,
    /// The host that it is for.
    pub host: &'a BaseUrl,
    /// What must not be shown besides the key.
    pub secrets: Vec<&'a SecretString>,
}

impl Deployer {
    /// See the fields.
    pub fn new(command: Option<String>, timeout: Duration, env_file: Option<EnvFile>) -> Self {
        Self { command, timeout, env_file, before: Mutex::new(None) }
    }

    /// The places, for the journal.
    pub fn targets(&self) -> Targets {
        Targets {
            env_file: self.env_file.as_ref().map(|file| file.path().to_owned()),
            env_var: self.env_file.as_ref().map(|file| file.name().to_owned()),
            command: self.command.is_some(),
        }
    }

    /// Finds out what can be found out before there is a key to hand out.
    ///
    /// # Errors
    /// When the env file cannot be written.
    pub fn probe(&self) -> anyhow::Result<()> {
        Ok(self.env_file.as_ref().map_or(Ok(()), EnvFile::probe)?)
    }

    /// Hands a key out everywhere.
    ///
    /// # Errors
    /// At the first place that does not take it.
    pub async fn deploy(&self, app: &App, payload: &DeployPayload<'_>) -> anyhow::Result<()> {
        if let Some(file) = &self.env_file {
            let before = file.read()?;
            file.write(payload.key)?;
            app.printer.note(&format!("Wrote it to {}.", file.path().display()));
            let mut kept = self.before.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if kept.is_none() {
                *kept = before.filter(|before| before.expose_secret() != payload.key.expose_secret());
            }
        }
        match &self.command {
            Some(command) => self.run_command(app, command, payload).await,
            None => Ok(()),
        }
    }

    /// Puts the env file back as this run found it; `false` when it did not change any, or there is a command too.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn restore_env_file(&self) -> anyhow::Result<bool> {
        let before = self.before.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        match (&self.env_file, before, &self.command) {
            (Some(file), Some(before), command) => {
                file.write(&before)?;
                Ok(command.is_none())
            }
            _ => Ok(false),
        }
    }

    async fn run_command(&self, app: &App, line: &str, payload: &DeployPayload<'_>) -> anyhow::Result<()> {
        let mut child = shell_command(line, payload).spawn().context("cannot start the deploy command")?;
        let group = ProcessGroup::of(&child);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A command that takes it from its environment may not read at all.
                let mut line = zeroize::Zeroizing::new(payload.key.expose_secret().as_bytes().to_vec());
                line.push(b'\n');
                let _ = stdin.write_all(&line).await;
            }
        };
        let output = Mutex::new(CommandOutput::default());
        let secrets = || payload.secrets.iter().copied().chain([payload.key]);
        let listen = async {
            tokio::join!(
                relay_output(app, stdout, Redactor::new(secrets()), &output),
                relay_output(app, stderr, Redactor::new(secrets()), &output)
            );
        };
        let ended = {
            let mut listening = std::pin::pin!(listen);
            let mut feeding = std::pin::pin!(feed);
            let (mut heard, mut fed) = (false, false);
            let ended = tokio::time::timeout(self.timeout, async {
                loop {
                    tokio::select! {
                        status = child.wait() => break status,
                        () = &mut listening, if !heard => heard = true,
                        () = &mut feeding, if !fed => fed = true,
                    }
                }
            });
            let ended = ended.await;
            if ended.is_err() {
                group.kill();
            }
            if !heard {
                let _ = tokio::time::timeout(OUTPUT_GRACE, listening).await;
            }
            ended
        };
        let output = output.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Ok(status) = ended else {
            let message =
                format!("the deploy command did not finish within {} s and was killed", self.timeout.as_secs());
            return Err(output.problem(message).into());
        };
        let status = status.context("cannot wait for the deploy command")?;
        group.disarm();
        if status.success() {
            return Ok(());
        }
        Err(output.problem(format!("the deploy command {}", describe_exit(status))).into())
    }
}

/// What the command has said so far.
#[derive(Default)]
struct CommandOutput {
    count: usize,
    last: std::collections::VecDeque<String>,
}

impl CommandOutput {
    fn problem(self, message: String) -> Problem {
        let said = Vec::from(self.last).join("\n");
        let message = if said.is_empty() { message } else { format!("{message}; its last output: {said}") };
        Problem::new(Exit::Failed, message)
    }
}

/// Shows what the command prints, line by line, without secrets.
async fn relay_output(
    app: &App,
    pipe: Option<impl AsyncRead + Unpin>,
    mut redactor: Redactor,
    output: &Mutex<CommandOutput>,
) {
    let Some(mut pipe) = pipe else { return };
    let show = |line: String| {
        let mut output = output.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        output.count += 1;
        if output.count <= MAX_SHOWN_LINES {
            app.printer.note(&format!("deploy: {line}"));
        }
        output.last.push_back(line);
        if output.last.len() > QUOTED_LINES {
            output.last.pop_front();
        }
    };
    let mut buffer = zeroize::Zeroizing::new([0_u8; 8192]);
    while let Ok(count @ 1..) = pipe.read(&mut buffer[..]).await {
        redactor.feed(&buffer[..count]).into_iter().for_each(show);
    }
    redactor.finish().into_iter().for_each(show);
}

fn shell_command(line: &str, payload: &DeployPayload<'_>) -> Command {
    let mut command = if cfg!(windows) { Command::new("cmd") } else { Command::new("/bin/sh") };
    command.arg(if cfg!(windows) { "/C" } else { "-c" }).arg(line);
    keep_secrets_from(command.as_std_mut());
    command
        .env("OLLAMA_API_KEY", payload.key.expose_secret())
        .env("OLLAMA_HOST", payload.host.to_string())
        .env("OLLAMA_AUTH_KEY_ID", payload.id.as_str())
        .env("OLLAMA_AUTH_PROFILE", payload.profile)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // All that it starts can be ended with it.
    #[cfg(unix)]
    command.process_group(0);
    command
}

fn describe_exit(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("was killed by signal {signal}");
    }
    status.code().map_or_else(|| "failed".to_owned(), |code| format!("failed with exit code {code}"))
}

/// The command and whatever it started; killed unless it has ended by itself.
struct ProcessGroup(#[cfg(unix)] std::cell::Cell<Option<rustix::process::Pid>>);

impl ProcessGroup {
    #[cfg(unix)]
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        Self(std::cell::Cell::new(id))
    }

    #[cfg(not(unix))]
    fn of(_: &Child) -> Self {
        Self()
    }

    /// Processes that it left running continue.
    fn disarm(&self) {
        #[cfg(unix)]
        self.0.set(None);
    }

    fn kill(&self) {
        #[cfg(unix)]
        if let Some(id) = self.0.take() {
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}
