//! Every point of death, and every pair of them, in a world that keeps what a disk and a host would keep.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use secrecy::{ExposeSecret as _, SecretString};

use super::*;
use crate::rotation::Targets;
use crate::vault::StoreKind;

const GRACE: i64 = 100;

/// A key at the host.
#[derive(Clone, Debug)]
struct HostKey {
    ends_at: Option<i64>,
    revoked: bool,
    replaces: Option<String>,
    secret: String,
}

impl HostKey {
    fn is_live(&self, now: i64) -> bool {
        !self.revoked && self.ends_at.is_none_or(|end| now < end)
    }
}

/// What outlives a process.
#[derive(Clone, Debug, Default)]
struct Persistent {
    journal: Vec<Rotation>,
    vault: BTreeMap<String, String>,
    /// The secret that the profile uses, and the id on its record.
    profile: (String, String),
    /// What the program that uses the key has been given.
    deployed: String,
    host: BTreeMap<String, HostKey>,
    now: i64,
    made: u32,
}

/// What goes wrong, besides death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    VaultFull,
    JournalFull,
    /// The host's answer to the creation is lost, always.
    AnswerLost,
    RefusesNewKey,
    /// Accepts it until it is deployed.
    RevokedMeanwhile,
    DeployFails,
    CannotEnd,
    HostGone,
    /// Makes the key, whose answer is lost, and then wants to know nothing of the old key any more.
    LostThenRefused,
}

/// One process: dies at its `killed_at`-th effect, before or after it.
struct Process {
    persistent: Rc<RefCell<Persistent>>,
    effects: RefCell<u32>,
    killed_at: Option<(u32, bool)>,
    fault: Fault,
}

