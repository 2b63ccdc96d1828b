//! What a directory refuses, and what it looks at. That memory and store agree is for `conformance`.

use std::future::Future as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::task::Poll;

use super::conformance::{event, key, user};
use super::*;
use crate::gateway::store::memory::MemoryStore;
use crate::gateway::store::{Actor, Change, Event, Retention};
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
    assert!(directory.key_by_id(&new.id).await.unwrap().is_none());
    new.replaces = Some(KeyId::generate().unwrap());
    let error = directory.commit(Change::AddKey(Box::new(new)), event()).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Unknown(_)), "{error}");
}

/// As requests do that are sent at once: each found the key, or the account, as it was before.
#[tokio::test]
async fn a_change_that_is_made_already_has_no_second_event() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path()).await;
    let (ann, bob) = (user("ann", Role::Admin), user("bob", Role::Member));
    let (revoked, ending) = (key(&ann), key(&ann));
    let changes = [
        Change::AddUser(ann.clone(), None),
        Change::AddUser(bob.clone(), None),
        Change::AddKey(Box::new(revoked.clone())),
        Change::AddKey(Box::new(ending.clone())),
    ];
    for change in changes {
        directory.commit(change, event()).await.unwrap();
    }
    for (action, change) in [
        ("key.revoked", Change::RevokeKey(revoked.id.clone(), 5)),
        ("key.ending", Change::ExpireKey(ending.id.clone(), 50)),
        ("user.role", Change::SetRole(bob.id, Role::Maintainer)),
        ("user.disabled", Change::SetDisabled(bob.id, true)),
    ] {
        let commit = || directory.commit(change.clone(), Event::new(5, Actor::Admin, action, "x"));
        let results = futures_util::future::join_all((0..4).map(|_| commit())).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let filter = EventFilter { action: Some(action.to_owned()), ..EventFilter::default() };
        let events = directory.events(10, filter).await.unwrap();
        assert_eq!(events.iter().map(|event| event.count).collect::<Vec<_>>(), [1], "{action}");
    }
    // A later time changes nothing; an earlier one does.
    let filter = EventFilter { action: Some("key.ending".to_owned()), ..EventFilter::default() };
    for (at, events) in [(60, 1), (40, 2)] {
        let change = Change::ExpireKey(ending.id.clone(), at);
        directory.commit(change, Event::new(5, Actor::Admin, "key.ending", "x")).await.unwrap();
        assert_eq!(directory.events(10, filter.clone()).await.unwrap().len(), events, "{at}");
    }
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
        let now = directory.key_by_id(&old.id).await.unwrap().unwrap();
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
                assert!((1..=11).contains(&wait), "{wait}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0);
    change(ann).await.unwrap();
    directory.commit(Change::Note, event()).await.unwrap();
}

/// As in an account that has ten thousand keys of other accounts beside its own.
#[tokio::test]
async fn pages_of_keys_have_no_gaps_and_no_keys_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path()).await;
    let (ann, bob) = (user("ann", Role::Member), user("bob", Role::Member));
    for new in [&ann, &bob] {
        directory.commit(Change::AddUser(new.clone(), None), event()).await.unwrap();
    }
    let mut made = Vec::new();
    for number in 0..120 {
        let owner = if number % 2 == 0 { &ann } else { &bob };
        // Ten of them in each second, and every tenth of ann's is revoked.
        let key = KeyRecord { created_at: number / 10, ..key(owner) };
        directory.commit(Change::AddKey(Box::new(key.clone())), event()).await.unwrap();
        if number % 20 == 0 {
            directory.commit(Change::RevokeKey(key.id.clone(), 1), event()).await.unwrap();
        } else if number % 2 == 0 {
            made.push(key);
        }
    }
    made.sort_by_key(|key| Place::new(key.created_at, key.id.clone()));
    for limit in [1, 7, 1000] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let wanted = KeyQuery { user: ann.id, after, revoked: false, matching: None, limit };
            let (page, more) = directory.keys_page(wanted).await.unwrap();
            after = page.last().map(|key| (key.created_at, key.id.clone()));
            seen.extend(page);
            if !more {
                break;
            }
        }
        assert_eq!(seen, made, "{limit}");
    }
    let query = |revoked, limit| KeyQuery { user: ann.id, after: None, revoked, matching: None, limit };
    assert_eq!(directory.keys_page(query(true, 1000)).await.unwrap().0.len(), 60);
    assert!(directory.keys_page(query(false, 0)).await.unwrap().1, "there are more");
    let named = KeyQuery { matching: Some(made[3].id.to_string()), ..query(false, 10) };
    assert_eq!(directory.keys_page(named).await.unwrap(), (vec![made[3].clone()], false));
    assert_eq!((directory.count_keys(ann.id), directory.count_live_keys(ann.id, 5)), (54, (54, 108)));
    let (nobody, none) = (KeyQuery { user: Uuid::new_v4(), ..query(true, 10) }, (Vec::new(), false));
    assert_eq!(directory.keys_page(nobody).await.unwrap(), none);
}

