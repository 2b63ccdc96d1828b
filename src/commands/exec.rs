//! `exec`: runs a program with `OLLAMA_API_KEY` and `OLLAMA_HOST` in its environment, and nowhere else.
//!
//! On Unix the program takes our place in the same process. So there is nothing to pass on and nothing to get wrong: signals,
//! the terminal, the exit code and the end are the program's own, and neither a zombie nor an orphan can be left behind.

use std::ffi::OsString;
use std::io;
use std::process::Command;

use secrecy::{ExposeSecret as _, SecretString};

use super::context::Context;
use super::token::required;
use crate::api::{Credential, Session};
use crate::app::App;
use crate::cli::ExecArgs;
use crate::env::keep_secrets_from;
use crate::exit::{Exit, Problem};
use crate::profile::Audience;

/// Runs it. It comes back only where the program did not start.
pub async fn run(app: &App, args: ExecArgs) -> anyhow::Result<Exit> {
    let context = Context::resolve(app, Audience::Model { cloud: true })?;
    let host = context.url();
    // The program sends the key, so the same rules apply to it.
    Session::may_carry_credential(host, app.global.allow_insecure_http)?;
    let Credential::ApiKey(key) = required(app, &context).await? else {
        let message = format!(
            "the credential for {host} is a device key, which other programs cannot use: {} needs an API key",
            shown(&args.command[0])
        );
        let mut hint = format!("create and store one: ollama-auth keys create NAME --save --host {host}");
        if cfg!(feature = "gateway") {
            hint += &format!("\nor let a proxy sign its requests: ollama-auth proxy --host {host}");
        }
        return Err(Problem::new(Exit::SignIn, message).hint(hint).into());
    };
    let error = replace(command(&args.command, &key, &host.to_string()));
    Err(not_started(&args.command[0], &error).into())
}

/// The program with its environment: ours, but for our secrets.
fn command(words: &[OsString], key: &SecretString, host: &str) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    keep_secrets_from(&mut command);
    command.env("OLLAMA_API_KEY", key.expose_secret()).env("OLLAMA_HOST", host);
    command
}

/// Puts the program in our place. The standard library clears the signal mask and undoes the ignored SIGPIPE; handlers do not
/// survive, every descriptor that we opened is closed, and Linux makes the process dumpable again.
#[cfg(unix)]
fn replace(mut command: Command) -> io::Error {
    use std::os::unix::process::CommandExt as _;
    crate::process::soften();
    command.exec()
}

/// Where a process cannot be replaced, it is waited for, and its exit code is ours. Ctrl-C reaches both: it is for the program to
/// say what it means.
#[cfg(not(unix))]
#[allow(clippy::exit, reason = "the exit code is the program's, whatever it is")]
fn replace(mut command: Command) -> io::Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}

/// With the exit codes of a shell.
fn not_started(program: &OsString, error: &io::Error) -> Problem {
    let program = shown(program);
    if error.kind() == io::ErrorKind::NotFound {
        let message = format!("program {program:?} not found");
        return Problem::new(Exit::NoProgram, message).hint("check its name and PATH");
    }
    Problem::new(Exit::NotRunnable, format!("cannot run the program {program:?}: {error}"))
        .hint("check that it is a program and that you may run it")
}

fn shown(program: &OsString) -> String {
    program.to_string_lossy().into_owned()
}
