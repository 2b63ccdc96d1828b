//! Runs the steps one after the other: shows the command, runs it, judges how it ended, keeps the record.

use std::path::Path;

use serde::Serialize;

use super::line::Line;
use crate::app::App;
use crate::commands;
use crate::exit::{Exit, Problem};
use crate::profile::ProfilesFile;
use crate::ui::{Memory, Seen};

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
    pub line: Line,
    /// How it is to end.
    pub wanted: Exit,
    /// What it showed, in one line.
    pub shows: &'a str,
}

/// Where the result of a step goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// To standard output.
    Shown,
    /// Nowhere but to us: it is a secret.
    Secret,
}

/// The steps so far.
pub struct Tour<'a> {
    app: &'a App,
    folder: &'a Path,
    records: Vec<Record>,
}

impl<'a> Tour<'a> {
    /// Before the first one. Everything that the commands keep, they keep in `folder`.
    pub fn new(app: &'a App, folder: &'a Path) -> Self {
        Self { app, folder, records: Vec::new() }
    }

    /// The record of the steps, the one that failed included.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// A step that this process does itself, in the words of the command that does the same.
    ///
    /// # Errors
    /// Exit 1 when it went wrong, with its name.
    pub async fn own<T>(
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

    /// The folder of what the commands keep.
    pub fn folder(&self) -> &'a Path {
        self.folder
    }

    /// The profiles that the commands keep.
    pub fn profiles(&self) -> ProfilesFile {
        ProfilesFile::new(&self.folder.join("config"))
    }

    /// Records a step that was done beside another one.
    pub fn done(&mut self, name: &'static str, command: String) {
        self.record(name, command, Exit::Done, Exit::Done, None);
    }

    /// Says what a step showed.
    pub fn showed(&self, text: &str) {
        self.app.printer.success(text);
    }

    /// Runs a command to its end, and gives what is kept of its result.
    ///
    /// # Errors
    /// Exit 1 when it ended otherwise than wanted, with its name.
    pub async fn command(&mut self, step: Step<'_>, result: Outcome) -> anyhow::Result<Memory> {
        self.command_until(step, result, std::future::pending::<()>(), async |()| Ok(())).await
    }

    /// The same; but as soon as `moment` has come the command is held up, `then` is done to its end, and the command goes on.
    ///
    /// # Errors
    /// Also those of `then`.
    pub async fn command_until<M>(
        &mut self,
        step: Step<'_>,
        result: Outcome,
        moment: impl Future<Output = M>,
        then: impl AsyncFnOnce(M) -> anyhow::Result<()>,
    ) -> anyhow::Result<Memory> {
        let Step { name, line, wanted, shows } = step;
        let outer = &self.app.printer;
        outer.command(&line.shown());
        let seen = match result {
            _ if outer.is_json() => Seen::Nothing,
            Outcome::Shown => Seen::All,
            Outcome::Secret => Seen::Talk,
        };
        let (printer, kept) = outer.within(seen);
        let cli = line.parse().map_err(|error| Problem::new(Exit::Failed, error.to_string()))?;
        let app = self.app.isolated(self.folder, printer.clone(), cli.global, line.key().cloned())?;
        // On the heap, for this is run by the very function.
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
        self.showed(shows);
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
    Problem { exit: Exit::Failed, message, hint }.into()
}
