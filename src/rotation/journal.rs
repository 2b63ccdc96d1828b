//! The journal of rotations in progress, on disk: ids, never a key.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::address::Origin;
use crate::disk::{DiskError, Document, Lock};
use crate::keyspec::KeyId;
use crate::vault::{EntryId, EntryKind, StoreKind};

const FILE: &str = "rotations.json";
const VERSION: u64 = 1;

/// How far a rotation has come: what is named has been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The new key may have been requested; at most the vault has it.
    Asked,
    /// It is in the vault, beside the old one.
    Stored,
    /// The host accepts it, and deployment has started: the targets may have it.
    Deploying,
    /// It is deployed, and the host accepts it there.
    Deployed,
    /// The profile uses it.
    InUse,
    /// The old key's end is set at the host.
    Ending,
}

/// Where to deploy a new key. A run that resumes a rotation must be able to do the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    /// The env file, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_file: Option<PathBuf>,
    /// The variable in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_var: Option<String>,
    /// Whether there is a command. The command itself is not written down: it may hold more than it should.
    #[serde(default)]
    pub command: bool,
}

impl Targets {
    /// Whether there is any.
    pub fn any(&self) -> bool {
        self.env_file.is_some() || self.command
    }
}

/// One rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// The profile by whose credential it is done.
    pub profile: String,
    /// Its host, to which alone the keys go.
    pub origin: Origin,
    /// The key that is replaced; `None` at a host whose keys only a person can make and revoke.
    pub old: Option<KeyId>,
    /// The key that replaces it: its public id, chosen here. At a host without `old` it is a name for our use alone.
    pub new: KeyId,
    /// The old key is the one that the profile keeps, and the new one takes its place there.
    pub kept: bool,
    /// The store in which the new key waits.
    pub store: StoreKind,
    /// Where it is handed out.
    #[serde(default)]
    pub targets: Targets,
    /// How far it has come.
    pub step: Step,
    /// When it began, in Unix seconds of this machine's clock.
    pub began_at: i64,
    /// When the old key ends, as the host has said, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_ends_at: Option<i64>,
}

impl Rotation {
    /// Where the new key waits in the vault. The id is part of the name: what is found there is this key and no other.
    pub fn entry(&self) -> EntryId {
        EntryId::new(EntryKind::NextApiKey, format!("{}@{}", self.new, self.profile), self.origin.clone())
    }

    /// Whether the new key is not in use yet: until then the old one must not end.
    pub fn is_unfinished(&self) -> bool {
        self.step < Step::Ending
    }
}

#[derive(Debug, Default, Serialize, Deserialize, PartialEq)]
struct Content {
    rotations: Vec<Rotation>,
}

/// The journal's file, and the lock that keeps two runs apart.
#[derive(Debug, Clone)]
pub struct Journal {
    document: Document,
    lock: PathBuf,
}

impl Journal {
    /// The one in a data folder; nothing is read yet.
    pub fn new(data_dir: &Path) -> Self {
        Self { document: Document::new(data_dir.join(FILE), VERSION), lock: data_dir.join("rotation.lock") }
    }

    /// Locks out other runs until the lock is dropped; `None` when one is running. Blocks for up to `patience`.
    ///
    /// # Errors
    /// When there can be no lock.
    pub fn lock(&self, patience: Duration) -> Result<Option<Lock>, DiskError> {
        match Lock::acquire(&self.lock, patience) {
            Ok(lock) => Ok(Some(lock)),
            Err(DiskError::Busy { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every rotation that is not over, the oldest first.
    ///
    /// # Errors
    /// A damaged journal is moved aside and reported, once.
    pub fn load(&self) -> Result<Vec<Rotation>, DiskError> {
        Ok(self.document.load::<Content>()?.rotations)
    }

    /// As [`Journal::load`], and changes nothing, whatever the file holds.
    ///
    /// # Errors
    /// As there, but a damaged journal stays where it is.
    pub fn peek(&self) -> Result<Vec<Rotation>, DiskError> {
        Ok(self.document.peek::<Content>()?.rotations)
    }

    /// Writes a rotation down, in place of what was known of it. When this returns, it is on disk.
    ///
    /// # Errors
    /// When it cannot be written; then the journal is as it was.
    pub fn record(&self, rotation: &Rotation) -> Result<(), DiskError> {
        self.document.update(|content: &mut Content| {
            match content.rotations.iter_mut().find(|known| known.new == rotation.new) {
                Some(known) => known.clone_from(rotation),
                None => content.rotations.push(rotation.clone()),
            }
            Ok(())
        })
    }

    /// Strikes a rotation out.
    ///
    /// # Errors
    /// As for [`Journal::record`].
    pub fn remove(&self, new: &KeyId) -> Result<(), DiskError> {
        self.document.update(|content: &mut Content| {
            content.rotations.retain(|known| known.new != *new);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_holds_ids_alone() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path());
        let mut rotation = Rotation {
            profile: "gw".into(),
            origin: "https://gw.example".parse().unwrap(),
            old: Some("key_11111111".parse().unwrap()),
            new: "key_22222222".parse().unwrap(),
            kept: true,
            store: StoreKind::File,
            targets: Targets { env_file: Some("/etc/app.env".into()), env_var: Some("KEY".into()), command: true },
            step: Step::Asked,
            began_at: 1,
            old_ends_at: None,
        };
        journal.record(&rotation).unwrap();
        rotation.step = Step::Ending;
        rotation.old_ends_at = Some(5);
        journal.record(&rotation).unwrap();
        assert_eq!(journal.load().unwrap(), [rotation.clone()]);
        let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(text.contains("\"ending\"") && text.contains("key_22222222"), "{text}");
        assert_eq!(rotation.entry().to_string(), "next-api-key:key_22222222@gw:https://gw.example");
        journal.remove(&rotation.new).unwrap();
        assert!(journal.load().unwrap().is_empty());
    }

    #[test]
    fn one_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path());
        let held = journal.lock(Duration::ZERO).unwrap().unwrap();
        assert!(journal.lock(Duration::ZERO).unwrap().is_none());
        drop(held);
        assert!(journal.lock(Duration::ZERO).unwrap().is_some());
    }
}
