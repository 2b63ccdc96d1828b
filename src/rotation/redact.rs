//! Takes a secret out of what another program prints, wherever its output is cut into pieces.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

/// A shorter piece of a secret reveals nothing useful.
const MIN_PIECE_LENGTH: usize = 8;
/// A line longer than this is given out in parts.
const MAX_LINE_LENGTH: usize = 16 * 1024;
const MASK: &[u8] = b"****";

/// Collects bytes, and gives out whole lines without the secrets.
pub struct Redactor {
    encodings: Vec<Zeroizing<String>>,
    pending: Zeroizing<Vec<u8>>,
}

impl Redactor {
    /// Hides these secrets, as they are and in base64, also in the middle of something else that is written in base64.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let (mut encodings, mut shortest) = (Vec::new(), usize::MAX);
        for secret in secrets {
            let secret = secret.expose_secret();
            if secret.is_empty() {
                continue;
            }
            shortest = shortest.min(secret.len());
            for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                encodings.push(Zeroizing::new(engine.encode(secret)));
                // With the newline that `echo` adds, which changes the last letters.
                encodings.push(Zeroizing::new(engine.encode(format!("{secret}\n"))));
            }
            encodings.push(Zeroizing::new(secret.to_owned()));
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                encodings.extend((0..3).map(|before| within_base64(engine, secret, before)));
            }
        }
        // The longest first, so that no part of one is left standing.
        encodings.retain(|encoding| encoding.len() >= MIN_PIECE_LENGTH.min(shortest));
        encodings.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        encodings.dedup();
        Self { encodings, pending: Zeroizing::new(Vec::new()) }
    }

    /// Takes what was printed, and gives the lines that are complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        self.pending.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Zeroizing<Vec<u8>> = Zeroizing::new(self.pending.drain(..=end).collect());
            lines.push(self.redact(&line));
        }
        if self.pending.len() > MAX_LINE_LENGTH {
            // Masked first: then no complete secret can be cut in two, and a possible beginning of one is held back.
            let mut masked = self.masked(&self.pending);
            let kept_back = self.encodings.first().map_or(0, |encoding| encoding.len()).min(masked.len());
            self.pending = Zeroizing::new(masked.split_off(masked.len() - kept_back));
            lines.push(text(&masked));
        }
        lines
    }

    /// Gives what is left, when no more comes.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut *self.pending);
        (!rest.is_empty()).then(|| self.redact(&Zeroizing::new(rest)))
    }

    /// A text without the secrets.
    pub fn redact(&self, bytes: &[u8]) -> String {
        text(&self.masked(bytes))
    }

    fn masked(&self, bytes: &[u8]) -> Vec<u8> {
        let mut rest = Zeroizing::new(bytes.to_vec());
        for encoding in &self.encodings {
            let encoding = encoding.as_bytes();
            let mut from = 0;
            while let Some(at) = rest[from..].windows(encoding.len()).position(|part| part == encoding) {
                let at = from + at;
                let after = Zeroizing::new(rest.split_off(at + encoding.len()));
                rest.truncate(at);
                rest.extend_from_slice(MASK);
                rest.extend_from_slice(&after);
                from = at + MASK.len();
            }
        }
        std::mem::take(&mut rest)
    }
}

/// The letters of base64 that depend only on the secret where so many bytes, or that many more than a multiple of three, stand before it.
fn within_base64(engine: &GeneralPurpose, secret: &str, before: usize) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(vec![0; before]);
    bytes.extend_from_slice(secret.as_bytes());
    let coded = Zeroizing::new(engine.encode(&bytes));
    // Six bits a letter: the first and the last may hold bits of a neighbour.
    Zeroizing::new(coded[(8 * before).div_ceil(6)..8 * bytes.len() / 6].to_owned())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches(['\n', '\r']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "olauth_0123456789ABCDEFGHIJKLMNOPQRSTUV38eMnq";

    fn redactor() -> Redactor {
        Redactor::new([&SecretString::from(KEY)])
    }

    #[test]
    fn a_key_is_hidden_however_it_is_written_and_cut() {
        let coded = [STANDARD.encode(KEY), STANDARD.encode(format!("{KEY}\n")), URL_SAFE_NO_PAD.encode(KEY)];
        for encoding in coded.iter().map(String::as_str).chain([KEY]) {
            let text = format!("before {encoding} after {encoding}\nnext");
            for cut in 0..text.len() {
                let mut redactor = redactor();
                let mut seen = redactor.feed(&text.as_bytes()[..cut]);
                seen.extend(redactor.feed(&text.as_bytes()[cut..]));
                seen.extend(redactor.finish());
                assert_eq!(seen, ["before **** after ****", "next"], "{encoding} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_key_within_something_in_base64_is_hidden_but_for_a_letter_at_its_ends() {
        for before in ["", "a", "ab", "abc", "user:"] {
            for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                let seen = redactor().redact(engine.encode(format!("{before}{KEY}, and more")).as_bytes());
                assert!(seen.contains("****"), "{before:?}: {seen}");
                let around = engine.encode(before).len() + engine.encode(", and more").len();
                assert!(seen.len() <= around + MASK.len() + 4, "{before:?}: {seen}");
            }
        }
    }

    #[test]
    fn an_endless_line_is_given_out_in_parts_and_no_part_holds_a_piece_of_the_key() {
        for shift in 0..KEY.len() + 2 {
            let mut redactor = redactor();
            let line = format!("{}{KEY}{}", "x".repeat(MAX_LINE_LENGTH - shift), "y".repeat(3 * MAX_LINE_LENGTH));
            let mut seen = String::new();
            for part in line.as_bytes().chunks(1000) {
                seen += &redactor.feed(part).concat();
                assert!(redactor.pending.len() <= MAX_LINE_LENGTH + 1000);
            }
            seen += &redactor.finish().unwrap_or_default();
            assert_eq!(seen, line.replace(KEY, "****"), "{shift}");
        }
    }

    #[test]
    fn what_is_no_secret_passes() {
        let mut redactor = Redactor::new([&SecretString::from("")]);
        assert_eq!(redactor.feed(b"a\r\n\xff\nb"), ["a", "\u{fffd}"]);
        assert_eq!(redactor.finish().as_deref(), Some("b"));
    }
}
