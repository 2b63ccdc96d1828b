//! The body of a response that is counted on its way to the caller.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};

use super::meter::Meter;
use super::response::Ended;
use crate::gateway::telemetry::RequestTracker;

/// The bytes of the longest end of a message.
const LONGEST_END: usize = 4;

/// See the module. Without a meter it is the body as it is.
pub struct MeteredBody<B: HttpBody> {
    body: B,
    meter: Option<Meter>,
    /// Records the request.
    tracker: RequestTracker,
    /// What comes after what was held back.
    end: Option<Result<(), BoxError>>,
    ended: bool,
    /// The last bytes that were passed on, of a stream that may be cut off.
    last: Vec<u8>,
}

impl<B: HttpBody> MeteredBody<B> {
    /// Counts `body`; the request is over when this is dropped.
    pub fn new(body: B, meter: Option<Meter>, tracker: RequestTracker) -> Self {
        Self { body, meter, tracker, end: None, ended: false, last: Vec::new() }
    }

    /// Whether its length is that of the upstream server's response.
    fn keeps_length(&self) -> bool {
        self.meter.as_ref().is_none_or(|meter| !meter.changes_length())
    }

    /// Cuts a stream off at the end of a message, if its budget says so and one ends in or before this piece: what is passed on then.
    fn cut_off(&mut self, piece: Bytes) -> Bytes {
        let Some(meter) = self.meter.as_mut().filter(|meter| meter.may_be_cut()) else { return piece };
        if let Some((message_ends, error)) = meter.cut()
            && let Some(end) = last_end(&self.last, &piece, message_ends)
        {
            self.ended = true;
            // What was held back of it is dropped.
            let _ = meter.finish(Ended::Broken);
            return [&piece[..end], &error].concat().into();
        }
        self.last.extend_from_slice(&piece[piece.len().saturating_sub(LONGEST_END)..]);
        self.last.drain(..self.last.len().saturating_sub(LONGEST_END));
        piece
    }
}

/// Where in a piece the last message ends, given the bytes before it; 0 if it begins with a message.
fn last_end(before: &[u8], piece: &[u8], message_ends: &[&[u8]]) -> Option<usize> {
    let text = [before, piece].concat();
    let ends = message_ends.iter().filter_map(|end| memchr::memmem::rfind(&text, end).map(|at| at + end.len()));
    let first = before.is_empty().then_some(0);
    ends.chain(first).max().and_then(|end| end.checked_sub(before.len()))
}

impl<B> HttpBody for MeteredBody<B>
where
    B: HttpBody<Data = Bytes, Error = BoxError> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            if let Some(end) = this.end.take() {
                return Poll::Ready(end.err().map(Err));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
            let Some(meter) = &mut this.meter else {
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
                this.tracker.add_bytes(data.map_or(0, |data| data.len() as u64));
                return Poll::Ready(frame);
            };
            let (ended, end) = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let data = meter.pass(data);
                        let data = this.cut_off(data);
                        if data.is_empty() {
                            continue;
                        }
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => (Ended::Broken, Err(error)),
                None => (Ended::Clean, Ok(())),
            };
            this.ended = true;
            this.end = Some(end);
            let held = meter.finish(ended);
            if !held.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(held))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.keeps_length() {
            true => self.body.is_end_stream(),
            false => self.ended && self.end.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.keeps_length() { self.body.size_hint() } else { SizeHint::default() }
    }
}

impl<B: HttpBody> Drop for MeteredBody<B> {
    fn drop(&mut self) {
        // The server may not ask for the end of a body that says that it has ended.
        if !self.ended
            && self.body.is_end_stream()
            && let Some(meter) = &mut self.meter
        {
            let _ = meter.finish(Ended::Clean);
        }
        if let Some(meter) = &self.meter {
            meter.report(&mut self.tracker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_message_is_found_across_pieces() {
        const EVENTS: &[&[u8]] = &[b"\n\n", b"\r\n\r\n"];
        for (before, piece, end) in [
            ("", "data: a\n\n", Some(9)),
            ("", "data: a\n\ndata: b", Some(9)),
            ("", "data: a", Some(0)),
            ("\n", "\ndata: b", Some(1)),
            ("a\n\n", "data: b", Some(0)),
            ("\n\nd", "ata: b", None),
            ("a\r\n", "\r\ndata: b", Some(2)),
            ("\n\r", "\ndata: b", None),
            ("\r\n\r", "\ndata: b", Some(1)),
            ("a\n\n", "", Some(0)),
            ("\n{", "\"model\"", None),
        ] {
            assert_eq!(last_end(before.as_bytes(), piece.as_bytes(), EVENTS), end, "{before:?} {piece:?}");
        }
        assert_eq!(last_end(b"}\n{", b"\"model\"", &[b"\n"]), None);
        assert_eq!(last_end(b"}", b"\n{}", &[b"\n"]), Some(1));
    }
}
