//! Refused credentials and requests, and failed sign-ins. A caller can be refused any number of times a second: of each kind the first is an
//! event, and those that follow are counted in a second event at the end of a window, which names the first.
//!
//! A window lasts a minute. While a kind goes on, the windows get longer, so that an attack of a month does not fill the event log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::refusal_code::RefusalCode;
use super::store::{Actor, Event, Repeats};
use crate::http::server::network;

/// Seconds that the first, the second and all later windows of a kind last.
const WINDOWS: [u64; 3] = [60, 600, 3600];
/// How long a kind is remembered after its last window, in seconds.
const MEMORY_SECONDS: u64 = 3600;
/// Kinds of each action and code that are told apart within that time: of each account, and of callers without one. Further ones are
/// counted together, so that callers with many addresses cannot fill the event log: as many by their credential, the rest as one.
const MAX_KINDS_PER_ACCOUNT: usize = 16;
const MAX_KINDS_WITHOUT_ACCOUNT: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub struct Refusals {
    kinds: Mutex<Kinds>,
    attempts: Attempts,
}

/// Gives every event that is to be recorded a name that no other has.
#[derive(Debug)]
struct Attempts {
    /// Of this gateway since its start.
    gateway: Uuid,
    next: AtomicU64,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { gateway: Uuid::new_v4(), next: AtomicU64::new(0) }
    }
}

impl Attempts {
    fn next(&self) -> String {
        format!("{}-{}", self.gateway, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

#[derive(Debug, Default)]
struct Kinds {
    all: HashMap<Kind, State>,
    /// How many of `all` there are of each group.
    places: HashMap<Group, usize>,
}

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    group: Group,
    actor: Actor,
    subject: String,
    /// The network. `None` where those from several are counted together.
    network: Option<IpAddr>,
}

/// Kinds that share a number of places.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Group {
    account: Option<Uuid>,
    action: &'static str,
    code: Option<RefusalCode>,
}

impl Kind {
    fn of(event: &Event) -> Self {
        let account = event.account.as_ref().map(|account| account.id);
        Self {
            group: Group { account, action: event.action, code: event.code },
            actor: event.actor.clone(),
            subject: event.subject.clone(),
            network: event.origin.map(|origin| network(origin.address)),
        }
    }
}

#[derive(Debug)]
enum State {
    Open(Box<Window>),
    /// It is over since that Unix second; the next one has that place in [`WINDOWS`].
    Over {
        at: i64,
        next: usize,
    },
}

#[derive(Debug)]
struct Window {
    /// Unix seconds.
    since: i64,
    seconds: u64,
    /// The place of the next one in [`WINDOWS`].
    next: usize,
    first: First,
    rest: Option<Rest>,
    /// What was to be recorded last. It stays as it is until it is recorded: if nobody knows whether it was, it is recorded again, and the
    /// store tells by its name that it is the same.
    attempt: Option<Box<Event>>,
}

#[derive(Debug)]
enum First {
    /// To be recorded.
    Event(Box<Event>),
    /// Recorded with that number.
    Recorded(i64),
}

/// Those after the first.
#[derive(Debug)]
struct Rest {
    /// The latest.
    event: Event,
    /// When the first of them was.
    since: i64,
    count: u32,
}

impl Window {
    fn new(event: Event, place: usize) -> Self {
        let place = place.min(WINDOWS.len() - 1);
        Self {
            since: event.at,
            seconds: WINDOWS[place],
            next: place + 1,
            first: First::Event(event.into()),
            rest: None,
            attempt: None,
        }
    }

    fn note(&mut self, event: Event) {
        let (since, count) = self.rest.as_ref().map_or((event.at, 0), |rest| (rest.since, rest.count));
        self.rest = Some(Rest { event, since, count: count.saturating_add(1) });
    }

    fn is_over(&self, now: i64) -> bool {
        now.abs_diff(self.since) >= self.seconds
    }

