//! A JSON file with a version number: absent is empty, broken is set aside or kept, newer is left alone, and a change
//! is read, made and written under one lock.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{DiskError, Lock, move_aside, read_public, remove, write_atomic};

const LOCK_DEADLINE: Duration = Duration::from_secs(10);
const VERSION: &str = "version";

/// Where a versioned document is stored and which version of it this program writes.
///
/// The content type must serialize to a JSON object without a member `version`: that one is added here.
#[derive(Debug, Clone)]
pub struct Document {
    path: PathBuf,
    version: u64,
    lock_deadline: Duration,
    keeps_broken: bool,
    removes_empty: bool,
}

impl Document {
    /// Describes a document; nothing is read yet. `version` is the newest one known, counted from 1.
    pub fn new(path: impl Into<PathBuf>, version: u64) -> Self {
        Self { path: path.into(), version, lock_deadline: LOCK_DEADLINE, keeps_broken: false, removes_empty: false }
    }

    /// Gives a change up at once when another process holds the lock.
    #[must_use]
    pub fn without_waiting(self) -> Self {
        Self { lock_deadline: Duration::ZERO, ..self }
    }

    /// Leaves a broken document where it is, so that every use fails until a person acts. For what decides where things are sent:
    /// an empty document would send them elsewhere.
    #[must_use]
    pub fn keeping_broken(self) -> Self {
        Self { keeps_broken: true, ..self }
    }

    /// Removes the file when a change leaves nothing in it: an absent one is the same.
    #[must_use]
    pub fn removing_empty(self) -> Self {
        Self { removes_empty: true, ..self }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the document; an absent one is the default value.
    ///
    /// # Errors
    /// [`DiskError::Broken`] for content that makes no sense, which is moved aside first unless it is kept;
    /// [`DiskError::NewerVersion`], with the file left alone; whatever [`read_public`] refuses.
    pub fn load<T: DeserializeOwned + Default>(&self) -> Result<T, DiskError> {
        match self.read() {
            Err(Unreadable::Broken(reason)) if self.keeps_broken => Err(self.kept(reason)),
            // Only a look under the lock is sure not to move aside what another process has just repaired.
            Err(Unreadable::Broken(_)) => {
                let _lock = self.lock()?;
                self.read_or_set_aside()
            }
            Err(Unreadable::Disk(error)) => Err(error),
            Ok(content) => Ok(content),
        }
    }

    /// Reads the document and changes nothing, whatever it holds: for looking at what may be broken.
    ///
    /// # Errors
    /// As for [`Document::load`], but what is broken stays where it is.
    pub fn peek<T: DeserializeOwned + Default>(&self) -> Result<T, DiskError> {
        self.read().map_err(|error| match error {
            Unreadable::Disk(error) => error,
            Unreadable::Broken(reason) => self.kept(reason),
        })
    }

    fn kept(&self, reason: String) -> DiskError {
        DiskError::Broken { path: self.path.clone(), aside: None, reason }
    }

    /// Replaces the document whatever it held. Prefer [`Document::update`] for a change.
    ///
    /// # Errors
    /// Those of [`write_atomic`] and of taking the lock.
    pub fn save<T: Serialize>(&self, content: &T) -> Result<(), DiskError> {
        let _lock = self.lock()?;
        self.write(content)
    }

    /// Reads the document, lets `change` alter it and writes it back, all under the lock. When `change` fails
    /// nothing is written.
    ///
    /// # Errors
    /// Those of [`Document::load`] and [`Document::save`], and that of `change`.
    pub fn update<T, R, E>(&self, change: impl FnOnce(&mut T) -> Result<R, E>) -> Result<R, E>
    where
        T: Serialize + DeserializeOwned + Default + PartialEq,
        E: From<DiskError>,
    {
        let _lock = self.lock()?;
        let mut content: T = self.read_or_set_aside()?;
        let result = change(&mut content)?;
        if self.removes_empty && content == T::default() {
            remove(&self.path)?;
        } else {
            self.write(&content)?;
        }
        Ok(result)
    }

    fn lock(&self) -> Result<Lock, DiskError> {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".lock");
        Lock::acquire(Path::new(&name), self.lock_deadline)
    }

    fn read_or_set_aside<T: DeserializeOwned + Default>(&self) -> Result<T, DiskError> {
        self.read().map_err(|error| match error {
            Unreadable::Disk(error) => error,
            Unreadable::Broken(reason) if self.keeps_broken => self.kept(reason),
            Unreadable::Broken(reason) => {
                DiskError::Broken { path: self.path.clone(), aside: move_aside(&self.path).ok(), reason }
            }
        })
    }