#[derive(Debug, PartialEq, Eq)]
struct Failure(&'static str);
const KILLED: Failure = Failure("killed");

impl Process {
    /// Does an effect, unless death comes before; death after it makes the process know nothing of it.
    fn effect<T>(&self, act: impl FnOnce(&mut Persistent) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut effects = self.effects.borrow_mut();
        *effects += 1;
        let dies = self.killed_at.filter(|(at, _)| *effects >= *at);
        if dies.is_some_and(|(at, after)| *effects > at || !after) {
            return Err(KILLED);
        }
        let done = act(&mut self.persistent.borrow_mut());
        assert_invariants(&self.persistent.borrow());
        if dies.is_some() { Err(KILLED) } else { done }
    }

    fn reach_host(&self) -> Result<(), Failure> {
        if self.fault == Fault::HostGone { Err(Failure("unreachable")) } else { Ok(()) }
    }
}

/// What must hold at every moment.
fn assert_invariants(persistent: &Persistent) {
    let accepted =
        |secret: &str| persistent.host.values().any(|key| key.secret == secret && key.is_live(persistent.now));
    assert!(accepted(&persistent.deployed), "what is deployed is refused: {persistent:#?}");
    assert!(accepted(&persistent.profile.0), "what the profile uses is refused: {persistent:#?}");
    for (id, key) in persistent.host.iter().filter(|(_, key)| key.is_live(persistent.now)) {
        let named = |rotation: &Rotation| {
            rotation.new.as_str() == id || rotation.old.as_ref().is_some_and(|old| old.as_str() == id)
        };
        let known = persistent.journal.iter().any(named)
            || persistent.profile.1 == *id
            || persistent.profile.0 == key.secret
            || persistent.deployed == key.secret
            || key.ends_at.is_some();
        assert!(known, "no record of {id}: {persistent:#?}");
        let replacements = persistent
            .host
            .values()
            .filter(|other| other.replaces.as_ref() == Some(id) && other.is_live(persistent.now));
        assert!(replacements.count() <= 1, "two replacements: {persistent:#?}");
    }
    let journal = format!("{:?}", persistent.journal);
    assert!(!persistent.host.values().any(|key| journal.contains(&key.secret)), "{journal}");
}

impl RotationBackend for Process {
    type Error = Failure;

    fn record(&self, rotation: &Rotation) -> Result<(), Failure> {
        if self.fault == Fault::JournalFull {
            return Err(Failure("disk full"));
        }
        self.effect(|persistent| {
            persistent.journal.retain(|known| known.new != rotation.new);
            persistent.journal.push(rotation.clone());
            Ok(())
        })
    }

    fn remove_from_journal(&self, rotation: &Rotation) -> Result<(), Failure> {
        self.effect(|persistent| {
            persistent.journal.retain(|known| known.new != rotation.new);
            Ok(())
        })
    }

    async fn load_new_key(&self, rotation: &Rotation) -> Result<Option<SecretString>, Failure> {
        self.effect(|persistent| Ok(persistent.vault.get(rotation.new.as_str()).map(|key| key.as_str().into())))
    }

    async fn store_new_key(&self, rotation: &Rotation, key: &SecretString) -> Result<(), Failure> {
        self.effect(|persistent| {
            if self.fault == Fault::VaultFull {
                return Err(Failure("disk full"));
            }
            persistent.vault.insert(rotation.new.to_string(), key.expose_secret().to_owned());
            Ok(())
        })
    }

    async fn delete_new_key(&self, rotation: &Rotation) -> Result<(), Failure> {
        self.effect(|persistent| {
            persistent.vault.remove(rotation.new.as_str());
            Ok(())
        })
    }

    async fn create_new_key(&self, rotation: &Rotation) -> Result<KeyRequest<Failure>, Failure> {
        self.effect(|persistent| {
            if let Err(error) = self.reach_host() {
                return Ok(KeyRequest::Refused(error));
            }
            let old = rotation.old.as_ref().unwrap().to_string();
            if persistent.host.contains_key(rotation.new.as_str()) {
                if self.fault == Fault::LostThenRefused {
                    return Ok(KeyRequest::Refused(Failure("not allowed")));
                }
                return Ok(KeyRequest::IdTaken);
            }
            let now = persistent.now;
            let other = persistent.host.iter().find(|(_, key)| key.replaces.as_ref() == Some(&old) && key.is_live(now));
            if let Some((other, _)) = other {
                return Ok(KeyRequest::AlreadyReplaced(other.parse().unwrap()));
            }
            persistent.made += 1;
            let secret = format!("secret-{}", persistent.made);
            let key = HostKey { ends_at: None, revoked: false, replaces: Some(old), secret: secret.clone() };
            persistent.host.insert(rotation.new.to_string(), key);
            if matches!(self.fault, Fault::AnswerLost | Fault::LostThenRefused) {
                return Err(Failure("the connection ended"));
            }
            Ok(KeyRequest::Created(secret.into()))
        })
    }

    async fn verify_new_key(&self, _: &Rotation, key: &SecretString) -> Result<KeyVerification, Failure> {
        self.effect(|persistent| {
            self.reach_host()?;
            let deployed = persistent.deployed == key.expose_secret();
            let known =
                persistent.host.values().any(|held| held.secret == key.expose_secret() && held.is_live(persistent.now));
            let refuses = match self.fault {
                Fault::RefusesNewKey => true,
                Fault::RevokedMeanwhile => deployed || !known,
                _ => !known,
            };
            Ok(if refuses { KeyVerification::Refused("no".into()) } else { KeyVerification::Accepted })
        })
    }

    async fn deploy_new_key(&self, _: &Rotation, key: &SecretString) -> Result<(), Failure> {
        self.effect(|persistent| {
            if self.fault == Fault::DeployFails {
                return Err(Failure("exit code 1"));
            }
            persistent.deployed = key.expose_secret().to_owned();
            Ok(())
        })
    }

    async fn redeploy_old_key(&self, _: &Rotation) -> Result<bool, Failure> {
        self.effect(|persistent| {
            persistent.deployed.clone_from(&persistent.profile.0);
            Ok(true)
        })
    }

    async fn activate_new_key(&self, rotation: &Rotation, key: Option<&SecretString>) -> Result<bool, Failure> {
        let current = self.persistent.borrow().profile.1.clone();
        let Some(key) = key else {
            return if current == rotation.new.as_str() { Ok(true) } else { Err(Failure("lost")) };
        };
        let old = rotation.old.as_ref().unwrap().as_str();
        if current != old && current != rotation.new.as_str() {
            return Ok(false);
        }
        // The store first, then the record of it: two writes.
        self.effect(|persistent| {
            persistent.profile.0 = key.expose_secret().to_owned();
            Ok(())
        })?;
        self.effect(|persistent| {
            persistent.profile.1 = rotation.new.to_string();
            Ok(true)
        })
    }

    async fn expire_old_key(&self, rotation: &Rotation) -> Result<OldKeyState, Failure> {
        self.effect(|persistent| {
            self.reach_host()?;
            if self.fault == Fault::CannotEnd {
                return Err(Failure("no"));
            }
            let now = persistent.now;
            let old = persistent.host.get_mut(rotation.old.as_ref().unwrap().as_str()).unwrap();
            let end = old.ends_at.map_or(now + GRACE, |end| end.min(now + GRACE));
            old.ends_at = Some(end);
            Ok(OldKeyState::ExpiresAt(end))
        })
    }

    async fn check_old_key(&self, rotation: &Rotation) -> Result<OldKeyState, Failure> {
        self.effect(|persistent| {
            self.reach_host()?;
            let old = &persistent.host[rotation.old.as_ref().unwrap().as_str()];
            Ok(if old.is_live(persistent.now) {
                OldKeyState::ExpiresAt(old.ends_at.unwrap())
            } else {
                OldKeyState::Gone
            })
        })
    }

    async fn revoke_new(&self, rotation: &Rotation) -> Result<(), Failure> {
        self.effect(|persistent| {
            self.reach_host()?;
            if let Some(key) = persistent.host.get_mut(rotation.new.as_str()) {
                key.revoked = true;
            }
            Ok(())
        })
    }
}

fn initial_state() -> Rc<RefCell<Persistent>> {
    let old = HostKey { ends_at: None, revoked: false, replaces: None, secret: "secret-0".into() };
    let persistent = Persistent {
        profile: ("secret-0".into(), "key_00000000".into()),
        deployed: "secret-0".into(),
        host: [("key_00000000".to_owned(), old)].into(),
        ..Persistent::default()
    };
    Rc::new(RefCell::new(persistent))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

type RunResult = Result<RotationOutcome, RotationError<Failure>>;

/// One run of the program: resumes the rotation in the journal, else replaces the first key if the profile has it still.
fn run(persistent: &Rc<RefCell<Persistent>>, killed_at: Option<(u32, bool)>, fault: Fault, deploys: bool) -> RunResult {
    let process = Process { persistent: persistent.clone(), effects: RefCell::new(0), killed_at, fault };
    let mut last = RotationOutcome::Done;
    let under_way = persistent.borrow().journal.clone();
    for rotation in under_way {
        last = block_on(resume(&process, rotation))?;
    }
    let current = persistent.borrow().profile.1.clone();
    if current != "key_00000000" {
        return Ok(last);
    }
    let number =
        persistent.borrow().journal.len() + persistent.borrow().host.len() + 10 * persistent.borrow().made as usize;
    let rotation = Rotation {
        profile: "p".into(),
        origin: "https://h.example".parse().unwrap(),
        old: Some(current.parse().unwrap()),
        new: format!("key_1000{number:04}{}", killed_at.map_or(0, |(at, _)| at)).parse().unwrap(),
        kept: true,
        store: StoreKind::Plaintext,
        targets: Targets { command: deploys, ..Targets::default() },
        step: Step::Asked,
        began_at: 0,
        old_ends_at: None,
    };
    block_on(super::begin(&process, rotation))
}

/// After it nothing may be left over.
fn finish(persistent: &Rc<RefCell<Persistent>>, deploys: bool) {
    for _ in 0..4 {
        run(persistent, None, Fault::None, deploys).unwrap();
        persistent.borrow_mut().now += GRACE + 1;
    }
    let persistent = persistent.borrow();
    assert_invariants(&persistent);
    assert!(persistent.journal.is_empty() && persistent.vault.is_empty(), "{persistent:#?}");
    let live: Vec<_> = persistent.host.iter().filter(|(_, key)| key.is_live(persistent.now)).collect();
    assert_eq!(live.len(), 1, "{persistent:#?}");
    assert_eq!(*live[0].0, persistent.profile.1);
    assert_eq!(live[0].1.secret, persistent.profile.0);
    if deploys {
        assert_eq!(persistent.deployed, persistent.profile.0);
    }
}

#[test]
fn undisturbed_it_replaces_the_key_once() {
    let persistent = initial_state();
    // Deployed elsewhere: a target that this run does not deploy to keeps the old key, which expires.
    assert_eq!(run(&persistent, None, Fault::None, true).unwrap(), RotationOutcome::OldKeyExpires(GRACE));
    assert_eq!(run(&persistent, None, Fault::None, true).unwrap(), RotationOutcome::OldKeyExpires(GRACE));
    finish(&persistent, true);
    assert_eq!(persistent.borrow().made, 1);
}

#[test]
fn death_at_every_effect_and_again_at_every_effect_of_the_next_run() {
    let ends = |after: bool, at: u32| Some((at, after));
    let mut points = 0;
    for first in 1..40 {
        for first_after in [false, true] {
            for second in 1..40 {
                for second_after in [false, true] {
                    let persistent = initial_state();
                    let once = run(&persistent, ends(first_after, first), Fault::None, true);
                    let twice = run(&persistent, ends(second_after, second), Fault::None, true);
                    finish(&persistent, true);
                    points += 1;
                    if once.is_ok() && twice.is_ok() {
                        break;
                    }
                }
            }
        }
    }
    assert!(points > 500, "{points} were tried: the run has become shorter than the test thinks");
}

#[test]
fn death_in_the_middle_of_every_kind_of_trouble() {
    for fault in [
        Fault::VaultFull,
        Fault::JournalFull,
        Fault::AnswerLost,
        Fault::RefusesNewKey,
        Fault::RevokedMeanwhile,
        Fault::DeployFails,
        Fault::CannotEnd,
        Fault::HostGone,
        Fault::LostThenRefused,
    ] {
        for at in 1..30 {
            for after in [false, true] {
                let persistent = initial_state();
                let _ = run(&persistent, Some((at, after)), fault, true);
                let _ = run(&persistent, None, fault, true);
                finish(&persistent, true);
                // And fault that begins after a death.
                let persistent = initial_state();
                let _ = run(&persistent, Some((at, after)), Fault::None, true);
                let _ = run(&persistent, None, fault, true);
                finish(&persistent, true);
            }
        }
    }
}

#[test]
fn each_trouble_has_its_name_and_the_old_key_stays() {
    let stopped = |fault| {
        let persistent = initial_state();
        let error = run(&persistent, None, fault, true).unwrap_err();
        let old = persistent.borrow().host["key_00000000"].clone();
        if fault != Fault::CannotEnd {
            assert!(!old.revoked && old.ends_at.is_none(), "{fault:?}");
            assert_eq!(persistent.borrow().profile.0, "secret-0", "{fault:?}");
            assert_eq!(persistent.borrow().deployed, "secret-0", "{fault:?}");
        }
        error
    };
    assert!(matches!(stopped(Fault::VaultFull), RotationError::NotStored { rollback: Ok(()), .. }));
    assert!(matches!(stopped(Fault::JournalFull), RotationError::Storage(Failure("disk full"))));
    assert!(matches!(stopped(Fault::HostGone), RotationError::NotCreated(Failure("unreachable"))));
    let refused = stopped(Fault::RefusesNewKey);
    assert!(matches!(refused, RotationError::NewKeyRefused { rollback: Ok(()), restored: None, .. }), "{refused:?}");
    let revoked = stopped(Fault::RevokedMeanwhile);
    assert!(
        matches!(revoked, RotationError::NewKeyRefused { rollback: Ok(()), restored: Some(Ok(true)), .. }),
        "{revoked:?}"
    );
    assert!(matches!(stopped(Fault::DeployFails), RotationError::NotDeployed(Failure("exit code 1"))));
    assert!(matches!(stopped(Fault::LostThenRefused), RotationError::NotCreated(Failure("not allowed"))));
    assert!(matches!(stopped(Fault::CannotEnd), RotationError::OldKeyNotExpired(Failure("no"))));
}

#[test]
fn a_lost_answer_is_no_second_key() {
    let persistent = initial_state();
    let taken_back = run(&persistent, None, Fault::AnswerLost, true).unwrap();
    assert_eq!(taken_back, RotationOutcome::RolledBack);
    let live = persistent.borrow().host.values().filter(|key| key.is_live(0)).count();
    assert_eq!((live, persistent.borrow().journal.len()), (1, 0));
}

#[test]
fn somebody_elses_replacement_is_left_alone() {
    let persistent = initial_state();
    let theirs =
        HostKey { ends_at: Some(1000), revoked: false, replaces: Some("key_00000000".into()), secret: "theirs".into() };
    persistent.borrow_mut().host.insert("key_99999999".into(), theirs);
    let error = run(&persistent, None, Fault::None, true).unwrap_err();
    assert!(matches!(error, RotationError::AlreadyReplaced(id) if id.as_str() == "key_99999999"));
    assert!(!persistent.borrow().host["key_99999999"].revoked);
    assert!(persistent.borrow().journal.is_empty());
}

/// The profile was given another key during the rotation: that one stays.
#[test]
fn a_key_that_somebody_put_there_meanwhile_stays() {
    for deploys in [false, true] {
        let persistent = initial_state();
        // Dies when the new key is to be taken into use.
        let mut at = 1;
        while persistent.borrow().journal.first().is_none_or(|rotation| rotation.step < Step::Deployed) {
            *persistent.borrow_mut() = initial_state().borrow().clone();
            run(&persistent, Some((at, true)), Fault::None, deploys).unwrap_err();
            at += 1;
        }
        let theirs = HostKey { ends_at: Some(1000), revoked: false, replaces: None, secret: "theirs".into() };
        persistent.borrow_mut().host.insert("key_77777777".into(), theirs);
        persistent.borrow_mut().profile = ("theirs".into(), "key_77777777".into());
        let outcome = run(&persistent, None, Fault::None, deploys).unwrap();
        let persistent = persistent.borrow();
        assert_eq!(persistent.profile.0, "theirs");
        assert!(persistent.vault.is_empty());
        let old = &persistent.host["key_00000000"];
        if deploys {
            // Those it was handed out to use it.
            assert_eq!((outcome, old.ends_at), (RotationOutcome::OldKeyExpires(GRACE), Some(GRACE)));
        } else {
            assert_eq!((outcome, old.ends_at), (RotationOutcome::RolledBack, None));
            assert!(persistent.journal.is_empty());
        }
    }
}
