//! The key files of stock Ollama: that of this account, and that of the service account which a systemd install makes.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::access::{Access, access};
use crate::app::App;
use crate::disk::{self, Exposure};
use crate::identity::{DeviceKey, IdentityError, PublicKey};

/// Where the service that Ollama's installer sets up keeps its key.
const OF_THE_SERVICE: &str = "/usr/share/ollama/.ollama/id_ed25519";

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
    /// The private key, or why it is none.
    pub content: Content,
    /// What the `.pub` file beside it holds; `None` where there is none or it cannot be read.
    pub public: Option<Result<PublicKey, String>>,
}

/// What a key file holds.
#[derive(Debug)]
pub enum Content {
    /// A key; this is its public half.
    Key(PublicKey),
    /// Something else.
    NoKey(IdentityError),
    /// This account may not read it, which is as it should be for another account's key.
    NotAllowed,
    /// It cannot be read.
    Unreadable(String),
}

impl KeyFile {
    /// The public key, as far as it can be told.
    pub fn key(&self) -> Option<&PublicKey> {
        match (&self.content, &self.public) {
            (Content::Key(key), _) | (Content::NotAllowed, Some(Ok(key))) => Some(key),
            _ => None,
        }
    }
}

/// Looks at them.
pub fn gather(app: &App) -> Vec<KeyFile> {
    let service = Path::new(OF_THE_SERVICE);
    let own = look(&app.paths.stock_key, true);
    let other = (cfg!(target_os = "linux") && app.paths.stock_key != service).then(|| look(service, false));
    own.into_iter().chain(other.flatten()).collect()
}

/// `None` where there is no such file, or its folder is closed to us.
fn look(path: &Path, of_this_account: bool) -> Option<KeyFile> {
    let access_of = |path: &Path| access(path).ok().flatten();
    Some(KeyFile {
        access: access_of(path)?,
        folder: path.parent().and_then(access_of),
        content: content(path),
        public: public(&path.with_extension("pub")),
        path: path.to_owned(),
        of_this_account,
    })
}

fn content(path: &Path) -> Content {
    match std::fs::metadata(path) {
        // A pipe would be waited for.
        Ok(found) if !found.is_file() => return Content::Unreadable("it is no regular file".to_owned()),
        Err(error) => return refused(&error),
        Ok(_) => {}
    }
    let bytes = match disk::read_input(path, Exposure::Anyone) {
        Ok(Some(bytes)) => Zeroizing::new(bytes),
        Ok(None) => return Content::Unreadable("it went away".to_owned()),
        Err(disk::DiskError::Io { source, .. }) => return refused(&source),
        Err(error) => return Content::Unreadable(error.to_string()),
    };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Content::NoKey(IdentityError::NotOpenSsh("something else: it is not text"));
    };
    match DeviceKey::from_openssh(text, None) {
        Ok(key) => Content::Key(key.public().clone()),
        Err(error) => Content::NoKey(error),
    }
}

fn refused(error: &io::Error) -> Content {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Content::NotAllowed,
        _ => Content::Unreadable(error.to_string()),
    }
}

fn public(path: &Path) -> Option<Result<PublicKey, String>> {
    if !std::fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return None;
    }
    let bytes = disk::read_input(path, Exposure::Anyone).ok()??;
    Some(PublicKey::from_line(&String::from_utf8_lossy(&bytes)).map_err(|error| error.to_string()))
}
