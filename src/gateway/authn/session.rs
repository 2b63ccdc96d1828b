//! Who is signed in with which browser: a bounded table in memory.
//!
//! The cookie holds 256 random bits. Only its SHA-256 is kept, so that reading the gateway's memory gives no way to sign in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

/// A session ends this many seconds after the sign-in.
const MAX_AGE_SECONDS: i64 = 12 * 60 * 60;
/// And this many seconds after its last request.
const MAX_IDLE_SECONDS: i64 = 60 * 60;
/// For so many seconds after the password was typed a key can be made, and a device approved, without it: both outlive the session, and a
/// browser that was left open or whose cookie was stolen must not turn into one. Revoking takes no password: it can only do less harm, and
/// may be urgent.
const MAX_PASSWORD_AGE_SECONDS: i64 = 15 * 60;
/// Sessions of all accounts together; beyond it the least recently used one ends.
const MAX_SESSIONS: usize = 4096;
/// Sessions of one account; beyond it its least recently used one ends.
const MAX_SESSIONS_PER_ACCOUNT: usize = 32;

/// The browser sessions, in memory. A cookie is kept as its SHA-256.
#[derive(Default)]
pub struct Sessions(Mutex<Table>);

#[derive(Default)]
struct Table {
    all: HashMap<[u8; 32], Session>,
    /// How often all sessions of an account were ended.
    endings: u64,
    /// Which of these was the last of each account: one account does not disturb the sign-ins of another.
    last_endings: HashMap<Uuid, u64>,
}

/// A moment, as [`Sessions::checkpoint`] gives it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint(u64);

struct Session {
    user: Uuid,
    since: i64,
    seen: i64,
    /// When the password was typed last.
    confirmed: i64,
    /// Dropped with the session: handles see by it that the session has ended.
    alive: Arc<()>,
}

/// Says later on whether a session that was there is still there.
#[derive(Clone, Debug, Default)]
pub struct SessionHandle(Weak<()>);

impl SessionHandle {
    /// Whether the session is still open.
    pub fn counts(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// A session that was found.
pub struct Found {
    /// The id of the account that is signed in.
    pub user: Uuid,
    /// Whether the password was typed within the last quarter of an hour.
    pub fresh: bool,
    /// Tells whether the session is still open, later in the same request.
    pub handle: SessionHandle,
}

impl Session {
    fn counts(&self, now: i64) -> bool {
        now - self.since <= MAX_AGE_SECONDS && now - self.seen <= MAX_IDLE_SECONDS
    }
}

impl Sessions {
    /// This moment: to be asked for before a password is checked.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint(self.lock().endings)
    }

    /// Starts a session and returns the value of its cookie. A full table loses its oldest session. `None` when the account's sessions
    /// were ended since `checked`: the password that was checked may be the old one.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn start(&self, user: Uuid, now: i64, checked: Checkpoint) -> Result<Option<String>, getrandom::Error> {
        let cookie = random_token()?;
        let mut table = self.lock();
        if table.last_endings.get(&user).is_some_and(|ending| *ending > checked.0) {
            return Ok(None);
        }
        let all = &mut table.all;
        if all.len() >= MAX_SESSIONS {
            all.retain(|_, session| session.counts(now));
        }
        if all.values().filter(|session| session.user == user).count() >= MAX_SESSIONS_PER_ACCOUNT {
            drop_oldest(all, |session| session.user == user);
        } else if all.len() >= MAX_SESSIONS {
            drop_oldest(all, |_| true);
        }
        all.insert(digest(&cookie), Session { user, since: now, seen: now, confirmed: now, alive: Arc::default() });
        Ok(Some(cookie))
    }

    /// Whose session a cookie is of, which counts as a use of it.
    pub fn find(&self, cookie: &str, now: i64) -> Option<Found> {
        let (mut table, digest) = (self.lock(), digest(cookie));
        let session = table.all.get_mut(&digest)?;
        if session.counts(now) {
            session.seen = session.seen.max(now);
            let handle = SessionHandle(Arc::downgrade(&session.alive));
            return Some(Found {
                user: session.user,
                fresh: now - session.confirmed <= MAX_PASSWORD_AGE_SECONDS,
                handle,
            });
        }
        table.all.remove(&digest);
        None
    }

    /// Notes that the password was typed again.
    pub fn confirm(&self, cookie: &str, now: i64) {
        if let Some(session) = self.lock().all.get_mut(&digest(cookie)) {
            session.confirmed = session.confirmed.max(now);
        }
    }

