//! A plain table: columns aligned by display width, two spaces between them, headers in capitals. Cells are untrusted.

use super::sanitize::clean;
use unicode_width::UnicodeWidthStr;

/// Rows under a line of headers. Print it with [`super::Printer::table`].
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns, from left to right; headers are shown in capitals.
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|header| header.to_uppercase()).collect(), rows: Vec::new() }
    }

    /// Adds a row. Cells that are missing are empty, those beyond the last column are dropped.
    pub fn push<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| clean(&cell.into()).into_owned()).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// The lines, without a newline after the last; headers faint where `color` is set.
    pub fn render(&self, color: bool) -> String {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|i| self.rows.iter().map(|row| row[i].width()).chain([self.columns[i].width()]).max().unwrap_or(0))
            .collect();
        let head = line(&self.columns, &widths);
        let head = if color { format!("\x1b[2m{head}\x1b[0m") } else { head };
        std::iter::once(head).chain(self.rows.iter().map(|row| line(row, &widths))).collect::<Vec<_>>().join("\n")
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if column > 0 {
            line.push_str("  ");
        }
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width())));
    }
    line.truncate(line.trim_end_matches(' ').len());
    line
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
        assert!(table.render(true).starts_with("\x1b[2mNAME    USED  NOTE\x1b[0m\n"));
    }
}
