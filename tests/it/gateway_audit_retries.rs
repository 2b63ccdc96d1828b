//! An event whose commit was made while nobody got to know is recorded again, and is in the log once.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;

use crate::harness::contains;
use crate::harness::gateway::Gateway;
use crate::harness::poll;
use crate::harness::postgres::Postgres;

/// A way to a PostgreSQL server that loses the answer to a commit: the one of the next transaction that names a refusal.
struct LossyWay {
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
}

struct Shared {
    server: PathBuf,
    loses: AtomicBool,
    lost: AtomicUsize,
}

impl LossyWay {
    fn to(server: &Postgres) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = PathBuf::from(server.folder()).join(".s.PGSQL.5432");
        let shared = Arc::new(Shared { server, loses: AtomicBool::new(false), lost: AtomicUsize::new(0) });
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let sharing = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = sharing.clone();
                std::thread::spawn(move || shared.carry(client));
            }
        });
        Self { folder, shared }
    }

    fn address(&self, server: &Postgres, database: &str) -> String {
        database.replace(server.folder(), self.folder.path().to_str().unwrap())
    }

    fn lost(&self) -> usize {
        self.shared.lost.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn carry(&self, mut client: UnixStream) {
        let mut server = UnixStream::connect(&self.server).unwrap();
        let is_losing = Arc::new(AtomicBool::new(false));
        let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let losing = is_losing.clone();
        let back = std::thread::spawn(move || {
            let mut buffer = [0; 64 << 10];
            while let Ok(count @ 1..) = from_server.read(&mut buffer) {
                if losing.load(Ordering::SeqCst) || to_client.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            let _ = (to_client.shutdown(Shutdown::Both), from_server.shutdown(Shutdown::Both));
        });
        let (mut transaction, mut buffer) = (Vec::new(), [0; 64 << 10]);
        while let Ok(count @ 1..) = client.read(&mut buffer) {
            let sent = &buffer[..count];
            if contains(sent, b"BEGIN") {
                transaction.clear();
            }
            transaction.extend_from_slice(sent);
            if contains(sent, b"COMMIT\0")
                && contains(&transaction, b"credential.refused")
                && self.loses.swap(false, Ordering::SeqCst)
            {
                is_losing.store(true, Ordering::SeqCst);
                self.lost.fetch_add(1, Ordering::SeqCst);
            }
            if server.write_all(sent).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Both);
        let _ = back.join();
    }
}

#[test]
fn a_refusal_whose_commit_was_not_answered_is_in_the_log_once() {
    let server = Postgres::shared();
    let database = server.database();
    let way = LossyWay::to(server);
    let mut gateway = Gateway::start_on(&way.address(server, &database), "http://127.0.0.1:9", &[]);
    gateway.add_user("ada", "admin");
    let refused = || gateway.ask("GET", "/api/tags", &["Authorization: Bearer olauth_x"], "");
    way.shared.loses.store(true, Ordering::SeqCst);
    assert_eq!(refused().status, 401);
    poll("a commit whose answer is lost", || (way.lost() == 1).then_some(()));
    for _ in 0..3 {
        assert_eq!(refused().status, 401);
    }
    gateway.child().wait_stderr(|text| text.contains("refused requests could not be recorded"));
    // At its end the gateway records what is left.
    assert_eq!(gateway.end(Signal::TERM).code(), 0);
    let rows = server.sql(
        &database,
        "SELECT count || ' ' || (record::json -> 'repeats' ->> 'first' = lag(id) OVER (ORDER BY id)::text) FROM events \
         WHERE action = 'credential.refused' ORDER BY id",
    );
    let count = server.sql(&database, "SELECT count(*) FROM events WHERE action = 'credential.refused'");
    assert_eq!((&*count, rows.lines().last()), ("2", Some("3 true")), "{rows}");
    let verify = ["gateway", "audit", "verify", "--json", "--database", &database];
    gateway.sandbox().command(verify).run().expect_code(0);
}
