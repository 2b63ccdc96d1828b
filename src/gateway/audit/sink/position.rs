//! How far a sink has got in each log, and the file that keeps it.
//!
//! Of the records that were sent, the last one and some earlier ones are known by their hashes, fewer the older they are. So a sink finds
//! where it has to go back to if the database went back.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::{DiskError, read_private};
use crate::transparency_log::Hash;

/// Of the file.
const FORMAT: u32 = 1;

/// How far a sink has got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    logs: Vec<Sent>,
}

/// What was sent of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    origin: String,
    /// Records that were sent, by index, the last one at the end.
    known: Vec<(u64, Hash)>,
}

#[derive(Serialize, Deserialize)]
struct StoredPosition {
    format: u32,
    logs: Vec<StoredLog>,
}

#[derive(Serialize, Deserialize)]
struct StoredLog {
    log: String,
    sent: Vec<(u64, String)>,
}

impl Position {
    /// The last record of a log that was sent, and its hash.
    pub fn last(&self, origin: &str) -> Option<(u64, Hash)> {
        self.known(origin).last().copied()
    }

    /// Records of a log that were sent, the last one at the end.
    pub fn known(&self, origin: &str) -> &[(u64, Hash)] {
        self.logs.iter().find(|sent| sent.origin == origin).map_or(&[], |sent| &sent.known)
    }

    /// Takes note that everything up to a record was sent.
    pub fn note(&mut self, origin: &str, index: u64, hash: Hash) {
        let known = self.known_of(origin);
        known.retain(|(earlier, _)| *earlier < index);
        known.push((index, hash));
        // Of those that are about as far back the oldest stays.
        let distance = |at: u64| (index - at).checked_ilog2();
        let mut previous = None;
        known.retain(|(at, _)| {
            let distance = distance(*at);
            let is_first = previous != Some(distance);
            previous = Some(distance);
            is_first
        });
    }

    /// Takes it back to a record that is [known](Self::known), or to the beginning.
    pub fn go_back(&mut self, origin: &str, to: Option<u64>) {
        self.known_of(origin).retain(|(index, _)| to.is_some_and(|to| *index <= to));
    }

    fn known_of(&mut self, origin: &str) -> &mut Vec<(u64, Hash)> {
        let at = self.logs.iter().position(|sent| sent.origin == origin).unwrap_or_else(|| {
            self.logs.push(Sent { origin: origin.to_owned(), known: Vec::new() });
            self.logs.len() - 1
        });
        &mut self.logs[at].known
    }

    /// The content of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let log = |sent: &Sent| StoredLog {
            log: sent.origin.clone(),
            sent: sent.known.iter().map(|(index, hash)| (*index, hash.to_string())).collect(),
        };
        let stored = StoredPosition { format: FORMAT, logs: self.logs.iter().map(log).collect() };
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let stored: StoredPosition =
            serde_json::from_slice(bytes).ok().filter(|stored: &StoredPosition| stored.format == FORMAT)?;
        let hash = |(index, hash): (u64, String)| Some((index, Hash::from_base64(&hash)?));
        let log = |log: StoredLog| {
            let known = log.sent.into_iter().map(hash).collect::<Option<Vec<_>>>()?;
            known.is_sorted_by_key(|(index, _)| *index).then_some(Sent { origin: log.log, known })
        };
        Some(Self { logs: stored.logs.into_iter().map(log).collect::<Option<_>>()? })
    }

    /// Reads the file. Without one, everything is still to be sent; `None` if it holds something else.
    ///
    /// # Errors
    /// One that cannot be read, or that others can write.
    pub fn read(path: &Path) -> Result<Option<Self>, DiskError> {
        Ok(read_private(path)?.map_or_else(|| Some(Self::default()), |bytes| Self::from_bytes(&bytes)))
    }
}

/// Where the position of a sink is kept that reads a database whose first log has that origin.
pub fn position_file(folder: &Path, first_origin: &str, name: &str) -> PathBuf {
    let origin: String = first_origin.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    folder.join(format!("{origin}.sink-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(index: u64) -> Hash {
        Hash::of_record(&index.to_be_bytes())
    }

    #[test]
    fn some_of_what_was_sent_is_known_and_fewer_the_older_it_is() {
        let mut position = Position::default();
        for index in 0..10_000 {
            position.note("a", index, hash(index));
            let known = position.known("a");
            assert_eq!(known.last(), Some(&(index, hash(index))));
            assert!(known.len() < 18, "{known:?}");
        }
        // Wherever the log went back to, less than about three times as much is sent again.
        for back in [1_u64, 5, 100, 3000, 9000] {
            let to = 9_999 - back;
            let best = position.known("a").iter().rev().find(|(index, _)| *index <= to).unwrap();
            assert!(9_999 - best.0 <= 4 * back, "{back}: {best:?}");
        }
        position.note("b", 3, hash(3));
        position.go_back("a", Some(0));
        assert_eq!((position.last("a"), position.last("b")), (Some((0, hash(0))), Some((3, hash(3)))));
        position.note("a", 5, hash(5));
        position.go_back("a", None);
        assert_eq!((position.last("a"), position.last("c")), (None, None));
    }

    #[test]
    fn it_is_kept_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = position_file(folder.path(), "gateway/1", "siem");
        assert_eq!(path, folder.path().join("gateway-1.sink-siem"));
        assert_eq!(Position::read(&path).unwrap(), Some(Position::default()));
        let mut position = Position::default();
        for index in [0, 1, 2, 500] {
            position.note("a", index, hash(index));
        }
        position.note("b", 0, hash(0));
        crate::disk::write_atomic(&path, &position.to_bytes()).unwrap();
        assert_eq!(Position::read(&path).unwrap(), Some(position));
        for other in
            ["", "{}", "{\"format\":2,\"logs\":[]}", "{\"format\":1,\"logs\":[{\"log\":\"a\",\"sent\":[[1,\"x\"]]}]}"]
        {
            crate::disk::write_atomic(&path, other.as_bytes()).unwrap();
            assert_eq!(Position::read(&path).unwrap(), None, "{other}");
        }
    }
}
