//! A command line as a person types it. What is shown is what is run: the same words go through the real parser.

use std::iter;

use clap::Parser as _;
use secrecy::SecretString;

use crate::cli::Cli;

/// The program's name.
const PROGRAM: &str = "ollama-auth";

/// A command of this program.
pub struct Line {
    words: Vec<String>,
    /// `OLLAMA_API_KEY`, and what is shown in its place.
    key: Option<(SecretString, &'static str)>,
    /// The variable that the result is kept in.
    kept_in: Option<&'static str>,
}

impl Line {
    /// The words behind the program's name.
    pub fn new<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Self {
        Self { words: words.into_iter().map(Into::into).collect(), key: None, kept_in: None }
    }

    /// `run`, at a host if that is named.
    pub fn run(host: Option<&str>, model: &str, prompt: &str) -> Self {
        let mut words = vec!["run"];
        words.extend(host.iter().flat_map(|host| ["--host", host]));
        words.push(model);
        // A prompt is no flag, however it begins.
        words.extend(prompt.starts_with('-').then_some("--"));
        words.push(prompt);
        Self::new(words)
    }

    /// With that API key in its environment.
    pub fn with_key(self, key: SecretString, shown: &'static str) -> Self {
        Self { key: Some((key, shown)), ..self }
    }

    /// Its result is kept in a variable.
    pub fn kept_in(self, variable: &'static str) -> Self {
        Self { kept_in: Some(variable), ..self }
    }

    /// The API key for its environment.
    pub fn key(&self) -> Option<&SecretString> {
        self.key.as_ref().map(|(key, _)| key)
    }

    /// What the parser makes of it.
    ///
    /// # Errors
    /// When it is no command.
    pub fn parse(&self) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(iter::once(PROGRAM).chain(self.words.iter().map(String::as_str)))
    }

    /// As it is typed into a shell, without the key.
    pub fn shown(&self) -> String {
        let words: Vec<String> =
            iter::once(PROGRAM.to_owned()).chain(self.words.iter().map(|word| quoted(word))).collect();
        let mut line = words.join(" ");
        if let Some((_, shown)) = &self.key {
            line = format!("OLLAMA_API_KEY={shown} {line}");
        }
        if let Some(variable) = self.kept_in {
            line = format!("{variable}=$({line})");
        }
        line
    }
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if word.contains(['"', '$', '`', '\\', '!']) {
        format!("'{}'", word.replace('\'', r"'\''"))
    } else {
        format!("\"{word}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;

    #[test]
    fn what_is_shown_can_be_pasted() {
        assert_eq!(quoted("http://127.0.0.1:1"), "http://127.0.0.1:1");
        assert_eq!(quoted("Why is it so?"), "\"Why is it so?\"");
        assert_eq!(quoted("it's $5"), r"'it'\''s $5'");
        assert_eq!((quoted(""), quoted("a;b")), ("\"\"".to_owned(), "\"a;b\"".to_owned()));
    }

    #[test]
    fn a_prompt_that_looks_like_a_flag_is_none() {
        let line = Line::run(Some("h:1"), "m", "--json");
        assert_eq!(line.shown(), "ollama-auth run --host h:1 m -- --json");
        let cli = line.parse().unwrap();
        let Command::Run(run) = cli.command else { panic!() };
        assert_eq!((run.prompt, cli.global.json), (vec!["--json".to_owned()], false));
    }

    #[test]
    fn the_key_is_not_shown() {
        let line = Line::new(["status"]).with_key("hunter22".into(), "$KEY").kept_in("X");
        assert_eq!(line.shown(), "X=$(OLLAMA_API_KEY=$KEY ollama-auth status)");
    }
}
