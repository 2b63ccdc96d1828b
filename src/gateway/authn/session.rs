//! Who is signed in with which browser: a bounded table in memory.
//!
//! The cookie holds 128 random bits and a code of them, so that nothing is looked up for a cookie that no gateway has given. Only its
//! SHA-256 is kept, so that reading the gateway's memory gives no way to sign in.
//!
//! Gateways that share a database tell each other of sessions that begin and end, and now and then that one is used.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::gateway::secret::{self, Secret};
use crate::gateway::store::{Record, SharedSession};

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
/// Ended sessions that are remembered.
const MAX_ENDED: usize = 1024;
/// Sessions of one account; beyond it its least recently used one ends.
const MAX_SESSIONS_PER_ACCOUNT: usize = 32;

/// After so many seconds the other gateways are told again that a session is used.
const SHARED_FOR_SECONDS: i64 = 5 * 60;
/// Of the random part of a cookie, and of its code.
const HALF: usize = 16;

/// The browser sessions, in memory. A cookie is kept as its SHA-256.
pub struct Sessions {
    table: Mutex<Table>,
    key: Zeroizing<[u8; 32]>,
}

#[derive(Default)]
struct Table {
    all: HashMap<[u8; 32], Session>,
    /// How often all sessions of an account were ended.
    endings: u64,
    /// Which of these was the last of each account: one account does not disturb the sign-ins of another.
    last_endings: HashMap<Uuid, u64>,
    /// The latest that were ended here: another gateway may still tell of them.
    ended: VecDeque<[u8; 32]>,
    /// The latest sign-ins at providers that ended there: one may have begun a session at another gateway.
    ended_at_providers: VecDeque<[u8; 32]>,
}

/// A moment, as [`Sessions::checkpoint`] gives it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint(u64);

struct Session {
    user: Uuid,
    since: i64,
    seen: i64,
    /// When the person proved last who they are.
    confirmed: i64,
    /// A digest of the sign-in at a provider that it began with.
    provider_session: Option<[u8; 32]>,
    /// When the other gateways were told last that it is used.
    shared: i64,
    /// Dropped with the session: handles see by it that the session has ended.
    alive: Arc<()>,
}

/// A session that begins.
#[derive(Clone, Copy, Debug)]
pub struct NewSession {
    /// The account.
    pub user: Uuid,
    /// When the person proved who they are, in Unix seconds.
    pub confirmed: i64,
    /// A digest of the sign-in at a provider that it begins with.
    pub provider_session: Option<[u8; 32]>,
}

impl NewSession {
    /// Of a person who typed a password at that Unix second.
    pub fn by_password(user: Uuid, now: i64) -> Self {
        Self { user, confirmed: now, provider_session: None }
    }

    /// The same for the other gateways.
    pub fn shared(&self, cookie: &str, now: i64) -> SharedSession {
        let confirmed = now.saturating_sub(self.confirmed).max(0);
        let (digest, provider_session) = (digest(cookie), self.provider_session);
        SharedSession { digest, user: self.user, since: 0, seen: 0, confirmed, provider_session }
    }
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
    /// Whether the person proved who they are within the last quarter of an hour.
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
    /// Those of gateways with the same secret have cookies of the same form.
    pub fn new(secret: &Secret) -> Self {
        Self { table: Mutex::default(), key: secret.key("sessions") }
    }

