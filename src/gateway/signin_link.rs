//! Recognises the link that connects the upstream server's own key, byte by byte, in every form in which an answer can hold it: as it is,
//! in JSON (`\u0026`, `\/`, also JSON within JSON), percent-encoded (also twice), in HTML (`&amp;`).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD};

/// What comes between the host and the parameters.
const PATH: &[u8] = b"/connect?";
/// The beginning of every encoded key: base64 of `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA`, which is no secret.
const PREFIX: &[u8; 48] = b"c3NoLWVkMjU1MTkgQUFBQUMzTnphQzFsWkRJMU5URTVBQUFB";
/// The length of an encoded key: base64 of a line of 80 bytes.
const KEY_LENGTH: usize = 107;
/// No link that a server offers is nearly as long, in bytes.
const MAX_LENGTH: usize = 8 * 1024;

/// Base64url whose last character may hold unused bits.
const LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// What is known of a link after another byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It contains no key so far.
    Open,
    /// What follows the first of these may belong to a key.
    Key,
    /// The bytes since [`Progress::Key`] are a key.
    Found,
    /// It is no such link, or has ended.
    Over,
}

/// A link from the end of its host on.
#[derive(Debug, Default)]
pub struct SigninLink {
    decoder: Decoder,
    part: Part,
    length: usize,
}

#[derive(Debug)]
enum Part {
    /// So much of [`PATH`].
    Path(usize),
    /// A parameter's name, of which so many letters are those of `key`.
    Name(Option<usize>),
    /// The value of another parameter, or what follows a key.
    Value,
    /// The value of `key`.
    Key(Vec<u8>),
    Over,
}

impl Default for Part {
    fn default() -> Self {
        Self::Path(0)
    }
}

impl SigninLink {
    /// Takes the next byte.
    pub fn push(&mut self, byte: u8) -> Progress {
        self.length += 1;
        let mut found = false;
        let part = &mut self.part;
        self.decoder.push(byte, &mut |byte| found |= part.push(byte));
        match &self.part {
            _ if found => Progress::Found,
            Part::Over => Progress::Over,
            _ if self.length >= MAX_LENGTH => Progress::Over,
            Part::Key(digits) if digits.len() >= PREFIX.len() => Progress::Key,
            _ => Progress::Open,
        }
    }
}

impl Part {
    /// Takes the next decoded byte. True when it completes a key.
    fn push(&mut self, byte: u8) -> bool {
        let digit = match byte {
            b'+' => b'-',
            b'/' => b'_',
            byte => byte,
        };
        *self = match std::mem::replace(self, Self::Over) {
            Self::Over => Self::Over,
            Self::Path(at) if PATH.get(at) == Some(&byte) => {
                if at + 1 == PATH.len() {
                    Self::Name(Some(0))
                } else {
                    Self::Path(at + 1)
                }
            }
            Self::Path(_) => Self::Over,
            Self::Key(mut digits) if digit.is_ascii_alphanumeric() || matches!(digit, b'-' | b'_') => {
                if PREFIX.get(digits.len()).is_some_and(|expected| *expected != digit) {
                    Self::Value
                } else {
                    digits.push(digit);
                    if digits.len() < KEY_LENGTH {
                        Self::Key(digits)
                    } else {
                        *self = Self::Value;
                        return is_key(&digits);
                    }
                }
            }
            // A link within a parameter begins its own parameters.
            _ if matches!(byte, b'&' | b';' | b'?') => Self::Name(Some(0)),
            _ if ends_link(byte) => Self::Over,
            Self::Name(Some(3)) if byte == b'=' => Self::Key(Vec::with_capacity(KEY_LENGTH)),
            Self::Name(_) if byte == b'=' => Self::Value,
            Self::Name(Some(at)) if b"key".get(at) == Some(&byte) => Self::Name(Some(at + 1)),
            Self::Name(_) => Self::Name(None),
            Self::Value | Self::Key(_) => Self::Value,
        };
        false
    }
}

/// What no URL contains.
fn ends_link(byte: u8) -> bool {
    !byte.is_ascii_graphic() || b"\"<>`{}|^\\".contains(&byte)
}

/// Whether base64url encodes the line `ssh-ed25519 AAAA…`.
fn is_key(digits: &[u8]) -> bool {
    let line = LENIENT.decode(digits).unwrap_or_default();
    let blob = line.strip_prefix(b"ssh-ed25519 ").and_then(|blob| STANDARD.decode(blob).ok());
    // Two fields, each with its length before it: the algorithm and 32 bytes of key.
    blob.is_some_and(|blob| blob.len() == 51 && blob.starts_with(b"\0\0\0\x0bssh-ed25519\0\0\0\x20"))
}

