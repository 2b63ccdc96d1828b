//! The form of the history file: an entry a line, oldest first. A line break in an entry is written `\n`, a backslash `\\`.

/// Entries that are kept.
pub const KEPT: usize = 1000;
/// The longest entry that is kept, in bytes: a pasted book is not what anybody looks for.
const LONGEST: usize = 16 * 1024;

/// An entry as a line, with its newline; `None` for what is not kept: long ones, and lines that begin with a space, as in a shell.
pub fn encode(entry: &str) -> Option<String> {
    if entry.trim().is_empty() || entry.starts_with(' ') || entry.len() > LONGEST {
        return None;
    }
    Some(entry.replace('\\', "\\\\").replace('\r', "").replace('\n', "\\n") + "\n")
}

/// The newest entries of a file.
pub fn decode(text: &str) -> Vec<String> {
    let entries: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    entries[entries.len().saturating_sub(KEPT)..].iter().map(|line| decode_line(line)).collect()
}

fn decode_line(line: &str) -> String {
    let mut entry = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (c, c == '\\') {
            (_, true) => match characters.next() {
                Some('n') => entry.push('\n'),
                Some(other) => entry.push(other),
                None => entry.push('\\'),
            },
            (c, false) => entry.push(c),
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn some_things_are_not_kept() {
        assert_eq!(encode(" private"), None);
        assert_eq!(encode("  \n"), None);
        assert_eq!(encode(&"x".repeat(LONGEST + 1)), None);
        assert_eq!(encode("a\nb\\n").unwrap(), "a\\nb\\\\n\n");
    }

    #[test]
    fn only_the_newest_are_read() {
        let text: String = (0..KEPT + 5).map(|n| format!("{n}\n")).collect();
        let entries = decode(&text);
        assert_eq!((entries.len(), entries[0].as_str()), (KEPT, "5"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in prop::collection::vec("[^\r ][^\r]{0,20}", 0..5)) {
            let kept: Vec<String> = entries.into_iter().filter(|entry| !entry.trim().is_empty()).collect();
            let text: String = kept.iter().filter_map(|entry| encode(entry)).collect();
            prop_assert_eq!(decode(&text), kept);
        }
    }
}