    fn read<T: DeserializeOwned + Default>(&self) -> Result<T, Unreadable> {
        let Some(bytes) = read_public(&self.path).map_err(Unreadable::Disk)? else {
            return Ok(T::default());
        };
        let mut object: Map<String, Value> = serde_json::from_slice(&bytes)?;
        let found = object
            .shift_remove(VERSION)
            .and_then(|version| version.as_u64())
            .filter(|version| *version > 0)
            .ok_or_else(|| Unreadable::Broken("it has no version number".to_owned()))?;
        if found > self.version {
            return Err(Unreadable::Disk(DiskError::NewerVersion {
                path: self.path.clone(),
                found,
                known: self.version,
            }));
        }
        Ok(serde_json::from_value(Value::Object(object))?)
    }

    fn write<T: Serialize>(&self, content: &T) -> Result<(), DiskError> {
        let failed = |error: serde_json::Error| DiskError::io("write", &self.path, error.into());
        let content = serde_json::to_value(content).map_err(failed)?;
        let mut object = Map::from_iter([(VERSION.to_owned(), self.version.into())]);
        if let Value::Object(members) = content {
            object.extend(members);
        }
        let mut bytes = serde_json::to_vec_pretty(&object).map_err(failed)?;
        bytes.push(b'\n');
        write_atomic(&self.path, &bytes)
    }
}

enum Unreadable {
    Disk(DiskError),
    Broken(String),
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    type Names = BTreeMap<String, u32>;

    fn document(folder: &tempfile::TempDir) -> Document {
        Document::new(folder.path().join("names.json"), 2)
    }

    fn put(document: &Document, text: &str) {
        write_atomic(document.path(), text.as_bytes()).unwrap();
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let document = document(&folder);
        assert!(document.load::<Names>().unwrap().is_empty());
        document
            .update(|names: &mut Names| {
                names.insert("a".to_owned(), 1);
                Ok::<_, DiskError>(())
            })
            .unwrap();
        assert_eq!(document.load::<Names>().unwrap()["a"], 1);
        let text = fs::read_to_string(document.path()).unwrap();
        assert_eq!(text, "{\n  \"version\": 2,\n  \"a\": 1\n}\n");
    }

    #[test]
    fn a_change_that_fails_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let document = document(&folder);
        let busy = || DiskError::TooLarge { path: PathBuf::new(), limit: 0 };
        assert!(document.update(|_: &mut Names| Err::<(), _>(busy())).is_err());
        assert!(!document.path().exists());
    }

    #[test]
    fn a_broken_document_is_moved_aside_whole() {
        for text in ["", "{", "[]", "{}", "{\"version\":0}", "{\"version\":1,\"a\":\"x\"}"] {
            let folder = tempfile::tempdir().unwrap();
            let document = document(&folder);
            put(&document, text);
            let error = document.load::<Names>().unwrap_err();
            let DiskError::Broken { aside: Some(aside), .. } = &error else {
                panic!("{text:?}: {error}");
            };
            assert_eq!(fs::read_to_string(aside).unwrap(), text);
            assert!(error.to_string().contains("names.json.broken-1"), "{error}");
            assert!(document.load::<Names>().unwrap().is_empty());
        }
    }

    #[test]
    fn a_peek_leaves_a_broken_document_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let document = document(&folder);
        assert!(document.peek::<Names>().unwrap().is_empty());
        put(&document, "{");
        assert!(matches!(document.peek::<Names>(), Err(DiskError::Broken { aside: None, .. })));
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["names.json"]);
    }

    #[test]
    fn a_broken_document_that_is_kept_fails_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let document = document(&folder).keeping_broken();
        put(&document, "{");
        for _ in 0..2 {
            let changed = document.update(|_: &mut Names| Ok::<_, DiskError>(()));
            for result in [document.load::<Names>().map(|_| ()), changed] {
                assert!(matches!(result, Err(DiskError::Broken { aside: None, .. })));
            }
        }
        assert_eq!(fs::read_to_string(document.path()).unwrap(), "{");
    }

    #[test]
    fn a_newer_document_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let document = document(&folder);
        let text = "{\"version\":3,\"later\":[]}";
        put(&document, text);
        for result in [document.load::<Names>().map(|_| ()), document.update(|_: &mut Names| Ok::<_, DiskError>(()))] {
            let error = result.unwrap_err();
            assert!(matches!(error, DiskError::NewerVersion { found: 3, known: 2, .. }));
        }
        assert_eq!(fs::read_to_string(document.path()).unwrap(), text);
    }

    #[test]
    fn simultaneous_changes_all_survive() {
        let folder = tempfile::tempdir().unwrap();
        let document = document(&folder);
        std::thread::scope(|scope| {
            for number in 0..8 {
                let document = &document;
                scope.spawn(move || {
                    document
                        .update(|names: &mut Names| {
                            names.insert(number.to_string(), number);
                            Ok::<_, DiskError>(())
                        })
                        .unwrap();
                });
            }
        });
        assert_eq!(document.load::<Names>().unwrap().len(), 8);
    }
}