const DAY: i64 = 86_400;
const KEPT: Retention = Retention {
    keys: Some(30 * DAY),
    events: Some(10 * DAY),
    event_bytes: None,
    usage_records: None,
    usage_hours: None,
    usage_days: None,
    goes_on: false,
};

struct Ended {
    _folder: tempfile::TempDir,
    directory: Directory,
    ann: User,
}

impl Ended {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = open(folder.path()).await;
        let ann = user("ann", Role::Admin);
        directory.commit(Change::AddUser(ann.clone(), None), event()).await.unwrap();
        Self { _folder: folder, directory, ann }
    }

    async fn add(&self, key: &KeyRecord) -> Result<(), DirectoryError> {
        self.directory.commit(Change::AddKey(Box::new(key.clone())), event()).await
    }

    async fn reopened(self) -> Self {
        let Self { _folder, directory, ann } = self;
        drop(directory);
        Self { directory: open(_folder.path()).await, _folder, ann }
    }

    async fn is_on_record(&self, key: &KeyRecord) -> bool {
        self.directory.key_by_id(&key.id).await.unwrap().is_some()
    }
}

#[tokio::test]
async fn keys_that_have_ended_leave_memory_and_still_say_how() {
    let mut given = Ended::new().await;
    let mut expiring = key(&given.ann);
    expiring.rights.expires_at = Some(100);
    let revoked = key(&given.ann);
    for key in [&expiring, &revoked] {
        given.add(key).await.unwrap();
    }
    given.directory.used(Use::Key(revoked.id.clone()), 40);
    given.directory.flush().await.unwrap();
    given.directory.commit(Change::RevokeKey(revoked.id.clone(), 50), event()).await.unwrap();
    given.directory.sweep(100, 60, Retention::default()).await.unwrap();
    for round in 0..2 {
        let directory = &given.directory;
        assert_eq!(directory.count_keys(given.ann.id), 0, "{round}");
        assert_eq!(directory.ended_use(given.ann.id), if round == 0 { Some(40) } else { None });
        for (key, is_revoked) in [(&expiring, false), (&revoked, true)] {
            assert!(directory.key(&key.hash).is_none());
            let ended = directory.ended_key(&key.hash).unwrap();
            assert_eq!((&ended.id, ended.is_revoked, ended.user), (&key.id, is_revoked, given.ann.id));
            assert!(given.is_on_record(key).await);
            let again = KeyRecord { hash: crate::keyspec::ApiKey::generate().unwrap().hash(), ..key.clone() };
            assert!(matches!(given.add(&again).await, Err(DirectoryError::Store(StoreError::Taken(_)))));
        }
        let successor = KeyRecord { replaces: Some(expiring.id.clone()), created_at: 100, ..key(&given.ann) };
        assert!(matches!(given.add(&successor).await, Err(DirectoryError::NotLive(_))));
        given = given.reopened().await;
    }
    // An expired key can still be revoked.
    given.directory.commit(Change::RevokeKey(expiring.id.clone(), 200), event()).await.unwrap();
    assert!(given.directory.ended_key(&expiring.hash).unwrap().is_revoked);
}

#[tokio::test]
async fn a_clock_that_is_set_forward_deletes_nothing() {
    let given = Ended::new().await;
    let mut expiring = key(&given.ann);
    expiring.rights.expires_at = Some(1000);
    let revoked = key(&given.ann);
    for key in [&expiring, &revoked] {
        given.add(key).await.unwrap();
    }
    given.directory.commit(Change::RevokeKey(revoked.id.clone(), 50), event()).await.unwrap();
    let events = given.directory.events(100, EventFilter::default()).await.unwrap().len();
    // Ten years ahead, for an hour, and across a restart.
    for _ in 0..60 {
        given.directory.sweep(3650 * DAY, 60, KEPT).await.unwrap();
    }
    let given = given.reopened().await;
    given.directory.sweep(3650 * DAY, 60, KEPT).await.unwrap();
    assert!(given.is_on_record(&expiring).await && given.is_on_record(&revoked).await);
    assert_eq!(given.directory.events(100, EventFilter::default()).await.unwrap().len(), events);
    // Corrected, the key that had seemed to have expired works at once, and without waiting for the next look.
    let ended = given.directory.ended_key(&expiring.hash).unwrap();
    given.directory.revive(&ended.id, 500).await.unwrap();
    assert_eq!(*given.directory.key(&expiring.hash).unwrap().credential, expiring);
    given.directory.sweep(500, 60, KEPT).await.unwrap();
    let given = given.reopened().await;
    assert_eq!(*given.directory.key(&expiring.hash).unwrap().credential, expiring);
    given.directory.revive(&revoked.id, 10).await.unwrap();
    assert!(given.directory.key(&revoked.hash).is_none(), "a revoked key stays revoked");
    assert!(given.directory.ended_key(&revoked.hash).unwrap().is_revoked);
}

