//! Recognises, as a whole, the messages that Ollama writes for one token, since a stream consists of hardly anything else.
//!
//! Only what is written exactly so is recognised; everything else is followed member by member, with the same result.

use super::api::Api;
use super::string_end::special;

/// A message for one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLine<'a> {
    /// Its length, in bytes.
    pub length: usize,
    /// The generated text in it, as it is written.
    pub text: &'a [u8],
}

impl<'a> TokenLine<'a> {
    /// A line of NDJSON at the beginning of `bytes`, without its end.
    #[inline]
    pub fn in_sequence(api: Api, bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let text = match api {
            Api::Generate => reader.generate()?,
            Api::Chat => reader.chat()?,
            _ => return None,
        };
        Some(Self { length: bytes.len() - reader.0.len(), text })
    }

    /// An event at the beginning of `bytes`, with the empty line that ends it.
    #[inline]
    pub fn in_events(api: Api, bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let text = if api == Api::OpenAiChat { reader.chunk()? } else { return None };
        Some(Self { length: bytes.len() - reader.0.len(), text })
    }
}

/// What is not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn generate(&mut self) -> Option<&'a [u8]> {
        self.model_and_time()?;
        self.literal(b"\",\"response\":\"")?;
        let text = self.text_or_thinking()?;
        self.literal(b"\",\"done\":false}")?;
        Some(text)
    }

    fn chat(&mut self) -> Option<&'a [u8]> {
        self.model_and_time()?;
        self.literal(b"\",\"message\":{\"role\":\"assistant\",\"content\":\"")?;
        let text = self.text_or_thinking()?;
        self.literal(b"\"},\"done\":false}")?;
        Some(text)
    }

    fn model_and_time(&mut self) -> Option<()> {
        self.literal(b"{\"model\":\"")?;
        self.plain_string()?;
        self.literal(b"\",\"created_at\":\"")?;
        self.plain_string()
    }

    /// A text, or none and a thought.
    fn text_or_thinking(&mut self) -> Option<&'a [u8]> {
        let text = self.string()?;
        if text.is_empty() && self.literal(b"\",\"thinking\":\"").is_some() { self.string() } else { Some(text) }
    }

    fn chunk(&mut self) -> Option<&'a [u8]> {
        self.literal(b"data: {\"id\":\"")?;
        self.plain_string()?;
        self.literal(b"\",\"object\":\"chat.completion.chunk\",\"created\":")?;
        let digits = self.0.iter().position(|byte| !byte.is_ascii_digit()).filter(|digits| *digits > 0)?;
        self.0 = &self.0[digits..];
        self.literal(b",\"model\":\"")?;
        self.plain_string()?;
        self.literal(b"\",\"system_fingerprint\":\"fp_ollama\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"")?;
        let text = self.string()?;
        self.literal(b"\"},\"finish_reason\":null}]}\n\n")?;
        Some(text)
    }

    #[inline]
    fn literal<const N: usize>(&mut self, literal: &[u8; N]) -> Option<()> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = if first == literal { rest } else { return None };
        Some(())
    }

    /// A string without escapes, up to the quotation mark that ends it.
    #[inline]
    fn plain_string(&mut self) -> Option<()> {
        let end = special(self.0)?;
        self.0 = &self.0[end..];
        (self.0[0] == b'"').then_some(())
    }

    /// A string, up to the quotation mark that ends it.
    #[inline]
    fn string(&mut self) -> Option<&'a [u8]> {
        let mut length = 0;
        loop {
            let end = length + special(&self.0[length..])?;
            match self.0[end..] {
                [b'"', ..] => {
                    let (text, rest) = self.0.split_at(end);
                    self.0 = rest;
                    return Some(text);
                }
                [b'\\', escaped, ..] if escaped != b'\n' => length = end + 2,
                _ => return None,
            }
        }
    }
}
