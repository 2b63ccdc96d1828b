//! Wraps a stream of text at the terminal's width without ever holding a piece of it back: the start of a word is
//! printed when it arrives, and when its rest does not fit, the part already printed is erased and put on the next line.
//!
//! Widths are display widths. A grapheme cluster is never torn apart, even when its characters arrive one by one.

mod cluster;

use std::fmt::Write as _;

use unicode_segmentation::UnicodeSegmentation;

use cluster::{Class, LONGEST_CLUSTER, classify, cluster_width, cut};

const TAB_STOP: usize = 8;

/// The last cluster handled, which the next piece may still extend.
#[derive(Debug)]
struct Last {
    text: String,
    class: Class,
    width: usize,
    /// The cursor was saved in front of it.
    saved: bool,
}

/// The streaming wrapper. Its input must hold no control characters but newline and tab, as [`crate::ui::sanitize`] leaves it.
#[derive(Debug)]
pub struct Wrapper {
    columns: usize,
    /// The cursor's column, from 0.
    column: usize,
    /// What of the current word is on this line, and its width.
    word: String,
    word_width: usize,
    /// A line break is due before the next cluster that is not a space.
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

    /// Appends all of the terminal output for `text` to `out`.
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
        // Alone on its line: moving it to the next line would gain nothing.
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
    /// and continues below.
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

#[cfg(test)]
mod tests;
