//! The private folder that everything rests in, and that nothing is left of.

use std::path::Path;
use std::time::Duration;

use tempfile::{Builder, TempDir};

use crate::exit::{Exit, Problem};

/// How often its removal is tried: the database may still be writing when it is first.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// A folder (0700) that is removed when this is dropped, with all that is in it.
pub struct Folder(TempDir);

impl Folder {
    /// Makes one where temporary files belong.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn new() -> Result<Self, Problem> {
        let mut builder = Builder::new();
        builder.prefix("ollama-auth-quickstart-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o700));
        }
        let made = builder.tempdir().map_err(|error| {
            Problem::new(Exit::Failed, format!("no temporary folder can be made: {error}"))
                .hint("name another place for temporary files: TMPDIR")
        })?;
        Ok(Self(made))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for _ in 0..TRIES {
            match std::fs::remove_dir_all(self.0.path()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => std::thread::sleep(PAUSE),
                _ => return,
            }
        }
    }
}
