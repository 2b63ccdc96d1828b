//! What every store has to do: after any changes the directory in memory is what a reload from the store gives.
//!
//! A change is implemented twice, in `memory` and in the store. To hold another store to this, implement [`Location`] for it, and call
//! [`every_change`] and [`random_changes`] in its tests.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::gateway::Role;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::store::Actor;
use crate::gateway::store::{
    Change, Event, Identity, Invitation, InvitationId, Maintenance, Retention, SealedToken, Suspendable, Suspension,
};
use crate::identity::DeviceKey;
use crate::keyspec::{AddressRules, ApiKey, RequestLimits, Rights};

/// Where a store keeps its data. It can be opened again once the store before is dropped.
pub trait Location {
    /// An empty one.
    fn new() -> Self;

    /// Opens it.
    fn open(&self) -> impl Future<Output = Arc<dyn Store>>;
}

pub(super) fn user(name: &str, role: Role) -> User {
    User {
        id: Uuid::new_v4(),
        name: name.into(),
        email: String::new(),
        role,
        disabled: false,
        created_at: 1,
        suspended: None,
        groups: Vec::new(),
        limits: Default::default(),
        addresses: Default::default(),
    }
}

pub(super) fn event() -> Event {
    Event { actor: Actor::Admin, action: "test.made", ..Event::default() }
}

/// All that is in memory, in a fixed order.
fn snapshot(directory: &Directory) -> String {
    let memory = directory.read();
    let mut lines: Vec<String> = memory.users.values().map(|user| format!("{user:?}")).collect();
    lines.extend(memory.devices.values().map(|device| format!("{device:?}")));
    lines.extend(memory.keys.values().map(|key| format!("{key:?} {:?}", key.hash.as_bytes())));
    lines.extend(memory.by_hash.iter().map(|(hash, id)| format!("{:?} {id}", hash.as_bytes())));
    lines.extend(memory.by_user.iter().map(|(user, places)| format!("{user} {places:?}")));
    lines.extend(memory.ended.iter().map(|(hash, ended)| format!("{:?} {ended:?}", hash.as_bytes())));
    lines.extend(memory.replacements.iter().map(|(old, new)| format!("{old} {new:?}")));
    lines.extend(memory.invitations.values().map(|invitation| format!("{invitation:?}")));
    lines.extend(memory.identities.values().map(|identity| format!("{identity:?}")));
    lines.extend(memory.identity_of.iter().map(|(user, identity)| format!("{user} {identity}")));
    lines.extend(memory.maintenance.iter().map(|maintenance| format!("{maintenance:?}")));
    lines.sort();
    lines.join("\n")
}

/// A few of each, so that changes meet.
struct Cast {
    users: Vec<User>,
    devices: Vec<PublicKey>,
    keys: Vec<KeyRecord>,
    invitations: Vec<Arc<Invitation>>,
}

impl Cast {
    fn new() -> Self {
        let users: Vec<User> = ["ann", "bob", "ann"].map(|name| user(name, Role::Admin)).into();
        let devices = (0..3).map(|_| DeviceKey::generate().unwrap().public().clone()).collect();
        let hash = ApiKey::generate().unwrap().hash();
        let mut keys: Vec<KeyRecord> = (0..3).map(|number| key(&users[number % 2])).collect();
        // The third has the key of the first, and the second replaces the first.
        (keys[0].hash, keys[2].hash) = (hash, hash);
        keys[1].replaces = Some(keys[0].id.clone());
        let mut invitations = [1, 2, 2].map(|hash| invitation(hash, &users[1], None));
        // Made by a person who may be no administrator.
        Arc::make_mut(&mut invitations[0]).maker = Some(users[0].id);
        Self { users, devices, keys, invitations: invitations.into() }
    }

