//! One command per file or folder: options in, `Exit` out. Commands decide what to do and say; the layers below know how.

mod api;
mod api_key;
mod completions;
mod confirm;
mod context;
mod device;
mod doctor;
mod exec;
#[cfg(feature = "gateway")]
mod gateway;
mod help;
mod keys;
mod models;
mod names;
mod profile;
#[cfg(feature = "gateway")]
mod proxy;
#[cfg(feature = "gateway")]
mod quickstart;
mod request_path;
mod run;
mod signin;
mod signout;
mod status;
mod store;
mod token;
mod usage;
mod workload_token;

pub use completions::{complete, completion_request};
#[cfg(all(unix, feature = "gateway"))]
pub use exec::{ProxyRequest, detach_proxy, proxy_request};
pub use help::explain_usage;
pub use signin::undo_unfinished_signin;

use crate::app::App;
use crate::cli::Command;
use crate::exit::Exit;

/// Runs a command.
///
/// # Errors
/// Any error of the command; `exit::Problem::from_error` explains each.
pub async fn run(app: &App, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Signin(args) => signin::run(app, args).await,
        Command::Signout(args) => signout::run(app, args).await,
        Command::Status(args) => status::run(app, args).await,
        Command::Run(args) => run::run(app, *args).await,
        Command::Pull(args) => models::pull_command(app, args).await,
        Command::Push(args) => models::push_command(app, args).await,
        Command::List(args) => models::list(app, args).await,
        Command::Show(args) => models::show(app, args).await,
        Command::Ps(args) => models::list_running(app, args).await,
        Command::Stop(args) => models::stop(app, args).await,
        Command::Rm(args) => models::rm(app, args).await,
        Command::Cp(args) => models::cp(app, args).await,
        Command::Keys(command) => keys::run(app, command).await,
        #[cfg(feature = "gateway")]
        Command::Proxy(args) => proxy::run(app, args).await,
        #[cfg(feature = "gateway")]
        Command::Gateway(command) => gateway::run(app, command).await,
        #[cfg(feature = "gateway")]
        Command::Quickstart(args) => quickstart::run(app, args).await,
        Command::Device(command) => device::run(app, command).await,
        Command::Profile(command) => profile::run(app, command).await,
        Command::Token(args) => token::run(app, args).await,
        Command::Exec(args) => exec::run(app, args).await,
        Command::Api(args) => api::run(app, args).await,
        Command::Usage(args) => usage::run(app, args).await,
        Command::Doctor(args) => doctor::run(app, args).await,
        Command::Store(command) => store::run(app, command).await,
        Command::Completions { shell } => completions::run(app, shell),
        Command::Man { folder } => completions::man(app, folder),
        Command::Help { topic } => help::run(app, &topic),
        Command::Version => help::version(app),
    }
}
