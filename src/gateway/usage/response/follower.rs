//! Follows the members of one JSON object, fed in pieces of any size, and keeps no more of it than a few bytes.
//!
//! Only the structure down to the watched members is checked. What is not watched is skipped: its strings and brackets are counted, and
//! nothing else. Names are compared as Go writes them, without escapes.

use super::message::{Field, Message};
use super::string_end::special;
use super::watched::{UNWATCHED, Watched};

/// How deep watched members are at most.
pub const MAX_OPEN: usize = 5;
/// The longest name, number or type that is kept, in bytes.
const MAX_TOKEN: usize = 48;

/// How far the object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More of it is to come.
    Open,
    /// Its last byte came.
    Closed,
    /// It is not JSON.
    Broken,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value, or the end of an array.
    Value,
    /// A name, or the end of an object.
    Name,
    InName,
    Colon,
    InString,
    InScalar,
    /// What follows a value.
    After,
    /// Inside something that is not watched.
    Skipped,
    InSkippedString,
}

/// A name, number or type, of which pieces came.
#[derive(Debug)]
struct Token {
    bytes: [u8; MAX_TOKEN],
    length: usize,
    /// It is too long, or has escapes.
    is_lost: bool,
}

impl Token {
    fn begin(&mut self) {
        (self.length, self.is_lost) = (0, false);
    }

    fn push(&mut self, piece: &[u8]) {
        match self.bytes.get_mut(self.length..self.length + piece.len()) {
            Some(room) => {
                room.copy_from_slice(piece);
                self.length += piece.len();
            }
            None => self.is_lost = true,
        }
    }

    /// All of it, with its last piece.
    #[inline]
    fn end<'a>(&'a mut self, piece: &'a [u8]) -> Option<&'a [u8]> {
        if self.length == 0 && !self.is_lost {
            return Some(piece);
        }
        self.push(piece);
        (!self.is_lost).then(|| &self.bytes[..self.length])
    }
}

/// An object or array that is watched.
#[derive(Clone, Copy, Debug)]
struct Container {
    watched: &'static Watched,
    is_array: bool,
}

/// Follows one object after the other.
#[derive(Debug)]
pub struct MemberFollower {
    root: &'static Watched,
    state: State,
    /// The open containers that are watched, the outermost first.
    open: [Container; MAX_OPEN],
    depth: usize,
    /// The value that comes next, or is being read.
    value: &'static Watched,
    /// How many containers are open that are not watched.
    skipped: u64,
    /// The last byte was a backslash.
    is_escaped: bool,
    token: Token,
}

impl MemberFollower {
    /// Follows objects of which `root` is watched.
    pub fn new(root: &'static Watched) -> Self {
        Self {
            root,
            state: State::Value,
            open: [Container { watched: &UNWATCHED, is_array: false }; MAX_OPEN],
            depth: 0,
            value: root,
            skipped: 0,
            is_escaped: false,
            token: Token { bytes: [0; MAX_TOKEN], length: 0, is_lost: false },
        }
    }

    /// Begins with another object.
    pub fn restart(&mut self) {
        (self.state, self.depth, self.value, self.is_escaped) = (State::Value, 0, self.root, false);
    }

