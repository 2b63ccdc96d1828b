//! Against a real server: the same as SQLite, and what several gateways on one database need.

mod budgets;
#[path = "../../../../tests/it/harness/postgres.rs"]
#[allow(dead_code)]
mod server;
mod usage;

use std::sync::Arc;

use super::*;
use crate::gateway::directory::conformance::{self, Location};
use crate::gateway::store::{Actor, Change, Event, Record, Records, Role, User};
use server::Postgres;

fn user(name: &str) -> User {
    let (id, name, email) = (Uuid::new_v4(), name.to_owned(), String::new());
    User {
        id,
        name,
        email,
        role: Role::Member,
        disabled: false,
        created_at: 7,
        suspended: None,
        groups: Vec::new(),
        limits: Default::default(),
        addresses: Default::default(),
    }
}

async fn open(address: &str) -> Result<PostgresStore, StoreError> {
    PostgresStore::open(&PostgresAddress::parse(address).unwrap()).await
}

async fn make(store: &PostgresStore, seen: Position, change: Change) -> Result<(News, Position), StoreError> {
    let (news, mut transaction) = store.begin(seen).await?;
    transaction.make(&change, &Event::new(10, Actor::Admin, "test.made", "s"), "one").await?;
    Ok((news, transaction.commit().await?))
}

fn names(news: &News) -> Vec<String> {
    let Records::Some(records) = &news.records else { panic!("{news:?}") };
    let name = |record: &Record| match record {
        Record::User(user) => Some(user.name.clone()),
        Record::RemovedUser(_) => Some("removed".to_owned()),
        Record::EndedSessions(_) => None,
        other => Some(format!("{other:?}")),
    };
    records.iter().filter_map(name).collect()
}

impl Location for String {
    fn new() -> Self {
        Postgres::shared().database()
    }

    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(open(self).await.unwrap())
    }
}

#[tokio::test]
async fn it_is_decided_of_every_table_whether_it_is_copied() {
    let address = Postgres::shared().database();
    open(&address).await.unwrap();
    let names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'";
    let tables: Vec<String> = Postgres::shared().sql(&address, names).lines().map(str::to_owned).collect();
    let undecided = crate::gateway::store::transfer::undecided(&tables);
    assert_eq!(undecided, [""; 0], "add it to one of the lists in store/transfer.rs");
}

#[tokio::test]
async fn every_change_is_in_memory_as_after_a_reload() {
    conformance::every_change::<String>().await;
}

#[test]
fn random_changes_are_in_memory_as_after_a_reload() {
    conformance::random_changes::<String>();
}

#[tokio::test]
async fn another_gateway_reads_what_was_changed_in_the_order_of_the_commits() {
    let address = Postgres::shared().database();
    let (one, other) = (open(&address).await.unwrap(), open(&address).await.unwrap());
    let start = other.load().await.unwrap().position;
    let ann = user("ann");
    let (_, first) = make(&one, start, Change::AddUser(ann.clone(), None)).await.unwrap();
    let (news, second) = make(&other, start, Change::AddUser(user("bob"), None)).await.unwrap();
    assert_eq!((names(&news), news.position), (vec!["ann".to_owned()], first));
    assert_eq!(names(&one.news(first).await.unwrap()), ["bob"]);
    assert_eq!(names(&one.news(second).await.unwrap()), [""; 0]);
    make(&one, second, Change::SetDisabled(ann.id, true)).await.unwrap();
    make(&one, second, Change::RemoveUser(ann.id)).await.unwrap();
    // Each is read as it is now, once.
    assert_eq!(names(&other.news(start).await.unwrap()), ["bob", "removed"]);
    assert_eq!(one.load().await.unwrap().position, other.news(start).await.unwrap().position);
}

#[tokio::test]
async fn a_change_that_is_not_committed_is_undone_and_holds_nobody_up() {
    let address = Postgres::shared().database();
    let (one, other) = (open(&address).await.unwrap(), open(&address).await.unwrap());
    let (_, mut left) = one.begin(Position::default()).await.unwrap();
    left.make(&Change::AddUser(user("ann"), None), &Event::new(1, Actor::Admin, "b", "c"), "one").await.unwrap();
    drop(left);
    let (news, _) = make(&other, Position::default(), Change::AddUser(user("ann"), None)).await.unwrap();
    assert_eq!(names(&news), [""; 0]);
    let taken = make(&one, Position::default(), Change::AddUser(user("ann"), None)).await.unwrap_err();
    assert!(matches!(&taken, StoreError::Taken(what) if what == "the name ann"), "{taken}");
}

#[tokio::test]
async fn a_notification_comes_with_each_commit() {
    let address = Postgres::shared().database();
    let (one, other) = (open(&address).await.unwrap(), open(&address).await.unwrap());
    // The first one returns when it has begun to listen or heard something, so it is only begun.
    let mut listening = Box::pin(other.changed());
    let mut changes = 0;
    while changes < 100 {
        changes += 1;
        make(&one, Position::default(), Change::AddUser(user(&format!("u{changes}")), None)).await.unwrap();
        if tokio::time::timeout(Duration::from_millis(100), &mut listening).await.is_ok() {
            return;
        }
    }
    panic!("nothing was heard");
}

