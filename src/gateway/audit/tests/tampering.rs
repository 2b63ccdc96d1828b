//! A log of 1,000 records, each of which an attacker who can write the database changes: without the hashes, and with all of them computed
//! anew. The tables were read from a real file; they are changed in memory, since it is done thousands of times.
//! `tests/it/gateway_audit_tampering.rs` changes a file, and runs the program.
//!
//! Some changes are made to several records at once, or to every seventh: all of them to each record by itself take minutes without
//! optimization. `.ci/weekly` does that.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::thread;

use uuid::Uuid;

use super::database::Database;
use super::{Given, KnownTree, Verification};
use crate::gateway::audit::finding::Finding;
use crate::gateway::origin::Origin;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::store::{Actor, DatabaseLocation, Event, EventAccount, Repeats};

const SIZE: usize = 1000;
/// Where checkpoints were made, and what made the key of the gateway, and another one.
const CHECKPOINTS: [usize; 3] = [300, 700, SIZE];
const KEY: u8 = 7;
const OTHER_KEY: u8 = 9;

/// Records of all kinds.
fn event(number: usize) -> Event {
    let (at, account) = (number.try_into().unwrap(), Uuid::from_u128(7));
    let origin = Origin::new(IpAddr::from([192, 0, 2, (number % 250) as u8]));
    let subject = format!("subject-{number}-");
    let owner = Some(EventAccount { id: account, name: "eve".to_owned() });
    match number % 4 {
        0 => Event::new(at, Actor::Admin, "user.created", subject).with("role", "member"),
        1 => Event { account: owner, ..Event::new(at, Actor::Gateway, "key.ending", subject).from(origin) },
        2 => Event::new(at, Actor::Gateway, "credential.refused", subject)
            .refused(RefusalCode::UnknownKey)
            .from(origin)
            .with("reason", "unknown API key"),
        _ => Event {
            repeats: Some(Repeats { first: 1, count: 57, until: at + 60 }),
            ..Event::new(at, Actor::Key { account, id: "key_a".to_owned() }, "request.denied", subject)
        },
    }
}

/// The log of a gateway, as it is, and what is kept elsewhere of it.
fn log() -> &'static (Database, Vec<KnownTree>) {
    static LOG: LazyLock<(Database, Vec<KnownTree>)> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let given = Given::new();
            let directory = given.open().await;
            for number in 0..SIZE {
                directory.record(event(number)).await.unwrap();
            }
            drop(directory);
            let mut reader = DatabaseLocation::File(given.path.clone()).audit().await.unwrap();
            let mut database = Database::read(&mut *reader).await;
            database.checkpoints = CHECKPOINTS.map(|size| database.checkpoint(size, KEY)).into();
            let known = CHECKPOINTS.map(|size| database.known(size, KEY)).into();
            (database, known)
        })
    });
    &LOG
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Edited,
    Deleted,
    Swapped,
    Inserted,
    Cut,
}

const CHANGES: [Change; 5] = [Change::Edited, Change::Deleted, Change::Swapped, Change::Inserted, Change::Cut];

impl Change {
    /// The log with that record changed, and the columns with it.
    fn of(self, database: &Database, index: usize) -> Database {
        let mut changed = database.clone();
        let rows = &mut changed.rows;
        match self {
            Self::Edited => {
                let row = &mut rows[index];
                row.line = Some(row.line.take().unwrap().replace(&row.columns.subject, "nobody"));
                row.columns.subject = "nobody".to_owned();
            }
            Self::Deleted => drop(rows.remove(index)),
            Self::Swapped => {
                let (left, right) = rows.split_at_mut(index + 1);
                let (left, right) = (&mut left[index], &mut right[0]);
                std::mem::swap(&mut left.line, &mut right.line);
                std::mem::swap(&mut left.columns, &mut right.columns);
            }
            Self::Inserted => {
                let more = Self::Edited.of(database, index).rows.swap_remove(index);
                for row in &mut rows[index..] {
                    (row.id, row.index) = (row.id + 1, row.index + 1);
                }
                rows.insert(index, more);
            }
            Self::Cut => rows.truncate(index),
        }
        changed
    }
}

/// For each record, on all processors.
fn for_each(changes: &[Change], check: impl Fn(Change, usize) + Sync) {
    let threads = thread::available_parallelism().unwrap().get();
    thread::scope(|scope| {
        for first in 0..threads {
            let check = &check;
            scope.spawn(move || {
                for index in (first..SIZE).step_by(threads) {
                    for change in changes {
                        // The last record has none that follows.
                        if *change != Change::Swapped || index + 1 < SIZE {
                            check(*change, index);
                        }
                    }
                }
            });
        }
    });
}

fn origin() -> String {
    log().0.log.origin.clone()
}

#[test]
fn an_unchanged_log_is_good() {
    let (database, known) = log();
    for known in [&[][..], known] {
        let found = database.verify(known);
        assert_eq!((found.findings, found.logs[0].size), (Vec::new(), SIZE as u64));
        assert_eq!(found.logs[0].proven_until, known.last().map(|last| last.size));
    }
}

