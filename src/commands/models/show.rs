//! `show`: what a model is, or one part of it as it is kept.

use super::{card, explain, name, session};
use crate::api::ShowResponse;
use crate::app::App;
use crate::cli::{ShowArgs, ShowPart};
use crate::exit::Exit;

/// Runs it.
pub async fn run(app: &App, args: ShowArgs) -> anyhow::Result<Exit> {
    let model = name(&args.model)?;
    let session = session(app, model.is_cloud()).await?;
    let asked = if session.base().is_ollama_com() { model.base() } else { model.as_str() };
    let verbose = app.global.verbose > 0;
    let sent = session.show_as_sent(asked, verbose).await.map_err(|error| explain(error, asked))?;
    if app.printer.is_json() {
        app.printer.json(&sent)?;
        return Ok(Exit::Done);
    }
    let shown = ShowResponse::from(sent);
    let Some((what, text)) = part(&shown, args.part) else {
        app.printer.data(card::render(&shown, verbose).trim_end())?;
        return Ok(Exit::Done);
    };
    if text.is_empty() {
        app.printer.note(&format!("{model} has no {what}"));
    } else if app.printer.stdout_is_terminal() || !matches!(what, "system message" | "template") {
        app.printer.data(text)?;
    } else {
        // To the byte, as stock has it: a newline more would be another prompt.
        app.printer.bytes(text.as_bytes())?;
    }
    Ok(Exit::Done)
}

/// The part that was asked for, and what it is called.
fn part(shown: &ShowResponse, part: ShowPart) -> Option<(&'static str, &str)> {
    [
        (part.license, "license", &shown.license),
        (part.modelfile, "Modelfile", &shown.modelfile),
        (part.parameters, "parameters", &shown.parameters),
        (part.system, "system message", &shown.system),
        (part.template, "template", &shown.template),
    ]
    .into_iter()
    .find(|(wanted, ..)| *wanted)
    .map(|(_, what, text)| (what, text.as_str()))
}
