//! `device show`: everything public about this device's key.

use super::with_device;
use crate::app::App;
use crate::exit::Exit;
use crate::identity::ConnectUrl;

/// Runs it.
pub fn run(app: &App) -> anyhow::Result<Exit> {
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
        ("Fingerprint", key.fingerprint()),
        ("Public key", key.line()),
        ("Encoded key", key.encoded()),
        ("Rests in", format!("the {} store", device.store)),
        ("Connected", if device.connected { "yes" } else { "no" }.to_owned()),
        ("Connect link", link),
    ];
    if let Some(file) = &device.imported_from {
        facts.push(("Shared with", file.display().to_string()));
    }
    app.printer.facts(&facts)?;
    Ok(Exit::Done)
}
