//! A proxy beside the program, for its lifetime.
//!
//! The program takes the place of the process that was started, so the proxy is another one: the same command line after
//! `__proxy-for PID`. It gets the credential, asking for a passphrase while the terminal is still its own, then leaves the
//! terminal, says through a pipe where it listens, and ends when the process with that id does. Its parent, `__detach`, ends
//! at once: a program that waits for all its children must not wait for one that it did not start.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, getpid, setsid, test_kill_process};
use rustix::stdio::stdout as inherited_output;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::proxy::{ProgramProxy, ProxyAddress};
use crate::app::App;
use crate::cli::ExecArgs;
use crate::commands::context::Context;
use crate::exit::{Exit, Problem};
use crate::signals;

/// The first word of the two processes. Like `__complete`, these are for this program alone and in no help.
const PROXY_FOR: &str = "__proxy-for";
const DETACH: &str = "__detach";

/// How often a process is looked for, where the system does not tell when it ends.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What the proxy tells the process that started it, as a line of JSON.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    Listening { url: String, key: String, uses_job_identity: bool },
    Failed { exit_code: u8, message: String, hint: Option<String> },
}

/// Starts one for this process. `context` where it was decided on already.
///
/// # Errors
/// Those of the proxy, with its exit codes.
pub(super) async fn start(app: &App, args: &ExecArgs, context: Option<&Context>) -> anyhow::Result<ProxyAddress> {
    // Our own words, and the program's name.
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    words.truncate(words.len() + 1 - args.command.len());
    let program = std::env::current_exe().context("cannot start the proxy")?;
    let mut command = tokio::process::Command::new(program);
    command.args([DETACH, PROXY_FOR, &getpid().to_string()]).args(words).stdout(Stdio::piped());
    if let Some(host) = &app.ollama_host {
        // Without what was warned of already.
        command.env("OLLAMA_HOST", host.to_string());
    }
    if context.is_some_and(|context| context.unused_file.is_some()) {
        // It may be a pipe, which has been read.
        command.env_remove("OLLAMA_AUTH_CREDENTIALS");
    }
    let mut parent = command.spawn().context("cannot start the proxy")?;
    let mut line = String::new();
    if let Some(pipe) = parent.stdout.take() {
        BufReader::new(pipe).read_line(&mut line).await.context("cannot start the proxy")?;
    }
    parent.wait().await.context("cannot start the proxy")?;
    match serde_json::from_str(&line) {
        Ok(Report::Listening { url, key, uses_job_identity }) => {
            Ok(ProxyAddress { url: url.into(), key: key.into(), uses_job_identity })
        }
        Ok(Report::Failed { exit_code, message, hint }) => {
            let exit = Exit::ALL.into_iter().find(|exit| *exit as u8 == exit_code).unwrap_or(Exit::Failed);
            Err(Problem { hint, ..Problem::new(exit, message) }.into())
        }
        Err(_) => Err(Problem::new(Exit::Failed, "the proxy for the program ended before it listened").into()),
    }
}

/// What a process that this program started is to be.
pub enum ProxyRequest {
    /// Nothing special: these are the arguments.
    None(Vec<OsString>),
    /// The proxy for the program in that process, by these arguments.
    Serve(i32, Vec<OsString>),
    /// The one that starts a process with these arguments and ends.
    Detach(Vec<OsString>),
}

/// Reads what a proxy's process was started with.
pub fn proxy_request(mut args: Vec<OsString>) -> ProxyRequest {
    match args.get(1) {
        Some(word) if word == DETACH => ProxyRequest::Detach(args.split_off(2)),
        Some(word) if word == PROXY_FOR && args.len() > 2 => {
            let process = args[2].to_str().and_then(|id| id.parse().ok()).unwrap_or_default();
            args.drain(1..3);
            ProxyRequest::Serve(process, args)
        }
        _ => ProxyRequest::None(args),
    }
}

/// Starts this program with these arguments, and leaves it.
pub fn detach_proxy(args: Vec<OsString>) -> Exit {
    let started = std::env::current_exe().and_then(|program| std::process::Command::new(program).args(args).spawn());
    // The pipe that closes says that it did not start.
    if started.is_ok() { Exit::Done } else { Exit::Failed }
}

/// Is the proxy of the process with that id.
pub(super) async fn serve(app: &App, process: i32) -> anyhow::Result<Exit> {
    // Kept until the end: from then on the signals are for the program.
    let requests = signals::stop_requests();
    let mut report = File::from(rustix::io::fcntl_dupfd_cloexec(inherited_output(), 3)?);
    // Looked for first, while it waits for the report.
    let ended = process_end(process);
    tokio::pin!(ended);
    let prepared = tokio::select! {
        biased;
        () = &mut ended => return Ok(Exit::Interrupted),
        () = signals::stop_requested(requests.clone(), 1) => return Ok(Exit::Interrupted),
        prepared = ProgramProxy::new(app) => prepared,
    };
    let ProgramProxy { proxy, address } = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let Problem { exit, message, hint, .. } = Problem::from_error(&error);
            write(&mut report, &Report::Failed { exit_code: exit as u8, message, hint });
            return Ok(exit);
        }
    };
    leave_terminal(app.global.verbose > 0)?;
    let [url, key] = [&address.url, &address.key].map(|text| text.expose_secret().to_owned());
    let uses_job_identity = address.uses_job_identity;
    if !write(&mut report, &Report::Listening { url, key, uses_job_identity }) {
        return Ok(Exit::Failed);
    }
    drop(report);
    tokio::select! {
        // Not gracefully: nothing is to run when the program has ended.
        () = ended => Ok(Exit::Done),
        served = proxy.serve(app, std::future::pending()) => served.map(|()| Exit::Done),
    }
}

/// False where the process that waits for it has ended. So when this succeeds, its id was not another one's when it was looked for.
fn write(report: &mut File, message: &Report) -> bool {
    serde_json::to_string(message).is_ok_and(|line| writeln!(report, "{line}").is_ok())
}

/// Leaves the terminal and its signals to the program, and its streams too: a pipe ends with the program.
fn leave_terminal(keeps_stderr: bool) -> anyhow::Result<()> {
    // It fails for the first process of a group only, which this is not.
    let _ = setsid();
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    if !keeps_stderr {
        rustix::stdio::dup2_stderr(&nothing)?;
    }
    Ok(())
}

/// Waits for the end of a process, however it ends.
async fn process_end(id: i32) {
    let Some(id) = Pid::from_raw(id).filter(|_| id > 0) else { return };
    // Missing before Linux 5.3 and in some sandboxes.
    #[cfg(target_os = "linux")]
    if let Ok(descriptor) = rustix::process::pidfd_open(id, rustix::process::PidfdFlags::empty()) {
        use rustix::event::{PollFd, PollFlags, poll};
        let ended = move || poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], None);
        // The thread is left behind when this process ends first.
        if let Ok(Ok(_)) = tokio::task::spawn_blocking(ended).await {
            return;
        }
    }
    while !matches!(test_kill_process(id), Err(rustix::io::Errno::SRCH)) {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
