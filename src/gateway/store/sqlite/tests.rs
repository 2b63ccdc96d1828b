//! What is kept stays, what is refused changes nothing, and what cannot be understood is left alone.

mod broken;
mod budgets;
mod killed;
mod transfer;
mod usage;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;

use sqlx::Connection as _;

use super::*;
use crate::gateway::directory::conformance::{self, Location};
use crate::gateway::origin::Origin;
use crate::gateway::store::{Actor, KeyRecord};
use crate::gateway::{Device, PasswordHash, Role, User};
use crate::identity::{DeviceKey, PublicKey};
use crate::keyspec::{ApiKey, KeyId, Rights, Scopes};

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    // The temporary folder may itself lie behind a link.
    let path = folder.path().canonicalize().unwrap().join("gateway.db");
    (folder, path)
}

/// Waits a while: a process that another test starts has our open files, and so our lock, until it begins its program.
async fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open_within(path, Duration::from_secs(10)).await
}

async fn open_at_once(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open_within(path, Duration::ZERO).await
}

/// Closed in an orderly way: the write-ahead log is in the file.
async fn close(store: SqliteStore) {
    store.writer.into_inner().connection.close().await.unwrap();
}

fn user(name: &str) -> User {
    let role = Role::Maintainer;
    User {
        id: Uuid::new_v4(),
        name: name.into(),
        email: "ä@b".into(),
        role,
        disabled: false,
        created_at: 7,
        suspended: None,
        groups: vec!["lab".parse().unwrap()],
        limits: serde_json::from_str(r#"{"streams":2}"#).unwrap(),
        addresses: serde_json::from_str(r#"{"allow":["10.0.0.0/8"],"deny":["::1/128"]}"#).unwrap(),
    }
}

fn key(user: &User) -> KeyRecord {
    let key = ApiKey::generate().unwrap();
    let models = ["tiny:*", "me/*"].map(|pattern| pattern.parse().unwrap()).into_iter().collect();
    let limits = serde_json::from_str(r#"{"requests_per_minute":60,"request_size":1048576}"#).unwrap();
    let addresses = "10.0.0.0/8, 2001:db8::/32".parse().unwrap();
    KeyRecord {
        id: KeyId::generate().unwrap(),
        user: user.id,
        name: "ci's key".into(),
        environment: Some("ci".into()),
        rights: Rights {
            scopes: "inference,keys".parse().unwrap(),
            models,
            expires_at: Some(i64::MAX),
            limits,
            addresses,
        },
        hash: key.hash(),
        hint: key.hint().to_owned(),
        replaceable: true,
        replaces: None,
        first: None,
        created_by: Some("session".into()),
        exchanged_for: None,
        created_at: 8,
        last_used_at: None,
        revoked_at: None,
        suspended: None,
    }
}

fn device(user: &User) -> Device {
    let key = DeviceKey::generate().unwrap().public().clone();
    Device { key, user: user.id, name: "lap\u{202e}top".into(), created_at: 9, last_used_at: None, suspended: None }
}

fn event(action: &'static str) -> Event {
    Event::new(10, Actor::Admin, action, "s").from(Origin::new([192, 0, 2, 1].into())).with("name", "d")
}

async fn apply(store: &SqliteStore, change: &Change, event: &Event) -> Result<i64, StoreError> {
    let (_, mut transaction) = store.begin(Position::default()).await?;
    let number = transaction.make(change, event, "one").await?;
    transaction.commit().await.map(|_| number)
}

async fn make(store: &SqliteStore, change: Change) -> Result<(), StoreError> {
    apply(store, &change, &event("test.made")).await.map(drop)
}

impl Location for (tempfile::TempDir, PathBuf) {
    fn new() -> Self {
        folder()
    }

    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(open(&self.1).await.unwrap())
    }
}

#[tokio::test]
async fn every_change_is_in_memory_as_after_a_reload() {
    conformance::every_change::<(tempfile::TempDir, PathBuf)>().await;
}

#[test]
fn random_changes_are_in_memory_as_after_a_reload() {
    conformance::random_changes::<(tempfile::TempDir, PathBuf)>();
}

#[tokio::test]
async fn everything_is_read_back_as_it_was_written() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    let (ann, bob) = (user("ann"), user("bob"));
    let hash = PasswordHash::kept("$argon2id$x".into());
    make(&store, Change::AddUser(ann.clone(), Some(hash))).await.unwrap();
    make(&store, Change::AddUser(bob.clone(), None)).await.unwrap();
    let (phone, laptop) = (device(&ann), device(&bob));
    for device in [&phone, &laptop] {
        make(&store, Change::AddDevice(device.clone())).await.unwrap();
    }
    let old = key(&ann);
    let mut new =
        KeyRecord { replaces: Some(old.id.clone()), first: Some(old.id.clone()), environment: None, ..key(&ann) };
    let (models, limits, addresses) = Default::default();
    new.rights = Rights { scopes: Scopes::all(), models, expires_at: None, limits, addresses };
    for key in [&old, &new] {
        make(&store, Change::AddKey(Box::new(key.clone()))).await.unwrap();
    }
    make(&store, Change::SetRole(bob.id, Role::Admin)).await.unwrap();
    make(&store, Change::SetDisabled(ann.id, true)).await.unwrap();
    make(&store, Change::RevokeKey(old.id.clone(), 20)).await.unwrap();
    make(&store, Change::RevokeKey(old.id.clone(), 30)).await.unwrap();
    for (key, at) in [(&old, 500), (&old, 900), (&new, 700)] {
        make(&store, Change::ExpireKey(key.id.clone(), at)).await.unwrap();
    }
    make(&store, Change::RemoveDevice(phone.key.clone())).await.unwrap();
    let moved = Device { user: ann.id, name: "Ann's now".into(), created_at: 40, ..laptop.clone() };
    make(&store, Change::AddDevice(moved.clone())).await.unwrap();
    drop(store);

    let store = open(&path).await.unwrap();
    let mut found = store.load().await.unwrap();
    found.users.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(found.users, [User { disabled: true, ..ann.clone() }, User { role: Role::Admin, ..bob.clone() }]);
    assert_eq!(found.devices, [moved]);
    let ended = |mut key: KeyRecord, at| {
        (key.rights.expires_at, key.replaceable) = (Some(at), false);
        key
    };
    assert_eq!(found.keys, [ended(new, 700)]);
    let revoked = ended(KeyRecord { revoked_at: Some(20), ..old }, 500);
    assert_eq!(store.key(&revoked.id).await.unwrap().as_ref(), Some(&revoked));
    assert_eq!(found.ended.iter().map(|key| (&key.id, key.is_revoked)).collect::<Vec<_>>(), [(&revoked.id, true)]);
    let secret = |kept: Option<SecretString>| kept.map(|text| secrecy::ExposeSecret::expose_secret(&text).to_owned());
    assert_eq!(secret(store.password(ann.id).await.unwrap()).as_deref(), Some("$argon2id$x"));
    assert_eq!(secret(store.password(bob.id).await.unwrap()), None);
    assert_eq!(secret(store.password(Uuid::new_v4()).await.unwrap()), None);
    make(&store, Change::SetPassword(bob.id, PasswordHash::kept("$argon2id$y".into()))).await.unwrap();
    assert_eq!(secret(store.password(bob.id).await.unwrap()).as_deref(), Some("$argon2id$y"));
}

#[tokio::test]
async fn duplicates_are_refused_and_leave_no_event() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    let ann = user("ann");
    let first = key(&ann);
    make(&store, Change::AddUser(ann.clone(), None)).await.unwrap();
    make(&store, Change::AddKey(Box::new(first.clone()))).await.unwrap();
    let taken = [
        (Change::AddUser(user("ann"), None), "the name ann".to_owned()),
        (Change::AddUser(User { name: "bob".into(), ..ann.clone() }, None), "the id".to_owned()),
        (Change::AddKey(Box::new(KeyRecord { hash: key(&ann).hash, ..first.clone() })), format!("the id {}", first.id)),
        (Change::AddKey(Box::new(KeyRecord { hash: first.hash, ..key(&ann) })), "that key".to_owned()),
    ];
    for (change, what) in taken {
        let error = make(&store, change).await.unwrap_err();
        assert!(matches!(&error, StoreError::Taken(taken) if *taken == what), "{error}");
    }
    let nobody = user("nobody");
    let orphans = [
        Change::AddDevice(device(&nobody)),
        Change::AddKey(Box::new(key(&nobody))),
        Change::SetDisabled(nobody.id, true),
        Change::SetRole(nobody.id, Role::Admin),
        Change::SetPassword(nobody.id, PasswordHash::kept("x".into())),
        Change::RemoveDevice(device(&ann).key),
        Change::RevokeKey(KeyId::generate().unwrap(), 1),
        Change::ExpireKey(KeyId::generate().unwrap(), 1),
        Change::AddUser(user(""), None),
        Change::AddUser(user(&"x".repeat(65)), None),
    ];
    for change in orphans {
        let error = make(&store, change.clone()).await.unwrap_err();
        let adds = matches!(change, Change::AddDevice(_) | Change::AddKey(_) | Change::AddUser(..));
        let expected =
            if adds { matches!(error, StoreError::Write { .. }) } else { matches!(error, StoreError::Missing { .. }) };
        assert!(expected, "{change:?}: {error}");
    }
    assert_eq!(store.events(100, &EventFilter::default()).await.unwrap().events.len(), 2);
    let found = store.load().await.unwrap();
    assert_eq!((found.users, found.devices, found.keys), (vec![ann], vec![], vec![first]));
}