#[tokio::test]
async fn records_are_deleted_after_their_retention_time_and_their_ids_stay_reserved() {
    let given = Ended::new().await;
    let (old, mut new) = (key(&given.ann), key(&given.ann));
    (new.replaces, new.first) = (Some(old.id.clone()), Some(old.id.clone()));
    for key in [&old, &new] {
        given.add(key).await.unwrap();
    }
    given.directory.commit(Change::RevokeKey(old.id.clone(), 50), event()).await.unwrap();
    // By the clock alone it is time, then by the time that the gateway has run alone.
    given.directory.sweep(50 + 30 * DAY, 29 * DAY, KEPT).await.unwrap();
    given.directory.sweep(49 + 30 * DAY, DAY, KEPT).await.unwrap();
    assert!(given.is_on_record(&old).await);
    given.directory.sweep(50 + 30 * DAY, 0, Retention::default()).await.unwrap();
    assert!(given.is_on_record(&old).await, "it is kept for ever");
    given.directory.sweep(50 + 30 * DAY, 0, KEPT).await.unwrap();
    let given = given.reopened().await;
    assert!(!given.is_on_record(&old).await && given.directory.ended_key(&old.hash).is_none());
    let events = given.directory.events(100, EventFilter::default()).await.unwrap();
    assert_eq!(events.iter().map(|event| &*event.action).collect::<Vec<_>>(), ["audit.removed"]);
    let known = given.directory.key(&new.hash).unwrap().credential;
    assert_eq!((&known.replaces, &known.first), (&Some(old.id.clone()), &Some(old.id.clone())));
    let again = KeyRecord { id: old.id.clone(), ..key(&given.ann) };
    assert!(matches!(given.add(&again).await, Err(DirectoryError::Store(StoreError::Taken(_)))));
}

#[tokio::test]
async fn keys_with_the_same_patterns_share_them_after_a_restart() {
    let given = Ended::new().await;
    let models: crate::keyspec::Models = (0..2000).map(|number| format!("m{number}:*").parse().unwrap()).collect();
    let mut keys = Vec::new();
    for _ in 0..5 {
        let mut key = key(&given.ann);
        key.rights.models = models.patterns().iter().cloned().collect();
        given.add(&key).await.unwrap();
        keys.push(key);
    }
    let given = given.reopened().await;
    let place = |key: &KeyRecord| given.directory.key(&key.hash).unwrap().credential.rights.models.patterns().as_ptr();
    assert!(keys.iter().all(|key| place(key) == place(&keys[0])));
}

#[tokio::test]
async fn the_keys_of_a_removed_account_are_refused_as_revoked_until_their_retention_time() {
    let given = Ended::new().await;
    let bob = user("bob", Role::Member);
    given.directory.commit(Change::AddUser(bob.clone(), None), event()).await.unwrap();
    let (valid, revoked, mut expired, of_ann) = (key(&bob), key(&bob), key(&bob), key(&given.ann));
    expired.rights.expires_at = Some(5);
    for key in [&valid, &revoked, &expired, &of_ann] {
        given.add(key).await.unwrap();
    }
    given.directory.commit(Change::RevokeKey(revoked.id.clone(), 3), event()).await.unwrap();
    given.directory.sweep(10, 60, KEPT).await.unwrap();
    given.directory.commit(Change::RemoveUser(bob.id), Event { at: 20, ..event() }).await.unwrap();
    let mut given = given;
    for _ in 0..2 {
        for key in [&valid, &revoked, &expired] {
            let ended = given.directory.ended_key(&key.hash).unwrap();
            assert_eq!((&ended.id, ended.is_revoked, ended.expires_at), (&key.id, true, None));
            assert!(given.directory.key(&key.hash).is_none() && !given.is_on_record(key).await);
            let again = KeyRecord { id: key.id.clone(), ..self::key(&given.ann) };
            assert!(matches!(given.add(&again).await, Err(DirectoryError::Store(StoreError::Taken(_)))));
        }
        given = given.reopened().await;
        // A clock that is set forward forgets nothing.
        given.directory.sweep(3650 * DAY, 60, KEPT).await.unwrap();
    }
    given.directory.sweep(20 + 30 * DAY, 30 * DAY - 121, KEPT).await.unwrap();
    assert!(given.directory.ended_key(&valid.hash).is_some());
    given.directory.sweep(19 + 30 * DAY, 121, KEPT).await.unwrap();
    assert!(given.directory.ended_key(&valid.hash).is_some());
    given.directory.sweep(20 + 30 * DAY, 0, KEPT).await.unwrap();
    for _ in 0..2 {
        for key in [&valid, &revoked, &expired] {
            assert!(given.directory.ended_key(&key.hash).is_none());
            let again = KeyRecord { id: key.id.clone(), ..self::key(&given.ann) };
            assert!(matches!(given.add(&again).await, Err(DirectoryError::Store(StoreError::Taken(_)))));
        }
        assert!(given.directory.key(&of_ann.hash).is_some());
        given = given.reopened().await;
    }
}

