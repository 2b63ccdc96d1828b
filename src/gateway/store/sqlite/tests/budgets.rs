//! What budgets have used: as in memory, and in a file of the version before.

use super::*;
use crate::gateway::DatabaseLocation;
use crate::gateway::store::{BudgetTotal, BudgetUse, budget_conformance};

#[tokio::test]
async fn batches_add_to_budgets() {
    let (_folder, path) = folder();
    budget_conformance::batches_add_to_budgets(&open(&path).await.unwrap()).await;
}

#[tokio::test]
async fn budgets_are_deleted_after_their_time() {
    let (_folder, path) = folder();
    budget_conformance::budgets_are_deleted_after_their_time(&open(&path).await.unwrap(), || ()).await;
}

#[tokio::test]
async fn readers_of_budgets_miss_nothing() {
    let (_folder, path) = folder();
    budget_conformance::readers_miss_nothing(&[Box::new(open(&path).await.unwrap())]).await;
}

/// In a file that the version before has used, and in a copy of it that goes on.
#[tokio::test]
async fn budgets_go_on_in_an_updated_file_and_in_a_copy() {
    let (_folder, path) = folder();
    let before: Vec<Migration> = MIGRATIONS.iter().take(17).cloned().collect();
    let mut connection = options(&path).create_if_missing(true).connect().await.unwrap();
    Migrator::with_migrations(before).run_direct(None, &mut connection, false).await.unwrap();
    connection.close().await.unwrap();
    #[cfg(unix)]
    broken::chmod(&path, 0o600);
    let target = path.with_file_name("target.db");
    let batch = |sequence| {
        let used = |tokens| BudgetUse { id: "day:1:all".to_owned(), ends_at: 100, tokens };
        budget_conformance::batch(1, sequence, vec![used(2)])
    };
    let total = |tokens| vec![BudgetTotal { id: "day:1:all".to_owned(), tokens }];
    let store = open(&path).await.unwrap();
    for (sequence, tokens) in [(1, 2), (2, 4)] {
        assert_eq!(store.write_usage(&batch(sequence)).await.unwrap(), total(tokens));
    }
    close(store).await;
    let (from, to) = (DatabaseLocation::File(path), DatabaseLocation::File(target.clone()));
    let copied = from.copy_to(&to, &event("audit.log_begun"), "machine").await.unwrap();
    assert!(copied.iter().any(|table| (table.name, table.rows, table.verified) == ("budget_totals", 1, Some(true))));
    let store = open(&target).await.unwrap();
    assert_eq!(store.budget_totals(2, 0).await.unwrap().version, 2);
    assert_eq!(store.write_usage(&batch(3)).await.unwrap(), total(6));
    let news = store.budget_totals(2, 0).await.unwrap();
    assert_eq!((news.version, news.totals), (3, total(6)));
}

/// Of many totals, those that changed are read by their index.
#[tokio::test]
async fn news_of_budgets_are_read_by_their_index() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sql::budgets::NEWS));
    let rows = sqlx::query(plan).fetch_all(&mut store.writer.lock().await.connection).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| sqlx::Row::get(row, "detail")).collect();
    assert!(plan[1].contains("budget_totals_by_version (version>?)"), "{plan:?}");
}
