//! What every store has to do with usage: what [`MemoryUsage`](super::memory_usage::MemoryUsage) does.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use uuid::Uuid;

use super::memory_usage::MemoryUsage;
use super::*;
use crate::keyspec::{AddressRules, RequestLimits, Scope};

/// A few of each, so that they meet. Some texts would be more than themselves in a statement.
const ACCOUNTS: [Uuid; 2] = [Uuid::from_u128(1), Uuid::from_u128(2)];
const CREDENTIALS: [&str; 2] = ["key:a", "workload:it's"];
const MODELS: [&str; 3] = ["", "tiny:latest", "\u{e4}';--"];
/// Of each batch: records, and what is added to hours and days, as indexes.
type Step = (u64, Vec<(usize, usize, usize, i64, i64, u64)>);

fn series(account: usize, credential: usize, model: usize) -> UsageSeries {
    let (credential, model) = (CREDENTIALS[credential].to_owned(), MODELS[model].to_owned());
    UsageSeries { account: ACCOUNTS[account], credential, model }
}

/// A batch of nothing.
pub fn empty(run: Uuid, sequence: u64, at: i64) -> UsageBatch {
    let (records, hours, days, last_uses, budgets) = Default::default();
    UsageBatch { run, sequence, at, records, hours, days, last_uses, budgets }
}

/// A record that ended then.
pub fn record(series: UsageSeries, ended_at: i64) -> UsageRecord {
    UsageRecord {
        ended_at,
        credential: "key:b".to_owned(),
        series,
        environment: Some("production".parse().unwrap()),
        network: "192.0.2.0/24".parse().unwrap(),
        request: format!("{ended_at:032x}").parse().unwrap(),
        route: "/api/chat".into(),
        http_status: 200,
        status: UsageStatus::ALL[usize::try_from(ended_at).unwrap() % 4],
        tokens: TokenCount { input: 7, output: 9, is_estimate: ended_at % 2 == 0 },
        first_token_ms: (ended_at % 3 == 0).then_some(5),
        total_ms: 11,
        bytes: 13,
    }
}

/// Totals that differ in each measure.
pub fn totals(by: u64) -> UsageTotals {
    usage_measures::totals_of(std::array::from_fn(|at| by * (at as u64 + 1)))
}

fn batch(run: u128, (sequence, parts): &Step) -> UsageBatch {
    let mut batch = empty(Uuid::from_u128(run), *sequence, 100);
    for &(account, credential, model, hour, day, count) in parts {
        let series = series(account, credential, model);
        batch.records.push(record(series.clone(), day));
        batch.hours.push((hour, series.clone(), totals(count)));
        batch.days.push((day, series.clone(), totals(count)));
        let scope = if count % 2 == 0 { Scope::Inference } else { Scope::ModelsRead };
        let (account, credential, model) = (series.account, series.credential, series.model);
        batch.last_uses.push(LastUse { account, credential, scope, model, at: hour });
    }
    batch
}

/// Any batches, some of which are written twice.
pub fn random_batches<F: Future<Output = Box<dyn Store>>>(open: impl Fn() -> F) {
    let part = (0..2_usize, 0..2_usize, 0..3_usize, 0..90_i64, 0..90_i64, 0..5_u64);
    let steps = proptest::collection::vec((1..9_u64, proptest::collection::vec(part, 0..8)), 1..8);
    let range = (0..80_i64, 0..80_i64).prop_map(|(start, length)| start..start + length);
    let filters = (select(vec![None, Some(ACCOUNTS[0])]), select(vec![None, Some(CREDENTIALS[1])]));
    let input = (steps, range, filters, select(vec![None, Some(MODELS[0]), Some(MODELS[2])]));
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let all = TestRunner::new(config).run(&input, |(steps, periods, (account, credential), model)| {
        let wanted = UsageQuery {
            periods,
            account,
            credential: credential.map(str::to_owned),
            model: model.map(str::to_owned),
            ..UsageQuery::default()
        };
        runtime.block_on(batches_in_order(&*runtime.block_on(open()), &steps, &wanted));
        Ok(())
    });
    all.unwrap_or_else(|error| panic!("{error}"));
}

