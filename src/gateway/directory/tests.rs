//! What a directory refuses, and what it looks at. That memory and store agree is for `conformance`.

use std::future::Future as _;
use std::path::Path;
use std::task::Poll;

use super::conformance::{event, key, user};
use super::*;
use crate::gateway::{Role, SqliteStore};

async fn open(folder: &Path) -> Directory {
    let store = SqliteStore::open(folder.join("gateway.db")).await.unwrap();
    Directory::open(Arc::new(store)).await.unwrap()
}

#[tokio::test]
async fn the_last_administrator_cannot_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path()).await;
    assert!(directory.is_empty());
    let (ann, bob, eve) = (user("ann", Role::Admin), user("bob", Role::Member), user("eve", Role::Admin));
    for new in [&ann, &bob] {
        directory.commit(Change::AddUser(new.clone(), None), event()).await.unwrap();
    }
    for change in [Change::SetDisabled(ann.id, true), Change::SetRole(ann.id, Role::Maintainer)] {
        let error = directory.commit(change, event()).await.unwrap_err();
        assert!(matches!(&error, DirectoryError::LastAdmin(name) if name == "ann"), "{error}");
    }
    assert!(!directory.user(ann.id).unwrap().disabled);
    directory.commit(Change::SetDisabled(bob.id, true), event()).await.unwrap();
    // A disabled administrator does not count as another one.
    directory.commit(Change::AddUser(eve.clone(), None), event()).await.unwrap();
    directory.commit(Change::SetDisabled(eve.id, true), event()).await.unwrap();
    let error = directory.commit(Change::SetRole(ann.id, Role::Member), event()).await.unwrap_err();
    assert!(matches!(error, DirectoryError::LastAdmin(_)));
    directory.commit(Change::SetDisabled(eve.id, false), event()).await.unwrap();
    directory.commit(Change::SetDisabled(ann.id, true), event()).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_caller_does_not_cancel_its_change() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path()).await;
    let ann = user("ann", Role::Admin);
    {
        let work = directory.commit(Change::AddUser(ann.clone(), Some(PasswordHash::kept("$x".into()))), event());
        let mut work = std::pin::pin!(work);
        let once = std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_pending()));
        assert!(once.await);
    }
    // The next one waits for its turn, so the first is made by then.
    directory.commit(Change::Note, event()).await.unwrap();
    assert_eq!(*directory.user_by_name("ann").unwrap(), ann);
    assert_eq!(directory.password(ann.id).await.unwrap().unwrap().expose(), "$x");
    drop(directory);
    assert!(open(folder.path()).await.user(ann.id).is_some());
}

#[tokio::test]
async fn a_revoked_key_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path()).await;
    let ann = user("ann", Role::Admin);
    directory.commit(Change::AddUser(ann.clone(), None), event()).await.unwrap();
    let (old, mut new) = (key(&ann), key(&ann));
    new.replaces = Some(old.id.clone());
    directory.commit(Change::AddKey(Box::new(old.clone())), event()).await.unwrap();
    directory.commit(Change::RevokeKey(old.id, 5), event()).await.unwrap();
    let error = directory.commit(Change::AddKey(Box::new(new.clone())), event()).await.unwrap_err();
    assert!(matches!(error, DirectoryError::NotLive(_)), "{error}");
    assert!(directory.key_by_id(&new.id).is_none());
    new.replaces = Some(KeyId::generate().unwrap());
    let error = directory.commit(Change::AddKey(Box::new(new)), event()).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Unknown(_)), "{error}");
}

