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
struct Lasting {
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
enum Trouble {
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

/// One process: dies at its `dies_at`-th effect, before or after it.
struct Process {
    lasting: Rc<RefCell<Lasting>>,
    effects: RefCell<u32>,
    dies_at: Option<(u32, bool)>,
    trouble: Trouble,
}

#[derive(Debug, PartialEq, Eq)]
struct Failure(&'static str);
const DEAD: Failure = Failure("dead");

impl Process {
    /// Does an effect, unless death comes before; death after it makes the process know nothing of it.
    fn effect<T>(&self, act: impl FnOnce(&mut Lasting) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut effects = self.effects.borrow_mut();
        *effects += 1;
        let dies = self.dies_at.filter(|(at, _)| *effects >= *at);
        if dies.is_some_and(|(at, after)| *effects > at || !after) {
            return Err(DEAD);
        }
        let done = act(&mut self.lasting.borrow_mut());
        check(&self.lasting.borrow());
        if dies.is_some() { Err(DEAD) } else { done }
    }

    fn reach_host(&self) -> Result<(), Failure> {
        if self.trouble == Trouble::HostGone { Err(Failure("unreachable")) } else { Ok(()) }
    }
}

/// What must hold at every moment.
fn check(lasting: &Lasting) {
    let accepted = |secret: &str| lasting.host.values().any(|key| key.secret == secret && key.is_live(lasting.now));
    assert!(accepted(&lasting.deployed), "what is deployed is refused: {lasting:#?}");
    assert!(accepted(&lasting.profile.0), "what the profile uses is refused: {lasting:#?}");
    for (id, key) in lasting.host.iter().filter(|(_, key)| key.is_live(lasting.now)) {
        let named = |rotation: &Rotation| {
            rotation.new.as_str() == id || rotation.old.as_ref().is_some_and(|old| old.as_str() == id)
        };
        let known = lasting.journal.iter().any(named)
            || lasting.profile.1 == *id
            || lasting.profile.0 == key.secret
            || lasting.deployed == key.secret
            || key.ends_at.is_some();
        assert!(known, "nobody knows of {id}: {lasting:#?}");
        let replacements =
            lasting.host.values().filter(|other| other.replaces.as_ref() == Some(id) && other.is_live(lasting.now));
        assert!(replacements.count() <= 1, "two replacements: {lasting:#?}");
    }
    let journal = format!("{:?}", lasting.journal);
    assert!(!lasting.host.values().any(|key| journal.contains(&key.secret)), "{journal}");
}

impl RotationBackend for Process {
    type Error = Failure;

    fn record(&self, rotation: &Rotation) -> Result<(), Failure> {
        if self.trouble == Trouble::JournalFull {
            return Err(Failure("disk full"));
        }
        self.effect(|lasting| {
            lasting.journal.retain(|known| known.new != rotation.new);
            lasting.journal.push(rotation.clone());
            Ok(())
        })
    }

    fn strike_out(&self, rotation: &Rotation) -> Result<(), Failure> {
        self.effect(|lasting| {
            lasting.journal.retain(|known| known.new != rotation.new);
            Ok(())
        })
    }

    async fn held(&self, rotation: &Rotation) -> Result<Option<SecretString>, Failure> {
        self.effect(|lasting| Ok(lasting.vault.get(rotation.new.as_str()).map(|key| key.as_str().into())))
    }

    async fn hold(&self, rotation: &Rotation, key: &SecretString) -> Result<(), Failure> {
        self.effect(|lasting| {
            if self.trouble == Trouble::VaultFull {
                return Err(Failure("disk full"));
            }
            lasting.vault.insert(rotation.new.to_string(), key.expose_secret().to_owned());
            Ok(())
        })
    }

    async fn let_go(&self, rotation: &Rotation) -> Result<(), Failure> {
        self.effect(|lasting| {
            lasting.vault.remove(rotation.new.as_str());
            Ok(())
        })
    }

    async fn ask(&self, rotation: &Rotation) -> Result<Asked<Failure>, Failure> {
        self.effect(|lasting| {
            if let Err(error) = self.reach_host() {
                return Ok(Asked::Refused(error));
            }
            let old = rotation.old.as_ref().unwrap().to_string();
            if lasting.host.contains_key(rotation.new.as_str()) {
                if self.trouble == Trouble::LostThenRefused {
                    return Ok(Asked::Refused(Failure("not allowed")));
                }
                return Ok(Asked::Taken);
            }
            let now = lasting.now;
            let other = lasting.host.iter().find(|(_, key)| key.replaces.as_ref() == Some(&old) && key.is_live(now));
            if let Some((other, _)) = other {
                return Ok(Asked::Replaced(other.parse().unwrap()));
            }
            lasting.made += 1;
            let secret = format!("secret-{}", lasting.made);
            let key = HostKey { ends_at: None, revoked: false, replaces: Some(old), secret: secret.clone() };
            lasting.host.insert(rotation.new.to_string(), key);
            if matches!(self.trouble, Trouble::AnswerLost | Trouble::LostThenRefused) {
                return Err(Failure("the connection ended"));
            }
            Ok(Asked::Made(secret.into()))
        })
    }

    async fn verify(&self, _: &Rotation, key: &SecretString) -> Result<Verdict, Failure> {
        self.effect(|lasting| {
            self.reach_host()?;
            let deployed = lasting.deployed == key.expose_secret();
            let known =
                lasting.host.values().any(|held| held.secret == key.expose_secret() && held.is_live(lasting.now));
            let refuses = match self.trouble {
                Trouble::RefusesNewKey => true,
                Trouble::RevokedMeanwhile => deployed || !known,
                _ => !known,
            };
            Ok(if refuses { Verdict::Refused("no".into()) } else { Verdict::Accepted })
        })
    }

    async fn deploy(&self, _: &Rotation, key: &SecretString) -> Result<(), Failure> {
        self.effect(|lasting| {
            if self.trouble == Trouble::DeployFails {
                return Err(Failure("exit code 1"));
            }
            lasting.deployed = key.expose_secret().to_owned();
            Ok(())
        })
    }

    async fn restore(&self, _: &Rotation) -> Result<bool, Failure> {
        self.effect(|lasting| {
            lasting.deployed.clone_from(&lasting.profile.0);
            Ok(true)
        })
    }

    async fn take_into_use(&self, rotation: &Rotation, key: Option<&SecretString>) -> Result<bool, Failure> {
        let current = self.lasting.borrow().profile.1.clone();
        let Some(key) = key else {
            return if current == rotation.new.as_str() { Ok(true) } else { Err(Failure("lost")) };
        };
        let old = rotation.old.as_ref().unwrap().as_str();
        if current != old && current != rotation.new.as_str() {
            return Ok(false);
        }
        // The store first, then the record of it: two writes.
        self.effect(|lasting| {
            lasting.profile.0 = key.expose_secret().to_owned();
            Ok(())
        })?;
        self.effect(|lasting| {
            lasting.profile.1 = rotation.new.to_string();
            Ok(true)
        })
    }

    async fn end_old(&self, rotation: &Rotation) -> Result<OldKey, Failure> {
        self.effect(|lasting| {
            self.reach_host()?;
            if self.trouble == Trouble::CannotEnd {
                return Err(Failure("no"));
            }
            let now = lasting.now;
            let old = lasting.host.get_mut(rotation.old.as_ref().unwrap().as_str()).unwrap();
            let end = old.ends_at.map_or(now + GRACE, |end| end.min(now + GRACE));
            old.ends_at = Some(end);
            Ok(OldKey::EndsAt(end))
        })
    }

    async fn look_at_old(&self, rotation: &Rotation) -> Result<OldKey, Failure> {
        self.effect(|lasting| {
            self.reach_host()?;
            let old = &lasting.host[rotation.old.as_ref().unwrap().as_str()];
            Ok(if old.is_live(lasting.now) { OldKey::EndsAt(old.ends_at.unwrap()) } else { OldKey::Gone })
        })
    }

    async fn revoke_new(&self, rotation: &Rotation) -> Result<(), Failure> {
        self.effect(|lasting| {
            self.reach_host()?;
            if let Some(key) = lasting.host.get_mut(rotation.new.as_str()) {
                key.revoked = true;
            }
            Ok(())
        })
    }
}

fn at_first() -> Rc<RefCell<Lasting>> {
    let old = HostKey { ends_at: None, revoked: false, replaces: None, secret: "secret-0".into() };
    let lasting = Lasting {
        profile: ("secret-0".into(), "key_00000000".into()),
        deployed: "secret-0".into(),
        host: [("key_00000000".to_owned(), old)].into(),
        ..Lasting::default()
    };
    Rc::new(RefCell::new(lasting))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

type Ended = Result<Driven, Stopped<Failure>>;

/// One run of the program: goes on with what is in the journal, else replaces the first key if the profile has it still.
fn run(lasting: &Rc<RefCell<Lasting>>, dies_at: Option<(u32, bool)>, trouble: Trouble, deploys: bool) -> Ended {
    let process = Process { lasting: lasting.clone(), effects: RefCell::new(0), dies_at, trouble };
    let mut last = Driven::Over;
    let under_way = lasting.borrow().journal.clone();
    for rotation in under_way {
        last = block_on(resume(&process, rotation))?;
    }
    let current = lasting.borrow().profile.1.clone();
    if current != "key_00000000" {
        return Ok(last);
    }
    let number = lasting.borrow().journal.len() + lasting.borrow().host.len() + 10 * lasting.borrow().made as usize;
    let rotation = Rotation {
        profile: "p".into(),
        origin: "https://h.example".parse().unwrap(),
        old: Some(current.parse().unwrap()),
        new: format!("key_1000{number:04}{}", dies_at.map_or(0, |(at, _)| at)).parse().unwrap(),
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
fn finish(lasting: &Rc<RefCell<Lasting>>, deploys: bool) {
    for _ in 0..4 {
        run(lasting, None, Trouble::None, deploys).unwrap();
        lasting.borrow_mut().now += GRACE + 1;
    }
    let lasting = lasting.borrow();
    check(&lasting);
    assert!(lasting.journal.is_empty() && lasting.vault.is_empty(), "{lasting:#?}");
    let live: Vec<_> = lasting.host.iter().filter(|(_, key)| key.is_live(lasting.now)).collect();
    assert_eq!(live.len(), 1, "{lasting:#?}");
    assert_eq!(*live[0].0, lasting.profile.1);
    assert_eq!(live[0].1.secret, lasting.profile.0);
    if deploys {
        assert_eq!(lasting.deployed, lasting.profile.0);
    }
}

#[test]
fn undisturbed_it_replaces_the_key_once() {
    let lasting = at_first();
    // Deployed elsewhere: what nobody deploys here keeps the old key, which ends.
    assert_eq!(run(&lasting, None, Trouble::None, true).unwrap(), Driven::Ending(GRACE));
    assert_eq!(run(&lasting, None, Trouble::None, true).unwrap(), Driven::Ending(GRACE));
    finish(&lasting, true);
    assert_eq!(lasting.borrow().made, 1);
}

#[test]
fn death_at_every_effect_and_again_at_every_effect_of_the_next_run() {
    let ends = |after: bool, at: u32| Some((at, after));
    let mut points = 0;
    for first in 1..40 {
        for first_after in [false, true] {
            for second in 1..40 {
                for second_after in [false, true] {
                    let lasting = at_first();
                    let once = run(&lasting, ends(first_after, first), Trouble::None, true);
                    let twice = run(&lasting, ends(second_after, second), Trouble::None, true);
                    finish(&lasting, true);
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
    for trouble in [
        Trouble::VaultFull,
        Trouble::JournalFull,
        Trouble::AnswerLost,
        Trouble::RefusesNewKey,
        Trouble::RevokedMeanwhile,
        Trouble::DeployFails,
        Trouble::CannotEnd,
        Trouble::HostGone,
        Trouble::LostThenRefused,
    ] {
        for at in 1..30 {
            for after in [false, true] {
                let lasting = at_first();
                let _ = run(&lasting, Some((at, after)), trouble, true);
                let _ = run(&lasting, None, trouble, true);
                finish(&lasting, true);
                // And trouble that begins after a death.
                let lasting = at_first();
                let _ = run(&lasting, Some((at, after)), Trouble::None, true);
                let _ = run(&lasting, None, trouble, true);
                finish(&lasting, true);
            }
        }
    }
}

#[test]
fn each_trouble_has_its_name_and_the_old_key_stays() {
    let stopped = |trouble| {
        let lasting = at_first();
        let error = run(&lasting, None, trouble, true).unwrap_err();
        let old = lasting.borrow().host["key_00000000"].clone();
        if trouble != Trouble::CannotEnd {
            assert!(!old.revoked && old.ends_at.is_none(), "{trouble:?}");
            assert_eq!(lasting.borrow().profile.0, "secret-0", "{trouble:?}");
            assert_eq!(lasting.borrow().deployed, "secret-0", "{trouble:?}");
        }
        error
    };
    assert!(matches!(stopped(Trouble::VaultFull), Stopped::NotHeld { undone: Ok(()), .. }));
    assert!(matches!(stopped(Trouble::JournalFull), Stopped::Local(Failure("disk full"))));
    assert!(matches!(stopped(Trouble::HostGone), Stopped::NotMade(Failure("unreachable"))));
    let refused = stopped(Trouble::RefusesNewKey);
    assert!(matches!(refused, Stopped::NotVerified { undone: Ok(()), restored: None, .. }), "{refused:?}");
    let revoked = stopped(Trouble::RevokedMeanwhile);
    assert!(matches!(revoked, Stopped::NotVerified { undone: Ok(()), restored: Some(Ok(true)), .. }), "{revoked:?}");
    assert!(matches!(stopped(Trouble::DeployFails), Stopped::NotDeployed(Failure("exit code 1"))));
    assert!(matches!(stopped(Trouble::LostThenRefused), Stopped::NotMade(Failure("not allowed"))));
    assert!(matches!(stopped(Trouble::CannotEnd), Stopped::OldNotEnded(Failure("no"))));
}

#[test]
fn a_lost_answer_is_no_second_key() {
    let lasting = at_first();
    let taken_back = run(&lasting, None, Trouble::AnswerLost, true).unwrap();
    assert_eq!(taken_back, Driven::TakenBack);
    let live = lasting.borrow().host.values().filter(|key| key.is_live(0)).count();
    assert_eq!((live, lasting.borrow().journal.len()), (1, 0));
}

#[test]
fn somebody_elses_replacement_is_left_alone() {
    let lasting = at_first();
    let theirs =
        HostKey { ends_at: Some(1000), revoked: false, replaces: Some("key_00000000".into()), secret: "theirs".into() };
    lasting.borrow_mut().host.insert("key_99999999".into(), theirs);
    let error = run(&lasting, None, Trouble::None, true).unwrap_err();
    assert!(matches!(error, Stopped::Replaced(id) if id.as_str() == "key_99999999"));
    assert!(!lasting.borrow().host["key_99999999"].revoked);
    assert!(lasting.borrow().journal.is_empty());
}

/// The profile has been given another key while the rotation was under way: that one stays.
#[test]
fn a_key_that_somebody_put_there_meanwhile_stays() {
    for deploys in [false, true] {
        let lasting = at_first();
        // Dies when the new key is to be taken into use.
        let mut at = 1;
        while lasting.borrow().journal.first().is_none_or(|rotation| rotation.step < Step::Deployed) {
            *lasting.borrow_mut() = at_first().borrow().clone();
            run(&lasting, Some((at, true)), Trouble::None, deploys).unwrap_err();
            at += 1;
        }
        let theirs = HostKey { ends_at: Some(1000), revoked: false, replaces: None, secret: "theirs".into() };
        lasting.borrow_mut().host.insert("key_77777777".into(), theirs);
        lasting.borrow_mut().profile = ("theirs".into(), "key_77777777".into());
        let driven = run(&lasting, None, Trouble::None, deploys).unwrap();
        let lasting = lasting.borrow();
        assert_eq!(lasting.profile.0, "theirs");
        assert!(lasting.vault.is_empty());
        let old = &lasting.host["key_00000000"];
        if deploys {
            // Those it was handed out to use it.
            assert_eq!((driven, old.ends_at), (Driven::Ending(GRACE), Some(GRACE)));
        } else {
            assert_eq!((driven, old.ends_at), (Driven::TakenBack, None));
            assert!(lasting.journal.is_empty());
        }
    }
}
