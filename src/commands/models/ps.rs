//! `ps`: the models that the server has loaded, as a table; with `--json` as the server sends them.

use super::{as_sent, begins, human, session_with_server};
use crate::api::RunningModel;
use crate::app::App;
use crate::cli::ListArgs;
use crate::exit::Exit;
use crate::ui::Table;

/// Runs it.
pub async fn run(app: &App, args: ListArgs) -> anyhow::Result<Exit> {
    let session = session_with_server(app, "does not say what it has loaded").await?;
    let mut models = session.running().await?;
    models.retain(|model| begins(&model.name, args.prefix.as_deref()));
    if app.printer.is_json() {
        app.printer.json(&as_sent(models.into_iter().map(|model| model.sent)))?;
        return Ok(Exit::Done);
    }
    let now = (app.now)();
    let mut table = Table::new(&["name", "id", "size", "processor", "context", "until"]);
    for model in models {
        let (processor, until) = (processor(&model), until(&model, now));
        let context = model.context_length.to_string();
        table.push([model.name, human::id(&model.digest), human::bytes(model.size), processor, context, until]);
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
        Some(end) if end.as_second() >= now => human::time(Some(end), now),
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
