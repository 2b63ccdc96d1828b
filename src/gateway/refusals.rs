//! Refused credentials and requests, and failed sign-ins, counted. A caller can be refused any number of times a second: each kind of
//! refusal is reported at most once a minute, with its number, in the log and in the event log.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use super::store::Event;

/// Seconds between two reports of the same kind.
const REPORT_INTERVAL_SECONDS: u64 = 60;
/// Seconds for which a kind is told apart from its last report on.
const MEMORY_SECONDS: u64 = 3600;
/// Kinds of each action that are told apart within that time: of each account, and of callers without one. Further ones are counted
/// together, so that callers with many addresses cannot fill the event log.
const MAX_KINDS_PER_ACCOUNT: usize = 16;
const MAX_KINDS_WITHOUT_ACCOUNT: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub struct Refusals {
    kinds: Mutex<HashMap<Kind, Counted>>,
    /// Those that are being recorded. What is left here, because that failed or was cut short, is recorded the next time.
    queue: Mutex<VecDeque<Event>>,
}

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    account: Option<Uuid>,
    action: &'static str,
    actor: String,
    subject: String,
    /// Empty where those from several addresses are counted together.
    address: String,
}

#[derive(Debug)]
struct Counted {
    /// The latest.
    event: Event,
    /// Since the last report.
    count: u32,
    reported_at: Option<i64>,
}