    /// Reads bytes into `message`, up to the end of the object. Says how many those were.
    pub fn push(&mut self, bytes: &[u8], message: &mut Message) -> (usize, Progress) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            let rest = &bytes[at..];
            at += match self.state {
                State::InName | State::InString => match self.string(rest, message) {
                    Some(length) => length,
                    None => return (at, Progress::Broken),
                },
                State::InSkippedString => match self.skipped_string(rest, message) {
                    Some(length) => length,
                    None => return (at, Progress::Broken),
                },
                State::Skipped => self.skip(rest, message),
                State::InScalar => match self.scalar(rest, message) {
                    Some(length) => length,
                    None => return (at, Progress::Broken),
                },
                _ if byte.is_ascii_whitespace() => 1,
                _ => match self.structure(*byte, message) {
                    Progress::Open => usize::from(self.state != State::InScalar),
                    Progress::Closed => return (at + 1, Progress::Closed),
                    Progress::Broken => return (at, Progress::Broken),
                },
            };
        }
        (at, Progress::Open)
    }

    /// A byte between strings, numbers and the like.
    #[inline]
    fn structure(&mut self, byte: u8, message: &mut Message) -> Progress {
        match (self.state, byte) {
            (State::Name, b'"') => {
                self.token.begin();
                self.state = State::InName;
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::Value, b'"') if self.depth > 0 => {
                self.token.begin();
                if let Some(field) = self.value.field {
                    message.string_begins(field);
                }
                self.state = State::InString;
            }
            (State::Value, b'{' | b'[') if self.depth > 0 || byte == b'{' => self.enter(byte == b'[', message),
            (State::Value, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') if self.depth > 0 => {
                self.token.begin();
                self.state = State::InScalar;
            }
            (State::After, b',') => self.next(),
            (State::After | State::Value, b']') if self.is_in(true) => return self.leave(),
            (State::After | State::Name, b'}') if self.is_in(false) => return self.leave(),
            _ => return Progress::Broken,
        }
        Progress::Open
    }

    fn is_in(&self, array: bool) -> bool {
        self.depth > 0 && self.open[self.depth - 1].is_array == array
    }

    /// An object or array begins.
    fn enter(&mut self, is_array: bool, message: &mut Message) {
        let watched = self.value;
        if let Some(field) = watched.field {
            message.container(field, is_array);
        }
        let is_watched = if is_array { watched.element.is_some() } else { !watched.members.is_empty() };
        if !is_watched || self.depth == MAX_OPEN {
            (self.skipped, self.state) = (1, State::Skipped);
            return;
        }
        self.open[self.depth] = Container { watched, is_array };
        self.depth += 1;
        self.next();
    }

    /// The next member or element of the innermost container.
    fn next(&mut self) {
        let Container { watched, is_array } = self.open[self.depth - 1];
        if is_array {
            (self.value, self.state) = (watched.element.unwrap_or(&UNWATCHED), State::Value);
        } else {
            self.state = State::Name;
        }
    }

    fn leave(&mut self) -> Progress {
        self.depth -= 1;
        self.state = State::After;
        if self.depth == 0 { Progress::Closed } else { Progress::Open }
    }

    /// Bytes of a name or a string. Says how many it took.
    #[inline]
    fn string(&mut self, bytes: &[u8], message: &mut Message) -> Option<usize> {
        let is_name = self.state == State::InName;
        let field = self.value.field.filter(|_| !is_name);
        let mut text = |text: &[u8]| {
            if let Some(field) = field {
                message.text(field, text);
            }
        };
        if std::mem::take(&mut self.is_escaped) {
            self.token.is_lost = true;
            text(&bytes[..1]);
            return (bytes[0] != b'\n').then_some(1);
        }
        let is_kept = is_name || matches!(field, Some(Field::Type | Field::Status));
        let end = special(bytes).unwrap_or(bytes.len());
        let run = &bytes[..end];
        text(run);
        match bytes.get(end) {
            Some(b'"') if is_name => {
                let members = self.open[self.depth - 1].watched.members;
                let name = self.token.end(run).unwrap_or_default();
                let member = members.iter().find(|(watched, _)| watched.as_bytes() == name);
                self.value = member.map_or(&UNWATCHED, |(_, value)| value);
                self.state = State::Colon;
            }
            Some(b'"') => {
                if let Some(field) = field.filter(|_| is_kept) {
                    message.string_ends(field, self.token.end(run));
                }
                self.state = State::After;
            }
            Some(b'\\') => {
                text(b"\\");
                self.is_escaped = true;
            }
            Some(_) => return None,
            None => {
                if is_kept {
                    self.token.push(run);
                }
                return Some(end);
            }
        }
        Some(end + 1)
    }

    /// Bytes of a number, `true`, `false` or `null`. The byte that ends it is not taken.
    #[inline]
    fn scalar(&mut self, bytes: &[u8], message: &mut Message) -> Option<usize> {
        let end = bytes.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'E' | b'+' | b'-' | b'.'));
        let Some(end) = end else {
            self.token.push(bytes);
            return Some(bytes.len());
        };
        if !matches!(bytes[end], b',' | b'}' | b']') && !bytes[end].is_ascii_whitespace() {
            return None;
        }
        if let Some(field) = self.value.field {
            message.scalar(field, self.token.end(&bytes[..end]));
        }
        self.state = State::After;
        Some(end)
    }

    /// Bytes of what is not watched, up to a string.
    fn skip(&mut self, bytes: &[u8], message: &mut Message) -> usize {
        let mut length = bytes.len();
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'"' => self.state = State::InSkippedString,
                b'{' | b'[' => {
                    self.skipped += 1;
                    continue;
                }
                b'}' | b']' => {
                    self.skipped -= 1;
                    if self.skipped > 0 {
                        continue;
                    }
                    self.state = State::After;
                }
                _ => continue,
            }
            length = at + 1;
            break;
        }
        self.count_skipped(&bytes[..length], message);
        length
    }

    fn skipped_string(&mut self, bytes: &[u8], message: &mut Message) -> Option<usize> {
        let length = if std::mem::take(&mut self.is_escaped) {
            if bytes[0] == b'\n' {
                return None;
            }
            1
        } else {
            let end = special(bytes).unwrap_or(bytes.len());
            match bytes.get(end) {
                Some(b'"') => self.state = State::Skipped,
                Some(b'\\') => self.is_escaped = true,
                Some(_) => return None,
                None => {}
            }
            bytes.len().min(end + 1)
        };
        self.count_skipped(&bytes[..length], message);
        Some(length)
    }

    /// A tool call is not watched, but generated.
    fn count_skipped(&self, text: &[u8], message: &mut Message) {
        if let Some(field @ Field::ToolCall) = self.value.field {
            message.text(field, text);
        }
    }
}
