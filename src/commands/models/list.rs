//! `list` and `ps`: the models that the host has or has loaded, as a table; with `--json` as the host sends them.

use super::{explain_missing_list, format, has_prefix, models_json, session, session_with_server};
use crate::api::{ListedModel, RunningModel};
use crate::app::App;
use crate::cli::ListArgs;
use crate::commands::names::{Kind, Names};
use crate::exit::Exit;
use crate::ui::{Column, Table};

/// Runs it.
pub async fn list(app: &App, args: ListArgs) -> anyhow::Result<Exit> {
    let session = session(app, false).await?;
    let mut models = session.models().await.map_err(|error| explain_missing_list(&session, error))?;
    // A server without authentication is asked when Tab is pressed.
    if session.has_credential() {
        Names::new(&app.paths).store(Kind::Models, session.base(), models.iter().map(|model| model.name.as_str()));
    }
    models.retain(|model| has_prefix(&model.name, args.prefix.as_deref()));
    if app.printer.is_json() {
        app.printer.json(&models_json(models.into_iter().map(|model| model.sent)))?;
        return Ok(Exit::Done);
    }
    app.printer.table(&model_table(models, (app.now)()))?;
    Ok(Exit::Done)
}

/// The table; `now` is the Unix time, in seconds.
pub fn model_table(models: impl IntoIterator<Item = ListedModel>, now: i64) -> Table {
    let mut table = Table::new([
        Column::new("name"),
        Column::new("id").optional(2),
        Column::new("size"),
        Column::new("modified").optional(1),
    ]);
    for model in models {
        // What runs at another host takes up no room here.
        let size = if model.remote_model.is_some() { "-".to_owned() } else { format::bytes(model.size) };
        table.push([model.name, format::id(&model.digest), size, format::time(model.modified_at, now)]);
    }
    table
}

/// Runs it.
pub async fn list_running(app: &App, args: ListArgs) -> anyhow::Result<Exit> {
    let session = session_with_server(app, "does not say what it has loaded").await?;
    let mut models = session.running().await.map_err(|error| explain_missing_list(&session, error))?;
    models.retain(|model| has_prefix(&model.name, args.prefix.as_deref()));
    if app.printer.is_json() {
        app.printer.json(&models_json(models.into_iter().map(|model| model.sent)))?;
        return Ok(Exit::Done);
    }
    let now = (app.now)();
    let mut table = Table::new([
        Column::new("name"),
        Column::new("id").optional(3),
        Column::new("size").optional(1),
        Column::new("processor"),
        Column::new("context").optional(2),
        Column::new("until"),
    ]);
    for model in models {
        let (processor, until) = (processor(&model), until(&model, now));
        let context = model.context_length.to_string();
        table.push([model.name, format::id(&model.digest), format::bytes(model.size), processor, context, until]);
    }
    app.printer.table(&table)?;
    Ok(Exit::Done)
}

/// How a model is shared out between CPU and GPU.
fn processor(model: &RunningModel) -> String {
    match (model.size, model.size_vram) {
        (_, 0) => "100% CPU".to_owned(),
        (size, vram) if size == vram => "100% GPU".to_owned(),
        (size, vram) if vram > size => "Unknown".to_owned(),
        (size, vram) => {
            let cpu = ((size - vram) as f64 / size as f64 * 100.0).round();
            format!("{cpu}%/{}% CPU/GPU", 100.0 - cpu)
        }
    }
}

fn until(model: &RunningModel, now: i64) -> String {
    match model.expires_at {
        Some(end) if end.as_second() >= now => format::time(Some(end), now),
        _ => "Stopping...".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn processors_and_ends_as_stock_tells_them() {
        let model = |size, size_vram, seconds: Option<i64>| RunningModel {
            size,
            size_vram,
            expires_at: seconds.map(|seconds| Timestamp::from_second(seconds).unwrap()),
            ..RunningModel::default()
        };
        for (size, vram, text) in
            [(9, 0, "100% CPU"), (9, 9, "100% GPU"), (0, 9, "Unknown"), (100, 70, "30%/70% CPU/GPU")]
        {
            assert_eq!(processor(&model(size, vram, None)), text);
        }
        assert_eq!(until(&model(1, 1, Some(1000)), 700), "5 minutes from now");
        assert_eq!(until(&model(1, 1, Some(1000)), 1001), "Stopping...");
        assert_eq!(until(&model(1, 1, None), 0), "Stopping...");
    }
}
