//! The refusals of one kind within a window: the first is an event, the others are counted.

use std::net::IpAddr;

use super::attempts::Attempts;
use super::networks::{Networks, Total};
use crate::gateway::store::{Event, Repeats};

/// Seconds that the first, the second and all later windows of a kind last.
pub const WINDOWS: [u64; 3] = [60, 600, 3600];

#[derive(Debug)]
pub struct Window {
    /// Unix seconds.
    since: i64,
    seconds: u64,
    /// The place of the next one in [`WINDOWS`].
    next: usize,
    first: First,
    rest: Option<Rest>,
    /// Where the kind is of several networks.
    networks: Option<Networks>,
    /// What is being recorded of it, once it is over.
    closing: Option<Closing>,
    /// The name of what is being recorded, which stays as it is until it is.
    sequence: Option<String>,
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

#[derive(Debug)]
struct Closing {
    rest: Rest,
    networks: Option<Networks>,
}

impl Window {
    /// With the first refusal, and that place in [`WINDOWS`]. `from` where networks are counted.
    pub fn new(event: Event, place: usize, networks: Option<Networks>) -> Self {
        let place = place.min(WINDOWS.len() - 1);
        let (since, seconds, first) = (event.at, WINDOWS[place], First::Event(event.into()));
        Self { since, seconds, next: place + 1, first, rest: None, networks, closing: None, sequence: None }
    }

    /// Counts one more.
    pub fn note(&mut self, event: Event, from: Option<IpAddr>, total: &Total) {
        if let Some(from) = from {
            self.networks.get_or_insert_with(|| Networks::new(total)).add(from);
        }
        let (since, count) = self.rest.as_ref().map_or((event.at, 0), |rest| (rest.since, rest.count));
        self.rest = Some(Rest { event, since, count: count.saturating_add(1) });
    }

    /// Whether its time is over.
    pub fn is_over(&self, now: i64) -> bool {
        now.abs_diff(self.since) >= self.seconds
    }

    /// The place of the next one in [`WINDOWS`].
    pub fn next(&self) -> usize {
        self.next
    }

    /// Whether something is to be recorded: the first, or once the window is over the number of the others.
    pub fn is_due(&self, is_over: bool) -> bool {
        matches!(self.first, First::Event(_)) || self.closing.is_some() || (is_over && self.rest.is_some())
    }

    /// How many are not recorded yet.
    pub fn unrecorded(&self) -> u64 {
        let closing = self.closing.as_ref().map(|closing| &closing.rest);
        let rest: u64 = self.rest.iter().chain(closing).map(|rest| u64::from(rest.count)).sum();
        u64::from(matches!(self.first, First::Event(_))) + rest
    }

    /// The event for what is due, the same until it is recorded. Refusals that come later are of the next window.
    pub fn due_event(&mut self, attempts: &Attempts) -> Option<Event> {
        let event = match &self.first {
            First::Event(event) => (**event).clone(),
            First::Recorded(first) => {
                let first = *first;
                self.close();
                self.closing.as_ref()?.event(first)
            }
        };
        let sequence = self.sequence.get_or_insert_with(|| attempts.next()).clone();
        Some(Event { sequence: Some(sequence), ..event })
    }

    fn close(&mut self) {
        if self.closing.is_none() {
            let networks = self.networks.take_if(|_| self.rest.is_some());
            self.closing = self.rest.take().map(|rest| Closing { rest, networks });
        }
    }

    /// Takes note that the first was recorded with that number.
    pub fn first_recorded(&mut self, number: i64) {
        (self.first, self.sequence) = (First::Recorded(number), None);
    }

    /// The window that follows, once the number of the others was recorded; `None` if there was nothing since.
    pub fn followed(self) -> Option<Self> {
        let Rest { event, count, .. } = self.rest?;
        let mut next = Self::new(event.clone(), self.next, self.networks);
        let (since, count) = (event.at, count - 1);
        next.rest = (count > 0).then_some(Rest { event, since, count });
        Some(next)
    }
}

impl Closing {
    /// How many there were, after the first with that number.
    fn event(&self, first: i64) -> Event {
        let Self { rest, networks } = self;
        let repeats = Some(Repeats { first, count: rest.count, until: rest.event.at });
        let event = Event { at: rest.since, repeats, ..rest.event.clone() };
        match networks.as_ref().map(Networks::count) {
            None => event,
            Some((count, true)) => event.with("addresses", count),
            Some((count, false)) => event.with("addresses", count).with("more_addresses", true),
        }
    }
}
