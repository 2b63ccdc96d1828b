//! Usage: as in memory, written by several gateways at once, and in a copy.

use super::*;
use crate::gateway::DatabaseLocation;
use crate::gateway::store::{
    LastUse, UsageBatch, UsageGroup, UsageQuery, UsageSeries, usage_conformance, usage_performance,
};
use crate::keyspec::Scope;

#[test]
fn batches_add_up_as_in_memory() {
    usage_conformance::random_batches(|| async {
        Box::new(open(&Postgres::shared().database()).await.unwrap()) as Box<dyn Store>
    });
}

#[tokio::test]
async fn a_batch_counts_once() {
    usage_conformance::a_batch_counts_once(&open(&Postgres::shared().database()).await.unwrap()).await;
}

#[tokio::test]
async fn absurd_values_are_stored() {
    usage_conformance::absurd_values_are_stored(&open(&Postgres::shared().database()).await.unwrap()).await;
}

#[tokio::test]
async fn usage_is_deleted_after_its_time() {
    let address = Postgres::shared().database();
    // Of several gateways one counts the time.
    let lets_count = || drop(Postgres::shared().sql(&address, "UPDATE uptime SET swept_at = NULL"));
    usage_conformance::usage_is_deleted_after_its_time(&open(&address).await.unwrap(), lets_count).await;
}

#[tokio::test]
#[ignore = "see store/usage_performance.rs"]
async fn usage_is_read_fast() {
    let server = Postgres::shared();
    let address = server.database();
    let store = open(&address).await.unwrap();
    println!("PostgreSQL: 3,000 new series written in {:.1?}", usage_performance::add_series(&store).await);
    server.sql(&address, &usage_performance::filling().join(";"));
    server.sql(&address, "VACUUM ANALYZE");
    let size = server.sql(&address, "SELECT pg_database_size(current_database()) / 1000000");
    println!("PostgreSQL: {} MB", size.trim());
    usage_performance::measure_writing(&store, "PostgreSQL").await;
    usage_performance::measure(&store, "PostgreSQL").await;
}

/// New rows get numbers of their own.
#[tokio::test]
async fn usage_goes_on_in_a_copy() {
    let (folder, address) = (tempfile::tempdir().unwrap(), Postgres::shared().database());
    let path = folder.path().canonicalize().unwrap().join("gateway.db");
    let location = DatabaseLocation::File(path);
    usage_conformance::a_batch_counts_once(&*location.open().await.unwrap()).await;
    let target = DatabaseLocation::Postgres(Box::new(PostgresAddress::parse(&address).unwrap()));
    let copied = location.copy_to(&target, &Event::new(1, Actor::Admin, "b", "c"), "one").await.unwrap();
    let rows = |name| copied.iter().find(|table| table.name == name).map(|table| table.rows);
    assert_eq!([rows("usage_series"), rows("usage_records"), rows("usage_days")], [Some(2), Some(4), Some(2)]);
    let store = target.open().await.unwrap();
    let series = |model: &str| UsageSeries { account: Uuid::nil(), credential: "key:n".into(), model: model.into() };
    let records = vec![usage_conformance::record(series("new"), 6), usage_conformance::record(series("newer"), 7)];
    let days = records.iter().map(|record| (5, record.series.clone(), usage_conformance::totals(1))).collect();
    let last_uses = ["new", "newer"].map(|model| LastUse {
        account: Uuid::nil(),
        credential: "key:n".into(),
        scope: Scope::Inference,
        model: model.into(),
        at: 7,
    });
    let (run, last_uses, hours, budgets) = (Uuid::new_v4(), last_uses.into(), Vec::new(), Vec::new());
    store.write_usage(&UsageBatch { run, sequence: 1, at: 7, records, hours, days, last_uses, budgets }).await.unwrap();
    let group = UsageGroup { credential: true, ..UsageGroup::default() };
    let rows = store.usage_totals(&UsageQuery { periods: 0..9, group, ..UsageQuery::default() }).await.unwrap();
    let found: Vec<_> = rows.iter().map(|row| (row.credential.as_deref(), row.totals.requests)).collect();
    assert_eq!(found, [(Some("key:a"), 4), (Some("key:n"), 2)]);
    assert_eq!(store.last_uses(None).await.unwrap().len(), 3);
}

#[tokio::test]
async fn gateways_write_usage_together() {
    let address = Postgres::shared().database();
    let mut stores: Vec<Box<dyn Store>> = Vec::new();
    for _ in 0..3 {
        stores.push(Box::new(open(&address).await.unwrap()));
    }
    usage_conformance::gateways_write_together(&stores).await;
}
