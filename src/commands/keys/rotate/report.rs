//! What a run has to say of each key: to people line by line, to scripts as one object.

use jiff::Timestamp;
use serde::Serialize;

use crate::app::App;
use crate::commands::keys::time::{date, until};
use crate::exit::{Exit, Problem};
use crate::keyspec::KeyId;
use crate::rotation::{Rotation, RotationError, RotationOutcome, Step};

/// How it stands with a key after the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was replaced.
    Rotated,
    /// A rotation that an earlier run had begun was brought to its end.
    Finished,
    /// What an earlier run had begun was taken back; nothing is left of it.
    TakenBack,
    /// Nothing was to be done.
    NotDue,
    /// It would be replaced (`--dry-run`).
    WouldRotate,
    /// An earlier run's rotation would be gone on with (`--dry-run`).
    WouldResume,
    /// A person has to make the new key.
    Due,
    /// See the error.
    Failed,
}

/// One key.
#[derive(Clone, Debug, Serialize)]
pub struct ReportRow {
    /// The profile.
    pub profile: String,
    /// Its host.
    pub host: String,
    /// What the key is called, where that is known.
    pub name: Option<String>,
    /// The key that is replaced.
    pub old: Option<String>,
    /// The key that replaces it.
    pub new: Option<String>,
    /// How it stands.
    pub outcome: Outcome,
    /// When the old key ends.
    pub old_ends_at: Option<Timestamp>,
    /// Where the new key was handed out, or is to be.
    pub env_file: Option<std::path::PathBuf>,
    /// What went wrong.
    pub error: Option<String>,
}

/// All of it.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Another run is at work, so this one did nothing.
    pub busy: bool,
    /// The keys that were looked at.
    pub rotations: Vec<ReportRow>,
    #[serde(skip)]
    first_failure: Option<Problem>,
}

impl Report {
    /// Adds a row, and tells a person of it.
    pub fn add(&mut self, app: &App, row: ReportRow) {
        print_row(app, &row);
        self.rotations.push(row);
    }

    /// Adds a failure. The first one decides how the run ends; each is output at once.
    pub fn fail(&mut self, app: &App, row: ReportRow, problem: Problem) {
        self.rotations.push(ReportRow { outcome: Outcome::Failed, error: Some(problem.message.clone()), ..row });
        if let Some(before) = self.first_failure.take() {
            app.printer.warn(&problem.message);
            if let Some(hint) = &problem.hint {
                app.printer.hint(hint);
            }
            self.first_failure = Some(before);
        } else {
            self.first_failure = Some(problem);
        }
    }

    /// Prints what scripts read, and says how the run ends.
    ///
    /// # Errors
    /// The first failure.
    pub fn finish(self, app: &App) -> anyhow::Result<Exit> {
        if app.printer.is_json() {
            app.printer.json(&self)?;
        }
        if let Some(problem) = self.first_failure {
            return Err(problem.into());
        }
        let waits_for_a_person = self.rotations.iter().any(|row| row.outcome == Outcome::Due);
        Ok(if waits_for_a_person { Exit::Found } else { Exit::Done })
    }
}

fn print_row(app: &App, row: &ReportRow) {
    let printer = &app.printer;
    let name = row.name.as_ref().map_or_else(|| "the key".to_owned(), |name| format!("the key {name:?}"));
    let (old, new) = (row.old.as_deref().unwrap_or("the old key"), row.new.as_deref().unwrap_or("the new key"));
    let end = match row.old_ends_at {
        Some(end) => format!("{old} ends {} ({})", until(Some(end), (app.now)()), date(end)),
        None => format!("{old} is accepted no longer"),
    };
    match row.outcome {
        Outcome::Rotated if row.old.is_none() => printer.success(&format!("Replaced {name} at {}", row.host)),
        Outcome::Rotated => printer.success(&format!("Replaced {name} at {}: {new} is in use, {end}", row.host)),
        Outcome::Finished if row.old.is_none() => {
            printer.success(&format!("Finished replacing {name} at {}", row.host));
        }
        Outcome::Finished => printer.success(&format!("Finished a rotation at {}: {new} is in use, {end}", row.host)),
        Outcome::TakenBack if row.old.is_none() => {
            printer.warn(&format!(
                "the rotation of {name} at {} was not finished; if a new key was made, it is valid until you revoke it there",
                row.host
            ));
        }
        Outcome::TakenBack => {
            printer.note(&format!(
                "A rotation at {} that was cut short was taken back: {new} is no key of anybody",
                row.host
            ));
        }
        Outcome::WouldRotate => printer.note(&format!("Would replace {name} ({old}) at {}", row.host)),
        Outcome::WouldResume => {
            printer.note(&format!("Would go on with the rotation of {old} to {new} at {}", row.host))
        }
        // Said where it is known why.
        Outcome::NotDue | Outcome::Due | Outcome::Failed => {}
    }
}

