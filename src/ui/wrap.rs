//! Wraps a stream of text at the terminal's width without ever holding a piece of it back: the start of a word is
//! printed when it arrives, and when its rest does not fit, the part already printed is erased and put on the next line.
//!
//! Widths are display widths. A grapheme cluster is never torn apart, even when its characters arrive one by one.

use std::fmt::Write as _;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A cluster longer than this many bytes (a letter under a heap of marks) is cut, to bound the work a piece.
const LONGEST_CLUSTER: usize = 64;

const TAB_STOP: usize = 8;

const EMOJI_SELECTOR: char = '\u{fe0f}';

/// How a cluster takes part in wrapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Part of a word, which moves as a whole.
    Word,
    /// Breaks the line before and after itself: ideographs, emoji.
    Alone,
    Space,
    Tab,
    Newline,
}

/// The class of a cluster. Its first character decides, so that later ones cannot change the answer; only the characters of
/// keycaps are told by the selector right behind them, since terminals disagree about their width from then on. Elsewhere in
/// a word the selector changes nothing.
fn classify(cluster: &str) -> Class {
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
fn cluster_width(cluster: &str, class: Class) -> usize {
    let sum = cluster.chars().map(|c| c.width().unwrap_or(0)).sum();
    match class {
        Class::Alone => cluster.width().max(sum),
        _ => sum,
    }
}

/// The last cluster handled, which the next piece may still extend.
#[derive(Debug)]
struct Last {
    text: String,
    class: Class,
    width: usize,
    /// The cursor was saved in front of it.
    saved: bool,
}

/// The streaming wrapper. Its input must hold no control characters but newline and tab, as [`super::sanitize`] leaves it.
#[derive(Debug)]
pub struct Wrapper {
    columns: usize,
    /// The cursor's column, from 0.
    column: usize,
    /// What of the current word is on this line, and its width.
    word: String,
    word_width: usize,
    /// A line break is due before the next cluster that is no space.
    break_due: bool,
    last: Option<Last>,
}

impl Wrapper {
    /// A wrapper for a terminal that is `columns` wide (0 counts as 1), its cursor at the start of a line.
    pub fn new(columns: usize) -> Self {
        Self { columns: columns.max(1), column: 0, word: String::new(), word_width: 0, break_due: false, last: None }
    }

    /// The terminal has changed its width. What is on the screen was reflowed by the terminal; the new width holds from here on.
    pub fn set_columns(&mut self, columns: usize) {
        let columns = columns.max(1);
        if columns == self.columns {
            return;
        }
        self.columns = columns;
        if self.column >= columns {
            // The line now spans several rows: what is left of the word on this one is not known, so it is not backed over.
            self.column %= columns;
            self.forget_word();
            self.last = None;
        }
    }

    /// The last column stays free: in it terminals defer the wrap, and moving left from there is off by one.
    fn limit(&self) -> usize {
        (self.columns - 1).max(1)
    }

    /// Appends what is to be written to the terminal for `text` to `out`: all of it, at once.
    pub fn push(&mut self, text: &str, out: &mut String) {
        let mut rest = self.extend_last(text, out);
        while !rest.is_empty() {
            // Between two ASCII characters there is always a boundary (no \r comes here).
            let bytes = rest.as_bytes();
            let length = if bytes[0].is_ascii() && bytes.get(1).is_none_or(u8::is_ascii) {
                1
            } else {
                rest.graphemes(true).next().map_or(rest.len(), |g| cut(g).len())
            };
            let (cluster, after) = rest.split_at(length);
            let class = classify(cluster);
            self.place(cluster, class, after.is_empty(), out);
            rest = after;
        }
    }

    /// If `text` begins with more of the last cluster, adds it there. Returns the rest.
    fn extend_last<'t>(&mut self, text: &'t str, out: &mut String) -> &'t str {
        let Some(last) = &mut self.last else {
            return text;
        };
        if !matches!(last.class, Class::Word | Class::Alone) {
            return text;
        }
        if text.as_bytes().first().is_none_or(u8::is_ascii) || last.text.len() >= LONGEST_CLUSTER {
            return text;
        }
        let known = last.text.len();
        // Enough of the piece to see where the cluster ends; more would make a long piece cost its length twice.
        let ahead = text.char_indices().map(|(i, _)| i).find(|&i| i > LONGEST_CLUSTER).unwrap_or(text.len());
        let mut joined = last.text.clone();
        joined.push_str(&text[..ahead]);
        let length = joined.graphemes(true).next().map_or(known, |g| cut(g).len());
        if length <= known {
            return text;
        }
        let (more, rest) = text.split_at(length - known);
        joined.truncate(length);
        let class = classify(&joined);
        let width = cluster_width(&joined, class);
        let grown = width.saturating_sub(last.width);
        let fits = grown == 0 || self.column + grown <= (self.columns - 1).max(1);
        // Alone on its line it has nowhere better to go.
        if !fits && self.column > last.width {
            self.take_back(out);
            self.place(&joined, class, rest.is_empty(), out);
            return rest;
        }
        out.push_str(more);
        self.column += grown;
        last.width += grown;
        last.class = class;
        if class == Class::Word {
            self.word.push_str(more);
            self.word_width += grown;
        } else {
            self.forget_word();
        }
        if let Some(last) = &mut self.last {
            last.text = joined;
        }
        rest
    }

    /// Erases the last cluster from the screen.
    fn take_back(&mut self, out: &mut String) {
        let Some(last) = self.last.take() else { return };
        if last.saved {
            out.push_str("\x1b8\x1b[K");
        } else {
            erase(last.width, out);
        }
        self.column -= last.width;
        if last.class == Class::Word {
            self.word.truncate(self.word.len() - last.text.len());
            self.word_width -= last.width;
        }
    }

    fn place(&mut self, cluster: &str, class: Class, end_of_piece: bool, out: &mut String) {
        let width = cluster_width(cluster, class);
        let mut saved = false;
        match class {
            Class::Newline => {
                self.new_line(out);
                self.forget_word();
            }
            Class::Tab => {
                self.forget_word();
                let spaces = TAB_STOP - self.column % TAB_STOP;
                if self.break_due || self.column + spaces > self.limit() {
                    self.break_due = true;
                } else {
                    out.extend(std::iter::repeat_n(' ', spaces));
                    self.column += spaces;
                }
            }
            Class::Space => {
                self.forget_word();
                if self.break_due || self.column + width > self.limit() {
                    // The line break takes the place of the spaces around it.
                    self.break_due = true;
                } else {
                    out.push_str(cluster);
                    self.column += width;
                }
            }
            Class::Alone => {
                self.forget_word();
                if self.break_due || (self.column + width > self.limit() && self.column > 0) {
                    self.new_line(out);
                }
                // More of it may come that makes it too wide here; then the cursor must find back.
                saved = end_of_piece && self.column > 0;
                if saved {
                    out.push_str("\x1b7");
                }
                out.push_str(cluster);
                self.column += width;
            }
            Class::Word => {
                if self.break_due {
                    self.new_line(out);
                } else if width > 0 && self.column + width > self.limit() && self.column > 0 {
                    self.move_word(out);
                    if self.column + width > self.limit() && self.column > 0 {
                        self.new_line(out);
                        self.forget_word();
                    }
                }
                out.push_str(cluster);
                self.column += width;
                self.word.push_str(cluster);
                self.word_width += width;
            }
        }
        match &mut self.last {
            // Only the end of a piece can be extended by the next one; the buffer is used again.
            _ if !end_of_piece => self.last = None,
            last => *last = Some(Last { text: cluster.to_owned(), class, width, saved }),
        }
    }

    /// Puts the part of the word that is on the screen on the next line. A word that already has the line to itself stays,
    /// and goes on below.
    fn move_word(&mut self, out: &mut String) {
        if self.word_width == self.column {
            self.new_line(out);
            self.forget_word();
            return;
        }
        erase(self.word_width, out);
        self.new_line(out);
        out.push_str(&self.word);
        self.column = self.word_width;
    }

    fn new_line(&mut self, out: &mut String) {
        out.push('\n');
        self.column = 0;
        self.break_due = false;
    }

    fn forget_word(&mut self) {
        self.word.clear();
        self.word_width = 0;
    }
}