impl Refusals {
    /// Counts a refusal, which the event describes.
    pub fn note(&self, event: Event) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let account = event.account.as_ref().map(|account| account.id);
        let mut kind = Kind {
            account,
            action: event.action,
            actor: event.actor.clone(),
            subject: event.subject.clone(),
            address: event.address.clone(),
        };
        let mut event = event;
        let most = if account.is_some() { MAX_KINDS_PER_ACCOUNT } else { MAX_KINDS_WITHOUT_ACCOUNT };
        let is_alike = |other: &&Kind| other.account == account && other.action == kind.action;
        if !kinds.contains_key(&kind) && kinds.keys().filter(is_alike).count() >= most {
            (kind.actor, kind.subject, kind.address) = ("gateway".to_owned(), "(several)".to_owned(), String::new());
            event = Event { actor: kind.actor.clone(), subject: kind.subject.clone(), address: String::new(), ..event };
        }
        let counted =
            kinds.entry(kind).or_insert_with(|| Counted { event: event.clone(), count: 0, reported_at: None });
        (counted.event, counted.count) = (event, counted.count.saturating_add(1));
    }

    /// Queues what is to be recorded now. `all` includes what was reported less than a minute ago.
    pub fn queue_due(&self, now: i64, all: bool) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        // While nothing can be recorded the counts go on, and the queue does not grow.
        if all || queue.is_empty() {
            queue.extend(self.due(now, all));
        }
    }

    /// The next that is to be recorded.
    pub fn next_queued(&self) -> Option<Event> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Queues one again that could not be recorded.
    pub fn put_back(&self, event: Event) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_front(event);
    }

    /// What is to be reported now.
    fn due(&self, now: i64, all: bool) -> Vec<Event> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        kinds.retain(|_, counted| {
            let age = counted.reported_at.map(|at| now.abs_diff(at));
            if counted.count == 0 {
                return age.is_some_and(|age| age < MEMORY_SECONDS);
            }
            if all || age.is_none_or(|age| age >= REPORT_INTERVAL_SECONDS) {
                due.push(counted.event.clone().times(counted.count).collapsible());
                (counted.count, counted.reported_at) = (0, Some(now));
            }
            true
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::store::EventAccount;

    fn refused(subject: &str) -> Event {
        Event::new(5, "gateway", "credential.refused", subject).at_address([192, 0, 2, 1].into())
    }

    fn counts(refusals: &Refusals, now: i64) -> Vec<(String, u32)> {
        let due = refusals.due(now, false).into_iter();
        let mut counts: Vec<_> = due.map(|event| (event.subject, event.repeats + 1)).collect();
        counts.sort();
        counts
    }

    #[test]
    fn equal_refusals_are_reported_once_a_minute_with_their_number() {
        let refusals = Refusals::default();
        for _ in 0..60 {
            refusals.note(refused("a"));
        }
        refusals.note(refused("b"));
        assert_eq!(counts(&refusals, 100), [("a".to_owned(), 60), ("b".to_owned(), 1)]);
        refusals.note(refused("a"));
        assert_eq!(counts(&refusals, 159), []);
        assert_eq!(counts(&refusals, 160), [("a".to_owned(), 1)]);
        refusals.note(refused("a"));
        assert_eq!(refusals.due(161, true).len(), 1);
        assert_eq!(counts(&refusals, 3760), []);
        assert_eq!(counts(&refusals, 3761), []);
        assert!(refusals.kinds.lock().unwrap().is_empty());
    }

    #[test]
    fn what_could_not_be_recorded_is_recorded_the_next_time() {
        let refusals = Refusals::default();
        for subject in ["a", "b", "c"] {
            refusals.note(refused(subject));
        }
        refusals.queue_due(100, false);
        let first = refusals.next_queued().unwrap();
        let subject = first.subject.clone();
        refusals.put_back(first);
        refusals.note(refused("d"));
        refusals.queue_due(100, false);
        assert_eq!(refusals.next_queued().unwrap().subject, subject);
        // At the end all of them.
        refusals.queue_due(100, true);
        let mut all: Vec<String> = std::iter::from_fn(|| refusals.next_queued()).map(|event| event.subject).collect();
        all.push(subject);
        all.sort();
        assert_eq!(all, ["a", "b", "c", "d"]);
    }

    #[test]
    fn many_kinds_are_counted_together_and_apart_from_those_of_other_accounts() {
        let refusals = Refusals::default();
        let account = |id| Some(EventAccount { id: Uuid::from_u128(id), name: String::new() });
        for number in 0..1000 {
            refusals.note(refused(&number.to_string()));
            refusals.note(Event { account: account(1), ..refused(&number.to_string()) });
        }
        refusals.note(Event { account: account(2), ..refused("x") });
        let due = refusals.due(100, false);
        assert_eq!(due.len(), MAX_KINDS_PER_ACCOUNT + MAX_KINDS_WITHOUT_ACCOUNT + 3);
        assert_eq!(due.iter().map(|event| event.repeats + 1).sum::<u32>(), 2001);
        assert_eq!(due.iter().filter(|event| event.subject == "(several)" && event.address.is_empty()).count(), 2);
        assert!(due.iter().any(|event| event.subject == "x"));
    }

    #[test]
    fn many_kinds_of_one_action_leave_those_of_another() {
        let refusals = Refusals::default();
        for number in 0..100 {
            refusals.note(refused(&number.to_string()));
        }
        refusals.note(Event { action: "user.sign_in_failed", ..refused("x") });
        let due = refusals.due(100, false);
        assert_eq!(due.len(), MAX_KINDS_WITHOUT_ACCOUNT + 2);
        assert!(due.iter().any(|event| event.subject == "x"));
    }

    /// As one who has an IPv6 network can send them.
    #[test]
    fn new_addresses_each_minute_are_counted_together_for_an_hour() {
        let refusals = Refusals::default();
        let mut reported = std::collections::HashSet::new();
        for minute in 0..60 {
            for number in 0..100 {
                refusals.note(refused(&format!("{minute} {number}")));
            }
            reported.extend(refusals.due(60 * minute, false).into_iter().map(|event| event.subject));
        }
        assert_eq!(reported.len(), MAX_KINDS_WITHOUT_ACCOUNT + 1);
        refusals.due(60 * 59 + 3600, false);
        refusals.note(refused("later"));
        assert_eq!(refusals.due(60 * 59 + 3600, false)[0].subject, "later");
    }
}
