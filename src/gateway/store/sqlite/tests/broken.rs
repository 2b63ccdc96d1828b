//! Databases that are not opened: newer, damaged, somebody else's, in use, open to others. None of them is changed.

use super::*;

async fn filled(path: &Path) {
    let store = open(path).await.unwrap();
    for at in 0..300 {
        let long = Event { at, ..event("test.noted") }.with("name", "x".repeat(500));
        apply(&store, &Change::AddUser(user(&format!("u{at}")), None), &long).await.unwrap();
    }
    close(store).await;
}

async fn refused(path: &Path) -> StoreError {
    let before = fs::read(path).ok();
    let error = open(path).await.err().expect("it should not open");
    assert_eq!(fs::read(path).ok(), before, "{error}");
    error
}

#[tokio::test]
async fn a_newer_database_is_used_only_if_it_is_marked_as_compatible() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (999999, 'x', 1, x'00', 0)";
    sqlx::query(newer).execute(&mut store.writer.lock().await.connection).await.unwrap();
    close(store).await;
    let store = open(&path).await.unwrap();
    make(&store, Change::AddUser(user("ann"), None)).await.unwrap();
    let breaking = "UPDATE schema_compatibility SET oldest = 999999";
    sqlx::query(breaking).execute(&mut store.writer.lock().await.connection).await.unwrap();
    close(store).await;
    assert!(matches!(refused(&path).await, StoreError::Newer { .. }));
}

#[tokio::test]
async fn a_changed_schema_is_reported_as_damage() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    let changed = "UPDATE _sqlx_migrations SET checksum = x'00'";
    sqlx::query(changed).execute(&mut store.writer.lock().await.connection).await.unwrap();
    close(store).await;
    assert!(matches!(refused(&path).await, StoreError::Damaged { .. }));
}

#[tokio::test]
async fn a_database_of_another_program_is_not_changed() {
    let (_folder, path) = folder();
    let mut other = SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap();
    sqlx::query("CREATE TABLE places (id INTEGER)").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    #[cfg(unix)]
    chmod(&path, 0o600);
    let error = open(&path).await.err().unwrap();
    assert!(matches!(&error, StoreError::Open { reason, .. } if reason.contains("another program")), "{error}");
    let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema").fetch_all(&mut other).await.unwrap();
    assert_eq!(tables, ["places"]);
}

