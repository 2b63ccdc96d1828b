//! The gateways, their database, the load balancer, and a model that takes its time.

use std::sync::{Mutex, MutexGuard};

use crate::harness::gateway::Gateway;
use crate::harness::nginx::Nginx;

/// The `offline-grace` of the gateways, in seconds.
pub const GRACE: u64 = 5;
/// The name that all of them answer to.
pub const HOST: &str = "gate.example:18999";

/// Three gateways behind nginx.
pub struct Cluster {
    gateways: Vec<Mutex<Gateway>>,
    addresses: Vec<String>,
    balancer: Nginx,
}

impl Cluster {
    /// On that database, in front of that upstream server. Each gateway has a loopback address of its own, so that nobody takes its port
    /// while it is down.
    pub fn start(database: &str, upstream: &str, count: u8) -> Self {
        let grace = format!("offline-grace={GRACE}s");
        let place = std::process::id().to_be_bytes();
        let gateways: Vec<Gateway> = (0..count)
            .map(|number| {
                let listen = format!("127.{}.{}.{}:0", 100 + 10 * number + (place[1] & 7), place[2], place[3].max(1));
                let name = format!("replica-name=r{number}");
                let host = format!("allowed-hosts={HOST}");
                let more = ["trusted-proxies=127.0.0.0/8", &grace, &name, &host];
                let more: Vec<&str> = more.iter().flat_map(|setting| ["--set", setting]).collect();
                Gateway::start_replica(database, upstream, &listen, &more)
            })
            .collect();
        let addresses: Vec<String> = gateways.iter().map(Gateway::address).collect();
        let balancer = Nginx::start(&addresses, HOST);
        Self { gateways: gateways.into_iter().map(Mutex::new).collect(), addresses, balancer }
    }

    /// One of them. It is locked while it is down.
    pub fn gateway(&self, number: usize) -> MutexGuard<'_, Gateway> {
        self.gateways[number].lock().unwrap()
    }

    /// Where they listen.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The load balancer.
    pub fn balancer(&self) -> &Nginx {
        &self.balancer
    }

    /// An account with an API key that manages keys.
    pub fn manager(&self, name: &str) -> String {
        let gateway = self.gateway(0);
        gateway.add_user(name, "admin");
        let device = gateway.device_added_to(name);
        gateway.key(&device, &["manager", "--scope", "inference,models:read,keys", "--expires", "never"])
    }
}
