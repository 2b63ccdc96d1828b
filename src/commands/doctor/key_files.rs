//! The key files of stock Ollama, of this account and of the service account that a systemd install makes: whether they are
//! keys, whether the two halves belong together, who else can read them.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Snapshot;
use super::files::{Access, access};
use super::report::{Finding, Group, Level};
use crate::app::App;
use crate::disk::{self, Exposure, shell_quoted};
use crate::identity::{DeviceKey, IdentityError, PublicKey};

/// Where the service that Ollama's installer sets up keeps its key.
const SERVICE_KEY_FILE: &str = "/usr/share/ollama/.ollama/id_ed25519";

/// A key file that is there.
#[derive(Debug)]
pub struct KeyFile {
    /// The private key.
    pub path: PathBuf,
    /// It is that of the account that runs us.
    pub of_this_account: bool,
    /// Mode and owner of the file.
    pub access: Access,
    /// Mode and owner of its folder.
    pub folder: Option<Access>,
    /// The private key, or why it cannot be used.
    pub content: KeyFileContent,
    /// The content of the `.pub` file beside it; `None` if that is missing or unreadable.
    pub public: Option<Result<PublicKey, String>>,
}

/// What a key file holds.
#[derive(Debug)]
pub enum KeyFileContent {
    /// A key; this is its public half.
    Key(PublicKey),
    /// Something else.
    NoKey(IdentityError),
    /// This account may not read it: normal for the key of another account.
    NotAllowed,
    /// It cannot be read.
    Unreadable(String),
}

impl KeyFile {
    /// The public key, if it can be determined.
    pub fn key(&self) -> Option<&PublicKey> {
        match (&self.content, &self.public) {
            (KeyFileContent::Key(key), _) | (KeyFileContent::NotAllowed, Some(Ok(key))) => Some(key),
            _ => None,
        }
    }
}

/// Looks at them.
pub fn gather_key_files(app: &App) -> Vec<KeyFile> {
    let service = Path::new(SERVICE_KEY_FILE);
    let own = inspect(&app.paths.stock_key, true);
    let other = (cfg!(target_os = "linux") && app.paths.stock_key != service).then(|| inspect(service, false));
    own.into_iter().chain(other.flatten()).collect()
}

/// `None` where there is no such file, or its folder is closed to us.
fn inspect(path: &Path, of_this_account: bool) -> Option<KeyFile> {
    let access_of = |path: &Path| access(path).ok().flatten();
    Some(KeyFile {
        access: access_of(path)?,
        folder: path.parent().and_then(access_of),
        content: read_content(path),
        public: read_public(&path.with_extension("pub")),
        path: path.to_owned(),
        of_this_account,
    })
}

fn read_content(path: &Path) -> KeyFileContent {
    match std::fs::metadata(path) {
        // Reading a pipe would block.
        Ok(found) if !found.is_file() => return KeyFileContent::Unreadable("it is not a regular file".to_owned()),
        Err(error) => return unreadable(&error),
        Ok(_) => {}
    }
    let bytes = match disk::read_input(path, Exposure::Anyone) {
        Ok(Some(bytes)) => Zeroizing::new(bytes),
        Ok(None) => return KeyFileContent::Unreadable("it was removed while it was read".to_owned()),
        Err(disk::DiskError::Io { source, .. }) => return unreadable(&source),
        Err(error) => return KeyFileContent::Unreadable(error.to_string()),
    };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return KeyFileContent::NoKey(IdentityError::NotOpenSsh("something else: it is not text"));
    };
    match DeviceKey::from_openssh(text, None) {
        Ok(key) => KeyFileContent::Key(key.public().clone()),
        Err(error) => KeyFileContent::NoKey(error),
    }
}

fn unreadable(error: &io::Error) -> KeyFileContent {
    match error.kind() {
        io::ErrorKind::PermissionDenied => KeyFileContent::NotAllowed,
        _ => KeyFileContent::Unreadable(error.to_string()),
    }
}

fn read_public(path: &Path) -> Option<Result<PublicKey, String>> {
    if !std::fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return None;
    }
    let bytes = disk::read_input(path, Exposure::Anyone).ok()??;
    Some(PublicKey::from_line(&String::from_utf8_lossy(&bytes)).map_err(|error| error.to_string()))
}

/// Checks the key files of stock Ollama.
pub fn check_key_files(snapshot: &Snapshot<'_>) -> Vec<Finding> {
    if snapshot.key_files.is_empty() {
        let what = format!(
            "Ollama has not created a key for this account ({} does not exist)",
            snapshot.app.paths.stock_key.display()
        );
        return vec![Finding::new(Level::Note, Group::KeyFiles, "key-file", what)];
    }
    let mut found: Vec<Finding> = snapshot.key_files.iter().flat_map(check_key_file).collect();
    if let [own, service] = snapshot.key_files.as_slice()
        && let (Some(a), Some(b)) = (own.key(), service.key())
        && a != b
    {
        let what = "this machine has two Ollama keys: this account's and the service's";
        let why = "a server uses the key of the account it runs as; connecting the other key has no effect on it";
        found.push(Finding::new(Level::Note, Group::KeyFiles, "key-file-two", what).why(why));
    }
    found
}

