//! `gateway`: serving, and what an administrator does on its machine.

mod approve;
mod audit;
mod init;
mod password;
mod place;
pub mod running;
mod serve;
mod settings;
mod user;

use crate::app::App;
use crate::cli::GatewayCommand;
use crate::exit::Exit;

/// Runs it.
pub async fn run(app: &App, command: GatewayCommand) -> anyhow::Result<Exit> {
    match command {
        GatewayCommand::Serve(args) => serve::run(app, *args).await,
        GatewayCommand::Init(args) => init::run(app, args).await,
        GatewayCommand::User(command) => user::run(app, command).await,
        GatewayCommand::Approve(args) => approve::run(app, args).await,
        GatewayCommand::Audit(args) => audit::run(app, args).await,
    }
}
