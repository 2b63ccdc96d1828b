//! `exec`: runs a program with the variables that it reads for host and credential, and with no other secret of ours.
//!
//! On Unix the program takes our place in the same process. So there is nothing to pass on and nothing to get wrong: signals,
//! the terminal, the exit code and the end are the program's own. A proxy for it runs in a process beside it, see [`background`].

#[cfg(all(unix, feature = "gateway"))]
mod background;
#[cfg(all(not(unix), feature = "gateway"))]
mod beside;
mod print;
#[cfg(feature = "gateway")]
mod proxy;
mod variables;

use std::ffi::OsString;
use std::io;
#[cfg(feature = "gateway")]
use std::path::Path;
use std::process::Command;

#[cfg(feature = "gateway")]
use secrecy::ExposeSecret as _;

use super::context::Context;
use super::token::required;
use crate::api::{Credential, Session};
use crate::app::App;
use crate::cli::ExecArgs;
#[cfg(all(unix, feature = "gateway"))]
use crate::env::keep_job_identity_from;
use crate::env::{foreign_variable, keep_secrets_from};
use crate::exit::{Exit, Problem};
use crate::profile::{Audience, CredentialSource};
use variables::Variables;

#[cfg(all(unix, feature = "gateway"))]
pub use background::{ProxyRequest, detach_proxy, proxy_request};

/// What is most like a name is suggested from this likeness on.
const SIMILAR: f64 = 0.9;

/// Runs it. It comes back only where the program did not start.
pub async fn run(app: &App, args: ExecArgs) -> anyhow::Result<Exit> {
    #[cfg(all(unix, feature = "gateway"))]
    if let Some(process) = args.proxy_for {
        return background::serve(app, process).await;
    }
    #[cfg(feature = "gateway")]
    if args.proxy || sends_no_key(&args.command) {
        return through_proxy(app, &args, None).await;
    }
    let context = Context::resolve(app, Audience::Model { cloud: true })?;
    let host = context.url();
    // The program sends the key, so the same rules apply to it.
    Session::may_carry_credential(host, app.global.allow_insecure_http)?;
    // What a program cannot use itself: it would have to sign each request, or to renew a token.
    let takes_proxy = matches!(context.source, CredentialSource::ProfileDevice | CredentialSource::Token(_));
    if takes_proxy && args.print.is_some() {
        return Err(not_printable(&context).into());
    }
    #[cfg(feature = "gateway")]
    if takes_proxy {
        return through_proxy(app, &args, Some(&context)).await;
    }
    let Credential::ApiKey(key) = required(app, &context).await? else {
        let what = kind_in_words(&context);
        let message = format!("the credential for {host} is {what}, which other programs cannot use");
        return Err(Problem::new(Exit::SignIn, message).hint(how_to_get_key(&context)).into());
    };
    let variables = Variables::choose(&args.apis, &host.to_string(), &key, foreign_variable);
    if let Some(format) = args.print {
        print::print(app, format, &variables)?;
        return Ok(Exit::Done);
    }
    variables.report_kept(app);
    let error = replace(command(&args.command, &variables));
    Err(not_started(&args.command[0], &error).into())
}

/// Whether a command is stock `ollama`, which sends a key to ollama.com alone, or `codex --oss`, which sends none.
#[cfg(feature = "gateway")]
fn sends_no_key(command: &[OsString]) -> bool {
    let name = command.first().and_then(|program| Path::new(program).file_stem());
    name.is_some_and(|name| name == "ollama" || name == "codex" && command.iter().any(|word| word == "--oss"))
}

/// Runs it with a proxy of its own. `context` where the decision was made already.
#[cfg(all(unix, feature = "gateway"))]
async fn through_proxy(app: &App, args: &ExecArgs, context: Option<&Context>) -> anyhow::Result<Exit> {
    let proxy = background::start(app, args, context).await?;
    let variables =
        Variables::choose(&args.apis, proxy.url.expose_secret(), &proxy.key, foreign_variable).reached_directly();
    variables.report_kept(app);
    let mut program = command(&args.command, &variables);
    if proxy.uses_job_identity {
        keep_job_identity_from(&mut program);
    }
    let error = replace(program);
    Err(not_started(&args.command[0], &error).into())
}

#[cfg(all(not(unix), feature = "gateway"))]
use beside::through_proxy;

/// The program with its environment: ours, but for our secrets.
fn command(words: &[OsString], variables: &Variables) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    keep_secrets_from(&mut command);
    variables.apply(&mut command);
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

fn kind_in_words(context: &Context) -> &'static str {
    match context.source {
        CredentialSource::Token(_) => "a token that ends soon and has to be renewed",
        _ => "a device key",
    }
}

fn how_to_get_key(context: &Context) -> String {
    let host = context.url();
    match context.source {
        CredentialSource::Token(_) => {
            format!("create an API key for a few minutes: ollama-auth keys create NAME --from-oidc --host {host}")
        }
        _ => format!("create and store an API key: ollama-auth keys create NAME --save --host {host}"),
    }
}

fn not_printable(context: &Context) -> Problem {
    let host = context.url();
    let message = match context.source {
        CredentialSource::Token(_) => {
            format!("the credential for {host} is a token that ends soon, and no one would renew a printed one")
        }
        _ => format!("the credential for {host} is a device key: it signs single requests and is never printed"),
    };
    let mut hint = how_to_get_key(context);
    if cfg!(feature = "gateway") {
        hint += &format!(
            "\nor run a proxy, and set the variables to its address: ollama-auth proxy --host {host}\nor start the program so: ollama-auth exec -- PROGRAM"
        );
    }
    Problem::new(Exit::Usage, message).hint(hint)
}

/// With the exit codes of a shell.
fn not_started(program: &OsString, error: &io::Error) -> Problem {
    let shown = program.to_string_lossy();
    if error.kind() == io::ErrorKind::NotFound {
        let hint = match nearest_program(&shown) {
            Some(name) => format!("did you mean {name:?}?"),
            None if shown.contains(' ') => "write the program and its arguments as separate words".to_owned(),
            None => "check its name and PATH; an alias of your shell is not a program".to_owned(),
        };
        return Problem::new(Exit::NoProgram, format!("program {shown:?} not found")).hint(hint);
    }
    Problem::new(Exit::NotRunnable, format!("cannot run the program {shown:?}: {error}"))
        .hint("check that it is a program and that you may run it")
}

/// The program in PATH whose name is most like the one that was typed, if one is like it at all.
fn nearest_program(typed: &str) -> Option<String> {
    if typed.contains(std::path::is_separator) {
        return None;
    }
    let path = foreign_variable("PATH")?;
    let files = std::env::split_paths(&path).filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    let likely =
        names.map(|name| (strsim::jaro_winkler(typed, &name), name)).filter(|(likeness, _)| *likeness >= SIMILAR);
    likely.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, name)| name)
}
