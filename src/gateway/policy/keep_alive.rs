//! How long a model stays loaded: the member `keep_alive`, as the server reads it (`UnmarshalJSON` of `Duration` in its `api`).

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum KeepAlive {
    /// So many seconds.
    Seconds(f64),
    /// So many nanoseconds.
    Nanoseconds(u128),
    /// For ever: any negative value.
    Forever,
}

impl KeepAlive {
    /// Reads a value of JSON: a number of seconds, or a duration as Go writes it, such as `"1h30m"`. `None` for what the server refuses.
    pub fn read(value: &str) -> Option<Self> {
        if value.starts_with('"') {
            let text: String = serde_json::from_str(value).ok()?;
            return Self::parse(&text);
        }
        number(value).map(|seconds| if seconds < 0.0 { Self::Forever } else { Self::Seconds(seconds) })
    }

    /// As Go's `time.ParseDuration`: `300ms`, `-1.5h`, `2h45m`, `0`.
    fn parse(text: &str) -> Option<Self> {
        let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
        if rest == "0" {
            return Some(Self::Nanoseconds(0));
        }
        let mut total = 0_u128;
        loop {
            let is_amount = |c: char| c.is_ascii_digit() || c == '.';
            let (amount, after) = rest.split_at(rest.find(|c| !is_amount(c))?);
            let (unit, after) = after.split_at(after.find(is_amount).unwrap_or(after.len()));
            total = total.saturating_add(nanoseconds(amount, unit)?);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        Some(if text.starts_with('-') && total > 0 { Self::Forever } else { Self::Nanoseconds(total) })
    }

    /// Whether it is more than so many seconds.
    pub fn is_more_than(self, seconds: u64) -> bool {
        match self {
            Self::Seconds(asked) => asked > float(seconds),
            Self::Nanoseconds(asked) => asked > u128::from(seconds) * 1_000_000_000,
            Self::Forever => true,
        }
    }
}

/// Rounded up, so that it is no less than what Go makes of it.
fn nanoseconds(amount: &str, unit: &str) -> Option<u128> {
    let unit = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000_u128,
        _ => return None,
    };
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let digits = |text: &str| {
        text.bytes().fold(0_u128, |number, digit| number.saturating_mul(10).saturating_add((digit - b'0').into()))
    };
    // Fewer digits are a billionth of a nanosecond.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    Some(digits(whole).saturating_mul(unit).saturating_add((digits(fraction) * unit).div_ceil(scale)))
}

/// A number of JSON; one that is too large is infinite.
pub fn number(value: &str) -> Option<f64> {
    let is_number = value.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    is_number.then(|| value.parse().ok()).flatten()
}

/// A cap as a number to compare with. None is larger than 32 bits.
pub fn float(cap: u64) -> f64 {
    u32::try_from(cap).unwrap_or(u32::MAX).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go says of each: how many nanoseconds, `None` for an error, -1 for ever.
    #[test]
    fn times_are_read_as_go_reads_them() {
        const SECOND: i128 = 1_000_000_000;
        for (text, wanted) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("+5s", Some(5 * SECOND)),
            ("5m", Some(300 * SECOND)),
            ("1h30m", Some(5400 * SECOND)),
            ("1.5h", Some(5400 * SECOND)),
            (".5s", Some(SECOND / 2)),
            ("5.s", Some(5 * SECOND)),
            ("0.1m", Some(6 * SECOND)),
            ("1m0.000000000000000000000001s", Some(60 * SECOND)),
            ("3us4µs5μs6ns", Some(12_006)),
            ("10ms10ms", Some(20_000_000)),
            ("0.3333333333333333333h", Some(1_200 * SECOND)),
            ("-1m", Some(-1)),
            ("-1ns", Some(-1)),
            ("-0s", Some(0)),
            ("", None),
            ("5", None),
            ("-1", None),
            ("s", None),
            (".s", None),
            ("1..5s", None),
            ("5 m", None),
            (" 5m", None),
            ("5d", None),
            ("5M", None),
            ("--5m", None),
            ("5m-1s", None),
            ("1e3s", None),
            ("0x5s", None),
            ("٥m", None),
        ] {
            let read = KeepAlive::parse(text).map(|asked| match asked {
                KeepAlive::Nanoseconds(asked) => i128::try_from(asked).unwrap(),
                _ => -1,
            });
            assert_eq!(read, wanted, "{text}");
        }
        assert!(KeepAlive::parse(&format!("{}h", "9".repeat(400))).unwrap().is_more_than(u32::MAX.into()));
    }

    #[test]
    fn both_forms_are_compared_with_seconds() {
        for (value, is_more) in [
            ("600", false),
            ("6e2", false),
            ("600.0000001", true),
            ("0", false),
            ("-0", false),
            ("-1", true),
            ("-1e-9", true),
            ("1e999", true),
            ("\"10m\"", false),
            ("\"10m0.000000001s\"", true),
            ("\"\\u0031h\"", true),
            ("\"-5m\"", true),
        ] {
            assert_eq!(KeepAlive::read(value).unwrap().is_more_than(600), is_more, "{value}");
        }
        for other in ["null", "true", "[]", "{}", "\"\"", "\"600\"", "NaN", "inf"] {
            assert_eq!(KeepAlive::read(other), None, "{other}");
        }
    }
}
