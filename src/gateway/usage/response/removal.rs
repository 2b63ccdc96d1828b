//! Takes the usage event out of a stream whose caller did not ask for it.
//!
//! Ollama adds one event for `include_usage`, between that with the finish reason and `[DONE]`, and changes nothing else (read in
//! `middleware/openai.go`; `tests/go_responses` makes both).

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::event_stream::{EventData, EventStream, LineResult};
use super::tally::Tally;

/// The longest event that is held back until it is known whether it is that of usage, in bytes. A longer one is passed on.
pub const MAX_HELD: usize = 256 * 1024;

/// What is known of the current event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing yet.
    Unknown,
    /// It is passed on.
    Passed,
    /// It is taken out.
    TakenOut,
}

/// Takes usage events out.
#[derive(Debug)]
pub struct UsageRemoval {
    /// The beginning of the current event, which came in pieces before.
    held: BytesMut,
    verdict: Verdict,
}

impl UsageRemoval {
    /// Nothing came yet.
    pub fn new() -> Self {
        Self { held: BytesMut::new(), verdict: Verdict::Unknown }
    }

    /// Reads a piece of the stream, and gives back what of it and of what was held goes on.
    pub fn pass(&mut self, piece: Bytes, stream: &mut EventStream, tally: &mut Tally) -> Bytes {
        let mut out = Output { piece, before: BytesMut::new(), kept: 0..0 };
        // Where the current event, or what is here of it, begins.
        let (mut begin, mut at) = (0, 0);
        while at < out.piece.len() {
            let (taken, result) = stream.push_line(&out.piece[at..]);
            at += taken;
            match result {
                LineResult::Message => {
                    let is_usage = tally.is_usage_event(stream.message());
                    tally.add(stream.message());
                    if self.verdict == Verdict::Unknown {
                        self.decide(if is_usage { Verdict::TakenOut } else { Verdict::Passed }, &mut out);
                    }
                }
                LineResult::Event(event) => {
                    tally.add_token(event);
                    out.keep(begin..at);
                    begin = at;
                }
                LineResult::DoneMark => {
                    tally.set_final();
                    self.decide(Verdict::Passed, &mut out);
                }
                LineResult::Nothing => {
                    let is_known = stream.message().has_choices == Some(true) || stream.data() == EventData::Over;
                    if is_known && self.verdict == Verdict::Unknown {
                        self.decide(Verdict::Passed, &mut out);
                    }
                }
                LineResult::EventEnd => {
                    if self.verdict != Verdict::TakenOut {
                        self.decide(Verdict::Passed, &mut out);
                        out.keep(begin..at);
                    }
                    self.verdict = Verdict::Unknown;
                    begin = at;
                }
            }
        }
        let rest = &out.piece[begin..];
        if self.verdict == Verdict::Unknown && self.held.len() + rest.len() > MAX_HELD {
            self.decide(Verdict::Passed, &mut out);
        }
        match self.verdict {
            Verdict::Passed => out.keep(begin..at),
            Verdict::Unknown => self.held.extend_from_slice(&out.piece[begin..]),
            Verdict::TakenOut => {}
        }
        out.into_bytes()
    }

    /// Decides about the current event. What was held of it is let go of.
    fn decide(&mut self, verdict: Verdict, out: &mut Output) {
        self.verdict = verdict;
        let held = std::mem::take(&mut self.held);
        if verdict == Verdict::Passed && !held.is_empty() {
            out.put_before(held);
        }
    }

    /// Whether what is held goes on if nothing follows. After the finish reason, an object that is not whole is the beginning of the usage event.
    fn passes_at_end(&self, stream: &EventStream, tally: &Tally) -> bool {
        !(tally.has_finish_reason() && stream.data() == EventData::Open)
    }

    /// How many bytes of what is held go on if nothing follows.
    pub fn held(&self, stream: &EventStream, tally: &Tally) -> usize {
        if self.passes_at_end(stream, tally) { self.held.len() } else { 0 }
    }

    /// The stream has ended: gives back what was held.
    pub fn finish(&mut self, stream: &EventStream, tally: &Tally) -> Bytes {
        let held = std::mem::take(&mut self.held);
        if self.passes_at_end(stream, tally) { held.freeze() } else { Bytes::new() }
    }
}

/// What goes on: some bytes, and then a part of the piece. It is copied only if it does not stand in one place.
struct Output {
    piece: Bytes,
    before: BytesMut,
    kept: Range<usize>,
}

impl Output {
    /// That part of the piece goes on too. Parts come in their order.
    fn keep(&mut self, part: Range<usize>) {
        if self.kept.is_empty() {
            self.kept = part;
        } else if self.kept.end == part.start {
            self.kept.end = part.end;
        } else {
            self.before.extend_from_slice(&self.piece[self.kept.clone()]);
            self.kept = part;
        }
    }

    /// What came before the piece goes on. Nothing of the piece does yet.
    fn put_before(&mut self, held: BytesMut) {
        debug_assert!(self.kept.is_empty() && self.before.is_empty(), "what is held came first");
        self.before = held;
    }

    fn into_bytes(mut self) -> Bytes {
        if self.before.is_empty() {
            return self.piece.slice(self.kept);
        }
        self.before.extend_from_slice(&self.piece[self.kept]);
        self.before.freeze()
    }
}
