//! A table that fits the terminal: columns aligned by display width, two spaces between them, headers in capitals. Where it is
//! too wide, long texts are shortened, then the least important columns are left out; where even the rest does not fit, each row
//! becomes a block of labelled lines. Outside a terminal the table is complete. Cells are untrusted. Texts are shortened and
//! broken between words by display width, and no grapheme cluster is torn apart.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::ui::sanitize::clean;
use crate::ui::style::{Look, Tint};

/// Columns between two cells.
const GAP: usize = 2;

/// A column: its header, and how it behaves where the table is too wide. Without more it is always shown, and in full.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    header: &'static str,
    /// Columns that are left of a cell that is shortened.
    least: Option<usize>,
    /// The column with the highest number is left out first.
    optional: Option<u8>,
    is_state: bool,
}

impl Column {
    /// A column; its header is shown in capitals.
    pub const fn new(header: &'static str) -> Self {
        Self { header, least: None, optional: None, is_state: false }
    }

    /// Its cells may be shortened to this many columns.
    pub const fn shrinks_to(self, columns: usize) -> Self {
        Self { least: Some(columns), ..self }
    }

    /// It may be left out; a higher number goes first.
    pub const fn optional(self, rank: u8) -> Self {
        Self { optional: Some(rank), ..self }
    }

    /// Its cell gets the row's colour.
    pub const fn state(self) -> Self {
        Self { is_state: true, ..self }
    }
}

/// Rows under a line of headers. Print it with [`super::Printer::table`].
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<(Tint, Vec<String>)>,
}

/// A table as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    /// Lines, without a newline after the last.
    pub text: String,
    /// The headers of the columns that were left out.
    pub left_out: Vec<&'static str>,
}

impl Table {
    /// A table with these columns, from left to right.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row. Cells that are missing are empty, those beyond the last column are dropped.
    pub fn push<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.push_tinted(Tint::Plain, cells);
    }

    /// The same with a colour for its state.
    pub fn push_tinted<S: Into<String>>(&mut self, tint: Tint, cells: impl IntoIterator<Item = S>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| clean(&cell.into()).into_owned()).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push((tint, row));
    }

    pub(super) fn render(&self, look: Look) -> Rendered {
        let natural: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                self.rows.iter().map(|(_, row)| row[at].width()).fold(self.columns[at].header.width(), usize::max)
            })
            .collect();
        match fit(&self.columns, &natural, look.width) {
            Some(widths) => self.as_lines(&widths, look),
            None => Rendered { text: self.as_blocks(look), left_out: Vec::new() },
        }
    }

    fn as_lines(&self, widths: &[Option<usize>], look: Look) -> Rendered {
        let mut text = String::new();
        let headers = self.columns.iter().map(|column| column.header.to_uppercase()).collect::<Vec<_>>();
        text.push_str(&Tint::Faint.paint(&line(&headers, widths, look, |_, cell| cell), look.color));
        for (tint, row) in &self.rows {
            text.push('\n');
            text.push_str(&line(row, widths, look, |at, cell| {
                if self.columns[at].is_state { tint.paint(&cell, look.color) } else { cell }
            }));
        }
        let left_out = self.columns.iter().zip(widths).filter(|(_, width)| width.is_none());
        Rendered { text, left_out: left_out.map(|(column, _)| column.header).collect() }
    }

    /// One block a row: a line a cell, with its label.
    fn as_blocks(&self, look: Look) -> String {
        let label = self.columns.iter().map(|column| column.header.width()).max().unwrap_or(0);
        let blocks = self.rows.iter().map(|(tint, row)| {
            let lines = self.columns.iter().zip(row).filter(|(_, cell)| !cell.is_empty()).map(|(column, cell)| {
                let value = fill(cell, look.width, label + GAP);
                let value = if column.is_state { tint.paint(&value, look.color) } else { value };
                let header = format!("{:label$}", column.header.to_uppercase());
                format!("{}{:GAP$}{value}", Tint::Faint.paint(&header, look.color), "")
            });
            lines.collect::<Vec<_>>().join("\n")
        });
        blocks.collect::<Vec<_>>().join("\n\n")
    }
}

