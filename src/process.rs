//! This process and the programs it starts: hardening before the first secret is touched, its undoing before another program takes our
//! place, and opening a page in the browser.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
#[cfg(unix)]
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::env::keep_secrets_from;
use crate::os_error::without_codes;

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

/// Starts the first program that can show `url`: those that `browser` names, as in the variable `BROWSER`, then the system's.
/// Waits only to see whether it fails at once: a browser that hangs must not hang us. It gets neither our streams nor the
/// secrets in our environment.
///
/// # Errors
/// When none could be started, or all failed.
pub fn open_in_browser(browser: Option<&str>, url: &str) -> std::io::Result<()> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "no program that opens web pages was found");
    for mut command in named_commands(browser, url).into_iter().chain(open::commands(url)) {
        keep_secrets_from(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt;
            // Ctrl-C at our prompt is not meant for the browser.
            command.process_group(0);
        }
        let program = command.get_program().to_string_lossy().into_owned();
        match command.spawn() {
            Ok(mut child) => match failed_at_once(&mut child) {
                Some(status) => last = std::io::Error::other(format!("{program}: {status}")),
                None => {
                    // Reaped on another thread, so that no zombie is left while we wait for the approval.
                    std::thread::spawn(move || child.wait());
                    return Ok(());
                }
            },
            // Most systems have only one of those that are tried.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => last = std::io::Error::other(format!("{program}: {}", without_codes(&error.to_string()))),
        }
    }
    Err(last)
}

/// The commands of `BROWSER`: separated by colons, with `%s` in place of the link, which is otherwise the last argument.
fn named_commands(browser: Option<&str>, url: &str) -> Vec<Command> {
    let entries = browser.unwrap_or_default().split(':').map(str::trim).filter(|entry| !entry.is_empty());
    let command = |entry: &str| {
        // A path with spaces is a program too.
        let words = if Path::new(entry).is_file() { vec![entry.to_owned()] } else { shell_words::split(entry).ok()? };
        let (program, args) = words.split_first()?;
        let mut command = Command::new(program);
        command.args(args.iter().map(|arg| arg.replace("%s", url)));
        if !args.iter().any(|arg| arg.contains("%s")) {
            command.arg(url);
        }
        Some(command)
    };
    entries.filter_map(command).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_variable_is_a_list_of_commands() {
        let read = |text: &str| -> Vec<String> {
            let commands = named_commands(Some(text), "https://h/x?a=1&b=2");
            commands.iter().map(|command| format!("{command:?}")).collect()
        };
        assert_eq!(read("firefox"), [r#""firefox" "https://h/x?a=1&b=2""#]);
        assert_eq!(
            read(r#"my-browser --new "--url=%s" -a ''"#),
            [r#""my-browser" "--new" "--url=https://h/x?a=1&b=2" "-a" """#]
        );
        assert_eq!(read("none:: w3m %s "), [r#""none" "https://h/x?a=1&b=2""#, r#""w3m" "https://h/x?a=1&b=2""#]);
        assert!(read("").is_empty() && read("'open").is_empty() && named_commands(None, "x").is_empty());
    }
}
