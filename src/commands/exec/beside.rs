//! Where a process cannot be replaced, the proxy runs in this one while it waits for the program.

use std::future::pending;

use secrecy::ExposeSecret as _;

use super::proxy::ProgramProxy;
use super::variables::Variables;
use super::{command, not_started};
use crate::app::App;
use crate::cli::ExecArgs;
use crate::commands::context::Context;
use crate::env::{foreign_variable, keep_job_identity_from};
use crate::exit::Exit;

/// Runs the program with a proxy of its own; its exit code is ours.
#[allow(clippy::exit, reason = "the exit code is the program's, whatever it is")]
pub(super) async fn through_proxy(app: &App, args: &ExecArgs, _: Option<&Context>) -> anyhow::Result<Exit> {
    let ProgramProxy { proxy, address } = ProgramProxy::new(app).await?;
    let variables =
        Variables::choose(&args.apis, address.url.expose_secret(), &address.key, foreign_variable).reached_directly();
    variables.report_kept(app);
    let mut program = command(&args.command, &variables);
    if address.uses_job_identity {
        keep_job_identity_from(&mut program);
    }
    let program = tokio::process::Command::from(program).kill_on_drop(true).spawn();
    let mut program = program.map_err(|error| not_started(&args.command[0], &error))?;
    tokio::select! {
        status = program.wait() => std::process::exit(status?.code().unwrap_or(1)),
        served = proxy.serve(app, pending()) => served.map(|()| Exit::Failed),
    }
}