/// Moves the cursor `width` columns to the left and erases from there.
fn erase(width: usize, out: &mut String) {
    if width > 0 {
        // Writing to a String cannot fail.
        let _ = write!(out, "\x1b[{width}D\x1b[K");
    }
}

/// The part of a grapheme cluster that is handled as one: a space stands apart from what would extend it, since it may be
/// dropped at the margin, and a cluster longer than [`LONGEST_CLUSTER`] bytes is cut.
fn cut(cluster: &str) -> &str {
    let mut starts = cluster.char_indices().map(|(i, _)| i).skip(1);
    let end = match cluster.chars().next().map(classify_first) {
        Some(Class::Space) => starts.next(),
        _ => starts.find(|&i| i >= LONGEST_CLUSTER),
    };
    &cluster[..end.unwrap_or(cluster.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZero;

    fn stream(columns: usize, chunks: &[&str]) -> String {
        let (mut wrapper, mut out) = (Wrapper::new(columns), String::new());
        for chunk in chunks {
            wrapper.push(chunk, &mut out);
        }
        out
    }

    /// What a terminal of that width shows, without trailing blanks and without characters of no width (vt100 keeps only a few a cell).
    fn screen(columns: usize, output: &str) -> Vec<String> {
        let mut terminal =
            vt100::Parser::new(NonZero::new(800).unwrap(), NonZero::new(u16::try_from(columns).unwrap()).unwrap(), 0);
        terminal.process(output.replace('\n', "\r\n").as_bytes());
        tidy(terminal.screen().rows(0, u16::try_from(columns).unwrap()))
    }

    fn tidy(lines: impl Iterator<Item = String>) -> Vec<String> {
        let visible = |line: String| -> String { line.chars().filter(|c| c.width().unwrap_or(0) > 0).collect() };
        let mut lines: Vec<String> = lines.map(|l| visible(l).trim_end().to_owned()).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    /// The same rules over the whole text at once: words are collected first, then put where they fit.
    fn reference(columns: usize, text: &str) -> Vec<String> {
        let limit = (columns - 1).max(1);
        let mut lines = vec![String::new()];
        let (mut column, mut due) = (0, false);
        let mut clusters: Vec<(&str, Class, usize)> = Vec::new();
        let mut rest = text;
        while let Some(g) = rest.graphemes(true).next() {
            let g = cut(g);
            let class = classify(g);
            clusters.push((g, class, cluster_width(g, class)));
            rest = &rest[g.len()..];
        }
        let mut i = 0;
        while i < clusters.len() {
            let (g, class, width) = clusters[i];
            i += 1;
            match class {
                Class::Newline => {
                    lines.push(String::new());
                    (column, due) = (0, false);
                }
                Class::Space | Class::Tab => {
                    let n = if class == Class::Tab { 8 - column % 8 } else { width };
                    if due || column + n > limit {
                        due = true;
                    } else {
                        let line = lines.last_mut().unwrap();
                        if class == Class::Tab {
                            line.extend(std::iter::repeat_n(' ', n))
                        } else {
                            line.push_str(g)
                        }
                        column += n;
                    }
                }
                Class::Alone => {
                    if due || (column > 0 && column + width > limit) {
                        lines.push(String::new());
                        (column, due) = (0, false);
                    }
                    lines.last_mut().unwrap().push_str(g);
                    column += width;
                }
                Class::Word => {
                    let end = clusters[i..].iter().position(|c| c.1 != Class::Word).map_or(clusters.len(), |n| i + n);
                    let word = &clusters[i - 1..end];
                    i = end;
                    let total: usize = word.iter().map(|c| c.2).sum();
                    if due || (column > 0 && total > 0 && column + total > limit) {
                        lines.push(String::new());
                        (column, due) = (0, false);
                    }
                    for (g, _, width) in word {
                        if column > 0 && *width > 0 && column + width > limit {
                            lines.push(String::new());
                            column = 0;
                        }
                        lines.last_mut().unwrap().push_str(g);
                        column += width;
                    }
                }
            }
        }
        tidy(lines.into_iter())
    }

    #[test]
    fn prints_at_once_and_moves_a_word_that_does_not_fit() {
        let (mut wrapper, mut out) = (Wrapper::new(11), String::new());
        wrapper.push("hello wo", &mut out);
        assert_eq!(out, "hello wo");
        out.clear();
        wrapper.push("rld", &mut out);
        assert_eq!(out, "rl\x1b[4D\x1b[K\nworld");
        assert_eq!(wrapper.column, 5);
    }

    #[test]
    fn breaks_long_words_and_swallows_spaces_at_the_margin() {
        assert_eq!(screen(6, &stream(6, &["abcdefghijk"])), ["abcde", "fghij", "k"]);
        assert_eq!(stream(6, &["abcde   fg"]), "abcde\nfg");
        assert_eq!(stream(6, &["abcde   \nfg"]), "abcde\nfg");
        assert_eq!(stream(20, &["a\tb"]), "a       b");
    }

    #[test]
    fn clusters_arriving_in_parts_stay_whole() {
        // The mark belongs to the letter that was printed before it.
        assert_eq!(stream(10, &["e", "\u{301}", "x"]), "e\u{301}x");
        let family = ["ab ", "👨", "\u{200d}", "👩", "\u{200d}", "👧", "!"];
        // Narrower, the family is wider than the line in a terminal that adds its members up.
        for columns in 7..16 {
            assert_eq!(screen(columns, &stream(columns, &family)), reference(columns, &family.concat()), "{columns}");
        }
    }

    #[test]
    fn a_selector_may_come_later() {
        assert_eq!(
            stream(20, &["1", "\u{fe0f}", "\u{20e3}", " one ", "❤", "\u{fe0f}", "!"]).replace("\x1b7", ""),
            "1\u{fe0f}\u{20e3} one ❤\u{fe0f}!"
        );
        for columns in 5..30 {
            let pieces =
                ["step 1", "\u{fe0f}", "\u{20e3}", " one ", "❤", "\u{fe0f}", " two 2", "\u{fe0f}\u{20e3}", " and more"];
            let letters = |lines: Vec<String>| lines.concat().replace(' ', "");
            assert_eq!(
                letters(screen(columns, &stream(columns, &pieces))),
                letters(reference(columns, &pieces.concat())),
                "{columns}"
            );
        }
    }

    #[test]
    fn a_selector_behind_a_letter_with_a_mark_changes_nothing() {
        let text = "aaaaaaaaa aaa\u{301}\u{fe0f}";
        for pieces in [&[text][..], &["aaaaaaaaa aaa", "\u{301}\u{fe0f}"], &["aaaaaaaaa aaa\u{301}", "\u{fe0f}"]] {
            assert_eq!(screen(5, &stream(5, pieces)), ["aaaa", "aaaa", "a", "aaa"], "{pieces:?}");
        }
    }

    #[test]
    fn a_new_width_holds_from_the_next_piece_on() {
        let (mut wrapper, mut out) = (Wrapper::new(40), String::new());
        wrapper.push("one two three four", &mut out);
        wrapper.set_columns(10);
        wrapper.push(" five six seven", &mut out);
        assert_eq!(out, "one two three four \nfive six \nseven");
    }

    #[test]
    fn width_one_and_zero_do_not_loop_or_panic() {
        assert_eq!(stream(1, &["ab c", "漢"]), "a\nb\nc\n漢");
        assert_eq!(stream(0, &["ab"]), "a\nb");
    }

    fn pieces() -> impl Strategy<Value = Vec<String>> {
        let atom = prop_oneof![
            8 => "[a-z]{1,7}",
            6 => Just(" ".to_owned()),
            1 => prop::sample::select(vec![
                "\n", "\t", "  ", "漢字", "、", "é", "e\u{301}", "\u{301}", "\u{200d}", "👨", "👩", "🏽", "❤", "\u{fe0f}", "🇩", "🇪", "नि", "क्ष",
                "한", "\u{1100}", "\u{1161}", "—", "…", "\u{a0}", "\u{3000}", "☺", "-", "مرحبا", "\u{200b}", "\u{20e3}", "ｱ",
            ]).prop_map(str::to_owned),
            1 => any::<char>().prop_filter("shown by vt100", |c| *c != char::REPLACEMENT_CHARACTER && !super::super::sanitize::is_dangerous(*c)).prop_map(String::from),
        ];
        prop::collection::vec(atom, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]
        #[test]
        fn any_split_shows_what_the_reference_shows(atoms in pieces(), columns in 3usize..30, by_char in any::<bool>(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10)) {
            let text = atoms.concat();
            // What is wider than the line is left to the terminal.
            prop_assume!(text.graphemes(true).all(|g| g == "\t" || cluster_width(g, Class::Alone) < columns));
            // A selector that comes after a digit was printed turns the digit into a keycap: that may leave a break
            // in front of the word which the whole text would not have had.
            let starts: Vec<usize> = text.char_indices().filter(|&(_, c)| c != EMOJI_SELECTOR).map(|(i, _)| i).chain([text.len()]).collect();
            let mut at: Vec<usize> = if by_char { starts.clone() } else { cuts.iter().map(|c| starts[c.index(starts.len())]).collect() };
            at.extend([0, text.len()]);
            at.sort_unstable();
            let chunks: Vec<&str> = at.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            let output = stream(columns, &chunks);
            prop_assert_eq!(screen(columns, &output), reference(columns, &text), "output {:?}", output);
        }
    }
}