#[tokio::test]
async fn an_expiry_only_moves_forward_and_an_expired_key_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path()).await;
    let ann = user("ann", Role::Admin);
    directory.commit(Change::AddUser(ann.clone(), None), event()).await.unwrap();
    let old = KeyRecord { replaceable: true, ..key(&ann) };
    let new = |at| Box::new(KeyRecord { replaces: Some(old.id.clone()), created_at: at, ..key(&ann) });
    directory.commit(Change::AddKey(Box::new(old.clone())), event()).await.unwrap();
    for (asked, end) in [(100, 100), (200, 100), (50, 50), (i64::MAX, 50)] {
        directory.commit(Change::ExpireKey(old.id.clone(), asked), event()).await.unwrap();
        let now = directory.key_by_id(&old.id).unwrap();
        assert_eq!((now.rights.expires_at, now.replaceable), (Some(end), false), "{asked}");
    }
    let error = directory.commit(Change::AddKey(new(50)), event()).await.unwrap_err();
    assert!(matches!(error, DirectoryError::NotLive(_)), "{error}");
    let first = new(49);
    directory.commit(Change::AddKey(first.clone()), event()).await.unwrap();
    let error = directory.commit(Change::AddKey(new(49)), event()).await.unwrap_err();
    assert!(matches!(&error, DirectoryError::Replaced(by) if *by == first.id), "{error}");
    let stranger = Change::ExpireKey(KeyId::generate().unwrap(), 1);
    assert!(matches!(directory.commit(stranger, event()).await, Err(DirectoryError::Unknown(_))));
}

#[tokio::test]
async fn the_changes_of_an_account_are_limited_and_those_of_others_are_not() {
    let store = Arc::new(crate::gateway::store::memory::MemoryStore::default());
    let directory = Directory::open(store).await.unwrap();
    let (ann, eve) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let change = |account| directory.commit(Change::Note, event().charged_to(account));
    for _ in 0..budget::BURST.get() {
        change(eve).await.unwrap();
    }
    // A few may have come back since.
    let mut refused = 0;
    for _ in 0..200 {
        match change(eve).await {
            Ok(()) => {}
            Err(DirectoryError::TooMany(wait)) => {
                assert!((1..=2).contains(&wait), "{wait}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0);
    change(ann).await.unwrap();
    directory.commit(Change::Note, event()).await.unwrap();
}

/// What a page costs is what it shows: reading ten thousand keys ten at a time looks at each of them hardly more than once, however many
/// there are of other accounts.
#[tokio::test]
async fn a_page_visits_only_the_keys_it_shows() {
    let mut memory = Memory::default();
    let (ann, bob) = (user("ann", Role::Member), user("bob", Role::Member));
    for number in 0..10_000 {
        let owner = if number % 2 == 0 { &ann } else { &bob };
        // Ten of them in each second, and every tenth of ann's is revoked.
        let revoked_at = (number % 20 == 0).then_some(1);
        memory.put_key(KeyRecord { created_at: number / 10, revoked_at, ..key(owner) });
    }
    let inner = Inner {
        store: Arc::new(crate::gateway::store::memory::MemoryStore::default()),
        memory: RwLock::new(memory),
        writing: Default::default(),
        budget: ChangeBudget::default(),
        uses: Default::default(),
        runtime: Handle::current(),
    };
    let directory = Directory(Arc::new(inner));
    let (mut seen, mut looked_at, mut pages, mut after) = (Vec::new(), 0, 0, None);
    loop {
        let wanted = |key: &&Arc<KeyRecord>| {
            looked_at += 1;
            key.revoked_at.is_none()
        };
        let (page, more) = directory.keys_page(ann.id, after.as_ref(), 10, wanted);
        pages += 1;
        after = page.last().map(|key| Place::new(key.created_at, key.id.clone()));
        seen.extend(page);
        if !more {
            break;
        }
    }
    assert_eq!((seen.len(), pages), (4500, 450));
    assert!(looked_at <= 5000 + 2 * pages, "{looked_at} were looked at");
    let all: Vec<_> = directory.keys_of(ann.id).into_iter().filter(|key| key.revoked_at.is_none()).collect();
    assert!(seen == all && seen.is_sorted_by_key(|key| std::cmp::Reverse(key.created_at)));
    assert_eq!((directory.count_keys(ann.id), directory.count_live_keys(ann.id, 5)), (5000, 4500));
    assert_eq!(directory.keys_page(Uuid::new_v4(), None, 10, |_| true), (Vec::new(), false));
    assert!(directory.keys_page(ann.id, None, 0, |_| true).1, "there are more");
}
