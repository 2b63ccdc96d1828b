//! The head of an answer, and by what its body ends (RFC 9112, section 6.3). Strict: an answer that can be read in two ways is none.

use axum::body::Bytes;
use axum::http::header::Entry;
use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};
use thiserror::Error;

use super::chunked::{ChunkedDecoder, MalformedChunks};

/// The longest head, in bytes, and the most headers in it.
const LONGEST: usize = 64 * 1024;
const MOST_HEADERS: usize = 128;

/// What came is no answer of HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the answer is malformed")]
pub struct MalformedHead;

/// By what a body ends.
#[derive(Debug)]
pub enum BodyFraming {
    /// After so many bytes.
    Length(u64),
    /// By its last chunk.
    Chunked(ChunkedDecoder),
    /// With the connection.
    UntilClose,
}

impl BodyFraming {
    /// Whether the body has ended, as far as its bytes tell.
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_done(),
            Self::UntilClose => false,
        }
    }

    /// Whether what comes next can be read.
    ///
    /// # Errors
    /// When it is not in chunks, as was announced.
    pub fn check(&self) -> Result<(), MalformedChunks> {
        if let Self::Chunked(chunks) = self { chunks.check() } else { Ok(()) }
    }

    /// Reads a piece; what of the body is in it is then at its beginning. Returns how much that is, and how much of the piece was used.
    ///
    /// # Errors
    /// When it is not in chunks, as was announced.
    pub fn decode(&mut self, piece: &mut [u8]) -> Result<(usize, usize), MalformedChunks> {
        match self {
            Self::UntilClose => Ok((piece.len(), piece.len())),
            Self::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                *left -= length as u64;
                Ok((length, length))
            }
            Self::Chunked(chunks) => chunks.read(piece).map(|read| (read.body, read.used)),
        }
    }
}

/// A head, and what came behind it.
#[derive(Debug)]
pub struct ResponseHead {
    /// What it says.
    pub parts: Parts,
    /// What is to be read behind it.
    pub framing: BodyFraming,
    /// The connection can be used again, once the body was read to its end.
    pub reusable: bool,
    /// What of the body came with it.
    pub rest: Bytes,
}

/// What was made of what came so far.
#[derive(Debug)]
pub enum ParsedHead {
    /// All of it.
    Complete(Box<ResponseHead>),
    /// Too little: it is given back.
    Partial(Vec<u8>),
}

/// Reads the head of an answer to a request of that method. Those that come before the answer (100 and the like) are skipped.
///
/// # Errors
/// [`MalformedHead`].
pub fn parse(came: Vec<u8>, method: &Method) -> Result<ParsedHead, MalformedHead> {
    let mut came = Bytes::from(came);
    loop {
        let mut slots = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut answer = httparse::Response::new(&mut slots);
        let length = match answer.parse(&came).map_err(|_| MalformedHead)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial if came.len() > LONGEST => return Err(MalformedHead),
            httparse::Status::Partial => return Ok(ParsedHead::Partial(came.into())),
        };
        let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(MalformedHead)?;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            came = came.slice(length..);
            continue;
        }
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.status = status;
        parts.version = if answer.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
        for header in answer.headers.iter() {
            let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| MalformedHead)?;
            let value = HeaderValue::from_maybe_shared(came.slice_ref(header.value)).map_err(|_| MalformedHead)?;
            parts.headers.append(name, value);
        }
        let framing = framing(&parts, method)?;
        if let Entry::Occupied(mut lengths) = parts.headers.entry(header::CONTENT_LENGTH) {
            // One that is announced twice goes on once: hyper would not send the head of an answer to HEAD with both.
            let length = lengths.get().clone();
            lengths.insert(length);
        }
        let reusable = !matches!(framing, BodyFraming::UntilClose) && stays_open(&parts);
        return Ok(ParsedHead::Complete(Box::new(ResponseHead {
            parts,
            framing,
            reusable,
            rest: came.slice(length..),
        })));
    }
}

fn framing(parts: &Parts, method: &Method) -> Result<BodyFraming, MalformedHead> {
    let Parts { status, headers, version, .. } = parts;
    let none = *method == Method::HEAD || matches!(*status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if none {
        return Ok(BodyFraming::Length(0));
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        // Nothing but chunks was asked for, and 1.0 has none.
        let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        let readable = chunked && *version == Version::HTTP_11;
        return if readable { Ok(BodyFraming::Chunked(ChunkedDecoder::default())) } else { Err(MalformedHead) };
    }
    length(headers).map(|length| length.map_or(BodyFraming::UntilClose, BodyFraming::Length))
}

/// The one length that is announced. That it is announced twice is no harm.
fn length(headers: &HeaderMap) -> Result<Option<u64>, MalformedHead> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(None) };
    if lengths.any(|other| other != first) {
        return Err(MalformedHead);
    }
    let text = first.to_str().map_err(|_| MalformedHead)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(MalformedHead);
    }
    text.parse().map(Some).map_err(|_| MalformedHead)
}

