//! `device list`: the keys kept here, and stock Ollama's beside them, since the two are often mixed up.

use serde::Serialize;

use crate::app::App;
use crate::exit::Exit;
use crate::identity::PublicKey;
use crate::ui::Table;

#[derive(Debug, Serialize)]
struct Row {
    /// The profile; none for stock Ollama's key.
    profile: Option<String>,
    host: Option<String>,
    device: String,
    fingerprint: String,
    /// `keyring`, `file`, `plaintext`, or the path of stock Ollama's key.
    rests_in: String,
    connected: Option<bool>,
}

/// Runs it.
pub fn run(app: &App) -> anyhow::Result<Exit> {
    let profiles = app.profiles.load()?;
    let mut rows: Vec<Row> = profiles
        .profiles
        .iter()
        .filter_map(|(name, profile)| {
            let device = profile.device.as_ref()?;
            Some(Row {
                profile: Some(name.clone()),
                host: Some(profile.url.to_string()),
                device: device.name.clone(),
                fingerprint: device.public_key.fingerprint(),
                rests_in: device.store.to_string(),
                connected: Some(device.connected),
            })
        })
        .collect();
    rows.extend(stock_key(app));
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({ "devices": rows }))?;
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        app.printer.note("There is no device key here.");
        app.printer.hint("sign in: ollama-auth signin");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["profile", "device", "connected", "rests in", "fingerprint"]);
    for row in &rows {
        let connected = row.connected.map_or("?", |connected| if connected { "yes" } else { "no" });
        let profile = row.profile.as_deref().unwrap_or("-");
        table.push([profile, row.device.as_str(), connected, &row.rests_in, &row.fingerprint]);
    }
    app.printer.table(&table)?;
    Ok(Exit::Done)
}

/// The public half of the key that a stock Ollama of this account uses. Only the public file is read.
fn stock_key(app: &App) -> Option<Row> {
    let path = app.paths.stock_key.with_extension("pub");
    let line = std::fs::read_to_string(path).ok()?;
    let key = PublicKey::from_line(line.trim()).ok()?;
    Some(Row {
        profile: None,
        host: None,
        device: "stock Ollama's key".to_owned(),
        fingerprint: key.fingerprint(),
        rests_in: app.paths.stock_key.display().to_string(),
        connected: None,
    })
}
