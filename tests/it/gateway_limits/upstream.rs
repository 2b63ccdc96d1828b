//! An upstream server that counts how many requests it has at a time. A request counts from its head until its answer is complete, or the
//! gateway has closed the connection: what has not arrived here cannot be in the way.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::harness::DEADLINE;

/// What becomes of the next requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A whole answer in two chunks.
    Complete,
    /// A whole answer that says how long it is.
    Sized,
    /// The one in chunks after a moment, in which others may come.
    Slow,
    /// A chunk; the rest once [`Upstream::release`] is called.
    Held,
    /// Nothing, until the gateway leaves.
    Silent,
    /// An answer that is not HTTP.
    Malformed,
    /// A chunk, then the end of the connection.
    Cut,
}

#[derive(Default)]
struct State {
    mode: Option<Mode>,
    /// The connections whose request is not over, by number.
    active: Vec<(usize, TcpStream)>,
    most: usize,
    arrived: usize,
    left: usize,
    released: bool,
}

/// See the module. Its threads end with the test's process.
pub struct Upstream {
    url: String,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Upstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::<(Mutex<State>, Condvar)>::default();
        let state = shared.clone();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (stream, state) = (stream.unwrap(), state.clone());
                std::thread::spawn(move || serve(stream, number, &state));
            }
        });
        Self { url, shared }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap()
    }

    /// From the next request on.
    pub fn set(&self, mode: Mode) {
        let mut state = self.lock();
        (state.mode, state.released) = (Some(mode), false);
    }

    /// Ends the answers that are held.
    pub fn release(&self) {
        self.lock().released = true;
        self.shared.1.notify_all();
    }

    /// The most requests that it had at a time.
    pub fn most(&self) -> usize {
        self.lock().most
    }

    /// How many requests have come.
    pub fn arrived(&self) -> usize {
        self.lock().arrived
    }

    /// How many of them the gateway has given up.
    pub fn left(&self) -> usize {
        self.lock().left
    }

    pub fn wait_arrived(&self, count: usize) {
        self.wait("requests", |state| state.arrived >= count);
    }

    pub fn wait_left(&self, count: usize) {
        self.wait("requests that the gateway gives up", |state| state.left >= count);
    }

    fn wait(&self, what: &str, done: impl Fn(&State) -> bool) {
        let (end, mut state) = (Instant::now() + DEADLINE, self.lock());
        while !done(&state) {
            assert!(Instant::now() < end, "waited for {what}");
            state = self.shared.1.wait_timeout(state, Duration::from_millis(50)).unwrap().0;
        }
    }
}

/// Whether the other side has closed the connection, or broken it off.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    match peeked {
        Ok(count) => count == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

fn serve(mut stream: TcpStream, number: usize, shared: &(Mutex<State>, Condvar)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(length) = read_head(&mut reader) {
        let mode = {
            let mut state = shared.0.lock().unwrap();
            state.active.retain(|(_, other)| !is_closed(other));
            state.active.push((number, stream.try_clone().unwrap()));
            state.most = state.most.max(state.active.len());
            state.arrived += 1;
            shared.1.notify_all();
            state.mode.unwrap_or(Mode::Complete)
        };
        let over = |left: bool| {
            let mut state = shared.0.lock().unwrap();
            state.active.retain(|(other, _)| *other != number);
            state.left += usize::from(left);
            shared.1.notify_all();
        };
        // The body may never come.
        if reader.read_exact(&mut vec![0; length]).is_err() {
            return over(true);
        }
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n";
        match mode {
            Mode::Complete | Mode::Slow => {
                if mode == Mode::Slow {
                    std::thread::sleep(Duration::from_millis(10));
                }
                over(false);
                let _ = write!(stream, "{head}3\r\n{{}}\n\r\n0\r\n\r\n");
            }
            Mode::Sized => {
                over(false);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}\n");
            }
            Mode::Held => {
                let _ = stream.write_all(head.as_bytes());
                let mut state = shared.0.lock().unwrap();
                while !state.released && !is_closed(&stream) {
                    state = shared.1.wait_timeout(state, Duration::from_millis(5)).unwrap().0;
                }
                let is_over = state.released;
                drop(state);
                over(!is_over);
                if !is_over || stream.write_all(b"0\r\n\r\n").is_err() {
                    return;
                }
            }
            Mode::Silent => {
                let _ = stream.read(&mut [0]);
                return over(true);
            }
            Mode::Malformed => {
                over(false);
                let _ = stream.write_all(b"HTTP/1.1 banana\r\n\r\n");
                return;
            }
            Mode::Cut => {
                over(false);
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
        }
    }
}

/// The length of the body; nothing at the end of the connection.
fn read_head(reader: &mut BufReader<TcpStream>) -> Option<usize> {
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let text = line.trim_end().to_ascii_lowercase();
        if let Some(value) = text.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if text.is_empty() {
            return Some(length);
        }
    }
}
