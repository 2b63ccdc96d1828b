//! The command line as a shell hands it over.

/// The words up to the cursor, and how a candidate takes the last one's place.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    /// The words, without quotes. The last one is being typed and may be empty.
    pub words: Vec<String>,
    /// How Bash wants candidates.
    bash: Option<BashWord>,
}

/// What Bash replaces.
#[derive(Debug, PartialEq, Eq)]
struct BashWord {
    /// Bytes at the beginning of the last word that stay, since Bash breaks words at characters such as `:`.
    kept: usize,
    /// The last word is within quotes.
    quoted: bool,
}

impl Typed {
    /// From a shell that hands over words.
    pub fn from_words(words: &[String]) -> Self {
        Self { words: words.to_vec(), bash: None }
    }

    /// From Bash: the line up to the cursor, and the part of the last word that a candidate replaces.
    pub fn from_line(line: &str, replaced: &str) -> Self {
        let (mut words, quoted) = split(line);
        let assignments = words.iter().take_while(|word| is_assignment(word)).count();
        words.drain(..assignments.min(words.len() - 1));
        let last = words.last().map_or("", String::as_str);
        let kept = if last.ends_with(replaced) { last.len() - replaced.len() } else { 0 };
        Self { words, bash: Some(BashWord { kept, quoted }) }
    }

    /// The word at the cursor.
    pub fn current(&self) -> &str {
        self.words.last().map_or("", String::as_str)
    }

    /// What the shell puts in place of the word; for Bash without the part that stays, and escaped, since Bash inserts it as
    /// typed. `None` for a name that Bash cannot take there without running or expanding a part of it.
    pub fn replacement(&self, candidate: &str) -> Option<String> {
        let Some(word) = &self.bash else {
            return Some(candidate.to_owned());
        };
        let rest = candidate.get(word.kept..).unwrap_or(candidate);
        if !word.quoted {
            return Some(escaped(rest));
        }
        // No escape works within single quotes, and `!` stays special within double quotes.
        rest.chars().all(is_plain).then(|| rest.to_owned())
    }
}

fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "-_./:@%+=,~".contains(c)
}

fn escaped(text: &str) -> String {
    let escape = |c: char| if is_plain(c) { vec![c] } else { vec!['\\', c] };
    text.chars().flat_map(escape).collect()
}

fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Splits as a shell does, and tells whether the line ends within quotes. The last word is empty after a space.
pub fn split(line: &str) -> (Vec<String>, bool) {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let word = words.last_mut().expect("there is always a word");
        match (c, quote) {
            ('\\', None | Some('"')) => word.extend(chars.next()),
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(String::new());
                }
            }
            (c, _) => word.push(c),
        }
    }
    (words, quote.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_a_shell_does() {
        let line = |text: &str, replaced: &str| Typed::from_line(text, replaced).words;
        assert_eq!(line("ollama-auth keys cr", "cr"), ["ollama-auth", "keys", "cr"]);
        assert_eq!(line("ollama-auth  run ", ""), ["ollama-auth", "run", ""]);
        assert_eq!(line(r#"A=1 ollama-auth run "a b" c\ d 'e"#, "e"), ["ollama-auth", "run", "a b", "c d", "e"]);
        assert_eq!(line("A=", "A="), ["A="]);
        assert_eq!(line("", ""), [""]);
    }

    #[test]
    fn bash_gets_what_comes_after_its_word_break() {
        let typed = Typed::from_line("ollama-auth run llama3:la", "la");
        assert_eq!(typed.current(), "llama3:la");
        assert_eq!(typed.replacement("llama3:latest").unwrap(), "latest");
        assert_eq!(
            Typed::from_line("ollama-auth run lla", "lla").replacement("llama3:latest").unwrap(),
            "llama3:latest"
        );
    }

    #[test]
    fn nothing_that_bash_would_run_is_inserted() {
        let plain = Typed::from_line("ollama-auth run ", "");
        assert_eq!(plain.replacement("a $(b);c").unwrap(), r"a\ \$\(b\)\;c");
        for quote in ['"', '\''] {
            let quoted = Typed::from_line(&format!("ollama-auth run {quote}a"), "a");
            assert_eq!(quoted.replacement("abc:latest").unwrap(), "abc:latest");
            for name in ["a$(touch x)", "a`touch x`", "a\"; touch x; \"", "a'; touch x; '", "a!!", "a\\", "a$HOME"] {
                assert_eq!(quoted.replacement(name), None, "{quote}{name}");
            }
        }
    }
}