    /// A new cookie.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn new_cookie(&self) -> Result<String, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; 2 * HALF]);
        let (random, code) = bytes.split_at_mut(HALF);
        getrandom::fill(random)?;
        code.copy_from_slice(&self.code(random));
        Ok(URL_SAFE_NO_PAD.encode(*bytes))
    }

    /// Whether a gateway with this secret has given that cookie to a browser.
    pub fn is_given(&self, cookie: &str) -> bool {
        let bytes = URL_SAFE_NO_PAD.decode(cookie).map(Zeroizing::new).unwrap_or_default();
        let parts = bytes.split_at_checked(HALF);
        parts.is_some_and(|(random, code)| self.code(random).ct_eq(code).into())
    }

    fn code(&self, random: &[u8]) -> [u8; HALF] {
        let mut mac = secret::mac(&self.key);
        mac.update(random);
        let mut half = [0; HALF];
        half.copy_from_slice(&mac.finalize().into_bytes()[..HALF]);
        half
    }

    /// Whether the session of that cookie is known here.
    pub fn is_known(&self, cookie: &str) -> bool {
        self.lock().all.contains_key(&digest(cookie))
    }

    /// Takes note of what other gateways know.
    pub fn note_news(&self, record: &Record, now: i64) {
        match record {
            Record::Session(told) => {
                let at = |age: i64| now.saturating_sub(age);
                let (since, seen, confirmed) = (at(told.since), at(told.seen), at(told.confirmed));
                let mut table = self.lock();
                // Another gateway may not know yet that it was ended here.
                let is_over = told.provider_session.is_some_and(|of| table.ended_at_providers.contains(&of));
                if is_over || table.ended.contains(&told.digest) {
                    return;
                }
                if let Some(known) = table.all.get_mut(&told.digest) {
                    (known.seen, known.confirmed) = (known.seen.max(seen), known.confirmed.max(confirmed));
                    known.shared = known.shared.max(seen);
                } else {
                    let alive = Arc::default();
                    let provider_session = told.provider_session;
                    let session =
                        Session { user: told.user, since, seen, confirmed, provider_session, shared: seen, alive };
                    table.insert(told.digest, session, now);
                }
            }
            Record::EndedSession(digest) => {
                self.lock().all.remove(digest);
            }
            Record::EndedSessions(user) => self.end_all_of(*user),
            Record::EndedAtProvider(digest) => {
                self.end_at_provider(*digest);
            }
            // Some may have been ended by a change that was not heard of.
            Record::Reloaded => self.lock().all.clear(),
            _ => {}
        }
    }

    /// This moment: to be asked for before a password is checked.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint(self.lock().endings)
    }

    /// Starts the session of a cookie. A full table loses its oldest session. Returns whether it has: not when the account's sessions were
    /// ended since `checked`, since the password that was checked may be the old one; and not after a sign-out at the provider.
    pub fn start(&self, cookie: &str, new: &NewSession, now: i64, checked: Checkpoint) -> bool {
        let mut table = self.lock();
        if !table.may_begin(new, checked) {
            return false;
        }
        let NewSession { user, confirmed, provider_session } = *new;
        let alive = Arc::default();
        let session = Session { user, since: now, seen: now, confirmed, provider_session, shared: now, alive };
        table.insert(digest(cookie), session, now);
        true
    }

    /// Whether the other gateways are to be told that a session is used; takes note that they are.
    pub fn is_to_be_shared(&self, cookie: &str, now: i64) -> bool {
        let mut table = self.lock();
        let session = table.all.get_mut(&digest(cookie));
        session.is_some_and(|session| {
            let is_due = now - session.shared >= SHARED_FOR_SECONDS;
            if is_due {
                session.shared = now;
            }
            is_due
        })
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

    /// Notes that the person of the session whose cookie has that digest proved at that Unix second who they are.
    pub fn confirm(&self, digest: &[u8; 32], at: i64) {
        if let Some(session) = self.lock().all.get_mut(digest) {
            session.confirmed = session.confirmed.max(at);
        }
    }

    /// Whose session it is whose cookie has that digest. That counts as no use of it.
    pub fn user_of(&self, digest: &[u8; 32], now: i64) -> Option<Uuid> {
        self.lock().all.get(digest).filter(|session| session.counts(now)).map(|session| session.user)
    }

    /// The digests of the cookies of an account's sessions.
    pub fn of_user(&self, user: Uuid) -> Vec<[u8; 32]> {
        let table = self.lock();
        table.all.iter().filter(|(_, session)| session.user == user).map(|(digest, _)| *digest).collect()
    }

    /// Notes that a sign-in at a provider ended there: no session begins with it any more. Ends those that did, and returns the digests of
    /// their cookies.
    pub fn end_at_provider(&self, provider_session: [u8; 32]) -> Vec<[u8; 32]> {
        let mut table = self.lock();
        remember(&mut table.ended_at_providers, provider_session);
        table.end_where(|session| session.provider_session == Some(provider_session))
    }

    /// Ends the sessions of an account that began with no session at a provider that has a name, and returns the digests of their cookies.
    pub fn end_without_provider_session(&self, user: Uuid) -> Vec<[u8; 32]> {
        self.lock().end_where(|session| session.user == user && session.provider_session.is_none())
    }

    /// Whether a session may begin: not if those of the account were ended since `checked`, or the sign-in at the provider has ended there.
    pub fn may_begin(&self, new: &NewSession, checked: Checkpoint) -> bool {
        self.lock().may_begin(new, checked)
    }

    /// Ends the session of a cookie; does nothing if there is none.
    pub fn end(&self, cookie: &str) {
        self.end_by_digest(digest(cookie));
    }

    /// The same by the digest of the cookie. Returns whether there was one.
    pub fn end_by_digest(&self, digest: [u8; 32]) -> bool {
        let mut table = self.lock();
        let was_there = table.all.remove(&digest).is_some();
        if was_there {
            remember(&mut table.ended, digest);
        }
        was_there
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
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Ends those, and returns the digests of their cookies.
    fn end_where(&mut self, is_over: impl Fn(&Session) -> bool) -> Vec<[u8; 32]> {
        let ended: Vec<_> =
            self.all.iter().filter(|(_, session)| is_over(session)).map(|(digest, _)| *digest).collect();
        for digest in &ended {
            self.all.remove(digest);
            remember(&mut self.ended, *digest);
        }
        ended
    }

    fn may_begin(&self, new: &NewSession, checked: Checkpoint) -> bool {
        let is_over = new.provider_session.is_some_and(|of| self.ended_at_providers.contains(&of));
        !is_over && self.last_endings.get(&new.user).is_none_or(|ending| *ending <= checked.0)
    }

    fn insert(&mut self, digest: [u8; 32], session: Session, now: i64) {
        let (all, user) = (&mut self.all, session.user);
        if all.len() >= MAX_SESSIONS {
            all.retain(|_, session| session.counts(now));
        }
        if all.values().filter(|session| session.user == user).count() >= MAX_SESSIONS_PER_ACCOUNT {
            drop_oldest(all, |session| session.user == user);
        } else if all.len() >= MAX_SESSIONS {
            drop_oldest(all, |_| true);
        }
        all.insert(digest, session);
    }
}

/// Adds to a list that forgets the oldest.
fn remember(list: &mut VecDeque<[u8; 32]>, digest: [u8; 32]) {
    list.push_back(digest);
    if list.len() > MAX_ENDED {
        list.pop_front();
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

/// What a cookie is kept as.
pub fn digest(cookie: &str) -> [u8; 32] {
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

    fn sessions() -> Sessions {
        Sessions::new(&Secret::random().unwrap())
    }

    fn start(sessions: &Sessions, user: Uuid, now: i64) -> String {
        let cookie = sessions.new_cookie().unwrap();
        assert!(sessions.start(&cookie, &NewSession::by_password(user, now), now, sessions.checkpoint()));
        cookie
    }

    fn find(sessions: &Sessions, cookie: &str, now: i64) -> Option<Uuid> {
        sessions.find(cookie, now).map(|found| found.user)
    }

    #[test]
    fn a_session_is_fresh_for_15_minutes_and_its_handle_ends_with_it() {
        let (sessions, user) = (sessions(), Uuid::new_v4());
        let cookie = start(&sessions, user, 0);
        assert!(sessions.find(&cookie, 900).unwrap().fresh && !sessions.find(&cookie, 901).unwrap().fresh);
        sessions.confirm(&digest(&cookie), 901);
        let found = sessions.find(&cookie, 1801).unwrap();
        assert!(found.fresh && found.handle.counts());
        sessions.end_all_of(user);
        assert!(!found.handle.counts());
        sessions.confirm(&digest(&cookie), 1900);
        assert!(sessions.find(&cookie, 1900).is_none(), "no password brings it back");
    }

    #[test]
    fn sessions_end_when_idle_old_or_ended() {
        let (sessions, user) = (sessions(), Uuid::new_v4());
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
        let (sessions, user) = (sessions(), Uuid::new_v4());
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
        let (sessions, user) = (sessions(), Uuid::new_v4());
        let checked = sessions.checkpoint();
        sessions.end_all_of(user);
        let new = |user| NewSession::by_password(user, 0);
        let start = |user, checked| sessions.start(&sessions.new_cookie().unwrap(), &new(user), 0, checked);
        assert!(!start(user, checked) && !sessions.may_begin(&new(user), checked));
        assert!(start(user, sessions.checkpoint()));
        // Another account's sign-in is none of it.
        assert!(start(Uuid::new_v4(), checked));
    }

    #[test]
    fn a_sign_in_that_ended_at_its_provider_begins_no_session() {
        let (sessions, user) = (sessions(), Uuid::new_v4());
        let new = |provider_session| NewSession { provider_session, ..NewSession::by_password(user, 0) };
        let start = |provider_session| {
            let cookie = sessions.new_cookie().unwrap();
            let begun = sessions.start(&cookie, &new(provider_session), 0, sessions.checkpoint());
            begun.then_some(cookie)
        };
        let [one, other, local] = [Some([1; 32]), Some([2; 32]), None].map(|session| start(session).unwrap());
        // Another gateway tells that.
        sessions.note_news(&Record::EndedAtProvider([1; 32]), 0);
        assert!(find(&sessions, &one, 0).is_none() && start(Some([1; 32])).is_none());
        assert!(!sessions.may_begin(&new(Some([1; 32])), sessions.checkpoint()));
        assert!(find(&sessions, &other, 0).is_some() && find(&sessions, &local, 0).is_some());
        assert!(start(Some([2; 32])).is_some() && start(None).is_some());
    }

    #[test]
    fn a_cookie_is_recognized_by_gateways_with_the_same_secret_only() {
        let secret = Secret::random().unwrap();
        let (one, other, stranger) = (Sessions::new(&secret), Sessions::new(&secret), sessions());
        let cookie = one.new_cookie().unwrap();
        assert!(cookie.len() == 43 && one.is_given(&cookie) && other.is_given(&cookie));
        assert!(!stranger.is_given(&cookie) && !one.is_given(&cookie[..42]) && !one.is_given(""));
        assert!(!one.is_given(&stranger.new_cookie().unwrap()));
    }

    #[test]
    fn a_session_of_another_gateway_is_used_here_until_it_ends() {
        let (sessions, user) = (sessions(), Uuid::new_v4());
        let cookie = sessions.new_cookie().unwrap();
        let (digest, provider_session) = (digest(&cookie), Some([7; 32]));
        let session = SharedSession { digest, user, since: 7200, seen: 3000, confirmed: 7200, provider_session };
        sessions.note_news(&Record::Session(session.clone()), 10_000);
        let found = sessions.find(&cookie, 10_000).unwrap();
        assert!(found.user == user && !found.fresh);
        assert!(sessions.is_to_be_shared(&cookie, 10_000) && !sessions.is_to_be_shared(&cookie, 10_100));
        // The password was typed there.
        sessions.note_news(&Record::Session(SharedSession { confirmed: 0, ..session.clone() }), 10_000);
        assert!(sessions.find(&cookie, 10_000).unwrap().fresh);
        sessions.note_news(&Record::EndedSession(session.digest), 10_000);
        assert!(sessions.find(&cookie, 10_000).is_none());
        for ending in [Record::EndedSessions(user), Record::Reloaded] {
            sessions.note_news(&Record::Session(session.clone()), 10_000);
            assert!(sessions.find(&cookie, 10_000).is_some());
            sessions.note_news(&ending, 10_000);
            assert!(sessions.find(&cookie, 10_000).is_none(), "{ending:?}");
        }
    }
}
