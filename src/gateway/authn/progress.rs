//! What a response has brought so far, as `gateway top` shows it: counted as it passes, without holding anything back.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use memchr::{memchr_iter, memmem};

/// The longest name of a model that is taken over, in bytes.
const LONGEST_MODEL: usize = 256;
/// So much of the first piece is searched for the model, in bytes.
const SEARCHED: usize = 4096;

/// See the module. Another thread may read it meanwhile.
#[derive(Debug, Default)]
pub struct Progress {
    /// As the upstream server names it.
    model: OnceLock<Option<Box<str>>>,
    has_events: AtomicBool,
    bytes: AtomicU64,
    messages: AtomicU64,
}

impl Progress {
    /// Counts a piece of the body.
    pub fn note(&self, data: &[u8]) {
        if self.bytes.fetch_add(data.len() as u64, Ordering::Relaxed) == 0 {
            self.model.get_or_init(|| model(&data[..data.len().min(SEARCHED)]).map(Into::into));
            self.has_events.store(data.starts_with(b"data:") || data.starts_with(b"event:"), Ordering::Relaxed);
        }
        // An event ends with an empty line, an object of Ollama's with its line.
        let messages = match self.has_events.load(Ordering::Relaxed) {
            true => memmem::find_iter(data, b"\n\n").count(),
            false => memchr_iter(b'\n', data).count(),
        };
        self.messages.fetch_add(messages as u64, Ordering::Relaxed);
    }

    /// The model, once the upstream server has named it.
    pub fn model(&self) -> Option<&str> {
        self.model.get()?.as_deref()
    }

    /// Of the body.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Lines or events: of a streamed answer about as many as tokens.
    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }
}

/// The first member `model` of a piece of JSON, if its value is a plain text.
pub fn model(data: &[u8]) -> Option<&str> {
    const NAME: &[u8] = b"\"model\"";
    let after = data.get(memmem::find(data, NAME)? + NAME.len()..)?.trim_ascii_start();
    let value = after.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let text = std::str::from_utf8(&value[..memchr::memchr(b'"', value)?]).ok()?;
    (text.len() <= LONGEST_MODEL && !text.contains('\\')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(pieces: &[&str]) -> (Option<String>, u64, u64) {
        let progress = Progress::default();
        pieces.iter().for_each(|piece| progress.note(piece.as_bytes()));
        (progress.model().map(str::to_owned), progress.bytes(), progress.messages())
    }

    #[test]
    fn lines_and_events_are_counted_in_the_form_of_each_api() {
        let ollama = ["{\"model\":\"tiny:latest\",\"response\":\"a\"}\n", "{\"model\":\"x\"}\n{\"model\":\"x\"}\n"];
        assert_eq!(after(&ollama), (Some("tiny:latest".to_owned()), 67, 3));
        let openai = ["data: {\"id\":\"1\",\"model\": \"tiny\"}\n\n", "data: {}\n\ndata: [DONE]\n\n"];
        assert_eq!((after(&openai).0.as_deref(), after(&openai).2), (Some("tiny"), 3));
        let anthropic = "event: message_start\ndata: {\"message\":{\"model\":\"tiny\"}}\n\n";
        assert_eq!((after(&[anthropic]).0.as_deref(), after(&[anthropic]).2), (Some("tiny"), 1));
    }

    #[test]
    fn what_names_no_model_has_none() {
        let long = format!("{{\"model\":\"{}\"}}", "x".repeat(LONGEST_MODEL + 1));
        for piece in ["", "{}", "{\"model\":", "{\"model\":7}", "{\"model\":\"a\\u0062\"}", "{\"model\":\"cut", &long] {
            assert_eq!(after(&[piece]).0, None, "{piece}");
        }
        assert_eq!(after(&["{", "\"model\":\"late\"}"]).0, None);
    }
}