#[tokio::test]
async fn a_change_is_rolled_back_with_its_event() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    let trigger = "CREATE TRIGGER never BEFORE INSERT ON events WHEN new.subject = 'never' \
                   BEGIN SELECT RAISE(ABORT, 'never'); END";
    sqlx::query(trigger).execute(&mut store.writer.lock().await.connection).await.unwrap();
    let never = Event { subject: "never".into(), ..event("test.made") };
    for _ in 0..2 {
        let error = apply(&store, &Change::AddUser(user("ann"), None), &never).await.unwrap_err();
        assert!(matches!(error, StoreError::Write { .. }), "{error}");
        assert!(store.load().await.unwrap().users.is_empty());
    }
    make(&store, Change::AddUser(user("ann"), None)).await.unwrap();
}

#[tokio::test]
async fn last_used_times_only_move_forward() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    let ann = user("ann");
    let (phone, key) = (device(&ann), key(&ann));
    make(&store, Change::AddUser(ann, None)).await.unwrap();
    make(&store, Change::AddDevice(phone.clone())).await.unwrap();
    make(&store, Change::AddKey(Box::new(key.clone()))).await.unwrap();
    let gone: PublicKey = DeviceKey::generate().unwrap().public().clone();
    let uses =
        |at| [(Use::Device(phone.key.clone()), at), (Use::Key(key.id.clone()), at), (Use::Device(gone.clone()), 5)];
    for (at, expected) in [(100, 100), (90, 100), (110, 110)] {
        store.touch(&uses(at)).await.unwrap();
        let found = store.load().await.unwrap();
        assert_eq!(found.devices[0].last_used_at, Some(expected));
        assert_eq!(found.keys[0].last_used_at, Some(expected));
    }
}

