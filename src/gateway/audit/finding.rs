//! What is wrong with an event log, as far as its records and hashes tell.

use std::fmt;

use serde::Serialize;

/// Something that no gateway does to its log. Indexes are those of records in one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Finding {
    /// The stored bytes of a record do not have the hash that is stored for it.
    Changed {
        /// The origin of the log.
        log: String,
        /// Which record.
        index: u64,
    },
    /// The columns by which a record is found do not say what its bytes say.
    Columns {
        /// The origin of the log.
        log: String,
        /// Which record.
        index: u64,
        /// Which columns.
        columns: Vec<&'static str>,
    },
    /// Records are not there, and no record says that they were removed.
    Missing {
        /// The origin of the log.
        log: String,
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// A record has a lower number than one before it.
    Order {
        /// The origin of the log.
        log: String,
        /// Which record.
        index: u64,
    },
    /// Hashes that are stored are not those of the records.
    Hashes {
        /// The origin of the log.
        log: String,
        /// The first record that is below one of them.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// The stored tree is another one than that of the records.
    Tree {
        /// The origin of the log.
        log: String,
        /// How many records there are.
        size: u64,
        /// How many the stored tree has.
        stored_size: i64,
    },
    /// A checkpoint names another tree: records were changed, and the hashes with them.
    Rewritten {
        /// The origin of the log.
        log: String,
        /// The first record that may have been changed.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// A stored checkpoint names another tree: records were changed, and the hashes with them, or the checkpoint was replaced.
    Checkpoint {
        /// The origin of the log.
        log: String,
        /// The first record that may have been changed.
        first: u64,
        /// How many records the checkpoint names.
        size: u64,
    },
    /// A checkpoint that is known from elsewhere is not stored, or not as it was signed, although the log has grown since.
    CheckpointMissing {
        /// The origin of the log.
        log: String,
        /// How many records the checkpoint names.
        size: u64,
    },
    /// Events are in no log that there is, at no index that a log has, or at one that another has: no gateway has written them so.
    Stray {
        /// How many.
        count: i64,
    },
    /// Filters by time do not find events with these numbers, because other times are noted of them.
    Times {
        /// The first number.
        first: i64,
        /// The last one.
        last: i64,
    },
    /// A checkpoint names more records than there are.
    Cut {
        /// The origin of the log.
        log: String,
        /// How many records there are.
        size: u64,
        /// How many the checkpoint has.
        checkpoint: u64,
    },
}

impl Finding {
    /// The origin of its log, if it is about one.
    pub fn log(&self) -> Option<&str> {
        match self {
            Self::Changed { log, .. }
            | Self::Columns { log, .. }
            | Self::Missing { log, .. }
            | Self::Order { log, .. }
            | Self::Hashes { log, .. }
            | Self::Tree { log, .. }
            | Self::Rewritten { log, .. }
            | Self::Checkpoint { log, .. }
            | Self::CheckpointMissing { log, .. }
            | Self::Cut { log, .. } => Some(log),
            Self::Stray { .. } | Self::Times { .. } => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { index, .. } => write!(f, "the record {index} was changed"),
            Self::Columns { index, columns, .. } => {
                write!(f, "the record {index} is found by other values than it has: {}", columns.join(", "))
            }
            Self::Missing { first, last, .. } if first == last => write!(f, "the record {first} is missing"),
            Self::Missing { first, last, .. } => write!(f, "the records {first} to {last} are missing"),
            Self::Order { index, .. } => write!(f, "the record {index} is shown in another place"),
            Self::Hashes { first, last, .. } => {
                write!(f, "the stored hashes of the records {first} to {last} are not theirs")
            }
            Self::Tree { size, stored_size, .. } => {
                write!(f, "the stored tree has {stored_size} records, and there are {size}, or others")
            }
            Self::Rewritten { first, last, .. } => {
                write!(f, "a record between {first} and {last} was changed, and the hashes with it")
            }
            Self::Checkpoint { first, size, .. } => write!(
                f,
                "the stored checkpoint of {size} records names others: a record from {first} on was changed, and the hashes with it, or \
                 the checkpoint was replaced"
            ),
            Self::CheckpointMissing { size, .. } => {
                write!(f, "the checkpoint of {size} records was removed from the database, or replaced")
            }
            Self::Times { first, last } => {
                write!(f, "filters by time do not find all events with the numbers {first} to {last}")
            }
            Self::Stray { count } => write!(f, "{count} events are in no log, and no gateway has written them so"),
            Self::Cut { size, checkpoint, .. } => {
                write!(f, "there are {size} records, and there were {checkpoint}: the others are missing")
            }
        }
    }
}
