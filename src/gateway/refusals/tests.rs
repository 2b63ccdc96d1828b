//! What is told apart, and what is counted together.

use std::net::{IpAddr, Ipv6Addr};

use serde_json::Value;
use uuid::Uuid;

use super::strangers::MAX_NEW;
use super::*;
use crate::gateway::origin::Origin;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::store::{Actor, EventAccount, Repeats};

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

/// As after a commit with unknown outcome: the store finds the same event, and does not store it again.
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

/// The number of the named detail.
fn detail(event: &Event, name: &str) -> Option<u64> {
    serde_json::to_value(&event.details).unwrap().get(name).and_then(Value::as_u64)
}

fn from_network(event: Event, number: usize) -> Event {
    event.from(Origin::new(IpAddr::from(Ipv6Addr::from_bits((0x2001_0db8 << 96) | ((number as u128) << 64)))))
}

fn owned(event: Event, account: u128) -> Event {
    Event { account: Some(EventAccount { id: Uuid::from_u128(account), name: String::new() }), ..event }
}

fn count_of(log: &[Event]) -> u32 {
    log.iter().map(|event| event.repeats.map_or(1, |repeats| repeats.count)).sum()
}

#[test]
fn strangers_beyond_the_first_share_a_record_that_counts_their_networks() {
    let (refusals, mut log) = (Refusals::default(), Vec::new());
    for round in 0..2 {
        for number in 0..5000 {
            refusals.note(from_network(refused(round, "(an unknown API key)"), number).with("reason", "r"));
        }
    }
    recorded(&refusals, 2, true, &mut log);
    recorded(&refusals, 2, true, &mut log);
    let shared: Vec<&Event> = log.iter().filter(|event| event.subject == "(several)").collect();
    let [first, rest] = shared[..] else { panic!("{shared:#?}") };
    assert!(first.origin.is_none() && first.details == Default::default() && first.repeats.is_none(), "{first:?}");
    let others = (5000 - MAX_NEW) as u32;
    assert_eq!((rest.repeats.unwrap().count, detail(rest, "addresses")), (2 * others - 1, Some(others.into())));
    assert!(rest.origin.is_none(), "{rest:?}");
    // Each of the first is told with its address, once and once more.
    let apart = log.iter().filter(|event| event.origin.is_some());
    assert_eq!(apart.clone().count(), 2 * MAX_NEW);
    assert!(apart.clone().all(|event| detail(event, "addresses").is_none() && !event.details.to_string().is_empty()));
    assert_eq!((count_of(&log), refusals.unrecorded()), (10_000, 0));
    assert_eq!(refusals.kinds().networks.count(), 0, "networks of windows that are over are forgotten");
}

#[test]
fn refusals_that_come_while_the_count_is_recorded_are_of_the_next_window() {
    let (refusals, mut log) = (Refusals::default(), Vec::new());
    for number in 0..MAX_NEW + 10 {
        refusals.note(from_network(refused(0, "x"), number));
    }
    recorded(&refusals, 0, false, &mut log);
    let kind = refusals.due(60, false).remove(0);
    let event = refusals.event(&kind).unwrap();
    assert_eq!(detail(&event, "addresses"), Some(10));
    for number in 0..3 {
        refusals.note(from_network(refused(61, "y"), 9000 + number));
        assert_eq!(refusals.event(&kind).unwrap().repeats, event.repeats, "it stays what is being recorded");
    }
    // The first three are told apart in the second window of strangers, so others are needed.
    for number in 0..MAX_NEW + 20 {
        refusals.note(from_network(refused(61, "z"), number));
    }
    refusals.recorded(&kind, &event, 1000, 62);
    log.clear();
    recorded(&refusals, 62, true, &mut log);
    recorded(&refusals, 62, true, &mut log);
    let shared: Vec<&Event> = log.iter().filter(|event| event.subject == "(several)").collect();
    assert_eq!(shared.len(), 2, "{shared:#?}");
    assert_eq!((count_of(&log), detail(shared[1], "addresses")), (MAX_NEW as u32 + 23, Some(23)));
}

