//! Requests performed on a real database, and through a real socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::gateway::{Clock, Config, Directory, EventFilter, Gateway, PasswordHash, Role, Secret, SqliteStore, Store};
use crate::identity::{DeviceKey, PublicKey};

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const NOW: i64 = 1000;

fn hash() -> PasswordHash {
    PasswordHash::kept("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g".into())
}

fn add(name: &str, role: Role) -> AdminRequest {
    AdminRequest::AddUser { name: name.into(), email: "a@b".into(), role, password: hash() }
}

fn approve(key: &PublicKey, user: &str) -> AdminRequest {
    let device = DeviceRef::Key { key: key.clone(), name: "lap\x1btop".into() };
    AdminRequest::Approve { device, user: user.into() }
}

async fn gateway(folder: &Path) -> (Arc<dyn Store>, Arc<Gateway>) {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.join("gateway.db")).await.unwrap());
    let directory = Directory::open(store.clone()).await.unwrap();
    let local = SocketAddr::from(([127, 0, 0, 1], 1));
    let gateway = Gateway::new(directory, Clock::new(|| NOW), Config::default(), local, &Secret::random().unwrap());
    (store, Arc::new(gateway))
}

async fn on(gateway: &Gateway, request: AdminRequest) -> Result<AdminReply, AdminError> {
    perform(&AdminContext::of(&gateway.administration, NOW), request).await
}

#[tokio::test]
async fn accounts_are_created_and_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, gateway) = gateway(folder.path()).await;
    on(&gateway, add("ann", Role::Admin)).await.unwrap();
    let AdminReply::User(bob) = on(&gateway, add("bob", Role::Member)).await.unwrap() else { panic!("no user") };
    assert_eq!(
        (bob.name.as_str(), bob.role.clone(), bob.created_at, bob.devices, bob.keys),
        ("bob", Role::Member, NOW, 0, 0)
    );
    assert_eq!(on(&gateway, add("bob", Role::Admin)).await, Err(AdminError::NameTaken("bob".into())));
    for name in ["", "Bob", "b b", "b/b", "bö", &"b".repeat(65)] {
        assert_eq!(on(&gateway, add(name, Role::Member)).await, Err(AdminError::BadName(name.into())));
    }
    let long = AdminRequest::AddUser { name: "c".into(), email: "x".repeat(255), role: Role::Member, password: hash() };
    assert_eq!(on(&gateway, long).await, Err(AdminError::BadEmail));
    let last = AdminError::LastAdmin("ann".into());
    let disable = |name: &str, disabled| AdminRequest::SetDisabled { name: name.into(), disabled };
    assert_eq!(on(&gateway, disable("ann", true)).await, Err(last.clone()));
    let role = |name: &str, role| AdminRequest::SetRole { name: name.into(), role };
    assert_eq!(on(&gateway, role("ann", Role::Member)).await, Err(last));
    assert_eq!(on(&gateway, role("eve", Role::Member)).await, Err(AdminError::NoUser("eve".into())));
    assert!(matches!(on(&gateway, disable("bob", true)).await, Ok(AdminReply::User(row)) if row.disabled));
    assert!(
        matches!(on(&gateway, role("bob", Role::Maintainer)).await, Ok(AdminReply::User(row)) if row.role == Role::Maintainer)
    );
    on(&gateway, AdminRequest::SetPassword { name: "bob".into(), password: hash() }).await.unwrap();
    assert!(gateway.directory.password(bob.id).await.unwrap().is_some());
    // What changes nothing leaves no event.
    on(&gateway, disable("bob", true)).await.unwrap();
    on(&gateway, role("bob", Role::Maintainer)).await.unwrap();
    let AdminReply::Users(users) = on(&gateway, AdminRequest::ListUsers).await.unwrap() else { panic!("no users") };
    assert_eq!(users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["ann", "bob"]);
    let AdminReply::Events(events) =
        on(&gateway, AdminRequest::Events { limit: 100, filter: EventFilter::default() }).await.unwrap()
    else {
        panic!("no events")
    };
    let actions: Vec<_> = events.iter().rev().map(|event| (event.action.as_str(), event.subject.as_str())).collect();
    let expected = [
        ("user.created", "ann"),
        ("user.created", "bob"),
        ("user.disabled", "bob"),
        ("user.role", "bob"),
        ("user.password", "bob"),
    ];
    assert_eq!(actions, expected);
    assert!(events.iter().all(|event| event.actor == "admin" && !format!("{event:?}").contains("argon2")));
}

