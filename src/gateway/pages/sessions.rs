//! Who is signed in with which browser: a bounded table in memory.
//!
//! The cookie holds 256 random bits. Only its SHA-256 is kept, so whoever reads our memory cannot sign in with it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::random_text;

/// A session ends this many seconds after the sign-in.
const LONGEST: i64 = 12 * 60 * 60;
/// And this many seconds after its last request.
const LONGEST_IDLE: i64 = 60 * 60;
/// As many in all.
const MOST: usize = 4096;
/// As many of one account.
const MOST_OF_ONE: usize = 32;

/// The sessions.
#[derive(Default)]
pub struct Sessions(Mutex<Table>);

#[derive(Default)]
struct Table {
    all: HashMap<[u8; 32], Session>,
    /// How often all sessions of an account were ended.
    endings: u64,
}

/// A moment, as [`Sessions::moment`] gives it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Moment(u64);

struct Session {
    user: Uuid,
    since: i64,
    seen: i64,
}

impl Session {
    fn counts(&self, now: i64) -> bool {
        now - self.since <= LONGEST && now - self.seen <= LONGEST_IDLE
    }
}

impl Sessions {
    /// This moment: to be asked for before a password is checked.
    pub fn moment(&self) -> Moment {
        Moment(self.lock().endings)
    }

    /// Starts a session and returns the value of its cookie. A full table loses its oldest session. `None` when sessions were ended
    /// since `checked`: the password that was checked may be the old one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn start(&self, user: Uuid, now: i64, checked: Moment) -> Result<Option<String>, getrandom::Error> {
        let cookie = random_text()?;
        let mut table = self.lock();
        if checked != Moment(table.endings) {
            return Ok(None);
        }
        let all = &mut table.all;
        if all.len() >= MOST {
            all.retain(|_, session| session.counts(now));
        }
        if all.values().filter(|session| session.user == user).count() >= MOST_OF_ONE {
            drop_oldest(all, |session| session.user == user);
        } else if all.len() >= MOST {
            drop_oldest(all, |_| true);
        }
        all.insert(digest(&cookie), Session { user, since: now, seen: now });
        Ok(Some(cookie))
    }

    /// Whose session a cookie is of, which counts as a use of it.
    pub fn find(&self, cookie: &str, now: i64) -> Option<Uuid> {
        let (mut table, digest) = (self.lock(), digest(cookie));
        let session = table.all.get_mut(&digest)?;
        if session.counts(now) {
            session.seen = session.seen.max(now);
            return Some(session.user);
        }
        table.all.remove(&digest);
        None
    }

    /// Ends one session.
    pub fn end(&self, cookie: &str) {
        self.lock().all.remove(&digest(cookie));
    }

    /// Ends all sessions of an account.
    pub fn end_all_of(&self, user: Uuid) {
        let mut table = self.lock();
        table.endings += 1;
        table.all.retain(|_, session| session.user != user);
    }

    /// A panic elsewhere leaves the table as it was after its last whole change.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        sessions.start(user, now, sessions.moment()).unwrap().unwrap()
    }

    #[test]
    fn ends_when_idle_when_old_and_when_told() {
        let (sessions, user) = (Sessions::default(), Uuid::new_v4());
        let idle = start(&sessions, user, 0);
        assert_eq!(sessions.find(&idle, 3600), Some(user));
        assert_eq!(sessions.find(&idle, 7201), None);
        assert_eq!(sessions.find(&idle, 3600), None, "and stays ended");

        let busy = start(&sessions, user, 0);
        for now in (0..=12 * 3600).step_by(1800) {
            assert_eq!(sessions.find(&busy, now), Some(user), "{now}");
        }
        assert_eq!(sessions.find(&busy, 12 * 3600 + 1), None);

        let (mine, other) = (start(&sessions, user, 0), start(&sessions, Uuid::new_v4(), 0));
        sessions.end_all_of(user);
        assert!(sessions.find(&mine, 1).is_none() && sessions.find(&other, 1).is_some());
        sessions.end(&other);
        assert!(sessions.find(&other, 1).is_none());
    }

    #[test]
    fn holds_a_bounded_number_and_no_cookie() {
        let (sessions, user) = (Sessions::default(), Uuid::new_v4());
        let first = start(&sessions, user, 0);
        let others: Vec<String> = (1..=32).map(|now| start(&sessions, user, now)).collect();
        assert!(sessions.find(&first, 40).is_none(), "the oldest of the account makes room");
        assert!(others.iter().all(|cookie| cookie.len() == 43 && sessions.find(cookie, 40).is_some()));
        for _ in 0..5000 {
            start(&sessions, Uuid::new_v4(), 50);
        }
        assert_eq!(sessions.lock().all.len(), MOST);
    }

    #[test]
    fn none_starts_with_a_password_from_before_all_were_ended() {
        let (sessions, user) = (Sessions::default(), Uuid::new_v4());
        let checked = sessions.moment();
        sessions.end_all_of(user);
        assert!(sessions.start(user, 0, checked).unwrap().is_none());
        assert!(sessions.start(user, 0, sessions.moment()).unwrap().is_some());
    }
}
