//! Parses the head of a response and finds out how its body ends (RFC 9112, section 6.3). A head that two readers could read differently is
//! an error.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::Entry;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};
use thiserror::Error;

use super::chunked::{ChunkedDecoder, MalformedChunks};

/// The largest head, in bytes, and the most headers in it.
const MAX_SIZE: usize = 64 * 1024;
const MAX_HEADERS: usize = 128;

/// What arrived is not a valid HTTP/1 response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the response head is malformed")]
pub struct MalformedHead;

/// How the end of a body is found.
#[derive(Debug)]
pub enum BodyFraming {
    /// After this many more bytes.
    Length(u64),
    /// With its last chunk.
    Chunked(ChunkedDecoder),
    /// With the end of the connection.
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

    /// Whether the part of the body that was read so far is followed by a fault.
    ///
    /// # Errors
    /// When the chunks are malformed.
    pub fn check(&self) -> Result<(), MalformedChunks> {
        if let Self::Chunked(chunks) = self { chunks.check() } else { Ok(()) }
    }

    /// Decodes a piece in place: the bytes of the body move to its beginning. Returns how many they are, and how many bytes of the piece
    /// were used.
    ///
    /// # Errors
    /// When the chunks are malformed.
    pub fn decode(&mut self, piece: &mut [u8]) -> Result<(usize, usize), MalformedChunks> {
        match self {
            Self::UntilClose => Ok((piece.len(), piece.len())),
            Self::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                *left -= length as u64;
                Ok((length, length))
            }
            Self::Chunked(chunks) => chunks.decode(piece).map(|decoded| (decoded.body, decoded.used)),
        }
    }
}

/// A head, and the bytes that arrived with it.
#[derive(Debug)]
pub struct ResponseHead {
    /// Status, version and headers.
    pub parts: Parts,
    /// How the body ends.
    pub framing: BodyFraming,
    /// The connection can be used again once the body was read to its end.
    pub reusable: bool,
    /// The beginning of the body, as far as it arrived with the head.
    pub rest: Bytes,
}

/// The result of [`parse`].
#[derive(Debug)]
pub enum ParsedHead {
    /// The whole head.
    Complete(Box<ResponseHead>),
    /// The head is not complete yet: the bytes, to be extended and parsed again.
    Partial(Vec<u8>),
}

/// Parses the head of a response to a request with that method. Informational responses before it (100 and the like) are skipped.
///
/// # Errors
/// [`MalformedHead`].
pub fn parse(received: Vec<u8>, method: &Method) -> Result<ParsedHead, MalformedHead> {
    let mut received = Bytes::from(received);
    loop {
        let mut slots = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let (parser, mut response) = (httparse::ParserConfig::default(), httparse::Response::new(&mut []));
        let parsed = parser.parse_response_with_uninit_headers(&mut response, &received, &mut slots);
        let length = match parsed.map_err(|_| MalformedHead)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial if received.len() > MAX_SIZE => return Err(MalformedHead),
            httparse::Status::Partial => return Ok(ParsedHead::Partial(received.into())),
        };
        let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(MalformedHead)?;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            received = received.slice(length..);
            continue;
        }
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.status = status;
        parts.version = if response.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
        for header in response.headers.iter() {
            let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| MalformedHead)?;
            let value = HeaderValue::from_maybe_shared(received.slice_ref(header.value)).map_err(|_| MalformedHead)?;
            parts.headers.append(name, value);
        }
        let framing = framing(&parts, method)?;
        if let Entry::Occupied(mut lengths) = parts.headers.entry(header::CONTENT_LENGTH) {
            // A duplicate `Content-Length` is reduced to one: hyper would not send both in a response to HEAD.
            let length = lengths.get().clone();
            lengths.insert(length);
        }
        let reusable = !matches!(framing, BodyFraming::UntilClose) && keeps_alive(&parts);
        return Ok(ParsedHead::Complete(Box::new(ResponseHead {
            parts,
            framing,
            reusable,
            rest: received.slice(length..),
        })));
    }
}

