//! What budgets have used: as in memory, by several gateways at once, and in a copy.

use super::*;
use crate::gateway::DatabaseLocation;
use crate::gateway::store::{BudgetTotal, BudgetUse, budget_conformance};

fn used(id: &str, tokens: i64) -> BudgetUse {
    BudgetUse { id: id.to_owned(), ends_at: 100, tokens }
}

fn total(id: &str, tokens: u64) -> BudgetTotal {
    BudgetTotal { id: id.to_owned(), tokens }
}

#[tokio::test]
async fn batches_add_to_budgets() {
    budget_conformance::batches_add_to_budgets(&open(&Postgres::shared().database()).await.unwrap()).await;
}

#[tokio::test]
async fn budgets_are_deleted_after_their_time() {
    let address = Postgres::shared().database();
    // Of several gateways one counts the time.
    let lets_count = || drop(Postgres::shared().sql(&address, "UPDATE uptime SET swept_at = NULL"));
    budget_conformance::budgets_are_deleted_after_their_time(&open(&address).await.unwrap(), lets_count).await;
}

#[tokio::test]
async fn readers_of_budgets_miss_nothing() {
    let address = Postgres::shared().database();
    let mut stores: Vec<Box<dyn Store>> = Vec::new();
    for _ in 0..3 {
        stores.push(Box::new(open(&address).await.unwrap()));
    }
    budget_conformance::readers_miss_nothing(&stores).await;
}

/// Otherwise who has seen the version of the other would never see this one's.
#[tokio::test]
async fn a_batch_waits_for_one_that_has_the_version_before() {
    let address = Postgres::shared().database();
    let (one, other) = (open(&address).await.unwrap(), open(&address).await.unwrap());
    let first = budget_conformance::batch(1, 1, vec![used("first", 1)]);
    let second = budget_conformance::batch(2, 1, vec![used("second", 2)]);
    let mut held = one.pool.begin().await.unwrap();
    sql::budgets::add(&mut held, &first, 0).await.unwrap();
    let commits = async {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&one.pool).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(one.budget_totals(0, 0).await.unwrap(), Default::default());
        held.commit().await.unwrap();
    };
    let both = futures_util::future::join(other.write_usage(&second), commits);
    let (written, ()) = tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
    assert_eq!(written.unwrap(), [total("second", 2)]);
    let news = one.budget_totals(1, 0).await.unwrap();
    assert_eq!((news.version, news.totals), (2, vec![total("second", 2)]));
    assert_eq!(one.budget_totals(0, 0).await.unwrap().totals.len(), 2);
}

#[tokio::test]
async fn budgets_go_on_in_a_copy() {
    let (folder, address) = (tempfile::tempdir().unwrap(), Postgres::shared().database());
    let location = DatabaseLocation::File(folder.path().canonicalize().unwrap().join("gateway.db"));
    let store = location.open().await.unwrap();
    for sequence in 1..=3 {
        store.write_usage(&budget_conformance::batch(1, sequence, vec![used("a", 2), used("b", 1)])).await.unwrap();
    }
    drop(store);
    let target = DatabaseLocation::Postgres(Box::new(PostgresAddress::parse(&address).unwrap()));
    let copied = location.copy_to(&target, &Event::new(1, Actor::Admin, "b", "c"), "one").await.unwrap();
    let rows = |name| copied.iter().find(|table| table.name == name).map(|table| table.rows);
    assert_eq!([rows("budget_totals"), rows("budget_version")], [Some(2), Some(1)]);
    let store = target.open().await.unwrap();
    assert_eq!(store.budget_totals(3, 0).await.unwrap().totals, []);
    let written = store.write_usage(&budget_conformance::batch(2, 1, vec![used("a", 2)])).await.unwrap();
    assert_eq!(written, [total("a", 8)]);
    let news = store.budget_totals(3, 0).await.unwrap();
    assert_eq!((news.version, news.totals), (4, vec![total("a", 8)]));
}
