//! Grapheme clusters as a terminal shows them: how wide each is, and whether a line may break around it.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A cluster longer than this many bytes (a letter under a heap of marks) is cut, to bound the work a piece.
pub(super) const LONGEST_CLUSTER: usize = 64;

pub(super) const EMOJI_SELECTOR: char = '\u{fe0f}';

/// How a cluster takes part in wrapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Part of a word, which moves as a whole.
    Word,
    /// Breaks the line before and after itself: ideographs, emoji.
    Alone,
    Space,
    Tab,
    Newline,
}

/// The class of a cluster. Its first character decides, so that later ones cannot change the answer; only the characters of
/// keycaps are recognised by the selector right behind them, since terminals disagree about their width from then on. Elsewhere in
/// a word the selector changes nothing.
pub(super) fn classify(cluster: &str) -> Class {
    let Some(first) = cluster.chars().next() else {
        return Class::Word;
    };
    match first {
        '0'..='9' | '#' | '*' if cluster.chars().nth(1) == Some(EMOJI_SELECTOR) => Class::Alone,
        _ => classify_first(first),
    }
}

fn classify_first(first: char) -> Class {
    match first {
        '\n' => Class::Newline,
        '\t' => Class::Tab,
        '\u{a0}' | '\u{202f}' | '\u{2007}' => Class::Word,
        '\u{3000}' => Class::Alone,
        '\u{200b}' => Class::Space,
        c if c.is_whitespace() => Class::Space,
        c if c.is_ascii() => Class::Word,
        c if stands_alone(c) => Class::Alone,
        _ => Class::Word,
    }
}

/// True for wide characters, and for narrow ones that a following selector or joiner can make wide: terminals disagree
/// about the width of the result, so it must not be part of what is backed over by counting columns.
fn stands_alone(c: char) -> bool {
    c.width().unwrap_or(0) >= 2
        || matches!(c, '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}')
        || matches!(c, '\u{2194}'..='\u{21aa}' | '\u{231a}'..='\u{23ff}' | '\u{24c2}' | '\u{25aa}'..='\u{25fe}')
        || matches!(c, '\u{2600}'..='\u{27bf}' | '\u{2934}'..='\u{2935}' | '\u{2b05}'..='\u{2b55}' | '\u{1f000}'..)
}

/// Columns a cluster takes. Terminals either add up its characters or show one glyph: the larger number counts, so that
/// no terminal runs over its margin.
pub(super) fn cluster_width(cluster: &str, class: Class) -> usize {
    let sum = cluster.chars().map(|c| c.width().unwrap_or(0)).sum();
    match class {
        Class::Alone => cluster.width().max(sum),
        _ => sum,
    }
}

/// The part of a grapheme cluster that is handled as one: a space is separate from characters that would extend it, since it may be
/// dropped at the margin, and a cluster longer than [`LONGEST_CLUSTER`] bytes is cut.
pub(super) fn cut(cluster: &str) -> &str {
    let mut starts = cluster.char_indices().map(|(i, _)| i).skip(1);
    let end = match cluster.chars().next().map(classify_first) {
        Some(Class::Space) => starts.next(),
        _ => starts.find(|&i| i >= LONGEST_CLUSTER),
    };
    &cluster[..end.unwrap_or(cluster.len())]
}
