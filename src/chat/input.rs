//! From lines at the prompt to messages: three double quotes begin a message of several lines, and end it.

/// What a line completes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Incomplete: the next line continues it.
    More,
    /// Nothing at all.
    Nothing,
    /// A command: a single line that begins with `/`.
    Command(String),
    /// A message for the model.
    Message(String),
    /// A system message that was typed over several lines.
    System(String),
}

const QUOTES: &str = "\"\"\"";
const SET_SYSTEM: [&str; 2] = ["/set", "system"];

/// What the open quotes will become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Message,
    System,
}

/// The state between two lines.
#[derive(Debug, Default)]
pub struct Composer {
    open: Option<(Kind, String)>,
    /// The lines as they were typed, for the history.
    typed: String,
}

impl Composer {
    /// Whether quotes are open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Drops an unfinished input.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Everything since the last message, as it was typed.
    pub fn take_typed(&mut self) -> String {
        std::mem::take(&mut self.typed)
    }

    /// Takes a line, which may hold newlines where it was pasted.
    pub fn push(&mut self, line: &str) -> Input {
        if !self.typed.is_empty() {
            self.typed.push('\n');
        }
        self.typed.push_str(line);
        if let Some((kind, mut text)) = self.open.take() {
            return match line.trim_end().strip_suffix(QUOTES) {
                Some(last) => {
                    text.push_str(last);
                    finished(kind, text)
                }
                None => {
                    text.push_str(line);
                    text.push('\n');
                    self.open = Some((kind, text));
                    Input::More
                }
            };
        }
        if let Some(rest) = line.trim_start().strip_prefix(QUOTES) {
            return self.begin(Kind::Message, rest);
        }
        if let Some(rest) = system_quotes(line) {
            return self.begin(Kind::System, rest);
        }
        if line.trim().is_empty() {
            self.typed.clear();
            return Input::Nothing;
        }
        // What was pasted in several lines is text, even if it begins like a command.
        if line.starts_with('/') && !line.trim_end().contains('\n') {
            return Input::Command(line.trim_end().to_owned());
        }
        Input::Message(line.to_owned())
    }

    fn begin(&mut self, kind: Kind, rest: &str) -> Input {
        match rest.trim_end().strip_suffix(QUOTES) {
            Some(text) => finished(kind, text.to_owned()),
            None => {
                self.open = Some((kind, if rest.is_empty() { String::new() } else { format!("{rest}\n") }));
                Input::More
            }
        }
    }
}

fn finished(kind: Kind, text: String) -> Input {
    match kind {
        Kind::System => Input::System(text),
        Kind::Message if text.trim().is_empty() => Input::Nothing,
        Kind::Message => Input::Message(text),
    }
}

/// What follows the quotes of `/set system """…`.
fn system_quotes(line: &str) -> Option<&str> {
    let mut rest = line;
    for word in SET_SYSTEM {
        rest = rest.strip_prefix(word)?;
        let trimmed = rest.trim_start();
        if trimmed.len() == rest.len() {
            return None;
        }
        rest = trimmed;
    }
    rest.strip_prefix(QUOTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &[&str]) -> Vec<Input> {
        let mut composer = Composer::default();
        lines.iter().map(|line| composer.push(line)).filter(|input| *input != Input::More).collect()
    }

    fn message(text: &str) -> Input {
        Input::Message(text.to_owned())
    }

    #[test]
    fn quotes_span_lines() {
        assert_eq!(all(&["\"\"\"one", "two\"\"\""]), [message("one\ntwo")]);
        assert_eq!(all(&["\"\"\"", "one", "", "two", "\"\"\" "]), [message("one\n\ntwo\n")]);
        assert_eq!(all(&["\"\"\"one\"\"\""]), [message("one")]);
        assert_eq!(all(&["\"\"\"one\n/two\"\"\""]), [message("one\n/two")]);
        assert_eq!(all(&["\"\"\"\"\"\""]), [Input::Nothing]);
        assert_eq!(all(&["\"\"\"", "/bye", "\"\"\""]), [message("/bye\n")]);
        assert_eq!(all(&["/set system \"\"\"You", "are terse\"\"\""]), [Input::System("You\nare terse".into())]);
        assert_eq!(all(&["/set  system \"\"\"terse\"\"\""]), [Input::System("terse".into())]);
    }

    #[test]
    fn a_command_is_one_line() {
        assert_eq!(all(&["/bye "]), [Input::Command("/bye".into())]);
        assert_eq!(all(&["/* a comment\n * of C */"]), [message("/* a comment\n * of C */")]);
        assert_eq!(all(&["  ", "", "\n"]), [Input::Nothing, Input::Nothing, Input::Nothing]);
        assert_eq!(all(&["/set systematic \"\"\"x"]), [Input::Command("/set systematic \"\"\"x".into())]);
    }

    #[test]
    fn what_was_typed_is_kept_as_one() {
        let mut composer = Composer::default();
        composer.push("\"\"\"one");
        composer.push("two\"\"\"");
        assert_eq!(composer.take_typed(), "\"\"\"one\ntwo\"\"\"");
        composer.push("\"\"\"begun");
        assert!(composer.is_open());
        composer.reset();
        assert!(!composer.is_open());
        composer.push("x");
        assert_eq!(composer.take_typed(), "x");
    }
}
