//! A plain table: columns aligned by display width, two spaces between them, headers in capitals. Cells are untrusted.

use super::sanitize::clean;
use unicode_width::UnicodeWidthStr;

/// How a row looks where there is colour. It only repeats what its words say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tint {
    /// As the terminal has it.
    #[default]
    Plain,
    /// Something may be wrong: yellow.
    Doubtful,
    /// Something is wrong: red.
    Bad,
}

impl Tint {
    fn sequence(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Doubtful => "\x1b[33m",
            Self::Bad => "\x1b[31m",
        }
    }
}

/// Rows under a line of headers. Print it with [`super::Printer::table`].
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<(Tint, Vec<String>)>,
}

impl Table {
    /// A table with these columns, from left to right; headers are shown in capitals.
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|header| header.to_uppercase()).collect(), rows: Vec::new() }
    }

    /// Adds a row. Cells that are missing are empty, those beyond the last column are dropped.
    pub fn push<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.push_tinted(Tint::Plain, cells);
    }

    /// The same with a colour.
    pub fn push_tinted<S: Into<String>>(&mut self, tint: Tint, cells: impl IntoIterator<Item = S>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| clean(&cell.into()).into_owned()).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push((tint, row));
    }

    /// The lines, without a newline after the last; headers faint where `color` is set.
    pub fn render(&self, color: bool) -> String {
        let mut widths: Vec<usize> = self.columns.iter().map(|header| header.width()).collect();
        for (_, row) in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let mut text = String::with_capacity((widths.iter().sum::<usize>() + 2 * widths.len() + 10) * self.rows.len());
        let mut put = |cells: &[String], style: &str| {
            let style = if color { style } else { "" };
            text.push_str(style);
            put_line(&mut text, cells, &widths);
            if !style.is_empty() {
                text.push_str("\x1b[0m");
            }
            text.push('\n');
        };
        put(&self.columns, "\x1b[2m");
        for (tint, row) in &self.rows {
            put(row, tint.sequence());
        }
        text.pop();
        text
    }
}

fn put_line(text: &mut String, cells: &[String], widths: &[usize]) {
    let start = text.len();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if column > 0 {
            text.push_str("  ");
        }
        text.push_str(cell);
        text.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width())));
    }
    let end = text[start..].trim_end_matches(' ').len();
    text.truncate(start + end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_by_display_width_and_cleans_cells() {
        let mut table = Table::new(&["name", "used", "note"]);
        table.push(["漢字", "7", "a\x1b[2J"]);
        table.push(["laptop", "1234", ""]);
        assert_eq!(table.render(false), "NAME    USED  NOTE\n漢字    7     a^[[2J\nlaptop  1234");
        table.push_tinted(Tint::Bad, ["x", "y"]);
        let colored = table.render(true);
        assert!(colored.starts_with("\x1b[2mNAME    USED  NOTE\x1b[0m\n"), "{colored:?}");
        assert!(colored.ends_with("laptop  1234\n\x1b[31mx       y\x1b[0m"), "{colored:?}");
    }
}
