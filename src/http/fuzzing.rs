//! Responses of the upstream server: read as the gateway reads them, in any pieces, and again, slowly, here. Both find the same
//! head, the same body and the same end, and neither finds an end where there is none.
//!
//! The first line is `G` or `H` for a response to GET or HEAD, then bytes that say how long the pieces are; the rest is what comes.

use http::response::Parts;
use http::{Method, StatusCode, Version};

use super::client::response_head::{self, BodyFraming, ParsedHead};

/// Longer inputs meet limits that the slow reader does not have.
const MAX_INPUT_LENGTH: usize = 4096;

/// How a body continues after the bytes so far.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It has ended, and this came behind it.
    Whole(Vec<u8>),
    /// There may be more.
    Open,
    /// What follows is not part of it.
    Fault,
}

/// A response, as far as it came.
#[derive(Debug, PartialEq, Eq)]
struct Response {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    reusable: bool,
    body: Vec<u8>,
    end: End,
}

/// Reads a response in three ways of cutting it.
///
/// # Panics
/// When it makes a difference how it is cut, or when the slow reader reads something else.
pub fn response(data: &[u8]) {
    let Some(line) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (sizes, came) = (&data[..line], &data[line + 1..]);
    let (method, sizes) = match sizes.split_first() {
        Some((b'G', sizes)) => (Method::GET, sizes),
        Some((b'H', sizes)) => (Method::HEAD, sizes),
        _ => return,
    };
    if came.len() > MAX_INPUT_LENGTH {
        return;
    }
    let whole = read(&[came], &method);
    let bytes: Vec<&[u8]> = came.chunks(1).collect();
    assert_eq!(read(&bytes, &method), whole, "byte by byte");
    let (mut pieces, mut rest) = (Vec::new(), came);
    for size in sizes.iter().cycle().take(MAX_INPUT_LENGTH) {
        let (piece, after) = rest.split_at(rest.len().min(usize::from(*size).max(1)));
        pieces.push(piece);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    pieces.push(rest);
    assert_eq!(read(&pieces, &method), whole, "in pieces");
    // What is refused may be so for many reasons; what is taken is taken for what it is.
    if let Ok(Some(whole)) = whole {
        assert_eq!(whole, slow(came, &method), "{}", came.escape_ascii());
    }
}

/// As the gateway does: nothing while the head is not whole.
fn read(pieces: &[&[u8]], method: &Method) -> Result<Option<Response>, response_head::MalformedHead> {
    let (mut came, mut pieces) = (Vec::new(), pieces.iter());
    let head = loop {
        let Some(piece) = pieces.next() else { return Ok(None) };
        came.extend_from_slice(piece);
        match response_head::parse(std::mem::take(&mut came), method)? {
            ParsedHead::Complete(head) => break *head,
            ParsedHead::Partial(rest) => came = rest,
        }
    };
    let (mut framing, mut body, mut end) = (head.framing, Vec::new(), End::Open);
    for piece in std::iter::once(&*head.rest).chain(pieces.copied()) {
        if let End::Whole(rest) = &mut end {
            rest.extend_from_slice(piece);
            continue;
        }
        let mut used = 0;
        if !framing.has_ended() {
            let mut piece = piece.to_vec();
            let Ok((length, read)) = framing.decode(&mut piece) else {
                end = End::Fault;
                break;
            };
            body.extend_from_slice(&piece[..length]);
            used = read;
            if framing.check().is_err() {
                end = End::Fault;
                break;
            }
        }
        if framing.has_ended() {
            end = End::Whole(piece[used..].to_vec());
        } else {
            assert_eq!(used, piece.len(), "something was left in the midst");
        }
    }
    assert!(!matches!(framing, BodyFraming::UntilClose) || !head.reusable, "a connection ends twice");
    Ok(Some(Response {
        status: head.parts.status.as_u16(),
        headers: headers(&head.parts),
        reusable: head.reusable,
        body,
        end,
    }))
}

fn headers(parts: &Parts) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> =
        parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    all.sort();
    all
}

/// A line without its end, and what follows it.
fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or_else(|| panic!("a head without an end"));
    let line = &bytes[..at];
    (line.strip_suffix(b"\r").unwrap_or(line), &bytes[at + 1..])
}