/// A finished drive as a row.
pub fn finished_row(finished: RotationOutcome, row: ReportRow, resumed: bool) -> ReportRow {
    let outcome = match (finished, resumed) {
        (RotationOutcome::RolledBack, _) => Outcome::TakenBack,
        (_, true) => Outcome::Finished,
        (_, false) => Outcome::Rotated,
    };
    let old_ends_at = match finished {
        RotationOutcome::OldKeyExpires(end) => Timestamp::from_second(end).ok(),
        _ => None,
    };
    ReportRow { outcome, old_ends_at, ..row }
}

/// Why a rotation stopped, in words, and what to do about it.
pub fn rotation_problem(stopped: RotationError<anyhow::Error>, rotation: &Rotation, host: &str) -> Problem {
    if rotation.old.is_none() {
        return manual_rotation_problem(stopped, rotation, host);
    }
    let new = &rotation.new;
    let old = rotation.old.as_ref().map_or_else(|| "the old key".to_owned(), |old| format!("the old key {old}"));
    let give_up = format!(
        "then run the same command again: it goes on with the new key\nor give the new key up: ollama-auth keys revoke {new} --yes --host {host}"
    );
    let wrap = |error: &anyhow::Error, message: &dyn Fn(&str) -> String| {
        let cause = Problem::from_error(error);
        Problem { exit: cause.exit, message: message(&cause.message), hint: cause.hint }
    };
    match stopped {
        RotationError::Storage(error) => {
            wrap(&error, &|cause| format!("the rotation of {old} cannot go on: {cause}; {old} stays as it is"))
        }
        RotationError::NotCreated(error) => {
            wrap(&error, &|cause| format!("no new key was made, {old} stays as it is: {cause}"))
        }
        RotationError::Unknown(error) => wrap(&error, &|cause| {
            format!(
                "it is unknown whether {host} has made the key {new}, the next run finds out; {old} stays as it is: {cause}"
            )
        }),
        RotationError::AlreadyReplaced(other) => {
            let message = format!(
                "{old} has a replacement already, {other}, and this machine did not make it: {old} is kept other_rotations too, or the journal was lost"
            );
            let hint = format!(
                "if nobody uses {other}, revoke it, then try again: ollama-auth keys revoke {other} --yes --host {host}"
            );
            Problem::new(Exit::Failed, message).hint(hint)
        }
        RotationError::NotStored { error, rollback } => wrap(&error, &|cause| {
            format!(
                "the new key {new} could not be kept: {cause}; {}; {old} stays as it is",
                rollback_note(new, &rollback)
            )
        }),
        RotationError::NewKeyMissing => {
            let message = format!(
                "the new key {new} is not in the {} store any more, so it was revoked; {old} stays as it is, but what was deployed may hold {new}",
                rotation.store
            );
            Problem::new(Exit::Failed, message)
                .hint("run the same command again: it makes another key and deploys that")
        }
        RotationError::NewKeyRefused { reason, rollback, restored } => {
            let deployed = redeploy_note(restored.as_ref());
            let message = format!(
                "{host} does not accept the new key {new} ({reason}): {}; {old} stays as it is{deployed}",
                rollback_note(new, &rollback)
            );
            Problem::new(Exit::SignIn, message).hint("try again, and see the host's log if it goes on")
        }
        RotationError::NotVerified(error) => wrap(&error, &|cause| {
            format!("the new key {new} could not be tried, the next run goes on with it; {old} stays as it is: {cause}")
        }),
        RotationError::NotDeployed(error) => {
            let cause = Problem::from_error(&error);
            let message =
                format!("the new key {new} works but could not be deployed: {}; {old} stays as it is", cause.message);
            Problem::new(cause.exit, message).hint(format!("mend what hindered it, {give_up}"))
        }
        RotationError::NotActivated(error) => wrap(&error, &|cause| {
            format!(
                "the new key {new} works but could not take its place in the profile {:?}: {cause}; {old} stays as it is",
                rotation.profile
            )
        }),
        RotationError::OldKeyNotExpired(error) => wrap(&error, &|cause| {
            format!("the new key {new} is in use, but {old} did not get its end, the next run tries again: {cause}")
        }),
    }
}

