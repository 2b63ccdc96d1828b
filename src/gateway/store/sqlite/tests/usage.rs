//! Usage: as in memory.

use super::*;
use crate::gateway::store::{usage_conformance, usage_performance};

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
