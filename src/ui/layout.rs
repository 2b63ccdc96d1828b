//! Fits finished text to a terminal's width: shortens it, or breaks it between words. Everything is measured in columns of the
//! terminal, and no grapheme cluster is torn apart. For text that arrives piece by piece see [`super::wrap`].

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// The text, or as much of it as fits into `columns` with a mark that something is missing.
pub(super) fn shorten(text: &str, columns: usize, utf8: bool) -> Cow<'_, str> {
    if text.width() <= columns {
        return Cow::Borrowed(text);
    }
    let mark = if utf8 { "…" } else { "..." };
    let room = columns.saturating_sub(mark.width());
    let mut used = 0;
    let mut end = 0;
    for cluster in text.graphemes(true) {
        if used + cluster.width() > room {
            break;
        }
        used += cluster.width();
        end += cluster.len();
    }
    Cow::Owned(format!("{}{mark}", text[..end].trim_end()))
}

/// Breaks a text between words so that with `indent` columns before each line it fits; the first line comes without them. A word
/// that is wider than a line (a path, a link) stays whole.
pub(super) fn fill(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(room) = width.map(|width| width.saturating_sub(indent).max(10)) else {
        return text.to_owned();
    };
    let mut out = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 && column + 1 + word.width() > room {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.width();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortens_by_display_width_and_keeps_clusters_whole() {
        assert_eq!(shorten("laptop", 6, true), "laptop");
        assert_eq!(shorten("laptops", 6, true), "lapto…");
        assert_eq!(shorten("laptops", 6, false), "lap...");
        assert_eq!(shorten("漢字漢字", 6, true), "漢字…");
        assert_eq!(shorten("one two", 5, true), "one…");
        assert_eq!(shorten("ae\u{301}bc", 3, true), "ae\u{301}…");
        assert_eq!(shorten("👨\u{200d}👩\u{200d}👧 family", 4, true), "👨\u{200d}👩\u{200d}👧…");
    }

    #[test]
    fn fills_lines_and_leaves_long_words_whole() {
        assert_eq!(fill("one two three four five six", Some(24), 2), "one two three four\n  five six");
        let path = "/a/path/that/is/wider/than/the/line";
        assert_eq!(fill(path, Some(20), 0), path);
        assert_eq!(fill("one two", None, 4), "one two");
    }
}
