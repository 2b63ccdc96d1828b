//! The input history: lines typed at the prompt, one entry a line, oldest first; a line break is written `\n`, a backslash `\\`. The
//! file has mode 0600 in a 0700 folder.

use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::path::PathBuf;

use crate::api::holds_key;
use crate::app::App;
use crate::disk::{ensure_private_dir, read_private, write_atomic};

/// See the module.
pub(super) struct History {
    file: PathBuf,
    on: bool,
    entries: Vec<String>,
    /// The warning that the file cannot be written was shown.
    warned: bool,
}

impl History {
    /// Reads it, unless it is switched off. A file that grew long is cut to the newest entries.
    pub(super) fn open(app: &App) -> Self {
        let file = app.paths.state.join("history");
        let mut history = Self { file, on: !app.env.no_history, entries: Vec::new(), warned: false };
        if !history.on {
            return history;
        }
        match read_private(&history.file) {
            Ok(None) => {}
            Ok(Some(bytes)) => {
                let text = String::from_utf8_lossy(&bytes);
                history.entries = decode_entries(&text);
                if text.lines().count() > 2 * MAX_ENTRIES {
                    let kept: String = history.entries.iter().filter_map(|entry| encode_entry(entry)).collect();
                    if let Err(error) = write_atomic(&history.file, kept.as_bytes()) {
                        history.disable(app, &error);
                    }
                }
            }
            Err(error) => history.disable(app, &error),
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
        self.warned = false;
    }

    /// Stores a line. `false` where it must not be stored, for example a key that was pasted by mistake.
    pub(super) fn add(&mut self, app: &App, entry: &str) -> bool {
        if !self.on {
            return false;
        }
        let Some(line) = encode_entry(entry) else { return false };
        if holds_key(entry) {
            app.printer.warn("this line looks like it contains an API key, so it is not saved in the history");
            return false;
        }
        if !self.warned
            && let Err(error) = self.append(&line)
        {
            self.disable(app, &error);
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

    fn disable(&mut self, app: &App, error: &dyn std::error::Error) {
        self.warned = true;
        app.printer.warn(&format!("cannot save the input history in {}: {error}", self.file.display()));
    }
}

/// Entries that are kept.
pub const MAX_ENTRIES: usize = 1000;
/// The longest entry that is kept, in bytes: history search is useless for a pasted book.
const MAX_ENTRY_BYTES: usize = 16 * 1024;

/// An entry as a line, with its newline; `None` for what is not kept: long ones, and lines that begin with a space, as in a shell.
pub fn encode_entry(entry: &str) -> Option<String> {
    if entry.trim().is_empty() || entry.starts_with(' ') || entry.len() > MAX_ENTRY_BYTES {
        return None;
    }
    Some(entry.replace('\\', "\\\\").replace('\r', "").replace('\n', "\\n") + "\n")
}

/// The newest entries of a file.
pub fn decode_entries(text: &str) -> Vec<String> {
    let entries: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    entries[entries.len().saturating_sub(MAX_ENTRIES)..].iter().map(|line| decode_line(line)).collect()
}

fn decode_line(line: &str) -> String {
    let mut entry = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (c, c == '\\') {
            (_, true) => match characters.next() {
                Some('n') => entry.push('\n'),
                Some(other) => entry.push(other),
                None => entry.push('\\'),
            },
            (c, false) => entry.push(c),
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn some_things_are_not_kept() {
        assert_eq!(encode_entry(" private"), None);
        assert_eq!(encode_entry("  \n"), None);
        assert_eq!(encode_entry(&"x".repeat(MAX_ENTRY_BYTES + 1)), None);
        assert_eq!(encode_entry("a\nb\\n").unwrap(), "a\\nb\\\\n\n");
    }

    #[test]
    fn only_the_newest_are_read() {
        let text: String = (0..MAX_ENTRIES + 5).map(|n| format!("{n}\n")).collect();
        let entries = decode_entries(&text);
        assert_eq!((entries.len(), entries[0].as_str()), (MAX_ENTRIES, "5"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in prop::collection::vec("[^\r ][^\r]{0,20}", 0..5)) {
            let kept: Vec<String> = entries.into_iter().filter(|entry| !entry.trim().is_empty()).collect();
            let text: String = kept.iter().filter_map(|entry| encode_entry(entry)).collect();
            prop_assert_eq!(decode_entries(&text), kept);
        }
    }
}