#[tokio::test]
async fn events_are_read_newest_first_up_to_the_limit() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    for at in 1..=5 {
        apply(&store, &Change::Note, &Event { at, ..event("test.noted") }).await.unwrap();
    }
    let events = store.events(2, &EventFilter::default()).await.unwrap().events;
    assert_eq!(events.iter().map(|event| event.at).collect::<Vec<_>>(), [5, 4]);
    let expected = ("admin", "test.noted", "s", "name=\"d\"", "192.0.2.1");
    let found = &events[0];
    assert_eq!((&*found.actor, &*found.action, &*found.subject, &*found.detail, &*found.address), expected);
    assert_eq!(serde_json::to_value(&found.details).unwrap(), serde_json::json!({ "name": "d" }));
    assert_eq!((found.id, events[1].id, found.count, found.last_at, &found.account), (5, 4, 1, None, &None));
    let ann = user("ann");
    apply(&store, &Change::Note, &event("test.noted").of_account(&ann)).await.unwrap();
    let found = store.events(1, &EventFilter::default()).await.unwrap().events.remove(0);
    assert_eq!((found.account.as_deref(), found.account_id), (Some("ann"), Some(ann.id)));
    assert!(store.events(0, &EventFilter::default()).await.unwrap().events.is_empty());
    assert_eq!(store.events(u32::MAX, &EventFilter::default()).await.unwrap().events.len(), 6);
}

