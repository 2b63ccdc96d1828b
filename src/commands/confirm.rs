//! What is asked or checked before a credential is removed: a confirmation, and whether a rotation still needs it.

use std::time::Duration;

use crate::app::App;
use crate::disk::Lock;
use crate::exit::{Exit, Problem};
use crate::profile::Profile;
use crate::rotation::{Journal, Rotation};
use crate::shell::quoted;

/// Succeeds if `--yes` was given or a person says yes to `question`. Where prompting is impossible, `statement` says what would
/// have been done.
///
/// # Errors
/// Exit 2 where prompting is impossible, 1 when the answer is no.
pub async fn confirm(app: &App, yes: bool, statement: &str, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !app.printer.is_interactive() {
        return Err(Problem::new(Exit::Usage, statement).hint("to confirm, pass --yes").into());
    }
    let question = question.to_owned();
    if app.ask(move |printer| printer.confirm(&question, false)).await?? {
        Ok(())
    } else {
        Err(Problem::new(Exit::Failed, "nothing was changed").into())
    }
}

/// A key that came from stock Ollama serves that installation too, so disconnecting it asks first.
///
/// # Errors
/// As for [`confirm`].
pub async fn confirm_shared_key(app: &App, yes: bool, name: &str, profile: &Profile) -> anyhow::Result<()> {
    let Some(file) = profile.device.as_ref().and_then(|device| device.imported_from.as_ref()) else {
        return Ok(());
    };
    let statement = format!(
        "the device key of {name:?} is shared with {}: this also disconnects the programs that use that file, such as the Ollama server",
        file.display()
    );
    if yes || app.printer.is_interactive() {
        app.printer.warn(&statement);
    }
    confirm(app, yes, &statement, "Disconnect it?").await
}

/// The rotations that end with the profile's credential. No other run works on them meanwhile.
#[derive(Debug)]
pub struct UnfinishedRotations {
    journal: Journal,
    rotations: Vec<Rotation>,
    _lock: Option<Lock>,
}

impl UnfinishedRotations {
    /// Looks whether there are any, which takes `force` then.
    ///
    /// # Errors
    /// Exit 1 where there are some and no `force`, or where another run works on them; and when the journal cannot be read.
    pub fn load(app: &App, name: &str, profile: &Profile, force: bool) -> anyhow::Result<Self> {
        let journal = Journal::new(&app.paths.data);
        let mut rotations = journal.load()?;
        let origin = profile.url.origin();
        rotations.retain(|one| one.is_unfinished() && one.profile == name && one.origin == origin);
        let Some(first) = rotations.first().filter(|_| !force) else {
            let lock = if rotations.is_empty() { None } else { journal.lock(Duration::ZERO)? };
            if !rotations.is_empty() && lock.is_none() {
                let problem = Problem::new(Exit::Failed, format!("a rotation is running in the profile {name:?}"));
                return Err(problem.hint("wait until it finishes, then try again").into());
            }
            return Ok(Self { journal, rotations, _lock: lock });
        };
        let (host, word) = (&profile.url, quoted(name));
        let message = format!("the profile {name:?} has an unfinished rotation: {}", describe(first, "is valid", host));
        let hint = match &first.old {
            Some(_) => format!(
                "to finish it, add its options to: ollama-auth keys rotate {} --profile {word}\nto abandon it, pass --force and revoke the new key: {}",
                first.new,
                revoke(first, host)
            ),
            None => {
                format!("to finish it: ollama-auth keys rotate {word} --profile {word}\nto abandon it, pass --force")
            }
        };
        Err(Problem::new(Exit::Failed, message).hint(hint).into())
    }

    /// Forgets them and the copies of their new keys here, and says which keys stay valid.
    ///
    /// # Errors
    /// Those of the store and of the journal.
    pub async fn abandon(self, app: &App, profile: &Profile) -> anyhow::Result<()> {
        for rotation in &self.rotations {
            app.vault.delete(rotation.store, &rotation.entry()).await?;
            self.journal.remove(&rotation.new)?;
            app.printer.warn(&format!("a rotation was abandoned: {}", describe(rotation, "stays valid", &profile.url)));
            if rotation.old.is_some() {
                app.printer.hint(&format!("revoke it: {}", revoke(rotation, &profile.url)));
            }
        }
        Ok(())
    }
}

fn describe(rotation: &Rotation, is_valid: &str, host: &crate::address::BaseUrl) -> String {
    match &rotation.old {
        Some(_) => format!("its new key {} {is_valid} at {host} and may be deployed already", rotation.new),
        None => format!("the key given for it {is_valid} at {host} until you revoke it there"),
    }
}

fn revoke(rotation: &Rotation, host: &crate::address::BaseUrl) -> String {
    format!("ollama-auth keys revoke {} --yes --host {host}", rotation.new)
}
