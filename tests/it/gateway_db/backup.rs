//! Backups: of one moment while a gateway runs, never over something else, and whole once they have their name.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;

use super::{Keys, copy, events, status, upstream};
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::poll;
use crate::harness::postgres::Postgres;
use crate::harness::signature::TestDevice;

fn back_up(gateway: &Gateway, file: &Path) -> Output {
    gateway.admin(&["db", "backup", file.to_str().unwrap()])
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A gateway on each engine.
fn one_of_each(upstream: &str) -> [Gateway; 2] {
    [Gateway::start(upstream), Gateway::start_on(&Postgres::shared().database(), upstream, &[])]
}

#[test]
fn a_backup_is_of_one_moment_while_a_gateway_takes_changes() {
    let upstream = upstream();
    for gateway in one_of_each(&upstream.url()) {
        gateway.add_user("ada", "admin");
        let sandbox = Sandbox::new();
        let folder = sandbox.path("backups");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let added = std::sync::atomic::AtomicBool::new(false);
        let mut files = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..=12 {
                    let line = TestDevice::new(number).key().line;
                    gateway.admin(&["device", "add", &line, "--user", "ada", "--name", "x"]).expect_code(0);
                }
                added.store(true, std::sync::atomic::Ordering::SeqCst);
            });
            loop {
                let is_last = added.load(std::sync::atomic::Ordering::SeqCst);
                let file = folder.join(format!("{}.db", files.len()));
                back_up(&gateway, &file).expect_code(0);
                files.push(file);
                if is_last {
                    break;
                }
            }
        });
        assert!(names(&folder).len() == files.len() && files.len() > 1, "{:?}", names(&folder));
        let mut last = 0;
        for file in &files {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o7777, 0o600);
            let file = file.to_str().unwrap();
            let list = ["gateway", "device", "list", "--json", "--database", file];
            let devices = sandbox.command(list).run().expect_code(0).json()["devices"].as_array().unwrap().len();
            let events = events(file);
            let told = events["events"].as_array().unwrap().iter().filter(|it| it["subject"] != "ada").count();
            assert_eq!(devices, told, "{file}: {events}");
            assert!(devices >= last, "{file}");
            last = devices;
        }
        assert_eq!(last, 12);
    }
}

#[test]
fn a_backup_brings_back_what_there_was_also_on_the_other_engine() {
    let (upstream, server) = (upstream(), Postgres::shared());
    for mut gateway in one_of_each(&upstream.url()) {
        let keys = Keys::create(&gateway);
        let sandbox = Sandbox::new();
        let backup = sandbox.path("backup.db");
        back_up(&gateway, &backup).expect_code(0);
        gateway.admin(&["key", "revoke", &keys.id, "--yes"]).expect_code(0);
        poll("the end of the key", || (status(&gateway, &keys.kept) == 401).then_some(()));
        gateway.end(Signal::TERM).expect_code(0);

        let before = fs::read(&backup).unwrap();
        let file = sandbox.path("restored/gateway.db").to_str().unwrap().to_owned();
        for restored in [file, server.database()] {
            copy(&sandbox, backup.to_str().unwrap(), &restored, &[]).expect_code(0);
            assert!(fs::read(&backup).unwrap() == before);
            // What was revoked since is valid again.
            keys.work(&Gateway::start_on(&restored, &upstream.url(), &[]));
        }
        // The file itself is a database, too.
        keys.work(&Gateway::start_on(backup.to_str().unwrap(), &upstream.url(), &[]));
    }
}

#[test]
fn a_backup_replaces_nothing() {
    let upstream = upstream();
    for gateway in one_of_each(&upstream.url()) {
        gateway.add_user("ada", "admin");
        let sandbox = Sandbox::new();
        let folder = sandbox.path("backups");
        let there = sandbox.write("backups/there.db", "precious");
        std::os::unix::fs::symlink("nowhere", folder.join("link.db")).unwrap();
        for name in ["there.db", "link.db"] {
            let refused = back_up(&gateway, &folder.join(name)).expect_code(1);
            assert!(refused.stderr().contains("already exists"), "{}", refused.stderr());
        }
        assert_eq!(fs::read(&there).unwrap(), b"precious");
        let refused = back_up(&gateway, &folder.join("none/backup.db")).expect_code(1);
        assert!(refused.stderr().contains("No such file or directory"), "{}", refused.stderr());
        let open = sandbox.path("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let refused = back_up(&gateway, &open.join("backup.db")).expect_code(1);
        assert!(refused.stderr().contains("other accounts can replace files"), "{}", refused.stderr());
        assert_eq!((names(&folder), names(&open)), (["link.db", "there.db"].map(str::to_owned).into(), Vec::new()));

        // Of two at once one gets the name.
        let file = folder.join("backup.db");
        let mut codes = std::thread::scope(|scope| {
            [(); 2].map(|()| scope.spawn(|| back_up(&gateway, &file).code())).map(|thread| thread.join().unwrap())
        });
        codes.sort_unstable();
        assert_eq!(codes, [0, 1]);
        assert_eq!(names(&folder), ["backup.db", "link.db", "there.db"]);
        let list = ["gateway", "user", "list", "--database", file.to_str().unwrap()];
        assert!(sandbox.command(list).run().expect_code(0).stdout().contains("ada"));
    }
}

#[test]
fn a_backup_of_what_is_no_database_is_refused() {
    let sandbox = Sandbox::new();
    let refused = |database: &str, code: i32, says: &str| {
        let args = ["gateway", "db", "backup", "backup.db", "--database", database];
        let refused = sandbox.command(args).run().expect_code(code);
        assert!(refused.stderr().contains(says), "{}", refused.stderr());
        assert_eq!(names(&sandbox.home()).iter().filter(|name| name.contains("backup")).count(), 0);
    };
    let none = sandbox.path("none/gateway.db");
    refused(none.to_str().unwrap(), 3, "there is no database");
    assert!(!none.parent().unwrap().exists());
    let text = sandbox.write("text/gateway.db", "x".repeat(4096));
    refused(text.to_str().unwrap(), 1, "is damaged");
    let empty = sandbox.write("empty/gateway.db", "");
    refused(empty.to_str().unwrap(), 1, "no gateway has used it");
    refused(&Postgres::shared().database(), 1, "no gateway has used it");
    refused("postgres://ada:s3cret@127.0.0.1:1/gate", 2, "holds a password");
}
