//! What is counted of budgets, and where: in running requests, in what is not written yet, and in the database.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use smallvec::smallvec;

use super::applicable::Subject;
use super::applicable_budgets::{ApplicableBudget, ApplicableBudgets, BudgetOwner};
use super::budget_hold::BudgetHold;
use super::budgets::Budgets;
use crate::gateway::active_config::ConfigHandle;
use crate::gateway::clock::Clock;
use crate::gateway::config::{Inputs, load};
use crate::gateway::store::{BudgetNews, BudgetTotal, BudgetUse};
use crate::keyspec::{Limit, RequestLimits};

/// 2026-11-30T12:00:00Z, in the middle of an hour, a day and a month's last day.
const NOON: i64 = 1_796_040_000;

struct Given {
    budgets: Arc<Budgets>,
    now: Arc<AtomicI64>,
}

impl Given {
    fn new() -> Self {
        let now = Arc::new(AtomicI64::new(NOON));
        let shown = now.clone();
        let config = load(&Inputs::default()).unwrap();
        let config = Arc::new(ConfigHandle::new(config, ([127, 0, 0, 1], 1).into()));
        let clock = Clock::new(move || shown.load(Ordering::Relaxed));
        Self { budgets: Arc::new(Budgets::new(config, clock)), now }
    }

    /// Whether a request is admitted that uses so many tokens; it is over when this returns.
    fn use_up(&self, budget: &ApplicableBudgets, tokens: u64) -> bool {
        BudgetHold::admit(&self.budgets, budget.clone(), 0).is_ok_and(|hold| {
            hold.unwrap().settle(tokens);
            true
        })
    }

    fn used(&self, budget: &ApplicableBudgets) -> u64 {
        self.budgets.states(budget)[0].used
    }

    /// Writes what waits to a database that has `others` of each window besides.
    fn write(&self, others: u64) -> Vec<(u64, u64)> {
        let uses = self.budgets.take(1000, false);
        let totals: Vec<BudgetTotal> = uses
            .iter()
            .map(|used| BudgetTotal { id: used.id.clone(), tokens: others.saturating_add_signed(used.tokens) })
            .collect();
        let warnings = self.budgets.written(&uses, &totals);
        warnings.into_iter().map(|warning| (warning.percent, warning.used)).collect()
    }
}

fn limits(pairs: &[&str]) -> RequestLimits {
    RequestLimits::of(&pairs.iter().map(|pair| pair.parse().unwrap()).collect::<Vec<_>>()).unwrap()
}

fn budget(subject: &str, pairs: &[&str]) -> ApplicableBudgets {
    let owner = BudgetOwner::Subject(Subject::Person);
    smallvec![ApplicableBudget { owner, subject: subject.to_owned(), limits: limits(pairs) }]
}

fn id(used: &[BudgetUse], name: &str) -> String {
    used.iter().find(|used| used.id.starts_with(name)).unwrap().id.clone()
}

#[test]
fn what_is_used_is_counted_once_on_its_way_to_the_database() {
    let given = Given::new();
    let day = budget("person:a", &["tokens-per-day=100"]);
    let mut hold = BudgetHold::admit(&given.budgets, day.clone(), 10).unwrap().unwrap();
    assert_eq!(given.used(&day), 10);
    hold.count(30);
    // The count of a stream never goes back.
    hold.count(20);
    assert_eq!(given.used(&day), 30);
    hold.settle(25);
    assert_eq!(given.used(&day), 25);
    let uses = given.budgets.take(1000, false);
    assert_eq!((uses.len(), given.used(&day)), (3, 25), "hour, day and month");
    // More is used while it is written; nothing of it is in that batch.
    assert!(given.use_up(&day, 5));
    let totals = [BudgetTotal { id: id(&uses, "day"), tokens: 40 }];
    given.budgets.written(&uses, &totals);
    assert_eq!(given.used(&day), 45);
    assert_eq!(given.budgets.take(1000, false).iter().map(|used| used.tokens).collect::<Vec<_>>(), [5, 5, 5]);
}