fn stays_open(parts: &Parts) -> bool {
    let says = |word: &str| {
        let values = parts.headers.get_all(header::CONNECTION).iter();
        // By bytes: what stands beside the word need not be text.
        let mut words = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        words.any(|said| said.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    // What is announced in two ways was perhaps meant in the other.
    let ambiguous =
        parts.headers.contains_key(header::TRANSFER_ENCODING) && parts.headers.contains_key(header::CONTENT_LENGTH);
    let open = if parts.version == Version::HTTP_10 { says("keep-alive") } else { !says("close") };
    open && !ambiguous && parts.status != StatusCode::SWITCHING_PROTOCOLS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, method: &Method) -> Result<ResponseHead, MalformedHead> {
        match parse(text.as_bytes().to_vec(), method)? {
            ParsedHead::Complete(head) => Ok(*head),
            ParsedHead::Partial(_) => panic!("{text:?} is not whole"),
        }
    }

    fn of(headers: &str) -> Result<ResponseHead, MalformedHead> {
        parsed(&format!("HTTP/1.1 200 OK\r\n{headers}\r\nrest"), &Method::GET)
    }

    #[test]
    fn a_body_ends_as_it_is_announced() {
        let length = of("Content-Length: 5\r\n").unwrap();
        assert!(matches!(length.framing, BodyFraming::Length(5)) && length.reusable && length.rest == "rest");
        assert!(matches!(of("content-length: 5\r\nContent-Length: 5\r\n").unwrap().framing, BodyFraming::Length(5)));
        let chunks = of("Transfer-Encoding: Chunked\r\n").unwrap();
        assert!(matches!(chunks.framing, BodyFraming::Chunked(_)) && chunks.reusable);
        let open = of("").unwrap();
        assert!(matches!(open.framing, BodyFraming::UntilClose) && !open.reusable);
        let both = of("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n").unwrap();
        assert!(matches!(both.framing, BodyFraming::Chunked(_)) && !both.reusable);
        assert!(!of("Content-Length: 5\r\nConnection: x, Close\r\n").unwrap().reusable);
        let old = "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n";
        assert!(!parsed(&format!("{old}\r\n"), &Method::GET).unwrap().reusable);
        assert!(parsed(&format!("{old}Connection: keep-alive\r\n\r\n"), &Method::GET).unwrap().reusable);
    }

    #[test]
    fn some_answers_have_no_body() {
        for text in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"] {
            assert!(matches!(parsed(text, &Method::GET).unwrap().framing, BodyFraming::Length(0)), "{text}");
        }
        let head = parsed("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", &Method::HEAD).unwrap();
        assert!(matches!(head.framing, BodyFraming::Length(0)) && head.reusable);
    }

    #[test]
    fn what_comes_before_the_answer_is_skipped() {
        let text =
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nrest";
        let head = parsed(text, &Method::GET).unwrap();
        assert!(head.parts.status == 200 && head.parts.headers.is_empty() && head.rest == "rest");
        let cut = parse(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2".to_vec(), &Method::GET).unwrap();
        assert!(matches!(cut, ParsedHead::Partial(rest) if rest == b"HTTP/1.1 2"));
        assert_eq!(parsed("HTTP/1.1 101 Switching Protocols\r\n\r\n", &Method::GET).unwrap().parts.status, 101);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for headers in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -5\r\n",
            "Content-Length: \r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "X: a\r\n folded\r\n",
            "X : a\r\n",
            "X: a\0b\r\n",
        ] {
            assert_eq!(of(headers).unwrap_err(), MalformedHead, "{headers:?}");
        }
        let malformed = |text: &str| parse(text.as_bytes().to_vec(), &Method::GET).is_err();
        assert!(malformed("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert!(malformed("HTTP/2.0 200 OK\r\n\r\n") && malformed("SSH-2.0-OpenSSH\r\n") && malformed("\x16\x03\x01"));
        assert!(malformed(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS + 1))));
        assert!(malformed(&format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(LONGEST))));
    }
}
