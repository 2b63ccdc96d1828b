//! Recognises, as a whole, the messages that Ollama writes for one token, since a stream consists of hardly anything else.
//!
//! Only what is written exactly so is recognised; everything else is followed member by member, with the same result.

use super::api::Api;
use super::string_end::special;

/// The longest beginning that is kept, in bytes.
const LONGEST_HEAD: usize = 256;
/// The length of a part of a time, in bytes, of which the second can overlap the first: times have 20 to 35 bytes, most of them 30.
const HALF_TIME: usize = 16;

/// A message for one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLine<'a> {
    /// Its length, in bytes.
    pub length: usize,
    /// The generated text in it, as it is written.
    pub text: &'a [u8],
}

/// Recognises such messages. Most begin as the one before did, which is compared at once.
#[derive(Debug)]
pub struct TokenLines {
    api: Api,
    /// How one that was recognised began: an event up to its text, a line up to its time.
    head: Vec<u8>,
    /// The length of the time of that line, in bytes.
    time: usize,
}

impl TokenLines {
    /// Those of an API.
    pub fn new(api: Api) -> Self {
        Self { api, head: Vec::new(), time: 0 }
    }

    /// A line of NDJSON at the beginning of `bytes`, without its end.
    #[inline]
    pub fn in_sequence<'a>(&mut self, bytes: &'a [u8]) -> Option<TokenLine<'a>> {
        if !matches!(self.api, Api::Generate | Api::Chat) {
            return None;
        }
        let known = bytes.strip_prefix(&*self.head).and_then(|rest| after_time(rest, self.time));
        let mut reader = Reader(known.or_else(|| self.begin_line(bytes))?);
        let text = if self.api == Api::Generate { reader.generate()? } else { reader.chat()? };
        Some(TokenLine { length: bytes.len() - reader.0.len(), text })
    }

    /// An event at the beginning of `bytes`, with the empty line that ends it.
    #[inline]
    pub fn in_events<'a>(&mut self, bytes: &'a [u8]) -> Option<TokenLine<'a>> {
        if self.api != Api::OpenAiChat {
            return None;
        }
        let known = if self.head.is_empty() { None } else { bytes.strip_prefix(&*self.head) };
        let mut reader = Reader(known.or_else(|| self.begin_event(bytes))?);
        let text = reader.chunk()?;
        Some(TokenLine { length: bytes.len() - reader.0.len(), text })
    }

    /// What follows the time of a line.
    fn begin_line<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let mut reader = Reader(bytes);
        reader.model()?;
        let head = &bytes[..bytes.len() - reader.0.len()];
        let time = reader.plain_string()?;
        // Zeros at the end of a time are left out. The longest one is the usual one.
        if head != self.head || time.len() > self.time {
            self.keep(head);
            self.time = time.len();
        }
        Some(reader.0)
    }

    /// What follows the quotation mark before the text of an event.
    fn begin_event<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let mut reader = Reader(bytes);
        reader.chunk_head()?;
        self.keep(&bytes[..bytes.len() - reader.0.len()]);
        Some(reader.0)
    }

    fn keep(&mut self, head: &[u8]) {
        self.head.clear();
        if head.len() <= LONGEST_HEAD {
            self.head.extend_from_slice(head);
        }
    }
}

/// What follows a time of that length, which must be the quotation mark; `None` where the general way has to look.
#[inline]
fn after_time(bytes: &[u8], length: usize) -> Option<&[u8]> {
    let (time, rest) = bytes.split_at_checked(length)?;
    let (begin, end) = (time.first_chunk()?, time.last_chunk()?);
    (length <= 2 * HALF_TIME && is_plain(begin) && is_plain(end) && rest.first() == Some(&b'"')).then_some(rest)
}

/// Whether the bytes are those of a time: digits, capital letters and what stands between them in the ASCII code, and so no end of a string.
#[inline]
fn is_plain(bytes: &[u8; HALF_TIME]) -> bool {
    bytes.iter().fold(true, |is_plain, byte| is_plain & (b'+'..=b'Z').contains(byte))
}

