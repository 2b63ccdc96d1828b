//! A lock between processes (and threads), so that two changes of one file happen one after the other.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use super::DiskError;
use super::write::ensure_private_dir;

const MIN_PAUSE: Duration = Duration::from_millis(2);
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// An exclusive advisory lock, held until it is dropped or the process ends, however it ends.
///
/// The lock file stays behind: removing it would let two processes lock two different files of one name.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock on the file `path`, which is created when absent, waiting at most `deadline` for it.
    /// Blocks the calling thread.
    ///
    /// # Errors
    /// [`DiskError::Busy`] after the deadline, [`DiskError::Io`] when the file cannot be opened (a symbolic
    /// link is not followed) or the file system has no locks.
    pub fn acquire(path: &Path, deadline: Duration) -> Result<Self, DiskError> {
        if let Some(folder) = path.parent() {
            ensure_private_dir(folder)?;
        }
        let file = open(path)?;
        let start = Instant::now();
        let mut pause = MIN_PAUSE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(source)) => {
                    return Err(DiskError::io("lock", path, source));
                }
                Err(TryLockError::WouldBlock) => {}
            }
            let left = deadline.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(DiskError::Busy { path: path.to_owned(), deadline });
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}

fn open(path: &Path) -> Result<File, DiskError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.mode(0o600).custom_flags(flags.bits().cast_signed());
    }
    options.open(path).map_err(|source| DiskError::io("lock", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_waits_and_then_gives_up_naming_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/state.lock");
        let held = Lock::acquire(&path, Duration::ZERO).unwrap();
        let error = Lock::acquire(&path, Duration::from_millis(5)).unwrap_err();
        assert!(matches!(&error, DiskError::Busy { path: named, .. } if *named == path));
        drop(held);
        Lock::acquire(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn changes_under_the_lock_do_not_overtake_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let (lock, counter) = (folder.path().join("lock"), folder.path().join("counter"));
        std::fs::write(&counter, "0").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let _held = Lock::acquire(&lock, Duration::from_secs(30)).unwrap();
                        let before = std::fs::read_to_string(&counter).unwrap();
                        let after = before.parse::<u32>().unwrap() + 1;
                        std::fs::write(&counter, after.to_string()).unwrap();
                    }
                });
            }
        });
        assert_eq!(std::fs::read_to_string(&counter).unwrap(), "80");
    }
}
