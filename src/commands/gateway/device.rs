//! `gateway device`: list, add, suspend, resume, disconnect, for any account.

use serde_json::json;

use super::admin;
use super::suspended::suspended_text;
use crate::app::App;
use crate::cli::{DatabaseArgs, GatewayDeviceCommand};
use crate::commands::confirm::confirm;
use crate::exit::{Exit, Problem};
use crate::gateway::{AdminError, AdminReply, AdminRequest, AdminSubject, DeviceRow};
use crate::identity::group_fingerprint;
use crate::relative_time;
use crate::ui::{Column, Table, Tint};

/// Runs a subcommand.
///
/// # Errors
/// Everything of [`admin::request`], and a key or fingerprint that is none.
pub async fn run(app: &App, command: GatewayDeviceCommand) -> anyhow::Result<Exit> {
    match command {
        GatewayDeviceCommand::List { user, database } => list(app, user, &database).await,
        GatewayDeviceCommand::Add { key, user, name, database } => {
            let key = admin::public_key(&key.join(" "))?;
            let request = AdminRequest::AddDevice { key, user, name };
            let (device, changed) = change(app, &database, request).await?;
            if changed {
                app.printer.success(&format!("Added the device {} for {}", describe(&device), device.user));
            } else {
                app.printer.note(&format!("The device {} already belongs to {}.", describe(&device), device.user));
            }
            finish(app, &device)
        }
        GatewayDeviceCommand::Suspend { device, reason, database } => {
            let device = find(app, device.join(" ").trim(), &database).await?;
            let request = AdminRequest::Suspend { what: AdminSubject::Device(device.public_key), reason };
            let (device, changed) = change(app, &database, request).await?;
            let what = format!("device {} of {}", describe(&device), device.user);
            match changed {
                true => app.printer.success(&format!("Suspended the {what}")),
                false => app.printer.note(&format!("The {what} was already suspended.")),
            }
            finish(app, &device)
        }
        GatewayDeviceCommand::Resume { device, database } => {
            let device = find(app, device.join(" ").trim(), &database).await?;
            let request = AdminRequest::Resume { what: AdminSubject::Device(device.public_key) };
            let (device, changed) = change(app, &database, request).await?;
            let what = format!("device {} of {}", describe(&device), device.user);
            match changed {
                true => app.printer.success(&format!("Lifted the suspension of the {what}")),
                false => app.printer.note(&format!("The {what} was not suspended.")),
            }
            finish(app, &device)
        }
        GatewayDeviceCommand::Disconnect { device, yes, database } => {
            let device = find(app, device.join(" ").trim(), &database).await?;
            let what = format!("the device {} of {}", describe(&device), device.user);
            confirm(app, yes, &format!("this would disconnect {what}"), &format!("Disconnect {what}?")).await?;
            let request = AdminRequest::DisconnectDevice { key: device.public_key };
            let (device, _) = change(app, &database, request).await?;
            app.printer.success(&format!("Disconnected the device {} of {}", describe(&device), device.user));
            finish(app, &device)
        }
    }
}

fn describe(device: &DeviceRow) -> String {
    format!("{:?} ({})", device.name, group_fingerprint(&device.fingerprint))
}

async fn change(app: &App, database: &DatabaseArgs, request: AdminRequest) -> anyhow::Result<(DeviceRow, bool)> {
    match admin::request(app, database, request).await? {
        AdminReply::Device { device, changed } => Ok((device, changed)),
        _ => Err(admin::unexpected_reply().into()),
    }
}

fn finish(app: &App, device: &DeviceRow) -> anyhow::Result<Exit> {
    if app.printer.is_json() {
        app.printer.json(device)?;
    }
    Ok(Exit::Done)
}

/// The device that the text means.
///
/// # Errors
/// Exit 2 for a text that is neither a fingerprint nor a public key, 3 when there is no such device.
async fn find(app: &App, text: &str, database: &DatabaseArgs) -> anyhow::Result<DeviceRow> {
    let fingerprint = match admin::fingerprint(text)? {
        Some(fingerprint) => fingerprint,
        None if text.starts_with("ssh-") => admin::public_key(text)?.fingerprint(),
        None => {
            let problem = Problem::new(Exit::Usage, format!("{text:?} is neither a fingerprint nor a public key"));
            return Err(problem.hint("list the devices: ollama-auth gateway device list").into());
        }
    };
    let request = AdminRequest::ListDevices { user: None };
    let (AdminReply::Devices(all), searched) = admin::look_up(app, database, request).await? else {
        return Err(admin::unexpected_reply().into());
    };
    let found = all.into_iter().find(|device| device.fingerprint == fingerprint);
    found.ok_or_else(|| admin::not_found(&AdminError::NoDevice(fingerprint), &searched).into())
}

async fn list(app: &App, user: Option<String>, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let AdminReply::Devices(devices) = admin::request(app, database, AdminRequest::ListDevices { user }).await? else {
        return Err(admin::unexpected_reply().into());
    };
    if app.printer.is_json() {
        app.printer.json(&json!({ "devices": devices }))?;
        return Ok(Exit::Done);
    }
    if devices.is_empty() {
        app.printer.note("There are no devices.");
        return Ok(Exit::Done);
    }
    let now = (app.now)();
    let columns = [
        Column::new("user").shrinks_to(8),
        Column::new("device").shrinks_to(10),
        Column::new("added").optional(2),
        Column::new("last used").optional(1),
        Column::new("fingerprint").shrinks_to(23),
    ];
    // The column is left out if none is suspended.
    let has_suspended = devices.iter().any(|device| device.suspended.suspended_at.is_some());
    let suspended = has_suspended.then(|| Column::new("suspended").shrinks_to(9).state());
    let mut table = Table::new(columns.into_iter().chain(suspended));
    for device in &devices {
        let used = device.last_used_at.map_or_else(|| "never".to_owned(), |at| relative_time::ago(at, now));
        let fingerprint = group_fingerprint(&device.fingerprint);
        let cells =
            [device.user.clone(), device.name.clone(), relative_time::ago(device.created_at, now), used, fingerprint];
        let suspended = suspended_text(&device.suspended, now);
        let tint = if suspended.is_some() { Tint::Doubtful } else { Tint::Plain };
        let suspended = has_suspended.then(|| suspended.unwrap_or_else(|| "no".to_owned()));
        table.push_tinted(tint, cells.into_iter().chain(suspended));
    }
    app.printer.table(&table)?;
    Ok(Exit::Done)
}
