//! Key files of stock Ollama: whether they are keys, whether the two halves belong together, who else can read them.

use super::super::finding::{Finding, Group, Level};
use super::super::view::View;
use super::super::view::key_files::{Content, KeyFile};
use crate::disk::shell_quoted;
use crate::identity::IdentityError;

const GROUP: Group = Group::KeyFiles;

/// See the module.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    if view.key_files.is_empty() {
        let what = format!("no stock Ollama has made a key here ({} is not there)", view.app.paths.stock_key.display());
        return vec![Finding::new(Level::Note, GROUP, "key-file", what)];
    }
    let mut found: Vec<Finding> = view.key_files.iter().flat_map(one).collect();
    if let [own, service] = view.key_files.as_slice()
        && let (Some(a), Some(b)) = (own.key(), service.key())
        && a != b
    {
        let what = "there are two Ollama keys on this machine: this account's and the service's";
        let why = "a server uses the key of the account that it runs as: the other one does nothing for it, however well it is connected";
        found.push(Finding::new(Level::Note, GROUP, "key-file-two", what).why(why));
    }
    found
}

fn one(file: &KeyFile) -> Vec<Finding> {
    let mut found = vec![content(file)];
    found.extend(owner(file));
    found.extend(exposure(file));
    found.extend(public_half(file));
    found
}

fn content(file: &KeyFile) -> Finding {
    let path = file.path.display();
    let quoted = shell_quoted(&file.path);
    let error = match &file.content {
        Content::Key(key) => {
            let what = format!("{path} is a key ({})", key.fingerprint());
            return Finding::new(Level::Ok, GROUP, "key-file", what);
        }
        Content::NotAllowed => {
            let key = file.key().map_or(String::new(), |key| format!(" ({})", key.fingerprint()));
            let what = format!("{path}{key} is not ours to read");
            let level = if file.of_this_account { Level::Error } else { Level::Note };
            return Finding::new(level, GROUP, "key-file-closed", what);
        }
        Content::Unreadable(reason) => {
            let what = format!("{path} cannot be read: {reason}");
            return Finding::new(Level::Error, GROUP, "key-file-unreadable", what);
        }
        Content::NoKey(error) => error,
    };
    let why = "Ollama cannot sign in to ollama.com with it, and makes no new key while the file is there";
    let finding = |check, what: String| Finding::new(Level::Error, GROUP, check, what).why(why);
    match error {
        IdentityError::Encrypted => finding("key-file-protected", format!("{path} is protected by a passphrase"))
            .remedy(format!("ssh-keygen -p -f {quoted}")),
        IdentityError::NotOpenSsh("an empty file") => finding("key-file-empty", format!("{path} is empty"))
            .remedy(format!("mv {quoted} {quoted}.empty"))
            .remedy("then start Ollama again: it makes a new key, which has to be signed in"),
        other => finding("key-file-foreign", format!("{path} is no key that Ollama can use: {other}"))
            .remedies(other.hint().map(|hint| hint.replace("FILE", &quoted))),
    }
}

fn owner(file: &KeyFile) -> Option<Finding> {
    if !file.of_this_account || file.access.is_ours() {
        return None;
    }
    let what = format!("{} belongs to another account (user id {})", file.path.display(), file.access.owner);
    let finding = Finding::new(Level::Warning, GROUP, "key-file-owner", what)
        .why("an Ollama that runs as this account cannot read or replace it; `sudo ollama …` may have made it")
        .remedy(format!("sudo chown \"$(id -u)\" {}", shell_quoted(&file.path)));
    Some(finding)
}

fn exposure(file: &KeyFile) -> Vec<Finding> {
    let mut found = Vec::new();
    if file.access.is_open_to_others() {
        let what = format!("{} is open to other accounts (mode {:04o})", file.path.display(), file.access.mode);
        let finding = Finding::new(Level::Error, GROUP, "key-file-exposed", what)
            .why("whoever can read it can act as this machine at ollama.com; consider it known")
            .remedy(format!("chmod 600 {}", shell_quoted(&file.path)))
            .remedy(
                "if others use this machine, disconnect the key at https://ollama.com/settings/keys and make a new one",
            );
        found.push(finding);
    }
    if let (Some(folder), Some(parent)) = (file.folder, file.path.parent())
        && folder.is_writable_by_others()
    {
        let what = format!("{} can be changed by other accounts (mode {:04o})", parent.display(), folder.mode);
        let finding = Finding::new(Level::Error, GROUP, "key-folder-writable", what)
            .why("they can put a key of their own in place of yours")
            .remedy(format!("chmod go-w {}", shell_quoted(parent)));
        found.push(finding);
    }
    found
}

fn public_half(file: &KeyFile) -> Option<Finding> {
    let Content::Key(key) = &file.content else {
        return None;
    };
    let public = file.path.with_extension("pub");
    let what = match &file.public {
        Some(Ok(public)) if public == key => return None,
        // Nobody needs it but people.
        None => return None,
        Some(Ok(_)) => format!("{} is the public half of another key", public.display()),
        Some(Err(error)) => format!("{} holds no public key: {error}", public.display()),
    };
    let finding = Finding::new(Level::Error, GROUP, "key-file-halves", what)
        .why("whoever connects what stands there connects a key that the server does not have")
        .remedy(format!("ssh-keygen -y -f {} > {}", shell_quoted(&file.path), shell_quoted(&public)));
    Some(finding)
}
