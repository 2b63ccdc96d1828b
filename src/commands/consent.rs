//! Asking before something that cannot be taken back.

use crate::app::App;
use crate::exit::{Exit, Problem};
use crate::profile::Profile;

/// Goes on if `--yes` was given or a person says yes to `question`. Where nobody can be asked, `statement` says what would
/// have been done.
///
/// # Errors
/// Exit 2 where nobody can be asked, 1 when the answer is no.
pub async fn ask(app: &App, yes: bool, statement: &str, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !app.printer.is_interactive() {
        return Err(Problem::new(Exit::Usage, statement).hint("pass --yes to do it").into());
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
/// As for [`ask`].
pub async fn ask_about_shared_key(app: &App, yes: bool, name: &str, profile: &Profile) -> anyhow::Result<()> {
    let Some(file) = profile.device.as_ref().and_then(|device| device.imported_from.as_ref()) else {
        return Ok(());
    };
    let statement = format!(
        "the device key of {name:?} is shared with {}: this disconnects whatever else uses that file too, such as the Ollama server",
        file.display()
    );
    if yes || app.printer.is_interactive() {
        app.printer.warn(&statement);
    }
    ask(app, yes, &statement, "Disconnect it?").await
}