/// The width of each column, `None` for one that is left out; or `None` where not even the columns that must stay fit.
fn fit(columns: &[Column], natural: &[usize], width: Option<usize>) -> Option<Vec<Option<usize>>> {
    let mut widths: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
    let Some(width) = width else { return Some(widths) };
    let least = |at: usize| {
        columns[at].least.map_or(natural[at], |least| natural[at].min(least.max(columns[at].header.width())))
    };
    loop {
        let shown: Vec<usize> = (0..columns.len()).filter(|&at| widths[at].is_some()).collect();
        let gaps = GAP * shown.len().saturating_sub(1);
        if shown.iter().map(|&at| least(at)).sum::<usize>() + gaps <= width {
            let total = shown.iter().map(|&at| natural[at]).sum::<usize>() + gaps;
            for _ in width..total {
                // The widest column gives way first.
                let widest = shown.iter().filter(|&&at| widths[at] > Some(least(at))).max_by_key(|&&at| widths[at])?;
                widths[*widest] = widths[*widest].map(|width| width - 1);
            }
            return Some(widths);
        }
        let dropped =
            shown.iter().filter(|&&at| columns[at].optional.is_some()).max_by_key(|&&at| columns[at].optional)?;
        widths[*dropped] = None;
    }
}

fn line(cells: &[String], widths: &[Option<usize>], look: Look, paint: impl Fn(usize, String) -> String) -> String {
    let mut text = String::new();
    // Blanks are written only in front of something, so that no line ends in them.
    let mut blanks = 0;
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let Some(width) = width else { continue };
        let cell = shorten(cell, *width, look.symbols).into_owned();
        let padding = width.saturating_sub(cell.width());
        if !cell.is_empty() {
            text.extend(std::iter::repeat_n(' ', std::mem::take(&mut blanks)));
        }
        text.push_str(&paint(at, cell));
        blanks += padding + GAP;
    }
    text
}

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

    fn look(width: usize) -> Look {
        Look { symbols: true, color: false, width: Some(width) }
    }

    fn keys() -> Table {
        let mut table = Table::new([
            Column::new("name").shrinks_to(8),
            Column::new("id"),
            Column::new("models").shrinks_to(6).optional(2),
            Column::new("used").optional(1),
            Column::new("state").shrinks_to(8).state(),
        ]);
        table.push_tinted(Tint::Good, ["backup", "key_1", "all", "never", "valid"]);
        table.push_tinted(Tint::Bad, ["a name that is long", "key_22", "gemma*, llama*", "2 days ago", "expired"]);
        table
    }

    #[test]
    fn aligns_by_display_width_and_cleans_cells() {
        let mut table = Table::new(["name", "used", "note"].map(Column::new));
        table.push(["漢字", "7", "a\x1b[2J"]);
        table.push(["laptop", "1234", ""]);
        assert_eq!(table.render(Look::default()).text, "NAME    USED  NOTE\n漢字    7     a^[[2J\nlaptop  1234");
        let colored = keys().render(Look { color: true, ..Look::default() }).text;
        assert!(colored.starts_with("\x1b[2mNAME                 ID      MODELS"), "{colored:?}");
        assert!(colored.ends_with("2 days ago  \x1b[31mexpired\x1b[0m"), "{colored:?}");
    }

    #[test]
    fn shortens_then_leaves_out_columns_then_prints_blocks() {
        let at = |width| keys().render(look(width));
        assert_eq!(at(64), keys().render(Look::default()));
        let shortened = at(50);
        assert_eq!(
            shortened.text,
            "NAME        ID      MODELS     USED        STATE\n\
             backup      key_1   all        never       valid\n\
             a name th…  key_22  gemma*,…   2 days ago  expired"
        );
        assert_eq!(shortened.left_out, [""; 0]);
        let narrow = at(30);
        assert_eq!(
            narrow.text,
            "NAME           ID      STATE\nbackup         key_1   valid\na name that…   key_22  expired"
        );
        assert_eq!(narrow.left_out, ["models", "used"]);
        let block = "NAME    a name that\n        is long\nID      key_22\nMODELS  gemma*,\n        llama*\nUSED    2 days ago\nSTATE   expired";
        assert!(at(20).text.ends_with(&format!("\n\n{block}")), "{}", at(20).text);
        assert_eq!(at(20).left_out, [""; 0]);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 1..80 {
            let Rendered { text, left_out } = keys().render(look(width));
            let is_block = text.lines().any(str::is_empty);
            assert!(is_block || text.lines().all(|line| line.width() <= width), "{width}:\n{text}");
            assert!(!is_block || left_out.is_empty());
            assert!(text.contains("key_22"), "what must stay is shown at any width:\n{text}");
        }
    }

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
