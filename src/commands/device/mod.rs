//! `device`: this device's keys.

mod export;
mod import;
mod list;
mod revoke;
mod rotate;
mod show;

use crate::app::App;
use crate::cli::DeviceCommand;
use crate::commands::context::{Context, sign_in_hint};
use crate::exit::{Exit, Problem};
use crate::profile::{Audience, DeviceRecord, Profile};

/// Runs it.
pub async fn run(app: &App, command: DeviceCommand) -> anyhow::Result<Exit> {
    match command {
        DeviceCommand::List => list::run(app),
        DeviceCommand::Show => show::run(app),
        DeviceCommand::Import(args) => import::run(app, args).await,
        DeviceCommand::Export(args) => export::run(app, args).await,
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
