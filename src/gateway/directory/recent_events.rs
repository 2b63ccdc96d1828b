//! Which events of the last minutes an equal one is counted with. Bounded for each account: what one account does leaves the events of
//! the others as they are.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use crate::gateway::store::Event;

/// Seconds from the last time within which an event is counted with it.
const WITHIN: u64 = 600;
/// Seconds from the first time after which there is a new one: an event that never stops should show when it happened.
const LONGEST: u64 = 3600;
/// Events that are remembered of each account, and of those without one: more than the kinds of refusals that are told apart.
const MOST: usize = 128;

/// See the module.
#[derive(Default)]
pub(super) struct RecentEvents(HashMap<Option<Uuid>, VecDeque<Recent>>);

struct Recent {
    /// Its number in the store.
    id: i64,
    first: i64,
    last: i64,
    actor: String,
    action: &'static str,
    subject: String,
    address: String,
}

impl Recent {
    fn is_like(&self, event: &Event) -> bool {
        let same = self.action == event.action && self.subject == event.subject && self.actor == event.actor;
        let near = event.at.abs_diff(self.last) <= WITHIN && event.at.abs_diff(self.first) <= LONGEST;
        same && near && self.address == event.address
    }
}

impl RecentEvents {
    /// The number of the event that this one is counted with.
    pub(super) fn earlier(&self, event: &Event) -> Option<i64> {
        let recent = self.0.get(&account(event)).filter(|_| event.is_collapsible)?;
        recent.iter().find(|recent| recent.is_like(event)).map(|recent| recent.id)
    }

    /// Takes note of an event that was recorded with that number.
    pub(super) fn note(&mut self, event: Event, id: i64) {
        if !event.is_collapsible {
            return;
        }
        let recent = self.0.entry(account(&event)).or_default();
        let first = match recent.iter().position(|recent| recent.id == id) {
            Some(at) => recent.remove(at).map_or(event.at, |recent| recent.first),
            None => event.at,
        };
        recent.push_back(Recent {
            id,
            first,
            last: event.at,
            actor: event.actor,
            action: event.action,
            subject: event.subject,
            address: event.address,
        });
        if recent.len() > MOST {
            recent.pop_front();
        }
    }
}

fn account(event: &Event) -> Option<Uuid> {
    event.account.as_ref().map(|account| account.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_counted_with_an_equal_one_of_the_last_minutes_for_at_most_an_hour() {
        let mut recent = RecentEvents::default();
        let event = |at, subject: &str| Event::new(at, "user:eve", "device.denied", subject).collapsible();
        recent.note(event(0, "a"), 7);
        assert_eq!(recent.earlier(&event(600, "a").with("name", "other")), Some(7));
        assert_eq!((recent.earlier(&event(601, "a")), recent.earlier(&event(0, "b"))), (None, None));
        assert_eq!(recent.earlier(&Event { is_collapsible: false, ..event(0, "a") }), None);
        assert_eq!(recent.earlier(&event(0, "a").at_address([192, 0, 2, 1].into())), None);
        for at in (0..=3600).step_by(600) {
            assert_eq!(recent.earlier(&event(at, "a")), Some(7), "{at}");
            recent.note(event(at, "a"), 7);
        }
        assert_eq!(recent.earlier(&event(3700, "a")), None);
    }

    #[test]
    fn many_events_of_one_account_leave_those_of_another() {
        let mut recent = RecentEvents::default();
        let user = |id| Some(crate::gateway::store::EventAccount { id, name: String::new() });
        let (ann, eve) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let event = |id, subject: &str| Event { account: user(id), ..Event::new(0, "a", "b", subject).collapsible() };
        recent.note(event(ann, "x"), 1);
        for number in 0..1000 {
            recent.note(event(eve, &number.to_string()), number + 2);
        }
        assert_eq!(recent.earlier(&event(ann, "x")), Some(1));
        assert_eq!((recent.earlier(&event(eve, "0")), recent.earlier(&event(eve, "999"))), (None, Some(1001)));
        assert_eq!(recent.0[&Some(eve)].len(), MOST);
    }
}
