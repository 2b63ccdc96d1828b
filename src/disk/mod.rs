//! State on disk: whole-file replacement, locks between processes, and versioned JSON documents.
//!
//! Everything here is synchronous and small. Files are private (0600 in 0700 folders on Unix), a symbolic link
//! is never followed, and a file that cannot be understood is moved aside instead of being overwritten.

mod atomic;
mod document;
mod error;
mod keeping;
mod lock;
mod read;

pub use atomic::{ensure_private_dir, move_aside, probe_writable, write_atomic, write_new};
pub use document::Document;
pub use error::DiskError;
pub(crate) use error::{chmod, location_note, shell_quoted};
pub use keeping::{Snapshot, probe_replace, replace_file};
pub use lock::Lock;
pub use read::{Exposure, check_input, read_input, read_private, read_public};
