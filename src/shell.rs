//! Words for commands that people paste into a shell: names and paths come from people and hosts and may hold anything.

use std::fmt::Display;

/// A word as a POSIX shell reads it back: quoted where it needs to be.
pub fn quoted(word: impl Display) -> String {
    let text = word.to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A name as an argument: `NAME` where it could be taken for an option, or cannot be pasted.
pub fn name_argument(text: &str) -> String {
    if text.is_empty() || text.starts_with('-') || text.contains(char::is_control) {
        return "NAME".to_owned();
    }
    quoted(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_can_be_pasted_whatever_it_holds() {
        assert_eq!(quoted("gw.example:8080"), "gw.example:8080");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("$(rm -rf ~)'; x"), r"'$(rm -rf ~)'\''; x'");
        assert_eq!(quoted(""), "''");
        assert_eq!(name_argument("--yes"), "NAME");
        assert_eq!(name_argument("a\nb"), "NAME");
        assert_eq!(name_argument("it's"), r"'it'\''s'");
    }

    #[test]
    fn a_shell_reads_back_the_word() {
        for word in ["", "nightly report", "it's", "a\"b\\c", "$HOME `x` !y *", "é\u{a0}漢", "-- -x"] {
            assert_eq!(shell_words::split(&quoted(word)).unwrap(), [word], "{word:?}");
        }
    }
}
