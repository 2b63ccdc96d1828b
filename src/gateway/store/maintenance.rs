//! The maintenance message: what the administrator tells everyone who uses the gateway, and whether the gateway serves meanwhile.

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// One line for callers and pages: text that a person wrote.
    pub message: String,
    /// Whether requests for the upstream server are refused.
    pub refuses: bool,
    /// When it was set, in Unix seconds.
    pub since: i64,
    /// When it ends by itself, in Unix seconds; `None`: when an administrator ends it.
    pub until: Option<i64>,
}

impl Maintenance {
    /// The longest message, in characters.
    pub const LONGEST: usize = 200;

    /// The message without the blanks around it, if it is one line of 1 to [`LONGEST`](Self::LONGEST) characters.
    pub fn line(text: &str) -> Option<String> {
        let text = text.trim();
        let breaks_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        let fits = !text.is_empty() && text.chars().count() <= Self::LONGEST && !text.chars().any(breaks_line);
        fits.then(|| text.to_owned())
    }

    /// Whether it counts at that Unix second.
    pub fn is_in_effect(&self, now: i64) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether both say the same, whenever they were set.
    pub fn says_same(&self, other: &Self) -> bool {
        (&self.message, self.refuses, self.until) == (&other.message, other.refuses, other.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_that_is_not_too_long() {
        assert_eq!(Maintenance::line("  new GPU \u{2713} ").as_deref(), Some("new GPU \u{2713}"));
        let longest = "ä".repeat(Maintenance::LONGEST);
        assert_eq!(Maintenance::line(&longest), Some(longest.clone()));
        for wrong in ["", " \n ", "a\nb", "a\x1b[2Jb", "a\u{9b}b", "a\u{2028}b", &format!("{longest}x")] {
            assert_eq!(Maintenance::line(wrong), None, "{wrong:?}");
        }
    }
}