fn framing(parts: &Parts, method: &Method) -> Result<BodyFraming, MalformedHead> {
    let Parts { status, headers, version, .. } = parts;
    let no_body = *method == Method::HEAD || matches!(*status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if no_body {
        return Ok(BodyFraming::Length(0));
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        // No other coding was asked for, and HTTP/1.0 has no chunks.
        let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        let readable = chunked && *version == Version::HTTP_11;
        return if readable { Ok(BodyFraming::Chunked(ChunkedDecoder::default())) } else { Err(MalformedHead) };
    }
    length(headers).map(|length| length.map_or(BodyFraming::UntilClose, BodyFraming::Length))
}

/// The announced length. The same length twice is accepted.
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

fn keeps_alive(parts: &Parts) -> bool {
    let has_option = |name: &str| {
        let values = parts.headers.get_all(header::CONNECTION).iter();
        // As bytes: the other options need not be text.
        let mut options = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    };
    // A server that announces both may have framed the body by its length.
    let ambiguous =
        parts.headers.contains_key(header::TRANSFER_ENCODING) && parts.headers.contains_key(header::CONTENT_LENGTH);
    let open = if parts.version == Version::HTTP_10 { has_option("keep-alive") } else { !has_option("close") };
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

    fn with_headers(headers: &str) -> Result<ResponseHead, MalformedHead> {
        parsed(&format!("HTTP/1.1 200 OK\r\n{headers}\r\nrest"), &Method::GET)
    }

    #[test]
    fn framing_follows_the_headers() {
        let length = with_headers("Content-Length: 5\r\n").unwrap();
        assert!(matches!(length.framing, BodyFraming::Length(5)) && length.reusable && length.rest == "rest");
        assert!(matches!(
            with_headers("content-length: 5\r\nContent-Length: 5\r\n").unwrap().framing,
            BodyFraming::Length(5)
        ));
        let chunks = with_headers("Transfer-Encoding: Chunked\r\n").unwrap();
        assert!(matches!(chunks.framing, BodyFraming::Chunked(_)) && chunks.reusable);
        let open = with_headers("").unwrap();
        assert!(matches!(open.framing, BodyFraming::UntilClose) && !open.reusable);
        let both = with_headers("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n").unwrap();
        assert!(matches!(both.framing, BodyFraming::Chunked(_)) && !both.reusable);
        assert!(!with_headers("Content-Length: 5\r\nConnection: x, Close\r\n").unwrap().reusable);
        let old = "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n";
        assert!(!parsed(&format!("{old}\r\n"), &Method::GET).unwrap().reusable);
        assert!(parsed(&format!("{old}Connection: keep-alive\r\n\r\n"), &Method::GET).unwrap().reusable);
    }

    #[test]
    fn head_204_and_304_have_no_body() {
        for text in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"] {
            assert!(matches!(parsed(text, &Method::GET).unwrap().framing, BodyFraming::Length(0)), "{text}");
        }
        let head = parsed("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", &Method::HEAD).unwrap();
        assert!(matches!(head.framing, BodyFraming::Length(0)) && head.reusable);
    }

    #[test]
    fn informational_responses_are_skipped() {
        let text =
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nrest";
        let head = parsed(text, &Method::GET).unwrap();
        assert!(head.parts.status == 200 && head.parts.headers.is_empty() && head.rest == "rest");
        let cut = parse(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2".to_vec(), &Method::GET).unwrap();
        assert!(matches!(cut, ParsedHead::Partial(rest) if rest == b"HTTP/1.1 2"));
        assert_eq!(parsed("HTTP/1.1 101 Switching Protocols\r\n\r\n", &Method::GET).unwrap().parts.status, 101);
    }

    #[test]
    fn an_ambiguous_head_is_malformed() {
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
            assert_eq!(with_headers(headers).unwrap_err(), MalformedHead, "{headers:?}");
        }
        let malformed = |text: &str| parse(text.as_bytes().to_vec(), &Method::GET).is_err();
        assert!(malformed("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert!(malformed("HTTP/2.0 200 OK\r\n\r\n") && malformed("SSH-2.0-OpenSSH\r\n") && malformed("\x16\x03\x01"));
        assert!(malformed(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1))));
        assert!(malformed(&format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MAX_SIZE))));
    }
}
