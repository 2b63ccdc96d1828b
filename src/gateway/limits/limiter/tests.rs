//! The limiter against a second one, which remembers every request; and what only some of its callers would notice.

use std::collections::BTreeMap;

use super::*;
use crate::gateway::groups::{GroupRules, Groups};
use crate::gateway::limits::applicable::InEnvironment;

const MINUTE: u64 = 60_000_000_000;

/// A generator of numbers, the same ones each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn limits(&mut self) -> RequestLimits {
        let mut some = |end| NonZeroU32::new(u32::try_from(self.below(end)).unwrap());
        let (rate, burst, streams) = (some(5), some(6), some(4));
        let requests_per_minute = rate.map(|rate| rate.saturating_mul(NonZeroU32::new(30).unwrap()));
        let burst = burst.filter(|_| rate.is_some()).or(rate);
        RequestLimits { requests_per_minute, burst, streams, ..RequestLimits::default() }
    }
}

/// What the second one remembers of a subject.
#[derive(Default)]
struct Remembered {
    limits: RequestLimits,
    /// The requests that still count: when, and the nanoseconds between two and of the whole burst by the limits of that time.
    taken: Vec<(u64, u64, u64)>,
    open: u64,
}

impl Remembered {
    /// How much of the burst is not free at that time, by going through all that was taken.
    fn used(&self, now: u64) -> u64 {
        let (mut used, mut last) = (0_u64, 0);
        for (at, interval, room) in &self.taken {
            used = used.saturating_sub(at - last).min(*room) + interval;
            last = *at;
        }
        used.saturating_sub(now - last)
    }

    fn wait(&self, now: u64) -> Option<Duration> {
        let rate = self.limits.requests_per_minute?.get();
        let burst = self.limits.burst.map_or(rate, NonZeroU32::get);
        let interval = MINUTE / u64::from(rate);
        let room = interval * u64::from(burst);
        let needed = self.used(now).min(room) + interval;
        (needed > room).then(|| Duration::from_nanos(needed - room))
    }

    fn is_full(&self) -> bool {
        self.limits.streams.is_some_and(|most| self.open >= most.get().into())
    }

    fn counts(&self) -> bool {
        self.limits.requests_per_minute.is_some() || self.limits.streams.is_some()
    }

    fn take(&mut self, now: u64) {
        if self.used(now) == 0 {
            self.taken.clear();
        }
        if let Some(rate) = self.limits.requests_per_minute {
            let interval = MINUTE / u64::from(rate.get());
            let burst = self.limits.burst.map_or(rate.get(), NonZeroU32::get);
            self.taken.push((now, interval, interval * u64::from(burst)));
        }
        self.open += 1;
    }
}

/// The subjects of the comparison: four keys, two people, the gateway, three groups, two environments, and each person in each of these.
const PEOPLE: usize = 4;
const GATEWAY: usize = 6;
const GROUPS: usize = 7;
const ENVIRONMENTS: usize = 10;
const PEOPLE_IN: usize = 12;
const SUBJECTS: usize = 16;

/// The groups of each person: one of their own, and those that are within the third.
const GROUPS_OF: [&[&str]; 2] = [&["g-0"], &["g-1", "g-0"]];

/// Whose limits apply to a request of that person, by that key (the fifth is a device, which has no limits of its own), in that environment
/// (the third is none); as the limiter names them, and by number. Group 0 is within group 2.
fn subjects_of(key: usize, person: usize, environment: usize) -> Vec<(Subject, usize)> {
    let name = |kind: &str, number: usize| format!("{kind}-{number}").parse().unwrap();
    let mut all = Vec::new();
    if key < 4 {
        all.push((Subject::Key, key));
    }
    all.push((Subject::Person, PEOPLE + person));
    if environment < 2 {
        all.push((Subject::PersonIn(name("e", environment)), PEOPLE_IN + 2 * environment + person));
    }
    let groups: &[usize] = if person == 0 { &[0, 2] } else { &[1, 0, 2] };
    all.extend(groups.iter().map(|number| (Subject::Group(name("g", *number)), GROUPS + number)));
    if environment < 2 {
        all.push((Subject::Environment(name("e", environment)), ENVIRONMENTS + environment));
    }
    all.push((Subject::Gateway, GATEWAY));
    all
}

/// The groups with the limits that they have now.
fn groups_now(subjects: &[Remembered]) -> Groups {
    let rules = |number: usize| GroupRules {
        limits: subjects[GROUPS + number].limits,
        within: (number == 0).then(|| "g-2".parse().unwrap()),
    };
    Groups::new((0..3).map(|number| (format!("g-{number}").parse().unwrap(), rules(number))).collect()).unwrap()
}