fn check_key_file(file: &KeyFile) -> Vec<Finding> {
    let mut found = vec![content_finding(file)];
    found.extend(owner_finding(file));
    found.extend(exposure_findings(file));
    found.extend(public_half_finding(file));
    found
}

fn content_finding(file: &KeyFile) -> Finding {
    let path = file.path.display();
    let quoted = shell_quoted(&file.path);
    let error = match &file.content {
        KeyFileContent::Key(key) => {
            let what = format!("{path} is a valid key ({})", key.fingerprint());
            return Finding::new(Level::Ok, Group::KeyFiles, "key-file", what);
        }
        KeyFileContent::NotAllowed => {
            let key = file.key().map_or(String::new(), |key| format!(" ({})", key.fingerprint()));
            let what = format!("{path}{key} cannot be read by this account");
            let level = if file.of_this_account { Level::Error } else { Level::Note };
            return Finding::new(level, Group::KeyFiles, "key-file-closed", what);
        }
        KeyFileContent::Unreadable(reason) => {
            let what = format!("{path} cannot be read: {reason}");
            return Finding::new(Level::Error, Group::KeyFiles, "key-file-unreadable", what);
        }
        KeyFileContent::NoKey(error) => error,
    };
    let why = "Ollama cannot sign in to ollama.com with it, and creates no new key while the file exists";
    let finding = |check, what: String| Finding::new(Level::Error, Group::KeyFiles, check, what).why(why);
    match error {
        IdentityError::Encrypted => finding("key-file-protected", format!("{path} is protected by a passphrase"))
            .remedy(format!("ssh-keygen -p -f {quoted}")),
        IdentityError::NotOpenSsh("an empty file") => finding("key-file-empty", format!("{path} is empty"))
            .remedy(format!("mv {quoted} {quoted}.empty"))
            .remedy("then restart Ollama: it creates a new key, which you have to sign in"),
        other => finding("key-file-foreign", format!("Ollama cannot use {path} as a key: {other}"))
            .remedies(other.hint().map(|hint| hint.replace("FILE", &quoted))),
    }
}

fn owner_finding(file: &KeyFile) -> Option<Finding> {
    if !file.of_this_account || file.access.is_own() {
        return None;
    }
    let what = format!("{} belongs to another account (user id {})", file.path.display(), file.access.owner);
    let finding = Finding::new(Level::Warning, Group::KeyFiles, "key-file-owner", what)
        .why("Ollama cannot read or replace it when it runs as this account; `sudo ollama …` may have created it")
        .remedy(format!("sudo chown \"$(id -u)\" {}", shell_quoted(&file.path)));
    Some(finding)
}

fn exposure_findings(file: &KeyFile) -> Vec<Finding> {
    let mut found = Vec::new();
    if file.access.is_open_to_others() {
        let what = format!("{} is accessible to other accounts (mode {:04o})", file.path.display(), file.access.mode);
        let finding = Finding::new(Level::Error, Group::KeyFiles, "key-file-exposed", what)
            .why("anyone who can read it can act as this machine at ollama.com; treat it as compromised")
            .remedy(format!("chmod 600 {}", shell_quoted(&file.path)))
            .remedy(
                "if others use this machine, disconnect the key at https://ollama.com/settings/keys and create a new one",
            );
        found.push(finding);
    }
    if let (Some(folder), Some(parent)) = (file.folder, file.path.parent())
        && folder.is_writable_by_others()
    {
        let what = format!("{} can be changed by other accounts (mode {:04o})", parent.display(), folder.mode);
        let finding = Finding::new(Level::Error, Group::KeyFiles, "key-folder-writable", what)
            .why("they can replace your key with one of theirs")
            .remedy(format!("chmod go-w {}", shell_quoted(parent)));
        found.push(finding);
    }
    found
}

fn public_half_finding(file: &KeyFile) -> Option<Finding> {
    let KeyFileContent::Key(key) = &file.content else {
        return None;
    };
    let public = file.path.with_extension("pub");
    let what = match &file.public {
        Some(Ok(public)) if public == key => return None,
        // Ollama itself does not need the public half.
        None => return None,
        Some(Ok(_)) => format!("{} is the public half of a different key", public.display()),
        Some(Err(error)) => format!("{} does not contain a public key: {error}", public.display()),
    };
    let finding = Finding::new(Level::Error, Group::KeyFiles, "key-file-halves", what)
        .why("connecting this public key connects a key that the server does not have")
        .remedy(format!("ssh-keygen -y -f {} > {}", shell_quoted(&file.path), shell_quoted(&public)));
    Some(finding)
}
