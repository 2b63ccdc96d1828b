//! The steps: a command line as a person types it, and what runs it, judges how it ended and keeps the record. What is shown is
//! what is run: the same words go through the real parser.

use std::iter;
use std::path::Path;

use secrecy::SecretString;
use serde::Serialize;

use crate::app::App;
use crate::cli::Cli;
use crate::commands;
use crate::exit::{Exit, Problem};
use crate::profile::ProfilesFile;
use crate::ui::{CapturedOutput, Visibility};

/// The program's name.
const PROGRAM: &str = "ollama-auth";

/// A command of this program.
pub struct CommandLine {
    words: Vec<String>,
    /// `OLLAMA_API_KEY`, and what is shown in its place.
    key: Option<(SecretString, &'static str)>,
    /// The variable that the result is assigned to.
    variable: Option<&'static str>,
}

impl CommandLine {
    /// The words behind the program's name.
    pub fn new<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Self {
        Self { words: words.into_iter().map(Into::into).collect(), key: None, variable: None }
    }

    /// `run`, at a host if that is named.
    pub fn run(host: Option<&str>, model: &str, prompt: &str) -> Self {
        let mut words = vec!["run"];
        words.extend(host.iter().flat_map(|host| ["--host", host]));
        words.push(model);
        // A prompt is not a flag, even if it begins with a dash.
        words.extend(prompt.starts_with('-').then_some("--"));
        words.push(prompt);
        Self::new(words)
    }

    /// With that API key in its environment.
    pub fn with_key(self, key: SecretString, shown: &'static str) -> Self {
        Self { key: Some((key, shown)), ..self }
    }

    /// With its result assigned to a variable.
    pub fn assigned_to(self, variable: &'static str) -> Self {
        Self { variable: Some(variable), ..self }
    }

    /// The API key for its environment.
    pub fn key(&self) -> Option<&SecretString> {
        self.key.as_ref().map(|(key, _)| key)
    }

    /// What the parser makes of it.
    ///
    /// # Errors
    /// When it is not a valid command line.
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
        if let Some(variable) = self.variable {
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

/// What `--json` says of a step.
#[derive(Debug, Serialize)]
pub struct Record {
    name: &'static str,
    command: String,
    exit_code: u8,
    expected_exit_code: u8,
    ok: bool,
    /// What the command wrote to standard output, unless that was a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

/// A step that is a command of this program.
pub struct Step<'a> {
    /// Its name, for the record.
    pub name: &'static str,
    /// The command.
    pub line: CommandLine,
    /// How it must end.
    pub wanted: Exit,
    /// What it showed, in one line.
    pub shows: &'a str,
}

/// Where the result of a step goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// To standard output.
    Shown,
    /// Only captured: it is a secret.
    Secret,
}

/// The steps so far.
pub struct Steps<'a> {
    app: &'a App,
    folder: &'a Path,
    records: Vec<Record>,
}

impl<'a> Steps<'a> {
    /// No steps yet. The commands store everything in `folder`.
    pub fn new(app: &'a App, folder: &'a Path) -> Self {
        Self { app, folder, records: Vec::new() }
    }

    /// The record of the steps, the one that failed included.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// A step that this process does itself, shown as the command that does the same.
    ///
    /// # Errors
    /// Exit 1 when it went wrong, with its name.
    pub async fn perform<T>(
        &mut self,
        name: &'static str,
        command: String,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.app.printer.command(&command);
        let done = work.await;
        let exit = done.as_ref().map_or_else(|error| Problem::from_error(error).exit, |_| Exit::Done);
        self.record(name, command, exit, Exit::Done, None);
        done.map_err(|error| failed(name, exit, Exit::Done, Some(Problem::from_error(&error))))
    }

    /// The folder in which the commands store everything.
    pub fn folder(&self) -> &'a Path {
        self.folder
    }

    /// The profiles that the commands have stored.
    pub fn profiles(&self) -> ProfilesFile {
        ProfilesFile::new(&self.folder.join("config"))
    }

    /// Records a step that was done during another one.
    pub fn record_done(&mut self, name: &'static str, command: String) {
        self.record(name, command, Exit::Done, Exit::Done, None);
    }

    /// Prints what a step showed.
    pub fn conclude(&self, text: &str) {
        self.app.printer.success(text);
    }