    /// The first, or once that is recorded the number of the others.
    fn to_record(&self) -> Option<Event> {
        match (&self.first, &self.rest) {
            (First::Event(event), _) => Some((**event).clone()),
            (First::Recorded(_), None) => None,
            (First::Recorded(first), Some(rest)) => {
                let repeats = Some(Repeats { first: *first, count: rest.count, until: rest.event.at });
                Some(Event { at: rest.since, repeats, ..rest.event.clone() })
            }
        }
    }
}

impl Refusals {
    /// Counts a refusal, which the event describes.
    pub fn note(&self, mut event: Event) {
        let mut kinds = self.kinds();
        let mut kind = Kind::of(&event);
        let most = if kind.group.account.is_some() { MAX_KINDS_PER_ACCOUNT } else { MAX_KINDS_WITHOUT_ACCOUNT };
        let used = kinds.places.get(&kind.group).copied().unwrap_or_default();
        if used >= most && !kinds.all.contains_key(&kind) {
            // What is told of one caller does not hold for the others.
            event = Event { origin: None, details: Default::default(), ..event };
            kind = Kind::of(&event);
        }
        if used >= 2 * most && !kinds.all.contains_key(&kind) {
            event = Event { actor: Actor::Gateway, subject: "(several)".to_owned(), ..event };
            kind = Kind::of(&event);
        }
        match kinds.all.get_mut(&kind) {
            Some(State::Open(window)) => window.note(event),
            Some(over @ &mut State::Over { next, .. }) => *over = State::Open(Window::new(event, next).into()),
            None => {
                *kinds.places.entry(kind.group.clone()).or_default() += 1;
                kinds.all.insert(kind, State::Open(Window::new(event, 0).into()));
            }
        }
    }

    /// What is to be recorded now: firsts, and the numbers of windows that are over; at the end of the gateway `all`. Forgets kinds of
    /// which there was nothing for an hour.
    pub fn due(&self, now: i64, all: bool) -> Vec<Kind> {
        let kinds = &mut *self.kinds();
        let mut due = Vec::new();
        let places = &mut kinds.places;
        kinds.all.retain(|kind, state| {
            if let State::Open(window) = state {
                let is_first = matches!(window.first, First::Event(_));
                let is_over = window.is_over(now);
                if is_first || (window.rest.is_some() && (all || is_over)) {
                    due.push(kind.clone());
                } else if is_over {
                    *state = State::Over { at: now, next: window.next };
                }
            }
            let is_kept = !matches!(state, State::Over { at, .. } if now.abs_diff(*at) >= MEMORY_SECONDS);
            if !is_kept && let Some(used) = places.get_mut(&kind.group) {
                *used -= 1;
            }
            is_kept
        });
        places.retain(|_, used| *used > 0);
        due
    }

    /// How many refusals are not recorded yet.
    pub fn unrecorded(&self) -> u64 {
        let of = |state: &State| match state {
            State::Open(window) => {
                let first = u64::from(matches!(window.first, First::Event(_)));
                first + window.rest.as_ref().map_or(0, |rest| u64::from(rest.count))
            }
            State::Over { .. } => 0,
        };
        self.kinds().all.values().map(of).sum()
    }

    /// The event for one that is due, until it is [recorded](Self::recorded).
    pub fn event(&self, kind: &Kind) -> Option<Event> {
        let mut kinds = self.kinds();
        let State::Open(window) = kinds.all.get_mut(kind)? else { return None };
        if window.attempt.is_none() {
            let event = Event { sequence: Some(self.attempts.next()), ..window.to_record()? };
            window.attempt = Some(event.into());
        }
        window.attempt.as_deref().cloned()
    }

    /// Takes note that this event of a kind was recorded with that number.
    pub fn recorded(&self, kind: &Kind, event: &Event, number: i64, now: i64) {
        let mut kinds = self.kinds();
        let Some(state @ State::Open(_)) = kinds.all.get_mut(kind) else { return };
        let State::Open(window) = state else { return };
        window.attempt = None;
        let Some(repeats) = event.repeats else {
            window.first = First::Recorded(number);
            return;
        };
        // Those that came meanwhile begin the next window.
        let missed = window.rest.take().filter(|rest| rest.count > repeats.count);
        *state = match missed {
            None => State::Over { at: now, next: window.next },
            Some(rest) => {
                let mut next = Window::new(rest.event.clone(), window.next);
                let count = rest.count - repeats.count - 1;
                next.rest = (count > 0).then(|| Rest { since: rest.event.at, count, ..rest });
                State::Open(next.into())
            }
        };
    }

    fn kinds(&self) -> MutexGuard<'_, Kinds> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::origin::Origin;
    use crate::gateway::store::EventAccount;