#[test]
fn a_credential_of_an_account_never_shares_a_record_with_another() {
    let (refusals, mut log) = (Refusals::default(), Vec::new());
    let account = Uuid::from_u128(1);
    for number in 0..5000 {
        // Strangers, and many keys of one account that were revoked.
        refusals.note(from_network(refused(0, "(an unknown API key)"), number));
        refusals.note(from_network(owned(refused(0, &format!("key_{}", number % 1000)), 1), number));
        // One key that is sent with devices of others: it chooses the subject.
        let actor = Actor::Key { account, id: "key_a".to_owned() };
        let device = Event { actor, ..refused(0, &format!("SHA256:{number}")) };
        refusals.note(owned(device, 1));
        let run = Some(number.to_string());
        let actor = Actor::Workload { account, rule: "ci".to_owned(), subject: number.to_string(), run };
        refusals.note(owned(Event { actor, ..refused(0, "ci") }, 2));
    }
    refusals.note(owned(refused(0, "key_x"), 3));
    recorded(&refusals, 0, true, &mut log);
    recorded(&refusals, 0, true, &mut log);
    let of = |subject: &str| log.iter().filter(|event| event.subject == subject).collect::<Vec<_>>();
    for number in 0..1000 {
        let subject = format!("key_{number}");
        assert!(of(&subject).iter().all(|event| event.account.is_some()), "{subject}");
        assert_eq!(count_of(&of(&subject).into_iter().cloned().collect::<Vec<_>>()), 5, "{subject}");
    }
    assert_eq!(of("key_x").len(), 1);
    let shared: Vec<String> = of("(several)").iter().map(|event| event.actor.to_string()).collect();
    assert!(["gateway", "key:key_a", "workload:ci"].iter().all(|actor| shared.iter().any(|shared| shared == actor)));
    assert!(log.len() < 3000, "{}", log.len());
    assert_eq!((count_of(&log), refusals.unrecorded()), (20_001, 0));
}

/// Many addresses with one revoked key of an account must not hide the use of another key.
#[test]
fn many_addresses_leave_other_credentials_told_apart() {
    let (refusals, mut log) = (Refusals::default(), Vec::new());
    let of = |subject: &str, number| from_network(owned(refused(0, subject), 1), number).with("path", "/x");
    for number in 0..1000_usize {
        refusals.note(of("key_old", number));
        // One network is one caller.
        let address = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, number as u16]);
        refusals.note(of("key_other", 0).from(Origin::new(address)));
    }
    refusals.note(owned(refused(0, "key_new"), 1).with("path", "/x"));
    recorded(&refusals, 0, true, &mut log);
    recorded(&refusals, 0, true, &mut log);
    assert_eq!(count_of(&log), 2001);
    assert_eq!(log.iter().filter(|event| event.subject == "key_other").count(), 2);
    let new = log.iter().find(|event| event.subject == "key_new").unwrap();
    assert!(new.origin.is_none() && new.details.to_string().is_empty(), "{new:?}");
    let several = log.iter().find_map(|event| detail(event, "addresses"));
    assert!((980..1000).contains(&several.unwrap()), "{several:?}");
}

#[test]
fn many_kinds_of_one_action_leave_those_of_another() {
    let (refusals, mut log) = (Refusals::default(), Vec::new());
    for number in 0..1000 {
        refusals.note(refused(0, &number.to_string()));
    }
    for number in 0..100 {
        refusals.note(Event { action: "user.sign_in_failed", ..refused(0, &format!("x{number}")) });
    }
    let due = recorded(&refusals, 100, false, &mut log);
    assert_eq!(due.iter().filter(|(subject, _)| subject.starts_with('x')).count(), MIN_STRANGERS);
}

/// As one who has an IPv6 network can send them.
#[test]
fn new_addresses_each_second_do_not_fill_the_log() {
    const SECONDS: i64 = 6 * 3600;
    let (refusals, mut log) = (Refusals::default(), Vec::new());
    for second in 0..SECONDS {
        for number in 0..3 {
            refusals.note(from_network(refused(second, "x"), (3 * second + number) as usize));
        }
        recorded(&refusals, second, false, &mut log);
    }
    assert!(log.len() < 9 * MAX_NEW, "{} in six hours", log.len());
    assert!(refusals.kinds().all.len() < 3 * MAX_NEW, "{}", refusals.kinds().all.len());
    recorded(&refusals, SECONDS, true, &mut log);
    recorded(&refusals, SECONDS, true, &mut log);
    assert_eq!(i64::from(count_of(&log)), 3 * SECONDS);
}