    fn change(&self, kind: u8, which: usize, other: usize, at: i64) -> Change {
        let (user, key) = (&self.users[other], &self.keys[which]);
        match kind {
            0 => Change::AddUser(self.users[which].clone(), None),
            1 => Change::SetRole(user.id, Role::BUILT_IN[which].clone()),
            2 => Change::SetDisabled(user.id, which == 0),
            3 => Change::AddDevice(Device {
                key: self.devices[which].clone(),
                user: user.id,
                name: format!("device {other}"),
                created_at: at,
                last_used_at: None,
                suspended: None,
            }),
            4 => Change::RemoveDevice(self.devices[which].clone()),
            5 => Change::AddKey(Box::new(key.clone())),
            6 => Change::RevokeKey(key.id.clone(), at),
            11 => Change::ExpireKey(key.id.clone(), at),
            12 => Change::RemoveUser(user.id),
            13 => Change::SetSuspended(Suspendable::User(user.id), suspension(at)),
            14 => Change::SetSuspended(Suspendable::Device(self.devices[which].clone()), suspension(at)),
            15 => Change::SetSuspended(Suspendable::Key(key.id.clone()), suspension(at)),
            17 => Change::AddInvitation(self.invitations[which].clone()),
            18 => {
                let invited = User { created_at: at, ..self.users[other].clone() };
                Change::UseInvitation(
                    self.invitations[which].id.clone(),
                    invited,
                    PasswordHash::kept("$argon2id$".into()),
                )
            }
            19 => Change::RevokeInvitation(self.invitations[which].id.clone(), at),
            16 => Change::SetMaintenance(maintenance(at)),
            20 => Change::SetGroups(user.id, groups(at)),
            21 => Change::SetLimits(user.id, user_limits(at)),
            22 => Change::SetAddresses(user.id, rules(at)),
            23 => Change::AddIdentity(user.clone(), identity(user, which)),
            25 => Change::SetEmail(user.id, format!("e{at}@example.com")),
            24 => Change::NoteSignIn(identity(user, which).id, at, (at % 2 == 0).then(|| SealedToken(vec![1, 2]))),
            7 => Change::SetPassword(user.id, PasswordHash::kept("$argon2id$".into())),
            _ => Change::Note,
        }
    }
}

