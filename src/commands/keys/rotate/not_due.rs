//! A key that is not due: the run says so, and an env file that has no key yet still gets the one in use.

use secrecy::SecretString;

use super::RotationRun;
use super::profile_keys::{ProfileKeys, SelectedKey};
use super::report::{Outcome, Report, ReportRow};
use crate::commands::context::api_key;
use crate::exit::{Exit, Problem};
use crate::rotation::{Due, is_due};

impl RotationRun<'_> {
    /// Why a key is not to be replaced now, in a line.
    pub(super) fn not_due_message(&self, selected: &SelectedKey) -> Option<String> {
        let max_age = self.args.max_age?.0;
        let days = |seconds: i64| format!("{} days", seconds / 86_400);
        match is_due(selected.created_at, selected.expires_at, (self.app.now)(), max_age) {
            Due::Age(_) | Due::EndsSoon(_) | Due::Unknown => None,
            Due::NotYet(age) => Some(format!(
                "The key {:?} is {} old; it is due at {}.",
                selected.label,
                days(age),
                days(max_age.cast_signed())
            )),
        }
    }

    /// Leaves the key as it is, and says why.
    pub(super) async fn leave(
        &self,
        keys: &ProfileKeys<'_>,
        selected: &SelectedKey,
        message: &str,
        row: ReportRow,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        self.app.printer.note(message);
        self.complete_env_file(keys, selected).await?;
        report.add(self.app, ReportRow { outcome: Outcome::NotDue, ..row });
        Ok(())
    }

    /// Writes the key in use to the env file if that has none: it may be new, or have been lost.
    async fn complete_env_file(&self, keys: &ProfileKeys<'_>, selected: &SelectedKey) -> anyhow::Result<()> {
        let Some(file) = self.deployer.env_file.as_ref() else { return Ok(()) };
        if file.read()?.is_some() {
            return Ok(());
        }
        let (path, label) = (file.path().display(), &selected.label);
        if self.args.dry_run {
            self.app.printer.note(&format!("Would write the key {label:?} to {path}."));
            return Ok(());
        }
        let Some(key) = self.secret(keys, selected).await? else {
            let message = format!("{path} has no key, and the key {label:?} is not stored on this machine");
            let hint = "to create a new key and write it, leave out --max-age";
            return Err(Problem::new(Exit::Failed, message).hint(hint).into());
        };
        file.write(&key)?;
        self.app.printer.note(&format!("Wrote the key {label:?} to {path}."));
        Ok(())
    }

    async fn secret(&self, keys: &ProfileKeys<'_>, selected: &SelectedKey) -> anyhow::Result<Option<SecretString>> {
        let profile = keys.context.profile.as_ref().filter(|profile| profile.api_key.is_some());
        match profile.filter(|_| selected.is_stored) {
            Some(profile) => Ok(Some(api_key(self.app, &keys.context.target.profile, profile).await?)),
            None => Ok(keys.key.clone().filter(|_| selected.is_self)),
        }
    }
}
