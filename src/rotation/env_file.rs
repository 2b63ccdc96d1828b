//! One variable in a file of `NAME=value` lines, as shells, systemd and containers read them. Every other byte stays.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::disk::{Controller, Destination, DiskError, LastLink, Snapshot, probe_replace, replace_file};

/// Why a key cannot be put into an env file. In each case the file is as it was.
#[derive(Debug, Error)]
pub enum EnvFileError {
    /// It cannot be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The variable name is invalid.
    #[error("{0:?} is not a valid variable name: use letters, digits and _, and do not begin with a digit")]
    Name(String),
    /// The key holds a character that some readers of such files would take for something else.
    #[error("this key contains characters that some programs would misread in an env file")]
    Unwritable,
    /// What was read back is not what was written.
    #[error("{0} does not contain the new key after writing: another program changes it")]
    Changed(String),
}

/// An env file and the variable that holds the key.
#[derive(Debug, Clone)]
pub struct EnvFile {
    path: PathBuf,
    name: String,
}

impl EnvFile {
    /// Describes one. A path through symbolic links is followed to the file behind them, which is the one that is replaced; a file
    /// that does not exist will be made. Links of other accounts are not followed: they would decide which file gets the key.
    ///
    /// # Errors
    /// [`EnvFileError::Name`], [`EnvFileError::Disk`].
    pub fn new(path: &Path, name: &str) -> Result<Self, EnvFileError> {
        let fits =
            |(at, byte): (usize, u8)| byte == b'_' || byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit());
        if name.is_empty() || !name.bytes().enumerate().all(fits) {
            return Err(EnvFileError::Name(name.to_owned()));
        }
        let path = Destination::resolve(path, LastLink::Follow)?.path().to_owned();
        Ok(Self { path, name: name.to_owned() })
    }

    /// The variable.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file itself, behind any links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts `key` in, whole or not at all, and reads it back. The file keeps its owner and mode; a new one is for its owner alone.
    ///
    /// # Errors
    /// See [`EnvFileError`].
    pub fn write(&self, key: &SecretString) -> Result<(), EnvFileError> {
        let key = key.expose_secret();
        // No reader of such files unquotes, expands or cuts off any of these.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+/=:@%,~".contains(&byte);
        if key.is_empty() || !key.bytes().all(plain) {
            return Err(EnvFileError::Unwritable);
        }
        let before = Snapshot::take(&self.path)?;
        let after = set(before.content(), &self.name, key);
        replace_file(&self.path, &before, &after)?;
        if self.read()?.is_none_or(|read| read.expose_secret() != key) {
            return Err(EnvFileError::Changed(self.path.display().to_string()));
        }
        Ok(())
    }

    /// The key in it.
    ///
    /// # Errors
    /// [`EnvFileError::Disk`].
    pub fn read(&self) -> Result<Option<SecretString>, EnvFileError> {
        let now = Snapshot::take(&self.path)?;
        let values = lines(now.content()).filter_map(|line| value(line, &self.name));
        Ok(values.last().and_then(|value| std::str::from_utf8(value).ok()).map(SecretString::from))
    }

    /// Finds out whether a key could be put in now; nothing changes.
    ///
    /// # Errors
    /// [`EnvFileError::Disk`].
    pub fn probe(&self) -> Result<(), EnvFileError> {
        Ok(probe_replace(&self.path, &Snapshot::take(&self.path)?)?)
    }

    /// Who else will be able to read the key in it or to replace it, in a sentence without a full stop for each.
    ///
    /// # Errors
    /// [`EnvFileError::Disk`].
    pub fn exposures(&self) -> Result<Vec<String>, EnvFileError> {
        let (now, path) = (Snapshot::take(&self.path)?, self.path.display());
        let owner =
            now.other_owner().map(|uid| format!("{path} belongs to user id {uid}, which will be able to read the key"));
        let exposed = now.is_exposed().then(|| format!("other accounts on this machine can read {path}"));
        let controller = match Destination::resolve(&self.path, LastLink::Keep)?.controller() {
            Some(Controller::Account(uid)) if now.other_owner() != Some(uid) => {
                Some(format!("a folder of {path} belongs to user id {uid}, which can replace the file"))
            }
            Some(Controller::Everyone) => Some(format!("other accounts on this machine can replace {path}")),
            _ => None,
        };
        Ok(owner.into_iter().chain(exposed).chain(controller).collect())
    }
}

/// The lines, each with its end.
fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split_inclusive(|byte| *byte == b'\n')
}

/// Where the value of a line that sets `name` begins.
fn value_begins(line: &[u8], name: &str) -> Option<usize> {
    let skip = |from: usize| from + line[from..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let mut at = skip(0);
    if line[at..].starts_with(b"export") && matches!(line.get(at + 6), Some(b' ' | b'\t')) {
        at = skip(at + 6);
    }
    let rest = line[at..].strip_prefix(name.as_bytes())?;
    at += name.len();
    (rest.first() == Some(&b'=')).then_some(at + 1)
}

/// The extent of a value, without quotes: where it begins and ends, counted from the beginning of the line.
fn extent(line: &[u8], from: usize) -> (usize, usize) {
    let rest = &line[from..];
    let end_of_line = from + rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
    if let Some(quote) = rest.first().filter(|byte| matches!(byte, b'"' | b'\''))
        && let Some(length) = line[from + 1..end_of_line].iter().position(|byte| byte == quote)
        && ends_value(&line[from + length + 2..end_of_line])
    {
        return (from + 1, from + 1 + length);
    }
    let value = &line[from..end_of_line];
    let ends = (0..value.len()).find(|at| ends_value(&value[*at..]));
    let value = &value[..ends.unwrap_or(value.len())];
    (from, from + value.trim_ascii_end().len())
}

/// Whether a value is over where this follows: nothing, a comment, or another command of a shell script.
fn ends_value(rest: &[u8]) -> bool {
    let after = rest.trim_ascii_start();
    let another = rest.first() == Some(&b';') && rest.get(1).is_none_or(u8::is_ascii_whitespace);
    after.is_empty() || another || (after.len() < rest.len() && after.starts_with(b"#"))
}

fn value<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (begin, end) = extent(line, value_begins(line, name)?);
    Some(&line[begin..end])
}