/// Of records that are changed together each is named, and no other.
#[test]
fn each_of_several_records_that_are_changed_is_named_by_its_index() {
    for first in 0..50 {
        for change in [Change::Edited, Change::Deleted, Change::Swapped] {
            let all: Vec<usize> = (first..SIZE - 1).step_by(50).collect();
            let mut changed = log().0.clone();
            // Those behind first: a record that is deleted moves the others in memory.
            for index in all.iter().rev() {
                changed = change.of(&changed, *index);
            }
            let named = |index: usize| {
                let (log, at) = (origin(), index as u64);
                match change {
                    Change::Deleted => vec![Finding::Missing { log, first: at, last: at }],
                    Change::Edited => vec![Finding::Changed { log, index: at }],
                    _ => [at, at + 1].map(|index| Finding::Changed { log: log.clone(), index }).into(),
                }
            };
            let expected: Vec<Finding> = all.into_iter().flat_map(named).collect();
            assert_eq!(changed.verify(&[]).findings, expected, "{change:?} {first}");
        }
    }
}

fn is_seventh(index: usize) -> bool {
    index.is_multiple_of(7) || index + 1 == SIZE
}

/// Checks what is found without a checkpoint from elsewhere.
fn named(change: Change, index: usize) {
    let found = change.of(&log().0, index).verify(&[]).findings;
    let (log, at) = (origin(), index as u64);
    let changed = |index| Finding::Changed { log: log.clone(), index };
    let cut = |size| {
        let tree = Finding::Tree { log: log.clone(), size, stored_size: SIZE as i64 };
        vec![tree, Finding::Cut { log: log.clone(), size, checkpoint: SIZE as u64 }]
    };
    let expected = match change {
        Change::Edited => vec![changed(at)],
        Change::Deleted if index + 1 == SIZE => cut(at),
        Change::Deleted => vec![Finding::Missing { log: log.clone(), first: at, last: at }],
        Change::Swapped => vec![changed(at), changed(at + 1)],
        Change::Inserted => {
            let end = SIZE as u64;
            let more = [
                Finding::Hashes { log: log.clone(), first: end, last: end },
                Finding::Tree { log: log.clone(), size: end + 1, stored_size: SIZE as i64 },
            ];
            (at..end).map(changed).chain(more).collect()
        }
        Change::Cut => cut(at),
    };
    assert_eq!(found, expected, "{change:?} {index}");
}

#[test]
fn a_record_that_is_changed_is_named_by_its_index() {
    for_each(&[Change::Cut], named);
    for_each(&CHANGES, |change, index| {
        if is_seventh(index) {
            named(change, index);
        }
    });
}

/// Checks what is found when an attacker changes a record, and computes all hashes anew.
fn recomputed(change: Change, index: usize, is_whole: bool) {
    let (database, known) = log();
    let mut changed = change.of(database, index);
    changed.recompute();
    changed.checkpoints.clear();
    if is_whole || is_seventh(index) {
        // As the book says.
        let Verification { findings, logs, .. } = changed.verify(&[]);
        assert_eq!((findings, logs[0].proven_until), (Vec::new(), None), "{change:?} {index}");
    }
    let Verification { findings, logs, .. } = changed.verify(known);
    let size = changed.rows.len();
    let fits = CHECKPOINTS.iter().copied().filter(|size| *size <= index).max();
    let next = CHECKPOINTS.iter().copied().find(|size| *size > index).unwrap();
    let expected = match next <= size {
        true => Finding::Rewritten { log: origin(), first: fits.unwrap_or(0) as u64, last: next as u64 - 1 },
        false => Finding::Cut { log: origin(), size: size as u64, checkpoint: SIZE as u64 },
    };
    assert!(findings.contains(&expected), "{change:?} {index}: {findings:?}");
    assert_eq!(logs[0].proven_until, fits.map(|size| size as u64), "{change:?} {index}");
    // All of them are gone from the database.
    let missing = |finding: &&Finding| matches!(finding, Finding::CheckpointMissing { .. });
    let gone = CHECKPOINTS.iter().filter(|checkpoint| **checkpoint < size).count();
    assert_eq!(findings.iter().filter(missing).count(), gone, "{change:?} {index}");
}

#[test]
fn hashes_that_were_computed_anew_are_found_with_a_checkpoint_from_elsewhere() {
    for_each(&[Change::Edited, Change::Cut], |change, index| recomputed(change, index, false));
    for_each(&[Change::Deleted, Change::Swapped, Change::Inserted], |change, index| {
        if is_seventh(index) {
            recomputed(change, index, false);
        }
    });
}

#[test]
#[ignore = "takes minutes; .ci/weekly runs it"]
fn each_change_of_each_record_is_found() {
    for_each(&CHANGES, |change, index| {
        named(change, index);
        recomputed(change, index, true);
    });
}

