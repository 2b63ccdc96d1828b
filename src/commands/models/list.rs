//! `list`: the models that the host has, as a table; with `--json` as the host sends them.

use super::{as_sent, begins, human, session};
use crate::api::ListedModel;
use crate::app::App;
use crate::cli::ListArgs;
use crate::exit::Exit;
use crate::ui::Table;

/// Runs it.
pub async fn run(app: &App, args: ListArgs) -> anyhow::Result<Exit> {
    let session = session(app, false).await?;
    let mut models = session.models().await?;
    models.retain(|model| begins(&model.name, args.prefix.as_deref()));
    if app.printer.is_json() {
        app.printer.json(&as_sent(models.into_iter().map(|model| model.sent)))?;
        return Ok(Exit::Done);
    }
    app.printer.table(&table(models, (app.now)()))?;
    Ok(Exit::Done)
}

/// The table; `now` is the Unix time, in seconds.
pub fn table(models: impl IntoIterator<Item = ListedModel>, now: i64) -> Table {
    let mut table = Table::new(&["name", "id", "size", "modified"]);
    for model in models {
        // What runs at another host takes up no room here.
        let size = if model.remote_model.is_some() { "-".to_owned() } else { human::bytes(model.size) };
        table.push([model.name, human::id(&model.digest), size, human::time(model.modified_at, now)]);
    }
    table
}
