//! `show`: a model's description as text, in the sections that stock Ollama has: for `show`, and for a chat that is asked about its
//! model. Pure, and harmless on a terminal: every cell is text from the host.

use serde_json::{Map, Value};
use unicode_width::UnicodeWidthStr as _;

use super::{explain_missing, format, parse_name, session};
use crate::api::ShowResponse;
use crate::app::App;
use crate::cli::{ShowArgs, ShowPart};
use crate::exit::Exit;
use crate::ui::sanitize::clean;

/// Characters of a cell that are shown.
const MAX_CELL_LENGTH: usize = 400;
/// Lines of the system message and of the license that are shown.
const HEAD: usize = 2;
/// Columns for the items of an array.
const ARRAY_WIDTH: usize = 10;

/// The whole description; with all metadata and tensors where `verbose`. Ends with an empty line.
pub fn render(model: &ShowResponse, verbose: bool) -> String {
    let mut text = String::new();
    section(&mut text, "Model", model_rows(model));
    section(&mut text, "Capabilities", model.capabilities.iter().map(|each| vec![each.clone()]).collect());
    if let Some(info) = &model.projector_info {
        section(&mut text, "Projector", projector_rows(info));
    }
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let parameters = model.parameters.lines().map(words).filter(|row| !row.is_empty());
    section(&mut text, "Parameters", parameters.collect());
    if verbose {
        if let Some(info) = &model.model_info {
            section(&mut text, "Metadata", metadata_rows(info));
        }
        section(&mut text, "Tensors", model.tensors.iter().map(tensor_row).collect());
    }
    section(&mut text, "System", head(&model.system));
    section(&mut text, "License", head(&model.license));
    text
}

/// A header and its rows, in columns; nothing where there is no row.
fn section(text: &mut String, header: &str, rows: Vec<Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.iter().map(|cell| cell_of(cell)).collect()).collect();
    if rows.is_empty() {
        return;
    }
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    text.push_str("  ");
    text.push_str(header);
    text.push('\n');
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str("    ");
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.width()));
        }
        text.push_str(line.trim_end_matches(' '));
        text.push('\n');
    }
    text.push('\n');
}

fn cell_of(text: &str) -> String {
    match text.char_indices().nth(MAX_CELL_LENGTH) {
        Some((end, _)) => format!("{}…", clean(&text[..end])),
        None => clean(text).into_owned(),
    }
}

fn row(label: &str, value: impl Into<String>) -> Vec<String> {
    vec![label.to_owned(), value.into()]
}

fn model_rows(model: &ShowResponse) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    if !model.remote_host.is_empty() {
        rows.push(row("remote model", &model.remote_model));
        rows.push(row("remote URL", &model.remote_host));
    }
    let nothing = Map::new();
    let info = model.model_info.as_ref().unwrap_or(&nothing);
    let named = info.get("general.architecture").and_then(Value::as_str).unwrap_or_default();
    let architecture = if model.model_info.is_some() { named } else { &model.family };
    let counted = info.get("general.parameter_count").and_then(count).map(format::number);
    let parameters = Some(model.parameter_size.clone()).filter(|size| !size.is_empty()).or(counted);
    let length = |what: &str| info.get(&format!("{architecture}.{what}_length")).and_then(whole);
    for (label, value) in [
        ("architecture", Some(architecture.to_owned())),
        ("parameters", parameters),
        ("context length", length("context")),
        ("embedding length", length("embedding")),
        ("quantization", Some(model.quantization_level.clone())),
        ("requires", Some(model.requires.clone())),
    ] {
        rows.extend(value.filter(|value| !value.is_empty()).map(|value| row(label, value)));
    }
    rows
}

fn projector_rows(info: &Map<String, Value>) -> Vec<Vec<String>> {
    let architecture = info.get("general.architecture").and_then(Value::as_str).unwrap_or_default();
    let of = |what: &str| {
        ["vision", "audio"].iter().find_map(|sense| info.get(&format!("{architecture}.{sense}.{what}")).and_then(whole))
    };
    let named = Some(architecture.to_owned()).filter(|name| !name.is_empty());
    [
        ("architecture", named),
        ("parameters", info.get("general.parameter_count").and_then(count).map(format::number)),
        ("embedding length", of("embedding_length")),
        ("dimensions", of("projection_dim")),
    ]
    .into_iter()
    .filter_map(|(label, value)| Some(row(label, value?)))
    .collect()
}

/// A number without decimals, as it is written in metadata: some servers write `4096.0`.
fn count(value: &Value) -> Option<u64> {
    // A conversion that saturates: what is not a count of anything becomes nought.
    value.as_u64().or_else(|| value.as_f64().map(|number| number as u64))
}

fn whole(value: &Value) -> Option<String> {
    if value.is_number() {
        Some(value.as_u64().map_or_else(|| value.to_string(), |whole| whole.to_string()))
    } else {
        None
    }
}

fn metadata_rows(info: &Map<String, Value>) -> Vec<Vec<String>> {
    let mut names: Vec<&String> = info.keys().collect();
    names.sort();
    names.into_iter().filter_map(|name| Some(row(name, value_of(info.get(name)?)))).collect()
}

