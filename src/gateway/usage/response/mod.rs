//! Reads from a response, while it is relayed, how it ended and how many tokens it took.
//!
//! Nothing of it is kept but numbers, since final messages can be megabytes long: `json_sequence` and `event_stream` find the messages in
//! the pieces that come, `follower` the members of each that `watched` lists (`token_line` is its short cut), and `tally` says what they
//! mean. Only `removal` holds bytes back, at most one event.

mod api;
mod event_stream;
mod follower;
mod json_sequence;
mod message;
mod removal;
mod string_end;
mod tally;
#[cfg(test)]
mod tests;
mod token_line;
mod watched;

use bytes::Bytes;

pub use api::Api;
pub use tally::Ended;

use crate::gateway::store::{TokenCount, UsageStatus};
use crate::http::BodyFilter;
use event_stream::{EventStream, LineResult};
use json_sequence::{JsonSequence, Whole};
use message::Message;
use removal::UsageRemoval;
use tally::Tally;

/// How the messages are written.
#[derive(Debug)]
enum Form {
    /// Nothing came yet.
    Unknown,
    /// JSON objects, one or several.
    Json(Box<JsonSequence>),
    /// Server-sent events.
    Events(Box<EventStream>),
    /// Text: that of a transcription.
    Text,
    /// The response is not read.
    Unread,
}

/// Reads one response, piece by piece.
#[derive(Debug)]
pub struct ResponseScan {
    api: Api,
    form: Form,
    tally: Tally,
    is_plain_text: bool,
    /// Takes the usage event out of a stream.
    removal: Option<UsageRemoval>,
}

impl ResponseScan {
    /// Of a response with that status and that type of content. `removes_usage` says that the caller did not ask for the usage event of a
    /// stream of `/v1/chat/completions`, but the gateway did: it is taken out.
    pub fn new(api: Api, http_status: u16, content_type: &str, removes_usage: bool) -> Self {
        let is_success = (200..300).contains(&http_status);
        let has_type =
            |name: &str| content_type.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
        let removal = (removes_usage && api == Api::OpenAiChat && is_success).then(UsageRemoval::new);
        Self {
            api,
            form: if is_success { Form::Unknown } else { Form::Unread },
            tally: Tally::new(api, api.is_native() && has_type("application/x-ndjson")),
            is_plain_text: has_type("text/plain"),
            removal,
        }
    }

    /// What says what follows: the type of content is not always right (a writer that holds back its first event lets Ollama send that of its
    /// native API).
    fn form_of(&mut self, first: u8) -> Form {
        let root = watched::watched(self.api);
        if first == b'{' || self.api.is_native() {
            return Form::Json(Box::new(JsonSequence::new(self.api, root)));
        }
        if self.api == Api::Transcription {
            return Form::Text;
        }
        self.tally.is_event_stream();
        Form::Events(Box::new(EventStream::new(self.api, root)))
    }

    /// Whether the usage event is taken out.
    pub fn removes_usage(&self) -> bool {
        self.removal.is_some()
    }

    /// Whether a token, or other content, came.
    pub fn has_content(&self) -> bool {
        self.tally.has_content(self.open_message())
    }

    /// An estimate of the tokens that were generated so far: one for each message of a stream that has content.
    #[cfg(test)]
    pub fn output_so_far(&self) -> u64 {
        self.tally.estimated_output(self.open_message())
    }

    /// What messages of the stream end with, if it is one that has not had its final message.
    pub fn open_stream(&self) -> Option<&'static [&'static [u8]]> {
        match &self.form {
            Form::Json(_) if self.tally.is_open_stream() => Some(&[b"\n"]),
            Form::Events(_) if self.tally.is_open_stream() => Some(&[b"\n\n", b"\r\n\r\n"]),
            _ => None,
        }
    }

    /// How the response ended and its tokens, given an estimate of those of the request. They are exact where the response said them, and
    /// marked otherwise. A response that is not a success took none.
    pub fn result(&self, ended: Ended, input_estimate: u64) -> (UsageStatus, TokenCount) {
        match &self.form {
            Form::Unread => (UsageStatus::Failed, TokenCount::default()),
            Form::Text if ended == Ended::Clean => {
                let (_, tokens) = self.tally.result(self.open_message(), ended, input_estimate);
                (UsageStatus::Complete, tokens)
            }
            // A transcript can be empty.
            Form::Unknown if self.api == Api::Transcription && self.is_plain_text && ended == Ended::Clean => {
                (UsageStatus::Complete, TokenCount { input: input_estimate, output: 0, is_estimate: true })
            }
            _ => self.tally.result(self.open_message(), ended, input_estimate),
        }
    }

    /// The message that is not whole yet.
    fn open_message(&self) -> &Message {
        static NONE: Message = Message::NONE;
        match &self.form {
            Form::Json(sequence) => sequence.message(),
            Form::Events(stream) if stream.data() == event_stream::EventData::Open => stream.message(),
            Form::Events(_) | Form::Unknown | Form::Text | Form::Unread => &NONE,
        }
    }
}

impl BodyFilter for ResponseScan {
    fn pass(&mut self, piece: Bytes) -> Bytes {
        let text = if matches!(self.form, Form::Unknown) { piece.trim_ascii_start() } else { &piece[..] };
        if let (Form::Unknown, Some(first)) = (&self.form, text.first()) {
            self.form = self.form_of(*first);
        }
        let tally = &mut self.tally;
        match &mut self.form {
            Form::Unknown | Form::Unread => {}
            Form::Text => tally.add_text(text),
            Form::Json(sequence) => sequence.push(&piece, |whole| match whole {
                Whole::Message(message) => tally.add(message),
                Whole::Token(line) => tally.add_token(line),
            }),
            Form::Events(stream) => match &mut self.removal {
                Some(removal) => return removal.pass(piece, stream, tally),
                None => read(&piece, stream, tally),
            },
        }
        piece
    }

    fn held(&self) -> usize {
        match (&self.form, &self.removal) {
            (Form::Events(stream), Some(removal)) => removal.held(stream, &self.tally),
            _ => 0,
        }
    }

    fn finish(&mut self) -> Bytes {
        match (&self.form, &mut self.removal) {
            (Form::Events(stream), Some(removal)) => removal.finish(stream, &self.tally),
            _ => Bytes::new(),
        }
    }
}

/// Reads a piece of a stream of which nothing is taken out.
fn read(mut piece: &[u8], stream: &mut EventStream, tally: &mut Tally) {
    while !piece.is_empty() {
        let (taken, result) = stream.push_line(piece);
        match result {
            LineResult::Event(event) => tally.add_token(event),
            LineResult::Message => tally.add(stream.message()),
            LineResult::DoneMark => tally.set_final(),
            LineResult::Nothing | LineResult::EventEnd => {}
        }
        piece = &piece[taken..];
    }
}
