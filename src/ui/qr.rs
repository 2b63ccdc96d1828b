//! A QR code drawn with half blocks, two modules a character, for signing in from a phone.

use qrcode::{Color, EcLevel, QrCode};

/// Light modules around the code, on every side; ISO/IEC 18004 asks for four.
const QUIET: usize = 4;

/// Why there is no QR code.
#[derive(Debug, thiserror::Error)]
pub enum QrError {
    /// The text does not fit into one (2,953 bytes at most).
    #[error("the text is too long for a QR code: {length} bytes")]
    TooLong {
        /// Bytes of the text.
        length: usize,
    },
    /// The code does not fit into a line of the terminal.
    #[error("the terminal is too narrow for the QR code: it needs {needed} columns")]
    TooNarrow {
        /// Columns of the code.
        needed: usize,
    },
}

/// Lines of half blocks, without a newline after the last. `columns` is the terminal's width, if there is a terminal.
///
/// With `color` the code is black on white whatever the terminal's theme is. Without, light modules are drawn in the
/// terminal's text colour, which is right on a dark background and inverted on a light one; phones read both.
///
/// # Errors
/// When `text` is too long, or `columns` too few.
pub fn qr(text: &str, color: bool, columns: Option<usize>) -> Result<String, QrError> {
    let code =
        QrCode::with_error_correction_level(text, EcLevel::L).map_err(|_| QrError::TooLong { length: text.len() })?;
    let (modules, size) = (code.to_colors(), code.width());
    let light = |x: usize, y: usize| match (x.checked_sub(QUIET), y.checked_sub(QUIET)) {
        (Some(x), Some(y)) if x < size && y < size => modules[y * size + x] == Color::Light,
        _ => true,
    };
    let side = size + 2 * QUIET;
    if columns.is_some_and(|columns| columns < side) {
        return Err(QrError::TooNarrow { needed: side });
    }
    let lines = (0..side).step_by(2).map(|y| {
        let blocks: String = (0..side)
            .map(|x| match (light(x, y), y + 1 >= side || light(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            })
            .collect();
        // Entries 231 and 16 of the 256-colour cube are white and black in every theme.
        if color { format!("\x1b[38;5;231;48;5;16m{blocks}\x1b[0m") } else { blocks }
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_every_module_inside_a_quiet_zone() {
        let url = "https://ollama.com/connect?name=host&key=abc";
        let text = qr(url, false, None).unwrap();
        let code = QrCode::with_error_correction_level(url, EcLevel::L).unwrap();
        let rows: Vec<Vec<bool>> = text
            .lines()
            .flat_map(|line| [['█', '▀'], ['█', '▄']].map(|lit| line.chars().map(|c| lit.contains(&c)).collect()))
            .collect();
        for (y, row) in rows.iter().enumerate() {
            assert_eq!(row.len(), code.width() + 8);
            for (x, light) in row.iter().enumerate() {
                let inside = (4..4 + code.width()).contains(&x) && (4..4 + code.width()).contains(&y);
                assert_eq!(*light, !inside || code[(x - 4, y - 4)] == Color::Light, "{x},{y}");
            }
        }
        assert!(
            qr(url, true, Some(100))
                .unwrap()
                .lines()
                .all(|l| l.starts_with("\x1b[38;5;231;48;5;16m") && l.ends_with("\x1b[0m"))
        );
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert_eq!(
            qr(&"x".repeat(3000), false, None).unwrap_err().to_string(),
            "the text is too long for a QR code: 3000 bytes"
        );
        assert!(matches!(qr("https://ollama.com", false, Some(32)).unwrap_err(), QrError::TooNarrow { needed: 33 }));
    }
}