fn value_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => array(items),
        Value::Null => "nil".to_owned(),
        other => other.to_string(),
    }
}

/// As many items as find room, at least one, and how many more there are.
fn array(items: &[Value]) -> String {
    let mut shown: Vec<String> = Vec::new();
    let mut width = 1;
    for item in items {
        let item = match item {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let separator = if shown.is_empty() { 0 } else { 2 };
        width += item.width() + separator;
        if width > ARRAY_WIDTH && !shown.is_empty() {
            break;
        }
        shown.push(item);
    }
    match items.len() - shown.len() {
        0 => format!("[{}]", shown.join(" ")),
        more => format!("[{} ...+{more} more]", shown.join(" ")),
    }
}

fn tensor_row(tensor: &Value) -> Vec<String> {
    let text = |name: &str| tensor.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let shape = tensor.get("shape").and_then(Value::as_array).cloned().unwrap_or_default();
    let shape: Vec<String> = shape.iter().map(Value::to_string).collect();
    vec![text("name"), text("type"), format!("[{}]", shape.join(" "))]
}

/// The first lines that hold something.
fn head(text: &str) -> Vec<Vec<String>> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut rows: Vec<Vec<String>> = lines.by_ref().take(HEAD).map(|line| vec![line.to_owned()]).collect();
    if lines.next().is_some() {
        rows.push(vec!["...".to_owned()]);
    }
    rows
}

/// Runs it.
pub async fn show(app: &App, args: ShowArgs) -> anyhow::Result<Exit> {
    let model = parse_name(&args.model)?;
    let session = session(app, model.is_cloud()).await?;
    let asked = if session.base().is_ollama_com() { model.base() } else { model.as_str() };
    let verbose = app.global.verbose > 0;
    let sent = match session.show_as_sent(asked, verbose).await {
        Ok(sent) => sent,
        Err(error) => return Err(explain_missing(&session, asked, error).await),
    };
    if app.printer.is_json() {
        app.printer.json(&sent)?;
        return Ok(Exit::Done);
    }
    let shown = ShowResponse::from(sent);
    let Some((what, text)) = part(&shown, args.part) else {
        app.printer.data(render(&shown, verbose).trim_end())?;
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: Value) -> ShowResponse {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn sections_come_in_the_order_of_stock_and_empty_ones_not_at_all() {
        let model = of(json!({
            "license": "MIT\n\n line two\nline three", "system": "Be brief.", "parameters": "stop    \"<|a|>\"\nnum_ctx   4096\n",
            "details": { "parameter_size": "8.0B", "quantization_level": "Q4_K_M" }, "capabilities": ["completion", "vision"],
            "model_info": { "general.architecture": "llama", "llama.context_length": 131_072, "llama.embedding_length": 4096 },
            "projector_info": { "general.architecture": "clip", "general.parameter_count": 312_000_000, "clip.vision.projection_dim": 4096 },
        }));
        let expected = "  Model
    architecture        llama
    parameters          8.0B
    context length      131072
    embedding length    4096
    quantization        Q4_K_M

  Capabilities
    completion
    vision

  Projector
    architecture    clip
    parameters      312M
    dimensions      4096

  Parameters
    stop       \"<|a|>\"
    num_ctx    4096

  System
    Be brief.

  License
    MIT
    line two
    ...

";
        assert_eq!(render(&model, false), expected);
        assert_eq!(render(&of(json!({})), true), "");
    }

    #[test]
    fn old_and_remote_models_are_told_by_what_there_is() {
        let model =
            of(json!({ "details": { "family": "llama", "parameter_size": "7B" }, "remote_host": "https://h:443",
            "remote_model": "big" }));
        let shown = render(&model, false);
        for line in ["    remote model    big", "    remote URL      https://h:443", "    architecture    llama"] {
            assert!(shown.contains(line), "{shown}");
        }
        let model = of(json!({ "model_info": { "general.parameter_count": 1_008_768.0 } }));
        assert_eq!(render(&model, false), "  Model\n    parameters    1.01M\n\n");
    }

    #[test]
    fn all_is_shown_on_demand_and_long_arrays_are_cut() {
        let model =
            of(json!({ "model_info": { "b": [1, 2, 3, 4, 5], "a": true, "c": null, "d": "x", "e": ["a", "b"] },
            "tensors": [{ "name": "output.weight", "type": "F32", "shape": [128, 608] }, 7] }));
        let shown = render(&model, true);
        for line in [
            "    a    true",
            "    b    [1 2 3 ...+2 more]",
            "    c    nil",
            "    e    [a b]",
            "    output.weight    F32    [128 608]",
        ] {
            assert!(shown.lines().any(|known| known == line), "{line:?} is not in\n{shown}");
        }
        assert!(!render(&model, false).contains("Metadata"));
    }

    #[test]
    fn no_cell_acts_on_the_terminal_or_fills_it() {
        let evil = "\u{1b}[2J\u{202e}\n";
        let model = of(json!({ "capabilities": [evil], "license": format!("{evil}x"), "parameters": evil,
            "system": "s".repeat(100_000), "requires": evil, "model_info": { evil: evil }, "tensors": [{ "name": evil }] }));
        let shown = render(&model, true);
        assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
        assert!(shown.len() < 3000);
    }
}
