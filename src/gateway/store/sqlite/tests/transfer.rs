//! Copies and backups of a file.

#[cfg(unix)]
use super::broken::chmod;
use super::*;
use crate::gateway::DatabaseLocation;
use crate::gateway::store::transfer::undecided;
use crate::gateway::store::{Actor, Event};

#[tokio::test]
async fn it_is_decided_of_every_table_whether_it_is_copied() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let tables: Vec<String> =
        sqlx::query_scalar(names).fetch_all(&mut store.writer.lock().await.connection).await.unwrap();
    assert_eq!(undecided(&tables), [""; 0], "add it to one of the lists in store/transfer.rs");
}

/// As version 0.1.0 has written it.
async fn old(path: &Path) {
    let first: Vec<Migration> = MIGRATIONS.iter().take(1).cloned().collect();
    let mut connection = options(path).create_if_missing(true).connect().await.unwrap();
    Migrator::with_migrations(first).run_direct(None, &mut connection, false).await.unwrap();
    let id = Uuid::new_v4().to_string();
    let add = "INSERT INTO users (id, name, email, role, disabled, created_at) VALUES ($1, 'ada', '', 'admin', 0, 7)";
    sqlx::query(add).bind(&id).execute(&mut connection).await.unwrap();
    let add = "INSERT INTO events (at, actor, action, subject, detail, address) VALUES (7, 'admin', 'a', 's', 'd', '')";
    sqlx::query(add).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    #[cfg(unix)]
    chmod(path, 0o600);
}

#[tokio::test]
async fn a_file_of_an_older_version_is_copied_updated_and_itself_not_changed() {
    let (_folder, path) = folder();
    let (target, backup) = (path.with_file_name("target.db"), path.with_file_name("backup.db"));
    old(&path).await;
    let before = fs::read(&path).unwrap();
    let (from, to) = (DatabaseLocation::File(path.clone()), DatabaseLocation::File(target.clone()));
    let copied = from.copy_to(&to, &Event::new(5, Actor::Admin, "audit.log_begun", ""), "machine").await.unwrap();
    assert!(copied.iter().all(|table| table.verified == Some(true)), "{copied:?}");
    // A backup is of the older version, too: that one can use it.
    let saved = from.back_up(&backup, &backup).await.unwrap();
    assert_eq!(saved.iter().map(|table| table.name).collect::<Vec<_>>(), ["users", "devices", "api_keys", "events"]);
    assert!(fs::read(&path).unwrap() == before);
    #[cfg(unix)]
    chmod(&backup, 0o600);
    // In the copy it is in a log, and another one was begun.
    for (path, actions) in [(target, vec!["audit.log_begun", "audit.imported", "a"]), (backup, vec!["a"])] {
        let store = open(&path).await.unwrap();
        assert_eq!(store.load().await.unwrap().users[0].name, "ada");
        let events = store.events(9, &EventFilter::default()).await.unwrap().events;
        assert_eq!(events.iter().map(|event| &*event.action).collect::<Vec<_>>(), actions);
    }
}
