//! Sizes as people write them: `16MiB`, `100MB`.

const UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// The bytes that a text means: a number, with a unit if it has one.
pub fn parse_size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    // Without digits it is an error, as is a number beyond 64 bits.
    let number: u64 = text[..end].parse().ok()?;
    let unit = text[end..].trim_start();
    let (_, factor) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*factor)
}

/// The same for people: `16 MiB`, `1000 bytes`.
pub fn size_text(bytes: u64) -> String {
    match bytes {
        bytes if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        bytes if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        bytes if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        for (text, bytes) in [("0", 0), ("17", 17), ("1kb", 1000), ("16MiB", 16 << 20), ("2 GB", 2_000_000_000)] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "+1", "-1", "1.5MB", "1TB", "99999999999999999999", "18446744073709551615KB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
        let shown = [1 << 30, 3 << 20, 1024, 1000].map(size_text);
        assert_eq!(shown, ["1 GiB", "3 MiB", "1 KiB", "1000 bytes"]);
    }
}
