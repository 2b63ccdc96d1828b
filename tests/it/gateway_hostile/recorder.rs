//! An upstream server that records every byte and parses it strictly by RFC 9112: its requests are what the gateway made of the
//! caller's bytes.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::harness::DEADLINE;

/// A request, as it arrived.
#[derive(Debug, PartialEq, Eq)]
pub struct RecordedRequest {
    pub line: String,
    /// Names as sent.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Without it the request broke off.
    pub whole: bool,
}

impl RecordedRequest {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct Shared {
    connections: Vec<Vec<u8>>,
    stopping: bool,
}

/// See the module. It answers each request with `{}`.
pub struct Recorder {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    accept: Option<JoinHandle<()>>,
}

impl Recorder {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let accept = std::thread::spawn({
            let shared = shared.clone();
            move || {
                for stream in listener.incoming() {
                    let mut state = lock(&shared);
                    if state.stopping {
                        return;
                    }
                    let number = state.connections.len();
                    state.connections.push(Vec::new());
                    let shared = shared.clone();
                    std::thread::spawn(move || serve(stream.unwrap(), number, &shared));
                }
            }
        });
        Self { address, shared, accept: Some(accept) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came so far, and forgets it: for requests that arrive whole. Fails at a byte that no reader should be sent.
    #[track_caller]
    pub fn take(&self) -> Vec<RecordedRequest> {
        let all = self.all();
        lock(&self.shared).connections.iter_mut().for_each(Vec::clear);
        all
    }

    /// What came so far. Where the gateway breaks a request off, that may have come later than its answer.
    #[track_caller]
    pub fn all(&self) -> Vec<RecordedRequest> {
        let state = lock(&self.shared);
        let mut all = Vec::new();
        for bytes in &state.connections {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (seen, after) = read(rest).unwrap_or_else(|error| {
                    panic!("the upstream server was sent {error}: {:?}", String::from_utf8_lossy(rest))
                });
                all.push(seen);
                rest = after;
            }
        }
        all
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        lock(&self.shared).stopping = true;
        let _ = TcpStream::connect(self.address);
        if let Some(accept) = self.accept.take() {
            let _ = accept.join();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each connection takes one request, so that what a gateway leaves on one is not taken for the next.
fn serve(mut stream: TcpStream, number: usize, shared: &Mutex<Shared>) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answered = false;
    let mut some = [0; 64 << 10];
    loop {
        let Ok(count) = stream.read(&mut some) else { return };
        if count == 0 {
            return;
        }
        let mut state = lock(shared);
        state.connections[number].extend_from_slice(&some[..count]);
        let done = read(&state.connections[number]).is_ok_and(|(seen, _)| seen.whole);
        drop(state);
        if done && !answered {
            answered = true;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
    }
}

/// The first request, and what is behind it.
fn read(bytes: &[u8]) -> Result<(RecordedRequest, &[u8]), String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| "bytes that are no text".to_owned());
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok((RecordedRequest { line: text(bytes)?, headers: Vec::new(), body: Vec::new(), whole: false }, &[]));
    };
    let head = text(&bytes[..end])?;
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    if line.split(' ').count() != 3 || !line.ends_with(" HTTP/1.1") || line.contains(['\r', '\n', '\t', '\0']) {
        return Err(format!("the request line {line:?}"));
    }
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("the header line {line:?}"))?;
        let odd = |c: char| !c.is_ascii_graphic() || c == ':';
        if name.is_empty() || name.contains(odd) || value.contains(['\r', '\n', '\0']) {
            return Err(format!("the header line {line:?}"));
        }
        headers.push((name.to_owned(), value.to_owned()));
    }
    let of = |wanted: &str| {
        let values: Vec<_> = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).collect();
        values.into_iter().map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let rest = &bytes[end + 4..];
    let (body, after) = match (&*of("transfer-encoding"), &*of("content-length")) {
        ([], []) => (Some(Vec::new()), rest),
        ([one], []) if one == "chunked" => chunks(rest)?,
        ([], [length]) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length: usize = length.parse().map_err(|_| "a length too long".to_owned())?;
            match rest.split_at_checked(length) {
                Some((body, after)) => (Some(body.to_vec()), after),
                None => (None, &[][..]),
            }
        }
        other => return Err(format!("two readings of a length: {other:?}")),
    };
    let whole = body.is_some();
    Ok((RecordedRequest { line, headers, body: body.unwrap_or_default(), whole }, after))
}

/// A body in chunks, if it is whole, and what is behind it.
fn chunks(mut rest: &[u8]) -> Result<(Option<Vec<u8>>, &[u8]), String> {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok((None, &[])) };
        let size = std::str::from_utf8(&rest[..end]).map_err(|_| "a size that is no text".to_owned())?;
        if size.is_empty() || size.len() > 8 || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("the chunk size {size:?}"));
        }
        let size = usize::from_str_radix(size, 16).map_err(|error| error.to_string())?;
        let Some((chunk, after)) = rest[end + 2..].split_at_checked(size + 2) else { return Ok((None, &[])) };
        if !chunk.ends_with(b"\r\n") {
            return Err("a chunk that does not end".to_owned());
        }
        body.extend_from_slice(&chunk[..size]);
        rest = after;
        if size == 0 {
            return Ok((Some(body), rest));
        }
    }
}
