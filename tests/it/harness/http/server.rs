//! The server: a thread that accepts, a thread for each connection, and the record that tests read.

use std::{
    io::{BufReader, ErrorKind, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
    time::Instant,
};

use super::{
    Expectation, Reply, Request,
    wire::{self, End},
};
use crate::harness::{DEADLINE, clock::Clock};

type Handler = Box<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    expectations: Vec<Expectation>,
    complaints: Vec<String>,
    departures: usize,
    connections: usize,
    /// The write half of each connection that is open, to end it at drop.
    open: Vec<(usize, TcpStream)>,
    threads: Vec<JoinHandle<()>>,
    stopping: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    handler: Handler,
    clock: Clock,
}

impl Shared {
    /// Also when a thread panicked while it held the lock: the record is still worth reading.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

/// A loopback server on a port of its own. Dropping it ends every connection, then panics if a request came that
/// nothing expected, or one that was expected did not come.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accept: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers whatever comes by `handler`.
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::launch(Box::new(move |request| Some(handler(request))), Clock::default())
    }

    /// Answers only what [`expect`](Self::expect) announced; anything else is a complaint at drop.
    pub fn strict() -> Self {
        Self::launch(Box::new(|_| None), Clock::default())
    }

    /// As [`start`](Self::start), with a clock the test controls.
    pub fn with_clock(clock: Clock, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::launch(Box::new(move |request| Some(handler(request))), clock)
    }

    fn launch(handler: Handler, clock: Clock) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let address = listener.local_addr().expect("the address of a listener");
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), handler, clock });
        let accept = std::thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        Self { address, shared, accept: Some(accept) }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The clock that fills `Date`.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Announces a request; the first announcement that matches and is not used up takes it.
    pub fn expect(&self, expectation: Expectation) -> &Self {
        self.shared.change(|state| state.expectations.push(expectation));
        self
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// `METHOD /path` of every request so far: for one readable assertion.
    pub fn seen(&self) -> Vec<String> {
        self.requests().iter().map(ToString::to_string).collect()
    }

    /// How many requests of this method and path (without query) came.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.requests().iter().filter(|request| request.method == method && request.path() == path).count()
    }

    /// Waits until so many requests have come, and gives them.
    pub fn wait_requests(&self, count: usize) -> Vec<Request> {
        self.wait(&format!("{count} requests"), |state| state.requests.len() >= count);
        self.requests()
    }

    /// Waits until so many clients left before their answer was complete.
    pub fn wait_disconnects(&self, count: usize) {
        self.wait(&format!("{count} clients to leave"), |state| state.departures >= count);
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// Makes the drop of the server fail with this text.
    pub fn complain(&self, text: impl Into<String>) {
        self.shared.change(|state| state.complaints.push(text.into()));
    }

    /// What would make the drop fail, unmet expectations included; afterwards nothing of it does.
    pub fn take_complaints(&self) -> Vec<String> {
        let mut state = self.shared.lock();
        let mut complaints = std::mem::take(&mut state.complaints);
        let expectations = std::mem::take(&mut state.expectations);
        complaints.extend(expectations.iter().filter_map(Expectation::unmet));
        complaints
    }

    fn wait(&self, what: &str, done: impl Fn(&State) -> bool) {
        let end = Instant::now() + DEADLINE;
        let mut state = self.shared.lock();
        while !done(&state) {
            let left = end.saturating_duration_since(Instant::now());
            let seen: Vec<_> = state.requests.iter().map(ToString::to_string).collect();
            assert!(!left.is_zero(), "timed out waiting for {what}; seen: {seen:?}");
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.change(|state| state.stopping = true);
        // The listener waits in accept: one connection of our own lets it see that it is to stop.
        let _ = TcpStream::connect(self.address);
        if let Some(accept) = self.accept.take() {
            let _ = accept.join();
        }
        let threads = {
            let mut state = self.shared.lock();
            for (_, stream) in state.open.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
            std::mem::take(&mut state.threads)
        };
        for thread in threads {
            let _ = thread.join();
        }
        let complaints = self.take_complaints();
        if complaints.is_empty() {
            return;
        }
        let text = format!("the server at {}:\n- {}", self.address, complaints.join("\n- "));
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "{text}");
        } else {
            panic!("{text}");
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        let mut state = shared.lock();
        if state.stopping {
            return;
        }
        let Ok(stream) = stream else { continue };
        let Ok(copy) = stream.try_clone() else {
            continue;
        };
        let number = state.connections;
        state.connections += 1;
        state.open.push((number, copy));
        let shared_too = shared.clone();
        state.threads.push(std::thread::spawn(move || {
            serve(stream, number, &shared_too);
            shared_too.change(|state| state.open.retain(|(open, _)| *open != number));
        }));
        drop(state);
        shared.changed.notify_all();
    }
}

fn serve(stream: TcpStream, connection: usize, shared: &Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    let mut reader = BufReader::new(stream);
    loop {
        let parsed = match wire::read_request(&mut reader, &mut writer) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return,
            Err(error) => {
                // A client that was stopped while it sent is not a fault of the product's; malformed input is.
                if error.kind() == ErrorKind::InvalidData {
                    shared.change(|state| state.complaints.push(error.to_string()));
                }
                return;
            }
        };
        let keep = !parsed.old
            && !parsed
                .headers
                .iter()
                .any(|(name, value)| name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close"));
        let mut request = Request {
            order: 0,
            connection,
            at: Instant::now(),
            method: parsed.method,
            target: parsed.target,
            headers: parsed.headers,
            body: parsed.body,
        };
        let reply = answer(&mut request, shared);
        let end = wire::write_reply(
            &mut writer,
            &reply,
            request.method == "HEAD",
            parsed.old,
            &shared.clock.date(reply.date_offset),
            &|| shared.lock().stopping,
        );
        match end {
            End::KeepAlive if keep => {}
            End::KeepAlive | End::Close => break,
            End::Departed => {
                shared.change(|state| state.departures += 1);
                break;
            }
        }
    }
    // The clone in `open` keeps the socket alive: without this the client would not see the end.
    shared.change(|state| state.open.retain(|(open, _)| *open != connection));
}

/// Records the request, then lets an expectation or the handler answer it.
fn answer(request: &mut Request, shared: &Shared) -> Reply {
    let announced = {
        let mut state = shared.lock();
        request.order = state.requests.len();
        state.requests.push(request.clone());
        let known = state.expectations.iter().any(|e| e.matches(request));
        let open = state.expectations.iter_mut().find(|e| e.matches(request) && e.seen < e.most);
        match open {
            Some(expectation) => {
                expectation.seen += 1;
                Ok(expectation.answer.clone())
            }
            None if known => Err("came too often"),
            None => Ok(None),
        }
    };
    shared.changed.notify_all();
    let outcome = match announced {
        Err(complaint) => Err(complaint.to_owned()),
        Ok(own) => catch_unwind(AssertUnwindSafe(|| match own {
            Some(own) => Some(own(request)),
            None => (shared.handler)(request),
        }))
        .map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("made its handler panic: {}", text.unwrap_or("?"))
        })
        .and_then(|reply| reply.ok_or_else(|| "was not expected".to_owned())),
    };
    outcome.unwrap_or_else(|complaint| {
        let text = format!("{request} {complaint}");
        shared.change(|state| state.complaints.push(text.clone()));
        Reply::json(599, serde_json::json!({ "error": text }))
    })
}
