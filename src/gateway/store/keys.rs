//! What a store is asked about API keys that are not in memory any more, and how they are deleted.

use uuid::Uuid;

use super::{InvitationId, KeyRecord};
use crate::keyspec::{KeyHash, KeyId};

/// A key that was revoked or has expired: as much as it takes to say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedKey {
    /// Its public id.
    pub id: KeyId,
    /// Whose it was.
    pub user: Uuid,
    /// The SHA-256 of it.
    pub hash: KeyHash,
    /// Whether it was revoked; otherwise it has expired.
    pub is_revoked: bool,
    /// When it expires, in Unix seconds.
    pub expires_at: Option<i64>,
}

impl EndedKey {
    /// What remains of that key.
    pub fn of(key: &KeyRecord) -> Self {
        Self {
            id: key.id.clone(),
            user: key.user,
            hash: key.hash,
            is_revoked: key.revoked_at.is_some(),
            expires_at: key.rights.expires_at,
        }
    }
}

/// Which keys of an account are wanted, the newest first, those of the same second by id.
#[derive(Clone, Debug)]
pub struct KeyQuery {
    /// The account.
    pub user: Uuid,
    /// Only those behind a key that was made at that Unix second and has that id.
    pub after: Option<(i64, KeyId)>,
    /// Whether revoked keys are among them.
    pub revoked: bool,
    /// Only those with this id or name.
    pub matching: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// What is kept how long after it ended or happened, in seconds, and how much of it; `None` for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Keys and invitations that have ended.
    pub keys: Option<i64>,
    /// Events.
    pub events: Option<i64>,
    /// How many bytes the lines of all events may have together; `None` without a limit.
    pub event_bytes: Option<i64>,
    /// Records of single requests.
    pub usage_records: Option<i64>,
    /// Totals by hour.
    pub usage_hours: Option<i64>,
    /// Totals by day, and when credentials were used last.
    pub usage_days: Option<i64>,
    /// Whether events were removed just now, and there may be more to remove.
    pub goes_on: bool,
}

/// What changed since keys were looked through the last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Keys that have expired.
    pub expired: Vec<KeyId>,
    /// Keys that are valid again, since the clock was set back.
    pub revived: Vec<KeyId>,
    /// Keys whose records were deleted.
    pub deleted: Vec<KeyHash>,
    /// Invitations whose records were deleted.
    pub invitations: Vec<InvitationId>,
    /// How many events were deleted.
    pub events: u64,
    /// Whether there are more to delete at once.
    pub has_more_events: bool,
    /// How many records and totals of usage were deleted.
    pub usage: u64,
    /// Whether there are more to delete at once.
    pub has_more_usage: bool,
}
