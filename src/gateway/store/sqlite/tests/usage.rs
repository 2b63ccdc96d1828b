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