#[test]
fn a_batch_that_was_written_before_is_counted_until_its_total_is_read() {
    let given = Given::new();
    let day = budget("person:a", &["tokens-per-day=100"]);
    assert!(given.use_up(&day, 30));
    let uses = given.budgets.take(1000, false);
    // The outcome was unknown, and the second attempt says that it had been written.
    given.budgets.written(&uses, &[]);
    assert_eq!(given.used(&day), 30);
    let news = |version, tokens| BudgetNews { version, totals: vec![BudgetTotal { id: id(&uses, "day"), tokens }] };
    given.budgets.read(news(7, 80));
    assert_eq!((given.used(&day), given.budgets.version()), (80, 7));
    // It can be less: a request took less than it had been estimated at.
    given.budgets.read(news(8, 60));
    assert_eq!(given.used(&day), 60);
    given.budgets.read(BudgetNews { version: 8, totals: vec![BudgetTotal { id: "odd".to_owned(), tokens: 1 }] });
}

#[test]
fn what_a_running_request_has_used_is_written_and_taken_back_when_it_ends() {
    let given = Given::new();
    let day = budget("person:a", &["tokens-per-day=1000"]);
    let mut hold = BudgetHold::admit(&given.budgets, day.clone(), 100).unwrap().unwrap();
    let mut stored = 0;
    let mut write = |given: &Given| {
        let uses = given.budgets.take(1000, true);
        let added: Vec<i64> = uses.iter().filter(|used| used.id.starts_with("day")).map(|used| used.tokens).collect();
        stored += added.iter().sum::<i64>();
        let total = |used: &BudgetUse| BudgetTotal { id: used.id.clone(), tokens: stored.try_into().unwrap() };
        given.budgets.written(&uses, &uses.iter().map(total).collect::<Vec<_>>());
        added
    };
    assert_eq!((write(&given), given.used(&day)), (vec![100], 100));
    assert_eq!((write(&given), given.used(&day)), (vec![], 100));
    hold.count(130);
    assert_eq!((write(&given), given.used(&day)), (vec![30], 130));
    hold.count(150);
    // It took less than it was estimated at.
    hold.settle(90);
    assert_eq!(given.used(&day), 90);
    assert_eq!((write(&given), given.used(&day)), (vec![-40], 90));
    // One that ends on another day is taken back from this one.
    let hold = BudgetHold::admit(&given.budgets, day.clone(), 7).unwrap().unwrap();
    assert_eq!(write(&given), [7]);
    given.now.fetch_add(86_400, Ordering::Relaxed);
    assert_eq!(given.used(&day), 7);
    let mut both = write(&given);
    both.sort_unstable();
    assert_eq!(both, [-7, 7]);
    hold.settle(7);
    assert_eq!(write(&given), Vec::<i64>::new(), "the real count takes its place");
}

#[test]
fn a_request_counts_in_the_window_in_which_it_ends() {
    let given = Given::new();
    let hour = budget("person:a", &["tokens-per-hour=10"]);
    let hold = BudgetHold::admit(&given.budgets, hour.clone(), 0).unwrap().unwrap();
    given.now.fetch_add(3600, Ordering::Relaxed);
    hold.settle(10);
    assert!(given.budgets.used_up(&hour).is_some());
    given.now.fetch_sub(3600, Ordering::Relaxed);
    assert!(given.budgets.used_up(&hour).is_none());
}

#[test]
fn a_request_that_is_dropped_counts_with_what_is_known() {
    let given = Given::new();
    let day = budget("person:a", &["tokens-per-day=100"]);
    let mut hold = BudgetHold::admit(&given.budgets, day.clone(), 1).unwrap().unwrap();
    hold.count(7);
    drop(hold);
    assert_eq!(given.used(&day), 7);
}

#[test]
fn without_the_database_each_gateway_has_its_part_of_the_rest() {
    let given = Given::new();
    given.budgets.set_gateways(NonZeroU32::new(3).unwrap());
    let day = budget("person:a", &["tokens-per-day=100"]);
    assert!(given.use_up(&day, 1));
    given.write(39);
    assert_eq!(given.used(&day), 40);
    given.budgets.set_offline();
    // 60 are left, and 20 of them are this gateway's.
    assert!(given.use_up(&day, 19) && given.use_up(&day, 1));
    assert!(!given.use_up(&day, 1), "its part is used up");
    // It is back, and the others have used nothing.
    given.write(40);
    assert_eq!(given.used(&day), 60);
    assert!(given.use_up(&day, 1));
}

