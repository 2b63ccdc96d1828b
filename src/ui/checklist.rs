//! A list under headings: checks with a mark, why each matters and what to do, and labelled values. What to do is never broken
//! over lines, so that it can be copied. Texts are untrusted.

use super::sanitize::clean;
use super::style::{Look, Tint};
use super::table::fill;
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

    fn tint(self) -> Tint {
        match self {
            Self::Fine => Tint::Good,
            Self::Note => Tint::Faint,
            Self::Warning => Tint::Doubtful,
            Self::Error => Tint::Bad,
        }
    }
}

#[derive(Clone, Debug)]
enum Line {
    Heading(String),
    Item { check: Check, text: String },
    Why(String),
    Remedy(String),
    Fact { label: String, value: String },
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

    /// Adds labelled values, aligned in one column.
    pub fn facts<'a>(&mut self, facts: impl IntoIterator<Item = (&'a str, String)>) {
        self.0.extend(facts.into_iter().map(|(label, value)| Line::Fact { label: label.to_owned(), value }));
    }

    /// The lines, each with its newline.
    pub(super) fn render(&self, look: Look) -> String {
        let (bold, plain) = if look.color { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let labels = self.0.iter().filter_map(|line| match line {
            Line::Fact { label, .. } => Some(label.width()),
            _ => None,
        });
        let label_width = labels.max().unwrap_or(0);
        let indent = 2 + Check::Fine.mark(look.symbols).width();
        let mut out = String::new();
        for (at, line) in self.0.iter().enumerate() {
            match line {
                Line::Heading(text) => {
                    let gap = if at == 0 { "" } else { "\n" };
                    out += &format!("{gap}{bold}{}{plain}\n", clean(text));
                }
                Line::Item { check, text } => {
                    let text = fill(&clean(text), look.width, indent);
                    out += &format!("  {}{text}\n", check.tint().paint(check.mark(look.symbols), look.color));
                }
                Line::Why(text) => {
                    let text = fill(&clean(text), look.width, indent);
                    out += &format!("{:indent$}{}\n", "", Tint::Faint.paint(&text, look.color));
                }
                Line::Remedy(text) => out += &format!("{:indent$}  {}\n", "", clean(text)),
                Line::Fact { label, value } => {
                    let label = format!("{label:label_width$}");
                    let value = fill(&clean(value), look.width, 4 + label_width);
                    out += &format!("  {}  {value}\n", Tint::Faint.paint(&label, look.color));
                }
            }
        }
        out
    }
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
        list.facts([("Profile", "home".to_owned()), ("Key", "one two three four five six seven".to_owned())]);
        list
    }

    #[test]
    fn is_plain_words_in_a_pipe() {
        let text = list().render(Look::default());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..3], ["Keys", "  ok       all is well", "  error    bad^[[2J name"]);
        assert_eq!(lines[4], "             chmod 600 /some/long/path/to/a/file");
        assert_eq!(
            lines[5..],
            ["", "Hosts", "  warning  slow", "  Profile  home", "  Key      one two three four five six seven"]
        );
    }

    #[test]
    fn breaks_sentences_but_no_command_on_a_narrow_terminal() {
        let text = list().render(Look { symbols: true, color: false, width: Some(26) });
        assert!(text.contains("  ✗ bad^[[2J name\n    it matters a great\n    deal to everybody\n"), "{text}");
        assert!(text.contains("  Key      one two three\n           four five six\n           seven\n"), "{text}");
        assert!(text.contains("      chmod 600 /some/long/path/to/a/file\n"), "{text}");
    }
}