#[tokio::test]
async fn a_full_disk_changes_nothing_and_is_recovered_from() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    let limit = async |pages: &str| {
        let statement = match pages {
            "none" => "PRAGMA max_page_count = 1000000",
            _ => "PRAGMA max_page_count = 1",
        };
        sqlx::query(statement).execute(&mut store.writer.lock().await.connection).await.unwrap();
    };
    limit("as there are").await;
    let mut kept = 0;
    let error = loop {
        let long = event("test.noted").with("name", "x".repeat(1000));
        match apply(&store, &Change::AddUser(user(&format!("u{kept}")), None), &long).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, StoreError::Write { reason, .. } if reason.contains("full")), "{error}");
    for _ in 0..3 {
        assert_eq!(store.load().await.unwrap().users.len(), kept);
        assert_eq!(store.events(u32::MAX, &EventFilter::default()).await.unwrap().events.len(), kept);
        let long = event("test.noted").with("name", "x".repeat(9000));
        assert!(matches!(apply(&store, &Change::Note, &long).await, Err(StoreError::Write { .. })));
    }
    limit("none").await;
    make(&store, Change::AddUser(user("later"), None)).await.unwrap();
    assert_eq!(store.load().await.unwrap().users.len(), kept + 1);
}

#[tokio::test]
async fn a_cancelled_change_is_complete_or_absent() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    // Left after each of its steps.
    for steps in 0..16 {
        let (change, noted) = (Change::AddUser(user(&format!("u{steps}")), None), event("test.made"));
        let (mut work, mut left) = (Box::pin(apply(&store, &change, &noted)), steps);
        let some_steps = std::future::poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            work.as_mut().poll(context).map(drop)
        });
        some_steps.await;
        drop(work);
        let (users, events) = (
            store.load().await.unwrap().users.len(),
            store.events(u32::MAX, &EventFilter::default()).await.unwrap().events.len(),
        );
        assert_eq!(users, events, "after {steps} steps");
        make(&store, Change::AddUser(user(&format!("v{steps}")), None)).await.unwrap();
    }
    let users = store.load().await.unwrap().users.len();
    assert!((17..32).contains(&users), "{users}");
    assert_eq!(store.events(u32::MAX, &EventFilter::default()).await.unwrap().events.len(), users);
    drop(store);
    assert_eq!(open(&path).await.unwrap().load().await.unwrap().users.len(), users);
}

#[cfg(unix)]
#[tokio::test]
async fn all_files_are_readable_only_by_the_owner() {
    use std::os::unix::fs::PermissionsExt as _;

    let (folder, _) = folder();
    let path = folder.path().join("a/b/gateway.db");
    let store = open(&path).await.unwrap();
    make(&store, Change::Note).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(names.len() >= 3, "{names:?}");
    for name in names {
        assert_eq!(mode(&name), 0o600, "{}", name.display());
    }
}

