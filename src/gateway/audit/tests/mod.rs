//! A log whose old records were removed, and one whose hashes were rewritten with its records.

mod database;
mod tampering;

use std::path::PathBuf;

use super::export::verify_export;
use super::finding::Finding;
use super::known_tree::KnownTree;
use super::report::Verification;
use super::verification::verify;
use crate::gateway::directory::Directory;
use crate::gateway::store::{Actor, DatabaseLocation, Event, EventFilter, Retention, SqliteStore};
use crate::transparency_log::Hash;

const DAY: i64 = 86_400;

struct Given {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Given {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.db");
        Self { _folder: folder, path }
    }

    async fn open(&self) -> Directory {
        Directory::open(std::sync::Arc::new(SqliteStore::open(&self.path).await.unwrap())).await.unwrap()
    }

    /// Records so many events, the first at that second.
    async fn record(&self, directory: &Directory, at: i64, count: i64) {
        for number in 0..count {
            directory.record(Event::new(at + number, Actor::Admin, "user.added", format!("u{number}"))).await.unwrap();
        }
    }

    async fn verify(&self, known: &[KnownTree]) -> Verification {
        let mut reader = DatabaseLocation::File(self.path.clone()).audit().await.unwrap();
        verify(&mut *reader, known).await.unwrap()
    }

    /// The tree as a checkpoint would name it now.
    async fn tree(&self) -> KnownTree {
        let log = self.verify(&[]).await.logs.pop().unwrap();
        KnownTree {
            origin: log.origin,
            size: log.size,
            root: Hash::from_base64(&log.root.unwrap()).unwrap(),
            note: None,
        }
    }
}

#[tokio::test]
async fn a_log_without_its_oldest_records_is_verified_from_the_first_that_is_left() {
    let given = Given::new();
    let directory = given.open().await;
    given.record(&directory, 10, 700).await;
    let at_700 = given.tree().await;
    let retention = Retention { events: Some(30 * DAY), ..Retention::default() };
    // 40 days later the first 700 are old, and 20 are not.
    directory.sweep(40 * DAY, 40 * DAY, Retention::default()).await.unwrap();
    given.record(&directory, 40 * DAY, 20).await;
    directory.sweep(41 * DAY, DAY, retention).await.unwrap();
    let found = given.verify(std::slice::from_ref(&at_700)).await;
    assert_eq!((found.findings, found.logs[0].first, found.logs[0].size), (Vec::new(), 700, 721));
    assert_eq!(found.logs[0].proven_until, Some(700));
    let events = directory.events(1, EventFilter::default()).await.unwrap();
    assert_eq!((&*events[0].action, events[0].index), ("audit.removed", Some(720)));
    // Once in a day: its own event would be one every minute.
    directory.sweep(75 * DAY, 33 * DAY, Retention::default()).await.unwrap();
    directory.sweep(75 * DAY, 60, retention).await.unwrap();
    assert_eq!(given.verify(&[]).await.logs[0].first, 721);
    given.record(&directory, 75 * DAY, 5).await;
    let found = given.verify(&[KnownTree { root: Hash::of_empty_tree(), size: 724, ..at_700.clone() }]).await;
    assert!(matches!(&found.findings[..], [Finding::Rewritten { first: 0, last: 723, .. }]), "{:?}", found.findings);
    // Below what was removed nothing can be said.
    let found = given.verify(&[KnownTree { root: Hash::of_empty_tree(), ..at_700 }]).await;
    assert_eq!((found.findings, found.logs[0].proven_until), (Vec::new(), None));
}

#[tokio::test]
async fn an_export_without_its_oldest_records_is_verified_from_the_first_that_is_left() {
    let given = Given::new();
    let directory = given.open().await;
    given.record(&directory, 10, 700).await;
    let (at_700, day) = (given.tree().await, 40 * DAY);
    directory.sweep(day, day, Retention::default()).await.unwrap();
    given.record(&directory, day, 20).await;
    directory.sweep(day + DAY, DAY, Retention { events: Some(30 * DAY), ..Retention::default() }).await.unwrap();
    let now = given.tree().await;
    let rows = DatabaseLocation::File(given.path.clone()).audit().await.unwrap().rows(1, 0, 10_000).await.unwrap();
    let lines: Vec<String> = rows.into_iter().map(|row| row.line.unwrap() + "\n").collect();
    let verify = |lines: &[String], known: &[KnownTree]| {
        let text = lines.concat();
        verify_export(|| Ok(text.as_bytes()), known).unwrap()
    };
    let found = verify(&lines, &[at_700.clone(), now.clone()]);
    assert_eq!((found.findings, found.logs[0].first, found.logs[0].size), (Vec::new(), 700, 721));
    assert_eq!((&found.logs[0].origin, found.logs[0].proven_until), (&now.origin, Some(721)));
    // One that was left out at the beginning, or at the end.
    let found = verify(&lines[1..], std::slice::from_ref(&now));
    assert!(matches!(&found.findings[..], [Finding::Cut { size: 720, checkpoint: 721, .. }]), "{:?}", found.findings);
    // The record that says what was removed is the last one: without it the file begins at 0.
    let found = verify(&lines[..20], &[at_700, now]);
    assert_eq!((found.findings.len(), found.logs[0].proven_until), (1, None));
}

