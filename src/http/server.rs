//! The server's side: listening, how many connections the system has files for, and one caller's connection with what it may send and its end.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::sync::watch;

use super::caller_stream::CallerStream;

/// A caller that is gone without a word is noticed after about two minutes.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How many callers the system keeps for us until they are accepted.
const BACKLOG: i32 = 4096;
/// A request's header, in bytes.
const LARGEST_HEADER: usize = 64 * 1024;
const MOST_HEADERS: usize = 64;

/// Listens as std does, but with room for more than its 128 callers: of a thousand that come at once the others would wait a second.
///
/// # Errors
/// What the system says.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Without it a port that was just left stays taken for a minute. On Windows it would let others take ours.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets what every connection has: nothing is held back, and a caller that vanished is noticed.
pub fn prepare(stream: &std::net::TcpStream) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4));
}

/// Tells a caller whose address has `limit` connections already that it gets no other, where that can be said without TLS.
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
    // A new connection takes that much at once. Where it does not, or where more came from there than is read, it just ends.
    let _ = stream.write(answer.as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
}

/// Serves requests until the caller leaves, or `drain` says to finish what is under way. `timeout` is how long a request's header may take.
///
/// # Errors
/// When it ended in the midst of something.
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
        .max_buf_size(LARGEST_HEADER)
        .max_headers(MOST_HEADERS)
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

/// What there is besides connections: the database, the listener, the log, and what each thread waits with.
#[cfg(unix)]
const OTHERS: u64 = 28;
#[cfg(unix)]
const OF_A_THREAD: u64 = 4;

/// Raises the process's limit of open files, of which each caller may need a second one, to the upstream server, as far as `wanted` connections of callers need and the system allows. Returns how many it
/// has room for: at least one, at most `wanted`.
#[cfg(unix)]
pub fn room_for(wanted: usize, threads: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let others = OF_A_THREAD.saturating_mul(threads as u64).saturating_add(OTHERS);
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

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
pub fn room_for(wanted: usize, _threads: usize) -> usize {
    wanted.max(1)
}
