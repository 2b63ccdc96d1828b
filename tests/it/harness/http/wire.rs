//! HTTP/1.1 on the wire: reads a request, writes a response and its script.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::{Reply, Step, reply::Body};

/// The largest request body taken: 256 MiB.
const MAX_BODY_BYTES: usize = 256 << 20;

/// A request as it came.
pub(super) struct Parsed {
    pub method: String,
    pub target: String,
    /// HTTP/1.0: the answer holds no chunks and ends with the connection.
    pub old: bool,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// How an answer ended.
pub(super) enum End {
    /// Complete, and the connection may be used again.
    KeepAlive,
    /// Complete or cut as scripted; the connection is to be closed.
    Close,
    /// The client left before the answer was complete.
    Departed,
}

fn bad(text: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text.into())
}

fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut text = Vec::new();
    reader.take(1 << 20).read_until(b'\n', &mut text)?;
    if text.is_empty() {
        return Ok(None);
    }
    let text = text.strip_suffix(b"\r\n").ok_or_else(|| bad("a line without CRLF"))?;
    let text = std::str::from_utf8(text).map_err(|_| bad("a header that is not UTF-8"))?;
    Ok(Some(text.to_owned()))
}

/// Reads one request, `None` when the client closed the connection between two; answers `Expect: 100-continue` before the body.
pub(super) fn read_request(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) -> io::Result<Option<Parsed>> {
    let Some(first) = line(reader)? else {
        return Ok(None);
    };
    let mut parts = first.split(' ');
    let (Some(method), Some(target), Some(version @ ("HTTP/1.1" | "HTTP/1.0")), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad(format!("not a request line: {first:?}")));
    };
    let mut headers: Vec<(String, String)> = Vec::new();
    loop {
        let text = line(reader)?.ok_or(ErrorKind::UnexpectedEof)?;
        if text.is_empty() {
            break;
        }
        let (name, value) =
            text.split_once(':').ok_or_else(|| bad(format!("a header without a colon in {method} {target}")))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let find = |name: &str| {
        headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_ascii_lowercase())
    };
    let (chunked, length) = (find("transfer-encoding"), find("content-length"));
    if find("expect").as_deref() == Some("100-continue") {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = match (chunked, length) {
        (Some(_), Some(_)) => return Err(bad("both a length and a transfer encoding")),
        (Some(coding), None) if coding == "chunked" => read_chunks(reader)?,
        (Some(coding), None) => return Err(bad(format!("unknown transfer encoding {coding:?}"))),
        (None, Some(length)) => {
            let length = length.parse().map_err(|_| bad("a length that is not a number"))?;
            read_exactly(reader, length)?
        }
        (None, None) => Vec::new(),
    };
    Ok(Some(Parsed { method: method.to_owned(), target: target.to_owned(), old: version == "HTTP/1.0", headers, body }))
}

fn read_exactly(reader: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    if length > MAX_BODY_BYTES {
        return Err(bad(format!("a body of {length} bytes")));
    }
    let mut body = Vec::new();
    reader.take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(body)
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(reader)?.ok_or(ErrorKind::UnexpectedEof)?;
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
            .map_err(|_| bad(format!("not a chunk size: {size:?}")))?;
        body.extend(read_exactly(reader, size)?);
        let end = line(reader)?.ok_or(ErrorKind::UnexpectedEof)?;
        if !end.is_empty() {
            return Err(bad("a chunk or trailer that does not end where it should"));
        }
        if size == 0 {
            return Ok(body);
        }
    }
}

/// Writes an answer. `old`: to HTTP/1.0, where Go's net/http (and so stock Ollama) sends no chunks. `date` is the server's own; `stopping` says that the server is being dropped.
pub(super) fn write_reply(
    stream: &mut TcpStream,
    reply: &Reply,
    head: bool,
    old: bool,
    date: &str,
    stopping: &dyn Fn() -> bool,
) -> End {
    if let Some(gate) = &reply.delay
        && !wait_at_gate(stream, gate, stopping)
    {
        return End::Departed;
    }
    let mut text = format!("HTTP/1.1 {} Test\r\n", reply.status);
    let (steps, framing, whole): (&[Step], _, &[u8]) = match &reply.body {
        Body::Nothing(reset) => {
            if *reset {
                reset_at_close(stream);
            }
            return End::Close;
        }
        Body::Whole(bytes) => (&[], format!("Content-Length: {}\r\n", bytes.len()), bytes),
        Body::Chunked(steps) if old => (steps, String::new(), b""),
        Body::Chunked(steps) => (steps, "Transfer-Encoding: chunked\r\n".to_owned(), b""),
        Body::Sized(length, steps) => (steps, format!("Content-Length: {length}\r\n"), b""),
        Body::UntilClose(steps) => (steps, "Connection: close\r\n".to_owned(), b""),
    };
    if !reply.headers.iter().any(|(name, _)| name == "Date") {
        text += &format!("Date: {date}\r\n");
    }
    for (name, value) in reply.headers.iter().filter(|(_, value)| !value.is_empty()) {
        text += &format!("{name}: {value}\r\n");
    }
    text += &framing;
    text += "\r\n";
    let mut bytes = text.into_bytes();
    if !head {
        bytes.extend_from_slice(whole);
    }
    if stream.write_all(&bytes).is_err() {
        return End::Departed;
    }
    if head {
        return End::KeepAlive;
    }
    let chunked = !old && matches!(reply.body, Body::Chunked(_));
    let mut sent = 0;
    for step in steps {
        let written = match step {
            Step::Send(bytes) if chunked => {
                let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
                chunk.extend_from_slice(bytes);
                chunk.extend_from_slice(b"\r\n");
                stream.write_all(&chunk)
            }
            Step::Send(bytes) | Step::Raw(bytes) => {
                sent += bytes.len();
                stream.write_all(bytes)
            }
            Step::WaitFor(gate) => match wait_at_gate(stream, gate, stopping) {
                true => Ok(()),
                false => return End::Departed,
            },
            Step::Cut => return End::Close,
            Step::Reset => {
                reset_at_close(stream);
                return End::Close;
            }
            Step::Hang => {
                wait_at_gate(stream, &super::Gate::new(), stopping);
                return End::Departed;
            }
        };
        if written.is_err() {
            return End::Departed;
        }
    }
    match &reply.body {
        Body::Chunked(_) if old => End::Close,
        Body::Chunked(_) if stream.write_all(b"0\r\n\r\n").is_err() => End::Departed,
        Body::Sized(length, _) if *length != sent => End::Close,
        Body::UntilClose(_) => End::Close,
        _ => End::KeepAlive,
    }
}

/// Waits at a gate. `false`: the client left, or the server is being dropped.
fn wait_at_gate(stream: &TcpStream, gate: &super::Gate, stopping: &dyn Fn() -> bool) -> bool {
    gate.reach();
    loop {
        if gate.wait(Duration::from_millis(10)) {
            return true;
        }
        if stopping() || is_disconnected(stream) {
            return false;
        }
    }
}

fn is_disconnected(stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    let answer = match stream.peek(&mut [0]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    };
    stream.set_nonblocking(false).is_err() || answer
}

fn reset_at_close(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("a socket that can be reset");
}