#[test]
fn checkpoints_that_were_left_in_the_database_show_what_was_changed() {
    let (database, _) = log();
    for index in [0, 1, 255, 299, 300, 699, 700, 998] {
        for change in CHANGES {
            let mut changed = change.of(database, index);
            changed.recompute();
            let (size, found) = (changed.rows.len() as u64, changed.verify(&[]).findings);
            let first = CHECKPOINTS.iter().copied().filter(|size| *size <= index).max().unwrap_or(0) as u64;
            let next = CHECKPOINTS.iter().copied().find(|size| *size > index).unwrap() as u64;
            let expected = match next <= size {
                true => Finding::Checkpoint { log: origin(), first, size: next },
                false => Finding::Cut { log: origin(), size, checkpoint: SIZE as u64 },
            };
            assert!(found.contains(&expected), "{change:?} {index}: {found:?}");
        }
    }
}

#[test]
fn stored_checkpoints_that_are_gone_or_replaced_are_found() {
    let (database, known) = log();
    let missing = |size: usize| Finding::CheckpointMissing { log: origin(), size: size as u64 };
    for (place, size) in CHECKPOINTS.into_iter().enumerate() {
        let mut changed = database.clone();
        changed.checkpoints.remove(place);
        assert_eq!(changed.verify(&[]).findings, []);
        // The last one names all records: the database may be a backup from before it was made.
        let expected = if size < SIZE { vec![missing(size)] } else { Vec::new() };
        assert_eq!(changed.verify(known).findings, expected);

        // Another key has signed the same tree.
        let mut changed = database.clone();
        changed.checkpoints[place] = database.checkpoint(size, OTHER_KEY);
        assert_eq!(changed.verify(&[]).findings, []);
        assert_eq!(changed.verify(known).findings, expected);

        // Of another tree, of another log, and none.
        let other = Change::Edited.of(database, 0);
        let mut elsewhere = database.clone();
        elsewhere.log.origin += "x";
        let found = |note: String| {
            let mut changed = database.clone();
            changed.checkpoints[place].note = note;
            changed.verify(&[]).findings
        };
        let first = CHECKPOINTS[..place].last().map_or(0, |size| *size as u64);
        let of = |first| vec![Finding::Checkpoint { log: origin(), first, size: size as u64 }];
        assert_eq!(found(other.checkpoint(size, KEY).note), of(first));
        assert_eq!(found(elsewhere.checkpoint(size, KEY).note), of(0));
        assert_eq!(found(database.checkpoint(size - 1, KEY).note), of(0));
        assert_eq!(found("nothing".to_owned()), of(0));
    }
    // A signature more is the same checkpoint.
    let mut known = known.clone();
    let other = database.checkpoint(CHECKPOINTS[0], OTHER_KEY).note;
    let (_, signature) = other.split_once("\n\n").unwrap();
    known[0].note.as_mut().unwrap().push_str(signature);
    assert_eq!(database.verify(&known).findings, []);
}

#[test]
fn a_backup_in_its_place_is_found_with_a_checkpoint_from_elsewhere() {
    let (database, known) = log();
    for size in [0, 1, 299, 300, 512, 999] {
        // With the hashes, the tree and the checkpoints of that time.
        let mut backup = Change::Cut.of(database, size);
        backup.recompute();
        backup.checkpoints.retain(|checkpoint| checkpoint.size <= size as i64);
        assert_eq!(backup.verify(&[]).findings, []);
        let cut = Finding::Cut { log: origin(), size: size as u64, checkpoint: SIZE as u64 };
        assert_eq!(backup.verify(known).findings, [cut], "{size}");
    }
}

#[test]
fn records_of_another_origin_are_found_with_a_checkpoint_from_elsewhere() {
    let (database, known) = log();
    // Another gateway's log, under the name of this one.
    let mut other = database.clone();
    for index in 0..SIZE {
        other = Change::Edited.of(&other, index);
    }
    other.recompute();
    other.checkpoints = CHECKPOINTS.map(|size| other.checkpoint(size, OTHER_KEY)).into();
    assert_eq!(other.verify(&[]).findings, []);
    let found = other.verify(known).findings;
    let all = Finding::Rewritten { log: origin(), first: 0, last: CHECKPOINTS[0] as u64 - 1 };
    assert!(found.contains(&all), "{found:?}");
    // Some of its records after those of this one.
    let mut mixed = database.clone();
    mixed.rows.truncate(500);
    mixed.rows.extend_from_slice(&other.rows[500..]);
    mixed.recompute();
    mixed.checkpoints.clear();
    assert_eq!(mixed.verify(&[]).findings, []);
    let found = mixed.verify(known).findings;
    assert!(found.contains(&Finding::Rewritten { log: origin(), first: 300, last: 699 }), "{found:?}");
    // Under its own name no checkpoint of this one is about it: the command refuses to compare them.
    other.log.origin += "x";
    assert_eq!(other.verify(known).logs[0].proven_until, None);
}
