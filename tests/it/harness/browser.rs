//! A stub `xdg-open` instead of a browser: it records the URL and fetches it, fails, or hangs; or it is missing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{gateway::PASSWORD, poll, tool};

/// How the browser behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Fetches the URL, redirects included, as a person who opens the link.
    Follows,
    /// Writes the URL down and leaves it at that, as a person who closes the window.
    Ignores,
    /// Exits 1.
    Fails,
    /// Does not end.
    Hangs,
    /// Is not there at all.
    Missing,
    /// A person of that name signs in on the page with the password of the gateway's people and presses that button.
    Person(&'static str, &'static str),
}

/// The stub in a directory that is to be the PATH, and its log beside it.
pub struct Browser {
    log: PathBuf,
    pids: PathBuf,
    page: PathBuf,
}

impl Browser {
    /// Puts the stub into `bin` (for [`Behaviour::Missing`]: makes sure it holds none); its files go to `state`.
    pub fn install(bin: &Path, state: &Path, behaviour: Behaviour) -> Self {
        let browser =
            Self { log: state.join("browser.log"), pids: state.join("browser.pids"), page: state.join("browser.page") };
        fs::create_dir_all(state).expect("a directory for the browser's files");
        let stub = bin.join("xdg-open");
        let act = match behaviour {
            Behaviour::Missing => {
                let _ = fs::remove_file(&stub);
                return browser;
            }
            Behaviour::Follows => format!(
                "exec '{}' --silent --show-error --fail --location --noproxy '*' --max-time 20 --output '{}' -- \"$1\"",
                tool("curl").display(),
                browser.page.display()
            ),
            Behaviour::Person(name, button) => {
                let script = state.join("person.py");
                fs::write(&script, include_str!("person.py")).expect("the script of a person");
                let (python, script) = (tool("python3"), script.display());
                let page = browser.page.display();
                // python3 may be a script that needs other tools.
                let path = std::env::var("PATH").unwrap_or_default();
                format!(
                    "export PATH='{path}'; exec '{}' '{script}' \"$1\" '{name}' '{PASSWORD}' '{button}' > '{page}' 2>&1",
                    python.display()
                )
            }
            Behaviour::Ignores => "exit 0".to_owned(),
            Behaviour::Fails => "echo 'the stub browser fails' >&2; exit 1".to_owned(),
            Behaviour::Hangs => {
                format!("echo $$ >> '{}'; exec '{}' 600", browser.pids.display(), tool("sleep").display())
            }
        };
        let text = format!("#!/bin/sh\nprintf '%s\\n' \"$1\" >> '{}'\n{act}\n", browser.log.display());
        // Another process writes the stub: were it written here, a fork in another test's thread could hold it open
        // for writing just when it is to be run, which Linux refuses ("text file busy").
        let source = state.join("browser.sh");
        fs::write(&source, text).expect("the text of a stub browser");
        let installed = Command::new(tool("install")).args(["-m", "755"]).args([&source, &stub]).status();
        assert!(installed.expect("`install` runs").success());
        browser
    }

    /// The URLs it was given so far.
    pub fn opened(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until it was given a URL, and gives the first.
    pub fn wait_opened(&self) -> String {
        poll("the browser to be opened", || {
            let text = fs::read_to_string(&self.log).ok()?;
            text.split_once('\n').map(|(first, _)| first.to_owned())
        })
    }

    /// The page it fetched, once it is there.
    pub fn page(&self) -> String {
        poll("the browser to fetch the page", || fs::read_to_string(&self.page).ok().filter(|page| !page.is_empty()))
    }
}

/// Ends what hangs: only what the stub itself wrote down, and only while it is still the stub.
impl Drop for Browser {
    fn drop(&mut self) {
        let pids = fs::read_to_string(&self.pids).unwrap_or_default();
        for pid in pids.lines().filter_map(|line| line.parse::<i32>().ok()) {
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if command.ends_with("\x00600\x00")
                && let Some(pid) = Pid::from_raw(pid)
            {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}
