//! The messages of a whole JSON body, or of a stream with one JSON object a line (NDJSON).
//!
//! Both are a sequence of objects. A line that is not an object is skipped.

use memchr::memchr;

use super::api::Api;
use super::follower::{MemberFollower, Progress};
use super::message::Message;
use super::token_line::{TokenLine, TokenLines};
use super::watched::Watched;

/// Where in the sequence the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Between,
    Inside,
    /// In a line that is no JSON.
    Unreadable,
}

/// A message that is whole.
pub enum Whole<'a> {
    /// Any.
    Message(&'a Message),
    /// One for a token.
    Token(TokenLine<'a>),
}

/// Reads a sequence of objects.
#[derive(Debug)]
pub struct JsonSequence {
    tokens: TokenLines,
    follower: MemberFollower,
    place: Place,
    message: Message,
}

impl JsonSequence {
    /// Reads objects of which `root` is watched.
    pub fn new(api: Api, root: &'static Watched) -> Self {
        Self {
            tokens: TokenLines::new(api),
            follower: MemberFollower::new(root),
            place: Place::Between,
            message: Message::NONE,
        }
    }

    /// The message that is being read.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Reads a piece, and calls `whole` with each message that ends in it.
    pub fn push(&mut self, mut piece: &[u8], mut whole: impl FnMut(Whole<'_>)) {
        while let Some(first) = piece.first() {
            let taken = match self.place {
                Place::Between if first.is_ascii_whitespace() => 1,
                Place::Between => match self.tokens.in_sequence(piece) {
                    Some(line) => {
                        whole(Whole::Token(line));
                        line.length
                    }
                    None => {
                        self.follower.restart();
                        self.place = Place::Inside;
                        0
                    }
                },
                Place::Inside => {
                    let (taken, progress) = self.follower.push(piece, &mut self.message);
                    if progress == Progress::Closed {
                        whole(Whole::Message(&self.message));
                    }
                    if progress != Progress::Open {
                        self.message = Message::NONE;
                        self.place = if progress == Progress::Closed { Place::Between } else { Place::Unreadable };
                    }
                    taken
                }
                Place::Unreadable => match memchr(b'\n', piece) {
                    Some(end) => {
                        self.place = Place::Between;
                        end + 1
                    }
                    None => piece.len(),
                },
            };
            piece = &piece[taken..];
        }
    }
}
