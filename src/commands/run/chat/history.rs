//! The history file: what was typed at the prompt, for the next time. 0600 in a 0700 folder; nothing else ever goes in.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;

use crate::api::holds_key;
use crate::app::App;
use crate::chat::history::{KEPT, decode, encode};
use crate::disk::{ensure_private_dir, read_private, write_atomic};

/// See the module.
pub(super) struct History {
    file: PathBuf,
    on: bool,
    entries: Vec<String>,
    /// It was said that the file cannot be written.
    complained: bool,
}

impl History {
    /// Reads it, unless it is switched off. A file that grew long is cut to the newest entries.
    pub(super) fn open(app: &App) -> Self {
        let file = app.paths.state.join("history");
        let mut history = Self { file, on: !app.env.no_history, entries: Vec::new(), complained: false };
        if !history.on {
            return history;
        }
        match read_private(&history.file) {
            Ok(None) => {}
            Ok(Some(bytes)) => {
                let text = String::from_utf8_lossy(&bytes);
                history.entries = decode(&text);
                if text.lines().count() > 2 * KEPT {
                    let kept: String = history.entries.iter().filter_map(|entry| encode(entry)).collect();
                    if let Err(error) = write_atomic(&history.file, kept.as_bytes()) {
                        history.give_up(app, &error);
                    }
                }
            }
            Err(error) => history.give_up(app, &error),
        }
        history
    }

    /// What was typed before, oldest first.
    pub(super) fn entries(&self) -> Vec<String> {
        self.entries.clone()
    }

    /// Switches it on or off, from the next line on.
    pub(super) fn switch(&mut self, on: bool) {
        self.on = on;
        self.complained = false;
    }

    /// Keeps a line. `false` where nothing is to be kept: a key that was pasted by mistake, for one.
    pub(super) fn add(&mut self, app: &App, entry: &str) -> bool {
        if !self.on {
            return false;
        }
        let Some(line) = encode(entry) else { return false };
        if holds_key(entry) {
            app.printer.warn("that holds what looks like an API key, so it is not kept in the history");
            return false;
        }
        if !self.complained
            && let Err(error) = self.append(&line)
        {
            self.give_up(app, &error);
        }
        true
    }

    fn append(&self, line: &str) -> io::Result<()> {
        if let Some(folder) = self.file.parent() {
            ensure_private_dir(folder).map_err(io::Error::other)?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
            options.mode(0o600).custom_flags(flags.bits().cast_signed());
        }
        // In one write, so that two conversations do not mix their lines.
        options.open(&self.file)?.write_all(line.as_bytes())
    }

    fn give_up(&mut self, app: &App, error: &dyn std::error::Error) {
        self.complained = true;
        app.printer.warn(&format!("what is typed is not kept: {}: {error}", self.file.display()));
    }
}