/// What is not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn generate(&mut self) -> Option<&'a [u8]> {
        self.literal(b"\",\"response\":\"")?;
        let text = self.text_or_thinking()?;
        self.literal(b"\",\"done\":false}")?;
        Some(text)
    }

    fn chat(&mut self) -> Option<&'a [u8]> {
        self.literal(b"\",\"message\":{\"role\":\"assistant\",\"content\":\"")?;
        let text = self.text_or_thinking()?;
        self.literal(b"\"},\"done\":false}")?;
        Some(text)
    }

    fn model(&mut self) -> Option<()> {
        self.literal(b"{\"model\":\"")?;
        self.plain_string()?;
        self.literal(b"\",\"created_at\":\"")
    }

    /// A text, or none and a thought.
    fn text_or_thinking(&mut self) -> Option<&'a [u8]> {
        let text = self.string()?;
        if text.is_empty() && self.literal(b"\",\"thinking\":\"").is_some() { self.string() } else { Some(text) }
    }

    fn chunk_head(&mut self) -> Option<()> {
        self.literal(b"data: {\"id\":\"")?;
        self.plain_string()?;
        self.literal(b"\",\"object\":\"chat.completion.chunk\",\"created\":")?;
        let digits = self.0.iter().position(|byte| !byte.is_ascii_digit()).filter(|digits| *digits > 0)?;
        self.0 = &self.0[digits..];
        self.literal(b",\"model\":\"")?;
        self.plain_string()?;
        self.literal(b"\",\"system_fingerprint\":\"fp_ollama\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"")
    }

    fn chunk(&mut self) -> Option<&'a [u8]> {
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
    fn plain_string(&mut self) -> Option<&'a [u8]> {
        let (string, rest) = self.0.split_at(special(self.0)?);
        self.0 = rest;
        (rest[0] == b'"').then_some(string)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn line(model: &str, time: &str, text: &str) -> String {
        format!(r#"{{"model":"{model}","created_at":"{time}","response":"{text}","done":false}}"#)
    }

    #[test]
    fn a_line_is_recognised_alike_after_any_other() {
        let times = ["2026-11-28T10:00:00.123456789Z", "2026-11-28T10:00:00.12Z", "2026-11-28T10:00:00Z", "T", ""];
        let names = ["tiny", "tiny:latest", &"x".repeat(2 * LONGEST_HEAD)];
        let mut lines: Vec<String> = Vec::new();
        for name in names {
            lines.extend(times.map(|time| line(name, time, " word")));
        }
        let usual = line("tiny", times[0], " word");
        for (from, to) in [
            // What has the length of a time, or more or less of it, and is none.
            ("T10:00:00.12", r#"","error":"T"#),
            ("2026-11-28T1", r#"","error":""#),
            ("123456789Z", r#"12345678","#),
            ("123456789Z", r#"12345678\""#),
            ("123456789Z", "12345678\n"),
            ("123456789Z", r#"123456789Z","error":"a"#),
            (" word", ""),
            (" word", r#"a \"b\""#),
            (" word", "a\nb"),
            ("tiny", "t\nny"),
            ("tiny", r#"t\"ny"#),
            ("false", "true"),
        ] {
            lines.push(usual.replacen(from, to, 1));
        }
        lines.push(usual[..usual.len() - 1].to_owned());
        lines.push(usual[..40].to_owned());
        lines.push(String::new());
        for before in &lines {
            for line in &lines {
                let mut tokens = TokenLines::new(Api::Generate);
                let alone = TokenLines::new(Api::Generate).in_sequence(line.as_bytes());
                tokens.in_sequence(before.as_bytes());
                assert_eq!(tokens.in_sequence(line.as_bytes()), alone, "{line} after {before}");
            }
        }
        let recognised = |line: &String| TokenLines::new(Api::Generate).in_sequence(line.as_bytes()).is_some();
        // All times of all models, and two texts.
        assert_eq!(lines.iter().filter(|line| recognised(line)).count(), times.len() * names.len() + 2);
    }

    #[test]
    fn an_event_is_recognised_alike_after_any_other() {
        let event = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1795211572,\"model\":\"tiny\",\
            \"system_fingerprint\":\"fp_ollama\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\
            \"finish_reason\":null}]}\n\n";
        let changes = [
            ("-1", "-12"),
            ("72", "73"),
            ("tiny", "other"),
            (" word", ""),
            ("\"}", "\",\"a\":1}"),
            ("null", "\"stop\""),
            ("1795", ""),
        ];
        let events: Vec<String> =
            changes.iter().map(|(from, to)| event.replacen(from, to, 1)).chain([event.to_owned()]).collect();
        for before in &events {
            for event in &events {
                let mut tokens = TokenLines::new(Api::OpenAiChat);
                let alone = TokenLines::new(Api::OpenAiChat).in_events(event.as_bytes());
                tokens.in_events(before.as_bytes());
                assert_eq!(tokens.in_events(event.as_bytes()), alone, "{event} after {before}");
            }
        }
        let recognised = |event: &&String| TokenLines::new(Api::OpenAiChat).in_events(event.as_bytes()).is_some();
        assert_eq!(events.iter().filter(recognised).count(), 6);
    }
}
