//! Messages in lines of the terminal's width, broken between words. A command stays in one piece, on a line of its own where it
//! does not fit: a line break in it would be pasted with it.

use unicode_width::UnicodeWidthStr as _;

/// The first words of commands that our messages show.
const COMMANDS: [&str; 12] =
    ["ollama-auth", "ollama", "chmod", "rm", "openssl", "ssh", "curl", "sudo", "echo", "export", "unset", "\u{2026}"];
/// What the word before a command is, unless that ends with a colon or an opening bracket.
const BEFORE: [&str; 6] = ["or", "run", "then", "with", "again", "|"];
/// Columns by which lines after the first are indented.
const INDENT: usize = 2;

/// Breaks each line of the text at `width` columns, of which `used` are taken in front of the first; `None` breaks nothing.
pub(super) fn wrapped(text: &str, width: Option<usize>, used: usize) -> String {
    let Some(width) = width else { return text.to_owned() };
    let lines = text.split('\n').enumerate().map(|(at, line)| wrap_line(line, width, if at == 0 { used } else { 0 }));
    lines.collect::<Vec<_>>().join("\n")
}

fn wrap_line(line: &str, width: usize, used: usize) -> String {
    if used + line.width() <= width {
        return line.to_owned();
    }
    let words = line.trim_start_matches(' ');
    let begin = line.len() - words.len();
    let indent = begin + INDENT;
    let (mut out, mut column) = (" ".repeat(begin), used + begin);
    let mut is_first = true;
    for piece in pieces(words) {
        let room = is_first || column + 1 + piece.width() <= width;
        if !room {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if !is_first {
            out.push(' ');
            column += 1;
        }
        out.push_str(piece);
        column += piece.width();
        is_first = false;
    }
    out
}

/// Words, and commands as a whole.
fn pieces(line: &str) -> Vec<&str> {
    let words: Vec<(usize, &str)> = line.split(' ').map(|word| (offset(line, word), word)).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((start, word)) = words.get(at).copied() {
        let before = at.checked_sub(1).map(|at| words[at].1);
        let end = if begins_command(before, word) { command_end(&words[at..]) } else { 1 };
        let (last, text) = words[at + end - 1];
        found.push(&line[start..last + text.len()]);
        at += end;
    }
    found
}

fn offset(line: &str, word: &str) -> usize {
    word.as_ptr() as usize - line.as_ptr() as usize
}

fn begins_command(before: Option<&str>, word: &str) -> bool {
    let opened = word.trim_start_matches(['(', '`']);
    let introduced =
        opened.len() < word.len() || before.is_none_or(|before| before.ends_with(':') || BEFORE.contains(&before));
    introduced && COMMANDS.contains(&opened)
}

/// How many words a command has: to a comma or semicolon outside quotes, a closing bracket or backtick, or the end.
fn command_end(words: &[(usize, &str)]) -> usize {
    let mut quote = None;
    let bracketed = words[0].1.starts_with(['(', '`']);
    for (at, (_, word)) in words.iter().enumerate() {
        for character in word.chars().filter(|character| matches!(character, '\'' | '"')) {
            quote = match quote {
                None => Some(character),
                Some(open) if open == character => None,
                open => open,
            };
        }
        let ends =
            word.ends_with([',', ';']) || (bracketed && word.trim_end_matches(['.', ',', ';']).ends_with([')', '`']));
        if quote.is_none() && ends {
            return at + 1;
        }
    }
    words.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        let text = "one two three four five six";
        assert_eq!(wrapped(text, None, 0), text);
        assert_eq!(wrapped(text, Some(27), 0), text);
        assert_eq!(wrapped(text, Some(20), 0), "one two three four\n  five six");
        assert_eq!(wrapped(text, Some(20), 7), "one two three\n  four five six");
        assert_eq!(wrapped("a  b\nc d", Some(3), 0), "a \n  b\nc d");
        let long = "/a/path/that/is/wider/than/the/line";
        assert_eq!(wrapped(&format!("see {long} now"), Some(12), 0), format!("see\n  {long}\n  now"));
        assert_eq!(wrapped("漢字 漢字 漢字", Some(9), 0), "漢字 漢字\n  漢字");
    }

    #[test]
    fn a_command_stays_in_one_piece() {
        let command = "ollama-auth keys revoke key_12345678 --yes --host https://gpu.example.com";
        for before in ["sign in again, then revoke it:", "to finish it, run", "or"] {
            let text = format!("{before} {command}");
            assert_eq!(wrapped(&text, Some(30), 0).lines().last(), Some(&*format!("  {command}")), "{before}");
        }
        assert_eq!(wrapped(command, Some(20), 0), command);
        assert_eq!(
            wrapped("run: chmod 600 '/home/ada/my file', then try it again", Some(24), 0),
            "run:\n  chmod 600 '/home/ada/my file',\n  then try it again"
        );
        assert_eq!(
            wrapped("start it with `ollama serve`, or name another host", Some(26), 0),
            "start it with\n  `ollama serve`, or name\n  another host"
        );
        assert_eq!(
            wrapped("pipe it in: \u{2026} | ollama-auth keys import --replace", Some(30), 0),
            "pipe it in:\n  \u{2026} | ollama-auth keys import --replace"
        );
        // No command: only the name of the program.
        assert_eq!(
            wrapped("written by a newer ollama-auth (version 2)", Some(34), 0),
            "written by a newer ollama-auth\n  (version 2)"
        );
    }

    #[test]
    fn nothing_is_lost() {
        for width in 1..60 {
            for text in ["a  b   c", "x: ollama-auth run m 'a, b', or not; `y z", "", " lead", "trail "] {
                let joined = wrapped(text, Some(width), 3).split_whitespace().collect::<Vec<_>>().join(" ");
                assert_eq!(joined, text.split_whitespace().collect::<Vec<_>>().join(" "), "{width} {text:?}");
            }
        }
    }
}
