//! This process and the programs it starts: hardening before the first secret is touched, its undoing before another program takes our
//! place, and opening a page in the browser.

use std::process::{Child, ExitStatus, Stdio};
#[cfg(unix)]
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::env::keep_secrets_from;

/// The soft limit on core dumps that we were started with; `None` means unlimited.
#[cfg(unix)]
static CORE_LIMIT: OnceLock<Option<u64>> = OnceLock::new();

/// Keeps secrets out of core dumps, and on Linux other processes of the same account out of our memory and environment
/// (`ptrace`, `/proc/<pid>/mem`, `/proc/<pid>/environ`). Where the system refuses, the program works all the same.
pub fn harden() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        // The soft limit alone: what we start, such as the browser, may raise its own again.
        let Rlimit { current, maximum } = getrlimit(Resource::Core);
        let _ = CORE_LIMIT.set(current);
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
    }
}

/// Puts the limit on core dumps back to what it was: a program that takes our place is to find what it would have found without
/// us. Until then our memory stays undumpable by the other means of [`harden`].
#[cfg(unix)]
pub fn soften() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    if let Some(&current) = CORE_LIMIT.get() {
        let maximum = getrlimit(Resource::Core).maximum;
        let _ = setrlimit(Resource::Core, Rlimit { current, maximum });
    }
}

/// How long a program that opens pages is watched: one that cannot fails sooner, one that can may run as long as the browser.
const WATCHED: Duration = Duration::from_millis(500);

/// Starts the first program that can show `url`, and waits only to see whether it fails at once: a browser that hangs must not
/// hang us. It gets neither our streams nor the secrets in our environment.
///
/// # Errors
/// When none could be started, or all failed.
pub fn open_in_browser(url: &str) -> std::io::Result<()> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "no program that opens web pages was found");
    for mut command in open::commands(url) {
        keep_secrets_from(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt;
            // Ctrl-C at our prompt is not meant for the browser.
            command.process_group(0);
        }
        match command.spawn() {
            Ok(mut child) => match failed_at_once(&mut child) {
                Some(status) => {
                    let program = command.get_program().to_string_lossy().into_owned();
                    last = std::io::Error::other(format!("{program}: {status}"));
                }
                None => {
                    // Reaped on another thread, so that no zombie is left while we wait for the approval.
                    std::thread::spawn(move || child.wait());
                    return Ok(());
                }
            },
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn failed_at_once(child: &mut Child) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < WATCHED {
        match child.try_wait() {
            Ok(Some(status)) => return (!status.success()).then_some(status),
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => return None,
        }
    }
    None
}