    fn refused(at: i64, subject: &str) -> Event {
        let event = Event::new(at, Actor::Gateway, "credential.refused", subject).refused(RefusalCode::UnknownKey);
        event.from(Origin::new([192, 0, 2, 1].into()))
    }

    /// Records what is due; subjects with the number of the first and how many more.
    fn recorded(refusals: &Refusals, now: i64, all: bool, log: &mut Vec<Event>) -> Vec<(String, Option<(i64, u32)>)> {
        let mut new = Vec::new();
        for kind in refusals.due(now, all) {
            let event = refusals.event(&kind).unwrap();
            log.push(event.clone());
            refusals.recorded(&kind, &event, log.len().try_into().unwrap(), now);
            new.push((event.subject, event.repeats.map(|repeats| (repeats.first, repeats.count))));
        }
        new.sort();
        new
    }

    #[test]
    fn the_first_is_an_event_and_the_others_are_counted_at_the_end_of_the_window() {
        let (refusals, mut log) = (Refusals::default(), Vec::new());
        let mut due = |refusals: &Refusals, now| recorded(refusals, now, false, &mut log);
        for second in 0..60 {
            refusals.note(refused(100 + second, "a"));
            let new = due(&refusals, 100 + second);
            assert_eq!(new.len(), usize::from(second == 0), "{second}");
        }
        assert_eq!(due(&refusals, 160), [("a".to_owned(), Some((1, 59)))]);
        assert_eq!((log[1].at, log[1].repeats.unwrap().until), (101, 159));
        assert_eq!(recorded(&refusals, 161, true, &mut log), []);
    }

    #[test]
    fn the_windows_of_what_goes_on_get_longer() {
        let (refusals, mut log) = (Refusals::default(), Vec::new());
        for second in 0..7200 {
            refusals.note(refused(second, "a"));
            recorded(&refusals, second, false, &mut log);
        }
        let counts: Vec<u32> = log.iter().filter_map(|event| event.repeats).map(|repeats| repeats.count).collect();
        assert_eq!(counts.len(), 3);
        recorded(&refusals, 7200, true, &mut log);
        let all: u32 = log.iter().map(|event| event.repeats.map_or(1, |repeats| repeats.count)).sum();
        assert_eq!((all, log.len()), (7200, 8), "{counts:?}");
        // After an hour without one it is as if there had been none.
        assert_eq!(recorded(&refusals, 7200 + 3600, false, &mut log), []);
        assert!(refusals.kinds().all.is_empty() && refusals.kinds().places.is_empty());
    }

    #[test]
    fn what_could_not_be_recorded_stays_due_and_is_counted() {
        let (refusals, mut log) = (Refusals::default(), Vec::new());
        for second in 0..100 {
            refusals.note(refused(second, "a"));
            assert_eq!(refusals.due(second, false).len(), 1, "the first is not recorded");
        }
        assert_eq!(recorded(&refusals, 100, false, &mut log), [("a".to_owned(), None)]);
        assert_eq!(log[0].at, 0);
        let kind = refusals.due(100, false).remove(0);
        let event = refusals.event(&kind).unwrap();
        // One more comes while it is being recorded: it begins the next window.
        refusals.note(refused(100, "a"));
        refusals.recorded(&kind, &event, 2, 100);
        assert_eq!(event.repeats, Some(Repeats { first: 1, count: 99, until: 99 }));
        assert_eq!(recorded(&refusals, 100, false, &mut log), [("a".to_owned(), None)]);
        assert_eq!(recorded(&refusals, 100, true, &mut log), []);
    }

    /// As after a commit of which nobody knows whether it was made: the store finds the same event, and does not store it again.
    #[test]
    fn what_is_recorded_again_is_the_same_event() {
        let refusals = Refusals::default();
        let recorded_as = |kind: &Kind| {
            let event = refusals.event(kind).unwrap();
            (event.sequence.clone().unwrap(), event.repeats.map(|repeats| repeats.count), event)
        };
        refusals.note(refused(0, "a"));
        let kind = refusals.due(0, false).remove(0);
        let (name, _, event) = recorded_as(&kind);
        refusals.note(refused(1, "a"));
        assert_eq!(recorded_as(&kind).0, name);
        refusals.recorded(&kind, &event, 1, 1);
        let (second, count, event) = recorded_as(&kind);
        assert_eq!(count, Some(1));
        assert_ne!(second, name);
        // What comes meanwhile is counted later.
        refusals.note(refused(2, "a"));
        assert_eq!((recorded_as(&kind).0, recorded_as(&kind).1), (second.clone(), Some(1)));
        refusals.recorded(&kind, &event, 2, 70);
        let (third, count, event) = recorded_as(&kind);
        assert_eq!((count, event.at), (None, 2));
        assert!(![name, second].contains(&third));
    }