    /// Ends the session of a cookie; does nothing if there is none.
    pub fn end(&self, cookie: &str) {
        self.lock().all.remove(&digest(cookie));
    }

    /// Ends all sessions of an account.
    pub fn end_all_of(&self, user: Uuid) {
        let mut table = self.lock();
        table.endings += 1;
        let ending = table.endings;
        table.last_endings.insert(user, ending);
        table.all.retain(|_, session| session.user != user);
    }

    /// A panic elsewhere leaves the table as it was after its last whole change.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 256 random bits as 43 characters.
///
/// # Errors
/// When the operating system gives no random numbers.
pub fn random_token() -> Result<String, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(*bytes))
}

fn digest(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie).into()
}

fn drop_oldest(all: &mut HashMap<[u8; 32], Session>, pick: impl Fn(&Session) -> bool) {
    let oldest = all.iter().filter(|(_, session)| pick(session)).min_by_key(|(_, session)| session.seen);
    if let Some(digest) = oldest.map(|(digest, _)| *digest) {
        all.remove(&digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(sessions: &Sessions, user: Uuid, now: i64) -> String {
        sessions.start(user, now, sessions.checkpoint()).unwrap().unwrap()
    }

    fn find(sessions: &Sessions, cookie: &str, now: i64) -> Option<Uuid> {
        sessions.find(cookie, now).map(|found| found.user)
    }

    #[test]
    fn a_session_is_fresh_for_15_minutes_and_its_handle_ends_with_it() {
        let (sessions, user) = (Sessions::default(), Uuid::new_v4());
        let cookie = start(&sessions, user, 0);
        assert!(sessions.find(&cookie, 900).unwrap().fresh && !sessions.find(&cookie, 901).unwrap().fresh);
        sessions.confirm(&cookie, 901);
        let found = sessions.find(&cookie, 1801).unwrap();
        assert!(found.fresh && found.handle.counts());
        sessions.end_all_of(user);
        assert!(!found.handle.counts());
        sessions.confirm(&cookie, 1900);
        assert!(sessions.find(&cookie, 1900).is_none(), "no password brings it back");
    }

    #[test]
    fn sessions_end_when_idle_old_or_ended() {
        let (sessions, user) = (Sessions::default(), Uuid::new_v4());
        let idle = start(&sessions, user, 0);
        assert_eq!(find(&sessions, &idle, 3600), Some(user));
        assert_eq!(find(&sessions, &idle, 7201), None);
        assert_eq!(find(&sessions, &idle, 3600), None, "and stays ended");

        let busy = start(&sessions, user, 0);
        for now in (0..=12 * 3600).step_by(1800) {
            assert_eq!(find(&sessions, &busy, now), Some(user), "{now}");
        }
        assert_eq!(find(&sessions, &busy, 12 * 3600 + 1), None);

        let (mine, other) = (start(&sessions, user, 0), start(&sessions, Uuid::new_v4(), 0));
        sessions.end_all_of(user);
        assert!(find(&sessions, &mine, 1).is_none() && find(&sessions, &other, 1).is_some());
        sessions.end(&other);
        assert!(find(&sessions, &other, 1).is_none());
    }

    #[test]
    fn the_number_of_sessions_is_bounded() {
        let (sessions, user) = (Sessions::default(), Uuid::new_v4());
        let first = start(&sessions, user, 0);
        let others: Vec<String> = (1..=32).map(|now| start(&sessions, user, now)).collect();
        assert!(find(&sessions, &first, 40).is_none(), "the oldest of the account makes room");
        assert!(others.iter().all(|cookie| cookie.len() == 43 && find(&sessions, cookie, 40).is_some()));
        for _ in 0..5000 {
            start(&sessions, Uuid::new_v4(), 50);
        }
        assert_eq!(sessions.lock().all.len(), MAX_SESSIONS);
    }

    #[test]
    fn a_password_checked_before_sessions_ended_starts_none() {
        let (sessions, user) = (Sessions::default(), Uuid::new_v4());
        let checked = sessions.checkpoint();
        sessions.end_all_of(user);
        assert!(sessions.start(user, 0, checked).unwrap().is_none());
        assert!(sessions.start(user, 0, sessions.checkpoint()).unwrap().is_some());
        // Another account's sign-in is none of it.
        assert!(sessions.start(Uuid::new_v4(), 0, checked).unwrap().is_some());
    }
}