#[test]
fn every_migration_file_is_listed() {
    let mut files: Vec<_> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let listed: Vec<_> =
        MIGRATIONS.iter().map(|migration| format!("{:04}_{}.sql", migration.version, migration.description)).collect();
    assert_eq!(files, listed);
}

/// A database of version 0.1.0 with a chain of three keys, of which the first is revoked, and one key for itself.
async fn of_version_0_1_0(path: &Path) -> Connection {
    fs::File::create(path).unwrap();
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut connection = options(path).connect().await.unwrap();
    let first = Migrator::with_migrations(MIGRATIONS.iter().take(1).cloned().collect::<Vec<_>>());
    first.run_direct(None, &mut connection, false).await.unwrap();
    let user = Uuid::new_v4().to_string();
    let add = sqlx::query("INSERT INTO users VALUES (?, 'ann', '', 'admin', NULL, 0, 1)").bind(&user);
    add.execute(&mut connection).await.unwrap();
    for (number, id) in ["key_aaaaaaaa", "key_bbbbbbbb", "key_cccccccc", "key_dddddddd"].iter().enumerate() {
        sqlx::query("INSERT INTO api_keys VALUES (?, ?, 'k', NULL, '[]', '[]', NULL, ?, 'abcd', 1, ?, ?, NULL, ?)")
            .bind(id)
            .bind(&user)
            .bind([u8::try_from(number).unwrap(); 32].as_slice())
            .bind([None, Some("key_aaaaaaaa"), Some("key_bbbbbbbb"), None][number])
            .bind(i64::try_from(number).unwrap())
            .bind((number == 0).then_some(5))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    sqlx::query("INSERT INTO events VALUES (1, 7, 'admin', 'user.created', 'ann', 'name=\"x\"', '')")
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

#[tokio::test]
async fn a_database_of_version_0_1_0_keeps_its_keys_and_events() {
    let (_folder, path) = folder();
    of_version_0_1_0(&path).await.close().await.unwrap();
    let store = open(&path).await.unwrap();
    let found = store.load().await.unwrap();
    let first = |id: &str| found.keys.iter().find(|key| key.id.as_str() == id).unwrap().first.clone();
    assert_eq!(found.ended.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["key_aaaaaaaa"]);
    let origin: KeyId = "key_aaaaaaaa".parse().unwrap();
    assert_eq!((first("key_bbbbbbbb"), first("key_cccccccc")), (Some(origin.clone()), Some(origin)));
    assert_eq!((first("key_dddddddd"), found.keys.len()), (None, 3));
    assert!(found.keys.iter().all(|key| key.rights.limits.is_none()));
    let events = store.events(10, &EventFilter::default()).await.unwrap().events;
    assert_eq!((events.len(), events[0].details.is_none()), (1, true));
    assert_eq!((&*events[0].detail, &*events[0].shown_detail()), ("name=\"x\"", r#""name=\"x\"""#));
}

#[tokio::test]
async fn an_update_of_the_database_that_fails_changes_nothing_and_can_be_repeated() {
    let (_folder, path) = folder();
    let mut connection = of_version_0_1_0(&path).await;
    // In the way of the last steps of the update.
    sqlx::query("CREATE TABLE uptime (x)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert!(open(&path).await.is_err());
    let mut connection = options(&path).connect().await.unwrap();
    let table: String = sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE name = 'api_keys'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(table.contains("REFERENCES api_keys") && !table.contains("ended_uptime"), "{table}");
    let keys: i64 = sqlx::query_scalar("SELECT count(*) FROM api_keys").fetch_one(&mut connection).await.unwrap();
    assert_eq!(keys, 4);
    sqlx::query("DROP TABLE uptime").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(open(&path).await.unwrap().load().await.unwrap().keys.len(), 3);
}

#[tokio::test]
async fn pages_of_events_have_what_their_filters_ask_for() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    sql::event_pages_check::check(&mut store.writer.lock().await.connection).await;
}
