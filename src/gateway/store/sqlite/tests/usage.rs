//! Usage: as in memory.

use super::*;
use crate::gateway::store::{UsageGroup, UsageQuery, UsageSeries, usage_conformance, usage_performance};

#[test]
fn batches_add_up_as_in_memory() {
    let folders = std::cell::RefCell::new(Vec::new());
    usage_conformance::random_batches(|| async {
        let (folder, path) = folder();
        folders.borrow_mut().push(folder);
        Box::new(open(&path).await.unwrap()) as Box<dyn Store>
    });
}

#[tokio::test]
async fn a_batch_counts_once() {
    let (_folder, path) = folder();
    usage_conformance::a_batch_counts_once(&open(&path).await.unwrap()).await;
}

#[tokio::test]
async fn absurd_values_are_stored() {
    let (_folder, path) = folder();
    usage_conformance::absurd_values_are_stored(&open(&path).await.unwrap()).await;
}

#[tokio::test]
async fn usage_is_deleted_after_its_time() {
    let (_folder, path) = folder();
    usage_conformance::usage_is_deleted_after_its_time(&open(&path).await.unwrap(), || ()).await;
}

#[tokio::test]
#[ignore = "see store/usage_performance.rs"]
async fn usage_is_read_fast() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    println!("SQLite: 3,000 new series written in {:.1?}", usage_performance::add_series(&store).await);
    for statement in usage_performance::filling() {
        let mut writer = store.writer.lock().await;
        sqlx::QueryBuilder::<sqlx::Sqlite>::new(statement).build().execute(&mut writer.connection).await.unwrap();
    }
    store.settle().await.unwrap();
    println!("SQLite: {} MB", fs::metadata(&path).unwrap().len() / 1_000_000);
    usage_performance::measure_writing(&store, "SQLite").await;
    usage_performance::measure(&store, "SQLite").await;
}

#[tokio::test]
async fn batches_that_are_written_together_count_once() {
    let (_folder, path) = folder();
    usage_conformance::gateways_write_together(&[Box::new(open(&path).await.unwrap())]).await;
}

/// The numbers of the series that it added are given to others.
#[tokio::test]
async fn a_batch_that_was_undone_leaves_no_numbers_in_memory() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    let batch = |run: u128, model: &str| {
        let (account, credential) = (Uuid::from_u128(1), "key:a".to_owned());
        let series = UsageSeries { account, credential, model: model.to_owned() };
        let mut batch = usage_conformance::empty(Uuid::from_u128(run), 1, 0);
        batch.records.push(usage_conformance::record(series.clone(), 5));
        batch.days.push((5, series, usage_conformance::totals(1)));
        batch
    };
    let execute = async |statement: &'static str| {
        let mut writer = store.writer.lock().await;
        sqlx::query(statement).execute(writer.idle().await).await.unwrap();
    };
    execute("CREATE TRIGGER full BEFORE INSERT ON usage_days BEGIN SELECT RAISE(ABORT, 'full'); END").await;
    store.write_usage(&batch(1, "one")).await.unwrap_err();
    execute("DROP TRIGGER full").await;
    // Each again, with what is in memory now.
    for (run, model) in [(2, "other"), (1, "one"), (3, "other"), (4, "one")] {
        store.write_usage(&batch(run, model)).await.unwrap();
    }
    let group = UsageGroup { account: true, model: true, ..UsageGroup::default() };
    for group in [group, UsageGroup { account: false, ..group }] {
        let rows = store.usage_totals(&UsageQuery { periods: 0..9, group, ..UsageQuery::default() }).await.unwrap();
        let found: Vec<_> = rows.iter().map(|row| (row.model.as_deref(), row.totals.requests)).collect();
        assert_eq!(found, [(Some("one"), 2), (Some("other"), 2)]);
    }
    let records = store.usage_records(&RecordQuery { limit: 9, ..RecordQuery::default() }).await.unwrap().records;
    let models: Vec<&str> = records.iter().map(|record| &*record.series.model).collect();
    assert_eq!(models, ["one", "other", "one", "other"]);
}

/// The statements have to be those that the figures are of, in a database that was never analysed.
#[tokio::test]
async fn totals_of_some_series_are_read_by_their_index() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    let plan = "EXPLAIN QUERY PLAN SELECT sum(t.input) FROM usage_series AS s CROSS JOIN usage_days AS t \
                WHERE t.series = s.number AND t.place >= 1 AND t.place < 9 AND s.account = ''";
    let rows = sqlx::query(plan).fetch_all(&mut store.writer.lock().await.connection).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| sqlx::Row::get(row, "detail")).collect();
    assert!(plan[1].contains("usage_days_of_series (series=? AND rowid>? AND rowid<?)"), "{plan:?}");
}
