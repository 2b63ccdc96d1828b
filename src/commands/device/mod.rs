//! `device`: this device's keys.

mod import_export;
mod revoke;
mod rotate;

use serde::Serialize;

use crate::app::App;
use crate::cli::DeviceCommand;
use crate::commands::context::{Context, sign_in_hint};
use crate::exit::{Exit, Problem};
use crate::identity::{ConnectUrl, PublicKey, group_fingerprint};
use crate::profile::{Audience, DeviceRecord, Profile};
use crate::ui::{Column, Table, Tint};

pub use revoke::{disconnect_all_keys, disconnect_key};

/// Runs it.
pub async fn run(app: &App, command: DeviceCommand) -> anyhow::Result<Exit> {
    match command {
        DeviceCommand::List => list(app),
        DeviceCommand::Show => show(app),
        DeviceCommand::Import(args) => import_export::import(app, args).await,
        DeviceCommand::Export(args) => import_export::export(app, args).await,
        DeviceCommand::Rotate(args) => rotate::run(app, args).await,
        DeviceCommand::Revoke(args) => revoke::run(app, args).await,
    }
}

/// The profile in question, which must have a device key.
fn with_device(app: &App) -> anyhow::Result<(String, Profile, DeviceRecord)> {
    let context = Context::resolve(app, Audience::Account)?;
    let name = context.target.profile;
    match context.profile {
        Some(Profile { device: Some(ref device), .. }) => {
            let device = device.clone();
            Ok((name, context.profile.unwrap_or_else(|| Profile::new(context.target.url)), device))
        }
        _ => {
            let message = format!("the profile {name:?} has no device key");
            Err(Problem::new(Exit::NotFound, message).hint(sign_in_hint(&context.target.url)).into())
        }
    }
}

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

/// `device list`: the keys that are stored here, and the one of the stock Ollama beside them, since the two are often mixed up.
fn list(app: &App) -> anyhow::Result<Exit> {
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
        app.printer.note("There are no device keys.");
        app.printer.hint("sign in: ollama-auth signin");
        return Ok(Exit::Done);
    }
    let mut table = Table::new([
        Column::new("profile"),
        Column::new("device").shrinks_to(10).optional(2),
        Column::new("connected").state(),
        Column::new("stored in").shrinks_to(9).optional(1),
        Column::new("fingerprint").shrinks_to(23),
    ]);
    for row in &rows {
        let (connected, tint) = match row.connected {
            None => ("?", Tint::Faint),
            Some(true) => ("yes", Tint::Good),
            Some(false) => ("no", Tint::Doubtful),
        };
        let profile = row.profile.as_deref().unwrap_or("-");
        table.push_tinted(
            tint,
            [profile, row.device.as_str(), connected, &row.rests_in, &group_fingerprint(&row.fingerprint)],
        );
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

/// `device show`: everything public about this device's key.
fn show(app: &App) -> anyhow::Result<Exit> {
    let (name, profile, device) = with_device(app)?;
    let key = &device.public_key;
    let link = ConnectUrl::new(&profile.url, &device.name, key).to_string();
    if app.printer.is_json() {
        app.printer.json(&serde_json::json!({
            "profile": name,
            "host": profile.url,
            "device_name": device.name,
            "public_key": key.line(),
            "encoded_key": key.encoded(),
            "fingerprint": key.fingerprint(),
            "store": device.store,
            "connected": device.connected,
            "imported_from": device.imported_from,
            "connect_url": link,
        }))?;
        return Ok(Exit::Done);
    }
    let mut facts = vec![
        ("Profile", name),
        ("Host", profile.url.to_string()),
        ("Device", device.name.clone()),
        ("Fingerprint", key.grouped_fingerprint()),
        ("Public key", key.line()),
        ("Encoded key", key.encoded()),
        ("Stored in", format!("the {} store", device.store)),
        ("Connected", if device.connected { "yes" } else { "no" }.to_owned()),
        ("Connect link", link),
    ];
    if let Some(file) = &device.imported_from {
        facts.push(("Shared with", file.display().to_string()));
    }
    app.printer.facts(&facts)?;
    Ok(Exit::Done)
}
