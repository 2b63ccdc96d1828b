//! Numbers of tokens as people write them: `500k`, `1M`.

const UNITS: [(&str, u64); 4] = [("", 1), ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];

/// The number that a text means: digits, with a unit if there is one.
pub fn parse_tokens(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..end].parse().ok()?;
    let unit = text[end..].trim_start();
    let (_, factor) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*factor)
}

/// The same as it is written, exactly: `500k`, `1M`, `1234567`.
pub fn tokens_text(number: u64) -> String {
    let fits = |(_, factor): &&(&str, u64)| number > 0 && number.is_multiple_of(*factor);
    let (unit, factor) = UNITS.iter().rev().find(fits).unwrap_or(&UNITS[0]);
    format!("{}{unit}", number / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_they_are_written() {
        for (text, number) in [("0", 0), ("17", 17), ("500k", 500_000), ("1M", 1_000_000), ("3G", 3_000_000_000)] {
            assert_eq!((parse_tokens(text), tokens_text(number).as_str()), (Some(number), text));
        }
        assert_eq!((parse_tokens("2 K"), tokens_text(1_500_000)), (Some(2000), "1500k".to_owned()));
        for text in ["", "M", "+1", "-1", "1.5M", "1T", "1MB", "99999999999999999999", "18446744073709551615k"] {
            assert_eq!(parse_tokens(text), None, "{text}");
        }
    }
}