/// As after a standby was promoted that had not received everything.
#[tokio::test]
async fn a_history_that_went_back_is_noticed() {
    let server = Postgres::shared();
    let address = server.database();
    let store = open(&address).await.unwrap();
    let (_, first) = make(&store, Position::default(), Change::AddUser(user("ann"), None)).await.unwrap();
    let (_, second) = make(&store, first, Change::AddUser(user("bob"), None)).await.unwrap();
    let backwards = async |seen| matches!(store.news(seen).await.unwrap().records, Records::Backwards);
    assert!(!backwards(second).await);
    server.sql(
        &address,
        &format!("DELETE FROM change_log WHERE number = 2; UPDATE change_head SET number = 1, token = {}", first.token),
    );
    assert!(backwards(second).await && !backwards(first).await);
    // It has gone on since, otherwise than before.
    make(&store, first, Change::AddUser(user("eve"), None)).await.unwrap();
    assert!(backwards(second).await);
    make(&store, first, Change::AddUser(user("joe"), None)).await.unwrap();
    assert!(backwards(second).await && !backwards(first).await);
    // What is not in the log any more has to be loaded.
    server.sql(&address, "DELETE FROM change_log WHERE number = 1");
    assert!(matches!(store.news(first).await.unwrap().records, Records::Many));
}

#[tokio::test]
async fn an_old_program_uses_a_newer_schema_only_if_that_is_marked_as_compatible() {
    let server = Postgres::shared();
    let address = server.database();
    open(&address).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (999, 'newer', true, '\\x00', 0)";
    server.sql(&address, newer);
    open(&address).await.unwrap();
    server.sql(&address, "UPDATE schema_compatibility SET oldest = 999");
    let error = open(&address).await.err().unwrap();
    assert!(matches!(error, StoreError::Newer { .. }), "{error}");
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_words() {
    let server = Postgres::shared();
    let foreign = server.database();
    server.sql(&foreign, "CREATE TABLE users (id int)");
    let error = open(&foreign).await.err().unwrap().to_string();
    assert!(error.contains("another program created its tables"), "{error}");

    let changed = server.database();
    open(&changed).await.unwrap();
    server.sql(&changed, "ALTER TABLE api_keys DROP COLUMN hint CASCADE");
    let error = open(&changed).await.unwrap().load().await.err().unwrap();
    assert!(matches!(&error, StoreError::Damaged { reason, .. } if reason.contains("hint")), "{error}");

    let locked = server.database();
    server.sql(&locked, "CREATE ROLE visitor LOGIN; REVOKE CREATE ON SCHEMA public FROM public");
    let error = open(&locked.replace("gate@", "visitor@")).await.err().unwrap();
    assert!(matches!(&error, StoreError::Open { reason, .. } if reason.contains("permission denied")), "{error}");

    let error = open("postgres://gate@/none?host=/nonexistent").await.err().unwrap();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
}

#[test]
fn every_migration_file_is_listed() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres")).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let name = |migration: &sqlx::migrate::Migration| format!("{:04}_{}.sql", migration.version, migration.description);
    assert_eq!(files, schema::MIGRATIONS.iter().map(name).collect::<Vec<_>>());
}

/// The bytes say which one, whatever they are.
#[tokio::test]
async fn a_signature_is_used_once_by_all_gateways() {
    let server = Postgres::shared();
    let address = server.database();
    let (one, other) = (open(&address).await.unwrap(), open(&address).await.unwrap());
    let [here, there] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
    let minute = Duration::from_secs(60);
    let uses = futures_util::future::join_all((0..20).map(|number| {
        let store = if number % 2 == 0 { &one } else { &other };
        store.use_signature(&[7; 32], here, minute)
    }));
    let first = uses.await.into_iter().filter(|used| used.as_ref().unwrap().is_none()).count();
    assert_eq!(first, 1);
    let again = other.use_signature(&[7; 32], there, minute).await.unwrap().unwrap();
    assert_eq!((again.address, again.age < minute), (here, true));
    assert_eq!(other.use_signature(&[8; 32], there, minute).await.unwrap(), None);
    // It is kept until its time is over.
    server.sql(
        &address,
        "UPDATE used_signatures SET expires_at = clock_timestamp() WHERE digest = decode(repeat('08', 32), 'hex')",
    );
    one.sweep(100, 60, Retention::default(), "one").await.unwrap();
    assert_eq!(one.use_signature(&[8; 32], there, minute).await.unwrap(), None);
    assert!(one.use_signature(&[7; 32], there, minute).await.unwrap().is_some());
}

#[tokio::test]
async fn gateways_that_start_together_make_the_tables_once() {
    let address = Postgres::shared().database();
    let opened = futures_util::future::join_all((0..4).map(|_| open(&address))).await;
    for store in opened {
        store.unwrap();
    }
}

#[tokio::test]
async fn gateways_that_run_are_counted_until_they_leave() {
    let address = Postgres::shared().database();
    let store = open(&address).await.unwrap();
    let [one, two] = [Uuid::new_v4(), Uuid::new_v4()];
    let count = async |id| store.count_gateways(id).await.unwrap().get();
    assert_eq!([count(one).await, count(two).await, count(one).await], [1, 2, 2]);
    store.leave(two).await.unwrap();
    assert_eq!(count(one).await, 1);
    assert_eq!(count(two).await, 2);
    // One that was killed says nothing; one of a time when the clock was wrong says too much.
    for seen in ["clock_timestamp() - interval '16 seconds'", "clock_timestamp() + interval '1 hour'"] {
        Postgres::shared().sql(&address, &format!("UPDATE gateways SET seen_at = {seen} WHERE id = '{two}'"));
        assert_eq!(count(one).await, 1, "{seen}");
    }
}

#[tokio::test]
async fn pages_of_events_have_what_their_filters_ask_for() {
    let store = open(&Postgres::shared().database()).await.unwrap();
    sql::event_pages_check::check(&mut store.connection(Doing::Read).await.unwrap()).await;
}
