//! Refused credentials and requests, and failed sign-ins. A caller can be refused any number of times a second: of each kind the first is an
//! event, and those that follow are counted in a second event at the end of a window, which names the first.
//!
//! A window lasts a minute. While a kind goes on, the windows get longer, so that an attack of a month does not fill the event log.

mod attempts;
mod kind;
mod networks;
mod strangers;
#[cfg(test)]
mod tests;
mod window;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::store::Event;
use attempts::Attempts;
pub use kind::Kind;
use kind::{Detail, Group};
use networks::{Networks, Total};
use strangers::Strangers;
use window::Window;

/// How long a kind is remembered after its last window, in seconds.
const MEMORY_SECONDS: u64 = 3600;
/// Kinds of each account, action and code that are told apart by their network within that time. As many more are told apart by credential
/// and subject, and the rest by credential.
const MAX_KINDS_PER_ACCOUNT: usize = 16;
/// Kinds of each action and code that are always told apart within that time, of callers without an account.
const MIN_STRANGERS: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct Refusals {
    kinds: Mutex<Kinds>,
    attempts: Attempts,
}

#[derive(Debug, Default)]
struct Kinds {
    all: HashMap<Kind, State>,
    /// How many of `all` there are of each group.
    places: HashMap<Group, usize>,
    strangers: Strangers,
    /// Of the networks that are counted.
    networks: Total,
}

#[derive(Debug)]
enum State {
    Open(Box<Window>),
    /// It is over since that Unix second; the next one has that place in [`window::WINDOWS`].
    Over {
        at: i64,
        next: usize,
    },
}

impl Kinds {
    /// By what a refusal is told apart, and its kind.
    fn classify(&mut self, event: &Event) -> (Kind, Detail) {
        let kind = Kind::of(event, Detail::Everything);
        match self.all.get(&kind) {
            // One of strangers takes a place in each window anew.
            Some(State::Over { .. }) if kind.group().is_of_strangers() => {}
            Some(_) => return (kind, Detail::Everything),
            None => {}
        }
        let used = self.places.get(kind.group()).copied().unwrap_or_default();
        let detail = match kind.group().is_of_strangers() {
            true if self.strangers.admit(event.at) || used < MIN_STRANGERS => Detail::Everything,
            true => Detail::Credential,
            false if used < MAX_KINDS_PER_ACCOUNT => Detail::Everything,
            false => {
                let by_subject = Kind::of(event, Detail::Subject);
                match used < 2 * MAX_KINDS_PER_ACCOUNT || self.all.contains_key(&by_subject) {
                    true => Detail::Subject,
                    false => Detail::Credential,
                }
            }
        };
        let kind = if detail == Detail::Everything { kind } else { Kind::of(event, detail) };
        (kind, detail)
    }
}

impl Refusals {
    /// Counts a refusal, which the event describes.
    pub fn note(&self, event: Event) {
        let kinds = &mut *self.kinds();
        let (kind, detail) = kinds.classify(&event);
        // Where all are of one network, nothing is to be counted.
        let from = event.origin.map(|origin| origin.address).filter(|_| detail != Detail::Everything);
        let event = kind.shown(event, detail);
        let window = |event, place| {
            let networks = from.map(|from| {
                let mut networks = Networks::new(&kinds.networks);
                networks.add(from);
                networks
            });
            State::Open(Window::new(event, place, networks).into())
        };
        match kinds.all.get_mut(&kind) {
            Some(State::Open(open)) => open.note(event, from, &kinds.networks),
            Some(over @ &mut State::Over { next, .. }) => *over = window(event, next),
            None => {
                *kinds.places.entry(kind.group().clone()).or_default() += 1;
                let first = window(event, 0);
                kinds.all.insert(kind, first);
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
                let is_over = window.is_over(now);
                if window.is_due(all || is_over) {
                    due.push(kind.clone());
                } else if is_over {
                    *state = State::Over { at: now, next: window.next() };
                }
            }
            let is_kept = !matches!(state, State::Over { at, .. } if now.abs_diff(*at) >= MEMORY_SECONDS);
            if !is_kept && let Some(used) = places.get_mut(kind.group()) {
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
            State::Open(window) => window.unrecorded(),
            State::Over { .. } => 0,
        };
        self.kinds().all.values().map(of).sum()
    }

    /// The event for one that is due, until it is [recorded](Self::recorded).
    pub fn event(&self, kind: &Kind) -> Option<Event> {
        match self.kinds().all.get_mut(kind)? {
            State::Open(window) => window.due_event(&self.attempts),
            State::Over { .. } => None,
        }
    }

    /// Takes note that this event of a kind was recorded with that number.
    pub fn recorded(&self, kind: &Kind, event: &Event, number: i64, now: i64) {
        let mut kinds = self.kinds();
        let Some(state @ State::Open(_)) = kinds.all.get_mut(kind) else { return };
        let State::Open(window) = state else { return };
        if event.repeats.is_none() {
            window.first_recorded(number);
            return;
        }
        let over = State::Over { at: now, next: window.next() };
        // Those that came meanwhile begin the next window.
        if let State::Open(window) = std::mem::replace(state, over)
            && let Some(next) = window.followed()
        {
            *state = State::Open(next.into());
        }
    }

    fn kinds(&self) -> MutexGuard<'_, Kinds> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