/// Some, or none.
fn rules(at: i64) -> AddressRules {
    let text = if at % 2 == 0 { r#"{"allow":["10.0.0.0/8","2001:db8::/32"]}"# } else { "{}" };
    let deny = if at % 3 == 0 { "10.9.0.0/16" } else { "" };
    AddressRules { deny: deny.parse().unwrap(), ..serde_json::from_str(text).unwrap() }
}

/// One with a reason or without, or none.
fn suspension(at: i64) -> Option<Arc<Suspension>> {
    let reason = (at % 3 == 0).then(|| format!("le\u{e4}ked {at}"));
    (at % 2 == 0).then(|| Suspension { since: at, reason }.into())
}

/// The account's at one of three providers.
fn identity(user: &User, which: usize) -> Arc<Identity> {
    Identity::new(&format!("https://{which}.example"), "s\u{e4}", user.id, user.created_at).into()
}

/// One with that hash, for that account, until second 50.
fn invitation(hash: u8, user: &User, name: Option<&str>) -> Arc<Invitation> {
    Arc::new(Invitation {
        id: InvitationId::generate().unwrap(),
        hash: [hash; 32],
        name: name.map(str::to_owned),
        email: "e\u{e4}".into(),
        role: user.role.clone(),
        maker: None,
        created_at: 1,
        expires_at: 50,
        used_at: None,
        used_by: None,
        revoked_at: None,
    })
}

/// One with an end or without, or none.
fn maintenance(at: i64) -> Option<Arc<Maintenance>> {
    let until = (at % 4 == 0).then_some(at + 100);
    (at % 2 == 0).then(|| Maintenance { message: "a \u{2713}".into(), refuses: at % 3 == 0, since: at, until }.into())
}

/// None, one or two.
fn groups(at: i64) -> Vec<PolicyName> {
    ["lab", "ml-2"].into_iter().take(usize::try_from(at % 3).unwrap()).map(|name| name.parse().unwrap()).collect()
}

fn user_limits(at: i64) -> RequestLimits {
    let pairs: &[&str] = if at % 2 == 0 { &[] } else { &["rpm=60", "size=1MiB"] };
    RequestLimits::of(&pairs.iter().map(|pair| pair.parse().unwrap()).collect::<Vec<_>>()).unwrap()
}

pub(super) fn key(user: &User) -> KeyRecord {
    let key = ApiKey::generate().unwrap();
    KeyRecord {
        id: KeyId::generate().unwrap(),
        user: user.id,
        name: "k".into(),
        environment: None,
        rights: Rights {
            scopes: "inference".parse().unwrap(),
            models: Default::default(),
            expires_at: None,
            limits: serde_json::from_str(r#"{"requests_per_minute":60,"burst":5,"streams":2}"#).unwrap(),
            addresses: "10.0.0.0/8, ::1".parse().unwrap(),
        },
        hash: key.hash(),
        hint: key.hint().to_owned(),
        replaceable: false,
        replaces: None,
        first: None,
        created_by: None,
        exchanged_for: None,
        created_at: 1,
        last_used_at: None,
        revoked_at: None,
        suspended: None,
    }
}

/// The name of a kind of change. Without a wildcard, so that a new kind is added to [`every_change`].
fn kind(change: &Change) -> &'static str {
    match change {
        Change::AddUser(..) => "AddUser",
        Change::SetPassword(..) => "SetPassword",
        Change::SetRole(..) => "SetRole",
        Change::SetEmail(..) => "SetEmail",
        Change::SetGroups(..) => "SetGroups",
        Change::SetLimits(..) => "SetLimits",
        Change::SetDisabled(..) => "SetDisabled",
        Change::SetAddresses(..) => "SetAddresses",
        Change::SetSuspended(..) => "SetSuspended",
        Change::RemoveUser(_) => "RemoveUser",
        Change::AddDevice(_) => "AddDevice",
        Change::RemoveDevice(_) => "RemoveDevice",
        Change::AddKey(_) => "AddKey",
        Change::RevokeKey(..) => "RevokeKey",
        Change::ExpireKey(..) => "ExpireKey",
        Change::AddInvitation(_) => "AddInvitation",
        Change::UseInvitation(..) => "UseInvitation",
        Change::RevokeInvitation(..) => "RevokeInvitation",
        Change::SetMaintenance(_) => "SetMaintenance",
        Change::AddIdentity(..) => "AddIdentity",
        Change::NoteSignIn(..) => "NoteSignIn",
        Change::Note => "Note",
    }
}
/// How many kinds there are.
const KINDS: usize = 22;

async fn directory(location: &impl Location) -> Directory {
    Directory::open(location.open().await).await.unwrap()
}

async fn password(directory: &Directory, user: Uuid) -> Option<String> {
    directory.password(user).await.unwrap().map(|hash| hash.expose().to_owned())
}

/// Each kind of change, with its edge cases: memory and store agree after every single one.
pub async fn every_change<L: Location>() {
    let (location, cast) = (L::new(), Cast::new());
    let (ann, bob) = (&cast.users[0], &cast.users[1]);
    let [old, new] = [&cast.keys[0], &cast.keys[1]];
    let device = |user: &User, name: &str, created_at| {
        let (key, name) = (cast.devices[0].clone(), name.to_owned());
        Change::AddDevice(Device { key, user: user.id, name, created_at, last_used_at: None, suspended: None })
    };
    let hash = |text: &str| PasswordHash::kept(text.into());
    let of_ann = key(ann);
    let member = user("", Role::Member);
    let (invited, open) = (invitation(7, &member, Some("eve")), invitation(8, &member, None));
    let open = Arc::new(Invitation { maker: Some(ann.id), ..(*open).clone() });
    let (dora, dirk) = (user("dora", Role::Member), user("dirk", Role::Member));
    let of_device = || Suspendable::Device(cast.devices[0].clone());
    let changes = [
        Change::AddUser(ann.clone(), Some(hash("first"))),
        Change::AddUser(bob.clone(), None),
        Change::SetPassword(ann.id, hash("second")),
        Change::SetPassword(bob.id, hash("third")),
        Change::SetRole(bob.id, Role::Maintainer),
        Change::SetEmail(bob.id, "b\u{e4}b@example.com".to_owned()),
        Change::SetGroups(ann.id, groups(2)),
        Change::SetGroups(bob.id, groups(1)),
        Change::SetGroups(bob.id, groups(0)),
        Change::SetLimits(ann.id, user_limits(1)),
        Change::SetLimits(bob.id, user_limits(1)),
        Change::SetLimits(bob.id, user_limits(0)),
        Change::SetDisabled(bob.id, true),
        Change::SetDisabled(bob.id, false),
        Change::SetAddresses(ann.id, rules(4)),
        Change::SetAddresses(bob.id, rules(6)),
        Change::SetAddresses(ann.id, rules(1)),
        device(ann, "lap\u{202e}top", 5),
        Change::SetSuspended(of_device(), suspension(6)),
        // It changes hands, and stays suspended.
        device(bob, "", 6),
        Change::SetSuspended(of_device(), None),
        Change::RemoveDevice(cast.devices[0].clone()),
        device(ann, "again", 7),
        Change::AddKey(Box::new(KeyRecord { replaceable: true, environment: Some("ci".into()), ..old.clone() })),
        Change::AddKey(Box::new(KeyRecord { user: ann.id, ..new.clone() })),
        Change::SetSuspended(Suspendable::User(bob.id), suspension(4)),
        // The first holds.
        Change::SetSuspended(Suspendable::User(bob.id), suspension(6)),
        Change::SetSuspended(Suspendable::Key(old.id.clone()), suspension(6)),
        Change::ExpireKey(old.id.clone(), 50),
        // The earlier end holds.
        Change::ExpireKey(old.id.clone(), 90),
        Change::RevokeKey(new.id.clone(), 20),
        // The first revocation holds.
        Change::RevokeKey(new.id.clone(), 30),
        Change::Note,
        Change::AddInvitation(invited.clone()),
        Change::UseInvitation(invited.id.clone(), User { created_at: 9, ..user("eve", Role::Member) }, hash("fourth")),
        Change::AddInvitation(open.clone()),
        Change::RevokeInvitation(open.id.clone(), 11),
        // The first revocation holds.
        Change::RevokeInvitation(open.id.clone(), 12),
        Change::SetMaintenance(maintenance(6)),
        Change::SetMaintenance(maintenance(8)),
        Change::SetMaintenance(None),
        Change::SetMaintenance(maintenance(12)),
        Change::AddIdentity(dora.clone(), identity(&dora, 0)),
        Change::NoteSignIn(identity(&dora, 0).id, 60, Some(SealedToken(vec![1; 40]))),
        Change::NoteSignIn(identity(&dora, 0).id, 70, None),
        Change::AddIdentity(dirk.clone(), identity(&dirk, 1)),
        Change::RemoveUser(dora.id),
        // With a device and a key, and one that replaces a key of another account.
        device(bob, "of bob", 8),
        Change::AddKey(Box::new(KeyRecord { user: bob.id, ..key(bob) })),
        Change::AddKey(Box::new(of_ann.clone())),
        Change::AddKey(Box::new(KeyRecord { replaces: Some(of_ann.id.clone()), ..key(bob) })),
        Change::RemoveUser(bob.id),
    ];
    let kinds: BTreeSet<_> = changes.iter().map(kind).collect();
    assert_eq!(kinds.len(), KINDS, "{kinds:?}");
    let mut recorded = 0;
    for change in changes {
        let name = kind(&change);
        let before = directory(&location).await;
        let (was, shows) = (snapshot(&before), !matches!(change, Change::SetPassword(..) | Change::Note));
        before.commit(change, event()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = (snapshot(&before), password(&before, ann.id).await, password(&before, bob.id).await);
        // What changes nothing is not recorded.
        recorded += usize::from(!shows || expected.0 != was);
        drop(before);
        let after = directory(&location).await;
        let found = (snapshot(&after), password(&after, ann.id).await, password(&after, bob.id).await);
        assert_eq!(found, expected, "{name}");
        assert_eq!(after.events(1000, EventFilter::default()).await.unwrap().len(), recorded, "{name}");
    }
    let end = directory(&location).await;
    assert_eq!(password(&end, ann.id).await.as_deref(), Some("second"));
    assert!(end.user(bob.id).is_none() && end.devices_of(bob.id).is_empty() && end.count_keys(bob.id) == 0);
    assert_eq!((password(&end, bob.id).await, end.replacements_of(&of_ann.id).len()), (None, 0));
    let times = async |id: &KeyId| {
        let key = end.key_by_id(id).await.unwrap();
        key.map(|key| (key.rights.expires_at, key.revoked_at, key.replaceable))
    };
    assert_eq!(
        (times(&old.id).await, times(&new.id).await),
        (Some((Some(50), None, false)), Some((None, Some(20), false)))
    );
}

/// Any sequence of changes and uses, refused ones among them.
pub fn random_changes<L: Location>() {
    let steps = proptest::collection::vec((0..26_u8, 0..3_usize, 0..2_usize, 0..100_i64), 1..60);
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let all = runner.run(&steps, |steps| {
        runtime.block_on(changes_in_order::<L>(steps));
        Ok(())
    });
    all.unwrap_or_else(|error| panic!("{error}"));
}

async fn changes_in_order<L: Location>(steps: Vec<(u8, usize, usize, i64)>) {
    let (location, cast) = (L::new(), Cast::new());
    let before = directory(&location).await;
    before.commit(Change::AddUser(cast.users[0].clone(), None), event()).await.unwrap();
    let mut made = 1;
    for (kind, which, other, at) in steps {
        match kind {
            9 => before.used(Use::Device(cast.devices[which].clone()), at),
            10 => before.used(Use::Key(cast.keys[which].id.clone()), at),
            _ => {
                let unchanged = snapshot(&before);
                let count = async || before.events(1000, EventFilter::default()).await.unwrap().len();
                match before.commit(cast.change(kind, which, other, at), event()).await {
                    Ok(()) if count().await == made => assert_eq!(snapshot(&before), unchanged, "not recorded"),
                    Ok(()) => made += 1,
                    Err(error) => {
                        // Every refusal is foreseen, none is left to the store.
                        let foreseen = !matches!(
                            error,
                            DirectoryError::Store(StoreError::Write { .. } | StoreError::Missing { .. })
                        );
                        assert!(foreseen && snapshot(&before) == unchanged, "{error}");
                    }
                }
            }
        }
        if at % 2 == 0 {
            before.flush().await.unwrap();
        }
        if at % 3 == 0 {
            before.sweep(at, 60, Retention::default()).await.unwrap();
        }
    }
    before.flush().await.unwrap();
    let (expected, events) = (snapshot(&before), before.events(1000, EventFilter::default()).await.unwrap().len());
    assert_eq!(events, made);
    let users = before.users();
    let had_admin = users.iter().any(|user| user.role == Role::Admin);
    assert!(!had_admin || users.iter().any(|user| user.role == Role::Admin && user.is_active()));
    drop(before);
    assert_eq!(snapshot(&directory(&location).await), expected);
}