    /// Runs a command to its end and returns what it wrote.
    ///
    /// # Errors
    /// Exit 1 when it ended otherwise than wanted, with its name.
    pub async fn command(&mut self, step: Step<'_>, result: Outcome) -> anyhow::Result<CapturedOutput> {
        self.command_until(step, result, std::future::pending::<()>(), async |()| Ok(())).await
    }

    /// The same, but when `moment` is ready, the command waits until `then` is done.
    ///
    /// # Errors
    /// Also those of `then`.
    pub async fn command_until<M>(
        &mut self,
        step: Step<'_>,
        result: Outcome,
        moment: impl Future<Output = M>,
        then: impl AsyncFnOnce(M) -> anyhow::Result<()>,
    ) -> anyhow::Result<CapturedOutput> {
        let Step { name, line, wanted, shows } = step;
        let outer = &self.app.printer;
        outer.command(&line.shown());
        let seen = match result {
            _ if outer.is_json() => Visibility::Hidden,
            Outcome::Shown => Visibility::All,
            Outcome::Secret => Visibility::Messages,
        };
        let (printer, kept) = outer.nested(seen);
        let cli = line.parse().map_err(|error| Problem::new(Exit::Failed, error.to_string()))?;
        let app = self.app.isolated(self.folder, printer.clone(), cli.global, line.key().cloned())?;
        // On the heap, because this function runs inside `commands::run` itself.
        let mut running = Box::pin(commands::run(&app, cli.command));
        let ended = tokio::select! {
            biased;
            came = moment => match then(came).await {
                Ok(()) => running.await,
                Err(error) => Err(error),
            },
            ended = &mut running => ended,
        };
        let (exit, problem) = match ended {
            Ok(exit) => (exit, None),
            Err(error) => {
                let problem = Problem::from_error(&error);
                (problem.exit, Some(problem))
            }
        };
        let output = (outer.is_json() && result == Outcome::Shown).then(|| kept.text());
        self.record(name, line.shown(), exit, wanted, output.filter(|output| !output.is_empty()));
        if exit != wanted {
            return Err(failed(name, exit, wanted, problem));
        }
        if let Some(problem) = problem.filter(|_| !printer.is_quiet()) {
            printer.error_human(&problem.message, problem.hint.as_deref());
        }
        self.conclude(shows);
        Ok(kept)
    }

    fn record(&mut self, name: &'static str, command: String, exit: Exit, wanted: Exit, output: Option<String>) {
        let (exit_code, expected_exit_code) = (exit as u8, wanted as u8);
        self.records.push(Record { name, command, exit_code, expected_exit_code, ok: exit == wanted, output });
    }
}

fn failed(name: &str, exit: Exit, wanted: Exit, problem: Option<Problem>) -> anyhow::Error {
    let (exit, wanted) = (exit as u8, wanted as u8);
    let mut message = format!("the step {name:?} ended with exit code {exit} instead of {wanted}");
    let mut hint = None;
    if let Some(problem) = problem {
        message = format!("{message}: {}", problem.message);
        hint = problem.hint;
    }
    Problem { hint, ..Problem::new(Exit::Failed, message) }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;

    #[test]
    fn a_shown_command_can_be_pasted() {
        assert_eq!(quoted("http://127.0.0.1:1"), "http://127.0.0.1:1");
        assert_eq!(quoted("Why is it so?"), "\"Why is it so?\"");
        assert_eq!(quoted("it's $5"), r"'it'\''s $5'");
        assert_eq!((quoted(""), quoted("a;b")), ("\"\"".to_owned(), "\"a;b\"".to_owned()));
    }

    #[test]
    fn a_prompt_that_looks_like_a_flag_stays_a_prompt() {
        let line = CommandLine::run(Some("h:1"), "m", "--json");
        assert_eq!(line.shown(), "ollama-auth run --host h:1 m -- --json");
        let cli = line.parse().unwrap();
        let Command::Run(run) = cli.command else { panic!() };
        assert_eq!((run.prompt, cli.global.json), (vec!["--json".to_owned()], false));
    }

    #[test]
    fn the_key_is_not_shown() {
        let line = CommandLine::new(["status"]).with_key("hunter22".into(), "$KEY").assigned_to("X");
        assert_eq!(line.shown(), "X=$(OLLAMA_API_KEY=$KEY ollama-auth status)");
    }
}
