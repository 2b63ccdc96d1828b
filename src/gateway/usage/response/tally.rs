//! What the messages of a response add up to: its status and its tokens.

use super::api::Api;
use super::message::{Count, EventType, Message};
use super::token_line::TokenLine;
use crate::gateway::store::{TokenCount, UsageStatus};
use crate::gateway::token_estimate::{text_units, tokens};

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As HTTP has it end.
    Clean,
    /// The connection to the upstream server broke, or the gateway ended the response.
    Broken,
    /// The caller left.
    CallerLeft,
}

/// The tokens that a message reports; `None` for what it does not say, or says in a way that is not believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reported {
    input: Option<u64>,
    output: Option<u64>,
}

/// Adds up the messages of a response.
#[derive(Debug)]
pub struct Tally {
    api: Api,
    /// The messages are server-sent events.
    is_events: bool,
    /// The response is a stream: tokens come one by one.
    is_stream: bool,
    messages: u64,
    /// How many messages had content.
    contents: u64,
    /// The units of whole text.
    text_units: u64,
    reported: Option<Reported>,
    is_final: bool,
    has_failed: bool,
    has_finish_reason: bool,
}

impl Tally {
    /// Of a response of that API that has no messages yet.
    pub fn new(api: Api, is_stream: bool) -> Self {
        Self {
            api,
            is_events: false,
            is_stream,
            messages: 0,
            contents: 0,
            text_units: 0,
            reported: None,
            is_final: false,
            has_failed: false,
            has_finish_reason: false,
        }
    }

    /// The response is a stream of server-sent events.
    pub fn is_event_stream(&mut self) {
        (self.is_events, self.is_stream) = (true, true);
    }

    /// Whether more messages of a stream are to come.
    pub fn is_open_stream(&self) -> bool {
        self.is_stream && !self.is_final && !self.has_failed
    }

    /// The response is text, of which this came.
    pub fn add_text(&mut self, text: &[u8]) {
        self.text_units = self.text_units.saturating_add(text_units(text));
    }

    /// The response is whole without a final message.
    pub fn set_final(&mut self) {
        self.is_final = true;
    }

    /// Why generating ended was said.
    pub fn has_finish_reason(&self) -> bool {
        self.has_finish_reason
    }

    /// Adds a whole message.
    pub fn add(&mut self, message: &Message) {
        self.messages += 1;
        self.contents += u64::from(message.has_content);
        self.text_units = self.text_units.saturating_add(message.text_units);
        self.has_finish_reason |= message.has_finish_reason;
        if message.has_error || message.has_failed || message.event_type == EventType::Failed {
            self.has_failed = true;
        }
        // Of two final messages, the last counts.
        if let Some(reported) = self.reported_by(message, true) {
            self.reported = Some(reported);
        }
        self.is_final |= self.is_final(message);
    }

    /// Adds a message for one token.
    #[inline]
    pub fn add_token(&mut self, line: TokenLine<'_>) {
        self.messages += 1;
        self.contents += u64::from(!line.text.is_empty());
        // The tokens of a stream are not estimated from its text.
        if !self.is_stream && self.messages == 1 {
            self.add_text(line.text);
        }
    }

    /// Whether the message only reports usage: the last one of an `OpenAI` stream, with which `include_usage` is answered.
    pub fn is_usage_event(&self, message: &Message) -> bool {
        self.is_events && message.has_choices == Some(false) && message.has_usage
    }

    /// Whether the message is the final one.
    fn is_final(&self, message: &Message) -> bool {
        match self.api {
            Api::Generate | Api::Chat => message.is_done || message.has_rendered_prompt,
            _ if !self.is_events => !message.has_error,
            Api::OpenAiChat | Api::OpenAiCompletions => self.is_usage_event(message),
            Api::Responses => message.event_type == EventType::Completed,
            Api::Messages => match message.event_type {
                EventType::MessageDelta => message.has_usage,
                event_type => event_type == EventType::MessageStop,
            },
            Api::Embed | Api::Embeddings | Api::OpenAiEmbeddings | Api::Transcription => false,
        }
    }

    /// The tokens that a message reports, if it is one that reports them. What is missing in a whole message of the native API is 0: Go leaves it
    /// out.
    fn reported_by(&self, message: &Message, is_whole: bool) -> Option<Reported> {
        let native = |count| match count {
            Count::Missing if is_whole => Some(0),
            count => count.known(),
        };
        let (input, output) = (message.input.known(), message.output.known());
        match self.api {
            Api::Generate | Api::Chat if self.is_final(message) => {
                Some(Reported { input: native(message.input), output: native(message.output) })
            }
            Api::Embed if !message.has_error => Some(Reported { input: native(message.input), output: Some(0) }),
            Api::OpenAiEmbeddings if message.has_usage => Some(Reported { input, output: Some(0) }),
            Api::Generate | Api::Chat | Api::Embed | Api::OpenAiEmbeddings => None,
            Api::Embeddings | Api::Transcription => None,
            Api::OpenAiChat | Api::OpenAiCompletions if self.is_events && !self.is_usage_event(message) => None,
            Api::Responses
                if self.is_events && !matches!(message.event_type, EventType::Completed | EventType::Failed) =>
            {
                None
            }
            Api::Messages if self.is_events && message.event_type != EventType::MessageDelta => None,
            _ => message.has_usage.then_some(Reported { input, output }),
        }
    }

    /// Whether content came; `open` is the message that is not whole yet.
    pub fn has_content(&self, open: &Message) -> bool {
        open.has_content || self.contents > 0 || (self.api == Api::Transcription && self.text_units > 0)
    }

    /// An estimate of the generated tokens so far: one for each message of a stream with content, or those of whole text.
    pub fn estimated_output(&self, open: &Message) -> u64 {
        if self.api.is_embedding() {
            0
        } else if self.is_stream || self.messages > 1 {
            self.contents + u64::from(open.has_content)
        } else {
            tokens(self.text_units.saturating_add(open.text_units))
        }
    }

    /// How the response ended, and its tokens. `open` is the message that is not whole, `input_estimate` what the request is estimated at.
    pub fn result(&self, open: &Message, ended: Ended, input_estimate: u64) -> (UsageStatus, TokenCount) {
        let status = match ended {
            _ if self.has_failed => UsageStatus::Failed,
            _ if self.is_final => UsageStatus::Complete,
            Ended::Clean => UsageStatus::Failed,
            Ended::Broken => UsageStatus::Cut,
            Ended::CallerLeft => UsageStatus::Cancelled,
        };
        // What came of a final message that was cut after its counts is exact too.
        let reported = self.reported.or_else(|| self.reported_by(open, false)).unwrap_or_default();
        let tokens = TokenCount {
            input: reported.input.unwrap_or(input_estimate),
            output: reported.output.unwrap_or_else(|| self.estimated_output(open)),
            is_estimate: reported.input.is_none() || reported.output.is_none(),
        };
        (status, tokens)
    }
}
