//! Commands that take rights away while the database does not answer: at each gateway of the machine, through its socket.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::{key, status, upstream};
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::postgres::Postgres;
use crate::harness::{can_be_other_accounts, poll, tool};

/// The usual data folder of all programs.
const DATA: &str = "home/.local/share";

/// The folder of the sockets of the only database that gateways with this data folder use.
fn folder(data: &Path) -> PathBuf {
    let all = fs::read_dir(data.join("ollama-auth/gateway")).unwrap();
    let mut found = all.map(|entry| entry.unwrap().path()).filter(|path| path.to_str().unwrap().contains("/pg-"));
    let folder = found.next().unwrap();
    assert!(found.next().is_none());
    folder
}

/// What is in it.
fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What a gateway answers to a line. The path may be too long for a socket.
fn send(socket: &Path, line: &str) -> String {
    let folder = fs::File::open(socket.parent().unwrap()).unwrap();
    let name = socket.file_name().unwrap().to_str().unwrap();
    let mut stream = UnixStream::connect(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

/// Waits until every gateway there knows the account.
fn wait_for_user(folder: &Path, name: &str) {
    for socket in names(folder).iter().filter(|socket| socket.ends_with(".sock")) {
        poll("the account", || {
            send(&folder.join(socket), r#""list-users""#).contains(&format!("\"{name}\"")).then_some(())
        });
    }
}

#[track_caller]
fn says(text: &str, wanted: &[&str]) {
    for words in wanted {
        assert!(text.contains(words), "{words:?}: {text}");
    }
}

#[test]
fn without_the_database_commands_take_rights_away_at_all_gateways_of_the_machine() {
    let (upstream, server) = (upstream(), Postgres::start());
    let database = server.database();
    let one = Gateway::start_on(&database, &upstream.url(), &[]);
    let two = one.start_beside(&upstream.url());
    let elsewhere = Gateway::start_on(&database, &upstream.url(), &[]);
    one.add_user("ada", "admin").add_user("bob", "admin").add_user("carol", "admin");
    let [ada, bob, carol] = ["ada", "bob", "carol"].map(|name| one.device_added_to(name));
    let [(by_id, id), (kept, _), (bobs, _), (carols, _)] = [&ada, &ada, &bob, &carol].map(|device| key(&one, device));
    let by_name = one.key(&ada, &["nightly"]);
    let everywhere = [&one, &two, &elsewhere];
    for gateway in everywhere {
        for secret in [&by_id, &kept, &bobs, &carols, &by_name] {
            poll("the key", || (status(gateway, secret) == 200).then_some(()));
        }
    }
    let shown = bob.command(["device", "show", "--host", &one.url(), "--json"]).run().expect_code(0).json();
    let fingerprint = shown["fingerprint"].as_str().unwrap().to_owned();
    bob.command(["list", "--host", &one.url()]).run().expect_code(0);
    let statuses = |secret: &str| everywhere.map(|gateway| status(gateway, secret));

    server.end("INT");
    // The second time it is in effect already, and still not stored.
    for _ in 0..2 {
        let revoked = one.admin(&["key", "revoke", &id, "--yes"]).expect_code(7);
        let addresses = [one.address(), two.address()];
        let [first, second] = addresses.each_ref().map(String::as_str);
        let said =
            ["2 gateways of this machine refuse the API key", "not stored: cannot reach the database", first, second];
        says(revoked.stderr(), &said);
        assert!(
            !revoked.stderr().contains(&elsewhere.address()) && revoked.stdout().is_empty(),
            "{}",
            revoked.stderr()
        );
        assert_eq!(statuses(&by_id), [401, 401, 200]);
    }
    let revoked = two.admin(&["key", "revoke", "nightly", "--user", "ada", "--yes", "--json"]).expect_code(7);
    says(revoked.stderr(), &["nightly", "try-later"]);
    assert_eq!(statuses(&by_name), [401, 401, 200]);
    let disconnected = one.admin(&["device", "disconnect", &fingerprint, "--yes"]).expect_code(7);
    says(disconnected.stderr(), &["2 gateways of this machine refuse the device"]);
    bob.command(["list", "--host", &one.url()]).run().expect_code(4);
    for _ in 0..2 {
        let disabled = one.admin(&["user", "disable", "bob"]).expect_code(7);
        says(disabled.stderr(), &["2 gateways of this machine refuse the user \"bob\"", "not stored"]);
        assert_eq!(statuses(&bobs), [403, 403, 200]);
        one.admin(&["user", "remove", "carol", "--yes"]).expect_code(7);
        assert_eq!(statuses(&carols), [401, 401, 200]);
    }
    assert_eq!(statuses(&kept), [200; 3]);

    // What is refused, and what needs the database.
    says(one.admin(&["user", "disable", "ada"]).expect_code(1).stderr(), &["\"ada\" is the only active administrator"]);
    says(one.admin(&["user", "disable", "eve"]).expect_code(3).stderr(), &["there is no user \"eve\""]);
    for args in [&["key", "revoke", "nobody", "--yes"][..], &["user", "remove", "nobody", "--yes"]] {
        says(
            one.admin(args).expect_code(3).stderr(),
            &["only what the gateways of this machine accept was looked through"],
        );
    }
    for args in [&["key", "list"][..], &["user", "list"], &["device", "list"], &["audit"], &["user", "enable", "bob"]] {
        let refused = one.admin(args).expect_code(1);
        says(refused.stderr(), &["cannot reach the database", "check that the server runs"]);
        assert!(!refused.stderr().contains("gateway of this machine"), "{}", refused.stderr());
    }

    server.start_again();
    for (secret, refused) in [(&by_id, 401), (&by_name, 401), (&bobs, 403), (&carols, 401)] {
        poll("that it is stored", || (statuses(secret) == [refused; 3]).then_some(()));
    }
    // Two gateways had it, and one of them has recorded it.
    for gateway in [&one, &two] {
        gateway.child().wait_stderr(|text| {
            text.matches("stored now").count() + text.matches("stored by another gateway").count() == 5
        });
    }
    let events = elsewhere.admin(&["audit", "--json", "--limit", "1000"]).expect_code(0).json();
    let count =
        |action: &str| events["events"].as_array().unwrap().iter().filter(|event| event["action"] == action).count();
    let counts = ["key.revoked", "device.disconnected", "user.disabled", "user.removed"].map(count);
    assert_eq!(counts, [2, 1, 1, 1], "{events}");
    assert_eq!(statuses(&kept), [200; 3]);
    // With the database everything is as before.
    one.admin(&["user", "enable", "bob"]).expect_code(0);
    poll("the account that is enabled again", || (statuses(&bobs) == [200; 3]).then_some(()));
}

#[test]
fn a_frozen_database_does_not_hold_up_a_revocation_by_a_command() {
    let (upstream, server) = (upstream(), Postgres::start());
    let database = server.database();
    let gateway = Gateway::start_on(&database, &upstream.url(), &[]);
    gateway.add_user("ada", "admin");
    let device = gateway.device_added_to("ada");
    let (secret, id) = key(&gateway, &device);
    server.freeze();
    let revoked = gateway.admin(&["key", "revoke", &id, "--yes"]).expect_code(7);
    says(revoked.stderr(), &["1 gateway of this machine refuses the API key", "not stored: cannot reach the database"]);
    assert_eq!(status(&gateway, &secret), 401);
    server.thaw();
    let other = Gateway::start_on(&database, &upstream.url(), &[]);
    poll("that the revocation is stored", || (status(&other, &secret) == 401).then_some(()));
}

#[test]
fn each_gateway_has_a_socket_of_its_own_and_those_of_killed_ones_do_no_harm() {
    let (upstream, server) = (upstream(), Postgres::start());
    let database = server.database();
    let mut one = Gateway::start_on(&database, &upstream.url(), &[]);
    let mut two = one.start_beside(&upstream.url());
    one.add_user("ada", "admin").add_user("bob", "member");
    let folder = folder(&one.sandbox().path(DATA));
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let sockets = names(&folder);
    assert_eq!(sockets.len(), 2);
    wait_for_user(&folder, "bob");
    for name in &sockets {
        let found = fs::symlink_metadata(folder.join(name)).unwrap();
        assert!(found.file_type().is_socket() && found.permissions().mode() & 0o777 == 0o600, "{name}");
        // What needs the database is not offered.
        for line in [
            r#"{"events":{"limit":1}}"#,
            r#"{"set-role":{"name":"bob","role":"admin"}}"#,
            r#"{"set-disabled":{"name":"bob","disabled":false}}"#,
            r#"{"list-keys":{"user":null,"revoked":true,"matching":null}}"#,
        ] {
            says(&send(&folder.join(name), line), &["only takes rights away"]);
        }
        says(&send(&folder.join(name), "{}"), &["does not understand"]);
    }
    two.end(Signal::KILL);
    assert_eq!(names(&folder).len(), 2, "a killed gateway leaves its socket");
    // Files that are no sockets are left alone.
    fs::write(folder.join("note.sock"), "precious").unwrap();
    symlink("/nowhere", folder.join("link.sock")).unwrap();

    server.end("INT");
    let disabled = one.admin(&["user", "disable", "bob"]).expect_code(7);
    says(disabled.stderr(), &["1 gateway of this machine refuses"]);
    assert!(!disabled.stderr().contains("may still be accepted"), "{}", disabled.stderr());
    server.start_again();
    two.restart();
    let mut left = names(&folder);
    left.retain(|name| !["note.sock", "link.sock"].contains(&name.as_str()));
    assert!(left.len() == 2 && left.iter().filter(|name| sockets.contains(name)).count() == 1, "{sockets:?} {left:?}");
    two.end(Signal::INT);
    one.end(Signal::INT);
    let mut left = names(&folder);
    left.sort();
    assert_eq!(left, ["link.sock", "note.sock"]);

    // Without a gateway there is nothing to ask.
    server.end("INT");
    let alone = one.admin(&["user", "disable", "bob"]).expect_code(1);
    says(alone.stderr(), &["cannot reach the database", "this account runs no gateway on this database here"]);
}

#[test]
fn a_gateway_starts_and_is_asked_although_the_path_of_its_socket_is_too_long() {
    let (upstream, server) = (upstream(), Postgres::start());
    let database = server.database();
    let mut sandbox = Sandbox::new();
    let data = sandbox.path("x".repeat(120));
    sandbox.set_env("XDG_DATA_HOME", &data);
    let gateway = Gateway::start_replica_in(sandbox, &database, &upstream.url(), "127.0.0.1:0", &[]);
    gateway.add_user("ada", "admin").add_user("bob", "member");
    wait_for_user(&folder(&data), "bob");
    server.end("INT");
    says(gateway.admin(&["user", "disable", "bob"]).expect_code(7).stderr(), &["1 gateway of this machine refuses"]);
}

#[test]
fn a_folder_of_sockets_that_others_control_is_not_used() {
    let (upstream, server) = (upstream(), Postgres::start());
    let database = server.database();
    let mut gateway = Gateway::start_on(&database, &upstream.url(), &[]);
    gateway.add_user("ada", "admin").add_user("bob", "member");
    let folder = folder(&gateway.sandbox().path(DATA));
    let elsewhere = gateway.sandbox().path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::set_permissions(&elsewhere, Permissions::from_mode(0o700)).unwrap();
    let plant: [(&str, &dyn Fn()); 2] = [
        ("it is a symbolic link", &|| symlink(&elsewhere, &folder).unwrap()),
        ("it is open to other accounts (mode 0777)", &|| {
            fs::create_dir(&folder).unwrap();
            fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        }),
    ];
    for (says_why, plant) in plant {
        gateway.end(Signal::INT);
        if fs::symlink_metadata(&folder).unwrap().is_symlink() {
            fs::remove_file(&folder).unwrap();
        } else {
            fs::remove_dir(&folder).unwrap();
        }
        plant();
        gateway.restart();
        gateway.child().wait_stderr(|text| text.contains("cannot create the admin socket") && text.contains(says_why));
        assert!(names(&folder).is_empty());
        server.end("INT");
        let refused = gateway.admin(&["user", "disable", "bob"]).expect_code(1);
        says(refused.stderr(), &["cannot reach the database", says_why]);
        server.start_again();
    }
}

#[test]
fn a_socket_of_another_account_is_told_nothing_and_another_account_is_told_nothing() {
    if !can_be_other_accounts() {
        return;
    }
    let (upstream, server) = (upstream(), Postgres::start());
    let database = server.database();
    let gateway = Gateway::start_on(&database, &upstream.url(), &[]);
    gateway.add_user("ada", "admin").add_user("bob", "member");
    let (sandbox, folder) = (gateway.sandbox(), folder(&gateway.sandbox().path(DATA)));
    wait_for_user(&folder, "bob");
    let open = sandbox.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(sandbox.root(), Permissions::from_mode(0o711)).unwrap();
    let script = "import os, socket\nos.setgid(65534)\nos.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\n\
                  s.bind('planted.sock')\ns.listen()\nprint('ready', flush=True)\n\
                  print('got', s.accept()[0].recv(9), flush=True)\n";
    // python3 may be a script that needs other tools.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let planted = sandbox.program(tool("python3"), ["-c", script]).env("PATH", path).current_dir(&open).spawn();
    planted.wait_stdout(|text| text.contains("ready"));
    fs::rename(open.join("planted.sock"), folder.join("planted.sock")).unwrap();

    server.end("INT");
    let disabled = gateway.admin(&["user", "disable", "bob"]).expect_code(7);
    says(disabled.stderr(), &["1 gateway of this machine refuses", "it belongs to another account (user id 65534)"]);
    // It got a connection, and nothing on it.
    let got = planted.finish();
    assert!(got.stdout().contains("got b''"), "{}", got.stdout());

    // Where another account can connect, it is refused.
    for path in folder.ancestors().take_while(|path| path.starts_with(sandbox.root())) {
        fs::set_permissions(path, Permissions::from_mode(0o711)).unwrap();
    }
    let name = names(&folder).into_iter().find(|name| name != "planted.sock").unwrap();
    fs::set_permissions(folder.join(&name), Permissions::from_mode(0o666)).unwrap();
    let ask_as = |account: &str| {
        let command = sandbox.program(tool("setpriv"), ["--clear-groups", "--reuid", account, "--regid", account]);
        let command =
            command.args([tool("curl")]).args(["--silent", "--http0.9", "--unix-socket", &name, "http://gateway/"]);
        command.current_dir(&folder).run().stdout().to_owned()
    };
    assert!(ask_as("0").contains("does not understand"));
    assert_eq!(ask_as("65534"), "");
}
