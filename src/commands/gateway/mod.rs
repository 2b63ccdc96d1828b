//! `gateway`: serving, and what an administrator does on its machine.

mod admin;
mod audit;
mod config;
mod database;
mod db;
mod device;
mod invitation;
mod key;
mod maintenance;
mod offline;
mod outage;
mod policy;
mod role;
mod running;
pub mod serve;
mod status;
mod suspended;
mod top;
mod usage;
mod user;
mod workload;

use crate::app::App;
use crate::cli::GatewayCommand;
use crate::exit::Exit;

/// Runs it.
pub async fn run(app: &App, command: GatewayCommand) -> anyhow::Result<Exit> {
    match command {
        GatewayCommand::Serve(args) => serve::run(app, *args).await,
        GatewayCommand::Init(args) => config::init(app, args).await,
        GatewayCommand::User(command) => user::run(app, command).await,
        GatewayCommand::Device(command) => device::run(app, command).await,
        GatewayCommand::Key(command) => key::run(app, command).await,
        GatewayCommand::Maintenance(command) => maintenance::run(app, command).await,
        GatewayCommand::Approve(args) => admin::approve(app, args).await,
        GatewayCommand::Db(command) => db::run(app, command).await,
        GatewayCommand::Audit(args) => audit::run(app, *args).await,
        GatewayCommand::Policy(command) => policy::run(app, command).await,
        GatewayCommand::Workload(command) => workload::run(app, command).await,
        GatewayCommand::Usage(args) => usage::run(app, &args).await,
        GatewayCommand::Status(args) => status::run(app, &args).await,
        GatewayCommand::Top(args) => top::run(app, args).await,
    }
}