#[test]
fn a_million_requests_are_decided_as_by_a_limiter_that_remembers_all() {
    let keys = ["key_11111111", "key_22222222", "key_33333333", "key_44444444"].map(|id| id.parse::<KeyId>().unwrap());
    let names: [Vec<PolicyName>; 2] = GROUPS_OF.map(|names| names.iter().map(|name| name.parse().unwrap()).collect());
    let (limiter, mut numbers) = (Limiter::default(), Numbers(0x9e37_79b9_7f4a_7c15));
    let mut subjects: Vec<Remembered> = (0..SUBJECTS).map(|_| Remembered::default()).collect();
    let mut groups = groups_now(&subjects);
    let mut open: Vec<(Slot, Vec<usize>)> = Vec::new();
    let (mut now, mut admitted, mut refused) = (0, 0, BTreeMap::<String, u32>::new());
    for number in 0..1_000_000 {
        // As a reload does, with requests under way.
        if number % 997 == 0 {
            // Of the sixteen a few have limits: otherwise every request is refused by one of them.
            let which = usize::try_from(numbers.below(SUBJECTS as u64)).unwrap();
            subjects[which].limits = if numbers.below(3) == 0 { numbers.limits() } else { RequestLimits::default() };
            groups = groups_now(&subjects);
        }
        now += numbers.below(900_000_000);
        if number % 1009 == 0 {
            limiter.sweep(Duration::from_nanos(now));
        }
        while !open.is_empty() && (open.len() > 12 || numbers.below(5) < 2) {
            let which = usize::try_from(numbers.below(open.len() as u64)).unwrap();
            let (slot, counted) = open.swap_remove(which);
            drop(slot);
            counted.into_iter().for_each(|subject| subjects[subject].open -= 1);
        }
        let key = usize::try_from(numbers.below(5)).unwrap();
        let (person, environment) = (key % 2, usize::try_from(numbers.below(3)).unwrap());
        let mut asked = subjects_of(key, person, environment);
        asked.retain(|(_, which)| subjects[*which].counts());
        let mut wanted = None;
        for (subject, which) in &asked {
            if let Some(wait) = subjects[*which].wait(now) {
                let rate = subjects[*which].limits.requests_per_minute.unwrap();
                let is_longer = !matches!(wanted, Some(Exceeded::Rate(_, _, longest)) if longest >= wait);
                wanted = if is_longer { Some(Exceeded::Rate(*subject, rate, wait)) } else { wanted };
            }
        }
        if wanted.is_none() {
            let full = asked.iter().filter(|(_, which)| subjects[*which].is_full());
            let full = full.map(|(subject, which)| (subjects[*which].limits.streams.unwrap(), *subject));
            wanted = full.min_by_key(|(most, _)| *most).map(|(most, subject)| Exceeded::Streams(subject, most));
        }
        let here = (environment < 2).then(|| InEnvironment {
            name: format!("e-{environment}").parse().unwrap(),
            of_all: subjects[ENVIRONMENTS + environment].limits,
            of_person: subjects[PEOPLE_IN + 2 * environment + person].limits,
        });
        let applicable = Applicable {
            key: keys.get(key),
            of_key: keys.get(key).map_or_else(RequestLimits::default, |_| subjects[key].limits),
            person: Uuid::from_u128(person as u128),
            of_person: subjects[PEOPLE + person].limits,
            groups: groups.of(&names[person]),
            environment: here,
            of_gateway: subjects[GATEWAY].limits,
        };
        let got = limiter.admit(&applicable, || Duration::from_nanos(now));
        assert_eq!(got.as_ref().err(), wanted.as_ref(), "request {number} at {now}");
        match got {
            Err(Exceeded::Rate(subject, ..) | Exceeded::Streams(subject, _)) => {
                *refused.entry(format!("{subject:?}")).or_default() += 1;
            }
            Ok(slot) => {
                admitted += 1;
                let counted: Vec<usize> = asked.into_iter().map(|(_, which)| which).collect();
                counted.iter().for_each(|which| subjects[*which].take(now));
                open.push((slot, counted));
            }
        }
    }
    // Each of the subjects refuses some: the four keys, and the two people, count as one.
    let kinds = SUBJECTS - 3 - 1;
    assert!(admitted > 100_000 && refused.values().sum::<u32>() > 100_000, "{admitted} {refused:?}");
    assert!(refused.len() >= kinds - 2 && refused.values().all(|count| *count > 100), "{refused:?}");
}

fn number(number: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(number)
}

fn applicable<'a>(of_person: RequestLimits, of_gateway: RequestLimits) -> Applicable<'a> {
    let (of_key, groups) = (RequestLimits::default(), GroupsOfPerson::new());
    Applicable { key: None, of_key, person: Uuid::nil(), of_person, groups, environment: None, of_gateway }
}