/// The content with every line that sets `name` setting it to `key`, or with one more line.
fn set(content: &[u8], name: &str, key: &str) -> Zeroizing<Vec<u8>> {
    // Room for all of it, so that no copy of the key is left behind by growing.
    let mut after = Zeroizing::new(Vec::with_capacity(content.len() * (key.len() + 1) + name.len() + key.len() + 8));
    let mut found = false;
    for line in lines(content) {
        match value_begins(line, name) {
            None => after.extend_from_slice(line),
            Some(from) => {
                let (begin, end) = extent(line, from);
                after.extend_from_slice(&line[..begin]);
                after.extend_from_slice(key.as_bytes());
                after.extend_from_slice(&line[end..]);
                found = true;
            }
        }
    }
    if !found {
        let newline: &[u8] = if content.ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
        if !content.is_empty() && !content.ends_with(b"\n") {
            after.extend_from_slice(newline);
        }
        after.extend_from_slice(name.as_bytes());
        after.push(b'=');
        after.extend_from_slice(key.as_bytes());
        after.extend_from_slice(newline);
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(content: &str) -> String {
        String::from_utf8(set(content.as_bytes(), "KEY", "new").to_vec()).unwrap()
    }

    #[test]
    fn the_value_changes_and_nothing_else() {
        for (before, after) in [
            ("", "KEY=new\n"),
            ("A=1\n", "A=1\nKEY=new\n"),
            ("A=1", "A=1\nKEY=new\n"),
            ("A=1\r\n", "A=1\r\nKEY=new\r\n"),
            ("KEY=old", "KEY=new"),
            ("KEY=\nB=2\n", "KEY=new\nB=2\n"),
            ("  export KEY=\"old one\" # why\nB=2\n", "  export KEY=\"new\" # why\nB=2\n"),
            ("KEY='old'\r\n", "KEY='new'\r\n"),
            ("KEY=old # why\n", "KEY=new # why\n"),
            ("KEY=old; export KEY\n", "KEY=new; export KEY\n"),
            ("KEY=\"old\"; export KEY\r\n", "KEY=\"new\"; export KEY\r\n"),
            ("KEY=o;ld\n", "KEY=new\n"),
            ("KEY=\"o\\\"ld\" # why\n", "KEY=new # why\n"),
            ("KEY='o'\"ld\"\n", "KEY=new\n"),
            ("KEY=o#ld\n", "KEY=new\n"),
            ("KEY=\"open\n", "KEY=new\n"),
            ("KEY=1\nKEY=2\n", "KEY=new\nKEY=new\n"),
            ("#KEY=old\nMY_KEY=x\nKEYS=y\nKEY =z\n", "#KEY=old\nMY_KEY=x\nKEYS=y\nKEY =z\nKEY=new\n"),
            ("exportKEY=1\n", "exportKEY=1\nKEY=new\n"),
        ] {
            assert_eq!(changed(before), after, "{before:?}");
            let last = lines(after.as_bytes()).filter_map(|line| value(line, "KEY")).last();
            assert_eq!(last, Some(&b"new"[..]), "{before:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_pass() {
        assert_eq!(*set(b"\xff\xfe\nKEY=a\n", "KEY", "new"), b"\xff\xfe\nKEY=new\n");
    }

    #[test]
    fn what_some_reader_would_misread_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.env");
        let file = EnvFile::new(&path, "KEY").unwrap();
        for key in ["", "a b", "a$b", "a\"b", "a'b", "a\\b", "a\nb", "a#b", "a`b", "ü"] {
            assert!(matches!(file.write(&key.into()), Err(EnvFileError::Unwritable)), "{key:?}");
        }
        assert!(!path.exists());
        for name in ["", "1A", "A B", "A=B", "A-B"] {
            assert!(matches!(EnvFile::new(&path, name), Err(EnvFileError::Name(_))), "{name:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn mode_and_link_stay_and_a_new_file_is_private() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.env"), folder.path().join("link.env"));
        std::fs::write(&real, "A=1\n").unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&real, &link).unwrap();
        let file = EnvFile::new(&link, "KEY").unwrap();
        file.write(&"k1".into()).unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "A=1\nKEY=k1\n");
        assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(file.exposures().unwrap().len(), 1);
        let new = EnvFile::new(&folder.path().join("new.env"), "KEY").unwrap();
        assert!(new.read().unwrap().is_none());
        new.write(&"k2".into()).unwrap();
        assert_eq!(new.read().unwrap().unwrap().expose_secret(), "k2");
        assert_eq!(new.path().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(new.exposures().unwrap().is_empty());
        // A link to nothing could point anywhere.
        let dangling = folder.path().join("dangling");
        symlink(folder.path().join("nowhere"), &dangling).unwrap();
        assert!(matches!(EnvFile::new(&dangling, "KEY"), Err(EnvFileError::Disk(DiskError::Io { .. }))));
    }
}