#[tokio::test]
async fn only_a_pending_key_is_approved_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, gateway) = gateway(folder.path()).await;
    on(&gateway, add("ann", Role::Admin)).await.unwrap();
    on(&gateway, add("bob", Role::Member)).await.unwrap();
    let key = DeviceKey::generate().unwrap().public().clone();
    let stranger = Err(AdminError::NotPending(key.fingerprint()));
    assert_eq!(on(&gateway, approve(&key, "ann")).await, stranger);
    gateway.pending_devices.add(&key, HOME, NOW - 601);
    assert_eq!(on(&gateway, approve(&key, "ann")).await, stranger);
    gateway.pending_devices.add(&key, HOME, NOW);
    assert_eq!(on(&gateway, approve(&key, "eve")).await, Err(AdminError::NoUser("eve".into())));
    on(&gateway, AdminRequest::SetDisabled { name: "bob".into(), disabled: true }).await.unwrap();
    assert_eq!(on(&gateway, approve(&key, "bob")).await, Err(AdminError::Disabled("bob".into())));
    let offline = AdminContext::offline(&gateway.directory, NOW);
    assert_eq!(perform(&offline, approve(&key, "ann")).await, Err(AdminError::NotRunning));
    assert!(gateway.directory.device(&key).is_none());

    let approved = on(&gateway, approve(&key, "ann")).await.unwrap();
    let (user, device, fingerprint) = ("ann".into(), "lap\x1btop".into(), key.fingerprint());
    assert_eq!(approved, AdminReply::Approved { user, device, fingerprint });
    let known = gateway.directory.device(&key).unwrap();
    assert_eq!((known.user.name.as_str(), known.credential.created_at), ("ann", NOW));
    assert!(gateway.pending_devices.find(&key, NOW).is_none());
    assert_eq!(on(&gateway, approve(&key, "ann")).await, stranger);

    // By its fingerprint it has no name; a name is cut to what a list can show.
    let (second, third) = (DeviceKey::generate().unwrap(), DeviceKey::generate().unwrap());
    for key in [&second, &third] {
        gateway.pending_devices.add(key.public(), HOME, NOW);
    }
    let device = DeviceRef::Fingerprint(second.public().fingerprint());
    on(&gateway, AdminRequest::Approve { device, user: "ann".into() }).await.unwrap();
    assert_eq!(gateway.directory.device(second.public()).unwrap().credential.name, "device at 192.0.2.1");
    let device = DeviceRef::Key { key: third.public().clone(), name: "ö".repeat(5000) };
    on(&gateway, AdminRequest::Approve { device, user: "ann".into() }).await.unwrap();
    assert_eq!(gateway.directory.device(third.public()).unwrap().credential.name, "ö".repeat(128));
    // What a person has denied is not approved by the way.
    let denied = DeviceKey::generate().unwrap().public().clone();
    gateway.pending_devices.add(&denied, HOME, NOW);
    gateway.pending_devices.deny(&denied);
    assert_eq!(on(&gateway, approve(&denied, "ann")).await, Err(AdminError::NotPending(denied.fingerprint())));
}

#[cfg(unix)]
#[test]
fn errors_keep_their_names_on_the_socket() {
    let error = AdminError::NotPending("SHA256:x".to_owned());
    assert_eq!(serde_json::to_value(error).unwrap(), serde_json::json!({ "no-knock": "SHA256:x" }));
}

mod socket {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::*;
    use crate::gateway::admin::socket::socket_path;

