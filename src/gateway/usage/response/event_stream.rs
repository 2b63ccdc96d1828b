//! The messages of a stream of server-sent events, line by line.
//!
//! A line ends with a line feed, with or without a carriage return before it. A message counts when its JSON object is whole; the empty line
//! that ends the event may still be to come.

use memchr::memchr;

use super::api::Api;
use super::follower::{MemberFollower, Progress};
use super::message::{EventType, Message};
use super::token_line::{TokenLine, TokenLines};
use super::watched::Watched;

/// The longest name of a field, and the longest type of an event, that is kept, in bytes.
const MAX_KEPT: usize = 48;
const DONE: &[u8] = b"[DONE]";

/// What a line brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineResult<'a> {
    /// Nothing new.
    Nothing,
    /// A message is whole.
    Message,
    /// A whole event with that message.
    Event(TokenLine<'a>),
    /// The mark at the end of an `OpenAI` stream.
    DoneMark,
    /// The event ended.
    EventEnd,
}

/// Where in a line the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the name of its field.
    Name,
    /// Before its data.
    BeforeData,
    /// In an object.
    Json,
    /// After so many bytes of [`DONE`].
    DoneMark(usize),
    /// In the type of the event.
    EventType,
    /// In something else.
    Ignored,
}

/// The data of the current event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventData {
    /// None came yet.
    None,
    /// An object that is not whole yet.
    Open,
    /// A whole object, or a text that is not one.
    Over,
}

/// Reads a stream of events.
#[derive(Debug)]
pub struct EventStream {
    tokens: TokenLines,
    follower: MemberFollower,
    place: Place,
    data: EventData,
    /// Nothing of the current event came yet.
    is_at_begin: bool,
    message: Message,
    kept: [u8; MAX_KEPT],
    kept_length: usize,
}

impl EventStream {
    /// Reads events with objects of which `root` is watched.
    pub fn new(api: Api, root: &'static Watched) -> Self {
        Self {
            tokens: TokenLines::new(api),
            follower: MemberFollower::new(root),
            place: Place::Name,
            data: EventData::None,
            is_at_begin: true,
            message: Message::NONE,
            kept: [0; MAX_KEPT],
            kept_length: 0,
        }
    }

    /// The message that is being read, or that has just become whole.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The data of the current event.
    pub fn data(&self) -> EventData {
        self.data
    }

    /// Reads up to the end of a line, or of the bytes, or an event at once. Says how many bytes it took; there must be some.
    pub fn push_line<'a>(&mut self, bytes: &'a [u8]) -> (usize, LineResult<'a>) {
        if std::mem::take(&mut self.is_at_begin)
            && let Some(event) = self.tokens.in_events(bytes)
        {
            self.is_at_begin = true;
            return (event.length, LineResult::Event(event));
        }
        // A message that was whole has been seen by now.
        if self.data == EventData::Over {
            self.message = Message::NONE;
        }
        let end = memchr(b'\n', bytes);
        let line = &bytes[..end.unwrap_or(bytes.len())];
        let mut result = self.push_part(line);
        let Some(end) = end else { return (bytes.len(), result) };
        match self.place {
            Place::Name if matches!(&self.kept[..self.kept_length], b"" | b"\r") => {
                self.follower.restart();
                self.message = Message::NONE;
                self.data = EventData::None;
                self.is_at_begin = true;
                result = LineResult::EventEnd;
            }
            Place::EventType if self.data == EventData::None => {
                let name = &self.kept[..self.kept_length];
                let name = name.strip_suffix(b"\r").unwrap_or(name);
                self.message.event_type = EventType::parse(name);
            }
            _ => {}
        }
        self.kept_length = 0;
        self.place = Place::Name;
        (end + 1, result)
    }

    /// Reads a part of a line, without its end.
    fn push_part(&mut self, mut part: &[u8]) -> LineResult<'static> {
        if self.place == Place::Name && self.kept_length == 0 && part.starts_with(b"data:") {
            self.place = Place::BeforeData;
            part = &part[5..];
        }
        while let Some(first) = part.first() {
            let taken = match self.place {
                Place::Name if *first == b':' => {
                    self.place = match &self.kept[..self.kept_length] {
                        b"data" => Place::BeforeData,
                        b"event" => Place::EventType,
                        _ => Place::Ignored,
                    };
                    self.kept_length = 0;
                    1
                }
                Place::EventType if self.kept_length == 0 && *first == b' ' => 1,
                Place::Name | Place::EventType => {
                    self.keep(*first);
                    1
                }
                Place::BeforeData if first.is_ascii_whitespace() => 1,
                Place::BeforeData => {
                    self.begin_data(*first);
                    0
                }
                Place::Json => {
                    let (taken, progress) = self.follower.push(part, &mut self.message);
                    if progress != Progress::Open {
                        self.data = EventData::Over;
                        self.place = Place::Ignored;
                    }
                    match progress {
                        Progress::Closed => return LineResult::Message,
                        Progress::Broken => self.message = Message::NONE,
                        Progress::Open => {}
                    }
                    taken
                }
                Place::DoneMark(at) if *first == DONE[at] => {
                    if at + 1 == DONE.len() {
                        self.place = Place::Ignored;
                        return LineResult::DoneMark;
                    }
                    self.place = Place::DoneMark(at + 1);
                    1
                }
                Place::DoneMark(_) => {
                    self.place = Place::Ignored;
                    1
                }
                Place::Ignored => part.len(),
            };
            part = &part[taken..];
        }
        LineResult::Nothing
    }

    fn begin_data(&mut self, first: u8) {
        self.place = match (self.data, first) {
            // An object can go over several lines of data.
            (EventData::Open, _) => Place::Json,
            (EventData::None, b'{') => {
                self.follower.restart();
                self.data = EventData::Open;
                Place::Json
            }
            (EventData::None, b'[') => {
                self.data = EventData::Over;
                Place::DoneMark(0)
            }
            _ => {
                self.data = EventData::Over;
                Place::Ignored
            }
        };
    }

    fn keep(&mut self, byte: u8) {
        // One that is longer means nothing to us.
        match self.kept.get_mut(self.kept_length) {
            Some(place) => {
                *place = byte;
                self.kept_length += 1;
            }
            None => self.place = Place::Ignored,
        }
    }
}