#[test]
fn a_part_of_a_budget_is_told_by_the_addition_that_reaches_it() {
    let given = Given::new();
    let day = budget("person:a", &["tokens-per-day=100"]);
    let mut total = 0;
    for (tokens, told) in [(79, &[][..]), (1, &[(80, 80)]), (19, &[]), (1, &[(100, 100)]), (50, &[])] {
        // A request that is refused uses nothing.
        match BudgetHold::admit(&given.budgets, day.clone(), 0) {
            Ok(hold) => hold.unwrap().settle(tokens),
            Err(state) => {
                assert_eq!((state.budget, state.limit, state.used), (Limit::TokensPerDay, 100, 100));
                continue;
            }
        }
        assert_eq!(given.write(total), told, "{tokens} after {total}");
        total += tokens;
    }
    // Both at once: the higher one.
    let other = budget("person:b", &["tokens-per-day=10"]);
    assert!(given.use_up(&other, 30));
    assert_eq!(given.write(0), [(100, 30)]);
}

#[test]
fn a_part_that_is_taken_back_and_reached_again_is_told_once() {
    let given = Given::new();
    let day = budget("person:a", &["tokens-per-day=100"]);
    let mut stored = 0u64;
    let mut written = || {
        let mut uses = given.budgets.take(1000, true);
        uses.retain(|used| used.id.starts_with("day"));
        stored = uses.iter().fold(stored, |sum, used| sum.saturating_add_signed(used.tokens));
        let totals = uses.iter().map(|used| BudgetTotal { id: used.id.clone(), tokens: stored }).collect::<Vec<_>>();
        given.budgets.written(&uses, &totals).iter().map(|warning| warning.percent).collect::<Vec<_>>()
    };
    let hold = BudgetHold::admit(&given.budgets, day.clone(), 85).unwrap().unwrap();
    assert_eq!(written(), [80]);
    // It took less than it was estimated at.
    hold.settle(10);
    assert!(written().is_empty());
    assert!(given.use_up(&day, 75));
    assert!(written().is_empty());
    assert!(given.use_up(&day, 15));
    assert_eq!(written(), [100]);
}

#[test]
fn each_budget_has_its_turn_when_a_batch_cannot_hold_them_all() {
    let given = Given::new();
    let budgets: Vec<_> = (0..30).map(|n| budget(&format!("person:{n}"), &["tokens-per-day=1000"])).collect();
    let mut holds: Vec<_> =
        budgets.iter().map(|budget| BudgetHold::admit(&given.budgets, budget.clone(), 1).unwrap().unwrap()).collect();
    let mut written = HashSet::new();
    // Batches of a third, while all streams go on.
    for tokens in 2..5 {
        let uses = given.budgets.take(30, true);
        written.extend(uses.iter().filter(|used| used.id.starts_with("day")).map(|used| used.id.clone()));
        given.budgets.written(&uses, &[]);
        holds.iter_mut().for_each(|hold| hold.count(tokens));
    }
    assert_eq!(written.len(), 30);
}

#[test]
fn what_is_over_and_unused_is_forgotten_and_the_rest_is_not() {
    let given = Given::new();
    let (day, other) = (budget("person:a", &["tokens-per-day=100"]), budget("person:b", &["tokens-per-hour=100"]));
    assert!(given.use_up(&day, 60) && given.use_up(&other, 50));
    given.write(0);
    let hold = BudgetHold::admit(&given.budgets, other.clone(), 0).unwrap();
    given.now.fetch_add(3 * 3600, Ordering::Relaxed);
    given.budgets.sweep();
    assert_eq!((given.used(&day), given.used(&other)), (60, 0));
    let most =
        |count| given.budgets.most_used(count).into_iter().map(|state| (state.subject, state.used)).collect::<Vec<_>>();
    assert_eq!(most(9), [("person:a".to_owned(), 60), ("person:b".to_owned(), 0)]);
    assert_eq!(most(1).len(), 1);
    given.now.fetch_add(40 * 86_400, Ordering::Relaxed);
    given.budgets.sweep();
    assert_eq!(most(9).len(), 1, "one has a running request");
    drop(hold);
    given.write(0);
    given.now.fetch_add(40 * 86_400, Ordering::Relaxed);
    given.budgets.sweep();
    assert_eq!(most(9), []);
}

#[test]
fn numbers_at_the_end_of_their_range_do_not_overflow() {
    let given = Given::new();
    let day = budget("person:a", &["tokens-per-day=1000000000000000"]);
    assert!(given.use_up(&day, u64::MAX));
    let hold = BudgetHold::admit(&given.budgets, budget("person:b", &["tokens-per-day=1"]), u64::MAX).unwrap();
    assert!(!given.use_up(&day, 1));
    given.write(0);
    drop(hold);
    assert!(!given.use_up(&day, 1));
}
