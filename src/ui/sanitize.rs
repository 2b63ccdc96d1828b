//! Makes untrusted text harmless before a terminal sees it: control and escape sequences, bidirectional overrides,
//! tag characters and the like are shown as plain ASCII (`^[`, `\u{202e}`) instead of being obeyed.
//! Joiners, variation selectors, combining marks and right-to-left letters are text and stay as they are.

use std::borrow::Cow;
use std::fmt::Write as _;

/// True for a character that a terminal would obey, or that reorders or hides the text around it.
///
/// Newline and tab belong to the class: whether they may stay is for the caller to say.
pub fn is_dangerous(c: char) -> bool {
    match c {
        ' '..='~' => false,
        // C0, DEL and C1.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        // Marks, embeddings, overrides and isolates of the bidirectional algorithm, and its deprecated relatives.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' => true,
        // Line and paragraph separator, byte order mark, interlinear annotations.
        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' => true,
        // Tag characters carry invisible text; the variation selectors behind them (U+E0100 to U+E01EF) do not.
        '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}' => true,
        _ => false,
    }
}

/// True for what has no appearance of its own and so lets two different names look alike.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{3164}' | '\u{ffa0}')
}

/// Writes the visible form of a dangerous character: caret notation for C0 and DEL, `\u{…}` for the rest.
fn show(c: char, out: &mut String) {
    match c {
        '\u{7f}' => out.push_str("^?"),
        '\0'..='\u{1f}' => {
            out.push('^');
            // C0 is U+0000 to U+001F, so this stays within ASCII.
            out.push(char::from(c as u8 + 0x40));
        }
        _ => out.extend(c.escape_unicode()),
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// One line of untrusted text (a name, an error, a URL) in a form that is safe on a terminal.
///
/// Newline and tab are written `\n` and `\t`. Invisible characters that only serve to imitate another name are shown
/// too. Borrowed when nothing had to change.
pub fn clean(text: &str) -> Cow<'_, str> {
    let unsafe_here = |c: char| is_dangerous(c) || is_invisible(c);
    if text.bytes().all(is_plain) || !text.contains(unsafe_here) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if unsafe_here(c) => {
                if is_invisible(c) {
                    out.extend(c.escape_unicode());
                } else {
                    show(c, &mut out);
                }
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Text of several lines in a form that is safe on a terminal: as [`Sanitizer`], in one call.
pub fn clean_text(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| is_plain(b) || b == b'\n') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut sanitizer = Sanitizer::default();
    sanitizer.push(text.as_bytes(), &mut out);
    sanitizer.finish(&mut out);
    Cow::Owned(out)
}

/// The streaming form, for model output on a terminal: however the bytes are cut into chunks, the result is the same.
///
/// Newlines and tabs stay, `\r\n` becomes `\n`, a lone `\r` is shown as `^M`, invalid UTF-8 becomes U+FFFD.
#[derive(Debug, Default)]
pub struct Sanitizer {
    /// The start of a UTF-8 sequence whose end has not come yet; at most three bytes.
    partial: Vec<u8>,
    /// A `\r` that may turn out to be the first half of a line end.
    carriage_return: bool,
}

impl Sanitizer {
    /// Appends the safe form of `bytes` to `out`. Only an unfinished character or a trailing `\r` is held back.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        if self.partial.is_empty() {
            self.decode(bytes, out);
        } else {
            let mut joined = std::mem::take(&mut self.partial);
            joined.extend_from_slice(bytes);
            self.decode(&joined, out);
        }
    }

    /// Appends the held-back text at the end of the stream.
    pub fn finish(&mut self, out: &mut String) {
        if std::mem::take(&mut self.carriage_return) {
            show('\r', out);
        }
        if !std::mem::take(&mut self.partial).is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }

    fn decode(&mut self, mut bytes: &[u8], out: &mut String) {
        loop {
            match std::str::from_utf8(bytes) {
                Ok(text) => return self.text(text, out),
                Err(error) => {
                    let (good, rest) = bytes.split_at(error.valid_up_to());
                    // `good` was just found valid, so nothing is replaced here.
                    self.text(&String::from_utf8_lossy(good), out);
                    match error.error_len() {
                        None => {
                            self.partial.extend_from_slice(rest);
                            return;
                        }
                        Some(length) => {
                            self.text("\u{fffd}", out);
                            bytes = &rest[length..];
                        }
                    }
                }
            }
        }
    }

    fn text(&mut self, text: &str, out: &mut String) {
        if text.is_empty() {
            return;
        }
        if std::mem::take(&mut self.carriage_return) && !text.starts_with('\n') {
            show('\r', out);
        }
        if text.bytes().all(|b| is_plain(b) || b == b'\n') {
            out.push_str(text);
            return;
        }
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\n' | '\t' => out.push(c),
                '\r' => match chars.peek() {
                    None => self.carriage_return = true,
                    Some('\n') => {}
                    Some(_) => show(c, out),
                },
                c if is_dangerous(c) => show(c, out),
                c => out.push(c),
            }
        }
    }
}