/// Each key is replaced on the next day and its predecessor expires, as in a nightly job. What is in memory and in the database stays
/// bounded, and by default every event stays.
#[tokio::test]
async fn a_job_that_creates_keys_every_day_never_comes_to_an_end() {
    const DAYS: i64 = 100;
    let keys_a_day: usize = 10;
    let mut given = Ended::new().await;
    let default = Retention { keys: Some(30 * DAY), ..Retention::default() };
    let (mut chains, mut latest): (Vec<KeyId>, Vec<KeyId>) = (Vec::new(), Vec::new());
    for day in 0..DAYS {
        for number in 0..keys_a_day {
            let mut new = key(&given.ann);
            (new.replaces, new.first) = (latest.get(number).cloned(), chains.get(number).cloned());
            (new.created_at, new.rights.expires_at) = (day * DAY, Some((day + 1) * DAY + 60));
            given.add(&new).await.unwrap();
            if day == 0 {
                chains.push(new.id.clone());
                latest.push(new.id);
            } else {
                latest[number] = new.id;
            }
        }
        given.directory.sweep(day * DAY + 120, DAY, default).await.unwrap();
        assert_eq!(given.directory.count_keys(given.ann.id), keys_a_day, "{day}");
        if day % 25 == 0 {
            given = given.reopened().await;
        }
    }
    assert!(given.directory.read().ended.len() <= 31 * keys_a_day);
    let all = KeyQuery { user: given.ann.id, after: None, revoked: true, matching: None, limit: 1_000_000 };
    assert!(given.directory.keys_page(all).await.unwrap().0.len() <= 32 * keys_a_day);
    let of_today = given.directory.key_by_id(&latest[3]).await.unwrap().unwrap();
    assert_eq!(of_today.first.as_ref(), Some(&chains[3]), "it knows the first of its chain, which was deleted");
    assert!(given.directory.key_by_id(&chains[3]).await.unwrap().is_none());
    let events = given.directory.events(u32::MAX, EventFilter::default()).await.unwrap();
    assert_eq!(events.len(), 1 + usize::try_from(DAYS).unwrap() * keys_a_day);
}

/// 10,200 changes of an expiry and as many denied devices of one account, as far as its budget goes.
#[tokio::test]
async fn a_flood_of_changes_neither_hides_the_events_of_others_nor_fills_the_disk() {
    let given = Ended::new().await;
    let (ann, eve) = (given.ann.clone(), user("eve", Role::Member));
    given.directory.commit(Change::AddUser(eve.clone(), None), event().of_account(&eve)).await.unwrap();
    given.directory.commit(Change::Note, Event { action: "key.revoked", ..event() }.of_account(&ann)).await.unwrap();
    let eves = |at, action, subject: String| {
        Event::new(at, Actor::user(&eve), action, subject).of_account(&eve).charged_to(eve.id)
    };
    let mut accepted = 0;
    for number in 0..10_200 {
        let change = eves(number / 850, "key.ending", "key_12345678".to_owned());
        accepted += u32::from(given.directory.commit(Change::Note, change).await.is_ok());
    }
    assert!((6000..6100).contains(&accepted), "{accepted}");
    for number in 0..10_200 {
        let denied = given.directory.commit(Change::Note, eves(20, "device.denied", format!("SHA256:{number}"))).await;
        accepted += u32::from(denied.is_ok());
    }
    let size = std::fs::metadata(given._folder.path().join("gateway.db")).unwrap().len();
    assert!(size < 6 << 20, "{size} bytes");
    let all = given.directory.events(u32::MAX, EventFilter::default()).await.unwrap();
    let of_eve = all.iter().filter(|event| event.account_id == Some(eve.id)).count();
    assert_eq!(of_eve, accepted as usize + 1);
    let of_ann = EventFilter { account: Some("ann".to_owned()), ..EventFilter::default() };
    assert_eq!(given.directory.events(10, of_ann).await.unwrap().len(), 1);
    // And the other account still has its whole budget.
    given.directory.commit(Change::Note, event().charged_to(ann.id)).await.unwrap();
}