/// The same for a key that a person has made: it has no id that anybody knows, and nobody but that person can revoke it.
fn manual_rotation_problem(stopped: RotationError<anyhow::Error>, rotation: &Rotation, host: &str) -> Problem {
    const OLD: &str = "the old key stays as it is";
    let valid = format!("it is valid until you revoke it at {host}");
    let wrap = |error: &anyhow::Error, message: &dyn Fn(&str) -> String| {
        let cause = Problem::from_error(error);
        Problem { exit: cause.exit, message: message(&cause.message), hint: cause.hint }
    };
    match stopped {
        RotationError::NotStored { error, .. } => {
            wrap(&error, &|cause| format!("the key that was given could not be kept: {cause}; {valid}; {OLD}"))
        }
        RotationError::NewKeyRefused { reason, restored, .. } => {
            let deployed = redeploy_note(restored.as_ref());
            let message = format!("{host} does not accept the key that was given ({reason}); {OLD}{deployed}");
            Problem::new(Exit::SignIn, message).hint("check that it was pasted whole, and that it is one of this host")
        }
        RotationError::NewKeyMissing => {
            let message = format!(
                "the key that was given is not in the {} store any more; {valid}; {OLD}, but what was deployed may hold the other",
                rotation.store
            );
            Problem::new(Exit::Failed, message).hint("make another one, and give that")
        }
        RotationError::NotDeployed(error) => {
            let cause = Problem::from_error(&error);
            let message = format!("the key that was given works but could not be deployed: {}; {OLD}", cause.message);
            Problem::new(cause.exit, message)
                .hint("mend what hindered it, then run the same command again: it goes on with that key")
        }
        RotationError::NotActivated(error) => wrap(&error, &|cause| {
            format!(
                "the key that was given works but could not take its place in the profile {:?}: {cause}; {OLD}",
                rotation.profile
            )
        }),
        RotationError::NotVerified(error) => wrap(&error, &|cause| {
            format!("the key that was given could not be tried, the next run goes on with it; {OLD}: {cause}")
        }),
        RotationError::Storage(error)
        | RotationError::NotCreated(error)
        | RotationError::Unknown(error)
        | RotationError::OldKeyNotExpired(error) => {
            wrap(&error, &|cause| format!("the rotation cannot go on: {cause}; {OLD}"))
        }
        RotationError::AlreadyReplaced(_) => Problem::new(Exit::Failed, format!("the rotation cannot go on; {OLD}")),
    }
}

fn redeploy_note(restored: Option<&anyhow::Result<bool>>) -> String {
    match restored {
        None => String::new(),
        Some(Ok(true)) => "; the old key was deployed again".to_owned(),
        Some(Ok(false)) => "; what was deployed holds the new key: deploy the old one again".to_owned(),
        Some(Err(error)) => {
            format!("; the old key could not be deployed again: {}", Problem::from_error(error).message)
        }
    }
}

/// What to say of a rotation whose new key was given up, and that was begun with other places to hand it out to than this run has.
pub fn abandoned_message(rotation: &Rotation) -> String {
    let deployed = match rotation.step >= Step::Deploying {
        true => "; what it was deployed to may hold it: deploy the old one again",
        false => "",
    };
    match &rotation.old {
        Some(_) => format!("the new key {} was given up and is revoked{deployed}", rotation.new),
        None => {
            format!("the key that was given for the profile {:?} is of no use any more{deployed}", rotation.profile)
        }
    }
}

fn rollback_note(new: &KeyId, rollback: &anyhow::Result<()>) -> String {
    match rollback {
        Ok(()) => "it was revoked".to_owned(),
        Err(error) => {
            format!("{new} could not be revoked, the next run tries again: {}", Problem::from_error(error).message)
        }
    }
}
