//! What every store has to do with what budgets have used.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use uuid::Uuid;

use super::memory_usage::MemoryUsage;
use super::usage_conformance::empty;
use super::*;

const DAY: i64 = 86_400;

fn used(id: &str, ends_at: i64, tokens: i64) -> BudgetUse {
    BudgetUse { id: id.to_owned(), ends_at, tokens }
}

/// A batch of nothing but these budgets, made at the Unix second 0.
pub fn batch(run: u128, sequence: u64, budgets: Vec<BudgetUse>) -> UsageBatch {
    UsageBatch { budgets, ..empty(Uuid::from_u128(run), sequence, 0) }
}

async fn news(store: &dyn Store, after: i64, now: i64) -> BudgetNews {
    let mut news = store.budget_totals(after, now).await.unwrap();
    news.totals.sort();
    news
}

/// Of windows that end at any time.
async fn ids(store: &dyn Store) -> Vec<String> {
    news(store, 0, i64::MIN).await.totals.into_iter().map(|total| total.id).collect()
}

/// Batches add to totals once, up to the most that is stored, and what changed after each version is found.
pub async fn batches_add_to_budgets(store: &dyn Store) {
    const MOST: i64 = (1 << 53) - 1;
    assert_eq!(news(store, 0, i64::MIN).await, BudgetNews::default());
    let mut memory = MemoryUsage::default();
    let (b, absurd) = ("hour:it's;--\u{e4}", i64::MAX);
    for (run, sequence, budgets) in [
        (1, 1, vec![used("a", 100, 5), used(b, 50, 0)]),
        // The outcome was unknown.
        (1, 1, vec![used("a", 100, 5), used(b, 50, 0)]),
        (2, 1, vec![used(b, 60, 7), used("a", 100, 6)]),
        (1, 2, Vec::new()),
        (1, 3, vec![used("c", absurd, MOST - 1), used("d", i64::MIN, i64::MAX)]),
        (2, 1, vec![used("c", 1, 1)]),
        (1, 4, vec![used("c", absurd, 2), used("d", 70, MOST)]),
        (1, 5, vec![used("c", absurd, 1), used("a", 100, 4)]),
        // Some is taken back, and never more than there is.
        (1, 6, vec![used("a", 100, -4), used("e", 100, -1), used("d", 70, i64::MIN)]),
        (1, 7, vec![used("d", 70, MOST)]),
    ] {
        let batch = batch(run, sequence, budgets);
        let mut totals = store.write_usage(&batch).await.unwrap();
        let mut expected = memory.write(&batch);
        totals.sort();
        expected.sort();
        assert_eq!(totals, expected, "{run} {sequence}");
        for (after, now) in (0..9).flat_map(|after| [(after, i64::MIN), (after, 50), (after, 60)]) {
            assert_eq!(news(store, after, now).await, memory.budget_totals(after, now), "{sequence} {after} {now}");
        }
    }
    let all = [("a", 11), ("c", MOST.cast_unsigned()), ("d", MOST.cast_unsigned()), ("e", 0), (b, 7)];
    let all = all.map(|(id, tokens)| BudgetTotal { id: id.to_owned(), tokens });
    assert_eq!(news(store, 0, i64::MIN).await, BudgetNews { version: 7, totals: all.into() });
    assert_eq!(news(store, 7, 0).await, BudgetNews { version: 7, totals: Vec::new() });
    // A database that has lost changes begins again.
    assert_eq!(news(store, 8, i64::MIN).await.totals.len(), 5);
    // What cannot be stored as it is keeps nothing after it from being stored.
    let long = format!("\0{}", "\u{e4}".repeat(1000));
    let totals = store.write_usage(&batch(1, 8, vec![used(&long, 9, 1), used(&long, 9, 2)])).await.unwrap();
    let [total] = &totals[..] else { panic!("{totals:?}") };
    assert!(total.tokens == 3 && total.id.starts_with("\u{fffd}\u{e4}"), "{total:?}");
}