#[tokio::test]
async fn what_a_key_began_may_continue_while_its_chain_of_replacements_is_valid() {
    let mut given = Ended::new().await;
    let mut chain: Vec<KeyRecord> = Vec::new();
    for end in [Some(100), Some(200), None] {
        let mut new = key(&given.ann);
        new.rights.expires_at = end;
        new.replaces = chain.last().map(|old| old.id.clone());
        new.first = chain.first().map(|first| first.id.clone());
        given.add(&new).await.unwrap();
        chain.push(new);
    }
    let mut alone = key(&given.ann);
    alone.rights.expires_at = Some(100);
    given.add(&alone).await.unwrap();
    let state = |given: &Ended, now| {
        [&chain[0], &chain[1], &chain[2], &alone].map(|key| given.directory.may_continue(key, None, now))
    };
    assert_eq!(state(&given, 99), [true; 4]);
    assert_eq!(state(&given, 300), [true, true, true, false]);
    // The same when those that have expired have left memory, and after a restart.
    given.directory.sweep(300, 60, Retention::default()).await.unwrap();
    given = given.reopened().await;
    assert_eq!(state(&given, 300), [true, true, true, false]);
    // A key that was revoked after it had expired does not profit from its replacements, nor do others from an earlier one.
    given.directory.commit(Change::RevokeKey(chain[0].id.clone(), 300), event()).await.unwrap();
    assert_eq!(state(&given, 300), [false, true, true, false]);
    given.directory.commit(Change::RevokeKey(chain[2].id.clone(), 300), event()).await.unwrap();
    assert_eq!(state(&given, 300), [false; 4]);
}

/// The database does not answer: what it would have refused is refused all the same.
#[tokio::test]
async fn what_cannot_be_stored_is_in_effect_only_if_it_may_be_made() {
    let store = Arc::new(MemoryStore::default());
    let directory = Directory::open(store.clone()).await.unwrap();
    let (root, ann) = (user("root", Role::Admin), user("ann", Role::Member));
    let key = key(&ann);
    for change in
        [Change::AddUser(root.clone(), None), Change::AddUser(ann.clone(), None), Change::AddKey(Box::new(key.clone()))]
    {
        directory.commit(change, event()).await.unwrap();
    }
    store.down.store(true, Ordering::SeqCst);
    for change in [Change::SetDisabled(root.id, true), Change::RemoveUser(root.id)] {
        let error = directory.commit(change, event()).await.unwrap_err();
        assert!(matches!(error, DirectoryError::LastAdmin(_)), "{error}");
    }
    let revoke = || Change::RevokeKey(key.id.clone(), 5);
    assert!(!directory.commit_if(revoke(), event(), |_| false).await.unwrap(), "the caller has lost the right");
    assert!(!directory.user(root.id).unwrap().disabled && directory.key(&key.hash).is_some());
    let added = directory.commit(Change::AddUser(user("eve", Role::Admin), None), event()).await.unwrap_err();
    assert!(matches!(added, DirectoryError::Store(StoreError::Unreachable { .. })), "{added}");

    for _ in 0..2 {
        let error = directory.commit(Change::SetDisabled(ann.id, true), event()).await.unwrap_err();
        assert!(matches!(error, DirectoryError::NotStored), "{error}");
    }
    let error = directory.commit(revoke(), event()).await.unwrap_err();
    assert!(matches!(error, DirectoryError::NotStored), "{error}");
    assert!(directory.key(&key.hash).is_none() && directory.user(ann.id).unwrap().disabled);

    store.down.store(false, Ordering::SeqCst);
    let before = directory.events(100, EventFilter::default()).await.unwrap().len();
    directory.store_unstored().await;
    let after = directory.events(100, EventFilter::default()).await.unwrap().len();
    assert_eq!(after - before, 2, "each once");
    directory.store_unstored().await;
    assert_eq!(directory.events(100, EventFilter::default()).await.unwrap().len(), after);
}