#[tokio::test]
async fn damage_is_detected_and_nothing_is_overwritten() {
    let (_folder, path) = folder();
    filled(&path).await;
    let whole = fs::read(&path).unwrap();
    assert!(whole.len() > 100_000);
    let mut cases: Vec<(String, Vec<u8>)> = vec![
        ("text".into(), b"this is no database at all".to_vec()),
        ("garbage".into(), (0..5000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        ("one byte".into(), vec![b'S']),
    ];
    for length in [16, 100, 512, 4096, 4097, whole.len() / 2, whole.len() - 4096] {
        cases.push((format!("cut to {length}"), whole[..length].to_vec()));
    }
    for page in [0, 1, 2, 3, 5, 8, 13] {
        let mut broken = whole.clone();
        broken[page * 4096..(page + 1) * 4096].fill(0xa5);
        cases.push((format!("page {page} broken"), broken));
    }
    for (what, bytes) in cases {
        fs::write(&path, &bytes).unwrap();
        let Err(error) = open(&path).await else { panic!("{what} opens") };
        assert!(fs::read(&path).unwrap() == bytes, "{what} was changed");
        assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error}");
        assert!(error.hint().is_some());
    }
    fs::write(&path, whole).unwrap();
    assert_eq!(open(&path).await.unwrap().load().await.unwrap().users.len(), 300);
}

#[tokio::test]
async fn an_invalid_row_is_reported_as_damage() {
    let (_folder, path) = folder();
    let rows = [
        "UPDATE users SET role = 'King'",
        "UPDATE users SET id = '123456789012345678901234567890123456'",
        "UPDATE api_keys SET scopes = '[\"everything\"]'",
        "UPDATE api_keys SET models = '[7]'",
        "UPDATE api_keys SET id = 'k'",
        "UPDATE devices SET key = 'ssh-rsa AAAA'",
    ];
    let store = open(&path).await.unwrap();
    let ann = user("ann");
    make(&store, Change::AddUser(ann.clone(), None)).await.unwrap();
    make(&store, Change::AddKey(Box::new(key(&ann)))).await.unwrap();
    make(&store, Change::AddDevice(device(&ann))).await.unwrap();
    for row in rows {
        let mut writer = store.writer.lock().await;
        for statement in ["PRAGMA foreign_keys = OFF", "BEGIN", row] {
            sqlx::query(statement).execute(&mut writer.connection).await.unwrap();
        }
        let found = sql::snapshot(&mut writer.connection, &store.place).await;
        assert!(matches!(found, Err(StoreError::Damaged { .. })), "{row}");
        writer.roll_back().await;
    }
    store.load().await.unwrap();
}

#[tokio::test]
async fn only_one_process_opens_the_database() {
    let (_folder, path) = folder();
    let first = open(&path).await.unwrap();
    let error = open_at_once(&path).await.err().unwrap();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    assert!(error.to_string().contains("in use") && error.hint().is_some());
    // One who waits gets it as soon as it is free.
    let waiting = tokio::spawn({
        let path = path.clone();
        async move { SqliteStore::open_within(&path, Duration::from_secs(30)).await.map(drop) }
    });
    tokio::task::yield_now().await;
    drop(first);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_invalid_path_is_refused() {
    let (folder, path) = folder();
    fs::write(&path, "").unwrap();
    for wrong in [PathBuf::from("/"), PathBuf::from(""), path.join("below/a/file"), folder.path().join("..")] {
        let error = open(&wrong).await.err().unwrap();
        assert!(matches!(error, StoreError::Open { .. }), "{}: {error}", wrong.display());
    }
}

#[cfg(unix)]
pub fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn files_open_to_other_accounts_are_refused() {
    let (folder, path) = folder();
    // Not just dropped: that would remove the log later, which this test makes, or another one has open.
    close(open(&path).await.unwrap()).await;
    let wal = files::beside(&path, "-wal");
    fs::write(&wal, "").unwrap();
    chmod(&wal, 0o600);
    for (what, usual) in [(&path, 0o600), (&wal, 0o600)] {
        for mode in [0o640, 0o604, 0o620, 0o602, 0o666] {
            chmod(what, mode);
            let error = refused(&path).await;
            assert!(matches!(&error, StoreError::Unsafe { .. }), "{mode:o}: {error}");
            assert!(error.hint().unwrap().contains("chmod 600"), "{error}");
        }
        chmod(what, usual);
    }
    for mode in [0o770, 0o707, 0o1777, 0o720] {
        chmod(folder.path(), mode);
        let error = refused(&path).await;
        assert!(matches!(&error, StoreError::Unsafe { .. }), "{mode:o}: {error}");
    }
    chmod(folder.path(), 0o755);
    open(&path).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn links_to_the_folder_are_followed_and_links_to_the_file_are_not() {
    use std::os::unix::fs::symlink;

    let (folder, path) = folder();
    let (elsewhere, victim) = super::folder();
    fs::write(&victim, "precious").unwrap();
    chmod(&victim, 0o600);
    for suffix in ["", "-wal", "-shm", "-journal", ".lock"] {
        for target in [victim.clone(), elsewhere.path().join("not there")] {
            let link = files::beside(&path, suffix);
            let _ = fs::remove_file(&link);
            symlink(&target, &link).unwrap();
            let error = open(&path).await.err().unwrap();
            assert!(matches!(error, StoreError::Unsafe { .. } | StoreError::Open { .. }), "{suffix}: {error}");
            fs::remove_file(&link).unwrap();
        }
    }
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert!(!elsewhere.path().join("not there").exists());
    fs::create_dir(&path).unwrap();
    assert!(matches!(open(&path).await, Err(StoreError::Unsafe { .. })));
    fs::remove_dir(&path).unwrap();

    let link = folder.path().join("link");
    symlink(elsewhere.path(), &link).unwrap();
    fs::remove_file(&victim).unwrap();
    let store = open(&link.join("gateway.db")).await.unwrap();
    assert_eq!(store.file().unwrap(), victim);
}

/// SQLite names its log after the file: through a second name it would not see what the first has written.
#[cfg(unix)]
#[tokio::test]
async fn a_hard_linked_file_is_not_opened() {
    let (_folder, path) = folder();
    let store = open(&path).await.unwrap();
    let second = path.with_extension("second");
    fs::hard_link(&path, &second).unwrap();
    assert!(matches!(open(&second).await.err(), Some(StoreError::Unsafe { .. })));
    close(store).await;
    fs::remove_file(&second).unwrap();
    close(open(&path).await.unwrap()).await;
}
