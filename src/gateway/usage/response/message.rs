//! What one message of a response says about usage: a line of NDJSON, the data of a server-sent event, or a whole body.

use crate::gateway::token_estimate::text_units;

/// The largest count that is believed: 2^53, up to which every JSON reader has the same number.
const MAX_COUNT: u64 = 1 << 53;

/// What a watched value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Generated text.
    Text,
    /// A tool call: generated too.
    ToolCall,
    /// Whether this is the final message.
    Done,
    /// The tokens of the prompt.
    Input,
    /// The generated tokens.
    Output,
    /// The object that holds the counts.
    Usage,
    /// An error.
    Error,
    /// The type of the event.
    Type,
    /// The status of a whole response.
    Status,
    /// The array of choices.
    Choices,
    /// One of them.
    Choice,
    /// Why generating ended.
    FinishReason,
    /// The rendered prompt, in place of a response.
    RenderedPrompt,
}

/// A number of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Count {
    /// There is none.
    #[default]
    Missing,
    /// What is there is not a number of tokens.
    Invalid,
    /// So many.
    Known(u64),
}

impl Count {
    /// The number, if there is one.
    pub fn known(self) -> Option<u64> {
        match self {
            Self::Known(count) => Some(count),
            Self::Missing | Self::Invalid => None,
        }
    }

    fn parse(digits: Option<&[u8]>) -> Self {
        let digits = digits.filter(|digits| matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && digits.len() <= 16);
        let count = digits.and_then(|digits| {
            digits
                .iter()
                .try_fold(0, |count: u64, digit| digit.is_ascii_digit().then(|| count * 10 + u64::from(digit - b'0')))
        });
        count.filter(|count| *count <= MAX_COUNT).map_or(Self::Invalid, Self::Known)
    }
}

/// The type of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventType {
    /// None, or one that says nothing about usage.
    #[default]
    Other,
    /// The final event of Responses.
    Completed,
    /// A failure.
    Failed,
    /// The event of Messages that has the counts.
    MessageDelta,
    /// The last event of Messages.
    MessageStop,
}

impl EventType {
    /// The type of that name.
    pub fn parse(name: &[u8]) -> Self {
        if let Some(name) = name.strip_prefix(b"response.") {
            return match name {
                b"completed" | b"incomplete" => Self::Completed,
                b"failed" | b"cancelled" => Self::Failed,
                _ => Self::Other,
            };
        }
        match name {
            b"error" => Self::Failed,
            b"message_delta" => Self::MessageDelta,
            b"message_stop" => Self::MessageStop,
            _ => Self::Other,
        }
    }
}

/// What a message says, as far as it came. Of a member that is repeated, the last counts.
#[derive(Debug)]
pub struct Message {
    /// The tokens of the prompt.
    pub input: Count,
    /// The generated tokens.
    pub output: Count,
    /// There is an object with the counts.
    pub has_usage: bool,
    /// It is the final message (native APIs).
    pub is_done: bool,
    /// It has generated text, or a tool call.
    pub has_content: bool,
    /// The units of generated text, as it is written.
    pub text_units: u64,
    /// It has an error.
    pub has_error: bool,
    /// Its status says that it failed.
    pub has_failed: bool,
    /// The type of the event.
    pub event_type: EventType,
    /// Whether an array of choices has any; `None` without such an array.
    pub has_choices: Option<bool>,
    /// It says why generating ended.
    pub has_finish_reason: bool,
    /// It has a rendered prompt in place of a response.
    pub has_rendered_prompt: bool,
}

impl Message {
    /// One that says nothing.
    pub const NONE: Self = Self {
        input: Count::Missing,
        output: Count::Missing,
        has_usage: false,
        is_done: false,
        has_content: false,
        text_units: 0,
        has_error: false,
        has_failed: false,
        event_type: EventType::Other,
        has_choices: None,
        has_finish_reason: false,
        has_rendered_prompt: false,
    };

    /// An object or an array begins.
    pub fn container(&mut self, field: Field, is_array: bool) {
        match field {
            Field::Usage => {
                self.has_usage = !is_array;
                (self.input, self.output) = (Count::Missing, Count::Missing);
            }
            // A choice that came has been passed on.
            Field::Choices if self.has_choices != Some(true) => self.has_choices = is_array.then_some(false),
            Field::ToolCall => self.has_content = true,
            Field::Error => self.has_error = true,
            Field::RenderedPrompt => self.has_rendered_prompt = !is_array,
            field => self.other_value(field),
        }
    }

    /// A string begins.
    pub fn string_begins(&mut self, field: Field) {
        match field {
            // The end of it says which.
            Field::Text | Field::Type | Field::Status => {}
            Field::Error => self.has_error = true,
            Field::FinishReason => self.has_finish_reason = true,
            field => self.other_value(field),
        }
    }

    /// This of a string, or of a tool call, came.
    pub fn text(&mut self, field: Field, text: &[u8]) {
        if matches!(field, Field::Text | Field::ToolCall) && !text.is_empty() {
            self.has_content = true;
            self.text_units = self.text_units.saturating_add(text_units(text));
        }
    }

    /// A string ends; `None` for one that is long or has escapes.
    pub fn string_ends(&mut self, field: Field, string: Option<&[u8]>) {
        match field {
            Field::Type => self.event_type = string.map(EventType::parse).unwrap_or_default(),
            Field::Status => self.has_failed = string == Some(b"failed"),
            _ => {}
        }
    }

    /// A number, `true`, `false` or `null`; `None` for one that is long.
    pub fn scalar(&mut self, field: Field, scalar: Option<&[u8]>) {
        match field {
            Field::Input => self.input = Count::parse(scalar),
            Field::Output => self.output = Count::parse(scalar),
            Field::Done => self.is_done = scalar == Some(b"true"),
            Field::Error => self.has_error = scalar != Some(b"null"),
            field => self.other_value(field),
        }
    }

    /// A value of a kind that the field does not have.
    fn other_value(&mut self, field: Field) {
        match field {
            Field::Input => self.input = Count::Invalid,
            Field::Output => self.output = Count::Invalid,
            Field::Done => self.is_done = false,
            Field::Type => self.event_type = EventType::Other,
            Field::Choice => self.has_choices = Some(true),
            Field::Choices if self.has_choices != Some(true) => self.has_choices = None,
            Field::FinishReason => self.has_finish_reason = false,
            Field::RenderedPrompt => self.has_rendered_prompt = false,
            Field::Usage => {
                self.has_usage = false;
                (self.input, self.output) = (Count::Missing, Count::Missing);
            }
            Field::Status => self.has_failed = false,
            Field::Choices | Field::Text | Field::ToolCall | Field::Error => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_of_tokens_are_believed() {
        for (text, count) in [("0", 0), ("7", 7), ("9007199254740992", 1 << 53)] {
            assert_eq!(Count::parse(Some(text.as_bytes())), Count::Known(count), "{text}");
        }
        let others = [
            "-1",
            "-0",
            "1.5",
            "5.0",
            "1e3",
            "01",
            "00",
            "null",
            "true",
            "",
            "9007199254740993",
            "18446744073709551616",
            "99999999999999999999999999999999",
        ];
        for text in others {
            assert_eq!(Count::parse(Some(text.as_bytes())), Count::Invalid, "{text}");
        }
        assert_eq!(Count::parse(None), Count::Invalid);
    }
}