    #[test]
    fn many_kinds_are_counted_together_and_apart_from_those_of_other_accounts() {
        let (refusals, mut log) = (Refusals::default(), Vec::new());
        let account = |id| Some(EventAccount { id: Uuid::from_u128(id), name: String::new() });
        for number in 0..1000 {
            refusals.note(refused(0, &number.to_string()));
            refusals.note(Event { account: account(1), ..refused(0, &number.to_string()) });
        }
        refusals.note(Event { account: account(2), ..refused(0, "x") });
        recorded(&refusals, 0, true, &mut log);
        assert_eq!(log.len(), 2 * (MAX_KINDS_PER_ACCOUNT + MAX_KINDS_WITHOUT_ACCOUNT) + 3);
        assert_eq!(refusals.unrecorded(), 2001 - log.len() as u64);
        recorded(&refusals, 0, true, &mut log);
        let all: u32 = log.iter().map(|event| event.repeats.map_or(1, |repeats| repeats.count)).sum();
        assert_eq!(all, 2001);
        assert_eq!(refusals.unrecorded(), 0);
        let several = |event: &&Event| event.subject == "(several)" && event.origin.is_none();
        assert_eq!(log.iter().filter(several).count(), 4);
        assert!(log.iter().any(|event| event.subject == "x"));
    }

    /// Many addresses with one revoked key of an account must not hide the use of another key.
    #[test]
    fn many_addresses_leave_other_credentials_told_apart() {
        let (refusals, mut log) = (Refusals::default(), Vec::new());
        let account = Some(EventAccount { id: Uuid::from_u128(1), name: String::new() });
        let of = |subject: &str, address: IpAddr| {
            let event = Event { account: account.clone(), ..refused(0, subject) };
            event.from(Origin::new(address)).with("path", "/x")
        };
        for number in 0..1000_u16 {
            refusals.note(of("key_old", IpAddr::from([0x2001, 0xdb8, 0, number, 0, 0, 0, 1])));
            // One network is one caller.
            refusals.note(of("key_other", IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, number])));
        }
        refusals.note(of("key_new", [192, 0, 2, 9].into()));
        recorded(&refusals, 0, true, &mut log);
        recorded(&refusals, 0, true, &mut log);
        let all: u32 = log.iter().map(|event| event.repeats.map_or(1, |repeats| repeats.count)).sum();
        assert_eq!(all, 2001);
        assert_eq!(log.iter().filter(|event| event.subject == "key_other").count(), 2);
        let new = log.iter().find(|event| event.subject == "key_new").unwrap();
        assert!(new.origin.is_none() && new.details.to_string().is_empty(), "{new:?}");
    }

    #[test]
    fn many_kinds_of_one_action_leave_those_of_another() {
        let (refusals, mut log) = (Refusals::default(), Vec::new());
        for number in 0..100 {
            refusals.note(refused(0, &number.to_string()));
        }
        refusals.note(Event { action: "user.sign_in_failed", ..refused(0, "x") });
        let due = recorded(&refusals, 100, false, &mut log);
        assert_eq!(due.len(), 2 * MAX_KINDS_WITHOUT_ACCOUNT + 2);
        assert!(due.iter().any(|(subject, _)| subject == "x"));
    }

    /// As one who has an IPv6 network can send them.
    #[test]
    fn new_addresses_each_minute_are_counted_together_for_an_hour() {
        let (refusals, mut log) = (Refusals::default(), Vec::new());
        let mut reported = std::collections::HashSet::new();
        for minute in 0..60 {
            for number in 0..100 {
                refusals.note(refused(60 * minute, &format!("{minute} {number}")));
            }
            reported.extend(recorded(&refusals, 60 * minute, false, &mut log).into_iter().map(|(subject, _)| subject));
        }
        assert_eq!(reported.len(), 2 * MAX_KINDS_WITHOUT_ACCOUNT + 1);
    }
}
