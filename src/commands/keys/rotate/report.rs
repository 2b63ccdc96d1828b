//! The result of a run for each key: lines for people, one JSON object for scripts; and what each failure means.

use jiff::Timestamp;
use serde::Serialize;

use crate::app::App;
use crate::commands::keys::list::{date, until};
use crate::exit::{Exit, Problem};
use crate::keyspec::KeyId;
use crate::rotation::{Rotation, RotationError, RotationOutcome, Step};

/// The state of a key after the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was replaced.
    Rotated,
    /// The rotation of an earlier run was completed.
    Finished,
    /// The rotation of an earlier run was undone completely.
    TakenBack,
    /// Nothing was to be done.
    NotDue,
    /// It would be replaced (`--dry-run`).
    WouldRotate,
    /// The rotation of an earlier run would be resumed (`--dry-run`).
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
    /// Its state.
    pub outcome: Outcome,
    /// When the old key ends.
    pub old_ends_at: Option<Timestamp>,
    /// Where the new key was or will be deployed.
    pub env_file: Option<std::path::PathBuf>,
    /// What went wrong.
    pub error: Option<String>,
}

/// All of it.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Another run holds the lock, so this one did nothing.
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

    /// Adds a failure. The first one decides how the run ends; the others are printed at once.
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
        Some(end) => format!("{old} expires {} ({})", until(Some(end), (app.now)()), date(end)),
        None => format!("{old} is no longer valid"),
    };
    match row.outcome {
        Outcome::Rotated if row.old.is_none() => printer.success(&format!("Replaced {name} at {}", row.host)),
        Outcome::Rotated => printer.success(&format!("Replaced {name} at {}: {new} is in use, {end}", row.host)),
        Outcome::Finished if row.old.is_none() => {
            printer.success(&format!("Finished replacing {name} at {}", row.host));
        }
        Outcome::Finished => printer.success(&format!("Finished the rotation at {}: {new} is in use, {end}", row.host)),
        Outcome::TakenBack if row.old.is_none() => {
            printer.warn(&format!(
                "the rotation of {name} at {} was interrupted before the new key was stored; if you created one, revoke it there",
                row.host
            ));
        }
        Outcome::TakenBack => {
            printer.note(&format!(
                "An interrupted rotation at {} was rolled back: the new key {new} is revoked.",
                row.host
            ));
        }
        Outcome::WouldRotate => printer.note(&format!("Would replace {name} ({old}) at {}", row.host)),
        Outcome::WouldResume => printer.note(&format!("Would resume the rotation of {old} to {new} at {}", row.host)),
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

/// What an error of a rotation means, and what to do about it.
pub fn rotation_problem(error: RotationError<anyhow::Error>, rotation: &Rotation, host: &str) -> Problem {
    if rotation.old.is_none() {
        return manual_rotation_problem(error, rotation, host);
    }
    let new = &rotation.new;
    let old = rotation.old.as_ref().map_or_else(|| "the old key".to_owned(), |old| format!("the old key {old}"));
    match error {
        RotationError::Storage(error) => {
            explain(&error, |cause| format!("cannot continue the rotation: {cause}; {old} is unchanged"))
        }
        RotationError::NotCreated(error) => {
            explain(&error, |cause| format!("no new key was created: {cause}; {old} is unchanged"))
        }
        RotationError::Unknown(error) => explain(&error, |cause| {
            format!("{host} may have created the key {new}: {cause}; {old} is unchanged, and the next run finds out")
        }),
        RotationError::AlreadyReplaced(other) => {
            let message = format!(
                "{old} was already replaced by {other}, from another machine, or the journal of this machine was lost"
            );
            let hint = format!(
                "if {other} is not used, revoke it, then try again: ollama-auth keys revoke {other} --yes --host {host}"
            );
            Problem::new(Exit::Failed, message).hint(hint)
        }
        RotationError::NotStored { error, rollback } => explain(&error, |cause| {
            format!(
                "the new key {new} could not be stored: {cause}; {}; {old} is unchanged",
                rollback_note(new, &rollback)
            )
        }),
        RotationError::NewKeyMissing => {
            let message = format!(
                "the new key {new} is missing from the {} store, so it was revoked; {old} is unchanged, but what was deployed may hold {new}",
                rotation.store
            );
            Problem::new(Exit::Failed, message)
                .hint("run the same command again: it creates another key and deploys it")
        }
        RotationError::NewKeyRefused { reason, rollback, restored } => {
            let deployed = redeploy_note(restored.as_ref());
            let message = format!(
                "{host} does not accept the new key {new} ({reason}): {}; {old} is unchanged{deployed}",
                rollback_note(new, &rollback)
            );
            Problem::new(Exit::SignIn, message).hint("try again; if it fails again, check the host's log")
        }
        RotationError::NotVerified(error) => explain(&error, |cause| {
            format!("the new key {new} could not be tested: {cause}; {old} is unchanged, and the next run continues")
        }),
        RotationError::NotDeployed(error) => {
            let cause = Problem::from_error(&error);
            let message =
                format!("the new key {new} works, but could not be deployed: {}; {old} is unchanged", cause.message);
            let hint = format!(
                "fix the cause, then run the same command again: it continues with the new key\nto roll back, revoke the new key: ollama-auth keys revoke {new} --yes --host {host}"
            );
            Problem::new(cause.exit, message).hint(hint)
        }
        RotationError::NotActivated(error) => explain(&error, |cause| {
            format!(
                "the new key {new} works, but the profile {:?} could not be changed: {cause}; {old} is unchanged",
                rotation.profile
            )
        }),
        RotationError::OldKeyNotExpired(error) => explain(&error, |cause| {
            format!("the new key {new} is in use, but {old} stays valid: {cause}; the next run tries again")
        }),
    }
}

/// The same for a key that a person created: it has no known id, and only that person can revoke it.
fn manual_rotation_problem(error: RotationError<anyhow::Error>, rotation: &Rotation, host: &str) -> Problem {
    const OLD: &str = "the old key is unchanged";
    let valid = format!("it stays valid until you revoke it at {host}");
    match error {
        RotationError::NotStored { error, .. } => {
            explain(&error, |cause| format!("the given key could not be stored: {cause}; {valid}; {OLD}"))
        }
        RotationError::NewKeyRefused { reason, restored, .. } => {
            let deployed = redeploy_note(restored.as_ref());
            let message = format!("{host} does not accept the given key ({reason}); {OLD}{deployed}");
            Problem::new(Exit::SignIn, message).hint("check that the key was pasted completely, and is for this host")
        }
        RotationError::NewKeyMissing => {
            let message = format!(
                "the given key is missing from the {} store; {valid}; {OLD}, but what was deployed may hold the given key",
                rotation.store
            );
            Problem::new(Exit::Failed, message).hint("create another key, and give that one")
        }
        RotationError::NotDeployed(error) => {
            let cause = Problem::from_error(&error);
            let message = format!("the given key works, but could not be deployed: {}; {OLD}", cause.message);
            Problem::new(cause.exit, message)
                .hint("fix the cause, then run the same command again: it continues with that key")
        }
        RotationError::NotActivated(error) => explain(&error, |cause| {
            format!("the given key works, but the profile {:?} could not be changed: {cause}; {OLD}", rotation.profile)
        }),
        RotationError::NotVerified(error) => explain(&error, |cause| {
            format!("the given key could not be tested: {cause}; {OLD}, and the next run continues with that key")
        }),
        RotationError::Storage(error)
        | RotationError::NotCreated(error)
        | RotationError::Unknown(error)
        | RotationError::OldKeyNotExpired(error) => {
            explain(&error, |cause| format!("cannot continue the rotation: {cause}; {OLD}"))
        }
        RotationError::AlreadyReplaced(_) => Problem::new(Exit::Failed, format!("cannot continue the rotation; {OLD}")),
    }
}

/// An error with a message around its cause; code and hint are the cause's.
fn explain(error: &anyhow::Error, message: impl FnOnce(&str) -> String) -> Problem {
    let cause = Problem::from_error(error);
    Problem { message: message(&cause.message), ..cause }
}

/// What became of the deployment of a key that was rolled back.
fn redeploy_note(restored: Option<&anyhow::Result<bool>>) -> String {
    match restored {
        None => String::new(),
        Some(Ok(true)) => "; the old key was deployed again".to_owned(),
        Some(Ok(false)) => "; the new key is still deployed: deploy the old one again".to_owned(),
        Some(Err(error)) => format!("; deploying the old key again failed: {}", Problem::from_error(error).message),
    }
}

/// For a rotation that was rolled back because this run has other targets than the one that started it.
pub fn abandoned_message(rotation: &Rotation) -> String {
    let deployed = match rotation.step >= Step::Deploying {
        true => "; it may be deployed already: deploy the old key again",
        false => "",
    };
    match &rotation.old {
        Some(_) => format!("the rotation to the key {} was rolled back: it is revoked{deployed}", rotation.new),
        None => format!("the key given for the profile {:?} is no longer used{deployed}", rotation.profile),
    }
}

fn rollback_note(new: &KeyId, rollback: &anyhow::Result<()>) -> String {
    match rollback {
        Ok(()) => "it was revoked".to_owned(),
        Err(error) => {
            format!("revoking {new} failed, the next run tries again: {}", Problem::from_error(error).message)
        }
    }
}