#[tokio::test]
async fn a_log_that_is_too_large_loses_its_oldest_records_in_batches() {
    let given = Given::new();
    let directory = given.open().await;
    given.record(&directory, 0, 3000).await;
    let bytes = async || {
        let mut reader = DatabaseLocation::File(given.path.clone()).audit().await.unwrap();
        let rows = reader.rows(1, 0, 10_000).await.unwrap();
        rows.iter().map(|row| row.line.as_ref().unwrap().len()).sum::<usize>()
    };
    let before = bytes().await;
    let sweep = async |most: usize| {
        let retention = Retention { event_bytes: Some(most.try_into().unwrap()), ..Retention::default() };
        directory.sweep(5000, 60, retention).await.unwrap();
        bytes().await
    };
    // As large as it may be.
    assert_eq!(sweep(before).await, before);
    let after = sweep(before / 4).await;
    assert!((before / 5..before / 4).contains(&after), "{before} {after}");
    let found = given.verify(&[]).await;
    let removals = directory.events(10, EventFilter { action: Some("audit.removed".into()), ..EventFilter::default() });
    let removals = removals.await.unwrap();
    assert_eq!((found.findings, removals.len()), (Vec::new(), 3));
    assert!(found.logs[0].first > 2200, "{}", found.logs[0].first);
    // It may grow again before the next ones are removed.
    given.record(&directory, 4000, 10).await;
    assert_eq!(sweep(before / 4).await, bytes().await);
    assert_eq!(given.verify(&[]).await.logs[0].first, found.logs[0].first);
    // Both at once, and nothing is left but what tells of it.
    let retention = Retention { events: Some(DAY), event_bytes: Some(1 << 20), ..Retention::default() };
    directory.sweep(40 * DAY, 40 * DAY, Retention::default()).await.unwrap();
    directory.sweep(40 * DAY, 60, retention).await.unwrap();
    let last = given.verify(&[]).await;
    assert_eq!((last.findings, last.logs[0].size - last.logs[0].first), (Vec::new(), 1));
}

#[tokio::test]
async fn records_that_were_rewritten_with_all_hashes_lie_between_two_known_trees() {
    let given = Given::new();
    let directory = given.open().await;
    let mut known = Vec::new();
    for round in 0..5 {
        given.record(&directory, round * 100, 60).await;
        known.push(given.tree().await);
    }
    drop(directory);
    assert_eq!(given.verify(&known).await.logs[0].proven_until, Some(300));
    // Whoever can write the database writes it anew, with one record changed: records and hashes fit each other.
    let other = Given::new();
    let directory = other.open().await;
    for round in 0..5 {
        given.record(&directory, round * 100 + i64::from(round == 2), 60).await;
    }
    drop(directory);
    let log = other.verify(&[]).await.logs.pop().unwrap();
    assert!(other.verify(&[]).await.findings.is_empty());
    let known: Vec<_> = known.into_iter().map(|tree| KnownTree { origin: log.origin.clone(), ..tree }).collect();
    let found = other.verify(&known).await;
    assert!(matches!(&found.findings[..], [Finding::Rewritten { first: 120, last: 179, .. }]), "{:?}", found.findings);
    assert_eq!(found.logs[0].proven_until, Some(120));
    // A log that ends before a known tree does.
    let longer = KnownTree { size: 400, ..known[4].clone() };
    let found = other.verify(&[longer]).await;
    assert!(matches!(&found.findings[..], [Finding::Cut { size: 300, checkpoint: 400, .. }]), "{:?}", found.findings);
    // Trees of another log say nothing of this one.
    let elsewhere = KnownTree { origin: "elsewhere".to_owned(), ..known[0].clone() };
    assert!(other.verify(&[elsewhere]).await.findings.is_empty());
}