/// JSON in which the dangerous characters are escaped as JSON itself provides. Outside strings JSON holds none but newlines.
pub(super) fn escape_json(text: String) -> String {
    if !text.contains(|c| c != '\n' && is_dangerous(c)) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c != '\n' && is_dangerous(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn streamed(chunks: &[&[u8]]) -> String {
        let (mut sanitizer, mut out) = (Sanitizer::default(), String::new());
        for chunk in chunks {
            sanitizer.push(chunk, &mut out);
        }
        sanitizer.finish(&mut out);
        out
    }

    #[test]
    fn shows_escape_sequences_as_text() {
        assert_eq!(clean("\x1b[31mred\x07\u{9b}2J"), "^[[31mred^G\\u{9b}2J");
        assert_eq!(clean("a\nb\tc\r\u{7f}"), "a\\nb\\tc^M^?");
        assert_eq!(clean("user\u{202e}gpj.exe"), "user\\u{202e}gpj.exe");
        assert_eq!(clean("adm\u{200b}in"), "adm\\u{200b}in");
        assert_eq!(clean("\u{e0041}\u{feff}\u{2028}"), "\\u{e0041}\\u{feff}\\u{2028}");
        assert!(matches!(clean("plain ünïcode"), Cow::Borrowed(_)));
    }

    #[test]
    fn leaves_real_text_alone() {
        for text in [
            "👨\u{200d}👩\u{200d}👧",
            "❤\u{fe0f}",
            "مرحبا",
            "שלום",
            "e\u{301}",
            "नमस्ते",
            "漢\u{e0100}",
            "می\u{200c}خواهم",
        ] {
            assert_eq!(streamed(&[text.as_bytes()]), text);
            assert_eq!(clean(text), text);
        }
    }

    #[test]
    fn line_ends_split_over_chunks() {
        assert_eq!(streamed(&[b"a\r", b"\nb\r\n\rc\r"]), "a\nb\n^Mc^M");
        assert_eq!(streamed(&[b"a\r", b"\x1b", b"[2J"]), "a^M^[[2J");
    }

    #[test]
    fn characters_split_over_chunks() {
        let snowman = "☃".as_bytes();
        assert_eq!(streamed(&[&snowman[..1], &snowman[1..2], &snowman[2..]]), "☃");
        assert_eq!(streamed(&[&snowman[..2], b"x", &snowman[..1]]), "\u{fffd}x\u{fffd}");
        assert_eq!(streamed(&[b"\x9b31m"]), "\u{fffd}31m");
    }

    /// Bytes among which the troublesome ones are common.
    fn nasty() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<u8>().prop_map(|b| vec![b]),
            any::<char>().prop_map(|c| c.to_string().into_bytes()),
            prop::sample::select(vec![
                "\r",
                "\n",
                "\t",
                "\x1b[",
                "\x1b]0;",
                "\u{9b}",
                "\u{202e}",
                "\u{2067}",
                "\u{e0061}",
                "\u{200d}"
            ])
            .prop_map(|s| s.as_bytes().to_vec()),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_dangerous_comes_out(bytes in nasty()) {
            let out = streamed(&[&bytes]);
            prop_assert!(!out.contains(|c| is_dangerous(c) && c != '\n' && c != '\t'));
            let lossy = String::from_utf8_lossy(&bytes);
            prop_assert!(!clean(&lossy).contains(|c| is_dangerous(c) || is_invisible(c)));
            let once = clean(&lossy);
            prop_assert_eq!(clean(&once), once.as_ref());
        }

        #[test]
        fn any_split_gives_the_same(bytes in nasty(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
            let mut at: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let chunks: Vec<&[u8]> = at.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(streamed(&chunks), streamed(&[&bytes]));
        }
    }
}