#[test]
fn what_one_limit_refuses_uses_up_nothing_of_the_others() {
    let limiter = Limiter::default();
    let one = RequestLimits { streams: number(1), ..RequestLimits::default() };
    let few = RequestLimits { requests_per_minute: number(2), streams: number(9), ..RequestLimits::default() };
    let now = || Duration::ZERO;
    let slot = limiter.admit(&applicable(one, few), now).unwrap();
    for _ in 0..100 {
        let refused = limiter.admit(&applicable(one, few), now).unwrap_err();
        assert_eq!(refused, Exceeded::Streams(Subject::Person, number(1).unwrap()));
    }
    drop(slot);
    let _slot = limiter.admit(&applicable(one, few), now).unwrap();
    let wait = Duration::from_secs(30);
    let refused = limiter.admit(&applicable(one, few), now).unwrap_err();
    assert_eq!(refused, Exceeded::Rate(Subject::Gateway, number(2).unwrap(), wait));
}

#[test]
fn threads_together_get_no_more_than_the_limit() {
    let limiter = Limiter::default();
    let limits = RequestLimits {
        requests_per_minute: number(600),
        burst: number(50),
        streams: number(7),
        ..RequestLimits::default()
    };
    let (most, running) = (AtomicU32::new(0), AtomicU32::new(0));
    let admitted = AtomicU32::new(0);
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    // The real time, so that no two threads agree on it.
                    let Ok(slot) = limiter.admit(&applicable(limits, limits), || began.elapsed()) else { continue };
                    admitted.fetch_add(1, Ordering::SeqCst);
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    running.fetch_sub(1, Ordering::SeqCst);
                    drop(slot);
                }
            });
        }
    });
    let earned = u32::try_from(began.elapsed().as_millis() / 100).unwrap() + 1;
    assert!(admitted.load(Ordering::SeqCst) <= 50 + earned, "{admitted:?} in {earned} tenths of a second");
    assert!(most.load(Ordering::SeqCst) <= 7, "{most:?} at a time");
    // Nothing has leaked.
    limiter.sweep(Duration::from_secs(3600));
    assert!(limiter.lock().people.is_empty() && limiter.lock().gateway.streams.load(Ordering::SeqCst) == 0);
}

#[test]
fn subjects_are_forgotten_once_they_use_nothing() {
    let limiter = Limiter::default();
    let limits = RequestLimits { requests_per_minute: number(60), streams: number(9), ..RequestLimits::default() };
    let ask = |person: u128, at: u64| {
        let applicable = Applicable { person: Uuid::from_u128(person), ..applicable(limits, RequestLimits::default()) };
        limiter.admit(&applicable, || Duration::from_secs(at)).unwrap()
    };
    let kept = ask(1, 0);
    (0..1000).for_each(|person| drop(ask(person, 0)));
    assert_eq!(limiter.lock().people.len(), 1000);
    limiter.sweep(Duration::from_millis(500));
    assert_eq!(limiter.lock().people.len(), 1000, "what was used would be free again");
    limiter.sweep(Duration::from_secs(2));
    assert_eq!(limiter.lock().people.len(), 1, "the one with an open request remains");
    drop(kept);
    limiter.sweep(Duration::from_secs(3));
    assert!(limiter.lock().people.is_empty());
}

#[test]
fn gateways_that_share_a_limit_allow_a_part_of_it_each() {
    let limits = RequestLimits { requests_per_minute: number(60), streams: number(4), ..RequestLimits::default() };
    let limiter = Limiter::default();
    limiter.set_gateways(number(3).unwrap());
    let ask = || limiter.admit(&applicable(limits, RequestLimits::default()), || Duration::ZERO);
    let first = ask().unwrap();
    assert_eq!(ask().unwrap_err(), Exceeded::Streams(Subject::Person, number(4).unwrap()));
    drop(first);
    let admitted = (0..100).filter(|_| ask().is_ok()).count();
    assert_eq!(admitted, 19);
    // When the others have gone, all of it; but not at the first count that is lower.
    let streams = RequestLimits { streams: number(4), ..RequestLimits::default() };
    let part = || {
        let ask = || limiter.admit(&applicable(streams, RequestLimits::default()), || Duration::ZERO);
        let held: Vec<Slot> = std::iter::repeat_with(ask).map_while(Result::ok).collect();
        held.len()
    };
    let parts = [1, 1, 3, 1, 2, 1, 1].map(|count| {
        limiter.set_gateways(number(count).unwrap());
        part()
    });
    assert_eq!(parts, [1, 4, 1, 1, 2, 2, 4]);
}
