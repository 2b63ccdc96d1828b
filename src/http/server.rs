//! The server's side of HTTP/1.1: listens, finds out how many connections the limit of open files allows, and serves one connection.
//! Connection slots limit each address, so that one caller cannot take all connections.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::io;
use std::io::Write as _;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::sync::watch;

use crate::http::caller_stream::CallerStream;

/// Idle time before TCP probes a caller; one that vanished is noticed after about two minutes.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How many connections the system queues until they are accepted.
const BACKLOG: i32 = 4096;
/// The largest head of a request, in bytes.
const MAX_HEAD_SIZE: usize = 64 * 1024;
/// The most headers in it.
pub const MAX_HEADERS: usize = 64;

/// Listens as std does, but with a longer backlog than its 128: of a thousand simultaneous connections the others would wait a second.
///
/// # Errors
/// What the system reports.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Otherwise a port stays in use for a minute after its last listener. On Windows this would let others take the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets the options of an accepted connection: no delay, and keepalive probes.
pub fn prepare(stream: &std::net::TcpStream) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4));
}

/// Answers 429 to a caller whose address has `limit` connections already, unless it expects TLS.
pub fn reject_over_limit(mut stream: &std::net::TcpStream, by_tls: bool, limit: usize) {
    if by_tls {
        return;
    }
    let message = format!("this address has {limit} connections open, and may have no more at a time");
    let body = serde_json::json!({ "error": message }).to_string();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {length}\r\nRetry-After: 10\r\nConnection: close\r\n\r\n{body}"
    );
    // A new connection has room for this much. Otherwise the connection just ends.
    let _ = stream.write(answer.as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
}

/// Serves requests until the caller leaves, or until `drain` becomes true and the open response ends. `timeout` bounds the time that the
/// head of a request may take.
///
/// # Errors
/// When the connection ended during a request or a response.
pub async fn serve<F>(
    stream: CallerStream,
    timeout: Duration,
    answer: impl Fn(Request<Incoming>) -> F,
    mut drain: watch::Receiver<bool>,
) -> Result<(), hyper::Error>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(MAX_HEAD_SIZE)
        // A few more are read, so that who serves them can say what is wrong, and to whom.
        .max_headers(2 * MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { drop(drain.wait_for(|draining| *draining).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// Open files besides connections: database, listener, log; and those of each thread's runtime.
#[cfg(unix)]
const BASE_FILES: u64 = 28;
#[cfg(unix)]
const FILES_PER_THREAD: u64 = 4;

/// Raises the process's limit of open files, of which each caller may need a second one, to the upstream server, as far as `wanted` connections of callers need and the system allows. Returns how many there is
/// room for: at least one, at most `wanted`.
#[cfg(unix)]
pub fn room_for(wanted: usize, threads: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let others = FILES_PER_THREAD.saturating_mul(threads as u64).saturating_add(BASE_FILES);
    let needed = (wanted as u64).saturating_mul(2).saturating_add(others);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let mut limit = current.unwrap_or(u64::MAX);
    if limit < needed {
        let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
        if setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }).is_ok() {
            limit = raised;
        }
    }
    let room = usize::try_from(limit.saturating_sub(others) / 2).unwrap_or(usize::MAX);
    room.clamp(1, wanted.max(1))
}

/// Other systems have no such limit.
#[cfg(not(unix))]
pub fn room_for(wanted: usize, _threads: usize) -> usize {
    wanted.max(1)
}

/// Counts the connections of each network: an IPv4 address, or an IPv6 /64.
#[derive(Clone, Debug, Default)]
pub struct ConnectionSlots(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection that is counted until it is dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    slots: ConnectionSlots,
    network: IpAddr,
}

impl ConnectionSlots {
    /// Counts one more connection from that address, unless its network has `limit` already.
    pub fn acquire(&self, address: IpAddr, limit: usize) -> Option<ConnectionSlot> {
        let network = network(address);
        let mut open = self.lock();
        let count = open.get(&network).copied().unwrap_or_default();
        if count >= limit {
            return None;
        }
        open.insert(network, count + 1);
        Some(ConnectionSlot { slots: self.clone(), network })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.slots.lock().entry(self.network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// The network that one caller is assumed to have: an IPv4 address, or an IPv6 /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_a_limit_and_dropped_slots_are_free_again() {
        let slots = ConnectionSlots::default();
        let acquire = |text: &str| slots.acquire(text.parse().unwrap(), 2);
        let held = [acquire("192.0.2.1"), acquire("::ffff:192.0.2.1"), acquire("2001:db8::1"), acquire("2001:db8::2")];
        assert!(held.iter().all(Option::is_some));
        assert!(acquire("192.0.2.1").is_none() && acquire("2001:db8::3").is_none());
        assert!(acquire("192.0.2.2").is_some() && acquire("2001:db8:0:1::1").is_some());
        drop(held);
        assert!(slots.lock().is_empty());
        assert!(acquire("192.0.2.1").is_some());
    }
}