/// Totals go a day after their window by the clock, and by the time that gateways have run. `lets_count` has the next sweep count that time.
pub async fn budgets_are_deleted_after_their_time(store: &dyn Store, lets_count: impl Fn()) {
    let sweep = async |now, ran| {
        lets_count();
        let swept = store.sweep(now, ran, Retention::default(), "one").await.unwrap();
        (swept.usage, swept.has_more_usage)
    };
    let hours = (0..1001).map(|number| used(&format!("hour{number}"), 3600, 1)).collect();
    assert_eq!(store.write_usage(&batch(1, 1, hours)).await.unwrap().len(), 1001);
    store.write_usage(&batch(1, 2, vec![used("month", 30 * DAY, 1)])).await.unwrap();
    // By a clock that was wrong.
    let wrong = UsageBatch { at: 1000 * DAY, ..batch(1, 3, vec![used("wrong", 1000 * DAY + 3600, 1)]) };
    store.write_usage(&wrong).await.unwrap();
    // Far ahead; but nothing has run for long.
    assert_eq!(sweep(10_000 * DAY, 3600).await, (0, false));
    // It has run for long, but by the clock the window has not ended, or only just.
    for now in [0, 3599 + DAY] {
        assert_eq!(sweep(now, 0).await, (0, false), "{now}");
    }
    assert_eq!(sweep(3600 + DAY, DAY).await, (1001, true));
    assert_eq!(sweep(3600 + DAY, 0).await, (1, false));
    assert_eq!(ids(store).await, ["month"]);
    assert_eq!(sweep(400 * DAY, DAY).await, (0, false));
    // Added to again: it is kept until its end.
    let later = UsageBatch { at: 29 * DAY, ..batch(1, 4, vec![used("month", 30 * DAY, 1)]) };
    store.write_usage(&later).await.unwrap();
    assert_eq!(sweep(31 * DAY, DAY - 1).await, (0, false));
    assert_eq!(sweep(31 * DAY, DAY + 1).await, (1, false));
    assert_eq!(ids(store).await, [""; 0]);
    // A window of which nothing is there begins anew.
    let totals = store.write_usage(&batch(1, 5, vec![used("month", 60 * DAY, 3)])).await.unwrap();
    assert_eq!(totals, [BudgetTotal { id: "month".to_owned(), tokens: 3 }]);
}

/// Who asks with the last version, while gateways write, has all totals at the end.
pub async fn readers_miss_nothing(stores: &[Box<dyn Store>]) {
    const WRITERS: usize = 8;
    const BATCHES: u64 = 25;
    let written = AtomicUsize::new(0);
    let writers = (0..WRITERS).map(|writer| {
        let (store, written) = (&stores[writer % stores.len()], &written);
        async move {
            for sequence in 1..=BATCHES {
                // One to which nothing is added later: it is found by the version that it has now, or never.
                let once = used(&format!("{writer}:{sequence}"), 100, sequence.cast_signed());
                let budgets = vec![once, used("all", 100, 1)];
                store.write_usage(&batch(writer as u128, sequence, budgets)).await.unwrap();
            }
            written.fetch_add(1, Ordering::SeqCst);
        }
    });
    let reader = async |store: &dyn Store| {
        let (mut version, mut totals) = (0, BTreeMap::new());
        loop {
            let is_last = written.load(Ordering::SeqCst) == WRITERS;
            let news = store.budget_totals(version, 0).await.unwrap();
            assert!(news.version >= version);
            version = news.version;
            totals.extend(news.totals.into_iter().map(|total| (total.id, total.tokens)));
            if is_last {
                return (version, totals);
            }
        }
    };
    let readers = futures_util::future::join_all(stores.iter().map(|store| reader(&**store)));
    let (_, seen) = futures_util::future::join(futures_util::future::join_all(writers), readers).await;
    let batches = BATCHES * WRITERS as u64;
    let each = (0..WRITERS).flat_map(|writer| (1..=BATCHES).map(move |number| (format!("{writer}:{number}"), number)));
    let mut expected: BTreeMap<String, u64> = each.collect();
    expected.insert("all".to_owned(), batches);
    for (version, totals) in seen {
        assert_eq!((version.unsigned_abs(), totals), (batches, expected.clone()));
    }
}