    #[tokio::test]
    async fn a_running_gateway_answers_on_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("gateway.db");
        assert!(matches!(ask(&database, &AdminRequest::ListUsers).await, Err(AskError::NotRunning)));
        let (store, gateway) = gateway(folder.path()).await;
        let socket = AdminSocket::bind(&store).unwrap().unwrap();
        let path = socket.path.clone();
        let found = std::fs::symlink_metadata(&path).unwrap();
        assert!(found.file_type().is_socket() && found.permissions().mode() & 0o777 == 0o600);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with('.')), "{left:?}");
        let serving = tokio::spawn(serve(socket, gateway.administration.clone()));

        let added = ask(&database, &add("ann", Role::Admin)).await.unwrap();
        assert!(matches!(added, Ok(AdminReply::User(row)) if row.name == "ann" && row.created_at == NOW));
        assert!(gateway.directory.user_by_name("ann").is_some());
        let again = ask(&database, &add("ann", Role::Admin)).await.unwrap();
        assert_eq!(again, Err(AdminError::NameTaken("ann".into())));
        let key = DeviceKey::generate().unwrap().public().clone();
        gateway.pending_devices.add(&key, HOME, NOW);
        ask(&database, &approve(&key, "ann")).await.unwrap().unwrap();
        assert!(gateway.directory.device(&key).is_some());
        let events =
            ask(&database, &AdminRequest::Events { limit: 1, filter: EventFilter::default() }).await.unwrap().unwrap();
        assert!(matches!(events, AdminReply::Events(events) if events[0].action == "device.approved"));

        // Malformed requests get a reply and change nothing; silent callers do not block others.
        for line in ["\n", "{}\n", "{\"drop-tables\":{}}\n", "no newline", &"x".repeat(100_000)] {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            // The gateway may hang up on a line that is too long before it is sent.
            let _ = stream.write_all(line.as_bytes()).await;
            let _ = stream.shutdown().await;
            let mut reply = String::new();
            let _ = stream.read_to_string(&mut reply).await;
            assert!(reply.is_empty() || reply.contains("does not understand"), "{line:.20}: {reply}");
        }
        let _silent = silent_callers(&path).await;
        drop(UnixStream::connect(&path).await.unwrap());
        assert!(ask(&database, &AdminRequest::ListUsers).await.unwrap().is_ok());

        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
        assert!(!path.exists());
        assert!(matches!(ask(&database, &AdminRequest::ListUsers).await, Err(AskError::NotRunning)));
    }

    /// A gateway of a later version: its reply is understood by no command of today.
    #[tokio::test]
    async fn a_reply_of_another_version_is_reported_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("gateway.db");
        let listener = tokio::net::UnixListener::bind(socket_path(&database)).unwrap();
        let serving = tokio::spawn(async move {
            for reply in ["{\"Ok\":{\"quotas\":[]}}\n", "{\"Err\":{\"no-quota\":\"bob\"}}\n", "{\"Ok\":{\"users\":["] {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(reply.as_bytes()).await.unwrap();
                // What is left unread would make the system reset the connection.
                let _ = stream.read(&mut [0; 1024]).await;
            }
        });
        for _ in 0..2 {
            assert!(matches!(ask(&database, &AdminRequest::ListUsers).await, Err(AskError::NotUnderstood)));
        }
        let cut = ask(&database, &AdminRequest::ListUsers).await.unwrap_err().to_string();
        assert!(cut.contains("its reply is cut off"), "{cut}");
        serving.await.unwrap();
    }

    async fn silent_callers(path: &Path) -> Vec<UnixStream> {
        let mut silent = Vec::new();
        for _ in 0..5 {
            silent.push(UnixStream::connect(path).await.unwrap());
        }
        silent
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_another_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (store, gateway) = gateway(folder.path()).await;
        let path = socket_path(store.file().unwrap());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        assert!(matches!(ask(store.file().unwrap(), &AdminRequest::ListUsers).await, Err(AskError::NotRunning)));
        let socket = AdminSocket::bind(&store).unwrap().unwrap();
        let serving = tokio::spawn(serve(socket, gateway.administration.clone()));
        assert!(ask(store.file().unwrap(), &AdminRequest::ListUsers).await.unwrap().is_ok());
        serving.abort();
        let _ = serving.await;
        std::fs::write(&path, "precious").unwrap();
        let error = AdminSocket::bind(&store).err().unwrap();
        assert!(matches!(&error, AdminSocketError::InTheWay(_)) && error.hint().is_some(), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_path_too_long_for_a_socket_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(100));
        let (store, _gateway) = gateway(&long).await;
        let error = AdminSocket::bind(&store).err().unwrap();
        assert!(matches!(error, AdminSocketError::TooLong(_)), "{error}");
        assert!(error.to_string().contains("too long") && error.hint().unwrap().contains("--database"));
        assert!(matches!(ask(store.file().unwrap(), &AdminRequest::ListUsers).await, Err(AskError::NotRunning)));
    }
}

#[test]
fn debug_output_of_a_request_has_no_hash() {
    let request = add("ann", Role::Admin);
    assert!(!format!("{request:?}").contains("argon2"));
    let line = serde_json::to_string(&request).unwrap();
    assert!(serde_json::from_str::<AdminRequest>(&line).is_ok());
    for wrong in ["", "plain password", "$2b$12$abc", &format!("$argon2id${}", "x".repeat(600))] {
        let line = line.replace(hash().expose(), wrong);
        assert!(serde_json::from_str::<AdminRequest>(&line).is_err(), "{wrong}");
    }
}
