//! A stand-in for ollama.com on loopback: devices are connected through `/connect`, `/api/me` answers for the key that
//! signed, API keys are accepted as bearer tokens, and models answer as recorded. What it verifies, it verifies
//! without the product's code. Faults can be injected.

mod fault;
mod keys;
mod routes;

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

pub use fault::Fault;
pub use keys::{Issued, api_key_like};

use super::{
    clock::Clock,
    http::Server,
    signature::{self, Key},
};

/// A device that opened the connect page.
#[derive(Clone, Debug)]
pub struct Device {
    /// The name in the connect URL, decoded.
    pub name: String,
    /// Its key.
    pub key: Key,
    /// What a person decided.
    pub decision: Decision,
}

/// What a person decided about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet.
    Pending,
    /// The key may sign requests.
    Approved,
    /// `/api/me` answers 403.
    Denied,
}

#[derive(Debug)]
struct State {
    devices: Vec<Device>,
    api_keys: Vec<String>,
    auto_approve: bool,
    unsigned_url: bool,
    user: Value,
    keys: Option<keys::Keys>,
    faults: Vec<(String, Option<usize>, Fault)>,
    refused: Vec<String>,
}

/// The server.
pub struct Cloud {
    server: Server,
    state: Arc<Mutex<State>>,
    base: String,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("an unpoisoned state")
}

impl Cloud {
    /// A host without signed-in devices, where a `GET` of the connect page approves the device.
    pub fn start() -> Self {
        Self::start_at("")
    }

    /// The same below a base path such as `/prefix`.
    pub fn start_at(base: &str) -> Self {
        let state = Arc::new(Mutex::new(State {
            devices: Vec::new(),
            api_keys: Vec::new(),
            auto_approve: true,
            unsigned_url: false,
            user: json!({
                "id": "00000000-0000-0000-0000-000000000001",
                "email": "standin@example.invalid",
                "name": "standin",
                "plan": "free",
            }),
            keys: None,
            faults: Vec::new(),
            refused: Vec::new(),
        }));
        let clock = Clock::default();
        let server = Server::with_clock(clock.clone(), {
            let (state, base) = (state.clone(), base.to_owned());
            move |request| routes::answer(request, &base, clock.now(), &state)
        });
        Self { server, state, base: base.to_owned() }
    }

    /// Its URL with the base path: a value for `--host`.
    pub fn url(&self) -> String {
        self.server.url() + &self.base
    }

    /// The server below: requests, counts, expectations, clock.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Whether opening the connect page approves the device (so at the start), or leaves it pending.
    pub fn auto_approve(&self, on: bool) -> &Self {
        lock(&self.state).auto_approve = on;
        self
    }

    /// Whether the 401 to an *unsigned* `/api/me` holds a `signin_url` too (with a key that is not the caller's).
    pub fn unsigned_signin_url(&self, on: bool) -> &Self {
        lock(&self.state).unsigned_url = on;
        self
    }

    /// The devices that opened the connect page, in order.
    pub fn devices(&self) -> Vec<Device> {
        lock(&self.state).devices.clone()
    }

    /// Whether a key (line, encoded or fingerprint) is connected.
    pub fn is_connected(&self, key: &str) -> bool {
        lock(&self.state).devices.iter().any(|device| device.key.is(key) && device.decision == Decision::Approved)
    }

    /// Approves a device that is waiting; panics when there is none with that key.
    pub fn approve(&self, key: &str) {
        self.decide(key, Decision::Approved);
    }

    /// Refuses a device that is waiting.
    pub fn deny(&self, key: &str) {
        self.decide(key, Decision::Denied);
    }

    fn decide(&self, key: &str, decision: Decision) {
        let mut state = lock(&self.state);
        let device = state.devices.iter_mut().find(|device| device.key.is(key));
        device.unwrap_or_else(|| panic!("no device opened the connect page with {key}")).decision = decision;
    }

    /// Connects a key without the page.
    pub fn connect(&self, key: Key) {
        lock(&self.state).devices.push(Device {
            name: "connected before".to_owned(),
            key,
            decision: Decision::Approved,
        });
    }

    /// Disconnects a key behind the client's back.
    pub fn disconnect(&self, key: &str) {
        lock(&self.state).devices.retain(|device| !device.key.is(key));
    }

    /// Accepts an API key from now on.
    pub fn accept_api_key(&self, key: &str) -> &Self {
        lock(&self.state).api_keys.push(key.to_owned());
        self
    }

    /// Accepts it no longer.
    pub fn revoke_api_key(&self, key: &str) {
        lock(&self.state).api_keys.retain(|known| known != key);
    }

    /// What `/api/me` says of the user.
    pub fn set_user(&self, user: Value) {
        lock(&self.state).user = user;
    }

    /// Manages API keys from now on, as a gateway does, and says that it is one.
    pub fn offer_keys(&self) -> &Self {
        lock(&self.state).keys = Some(keys::Keys::default());
        self
    }

    /// The API keys that were made, in order.
    pub fn issued(&self) -> Vec<Issued> {
        lock(&self.state).keys.as_ref().map_or_else(Vec::new, |keys| keys.issued.clone())
    }

    /// Creates an API key without a request: `members` replace those of a usual one.
    pub fn issue(&self, members: Value) -> Issued {
        let now = self.server.clock().now();
        let mut state = lock(&self.state);
        state.keys.as_mut().expect("a host that offers keys").add(members, now)
    }

    /// Changes the answers to the making of keys from now on: what is given is the body of the right one.
    pub fn mangle_created(&self, change: impl Fn(Value) -> super::http::Reply + Send + 'static) -> &Self {
        lock(&self.state).keys.as_mut().expect("a host that offers keys").mangle = Some(Box::new(change));
        self
    }

    /// Gives so many keys a page at most.
    pub fn page_size(&self, size: usize) -> &Self {
        lock(&self.state).keys.as_mut().expect("a host that offers keys").page = size;
        self
    }

    /// Injects a fault into every answer to this path (below the base path), until [`clear_faults`](Self::clear_faults).
    pub fn inject(&self, path: &str, fault: Fault) -> &Self {
        self.faults(path, None, fault)
    }

    /// Injects a fault into the next `times` answers to this path.
    pub fn inject_times(&self, path: &str, times: usize, fault: Fault) -> &Self {
        self.faults(path, Some(times), fault)
    }

    fn faults(&self, path: &str, times: Option<usize>, fault: Fault) -> &Self {
        let entry = (path.to_owned(), times, fault);
        lock(&self.state).faults.push(entry);
        self
    }

    /// Ends every fault.
    pub fn clear_faults(&self) {
        lock(&self.state).faults.clear();
    }

    /// How often `METHOD path` (below the base path) came.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.server.count(method, &format!("{}{path}", self.base))
    }

    /// Why signatures were refused so far (a wrong challenge, a clock that is off, …). Not being connected is no
    /// reason. Anything in here that the test does not take fails the drop.
    pub fn take_refused(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).refused)
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        for text in self.take_refused() {
            self.server.complain(text);
        }
    }
}

/// What a request proves about its sender.
enum Caller {
    Nobody,
    Signed(Key),
    ApiKey(String),
    BadSignature(String),
}

impl Caller {
    fn of(request: &super::http::Request, base: &str, now: i64) -> Self {
        if signature::is_signed(request) {
            match signature::check(request, base, now) {
                Ok(key) => Self::Signed(key),
                Err(error) => Self::BadSignature(format!("{request}: {error}")),
            }
        } else {
            request.api_key().map_or(Self::Nobody, |key| Self::ApiKey(key.to_owned()))
        }
    }
}
