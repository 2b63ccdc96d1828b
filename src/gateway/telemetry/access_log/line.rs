//! Writes a line field by field, in either format. No value can break the line or look like another field.

use std::fmt::Display;
use std::io::Write as _;

use super::settings::AccessLogFormat;

/// How lines of either format begin, with the field that is first in each.
pub const BEGINNINGS: &[&str] = &["time=2", "{\"time\":\"2"];

/// A line that is written into a buffer.
pub struct LineWriter<'a> {
    out: &'a mut Vec<u8>,
    format: AccessLogFormat,
    is_first: bool,
}

impl<'a> LineWriter<'a> {
    /// Begins a line in that buffer.
    pub fn begin(out: &'a mut Vec<u8>, format: AccessLogFormat) -> Self {
        if format == AccessLogFormat::Json {
            out.push(b'{');
        }
        Self { out, format, is_first: true }
    }

    /// A field with any text.
    pub fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        let needs_quotes = self.format == AccessLogFormat::Json || value.is_empty() || !value.bytes().all(is_bare);
        if needs_quotes {
            write_quoted(self.out, value);
        } else {
            self.out.extend_from_slice(value.as_bytes());
        }
    }

    /// A field whose text has nothing but letters, digits, `.`, `:` and `-`.
    pub fn word(&mut self, name: &'static str, value: impl Display) {
        self.name(name);
        let quote: &[u8] = if self.format == AccessLogFormat::Json { b"\"" } else { b"" };
        self.out.extend_from_slice(quote);
        // Writing to memory cannot fail.
        let _ = write!(self.out, "{value}");
        self.out.extend_from_slice(quote);
    }

    /// A field with a number.
    pub fn number(&mut self, name: &'static str, value: u64) {
        self.name(name);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A field that is true.
    pub fn flag(&mut self, name: &'static str) {
        self.name(name);
        self.out.extend_from_slice(b"true");
    }

    /// Ends the line.
    pub fn end(self) {
        self.out.extend_from_slice(if self.format == AccessLogFormat::Json { b"}\n" } else { b"\n" });
    }

    fn name(&mut self, name: &'static str) {
        let is_first = std::mem::take(&mut self.is_first);
        match self.format {
            AccessLogFormat::Logfmt => {
                if !is_first {
                    self.out.push(b' ');
                }
                self.out.extend_from_slice(name.as_bytes());
                self.out.push(b'=');
            }
            AccessLogFormat::Json => {
                self.out.extend_from_slice(if is_first { b"\"" } else { b",\"" });
                self.out.extend_from_slice(name.as_bytes());
                self.out.extend_from_slice(b"\":");
            }
        }
    }
}

/// Whether logfmt has it without quotes.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\')
}

/// A JSON string, which is also how logfmt quotes.
fn write_quoted(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    if value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) {
        out.extend_from_slice(value.as_bytes());
    } else {
        value.chars().for_each(|char| write_char(out, char));
    }
    out.push(b'"');
}

fn write_char(out: &mut Vec<u8>, char: char) {
    match char {
        '"' | '\\' => out.extend([b'\\', char as u8]),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        _ if is_hidden(char) => {
            let _ = write!(out, "\\u{:04x}", u32::from(char));
        }
        _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// What a terminal would act on, some readers take for the end of a line, or is not seen: control characters, and those that separate,
/// join or turn around text. All of them have at most four hexadecimal digits.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: AccessLogFormat, value: &str) -> String {
        let mut out = Vec::new();
        let mut line = LineWriter::begin(&mut out, format);
        line.text("a", value);
        line.number("b", 7);
        line.word("c", "::1");
        line.flag("d");
        line.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn logfmt_quotes_what_has_to_be() {
        for (value, written) in [
            ("GET", "GET"),
            ("key:key_1/+", "key:key_1/+"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a=b", "\"a=b\""),
            ("\"", "\"\\\"\""),
            ("a\\", "\"a\\\\\""),
            ("a\nb=c\r\t", "\"a\\nb=c\\r\\t\""),
            ("\u{0}\u{1b}[31m\u{7f}", "\"\\u0000\\u001b[31m\\u007f\""),
            ("a\u{85}\u{2028}\u{2029}b", "\"a\\u0085\\u2028\\u2029b\""),
            ("\u{202e}abc\u{2066}\u{feff}", "\"\\u202eabc\\u2066\\ufeff\""),
            ("zoë 🦀", "\"zoë 🦀\""),
        ] {
            assert_eq!(line(AccessLogFormat::Logfmt, value), format!("a={written} b=7 c=::1 d=true\n"), "{value:?}");
        }
    }

    #[test]
    fn whatever_the_text_is_json_gives_it_back() {
        let every: String = (0..0x3000).chain(0xfe00..0x11000).filter_map(char::from_u32).collect();
        for value in ["", "a b", "\",\"b\":8,\"", "\\", "a\n{\"a\":1}\r\n", "\u{2028}", &*every] {
            let written = line(AccessLogFormat::Json, value);
            assert_eq!(
                written.find(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']),
                Some(written.len() - 1),
                "{value:?}"
            );
            let read: serde_json::Value = serde_json::from_str(&written).unwrap();
            assert_eq!(read, serde_json::json!({ "a": value, "b": 7, "c": "::1", "d": true }));
            // Both formats quote in the same way.
            let quoted = line(AccessLogFormat::Logfmt, &format!("{value} "));
            let quoted = quoted.strip_prefix("a=").and_then(|rest| rest.strip_suffix(" b=7 c=::1 d=true\n")).unwrap();
            assert_eq!(serde_json::from_str::<String>(quoted).unwrap(), format!("{value} "));
        }
    }
}
