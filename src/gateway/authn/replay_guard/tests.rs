//! What is accepted again, while time passes, clocks are set, and accounts fill the table.

use super::*;
use crate::identity::DeviceKey;

const ADA: Uuid = Uuid::from_u128(1);
const BOB: Uuid = Uuid::from_u128(2);
const CAT: Uuid = Uuid::from_u128(3);
const HOUR: i64 = 3600;

fn key() -> PublicKey {
    DeviceKey::generate().unwrap().public().clone()
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

/// A guard and its clocks.
struct Given {
    guard: ReplayGuard,
    now: i64,
    elapsed: Duration,
}

impl Given {
    fn new() -> Self {
        Self::with(Limits::USUAL, HashMap::new())
    }

    fn with(limits: Limits, marks: HashMap<PublicKey, i64>) -> Self {
        let guard = ReplayGuard(Mutex::new(Table::new(marks, limits)));
        Self { guard, now: 100_000, elapsed: Duration::ZERO }
    }

    fn pass(&mut self, millis: u64) {
        let before = self.elapsed.as_secs();
        self.elapsed += Duration::from_millis(millis);
        self.now += i64::try_from(self.elapsed.as_secs() - before).unwrap();
    }

    /// A signature of that time.
    fn at(&self, key: &PublicKey, account: Uuid, path: &str, ts: i64, from: u8, reuse: Reuse) -> Verdict {
        let challenge = &Challenge::new("POST", path, ts);
        let used = Used { key, account, challenge, ts, address: address(from), reuse };
        self.guard.admit(used, Moment { now: self.now, elapsed: self.elapsed }, 60)
    }

    /// One of now.
    fn admit(&self, key: &PublicKey, path: &str, from: u8, reuse: Reuse) -> Verdict {
        self.at(key, ADA, path, 100_000, from, reuse)
    }

    fn len(&self) -> usize {
        self.guard.lock().len()
    }
}

#[test]
fn a_read_is_repeated_anywhere_for_two_seconds_and_then_from_its_address() {
    let (mut given, key, other) = (Given::new(), key(), key());
    let read = |given: &Given, key: &PublicKey, from| given.admit(key, "/api/tags", from, Reuse::Repeatable);
    assert_eq!(read(&given, &key, 1), Verdict::First);
    given.pass(2000);
    assert_eq!((read(&given, &key, 1), read(&given, &key, 2)), (Verdict::Again, Verdict::Again));
    given.pass(1);
    assert_eq!((read(&given, &key, 1), read(&given, &key, 2)), (Verdict::Again, Verdict::Stolen(address(1))));
    assert_eq!(read(&given, &other, 2), Verdict::First);
    given.pass(60_000);
    assert_eq!(read(&given, &key, 1), Verdict::Again);
}

#[test]
fn a_change_of_models_is_repeated_for_two_seconds_from_its_address() {
    let (mut given, key) = (Given::new(), key());
    let change = |given: &Given, from| given.admit(&key, "/api/delete", from, Reuse::Together);
    assert_eq!(change(&given, 1), Verdict::First);
    assert_eq!(change(&given, 2), Verdict::Stolen(address(1)));
    given.pass(2000);
    assert_eq!(change(&given, 1), Verdict::Again);
    given.pass(1);
    assert_eq!((change(&given, 1), change(&given, 2)), (Verdict::Spent, Verdict::Stolen(address(1))));
}

#[test]
fn what_is_good_once_is_not_repeated_at_all() {
    let (given, key) = (Given::new(), key());
    assert_eq!(given.admit(&key, "/api/signout", 1, Reuse::Once), Verdict::First);
    assert_eq!(given.admit(&key, "/api/signout", 1, Reuse::Once), Verdict::Spent);
    assert_eq!(given.admit(&key, "/api/signout", 2, Reuse::Once), Verdict::Stolen(address(1)));
}

/// The clock stands ahead, is corrected, and reaches the time of the signatures of then.
#[test]
fn a_clock_that_stood_ahead_refuses_nothing_new_and_accepts_nothing_twice() {
    let (mut given, key) = (Given::new(), key());
    let once = |given: &Given, ts| given.at(&key, ADA, "/api/me", ts, 1, Reuse::Once);
    assert_eq!(once(&given, given.now), Verdict::First);
    let real = given.now;
    for minutes in 0..90 {
        given.now = real + minutes * 60 + HOUR;
        given.elapsed = Duration::from_secs(u64::try_from(minutes * 60).unwrap());
        assert_eq!(once(&given, given.now), Verdict::First, "{minutes} min");
    }
    for minutes in 90..200 {
        given.now = real + minutes * 60;
        given.elapsed = Duration::from_secs(u64::try_from(minutes * 60).unwrap());
        assert_eq!(once(&given, given.now + 1), Verdict::First, "{minutes} min");
        if (60..150).contains(&minutes) {
            assert_eq!(once(&given, given.now), Verdict::Spent, "{minutes} min");
        }
    }
}

#[test]
fn what_was_dropped_is_refused_when_the_clock_is_set_back() {
    let (mut given, key, other) = (Given::new(), key(), key());
    let once = |given: &Given, key: &PublicKey, ts| given.at(key, ADA, "/api/user/keys", ts, 1, Reuse::Once);
    let first = given.now;
    assert_eq!(once(&given, &key, first), Verdict::First);
    given.pass(2 * 3600 * 1000);
    assert_eq!(once(&given, &other, given.now), Verdict::First, "which drops the other");
    assert_eq!(given.len(), 1);
    given.now = first;
    assert_eq!(once(&given, &key, first), Verdict::Forgotten(first));
    assert_eq!(once(&given, &key, first + 1), Verdict::First);
    assert_eq!(once(&given, &other, first + 1), Verdict::First, "a mark is a device's own");
}

#[test]
fn what_an_earlier_gateway_may_have_accepted_is_refused() {
    let key = key();
    let given = Given::with(Limits::USUAL, HashMap::from([(key.clone(), 100_010)]));
    assert!(given.guard.is_recorded(&key, 100_010) && !given.guard.is_recorded(&key, 100_011));
    let read = |ts| given.at(&key, ADA, "/api/tags", ts, 1, Reuse::Repeatable);
    assert_eq!((read(100_010), read(100_011)), (Verdict::Forgotten(100_010), Verdict::First));
    given.guard.set_recorded(&key, 100_050);
    assert!(given.guard.is_recorded(&key, 100_050));
    assert_eq!(read(100_012), Verdict::First, "recording changes nothing while it runs");
}

const SMALL: Limits = Limits { device: 20, account: 50, all: 100 };

fn fill(given: &Given, key: &PublicKey, account: Uuid, count: usize) -> Vec<Verdict> {
    let read = |n| given.at(key, account, &format!("/{n}"), given.now, 1, Reuse::Repeatable);
    (0..count).map(read).collect()
}

#[test]
fn a_device_and_an_account_have_limits_of_their_own() {
    let mut given = Given::with(SMALL, HashMap::new());
    let devices: Vec<PublicKey> = (0..5).map(|_| key()).collect();
    assert_eq!(fill(&given, &devices[0], ADA, 21).pop(), Some(Verdict::TooManyOfDevice));
    assert_eq!(fill(&given, &devices[1], ADA, 21).pop(), Some(Verdict::TooManyOfDevice));
    assert_eq!(fill(&given, &devices[2], ADA, 11).pop(), Some(Verdict::TooManyOfAccount));
    assert!(fill(&given, &devices[3], BOB, 20).iter().all(|verdict| *verdict == Verdict::First));
    assert_eq!(given.len(), 70);
    // A device that changes hands takes its signatures along.
    assert_eq!(fill(&given, &devices[3], CAT, 1), [Verdict::Again]);
    let shares = [BOB, CAT].map(|account| given.guard.lock().share(account));
    assert_eq!(shares, [0, 20]);
    // Those that are too old make room, before their time.
    given.pass(61_000);
    assert!(fill(&given, &devices[0], ADA, 20).iter().all(|verdict| *verdict == Verdict::First));
    assert!(fill(&given, &devices[4], ADA, 20).iter().all(|verdict| *verdict == Verdict::First));
    given.len();
}

/// Thirty-two devices of one account used to fill the table for everybody.
#[test]
fn no_account_takes_room_from_one_that_has_less() {
    let mut given = Given::with(SMALL, HashMap::new());
    let greedy: Vec<(PublicKey, Uuid)> = [ADA, ADA, ADA, BOB, BOB, BOB].map(|account| (key(), account)).into();
    let modest = key();
    for round in 0..10 {
        for (key, account) in &greedy {
            fill(&given, key, *account, 20);
        }
        let verdicts = fill(&given, &modest, CAT, 20);
        let expected = if round == 0 { Verdict::First } else { Verdict::Again };
        assert!(verdicts.iter().all(|verdict| *verdict == expected), "round {round}: {verdicts:?}");
        assert!(given.len() <= SMALL.all);
        given.elapsed += Duration::from_millis(10);
    }
    // What the greedy have lost is not accepted again.
    let again = fill(&given, &greedy[0].0, ADA, 20);
    assert!(again.iter().all(|verdict| *verdict != Verdict::First), "{again:?}");
}

#[test]
fn the_usual_limits_leave_room_for_others() {
    let given = Given::new();
    let (greedy, modest) = (key(), key());
    let verdicts = fill(&given, &greedy, ADA, Limits::USUAL.device + 1);
    assert_eq!(verdicts.last(), Some(&Verdict::TooManyOfDevice));
    assert_eq!(fill(&given, &modest, ADA, 1), [Verdict::First]);
}