async fn batches_in_order(store: &dyn Store, steps: &[Step], wanted: &UsageQuery) {
    let mut memory = MemoryUsage::default();
    for (number, step) in steps.iter().enumerate() {
        let batch = batch(number as u128 % 2, step);
        for _ in 0..=number % 2 {
            store.write_usage(&batch).await.unwrap();
            memory.write(&batch);
        }
    }
    for bits in 0..32 {
        let has = |bit: u32| bits & 1 << bit != 0;
        let group = UsageGroup { period: has(0), account: has(1), credential: has(2), model: has(3) };
        let period = if has(4) { UsagePeriod::Hour } else { UsagePeriod::Day };
        let wanted = UsageQuery { group, period, ..wanted.clone() };
        assert_eq!(store.usage_totals(&wanted).await.unwrap(), memory.totals(&wanted), "{wanted:?}");
    }
    for status in [None, Some(UsageStatus::Cut)] {
        let (since, until) = (Some(wanted.periods.start), Some(wanted.periods.end));
        let (account, credential) = (wanted.account, wanted.credential.clone());
        let mut wanted = RecordQuery { account, credential, status, since, until, after: None, limit: 3 };
        loop {
            let (page, expected) = (store.usage_records(&wanted).await.unwrap(), memory.page(&wanted));
            assert_eq!(page, expected, "{wanted:?}");
            wanted.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
    }
    for account in [None, Some(ACCOUNTS[1])] {
        assert_eq!(store.last_uses(account).await.unwrap(), memory.last_uses(account));
    }
}

/// A batch that is written again, perhaps with later ones before, is counted once.
pub async fn a_batch_counts_once(store: &dyn Store) {
    let [one, other] = [Uuid::from_u128(1), Uuid::from_u128(2)];
    let requests = async || {
        let wanted = UsageQuery { periods: 0..10, ..UsageQuery::default() };
        let [row] = &store.usage_totals(&wanted).await.unwrap()[..] else { panic!("one row") };
        let records = store.usage_records(&RecordQuery { limit: 100, ..RecordQuery::default() }).await.unwrap().records;
        (row.totals.requests, records.len())
    };
    assert_eq!(requests().await, (0, 0));
    let batch = |run, sequence| {
        let series = series(0, 0, 1);
        let mut batch = empty(run, sequence, 100);
        batch.records.push(record(series.clone(), 5));
        let (account, credential, model) = (series.account, series.credential.clone(), series.model.clone());
        batch.last_uses.push(LastUse { account, credential, scope: Scope::Keys, model, at: 5 });
        batch.days.push((5, series, totals(1)));
        batch
    };
    for (run, sequence, expected) in
        [(one, 1, 1), (one, 1, 1), (one, 2, 2), (one, 2, 2), (one, 1, 2), (other, 1, 3), (one, 3, 4), (other, 1, 4)]
    {
        store.write_usage(&batch(run, sequence)).await.unwrap();
        assert_eq!(requests().await, (expected, usize::try_from(expected).unwrap()), "{run} {sequence}");
    }
    // An empty one is noted, too.
    store.write_usage(&empty(one, 9, 100)).await.unwrap();
    store.write_usage(&batch(one, 9)).await.unwrap();
    assert_eq!(requests().await.0, 4);
}

/// Values that fit nowhere are stored as the nearest ones, and keep nothing after them from being stored.
pub async fn absurd_values_are_stored(store: &dyn Store) {
    const MOST: u64 = (1 << 53) - 1;
    let name = format!("a\0{}", "\u{e4}".repeat(100_000));
    let series = UsageSeries { model: name.clone(), credential: name.clone(), ..series(0, 0, 0) };
    let mut batch = empty(Uuid::from_u128(1), 1, i64::MIN);
    let most = u64::MAX;
    let tokens = TokenCount { input: most, output: most, is_estimate: false };
    batch.records.push(UsageRecord {
        credential: name.clone(),
        http_status: u16::MAX,
        tokens,
        first_token_ms: Some(most),
        total_ms: most,
        bytes: most,
        environment: None,
        ..record(series.clone(), 5)
    });
    let all = usage_measures::totals_of([most; usage_measures::MEASURES.len()]);
    for period in [7, 7, i64::MAX, i64::MIN] {
        batch.hours.push((period, series.clone(), all));
        batch.days.push((period, series.clone(), all));
    }
    let account = series.account;
    batch.last_uses.push(LastUse { account, credential: name.clone(), scope: Scope::Keys, model: name.clone(), at: 7 });
    for sequence in 1..4 {
        store.write_usage(&UsageBatch { sequence, ..batch.clone() }).await.unwrap();
    }
    let group = UsageGroup { account: true, model: true, ..UsageGroup::default() };
    let of =
        |periods, model: &str| UsageQuery { periods, group, model: Some(model.to_owned()), ..UsageQuery::default() };
    for period in [UsagePeriod::Hour, UsagePeriod::Day] {
        let rows = store.usage_totals(&UsageQuery { period, ..of(7..8, &name) }).await.unwrap();
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert!(row.model.as_ref().is_some_and(|model| model.starts_with("a\u{fffd}\u{e4}") && model.len() <= 520));
        assert_eq!((row.totals.input, row.totals.bytes), (MOST, MOST));
        let everything = UsageQuery { period, ..of(i64::MIN..i64::MAX, &name) };
        let spans = if period == UsagePeriod::Day { 2 } else { 3 };
        assert_eq!(store.usage_totals(&everything).await.unwrap()[0].totals.input, spans * MOST);
        #[allow(clippy::reversed_empty_ranges, reason = "a caller may ask for it")]
        for nothing in [9..9, 9..8] {
            assert_eq!(store.usage_totals(&UsageQuery { period, ..of(nothing, &name) }).await.unwrap(), []);
        }
    }
    let records = store.usage_records(&RecordQuery { limit: 9, ..RecordQuery::default() }).await.unwrap().records;
    assert_eq!((records.len(), records[0].tokens.input, records[0].http_status), (3, i64::MAX as u64, u16::MAX));
    assert_eq!(store.last_uses(Some(account)).await.unwrap().len(), 1);
}

/// Usage goes when it is old by the clock, and by the time that gateways have run. `lets_count` has the next sweep count that time.
pub async fn usage_is_deleted_after_its_time(store: &dyn Store, lets_count: impl Fn()) {
    const DAY: i64 = 86_400;
    let (run, series) = (Uuid::from_u128(1), series(0, 0, 1));
    let user = User {
        id: series.account,
        name: "ann".to_owned(),
        email: String::new(),
        role: Role::Member,
        disabled: false,
        created_at: 0,
        suspended: None,
        groups: Vec::new(),
        limits: RequestLimits::default(),
        addresses: AddressRules::default(),
    };
    let (_, mut transaction) = store.begin(Position::default()).await.unwrap();
    let event = Event::new(1, Actor::Admin, "user.created", "ann");
    transaction.make(&Change::AddUser(user, None), &event, "one").await.unwrap();
    transaction.commit().await.unwrap();
    // A day each time, of which the third was noted with a clock that was a year ahead.
    for sequence in 0..100_u32 {
        let day = if sequence == 3 { 400 } else { i64::from(sequence) };
        let mut batch = empty(run, sequence.into(), day * DAY);
        batch.records.push(record(series.clone(), day * DAY));
        batch.hours.push((day * 24, series.clone(), totals(1)));
        batch.days.push((day, series.clone(), totals(1)));
        let (account, credential, model) = (series.account, series.credential.clone(), format!("m{day}"));
        batch.last_uses.push(LastUse { account, credential, scope: Scope::Keys, model, at: day * DAY });
        store.write_usage(&batch).await.unwrap();
        lets_count();
        store.sweep((i64::from(sequence) + 1) * DAY, DAY, Retention::default(), "one").await.unwrap();
    }
    let counts = async || {
        let count = async |period| {
            let by = |group| UsageQuery { period, periods: 0..1_000_000, group, ..UsageQuery::default() };
            let periods = store.usage_totals(&by(UsageGroup { period: true, ..Default::default() })).await.unwrap();
            let sum = store.usage_totals(&by(UsageGroup { account: true, ..Default::default() })).await.unwrap();
            // By account they are added up from spans.
            assert_eq!(sum.first().map_or(0, |row| row.totals.requests), periods.len() as u64);
            periods.len()
        };
        let records = store.usage_records(&RecordQuery { limit: 1000, ..Default::default() }).await.unwrap().records;
        let last_uses = store.last_uses(None).await.unwrap().len();
        [records.len(), count(UsagePeriod::Hour).await, count(UsagePeriod::Day).await, last_uses]
    };
    let retention = Retention {
        usage_records: Some(10 * DAY),
        usage_hours: Some(20 * DAY),
        usage_days: Some(40 * DAY),
        ..Retention::default()
    };
    assert_eq!(counts().await, [100; 4]);
    // Far ahead: but nothing has run for long.
    let swept =
        store.sweep(10_000 * DAY, 3600, Retention { usage_records: Some(101 * DAY), ..Default::default() }, "one");
    assert_eq!((swept.await.unwrap().usage, counts().await), (0, [100; 4]));
    // Of days, one more stays: its end depends on the time zone. What is in the future went by the time that was run alone.
    lets_count();
    let swept = store.sweep(100 * DAY, 3600, retention, "one").await.unwrap();
    assert!(!swept.has_more_usage && swept.usage > 0, "{swept:?}");
    assert_eq!(counts().await, [9, 20, 41, 39]);
    assert_eq!(store.sweep(100 * DAY, 3600, retention, "one").await.unwrap().usage, 0);
    // Of a request that ended after its account was removed.
    let mut batch = empty(run, 100, 100 * DAY);
    let (account, credential, model) = (Uuid::from_u128(99), "key:key_x".to_owned(), String::new());
    batch.last_uses.push(LastUse { account, credential, scope: Scope::Keys, model, at: 100 * DAY });
    store.write_usage(&batch).await.unwrap();
    lets_count();
    store.sweep(100 * DAY, 3600, retention, "one").await.unwrap();
    assert_eq!(store.last_uses(Some(account)).await.unwrap(), []);
    lets_count();
    let swept = store.sweep(300 * DAY, 200 * DAY, retention, "one").await.unwrap();
    assert_eq!((swept.has_more_usage, counts().await), (false, [0; 4]));
}

/// Gateways that write at the same time do not wait for each other in a circle, and a batch that two of them write is counted once.
pub async fn gateways_write_together(stores: &[Box<dyn Store>]) {
    const BATCHES: u64 = 20;
    let all: Vec<UsageSeries> = (0..12).map(|number| series(number % 2, number / 2 % 2, number / 4)).collect();
    let writes = (0..BATCHES * 2).map(|number| {
        let (store, all) = (&stores[usize::try_from(number).unwrap() % stores.len()], &all);
        async move {
            // Each as a run of its own: of one run, a gateway writes one after the other. Each in another order.
            let mut batch = empty(Uuid::from_u128((number / 2).into()), 1, 100);
            let mut mixed = all.clone();
            mixed.rotate_left(usize::try_from(number * 5 % 12).unwrap());
            for series in mixed {
                batch.records.push(record(series.clone(), 5));
                batch.hours.push((100, series.clone(), totals(1)));
                batch.days.push((5, series.clone(), totals(1)));
                let (account, credential, model) = (series.account, series.credential, series.model);
                batch.last_uses.push(LastUse { account, credential, scope: Scope::Keys, model, at: 5 });
            }
            store.write_usage(&batch).await.unwrap();
        }
    });
    futures_util::future::join_all(writes).await;
    let expected = BATCHES * all.len() as u64;
    for (period, periods) in [(UsagePeriod::Hour, 100..101), (UsagePeriod::Day, 0..90)] {
        for account in [false, true] {
            let group = UsageGroup { account, ..UsageGroup::default() };
            let wanted = UsageQuery { period, periods: periods.clone(), group, ..UsageQuery::default() };
            let rows = stores[0].usage_totals(&wanted).await.unwrap();
            assert_eq!(rows.iter().map(|row| row.totals.requests).sum::<u64>(), expected, "{wanted:?}");
        }
    }
    let records =
        stores[0].usage_records(&RecordQuery { limit: 1000, ..RecordQuery::default() }).await.unwrap().records;
    assert_eq!(records.len() as u64, expected);
}
