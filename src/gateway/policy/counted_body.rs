//! Reads a body for counting alone: no rule depends on it, so it is forwarded as it came, and never refused for the sake of counting.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::HeaderMap;
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;

use super::body::{Limits, announced_length, fault_of_the_sender, is_packed, limited};
use super::json::is_too_deep;
use super::request_use::{INCLUDE_USAGE, PassedBytes, RequestUse, STREAM_OPTIONS};
use super::scan_budget::Reservation;
use super::scanned_body::ScannedBody;
use super::scanner::{MAX_SCANNED_INLINE, Scanner};
use super::unpack::unpack;
use crate::gateway::authn::Caller;
use crate::gateway::rejection::Rejection;

/// A body of at most this many bytes waits for memory. A longer one is forwarded unread if no memory is free.
const WAITS: usize = 256 * 1024;
/// How often it looks for memory, and the pause after each.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// A body that may have been read.
pub struct CountedBody {
    /// What to forward.
    pub body: Body,
    /// What it says.
    pub used: RequestUse,
    /// It was packed, and is forwarded unpacked.
    pub is_unpacked: bool,
}

/// See the module.
///
/// # Errors
/// Those of the body: 413 when it is too large, 408 when it comes too slowly, 400 when it breaks off.
pub async fn counted(
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
    path: &'static str,
    limits: Limits,
    scanner: &Scanner,
) -> Result<CountedBody, Rejection> {
    let mut body = limited(body, headers, limits.of(path))?;
    let most = usize::try_from(limits.scanned().bytes).unwrap_or(usize::MAX);
    let announced = body.size_hint().exact().or_else(|| announced_length(headers));
    let announced = announced.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    let mut reservation = scanner.reserve_for_counting(caller, limits.counting());
    let (Ok(is_packed), true) = (is_packed(headers), has_room(&mut reservation, announced, most).await) else {
        let (body, used) = unread(body, 0, announced);
        return Ok(CountedBody { body, used, is_unpacked: false });
    };
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            fault_of_the_sender(&error).unwrap_or_else(|| Rejection::new(400, "the request body ended early"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > most || reservation.append(&mut bytes, &data).is_err() {
            let (body, used) = unread(body, bytes.len() + data.len(), announced);
            let begin = Body::new(ScannedBody::new([bytes.into(), data], reservation));
            let body = Body::from_stream(begin.into_data_stream().chain(body.into_data_stream()));
            return Ok(CountedBody { body, used, is_unpacked: false });
        }
    }
    let (bytes, limit) = (Bytes::from(bytes), limits.scanned());
    if !is_packed && bytes.len() <= MAX_SCANNED_INLINE {
        let read = if is_too_deep(&bytes) { None } else { RequestUse::read(path, &bytes) };
        return Ok(read_body(bytes, None, read, reservation));
    }
    let (sent, mut unpacking) = (bytes.clone(), scanner.reserve_for_counting(caller, limits.counting()));
    let work = move || {
        let unpacked = match is_packed {
            true => unpack(&bytes, limit, &mut unpacking).ok().map(Bytes::from),
            false => None,
        };
        let text = if is_packed { unpacked.as_ref() } else { Some(&bytes) };
        let read = text.filter(|text| !is_too_deep(text)).and_then(|text| RequestUse::read(path, text));
        // What was unpacked is forwarded only if something is added to it.
        let is_forwarded = read.as_ref().is_some_and(|(used, _)| used.adds_usage);
        let (reservation, unpacked) = match unpacked.filter(|_| is_forwarded) {
            Some(unpacked) => (unpacking, Some(unpacked)),
            None => (reservation, None),
        };
        Ok(read_body(bytes, unpacked, read, reservation))
    };
    // What cannot be read is forwarded as it is.
    let unreadable = || CountedBody {
        used: RequestUse::unread(sent.len() as u64),
        body: Body::from(sent.clone()),
        is_unpacked: false,
    };
    Ok(scanner.run(caller, work).await.unwrap_or_else(|_| unreadable()))
}

/// The rest of a body of that length, of which so many bytes came, and what it says. Where no length is known, the rest is counted as it passes.
fn unread(rest: Body, begin: usize, announced: Option<usize>) -> (Body, RequestUse) {
    if let Some(length) = announced {
        return (rest, RequestUse::unread(length as u64));
    }
    let passed = PassedBytes::default();
    passed.add(begin);
    let used = RequestUse::passing(passed.clone());
    let rest = rest.map_frame(move |frame| {
        passed.add(frame.data_ref().map_or(0, Bytes::len));
        frame
    });
    (Body::new(rest), used)
}

/// Whether there is memory for a body of that length. A short one waits for it; what it takes is reserved while it comes.
async fn has_room(reservation: &mut Reservation, announced: Option<usize>, most: usize) -> bool {
    let expected = announced.unwrap_or_default();
    if expected > most {
        return false;
    }
    for _ in 0..LOOKS {
        if reservation.would_grow(expected).is_ok() {
            return true;
        }
        if expected > WAITS {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
    }
    false
}

/// A body that was read in full. `read` is what it says, and where its object ends.
fn read_body(
    bytes: Bytes,
    unpacked: Option<Bytes>,
    read: Option<(RequestUse, usize)>,
    reservation: Reservation,
) -> CountedBody {
    let length = unpacked.as_ref().unwrap_or(&bytes).len() as u64;
    let Some((used, end)) = read else {
        let body = Body::new(ScannedBody::new([bytes], reservation));
        return CountedBody { body, used: RequestUse::unread(length), is_unpacked: false };
    };
    if !used.adds_usage {
        return CountedBody { body: Body::new(ScannedBody::new([bytes], reservation)), used, is_unpacked: false };
    }
    let is_unpacked = unpacked.is_some();
    let text = unpacked.unwrap_or(bytes);
    // What follows the object is ignored.
    let member = Bytes::from(format!(",\"{STREAM_OPTIONS}\":{INCLUDE_USAGE}}}"));
    let body = Body::new(ScannedBody::new([text.slice(..end), member], reservation));
    CountedBody { body, used, is_unpacked }
}
