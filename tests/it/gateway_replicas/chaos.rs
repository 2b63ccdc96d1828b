//! The killing, and what must hold after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::cluster::Cluster;
use super::http::{Place, bearer};
use super::ledger::{Ledger, Outcome};
use super::work::{self, Shared};
use crate::harness::postgres::Postgres;
use crate::harness::signature::TestDevice;
use crate::harness::{DEADLINE, poll};

/// Accounts that change something. Each has a budget of changes.
const ACCOUNTS: usize = 4;
/// Time between two blows.
const CALM: Duration = Duration::from_millis(800);

/// For as long as `strike` takes, which may end and start what is given to it. Afterwards `last` is the server that has the database.
pub fn run(database: &str, streams: usize, last: &Postgres, strike: impl FnOnce(&Cluster, &Handle)) -> Arc<Shared> {
    let runtime = runtime();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(work::model(listener));
    let cluster = Cluster::start(database, &upstream, 3);

    let managers: Vec<String> = (0..ACCOUNTS).map(|number| cluster.manager(&format!("ada{number}"))).collect();
    let device = Arc::new(TestDevice::new(42));
    let add = ["device", "add", &device.key().line, "--user", "ada0", "--name", "laptop"];
    cluster.gateway(0).admin(&add).expect_code(0);
    let shared = Arc::new(Shared {
        ledger: Ledger::default(),
        balancer: Place::Balancer(cluster.balancer().socket()),
        gateways: cluster.addresses().iter().cloned().map(Place::Gateway).collect(),
        over: AtomicBool::new(false),
    });
    for (place, manager) in shared.gateways.iter().flat_map(|place| managers.iter().map(move |key| (place, key))) {
        poll("the keys at each gateway", || {
            (runtime.block_on(is_accepted(place, manager)) == Some(true)).then_some(())
        });
    }

    let mut tasks = JoinSet::new();
    for manager in &managers {
        tasks.spawn_on(work::change(shared.clone(), manager.clone()), &runtime);
    }
    for number in 0..streams {
        tasks.spawn_on(work::stream(shared.clone(), managers[number % ACCOUNTS].clone()), &runtime);
    }
    for _ in 0..2 {
        tasks.spawn_on(work::look(shared.clone()), &runtime);
    }
    tasks.spawn_on(work::use_signatures(shared.clone(), device), &runtime);

    strike(&cluster, &runtime);
    shared.over.store(true, Ordering::Relaxed);
    runtime.block_on(async {
        while let Some(ended) = tasks.join_next().await {
            ended.expect("what a task looks for");
        }
    });
    runtime.block_on(settled(&shared));
    used_once(last, database, &shared.ledger);
    report(&shared.ledger);
    shared
}

/// One that a thread of its own drives, while this one strikes.
fn runtime() -> Handle {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
}

/// Kills a gateway or the database, or freezes that for a while, one after the other.
pub fn kill(cluster: &Cluster, server: &Postgres, time: Duration) {
    let end = Instant::now() + time;
    for number in 0_usize.. {
        std::thread::sleep(CALM);
        if Instant::now() >= end {
            break;
        }
        match number % 4 {
            0 | 2 => {
                let mut gateway = cluster.gateway((number / 2) % 3);
                gateway.end(Signal::KILL);
                gateway.restart();
            }
            1 => {
                server.end("KILL");
                server.start_again();
            }
            _ => {
                server.freeze();
                std::thread::sleep(CALM);
                server.thaw();
            }
        }
    }
}

async fn is_accepted(place: &Place, key: &str) -> Option<bool> {
    match place.ask("GET", "/api/tags", &bearer(key), "").await?.status {
        200 => Some(true),
        401 => Some(false),
        _ => None,
    }
}

/// Each gateway accepts what was confirmed and not taken away, and refuses what was confirmed to be.
async fn settled(shared: &Shared) {
    let keys = shared.ledger.keys();
    assert!(keys.len() > 20, "{} keys", keys.len());
    for place in &shared.gateways {
        for (id, entry) in &keys {
            let expected = match entry.revoked {
                Outcome::None => true,
                Outcome::Confirmed(_) => false,
                Outcome::Unknown => continue,
            };
            let end = Instant::now() + DEADLINE;
            while is_accepted(place, &entry.key).await != Some(expected) {
                assert!(Instant::now() < end, "{id} at {place:?}: {entry:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Of keys that one signature was sent for there is one at most.
fn used_once(server: &Postgres, database: &str, ledger: &Ledger) {
    let mut used = 0;
    let once = ledger.once.lock().unwrap();
    for ids in once.iter() {
        let list = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
        let count = server.sql(database, &format!("SELECT count(*) FROM api_keys WHERE id IN ({list})"));
        assert!(["0", "1"].contains(&count.as_str()), "{count} keys of one signature: {ids:?}");
        used += u32::from(count == "1");
    }
    assert!(used > 0, "none of {} signatures was accepted", once.len());
}

#[allow(clippy::print_stderr, reason = "figures for whoever runs it by hand")]
fn report(ledger: &Ledger) {
    let keys = ledger.keys();
    let revoked = keys.values().filter(|entry| matches!(entry.revoked, Outcome::Confirmed(_))).count();
    let count = |what: &std::sync::atomic::AtomicU64| what.load(Ordering::Relaxed);
    eprintln!(
        "confirmed: {} keys, {revoked} revocations; unknown: {}; streams: {} whole, {} cut; looks with revoked keys: {}; signatures sent thrice: {}",
        keys.len(),
        count(&ledger.unknown),
        count(&ledger.whole),
        count(&ledger.cut),
        count(&ledger.looks),
        ledger.once.lock().unwrap().len(),
    );
}
