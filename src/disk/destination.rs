//! Where a path leads that a person gave. Another account may control a folder on the way: its symbolic links are not followed, since
//! they would decide which file is written, and everything afterwards happens in the folder that was opened.

#[cfg(not(unix))]
mod elsewhere;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub use elsewhere::Destination;
#[cfg(unix)]
pub use unix::Destination;
#[cfg(unix)]
pub(super) use unix::is_trusted;

/// Who can replace a file because of the folders above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// The account that a folder belongs to.
    Account(u32),
    /// Everyone: a folder is open to all.
    Everyone,
}

/// What to do with a link that has the last name of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastLink {
    /// The file behind it is meant.
    Follow,
    /// It is in the way.
    Keep,
}
