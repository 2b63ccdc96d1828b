//! A list of what was checked, in groups: a mark, what was found, why it matters, and what to do, which is never broken over
//! lines so that it can be copied. Texts are untrusted.

use super::sanitize::clean;
use unicode_width::UnicodeWidthStr;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// All is well.
    Fine,
    /// Good to know.
    Note,
    /// Something may be wrong.
    Warning,
    /// Something is wrong.
    Error,
}

impl Check {
    fn mark(self, symbols: bool) -> &'static str {
        match (self, symbols) {
            (Self::Fine, true) => "✓ ",
            (Self::Note, true) => "- ",
            (Self::Warning, true) => "! ",
            (Self::Error, true) => "✗ ",
            (Self::Fine, false) => "ok       ",
            (Self::Note, false) => "note     ",
            (Self::Warning, false) => "warning  ",
            (Self::Error, false) => "error    ",
        }
    }

    fn color(self) -> &'static str {
        match self {
            Self::Fine => "\x1b[32m",
            Self::Note => "\x1b[2m",
            Self::Warning => "\x1b[33m",
            Self::Error => "\x1b[31m",
        }
    }
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    pub symbols: bool,
    pub color: bool,
    /// Columns at which text is broken; `None`: nowhere.
    pub width: Option<usize>,
}

#[derive(Clone, Debug)]
enum Line {
    Heading(String),
    Item { check: Check, text: String },
    Why(String),
    Remedy(String),
}

/// See the module. Print it with [`super::Printer::checklist`].
#[derive(Clone, Debug, Default)]
pub struct Checklist(Vec<Line>);

impl Checklist {
    /// Begins a group.
    pub fn heading(&mut self, text: &str) {
        self.0.push(Line::Heading(text.to_owned()));
    }

    /// Adds a check with its outcome, the reason why it matters, and commands or advice, one a line.
    pub fn item(&mut self, check: Check, text: &str, why: Option<&str>, remedies: &[String]) {
        self.0.push(Line::Item { check, text: text.to_owned() });
        self.0.extend(why.map(|why| Line::Why(why.to_owned())));
        self.0.extend(remedies.iter().map(|remedy| Line::Remedy(remedy.clone())));
    }

    /// The lines, each with its newline.
    pub(super) fn render(&self, look: Look) -> String {
        let (bold, faint, plain) = if look.color { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
        let mut out = String::new();
        for (at, line) in self.0.iter().enumerate() {
            let indent = 2 + Check::Fine.mark(look.symbols).width();
            match line {
                Line::Heading(text) => {
                    let gap = if at == 0 { "" } else { "\n" };
                    out += &format!("{gap}{bold}{}{plain}\n", clean(text));
                }
                Line::Item { check, text } => {
                    let color = if look.color { check.color() } else { "" };
                    let text = fill(&clean(text), look.width, indent);
                    out += &format!("  {color}{}{plain}{text}\n", check.mark(look.symbols));
                }
                Line::Why(text) => {
                    let text = fill(&clean(text), look.width, indent);
                    out += &format!("{:indent$}{faint}{text}{plain}\n", "");
                }
                Line::Remedy(text) => out += &format!("{:indent$}  {}\n", "", clean(text)),
            }
        }
        out
    }
}

/// Breaks a text between words so that with `indent` columns before each line it fits; the first line comes without them.
fn fill(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(room) = width.map(|width| width.saturating_sub(indent).max(20)) else {
        return text.to_owned();
    };
    let mut out = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 && column + 1 + word.width() > room {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.width();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Checklist {
        let mut list = Checklist::default();
        list.heading("Keys");
        list.item(Check::Fine, "all is well", None, &[]);
        list.item(
            Check::Error,
            "bad\x1b[2J name",
            Some("it matters a great deal to everybody"),
            &["chmod 600 /some/long/path/to/a/file".to_owned()],
        );
        list.heading("Hosts");
        list.item(Check::Warning, "slow", None, &[]);
        list
    }

    #[test]
    fn is_plain_words_in_a_pipe() {
        let text = list().render(Look::default());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..3], ["Keys", "  ok       all is well", "  error    bad^[[2J name"]);
        assert_eq!(lines[4], "             chmod 600 /some/long/path/to/a/file");
        assert_eq!(lines[5..], ["", "Hosts", "  warning  slow"]);
    }

    #[test]
    fn breaks_sentences_but_no_command_on_a_narrow_terminal() {
        let text = list().render(Look { symbols: true, color: false, width: Some(26) });
        assert!(text.contains("  ✗ bad^[[2J name\n    it matters a great\n    deal to everybody\n"), "{text}");
        assert!(text.contains("      chmod 600 /some/long/path/to/a/file\n"), "{text}");
    }
}