/// Reads what was taken, all of it at once.
fn slow(came: &[u8], method: &Method) -> Response {
    let mut rest = came;
    let (status, version, mut fields) = loop {
        let mut first;
        (first, rest) = line(rest);
        while first.is_empty() {
            (first, rest) = line(rest);
        }
        let text = String::from_utf8_lossy(first);
        let version = if text.starts_with("HTTP/1.0 ") { Version::HTTP_10 } else { Version::HTTP_11 };
        assert!(version == Version::HTTP_10 || text.starts_with("HTTP/1.1 "), "{text}");
        let status: u16 = text[9..12].parse().unwrap_or_else(|_| panic!("{text}"));
        assert!(matches!(first.get(12), None | Some(b' ')), "{text}");
        let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
        loop {
            let field;
            (field, rest) = line(rest);
            let Some(colon) = field.iter().position(|byte| *byte == b':') else {
                assert!(field.is_empty(), "a line without a colon: {}", field.escape_ascii());
                break;
            };
            let name = String::from_utf8_lossy(&field[..colon]).to_ascii_lowercase();
            assert!(!name.contains(|c: char| c.is_whitespace() || c.is_control()), "{name:?}");
            let value = field[colon + 1..].trim_ascii();
            assert!(!value.contains(&0) && !value.contains(&b'\r'), "{name}: {}", value.escape_ascii());
            fields.push((name, value.to_vec()));
        }
        if !(100..200).contains(&status) || status == StatusCode::SWITCHING_PROTOCOLS.as_u16() {
            break (status, version, fields);
        }
    };
    let of = |wanted: &str| -> Vec<String> {
        let values = fields.iter().filter(|(name, _)| name == wanted);
        values.map(|(_, value)| String::from_utf8_lossy(value).to_ascii_lowercase()).collect()
    };
    let (codings, lengths) = (of("transfer-encoding"), of("content-length"));
    let says = |word: &str| of("connection").iter().any(|value| value.split(',').any(|said| said.trim() == word));
    let none = *method == Method::HEAD || status == 204 || status == 304;
    let mut reusable = status != 101 && (codings.is_empty() || lengths.is_empty());
    reusable &= if version == Version::HTTP_10 { says("keep-alive") } else { !says("close") };
    let (body, end) = if none {
        (Vec::new(), End::Whole(rest.to_vec()))
    } else if !codings.is_empty() {
        assert!(codings == ["chunked"] && version == Version::HTTP_11, "{codings:?}");
        chunks(rest)
    } else if let Some(length) = lengths.first() {
        assert!(lengths.iter().all(|other| other == length), "{lengths:?}");
        assert!(!length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()), "{length:?}");
        let length: u128 = length.parse().unwrap_or_else(|_| panic!("{length:?}"));
        match usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)) {
            Some((body, after)) => (body.to_vec(), End::Whole(after.to_vec())),
            None => (rest.to_vec(), End::Open),
        }
    } else {
        reusable = false;
        (rest.to_vec(), End::Open)
    };
    // A length that is given twice is forwarded once.
    let mut named = false;
    fields.retain(|(name, _)| name != "content-length" || !std::mem::replace(&mut named, true));
    fields.sort();
    Response { status, headers: fields, reusable, body, end }
}

/// What there is of a line in chunks: whole, with what follows it, or its beginning. `None` for one with a control character in it.
fn chunk_line(bytes: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let at = bytes.iter().position(|byte| byte.is_ascii_control() && *byte != b'\t').unwrap_or(bytes.len());
    match &bytes[at..] {
        [] | b"\r" => Some((&bytes[..at], None)),
        [b'\r', b'\n', after @ ..] => Some((&bytes[..at], Some(after))),
        _ => None,
    }
}

/// Chunks by the grammar (RFC 9112, section 7.1), line by line.
fn chunks(mut rest: &[u8]) -> (Vec<u8>, End) {
    let mut body = Vec::new();
    let size = loop {
        let Some((line, after)) = chunk_line(rest) else { break Err(End::Fault) };
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let ended = digits < line.len() || rest.len() > line.len();
        if digits > 16 || (digits == 0 && ended) || !matches!(line.get(digits), None | Some(b';' | b' ' | b'\t')) {
            break Err(End::Fault);
        }
        let Some(after) = after else { break Err(End::Open) };
        let text = std::str::from_utf8(&line[..digits]).unwrap_or_default();
        let size = u64::from_str_radix(text, 16).unwrap_or_else(|_| panic!("{text:?}"));
        if size == 0 {
            break Ok(after);
        }
        let length = usize::try_from(size).unwrap_or(usize::MAX).min(after.len());
        body.extend_from_slice(&after[..length]);
        rest = match &after[length..] {
            [] | b"\r" => break Err(End::Open),
            [b'\r', b'\n', next @ ..] => next,
            _ => break Err(End::Fault),
        };
    };
    let end = size.map_or_else(
        |end| end,
        |mut rest| loop {
            let Some((line, after)) = chunk_line(rest) else { break End::Fault };
            match after {
                None => break End::Open,
                Some(after) if line.is_empty() => break End::Whole(after.to_vec()),
                Some(after) => rest = after,
            }
        },
    );
    (body, end)
}