/// Undoes escapes, however often they were applied: what an escape stands for is read again.
#[derive(Debug, Default)]
struct Decoder(Escape);

#[derive(Debug, Default)]
enum Escape {
    #[default]
    None,
    /// After one or more backslashes.
    Backslash,
    /// After `\u` and so many digits.
    Unicode(u8, u32),
    /// After `%`, and perhaps a digit.
    Percent(Option<u8>),
}

impl Decoder {
    fn push(&mut self, byte: u8, emit: &mut dyn FnMut(u8)) {
        let digit = char::from(byte).to_digit(16);
        match (std::mem::take(&mut self.0), digit) {
            (Escape::None, _) if byte == b'\\' => self.0 = Escape::Backslash,
            (Escape::None, _) if byte == b'%' => self.0 = Escape::Percent(None),
            (Escape::None, _) => emit(byte),
            (Escape::Backslash, _) => match byte {
                b'\\' => self.0 = Escape::Backslash,
                b'u' => self.0 = Escape::Unicode(0, 0),
                b'x' => self.0 = Escape::Percent(None),
                b'b' | b'f' | b'n' | b'r' | b't' => emit(b'\n'),
                byte => self.push(byte, emit),
            },
            (Escape::Unicode(3, value), Some(digit)) => match u8::try_from(value << 4 | digit) {
                Ok(byte) if byte.is_ascii() => self.push(byte, emit),
                _ => emit(0xff),
            },
            (Escape::Unicode(count, value), Some(digit)) => self.0 = Escape::Unicode(count + 1, value << 4 | digit),
            (Escape::Percent(None), Some(_)) => self.0 = Escape::Percent(Some(byte)),
            (Escape::Percent(Some(first)), Some(digit)) => {
                let first = char::from(first).to_digit(16).unwrap_or_default();
                self.push(u8::try_from(first << 4 | digit).unwrap_or_default(), emit);
            }
            // No escape after all.
            (Escape::Unicode(..), None) => {
                emit(0xff);
                self.push(byte, emit);
            }
            (Escape::Percent(first), None) => {
                emit(b'%');
                first.into_iter().for_each(&mut *emit);
                self.push(byte, emit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a link after its host: whether a key is found in it.
    fn finds(text: &str) -> bool {
        let mut link = SigninLink::default();
        text.bytes()
            .map(|byte| link.push(byte))
            .take_while(|progress| *progress != Progress::Over)
            .any(|progress| progress == Progress::Found)
    }

    fn encoded() -> String {
        crate::identity::DeviceKey::generate().unwrap().public().encoded()
    }

    #[test]
    fn the_prefix_is_that_of_every_key() {
        let encoded = encoded();
        assert!(encoded.as_bytes().starts_with(PREFIX));
        assert_eq!(encoded.len(), KEY_LENGTH);
        assert!(is_key(encoded.as_bytes()));
    }

    #[test]
    fn a_key_is_found_in_every_form() {
        let key = encoded();
        for text in [
            format!("/connect?name=a&key={key}"),
            format!("/connect?key={key}&name=a"),
            format!("/connect?name=a\\u0026key={key}"),
            format!("\\/connect?name=a\\\\\\u0026key\\u003d{key}"),
            format!("%2Fconnect%3Fname%3Da%26key%3D{key}"),
            format!("%252fconnect%253Fkey%253d{key}"),
            format!("%5cu002fconnect?key={key}"),
            format!("/connect?name=a&amp;key={key}"),
            format!("/connect?name=a&#38;key={key}"),
            format!("/connect?name=https://ollama.com/connect?key={key}"),
            format!("/connect?key=x&key={key}"),
            format!("/connect?k%65y={key}==."),
            format!("/connect?key={}", key.replace('c', "%63")),
        ] {
            assert!(finds(&text), "{text}");
        }
        for text in [
            format!("/connect?name=a key={key}"),
            format!("/connect?name=a\\nkey={key}"),
            format!("/connect?name=a\"&key={key}"),
            format!("/connect?akey={key}"),
            format!("/connect?keys={key}"),
            format!("/connect&key={key}"),
            format!("/connected?key={key}"),
            format!("/connect?key=a{key}"),
            format!("/connect?key={}", &key[..106]),
            format!("/connect?key={}é", &key[..106]),
            format!("/connect?name={}&key={key}", "a".repeat(MAX_LENGTH)),
        ] {
            assert!(!finds(&text), "{text}");
        }
    }
}
