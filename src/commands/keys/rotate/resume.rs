//! Unfinished rotations in the journal: resumed, rolled back, or reported.

use super::manual;
use super::profile_keys::{ProfileKeys, SelectedKey};
use super::report::{Outcome, Report, ReportRow, abandoned_message, finished_row, rotation_problem};
use super::{RECENT_SECONDS, RotationRun};
use crate::api::KeyEntry;
use crate::commands::context::Context;
use crate::exit::{Exit, Problem};
use crate::rotation::{Rotation, RotationError, RotationOutcome, Step, abandon_if_unusable, resume};
use crate::shell::quoted;

impl RotationRun<'_> {
    /// The journal. A dry run leaves it where it is, whatever it holds.
    pub(super) fn journal_entries(&self) -> anyhow::Result<Vec<Rotation>> {
        Ok(if self.args.dry_run { self.journal.peek()? } else { self.journal.load()? })
    }

    /// A rotation whose profile is gone cannot continue, and its new key may be valid. One that only waited for the old key to end is
    /// over when that has come.
    pub(super) fn warn_of_orphans(&self, contexts: &[Context]) -> anyhow::Result<()> {
        let profiles = self.app.profiles.load()?.profiles;
        let is_gone = |rotation: &Rotation| {
            let is_here = |context: &Context| {
                context.target.profile == rotation.profile && context.url().origin() == rotation.origin
            };
            let profile = profiles.get(&rotation.profile);
            let has_credential =
                profile.is_some_and(|profile| profile.url.origin() == rotation.origin && profile.has_credential());
            !has_credential && !contexts.iter().any(is_here)
        };
        for rotation in self.journal_entries()?.iter().filter(|rotation| is_gone(rotation)) {
            let Rotation { profile, origin, new, .. } = rotation;
            if rotation.is_unfinished() {
                self.app.printer.warn(&format!(
                    "an unfinished rotation to the key {new} belongs to the profile {profile:?}, which is removed or signed out; the key may be valid at {origin}: sign in and run this again, or revoke it"
                ));
            } else if rotation.old_ends_at.is_none_or(|end| end <= (self.app.now)()) && !self.args.dry_run {
                self.journal.remove(new)?;
            }
        }
        Ok(())
    }

    /// The profile by the new key of a rotation that an earlier run has begun: the old one, by which it would be looked at, may have been
    /// revoked meanwhile.
    pub(super) async fn with_new_key(&self, context: Context) -> anyhow::Result<Option<ProfileKeys<'_>>> {
        let is_here = |rotation: &&Rotation| {
            rotation.is_unfinished()
                && rotation.profile == context.target.profile
                && rotation.origin == context.url().origin()
        };
        let Some(rotation) = self.journal_entries()?.into_iter().find(|rotation| is_here(&rotation)) else {
            return Ok(None);
        };
        let Some(key) = self.app.vault.get(rotation.store, &rotation.entry()).await? else { return Ok(None) };
        Ok(ProfileKeys::load_with_key(self.app, context, key).await.ok())
    }

    /// Resumes the rotation of an earlier run. Returns whether it was undone.
    pub(super) async fn continue_rotation(
        &self,
        keys: &ProfileKeys<'_>,
        mut rotation: Rotation,
        selected: Option<&SelectedKey>,
        row: &ReportRow,
        report: &mut Report,
    ) -> anyhow::Result<bool> {
        let row = ReportRow {
            name: selected.map(|selected| selected.label.clone()).or_else(|| row.name.clone()),
            old: rotation.old.as_ref().map(ToString::to_string),
            new: Some(rotation.new.to_string()),
            ..row.clone()
        };
        let unfinished = rotation.is_unfinished();
        if self.args.dry_run {
            if unfinished {
                report.add(self.app, ReportRow { outcome: Outcome::WouldResume, ..row });
            }
            return Ok(false);
        }
        let (manager, old) = match (&rotation.old, &keys.entries) {
            (Some(old), Some(entries)) => {
                let is_self = entries.iter().any(|entry| entry.is_self && entry.id == old.as_str());
                (Some(keys.session.clone()), keys.key.clone().filter(|_| is_self))
            }
            _ => (None, keys.key.clone()),
        };
        let backend = self.backend(keys, manager, old, None);
        let host = keys.context.url().to_string();
        if unfinished {
            if let Err(other_targets) = self.require_same_targets(&mut rotation) {
                match abandon_if_unusable(&backend, &rotation).await {
                    Ok(true) => {}
                    Ok(false) => return Err(other_targets),
                    Err(stopped) => {
                        report.fail(self.app, row, rotation_problem(stopped, &rotation, &host));
                        return Ok(false);
                    }
                }
                self.app.printer.warn(&abandoned_message(&rotation));
                return Ok(true);
            }
            self.app.printer.note("Resuming the interrupted rotation.");
        }
        match resume(&backend, rotation.clone()).await {
            Ok(outcome) => {
                if unfinished {
                    report.add(self.app, finished_row(outcome, row, true));
                    if outcome == RotationOutcome::RevokeManually {
                        manual::remind(self, keys);
                    }
                } else if outcome == RotationOutcome::Done {
                    self.app
                        .printer
                        .note(&format!("The old key {} has expired.", row.old.as_deref().unwrap_or_default()));
                }
                Ok(outcome == RotationOutcome::RolledBack)
            }
            // Perhaps a person revoked it: the rotation is undone, so that a new one can start.
            Err(
                stopped @ (RotationError::NewKeyMissing
                | RotationError::NewKeyRefused { rollback: Ok(()), restored: None | Some(Ok(_)), .. }),
            ) => {
                self.app.printer.warn(&rotation_problem(stopped, &rotation, &host).message);
                Ok(true)
            }
            Err(stopped) => {
                report.fail(self.app, row, rotation_problem(stopped, &rotation, &host));
                Ok(false)
            }
        }
    }

    /// A resumed rotation must deploy to the same targets: a run that leaves one out would end the key that is used there.
    fn require_same_targets(&self, rotation: &mut Rotation) -> anyhow::Result<()> {
        let now = self.deployer.targets();
        if !rotation.targets.any() && rotation.step <= Step::Stored {
            rotation.targets = now;
            return Ok(());
        }
        if rotation.step >= Step::Deployed || rotation.targets == now {
            return Ok(());
        }
        let mut wanted = Vec::new();
        wanted.extend(rotation.targets.command.then(|| "--deploy CMD".to_owned()));
        wanted.extend(rotation.targets.env_file.as_ref().map(|path| format!("--env-file {}", quoted(path.display()))));
        wanted.extend(rotation.targets.env_var.as_ref().map(|name| format!("--env-var {name}")));
        let wanted = if wanted.is_empty() { "neither --deploy nor --env-file".to_owned() } else { wanted.join(" ") };
        let message = format!(
            "the rotation to the key {} was started with {wanted} and must finish with the same options",
            rotation.new
        );
        let hint = format!(
            "run it again with those options, or revoke the new key: ollama-auth keys revoke {} --yes --host {}",
            rotation.new, rotation.origin
        );
        Err(Problem::new(Exit::Usage, message).hint(hint).into())
    }

    /// A rotation of which the journal was lost: its new key waits in the store still, under the id that the host names.
    pub(super) async fn recover_from_store(
        &self,
        keys: &ProfileKeys<'_>,
        selected: &SelectedKey,
        successor: &KeyEntry,
    ) -> anyhow::Result<Option<Rotation>> {
        let record = keys.context.profile.as_ref().and_then(|profile| profile.api_key.as_ref());
        let (Some(record), Ok(new), false) = (record, successor.id.parse(), self.args.dry_run) else { return Ok(None) };
        let rotation = Rotation { new, step: Step::Stored, ..self.new_rotation(keys, selected, record.store)? };
        if self.app.vault.get(rotation.store, &rotation.entry()).await?.is_none() {
            return Ok(None);
        }
        self.journal.record(&rotation)?;
        let message = format!(
            "Found the new key {} in the store, although the journal does not list it: resuming its rotation.",
            rotation.new
        );
        self.app.printer.note(&message);
        Ok(Some(rotation))
    }

    /// Rotations of the profile that this run does not resume.
    pub(super) fn warn_of_unfinished(&self, rotations: &[Rotation]) {
        for Rotation { new, profile, .. } in rotations {
            self.app.printer.warn(&format!(
                "an unfinished rotation to the key {new} is in the profile {profile:?}; to finish it, add its options to: ollama-auth keys rotate {new} --profile {}",
                quoted(profile)
            ));
        }
    }

    pub(super) fn finished_recently(&self, rotation: &Rotation) -> bool {
        let now = (self.app.now)();
        // Not after now: the clock was set back, and who knows when that was.
        let since = self.started.min(now - RECENT_SECONDS);
        rotation.step == Step::Ending && (since..=now).contains(&rotation.began_at)
    }
}
